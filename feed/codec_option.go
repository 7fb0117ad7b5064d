package feed

import "bytes"

// The optional fields of a tick that the scanner of Decoder reads.

// side reads "buy" or "sell".
func side(b []byte, i int) (Side, int, bool) {
	switch w := load(b, i); {
	case w&mask5 == '"'|'b'<<8|'u'<<16|'y'<<24|'"'<<32:
		return Buy, i + 5, true
	case w&mask6 == '"'|'s'<<8|'e'<<16|'l'<<24|'l'<<32|'"'<<40:
		return Sell, i + 6, true
	}
	return Unknown, i, false
}

// conditions reads an array of strings without white space between them. The
// text between the brackets names the set: few are in use.
func (d *Decoder) conditions(b []byte, i int) (string, int, bool) {
	if i >= len(b) || b[i] != '[' {
		return "", i, false
	}
	start := i + 1
	n := bytes.IndexByte(b[start:], ']')
	if n < 0 {
		return "", i, false
	}
	end := start + n
	text := b[start:end]
	if joined, ok := d.sets[string(text)]; ok {
		return joined, end + 1, true
	}
	codes, ok := joinCodes(text)
	if !ok {
		return "", i, false
	}
	if len(d.sets) >= internMax {
		clear(d.sets)
	}
	d.sets[string(text)] = codes
	return codes, end + 1, true
}

// joinCodes turns "a","b" into a,b.
func joinCodes(text []byte) (string, bool) {
	if len(text) == 0 {
		return "", true
	}
	if len(text) > MaxConditions*(MaxConditionLen+3) {
		return "", false
	}
	var out []byte
	for {
		if len(text) == 0 || text[0] != '"' {
			return "", false
		}
		n := bytes.IndexByte(text[1:], '"')
		if n < 0 {
			return "", false
		}
		code := text[1 : 1+n]
		for _, c := range code {
			if !plain[c] || c == ',' {
				return "", false
			}
		}
		if n == 0 {
			return "", false
		}
		out = append(out, code...)
		text = text[n+2:]
		if len(text) == 0 {
			return string(out), true
		}
		if text[0] != ',' {
			return "", false
		}
		out = append(out, ',')
		text = text[1:]
	}
}

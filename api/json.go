package api

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"
)

// appendPage makes the JSON of a page, the same as encoding/json makes of page.
func (t *table) appendPage(b []byte, next string) []byte {
	b = append(b, `{"data":[`...)
	keys := t.keys()
	for i := range t.rows() {
		if i > 0 {
			b = append(b, ',')
		}
		b = t.appendObject(b, keys, i)
	}
	b = append(b, ']')
	if next != "" {
		b = append(b, `,"next":`...)
		b = appendString(b, next)
	}
	return append(b, '}', '\n')
}

// keys is what stands before each value of a row.
func (t *table) keys() [][]byte {
	keys := make([][]byte, len(t.columns))
	for i, c := range t.columns {
		k := []byte{','}
		switch {
		case i == 0:
			k[0] = '{'
		case i == 1 && t.nested != "":
			k = append(append(k, strconv.Quote(t.nested)...), ':', '{')
		}
		keys[i] = append(appendString(k, c.name), ':')
	}
	return keys
}

func (t *table) appendObject(b []byte, keys [][]byte, row int) []byte {
	for i, c := range t.row(row) {
		b = append(b, keys[i]...)
		b = t.appendCell(b, t.columns[i].kind, c)
	}
	if t.nested == "" {
		return append(b, '}')
	}
	if len(t.columns) == 1 {
		b = append(append(b, ',', '"'), t.nested...)
		b = append(b, '"', ':', '{')
	}
	return append(b, '}', '}')
}

func (t *table) appendCell(b []byte, k kind, c cell) []byte {
	if c.n < 0 {
		return append(b, "null"...)
	}
	switch k {
	case kindFloat:
		return appendFloat(b, t.float(c))
	case kindInt:
		return strconv.AppendInt(b, t.int(c), 10)
	case kindTime:
		b = append(b, '"')
		return append(appendTime(b, t.micros(c)), '"')
	case kindBool:
		return strconv.AppendBool(b, t.bool(c))
	case kindNumber:
		if v := t.bytes(c); json.Valid(v) {
			return append(b, v...)
		}
		return append(b, "null"...)
	case kindText:
	}
	return appendString(b, string(t.bytes(c)))
}

// appendFloat writes the shortest number that reads back as f, in the form of
// encoding/json; what JSON has no number for is null.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	if abs := math.Abs(f); abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		// e-09 is e-9
		b[n-2] = b[n-1]
		b = b[:n-1]
	}
	return b
}

func appendTime(b []byte, us int64) []byte {
	return time.UnixMicro(us).UTC().AppendFormat(b, time.RFC3339Nano)
}

// appendString writes s as encoding/json does without its HTML escapes.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			var buf bytes.Buffer
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			_ = enc.Encode(s) // a string always marshals
			return append(b, bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

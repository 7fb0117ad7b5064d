package feed

import (
	"encoding/binary"
	"strconv"
	"time"
	"unsafe"
)

// Decoder reads ticks from the values of the topic. It is not safe for
// concurrent use; keep one per goroutine, since it caches strings and dates.
//
// What a value means is defined by encoding/json: keys match without regard to
// case, of equal keys the last one counts, unknown keys are ignored. Decoder
// reads the common form with a scanner of its own (any order of keys, any white
// space) and hands everything else to encoding/json, errors included; a fuzz
// test compares the two.
type Decoder struct {
	venue   string // of the last tick: almost always that of the next
	date    uint64 // the first 8 bytes of the last date seen
	dateEnd uint16 // and its last 2
	midnite int64  // of that date, in microseconds
	recent  [internSlots]string
	strings map[string]string
	sets    map[string]string // of conditions, by their JSON
}

const (
	internSlots = 1 << 11
	// internMax bounds the strings that a Decoder caches.
	internMax = 1 << 16
)

// NewDecoder returns a Decoder.
func NewDecoder() *Decoder {
	return &Decoder{strings: make(map[string]string), sets: make(map[string]string)}
}

// Decode sets *t to the tick in b. If b does not hold one it returns a
// *FieldError and leaves *t unchanged. It keeps no reference to b. It checks the
// form only; Validate checks the values, see DecodeValid.
func (d *Decoder) Decode(b []byte, t *Tick) error {
	if d.scan(b, t) {
		return nil
	}
	return decodeSlow(b, t)
}

// DecodeValid is Decode followed by Validate.
func (d *Decoder) DecodeValid(b []byte, t *Tick, now time.Time) error {
	var v Tick
	if err := d.Decode(b, &v); err != nil {
		return err
	}
	if err := v.Validate(now); err != nil {
		return err
	}
	*t = v
	return nil
}

// The keys as the scanner sees them, little endian, with their closing quote.
const (
	keyTS     = 't' | 's'<<8 | '"'<<16
	keySeq    = 's' | 'e'<<8 | 'q'<<16 | '"'<<24
	keySize   = 's' | 'i'<<8 | 'z'<<16 | 'e'<<24 | '"'<<32
	keyPrice  = 'p' | 'r'<<8 | 'i'<<16 | 'c'<<24 | 'e'<<32 | '"'<<40
	keyVenue  = 'v' | 'e'<<8 | 'n'<<16 | 'u'<<24 | 'e'<<32 | '"'<<40
	keySide   = 's' | 'i'<<8 | 'd'<<16 | 'e'<<24 | '"'<<32
	keyType   = 't' | 'y'<<8 | 'p'<<16 | 'e'<<24 | '"'<<32
	keySymbol = 's' | 'y'<<8 | 'm'<<16 | 'b'<<24 | 'o'<<32 | 'l'<<40 | '"'<<48

	// The first 8 bytes of a longer key.
	keyConditions = 'c' | 'o'<<8 | 'n'<<16 | 'd'<<24 | 'i'<<32 | 't'<<40 | 'i'<<48 | 'o'<<56

	mask3, mask4, mask5 = 1<<24 - 1, 1<<32 - 1, 1<<40 - 1
	mask6, mask7        = 1<<48 - 1, 1<<56 - 1
)

const (
	hasSymbol = 1 << iota
	hasTS
	hasPrice
	hasSize
	hasSeq
	hasVenue
	hasAll        = 1<<iota - 1
	hasSide       = 1 << (iota - 1)
	hasType       = 1 << (iota - 1)
	hasConditions = 1 << (iota - 1)
)

// plain holds the bytes that stand for themselves inside a JSON string.
var plain = func() (p [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		p[c] = c != '"' && c != '\\'
	}
	return p
}()

// scan reads a tick in the common form. False means that encoding/json must
// decode it.
func (d *Decoder) scan(b []byte, t *Tick) bool {
	var (
		v    Tick
		has  uint
		ok   bool
		i    = skipSpace(b, 0)
		more = true
	)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	i++
	for more {
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != '"' {
			return false
		}
		i++
		key, bit := load(b, i), uint(0)
		switch {
		case key&mask7 == keySymbol:
			bit, i = hasSymbol, i+7
		case key&mask3 == keyTS:
			bit, i = hasTS, i+3
		case key&mask6 == keyPrice:
			bit, i = hasPrice, i+6
		case key&mask5 == keySize:
			bit, i = hasSize, i+5
		case key&mask4 == keySeq:
			bit, i = hasSeq, i+4
		case key&mask6 == keyVenue:
			bit, i = hasVenue, i+6
		case key&mask5 == keySide:
			bit, i = hasSide, i+5
		case key&mask5 == keyType:
			bit, i = hasType, i+5
		case key == keyConditions && i+11 <= len(b) && string(b[i+8:i+11]) == `ns"`:
			bit, i = hasConditions, i+11
		}
		if bit == 0 || has&bit != 0 {
			return false // unknown, oddly spelled or repeated
		}
		has |= bit
		i = skipSpace(b, i)
		if i >= len(b) || b[i] != ':' {
			return false
		}
		i = skipSpace(b, i+1)
		switch bit {
		case hasSymbol:
			v.Symbol, i, ok = d.text(b, i, "")
		case hasTS:
			v.TS, i, ok = d.time(b, i)
		case hasPrice:
			v.Price, i, ok = number(b, i)
		case hasSize:
			v.Size, i, ok = number(b, i)
		case hasSeq:
			v.Seq, i, ok = integer(b, i)
		case hasVenue:
			v.Venue, i, ok = d.text(b, i, d.venue)
			d.venue = v.Venue
		case hasSide:
			v.Side, i, ok = side(b, i)
		case hasType: // the other kinds are rare
			const trade = `"trade"`
			ok = i+len(trade) <= len(b) && string(b[i:i+len(trade)]) == trade
			i += len(trade)
		default:
			v.Conditions, i, ok = d.conditions(b, i)
		}
		if !ok {
			return false
		}
		i = skipSpace(b, i)
		if i >= len(b) {
			return false
		}
		switch b[i] {
		case ',':
		case '}':
			more = false
		default:
			return false
		}
		i++
	}
	if has&hasAll != hasAll || skipSpace(b, i) != len(b) {
		return false
	}
	*t = v
	return true
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// load returns up to 8 bytes from b[i], zeros after the end.
func load(b []byte, i int) uint64 {
	if i+8 <= len(b) {
		return binary.LittleEndian.Uint64(b[i:])
	}
	var pad [8]byte
	if i < len(b) {
		copy(pad[:], b[i:])
	}
	return binary.LittleEndian.Uint64(pad[:])
}

// text reads a string without escapes. guess is the likely value.
func (d *Decoder) text(b []byte, i int, guess string) (string, int, bool) {
	if i >= len(b) || b[i] != '"' {
		return "", i, false
	}
	i++
	if end := i + len(guess); guess != "" && end < len(b) && b[end] == '"' && string(b[i:end]) == guess {
		return guess, end + 1, true
	}
	start, hash := i, uint32(0)
	for i < len(b) && plain[b[i]] {
		hash = hash*0x01000193 ^ uint32(b[i])
		i++
	}
	if i >= len(b) || b[i] != '"' {
		return "", i, false
	}
	return d.intern(b[start:i], hash), i + 1, true
}

// intern returns b as a string, one it already has if it can.
func (d *Decoder) intern(b []byte, hash uint32) string {
	slot := &d.recent[hash*0x9e3779b1>>(32-11)]
	if *slot == string(b) {
		return *slot
	}
	s, ok := d.strings[string(b)]
	if !ok {
		s = string(b)
		if len(b) > MaxSymbolLen {
			return s // no valid tick holds it
		}
		if len(d.strings) >= internMax {
			clear(d.strings)
		}
		d.strings[s] = s
	}
	*slot = s
	return s
}

// integer reads a whole number without sign that surely fits.
func integer(b []byte, i int) (int64, int, bool) {
	start, v := i, int64(0)
	for i < len(b) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		v = v*10 + int64(c)
		i++
	}
	n := i - start
	if n == 0 || n > 18 || (n > 1 && b[start] == '0') {
		return 0, i, false
	}
	return v, i, i < len(b) && (b[i] == ',' || b[i] == '}' || b[i] <= ' ')
}

// pow10 holds the powers of ten a float64 represents exactly.
var pow10 = [...]float64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11,
	1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
}

// number reads digits with an optional fraction.
func number(b []byte, i int) (float64, int, bool) {
	start, m := i, uint64(0)
	for i < len(b) {
		c := b[i] - '0'
		if c > 9 {
			break
		}
		m = m*10 + uint64(c)
		i++
	}
	n := i - start
	if n == 0 || (n > 1 && b[start] == '0') {
		return 0, i, false
	}
	frac := 0
	if i < len(b) && b[i] == '.' {
		i++
		point := i
		for i < len(b) {
			c := b[i] - '0'
			if c > 9 {
				break
			}
			m = m*10 + uint64(c)
			i++
		}
		frac = i - point
		if frac == 0 {
			return 0, i, false
		}
	}
	if i >= len(b) || (b[i] != ',' && b[i] != '}' && b[i] > ' ') {
		return 0, i, false
	}
	// Up to 19 digits m did not overflow; up to 2^53 it is exact, as is the
	// power of ten, and one division of exact values rounds correctly.
	if n+frac <= 19 && m <= 1<<53 && frac < len(pow10) {
		return float64(m) / pow10[frac], i, true
	}
	f, err := strconv.ParseFloat(unsafe.String(&b[start], i-start), 64)
	return f, i, err == nil
}

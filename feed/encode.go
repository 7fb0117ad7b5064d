package feed

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"time"
)

// AppendJSON appends t as the JSON of a record's value:
//
//	{"symbol":"AAPL","ts":"2026-11-24T19:00:00.123456Z","price":189.37,"size":100,"seq":123,"venue":"SIM"}
//
// The time is UTC with as many digits as it needs (none to six), the numbers
// are the shortest that parse to the same float64. The output is that of
// encoding/json, at a lower cost. An invalid tick may become JSON that no decoder
// accepts: NaN and infinities become null.
//
// Optional fields follow where they are set: side, conditions, and the type of a
// message that is not a trade. A cancel has neither price nor size.
func AppendJSON(dst []byte, t *Tick) []byte {
	dst = append(dst, `{"symbol":`...)
	dst = appendString(dst, t.Symbol)
	if t.Kind == Trade || t.TS != NoTime {
		dst = append(dst, `,"ts":"`...)
		dst = appendTime(dst, t.TS)
		dst = append(dst, '"')
	}
	if t.Kind != Cancel {
		dst = append(dst, `,"price":`...)
		dst = appendFloat(dst, t.Price)
		dst = append(dst, `,"size":`...)
		dst = appendFloat(dst, t.Size)
	}
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendInt(dst, t.Seq, 10)
	dst = append(dst, `,"venue":`...)
	dst = appendString(dst, t.Venue)
	if t.Side != Unknown {
		dst = append(dst, `,"side":"`...)
		dst = append(dst, t.Side.String()...)
		dst = append(dst, '"')
	}
	if t.Conditions != "" {
		dst = append(dst, `,"conditions":[`...)
		for i, code := range strings.Split(t.Conditions, ",") {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, code)
		}
		dst = append(dst, ']')
	}
	if t.Kind != Trade {
		dst = append(dst, `,"type":"`...)
		dst = append(dst, t.Kind.String()...)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if !plain[s[i]] {
			return appendQuoted(dst, s)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

func appendQuoted(dst []byte, s string) []byte {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil { // no string makes it fail
		return append(dst, `""`...)
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})...)
}

const (
	microsPerSecond = 1_000_000
	microsPerDay    = 24 * 3600 * microsPerSecond
	// Beyond these a year no longer has four digits.
	minMicros = -62167219200 * microsPerSecond // 0000-01-01
	maxMicros = 253402300800 * microsPerSecond // 10000-01-01
)

func appendTime(dst []byte, us int64) []byte {
	if us < minMicros || us >= maxMicros {
		return time.UnixMicro(us).UTC().AppendFormat(dst, time.RFC3339Nano)
	}
	day := us / microsPerDay
	us -= day * microsPerDay
	if us < 0 {
		us += microsPerDay
		day--
	}
	y, m, d := civil(day)
	sec, frac := uint32(us/microsPerSecond), uint32(us%microsPerSecond)
	dst = appendTwo(dst, y/100)
	dst = append(appendTwo(dst, y%100), '-')
	dst = append(appendTwo(dst, m), '-')
	dst = append(appendTwo(dst, d), 'T')
	dst = append(appendTwo(dst, sec/3600), ':')
	dst = append(appendTwo(dst, sec/60%60), ':')
	dst = appendTwo(dst, sec%60)
	if frac != 0 {
		dst = append(dst, '.')
		dst = appendTwo(dst, frac/10000)
		dst = appendTwo(dst, frac/100%100)
		dst = appendTwo(dst, frac%100)
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, 'Z')
}

func appendTwo(dst []byte, v uint32) []byte {
	return append(dst, byte('0'+v/10), byte('0'+v%10))
}

// civil turns days since 1970-01-01 into a date of the proleptic Gregorian
// calendar, by eras of 400 years that begin on 1 March.
func civil(day int64) (y, m, d uint32) {
	day += 719468
	era := day / 146097
	if day < 0 {
		era = (day - 146096) / 146097
	}
	doe := uint32(day - era*146097)
	yoe := (doe - doe/1460 + doe/36524 - doe/146096) / 365
	doy := doe - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d = doy - (153*mp+2)/5 + 1
	m = mp + 3
	year := int64(yoe) + era*400
	if m > 12 {
		m -= 12
		year++
	}
	return uint32(year), m, d
}

// days is the inverse of civil. It does not check the date.
func days(y, m, d int64) int64 {
	if m <= 2 {
		y--
		m += 12
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yoe := y - era*400
	doy := (153*(m-3)+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return era*146097 + doe - 719468
}

func appendFloat(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	// Two decimals of at most 15 digits never share a float64, so a short
	// decimal that reads back as f is the shortest one.
	if abs < 1e13 {
		if v := math.Round(abs * 100); v/100 == abs {
			return appendDecimal(dst, f, uint64(v), 100)
		}
		if v := math.Round(abs * 1e8); v < 1e15 && v/1e8 == abs && abs >= 1e-6 {
			return appendDecimal(dst, f, uint64(v), 1e8)
		}
	}
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case abs != 0 && (abs < 1e-6 || abs >= 1e21):
		dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
		// encoding/json writes 1e-9, strconv 1e-09.
		if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
			dst[n-2] = dst[n-1]
			dst = dst[:n-1]
		}
		return dst
	}
	return strconv.AppendFloat(dst, f, 'f', -1, 64)
}

// appendDecimal appends v/scale, a power of ten, with the sign of f and without
// trailing zeros.
func appendDecimal(dst []byte, f float64, v, scale uint64) []byte {
	if math.Signbit(f) {
		dst = append(dst, '-')
	}
	dst = strconv.AppendUint(dst, v/scale, 10)
	frac := v % scale
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.')
	for frac != 0 {
		scale /= 10
		dst = append(dst, byte('0'+frac/scale))
		frac %= scale
	}
	return dst
}

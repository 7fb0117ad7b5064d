package api

import (
	"math"
	"strconv"
	"strings"
)

// appendCSV makes RFC 4180 of the table, with a header. A null is empty; text
// is as it is, numbers and times as in JSON.
func (t *table) appendCSV(b []byte) []byte {
	for i, c := range t.columns {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendField(b, c.name)
	}
	b = append(b, '\r', '\n')
	for i := range t.rows() {
		for j, c := range t.row(i) {
			if j > 0 {
				b = append(b, ',')
			}
			b = t.appendCSVCell(b, t.columns[j].kind, c)
		}
		b = append(b, '\r', '\n')
	}
	return b
}

func (t *table) appendCSVCell(b []byte, k kind, c cell) []byte {
	if c.n < 0 {
		return b
	}
	switch k {
	case kindFloat:
		f := t.float(c)
		if math.IsNaN(f) || math.IsInf(f, 0) {
			return b
		}
		return appendFloat(b, f)
	case kindInt:
		return strconv.AppendInt(b, t.int(c), 10)
	case kindTime:
		return appendTime(b, t.micros(c))
	case kindBool:
		return strconv.AppendBool(b, t.bool(c))
	case kindNumber, kindText:
	}
	return appendField(b, string(t.bytes(c)))
}

func appendField(b []byte, s string) []byte {
	if s != "" && !strings.ContainsAny(s, "\",\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// message is the tick for encoding/json. Pointers distinguish 0 from absent.
type message struct {
	Symbol *string  `json:"symbol"`
	TS     *string  `json:"ts"`
	Price  *float64 `json:"price"`
	Size   *float64 `json:"size"`
	Seq    *int64   `json:"seq"`
	Venue  *string  `json:"venue"`
}

var expected = map[string]string{
	"symbol": "a string",
	"ts":     "an RFC 3339 time as a string",
	"price":  "a finite number",
	"size":   "a finite number",
	"seq":    "a whole number of 64 bits",
	"venue":  "a string",
}

// decodeSlow is the reference decoder, and the source of every error.
func decodeSlow(b []byte, t *Tick) error {
	switch text := bytes.TrimLeft(b, " \t\r\n"); {
	case len(text) == 0:
		return fieldErrorf("value", "want a JSON object, got nothing")
	case !utf8.Valid(b):
		return fieldErrorf("value", "want UTF-8, got other bytes") // encoding/json would replace them
	case text[0] != '{':
		return fieldErrorf("value", "want a JSON object, got %q", clip(string(text)))
	}
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return explain(b, err)
	}
	if field := m.missing(); field != "" {
		return fieldErrorf(field, "want %s, got nothing", expected[field])
	}
	var ts time.Time
	// Not time.Parse: that also takes a comma, a one-digit hour, an offset of 25 h.
	if err := ts.UnmarshalText([]byte(*m.TS)); err != nil {
		return fieldErrorf("ts", "want %s, got %q", expected["ts"], clip(*m.TS))
	}
	*t = Tick{Symbol: *m.Symbol, Venue: *m.Venue, TS: ts.UnixMicro(), Price: *m.Price, Size: *m.Size, Seq: *m.Seq}
	return nil
}

func (m *message) missing() string {
	switch {
	case m.Symbol == nil:
		return "symbol"
	case m.TS == nil:
		return "ts"
	case m.Price == nil:
		return "price"
	case m.Size == nil:
		return "size"
	case m.Seq == nil:
		return "seq"
	case m.Venue == nil:
		return "venue"
	}
	return ""
}

// explain turns an error of encoding/json into a *FieldError.
func explain(b []byte, err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		if want := expected[e.Field]; want != "" {
			return fieldErrorf(e.Field, "want %s, got %s", want, clip(e.Value))
		}
	}
	field := broken(b)
	if want := expected[field]; want != "" {
		return fieldErrorf(field, "want %s: %v", want, err)
	}
	return fieldErrorf("value", "want one JSON object: %v", err)
}

// broken returns the field whose value is not JSON, such as NaN, if there is one.
func broken(b []byte) string {
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		return ""
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return ""
		}
		var skip json.RawMessage
		if err := dec.Decode(&skip); err != nil {
			return strings.ToLower(fmt.Sprint(key))
		}
	}
	return ""
}

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

	Side       *string  `json:"side"`
	Conditions []string `json:"conditions"`
	Type       *string  `json:"type"`
}

var expected = map[string]string{
	"symbol": "a string",
	"ts":     "an RFC 3339 time as a string",
	"price":  "a finite number",
	"size":   "a finite number",
	"seq":    "a whole number of 64 bits",
	"venue":  "a string",

	"side":       `"buy" or "sell"`,
	"conditions": "an array of strings",
	"type":       `"trade", "cancel" or "correct"`,
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
	kind, err := m.kind()
	if err != nil {
		return err
	}
	if field := m.missing(kind); field != "" {
		return fieldErrorf(field, "want %s, got nothing", expected[field])
	}
	v := Tick{Symbol: *m.Symbol, Venue: *m.Venue, TS: NoTime, Seq: *m.Seq, Kind: kind}
	if m.TS != nil {
		var ts time.Time
		// Not time.Parse: that also takes a comma, a one-digit hour, an offset of 25 h.
		if err := ts.UnmarshalText([]byte(*m.TS)); err != nil {
			return fieldErrorf("ts", "want %s, got %q", expected["ts"], clip(*m.TS))
		}
		v.TS = ts.UnixMicro()
	}
	if kind != Cancel {
		v.Price, v.Size = *m.Price, *m.Size
		if v.Side, err = m.side(); err != nil {
			return err
		}
		for _, code := range m.Conditions {
			// Joined, it would be another code.
			if code == "" || strings.Contains(code, ",") {
				return fieldErrorf("conditions", "want codes of 1 to %d printable ASCII characters without commas, got %q", MaxConditionLen, clip(code))
			}
		}
		v.Conditions = strings.Join(m.Conditions, ",")
	}
	*t = v
	return nil
}

func (m *message) kind() (Kind, error) {
	if m.Type == nil {
		return Trade, nil
	}
	for k, name := range kinds {
		if *m.Type == name {
			return Kind(k), nil
		}
	}
	return Trade, fieldErrorf("type", "want %s, got %q", expected["type"], clip(*m.Type))
}

func (m *message) side() (Side, error) {
	switch {
	case m.Side == nil:
		return Unknown, nil
	case *m.Side == "buy":
		return Buy, nil
	case *m.Side == "sell":
		return Sell, nil
	}
	return Unknown, fieldErrorf("side", "want %s, got %q", expected["side"], clip(*m.Side))
}

// missing returns the first required field that is not there. A cancel needs only
// what identifies the trade; a correct, the new values too.
func (m *message) missing(kind Kind) string {
	switch {
	case m.Symbol == nil:
		return "symbol"
	case m.TS == nil && kind == Trade:
		return "ts"
	case m.Price == nil && kind != Cancel:
		return "price"
	case m.Size == nil && kind != Cancel:
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

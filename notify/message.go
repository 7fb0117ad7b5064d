package notify

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// payload is the payload of a row of alert.outbox.
type payload struct {
	Kind      string     `json:"kind"`
	Rule      string     `json:"rule"`
	Severity  string     `json:"severity"`
	Symbol    string     `json:"symbol"`
	Interval  *string    `json:"interval"`
	Bar       *time.Time `json:"bar"`
	Value     *float64   `json:"value"`
	Threshold *float64   `json:"threshold"`
	Message   string     `json:"message"`
	Count     int        `json:"count"`
}

// message is one notification.
type message struct {
	id      string // the same on every attempt, safe in a header
	created time.Time
	raw     json.RawMessage
	payload payload
}

func newMessage(key string, created time.Time, raw []byte) (*message, error) {
	m := &message{id: escape(key), created: created, raw: raw}
	if err := json.Unmarshal(raw, &m.payload); err != nil {
		return nil, fmt.Errorf("payload: %w", err)
	}
	return m, nil
}

// escape makes a key safe for a header, one to one. It also escapes the dot, which
// separates the parts of the signed text.
func escape(key string) string {
	var b strings.Builder
	for i := range len(key) {
		switch c := key[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("/_:@+-", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// title is the first line of a message.
func (m *message) title() string {
	p := &m.payload
	word := strings.ToUpper(p.Severity)
	switch p.Kind {
	case "resolved", "retracted":
		word = strings.ToUpper(p.Kind)
	}
	return plain(strings.TrimSpace(fmt.Sprintf("[%s] %s: %s", word, p.Rule, p.Message)))
}

// facts returns the details of a message, each for one line.
func (m *message) facts() [][2]string {
	p := &m.payload
	var out [][2]string
	add := func(name, value string) {
		if value != "" {
			out = append(out, [2]string{name, plain(value)})
		}
	}
	add("Symbol", p.Symbol)
	if p.Interval != nil {
		add("Interval", *p.Interval)
	}
	if p.Bar != nil {
		add("Bar", p.Bar.UTC().Format("2006-01-02 15:04 MST"))
	}
	if p.Value != nil {
		add("Value", fmt.Sprintf("%.8g", *p.Value))
	}
	if p.Threshold != nil {
		add("Threshold", fmt.Sprintf("%.8g", *p.Threshold))
	}
	if p.Count > 1 {
		add("Events", fmt.Sprint(p.Count))
	}
	return out
}

// plain keeps a value on one line.
func plain(s string) string { return strings.Join(strings.Fields(s), " ") }

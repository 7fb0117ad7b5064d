package api

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// cursorVersion changes when cursors of before can no longer be read.
const cursorVersion = 1

// What a cursor pages through.
const (
	kindSymbols     = "symbols"
	kindTicks       = "ticks"
	kindCandles     = "candles"
	kindIndicators  = "indicators"
	kindScreener    = "screener"
	kindAlerts      = "alert events"
	kindInstruments = "instruments"
	kindActions     = "corporate actions"
)

// cursor says where a page ended. It names the last row and not a count of
// rows, so rows that come in between move nothing, and it carries the query it
// belongs to.
type cursor struct {
	Kind     string    `json:"k"`
	Symbol   string    `json:"s,omitempty"` // for symbols, the last one
	Interval string    `json:"i,omitempty"`
	Search   string    `json:"q,omitempty"`
	From     *int64    `json:"f,omitempty"` // microseconds
	To       *int64    `json:"t,omitempty"`
	At       *position `json:"a,omitempty"`

	// Of an indicator: what it is, and its parameters.
	Name   string            `json:"n,omitempty"`
	Params map[string]string `json:"p,omitempty"`
	// Of the screener: its order and filters. Of alert events: their filters.
	Sort       string   `json:"o,omitempty"`
	Descending bool     `json:"d,omitempty"`
	Filters    []string `json:"w,omitempty"`
	Number     *uint64  `json:"x,omitempty"` // the bits of the last value
	Text       *string  `json:"y,omitempty"`
}

var errCursor = errors.New("want the next of an earlier page, unchanged")

// String is the cursor as clients see it: version, checksum, content. The
// checksum tells a damaged cursor from a good one; it keeps no secret.
func (c cursor) String() string {
	body, err := json.Marshal(c)
	if err != nil {
		panic(err) // strings and integers always marshal
	}
	b := binary.BigEndian.AppendUint32([]byte{cursorVersion}, crc32.ChecksumIEEE(body))
	return base64.RawURLEncoding.EncodeToString(append(b, body...))
}

func parseCursor(s string) (cursor, error) {
	var c cursor
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) < 5 {
		return c, errCursor
	}
	if b[0] != cursorVersion {
		return c, errors.New("comes from another version of this server; begin again without it")
	}
	body := b[5:]
	if binary.BigEndian.Uint32(b[1:5]) != crc32.ChecksumIEEE(body) {
		return c, errCursor
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		return cursor{}, errCursor
	}
	for _, us := range []*int64{c.From, c.To} {
		if us != nil && !validMicros(*us) {
			return cursor{}, errCursor
		}
	}
	if c.At != nil && (!validMicros(c.At.TS) || !plain(c.At.Venue)) || c.Symbol != "" && !feed.ValidSymbol(c.Symbol) || !printable(c.Search) {
		return cursor{}, errCursor
	}
	if c.Text != nil && !printable(*c.Text) {
		return cursor{}, errCursor
	}
	for k, v := range c.Params {
		if !printable(k) || !printable(v) {
			return cursor{}, errCursor
		}
	}
	return c, nil
}

// fits checks that the cursor belongs to this resource.
func (c cursor) fits(kind, symbol, interval string) error {
	switch {
	case c.Kind != kind:
		return fmt.Errorf("belongs to another resource, not to %s", kind)
	case c.Symbol != symbol:
		return errors.New("belongs to another symbol")
	case c.Interval != interval:
		return errors.New("belongs to another interval")
	case c.At == nil:
		return errCursor
	}
	return nil
}

var (
	minMicros = time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
	maxMicros = time.Date(10001, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro()
)

func validMicros(us int64) bool { return us >= minMicros && us <= maxMicros }

// plain keeps out of SQL what a text column cannot hold.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return len(s) <= 64
}

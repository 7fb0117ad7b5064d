// Package feed defines the tick, the one message that flows through Hypertick,
// and the sources that produce it.
package feed

import (
	"fmt"
	"math"
	"time"
)

// Limits of a valid tick.
const (
	MaxSymbolLen = 32
	MaxVenueLen  = 16
	// MaxFuture is how far ahead of the clock the trade time of a tick may be:
	// the clocks of feeds run a little fast, but a tick of tomorrow would
	// corrupt every window.
	MaxFuture = 5 * time.Minute
)

// Tick is one trade.
type Tick struct {
	Symbol string
	Venue  string
	// TS is the trade time in microseconds since the Unix epoch, UTC: the
	// resolution PostgreSQL stores.
	TS    int64
	Price float64 // in the quote currency, finite and > 0
	Size  float64 // in units of the symbol, finite and >= 0
	// Seq rises strictly per (Venue, Symbol) in the source's own order. It
	// orders ticks of equal TS and identifies duplicates.
	Seq int64
}

// Time returns the trade time in UTC.
func (t *Tick) Time() time.Time { return time.UnixMicro(t.TS).UTC() }

// FieldError names the field of a record that is invalid and what was expected.
type FieldError struct {
	Field string // the JSON name, or "value" if the whole record is invalid
	Want  string // what was expected, and what was found instead
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Want }

func fieldErrorf(field, format string, args ...any) error {
	return &FieldError{Field: field, Want: fmt.Sprintf(format, args...)}
}

// Validate returns a *FieldError for the first invalid field of t. TS may be at
// most MaxFuture after now.
func (t *Tick) Validate(now time.Time) error {
	if !validSymbol(t.Symbol) {
		return fieldErrorf("symbol", "want 1 to %d of A-Z 0-9 . _ : -, got %q", MaxSymbolLen, clip(t.Symbol))
	}
	if t.TS < 0 || t.TS > now.Add(MaxFuture).UnixMicro() {
		return fieldErrorf("ts", "want a time from 1970 to %v from now, got %s", MaxFuture, t.Time().Format(time.RFC3339Nano))
	}
	if !(t.Price > 0) || math.IsInf(t.Price, 0) {
		return fieldErrorf("price", "want a finite number above 0, got %v", t.Price)
	}
	if !(t.Size >= 0) || math.IsInf(t.Size, 0) {
		return fieldErrorf("size", "want a finite number of at least 0, got %v", t.Size)
	}
	if t.Seq <= 0 {
		return fieldErrorf("seq", "want a whole number above 0, got %d", t.Seq)
	}
	if !validVenue(t.Venue) {
		return fieldErrorf("venue", "want 1 to %d printable ASCII characters without spaces, got %q", MaxVenueLen, clip(t.Venue))
	}
	return nil
}

func validSymbol(s string) bool {
	if len(s) == 0 || len(s) > MaxSymbolLen {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return true
}

func validVenue(s string) bool {
	if len(s) == 0 || len(s) > MaxVenueLen {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// clip keeps a hostile value from filling a log line or a header.
func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

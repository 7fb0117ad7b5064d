// Package feed defines the tick, the one message that flows through Hypertick,
// and the sources that produce it.
package feed

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of a valid tick.
const (
	MaxSymbolLen = 64 // bytes
	MaxVenueLen  = 16
	// MaxFuture is how far ahead of the clock the trade time of a tick may be:
	// the clocks of feeds run a little fast, but a tick of tomorrow would
	// corrupt every window.
	MaxFuture = 5 * time.Minute
	// MinNumber and MaxNumber bound prices and sizes other than 0, so that no
	// product or square of two overflows or vanishes.
	MinNumber = 1e-15
	MaxNumber = 1e15
	// MaxConditions bounds the conditions of one tick, in codes.
	MaxConditions = 8
	// MaxConditionLen bounds one code, in bytes.
	MaxConditionLen = 32
)

// minTime is 1900-01-01 in Unix microseconds.
const minTime = -2_208_988_800 * microsPerSecond

// ContentSeq is the lowest seq that stands for content. A source without numbers
// of its own gives its ticks ContentSeq and the ordinal among those of equal trade
// time: they count nothing, and a jump between them is no gap.
const ContentSeq = 1 << 62

// Kind is what a message says of a trade.
type Kind uint8

// The kinds of messages.
const (
	Trade   Kind = iota
	Cancel       // the trade of this venue, symbol and seq did not take place
	Correct      // that trade has other values: those of this message
)

var kinds = [...]string{Trade: "trade", Cancel: "cancel", Correct: "correct"}

func (k Kind) String() string { return kinds[k] }

// Side is who began the trade.
type Side int8

// The sides of a trade, as ticks.side stores them; Unknown is NULL there.
const (
	Unknown Side = 0
	Buy     Side = 1  // the buyer took what a seller offered
	Sell    Side = -1 // the seller took what a buyer offered
)

func (s Side) String() string {
	switch s {
	case Buy:
		return "buy"
	case Sell:
		return "sell"
	}
	return ""
}

// NoTime is the TS of a Cancel or Correct that does not name the trade time.
const NoTime = math.MinInt64

// Tick is one trade, or a message about one.
type Tick struct {
	Symbol string
	Venue  string
	// TS is the trade time in microseconds since the Unix epoch, UTC: the
	// resolution PostgreSQL stores. Of a Cancel or Correct it is that of the
	// original trade, or NoTime.
	TS    int64
	Price float64 // in the quote currency; 0 in a Cancel
	Size  float64 // in units of the symbol; 0 in a Cancel
	// Seq rises per (Venue, Symbol) in the source's own order. It orders ticks of
	// equal TS and, with TS, identifies a trade.
	Seq  int64
	Side Side
	Kind Kind
	// Conditions are the codes of the sale conditions, joined by commas. The table
	// trade_conditions says what a trade of each does not move.
	Conditions string
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
// most MaxFuture after now. A price at or below 0 is valid here: whether a symbol
// may have one is a setting of the database, see CheckPrice.
func (t *Tick) Validate(now time.Time) error {
	if !ValidSymbol(t.Symbol) {
		return fieldErrorf("symbol", "want 1 to %d bytes of printable UTF-8 without a space at either end, got %q", MaxSymbolLen, clip(t.Symbol))
	}
	if (t.TS < minTime || t.TS > now.Add(MaxFuture).UnixMicro()) && (t.Kind == Trade || t.TS != NoTime) {
		return fieldErrorf("ts", "want a time from 1900 to %v from now, got %s", MaxFuture, t.Time().Format(time.RFC3339Nano))
	}
	if !bounded(t.Price) {
		return fieldErrorf("price", "want 0 or a number from 1e-15 to 1e15 above or below it, got %v", t.Price)
	}
	if !(t.Size >= 0) || !bounded(t.Size) {
		return fieldErrorf("size", "want 0 or a number from 1e-15 to 1e15, got %v", t.Size)
	}
	if t.Seq < 0 {
		return fieldErrorf("seq", "want a whole number of at least 0, got %d", t.Seq)
	}
	if !validVenue(t.Venue) {
		return fieldErrorf("venue", "want 1 to %d printable ASCII characters without spaces, got %q", MaxVenueLen, clip(t.Venue))
	}
	if t.Conditions != "" {
		return checkConditions(t.Conditions)
	}
	return nil
}

// CheckPrice returns a *FieldError if the price of a trade is at or below 0 and
// allowed, the setting of its symbol or venue, does not permit that.
func (t *Tick) CheckPrice(allowed bool) error {
	if t.Price > 0 || allowed || t.Kind == Cancel {
		return nil
	}
	return fieldErrorf("price", "want more than 0 where neither instruments.non_positive_prices of %q nor "+
		"feed_venues.non_positive_prices of %q is true, got %v", t.Symbol, t.Venue, t.Price)
}

// bounded reports whether v is 0, or within the bounds of a number. NaN is not.
func bounded(v float64) bool {
	v = math.Abs(v)
	return v == 0 || v >= MinNumber && v <= MaxNumber
}

// ValidSymbol reports whether s can be a symbol: 1 to MaxSymbolLen bytes of
// printable UTF-8 without a space at either end.
func ValidSymbol(s string) bool {
	if len(s) == 0 || len(s) > MaxSymbolLen || s[0] == ' ' || s[len(s)-1] == ' ' {
		return false
	}
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return printable(s)
		}
	}
	return true
}

// printable is the rule for text that is not ASCII alone.
func printable(s string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		// A lone surrogate in JSON is read as U+FFFD: several texts would be one.
		if !unicode.IsPrint(r) || r == utf8.RuneError {
			return false
		}
	}
	return true
}

func checkConditions(joined string) error {
	codes := strings.Split(joined, ",")
	if len(codes) > MaxConditions {
		return fieldErrorf("conditions", "want at most %d codes, got %d", MaxConditions, len(codes))
	}
	for _, code := range codes {
		if !validCondition(code) {
			return fieldErrorf("conditions", "want codes of 1 to %d printable ASCII characters without commas, got %q", MaxConditionLen, clip(code))
		}
	}
	return nil
}

func validCondition(code string) bool {
	if len(code) == 0 || len(code) > MaxConditionLen {
		return false
	}
	for i := range len(code) {
		if code[i] < ' ' || code[i] > '~' || code[i] == ',' {
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

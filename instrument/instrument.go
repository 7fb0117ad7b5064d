// Package instrument checks and writes what is known of instruments and their
// corporate actions, for the API and for the command line.
package instrument

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// Kinds are the kinds of instruments.
var Kinds = []string{"equity", "etf", "index", "fx", "crypto", "future", "option", "other"}

// FieldError is a field that is not valid.
type FieldError struct{ Field, Want, Got string }

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s: want %s, got %q", e.Field, e.Want, e.Got)
}

// Option is a field of a change. If it is not given, the field stays; nil clears it.
type Option[T any] struct {
	Given bool
	Value *T
}

// Set returns the option of a value.
func Set[T any](v T) Option[T] { return Option[T]{true, &v} }

func (o Option[T]) apply(to **T) {
	if o.Given {
		*to = o.Value
	}
}

// Former is a symbol that an instrument had before the day Until.
type Former struct {
	Symbol string
	Until  time.Time
}

// Change is a change of an instrument.
type Change struct {
	Symbol               string
	Name, Kind, Calendar Option[string]
	Currency             Option[string]
	PriceStep, SizeStep  Option[float64]
	NonPositivePrices    Option[bool]
	ActiveFrom, ActiveTo Option[time.Time]
	Former               Option[[]Former]
}

var currency = regexp.MustCompile(`^[A-Z0-9]{2,12}$`)

// Check returns the fields that are not valid, as far as can be told without the
// database.
func (c *Change) Check() (bad []*FieldError) {
	refuse := func(field, want, got string) { bad = append(bad, &FieldError{field, want, got}) }
	if !feed.ValidSymbol(c.Symbol) {
		refuse("symbol", wantSymbol, c.Symbol)
	}
	if v := c.Name.Value; v != nil && (*v == "" || len(*v) > 200 || strings.TrimSpace(*v) != *v || !printable(*v)) {
		refuse("name", "1 to 200 bytes of printable UTF-8 without a space around them", *v)
	}
	if v := c.Kind.Value; v != nil && !slices.Contains(Kinds, *v) {
		refuse("kind", "one of "+strings.Join(Kinds, ", "), *v)
	}
	if v := c.Currency.Value; v != nil && !currency.MatchString(*v) {
		refuse("currency", "a code of 2 to 12 upper case letters and digits, such as USD", *v)
	}
	for _, f := range []struct {
		name string
		v    *float64
	}{{"price_step", c.PriceStep.Value}, {"size_step", c.SizeStep.Value}} {
		if f.v != nil && (math.IsNaN(*f.v) || *f.v < feed.MinNumber || *f.v > feed.MaxNumber) {
			refuse(f.name, "a number from 1e-15 to 1e15", fmt.Sprint(*f.v))
		}
	}
	if from, to := c.ActiveFrom.Value, c.ActiveTo.Value; from != nil && to != nil && to.Before(*from) {
		refuse("active_to", "a day on or after active_from, "+from.Format(time.DateOnly), to.Format(time.DateOnly))
	}
	if c.Former.Value != nil {
		seen := map[string]bool{}
		for _, f := range *c.Former.Value {
			if !feed.ValidSymbol(f.Symbol) || f.Symbol == c.Symbol || seen[f.Symbol] {
				refuse("former", "other symbols, each once", f.Symbol)
			}
			seen[f.Symbol] = true
		}
	}
	return bad
}

const wantSymbol = "a symbol of 1 to 64 bytes of printable UTF-8 without a space around it"

// printable reports whether every column of text can hold s.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Apply changes an instrument, which is made if it is not there, in the
// transaction of q. The error is a *FieldError if the database knows better.
func Apply(ctx context.Context, q *db.Queries, c *Change) (changed bool, err error) {
	row, err := q.LockInstrument(ctx, c.Symbol)
	if err != nil {
		return false, fmt.Errorf("lock instrument: %w", err)
	}
	arg := params(&row)
	c.Name.apply(&arg.Name)
	c.Currency.apply(&arg.Currency)
	c.PriceStep.apply(&arg.PriceStep)
	c.SizeStep.apply(&arg.SizeStep)
	c.NonPositivePrices.apply(&arg.NonPositivePrices)
	setDate(c.ActiveFrom, &arg.ActiveFrom)
	setDate(c.ActiveTo, &arg.ActiveTo)
	arg.Kind = given(c.Kind, arg.Kind, "other")
	arg.Calendar = given(c.Calendar, arg.Calendar, "24x7")
	if arg.ActiveFrom.Valid && arg.ActiveTo.Valid && arg.ActiveTo.Time.Before(arg.ActiveFrom.Time) {
		field, day := "active_to", arg.ActiveTo
		if !c.ActiveTo.Given {
			field, day = "active_from", arg.ActiveFrom
		}
		return false, &FieldError{field, "active_from on or before active_to", day.Time.Format(time.DateOnly)}
	}
	if arg.Calendar != row.Calendar {
		known, err := q.CalendarKnown(ctx, arg.Calendar)
		if err != nil {
			return false, fmt.Errorf("look up calendar: %w", err)
		}
		if !known {
			return false, &FieldError{"calendar", "a calendar that the database has, such as XNYS or 24x7", arg.Calendar}
		}
	}
	if !same(arg, params(&row)) {
		changed = true
		if err := q.UpdateInstrument(ctx, arg); err != nil {
			return false, fmt.Errorf("update instrument: %w", err)
		}
	}
	if !c.Former.Given {
		return changed, nil
	}
	other, err := setFormer(ctx, q, c)
	return changed || other, err
}

func params(i *db.Instrument) db.UpdateInstrumentParams {
	return db.UpdateInstrumentParams{
		Symbol: i.Symbol, Name: i.Name, Kind: i.Kind, Calendar: i.Calendar, Currency: i.Currency, PriceStep: i.PriceStep, SizeStep: i.SizeStep,
		NonPositivePrices: i.NonPositivePrices, ActiveFrom: i.ActiveFrom, ActiveTo: i.ActiveTo,
	}
}

func given(o Option[string], now, none string) string {
	switch {
	case !o.Given:
		return now
	case o.Value == nil:
		return none
	}
	return *o.Value
}

func setDate(o Option[time.Time], to *pgtype.Date) {
	if o.Given {
		*to = pgtype.Date{}
		if o.Value != nil {
			*to = Day(*o.Value)
		}
	}
}

// Day returns the date of t.
func Day(t time.Time) pgtype.Date { return pgtype.Date{Time: t, Valid: true} }

func same(a, b db.UpdateInstrumentParams) bool {
	return equal(a.Name, b.Name) && a.Kind == b.Kind && a.Calendar == b.Calendar && equal(a.Currency, b.Currency) && equal(a.PriceStep, b.PriceStep) &&
		equal(a.SizeStep, b.SizeStep) && equal(a.NonPositivePrices, b.NonPositivePrices) && sameDay(a.ActiveFrom, b.ActiveFrom) && sameDay(a.ActiveTo, b.ActiveTo)
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

func sameDay(a, b pgtype.Date) bool { return a.Valid == b.Valid && (!a.Valid || a.Time.Equal(b.Time)) }

// setFormer replaces the former symbols.
func setFormer(ctx context.Context, q *db.Queries, c *Change) (changed bool, err error) {
	rows, err := q.FormerSymbols(ctx, []string{c.Symbol})
	if err != nil {
		return false, fmt.Errorf("read former symbols: %w", err)
	}
	there := map[string]time.Time{}
	for _, r := range rows {
		there[r.Former] = r.Until.Time
	}
	arg := db.SetFormerSymbolsParams{Symbol: c.Symbol, Formers: []string{}, Untils: []pgtype.Date{}}
	if c.Former.Value != nil {
		for _, f := range *c.Former.Value {
			until, known := there[f.Symbol]
			changed = changed || !known || !until.Equal(f.Until)
			arg.Formers, arg.Untils = append(arg.Formers, f.Symbol), append(arg.Untils, Day(f.Until))
		}
	}
	changed = changed || len(there) != len(arg.Formers)
	if !changed {
		return false, nil
	}
	if err := q.ForgetFormerSymbols(ctx, db.ForgetFormerSymbolsParams{Symbol: c.Symbol, Kept: arg.Formers}); err != nil {
		return false, fmt.Errorf("forget former symbols: %w", err)
	}
	if err := q.SetFormerSymbols(ctx, arg); err != nil {
		return false, fmt.Errorf("set former symbols: %w", err)
	}
	return true, nil
}

// ParseDay reads a day such as 2020-08-31.
func ParseDay(s string) (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, s)
	return t, err == nil && t.Year() >= 1900 && t.Year() <= 9999
}

// ParseRatio reads new shares for an old one: 4, 0.1, 4:1 or 1:10.
func ParseRatio(s string) (float64, bool) {
	left, right, pair := strings.Cut(s, ":")
	ratio, ok := number(left)
	if pair {
		old, fine := number(right)
		ratio, ok = ratio/old, ok && fine
	}
	return ratio, ok && ValidRatio(ratio)
}

// ValidRatio reports whether a split can have the ratio.
func ValidRatio(ratio float64) bool { return ratio > 1e-6 && ratio < 1e6 && ratio != 1 }

// ValidCash reports whether a dividend can be of so much a share.
func ValidCash(cash float64) bool { return cash > 1e-12 && cash < 1e12 && !math.IsNaN(cash) }

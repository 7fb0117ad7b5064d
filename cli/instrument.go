package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/instrument"
)

type instrumentCmd struct {
	List   instrumentListCmd   `cmd:"" help:"List instruments."`
	Set    instrumentSetCmd    `cmd:"" help:"Change what is known of an instrument."`
	Import instrumentImportCmd `cmd:"" help:"Change instruments by a CSV file."`
}

type instrumentListCmd struct {
	databaseFlag
	Search string `help:"Only instruments whose symbol, name or former symbol contains this." placeholder:"TEXT" env:"-"`
	Limit  int    `help:"Maximum number of instruments." default:"100" placeholder:"N"`
	JSON   bool   `name:"json" help:"List as JSON."`
}

// Help is shown below the flags.
func (instrumentListCmd) Help() string {
	return "The best match of a search comes first. The privileges of hypertick_reader are enough."
}

// instrumentRow is an instrument in the output of --json.
type instrumentRow struct {
	Symbol            string   `json:"symbol"`
	Name              *string  `json:"name"`
	Kind              string   `json:"kind"`
	Calendar          string   `json:"calendar"`
	Currency          *string  `json:"currency"`
	PriceStep         *float64 `json:"price_step"`
	SizeStep          *float64 `json:"size_step"`
	NonPositivePrices *bool    `json:"non_positive_prices"`
	ActiveFrom        *string  `json:"active_from"`
	ActiveTo          *string  `json:"active_to"`
	Former            string   `json:"former"`
}

// Run lists instruments.
func (c *instrumentListCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usagef("--limit: want at least 1, got %d", c.Limit)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	rows, err := q.Instruments(e.ctx, db.InstrumentsParams{Search: c.Search, MaxRows: int32(c.Limit) + 1, AfterRank: -1})
	if err != nil {
		return fmt.Errorf("read instruments: %w", err)
	}
	more := len(rows) > c.Limit
	rows = rows[:min(len(rows), c.Limit)]
	symbols := make([]string, len(rows))
	for i, r := range rows {
		symbols[i] = r.Symbol
	}
	formers, err := q.FormerSymbols(e.ctx, symbols)
	if err != nil {
		return fmt.Errorf("read former symbols: %w", err)
	}
	had := map[string][]string{}
	for _, f := range formers {
		had[f.Symbol] = append(had[f.Symbol], f.Former+" until "+f.Until.Time.Format(time.DateOnly))
	}
	list := make([]instrumentRow, len(rows))
	for i, r := range rows {
		list[i] = instrumentRow{
			Symbol: r.Symbol, Name: r.Name, Kind: r.Kind, Calendar: r.Calendar, Currency: r.Currency, PriceStep: r.PriceStep, SizeStep: r.SizeStep,
			NonPositivePrices: r.NonPositivePrices, ActiveFrom: dateOf(r.ActiveFrom), ActiveTo: dateOf(r.ActiveTo), Former: strings.Join(had[r.Symbol], "; "),
		}
	}
	if c.JSON {
		return printJSON(e.out, list)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SYMBOL\tNAME\tKIND\tCALENDAR\tCURRENCY\tFORMER")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(r.Symbol), printable(deref(r.Name)), r.Kind, printable(r.Calendar), printable(deref(r.Currency)), printable(r.Former))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(e.out, "More than %d instruments; see --limit.\n", c.Limit)
	}
	return nil
}

// dateOf formats a day that may be absent.
func dateOf(d pgtype.Date) *string {
	if !d.Valid {
		return nil
	}
	s := d.Time.Format(time.DateOnly)
	return &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

type instrumentSetCmd struct {
	databaseFlag
	Symbol            string  `arg:"" help:"Symbol."`
	Name              *string `help:"What people call it." placeholder:"NAME" env:"-"`
	Kind              *string `help:"equity, etf, index, fx, crypto, future, option or other." placeholder:"KIND" env:"-"`
	Calendar          *string `help:"Trading calendar, such as XNYS or 24x7." placeholder:"CALENDAR" env:"-"`
	Currency          *string `help:"Currency of its prices, such as USD." placeholder:"CODE" env:"-"`
	PriceStep         *string `help:"Prices are multiples of it." placeholder:"NUMBER" env:"-"`
	SizeStep          *string `help:"Sizes are multiples of it." placeholder:"NUMBER" env:"-"`
	NonPositivePrices *string `help:"Whether prices at or below 0 are stored: yes or no." placeholder:"YES|NO" env:"-"`
	ActiveFrom        *string `help:"First day it trades." placeholder:"DATE" env:"-"`
	ActiveTo          *string `help:"Last day it trades." placeholder:"DATE" env:"-"`
	Former            *string `help:"Symbols it had before: FB until 2022-06-09; several with a semicolon between them." placeholder:"TEXT" env:"-"`
}

// Help is shown below the flags.
func (instrumentSetCmd) Help() string {
	return "What is not given stays; an empty value (--name '') is not known again, or the default. An instrument that is not listed is made. " +
		"A search finds it by its former symbols. The privileges of hypertick_operator are enough."
}

// Run changes the instrument.
func (c *instrumentSetCmd) Run(e *env) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	if bad := change.Check(); len(bad) > 0 {
		return usagef("%v", flagError(bad[0]))
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	var changed bool
	err = db.InTx(e.ctx, pool, e.log, func(tx pgx.Tx) (err error) {
		changed, err = instrument.Apply(e.ctx, db.New(tx), &change)
		return err
	})
	if bad, ok := errors.AsType[*instrument.FieldError](err); ok {
		return usagef("%v", flagError(bad))
	}
	if err != nil {
		return err
	}
	if !changed {
		fmt.Fprintf(e.out, "%s was so already.\n", printable(c.Symbol))
		return nil
	}
	fmt.Fprintf(e.out, "%s is changed.\n", printable(c.Symbol))
	return nil
}

// flagError names the flag instead of the field.
func flagError(bad *instrument.FieldError) *instrument.FieldError {
	if bad.Field == "symbol" {
		return bad
	}
	return &instrument.FieldError{Field: "--" + strings.ReplaceAll(bad.Field, "_", "-"), Want: bad.Want, Got: bad.Got}
}

func (c *instrumentSetCmd) change() (instrument.Change, error) {
	ch := instrument.Change{
		Symbol: c.Symbol, Name: option(c.Name), Kind: option(c.Kind), Calendar: option(c.Calendar), Currency: option(c.Currency),
	}
	for _, f := range []struct {
		flag string
		v    *string
		to   *instrument.Option[float64]
	}{{"--price-step", c.PriceStep, &ch.PriceStep}, {"--size-step", c.SizeStep, &ch.SizeStep}} {
		if *f.to = (instrument.Option[float64]{Given: f.v != nil}); f.v != nil && *f.v != "" {
			n, err := strconv.ParseFloat(*f.v, 64)
			if err != nil {
				return ch, usagef("%s: want a number, got %q", f.flag, *f.v)
			}
			*f.to = instrument.Set(n)
		}
	}
	for _, f := range []struct {
		flag string
		v    *string
		to   *instrument.Option[time.Time]
	}{{"--active-from", c.ActiveFrom, &ch.ActiveFrom}, {"--active-to", c.ActiveTo, &ch.ActiveTo}} {
		if *f.to = (instrument.Option[time.Time]{Given: f.v != nil}); f.v != nil && *f.v != "" {
			d, ok := instrument.ParseDay(*f.v)
			if !ok {
				return ch, usagef("%s: want a day such as 2020-08-31, got %q", f.flag, *f.v)
			}
			*f.to = instrument.Set(d)
		}
	}
	if v := c.NonPositivePrices; v != nil {
		switch ch.NonPositivePrices.Given = true; *v {
		case "yes", "no":
			ch.NonPositivePrices = instrument.Set(*v == "yes")
		case "":
		default:
			return ch, usagef("--non-positive-prices: want yes or no, got %q", *v)
		}
	}
	if v := c.Former; v != nil {
		if ch.Former.Given = true; *v != "" {
			former, bad := instrument.ParseFormer(*v)
			if bad != nil {
				return ch, usagef("%v", flagError(bad))
			}
			ch.Former = instrument.Set(former)
		}
	}
	return ch, nil
}

// option returns the option of a flag, which an empty value clears.
func option(v *string) instrument.Option[string] {
	if v == nil || *v == "" {
		return instrument.Option[string]{Given: v != nil}
	}
	return instrument.Set(*v)
}

type instrumentImportCmd struct {
	databaseFlag
	File string `arg:"" help:"CSV file, - for standard input."`
}

// Help is shown below the flags.
func (instrumentImportCmd) Help() string {
	return "Columns: " + strings.Join(instrument.InstrumentColumns, ", ") + "; only symbol is needed. An empty cell leaves what is known. " +
		"former lists symbols it had before: FB until 2022-06-09; TFB until 2012-05-18. If a field is not valid, nothing is changed. " +
		"The privileges of hypertick_operator are enough."
}

// Run changes the instruments of the file.
func (c *instrumentImportCmd) Run(e *env) error {
	var changes []instrument.LineChange
	err := e.readFile(c.File, func(r io.Reader) (bad []*instrument.LineError, err error) {
		changes, bad, err = instrument.ReadChanges(r)
		return bad, err
	})
	if err != nil {
		return err
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	var changed int64
	// Two imports take their locks in the same order.
	slices.SortStableFunc(changes, func(a, b instrument.LineChange) int { return cmp.Compare(a.Symbol, b.Symbol) })
	err = db.InTx(e.ctx, pool, e.log, func(tx pgx.Tx) error {
		changed = 0
		q := db.New(tx)
		for i := range changes {
			did, err := instrument.Apply(e.ctx, q, &changes[i].Change)
			if bad, ok := errors.AsType[*instrument.FieldError](err); ok {
				return usagef("%s:%d: column %q: want %s, got %q", c.File, changes[i].Line, bad.Field, bad.Want, bad.Got)
			}
			if err != nil {
				return err
			}
			if did {
				changed++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s changed, %d as they were.\n", counted(changed, "instrument"), int64(len(changes))-changed)
	return nil
}

// readFile lets read judge a file, and prints each line that is not valid.
func (e *env) readFile(name string, read func(io.Reader) ([]*instrument.LineError, error)) error {
	in := e.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return usagef("%v", err)
		}
		defer f.Close()
		in = f
	}
	bad, err := read(in)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	switch len(bad) {
	case 0:
		return nil
	case 1:
		return usagef("%s:%v", name, bad[0])
	}
	for _, b := range bad {
		fmt.Fprintf(e.errOut, "hypertick: %s\n", visible(fmt.Sprintf("%s:%v", name, b)))
	}
	return usagef("%s: %d fields are not valid, nothing is imported", name, len(bad))
}

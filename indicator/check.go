package indicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
)

var (
	// ErrUnknown is returned for an indicator that the catalog does not have.
	ErrUnknown = errors.New("no such indicator")
	// ErrParameter is returned for parameters that the indicator refuses.
	ErrParameter = errors.New("indicator parameter")
	// ErrNoBars is returned where too few bars are stored to say anything.
	ErrNoBars = errors.New("too few bars")
)

// MinBars is how many bars a check needs at the least.
const MinBars = 20

// CheckConfig says what to check, and over which bars.
type CheckConfig struct {
	Name string
	// Symbol may be empty: then it is the one with most bars.
	Symbol   string
	Interval string
	// Bars is how many of the newest are checked.
	Bars int
	// Before is how many bars before them the reference begins at; 0 is all.
	Before int
	Params map[string]string
	// Tolerance is relative.
	Tolerance float64
}

// Check evaluates an indicator over stored bars in several ways that must agree.
// All of it sees one snapshot of the database and needs no more than the rights
// of the reader role. The error says why there is no report; what is wrong with
// the indicator is in the report.
func Check(ctx context.Context, pool *pgxpool.Pool, cfg CheckConfig) (*Report, error) {
	width, err := interval.Parse(cfg.Interval)
	if err != nil {
		return nil, err
	}
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, fmt.Errorf("begin snapshot: %w", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	c := &checker{cfg: cfg, q: db.New(tx), width: width, isBar: map[int64]bool{}}
	if err := c.prepare(ctx, tx); err != nil {
		return nil, err
	}
	if err := c.declaration(ctx); err != nil {
		return nil, err
	}
	err = c.evaluations(ctx)
	var failed *readError
	switch {
	case errors.As(err, &failed):
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "22023" && len(cfg.Params) > 0 && failed.first {
			return nil, fmt.Errorf("%w: %s", ErrParameter, pg.Message)
		}
		c.fail("runs", failed.Error(), failed.advice())
	case err != nil:
		return nil, err
	default:
		c.judge()
	}
	return &c.report, nil
}

// checker holds a check while it goes on.
type checker struct {
	cfg    CheckConfig
	q      *db.Queries
	params []byte
	entry  Entry
	width  interval.Width
	report Report

	all     []time.Time // the bars of the reference, oldest first
	bars    []time.Time // the newest of them, which are checked
	oldest  []time.Time // the first of history
	isBar   map[int64]bool
	from    time.Time
	to      time.Time
	rows    rowFaults
	scale   map[string]float64
	ref     reading // begun far before the checked bars
	base    reading // the checked bars in one piece
	again   reading // the same once more
	start   reading // the first bars of history
	probes  []reading
	cuts    []reading
	pieces  reading // the checked bars in several pieces, put together
	nothing reading // where there are no bars
	latest  time.Duration
	// evaluated counts the readings.
	evaluated int
	plain     time.Duration
}

// prepare finds the indicator, the symbol and its bars.
func (c *checker) prepare(ctx context.Context, conn db.DBTX) error {
	entries, err := Catalog(ctx, conn)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == c.cfg.Name })
	if i < 0 {
		return fmt.Errorf("%w: %q; hypertick indicator list shows those there are (has its migration been applied?)", ErrUnknown, c.cfg.Name)
	}
	c.entry = entries[i]
	if c.params, err = json.Marshal(c.cfg.Params); err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	if len(c.cfg.Params) == 0 {
		c.params = []byte("{}")
	}
	symbol := c.cfg.Symbol
	if symbol == "" {
		if symbol, err = c.q.BusiestSymbol(ctx, c.cfg.Interval); errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: no symbol has blocks of %s yet; feed ticks and let the jobs run, or name a symbol", ErrNoBars, c.cfg.Interval)
		} else if err != nil {
			return fmt.Errorf("find symbol with most bars (or name one): %w", err)
		}
	}
	c.cfg.Symbol = symbol
	limit := int32(1<<31 - 1)
	if c.cfg.Before > 0 {
		limit = int32(min(c.cfg.Before+c.cfg.Bars, int(limit)))
	}
	if c.all, err = c.q.NewestBars(ctx, db.NewestBarsParams{Symbol: symbol, Bar: c.cfg.Interval, MaxBars: limit}); err != nil {
		return fmt.Errorf("read bars: %w", err)
	}
	if len(c.all) < MinBars {
		return fmt.Errorf("%w: %s has %d of %s, want at least %d", ErrNoBars, symbol, len(c.all), c.cfg.Interval, MinBars)
	}
	if c.oldest, err = c.q.OldestBars(ctx, db.OldestBarsParams{Symbol: symbol, Bar: c.cfg.Interval, MaxBars: int64(c.cfg.Bars)}); err != nil {
		return fmt.Errorf("read first bars: %w", err)
	}
	c.bars = c.all[max(0, len(c.all)-c.cfg.Bars):]
	for _, bars := range [][]time.Time{c.bars, c.oldest} {
		for _, at := range bars {
			c.isBar[at.UnixMicro()] = true
		}
	}
	c.from, c.to = c.bars[0], c.width.End(c.bars[len(c.bars)-1])
	c.report = Report{
		Indicator: c.cfg.Name, Symbol: symbol, Interval: c.cfg.Interval, Tolerance: c.cfg.Tolerance,
		Params: c.entry.with(c.cfg.Params), Checks: []Result{}, Series: []SeriesReport{}, Notes: []string{},
		From: c.from.UTC(), To: c.to.UTC(), Bars: len(c.bars), BarsBefore: len(c.all) - len(c.bars),
	}
	return nil
}

// evaluations reads everything that judge compares.
func (c *checker) evaluations(ctx context.Context) (err error) {
	read := func(into *reading, from, to, keep time.Time) {
		if err == nil {
			*into, err = c.read(ctx, from, to, keep)
		}
	}
	n := len(c.bars)
	all := time.Time{}
	read(&c.base, c.from, c.to, all)
	if err != nil {
		var failed *readError
		if errors.As(err, &failed) {
			failed.first = true
		}
		return err
	}
	read(&c.again, c.from, c.to, all)
	read(&c.ref, c.all[0], c.to, c.from)
	read(&c.start, c.oldest[0], c.width.End(c.oldest[len(c.oldest)-1]), all)
	read(&c.nothing, c.width.End(c.to), c.width.Add(c.to, 2), all)
	for _, i := range distinct(0, n/7, n/3+1, n/2, 2*n/3+1, n-1) {
		var r reading
		read(&r, c.bars[i], c.to, all)
		r.first = i
		c.probes = append(c.probes, r)
	}
	for _, i := range distinct(n-1, n-2, n-n/10-1, n/2, n/10+1) {
		var r reading
		read(&r, c.from, c.bars[i], all)
		c.cuts = append(c.cuts, r)
	}
	// Newest piece first, of very different lengths, and every other border
	// within a bar: between two bars any border cuts the same.
	borders := distinct(0, 1, n/9+2, n/4+1, n/2, n/2+1, n-3)
	to := c.to
	for i := len(borders) - 1; i >= 0; i-- {
		from := c.bars[borders[i]]
		if i%2 == 1 {
			from = c.bars[borders[i]-1].Add(time.Microsecond)
		}
		var r reading
		read(&r, from, to, all)
		c.pieces.points = append(slices.Clone(r.points), c.pieces.points...)
		to = from
	}
	c.pieces.from, c.pieces.to = c.from, c.to
	if err != nil {
		return err
	}
	c.latest = c.probes[len(c.probes)-1].took
	started := time.Now()
	if _, err := c.q.CountBars(ctx, db.CountBarsParams{Symbol: c.cfg.Symbol, Bar: c.cfg.Interval, FromTime: c.from, ToTime: c.to}); err != nil {
		return fmt.Errorf("read bars: %w", err)
	}
	c.plain = time.Since(started)
	return nil
}

// read evaluates once, counts the rows that should not be there, and leaves out
// those before keep, which only cost memory.
func (c *checker) read(ctx context.Context, from, to, keep time.Time) (reading, error) {
	r := reading{from: from, to: to}
	started := time.Now()
	rows, err := c.q.EvaluateRaw(ctx, db.EvaluateRawParams{
		Name: c.cfg.Name, Symbol: c.cfg.Symbol, Bar: c.cfg.Interval, FromTime: from, ToTime: to, Params: c.params, KeepFrom: keep,
	})
	r.took = time.Since(started)
	c.evaluated++
	if err != nil {
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && ctx.Err() == nil && !strings.HasPrefix(pg.Code, "08") {
			return r, &readError{from: from, to: to, err: err}
		}
		return r, fmt.Errorf("evaluate %s: %w", c.cfg.Name, err)
	}
	r.points = rows
	c.rows.count(r, c.isBar)
	return r, nil
}

// readError is an evaluation that the database ended with an error.
type readError struct {
	from, to time.Time
	first    bool
	err      error
}

func (e *readError) Error() string {
	pg, _ := errors.AsType[*pgconn.PgError](e.err)
	return fmt.Sprintf("from %s to %s: %s (%s)", stamp(e.from), stamp(e.to), pg.Message, pg.Code)
}

func (e *readError) Unwrap() error { return e.err }

func (e *readError) advice() string {
	if pg, _ := errors.AsType[*pgconn.PgError](e.err); pg.Code == "57014" {
		return "it takes longer than the role's statement_timeout: make it faster, or check with a smaller --before"
	}
	return "correct the function: it must not fail for any range of bars"
}

var (
	toTheEnd = regexp.MustCompile(`(?i)'\s*\+?infinity\s*'`)
	direct   = regexp.MustCompile(`(?i)\b(ticks|late_ticks|candles_[0-9]+(?:s|m|h|d|w|mo|y))\b`)
)

// declaration checks what the catalog takes from the function's definition.
func (c *checker) declaration(ctx context.Context) error {
	traits, err := c.q.IndicatorTraits(ctx, c.cfg.Name)
	if err != nil {
		return fmt.Errorf("read definition: %w", err)
	}
	var faults, advice []string
	fault := func(what, todo string) { faults, advice = append(faults, what), append(advice, todo) }
	if len(traits) != 1 {
		fault(fmt.Sprintf("%d functions of that name", len(traits)), "drop all but one, since they are called by name")
	}
	for _, t := range traits {
		if t.IsVolatile {
			fault("VOLATILE", "declare it STABLE")
		}
		if t.Definer {
			fault("SECURITY DEFINER", "remove it: the function must run with the rights of its caller")
		}
		if !t.Readable {
			fault("hypertick_reader may not run it", "GRANT EXECUTE ON FUNCTION indicator."+c.cfg.Name+" TO hypertick_reader")
		}
		if !t.Commented {
			fault("no COMMENT", "add one: title, description, @param and @series lines")
		}
		if toTheEnd.MatchString(t.Body) {
			c.report.Notes = append(c.report.Notes, `the body has 'infinity': if it reads bars up to there and not up to "to", it can look ahead unseen by this check`)
		}
		if m := direct.FindString(t.Body); m != "" {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("the body reads %s itself: candles() alone bounds what is read, and by \"to\"", m))
		}
	}
	for _, p := range c.entry.Parameters {
		number := p.Type == "integer" || p.Type == "number"
		if p.Default == nil {
			fault("parameter "+p.Name+" has no default", "give it one")
		}
		if number && (p.Min == nil || p.Max == nil) || p.Description == "" {
			c.report.Notes = append(c.report.Notes, fmt.Sprintf("parameter %s: the COMMENT could say more, as in @param %s MIN..MAX text", p.Name, p.Name))
		}
	}
	c.add("declaration", faults, advice, "STABLE, commented, the reader role may run it")
	return nil
}

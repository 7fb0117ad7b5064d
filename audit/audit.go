// Package audit compares what the database keeps with what it was made from:
// candles with ticks, block states with candles, positions with seqs. The
// comparing itself is SQL (migration 00036); this package goes through time in
// slices, and mends what differs.
package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
)

// Config says what to audit.
type Config struct {
	Pool *pgxpool.Pool
	// From and To bound it: buckets that lie between them as a whole. Zero: all
	// that can be audited.
	From, To time.Time
	// Symbol is the only one to look at; empty: all.
	Symbol string
	// Repair refreshes what differs, and looks again. It needs the rights of
	// the owner of the tables.
	Repair bool
	// Broker is asked, where there is one, what offsets Topic has.
	Broker *kgo.Client
	Topic  string
	// Found is told of each finding as it is made.
	Found func(Finding)
	Log   *slog.Logger     // default slog.Default()
	Now   func() time.Time // default time.Now
}

// Kind says what is wrong.
type Kind string

// Kinds of findings.
const (
	Differs   Kind = "differs"   // a stored bucket has other values than it should
	Missing   Kind = "missing"   // a bucket should be there and is not
	Surplus   Kind = "surplus"   // a bucket is there that nothing was traded in
	Duplicate Kind = "duplicate" // a seq is stored more than once
	Hole      Kind = "hole"      // seqs are missing that were not missed before
	Gap       Kind = "gap"       // seqs are missing, as feed_gaps says: no drift
	Position  Kind = "position"  // feed_positions does not agree with the ticks
	Offset    Kind = "offset"    // ingest_offsets does not agree with the topic
)

// Finding is one thing that is wrong.
type Finding struct {
	Kind     Kind            `json:"kind"`
	Relation string          `json:"relation,omitempty"`
	Interval string          `json:"interval,omitempty"`
	Symbol   string          `json:"symbol,omitempty"`
	Bucket   *time.Time      `json:"bucket,omitempty"`
	Stored   json.RawMessage `json:"stored,omitempty"`
	Expected json.RawMessage `json:"expected,omitempty"`
	// Pending is a bucket that a refresh will compute again without being asked
	// to: no drift.
	Pending  bool `json:"pending,omitempty"`
	Repaired bool `json:"repaired,omitempty"`

	Venue   string `json:"venue,omitempty"`
	FromSeq int64  `json:"from_seq,omitempty"`
	ToSeq   int64  `json:"to_seq,omitempty"`
	Copies  int64  `json:"copies,omitempty"`
	// Detail says in words what Kind and numbers do not.
	Detail string `json:"detail,omitempty"`
}

// Result counts what an audit has looked at and found.
type Result struct {
	From       time.Time `json:"from"` // of the candles
	To         time.Time `json:"to"`
	Candles    int64     `json:"candles"` // that the ticks make
	Blocks     int64     `json:"blocks"`
	Ticks      int64     `json:"ticks"`
	Drift      int64     `json:"drift"`    // buckets that differ, are missing or surplus
	Repaired   int64     `json:"repaired"` // of these
	Pending    int64     `json:"pending"`  // buckets that differ and that a refresh will compute again anyway
	Duplicates int64     `json:"duplicates"`
	Holes      int64     `json:"holes"`
	Gaps       int64     `json:"gaps"`
	Positions  int64     `json:"positions"`
	Offsets    int64     `json:"offsets"`
}

// Clean reports whether nothing is left to be mended. Gaps are not: their
// ticks never came, and ingest has said so.
func (r *Result) Clean() bool {
	return r.Drift == r.Repaired && r.Duplicates+r.Holes+r.Positions+r.Offsets == 0
}

// UnknownSymbolError is returned for a symbol that the database has nothing of.
type UnknownSymbolError struct{ Symbol string }

func (e *UnknownSymbolError) Error() string {
	return fmt.Sprintf("symbol: want one that has ticks, got %q", e.Symbol)
}

type auditor struct {
	cfg    Config
	q      *db.Queries
	levels []level
	result Result
}

// level is one aggregate.
type level struct {
	db.AuditLevelsRow
	width time.Duration
}

// Run audits. It holds no more in memory than the buckets of one slice that differ, and
// no transaction open for longer than one slice takes.
func Run(ctx context.Context, cfg Config) (*Result, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Found == nil {
		cfg.Found = func(Finding) {}
	}
	a := &auditor{cfg: cfg, q: db.New(cfg.Pool)}
	symbols, err := a.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.candles(ctx); err != nil {
		return nil, err
	}
	for _, l := range a.levels {
		if l.Blocks {
			if err := a.blocks(ctx, l); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range symbols {
		if err := a.seqs(ctx, s); err != nil {
			return nil, err
		}
	}
	if cfg.Broker != nil {
		if err := a.offsets(ctx); err != nil {
			return nil, err
		}
	}
	return &a.result, nil
}

func (a *auditor) prepare(ctx context.Context) ([]string, error) {
	rows, err := a.q.AuditLevels(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what can be audited: %w", err)
	}
	for _, r := range rows {
		a.levels = append(a.levels, level{r, time.Duration(r.Seconds * float64(time.Second))})
	}
	symbols, err := a.q.AuditSymbols(ctx, a.symbol())
	if err != nil {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	if len(symbols) == 0 && a.cfg.Symbol != "" {
		return nil, &UnknownSymbolError{a.cfg.Symbol}
	}
	return symbols, nil
}

func (a *auditor) symbol() *string {
	if a.cfg.Symbol == "" {
		return nil
	}
	return &a.cfg.Symbol
}

// bounds is the part of what a level has that is to be audited.
func (a *auditor) bounds(since time.Time) (from, to time.Time) {
	from, to = since, a.cfg.Now()
	if a.cfg.From.After(from) {
		from = a.cfg.From
	}
	if !a.cfg.To.IsZero() && a.cfg.To.Before(to) {
		to = a.cfg.To
	}
	return from.UTC(), to.UTC()
}

// candles compares all levels with the ticks.
func (a *auditor) candles(ctx context.Context) error {
	var since time.Time
	for _, l := range a.levels {
		if !l.Blocks && l.Present && (since.IsZero() || l.WholeSince.Before(since)) {
			since = l.WholeSince
		}
	}
	if since.IsZero() {
		return nil
	}
	from, to := a.bounds(since)
	a.result.From, a.result.To = from, to
	return walk(ctx, from, to, 24*time.Hour, func(from, to time.Time) error {
		return a.slice(ctx, &a.result.Candles, func(q *db.Queries) (rows, error) {
			return q.AuditCandleRows(ctx, db.AuditCandlesParams{After: from, Before: to, Symbol: a.symbol()})
		})
	})
}

// blocks compares the states of one interval with the candles.
func (a *auditor) blocks(ctx context.Context, l level) error {
	if !l.Present {
		return nil
	}
	from, to := a.bounds(l.WholeSince)
	return walk(ctx, from, to, 24*l.width, func(from, to time.Time) error {
		return a.slice(ctx, &a.result.Blocks, func(q *db.Queries) (rows, error) {
			return q.AuditBlockRows(ctx, db.AuditBlocksParams{Bar: l.Bar, After: from, Before: to, Symbol: a.symbol()})
		})
	})
}

const (
	// brisk is how long a slice may take for the next one to be twice as long.
	brisk = 300 * time.Millisecond
	// most is how many units a slice may have.
	most = 64
)

// origin is where buckets of any width begin; see time_bucket of TimescaleDB.
var origin = time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC)

// walk calls f for one slice after the other: a unit long where there is much
// in it, and longer where there is not. Slices end where units do, so that none
// cuts a bucket in two.
func walk(ctx context.Context, from, to time.Time, unit time.Duration, f func(from, to time.Time) error) error {
	units := 1
	for from.Before(to) {
		if err := ctx.Err(); err != nil {
			return err
		}
		into := from.Sub(origin) % unit
		if into < 0 {
			into += unit
		}
		end := from.Add(time.Duration(units)*unit - into)
		if end.After(to) {
			end = to
		}
		began := time.Now()
		if err := f(from, end); err != nil {
			return err
		}
		switch took := time.Since(began); {
		case took < brisk:
			units = min(2*units, most)
		case took > 4*brisk:
			units = max(units/2, 1)
		}
		from = end
	}
	return nil
}

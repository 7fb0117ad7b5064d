// Package verify compares what the database keeps with what it was made from:
// candles with ticks, block states with candles, positions with seqs. The
// comparing itself is SQL (schema/15_verify.sql); this package goes through time in
// slices, and repairs what differs.
package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
)

// Config says what to verify.
type Config struct {
	Pool *pgxpool.Pool
	// From and To bound it: buckets that lie between them as a whole. Zero: all
	// that can be verified.
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

// Result counts what a run has looked at and found.
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

// Clean reports whether nothing is left to be repaired. Gaps are not: their
// ticks never came, and ingest has said so.
func (r *Result) Clean() bool {
	return r.Drift == r.Repaired && r.Duplicates+r.Holes+r.Positions+r.Offsets == 0
}

// UnknownSymbolError is returned for a symbol that the database has nothing of.
type UnknownSymbolError struct{ Symbol string }

func (e *UnknownSymbolError) Error() string {
	return fmt.Sprintf("symbol: want one that has ticks, got %q", e.Symbol)
}

type verifier struct {
	cfg    Config
	q      *db.Queries
	levels []level
	result Result
}

// level is one aggregate.
type level struct {
	db.VerifyLevelsRow
	width interval.Width
}

// Run verifies. It holds no more in memory than the buckets of one slice that differ, and
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
	v := &verifier{cfg: cfg, q: db.New(cfg.Pool)}
	symbols, err := v.prepare(ctx)
	if err != nil {
		return nil, err
	}
	if err := v.candles(ctx); err != nil {
		return nil, err
	}
	for _, l := range v.levels {
		if l.Blocks {
			if err := v.blocks(ctx, l); err != nil {
				return nil, err
			}
		}
	}
	for _, s := range symbols {
		if err := v.seqs(ctx, s); err != nil {
			return nil, err
		}
	}
	if cfg.Broker != nil {
		if err := v.offsets(ctx); err != nil {
			return nil, err
		}
	}
	return &v.result, nil
}

func (v *verifier) prepare(ctx context.Context) ([]string, error) {
	rows, err := v.q.VerifyLevels(ctx)
	if err != nil {
		return nil, fmt.Errorf("read what can be verified: %w", err)
	}
	for _, r := range rows {
		v.levels = append(v.levels, level{r, widthOf(r)})
	}
	symbols, err := v.q.VerifySymbols(ctx, v.symbol())
	if err != nil {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	if len(symbols) == 0 && v.cfg.Symbol != "" {
		return nil, &UnknownSymbolError{v.cfg.Symbol}
	}
	return symbols, nil
}

func widthOf(r db.VerifyLevelsRow) interval.Width {
	if r.Months > 0 {
		return interval.Width{Months: int(r.Months)}
	}
	return interval.Width{Seconds: r.Seconds}
}

func (v *verifier) symbol() *string {
	if v.cfg.Symbol == "" {
		return nil
	}
	return &v.cfg.Symbol
}

// bounds is the part of what a level has that is to be verified.
func (v *verifier) bounds(since time.Time) (from, to time.Time) {
	from, to = since, v.cfg.Now()
	if v.cfg.From.After(from) {
		from = v.cfg.From
	}
	if !v.cfg.To.IsZero() && v.cfg.To.Before(to) {
		to = v.cfg.To
	}
	return from.UTC(), to.UTC()
}

// candles compares all levels with the ticks.
func (v *verifier) candles(ctx context.Context) error {
	var since time.Time
	for _, l := range v.levels {
		if !l.Blocks && l.Present && (since.IsZero() || l.WholeSince.Before(since)) {
			since = l.WholeSince
		}
	}
	if since.IsZero() {
		return nil
	}
	from, to := v.bounds(since)
	v.result.From, v.result.To = from, to
	compare := func(width interval.Width, bars ...string) error {
		if len(bars) == 0 {
			return nil
		}
		return walk(ctx, from, to, width, 1, func(from, to time.Time) error {
			return v.slice(ctx, &v.result.Candles, func(q *db.Queries) (rows, error) {
				return q.VerifyCandleRows(ctx, db.VerifyCandlesParams{After: from, Before: to, Symbol: v.symbol(), Bars: bars})
			})
		})
	}
	// Intervals that divide a day are verified day by day, with one scan of the
	// ticks; each of the others, such as weeks and months, in slices of whole bars.
	var daily []string
	for _, l := range v.levels {
		switch {
		case l.Blocks:
		case l.width.Months == 0 && day.Seconds%l.width.Seconds == 0:
			daily = append(daily, l.Bar)
		default:
			if err := compare(l.width, l.Bar); err != nil {
				return err
			}
		}
	}
	return compare(day, daily...)
}

var day = interval.Width{Seconds: 86400}

// blocks compares the states of one interval with the candles.
func (v *verifier) blocks(ctx context.Context, l level) error {
	if !l.Present {
		return nil
	}
	from, to := v.bounds(l.WholeSince)
	return walk(ctx, from, to, l.width, 24, func(from, to time.Time) error {
		return v.slice(ctx, &v.result.Blocks, func(q *db.Queries) (rows, error) {
			return q.VerifyBlockRows(ctx, db.VerifyBlocksParams{Bar: l.Bar, After: from, Before: to, Symbol: v.symbol()})
		})
	})
}

const (
	// brisk is how long a slice may take for the next one to be twice as long.
	brisk = 300 * time.Millisecond
	// most is how many units a slice may have.
	most = 64
)

// walk calls f for one slice after the other: some buckets of a width long
// where there is much in it, and longer where there is not. Slices end where
// buckets do, so that none cuts one in two.
func walk(ctx context.Context, from, to time.Time, width interval.Width, buckets int, f func(from, to time.Time) error) error {
	units := 1
	for from.Before(to) {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := width.Add(width.Start(from), units*buckets)
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

// Package backfill stores history from files in the database, without a broker.
// What is there already is not stored again, and live ingest of the same feeds may
// go on meanwhile.
package backfill

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// DefaultBatch is how many ticks go into one transaction.
const DefaultBatch = 20_000

// around is how far from its ts a tick that is there already is looked for, and
// how far out of order a feed may be.
const around = time.Minute

// Config says where to and how.
type Config struct {
	Pool  *pgxpool.Pool // as hypertick_writer
	Batch int           // ticks of one transaction, default DefaultBatch
	// Jump takes ticks that begin beyond their feed. Else that is a JumpError.
	Jump bool
	Log  *slog.Logger // default slog.Default()
}

// Stats counts what a Loader has done.
type Stats struct {
	Read   int64 // ticks given
	Stored int64 // of these, ticks that were new
	Old    int64 // and ticks that retention would take away at once
	From   time.Time
	To     time.Time // of the newest tick given
}

// Loader stores ticks in batches. It is not safe for concurrent use.
type Loader struct {
	cfg   Config
	batch []feed.Tick
	stats Stats
	// known are the feeds this loader has brought ticks of: what it has stored
	// itself is no other feed's.
	known map[key]bool
	// searched are those whose history has been looked at.
	searched map[key]bool
	pack     *bool
}

// New makes a Loader.
func New(cfg Config) *Loader {
	cfg.Batch = cmp.Or(cfg.Batch, DefaultBatch)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Loader{cfg: cfg, known: map[key]bool{}, searched: map[key]bool{}}
}

// Stats says how far it is.
func (l *Loader) Stats() Stats { return l.stats }

// Add takes a tick. Every so many of them are stored: an error may be about
// earlier ones.
func (l *Loader) Add(ctx context.Context, t *feed.Tick) error {
	l.batch = append(l.batch, *t)
	if len(l.batch) < l.cfg.Batch {
		return nil
	}
	return l.Flush(ctx)
}

// Flush stores what has been given. Each batch is one transaction, so a Loader
// that is killed has stored whole batches, and started again skips them.
func (l *Loader) Flush(ctx context.Context) error {
	if len(l.batch) == 0 {
		return nil
	}
	if l.pack == nil {
		can, err := db.New(l.cfg.Pool).ColumnstoreInserts(ctx)
		if err != nil {
			return fmt.Errorf("ask for the columnstore: %w", err)
		}
		l.pack = &can
	}
	var stored, old int64
	// Ingest locks its feeds in an order of its own, so there may be deadlocks.
	err := db.InTx(ctx, l.cfg.Pool, l.cfg.Log, func(tx pgx.Tx) error {
		// A plan made while a chunk was small would read all of it when it is not.
		if _, err := tx.Exec(ctx, "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
			return err
		}
		// A few ticks are not worth compressed batches of their own.
		if *l.pack && len(l.batch) >= 1000 {
			if _, err := tx.Exec(ctx, "SET LOCAL timescaledb.enable_direct_compress_insert = on"); err != nil {
				return err
			}
		}
		var err error
		stored, old, err = l.store(ctx, db.New(tx))
		return err
	})
	if err != nil {
		return err
	}
	for i := range l.batch {
		ts := l.batch[i].Time()
		if l.stats.From.IsZero() || ts.Before(l.stats.From) {
			l.stats.From = ts
		}
		if ts.After(l.stats.To) {
			l.stats.To = ts
		}
		l.known[feedOf(&l.batch[i])] = true
	}
	l.stats.Read += int64(len(l.batch))
	l.stats.Stored += stored
	l.stats.Old += old
	l.batch = l.batch[:0]
	return nil
}

// key names a feed.
type key struct{ venue, symbol string }

func feedOf(t *feed.Tick) key { return key{t.Venue, t.Symbol} }

// params are what the queries want of ticks.
func params(ticks []feed.Tick) (db.LockFeedsParams, db.StoreHistoryParams) {
	arg := db.StoreHistoryParams{Oldest: ticks[0].Time(), Newest: ticks[0].Time()}
	feeds := map[key]time.Time{}
	for i := range ticks {
		t := &ticks[i]
		ts := t.Time()
		arg.Tss, arg.Symbols, arg.Prices = append(arg.Tss, ts), append(arg.Symbols, t.Symbol), append(arg.Prices, t.Price)
		arg.Sizes, arg.Seqs, arg.Venues = append(arg.Sizes, t.Size), append(arg.Seqs, t.Seq), append(arg.Venues, t.Venue)
		if ts.Before(arg.Oldest) {
			arg.Oldest = ts
		}
		if ts.After(arg.Newest) {
			arg.Newest = ts
		}
		if first, ok := feeds[feedOf(t)]; !ok || ts.Before(first) {
			feeds[feedOf(t)] = ts
		}
	}
	arg.Oldest, arg.Newest = arg.Oldest.Add(-around), arg.Newest.Add(around)
	var lock db.LockFeedsParams
	for k, ts := range feeds {
		lock.Venues, lock.Symbols, lock.Tss = append(lock.Venues, k.venue), append(lock.Symbols, k.symbol), append(lock.Tss, ts)
		arg.Sources = append(arg.Sources, k.symbol)
	}
	slices.Sort(arg.Sources)
	arg.Sources = slices.Compact(arg.Sources)
	return lock, arg
}

// lock makes ingest wait with the feeds: what it has stored is seen by the next
// statement, and what it has not is dropped by it as a repeat.
func lock(ctx context.Context, q *db.Queries, arg db.LockFeedsParams) (map[key]db.LockFeedsRow, error) {
	rows, err := q.LockFeeds(ctx, arg)
	if err != nil {
		return nil, fmt.Errorf("lock feeds: %w", err)
	}
	at := make(map[key]db.LockFeedsRow, len(rows))
	for _, p := range rows {
		at[key{p.Venue, p.Symbol}] = p
	}
	return at, nil
}

func (l *Loader) store(ctx context.Context, q *db.Queries) (stored, old int64, err error) {
	feeds, arg := params(l.batch)
	// Before the lock: ingest does not wait for it.
	if err := l.checkTimes(ctx, q, feeds); err != nil {
		return 0, 0, err
	}
	at, err := lock(ctx, q, feeds)
	if err != nil {
		return 0, 0, err
	}
	if err := l.checkSeqs(at); err != nil {
		return 0, 0, err
	}
	// Of a candle that old only these ticks would be left.
	if arg.Horizon, err = q.TickHorizon(ctx); err != nil {
		return 0, 0, fmt.Errorf("read retention horizon: %w", err)
	}
	for _, ts := range arg.Tss {
		if ts.Before(arg.Horizon) {
			old++
		}
	}
	if stored, err = q.StoreHistory(ctx, arg); err != nil {
		return 0, 0, fmt.Errorf("store: %w", err)
	}
	return stored, old, nil
}

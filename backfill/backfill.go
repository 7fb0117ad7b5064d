// Package backfill stores history from files in the database, without a broker.
// Ticks that are already stored are skipped, and live ingest of the same feeds may
// run at the same time.
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

// DefaultBatch is the number of ticks of one transaction.
const DefaultBatch = 20_000

// Config configures a Loader.
type Config struct {
	Pool  *pgxpool.Pool // as hypertick_writer
	Batch int           // ticks of one transaction, default DefaultBatch
	Log   *slog.Logger  // default slog.Default()
}

// Stats counts the ticks of a Loader.
type Stats struct {
	Read   int64 // ticks added
	Stored int64 // of these, ticks that were new
	Old    int64 // of these, ticks older than the retention horizon, not stored
	// Changes counts the cancels and corrections asked for.
	Changes int64
	From    time.Time
	To      time.Time // of the newest tick added
}

// Loader stores ticks in batches. It is not safe for concurrent use.
type Loader struct {
	cfg      Config
	batch    []feed.Tick
	changes  []feed.Tick // cancels and corrections
	stats    Stats
	settings *db.FeedSettings // nil if not read yet
	compress *bool            // inserts can go to the columnstore; nil if not known yet
}

// New returns a Loader.
func New(cfg Config) *Loader {
	cfg.Batch = cmp.Or(cfg.Batch, DefaultBatch)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Loader{cfg: cfg}
}

// Stats returns the counts so far.
func (l *Loader) Stats() Stats { return l.stats }

// Add adds a tick to the batch, and stores the batch when it is full: an error may
// be that of an earlier tick.
func (l *Loader) Add(ctx context.Context, t *feed.Tick) error {
	if t.Kind != feed.Trade {
		l.changes = append(l.changes, *t)
		return nil
	}
	l.batch = append(l.batch, *t)
	if len(l.batch) < l.cfg.Batch {
		return nil
	}
	return l.Flush(ctx)
}

// Flush stores the batch in one transaction. A load that was killed has stored
// whole batches, and skips them when it is started again.
func (l *Loader) Flush(ctx context.Context) error {
	if len(l.batch)+len(l.changes) == 0 {
		return nil
	}
	if l.compress == nil {
		can, err := db.New(l.cfg.Pool).ColumnstoreInserts(ctx)
		if err != nil {
			return fmt.Errorf("check for columnstore inserts: %w", err)
		}
		l.compress = &can
	}
	var stored, old int64
	// Ingest locks its feeds in another order, so deadlocks are possible.
	err := db.InTx(ctx, l.cfg.Pool, l.cfg.Log, func(tx pgx.Tx) error {
		// A plan cached while a chunk was small would scan the whole chunk later.
		if _, err := tx.Exec(ctx, "SET LOCAL plan_cache_mode = force_custom_plan"); err != nil {
			return err
		}
		// Small batches are not worth compressing: the policy does it later.
		if *l.compress && len(l.batch) >= 1000 {
			if _, err := tx.Exec(ctx, "SET LOCAL timescaledb.enable_direct_compress_insert = on"); err != nil {
				return err
			}
		}
		var err error
		if len(l.batch) > 0 {
			if stored, old, err = l.store(ctx, db.New(tx)); err != nil {
				return err
			}
		}
		return l.storeChanges(ctx, db.New(tx))
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
	}
	l.stats.Read += int64(len(l.batch))
	l.stats.Stored += stored
	l.stats.Old += old
	l.stats.Changes += int64(len(l.changes))
	l.batch, l.changes = l.batch[:0], l.changes[:0]
	return nil
}

// storeChanges asks for cancels and corrections, which a job applies.
func (l *Loader) storeChanges(ctx context.Context, q *db.Queries) error {
	if len(l.changes) == 0 {
		return nil
	}
	if err := l.readSettings(ctx, q); err != nil {
		return err
	}
	var arg db.InsertTickChangesParams
	for i := range l.changes {
		t := &l.changes[i]
		arg.Kinds, arg.Symbols, arg.Venues = append(arg.Kinds, t.Kind.String()), append(arg.Symbols, t.Symbol), append(arg.Venues, t.Venue)
		arg.Seqs, arg.Tss = append(arg.Seqs, t.Seq), append(arg.Tss, t.Time())
		arg.Prices, arg.Sizes = append(arg.Prices, t.Price), append(arg.Sizes, t.Size)
		arg.Sides, arg.Flags = append(arg.Sides, int16(t.Side)), append(arg.Flags, l.settings.Flags(t.Conditions))
		arg.Origins = append(arg.Origins, "backfill")
	}
	if err := q.InsertTickChanges(ctx, arg); err != nil {
		return fmt.Errorf("store cancels and corrections: %w", err)
	}
	return nil
}

func (l *Loader) readSettings(ctx context.Context, q *db.Queries) error {
	if l.settings != nil {
		return nil
	}
	settings, err := db.ReadFeedSettings(ctx, q)
	if err == nil {
		l.settings = settings
	}
	return err
}

// key names a feed.
type key struct{ venue, symbol string }

func feedOf(t *feed.Tick) key { return key{t.Venue, t.Symbol} }

// params returns the parameters of the queries for ticks.
func params(ticks []feed.Tick, settings *db.FeedSettings) (db.LockFeedsParams, db.StoreHistoryParams) {
	arg := db.StoreHistoryParams{Oldest: ticks[0].Time(), Newest: ticks[0].Time()}
	feeds := map[key]time.Time{}
	for i := range ticks {
		t := &ticks[i]
		ts := t.Time()
		arg.Tss, arg.Symbols, arg.Prices = append(arg.Tss, ts), append(arg.Symbols, t.Symbol), append(arg.Prices, t.Price)
		arg.Sizes, arg.Seqs, arg.Venues = append(arg.Sizes, t.Size), append(arg.Seqs, t.Seq), append(arg.Venues, t.Venue)
		arg.Sides, arg.Flags = append(arg.Sides, int16(t.Side)), append(arg.Flags, settings.Flags(t.Conditions))
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
	arg.Origin = "backfill"
	var lock db.LockFeedsParams
	for k, ts := range feeds {
		lock.Venues, lock.Symbols, lock.Tss = append(lock.Venues, k.venue), append(lock.Symbols, k.symbol), append(lock.Tss, ts)
		arg.Sources = append(arg.Sources, k.symbol)
	}
	slices.Sort(arg.Sources)
	arg.Sources = slices.Compact(arg.Sources)
	return lock, arg
}

func (l *Loader) store(ctx context.Context, q *db.Queries) (stored, old int64, err error) {
	if err := l.readSettings(ctx, q); err != nil {
		return 0, 0, err
	}
	feeds, arg := params(l.batch, l.settings)
	// Before the lock, so that ingest does not wait for it.
	if err := l.checkTimes(ctx, q); err != nil {
		return 0, 0, err
	}
	// Ingest waits for the feeds: the next statement sees what it has stored, and it
	// compares again what it has not.
	if _, err := q.LockFeeds(ctx, feeds); err != nil {
		return 0, 0, fmt.Errorf("lock feeds: %w", err)
	}
	// A candle that old could be computed from these ticks only.
	if arg.Horizon, err = q.TickHorizon(ctx); err != nil {
		return 0, 0, fmt.Errorf("read retention horizon: %w", err)
	}
	done, err := q.StoreHistory(ctx, arg)
	if err != nil {
		return 0, 0, fmt.Errorf("store: %w", err)
	}
	if len(done.Gaps) > 0 {
		if err := q.FillGapsFromStored(ctx, db.FillGapsFromStoredParams{Ids: done.Gaps, How: "backfill"}); err != nil {
			return 0, 0, fmt.Errorf("fill gaps with stored ticks: %w", err)
		}
	}
	if err := fillGaps(ctx, q, feeds, l.batch); err != nil {
		return 0, 0, err
	}
	return done.Stored, done.Old, nil
}

// fillGaps closes what the ticks fill of open gaps.
func fillGaps(ctx context.Context, q *db.Queries, feeds db.LockFeedsParams, ticks []feed.Tick) error {
	rows, err := q.FeedsWithGaps(ctx, db.FeedsWithGapsParams{Venues: feeds.Venues, Symbols: feeds.Symbols})
	if err != nil {
		return fmt.Errorf("search for gaps: %w", err)
	}
	open := make(map[key]bool, len(rows))
	for _, r := range rows {
		open[key{r.Venue, r.Symbol}] = true
	}
	filled := db.FillGapsParams{How: "backfill"}
	for i := range ticks {
		if t := &ticks[i]; open[feedOf(t)] {
			filled.Venues, filled.Symbols = append(filled.Venues, t.Venue), append(filled.Symbols, t.Symbol)
			filled.Seqs, filled.Tss = append(filled.Seqs, t.Seq), append(filled.Tss, t.Time())
		}
	}
	if len(filled.Seqs) == 0 {
		return nil
	}
	if err := q.FillGaps(ctx, filled); err != nil {
		return fmt.Errorf("fill gaps: %w", err)
	}
	return nil
}

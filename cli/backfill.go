package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

type backfillCmd struct {
	databaseFlag
	Files []string `arg:"" help:"Files of trades or of bars: CSV or Parquet; plain, gzip, zstd or zip; - is standard input." name:"file"`
	fileFlags
	Batch int `help:"Maximum number of ticks in one transaction." default:"${backfill_batch}" placeholder:"N"`
}

// Help is shown below the flags.
func (backfillCmd) Help() string {
	return "Loads ticks into the database without a broker, and into the columnstore where the server can. " +
		"It skips ticks that are already stored, so files may overlap and be loaded twice, and a load that was stopped can be started again. Ingest can run meanwhile. " +
		"It counts and skips ticks older than the retention horizon. " +
		"TimescaleDB refreshes the candles and indicators that the ticks touch within a minute. Needs hypertick_writer."
}

// Run loads the files.
func (c *backfillCmd) Run(e *env) error {
	if c.Batch <= 0 {
		return usagef("--batch: want at least 1, got %d", c.Batch)
	}
	cfg, err := c.config(e)
	if err != nil {
		return err
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	cfg.AllowsNonPositive = func(venue, symbol string) (bool, error) {
		allowed, err := db.New(pool).AllowsNonPositivePrices(e.ctx, db.AllowsNonPositivePricesParams{Symbol: symbol, Venue: venue})
		if err != nil {
			return false, fmt.Errorf("read settings of %s: %w", symbol, err)
		}
		return allowed, nil
	}
	cfg.StoredIsAll = true
	cfg.Stored = func(at []replay.Moment) ([]feed.Tick, error) { return storedTrades(e.ctx, pool, at) }
	return c.each(cfg, c.Files, "", func(r *replay.Replay, f *replay.File) error {
		if c.DryRun {
			return preview(e.ctx, e.out, r, f)
		}
		return c.load(e, r, f, backfill.New(backfill.Config{Pool: pool, Batch: c.Batch, Log: e.log}))
	})
}

func (c *backfillCmd) load(e *env, r *replay.Replay, file *replay.File, l *backfill.Loader) error {
	start := time.Now()
	err := r.Run(e.ctx, func(t *feed.Tick) error { return l.Add(e.ctx, t) }, feed.ProgressBar("backfill", true))
	if err == nil {
		err = l.Flush(e.ctx)
	}
	if s := l.Stats(); s.Changes > 0 {
		fmt.Fprintf(e.out, "%s: %d cancels and corrections asked for, see tick_changes\n", file.Name(), s.Changes)
	}
	if s := l.Stats(); s.Read > 0 {
		took := time.Since(start)
		fmt.Fprintf(e.out, "%s: %d ticks from %s to %s, %d stored, %d already stored, %d older than the retention horizon; %s; %.0f ticks/s\n", file.Name(), s.Read,
			s.From.Format(time.RFC3339), s.To.Format(time.RFC3339), s.Stored, s.Read-s.Stored-s.Old, s.Old, rows(r.Stats()), float64(s.Read)/took.Seconds())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", file.Name(), refused(err))
	}
	return nil
}

// refused turns what the loader refuses into a usage error that names the flag to
// change.
func refused(err error) error {
	if e, ok := errors.AsType[*backfill.TimeError](err); ok {
		return usagef("%w: was it loaded with another --timezone? A file with other seqs for the same ticks needs a --venue of its own", e)
	}
	return err
}

// storedTrades returns the trades that are stored at these moments.
func storedTrades(ctx context.Context, pool *pgxpool.Pool, at []replay.Moment) ([]feed.Tick, error) {
	var arg db.TradesAtParams
	for _, m := range at {
		ts := time.UnixMicro(m.TS).UTC()
		arg.Venues, arg.Symbols, arg.Tss = append(arg.Venues, m.Venue), append(arg.Symbols, m.Symbol), append(arg.Tss, ts)
		if len(arg.Tss) == 1 || ts.Before(arg.Oldest) {
			arg.Oldest = ts
		}
		if ts.After(arg.Newest) || len(arg.Tss) == 1 {
			arg.Newest = ts
		}
	}
	arg.SymbolsOnce = slices.Compact(slices.Sorted(slices.Values(arg.Symbols)))
	rows, err := db.New(pool).TradesAt(ctx, arg)
	if err != nil {
		return nil, fmt.Errorf("read stored trades: %w", err)
	}
	out := make([]feed.Tick, len(rows))
	for i, k := range rows {
		out[i] = feed.Tick{Venue: k.Venue, Symbol: k.Symbol, TS: k.Ts.UnixMicro(), Seq: k.Seq, Price: k.Price, Size: k.Size}
	}
	return out, nil
}

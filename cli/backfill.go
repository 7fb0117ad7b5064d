package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

type backfillCmd struct {
	databaseFlag
	Files []string `arg:"" help:"CSV files of trades or of bars; plain, gzip or zstd; - is standard input." name:"file"`
	fileFlags
	Batch int `help:"Maximum number of ticks in one transaction." default:"${backfill_batch}" placeholder:"N"`
}

// Help is shown below the flags.
func (backfillCmd) Help() string {
	return "Loads ticks into the database without a broker, and into the columnstore where the server can. " +
		"It skips ticks that are already stored, so a file can be loaded twice, and a load that was stopped can be started again. Ingest can run meanwhile. " +
		"It counts and skips ticks older than the retention horizon. " +
		"TimescaleDB refreshes the candles and indicators that the ticks touch within a minute. Needs hypertick_writer."
}

// Run loads the files.
func (c *backfillCmd) Run(e *env) error {
	if c.Batch <= 0 {
		return usagef("--batch: want at least 1, got %d", c.Batch)
	}
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return usagef("--timezone: want a zone such as UTC or America/New_York, got %q", c.Timezone)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	for _, name := range c.Files {
		if err := c.load(e, name, zone, backfill.New(backfill.Config{Pool: pool, Batch: c.Batch, Log: e.log})); err != nil {
			return err
		}
	}
	return nil
}

func (c *backfillCmd) load(e *env, name string, zone *time.Location, l *backfill.Loader) error {
	file, err := replay.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return usageError{err}
	} else if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	r, err := replay.New(c.replay(e, zone), file)
	if err != nil {
		return usageError{err}
	}
	start := time.Now()
	err = r.Run(e.ctx, func(t *feed.Tick) error { return l.Add(e.ctx, t) }, feed.ProgressBar("backfill", true))
	if err == nil {
		err = l.Flush(e.ctx)
	}
	s := l.Stats()
	if s.Read > 0 {
		took := time.Since(start)
		fmt.Fprintf(e.out, "%s: %d ticks from %s to %s, %d stored, %d already stored, %d older than the retention horizon, %d bad rows, %.0f ticks/s\n", file.Name(), s.Read,
			s.From.Format(time.RFC3339), s.To.Format(time.RFC3339), s.Stored, s.Read-s.Stored-s.Old, s.Old, r.Stats().Bad, float64(s.Read)/took.Seconds())
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

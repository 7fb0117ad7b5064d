package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
)

// maxHold is how long a backlog may keep the jobs from running.
const maxHold = 2 * time.Minute

// RunJobs stands in for TimescaleDB's scheduler where the server has none: it
// runs the due jobs of timescaledb_information.jobs, one after the other, until
// ctx ends. On a server that schedules jobs itself it returns at once. A job
// that fails is retried with exponential backoff, and the others continue.
//
// While hold returns true the jobs wait, two minutes at most: one backend serves
// all clients, and a backlog is better refreshed once than many times. hold may
// be nil.
func RunJobs(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, hold func() bool) error {
	var own bool
	var held time.Time
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for known := false; ; {
		if !known {
			if has, err := db.New(pool).HasScheduler(ctx); err == nil {
				known, own = true, !has
			} else if ctx.Err() == nil {
				log.WarnContext(ctx, "failed to check for a scheduler, retrying", slog.Any("error", err))
			}
			if known && !own {
				return nil
			}
		}
		switch {
		case !known:
		case hold != nil && hold() && (held.IsZero() || time.Since(held) < maxHold):
			if held.IsZero() {
				held = time.Now()
			}
		default:
			// A backlog may begin while the jobs run. After maxHold all of them
			// run.
			wait := hold
			if !held.IsZero() && time.Since(held) >= maxHold {
				wait = nil
			}
			held = time.Time{}
			if _, err := runDueJobs(ctx, pool, log, wait); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "failed to read due jobs, retrying", slog.Any("error", err))
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// maxBackOff is the maximum wait of a failing job, unless its interval is longer.
const maxBackOff = 5 * time.Minute

// backOff returns after how many seconds a job is retried that has failed the given
// number of times in a row: its interval, doubled with each failure.
func backOff(every float64, failures int32) float64 {
	return min(every*float64(int64(1)<<min(failures, 20)), max(every, maxBackOff.Seconds()))
}

// RunDueJobs runs each due job once and returns their number. It returns errors of
// reading the jobs; the failure of a job is logged.
func RunDueJobs(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) (int, error) {
	return runDueJobs(ctx, pool, log, nil)
}

func runDueJobs(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, hold func() bool) (int, error) {
	q := db.New(pool)
	due, err := q.DueJobs(ctx)
	if err != nil {
		return 0, fmt.Errorf("read due jobs: %w", err)
	}
	for i, job := range due {
		if ctx.Err() != nil {
			return i, nil
		}
		if i > 0 && hold != nil && hold() {
			// All of them run again afterwards, in their order: the refresh of a
			// level is slow if the level below has not been refreshed.
			for _, ran := range due[:i] {
				if err := q.RescheduleJob(ctx, db.RescheduleJobParams{JobID: ran.JobID}); err != nil {
					return i, fmt.Errorf("reschedule job %d: %w", ran.JobID, err)
				}
			}
			return i, nil
		}
		start := time.Now()
		err := q.RunJob(ctx, job.JobID)
		took := time.Since(start)
		attrs := []any{slog.Int("job", int(job.JobID)), slog.String("proc", job.Proc), slog.String("relation", job.Relation), slog.Duration("took", took)}
		run := db.RecordJobParams{JobID: job.JobID, TookSeconds: took.Seconds()}
		var pgErr *pgconn.PgError
		switch {
		case err == nil:
			log.DebugContext(ctx, "job done", attrs...)
		case errors.As(err, &pgErr):
			log.ErrorContext(ctx, "job failed", append(attrs, slog.Any("error", err))...)
			run.Error = pgErr.Message
		default:
			return i, fmt.Errorf("run job %d: %w", job.JobID, err)
		}
		failures, err := q.RecordJob(ctx, run)
		if err != nil {
			return i, fmt.Errorf("record job %d: %w", job.JobID, err)
		}
		// One backend serves all clients: a job waits twice as long as it ran, so
		// that a backfill is not refreshed again and again while it runs.
		rest := max(job.EverySeconds, 2*took.Seconds(), backOff(job.EverySeconds, failures))
		if err := q.RescheduleJob(ctx, db.RescheduleJobParams{JobID: job.JobID, Seconds: rest}); err != nil {
			return i, fmt.Errorf("reschedule job %d: %w", job.JobID, err)
		}
	}
	return len(due), nil
}

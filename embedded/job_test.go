package embedded_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/internal/wait"
)

// TestRunJobs checks that the stand-in for the scheduler moves a late tick and
// refreshes the daily candle, while one job of the database fails each time.
func TestRunJobs(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	if has, err := db.New(d.Pool).HasScheduler(ctx); err != nil || has != (d.Embedded == nil) {
		t.Fatalf("has scheduler: %v, %v", has, err)
	}
	if _, err := d.Pool.Exec(ctx, `
		CREATE PROCEDURE fails(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN RAISE 'on purpose'; END $$;
		SELECT add_job('fails', '1 hour');
		SELECT alter_job(job_id, schedule_interval => INTERVAL '1 hour', scheduled => true) FROM timescaledb_information.jobs WHERE job_id >= 1000`); err != nil {
		t.Fatal(err)
	}
	if d.Embedded == nil {
		t.Skip("this server runs its jobs itself")
	}
	due, err := db.New(d.Pool).DueJobs(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, j := range due[:8] {
		order = append(order, strings.TrimPrefix(j.Proc, "_hypertick.")+j.Relation)
	}
	const refresh = "_timescaledb_functions.policy_refresh_continuous_aggregate"
	if want := []string{"move_late_ticks", "apply_tick_changes", refresh + "candles_1m", refresh + "candles_5m", refresh + "candles_15m", refresh + "candles_1h", refresh + "candles_1d", "evaluate_alerts"}; !slices.Equal(order, want) {
		t.Errorf("jobs in the order %q, want %q first", order, want)
	}
	ts := time.Now().Add(-48 * time.Hour).UTC()
	if _, err := d.Pool.Exec(ctx, "INSERT INTO late_ticks (ts, symbol, price, size, seq, venue) VALUES ($1, 'A', 2, 1, 1, 'X')", ts); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	first, err := embedded.RunDueJobs(ctx, d.Pool, dbtest.Log(t))
	if err != nil || first < 10 {
		t.Fatalf("%d jobs were due, %v", first, err)
	}
	// Each waits for its interval. On a slow machine the first are due again by now.
	var hasty int
	if err := d.Pool.QueryRow(ctx, `SELECT count(*) FROM timescaledb_information.jobs
		WHERE job_id >= 1000 AND scheduled AND coalesce(next_start, '-infinity') < $1::timestamptz + schedule_interval`, began).Scan(&hasty); err != nil || hasty != 0 {
		t.Fatalf("%d jobs are due before their interval is over, %v", hasty, err)
	}
	// Materialised, not just seen through the real-time union.
	var days int
	if err := d.Pool.QueryRow(ctx, "SELECT count(*) FROM candles_1d WHERE bucket < now() - interval '1 day'").Scan(&days); err != nil || days != 1 {
		t.Fatalf("%d daily candles, %v", days, err)
	}
	// A job that is due waits while a backlog is said to come in, and no longer.
	if _, err := d.Pool.Exec(ctx, "SELECT alter_job(job_id, next_start => now() - interval '1 second') FROM timescaledb_information.jobs WHERE proc_name = 'fails'"); err != nil {
		t.Fatal(err)
	}
	waiting := func() int {
		jobs, err := db.New(d.Pool).DueJobs(ctx)
		if err != nil {
			t.Error(err)
		}
		return len(jobs)
	}
	var asked, released atomic.Int32
	stopped := make(chan error)
	run, stop := context.WithCancel(ctx)
	go func() {
		stopped <- embedded.RunJobs(run, d.Pool, dbtest.Log(t), func() bool { asked.Add(1); return released.Load() == 0 })
	}()
	wait.Until(t, "two questions whether a backlog comes in", func() bool { return asked.Load() >= 2 })
	if waiting() == 0 {
		t.Error("a held job ran")
	}
	released.Store(1)
	wait.Equal(t, "jobs that are due", 0, waiting)
	stop()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}

package db_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/internal/wait"
)

// parts reads the pipeline as the API does: as the reader.
func parts(t testing.TB, reader *pgxpool.Pool) map[string]db.PipelineRow {
	t.Helper()
	rows, err := db.New(reader).Pipeline(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]db.PipelineRow{}
	for _, r := range rows {
		all[strings.TrimSuffix(r.Component+":"+r.Part, ":")] = r
	}
	if len(all) != len(rows) {
		t.Errorf("%d parts have %d names", len(rows), len(all))
	}
	return all
}

// TestPipeline brings parts of the pipeline into each of their states.
func TestPipeline(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	reader, err := db.Open(context.Background(), d.URLAs(t, "hypertick_reader"), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	want := func(when, part, state, detail string) {
		t.Helper()
		p, ok := parts(t, reader)[part]
		if !ok || p.State != state || !strings.Contains(p.Detail+"|"+p.Error, detail) || (p.State == "ok") != (p.Action == "") {
			t.Errorf("%s: %s is %+v, want %s with %q, and an action unless it is ok", when, part, p, state, detail)
		}
	}
	// A scheduler may have been faster than this test.
	exec(t, d, "DELETE FROM verify_runs")
	// As if they had been written just now, and not when the test's template was made.
	exec(t, d, "UPDATE alert.rules SET enabled = true")
	want("at first", "database", "ok", "TimescaleDB")
	want("at first", "verify", "ok", "nothing was sampled")
	want("at first", "ingest", "failed", "no ingest runs")
	want("at first", "broker", "warning", "no ingest runs")
	want("at first", "feed", "warning", "no tick yet")
	for _, i := range dbtest.Intervals {
		want("at first", "candles:"+i.Name, "ok", "not materialised")
		want("at first", "blocks:"+i.Name, "ok", "not materialised")
	}
	if d.Embedded != nil { // elsewhere tests switch the scheduler's jobs off
		want("at first", "job:evaluate alerts", "ok", "has not run yet")
	}
	want("at first", "alerts", "ok", "9 rules, 0 firing")
	want("at first", "outbox", "ok", "0 waiting")

	heartbeat := func(instance string, ago time.Duration, failure any) {
		exec(t, d, `INSERT INTO heartbeats (component, instance, started_at, sent_at, every, detail, error) VALUES ('ingest', $1, now() - INTERVAL '1 hour', clock_timestamp() - $2::interval, '1 second', 'busy', $3)
			ON CONFLICT (component, instance) DO UPDATE SET sent_at = excluded.sent_at, error = excluded.error`, instance, ago, failure)
	}
	// Far from the limit of 3 s on both sides: the machine may be slow.
	heartbeat("a", -time.Minute, nil)
	want("alive", "ingest:a", "ok", "busy")
	want("alive", "broker", "ok", "as ingest sees it")
	heartbeat("a", -time.Minute, "broker: connection refused")
	want("without a broker", "ingest:a", "failed", "connection refused")
	want("without a broker", "broker", "failed", "connection refused")
	heartbeat("a", 20*time.Second, nil)
	want("silent", "ingest:a", "failed", "last heartbeat 20 s ago")
	heartbeat("b", -time.Minute, nil)
	want("silent, and another works", "ingest:a", "warning", "last heartbeat")
	want("silent, and another works", "ingest:b", "ok", "busy")
	heartbeat("a", 20*time.Minute, nil)
	if p, ok := parts(t, reader)["ingest:a"]; ok {
		t.Errorf("gone for long while another works: %+v, want nothing", p)
	}

	start := time.Now().UTC().Truncate(time.Minute).Add(-2 * time.Hour)
	d.Commit(t, path("AAA", start, time.Minute, 119, func(i int) (float64, float64) { return wave(i, 0.1), 1 }), nil)
	want("ticks come", "feed", "ok", "1 symbols")
	want("nothing refreshed", "candles:1m", "warning", "not materialised")
	d.Settle(t)
	want("refreshed", "candles:1m", "ok", "materialised up to")
	want("refreshed", "blocks:1m", "ok", "materialised up to")
	exec(t, d, "UPDATE feed_positions SET updated_at = now() - INTERVAL '1 minute'")
	want("nothing comes", "feed", "warning", "nothing came for 60 s")
	exec(t, d, `INSERT INTO ingest_activity (minute, topic, partition, stored, duplicates, conflicts, changes, dead_letters, behind)
		VALUES (date_trunc('minute', now()), 'dbtest', 0, 1, 0, 0, 0, 7, 20000)`)
	want("records that cannot be read", "dead letters", "warning", "7 records")
	want("a backlog", "topic:dbtest", "warning", "lag 20000")

	// What is new to a rule waits while there is one.
	exec(t, d, "UPDATE ingest_activity SET behind = 0")

	exec(t, d, `INSERT INTO alert.outbox (key, channel, payload, state, finished_at, error) VALUES ('k', 'desk', '{}', 'dead', now(), 'status 400')`)
	want("given up", "outbox", "warning", "status 400")
	exec(t, d, `UPDATE alert.outbox SET state = 'waiting', finished_at = NULL, created_at = now() - INTERVAL '5 minutes'`)
	want("nobody sends", "outbox", "warning", "1 waiting")

	// A rule whose indicator is gone.
	exec(t, d, `CREATE FUNCTION indicator.mine(symbol text, "interval" text, "from" timestamptz, "to" timestamptz) RETURNS SETOF indicator.point
		LANGUAGE sql STABLE AS $$ SELECT c.bucket, 'mine', c.close FROM public.candles(symbol, "interval", "from", "to") c $$`)
	exec(t, d, `INSERT INTO alert.rules (name, "interval", indicator, condition, threshold) VALUES ('mine', '1m', 'mine', 'above', 1)`)
	exec(t, d, "CALL _hypertick.evaluate_alerts(0, '{\"budget\": \"5 minutes\"}')")
	want("a rule that works", "alerts", "ok", "10 rules, 1 firing")
	exec(t, d, `DROP FUNCTION indicator.mine(text, text, timestamptz, timestamptz)`)
	d.Commit(t, []dbtest.Tick{{TS: start.Add(119 * time.Minute), Symbol: "AAA", Price: 100, Size: 1, Seq: 120, Venue: "TEST"}}, nil)
	// As if its minute had long passed.
	exec(t, d, "UPDATE alert.progress SET upto = upto - INTERVAL '5 minutes'")
	exec(t, d, "CALL _hypertick.evaluate_alerts(0, '{\"budget\": \"5 minutes\"}')")
	want("a rule that fails", "alerts", "failed", "mine: AAA: indicator: mine does not exist")
}

// TestHealthAlert: what fails for ten seconds opens an event and a
// notification, and what works again ends it.
func TestHealthAlert(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	exec(t, d, "DELETE FROM alert.rules WHERE condition <> 'fails'")
	exec(t, d, "UPDATE alert.rules SET symbols = '{ingest*}'")
	exec(t, d, "INSERT INTO alert.channels (name, kind) VALUES ('desk', 'webhook')")
	heartbeat := func(ago time.Duration) {
		exec(t, d, `INSERT INTO heartbeats (component, instance, started_at, sent_at, every) VALUES ('ingest', 'a', now(), clock_timestamp() - $1::interval, '1 second')
			ON CONFLICT (component, instance) DO UPDATE SET sent_at = excluded.sent_at`, ago)
	}
	fires := func(when string, want ...string) {
		t.Helper()
		evaluateAlerts(t, d)
		rows, err := d.Pool.Query(context.Background(), "SELECT symbol || ' ' || state FROM alert.events ORDER BY id")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: events %q, want %q (%v)", when, got, want, err)
		}
	}
	later := func() { exec(t, d, "UPDATE alert.progress SET since = since - INTERVAL '1 minute'") }
	heartbeat(-time.Hour)
	fires("alive")
	heartbeat(time.Minute)
	fires("silent since just now")
	heartbeat(-time.Hour)
	fires("a restart")
	heartbeat(time.Minute)
	fires("silent again")
	later()
	fires("silent for long", "ingest:a firing")
	fires("and still", "ingest:a firing")
	heartbeat(-time.Hour)
	fires("alive again", "ingest:a resolved")
	rows, err := d.Pool.Query(context.Background(), "SELECT payload ->> 'kind' || ' ' || (payload ->> 'message') FROM alert.outbox ORDER BY id")
	if err != nil {
		t.Fatal(err)
	}
	sent, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(sent) != 2 || !strings.HasPrefix(sent[0], "opened ingest a: last heartbeat") || !strings.HasPrefix(sent[1], "resolved ingest a: ") {
		t.Errorf("notifications %q, %v", sent, err)
	}
	// The cooldown: it fails once more at once.
	heartbeat(time.Minute)
	fires("silent once more", "ingest:a resolved")
	later()
	fires("within the cooldown", "ingest:a resolved")
	exec(t, d, "DELETE FROM heartbeats")
	fires("deleted", "ingest:a resolved")
}

// TestFailingJob: where the server has no scheduler, a failed job is recorded with
// its error and retried with exponential backoff.
func TestFailingJob(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx := context.Background()
	if d.Embedded == nil {
		t.Skip("this server runs its jobs itself")
	}
	exec(t, d, `CREATE PROCEDURE flaky(job_id int, config jsonb) LANGUAGE plpgsql AS $$ BEGIN IF config ->> 'on' = 'true' THEN RAISE 'on purpose'; END IF; END $$`)
	exec(t, d, "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000")
	exec(t, d, `SELECT add_job('flaky', '10 seconds', config => '{"on": true}')`)
	run := func() (wait time.Duration, p db.PipelineRow) {
		t.Helper()
		exec(t, d, "SELECT alter_job(job_id, next_start => now() - INTERVAL '1 second') FROM timescaledb_information.jobs WHERE proc_name = 'flaky'")
		if n, err := embedded.RunDueJobs(ctx, d.Pool, dbtest.Log(t)); err != nil || n != 1 {
			t.Fatalf("%d jobs ran, %v", n, err)
		}
		var seconds float64
		if err := d.Pool.QueryRow(ctx, "SELECT extract(epoch FROM next_start - now())::float8 FROM timescaledb_information.jobs WHERE proc_name = 'flaky'").Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return time.Duration(seconds * float64(time.Second)), parts(t, d.Pool)["job:flaky"]
	}
	var last time.Duration
	for i := range 3 {
		wait, p := run()
		if p.State != "failed" || !strings.Contains(p.Error, "on purpose") || p.Action == "" {
			t.Errorf("failure %d: %+v", i+1, p)
		}
		if wait < last+5*time.Second {
			t.Errorf("failure %d waits %v, the one before %v", i+1, wait, last)
		}
		last = wait
	}
	exec(t, d, `SELECT alter_job(job_id, config => '{"on": false}') FROM timescaledb_information.jobs WHERE proc_name = 'flaky'`)
	if wait, p := run(); p.State != "ok" || p.Error != "" || wait > 10*time.Second {
		t.Errorf("after it worked: %+v, waits %v", p, wait)
	}
}

// TestHeartbeat writes heartbeats, loses the database, and shuts down cleanly.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	pool, err := db.Open(context.Background(), d.URLAs(t, "hypertick_writer"), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	states := make(chan error, 1)
	states <- nil
	done := make(chan struct{})
	go func() {
		defer close(done)
		db.Heartbeat(ctx, pool, dbtest.Log(t), "ingest", "t", func(context.Context) (string, error) {
			err := <-states
			states <- err
			return "at work", err
		})
	}()
	await := func(state, text string) {
		t.Helper()
		wait.For(t, fmt.Sprintf("ingest to be %s with %q", state, text), func() (any, bool) {
			p := parts(t, d.Pool)["ingest:t"]
			return p, p.State == state && strings.Contains(p.Detail+p.Error, text)
		})
	}
	await("ok", "at work")
	<-states
	states <- errors.New("broker: gone")
	await("failed", "broker: gone")
	<-states
	states <- nil
	await("ok", "at work")
	stop()
	<-done
	if _, ok := parts(t, d.Pool)["ingest:t"]; ok {
		t.Error("its heartbeat is still there")
	}
	// An instance does not delete the heartbeat of its successor.
	exec(t, d, "INSERT INTO heartbeats (component, instance, started_at, every) VALUES ('ingest', 't', now() + INTERVAL '1 hour', '1 second')")
	if err := db.New(d.Pool).EndHeartbeat(context.Background(), db.EndHeartbeatParams{Component: "ingest", Instance: "t", StartedAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, d, fmt.Sprintf("SELECT count(*) FROM heartbeats WHERE instance = '%s'", "t")); n != 1 {
		t.Error("the heartbeat of the successor was deleted")
	}
}

package backfill_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestRetry: a transaction that is aborted by a deadlock or a serialization failure
// is retried, a limited number of times; other errors are not retried.
func TestRetry(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	for _, sql := range []string{
		"CREATE SEQUENCE tries", "GRANT USAGE ON tries TO hypertick_writer",
		"CREATE TABLE refusal AS SELECT ''::text AS code, 0 AS times", "GRANT SELECT ON refusal TO hypertick_writer",
		`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
		DECLARE r record;
		BEGIN
			SELECT * INTO r FROM public.refusal;
			IF nextval('public.tries') <= r.times THEN
				RAISE EXCEPTION 'refused' USING ERRCODE = r.code;
			END IF;
			RETURN NULL;
		END $$`,
		"CREATE TRIGGER refuse AFTER INSERT ON feed_positions FOR EACH STATEMENT EXECUTE FUNCTION refuse()",
	} {
		if _, err := d.Pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	ticks := days(time.Now().UTC().AddDate(0, 0, -1), 1, 100, "A", "B")
	for _, c := range []struct {
		code  string
		times int
		stored,
		tries int64
	}{
		{"23514", 1, 0, 1},
		{"40P01", 1_000_000, 0, 8},
		{"40001", 2, 200, 3},
	} {
		if _, err := d.Pool.Exec(t.Context(), "UPDATE refusal SET code = $1, times = $2", c.code, c.times); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Pool.Exec(t.Context(), "ALTER SEQUENCE tries RESTART"); err != nil {
			t.Fatal(err)
		}
		s, err := load(t.Context(), pool, ticks)
		pg, ok := errors.AsType[*pgconn.PgError](err)
		if s.Stored != c.stored || (c.stored == 0) != ok || ok && pg.Code != c.code {
			t.Errorf("%s: %+v, %v", c.code, s, err)
		}
		var tries int64
		if err := d.Pool.QueryRow(t.Context(), "SELECT last_value FROM tries").Scan(&tries); err != nil || tries != c.tries {
			t.Errorf("%s: tried %d times, want %d: %v", c.code, tries, c.tries, err)
		}
		if rows, seqs := count(t, d); int64(rows) != c.stored || rows != seqs {
			t.Errorf("%s: %d rows of %d seqs", c.code, rows, seqs)
		}
	}
}

// TestDeadlock: another transaction locks the same feeds in another order, as
// ingest may.
func TestDeadlock(t *testing.T) {

	d := dbtest.New(t)
	if d.Embedded != nil {
		t.Skip("the embedded database has one transaction at a time")
	}
	if _, err := d.Pool.Exec(t.Context(), `DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''2s''', current_database()); END $$`); err != nil {
		t.Fatal(err)
	}
	pool := writer(t, d)
	start := time.Now().UTC().Truncate(time.Second).AddDate(0, 0, -1)
	first := start.Add(123_456 * time.Microsecond) // of the file
	d.Commit(t, []dbtest.Tick{
		{TS: first, Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 1}, {TS: first, Symbol: "B", Venue: "V", Price: 1, Size: 1, Seq: 1},
	}, nil)
	tx, err := d.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	const move = "UPDATE feed_positions SET last_seq = 2 WHERE symbol = $1"
	// The server must abort the other one: this one checks for deadlocks later.
	if _, err := tx.Exec(t.Context(), "SET LOCAL deadlock_timeout = '1min'"); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), move, "B"); err != nil {
		t.Fatal(err)
	}
	type result struct {
		backfill.Stats
		err error
	}
	loaded := make(chan result, 1)
	ticks := days(start, 1, 10, "A", "B")
	go func() {
		s, err := load(t.Context(), pool, ticks)
		loaded <- result{s, err}
	}()
	for waiting := false; !waiting; {
		if err := d.Pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'hypertick_writer' AND wait_event_type = 'Lock')").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := tx.Exec(t.Context(), move, "A"); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The first tick of each feed is stored.
	if r := <-loaded; r.err != nil || r.Stored != 18 {
		t.Errorf("%+v, %v", r.Stats, r.err)
	}
}

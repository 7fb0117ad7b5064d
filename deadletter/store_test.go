package deadletter

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// TestStoreBesideIngest: while a dead letter waits for the lock of its feed, ingest
// commits a batch of the feed and passes the record of the dead letter.
func TestStoreBesideIngest(t *testing.T) {
	d := dbtest.New(t)
	pool := writer(t, d)
	now := time.Now().UTC().Truncate(time.Second)
	d.Commit(t, []dbtest.Tick{{TS: now, Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 4}}, nil) // next_offset of dbtest/0 is 1
	late := &feed.Tick{TS: now.UnixMicro(), Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 7}
	from := Source{Topic: "dbtest", Partition: 0, Offset: 5}
	inTx := func() (fresh bool, err error) {
		err = pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			fresh, err = store(t.Context(), db.New(tx), late, from)
			return err
		})
		return fresh, err
	}
	tx, err := d.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(t.Context()) }()
	for _, sql := range []string{
		"UPDATE ingest_offsets SET next_offset = 6 WHERE topic = 'dbtest'",
		"UPDATE feed_positions SET last_seq = 7, top_seq = 7, version = version + 1",
		"INSERT INTO ticks SELECT ts, symbol, price, size, u, venue FROM ticks, unnest('{5,6,7}'::bigint[]) u",
	} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	stored := make(chan error, 1)
	go func() {
		fresh, err := inTx()
		if err == nil && fresh {
			err = errors.New("the tick that ingest stored while the dead letter waited is stored again")
		}
		stored <- err
	}()
	// The embedded database has one transaction at a time.
	for waiting := d.Embedded != nil; !waiting; {
		if err := d.Pool.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = 'hypertick_writer' AND wait_event_type = 'Lock')").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-stored; err != nil {
		t.Errorf("store: %v", err)
	}
	var n int
	if err := d.Pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM ticks) * 100 + (SELECT last_seq FROM feed_positions)").Scan(&n); err != nil || n != 407 {
		t.Errorf("%d, want 4 ticks and position 7: %v", n, err)
	}
	if fresh, err := inTx(); fresh || err != nil {
		t.Errorf("once more: new %v, %v", fresh, err)
	}
}

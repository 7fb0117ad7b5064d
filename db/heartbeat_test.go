package db_test

import (
	"testing"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestSilence wants the view pipeline to bear with an instance that is as slow to
// say how it is as Heartbeat allows.
func TestSilence(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	for { // until the machine was fast enough
		exec(t, d, `INSERT INTO heartbeats (component, instance, started_at, sent_at, every) VALUES ('ingest', 'a', now(), clock_timestamp() - $1::interval, $2::interval)
			ON CONFLICT (component, instance) DO UPDATE SET sent_at = excluded.sent_at`, db.MaxSilence-500*time.Millisecond, db.HeartbeatEvery)
		var state string
		if err := d.Pool.QueryRow(t.Context(), "SELECT state FROM pipeline WHERE component = 'ingest'").Scan(&state); err != nil {
			t.Fatal(err)
		}
		var seconds float64
		if err := d.Pool.QueryRow(t.Context(), "SELECT extract(epoch FROM clock_timestamp() - sent_at)::float8 FROM heartbeats").Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		if age := time.Duration(seconds * float64(time.Second)); age < db.MaxSilence {
			if state != "ok" {
				t.Errorf("an instance is %s after %v, want ok: its next heartbeat may take %v", state, age, db.MaxSilence)
			}
			return
		}
	}
}

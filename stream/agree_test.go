package stream

import (
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestAgreesWithDatabase compares numbers of the hub with those of the database
// that they go with.
func TestAgreesWithDatabase(t *testing.T) {
	d := dbtest.New(t)
	// setting is a duration in the configuration of a job.
	setting := func(where, name string) time.Duration {
		t.Helper()
		var seconds *float64
		if err := d.Pool.QueryRow(t.Context(), "SELECT extract(epoch FROM (config ->> $1)::interval)::float8 FROM timescaledb_information.jobs WHERE "+where, name).Scan(&seconds); err != nil || seconds == nil {
			t.Fatalf("the job where %s has no %s: %v", where, name, err)
		}
		return time.Duration(*seconds * float64(time.Second))
	}
	if noted := setting("proc_name = 'note_revisions'", "grace"); DefaultGrace < noted+commitTime {
		t.Errorf("a bar closes %v after its end, want at least %v: the grace of note_revisions, %v, and %v for the commit of what was noted before",
			DefaultGrace, noted+commitTime, noted, commitTime)
	}
	if rules := setting("proc_name = 'evaluate_alerts'", "grace"); rules < DefaultGrace {
		t.Errorf("a rule looks at a bar %v after its end, want at least %v: clients have it as closed then", rules, DefaultGrace)
	}
	if keep, want := setting("proc_name = 'note_revisions'", "keep"), resumeWithin+behindAtMost+DefaultGrace+replayTimeout; keep < want {
		t.Errorf("revisions are kept for %v, want at least %v: %v for which an id can be resumed from, and what bars are behind", keep, want, resumeWithin)
	}
	if offset := setting("proc_name = 'policy_refresh_continuous_aggregate' AND hypertable_name = 'candles_1m'", "end_offset"); offset != materialiseAfter {
		t.Errorf("the policy of candles_1m takes a bar in at the age of %v, status events count from %v", offset, materialiseAfter)
	}

	// The view pipeline has the feed as ok until status events have it as stale.
	state := func(age time.Duration) (state string, measured time.Duration) {
		t.Helper()
		if _, err := d.Pool.Exec(t.Context(), `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts, updated_at) VALUES ('V', 'A', 1, now(), clock_timestamp() - $1::interval)
			ON CONFLICT (symbol, venue) DO UPDATE SET updated_at = excluded.updated_at`, age); err != nil {
			t.Fatal(err)
		}
		if err := d.Pool.QueryRow(t.Context(), "SELECT state FROM pipeline WHERE component = 'feed'").Scan(&state); err != nil {
			t.Fatal(err)
		}
		var seconds float64
		if err := d.Pool.QueryRow(t.Context(), "SELECT extract(epoch FROM clock_timestamp() - updated_at)::float8 FROM feed_positions").Scan(&seconds); err != nil {
			t.Fatal(err)
		}
		return state, time.Duration(seconds * float64(time.Second))
	}
	if got, _ := state(staleAfter); got != "warning" {
		t.Errorf("the feed is %s after %v of silence, want warning: status events have it as stale", got, staleAfter)
	}
	for { // until the machine was fast enough
		got, age := state(staleAfter - time.Second)
		if age < staleAfter {
			if got != "ok" {
				t.Errorf("the feed is %s after %v of silence, want ok: status events have it as stale after %v", got, age, staleAfter)
			}
			break
		}
	}
}

package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestFeed lists, shows and resets a feed with a gap and a conflict.
func TestFeed(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	now := time.Now().UTC().Truncate(time.Second).Add(-time.Minute)
	d.Commit(t, []dbtest.Tick{{TS: now, Symbol: "BRK B", Venue: "V", Price: 1, Size: 1, Seq: 1}, {TS: now.Add(time.Second), Symbol: "BRK B", Venue: "V", Price: 1, Size: 1, Seq: 9}}, nil)
	d.Commit(t, []dbtest.Tick{{TS: now, Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 4}}, nil)
	for _, sql := range []string{
		"INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts, filled) VALUES ('V', 'BRK B', 2, 8, now(), now(), '{[4,6)}')",
		"INSERT INTO feed_conflicts (venue, symbol, ts, seq, stored_price, stored_size, price, size, outcome) VALUES ('V', 'BRK B', now(), 9, 1, 1, 2, 1, 'kept')",
	} {
		if _, err := d.Pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	must := func(want int, role string, args ...string) string {
		t.Helper()
		code, out, errOut := run(t.Context(), append(append([]string{"feed"}, args...), "--database-url", d.URLAs(t, role))...)
		if code != want {
			t.Fatalf("%q: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
		return out + errOut
	}
	var feeds []struct {
		Symbol   string
		LastSeq  *int64  `json:"last_seq"`
		OpenGaps int64   `json:"open_gaps"`
		Missing  float64 `json:"missing"`
	}
	if err := json.Unmarshal([]byte(must(0, "hypertick_reader", "list", "--gaps", "--json")), &feeds); err != nil || len(feeds) != 1 || feeds[0].Symbol != "BRK B" ||
		*feeds[0].LastSeq != 9 || feeds[0].OpenGaps != 1 || feeds[0].Missing != 5 {
		t.Errorf("got %+v, %v, want one gap that misses 5", feeds, err)
	}
	if out := must(0, "hypertick_reader", "list", "--limit", "1"); !strings.Contains(out, "More than 1 feeds") || strings.Contains(out, "BRK") {
		t.Errorf("got %s, want one feed and that there are more", out)
	}
	out := must(0, "hypertick_reader", "show", "BRK B")
	for _, want := range []string{"BRK B at V: last seq 9,", "open, missing {[2,4),[6,9)}", "is stored with price 1 and size 1, came with 2 and 1, kept"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in %s", want, out)
		}
	}
	if out := must(0, "hypertick_writer", "reset", "BRK B", "--venue", "V"); out != "The next tick of BRK B at V begins a new run; 1 open gap closed.\n" {
		t.Errorf("got %q", out)
	}
	if out := must(0, "hypertick_reader", "show", "BRK B"); !strings.Contains(out, "last seq none") || !strings.Contains(out, "closed by operator") {
		t.Errorf("after the reset: %s", out)
	}
	must(2, "hypertick_writer", "reset", "BRK B", "--venue", "W")
	must(2, "hypertick_reader", "show", "NONE")
	must(1, "hypertick_reader", "reset", "A", "--venue", "V")
}

// TestTick shows, corrects and cancels a tick by hand.
func TestTick(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	now := time.Now().UTC().Truncate(time.Second).Add(-time.Hour)
	d.Commit(t, []dbtest.Tick{{TS: now, Symbol: "A", Venue: "V", Price: 9999, Size: 3, Seq: 7}, {TS: now.Add(time.Second), Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 8}}, nil)
	must := func(want int, role string, args ...string) string {
		t.Helper()
		code, out, errOut := run(t.Context(), append(append([]string{"tick"}, args...), "--database-url", d.URLAs(t, role))...)
		if code != want {
			t.Fatalf("%q: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
		return out + errOut
	}
	apply := func() {
		t.Helper()
		if _, err := d.Pool.Exec(t.Context(), "CALL _hypertick.apply_tick_changes(0, '{}')"); err != nil {
			t.Fatal(err)
		}
	}
	out := must(0, "hypertick_writer", "correct", "A", "--venue", "V", "--seq", "7", "--price", "99.99", "--side", "sell", "--wait", "0s")
	if !strings.Contains(out, "price 9999, size 3: correct asked for.") || !strings.Contains(out, "Not applied yet") {
		t.Errorf("got %s", out)
	}
	apply()
	out = must(0, "hypertick_reader", "show", "A", "--seq", "7")
	for _, want := range []string{"7    99.99  3     sell", "9999", "corrected 20", "correct of seq 7 to price 99.99 and size 3, asked for by hypertick tick correct", ": done"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in %s", want, out)
		}
	}
	must(0, "hypertick_writer", "cancel", "A", "--venue", "V", "--seq", "7", "--ts", now.Format(time.RFC3339), "--wait", "0s")
	apply()
	if out := must(0, "hypertick_reader", "show", "A", "--at", now.Format(time.RFC3339)); !strings.Contains(out, "cancelled 20") || strings.Contains(out, "seq 8") {
		t.Errorf("got %s", out)
	}
	must(2, "hypertick_writer", "cancel", "A", "--venue", "V", "--seq", "7")
	must(2, "hypertick_writer", "correct", "A", "--venue", "V", "--seq", "8")
	must(2, "hypertick_writer", "correct", "A", "--venue", "V", "--seq", "8", "--price", "1e300")
	must(2, "hypertick_writer", "correct", "A", "--venue", "V", "--seq", "8", "--price=-5")
	must(2, "hypertick_reader", "show", "A")
	must(1, "hypertick_reader", "cancel", "A", "--venue", "V", "--seq", "8")
	var n string
	if err := d.Pool.QueryRow(t.Context(), "SELECT string_agg(seq || '@' || price, ' ') FROM ticks").Scan(&n); err != nil || n != "8@1" {
		t.Errorf("left are %s, %v, want seq 8", n, err)
	}
}

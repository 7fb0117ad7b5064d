package db_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
)

// checkQuality runs the check as if it were at.
func checkQuality(t testing.TB, d *dbtest.DB, at time.Time, config string) {
	t.Helper()
	exec(t, d, "SELECT _hypertick.quality_check($1, $2)", config, at)
}

// unchecked undoes what a scheduler may have done before the test.
func unchecked(t testing.TB, d *dbtest.DB) {
	t.Helper()
	exec(t, d, "DELETE FROM quality_runs")
}

// findings lists what was found, each as kind venue symbol seq, those that
// last with a + behind.
func findings(t testing.TB, d *dbtest.DB, kinds ...string) []string {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), `SELECT concat_ws(' ', kind, venue, nullif(symbol, ''), nullif(seq, 0)) || CASE WHEN ended_at IS NULL THEN ' +' ELSE '' END
		FROM quality_findings WHERE kind = ANY ($1) ORDER BY symbol COLLATE "C", venue, kind, since, seq`, kinds)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// hampel is the test of outliers the plain way: the seqs of ticks of one feed,
// in order, that stand alone.
func hampel(ticks []dbtest.Tick, jump, mads float64) []int64 {
	median := func(x []float64) float64 {
		x = slices.Sorted(slices.Values(x))
		return (x[(len(x)-1)/2] + x[len(x)/2]) / 2
	}
	var out []int64
	for i := 1; i < len(ticks); i++ {
		x := ticks[i].Price
		if before := ticks[i-1]; ticks[i].TS.Sub(before.TS) >= time.Hour || math.Abs(x-before.Price) <= jump*before.Price {
			continue
		}
		n := 0
		for n < 5 && i-n > 0 && i+n+1 < len(ticks) && ticks[i].TS.Sub(ticks[i-n-1].TS) < time.Hour && ticks[i+n+1].TS.Sub(ticks[i].TS) < time.Hour {
			n++
		}
		if n < 2 {
			continue
		}
		var around, off []float64
		for k := 1; k <= n; k++ {
			around = append(around, ticks[i-k].Price, ticks[i+k].Price)
		}
		m := median(around)
		for _, p := range around {
			off = append(off, math.Abs(p-m))
		}
		if math.Abs(x-m) > jump*m && math.Abs(x-m) > mads*1.4826*median(off) {
			out = append(out, ticks[i].Seq)
		}
	}
	return out
}

// TestQualityOutliers compares what checks at any time find with the plain way,
// in feeds with spikes, moves, bursts and pauses, brisk ones and slow ones.
func TestQualityOutliers(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	unchecked(t, d)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	end := time.Now().UTC().Truncate(time.Second)
	var all []dbtest.Tick
	var want []string
	for s, pace := range []time.Duration{time.Second, 5 * time.Second, time.Minute, 11 * time.Minute} {
		symbol := fmt.Sprintf("S%d", s)
		var feed []dbtest.Tick
		price, burst, level := 100.0, 0, 0.0
		ts := end.Add(-4 * time.Hour)
		for seq := int64(1); ts.Before(end) && seq <= 1200; seq++ {
			price *= 1 + 0.0005*r.NormFloat64()
			shown := price
			switch k := r.IntN(60); {
			case burst > 0: // several wrong ones in a row are a move
				burst--
				shown = price * level
			case k == 0: // a spike
				shown = price * (1 + 0.3*(r.Float64()-0.5))
			case k == 1: // a move
				price *= 1 + 0.2*(r.Float64()-0.5)
				shown = price
			case k == 2:
				burst, level = r.IntN(9), 1+0.2*(r.Float64()-0.5)
			}
			feed = append(feed, dbtest.Tick{TS: ts, Symbol: symbol, Price: shown, Size: 1, Seq: seq, Venue: "TEST"})
			if r.IntN(8) > 0 { // else at the same time
				ts = ts.Add(time.Duration(r.Int64N(int64(2 * pace))).Truncate(time.Microsecond))
			}
			if r.IntN(400) == 0 {
				ts = ts.Add(70 * time.Minute)
			}
		}
		all = append(all, feed...)
		for _, seq := range hampel(feed, 0.03, 10) {
			want = append(want, fmt.Sprintf("outlier TEST %s %d", symbol, seq))
		}
	}
	if len(want) < 10 {
		t.Fatalf("%d outliers among %d ticks prove nothing", len(want), len(all))
	}
	slices.SortStableFunc(all, func(a, b dbtest.Tick) int { return a.TS.Compare(b.TS) })
	at := end.Add(-4 * time.Hour)
	for next := 0; at.Before(end.Add(2 * time.Hour)); {
		n := next
		for n < len(all) && all[n].TS.Before(at) {
			n++
		}
		insert(t, d, "ticks", all[next:n])
		next = n
		checkQuality(t, d, at, `{"reach": "1 day"}`)
		at = at.Add(time.Second + time.Duration(r.Int64N(int64(20*time.Minute))))
	}
	got := findings(t, d, "outlier")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("seed %d: found %d\n%q\nwant %d\n%q", seed, len(got), got, len(want), want)
	}
	if n := count(t, d, "SELECT count(*) FROM _hypertick.quality_waiting"); n > 0 {
		t.Errorf("%d ticks still wait after hours", n)
	}
}

// TestQuality has feeds fall silent, run apart, skip and misjudge the time.
func TestQuality(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	unchecked(t, d)
	at := time.Now().UTC().Truncate(time.Second)
	// seen sets when the last tick of a feed was stored, and its trade time.
	seen := func(venue, symbol string, ts, updated time.Duration) {
		exec(t, d, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts, updated_at) VALUES ($1, $2, 1, $3, $4)
			ON CONFLICT (symbol, venue) DO UPDATE SET last_ts = excluded.last_ts, updated_at = excluded.updated_at`, venue, symbol, at.Add(-ts), at.Add(-updated))
	}
	seq := int64(0)
	traded := func(venue, symbol string, ago, every time.Duration, n int, price float64) {
		var ticks []dbtest.Tick
		for i := range n {
			seq++
			ticks = append(ticks, dbtest.Tick{TS: at.Add(time.Duration(i)*every - ago), Symbol: symbol, Price: price, Size: 1, Seq: seq, Venue: venue})
		}
		insert(t, d, "ticks", ticks)
	}
	expect := func(when string, kinds string, want ...string) {
		t.Helper()
		checkQuality(t, d, at, "{}")
		if got := findings(t, d, strings.Fields(kinds)...); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", when, got, want)
		}
	}
	state := func(when, want, detail string) {
		t.Helper()
		if p := parts(t, d.Pool)["quality"]; p.State != want || !strings.Contains(p.Detail+"|"+p.Error, detail) || (want == "ok") != (p.Action == "") {
			t.Errorf("%s: quality is %+v, want %s with %q", when, p, want, detail)
		}
	}
	state("at first", "ok", "not checked yet")

	const day = 24 * time.Hour
	seen("X", "LIVE", time.Second, time.Second)
	// Brisk, and silent for five minutes: stale. Slow: not.
	traded("X", "BRISK", time.Hour, 10*time.Second, 330, 100)
	seen("X", "BRISK", 5*time.Minute, 5*time.Minute)
	traded("X", "SLOW", time.Hour, 10*time.Minute, 6, 100)
	seen("X", "SLOW", 5*time.Minute, 5*time.Minute)
	// A week ago OPEN traded at this time, SHUT only until hours before; NEW is
	// three days old, and traded yesterday at this time; NIGHT did not.
	for _, s := range []string{"OPEN", "SHUT"} {
		traded("X", s, 12*day, time.Minute, 3, 100)
		seen("X", s, 10*time.Minute, 10*time.Minute)
		traded("X", s, 70*time.Minute, 10*time.Second, 360, 100)
	}
	traded("X", "OPEN", 7*day+10*time.Minute, time.Minute, 20, 100)
	traded("X", "SHUT", 7*day+4*time.Hour, time.Minute, 60, 100)
	for _, s := range []string{"NEW", "NIGHT"} {
		traded("X", s, 3*day, time.Minute, 3, 100)
		seen("X", s, 10*time.Minute, 10*time.Minute)
		traded("X", s, 70*time.Minute, 10*time.Second, 360, 100)
	}
	traded("X", "NEW", day+10*time.Minute, time.Minute, 20, 100)
	// A whole venue.
	for _, s := range []string{"A", "B"} {
		traded("Y", s, time.Hour, 10*time.Second, 330, 100)
		seen("Y", s, 5*time.Minute, 5*time.Minute)
	}
	d.Settle(t)
	exec(t, d, "INSERT INTO ingest_activity (minute, topic, partition, stored, duplicates, dead_letters, behind) VALUES ($1, 'dbtest', 0, 1, 0, 0, 20000)", at.Truncate(time.Minute))
	expect("ingest is behind", "stale skew")
	exec(t, d, "UPDATE ingest_activity SET behind = 0")
	expect("some are silent", "stale skew", "stale Y +", "stale X BRISK +", "stale X NEW +", "stale X OPEN +")
	state("some are silent", "warning", "4 stale")
	at = at.Add(time.Minute)
	seen("X", "LIVE", time.Second, time.Second)
	seen("X", "BRISK", time.Second, time.Second)
	seen("Y", "A", time.Second, time.Second)
	expect("two are back", "stale", "stale Y", "stale Y B +", "stale X BRISK", "stale X NEW +", "stale X OPEN +")
	at = at.Add(10 * time.Minute)
	expect("nothing moves at all", "stale", "stale Y", "stale Y B", "stale X BRISK", "stale X NEW", "stale X OPEN")
	state("over", "ok", "as expected")

	seen("X", "LIVE", -3*time.Second, 0)
	expect("a clock ahead", "skew", "skew X +")
	seen("X", "LIVE", 90*time.Second, 0)
	seen("X", "BRISK", 5*time.Minute, 0)
	expect("and behind", "skew", "skew X +")
	if v := count(t, d, "SELECT value::int FROM quality_findings WHERE kind = 'skew'"); v != -90 {
		t.Errorf("skew of %d s, want -90", v)
	}
	seen("X", "BRISK", 0, 0)
	expect("one is in time", "skew", "skew X")
	seen("X", "BRISK", 3*day, 0)
	seen("X", "LIVE", 3*day, 0)
	expect("history", "skew", "skew X")

	traded("X", "TWO", 50*time.Second, time.Second, 40, 102)
	traded("Y", "TWO", 50*time.Second, time.Second, 40, 100)
	traded("X", "NEAR", 50*time.Second, time.Second, 40, 100.5)
	traded("Y", "NEAR", 50*time.Second, time.Second, 40, 100)
	for _, s := range []string{"TWO", "NEAR"} {
		seen("X", s, 0, 0)
		seen("Y", s, 0, 0)
	}
	expect("two venues apart", "crossed", "crossed X TWO +")
	if v := count(t, d, "SELECT round(1000 * value)::int FROM quality_findings WHERE kind = 'crossed'"); v != 20 {
		t.Errorf("apart by %d per mille, want 20", v)
	}
	at = at.Add(time.Minute)
	traded("X", "TWO", 30*time.Second, time.Second, 20, 100)
	traded("Y", "TWO", 30*time.Second, time.Second, 20, 100)
	expect("together", "crossed", "crossed X TWO")

	exec(t, d, `INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts) VALUES
		('X', 'LIVE', 10, 14, $1::timestamptz - INTERVAL '9 minutes', $1::timestamptz - INTERVAL '8 minutes'),
		('X', 'LIVE', 20, 20, $1::timestamptz - INTERVAL '7 minutes', $1::timestamptz - INTERVAL '6 minutes')`, at)
	expect("ticks never came", "gap", "gap X LIVE 10")
	expect("told once", "gap", "gap X LIVE 10")
	state("ticks never came", "warning", "6 ticks have not come, seq 10 to 20 in 2 gaps")
	exec(t, d, "UPDATE feed_gaps SET filled = '{[10,15)}', closed_at = now(), closed_by = 'stream' WHERE from_seq = 10")
	exec(t, d, "UPDATE feed_gaps SET filled = '{[20,21)}', closed_at = now(), closed_by = 'stream' WHERE from_seq = 20")
	expect("they came", "gap")
	exec(t, d, `INSERT INTO feed_conflicts (venue, symbol, ts, seq, stored_price, stored_size, price, size, outcome)
		VALUES ('X', 'LIVE', $1, 7, 1, 1, 2, 1, 'kept'), ('X', 'LIVE', $1, 8, 1, 1, 2, 1, 'kept')`, at)
	expect("conflicts", "conflict", "conflict X LIVE 7")
	state("conflicts", "warning", "2 ticks came with the ts and seq of a stored one and another price or size, the first seq 7: kept")
	at = at.Add(31 * day)
	expect("after a month", "gap stale skew crossed outlier")
}

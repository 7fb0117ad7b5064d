package db_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/interval"
	"github.com/hypertick/hypertick/verify"
)

// barsOf reads bars through candles().
func barsOf(t *testing.T, d *dbtest.DB, symbol, name, args string) []dbtest.Candle {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), fmt.Sprintf("SELECT * FROM candles('%s', '%s'%s)", symbol, name, args))
	if err != nil {
		t.Fatal(err)
	}
	bars, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbtest.Candle])
	if err != nil {
		t.Fatalf("candles of %s %s: %v", name, args, err)
	}
	for i := range bars {
		bars[i].Bucket = bars[i].Bucket.UTC()
	}
	return bars
}

func plainBars(t *testing.T, ticks []dbtest.Tick, symbol, name string) []dbtest.Candle {
	t.Helper()
	w, err := interval.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	var of []dbtest.Tick
	for _, k := range ticks {
		if k.Symbol == symbol {
			of = append(of, k)
		}
	}
	return dbtest.BruteForceBy(of, w.Start)
}

// equalReads reads bars by every way that candles() has.
func equalReads(t *testing.T, d *dbtest.DB, what string, ticks []dbtest.Tick, symbol, name string) {
	t.Helper()
	all := plainBars(t, ticks, symbol, name)
	from, to := len(all)/3, 2*len(all)/3
	quote := func(at time.Time) string { return "'" + at.Format(time.RFC3339Nano) + "'" }
	at := func(n int) string { return quote(all[n].Bucket) }
	for _, c := range []struct {
		args string
		want []dbtest.Candle
	}{
		{"", all},
		{", " + at(from) + ", " + at(to), all[from:to]},
		{", " + quote(all[from].Bucket.Add(-time.Microsecond)) + ", " + quote(all[to].Bucket.Add(time.Microsecond)), all[from : to+1]},
		{", " + at(from) + ", " + at(to) + ", warmup => 5", all[max(0, from-5):to]},
		{", 'infinity', warmup => 7", all[max(0, len(all)-7):]},
		{", 'infinity', warmup => 100000", all},
		{", " + at(to) + ", " + at(to) + ", warmup => 3", all[max(0, to-3):to]},
		{", '-infinity', max_bars => 4", all[:min(4, len(all))]},
		{", " + at(from) + ", max_bars => 3", all[from:min(from+3, len(all))]},
		{", " + at(from) + ", max_bars => 0", nil},
	} {
		dbtest.EqualCandles(t, fmt.Sprintf("%s: %s %s%s", what, symbol, name, c.args), barsOf(t, d, symbol, name, c.args), c.want)
	}
}

// sparse has ticks of several days, with nights and a long pause without any.
func sparse(r *rand.Rand) []dbtest.Tick {
	var ticks []dbtest.Tick
	start := time.Date(2026, 2, 27, 0, 0, 0, 0, time.UTC)
	for _, day := range []int{0, 1, 2, 3, 4, 5, 6, 40} {
		for _, k := range seededDay(r, start.AddDate(0, 0, day), 2, 200) {
			if h := k.TS.Hour(); h < 3 || h > 20 {
				continue
			}
			k.Seq += int64(day) * 10_000
			ticks = append(ticks, k)
		}
	}
	return ticks
}

// TestRolledUp reads intervals that are not materialised, before and after
// refreshes, with late ticks, in a session of another time zone.
func TestRolledUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(20, 20))
	ticks := sparse(r)
	var late, live []dbtest.Tick
	for i, k := range ticks {
		if i%97 == 0 {
			late = append(late, k)
		} else {
			live = append(live, k)
		}
	}
	if _, err := d.Pool.Exec(ctx, "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone = %L', current_database(), 'America/New_York'); END $$"); err != nil {
		t.Fatal(err)
	}
	d.Pool.Reset()
	names := []string{"1s", "5s", "15s", "30s", "2m", "3m", "7m", "10m", "30m", "45m", "60m", "90m", "2h", "4h", "6h", "8h", "12h", "36h", "1w", "1mo", "3mo", "1y"}
	insert(t, d, "ticks", live)
	for _, name := range names {
		equalReads(t, d, "not refreshed", live, "S1", name)
	}
	d.Settle(t)
	insert(t, d, "late_ticks", late)
	d.Settle(t)
	for _, name := range append(names, "1m", "5m", "15m", "1h", "1d") {
		for _, symbol := range []string{"S0", "S1"} {
			equalReads(t, d, "refreshed", ticks, symbol, name)
		}
	}
	for _, name := range []string{"", "7s", "2x", "0m", "99999m", "11y", "1 m", "1m; DROP TABLE ticks"} {
		_, err := d.Pool.Exec(ctx, "SELECT * FROM candles('S1', $1, 'infinity')", name)
		if err == nil || !strings.Contains(err.Error(), "interval: want one of 1s, 5s,") || !strings.Contains(err.Error(), "SQLSTATE 22023") {
			t.Errorf("interval %q: got %v, want an error that lists what there is", name, err)
		}
	}
}

// TestWeeksAndMonths holds two years of weeks, months, quarters and years
// against brute force, rolled up and materialised.
func TestWeeksAndMonths(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(21, 21))
	if _, err := d.Pool.Exec(ctx, "SELECT set_chunk_time_interval('ticks', INTERVAL '1 year')"); err != nil {
		t.Fatal(err)
	}
	var ticks []dbtest.Tick
	price := 100.0
	for at := time.Date(2024, 1, 3, 0, 0, 0, 0, time.UTC); at.Year() < 2026; at = at.Add(time.Duration(1+r.IntN(20)) * time.Hour) {
		price *= 1 + 0.01*r.NormFloat64()
		ticks = append(ticks, dbtest.Tick{TS: at, Symbol: "S1", Price: price, Size: float64(r.IntN(9)), Seq: int64(len(ticks) + 1), Venue: "TEST"})
	}
	insert(t, d, "ticks", ticks)
	d.Settle(t)
	names := []string{"1w", "2w", "1mo", "3mo", "1y"}
	for _, name := range names {
		equalReads(t, d, "rolled up", ticks, "S1", name)
	}
	for _, name := range []string{"1w", "1mo"} {
		addInterval(t, d, name)
	}
	d.Settle(t)
	late := dbtest.Tick{TS: ticks[9].TS.Add(time.Minute), Symbol: "S1", Price: 5000, Size: 3, Seq: 1 << 40, Venue: "TEST"}
	insert(t, d, "late_ticks", []dbtest.Tick{late})
	d.Settle(t)
	ticks = append(ticks, late)
	for _, name := range names {
		equalReads(t, d, "with 1w and 1mo materialised", ticks, "S1", name)
	}
	// The stored rows, not what reads make of them.
	var stored int
	if err := d.Pool.QueryRow(ctx, "SELECT count(*) FROM candles_1mo WHERE bucket < (SELECT watermark FROM watermarks WHERE relation = 'candles_1mo')").Scan(&stored); err != nil || stored < 23 {
		t.Fatalf("%d months are materialised, want 23 or 24, %v", stored, err)
	}
	clean(t, d)
}

// addInterval adds one without its jobs, so that the test runs them.
func addInterval(t *testing.T, d *dbtest.DB, name string) {
	t.Helper()
	err := pgx.BeginFunc(context.Background(), d.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(context.Background(), "SELECT add_interval($1)", name); err != nil || d.Embedded != nil {
			return err
		}
		_, err := tx.Exec(context.Background(), "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// clean runs verify over everything.
func clean(t *testing.T, d *dbtest.DB) {
	t.Helper()
	result, err := verify.Run(context.Background(), verify.Config{Pool: d.Pool, Log: dbtest.Log(t), Found: func(f verify.Finding) {
		if f.Kind != verify.Position && f.Kind != verify.Gap && f.Kind != verify.Hole {
			t.Errorf("verify found %+v", f)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if result.Drift != 0 || result.Candles == 0 || result.Blocks == 0 {
		t.Errorf("verify: %+v, want no drift among some candles and blocks", result)
	}
}

// answers is everything that is asked about an interval, by question.
func answers(t *testing.T, d *dbtest.DB, name string, rules []int64) map[string][]float64 {
	t.Helper()
	ctx := context.Background()
	out := map[string][]float64{}
	read := func(question, query string, args ...any) {
		rows, err := d.Pool.Query(ctx, query, args...)
		if err != nil {
			t.Fatal(err)
		}
		values, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]float64, error) {
			var text []byte
			if err := row.Scan(&text); err != nil {
				return nil, err
			}
			var v []float64
			return v, json.Unmarshal(text, &v)
		})
		if err != nil {
			t.Fatalf("%s: %v", question, err)
		}
		for _, v := range values {
			out[question] = append(out[question], v...)
		}
	}
	for _, symbol := range []string{"S0", "S1"} {
		read("candles "+symbol, `SELECT jsonb_build_array(extract(epoch FROM c.bucket), c.open, c.high, c.low, c.close, c.volume, c.notional, c.trades) FROM candles($1, $2) c`, symbol, name)
		rows, err := d.Pool.Query(ctx, "SELECT name FROM indicator.catalog")
		if err != nil {
			t.Fatal(err)
		}
		indicators, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(indicators) < 15 {
			t.Fatalf("%d indicators, %v", len(indicators), err)
		}
		for _, i := range indicators {
			for _, from := range []string{"-infinity", "2026-03-04 12:00:00Z"} {
				read(fmt.Sprintf("%s %s from %s", i, symbol, from), `SELECT jsonb_build_array(extract(epoch FROM p.bucket), p.value)
					FROM indicator.evaluate($1, $2, $3, $4, 'infinity') p ORDER BY p.bucket, p.series`, i, symbol, name, from)
			}
		}
		read("snapshot "+symbol, `SELECT (SELECT jsonb_agg(value ORDER BY key) FROM jsonb_each(snapshot($1, $2) -> 'indicators') WHERE value <> 'null')`, symbol, name)
	}
	read("screener", `SELECT (SELECT jsonb_agg(value ORDER BY key) FROM jsonb_each(to_jsonb(l) - 'symbol' - 'bucket') WHERE value <> 'null') FROM indicator.latest($1) l`, name)
	read("market", `SELECT jsonb_build_array(extract(epoch FROM m.bucket), m.close, m.volume, coalesce(m.sma_50, 0)) FROM indicator.market($1, '2026-03-02', '2026-03-05') m`, name)
	for _, rule := range rules {
		read(fmt.Sprintf("rule %d", rule), `SELECT jsonb_build_array(extract(epoch FROM p.bar), p.value, p.threshold) FROM alert.preview($1, '2026-02-01', 'infinity') p`, rule)
	}
	return out
}

func sameAnswers(t *testing.T, what string, got, want map[string][]float64) {
	t.Helper()
	for question, w := range want {
		g := got[question]
		if len(g) != len(w) {
			t.Errorf("%s: %s: got %d numbers, want %d", what, question, len(g), len(w))
			continue
		}
		scale := 0.0
		for _, v := range w {
			if math.Abs(v) < 1e9 { // times aside
				scale = max(scale, math.Abs(v))
			}
		}
		for i := range w {
			if math.Abs(g[i]-w[i]) > 1e-9*max(math.Abs(w[i]), scale) {
				t.Errorf("%s: %s: number %d: got %v, want %v", what, question, i, g[i], w[i])
				break
			}
		}
	}
}

// TestAddInterval adds 2m and 45m, reads them in every way before, between and
// after, and removes them: nothing of them is left.
func TestAddInterval(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	before := dbtest.Catalogue(t, d.Pool)
	r := rand.New(rand.NewPCG(22, 22))
	ticks := sparse(r)
	slices.SortStableFunc(ticks, func(a, b dbtest.Tick) int { return a.TS.Compare(b.TS) })
	for i := range ticks {
		ticks[i].Seq = int64(i + 1)
	}
	cut := len(ticks) * 9 / 10
	d.Commit(t, ticks[:cut], nil)
	d.Settle(t)
	var rules []int64
	for _, name := range []string{"2m", "45m"} {
		for _, rule := range []string{
			`'rsi-%s', '{*}', '%[1]s', 'rsi', '{}', 'above', 60`,
			`'move-%s', '{*}', '%[1]s', 'sma', '{"period": 1}', 'changes', 1`,
		} {
			var id int64
			if err := d.Pool.QueryRow(ctx, fmt.Sprintf(`INSERT INTO alert.rules (name, symbols, "interval", indicator, params, condition, threshold) VALUES (`+rule+`) RETURNING id`, name)).Scan(&id); err != nil {
				t.Fatal(err)
			}
			rules = append(rules, id)
		}
	}
	names := []string{"2m", "45m"}
	rolled := map[string]map[string][]float64{}
	for _, name := range names {
		rolled[name] = answers(t, d, name, rules)
	}
	evaluateAlerts(t, d)
	for _, name := range names {
		addInterval(t, d, name)
		sameAnswers(t, name+" added, not refreshed", noBlocks(answers(t, d, name, rules)), noBlocks(rolled[name]))
	}
	d.Settle(t)
	for _, name := range names {
		sameAnswers(t, name+" materialised", answers(t, d, name, rules), rolled[name])
		equalReads(t, d, "materialised", ticks[:cut], "S1", name)
	}
	clean(t, d)

	// Late ticks change them, as they change the others, and say so.
	d.Commit(t, nil, ticks[cut:])
	d.Settle(t)
	d.NoteRevisions(t)
	for _, name := range names {
		equalReads(t, d, "with late ticks", ticks, "S1", name)
		if n := count(t, d, fmt.Sprintf(`SELECT count(*) FROM bar_revisions WHERE "interval" = '%s' OR whole`, name)); n == 0 {
			t.Errorf("no bar of %s is listed as revised", name)
		}
	}
	evaluateAlerts(t, d)
	if n := count(t, d, `SELECT count(*) FROM alert.runs WHERE error IS NOT NULL`); n != 0 {
		t.Errorf("%d rules failed", n)
	}
	clean(t, d)

	// A stored candle that is wrong is found.
	var stored string
	if err := d.Pool.QueryRow(ctx, "SELECT stored FROM _hypertick.verify_levels WHERE relation = 'candles_45m'").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	exec(t, d, fmt.Sprintf("UPDATE %s SET high = high + 1 WHERE bucket = (SELECT min(bucket) FROM %[1]s) AND symbol = 'S0'", stored))
	result, err := verify.Run(ctx, verify.Config{Pool: d.Pool, Repair: true, Log: dbtest.Log(t)})
	if err != nil || result.Drift < 1 || result.Drift != result.Repaired {
		t.Errorf("verify of a wrong candle: %+v, %v, want it found and repaired", result, err)
	}

	exec(t, d, "SELECT set_retention('candles_45m', '400 days')")
	if n := count(t, d, "SELECT count(*) FROM timescaledb_information.jobs WHERE proc_name = 'policy_retention' AND hypertable_name IN ('candles_45m', 'blocks_45m')"); n != 2 {
		t.Errorf("%d retention jobs of 45m, want 2", n)
	}
	for name, want := range map[string]string{
		"2m": "", "45m": "", "1m": "want one that was added", "1h": "want one that was added", "3m": "want one that is materialised", "nothing": "want one that is materialised",
	} {
		_, err := d.Pool.Exec(ctx, "SELECT remove_interval($1)", name)
		switch {
		case want == "" && err != nil:
			t.Errorf("remove %s: %v", name, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("remove %s: got %v, want %q", name, err, want)
		}
	}
	for _, name := range names {
		equalReads(t, d, "removed", ticks, "S1", name)
	}
	exec(t, d, "DELETE FROM alert.rules WHERE name ~ '-(2m|45m)$'")
	if diff := dbtest.Differences(before, dbtest.Catalogue(t, d.Pool)); len(diff) > 0 {
		t.Errorf("adding and removing intervals leaves a trace:\n%s", strings.Join(diff, "\n"))
	}
	for _, table := range []string{"bar_revisions", "_hypertick.awaited_revisions"} {
		if n := count(t, d, fmt.Sprintf(`SELECT count(*) FROM %s WHERE "interval" IN ('2m', '45m')`, table)); n != 0 {
			t.Errorf("%s has %d rows of removed intervals", table, n)
		}
	}
}

// noBlocks leaves out what reads blocks alone: they are made by the first
// refresh.
func noBlocks(a map[string][]float64) map[string][]float64 {
	out := map[string][]float64{}
	for q, v := range a {
		if q != "screener" {
			out[q] = v
		}
	}
	return out
}

// TestAddIntervalRefuses checks the arguments, and that what is built from an
// interval keeps it.
func TestAddIntervalRefuses(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	for args, want := range map[string]string{
		"'1m'": "want one that is not materialised", "'60m'": "which is 1h", "'7s'": "want one of", "'x'": "want one of", "NULL": "want one of",
		"'45m', '50 minutes'": "block_width: want a multiple of", "'45m', '45 minutes'": "block_width: want a multiple of",
	} {
		if _, err := d.Pool.Exec(ctx, "SELECT add_interval("+args+")"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("add_interval(%s): got %v, want %q", args, err, want)
		}
	}
	exec(t, d, "SELECT add_interval('30m', '15 hours'), add_interval('90m')")
	if _, err := d.Pool.Exec(ctx, "SELECT remove_interval('30m')"); err == nil || !strings.Contains(err.Error(), "from which 90m is built") {
		t.Errorf("remove 30m under 90m: got %v, want it refused", err)
	}
	rows, err := db.New(d.Pool).Intervals(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range rows {
		w, err := interval.Parse(i.Name)
		if err != nil || w.Seconds != i.Seconds && i.Months == 0 || w.Months != int(i.Months) {
			t.Errorf("%s: the database has %d s or %d months, Go %+v, %v", i.Name, i.Seconds, i.Months, w, err)
		}
	}
}

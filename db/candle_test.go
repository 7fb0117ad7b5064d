package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// seededDay is a day of ticks of some symbols: a fifth of them share the
// timestamp of the one before.
func seededDay(r *rand.Rand, day time.Time, symbols, each int) []dbtest.Tick {
	var ticks []dbtest.Tick
	for s := range symbols {
		price := 50 + 100*r.Float64()
		ts := day
		for i := range each {
			if i > 0 && r.IntN(5) > 0 {
				ts = ts.Add(time.Duration(r.Int64N(int64(2*24*time.Hour) / int64(each)))).Truncate(time.Microsecond)
			}
			if ts.Sub(day) >= 24*time.Hour {
				break
			}
			price *= 1 + 0.002*r.NormFloat64()
			ticks = append(ticks, dbtest.Tick{
				TS: ts, Symbol: fmt.Sprintf("S%d", s), Price: float64(int(price*100)) / 100, Size: float64(r.IntN(500)), Seq: int64(i + 1), Venue: "TEST",
			})
		}
	}
	return ticks
}

func insert(t *testing.T, d *dbtest.DB, table string, ticks []dbtest.Tick) {
	t.Helper()
	_, err := d.Pool.CopyFrom(context.Background(), pgx.Identifier{table}, []string{"ts", "symbol", "price", "size", "seq", "venue"},
		pgx.CopyFromSlice(len(ticks), func(i int) ([]any, error) {
			k := ticks[i]
			return []any{k.TS, k.Symbol, k.Price, k.Size, k.Seq, k.Venue}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
}

// TestCandlesAnyOrder stores a day in a shuffled order, over several
// transactions with refreshes between, so that nearly every tick is late for
// some refresh and ties arrive in any order.
func TestCandlesAnyOrder(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(7, 7))
	ticks := seededDay(r, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), 5, 4000)
	r.Shuffle(len(ticks), func(i, j int) { ticks[i], ticks[j] = ticks[j], ticks[i] })
	for part, n := 0, len(ticks)/4; part < 4; part++ {
		from, to := part*n, (part+1)*n
		table := "ticks"
		if part == 2 {
			table = "late_ticks" // the job moves these
		}
		if part == 3 {
			to = len(ticks)
		}
		insert(t, d, table, ticks[from:to])
		d.Settle(t)
	}
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(ticks, i.Span))
	}
	var waiting int
	if err := d.Pool.QueryRow(context.Background(), "SELECT count(*) FROM late_ticks").Scan(&waiting); err != nil || waiting != 0 {
		t.Fatalf("late ticks left: %d, %v", waiting, err)
	}
}

// TestCandlesBeforeRefresh reads candles that no job has touched yet, and the
// forming one.
func TestCandlesBeforeRefresh(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(8, 8))
	now := time.Now().UTC().Truncate(time.Microsecond)
	ticks := seededDay(r, now.Add(-24*time.Hour+time.Second), 3, 1000)
	ticks = append(ticks, dbtest.Tick{TS: now, Symbol: "S0", Price: 42, Size: 1, Seq: 1 << 40, Venue: "TEST"})
	insert(t, d, "ticks", ticks)
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(ticks, i.Span))
	}
	d.Settle(t)
	more := dbtest.Tick{TS: now, Symbol: "S0", Price: 43, Size: 2, Seq: 1<<40 + 1, Venue: "TEST"}
	insert(t, d, "ticks", []dbtest.Tick{more})
	ticks = append(ticks, more)
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(ticks, i.Span))
	}
}

// TestCandlesFunction reads bars by every way the function has, and compares
// with slices of all of them.
func TestCandlesFunction(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(9, 9))
	ticks := seededDay(r, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), 2, 2000)
	insert(t, d, "ticks", ticks)
	d.Settle(t)
	read := func(interval, args string) []dbtest.Candle {
		rows, err := d.Pool.Query(ctx, fmt.Sprintf("SELECT * FROM candles('S1', '%s', %s)", interval, args))
		if err != nil {
			t.Fatal(err)
		}
		got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbtest.Candle])
		if err != nil {
			t.Fatalf("%s %s: %v", interval, args, err)
		}
		return got
	}
	for _, i := range dbtest.Intervals {
		var all []dbtest.Candle
		for _, c := range dbtest.BruteForce(ticks, i.Span) {
			if c.Symbol == "S1" {
				all = append(all, c)
			}
		}
		from, to := len(all)/3, 2*len(all)/3
		quote := func(n int) string {
			if n >= len(all) {
				return "'infinity'"
			}
			return "'" + all[n].Bucket.Format(time.RFC3339) + "'"
		}
		dbtest.EqualCandles(t, i.Name+" all", read(i.Name, "'-infinity'"), all)
		dbtest.EqualCandles(t, i.Name+" range", read(i.Name, quote(from)+", "+quote(to)), all[from:to])
		dbtest.EqualCandles(t, i.Name+" warm-up", read(i.Name, quote(from)+", "+quote(to)+", warmup => 5"), all[max(0, from-5):to])
		dbtest.EqualCandles(t, i.Name+" newest", read(i.Name, "'infinity', warmup => 7"), all[max(0, len(all)-7):])
		dbtest.EqualCandles(t, i.Name+" nothing before all", read(i.Name, "'-infinity', warmup => 5"), all)
		dbtest.EqualCandles(t, i.Name+" first", read(i.Name, "'-infinity', max_bars => 7"), all[:min(7, len(all))])
	}
	if _, err := d.Pool.Exec(ctx, "SELECT * FROM candles('S1', '2x')"); err == nil {
		t.Fatal("interval 2x was accepted")
	}
}

// TestCandlesDoNotGrowWithHistory counts the rows a read of the newest bars
// touches: as many after twenty days as after two.
func TestCandlesDoNotGrowWithHistory(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(ctx, `INSERT INTO ticks SELECT ts, 'S1', 100, 1, row_number() OVER (ORDER BY ts), 'TEST'
		FROM generate_series('2026-01-01'::timestamptz, '2026-02-09', '1 minute') ts`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	if _, err := d.Pool.Exec(ctx, "ANALYZE"); err != nil {
		t.Fatal(err)
	}
	// What the function reads, by the server's own count of the transaction.
	for _, call := range []string{
		"candles('S1', '1m', 'infinity', warmup => 50)",
		"candles('S1', '1m', '2026-02-08', '2026-02-08', warmup => 50)",
		"candles('S1', '1m', '2026-02-08', max_bars => 50)",
	} {
		var bars, read int
		err := pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error {
			const fetched = `SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::int
				FROM pg_stat_xact_all_tables WHERE schemaname = '_timescaledb_internal'`
			var before, after int
			if err := tx.QueryRow(ctx, fetched).Scan(&before); err != nil {
				return err
			}
			if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+call).Scan(&bars); err != nil {
				return err
			}
			err := tx.QueryRow(ctx, fetched).Scan(&after)
			read = after - before
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if bars != 50 || read < 50 || read > 400 {
			t.Errorf("%s gave %d bars and read %d rows, want 50 and little more", call, bars, read)
		}
	}
}

// TestLateTickTouchesLittle has one tick twenty days late change one candle of
// each level, and nothing else.
func TestLateTickTouchesLittle(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(10, 10))
	var ticks []dbtest.Tick
	start := time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)
	for day := range 21 {
		for _, k := range seededDay(r, start.AddDate(0, 0, day), 2, 100) {
			k.Seq += int64(day) * 1000
			ticks = append(ticks, k)
		}
	}
	insert(t, d, "ticks", ticks)
	d.Settle(t)
	before := map[string][]dbtest.Candle{}
	for _, i := range dbtest.Intervals {
		before[i.Name] = d.Candles(t, i.Name)
	}
	late := dbtest.Tick{TS: ticks[30].TS, Symbol: "S0", Price: 9999, Size: 1, Seq: 1 << 40, Venue: "TEST"}
	insert(t, d, "late_ticks", []dbtest.Tick{late})
	d.Settle(t)
	ticks = append(ticks, late)
	for _, i := range dbtest.Intervals {
		after := d.Candles(t, i.Name)
		dbtest.EqualCandles(t, i.Name, after, dbtest.BruteForce(ticks, i.Span))
		changed := 0
		for n := range after {
			if !dbtest.SameCandle(after[n], before[i.Name][n]) {
				changed++
			}
		}
		if changed != 1 {
			t.Errorf("%s: %d candles changed, want 1", i.Name, changed)
		}
	}
}

// TestRetention checks that before the retention horizon no candle is rebuilt
// from the ticks that are left.
func TestRetention(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	now := time.Now().UTC().Truncate(24 * time.Hour)
	old := now.AddDate(0, 0, -200)
	r := rand.New(rand.NewPCG(11, 11))
	var ticks []dbtest.Tick
	for _, day := range []time.Time{old, now.AddDate(0, 0, -10)} {
		for _, k := range seededDay(r, day, 1, 200) {
			k.Seq += day.Unix()
			ticks = append(ticks, k)
		}
	}
	insert(t, d, "ticks", ticks)
	d.Settle(t)
	want := d.Candles(t, "1m")

	err := db.SetRetention(ctx, d.Pool, map[string]time.Duration{"candles_1m": 24 * time.Hour * 5})
	if err == nil {
		t.Fatal("candles shorter than their ticks were accepted")
	}
	if err := db.SetRetention(ctx, d.Pool, map[string]time.Duration{"ticks": 90 * 24 * time.Hour}); err != nil {
		t.Fatal(err)
	}
	run := func(proc string) {
		t.Helper()
		rows, err := d.Pool.Query(ctx, "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = $1", proc)
		if err != nil {
			t.Fatal(err)
		}
		jobs, err := pgx.CollectRows(rows, pgx.RowTo[int32])
		if err != nil || len(jobs) == 0 {
			t.Fatalf("jobs of %s: %v, %v", proc, jobs, err)
		}
		for _, j := range jobs {
			if err := db.New(d.Pool).RunJob(ctx, j); err != nil {
				t.Fatal(err)
			}
		}
	}
	run("policy_retention")
	var left int
	if err := d.Pool.QueryRow(ctx, "SELECT count(*) FROM ticks WHERE ts < $1", now.AddDate(0, 0, -90)).Scan(&left); err != nil || left != 0 {
		t.Fatalf("%d ticks survived their retention, %v", left, err)
	}
	// A late tick older than the horizon: ingest would reject it, SQL does not.
	insert(t, d, "ticks", []dbtest.Tick{{TS: ticks[0].TS, Symbol: "S0", Price: 1, Size: 1, Seq: 1 << 40, Venue: "TEST"}})
	d.Settle(t)
	dbtest.EqualCandles(t, "older than the horizon", d.Candles(t, "1m"), want)

	// Retention is off again: what was dropped must still not be rebuilt.
	if err := db.SetRetention(ctx, d.Pool, map[string]time.Duration{"ticks": 0}); err != nil {
		t.Fatal(err)
	}
	run("follow_retention")
	insert(t, d, "ticks", []dbtest.Tick{{TS: ticks[1].TS.Add(time.Hour), Symbol: "S0", Price: 1, Size: 1, Seq: 1<<40 + 1, Venue: "TEST"}})
	d.Settle(t)
	dbtest.EqualCandles(t, "after loosening", d.Candles(t, "1m"), want)
	keeps, err := db.Retention(ctx, d.Pool)
	if err != nil || keeps[0].Age != 0 || keeps[0].Horizon == nil {
		t.Fatalf("retention: %+v, %v", keeps, err)
	}
}

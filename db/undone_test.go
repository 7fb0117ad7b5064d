package db_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestUndone cancels and corrects ticks of some days, as the job does: single ones,
// all of a bar, all of a block, the newest. Bars of every level, block states,
// indicators and the screener are what brute force makes of the ticks that are left,
// and what has changed is listed.
func TestUndone(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(5, 12))
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -4)
	var ticks []dbtest.Tick
	for day := range 3 {
		for _, k := range seededDay(r, start.AddDate(0, 0, day), 2, 1500) {
			k.Seq += int64(day) * 10_000
			k.Side = int16(r.IntN(3) - 1)
			if r.IntN(4) == 0 {
				k.Flags = int32(r.IntN(16))
			}
			ticks = append(ticks, k)
		}
	}
	d.Commit(t, ticks, nil)
	d.Settle(t)
	d.NoteRevisions(t)
	exec(t, d, "TRUNCATE bar_revisions")
	if err := d.Pool.QueryRow(ctx, "SELECT 1 FROM ticks WHERE ts >= $1 LIMIT 1", start).Scan(new(int)); err != nil {
		t.Fatal(err)
	}

	undone := map[string]bool{}
	undo := func(which func(dbtest.Tick) bool, correct func(*dbtest.Tick)) {
		t.Helper()
		var old, corrected []dbtest.Tick
		var left []dbtest.Tick
		for _, k := range ticks {
			if !which(k) {
				left = append(left, k)
				continue
			}
			old = append(old, k)
			undone[k.Symbol+k.TS.Truncate(time.Minute).String()] = true
			if correct != nil {
				correct(&k)
				corrected = append(corrected, k)
			}
		}
		if len(old) == 0 {
			t.Fatal("nothing to undo")
		}
		d.Undo(t, old, corrected)
		ticks = slices.Concat(left, corrected)
	}
	between := func(symbol string, from, to time.Duration) func(dbtest.Tick) bool {
		return func(k dbtest.Tick) bool {
			return k.Symbol == symbol && !k.TS.Before(start.Add(from)) && k.TS.Before(start.Add(to))
		}
	}
	some := func(one int) func(dbtest.Tick) bool { return func(dbtest.Tick) bool { return r.IntN(one) == 0 } }
	// A whole hour, which is a block of 1m; a minute; a day of the other symbol.
	undo(between("S0", 30*time.Hour, 31*time.Hour), nil)
	undo(between("S0", 26*time.Hour, 26*time.Hour+9*time.Minute), nil)
	undo(between("S1", 24*time.Hour, 48*time.Hour), nil)
	undo(some(200), nil)
	undo(some(200), func(k *dbtest.Tick) { k.Price += 0.01 })
	undo(some(200), func(k *dbtest.Tick) { k.Size++ })
	undo(some(300), func(k *dbtest.Tick) { k.Flags, k.Side = 7, 1 })
	newest := slices.MaxFunc(ticks, func(a, b dbtest.Tick) int { return a.TS.Compare(b.TS) })
	undo(func(k dbtest.Tick) bool { return k == newest }, nil)

	// Nothing is listed before it can be read; what changes no bar is right at once.
	d.NoteRevisions(t)
	early := buckets(t, d, "SELECT bucket FROM bar_revisions WHERE symbol = 'S0' AND \"interval\" = '1m'")
	right := plainBars(t, ticks, "S0", "1m")
	for _, bar := range barsOf(t, d, "S0", "1m", "") {
		if at := slices.IndexFunc(right, func(w dbtest.Candle) bool { return w.Bucket.Equal(bar.Bucket) }); early[bar.Bucket] && (at < 0 || !dbtest.SameCandle(bar, right[at])) {
			t.Errorf("%v is listed before it shows the change", bar.Bucket)
		}
	}
	if len(early) > 20 {
		t.Errorf("%d minutes are listed before a refresh", len(early))
	}
	d.Settle(t)
	for range 3 {
		d.NoteRevisions(t)
	}
	if n := count(t, d, "SELECT count(*) FROM _hypertick.awaited_revisions"); n != 0 {
		t.Errorf("%d bars are still awaited", n)
	}

	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(ticks, i.Span))
	}
	for _, name := range []string{"5s", "10m", "4h", "1w"} {
		equalReads(t, d, "undone", ticks, "S0", name)
	}
	clean(t, d)
	for _, name := range []string{"1m", "5m", "1h"} {
		bars := plainBars(t, ticks, "S0", name)
		emas := plainEMA(bars, 12)
		for what, want := range map[string]func(i int) (float64, bool){
			"rsi": func(i int) (float64, bool) { return plainRSI(14)(bars, i) },
			"ema": func(i int) (float64, bool) { return emas[i], i >= 11 },
		} {
			got := map[time.Time]float64{}
			from := bars[len(bars)/3].Bucket
			rows, err := d.Pool.Query(ctx, fmt.Sprintf("SELECT bucket, value FROM indicator.%s('S0', $1, $2, 'infinity')", what), name, from)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				var at time.Time
				var value float64
				if err := rows.Scan(&at, &value); err != nil {
					t.Fatal(err)
				}
				got[at.UTC()] = value
			}
			if rows.Err() != nil {
				t.Fatal(rows.Err())
			}
			n := 0
			for i := len(bars) / 3; i < len(bars); i++ {
				w, ok := want(i)
				if !ok {
					continue
				}
				n++
				if g, there := got[bars[i].Bucket]; !there || math.Abs(g-w) > 1e-9*math.Abs(w) {
					t.Fatalf("%s %s of bar %d at %v: %v, want %v", what, name, i, bars[i].Bucket, g, w)
				}
			}
			if n != len(got) {
				t.Errorf("%s %s: %d values, want %d", what, name, len(got), n)
			}
		}
		var close float64
		if err := d.Pool.QueryRow(ctx, "SELECT close FROM indicator.latest($1) WHERE symbol = 'S0'", name).Scan(&close); err != nil || close != bars[len(bars)-1].Close {
			t.Errorf("the screener shows %v for %s, want %v: %v", close, name, bars[len(bars)-1].Close, err)
		}
	}

	// S0 changed bar by bar; S1 lost a day and more, so it is told once.
	rows, err := d.Pool.Query(ctx, `SELECT symbol, bucket FROM bar_revisions WHERE "interval" = '1m' AND undone AND NOT whole`)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for rows.Next() {
		var symbol string
		var at time.Time
		if err := rows.Scan(&symbol, &at); err != nil {
			t.Fatal(err)
		}
		listed[symbol+at.UTC().String()] = true
	}
	if len(listed) != len(undone) {
		t.Errorf("%d minutes are listed, want %d", len(listed), len(undone))
	}
	for key := range undone {
		if !listed[key] {
			t.Errorf("%s is not listed", key)
		}
	}

	// And verify sees a bar that is wrong in nothing but what is new.
	var table string
	if err := d.Pool.QueryRow(ctx, "SELECT stored FROM _hypertick.verify_levels WHERE relation = 'candles_5m'").Scan(&table); err != nil {
		t.Fatal(err)
	}
	exec(t, d, "UPDATE "+table+" SET buy_volume = buy_volume + 1 WHERE symbol = 'S0' AND bucket = (SELECT min(bucket) FROM candles_5m WHERE symbol = 'S0' AND buy_volume IS NOT NULL)")
	exec(t, d, "UPDATE "+table+" SET open = NULL WHERE symbol = 'S0' AND bucket = (SELECT max(bucket) FROM candles_5m WHERE symbol = 'S0' AND open IS NOT NULL)")
	if n := count(t, d, fmt.Sprintf("SELECT count(*) FROM _hypertick.verify_candles('%s', 'infinity', 'S0', '{5m}') WHERE symbol IS NOT NULL AND NOT pending",
		start.Format(time.RFC3339))); n != 2 {
		t.Errorf("verify found %d wrong bars, want 2", n)
	}
}

// buckets are those of a query.
func buckets(t *testing.T, d *dbtest.DB, query string) map[time.Time]bool {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), query)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[time.Time])
	if err != nil {
		t.Fatal(err)
	}
	out := map[time.Time]bool{}
	for _, at := range all {
		out[at.UTC()] = true
	}
	return out
}

// plainEMA is TA-Lib's EMA, the plain way.
func plainEMA(bars []dbtest.Candle, period int) []float64 {
	out := make([]float64, len(bars))
	var sum float64
	for i, b := range bars {
		switch {
		case i < period-1:
			sum += b.Close
		case i == period-1:
			out[i] = (sum + b.Close) / float64(period)
		default:
			out[i] = out[i-1] + (b.Close-out[i-1])*2/float64(period+1)
		}
	}
	return out
}

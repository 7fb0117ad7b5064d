package indicator

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db/dbtest"
)

// Whatever the blocks that bars are cut into, joined states are the states of
// the whole, for every kind of state, and the fused aggregate that fills the
// blocks computes what the separate ones do.
func TestStatesJoin(t *testing.T) {
	d := dbtest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 400).Draw(rt, "bars")
		base := math.Pow(10, rapid.Float64Range(-6, 8).Draw(rt, "log price"))
		move := base * math.Pow(10, rapid.Float64Range(-9, -1).Draw(rt, "log move"))
		flat := rapid.IntRange(0, 2).Draw(rt, "flat") == 0
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		blocks, closes, highs, lows, volumes := make([]int32, n), make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
		block, price := int32(0), base
		for i := range n {
			if rnd.IntN(10) == 0 {
				block++
			}
			if !flat || i < n/2 {
				price = math.Max(base/10, price+move*(rnd.Float64()-0.5))
			}
			blocks[i], closes[i], volumes[i] = block, price, float64(rnd.IntN(100))
			highs[i], lows[i] = price+move*rnd.Float64(), price-move*rnd.Float64()*0.01
		}
		period := rapid.IntRange(1, 60).Draw(rt, "period")
		rows, err := d.Pool.Query(context.Background(), `
			WITH bars AS (SELECT * FROM unnest($1::int[], $2::float8[], $3::float8[], $4::float8[], $5::float8[]) WITH ORDINALITY b(blk, high, low, close, volume, i)),
			cut AS (
				SELECT blk, indicator.ema_agg(close, $6 ORDER BY i) AS e, indicator.rsi_agg(close, $6 ORDER BY i) AS r,
				       indicator.atr_agg(high, low, close, $6 ORDER BY i) AS a, indicator.sum_agg(close ORDER BY i) AS s, indicator.obv_agg(close, volume ORDER BY i) AS o
				FROM bars GROUP BY blk),
			joined AS (
				SELECT indicator.rollup(e ORDER BY blk) AS e, indicator.rollup(r ORDER BY blk) AS r, indicator.rollup(a ORDER BY blk) AS a,
				       indicator.rollup(s ORDER BY blk) AS s, indicator.rollup(o ORDER BY blk) AS o FROM cut),
			whole AS (
				SELECT indicator.ema_agg(close, $6 ORDER BY i) AS e, indicator.rsi_agg(close, $6 ORDER BY i) AS r,
				       indicator.atr_agg(high, low, close, $6 ORDER BY i) AS a, indicator.sum_agg(close ORDER BY i) AS s, indicator.obv_agg(close, volume ORDER BY i) AS o,
				       avg(close) AS mean, stddev_pop(close) AS sd, min(close) AS lo, max(close) AS hi
				FROM bars),
			fused AS (
				SELECT (_hypertick.block_agg(high, low, close, volume ORDER BY i)).* FROM bars),
			apart AS (
				SELECT indicator.ema_agg(close, 12 ORDER BY i) AS e12, indicator.ema_agg(close, 26 ORDER BY i) AS e26, indicator.ema_agg(close, 50 ORDER BY i) AS e50, indicator.ema_agg(close, 200 ORDER BY i) AS e200,
				       indicator.rsi_agg(close, 14 ORDER BY i) AS r, indicator.atr_agg(high, low, close, 14 ORDER BY i) AS a FROM bars)
			SELECT x.what, x.got, x.want FROM joined j, whole w, fused f, apart p, LATERAL (VALUES
				('ema', indicator.ema(j.e), indicator.ema(w.e)), ('ema a', (j.e).a, (w.e).a),
				('rsi', indicator.rsi(j.r), indicator.rsi(w.r)), ('rsi a', (j.r).a, (w.r).a),
				('atr', indicator.atr(j.a), indicator.atr(w.a)),
				('mean', indicator.mean(j.s), w.mean), ('stddev', indicator.stddev(j.s), w.sd), ('min', indicator.min(j.s), w.lo), ('max', indicator.max(j.s), w.hi),
				('obv', indicator.obv(j.o), indicator.obv(w.o)),
				('fused ema 12', f.ema_12, (p.e12).s), ('fused ema 26', f.ema_26, (p.e26).s), ('fused ema 50', f.ema_50, (p.e50).s), ('fused ema 200', f.ema_200, (p.e200).s),
				('fused bars', f.n, (p.r).n), ('fused first', f.first, (p.r).first), ('fused last', f.last, (p.r).last),
				('fused gain', f.gain, (p.r).g), ('fused loss', f.loss, (p.r).l), ('fused atr', f.range, (p.a).s),
				('fused high', f.high, (p.a).high), ('fused low', f.low, (p.a).low),
				('fused mean', f.mean, w.mean), ('fused stddev', sqrt(f.m2 / f.n), w.sd), ('fused min', f.min, w.lo), ('fused max', f.max, w.hi),
				('fused volume', f.volume, (w.o).volume), ('fused obv', f.obv, (w.o).s)
			) x(what, got, want)`, blocks, highs, lows, closes, volumes, period)
		if err != nil {
			rt.Fatal(err)
		}
		var what string
		var got, want *float64
		_, err = pgx.ForEachRow(rows, []any{&what, &got, &want}, func() error {
			if (got == nil) != (want == nil) {
				return fmt.Errorf("%s: %v, want %v", what, got, want)
			}
			if got == nil {
				return nil
			}
			// A spread below what float8 can tell apart at this price is 0 as well as not.
			if apart(*got, *want, base*1e-5) > tolerance {
				return fmt.Errorf("%s: %v, want %v", what, *got, *want)
			}
			if what == "rsi" && !(*got >= 0 && *got <= 100) {
				return fmt.Errorf("rsi %v", *got)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// A Bollinger band needs a variance that survives prices far from 0.
func TestSumsKeepDigits(t *testing.T) {
	d := dbtest.New(t)
	var sd float64
	if err := d.Pool.QueryRow(context.Background(),
		"SELECT indicator.stddev(indicator.sum_agg(1e9 + (i % 2) * 1e-3)) FROM generate_series(1, 1000) i").Scan(&sd); err != nil {
		t.Fatal(err)
	}
	// 1e9 + 1e-3 itself is rounded to 1.2e-7.
	if math.Abs(sd-5e-4) > 1e-7 {
		t.Errorf("standard deviation %v, want 0.0005", sd)
	}
}

func TestStatesRefuse(t *testing.T) {
	d := dbtest.New(t)
	for name, q := range map[string]string{
		"join two periods": "SELECT indicator.rollup(s) FROM (SELECT indicator.ema_agg(1, p) AS s FROM generate_series(5, 6) p GROUP BY p) x",
		"change of period": "SELECT indicator.rsi_agg(1, p) FROM generate_series(5, 6) p",
		"period of 0":      "SELECT indicator.atr_agg(1, 1, 1, 0)",
	} {
		if _, err := d.Pool.Exec(context.Background(), q); err == nil || !contains(err.Error(), "period") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Thousands of bars must neither underflow nor wear out: the running aggregates
// stay right where A has vanished and prices have not moved for long.
func TestStatesDoNotUnderflow(t *testing.T) {
	d := dbtest.New(t)
	var ema, rsi, atr float64
	if err := d.Pool.QueryRow(context.Background(), `
		SELECT indicator.ema(indicator.ema_agg(x, 2 ORDER BY i)), indicator.rsi(indicator.rsi_agg(x, 2 ORDER BY i)), indicator.atr(indicator.atr_agg(x, x, x, 2 ORDER BY i))
		FROM (SELECT i, CASE WHEN i < 10 THEN i ELSE 5 END::float8 AS x FROM generate_series(1, 5000) i) b`).Scan(&ema, &rsi, &atr); err != nil {
		t.Fatal(err)
	}
	if ema != 5 || rsi < 0 || rsi > 100 || atr != 0 {
		t.Errorf("ema %v, rsi %v, atr %v", ema, rsi, atr)
	}
}

// The bars of one symbol, computed from its ticks.
func barsOf(ticks []tick, width time.Duration) []bar {
	by := map[time.Time][]tick{}
	for _, k := range ticks {
		at := k.at.Truncate(width)
		by[at] = append(by[at], k)
	}
	var bars []bar
	for at, in := range by {
		sort.Slice(in, func(i, j int) bool {
			if in[i].at.Equal(in[j].at) {
				return in[i].seq < in[j].seq
			}
			return in[i].at.Before(in[j].at)
		})
		b := bar{at: at, open: in[0].price, high: in[0].price, low: in[0].price, close: in[len(in)-1].price}
		for _, k := range in {
			b.high, b.low, b.volume = math.Max(b.high, k.price), math.Min(b.low, k.price), b.volume+k.size
		}
		bars = append(bars, b)
	}
	sort.Slice(bars, func(i, j int) bool { return bars[i].at.Before(bars[j].at) })
	return bars
}

// wilder is RSI as Wilder's book defines it, from the first bar on.
func wilder(bars []bar, period int) []float64 {
	var gain, loss float64
	out := make([]float64, len(bars))
	for i := 1; i < len(bars); i++ {
		c := bars[i].close - bars[i-1].close
		g, l := math.Max(c, 0), math.Max(-c, 0)
		p := float64(period)
		if i <= period {
			gain, loss = gain+g/p, loss+l/p
		} else {
			gain, loss = (gain*(p-1)+g)/p, (loss*(p-1)+l)/p
		}
		if gain+loss > 0 {
			out[i] = 100 * gain / (gain + loss)
		}
	}
	return out
}

// exponential is the EMA seeded with the mean of the first period closes.
func exponential(bars []bar, period int) []float64 {
	out := make([]float64, len(bars))
	var sum float64
	for i, b := range bars {
		if i < period {
			sum += b.close
			out[i] = sum / float64(period)
		} else {
			out[i] = out[i-1] + 2/float64(period+1)*(b.close-out[i-1])
		}
	}
	return out
}

// Ticks in any order, late, tied or twice, and refreshes in any order between
// them: in the end the stored states give what a computation from nothing gives.
func TestBlocksAfterAnyHistory(t *testing.T) {
	d := dbtest.New(t)
	ctx := context.Background()
	jobs := refreshJobs(t, d)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -10)
	number := 0
	rapid.Check(t, func(rt *rapid.T) {
		number++
		symbol := fmt.Sprintf("R%d", number)
		rnd := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 2))
		n := rapid.IntRange(30, 1200).Draw(rt, "ticks")
		pause := rapid.IntRange(20, 300).Draw(rt, "seconds between")
		ticks := make([]tick, n)
		at := start.Add(time.Duration(rnd.IntN(86400)) * time.Second)
		for i := range ticks {
			if i > 0 && rnd.IntN(5) > 0 { // a fifth shares its time with the one before
				at = at.Add(time.Duration(rnd.IntN(2*pause)) * time.Second)
			}
			ticks[i] = tick{at, symbol, 50 + 10*rnd.Float64(), float64(rnd.IntN(9)), int64(i + 1)}
			if i > 0 && rnd.IntN(20) == 0 { // stored twice, as when two venues print one trade
				ticks[i].price, ticks[i].at = ticks[i-1].price, ticks[i-1].at
			}
		}
		sent := append([]tick{}, ticks...)
		rnd.Shuffle(len(sent), func(i, j int) {
			if rnd.IntN(3) == 0 {
				sent[i], sent[j] = sent[j], sent[i]
			}
		})
		for parts := rapid.IntRange(1, 4).Draw(rt, "transactions"); parts > 0 && len(sent) > 0; parts-- {
			k := len(sent)
			if parts > 1 {
				k = 1 + rnd.IntN(len(sent))
			}
			insert(t, d, sent[:k]...)
			sent = sent[k:]
			for range rnd.IntN(4) {
				if _, err := d.Pool.Exec(ctx, fmt.Sprintf("CALL run_job(%d)", jobs[rnd.IntN(len(jobs))])); err != nil {
					rt.Fatal(err)
				}
			}
		}
		d.Settle(t)
		for _, interval := range []struct {
			name  string
			width time.Duration
		}{{"1m", time.Minute}, {"15m", 15 * time.Minute}} {
			bars := barsOf(ticks, interval.width)
			rsi, ema := wilder(bars, 14), exponential(bars, 26)
			// From the beginning, and from somewhere in the middle, where blocks answer if there are enough.
			for _, from := range []int{0, rnd.IntN(len(bars)), len(bars) - 1} {
				gotRSI := evaluate(t, d, "rsi", symbol, interval.name, bars[from].at, start.AddDate(0, 0, 20), nil)["rsi"]
				gotEMA := evaluate(t, d, "ema", symbol, interval.name, bars[from].at, start.AddDate(0, 0, 20), map[string]any{"period": 26})["ema"]
				gotOne := evaluate(t, d, "sma", symbol, interval.name, bars[from].at, start.AddDate(0, 0, 20), map[string]any{"period": 1})["sma"]
				for i := from; i < len(bars); i++ {
					if i >= 14 && apart(gotRSI[bars[i].at], rsi[i], 1e-3) > tolerance {
						rt.Fatalf("%s %s: rsi of bar %d from %d: %v, want %v", symbol, interval.name, i, from, gotRSI[bars[i].at], rsi[i])
					}
					if i >= 25 && apart(gotEMA[bars[i].at], ema[i], 0) > tolerance {
						rt.Fatalf("%s %s: ema of bar %d from %d: %v, want %v", symbol, interval.name, i, from, gotEMA[bars[i].at], ema[i])
					}
					if gotOne[bars[i].at] != bars[i].close {
						rt.Fatalf("%s %s: sma(1) of bar %d: %v, want the close %v", symbol, interval.name, i, gotOne[bars[i].at], bars[i].close)
					}
				}
				if want := max(0, len(bars)-max(from, 14)); len(gotRSI) != want {
					rt.Fatalf("%s %s: %d values of rsi from bar %d, want %d", symbol, interval.name, len(gotRSI), from, want)
				}
			}
			bands := evaluate(t, d, "bollinger", symbol, interval.name, start, start.AddDate(0, 0, 20), nil)
			for at, upper := range bands["upper"] {
				if !(upper >= bands["middle"][at] && bands["middle"][at] >= bands["lower"][at]) {
					rt.Fatalf("%s: bands out of order at %v", symbol, at)
				}
			}
		}
	})
}

// refreshJobs are the ids of the refresh policies, candles first.
func refreshJobs(t testing.TB, d *dbtest.DB) []int32 {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY job_id")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		t.Fatal(err)
	}
	return jobs
}

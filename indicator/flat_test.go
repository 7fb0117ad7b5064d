package indicator

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
)

// Prices that do not move have no deviation, whatever they are: of 88 % of prices of
// two decimals stddev_pop of equal values is not 0. What is measured in deviations has
// no value there, averages do not cross, and no built-in rule finds anything.
func TestFlatPrices(t *testing.T) {
	d := dbtest.New(t)
	ctx := context.Background()
	const minutes = 1500 // 300 bars of 5m, 100 of 15m
	start := time.Now().UTC().Truncate(time.Hour).Add(-minutes * time.Minute)
	prices := []float64{0.01, 0.07, 0.1, 0.29, 1.1, 4.35, 17.23, 33.33, 64.1, 99.99, 100.01, 412.07, 1999.99, 65123.45, 1e-15, 1e15}
	var noisy int
	for i, p := range prices {
		symbol := fmt.Sprintf("FLAT%d", i)
		var ticks []tick
		for m := range minutes {
			ticks = append(ticks, tick{start.Add(time.Duration(m)*time.Minute + time.Second), symbol, p, 0.1 * float64(1+i), int64(m + 1)})
		}
		insert(t, d, ticks...)
		if err := d.Pool.QueryRow(ctx, "SELECT $1::int + (stddev_pop($2::float8) <> 0)::int FROM generate_series(1, 20)", noisy, p).Scan(&noisy); err != nil {
			t.Fatal(err)
		}
	}
	if noisy == 0 {
		t.Error("the database's own deviation is 0 for all these prices: they test nothing")
	}
	if _, err := d.Pool.Exec(ctx, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) SELECT 'TEST', symbol, max(seq), max(ts) FROM ticks GROUP BY symbol`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	end := start.Add(minutes * time.Minute)
	for i, p := range prices {
		symbol := fmt.Sprintf("FLAT%d", i)
		for _, interval := range []string{"1m", "5m"} {
			bands := evaluate(t, d, "bollinger", symbol, interval, start, end, nil)
			if len(bands["upper"]) == 0 || len(bands["percent_b"]) != 0 {
				t.Errorf("%v: %d upper bands, %d values of percent_b, want some and none", p, len(bands["upper"]), len(bands["percent_b"]))
			}
			for at, middle := range bands["middle"] {
				if bands["upper"][at] != middle || bands["lower"][at] != middle || bands["bandwidth"][at] != 0 || apart(middle, p, 0) > 1e-14 {
					t.Fatalf("%v: bands %v %v %v", p, bands["upper"][at], middle, bands["lower"][at])
				}
			}
			if z := evaluate(t, d, "zscore", symbol, interval, start, end, nil); len(z) != 0 {
				t.Errorf("%v: zscore %v, want none", p, z)
			}
			spike := evaluate(t, d, "volume_spike", symbol, interval, start, end, nil)
			if len(spike["ratio"]) == 0 || interval == "1m" && len(spike["zscore"]) != 0 {
				t.Errorf("%v: %d ratios, %d zscores of a volume that does not change", p, len(spike["ratio"]), len(spike["zscore"]))
			}
			for _, x := range evaluate(t, d, "trend", symbol, interval, start, end, nil)["cross"] {
				if x != 0 {
					t.Fatalf("%v: averages cross", p)
				}
			}
			for flat, want := range map[float64]float64{0: 0, 50: 50, 100: 100} {
				for _, from := range []time.Time{start, end.Add(-time.Hour)} { // from the bars, from the states
					for _, x := range evaluate(t, d, "rsi", symbol, interval, from, end, map[string]any{"flat": flat})["rsi"] {
						if x != want {
							t.Fatalf("%v: rsi %v, want %v", p, x, want)
						}
					}
				}
			}
			for name, series := range map[string]string{"volatility": "volatility", "roc": "roc", "atr": "atr"} {
				for _, x := range evaluate(t, d, name, symbol, interval, start, end, nil)[series] {
					if x != 0 {
						t.Fatalf("%v: %s %v, want 0", p, name, x)
					}
				}
			}
		}
	}
	for _, query := range []string{
		"SELECT count(*) FROM indicator.latest('1m') WHERE percent_b IS NOT NULL OR zscore IS NOT NULL OR trend <> 0 OR change <> 0",
		"SELECT count(*) FROM indicator.market('1m', '-infinity', 'infinity') WHERE zscore IS NOT NULL",
		"SELECT count(*) FROM feed_positions p, snapshot(p.symbol, '1m') s WHERE s -> 'indicators' -> 'percent_b' <> 'null' OR s -> 'indicators' -> 'zscore' <> 'null' OR s -> 'indicators' ->> 'trend' <> '0'",
		"SELECT abs(count(*) - " + fmt.Sprint(len(prices)) + ") FROM indicator.latest('1m') WHERE trend = 0 AND rsi_14 = 0",
		"WITH run AS MATERIALIZED (SELECT count(_hypertick.evaluate_rule(id, '{\"lookback\": 100000}')) FROM alert.rules) SELECT count(*) - 1 FROM run",
		"SELECT count(*) FROM alert.events WHERE symbol LIKE 'FLAT%'",
		"SELECT count(*) FROM alert.runs WHERE error IS NOT NULL",
	} {
		var n int
		if err := d.Pool.QueryRow(ctx, query).Scan(&n); err != nil || n != 0 {
			t.Errorf("%s: %d, want 0: %v", query, n, err)
		}
	}
	// The rules do find movement: the price falls.
	var ticks []tick
	for m := range 100 {
		ticks = append(ticks, tick{end.Add(time.Duration(m-99) * time.Minute).Add(30 * time.Second), "FLAT4", 1.1 - 0.001*float64(m), 1, int64(minutes + m + 1)})
	}
	insert(t, d, ticks...)
	if _, err := d.Pool.Exec(ctx, "DELETE FROM alert.progress; UPDATE feed_positions SET last_ts = $$"+end.Format(time.RFC3339)+"$$ WHERE symbol = 'FLAT4'"); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	var found string
	if _, err := d.Pool.Exec(ctx, "SELECT _hypertick.evaluate_rule(id, '{\"lookback\": 100000}') FROM alert.rules WHERE name LIKE 'rsi%'"); err != nil {
		t.Fatal(err)
	}
	if err := d.Pool.QueryRow(ctx, "SELECT min(rule) || ' ' || min(message) FROM alert.events WHERE rule LIKE 'rsi%'").Scan(&found); err != nil || !contains(found, "rsi-below-30 FLAT4 5m: rsi (flat 50) ") {
		t.Errorf("found %q: %v", found, err)
	}
}

// Where a price is not above 0, as that of oil in April 2020, what is a fraction of it
// has no value; everything else goes on, and nothing fails.
func TestPricesBelowZero(t *testing.T) {
	d := dbtest.New(t)
	ctx := context.Background()
	start := time.Now().UTC().Truncate(time.Hour).Add(-8 * time.Hour)
	var ticks []tick
	for i, k := range walk("CL", start, 400, 0) {
		k.price -= 100
		if i < 100 || i >= 180 {
			k.price += 20
		}
		if i == 150 {
			k.price = 0
		}
		ticks = append(ticks, k)
	}
	insert(t, d, ticks...)
	if _, err := d.Pool.Exec(ctx, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) SELECT 'TEST', symbol, max(seq), max(ts) FROM ticks GROUP BY symbol`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	bars := barsOf(ticks, time.Minute)
	positive := func(from, to int) bool {
		for i := from; i <= to; i++ {
			if i < 0 || bars[i].close <= 0 {
				return false
			}
		}
		return true
	}
	returns := func(from, to int) (out []float64) {
		for i := from; i <= to; i++ {
			out = append(out, math.Log(bars[i].close/bars[i-1].close))
		}
		return out
	}
	moments := func(x []float64) (mean, sd float64) {
		for _, v := range x {
			mean += v / float64(len(x))
		}
		for _, v := range x {
			sd += (v - mean) * (v - mean)
		}
		return mean, math.Sqrt(sd / float64(len(x)-1))
	}
	for _, k := range []struct {
		name string
		want func(i int) (float64, bool)
	}{
		{"roc", func(i int) (float64, bool) {
			if i < 10 || bars[i].close <= 0 || bars[i-10].close <= 0 {
				return 0, false
			}
			return 100 * (bars[i].close/bars[i-10].close - 1), true
		}},
		{"volatility", func(i int) (float64, bool) {
			if !positive(i-20, i) {
				return 0, false
			}
			_, sd := moments(returns(i-19, i))
			return sd * math.Sqrt(365*24*60), true
		}},
		{"zscore", func(i int) (float64, bool) {
			if !positive(i-21, i) {
				return 0, false
			}
			mean, sd := moments(returns(i-20, i-1))
			return (returns(i, i)[0] - mean) / sd, true
		}},
	} {
		got := evaluate(t, d, k.name, "CL", "1m", start, start.Add(24*time.Hour), nil)[k.name]
		n := 0
		for i, b := range bars {
			want, ok := k.want(i)
			if ok {
				n++
			}
			if v, there := got[b.at]; there != ok || ok && apart(v, want, 1e-3) > tolerance {
				t.Fatalf("%s of bar %d: %v (%v), want %v (%v)", k.name, i, v, there, want, ok)
			}
		}
		if n == 0 || n == len(bars) {
			t.Errorf("%s: %d values of %d bars", k.name, n, len(bars))
		}
	}
	rows, err := d.Pool.Query(ctx, "SELECT name, s ->> 'name' FROM indicator.catalog, jsonb_array_elements(series) s")
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Name, Series string }])
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		for at, v := range evaluate(t, d, k.Name, "CL", "1m", start, start.Add(24*time.Hour), nil)[k.Series] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Errorf("%s %s is %v at %v", k.Name, k.Series, v, at)
			}
		}
	}
	for at, v := range evaluate(t, d, "bollinger", "CL", "1m", start, start.Add(24*time.Hour), nil)["bandwidth"] {
		if v < 0 {
			t.Errorf("bandwidth %v at %v", v, at)
		}
	}
	// The screener and the rest answer, at a moment when the window holds both.
	for _, query := range []string{
		"SELECT count(*) FROM indicator.latest('1m')", "SELECT count(*) FROM indicator.market('1m', '-infinity', 'infinity') WHERE sma_50 IS NOT NULL",
		"SELECT count(snapshot('CL', '1m'))", "SELECT count(_hypertick.evaluate_rule(id, '{\"lookback\": 1000}')) FROM alert.rules",
	} {
		var n int
		if err := d.Pool.QueryRow(ctx, query).Scan(&n); err != nil || n == 0 {
			t.Errorf("%s: %d, %v", query, n, err)
		}
	}
	var wrong *string
	if err := d.Pool.QueryRow(ctx, "SELECT string_agg(error, '; ') FROM alert.runs").Scan(&wrong); err != nil || wrong != nil {
		t.Errorf("rules fail: %v, %v", deref2(wrong), err)
	}
	// The anomalies of the whole market are those of the indicator.
	score := evaluate(t, d, "zscore", "CL", "1m", start, start.Add(24*time.Hour), nil)["zscore"]
	rows, err = d.Pool.Query(ctx, "SELECT bucket, zscore FROM indicator.market('1m', $1, 'infinity') WHERE zscore IS NOT NULL", start)
	if err != nil {
		t.Fatal(err)
	}
	var at time.Time
	var z float64
	n := 0
	if _, err := pgx.ForEachRow(rows, []any{&at, &z}, func() error {
		n++
		if apart(z, score[at.UTC()], 1e-3) > 1e-6 {
			return fmt.Errorf("market says %v at %v, the indicator %v", z, at, score[at.UTC()])
		}
		return nil
	}); err != nil || n != len(score) {
		t.Errorf("market has %d scores, want %d: %v", n, len(score), err)
	}
}

func deref2(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// The directional indicators of a price that is large against its moves, against
// exact arithmetic.
func TestDirectionKeepsDigits(t *testing.T) {
	d := dbtest.New(t)
	const minutes, period = 200, 14
	start := time.Now().UTC().Truncate(time.Hour).Add(-5 * time.Hour)
	var ticks []tick
	for m := range minutes {
		at := start.Add(time.Duration(m) * time.Minute)
		base := 1e9 + 0.01*math.Sin(float64(m)/9) + 0.004*math.Sin(1.7*float64(m))
		for j, off := range []float64{0.001, 0.004, -0.003, 0.0005} {
			ticks = append(ticks, tick{at.Add(time.Duration(j) * time.Second), "BIG", base + off, 1, int64(4*m + j + 1)})
		}
	}
	insert(t, d, ticks...)
	d.Settle(t)
	bars := barsOf(ticks, time.Minute)
	got := evaluate(t, d, "adx", "BIG", "1m", start, start.Add(24*time.Hour), nil)

	num := func(x float64) *big.Float { return new(big.Float).SetPrec(200).SetFloat64(x) }
	keep := new(big.Float).Quo(num(period-1), num(period))
	ranges, plus, minus := num(0), num(0), num(0)
	for i := 1; i < len(bars); i++ {
		b, p := bars[i], bars[i-1]
		if i >= period {
			for _, s := range []*big.Float{ranges, plus, minus} {
				s.Mul(s, keep)
			}
		}
		ranges.Add(ranges, new(big.Float).Sub(num(max(b.high, p.close)), num(min(b.low, p.close))))
		up, down := new(big.Float).Sub(num(b.high), num(p.high)), new(big.Float).Sub(num(p.low), num(b.low))
		switch {
		case up.Sign() > 0 && up.Cmp(down) > 0:
			plus.Add(plus, up)
		case down.Sign() > 0 && down.Cmp(up) > 0:
			minus.Add(minus, down)
		}
		if i < period {
			continue
		}
		for series, sum := range map[string]*big.Float{"plus_di": plus, "minus_di": minus} {
			want, _ := new(big.Float).Mul(num(100), new(big.Float).Quo(sum, ranges)).Float64()
			if v, ok := got[series][b.at]; !ok || apart(v, want, 1e-3) > 1e-12 {
				t.Fatalf("%s of bar %d: %v, want %v", series, i, v, want)
			}
		}
	}
}

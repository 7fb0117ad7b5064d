package indicator

import (
	"math"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// What TA-Lib has no profile for, and OBV and VWAP with a period, against the
// formula in the COMMENT, bar by bar.
func TestPlainDefinitions(t *testing.T) {
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3).Add(20 * time.Hour)
	var ticks []tick
	for i, k := range walk("P", start, 700, 0) {
		k.seq = int64(2*i + 1)
		other := k
		other.at, other.price, other.size, other.seq = k.at.Add(9*time.Second), k.price*1.003, float64((i*7)%11), k.seq+1
		ticks = append(ticks, k, other)
	}
	insert(t, d, ticks...)
	d.Settle(t)
	bars := barsOf(ticks, time.Minute)
	notional := map[time.Time]float64{}
	for _, k := range ticks {
		notional[k.at.Truncate(time.Minute)] += k.price * k.size
	}

	mean := func(x []float64) float64 {
		var s float64
		for _, v := range x {
			s += v
		}
		return s / float64(len(x))
	}
	sample := func(x []float64) float64 {
		m, s := mean(x), 0.0
		for _, v := range x {
			s += (v - m) * (v - m)
		}
		return math.Sqrt(s / float64(len(x)-1))
	}
	closes := column(bars, func(b bar) float64 { return b.close })
	volumes := column(bars, func(b bar) float64 { return b.volume })
	returns, signed := make([]float64, len(bars)), make([]float64, len(bars))
	for i := 1; i < len(bars); i++ {
		returns[i] = math.Log(closes[i] / closes[i-1])
		switch {
		case closes[i] > closes[i-1]:
			signed[i] = volumes[i]
		case closes[i] < closes[i-1]:
			signed[i] = -volumes[i]
		}
	}
	above := func(i int) bool { return mean(closes[i-4:i+1]) > mean(closes[i-19:i+1]) }
	for _, k := range []struct {
		name, series string
		params       map[string]any
		first        int
		want         func(i int) float64
	}{
		{"vwap", "vwap", nil, 0, func(i int) float64 {
			var n, v float64
			for j := i; j >= 0 && bars[j].at.Truncate(24*time.Hour).Equal(bars[i].at.Truncate(24*time.Hour)); j-- {
				n, v = n+notional[bars[j].at], v+volumes[j]
			}
			return n / v
		}},
		{"vwap", "vwap", map[string]any{"period": 30}, 29, func(i int) float64 {
			var n, v float64
			for j := i - 29; j <= i; j++ {
				n, v = n+notional[bars[j].at], v+volumes[j]
			}
			return n / v
		}},
		{"obv", "obv", map[string]any{"period": 15}, 15, func(i int) float64 { return 15 * mean(signed[i-14:i+1]) }},
		{"volatility", "volatility", map[string]any{"period": 30}, 30, func(i int) float64 { return sample(returns[i-29:i+1]) * math.Sqrt(365*24*60) }},
		{"volatility", "volatility", map[string]any{"per_year": 252}, 20, func(i int) float64 { return sample(returns[i-19:i+1]) * math.Sqrt(252) }},
		{"zscore", "zscore", nil, 21, func(i int) float64 { return (returns[i] - mean(returns[i-20:i])) / sample(returns[i-20:i]) }},
		{"volume_spike", "ratio", nil, 20, func(i int) float64 { return volumes[i] / mean(volumes[i-20:i]) }},
		{"volume_spike", "zscore", nil, 20, func(i int) float64 { return (volumes[i] - mean(volumes[i-20:i])) / sample(volumes[i-20:i]) }},
		{"trend", "fast", map[string]any{"fast": 5, "slow": 20}, 19, func(i int) float64 { return mean(closes[i-4 : i+1]) }},
		{"trend", "slow", map[string]any{"fast": 5, "slow": 20}, 19, func(i int) float64 { return mean(closes[i-19 : i+1]) }},
		{"trend", "cross", map[string]any{"fast": 5, "slow": 20}, 19, func(i int) float64 {
			switch {
			case i == 19 || above(i) == above(i-1):
				return 0
			case above(i):
				return 1
			}
			return -1
		}},
	} {
		for _, from := range []int{0, 350} {
			got := evaluate(t, d, k.name, "P", "1m", bars[from].at, start.AddDate(0, 0, 5), k.params)[k.series]
			if want := len(bars) - max(from, k.first); len(got) != want {
				t.Errorf("%s %s %v from bar %d: %d values, want %d", k.name, k.series, k.params, from, len(got), want)
			}
			for i := max(from, k.first); i < len(bars); i++ {
				if v, ok := got[bars[i].at]; !ok || apart(v, k.want(i), 1e-3) > tolerance {
					t.Errorf("%s %s %v: bar %d is %v, want %v", k.name, k.series, k.params, i, v, k.want(i))
					break
				}
			}
		}
	}
}

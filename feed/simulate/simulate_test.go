package simulate_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/simulate"
)

var (
	now       = time.Date(2026, 11, 24, 15, 30, 0, 0, time.UTC)
	errEnough = errors.New("enough")
)

// past is a configuration whose clock stands still and which ends when live.
func past(history time.Duration, edit func(*simulate.Config)) simulate.Config {
	cfg := simulate.Defaults()
	cfg.Clock = func() time.Time { return now }
	cfg.Start = now.Add(-history)
	cfg.Sleep = func(context.Context, time.Duration) error { return errEnough }
	cfg.Log = slog.New(slog.DiscardHandler)
	if edit != nil {
		edit(&cfg)
	}
	return cfg
}

// run collects ticks until the simulator ends or there are limit of them.
func run(t testing.TB, cfg simulate.Config, positions map[string]feed.Tick, limit int) []feed.Tick {
	t.Helper()
	s, err := simulate.New(cfg, positions)
	if err != nil {
		t.Fatal(err)
	}
	var out []feed.Tick
	err = s.Run(t.Context(), func(tick *feed.Tick) error {
		if len(out) == limit {
			return errEnough
		}
		out = append(out, *tick)
		return nil
	}, nil)
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return out
}

const all = math.MaxInt

// fold is what ingest does: positions move, ticks not above them are dropped.
func fold(positions map[string]feed.Tick, ticks []feed.Tick) (kept []feed.Tick) {
	for _, tick := range ticks {
		if tick.Seq > positions[tick.Symbol].Seq {
			positions[tick.Symbol] = tick
			kept = append(kept, tick)
		}
	}
	return kept
}

func TestStopAnywhereIsNoStop(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := past(time.Duration(rapid.IntRange(1, 300).Draw(rt, "minutes"))*time.Minute, func(c *simulate.Config) {
			c.Seed = rapid.Uint64().Draw(rt, "seed")
			c.Symbols = rapid.IntRange(1, 40).Draw(rt, "symbols")
			c.HistoryRate = rapid.Float64Range(0.01, 1).Draw(rt, "rate")
			c.Late = rapid.SampledFrom([]float64{0, 0.2}).Draw(rt, "late")
			c.Duplicates = rapid.SampledFrom([]float64{0, 0.3}).Draw(rt, "duplicates")
		})
		want := fold(map[string]feed.Tick{}, run(t, cfg, nil, all))
		positions := map[string]feed.Tick{}
		var got []feed.Tick
		for stops := rapid.IntRange(0, 4).Draw(rt, "stops"); stops > 0; stops-- {
			limit := rapid.IntRange(0, len(want)).Draw(rt, "after")
			got = append(got, fold(positions, run(t, cfg, positions, limit))...)
		}
		got = append(got, fold(positions, run(t, cfg, positions, all))...)
		if !slices.Equal(got, want) {
			rt.Fatalf("%d ticks with stops, %d without, first difference at %d", len(got), len(want), diff(got, want))
		}
	})
}

func diff(a, b []feed.Tick) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestSeedDecides(t *testing.T) {
	cfg := past(time.Hour, nil)
	a, b := run(t, cfg, nil, all), run(t, cfg, nil, all)
	cfg.Seed++
	if c := run(t, cfg, nil, all); !slices.Equal(a, b) || slices.Equal(a, c) {
		t.Error("the same seed differs, or another one does not")
	}
}

func TestTicksKeepTheContract(t *testing.T) {
	cfg := past(24*time.Hour, func(c *simulate.Config) { c.Symbols, c.HistoryRate, c.Late, c.Duplicates = 2000, 2.5, 0.01, 0.01 })
	ticks := run(t, cfg, nil, all)
	last := map[string]int64{}
	var late, repeated, ties, longest float64
	newest := int64(0)
	byTS := map[string]int64{}
	for _, tick := range ticks {
		if err := tick.Validate(now); err != nil {
			t.Fatalf("%+v: %v", tick, err)
		}
		if cents := math.Round(tick.Price * 100); cents/100 != tick.Price || tick.Size != math.Trunc(tick.Size) || tick.Size < 1 {
			t.Fatalf("off the grid: %+v", tick)
		}
		switch last[tick.Symbol] + 1 - tick.Seq {
		case 0:
			last[tick.Symbol] = tick.Seq
		case 2: // sent again, after its successor
			repeated++
			continue
		default:
			t.Fatalf("%+v after seq %d", tick, last[tick.Symbol])
		}
		if behind := newest - tick.TS; behind > 0 {
			late++
			longest = max(longest, float64(behind)/3600e6)
		}
		newest = max(newest, tick.TS)
		if byTS[tick.Symbol] == tick.TS {
			ties++
		}
		byTS[tick.Symbol] = tick.TS
	}
	n := float64(len(ticks))
	for what, v := range map[string][3]float64{
		"ticks": {n, 205e3, 227e3}, "late": {late / n, 0.008, 0.012}, "repeated": {repeated / n, 0.008, 0.012},
		"ties": {ties / n, 0.06, 0.10}, "longest delay in hours": {longest, 1, 6},
	} {
		if !(v[0] >= v[1] && v[0] <= v[2]) {
			t.Errorf("%s: %v, want %v to %v", what, v[0], v[1], v[2])
		}
	}
}

func bySymbol(ticks []feed.Tick) map[string][]feed.Tick {
	out := map[string][]feed.Tick{}
	for _, tick := range ticks {
		out[tick.Symbol] = append(out[tick.Symbol], tick)
	}
	return out
}

// returns are the log returns of one symbol over steps of the given length.
func returns(ticks []feed.Tick, step time.Duration) map[int64]float64 {
	out := map[int64]float64{}
	last, close := int64(-2), 0.0
	for i, tick := range ticks {
		k := tick.TS / step.Microseconds()
		if i+1 < len(ticks) && ticks[i+1].TS/step.Microseconds() == k {
			continue
		}
		if last == k-1 {
			out[k] = math.Log(tick.Price / close)
		}
		last, close = k, tick.Price
	}
	return out
}

func yearly(r map[int64]float64, step time.Duration) float64 {
	sum := 0.0
	for _, v := range r {
		sum += v * v
	}
	return math.Sqrt(sum / float64(len(r)) * (365.25 * 24 * float64(time.Hour) / float64(step)))
}

// Volatility is what the table says on every scale and at every rate of ticks.
func TestVolatility(t *testing.T) {
	month := run(t, past(60*24*time.Hour, func(c *simulate.Config) { c.HistoryRate, c.Late = 0.25, 0 }), nil, all)
	symbols := bySymbol(month)
	for _, step := range []time.Duration{15 * time.Minute, 4 * time.Hour} {
		ratio := 0.0
		for _, c := range simulate.Companies(24) {
			r := yearly(returns(symbols[c.Symbol], step), step) / c.Volatility
			ratio += r / 24
			if r < 0.6 || r > 1.6 {
				t.Errorf("%s, %v: %.2f times the volatility of the table", c.Symbol, step, r)
			}
		}
		if ratio < 0.85 || ratio > 1.15 {
			t.Errorf("%v: %.2f times the volatility of the table on average", step, ratio)
		}
	}
	// The same hour, at a tick in 2 s and at some thirty a second: the
	// same path, hence the same minutes but for the bounce of a cent.
	slow := bySymbol(run(t, past(time.Hour, func(c *simulate.Config) { c.HistoryRate, c.Late = 12, 0 }), nil, all))
	fast := bySymbol(run(t, past(time.Hour, func(c *simulate.Config) { c.HistoryRate, c.Late = 300, 0 }), nil, all))
	for _, symbol := range []string{"NVDA", "TSLA", "AAPL"} {
		a, b := yearly(returns(slow[symbol], time.Minute), time.Minute), yearly(returns(fast[symbol], time.Minute), time.Minute)
		if a/b < 0.75 || a/b > 1.33 {
			t.Errorf("%s: volatility %.2f at the low rate, %.2f at the high one", symbol, a, b)
		}
	}
}

func TestMarketMovesTogether(t *testing.T) {
	symbols := bySymbol(run(t, past(30*24*time.Hour, func(c *simulate.Config) { c.HistoryRate, c.Late = 0.1, 0 }), nil, all))
	correlation := func(a, b string) float64 {
		x, y := returns(symbols[a], time.Hour), returns(symbols[b], time.Hour)
		var xy, xx, yy float64
		for k := range x {
			xy, xx, yy = xy+x[k]*y[k], xx+x[k]*x[k], yy+y[k]*y[k]
		}
		return xy / math.Sqrt(xx*yy)
	}
	same, other := correlation("AAPL", "MSFT"), correlation("AAPL", "KO")
	if same < 0.3 || same > 0.8 || other < 0.1 || other > 0.7 {
		t.Errorf("correlation %.2f within a sector, %.2f across", same, other)
	}
}

func TestVolumeIsUShapedAndLevel(t *testing.T) {
	hours := make([]float64, 24)
	for _, tick := range run(t, past(20*24*time.Hour, func(c *simulate.Config) { c.HistoryRate = 0.3 }), nil, all) {
		hours[tick.TS/3600e6%24] += tick.Size * tick.Price
	}
	edge, noon := hours[0]+hours[23], hours[11]+hours[12]
	if edge < 2.5*noon || edge > 7*noon {
		t.Errorf("the day's first and last hour trade %.1f times its middle", edge/noon)
	}
	// Fifty times the ticks are not fifty times the money.
	worth := func(rate float64) (sum float64) {
		cfg := past(24*time.Hour, func(c *simulate.Config) { c.HistoryRate = rate })
		for _, tick := range run(t, cfg, nil, all) {
			sum += tick.Size * tick.Price
		}
		return sum
	}
	if a, b := worth(0.2), worth(10); a/b < 0.8 || a/b > 1.25 {
		t.Errorf("%.3g dollars at the low rate, %.3g at the high one", a, b)
	}
}

func TestForeignPositionsAreCarriedOn(t *testing.T) {
	positions := map[string]feed.Tick{"AAPL": {Symbol: "AAPL", Venue: "SIM", TS: now.Add(-time.Minute).UnixMicro(), Price: 1234.56, Size: 1, Seq: 77}}
	seen := int64(77)
	for _, tick := range run(t, past(time.Minute, func(c *simulate.Config) { c.HistoryRate, c.Late, c.Duplicates = 100, 0, 0 }), positions, all) {
		if tick.Symbol != "AAPL" {
			continue
		}
		if seen++; tick.Seq != seen || math.Abs(tick.Price/1234.56-1) > 0.02 {
			t.Fatalf("%+v after seq 77 at 1234.56", tick)
		}
	}
	if seen == 77 {
		t.Error("AAPL stands still")
	}
}

func TestProgress(t *testing.T) {
	s, err := simulate.New(past(24*time.Hour, nil), nil)
	if err != nil {
		t.Fatal(err)
	}
	var n, done, total int64
	err = s.Run(t.Context(), func(*feed.Tick) error { n++; return nil }, func(d, all int64) {
		if d < done || all < d {
			t.Errorf("%d of %d after %d", d, all, done)
		}
		done, total = d, all
	})
	// What is sent twice counts once.
	if !errors.Is(err, errEnough) || done != total || done > n || float64(done) < 0.99*float64(n) {
		t.Errorf("%d of %d done, %d ticks: %v", done, total, n, err)
	}
}

func TestContextEndsARun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cfg := past(time.Hour, nil)
	cfg.Clock, cfg.Sleep = time.Now, nil
	cfg.Start = time.Now().Add(-time.Hour)
	s, err := simulate.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(ctx, func(*feed.Tick) error { return nil }, func(done, total int64) {
		if done == total {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestConfigErrors(t *testing.T) {
	for want, edit := range map[string]func(*simulate.Config){
		"symbols: want 1 to 10000, got 0":                 func(c *simulate.Config) { c.Symbols = 0 },
		"rate: want 1 to 500000 ticks a second, got 0.5":  func(c *simulate.Config) { c.Rate = 0.5 },
		"rate: want 1 to 500000 ticks a second, got NaN":  func(c *simulate.Config) { c.Rate = math.NaN() },
		"history rate: want more than 0":                  func(c *simulate.Config) { c.HistoryRate = 0 },
		"late: want a share of 0 to 1, got 1.5":           func(c *simulate.Config) { c.Late = 1.5 },
		"duplicates: want a share of 0 to 1, got -1":      func(c *simulate.Config) { c.Duplicates = -1 },
		"start: want a time from 1970 to now, got 2026-1": func(c *simulate.Config) { c.Start = now.Add(1) },
	} {
		_, err := simulate.New(past(time.Hour, edit), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func BenchmarkHistory(b *testing.B) {
	for _, c := range []struct {
		symbols int
		rate    float64
	}{{24, 2}, {24, 1000}, {500, 50}, {10_000, 100}} {
		b.Run(fmt.Sprintf("symbols=%d/rate=%v", c.symbols, c.rate), func(b *testing.B) {
			cfg := past(10000*24*time.Hour, func(cfg *simulate.Config) { cfg.Symbols, cfg.HistoryRate = c.symbols, c.rate })
			s, err := simulate.New(cfg, nil)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			n := 0
			err = s.Run(b.Context(), func(*feed.Tick) error {
				if n++; n > b.N {
					return errEnough
				}
				return nil
			}, nil)
			if !errors.Is(err, errEnough) {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ticks/s")
		})
	}
}

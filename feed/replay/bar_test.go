package replay_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

// rows in the form of npm vega-datasets data/sp500-2000.csv.
const sp500 = `date,open,high,low,close,adjclose,volume
2000-01-03,1469.250000,1478.000000,1438.359985,1455.219971,1455.219971,931800000
2000-01-04,1455.219971,1455.219971,1397.430054,1399.420044,1399.420044,1009000000
2000-01-05,1399.420044,1413.270020,1377.680054,1402.109985,1402.109985,1085500000
`

func TestBars(t *testing.T) {
	day := at("2000-01-03T00:00:00Z")
	got := mustRead(t, replay.Config{Symbol: "SPX", Venue: "INDEX"}, sp500)
	const seq = 1<<62 + 1<<32
	for i, want := range []feed.Tick{
		{Symbol: "SPX", Venue: "INDEX", TS: day, Price: 1469.25, Seq: seq, Conditions: "bar"},
		{Symbol: "SPX", Venue: "INDEX", TS: day + 1, Price: 1478, Seq: seq + 1, Conditions: "bar"},
		{Symbol: "SPX", Venue: "INDEX", TS: day + 2, Price: 1438.359985, Seq: seq + 2, Conditions: "bar"},
		{Symbol: "SPX", Venue: "INDEX", TS: day + 3, Price: 1455.219971, Size: 931800000, Seq: seq + 3, Conditions: "bar"},
	} {
		if got[i] != want {
			t.Errorf("tick %d: %+v, want %+v", i, got[i], want)
		}
	}
	r, err := replay.New(replay.Config{Symbol: "SPX"}, strings.NewReader(sp500))
	if err != nil || r.Kind() != replay.Bars || r.Mapping() != "bars: ts=date open=open high=high low=low close=close volume=volume" {
		t.Errorf("%v", err)
	}
	// As trades, the same file is its closes.
	closes := mustRead(t, replay.Config{Symbol: "SPX", Kind: replay.Trades, Columns: map[string]string{"price": "close"}}, sp500)
	if len(closes) != 3 || closes[2].Price != 1402.109985 || closes[2].Size != 1085500000 {
		t.Errorf("%+v", closes)
	}
}

// candle is a candle as the database computes it.
type candle struct{ open, high, low, close, volume float64 }

// candles folds ticks by (ts, seq) with no regard to the order they come in.
func candles(ticks []feed.Tick, interval int64) map[int64]candle {
	slices.SortFunc(ticks, func(a, b feed.Tick) int {
		if a.TS != b.TS {
			return int(a.TS - b.TS)
		}
		return int(a.Seq - b.Seq)
	})
	out := map[int64]candle{}
	for _, tick := range ticks {
		fold(out, tick.TS/interval*interval, candle{tick.Price, tick.Price, tick.Price, tick.Price, tick.Size})
	}
	return out
}

func fold(into map[int64]candle, bucket int64, c candle) {
	if old, ok := into[bucket]; ok {
		c.open, c.high, c.low, c.volume = old.open, max(old.high, c.high), min(old.low, c.low), old.volume+c.volume
	}
	into[bucket] = c
}

func TestCandlesOfBarsAreTheBars(t *testing.T) {
	const minute = int64(60e6)
	rapid.Check(t, func(rt *rapid.T) {
		interval := minute * rapid.SampledFrom([]int64{1, 5, 60}).Draw(rt, "minutes")
		price := rapid.Map(rapid.IntRange(1, 500), func(v int) float64 { return float64(v) / 100 }) // few: ties are likely
		var text strings.Builder
		text.WriteString("time,open,high,low,close,volume\n")
		bars := map[int64]candle{}
		var order []int64
		start := at("2020-01-02T00:00:00Z")
		for range rapid.IntRange(1, 60).Draw(rt, "bars") {
			start += interval * rapid.Int64Range(1, 5).Draw(rt, "step")
			o, c := price.Draw(rt, "open"), price.Draw(rt, "close")
			b := candle{o, max(o, c) + price.Draw(rt, "up"), min(o, c), c, float64(rapid.IntRange(0, 1e6).Draw(rt, "volume"))}
			if rapid.Bool().Draw(rt, "flat") {
				b.high = max(o, c)
			}
			bars[start] = b
			order = append(order, start)
			fmt.Fprintf(&text, "%d,%v,%v,%v,%v,%v\n", start, b.open, b.high, b.low, b.close, b.volume)
		}
		ticks := mustRead(t, replay.Config{Symbol: "X"}, text.String())
		if rapid.Bool().Draw(rt, "shuffled") {
			ticks = rapid.Permutation(ticks).Draw(rt, "order")
		}
		for _, longer := range []int64{1, 5, 15, 60, 1440} {
			length := minute * longer
			if length%interval != 0 {
				continue
			}
			want := map[int64]candle{}
			for _, start := range order {
				fold(want, start/length*length, bars[start])
			}
			if got := candles(ticks, length); !reflect.DeepEqual(got, want) {
				rt.Fatalf("%d minutes of %d\n got %v\nwant %v", longer, interval/minute, got, want)
			}
		}
	})
}

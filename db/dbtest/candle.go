package dbtest

import (
	"context"
	"fmt"
	"math"
	"sort"
	"testing"
	"time"
)

// Tick is a trade as a test knows it.
type Tick struct {
	TS          time.Time
	Symbol      string
	Price, Size float64
	Seq         int64
	Venue       string
	Side        int16 // 1, -1, or 0: not known
	Flags       int32
}

// Interval is one level of candles.
type Interval struct {
	Name string
	Span time.Duration
}

// Intervals are the five levels.
var Intervals = []Interval{
	{"1m", time.Minute}, {"5m", 5 * time.Minute}, {"15m", 15 * time.Minute}, {"1h", time.Hour}, {"1d", 24 * time.Hour},
}

// Candle is a bar of one symbol.
type Candle struct {
	Symbol                 string
	Bucket                 time.Time
	Open, High, Low, Close float64
	Volume                 float64
	BuyVolume              *float64 // nil: no side is known
	Notional               float64
	Trades                 int64
}

// Bits of Tick.Flags: what a trade does not move.
const (
	noOpen = 1 << iota
	noHighLow
	noClose
	noVolume
)

// BruteForce makes the candles of ticks the plain way, by symbol and bucket. The
// span must divide a day.
func BruteForce(ticks []Tick, span time.Duration) []Candle {
	// Truncate counts from the year 1, so that buckets start at midnight UTC.
	return BruteForceBy(ticks, func(t time.Time) time.Time { return t.UTC().Truncate(span) })
}

// BruteForceBy is BruteForce with buckets that start where start says.
func BruteForceBy(ticks []Tick, start func(time.Time) time.Time) []Candle {
	sorted := append([]Tick(nil), ticks...)
	sort.SliceStable(sorted, func(i, j int) bool {
		a, b := sorted[i], sorted[j]
		if a.Symbol != b.Symbol {
			return a.Symbol < b.Symbol
		}
		if !a.TS.Equal(b.TS) {
			return a.TS.Before(b.TS)
		}
		return a.Seq < b.Seq
	})
	var out []Candle
	for first := 0; first < len(sorted); {
		bucket, end := start(sorted[first].TS), first+1
		for end < len(sorted) && sorted[end].Symbol == sorted[first].Symbol && start(sorted[end].TS).Equal(bucket) {
			end++
		}
		if c, ok := oneCandle(sorted[first:end]); ok {
			c.Bucket = bucket
			out = append(out, c)
		}
		first = end
	}
	return out
}

// oneCandle makes the candle of ticks in their order; there is none unless one of
// them moves the close.
func oneCandle(ticks []Tick) (c Candle, ok bool) {
	c = Candle{Symbol: ticks[0].Symbol, High: math.Inf(-1), Low: math.Inf(1)}
	opened := false
	for _, t := range ticks {
		if t.Flags&noOpen == 0 && !opened {
			c.Open, opened = t.Price, true
		}
		if t.Flags&noHighLow == 0 {
			c.High, c.Low = max(c.High, t.Price), min(c.Low, t.Price)
		}
		if t.Flags&noClose == 0 {
			c.Close, ok = t.Price, true
		}
		if t.Flags&noVolume == 0 {
			c.Volume += t.Size
			c.Notional += t.Price * t.Size
			if t.Side != 0 {
				if c.BuyVolume == nil {
					c.BuyVolume = new(float64)
				}
				if t.Side > 0 {
					*c.BuyVolume += t.Size
				}
			}
		}
		c.Trades++
	}
	if !opened {
		c.Open = c.Close
	}
	c.High, c.Low = max(c.High, c.Open, c.Close), min(c.Low, c.Open, c.Close)
	return c, ok
}

// BarStart is where the bar of an interval begins that holds a time, by the
// calendar: 1w on Monday, 1mo on the first, others in steps from a Monday.
func BarStart(t testing.TB, interval string) func(time.Time) time.Time {
	t.Helper()
	switch interval {
	case "1w":
		return func(ts time.Time) time.Time {
			day := ts.UTC().Truncate(24 * time.Hour)
			return day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
		}
	case "1mo":
		return func(ts time.Time) time.Time {
			ts = ts.UTC()
			return time.Date(ts.Year(), ts.Month(), 1, 0, 0, 0, 0, time.UTC)
		}
	case "1d":
		interval = "24h"
	}
	span, err := time.ParseDuration(interval)
	if err != nil {
		t.Fatal(err)
	}
	// The year 1 began with a Monday.
	return func(ts time.Time) time.Time { return ts.UTC().Truncate(span) }
}

// AddInterval materialises an interval. Its jobs run only when the test runs them.
func (d *DB) AddInterval(t testing.TB, interval string) {
	t.Helper()
	ctx := context.Background()
	if _, err := d.Pool.Exec(ctx, "SELECT add_interval($1)", interval); err != nil {
		t.Fatal(err)
	}
	if d.Embedded == nil {
		if _, err := d.Pool.Exec(ctx, "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000 AND scheduled"); err != nil {
			t.Fatal(err)
		}
	}
}

// Candles reads all candles of one level, by symbol and bucket, as candles() shows them.
func (d *DB) Candles(t testing.TB, interval string) []Candle {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), fmt.Sprintf(
		`SELECT symbol, bucket, coalesce(open, close), greatest(high, open, close), least(low, open, close), close, volume, buy_volume, notional, trades
		 FROM candles_%s WHERE close IS NOT NULL ORDER BY symbol COLLATE "C", bucket`, interval))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []Candle
	for rows.Next() {
		var c Candle
		if err := rows.Scan(&c.Symbol, &c.Bucket, &c.Open, &c.High, &c.Low, &c.Close, &c.Volume, &c.BuyVolume, &c.Notional, &c.Trades); err != nil {
			t.Fatal(err)
		}
		c.Bucket = c.Bucket.UTC()
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// EqualCandles fails the test unless got is want: open, high, low, close and
// trades exactly, sums to 1e-9, for the order of addition is free.
func EqualCandles(t testing.TB, what string, got, want []Candle) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d candles, want %d", what, len(got), len(want))
	}
	for i, w := range want {
		if g := got[i]; !SameCandle(g, w) {
			t.Fatalf("%s: candle %d:\n got %+v\nwant %+v", what, i, g, w)
		}
	}
}

// SameCandle compares two candles as EqualCandles does.
func SameCandle(g, w Candle) bool {
	return g.Symbol == w.Symbol && g.Bucket.Equal(w.Bucket) && g.Open == w.Open && g.High == w.High && g.Low == w.Low &&
		g.Close == w.Close && g.Trades == w.Trades && near(g.Volume, w.Volume) && near(g.Notional, w.Notional) &&
		(g.BuyVolume == nil) == (w.BuyVolume == nil) && (g.BuyVolume == nil || near(*g.BuyVolume, *w.BuyVolume))
}

func near(a, b float64) bool {
	return a == b || math.Abs(a-b) <= 1e-9*max(math.Abs(a), math.Abs(b))
}

package stream

import (
	"math"
	"time"
)

type barKey struct {
	symbol string
	timeframe
}

// bar is a forming bar, updated by adding ticks.
type bar struct {
	bucket                 time.Time
	open, high, low, close float64
	volume, notional       float64
	trades                 int64

	// firstTS and firstSeq are those of open, unless the bar was read from the
	// database: then exact is false and only the newest are known.
	exact           bool
	firstTS, lastTS time.Time
	first, last     int64
	changed         bool
}

type tick struct {
	symbol, venue string
	ts            time.Time
	price, size   float64
	seq           int64
}

func newBar(t tick, tf timeframe) *bar {
	return &bar{
		bucket: tf.Start(t.ts), open: t.price, high: t.price, low: t.price, close: t.price,
		volume: t.size, notional: t.price * t.size, trades: 1,
		exact: true, firstTS: t.ts, lastTS: t.ts, first: t.seq, last: t.seq, changed: true,
	}
}

// add adds a tick of the bar's bucket and reports whether it could: in a bar that
// was read, the order of an older tick is unknown.
func (b *bar) add(t tick) bool {
	older := before(t.ts, t.seq, b.lastTS, b.last)
	if older && !b.exact {
		return false
	}
	b.high, b.low = max(b.high, t.price), min(b.low, t.price)
	b.volume += t.size
	b.notional += t.price * t.size
	b.trades++
	if !older {
		b.close, b.lastTS, b.last = t.price, t.ts, t.seq
	}
	if b.exact && before(t.ts, t.seq, b.firstTS, b.first) {
		b.open, b.firstTS, b.first = t.price, t.ts, t.seq
	}
	b.changed = true
	return true
}

func before(ts time.Time, seq int64, than time.Time, thanSeq int64) bool {
	return ts.Before(than) || ts.Equal(than) && seq < thanSeq
}

// readBar returns the bar of a row; last is the time of the symbol's newest tick.
func readBar(r barRow, last time.Time) *bar {
	return &bar{
		bucket: r.Bucket, open: r.Open, high: r.High, low: r.Low, close: r.Close,
		volume: r.Volume, notional: r.Notional, trades: r.Trades, lastTS: last, last: math.MinInt64, changed: true,
	}
}

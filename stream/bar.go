package stream

import (
	"math"
	"time"
)

type barKey struct {
	symbol string
	timeframe
}

// bar is a forming bar, updated by adding ticks. Prices are NaN until a tick moves
// them; buyVolume is NaN until the side of one is known.
type bar struct {
	bucket                      time.Time
	open, high, low, close      float64
	volume, buyVolume, notional float64
	trades                      int64

	// exact is false for a bar that was read from the database: then opened and
	// closed are not known, and newest is at least that of its newest tick.
	exact                  bool
	opened, closed, newest mark
	changed                bool
}

// mark is where a tick stands among those of its symbol.
type mark struct {
	ts  time.Time
	seq int64
}

func (m mark) before(other mark) bool {
	return m.ts.Before(other.ts) || m.ts.Equal(other.ts) && m.seq < other.seq
}

type tick struct {
	symbol, venue string
	ts            time.Time
	price, size   float64
	seq           int64
	side          int16
	flags         int32
}

// Bits of ticks.flags, see table trade_flags: what a trade does not move.
const (
	noOpen = 1 << iota
	noHighLow
	noClose
	noVolume
)

func newBar(t tick, tf timeframe) *bar {
	nan := math.NaN()
	b := &bar{bucket: tf.Start(t.ts), open: nan, high: nan, low: nan, close: nan, buyVolume: nan, exact: true}
	b.add(t)
	return b
}

// add adds a tick of the bar's bucket and reports whether it could: in a bar that
// was read, the order of an older tick is unknown.
func (b *bar) add(t tick) bool {
	at := mark{t.ts, t.seq}
	if !b.exact {
		if at.before(b.newest) {
			return false
		}
		b.newest = at
	}
	if t.flags&noOpen == 0 && (math.IsNaN(b.open) || b.exact && at.before(b.opened)) {
		b.open, b.opened = t.price, at
	}
	if t.flags&noHighLow == 0 {
		b.high, b.low = greatest(b.high, t.price), least(b.low, t.price)
	}
	if t.flags&noClose == 0 && (math.IsNaN(b.close) || !b.exact || !at.before(b.closed)) {
		b.close, b.closed = t.price, at
	}
	if t.flags&noVolume == 0 {
		b.volume += t.size
		b.notional += t.price * t.size
		if t.side != 0 && math.IsNaN(b.buyVolume) {
			b.buyVolume = 0
		}
		if t.side > 0 {
			b.buyVolume += t.size
		}
	}
	b.trades++
	b.changed = true
	return true
}

// readBar returns the bar of a row; last is the time of the symbol's newest tick.
func readBar(r barRow, last time.Time) *bar {
	return &bar{
		bucket: r.Bucket, open: r.Open, high: r.High, low: r.Low, close: r.Close,
		volume: r.Volume, buyVolume: r.BuyVolume, notional: r.Notional, trades: r.Trades, newest: mark{last, math.MinInt64}, changed: true,
	}
}

// seen reports whether readers see the bar: a tick has moved its close.
func (b *bar) seen() bool { return b != nil && !math.IsNaN(b.close) }

// candle is the bar as readers see it, as the function candles of the database
// has it.
func (b *bar) candle(symbol string, tf timeframe) Candle {
	c := Candle{
		symbol, tf.name, forming, b.bucket, b.open, 0, 0, b.close, b.volume, known(b.buyVolume), vwap(b.notional, b.volume), b.trades,
	}
	if math.IsNaN(b.open) {
		c.Open = b.close
	}
	c.High, c.Low = greatest(b.high, max(c.Open, c.Close)), least(b.low, min(c.Open, c.Close))
	return c
}

// greatest and least leave out what is NaN.
func greatest(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return max(a, b)
}

func least(a, b float64) float64 {
	if math.IsNaN(a) {
		return b
	}
	return min(a, b)
}

// known is nil for NaN.
func known(x float64) *float64 {
	if math.IsNaN(x) {
		return nil
	}
	return &x
}

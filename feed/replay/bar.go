package replay

import (
	"math"

	"github.com/hypertick/hypertick/feed"
)

// BarCondition is the condition of the ticks of a bar: they are no trades.
const BarCondition = "bar"

// rounding is by how much a high may lie below the other prices, as a part of
// them: some vendors round each price on its own.
const rounding = 1e-9

// decodeBar reads the prices and the volume of a bar.
func (r *Replay) decodeBar(c *columns, row []string, it *item) error {
	empty := 0
	for _, f := range prices {
		if none(trim(row[c.at[f]])) {
			empty++
		}
	}
	if empty == len(prices) {
		return errNoTrade
	}
	for i, f := range prices {
		var err error
		if it.price[i], err = r.number(c, row, c.at[f], r.cfg.scale("price", r.priceScale)); err != nil {
			return err
		}
	}
	open, high, low, last := it.price[0], it.price[1], it.price[2], it.price[3]
	if top := max(open, low, last); high < top {
		if top-high > rounding*math.Abs(top) {
			return c.errorf(c.at[fHigh], "want at least open, low and close, got %v", high)
		}
		it.price[1], r.rounded = top, true
	}
	if bottom := min(open, last); low > bottom {
		if low-bottom > rounding*math.Abs(bottom) {
			return c.errorf(c.at[fLow], "want at most open and close, got %v", low)
		}
		it.price[2], r.rounded = bottom, true
	}
	var err error
	if it.size, err = r.volume(c, row, c.at[fSize]); err != nil {
		return err
	}
	it.vwap = r.ownVWAP(c, row, it)
	it.conditions = BarCondition
	return nil
}

// ownVWAP returns the vwap of the file, NaN if there is none that lies within the
// bar.
func (r *Replay) ownVWAP(c *columns, row []string, it *item) float64 {
	within := func(v float64) bool {
		return v >= it.price[2]-rounding*math.Abs(v) && v <= it.price[1]+rounding*math.Abs(v)
	}
	if it.size > 0 {
		if at := c.at[fVWAP]; at >= 0 {
			if v, err := r.number(c, row, at, r.cfg.scale("price", r.priceScale)); err == nil && within(v) {
				return v
			}
		}
		if at := c.at[fQuoteVolume]; at >= 0 {
			if q, err := r.number(c, row, at, 1); err == nil && within(q/it.size) {
				return q / it.size
			}
		}
	}
	return math.NaN()
}

// ticks appends the ticks of an item.
//
// A bar becomes four. All lie within its first 3 µs: so they are inside the bar
// however short it is, in the order open, high, low, close by time and by seq, and
// the candles of its own and of every longer interval are those computed from
// bars. Their seq is their ordinal. The volume is that of the close, or, where
// the file has a vwap, it is divided between high and low so that their mean is
// that.
func (i *item) ticks(out []feed.Tick) []feed.Tick {
	t := feed.Tick{Symbol: i.src.symbol, Venue: i.src.venue, TS: i.ts, Price: i.price[0], Size: i.size, Seq: i.seq, Side: i.side, Kind: i.kind, Conditions: i.conditions}
	if !i.bar {
		return append(out, t)
	}
	sizes := [4]float64{3: i.size}
	if !math.IsNaN(i.vwap) {
		sizes[1], sizes[2] = divide(i.size, i.price[1], i.price[2], i.vwap)
		sizes[3] = 0
		if sizes[1] == 0 && sizes[2] == 0 {
			sizes[3] = i.size
		}
	}
	for n, price := range i.price {
		t.TS, t.Price, t.Size = i.ts+int64(n), price, sizes[n]
		t.Seq = contentSeq(int64(n))
		out = append(out, t)
	}
	return out
}

// divide divides a volume between high and low so that their mean price is vwap.
// The sum of the two is the volume, to the last digit.
func divide(volume, high, low, vwap float64) (atHigh, atLow float64) {
	if !(high > low) {
		return 0, 0
	}
	share := min(max((vwap-low)/(high-low), 0), 1)
	atHigh = volume + volume*share - volume // in steps of the volume's last digit
	atLow = volume - atHigh
	if atHigh+atLow != volume || atHigh < 0 || atLow < 0 || atHigh != 0 && atHigh < feed.MinNumber || atLow != 0 && atLow < feed.MinNumber {
		return 0, 0
	}
	return atHigh, atLow
}

// contentSeq is the seq of a tick that has no number of its own: its ordinal among
// those of equal time, which begins with the nanoseconds of the time. The lowest
// leave room for ticks that turn out to come before.
func contentSeq(ordinal int64) int64 { return feed.ContentSeq + 1<<32 + ordinal }

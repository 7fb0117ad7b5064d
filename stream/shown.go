package stream

import (
	"hash/maphash"
	"math"
	"time"
)

// fingerprint stands for the values of a bar as clients were sent them.
type fingerprint uint64

const (
	unknown fingerprint = iota
	gone                // there is no such bar
	printed             // the first that stands for values
)

var printSeed = maphash.MakeSeed()

// printOf is the fingerprint of a bar. Sums differ in their last digits by the
// order of addition, so they count to some 12.
func printOf(r barRow) fingerprint {
	return max(printed, fingerprint(maphash.Comparable(printSeed, [...]uint64{
		math.Float64bits(r.Open), math.Float64bits(r.High), math.Float64bits(r.Low), math.Float64bits(r.Close), uint64(r.Trades),
		rounded(r.Volume), rounded(r.BuyVolume), rounded(r.Notional),
	})))
}

func rounded(x float64) uint64 {
	const dropped = 12 // of 52 bits
	return (math.Float64bits(x) + 1<<(dropped-1)) >> dropped
}

// shown is a bar as sent to clients: when it closed, and last.
type shown struct{ closed, last fingerprint }

type shownKey struct {
	barKey
	bucket int64
}

const (
	// showFor is how long closed bars are kept in shown, and maxShown how many:
	// when there are more, the oldest are evicted. A revision of an evicted bar
	// may be sent that changes nothing.
	showFor  = time.Hour
	maxShown = 200_000
)

// unchanged reports whether a revised bar equals the one that clients were sent:
// the last one, or, for a client that reconnects, the one at its close.
func (h *Hub) unchanged(e *event, resumed bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.shown[e.shownKey()]
	if resumed {
		return s.closed == e.print
	}
	return s.last == e.print
}

// show records the bars of an update in shown.
func (h *Hub) show(u *update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range u.durable {
		switch e.state {
		case closed:
			h.shown[e.shownKey()] = shown{e.print, e.print}
		case revised, removed:
			s := h.shown[e.shownKey()]
			s.last = e.print
			h.shown[e.shownKey()] = s
		}
	}
	if len(h.shown) > maxShown || !sameMinute(u.start.upto, u.at.upto) {
		h.evict(u.at.upto)
	}
}

// evict drops the bars that closed long before upto from shown.
func (h *Hub) evict(upto time.Time) {
	keep := showFor
	for {
		for k := range h.shown {
			if upto.Sub(k.End(time.Unix(k.bucket, 0))) > keep {
				delete(h.shown, k)
			}
		}
		if len(h.shown) <= maxShown {
			return
		}
		if keep /= 2; keep < time.Second {
			clear(h.shown)
			return
		}
	}
}

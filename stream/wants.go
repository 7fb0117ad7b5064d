package stream

import (
	"maps"
	"slices"
)

// wants counts who wants what.
type wants struct {
	ticks   interest
	candles map[timeframe]*interest
}

type interest struct {
	all int
	by  map[string]int
}

func newWants() wants {
	return wants{ticks: interest{by: map[string]int{}}, candles: map[timeframe]*interest{}}
}

// room reports whether the intervals of one more client can be followed.
func (w *wants) room(sub *Subscription) bool {
	n := len(w.candles)
	for _, tf := range sub.timeframes {
		if w.candles[tf] == nil && sub.follows(tf) {
			n++
		}
	}
	return n <= maxTimeframes
}

func (w *wants) add(sub *Subscription, n int) {
	if sub.Kinds&Ticks != 0 {
		w.ticks.add(sub.Symbols, n)
	}
	for _, tf := range sub.timeframes {
		if !sub.follows(tf) {
			continue
		}
		i := w.candles[tf]
		if i == nil {
			i = &interest{by: map[string]int{}}
			w.candles[tf] = i
		}
		if i.add(sub.Symbols, n); !i.any() {
			delete(w.candles, tf)
		}
	}
}

// candlesOf reports whether anyone wants candles of tf of a symbol.
func (w *wants) candlesOf(tf timeframe, symbol string) bool {
	i := w.candles[tf]
	return i != nil && i.has(symbol)
}

// timeframes are those anyone follows, shortest first.
func (w *wants) timeframes() []timeframe {
	return slices.SortedFunc(maps.Keys(w.candles), timeframe.compare)
}

func (i *interest) add(symbols []string, n int) {
	if symbols == nil {
		i.all += n
	}
	for _, s := range symbols {
		if i.by[s] += n; i.by[s] == 0 {
			delete(i.by, s)
		}
	}
}

func (i *interest) has(symbol string) bool { return i.all > 0 || i.by[symbol] > 0 }

func (i *interest) any() bool { return i.all > 0 || len(i.by) > 0 }

func (i *interest) clone() interest {
	out := interest{all: i.all, by: make(map[string]int, len(i.by))}
	for k, v := range i.by {
		out.by[k] = v
	}
	return out
}

// snapshot is a copy for the length of a pass.
func (h *Hub) snapshotWants() wants {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := wants{ticks: h.wants.ticks.clone(), candles: make(map[timeframe]*interest, len(h.wants.candles))}
	for tf, i := range h.wants.candles {
		c := i.clone()
		w.candles[tf] = &c
	}
	return w
}

func (w *wants) symbol(s string) bool {
	if w.ticks.has(s) {
		return true
	}
	for _, i := range w.candles {
		if i.has(s) {
			return true
		}
	}
	return false
}

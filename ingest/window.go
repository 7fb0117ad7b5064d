package ingest

import "math/bits"

// window remembers the ticks that a member planned last, so that a repetition is
// recognised without asking the database, and before its batch is committed. It
// holds at least the ticks of all batches in flight.
type window struct {
	ring  []planned
	heads []uint64 // of each hash, the number of the newest tick; 0: none
	n     uint64   // ticks added so far
}

// planned is a tick in a window.
type planned struct {
	feed        uint32 // position.id
	ts, seq     int64
	price, size float64
	before      uint64 // number of the tick of the same hash before it
}

// newWindow returns a window of at least size ticks.
func newWindow(size int) *window {
	size = 1 << bits.Len(uint(max(size, 2)-1))
	return &window{ring: make([]planned, size), heads: make([]uint64, 2*size)}
}

func (w *window) hash(feed uint32, ts, seq int64) uint64 {
	h := (uint64(ts)*0x9e3779b97f4a7c15 ^ uint64(seq)) * 0xff51afd7ed558ccd
	h = (h ^ h>>32 ^ uint64(feed)) * 0xc4ceb9fe1a85ec53
	return h >> (65 - bits.Len(uint(len(w.heads))))
}

func (w *window) add(feed uint32, ts, seq int64, price, size float64) {
	head := &w.heads[w.hash(feed, ts, seq)]
	w.ring[w.n%uint64(len(w.ring))] = planned{feed, ts, seq, price, size, *head}
	w.n++
	*head = w.n
}

// find returns whether an equal tick is in the window, and will be after so many
// more are added, and otherwise one that differs in price or size alone.
func (w *window) find(feed uint32, ts, seq int64, price, size float64, more int) (equal bool, other *planned) {
	size64 := uint64(len(w.ring))
	for n := w.heads[w.hash(feed, ts, seq)]; n > 0 && w.n+uint64(more)-n < size64; {
		p := &w.ring[(n-1)%size64]
		if p.feed == feed && p.ts == ts && p.seq == seq {
			if p.price == price && p.size == size {
				return true, nil
			}
			other = p
		}
		n = p.before
	}
	return false, other
}

func (w *window) clear() {
	clear(w.heads)
	w.n = 0
}

package replay

import (
	"slices"

	"github.com/hypertick/hypertick/feed"
)

// Moment names the ticks of one source at one time.
type Moment struct {
	Venue, Symbol string
	TS            int64 // microseconds since 1970
}

// group is the rows of one source and time that follow each other in the file.
type group struct {
	items []item
	final bool // nothing follows, but others come before: the file may have been cut here
}

func (g *group) moment() Moment {
	i := &g.items[0]
	return Moment{i.src.venue, i.src.symbol, i.ts}
}

// place numbers the rows of a group: by their time and their place among those of
// equal time. A file may have been cut amid them, so they are laid against those
// that are known already: each row is then the one that it fits, and the others
// come before or after.
func (g *group) place(known []seen) {
	next := int64(0)
	for n := range g.items {
		i := &g.items[n]
		i.seq = max(contentSeq(i.ns), next)
		next = i.seq + 1
	}
	if len(known) == 0 {
		return
	}
	by := make(map[int64]uint64, len(known))
	for _, k := range known {
		by[k.seq] = k.sum
	}
	best, most := int64(0), g.fits(by, 0)
	first, last := &g.items[0], &g.items[len(g.items)-1]
	tries := 0
	try := func(shift int64) {
		if tries++; tries > mostTries || first.seq+shift < feed.ContentSeq {
			return
		}
		if n := g.fits(by, shift); n > most || n == most && n > 0 && abs(shift) < abs(best) {
			best, most = shift, n
		}
	}
	if most < len(known) && most < len(g.items) {
		for _, k := range known {
			if k.sum == first.sum() {
				try(k.seq - first.seq)
			}
		}
		tries = 0
		for n := range g.items {
			if g.items[n].sum() == known[0].sum {
				try(known[0].seq - g.items[n].seq)
			}
		}
	}
	if most < 0 && g.contains(known) {
		return
	}
	if most < 0 { // nothing in common
		best = known[len(known)-1].seq + 1 - first.seq
		if before := known[0].seq - 1 - last.seq; g.final && first.seq+before >= feed.ContentSeq {
			best = before
		}
	}
	for n := range g.items {
		g.items[n].seq += best
	}
}

// contains reports whether the rows have all that is known, in whatever order, and
// more. Then it numbers the rows: what is known as it is, the others behind.
func (g *group) contains(known []seen) bool {
	if len(known) > len(g.items) {
		return false
	}
	left := make(map[uint64][]int64, len(known))
	for _, k := range known {
		left[k.sum] = append(left[k.sum], k.seq)
	}
	seqs := make([]int64, len(g.items))
	next, n := known[len(known)-1].seq+1, 0
	for i := range g.items {
		if same := left[g.items[i].sum()]; len(same) > 0 {
			seqs[i], left[g.items[i].sum()] = same[0], same[1:]
			n++
			continue
		}
		seqs[i] = next
		next++
	}
	if n < len(known) {
		return false
	}
	for i := range g.items {
		g.items[i].seq = seqs[i]
	}
	return true
}

// mostTries bounds the comparison of rows that are nearly all equal.
const mostTries = 100

// fits counts the rows that are known, if the first is moved by shift; -1 if one is
// another.
func (g *group) fits(by map[int64]uint64, shift int64) (n int) {
	for i := range g.items {
		if sum, ok := by[g.items[i].seq+shift]; ok {
			if sum != g.items[i].sum() {
				return -1
			}
			n++
		}
	}
	return n
}

func abs(v int64) int64 { return max(v, -v) }

// settle numbers and emits the groups.
func (r *Replay) settle(end bool) error {
	var stored map[Moment][]seen
	if r.cfg.Stored != nil && len(r.groups) > 0 {
		moments := make([]Moment, len(r.groups))
		for n := range r.groups {
			moments[n] = r.groups[n].moment()
		}
		found, err := r.cfg.Stored(moments)
		if err != nil {
			return err
		}
		stored = make(map[Moment][]seen, len(found))
		for i := range found {
			m := Moment{found[i].Venue, found[i].Symbol, found[i].TS}
			stored[m] = append(stored[m], seen{found[i].TS, found[i].Seq, sumTrade(found[i].Price, found[i].Size, feed.Trade)})
		}
	}
	for n := range r.groups {
		g := &r.groups[n]
		g.final = end && (r.settled || g.items[0].ts != r.groups[0].items[0].ts) && g.items[0].ts == r.groups[len(r.groups)-1].items[0].ts
		src, ts := g.items[0].src, g.items[0].ts
		own := src.of(ts)
		known := append(slices.Clone(own), stored[g.moment()]...)
		slices.SortFunc(known, seen.compare)
		known = slices.CompactFunc(known, func(a, b seen) bool { return a.seq == b.seq })
		g.place(known)
		for i := range g.items {
			it := &g.items[i]
			t := seen{it.ts, it.seq, it.sum()}
			if _, is := slices.BinarySearchFunc(own, t, seen.compare); is {
				r.stats.Repeated++
				continue
			}
			r.session.remember(src, t)
			own = src.of(ts)
			if err := r.emitItem(it); err != nil {
				return err
			}
		}
	}
	clear(r.groups)
	clear(r.open)
	r.groups, r.gathered = r.groups[:0], 0
	r.settled = true
	return nil
}

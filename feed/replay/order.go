package replay

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// source is the progress of the rows of one symbol and venue, over all files of a
// Session.
type source struct {
	symbol, venue string
	anyPrice      *bool  // prices at or below 0 are allowed; nil if not known yet
	before        int64  // ts of the row before, in a file with local times
	begun         bool   // there is one
	last          int64  // ts of the row before, in the order of the file
	run           int    // rows of equal time that follow each other, counted
	seen          []seen // the latest ticks, by ts and seq
}

// seen is a tick that was emitted.
type seen struct {
	ts, seq int64
	sum     uint64
}

func (a seen) compare(b seen) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.seq, b.seq)) }

// choose picks one of two times that are the same on the clock: in a file that
// rises the first that is not before the row before.
func (s *source) choose(at []int64, falls, strict bool) int64 {
	early, late := at[0], at[1]
	switch {
	case !s.begun && falls:
		return late
	case !s.begun:
		return early
	case falls && (late < s.before || !strict && late == s.before):
		return late
	case falls:
		return early
	case early > s.before || !strict && early == s.before:
		return early
	}
	return late
}

// Session is what several files of one command share: a tick that is in two of them
// is emitted once.
type Session struct {
	sources map[[2]string]*source
}

// NewSession returns a Session.
func NewSession() *Session { return &Session{sources: map[[2]string]*source{}} }

// remembered is how many ticks a Session remembers, of all sources.
const remembered = 1 << 20

// moved is how many ticks are moved for one between them: farther back, a tick is
// not remembered.
const moved = 1 << 14

// remember adds a tick, most often at the end.
func (s *Session) remember(src *source, t seen) {
	if n := len(src.seen); n == 0 || src.seen[n-1].compare(t) < 0 {
		if most := max(64, remembered/len(s.sources)); n >= 2*most {
			src.seen = append(src.seen[:0], src.seen[n-most:]...)
		}
		src.seen = append(src.seen, t)
		return
	}
	at, _ := slices.BinarySearchFunc(src.seen, t, seen.compare)
	if len(src.seen)-at < moved {
		src.seen = slices.Insert(src.seen, at, t)
	}
}

// from returns the ticks from this one on.
func (s *source) from(t seen) []seen {
	n := len(s.seen)
	if n == 0 || s.seen[n-1].compare(t) < 0 {
		return nil
	}
	at, _ := slices.BinarySearchFunc(s.seen, t, seen.compare)
	return s.seen[at:]
}

// of returns the ticks of a time.
func (s *source) of(ts int64) []seen {
	n := len(s.seen)
	if n == 0 || s.seen[n-1].ts < ts {
		return nil
	}
	from, _ := slices.BinarySearchFunc(s.seen, seen{ts: ts}, seen.compare)
	to := from
	for to < n && s.seen[to].ts == ts {
		to++
	}
	return s.seen[from:to]
}

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

// order is how the times of a file go on.
type order int

const (
	rising order = iota
	falling
	mixed
)

func (o order) String() string { return [...]string{"oldest first", "newest first", "not in order"}[o] }

// window is how many rows of a file that is not in order are held in memory and
// sorted.
const window = 1 << 20

// add takes an item in the order of the file.
func (r *Replay) add(it item) error {
	s := it.src
	if s.run == 0 || it.ts != s.last {
		s.run++
		s.last = it.ts
	}
	it.run = s.run
	if r.order == rising {
		return r.next(it)
	}
	// Not amid rows of equal time.
	if n := len(r.held); n >= window && r.held[n-1].ts != it.ts {
		if err := r.release(); err != nil {
			return err
		}
	}
	r.held = append(r.held, it)
	return nil
}

// release hands on the items held, oldest first.
func (r *Replay) release() error {
	if r.order == falling {
		slices.Reverse(r.held)
	}
	slices.SortStableFunc(r.held, func(a, b item) int { return cmp.Compare(a.ts, b.ts) })
	newest := map[*source]int64{}
	for i := range r.held {
		newest[r.held[i].src] = r.held[i].ts
	}
	for src, ts := range newest { // what is all newer is of no use here
		if len(src.seen) > moved && ts < src.seen[0].ts {
			src.seen = src.seen[:0]
		}
	}
	for _, it := range r.held {
		if err := r.next(it); err != nil {
			return err
		}
	}
	clear(r.held)
	r.held = r.held[:0]
	return nil
}

// next takes an item in the order of time. Rows without a number wait for those of
// equal time.
func (r *Replay) next(it item) error {
	if !it.bar && !it.numbered {
		return r.gather(it)
	}
	if it.kind != feed.Trade {
		if moot, err := r.change(&it); moot || err != nil {
			return err
		}
	}
	t := seen{ts: it.ts, seq: it.seq, sum: it.sum()}
	for _, k := range it.src.from(t) {
		if k.ts != t.ts || k.seq != t.seq {
			break
		}
		if k.sum == t.sum {
			r.stats.Repeated++
			return nil
		}
		if it.bar {
			return r.bad(&cellError{"", fmt.Sprintf("want one bar of %s %s at %s, got another with other values; is --timezone right?",
				it.src.venue, it.src.symbol, time.UnixMicro(it.ts).UTC().Format(time.RFC3339))}, it.line)
		}
	}
	r.session.remember(it.src, t)
	return r.emitItem(&it)
}

// change decides what a cancel or a correction of a file means: a correction of a
// trade that is not known is that trade, and a cancel of one means nothing where
// all are known.
func (r *Replay) change(it *item) (moot bool, err error) {
	if r.cfg.Stored == nil {
		if it.kind == feed.Correct {
			it.kind = feed.Trade
		}
		return false, nil
	}
	found, err := r.cfg.Stored([]Moment{{it.src.venue, it.src.symbol, it.ts}})
	if err != nil {
		return false, err
	}
	known := false
	for i := range found {
		if k := &found[i]; k.Seq == it.seq {
			known = known || k.Price != it.price[0] || k.Size != it.size
		}
	}
	switch {
	case it.kind == feed.Correct && !known:
		it.kind = feed.Trade
	case it.kind == feed.Cancel && !known && r.cfg.StoredIsAll:
		r.stats.NoTrade++
		return true, nil
	}
	return false, nil
}

// runOf names the rows of one source and time that follow each other.
type runOf struct {
	src *source
	run int
}

// gatherMost is how many rows wait for a search among what is stored.
const gatherMost = 4096

func (r *Replay) gather(it item) error {
	if n := len(r.groups); n == 0 || r.groups[n-1].items[0].ts != it.ts {
		clear(r.open)
		if r.gathered >= gatherMost || r.cfg.Speed > 0 && n > 0 {
			if err := r.settle(false); err != nil {
				return err
			}
		}
	}
	of := runOf{it.src, it.run}
	if n, ok := r.open[of]; ok {
		r.groups[n].items = append(r.groups[n].items, it)
		r.gathered++
		return nil
	}
	r.open[of] = len(r.groups)
	r.groups = append(r.groups, group{items: []item{it}})
	r.gathered++
	return nil
}

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

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

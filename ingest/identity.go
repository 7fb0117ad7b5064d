package ingest

import (
	"github.com/hypertick/hypertick/feed"
)

// earliest is 1900, the start of a run of which nothing is known.
const earliest = -2_208_988_800_000_000

type feedKey struct{ symbol, venue string }

// position caches a row of feed_positions, with the values it has once all
// planned parts are committed.
type position struct {
	feedKey
	id      uint32 // unique within a member
	home    int32  // the partition of the feed's last tick
	stored  bool   // the database has a row
	version int64

	ts, top int64 // the newest trade time stored, and the highest seq with it
	seq     int64 // highest of the present run, -1 if it has none
	since   int64 // trade time at which the run began
	runs    int32
	gaps    bool // some are open
	jump    jump

	part  uint64 // the last part that moves it
	delta int    // its index in the part's deltas

	// The state of the search for ticks to look up, see lookups.
	seenTS, seenTop int64
	seenBatch       uint64
}

// jump is the last gap of a run, while it may turn out to be none.
type jump struct {
	gap   gap
	below int // ticks in a row that are newer and yet fall into it
}

// arrival is a tick of a feed that may fill a gap.
type arrival struct{ seq, ts int64 }

// restart says that a feed began to number again.
type restart struct {
	feedKey
	from int64 // the first seq of the new run
	last int64 // the last of the run before
	ts   int64 // at which the new run began
}

// above reports whether no tick of ts and seq can be stored yet.
func (p *position) above(ts, seq int64) bool {
	return !p.stored || ts > p.ts || ts == p.ts && seq > p.top
}

// raise notes a tick that is stored.
func (p *position) raise(ts, seq int64) {
	switch {
	case !p.stored || ts > p.ts:
		p.ts, p.top = ts, seq
	case ts == p.ts:
		p.top = max(p.top, seq)
	}
	p.stored = true
}

// It takes this many newer ticks in a row that fall into a jump to tell that it
// is none, and a single one where it is wider than any outage.
const (
	jumpTicks = 3
	jumpWidth = 1 << 20
)

// pass moves the run by a tick that came and is not stored: it is not missing.
func (p *position) pass(t *feed.Tick, d *delta) {
	next := t.Seq == p.seq+1
	if next {
		p.seq = t.Seq
	}
	p.fill(t, next, d)
}

// fill notes a tick that may fill a gap. The very next one of the run does not,
// unless it is older than the run: then it may be missing in one before.
func (p *position) fill(t *feed.Tick, next bool, d *delta) {
	if p.gaps && (!next || t.TS < p.since) {
		d.filled = append(d.filled, arrival{t.Seq, t.TS})
	}
}

// follow moves the run by a tick that is stored, before raise, and adds to d what
// comes of it: a gap that it opens, or may fill, or that the feed began to number
// again.
//
// A seq that rises, not before the run began, goes on with it; the very next one
// does whenever it is from. A lower one with a
// newer ts begins a new run: its source has restarted. Any other belongs to the
// past, or repeats a number, and moves nothing. A seq that stands for content counts nothing.
func (p *position) follow(t *feed.Tick, contiguous bool, d *delta) {
	if t.Seq >= feed.ContentSeq {
		return
	}
	switch {
	case p.seq < 0:
		p.seq, p.since = t.Seq, t.TS
		p.runs = max(p.runs, 1)
	case t.Seq == p.seq+1, t.Seq > p.seq && t.TS >= p.since:
		if contiguous && t.Seq > p.seq+1 {
			p.jump = jump{gap: gap{
				feedKey: p.feedKey, from: p.seq + 1, to: t.Seq - 1, before: min(p.ts, t.TS), after: max(p.ts, t.TS),
				since: p.since, restarts: len(d.restarts),
			}}
			p.gaps = true
			d.opened = append(d.opened, p.jump.gap)
		} else {
			p.jump = jump{}
			p.fill(t, true, d)
		}
		p.seq = t.Seq
	case t.Seq < p.seq && p.stored && t.TS > p.ts:
		g := p.jump.gap
		if p.jump.below++; g.from > 0 && g.from <= t.Seq && t.Seq <= g.to && p.jump.below < jumpTicks && g.to-g.from < jumpWidth {
			d.filled = append(d.filled, arrival{t.Seq, t.TS})
			return
		}
		d.restarts = append(d.restarts, restart{p.feedKey, t.Seq, p.seq, t.TS})
		p.seq, p.since = t.Seq, t.TS
		p.runs++
		p.jump = jump{}
	default:
		p.fill(t, false, d)
	}
}

// verdict is what becomes of a tick.
type verdict uint8

const (
	isNew       verdict = iota
	isDuplicate         // it is stored, equal in all
	isConflict          // one of its ts and seq is stored, with another price or size
)

// judge compares a tick with the window and with what was found in the database.
func (pl *planner) judge(t *tick) (v verdict, other stored) {
	pos := t.pos
	if pos.above(t.TS, t.Seq) {
		return isNew, other
	}
	equal, near := pl.window.find(pos.id, t.TS, t.Seq, t.Price, t.Size, 0)
	if equal {
		return isDuplicate, other
	}
	if near != nil {
		v, other = isConflict, stored{price: near.price, size: near.size}
	}
	for _, s := range pl.found[identity{pos.id, t.TS, t.Seq}] {
		switch {
		case s.price == t.Price && s.size == t.Size:
			return isDuplicate, s
		case !s.undone:
			v, other = isConflict, s
		}
	}
	return v, other
}

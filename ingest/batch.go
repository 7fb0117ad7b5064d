package ingest

import (
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// partition is the state of an assigned partition. Each assignment and each
// reset creates a new one: records polled for an older one are dropped and
// polled again.
type partition struct {
	id      int32
	topicID string // of the topic that next counts in
	next    int64  // the next offset, once all planned parts are committed
	lane    lane
}

// delta is the change of one feed by one part.
type delta struct {
	pos               *position
	stored            bool  // the database has a row
	expected, version int64 // of that row, before and after
	seq, ts, top      int64
	since             int64
	runs              int32

	oldest, newest int64 // rows written to ticks
	least, most    int64 // their seqs

	opened   []gap
	filled   []arrival
	restarts []restart
}

// note adds a row written to ticks.
func (d *delta) note(ts, seq int64) {
	d.oldest, d.newest = min(d.oldest, ts), max(d.newest, ts)
	d.least, d.most = min(d.least, seq), max(d.most, seq)
}

// join adds what a later part of the same transaction changes.
func (d *delta) join(next *delta) {
	d.version, d.seq, d.ts, d.top, d.since, d.runs = next.version, next.seq, next.ts, next.top, next.since, next.runs
	d.oldest, d.newest = min(d.oldest, next.oldest), max(d.newest, next.newest)
	d.least, d.most = min(d.least, next.least), max(d.most, next.most)
	for _, g := range next.opened {
		g.restarts += len(d.restarts)
		d.opened = append(d.opened, g)
	}
	d.filled = append(d.filled, next.filled...)
	d.restarts = append(d.restarts, next.restarts...)
}

// gap is a range of seqs that a run jumped over.
type gap struct {
	feedKey
	from, to      int64
	before, after int64 // trade times between which it lies
	since         int64 // at which its run began
	restarts      int   // of its delta, that came before it
}

// around is how far from a gap the trade time of a tick may lie that fills it, as
// in FillGaps: a seq of another run has one far from it.
const around = 3_600_000_000

// holds reports whether a tick fills a part of the gap.
func (g *gap) holds(x arrival) bool {
	return g.from <= x.seq && x.seq <= g.to && g.before-around <= x.ts && x.ts <= g.after+around
}

// conflict is a tick that has the ts and seq of a stored one.
type conflict struct {
	feed.Tick
	other   stored
	outcome string // as in feed_conflicts.outcome
}

// change is a cancel or a correction.
type change struct {
	feed.Tick
	flags  int32
	offset int64
}

// part is a range of records of one partition that is committed as a whole.
type part struct {
	id        uint64 // unique, while parts are reused
	partition *partition
	from, to  int64 // offsets: expected, next
	direct    span
	rows      []byte // for ticks
	lateRows  []byte // for late_ticks
	late      int
	bytes     int
	dups      int
	newest    int64
	deltas    []delta
	conflicts []conflict
	changes   []change
	dead      []deadLetter
}

func (p *part) reset(id uint64, of *partition) {
	*p = part{
		id: id, partition: of, from: of.next, to: of.next, newest: never,
		rows: p.rows[:0], lateRows: p.lateRows[:0], deltas: p.deltas[:0],
		conflicts: p.conflicts[:0], changes: p.changes[:0], dead: p.dead[:0],
	}
}

// batch holds the records of one poll and what is planned for them.
type batch struct {
	epoch  uint64
	chunks []chunk
	parts  []*part
	spare  []*part
	groups [][]int // indexes into parts; one transaction each, in order
}

// chunk is the polled records of one partition, decoded.
type chunk struct {
	partition *partition
	records   []*kgo.Record
	ticks     []tick
	dead      []deadLetter // in record order, one for each tick without a position
}

type tick struct {
	feed.Tick
	flags   int32
	pos     *position // nil: a dead letter, or one of the following
	change  bool      // a cancel or a correction
	control bool      // a record of the broker's own
}

func (t *tick) isDead() bool { return t.pos == nil && !t.change && !t.control }

func (b *batch) reset() {
	for _, p := range b.parts {
		clear(p.dead) // frees their records
	}
	b.spare = append(b.spare, b.parts...)
	b.parts, b.groups = b.parts[:0], nil
	for i := range b.chunks {
		c := &b.chunks[i]
		clear(c.records)
		clear(c.dead)
		c.records, c.ticks, c.dead = c.records[:0], c.ticks[:0], c.dead[:0]
	}
	b.chunks = b.chunks[:0]
}

func (b *batch) addChunk(p *partition) *chunk {
	if len(b.chunks) < cap(b.chunks) {
		b.chunks = b.chunks[:len(b.chunks)+1]
	} else {
		b.chunks = append(b.chunks, chunk{})
	}
	c := &b.chunks[len(b.chunks)-1]
	c.partition = p
	return c
}

func (b *batch) addPart(id uint64, of *partition) *part {
	var p *part
	if n := len(b.spare); n > 0 {
		p, b.spare = b.spare[n-1], b.spare[:n-1]
	} else {
		p = new(part)
	}
	p.reset(id, of)
	b.parts = append(b.parts, p)
	return p
}

const recentSlots = 1 << 11

// positions caches feed positions. The decoder returns the same string for the
// same symbol, so most lookups go by the address of the string, without hashing.
type positions struct {
	ids    uint32 // the last given to a position
	byKey  map[feedKey]*position
	recent [recentSlots]*position
}

func newPositions() *positions { return &positions{byKey: make(map[feedKey]*position)} }

func (c *positions) get(symbol, venue string) *position {
	slot := &c.recent[(uintptr(unsafe.Pointer(unsafe.StringData(symbol)))>>4)%recentSlots]
	if p := *slot; p != nil && p.symbol == symbol && p.venue == venue {
		return p
	}
	p := c.byKey[feedKey{symbol, venue}]
	if p != nil {
		*slot = p
	}
	return p
}

// add returns the position of a feed of which nothing is known yet.
func (c *positions) add(key feedKey, home int32) *position {
	c.ids++
	p := &position{feedKey: key, id: c.ids, home: home, seq: -1, since: earliest}
	c.byKey[key] = p
	return p
}

// evict removes the positions whose last tick came from the given partitions:
// another member may move them.
func (c *positions) evict(gone map[int32]bool) {
	for k, p := range c.byKey {
		if gone[p.home] {
			delete(c.byKey, k)
		}
	}
	clear(c.recent[:])
}

// planner turns decoded chunks into parts.
type planner struct {
	now, newest, horizon int64
	after                int64
	venues               *db.FeedSettings
	window               *window
	found                map[identity][]stored // what the database has of the batch
	searches             uint64                // searches begun so far
	parts                uint64                // created so far
}

// plan decides for every tick of b whether it is stored, late, a duplicate, in
// conflict with another, or a dead letter. It moves partitions and positions as if
// the batch were committed.
func (pl *planner) plan(b *batch) {
	newest := min(pl.newest, pl.now)
	border := newest - pl.after
	first := pl.parts + 1
	shared := false // a feed in two partitions: its parts need one transaction
	for i := range b.chunks {
		shared = pl.planChunk(b, &b.chunks[i], border, first) || shared
	}
	if shared {
		all := make([]int, len(b.parts))
		for i := range all {
			all[i] = i
		}
		b.groups = [][]int{all}
		return
	}
	spans := make([]span, len(b.parts))
	for i, p := range b.parts {
		spans[i] = p.direct
	}
	b.groups = group(spans, pl.after)
}

func (pl *planner) planChunk(b *batch, c *chunk, border int64, first uint64) (shared bool) {
	p := pl.addPart(b, c.partition)
	dead := c.dead
	for i := range c.ticks {
		t, offset := &c.ticks[i], c.records[i].Offset
		isDead := t.isDead()
		if offset < c.partition.next {
			if isDead {
				dead = dead[1:]
			}
			continue // polled twice, already planned
		}
		switch {
		case isDead:
			p.dead = append(p.dead, dead[0])
			dead = dead[1:]
			continue
		case t.change:
			p.changes = append(p.changes, change{t.Tick, t.flags, offset})
			continue
		case t.control:
			continue
		}
		pos := t.pos
		v, other := pl.judge(t)
		if v == isDuplicate {
			p.dups++
			continue
		}
		if v == isConflict {
			outcome := pl.venues.Outcome(pos.venue)
			p.conflicts = append(p.conflicts, conflict{t.Tick, other, outcome})
			switch outcome {
			case db.ConflictCorrected:
				x := change{t.Tick, t.flags, offset}
				x.Kind = feed.Correct
				p.changes = append(p.changes, x)
				continue
			case db.ConflictRefused:
				p.dead = append(p.dead, newDeadLetter(c.records[i], conflictError(other)))
				continue
			}
		}
		tooOld := t.TS < pl.horizon
		if tooOld && !(pos.stored && (t.Seq == pos.seq+1 || pos.gaps)) {
			p.dead = append(p.dead, newTooOld(c.records[i], pl.horizon))
			continue
		}
		late := !tooOld && c.partition.lane.late(t.TS, pl.after, pl.now)
		if !tooOld && !late && p.direct.crosses(t.TS, border) {
			p.to, c.partition.next = offset, offset
			p = pl.addPart(b, c.partition)
		}
		if pos.part != p.id {
			shared = shared || pos.part >= first && pos.home != c.partition.id
			pos.part, pos.delta = p.id, len(p.deltas)
			p.deltas = append(p.deltas, delta{
				pos: pos, stored: pos.stored, expected: pos.version,
				oldest: noRow, newest: never, least: noRow, most: -1,
			})
		}
		d := &p.deltas[pos.delta]
		pos.version++
		d.version = pos.version
		pos.home = c.partition.id
		if tooOld {
			pos.pass(&t.Tick, d)
			p.dead = append(p.dead, newTooOld(c.records[i], pl.horizon))
			d.seq, d.ts, d.top, d.since, d.runs = pos.seq, pos.ts, pos.top, pos.since, pos.runs
			continue
		}
		pos.follow(&t.Tick, pl.venues.Contiguous(pos.venue), d)
		pos.raise(t.TS, t.Seq)
		d.seq, d.ts, d.top, d.since, d.runs = pos.seq, pos.ts, pos.top, pos.since, pos.runs
		pl.window.add(pos.id, t.TS, t.Seq, t.Price, t.Size)
		if late {
			p.lateRows = appendRow(p.lateRows, &t.Tick, t.flags)
			p.late++
		} else {
			p.direct.add(t.TS)
			d.note(t.TS, t.Seq)
			p.rows = appendRow(p.rows, &t.Tick, t.flags)
		}
		p.newest = max(p.newest, t.TS)
		p.bytes += len(c.records[i].Value)
	}
	last := c.records[len(c.records)-1].Offset + 1
	p.to = max(last, c.partition.next)
	c.partition.next = p.to
	return shared
}

func (pl *planner) addPart(b *batch, of *partition) *part {
	pl.parts++
	return b.addPart(pl.parts, of)
}

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

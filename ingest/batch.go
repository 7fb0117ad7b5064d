package ingest

import (
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

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

type feedKey struct{ symbol, venue string }

// position caches a row of feed_positions, with the values it has once all
// planned parts are committed.
type position struct {
	feedKey
	home   int32 // the partition of the feed's last tick
	stored bool  // the database has a row
	seq    int64
	ts     int64

	part  uint64 // the last part that moves it
	delta int    // its index in the part's deltas
}

// delta is the change of one feed position by one part.
type delta struct {
	pos      *position
	stored   bool
	expected int64
	seq, ts  int64
	oldest   int64 // oldest row written to ticks
}

type gap struct {
	feedKey
	from, to      int64
	before, after int64
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
	gaps      []gap
	dead      []deadLetter
}

func (p *part) reset(id uint64, of *partition) {
	*p = part{
		id: id, partition: of, from: of.next, to: of.next, newest: never,
		rows: p.rows[:0], lateRows: p.lateRows[:0], deltas: p.deltas[:0], gaps: p.gaps[:0], dead: p.dead[:0],
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
	pos *position // nil: a dead letter
}

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

func (c *positions) put(p *position) { c.byKey[p.feedKey] = p }

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
	notContiguous        map[string]bool
	parts                uint64 // created so far
}

// plan decides for every tick of b whether it is stored, late, a duplicate or a
// dead letter. It moves partitions and positions as if the batch were committed.
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
		if offset < c.partition.next {
			if t.pos == nil {
				dead = dead[1:]
			}
			continue // polled twice, already planned
		}
		pos := t.pos
		if pos == nil {
			p.dead = append(p.dead, dead[0])
			dead = dead[1:]
			continue
		}
		if t.Seq <= pos.seq {
			p.dups++
			continue
		}
		if pos.stored && t.Seq > pos.seq+1 && !pl.notContiguous[pos.venue] {
			p.gaps = append(p.gaps, gap{pos.feedKey, pos.seq + 1, t.Seq - 1, pos.ts, t.TS})
		}
		tooOld := t.TS < pl.horizon
		late := !tooOld && c.partition.lane.late(t.TS, pl.after, pl.now)
		if !tooOld && !late && p.direct.crosses(t.TS, border) {
			p.to, c.partition.next = offset, offset
			gaps := p.gaps
			next := pl.addPart(b, c.partition)
			if n := len(gaps); n > 0 && gaps[n-1].feedKey == pos.feedKey && gaps[n-1].to == t.Seq-1 {
				p.gaps, next.gaps = gaps[:n-1], append(next.gaps, gaps[n-1]) // the gap belongs to this tick
			}
			p = next
		}
		if pos.part != p.id {
			shared = shared || pos.part >= first && pos.home != c.partition.id
			pos.part, pos.delta = p.id, len(p.deltas)
			p.deltas = append(p.deltas, delta{pos: pos, stored: pos.stored, expected: pos.seq, oldest: noRow})
		}
		d := &p.deltas[pos.delta]
		d.seq, d.ts = t.Seq, max(d.ts, t.TS)
		pos.seq, pos.ts, pos.stored, pos.home = t.Seq, t.TS, true, c.partition.id
		switch {
		case tooOld:
			p.dead = append(p.dead, newTooOld(c.records[i], pl.horizon))
			continue
		case late:
			p.lateRows = appendRow(p.lateRows, &t.Tick, 0)
			p.late++
		default:
			p.direct.add(t.TS)
			d.oldest = min(d.oldest, t.TS)
			p.rows = appendRow(p.rows, &t.Tick, 0)
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

package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// parseRows reads back what appendRow wrote.
func parseRows(t rapid.TB, b []byte) []feed.Tick {
	t.Helper()
	var ticks []feed.Tick
	for len(b) > 0 {
		if n := binary.BigEndian.Uint16(b); n != 8 {
			t.Fatalf("row of %d fields", n)
		}
		b = b[2:]
		var f [8][]byte
		for i := range f {
			n := binary.BigEndian.Uint32(b)
			if b = b[4:]; n != math.MaxUint32 { // NULL
				f[i], b = b[:n], b[n:]
			}
		}
		u := binary.BigEndian.Uint64
		var side feed.Side
		if len(f[6]) == 2 {
			side = feed.Side(int16(binary.BigEndian.Uint16(f[6])))
		}
		if flags, seq := int64(binary.BigEndian.Uint32(f[7])), int64(u(f[4])); flags != 0 && flags != seq&0xff {
			t.Fatalf("flags %d in the row of seq %d", flags, seq)
		}
		ticks = append(ticks, feed.Tick{
			TS: int64(u(f[0])) + postgresEpoch, Symbol: string(f[1]), Price: math.Float64frombits(u(f[2])),
			Size: math.Float64frombits(u(f[3])), Seq: int64(u(f[4])), Venue: string(f[5]), Side: side,
		})
	}
	return ticks
}

func TestAppendRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOf(rapid.Custom(func(t *rapid.T) feed.Tick {
			return feed.Tick{
				TS: rapid.Int64Range(0, 1<<52).Draw(t, "ts"), Symbol: rapid.StringMatching(`[A-Z0-9._:-]{1,32}`).Draw(t, "symbol"),
				Venue: rapid.StringMatching(`[!-~]{1,16}`).Draw(t, "venue"), Price: rapid.Float64Min(math.SmallestNonzeroFloat64).Draw(t, "price"),
				Size: rapid.Float64Min(0).Draw(t, "size"), Seq: rapid.Int64Min(1).Draw(t, "seq"),
				Side: rapid.SampledFrom([]feed.Side{feed.Unknown, feed.Buy, feed.Sell}).Draw(t, "side"),
			}
		})).Draw(t, "ticks")
		var buf []byte
		for i := range want {
			buf = appendRow(buf, &want[i], int32(want[i].Seq&0xff))
		}
		var r copyReader
		r.reset(buf)
		var out bytes.Buffer
		if _, err := out.ReadFrom(&r); err != nil {
			t.Fatal(err)
		}
		stream := out.Bytes()
		if !bytes.HasPrefix(stream, copyHeader) || !bytes.HasSuffix(stream, copyTrailer) {
			t.Fatal("no header or trailer")
		}
		got := parseRows(t, stream[len(copyHeader):len(stream)-len(copyTrailer)])
		if len(got) != len(want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("got %+v, want %+v", got[i], want[i])
			}
		}
	})
}

// model is a model of the database.
type model struct {
	offsets  map[int32]int64
	versions map[feedKey]int64
	stored   map[string]int
	found    map[feedKey][]feed.Tick
}

// lookUp answers as StoredTicks does.
func (db *model) lookUp(pl *planner, b *batch) {
	arg, keys := pl.lookups(b)
	pl.found = map[identity][]stored{}
	for i, k := range keys {
		for _, t := range db.found[feedKey{arg.Symbols[i], arg.Venues[i]}] {
			if t.TS == k.ts && t.Seq == k.seq {
				pl.found[k] = append(pl.found[k], stored{price: t.Price, size: t.Size})
			}
		}
	}
}

// TestPlan plans random batches and applies them, some batches later, to a model
// of the database that does the same compare-and-set. Ticks repeat, numbers begin
// again, feeds are in two partitions: what is stored is the set of what came.
func TestPlan(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const minute = 60_000_000
		const now = 1_800_000_000_000_000
		base := model{map[int32]int64{}, map[feedKey]int64{}, map[string]int{}, map[feedKey][]feed.Tick{}}
		pl := planner{now: now, newest: never, after: 5 * minute, horizon: now - 30*24*60*minute, venues: new(db.FeedSettings)}
		most := rapid.SampledFrom([]int{2, 4, 12}).Draw(t, "records of a partition at most")
		pl.window = newWindow(4 * 3 * most) // as newMember does
		cache := newPositions()
		in := &Ingester{}
		in.metrics = newMetrics(in)
		w := newWriter(in)
		partitions := []*partition{}
		for id := range int32(3) {
			partitions = append(partitions, &partition{id: id, lane: lane{newest: never}})
			base.offsets[id] = 0
		}
		next := map[feedKey]int64{}
		want := map[string]int{}
		var sent []feed.Tick
		stray := rapid.Bool().Draw(t, "a feed in two partitions")
		var flying []*batch
		land := func(keep int) {
			for len(flying) > keep {
				apply(t, &base, w, flying[0])
				flying = flying[1:]
			}
		}
		for range rapid.IntRange(1, 20).Draw(t, "batches") {
			b := new(batch)
			for _, p := range partitions {
				n := rapid.IntRange(0, most).Draw(t, "records")
				if n == 0 {
					continue
				}
				c := b.addChunk(p)
				for i := range n {
					c.records = append(c.records, &kgo.Record{Partition: p.id, Offset: p.next + int64(i), Value: []byte("x")})
					if rapid.IntRange(0, 9).Draw(t, "bad") == 0 {
						c.ticks = append(c.ticks, tick{})
						c.dead = append(c.dead, newDeadLetter(c.records[i], errNoValue))
						continue
					}
					var x feed.Tick
					mine := sent
					if !stray {
						mine = slices.DeleteFunc(slices.Clone(sent), func(x feed.Tick) bool { return !strings.HasPrefix(x.Symbol, fmt.Sprintf("P%d", p.id)) })
					}
					if len(mine) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
						x = rapid.SampledFrom(mine).Draw(t, "tick")
						if rapid.IntRange(0, 3).Draw(t, "other price") == 0 {
							x.Price++
						}
					} else {
						key := feedKey{fmt.Sprintf("P%dS%d", p.id, rapid.IntRange(0, 2).Draw(t, "symbol")), "V"}
						if stray && rapid.IntRange(0, 3).Draw(t, "stray") == 0 {
							key.symbol = "STRAY"
						}
						if next[key] += rapid.Int64Range(0, 2).Draw(t, "step"); rapid.IntRange(0, 20).Draw(t, "restart") == 0 {
							next[key] = 0
						}
						ts := int64(now) - rapid.Int64Range(0, 40*24*60).Draw(t, "age")*minute
						if rapid.Bool().Draw(t, "live") {
							ts = now - rapid.Int64Range(-5, 10).Draw(t, "age")*minute
						}
						x = feed.Tick{Symbol: key.symbol, Venue: key.venue, TS: ts, Price: 1, Size: 1, Seq: next[key]}
					}
					sent = append(sent, x)
					if x.TS >= pl.horizon {
						want[fmt.Sprint(x)] = 1
					}
					pos := cache.get(x.Symbol, x.Venue)
					if pos == nil {
						pos = cache.add(feedKey{x.Symbol, x.Venue}, p.id)
					}
					c.ticks = append(c.ticks, tick{Tick: x, pos: pos})
				}
			}
			if len(b.chunks) == 0 {
				continue
			}
			border := min(pl.newest, pl.now) - pl.after
			base.lookUp(&pl, b)
			pl.plan(b)
			check(t, &pl, b, border, stray)
			for _, p := range b.parts {
				pl.newest = max(pl.newest, p.newest)
			}
			flying = append(flying, b)
			land(rapid.IntRange(0, 2).Draw(t, "in flight"))
		}
		land(0)
		if fmt.Sprint(base.stored) != fmt.Sprint(want) {
			t.Fatalf("stored %v, want %v", base.stored, want)
		}
		for _, p := range partitions {
			if base.offsets[p.id] != p.next {
				t.Fatalf("partition %d: offset %d, want %d", p.id, base.offsets[p.id], p.next)
			}
		}
	})
}

// apply commits the groups of b to the model.
func apply(t *rapid.T, db *model, w *writer, b *batch) {
	t.Helper()
	done := map[int]bool{}
	for _, g := range b.groups {
		var parts []*part
		for _, i := range g {
			if done[i] {
				t.Fatalf("part %d is in two groups", i)
			}
			done[i] = true
			parts = append(parts, b.parts[i])
		}
		w.collect(parts)
		a := w.args
		for i, id := range a.Partitions {
			if db.offsets[id] != a.ExpectedOffsets[i] || a.NextOffsets[i] <= a.ExpectedOffsets[i] {
				t.Fatalf("partition %d is at %d, set from %d to %d", id, db.offsets[id], a.ExpectedOffsets[i], a.NextOffsets[i])
			}
			db.offsets[id] = a.NextOffsets[i]
		}
		for i := range a.Symbols {
			k := feedKey{a.Symbols[i], a.Venues[i]}
			if old, ok := db.versions[k]; !ok || old != a.ExpectedVersions[i] || a.Versions[i] <= old {
				t.Fatalf("feed %v is at version %d (%v), expected %d", k, old, ok, a.ExpectedVersions[i])
			}
			db.versions[k] = a.Versions[i]
		}
		for i := range a.NewSymbols {
			k := feedKey{a.NewSymbols[i], a.NewVenues[i]}
			if _, ok := db.versions[k]; ok {
				t.Fatalf("feed %v is not new", k)
			}
			db.versions[k] = a.NewVersions[i]
		}
		for _, p := range parts {
			for _, x := range append(parseRows(t, p.rows), parseRows(t, p.lateRows)...) {
				db.stored[fmt.Sprint(x)]++
				k := feedKey{x.Symbol, x.Venue}
				db.found[k] = append(db.found[k], x)
			}
		}
	}
	if len(done) != len(b.parts) {
		t.Fatalf("%d of %d parts are in a group", len(done), len(b.parts))
	}
}

// check checks what the late lane guarantees: no transaction spans more than its
// partitions would span one by one, and live rows never share a part with
// history.
func check(t *rapid.T, pl *planner, b *batch, border int64, stray bool) {
	t.Helper()
	for _, p := range b.parts {
		rows := parseRows(t, p.rows)
		if len(rows) != p.direct.rows {
			t.Fatalf("%d rows, counted %d", len(rows), p.direct.rows)
		}
		live, back := false, false
		for _, x := range rows {
			live = live || x.TS >= border
			back = back || x.TS < border-pl.after
		}
		if live && back {
			t.Fatalf("live and history in one part: %v, border %d", rows, border)
		}
	}
	if stray {
		return
	}
	for _, g := range b.groups {
		newest := int64(never)
		var in []span
		for _, i := range g {
			in = append(in, b.parts[i].direct)
		}
		for _, one := range group(in, 0) {
			oldest := int64(math.MaxInt64)
			top := int64(never)
			for _, i := range one {
				if in[i].rows > 0 {
					oldest, top = min(oldest, in[i].oldest), max(top, in[i].newest)
				}
			}
			if top == never {
				continue
			}
			if newest != never && oldest-newest > pl.after {
				t.Fatalf("a transaction joins what is %d µs apart", oldest-newest)
			}
			newest = top
		}
	}
}

// TestLaneOrderedHistory: history in order is never late, however sparse.
func TestLaneOrderedHistory(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := lane{newest: never}
		after := rapid.Int64Range(1, 1e9).Draw(t, "after")
		ts := int64(0)
		for range rapid.IntRange(1, 50).Draw(t, "n") {
			ts += rapid.Int64Range(0, 1e12).Draw(t, "step")
			if l.late(ts, after, 1<<60) {
				t.Fatalf("%d is late", ts)
			}
			if !l.late(ts-after-1, after, 1<<60) {
				t.Fatalf("%d behind the newest is not late", after+1)
			}
			if l.late(ts-after, after, 1<<60) {
				t.Fatalf("%d behind the newest is late", after)
			}
		}
	})
}

// A feed with a fast clock must not make the ticks of others late.
func TestLaneIgnoresTheFuture(t *testing.T) {
	l := lane{newest: never}
	if l.late(1_300, 100, 1_000) || l.late(950, 100, 1_000) || !l.late(850, 100, 1_000) {
		t.Error("late is not measured from now")
	}
}

package ingest

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/feed"
)

// gapBase is a model of what the database has of one feed.
type gapBase struct {
	gaps   []openGap
	stored []feed.Tick
}

type openGap struct {
	gap
	missing map[int64]bool
	closed  bool // by a restart
}

func (g *openGap) fill(x arrival) {
	if !g.closed && g.holds(x) {
		delete(g.missing, x.seq)
	}
}

// commit does what follow.write does.
func (db *gapBase) commit(d *delta, ticks []feed.Tick) {
	db.stored = append(db.stored, ticks...)
	var fresh []int
	add := func(g gap) {
		o := openGap{gap: g, missing: map[int64]bool{}}
		for s := g.from; s <= g.to; s++ {
			o.missing[s] = true
		}
		fresh = append(fresh, len(db.gaps))
		db.gaps = append(db.gaps, o)
	}
	lowest := map[int]restart{}
	for _, r := range d.restarts {
		for i := len(db.gaps) - 1; i >= 0; i-- {
			g := &db.gaps[i]
			if !g.closed && len(g.missing) > 0 && g.from <= r.from && r.from <= g.to && g.to < r.last && r.ts <= g.after+around {
				if l, ok := lowest[i]; !ok || r.from < l.from {
					lowest[i] = r
				}
				break
			}
		}
	}
	for i, r := range lowest {
		g := &db.gaps[i]
		g.closed = true
		for s := g.from; s < r.from; s++ {
			if g.missing[s] {
				add(gap{from: s, to: s, before: g.before, after: r.ts})
			}
		}
	}
	opened, filled := d.left()
	for _, g := range opened {
		add(g)
	}
	for _, i := range fresh {
		for _, t := range db.stored {
			if t.TS <= db.gaps[i].after {
				db.gaps[i].fill(arrival{t.Seq, t.TS})
			}
		}
	}
	for i := range db.gaps {
		for _, x := range filled {
			db.gaps[i].fill(x)
		}
	}
}

// wrong returns a tick that is stored, and missing by a gap that it lies in.
func (db *gapBase) wrong() string {
	for i := range db.gaps {
		g := &db.gaps[i]
		if g.before > g.after {
			return fmt.Sprintf("gap %+v ends before it begins", g.gap)
		}
		for _, t := range db.stored {
			if !g.closed && g.missing[t.Seq] && g.before <= t.TS && t.TS <= g.after {
				return fmt.Sprintf("seq %d of %d is missing in %+v", t.Seq, t.TS, g.gap)
			}
		}
	}
	return ""
}

// TestGapsOfWhatIsStored: whatever order ticks come in, and whichever of them share
// a transaction, none that is stored is missing in a gap that it lies in.
func TestGapsOfWhatIsStored(t *testing.T) {
	const minute = 60_000_000
	rapid.Check(t, func(t *rapid.T) {
		p := position{seq: -1, since: earliest}
		var db gapBase
		now := int64(0)
		had := map[arrival]bool{}
		for range rapid.IntRange(1, 4).Draw(t, "transactions") {
			var d delta
			var ticks []feed.Tick
			for range rapid.IntRange(1, 12).Draw(t, "ticks") {
				x := feed.Tick{Seq: rapid.Int64Range(1, 20).Draw(t, "seq")}
				if rapid.IntRange(0, 2).Draw(t, "new") > 0 {
					now += rapid.Int64Range(0, 20).Draw(t, "later") * minute
					x.TS = now
				} else {
					x.TS = now - rapid.Int64Range(0, 150).Draw(t, "earlier")*minute
				}
				if had[arrival{x.Seq, x.TS}] {
					continue
				}
				had[arrival{x.Seq, x.TS}] = true
				p.follow(&x, true, &d)
				p.raise(x.TS, x.Seq)
				ticks = append(ticks, x)
			}
			was := fmt.Sprint(d.opened, d.filled, d.restarts)
			db.commit(&d, ticks)
			if is := fmt.Sprint(d.opened, d.filled, d.restarts); is != was {
				t.Fatalf("a commit that is repeated has %s, and had %s", is, was)
			}
			if wrong := db.wrong(); wrong != "" {
				t.Fatal(wrong)
			}
		}
	})
}

// TestGapsLeft: what a transaction leaves of the gaps that it opens.
func TestGapsLeft(t *testing.T) {
	const minute = 60_000_000
	gaps := func(ranges ...int64) (g []gap) { // from, to, before and after
		for r := range slices.Chunk(ranges, 4) {
			g = append(g, gap{from: r[0], to: r[1], before: r[2] * minute, after: r[3] * minute})
		}
		return g
	}
	for name, c := range map[string]struct {
		ticks  [][2]int64 // seq, and minute of the trade
		opened []gap
		filled []int64
	}{
		"in time":               {[][2]int64{{1, 1}, {5, 5}, {3, 3}}, gaps(2, 2, 1, 3, 4, 4, 3, 5), nil},
		"all":                   {[][2]int64{{1, 1}, {5, 5}, {3, 3}, {4, 4}, {2, 2}}, nil, nil},
		"of days ago":           {[][2]int64{{1, 10000}, {5, 10001}, {3, 1}}, gaps(2, 4, 10000, 10001), []int64{3}},
		"of the run before":     {[][2]int64{{9, 9}, {12, 12}, {1, 13}, {15, 15}, {10, 10}, {11, 11}}, gaps(2, 9, 13, 15, 12, 14, 13, 15), nil},
		"after the newest":      {[][2]int64{{1, 1}, {2, 9}, {5, 5}}, gaps(3, 4, 5, 9), nil},
		"twice":                 {[][2]int64{{1, 1}, {7, 7}, {4, 4}, {4, 3}}, gaps(2, 3, 1, 3, 5, 6, 3, 7), nil},
		"numbers begin within":  {[][2]int64{{1, 1}, {1 << 40, 2}, {5, 3}, {6, 4}}, gaps(2, 4, 1, 3), nil},
		"again, and then above": {[][2]int64{{40, 1}, {50, 2}, {51, 3}, {45, 4}, {46, 5}, {1, 6}, {48, 7}}, gaps(41, 44, 1, 4, 2, 47, 6, 7), nil},
		"the next, of long ago": {[][2]int64{{1, 1}, {9, 2}, {1, 300}, {2, 1}}, gaps(3, 8, 1, 2), nil},
	} {
		p, d := position{seq: -1, since: earliest}, delta{}
		for _, x := range c.ticks {
			p.follow(&feed.Tick{Seq: x[0], TS: x[1] * minute}, true, &d)
			p.raise(x[1]*minute, x[0])
		}
		opened, filled := d.left()
		var seqs []int64
		for _, x := range filled {
			seqs = append(seqs, x.seq)
		}
		for i := range opened {
			opened[i].since, opened[i].restarts = 0, 0
		}
		if !reflect.DeepEqual(opened, c.opened) || !slices.Equal(seqs, c.filled) {
			t.Errorf("%s: left are %+v, want %+v; filled %v, want %v", name, opened, c.opened, seqs, c.filled)
		}
	}
}

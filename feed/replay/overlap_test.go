package replay_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

// store keeps ticks as the database does: what it has is not stored again.
type store struct{ ticks []feed.Tick }

func (s *store) add(ticks []feed.Tick) {
	for _, k := range ticks {
		if !slices.Contains(s.ticks, k) {
			s.ticks = append(s.ticks, k)
		}
	}
}

func (s *store) at(moments []replay.Moment) (out []feed.Tick, err error) {
	for _, k := range s.ticks {
		if slices.Contains(moments, replay.Moment{Venue: k.Venue, Symbol: k.Symbol, TS: k.TS}) {
			out = append(out, k)
		}
	}
	return out, nil
}

func (s *store) sorted() []feed.Tick {
	slices.SortFunc(s.ticks, func(a, b feed.Tick) int { return cmp.Or(cmp.Compare(a.TS, b.TS), cmp.Compare(a.Seq, b.Seq)) })
	return s.ticks
}

// trade is a row without a number.
type trade struct{ ts, price, size int }

func csvOf(rows []trade, newestFirst bool) string {
	rows = slices.Clone(rows)
	if newestFirst && rows[0].ts != rows[len(rows)-1].ts { // else nothing shows it
		slices.Reverse(rows)
	}
	var b strings.Builder
	b.WriteString("time,price,volume\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "%d,%d,%d\n", 1_700_000_000+r.ts, r.price, r.size)
	}
	return b.String()
}

func (s *store) rows() (out []trade) {
	for _, k := range s.sorted() {
		out = append(out, trade{int(k.TS/1_000_000) - 1_700_000_000, int(k.Price), int(k.Size)})
	}
	return out
}

// TestOverlap cuts a history of trades without ids, many of them in one second,
// into files that begin and end anywhere, overlap, come in any order, and are read
// in one command or in several. Each trade is stored once, and those of equal time
// keep their order.
func TestOverlap(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []trade
		for ts := range rapid.IntRange(1, 6).Draw(rt, "seconds") {
			// Within a second no two are equal: a cut between equal ones shows nowhere.
			for n := range rapid.IntRange(1, 5).Draw(rt, "trades") {
				all = append(all, trade{ts, 10 + n, rapid.IntRange(1, 2).Draw(rt, "size")})
			}
		}
		one := rapid.Bool().Draw(rt, "one command")
		s, session := &store{}, replay.NewSession()
		from, to := -1, -1
		for range rapid.IntRange(1, 4).Draw(rt, "files") {
			a := rapid.IntRange(0, len(all)-1).Draw(rt, "from")
			b := rapid.IntRange(a+1, len(all)).Draw(rt, "to")
			if from >= 0 { // files meet or overlap
				a = min(a, to)
				b = max(b, from)
				if a == len(all) {
					a--
				}
				if b <= a {
					b = a + 1
				}
			}
			if from >= 0 && b <= from && all[a].ts == all[b-1].ts {
				continue // nothing shows that these come before
			}
			if from < 0 {
				from, to = a, b
			} else {
				from, to = min(from, a), max(to, b)
			}
			cfg := replay.Config{Symbol: "X", Stored: s.at}
			if one {
				cfg.Session = session
			}
			ticks := mustRead(t, cfg, csvOf(all[a:b], rapid.Bool().Draw(rt, "newest first")))
			s.add(ticks)
			got, want := s.rows(), slices.Clone(all[from:to])
			if !slices.Equal(got, want) {
				rt.Fatalf("got %v\nwant %v", got, want)
			}
		}
	})
}

// TestEqualTrades: equal trades at one time are as many as a file has.
func TestEqualTrades(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var all []trade
		var ends []int
		for ts := range rapid.IntRange(1, 6).Draw(rt, "seconds") {
			ends = append(ends, len(all))
			for range rapid.IntRange(1, 5).Draw(rt, "trades") {
				all = append(all, trade{ts, rapid.IntRange(1, 2).Draw(rt, "price"), 1})
			}
		}
		ends = append(ends, len(all))
		s := &store{}
		from, to := len(all), 0
		for range 3 {
			i := rapid.IntRange(0, len(ends)-2).Draw(rt, "from")
			j := rapid.IntRange(i+1, len(ends)-1).Draw(rt, "to")
			s.add(mustRead(t, replay.Config{Symbol: "X", Stored: s.at}, csvOf(all[ends[i]:ends[j]], rapid.Bool().Draw(rt, "newest first"))))
			covered := s.rows()
			for k := i; k < j; k++ {
				want := all[ends[k]:ends[k+1]]
				var got []trade
				for _, r := range covered {
					if r.ts == k {
						got = append(got, r)
					}
				}
				if !slices.Equal(got, want) {
					rt.Fatalf("second %d: got %v, want %v", k, got, want)
				}
			}
			from, to = min(from, ends[i]), max(to, ends[j])
		}
		if n := len(s.rows()); n > to-from {
			rt.Fatalf("%d trades are stored of %d", n, to-from)
		}
	})
}

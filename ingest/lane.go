package ingest

import (
	"math"
	"slices"
	"time"
)

// never is older than any tick, and still far from overflowing.
const never = math.MinInt64 / 4

// noRow is newer than any tick.
const noRow = math.MaxInt64

// lane decides which ticks of one partition are late. TimescaleDB invalidates
// everything between the oldest and the newest row of a transaction, so one old
// tick among live ones causes a refresh of the whole range. A tick is late if
// the partition has already delivered much newer ones; history in order is never
// late, however sparse.
type lane struct {
	newest int64 // the running maximum of ts in this partition
}

// late reports whether a tick of the given ts goes to the late lane. now bounds
// the newest ts, so that a feed with a fast clock does not make the ticks of all
// others late.
func (l *lane) late(ts, after, now int64) bool {
	if ts < l.newest-after {
		return true
	}
	l.newest = max(l.newest, min(ts, now))
	return false
}

// span is the range of ts of rows that are written directly to the hypertable.
type span struct {
	oldest, newest int64
	rows           int
}

func (s *span) add(ts int64) {
	if s.rows == 0 {
		s.oldest, s.newest = ts, ts
	} else {
		s.oldest, s.newest = min(s.oldest, ts), max(s.newest, ts)
	}
	s.rows++
}

// crosses reports whether a part must end before a direct row of ts: all rows of
// the part are history, and ts is live. border separates the two.
func (s *span) crosses(ts, border int64) bool {
	return s.rows > 0 && s.newest < border && ts >= border
}

// group returns which parts share a transaction: those whose spans overlap or
// lie within slack of each other, since together they invalidate no more than
// apart. The result holds indexes into spans, the oldest group first, in rising
// order within a group. Parts without rows join the last group. Parts of one
// partition that do not overlap are in the order of time, so a later part is
// never in an earlier group.
func group(spans []span, slack int64) [][]int {
	order := make([]int, 0, len(spans))
	for i := range spans {
		if spans[i].rows > 0 {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case spans[a].oldest < spans[b].oldest:
			return -1
		case spans[a].oldest > spans[b].oldest:
			return 1
		}
		return 0
	})
	var groups [][]int
	newest := int64(never)
	for _, i := range order {
		if len(groups) == 0 || spans[i].oldest-slack > newest {
			groups = append(groups, nil)
		}
		last := len(groups) - 1
		groups[last] = append(groups[last], i)
		newest = max(newest, spans[i].newest)
	}
	for i := range spans {
		if spans[i].rows == 0 {
			if len(groups) == 0 {
				groups = append(groups, nil)
			}
			last := len(groups) - 1
			groups[last] = append(groups[last], i)
		}
	}
	for _, g := range groups {
		slices.Sort(g)
	}
	return groups
}

func micros(d time.Duration) int64 { return int64(d / time.Microsecond) }

package ingest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// follow is what a transaction writes beside rows and positions, where there is
// any: gaps, restarts, conflicts, cancels and corrections.
type follow struct {
	gaps      db.InsertFeedGapsParams
	filled    db.FillGapsParams
	restarts  db.CloseGapsAroundParams
	conflicts db.InsertConflictsParams
	changes   db.InsertTickChangesParams
}

func (f *follow) collect(topic string, parts []*part, deltas []delta) {
	*f = follow{}
	for i := range deltas {
		d := &deltas[i]
		opened, filled := d.left()
		for _, r := range d.restarts {
			f.restarts.Venues, f.restarts.Symbols = append(f.restarts.Venues, r.venue), append(f.restarts.Symbols, r.symbol)
			f.restarts.Seqs, f.restarts.Lasts = append(f.restarts.Seqs, r.from), append(f.restarts.Lasts, r.last)
			f.restarts.Tss = append(f.restarts.Tss, fromMicros(r.ts))
		}
		for _, g := range opened {
			f.gaps.Venues, f.gaps.Symbols = append(f.gaps.Venues, g.venue), append(f.gaps.Symbols, g.symbol)
			f.gaps.FromSeqs, f.gaps.ToSeqs = append(f.gaps.FromSeqs, g.from), append(f.gaps.ToSeqs, g.to)
			f.gaps.BeforeTss, f.gaps.AfterTss = append(f.gaps.BeforeTss, fromMicros(g.before)), append(f.gaps.AfterTss, fromMicros(g.after))
		}
		for _, x := range filled {
			f.filled.Venues, f.filled.Symbols = append(f.filled.Venues, d.pos.venue), append(f.filled.Symbols, d.pos.symbol)
			f.filled.Seqs, f.filled.Tss = append(f.filled.Seqs, x.seq), append(f.filled.Tss, fromMicros(x.ts))
		}
	}
	for _, p := range parts {
		for i := range p.conflicts {
			x := &p.conflicts[i]
			c := &f.conflicts
			c.Venues, c.Symbols = append(c.Venues, x.Venue), append(c.Symbols, x.Symbol)
			c.Tss, c.Seqs = append(c.Tss, x.Time()), append(c.Seqs, x.Seq)
			c.StoredPrices, c.StoredSizes = append(c.StoredPrices, x.other.price), append(c.StoredSizes, x.other.size)
			c.Prices, c.Sizes, c.Outcomes = append(c.Prices, x.Price), append(c.Sizes, x.Size), append(c.Outcomes, x.outcome)
		}
		for i := range p.changes {
			x := &p.changes[i]
			c := &f.changes
			var ts time.Time // stands for none
			if x.TS != feed.NoTime {
				ts = x.Time()
			}
			c.Kinds, c.Symbols, c.Venues = append(c.Kinds, x.Kind.String()), append(c.Symbols, x.Symbol), append(c.Venues, x.Venue)
			c.Seqs, c.Tss = append(c.Seqs, x.Seq), append(c.Tss, ts)
			c.Prices, c.Sizes = append(c.Prices, x.Price), append(c.Sizes, x.Size)
			c.Sides, c.Flags = append(c.Sides, int16(x.Side)), append(c.Flags, x.flags)
			c.Origins = append(c.Origins, fmt.Sprintf("%s/%d/%d", topic, p.partition.id, x.offset))
		}
	}
}

// left returns the gaps that a feed opened, without what has come in the same
// transaction: a producer without keys opens and fills many. It returns too what
// may fill gaps that are stored. The delta stays as it is: a commit that fails is
// repeated.
func (d *delta) left() (opened []gap, filled []arrival) {
	if len(d.opened) == 0 {
		return nil, d.filled
	}
	filled = slices.Clone(d.filled)
	slices.SortFunc(filled, func(a, b arrival) int { return cmp.Or(cmp.Compare(a.seq, b.seq), cmp.Compare(a.ts, b.ts)) })
	used := make([]bool, len(filled))
	for _, g := range d.opened {
		for _, x := range d.restarts[g.restarts:] { // as CloseGapsAround does
			if g.from <= x.from && x.from <= g.to && g.to < x.last {
				g.to, g.after = x.from-1, x.ts
			}
		}
		opened = g.without(filled, used, opened)
	}
	at := 0
	return opened, slices.DeleteFunc(filled, func(arrival) bool { at++; return used[at-1] })
}

// without appends to left what the ticks leave of the gap; they are in the order
// of their seqs. It marks those that can fill no other: ticks of its own run.
func (g gap) without(ticks []arrival, used []bool, left []gap) []gap {
	whole := g
	at, _ := slices.BinarySearchFunc(ticks, g.from, func(a arrival, seq int64) int { return cmp.Compare(a.seq, seq) })
	for ; at < len(ticks) && ticks[at].seq <= whole.to; at++ {
		x := ticks[at]
		if !whole.holds(x) {
			continue
		}
		used[at] = used[at] || x.ts >= g.since
		if x.seq < g.from {
			continue // that seq has come twice
		}
		// Where the parts lie. Outside the gap there may be ticks of their seqs, of
		// other runs.
		between := whole.before <= x.ts && x.ts <= whole.after
		if part := g; x.seq > g.from {
			if part.to = x.seq - 1; between {
				part.after = max(part.before, x.ts)
			}
			left = append(left, part)
		}
		if g.from = x.seq + 1; between {
			g.before = max(g.before, x.ts)
		}
	}
	if g.from <= g.to {
		left = append(left, g)
	}
	return left
}

// checkedGaps is the most gaps of a transaction that are compared with what is
// stored.
const checkedGaps = 100

// write writes restarts before gaps: the gap that a restart opens is not the one
// that it closes.
func (f *follow) write(ctx context.Context, q *db.Queries) error {
	var ids []int64
	if len(f.restarts.Venues) > 0 {
		left, err := q.CloseGapsAround(ctx, f.restarts)
		if err != nil {
			return fmt.Errorf("close gaps: %w", err)
		}
		ids = append(ids, left...)
	}
	if len(f.gaps.Venues) > 0 {
		opened, err := q.InsertFeedGaps(ctx, f.gaps)
		if err != nil {
			return fmt.Errorf("record gaps: %w", err)
		}
		ids = append(ids, opened...)
	}
	// A venue that jumps with every tick should be set as not contiguous.
	if len(ids) > 0 && len(ids) <= checkedGaps {
		if err := q.FillGapsFromStored(ctx, db.FillGapsFromStoredParams{Ids: ids, How: "stream"}); err != nil {
			return fmt.Errorf("fill gaps with stored ticks: %w", err)
		}
	}
	if len(f.filled.Venues) > 0 {
		f.filled.How = "stream"
		if err := q.FillGaps(ctx, f.filled); err != nil {
			return fmt.Errorf("fill gaps: %w", err)
		}
	}
	if len(f.conflicts.Venues) > 0 {
		if err := q.InsertConflicts(ctx, f.conflicts); err != nil {
			return fmt.Errorf("record conflicts: %w", err)
		}
	}
	if len(f.changes.Kinds) > 0 {
		if err := q.InsertTickChanges(ctx, f.changes); err != nil {
			return fmt.Errorf("record cancels and corrections: %w", err)
		}
	}
	return nil
}

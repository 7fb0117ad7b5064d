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
		for j := range d.opened {
			for _, x := range d.restarts { // as CloseGapsAround does
				if g := &d.opened[j]; g.from <= x.from && x.from <= g.to && g.to < x.last {
					g.to, g.after = x.from-1, x.ts
				}
			}
		}
		d.opened = slices.DeleteFunc(d.opened, func(g gap) bool { return g.from > g.to })
		for _, r := range d.restarts {
			f.restarts.Venues, f.restarts.Symbols = append(f.restarts.Venues, r.venue), append(f.restarts.Symbols, r.symbol)
			f.restarts.Seqs, f.restarts.Lasts = append(f.restarts.Seqs, r.from), append(f.restarts.Lasts, r.last)
			f.restarts.Tss = append(f.restarts.Tss, fromMicros(r.ts))
		}
		for _, g := range subtract(d) {
			f.gaps.Venues, f.gaps.Symbols = append(f.gaps.Venues, g.venue), append(f.gaps.Symbols, g.symbol)
			f.gaps.FromSeqs, f.gaps.ToSeqs = append(f.gaps.FromSeqs, g.from), append(f.gaps.ToSeqs, g.to)
			f.gaps.BeforeTss, f.gaps.AfterTss = append(f.gaps.BeforeTss, fromMicros(g.before)), append(f.gaps.AfterTss, fromMicros(g.after))
		}
		for _, x := range d.filled {
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

// subtract returns what is left of the gaps that a feed opened after the ticks of
// the same transaction: a producer without keys opens and fills many. What has
// filled them is taken from d.filled.
func subtract(d *delta) []gap {
	if len(d.opened) == 0 || len(d.filled) == 0 {
		return d.opened
	}
	slices.SortFunc(d.filled, func(a, b arrival) int { return cmp.Compare(a.seq, b.seq) })
	var left []gap
	used := make([]bool, len(d.filled))
	for _, g := range d.opened {
		at, _ := slices.BinarySearchFunc(d.filled, g.from, func(a arrival, seq int64) int { return cmp.Compare(a.seq, seq) })
		for ; at < len(d.filled) && d.filled[at].seq <= g.to; at++ {
			x := d.filled[at]
			used[at] = true
			if x.seq > g.from {
				left = append(left, gap{g.feedKey, g.from, x.seq - 1, g.before, x.ts})
			}
			g.from, g.before = max(g.from, x.seq+1), x.ts
		}
		if g.from <= g.to {
			left = append(left, g)
		}
	}
	kept := d.filled[:0]
	for i, x := range d.filled {
		if !used[i] {
			kept = append(kept, x)
		}
	}
	d.filled = kept
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

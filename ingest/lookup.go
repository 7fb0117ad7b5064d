package ingest

import (
	"context"

	"github.com/hypertick/hypertick/db"
)

// identity is what ticks have in common that may be the same trade.
type identity struct {
	feed    uint32 // position.id
	ts, seq int64
}

// stored is a tick that the database has, or had before it was undone.
type stored struct {
	price, size float64
	undone      bool
}

// lookups returns the query for the ticks of b that may be stored already: those
// not above the newest tick of their feed, and not in the window, or only until the
// others of b are planned. Positions must be known.
func (pl *planner) lookups(b *batch) (arg db.StoredTicksParams, keys []identity) {
	pl.searches++
	asked := map[identity]bool{}
	all := 0
	for i := range b.chunks {
		all += len(b.chunks[i].ticks)
	}
	for i := range b.chunks {
		c := &b.chunks[i]
		for j := range c.ticks {
			t := &c.ticks[j]
			p := t.pos
			if p == nil || t.change || c.records[j].Offset < c.partition.next {
				continue
			}
			if p.seenBatch != pl.searches {
				p.seenBatch, p.seenTS, p.seenTop = pl.searches, p.ts, p.top
				if !p.stored {
					p.seenTS, p.seenTop = never, never
				}
			}
			if t.TS > p.seenTS || t.TS == p.seenTS && t.Seq > p.seenTop {
				if t.TS >= pl.horizon {
					p.seenTS, p.seenTop = t.TS, t.Seq
				}
				continue
			}
			k := identity{p.id, t.TS, t.Seq}
			if asked[k] {
				continue
			}
			if equal, _ := pl.window.find(p.id, t.TS, t.Seq, t.Price, t.Size, all); equal {
				continue
			}
			asked[k] = true
			ts := t.Time()
			if len(keys) == 0 || ts.Before(arg.Oldest) {
				arg.Oldest = ts
			}
			if len(keys) == 0 || ts.After(arg.Newest) {
				arg.Newest = ts
			}
			arg.Ats = append(arg.Ats, int32(len(keys)))
			arg.Symbols, arg.Venues = append(arg.Symbols, p.symbol), append(arg.Venues, p.venue)
			arg.Tss, arg.Seqs = append(arg.Tss, ts), append(arg.Seqs, t.Seq)
			keys = append(keys, k)
		}
	}
	return arg, keys
}

// lookUp asks the database for the ticks of b that may be stored already. Whoever
// stores others of these feeds before b is committed raises their versions, and b
// is fenced.
func (m *member) lookUp(ctx context.Context, b *batch) error {
	m.mu.Lock()
	m.planner.horizon = m.in.horizon.Load()
	arg, keys := m.planner.lookups(b)
	m.mu.Unlock()
	found := make(map[identity][]stored)
	if len(keys) > 0 {
		m.in.metrics.lookups.Add(float64(len(keys)))
		err := m.in.retry(ctx, "look up ticks", func(ctx context.Context) error {
			rows, err := m.in.queries.StoredTicks(ctx, arg)
			m.reading.note(err)
			if err != nil {
				return err
			}
			clear(found)
			for _, r := range rows {
				k := keys[r.At]
				found[k] = append(found[k], stored{r.Price, r.Size, r.Undone})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	m.mu.Lock()
	m.planner.found = found
	m.mu.Unlock()
	return nil
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// maxValue bounds the bytes of a message: decoded, a large one may take many times
// as much memory.
const maxValue = 64 << 10

// take decodes the polled records into b and returns the feeds whose position
// is not cached, the partitions whose next batch has to be inspected, and the
// offsets that are left out.
func (m *member) take(b *batch, fetches kgo.Fetches) (unknown []feedKey, failed map[int32]error, gaps []gapOf) {
	now, settings := m.in.cfg.Now(), m.in.settings.Load()
	b.epoch = m.epoch.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	fetches.EachPartition(func(fp kgo.FetchTopicPartition) {
		if fp.Err != nil && m.fetchError(fp.Partition, fp.Err) {
			if failed == nil {
				failed = make(map[int32]error)
			}
			failed[fp.Partition] = fp.Err
		}
		p := m.parts[fp.Partition]
		if p == nil || len(fp.Records) == 0 {
			return
		}
		m.in.metrics.setEnd(fp.Partition, fp.HighWatermark)
		delete(m.fetchErrors, fp.Partition)
		c := b.addChunk(p)
		want := p.next
		for _, r := range fp.Records {
			if r.Offset > want {
				gaps = append(gaps, gapOf{p, want, r.Offset - 1})
			}
			want = max(want, r.Offset+1)
			c.records = append(c.records, r)
			c.ticks = append(c.ticks, tick{})
			t := &c.ticks[len(c.ticks)-1]
			var err error
			switch {
			case r.Attrs.IsControl():
				t.control = true
				continue
			case len(m.refused) > 0 && m.refused[offsetOf{r.Partition, r.Offset}] != nil:
				err = m.refused[offsetOf{r.Partition, r.Offset}]
			case r.Value == nil:
				err = errNoValue
			case len(r.Value) > maxValue:
				err = &feed.FieldError{Field: "value", Want: fmt.Sprintf("want at most %d bytes, got %d", maxValue, len(r.Value))}
			default:
				if err = m.decoder.DecodeValid(r.Value, &t.Tick, now); err == nil {
					err = t.CheckPrice(t.Price > 0 || settings.NonPositive(t.Symbol, t.Venue))
				}
			}
			if err != nil {
				c.dead = append(c.dead, newDeadLetter(r, err))
				continue
			}
			if t.Conditions != "" {
				t.flags = settings.Flags(t.Conditions)
			}
			if t.Kind != feed.Trade {
				t.change = true
				continue
			}
			if t.pos = m.positions.get(t.Symbol, t.Venue); t.pos == nil {
				t.pos = m.positions.add(feedKey{t.Symbol, t.Venue}, p.id)
				unknown = append(unknown, t.pos.feedKey)
			}
		}
	})
	for id, err := range m.suspects {
		if failed == nil {
			failed = make(map[int32]error)
		}
		if failed[id] == nil && m.parts[id] != nil {
			failed[id] = err
		}
	}
	clear(m.suspects)
	return unknown, failed, gaps
}

// learn reads feed positions from the database into the cache.
func (m *member) learn(ctx context.Context, unknown []feedKey) error {
	arg := db.FeedPositionsParams{Symbols: make([]string, len(unknown)), Venues: make([]string, len(unknown))}
	for i, k := range unknown {
		arg.Symbols[i], arg.Venues[i] = k.symbol, k.venue
	}
	return m.in.retry(ctx, "read feed positions", func(ctx context.Context) error {
		rows, err := m.in.queries.FeedPositions(ctx, arg)
		m.reading.note(err)
		if err != nil {
			return err
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, r := range rows {
			// A position is evicted when its partition is revoked.
			p := m.positions.byKey[feedKey{r.Symbol, r.Venue}]
			if p == nil || p.stored {
				continue
			}
			p.stored, p.version, p.gaps = true, r.Version, r.Gaps
			p.ts, p.top, p.seq, p.runs = r.LastTs.UnixMicro(), r.TopSeq, r.LastSeq, r.Runs
			if r.RunSince != nil {
				p.since = r.RunSince.UnixMicro()
			}
			if r.JumpFrom >= 0 {
				p.jump.gap = gap{feedKey: p.feedKey, from: r.JumpFrom, to: r.LastSeq - 1, before: r.JumpBefore.UnixMicro(), after: p.ts}
			}
			if p.top < 0 { // not known: look up whatever has that time
				p.top = math.MaxInt64
			}
		}
		return nil
	})
}

// plan plans all ticks of b and reports whether there is something to write. It
// drops chunks whose partition was revoked or reset after the poll.
func (m *member) plan(b *batch) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.resetNeeded.Load() || b.epoch != m.epoch.Load() {
		return false
	}
	kept := b.chunks[:0]
	for _, c := range b.chunks {
		if m.parts[c.partition.id] != c.partition {
			continue
		}
		// A gap in the offsets may be an aborted transaction. It is read twice,
		// to rule out that this member has skipped records.
		if first := c.records[0].Offset; first > c.partition.next && m.offsetGaps[c.partition.id] != first {
			m.offsetGaps[c.partition.id] = first
			m.log.Warn("gap in the offsets, reading them again", slog.Int("partition", int(c.partition.id)),
				slog.Int64("want", c.partition.next), slog.Int64("got", first))
			m.resetNeeded.Store(true)
			return false
		}
		kept = append(kept, c)
	}
	b.chunks = kept
	if len(b.chunks) == 0 {
		return false
	}
	m.planner.now, m.planner.newest = m.in.cfg.Now().UnixMicro(), m.in.newest.Load()
	m.planner.after, m.planner.horizon = micros(m.in.cfg.LateAfter), m.in.horizon.Load()
	m.planner.venues = m.in.settings.Load()
	m.planner.plan(b)
	for _, p := range b.parts {
		m.in.raiseNewest(p.newest)
	}
	return true
}

// write is the loop of the writing goroutine. It stops retrying when ctx ends;
// writing, which ends a little later, cancels the attempt in flight.
func (m *member) write(ctx, writing context.Context) {
	w := newWriter(m.in)
	for b := range m.work {
		if !m.resetNeeded.Load() && b.epoch == m.epoch.Load() {
			m.store(ctx, writing, w, b)
		}
		b.reset()
		m.free <- b
		m.flight.done()
	}
}

func (m *member) store(ctx, writing context.Context, w *writer, b *batch) {
	if err := m.publishDeadLetters(ctx, writing, b); err != nil {
		m.requestReset() // ctx has ended: no later batch may be written either
		return
	}
	parts := make([]*part, 0, len(b.parts))
	for _, g := range b.groups {
		parts = parts[:0]
		for _, i := range g {
			parts = append(parts, b.parts[i])
		}
		begin := time.Now()
		err := m.in.retry(ctx, "write batch", func(context.Context) error {
			attempt, cancel := context.WithTimeout(writing, 60*time.Second)
			defer cancel()
			err := w.commit(attempt, parts)
			m.writing.note(err)
			if errors.Is(err, errFenced) || refusal(err) != nil {
				return backoff.Permanent(err)
			}
			return err
		})
		if err != nil {
			if why := refusal(err); why != nil {
				m.narrow(b, why)
			}
			if errors.Is(err, errFenced) {
				m.in.metrics.fenced.Inc()
				m.log.Info("batch fenced, reading positions again", slog.Any("error", err))
			}
			m.requestReset()
			return
		}
		m.resets.Store(0)
		m.widen()
		m.in.metrics.committed(parts, time.Since(begin))
		m.commitGroupOffsets(parts)
	}
}

// commitGroupOffsets commits offsets to the consumer group, at most once a second.
// Ingest does not read them; tools that show lag do.
func (m *member) commitGroupOffsets(parts []*part) {
	for _, p := range parts {
		m.groupOffsets[p.partition.id] = kgo.EpochOffset{Epoch: -1, Offset: p.to}
	}
	if time.Since(m.groupCommittedAt) < time.Second {
		return
	}
	m.groupCommittedAt = time.Now()
	offsets := map[string]map[int32]kgo.EpochOffset{m.in.cfg.Topic: m.groupOffsets}
	m.groupOffsets = make(map[int32]kgo.EpochOffset)
	m.cl.CommitOffsets(context.Background(), offsets, nil)
}

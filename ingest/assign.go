package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
)

// errRecreated stops ingest: it cannot know which records are new.
var errRecreated = errors.New("the topic ends before the position in the database")

// adjust sets the offsets at which newly assigned partitions are read, from the
// database.
func (m *member) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ids := slices.Sorted(maps.Keys(offsets[m.in.cfg.Topic]))
	if len(ids) == 0 {
		return offsets, nil
	}
	var at map[int32]int64
	err := m.in.retry(ctx, "read offsets", func(ctx context.Context) (err error) {
		at, err = m.in.locate(ctx, ids)
		m.failing.Store(err != nil)
		if errors.Is(err, errRecreated) {
			return backoff.Permanent(err)
		}
		return err
	})
	if err != nil {
		if errors.Is(err, errRecreated) {
			m.fail(err)
		}
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, next := range at {
		m.parts[id] = &partition{id: id, next: next, lane: lane{newest: never}}
		m.in.metrics.setNext(id, next)
		offsets[m.in.cfg.Topic][id] = kgo.NewOffset().At(next)
	}
	m.log.Info("partitions assigned", slog.Any("offsets", at))
	return offsets, nil
}

func (m *member) assigned(context.Context, *kgo.Client, map[string][]int32) {
	m.mu.Lock()
	m.joined = true
	m.mu.Unlock()
}

// revoked waits until the batches in flight are written, before other members
// begin to read the partitions.
func (m *member) revoked(ctx context.Context, _ *kgo.Client, gone map[string][]int32) {
	if len(gone[m.in.cfg.Topic]) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	if err := m.flight.wait(ctx); err != nil {
		m.log.Warn("partitions revoked while a batch is in flight", slog.Any("error", err))
	}
	m.drop(gone[m.in.cfg.Topic])
}

func (m *member) lost(_ context.Context, _ *kgo.Client, gone map[string][]int32) {
	m.mu.Lock()
	m.joined = false
	m.mu.Unlock()
	m.drop(gone[m.in.cfg.Topic])
}

func (m *member) drop(ids []int32) {
	gone := make(map[int32]bool, len(ids))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		gone[id] = true
		delete(m.parts, id)
		delete(m.offsetGaps, id)
		m.in.metrics.dropPartition(id)
	}
	m.positions.evict(gone)
}

// reset reads the offsets of all partitions from the database again.
func (m *member) reset(ctx context.Context) error {
	if err := m.flight.wait(ctx); err != nil {
		return nil // ctx has ended, and ends the loop
	}
	m.mu.Lock()
	m.epoch.Add(1)
	m.positions = newPositions()
	m.planner.window.clear()
	m.mu.Unlock()
	if m.resets.Add(1) > 1 { // another member moves the same feeds
		m.pause(ctx, time.Duration(min(m.resets.Load(), 20))*50*time.Millisecond)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	wait := newBackOff()
	for ctx.Err() == nil {
		m.cl.PollRecords(ended, 1) // returns nothing, but blocks rebalances
		err := m.seek(ctx)
		m.cl.AllowRebalance()
		m.failing.Store(err != nil)
		if err == nil || errors.Is(err, errRecreated) {
			return err
		}
		d := wait.NextBackOff()
		m.in.metrics.retries.Inc()
		m.log.Warn("failed to read offsets, retrying", slog.Any("error", err), slog.Duration("in", d))
		m.pause(ctx, d)
	}
	return nil
}

func (m *member) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (m *member) seek(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m.mu.Lock()
	ids := slices.Sorted(maps.Keys(m.parts))
	m.mu.Unlock()
	at, err := m.in.locate(ctx, ids)
	if err != nil {
		return err
	}
	set := make(map[int32]kgo.EpochOffset, len(at))
	m.mu.Lock()
	for id, next := range at {
		if m.parts[id] != nil {
			m.parts[id] = &partition{id: id, next: next, lane: lane{newest: never}}
			set[id] = kgo.EpochOffset{Epoch: -1, Offset: next}
			m.in.metrics.setNext(id, next)
		}
	}
	m.mu.Unlock()
	m.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.in.cfg.Topic: set})
	m.resetNeeded.Store(false)
	return nil
}

// locate returns the offsets at which to read the given partitions, and checks
// that the broker still has them.
func (in *Ingester) locate(ctx context.Context, ids []int32) (map[int32]int64, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	starts, ends, err := in.ends(ctx)
	if err != nil {
		return nil, err
	}
	begin := make([]int64, len(ids))
	for i, id := range ids {
		o, ok := starts.Lookup(in.cfg.Topic, id)
		if !ok {
			return nil, fmt.Errorf("partition %d: not listed by the broker", id)
		}
		begin[i] = o.Offset
	}
	if err := in.queries.InsertIngestOffsets(ctx, db.InsertIngestOffsetsParams{Topic: in.cfg.Topic, Partitions: ids, NextOffsets: begin}); err != nil {
		return nil, fmt.Errorf("add offsets: %w", err)
	}
	rows, err := in.queries.IngestOffsets(ctx, db.IngestOffsetsParams{Topic: in.cfg.Topic, Partitions: ids})
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	at := make(map[int32]int64, len(rows))
	for _, r := range rows {
		id, next := r.Partition, r.NextOffset
		start, _ := starts.Lookup(in.cfg.Topic, id)
		end, _ := ends.Lookup(in.cfg.Topic, id)
		switch {
		case next > end.Offset:
			if err := in.confirmEnd(ctx, id, next); err != nil {
				return nil, err
			}
		case next < start.Offset:
			n, err := in.queries.SkipIngestOffset(ctx, db.SkipIngestOffsetParams{
				Topic: in.cfg.Topic, Partition: id, NextOffset: start.Offset, Expected: next,
			})
			if err != nil {
				return nil, fmt.Errorf("skip offsets: %w", err)
			}
			if n == 0 {
				return nil, fmt.Errorf("partition %d: another member moved its offset", id)
			}
			in.metrics.lost.Add(float64(start.Offset - next))
			in.log.Error("records deleted by the broker before they were ingested: raise the retention of the topic or ingest faster",
				slog.Int("partition", int(id)), slog.Int64("from", next), slog.Int64("to", start.Offset-1))
			next = start.Offset
		}
		at[id] = next
		in.metrics.setEnd(id, end.Offset)
	}
	return at, nil
}

// confirmEnd waits until the end offset is at least next: a leader that was just
// elected may report an older one at first.
func (in *Ingester) confirmEnd(ctx context.Context, id int32, next int64) error {
	var end int64
	for range 10 {
		_, ends, err := in.ends(ctx)
		if err != nil {
			return err
		}
		o, _ := ends.Lookup(in.cfg.Topic, id)
		if end = o.Offset; next <= end {
			return nil
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("%w: partition %d of %s ends at offset %d, and the database has ingested it up to %d. Was the topic recreated? "+
		"If so, ingest all of it with: DELETE FROM ingest_offsets WHERE topic = '%s'; ticks already stored are recognised by seq and not stored twice",
		errRecreated, id, in.cfg.Topic, end, next, in.cfg.Topic)
}

func (in *Ingester) ends(ctx context.Context) (starts, ends kadm.ListedOffsets, err error) {
	adm := kadm.NewClient(in.admin)
	if starts, err = adm.ListStartOffsets(ctx, in.cfg.Topic); err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list start offsets: %w", err)
	}
	if ends, err = adm.ListEndOffsets(ctx, in.cfg.Topic); err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list end offsets: %w", err)
	}
	return starts, ends, nil
}

// readEnds updates the lag of partitions without new records.
func (in *Ingester) readEnds(ctx context.Context) error {
	ends, err := kadm.NewClient(in.admin).ListEndOffsets(ctx, in.cfg.Topic)
	if err != nil {
		return err
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Err == nil {
			in.metrics.setEnd(o.Partition, o.Offset)
		}
	})
	return nil
}

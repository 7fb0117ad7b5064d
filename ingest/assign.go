package ingest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// adjust sets the offsets at which newly assigned partitions are read, from the
// database.
func (m *member) adjust(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	ids := slices.Sorted(maps.Keys(offsets[m.in.cfg.Topic]))
	if len(ids) == 0 {
		return offsets, nil
	}
	var at map[int32]start
	err := m.in.retry(ctx, "read offsets", func(ctx context.Context) (err error) {
		at, err = m.in.locate(ctx, ids)
		m.reading.note(err)
		return err
	})
	if err != nil {
		return nil, err
	}
	next := make(map[int32]int64, len(at))
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, s := range at {
		m.parts[id] = s.partition(id)
		m.in.metrics.place(id, s.next, s.end)
		offsets[m.in.cfg.Topic][id] = kgo.NewOffset().At(s.next)
		next[id] = s.next
	}
	m.log.Info("partitions assigned", slog.Any("offsets", next))
	return offsets, nil
}

// partition returns the state of a partition that is read from s.
func (s start) partition(id int32) *partition {
	return &partition{id: id, topicID: s.id, next: s.next, lane: lane{newest: never}}
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
		delete(m.fetchErrors, id)
		m.in.metrics.dropPartition(id)
	}
	m.positions.evict(gone)
}

// forget makes the member know nothing of any feed. The window goes with the
// positions, by whose ids it tells feeds apart: they begin again.
func (m *member) forget() {
	m.epoch.Add(1)
	m.positions = newPositions()
	m.planner.window.clear()
}

// reset reads the offsets of all partitions from the database again.
func (m *member) reset(ctx context.Context) error {
	if err := m.flight.wait(ctx); err != nil {
		return nil // ctx has ended, and ends the loop
	}
	m.mu.Lock()
	m.forget()
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
		m.reading.note(err)
		if err == nil {
			return nil
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
	for id, s := range at {
		if m.parts[id] != nil {
			m.parts[id] = s.partition(id)
			set[id] = kgo.EpochOffset{Epoch: -1, Offset: s.next}
			m.in.metrics.place(id, s.next, s.end)
		}
	}
	m.mu.Unlock()
	m.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.in.cfg.Topic: set})
	m.resetNeeded.Store(false)
	return nil
}

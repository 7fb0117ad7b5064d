package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
)

// heartbeat writes heartbeats, from which the view pipeline shows the state of this
// process and of the broker.
func (in *Ingester) heartbeat(ctx context.Context) {
	db.Heartbeat(ctx, in.cfg.Pool, in.log, "ingest", db.InstanceName(in.cfg.Instance, in.cfg.MetricsListen), func(ctx context.Context) (string, error) {
		if err := in.flowing(); err != nil {
			return "", err
		}
		if err := in.admin.Ping(ctx); err != nil {
			return "", fmt.Errorf("broker: %w", err)
		}
		in.metrics.mu.Lock()
		members, parts := len(in.metrics.members), len(in.metrics.parts)
		in.metrics.mu.Unlock()
		detail := fmt.Sprintf("%d members, %d partitions, %d records behind", members, parts, in.Lag())
		if n := in.admission.recent(in.cfg.Now()); n > 0 {
			detail += fmt.Sprintf(", %d records of new feeds above the bounds refused: see --new-feeds and --max-feeds", n)
		}
		return detail, nil
	})
}

// flowing returns what prevents records from being ingested, as far as the
// members know, or nil.
func (in *Ingester) flowing() error {
	in.metrics.mu.Lock()
	members := in.metrics.members
	in.metrics.mu.Unlock()
	if len(members) == 0 {
		return errors.New("starting")
	}
	if err := in.topicErr(); err != nil {
		return err
	}
	assigned := 0
	for _, m := range members {
		parts, err := m.flowing()
		if err != nil {
			return err
		}
		assigned += parts
	}
	if assigned == 0 {
		return errors.New("broker: no partition is assigned")
	}
	if id, behind, since := in.metrics.stalled(stalledAfter); behind > 0 {
		return fmt.Errorf("partition %d has not advanced for %v, and %d records wait", id, since.Round(time.Second), behind)
	}
	return nil
}

// flowing returns how many partitions the member reads, or what prevents it.
func (m *member) flowing() (parts int, err error) {
	m.mu.Lock()
	joined, parts := m.joined, len(m.parts)
	// The client fetches again within seconds: what has not come again has gone.
	failure, failed := fetchFailure{}, int32(-1)
	for id, f := range m.fetchErrors {
		if m.in.cfg.Now().Sub(f.at) < 15*time.Second {
			failure, failed = f, id
		}
	}
	m.mu.Unlock()
	switch {
	case m.writing.last() != nil:
		return 0, fmt.Errorf("the last batch could not be written, retrying: %w", m.writing.last())
	case m.reading.last() != nil:
		if errors.Is(m.reading.last(), errElsewhere) {
			return 0, fmt.Errorf("topic: %w", m.reading.last())
		}
		return 0, fmt.Errorf("offsets or positions could not be read, retrying: %w", m.reading.last())
	case !joined:
		return 0, errors.New("broker: not a member of the consumer group yet")
	case failed >= 0:
		return 0, fmt.Errorf("broker: partition %d: %w", failed, failure.err)
	}
	return parts, nil
}

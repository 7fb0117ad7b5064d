package ingest

import (
	"context"
	"errors"
	"fmt"

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
		return fmt.Sprintf("%d members, %d partitions, %d records behind", members, parts, in.Lag()), nil
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
	assigned := 0
	for _, m := range members {
		m.mu.Lock()
		joined, parts := m.joined, len(m.parts)
		m.mu.Unlock()
		assigned += parts
		switch {
		case !joined:
			return errors.New("broker: not a member of the consumer group yet")
		case m.failing.Load():
			return errors.New("the last batch could not be written, retrying")
		}
	}
	if assigned == 0 {
		return errors.New("broker: no partition is assigned")
	}
	return nil
}

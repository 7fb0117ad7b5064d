package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// watch reads settings again, and the lag of partitions without new records,
// until ctx ends.
func (in *Ingester) watch(ctx context.Context) {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		step, cancel := context.WithTimeout(ctx, 30*time.Second)
		if n%2 == 0 {
			in.note("read retention horizon", in.readHorizon(step))
		}
		if n%12 == 0 {
			in.note("read settings", in.readSettings(step))
			in.note("read columnstore policy", in.readCompressAge(step))
		}
		in.note("list end offsets", in.readEnds(step))
		in.note("reach the brokers", in.reach(step))
		cancel()
	}
}

// reach pings the brokers while no member of this process is in the group. The
// consumer logs nothing when it retries, not even permanent errors such as a
// wrong password or an untrusted certificate authority.
func (in *Ingester) reach(ctx context.Context) error {
	in.metrics.mu.Lock()
	members := in.metrics.members
	in.metrics.mu.Unlock()
	for _, m := range members {
		m.mu.Lock()
		joined := m.joined
		m.mu.Unlock()
		if joined {
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return in.admin.Ping(ctx)
}

func (in *Ingester) note(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		in.log.Warn("failed to "+what+", retrying", slog.Any("error", err))
	}
}

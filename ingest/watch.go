package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// watch looks at the topic and reads settings again, until ctx ends. It looks
// once a second while something is wrong with the topic.
func (in *Ingester) watch(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; ; n++ {
		step, cancel := context.WithTimeout(ctx, 30*time.Second)
		if n%10 == 9 {
			in.note("read retention horizon", in.readHorizon(step))
		}
		if n%60 == 59 {
			in.note("read settings", in.readSettings(step))
			in.note("read columnstore policy", in.readCompressAge(step))
			in.note("count feeds", in.readFeeds(step))
		}
		bad := in.topicErr()
		if n%5 == 0 || bad != nil {
			in.noteTopic(bad, in.readTopic(step))
			in.note("reach the brokers", in.reach(step))
		}
		in.suspect()
		if n%3600 == 0 {
			in.note("remove ends of topics", in.forgetEnds(step))
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-in.nudge:
			n = n/5*5 + 4 // the next step looks at the topic
		}
	}
}

// noteTopic logs what is wrong with the topic when that changes.
func (in *Ingester) noteTopic(before, err error) {
	if err != nil && (before == nil || before.Error() != err.Error()) {
		in.note("read the topic", err)
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

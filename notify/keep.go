package notify

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/hypertick/hypertick/db"
)

const (
	keepEvery    = time.Minute
	accountEvery = 10 * time.Second
	// step is the most time for a statement of these.
	step = 10 * time.Second
)

// beat tells the view pipeline that this process lives, and what it serves.
func (n *Notifier) beat(ctx context.Context) {
	db.Heartbeat(ctx, n.cfg.Pool, n.log, "notify", db.InstanceName(n.cfg.Instance, n.cfg.MetricsListen), func(context.Context) (string, error) {
		if len(n.channels) == 0 {
			return "no channel is configured", nil
		}
		var names []string
		for _, c := range n.channels {
			names = append(names, c.Name)
		}
		return "serves " + strings.Join(names, ", "), nil
	})
}

// keep says again and again which channels are served here, and gives up what
// waits for those that nobody serves.
func (n *Notifier) keep(ctx context.Context) {
	pause := patience()
	for {
		err := n.list(ctx)
		wait := keepEvery
		if err != nil {
			n.note("list the channels", err)
			wait = pause.NextBackOff()
		} else {
			pause.Reset()
			n.listed.Store(true)
			n.note("give up what nobody serves", n.sweep(ctx))
		}
		if !sleep(ctx, wait, nil) {
			return
		}
	}
}

func (n *Notifier) list(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	var p db.ListChannelsParams
	for _, c := range n.channels {
		p.Names, p.Kinds = append(p.Names, c.Name), append(p.Kinds, c.Kind)
	}
	if len(p.Names) == 0 {
		return n.cfg.Pool.Ping(ctx)
	}
	return n.queries.ListChannels(ctx, p)
}

func (n *Notifier) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, step)
	defer cancel()
	reason := "no notifier has served this channel for a day"
	gone, err := n.queries.FailUnserved(ctx, db.FailUnservedParams{Error: &reason, Seconds: keepFor.Seconds()})
	if err != nil {
		return err
	}
	for _, g := range gone {
		n.metrics.dead.WithLabelValues(g.Channel).Inc()
		n.log.Error("given up", slog.String("channel", g.Channel), slog.String("key", g.Key), slog.String("error", reason))
	}
	forgotten, err := n.queries.DeleteUnservedChannels(ctx, listFor.Seconds())
	if forgotten > 0 {
		n.log.Info("forgot channels that no notifier has served for a week", slog.Int64("channels", forgotten))
	}
	return err
}

// account keeps the gauges of what waits.
func (n *Notifier) account(ctx context.Context) {
	for {
		try, cancel := context.WithTimeout(ctx, step)
		rows, err := n.queries.OutboxState(try)
		cancel()
		if err == nil {
			n.metrics.outbox(rows)
		} else {
			n.note("count what waits", err)
		}
		if !sleep(ctx, accountEvery, nil) {
			return
		}
	}
}

// listen wakes the channels when something is written to the outbox. It only
// makes things faster: without it they look every Poll.
func (n *Notifier) listen(ctx context.Context) {
	pause := patience()
	for {
		err := n.hear(ctx, pause.Reset)
		n.note("listen to the database", err)
		if !sleep(ctx, pause.NextBackOff(), nil) {
			return
		}
	}
}

func (n *Notifier) hear(ctx context.Context, heard func()) error {
	conn, err := n.cfg.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	// A connection that listens is no use to anybody else.
	own := conn.Hijack()
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), moment)
		defer cancel()
		_ = own.Close(closing)
	}()
	if _, err := own.Exec(ctx, "LISTEN hypertick_outbox"); err != nil {
		return err
	}
	for {
		heard()
		for _, c := range n.channels {
			c.poke()
		}
		if _, err := own.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}

func (n *Notifier) note(what string, err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		n.log.Warn("cannot "+what+", trying again", slog.Any("error", err))
	}
}

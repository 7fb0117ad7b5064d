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
	keepEvery  = time.Minute
	countEvery = 10 * time.Second
	// step is the timeout of the statements here.
	step = 10 * time.Second
)

// heartbeat writes heartbeats with the channels that this process serves, for the
// view pipeline.
func (n *Notifier) heartbeat(ctx context.Context) {
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

// keep lists the channels served here in the database, every minute, and fails
// notifications for channels that no notifier serves.
func (n *Notifier) keep(ctx context.Context) {
	pause := newBackOff()
	for {
		err := n.list(ctx)
		wait := keepEvery
		if err != nil {
			n.note("list channels", err)
			wait = pause.NextBackOff()
		} else {
			pause.Reset()
			n.listed.Store(true)
			n.note("fail notifications without a notifier", n.sweep(ctx))
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
		n.log.Error("notification failed permanently", slog.String("channel", g.Channel), slog.String("key", g.Key), slog.String("error", reason))
	}
<<<<<<< HEAD
	forgotten, err := n.queries.DeleteUnservedChannels(ctx, listFor.Seconds())
	if forgotten > 0 {
		n.log.Info("forgot channels that no notifier has served for a week", slog.Int64("channels", forgotten))
=======
	deleted, err := n.queries.ForgetChannels(ctx, listFor.Seconds())
	if deleted > 0 {
		n.log.Info("deleted channels that no notifier has served for a week", slog.Int64("channels", deleted))
>>>>>>> wb
	}
	return err
}

// count updates the gauges of waiting notifications.
func (n *Notifier) count(ctx context.Context) {
	for {
		counting, cancel := context.WithTimeout(ctx, step)
		rows, err := n.queries.OutboxState(counting)
		cancel()
		if err == nil {
			n.metrics.outbox(rows)
		} else {
			n.note("count waiting notifications", err)
		}
		if !sleep(ctx, countEvery, nil) {
			return
		}
	}
}

// listen wakes the channels when the outbox has new rows. It only saves time:
// without it they poll the outbox.
func (n *Notifier) listen(ctx context.Context) {
	pause := newBackOff()
	for {
		err := n.hear(ctx, pause.Reset)
		n.note("listen for notifications", err)
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
	// A listening connection cannot be shared.
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
		n.log.Warn("failed to "+what+", retrying", slog.Any("error", err))
	}
}

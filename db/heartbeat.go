package db

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	heartbeatEvery = time.Second
	// askTimeout is how long it may take to find out how the instance is. The view
	// pipeline takes an instance for gone that sent no heartbeat for three times that.
	askTimeout = 2 * heartbeatEvery
	// writeTimeout is long, so that on a server that does one thing at a time the
	// heartbeat is first in line when a long job ends.
	writeTimeout = 2 * time.Minute
	// endTimeout is how long it may take to delete the heartbeat.
	endTimeout = 2 * time.Second
)

// InstanceName says which of several processes this one is: by its name if it
// has one, or by the address it listens on. Either is the same after a restart,
// so that a process takes the place of the one before it.
func InstanceName(name, listen string) string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	if name != "" {
		return host + "/" + name
	}
	if _, port, err := net.SplitHostPort(listen); err == nil && port != "0" {
		return host + ":" + port
	}
	return fmt.Sprintf("%s/%d/%x", host, os.Getpid(), time.Now().UnixNano())
}

// Heartbeat updates the row of an instance of a component in the table heartbeats
// every second until ctx ends, and then deletes it. state returns a line about what
// the instance does, and an error while something prevents it from working; it
// must return before its context ends.
func Heartbeat(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, component, instance string, state func(context.Context) (detail string, err error)) {
	q := New(pool)
	started := time.Now()
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for lost := false; ; {
		step, cancel := context.WithTimeout(ctx, askTimeout)
		detail, err := state(step)
		cancel()
		sent := HeartbeatParams{Component: component, Instance: instance, StartedAt: started, EverySeconds: heartbeatEvery.Seconds(), Detail: detail}
		if err != nil {
			text := err.Error()
			sent.Error = &text
		}
		step, cancel = context.WithTimeout(ctx, writeTimeout)
		err = q.Heartbeat(step, sent)
		cancel()
		// The database says loudly enough itself when it is gone: once is enough.
		if err != nil && ctx.Err() == nil && !lost {
			log.WarnContext(ctx, "cannot send a heartbeat", slog.Any("error", err))
		}
		lost = err != nil
		select {
		case <-ctx.Done():
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
			defer cancel()
			if err := q.EndHeartbeat(ctx, EndHeartbeatParams{Component: component, Instance: instance, StartedAt: started}); err != nil {
				log.WarnContext(ctx, "cannot delete the heartbeat", slog.Any("error", err))
			}
			return
		case <-tick.C:
		}
	}
}

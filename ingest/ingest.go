// Package ingest carries ticks from the topic into the hypertable, exactly
// once: the consumer group assigns partitions, the database remembers
// positions, in the same transaction as the rows.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/deadletter"
)

// Ingester is made by New and runs once.
type Ingester struct {
	cfg      Config
	log      *slog.Logger
	queries  *db.Queries
	metrics  *metrics
	listener net.Listener
	admin    *kgo.Client // publishes dead letters and asks for offsets
	letters  *deadletter.Publisher

	head    atomic.Int64                    // newest ts known
	horizon atomic.Int64                    // older ticks are dead letters
	loose   atomic.Pointer[map[string]bool] // venues in which a jump is no gap
	pack    atomic.Int64                    // age in µs at which ticks go to the columnstore, 0: never
}

// New checks cfg and takes the listener. It does not wait for broker or
// database: Run does.
func New(cfg Config) (*Ingester, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	in := &Ingester{cfg: cfg, log: cfg.Log.With(slog.String("topic", cfg.Topic)), queries: db.New(cfg.Pool)}
	in.head.Store(never)
	in.loose.Store(&map[string]bool{})
	in.metrics = newMetrics(in)

	admin, err := cfg.Security.Client(cfg.Brokers, append(deadletter.ClientOptions(), kgo.ClientID("hypertick-ingest"))...)
	if err != nil {
		return nil, fmt.Errorf("make broker client: %w", err)
	}
	in.letters = deadletter.NewPublisher(admin, cfg.Topic, cfg.Log)
	in.admin = admin
	if cfg.MetricsListen != "" {
		in.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.MetricsListen)
		if err != nil {
			admin.Close()
			return nil, fmt.Errorf("listen for metrics: %w", err)
		}
	}
	return in, nil
}

// Addr is where /metrics is served; nil when it is not.
func (in *Ingester) Addr() net.Addr {
	if in.listener == nil {
		return nil
	}
	return in.listener.Addr()
}

// Run ingests until ctx ends, and then returns nil within 5 s. An error means
// that it cannot go on without a human: it says what to do.
func (in *Ingester) Run(ctx context.Context) error {
	defer in.admin.Close()
	g, gctx := errgroup.WithContext(ctx)
	if in.listener != nil {
		g.Go(func() error { return in.serve(gctx) })
	}
	g.Go(func() error { in.beat(gctx); return nil })
	g.Go(func() error {
		if err := in.prepare(gctx); err != nil {
			return nil // only ever because ctx ended
		}
		var ready sync.WaitGroup
		for i := range in.cfg.Workers {
			m, err := newMember(in, i)
			if err != nil {
				return err
			}
			in.metrics.addMember(m)
			ready.Add(1)
			g.Go(func() error { ready.Done(); return m.run(gctx) })
		}
		ready.Wait()
		in.watch(gctx)
		return nil
	})
	err := g.Wait()
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		return nil
	}
	return err
}

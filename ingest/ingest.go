// Package ingest stores the ticks of the topic in the hypertable, exactly once:
// the consumer group assigns partitions, and the database stores the offsets in
// the transaction of the rows.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/deadletter"
)

// Ingester ingests one topic. New creates it, and it runs once.
type Ingester struct {
	cfg         Config
	log         *slog.Logger
	queries     *db.Queries
	metrics     *metrics
	listener    net.Listener
	admin       *kgo.Client // publishes dead letters and lists offsets
	deadLetters *deadletter.Publisher

	topic     topicState
	nudge     chan struct{} // watch looks at the topic at once
	admission *admission
	unpacker  *unpacker

	newest      atomic.Int64 // newest trade time known
	horizon     atomic.Int64 // retention horizon: older ticks are dead letters
	settings    atomic.Pointer[db.FeedSettings]
	compressAge atomic.Int64 // age in µs from which ticks are written to the columnstore, 0: never
}

// New checks cfg and opens the listener. It does not wait for the broker or the
// database: Run does.
func New(cfg Config) (*Ingester, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	in := &Ingester{cfg: cfg, log: cfg.Log.With(slog.String("topic", cfg.Topic)), queries: db.New(cfg.Pool), nudge: make(chan struct{}, 1)}
	in.topic.adopted, in.topic.distrusted = make(map[int32]string), make(map[int32]bool)
	in.admission = newAdmission(cfg.NewFeeds, cfg.MaxFeeds)
	in.newest.Store(never)
	in.settings.Store(new(db.FeedSettings))
	in.metrics = newMetrics(in)
	in.unpacker = newUnpacker(new(memory))

	admin, err := cfg.Security.Client(cfg.Brokers, append(deadletter.ClientOptions(), kgo.ClientID("hypertick-ingest"),
		kgo.MetadataMinAge(250*time.Millisecond))...)
	if err != nil {
		return nil, fmt.Errorf("create broker client: %w", err)
	}
	in.deadLetters = deadletter.NewPublisher(admin, cfg.Topic, cfg.Log)
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

// Run ingests until ctx ends, and then returns nil within 5 s. It returns an
// error only where an operator has to act; the error says how.
func (in *Ingester) Run(ctx context.Context) error {
	defer in.admin.Close()
	g, gctx := errgroup.WithContext(ctx)
	if in.listener != nil {
		g.Go(func() error { return in.serve(gctx) })
	}
	g.Go(func() error { in.heartbeat(gctx); return nil })
	g.Go(func() error {
		if err := in.prepare(gctx); err != nil {
			return nil // ctx has ended
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

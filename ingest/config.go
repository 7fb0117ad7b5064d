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
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// Config says what to ingest, and how.
type Config struct {
	Brokers         []string      // host:port of the first brokers to ask; required
	Security        feed.Security // how to connect to them
	Topic           string        // default feed.Topic
	DeadLetterTopic string        // default feed.DeadLetterTopic
	Group           string        // consumer group, default hypertick-ingest
	// Instance names this process for good in the group, so that after a crash
	// its successor of the same name takes over at once, not when the session
	// has timed out. No two live processes may share it. Default: none.
	Instance string
	// SessionTimeout is how long the broker waits for a silent member before
	// it gives its partitions to others. Default 10 s.
	SessionTimeout time.Duration
	// Pool reaches the database; required. Each worker uses up to two
	// connections, and one more serves all.
	Pool *pgxpool.Pool
	// MaxBatch is the most rows a batch holds, default 20,000.
	MaxBatch int
	// LateAfter is how much older than its partition's newest a tick may be
	// before it takes the late lane, default 5 min.
	LateAfter time.Duration
	// Workers is how many members of the group this process runs, each with
	// its share of the partitions. Default 1.
	Workers int
	// MetricsListen is the address of /metrics, /livez and /readyz. Empty:
	// not served.
	MetricsListen string
	// Hooks see what the consumers do; for traces.
	Hooks []kgo.Hook
	Log   *slog.Logger     // default slog.Default()
	Now   func() time.Time // default time.Now
}

// Ingester is made by New and runs once.
type Ingester struct {
	cfg      Config
	log      *slog.Logger
	queries  *db.Queries
	metrics  *metrics
	listener net.Listener
	admin    *kgo.Client // produces dead letters and asks for offsets

	head    atomic.Int64                    // newest ts known
	horizon atomic.Int64                    // older ticks are dead letters
	loose   atomic.Pointer[map[string]bool] // venues in which a jump is no gap
	pack    atomic.Int64                    // age in µs at which ticks go to the columnstore, 0: never
}

// New checks cfg and takes the listener. It does not wait for broker or
// database: Run does.
func New(cfg Config) (*Ingester, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("brokers: want at least one host:port, got none")
	}
	if cfg.Pool == nil {
		return nil, errors.New("pool: want a database pool, got none")
	}
	if cfg.Topic == "" {
		cfg.Topic = feed.Topic
	}
	if cfg.DeadLetterTopic == "" {
		cfg.DeadLetterTopic = feed.DeadLetterTopic
	}
	if cfg.Group == "" {
		cfg.Group = "hypertick-ingest"
	}
	if cfg.SessionTimeout == 0 {
		cfg.SessionTimeout = 10 * time.Second
	}
	if cfg.MaxBatch <= 0 {
		cfg.MaxBatch = 20_000
	}
	if cfg.LateAfter <= 0 {
		cfg.LateAfter = 5 * time.Minute
	}
	if cfg.Workers <= 0 {
		cfg.Workers = 1
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	in := &Ingester{cfg: cfg, log: cfg.Log.With(slog.String("topic", cfg.Topic)), queries: db.New(cfg.Pool)}
	in.head.Store(never)
	in.loose.Store(&map[string]bool{})
	in.metrics = newMetrics(in)

	admin, err := cfg.Security.Client(cfg.Brokers,
		kgo.ClientID("hypertick-ingest"),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Dead letters are at least once anyway, and an idempotent producer
		// cannot be told to stop waiting for a broker that is gone.
		kgo.DisableIdempotentWrite(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(deadLetterMax),
	)
	if err != nil {
		return nil, fmt.Errorf("make broker client: %w", err)
	}
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

// prepare reads what must be known before the first batch, for as long as it
// takes the database to come up.
func (in *Ingester) prepare(ctx context.Context) error {
	return in.patiently(ctx, "read settings", func(ctx context.Context) error {
		head, err := in.queries.FeedHead(ctx)
		if err != nil {
			return err
		}
		if us := head.UnixMicro(); us > 0 {
			in.raiseHead(us)
		}
		if err := in.readHorizon(ctx); err != nil {
			return err
		}
		if err := in.readPack(ctx); err != nil {
			return err
		}
		return in.readVenues(ctx)
	})
}

func (in *Ingester) readHorizon(ctx context.Context) error {
	h, err := in.queries.TickHorizon(ctx)
	if err == nil {
		in.horizon.Store(h.UnixMicro())
	}
	return err
}

func (in *Ingester) readPack(ctx context.Context) error {
	seconds, err := in.queries.DirectCompress(ctx)
	if err == nil {
		in.pack.Store(int64(seconds * 1e6))
	}
	return err
}

func (in *Ingester) readVenues(ctx context.Context) error {
	venues, err := in.queries.LooseVenues(ctx)
	if err != nil {
		return err
	}
	loose := make(map[string]bool, len(venues))
	for _, v := range venues {
		loose[v] = true
	}
	in.loose.Store(&loose)
	return nil
}

// watch re-reads settings, and the lag of partitions nothing comes from.
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
			in.note("read venues", in.readVenues(step))
			in.note("read columnstore policy", in.readPack(step))
		}
		in.note("read ends of partitions", in.readEnds(step))
		in.note("reach the brokers", in.reach(step))
		cancel()
	}
}

// reach asks the brokers for a sign of life while this process is in no group.
// The consumer itself retries without a word, also what time does not mend,
// such as a wrong password or an authority that is not trusted.
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
		in.log.Warn("cannot "+what+", trying again", slog.Any("error", err))
	}
}

func (in *Ingester) raiseHead(ts int64) {
	for {
		h := in.head.Load()
		if ts <= h || in.head.CompareAndSwap(h, ts) {
			return
		}
	}
}

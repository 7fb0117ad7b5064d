// Package notify sends the notifications of alert.outbox to webhooks, Slack and
// mailboxes, at least once, with the same idempotency key on every attempt.
// Several notifiers share the work through the database.
package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/hypertick/hypertick/db"
)

// Config configures a Notifier.
type Config struct {
	Pool     *pgxpool.Pool // as hypertick_operator; required
	Channels []Channel     // none: nothing is sent
	// AllowPrivate allows webhooks and Slack at any address, Allow at those of
	// some networks. Otherwise only public addresses are dialled.
	AllowPrivate bool
	Allow        []netip.Prefix
	// Instance names this process in the view pipeline. Default: by its address.
	Instance string
	// MetricsListen is the address of /metrics, /livez and /readyz. Empty:
	// not served.
	MetricsListen string
	Parallel      int           // maximum number of notifications of a channel at once, default 4
	Timeout       time.Duration // of one attempt, default and maximum MaxTimeout
	Tries         int           // attempts before a notification fails permanently, default DefaultTries
	// FirstRetry is about how long the second attempt waits. Each wait is 2.5
	// times the one before, up to LastRetry. Default 5 s and 90 min, which
	// makes six hours of 12 attempts.
	FirstRetry, LastRetry time.Duration
	// Lease is how long a notification is reserved for the notifier that claimed
	// it, in case that one dies. Default 30 s, at least twice Timeout.
	Lease    time.Duration
	Poll     time.Duration    // interval of polling the outbox, default 5 s
	Resolver *net.Resolver    // default net.DefaultResolver
	Log      *slog.Logger     // default slog.Default()
	Now      func() time.Time // default time.Now
}

const (
	// MaxTimeout bounds Config.Timeout, and is its default.
	MaxTimeout = 10 * time.Second
	// DefaultTries is the default of Config.Tries.
	DefaultTries = 12
	// Lease is the default of Config.Lease.
	Lease = 30 * time.Second
	// keepFor is how long notifications wait for a channel that no notifier serves.
	keepFor = 24 * time.Hour
	// listFor is how long such a channel stays in alert.channels.
	listFor = 7 * 24 * time.Hour
)

func (cfg *Config) complete() error {
	def := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	def(&cfg.Timeout, MaxTimeout)
	def(&cfg.FirstRetry, 5*time.Second)
	def(&cfg.LastRetry, 90*time.Minute)
	def(&cfg.Lease, Lease)
	def(&cfg.Poll, 5*time.Second)
	if cfg.Parallel <= 0 {
		cfg.Parallel = 4
	}
	if cfg.Tries == 0 {
		cfg.Tries = DefaultTries
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case cfg.Timeout < 0 || cfg.Timeout > MaxTimeout:
		return fmt.Errorf("timeout: want more than 0 and at most %v, got %v", MaxTimeout, cfg.Timeout)
	case cfg.Tries < 1 || cfg.Tries > 100:
		return fmt.Errorf("tries: want 1 to 100, got %d", cfg.Tries)
	case cfg.FirstRetry < 0 || cfg.LastRetry < cfg.FirstRetry:
		return fmt.Errorf("retry: want more than 0 and the last no less than the first, got %v and %v", cfg.FirstRetry, cfg.LastRetry)
	case cfg.Lease < 2*cfg.Timeout:
		return fmt.Errorf("lease: want at least twice the timeout, got %v", cfg.Lease)
	case cfg.Poll < 0:
		return fmt.Errorf("poll: want more than 0, got %v", cfg.Poll)
	}
	return nil
}

// sender sends to one channel. Its errors may hold secrets.
type sender interface {
	send(ctx context.Context, m *message) error
	close()
}

// channel is a channel that this notifier serves.
type channel struct {
	Channel
	sender
	hidden *strings.Replacer
	wake   chan struct{}
}

func open(c Channel, cfg *Config) (*channel, error) {
	err := c.check()
	var s sender
	if err == nil {
		switch c.Kind {
		case Webhook:
			s, err = newWebhook(&c, cfg)
		case Slack:
			s, err = newSlack(&c, cfg)
		case Mail:
			s, err = newEmail(&c, cfg)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("channel %.63q: %w", c.Name, err)
	}
	return &channel{Channel: c, sender: s, hidden: c.hide(), wake: make(chan struct{}, 1)}, nil
}

func openAll(cfg *Config) ([]*channel, error) {
	var out []*channel
	seen := map[string]bool{}
	for _, c := range cfg.Channels {
		opened, err := open(c, cfg)
		switch {
		case err != nil:
			return nil, err
		case seen[c.Name]:
			return nil, fmt.Errorf("channel %q: want each name once", c.Name)
		}
		seen[c.Name] = true
		out = append(out, opened)
	}
	return out, nil
}

// Check returns the error of an invalid configuration. It does not check the pool.
func Check(cfg Config) error {
	if err := cfg.complete(); err != nil {
		return err
	}
	_, err := openAll(&cfg)
	return err
}

// try sends a message once, within timeout. Its error holds no secret.
func (c *channel) try(ctx context.Context, m *message, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.send(ctx, m)
	if err == nil {
		return nil
	}
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{err: err}
	}
	text := []rune(c.hidden.Replace(plain(f.err.Error())))
	return &failure{err: errors.New(string(text[:min(len(text), errorMax)])), final: f.final, after: f.after}
}

// errorMax is the maximum length of a stored error.
const errorMax = 500

// poke makes the channel poll the outbox now.
func (c *channel) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Notifier sends notifications. New creates it, and it runs once.
type Notifier struct {
	cfg      Config
	log      *slog.Logger
	queries  *db.Queries
	channels []*channel
	metrics  *metrics
	listener net.Listener
	listed   atomic.Bool
	failing  atomic.Bool
}

// New checks cfg and opens the listener. It does not wait for the database: Run
// does.
func New(cfg Config) (*Notifier, error) {
	if cfg.Pool == nil {
		return nil, errors.New("pool: want a database pool, got none")
	}
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := &Notifier{cfg: cfg, log: cfg.Log, queries: db.New(cfg.Pool)}
	var err error
	if n.channels, err = openAll(&n.cfg); err != nil {
		return nil, err
	}
	var names []string
	for _, c := range n.channels {
		names = append(names, c.Name)
	}
	n.metrics = newMetrics(names)
	if cfg.MetricsListen != "" {
		n.listener, err = (&net.ListenConfig{}).Listen(context.Background(), "tcp", cfg.MetricsListen)
		if err != nil {
			return nil, fmt.Errorf("listen for metrics: %w", err)
		}
	}
	return n, nil
}

// Addr is where /metrics is served; nil when it is not.
func (n *Notifier) Addr() net.Addr {
	if n.listener == nil {
		return nil
	}
	return n.listener.Addr()
}

// Attempts in flight when Run is stopped have grace to finish. Then they are
// cancelled, and within a moment left to the next notifier.
const (
	grace  = 3 * time.Second
	moment = time.Second
)

// Run sends until ctx ends, and then returns nil within 5 s.
func (n *Notifier) Run(ctx context.Context) error {
	defer func() {
		for _, c := range n.channels {
			c.close()
		}
	}()
	sending, abandon := later(ctx, grace)
	defer abandon()
	writing, end := later(ctx, grace+moment)
	defer end()

	g, gctx := errgroup.WithContext(ctx)
	if n.listener != nil {
		g.Go(func() error { return n.serve(gctx) })
	}
	g.Go(func() error {
		n.heartbeat(gctx)
		return nil
	})
	g.Go(func() error {
		n.keep(gctx)
		return nil
	})
	g.Go(func() error {
		n.count(gctx)
		return nil
	})
	if len(n.channels) == 0 {
		n.log.Info("no channel configured, nothing is sent")
	} else {
		g.Go(func() error {
			n.listen(gctx)
			return nil
		})
	}
	for _, c := range n.channels {
		n.log.Info("serving channel", slog.String("channel", c.Name), slog.String("kind", c.Kind))
		g.Go(func() error {
			n.work(gctx, sending, writing, c)
			return nil
		})
	}
	err := g.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// later is a context that ends some time after ctx does.
func later(ctx context.Context, after time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		t := time.NewTimer(after)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-out.Done():
		}
	})
	return out, func() { stop(); cancel() }
}

// Test sends a message to the channel of that name, once, without a database.
func Test(ctx context.Context, cfg Config, name string) error {
	if err := cfg.complete(); err != nil {
		return err
	}
	var names []string
	for _, c := range cfg.Channels {
		if c.Name != name {
			names = append(names, c.Name)
			continue
		}
		opened, err := open(c, &cfg)
		if err != nil {
			return err
		}
		defer opened.close()
		raw, err := json.Marshal(map[string]any{
			"kind": "test", "rule": "test", "severity": "info", "symbol": "TEST", "message": "This is a test of the channel " + name + ".", "count": 1,
		})
		if err != nil {
			return err
		}
		m, err := newMessage("test/"+rand.Text(), cfg.Now(), raw)
		if err != nil {
			return err
		}
		return opened.try(ctx, m, cfg.Timeout)
	}
	if names == nil {
		return fmt.Errorf("no channel is configured, got %q", name)
	}
	return fmt.Errorf("channel: want one of %s, got %q", strings.Join(names, ", "), name)
}

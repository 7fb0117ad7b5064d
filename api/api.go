// Package api serves the database over REST: huma operations on Fiber,
// problem+json errors, cursor paging. It writes only alert rules, instruments,
// corporate actions and its request statistics.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/stream"
)

// Defaults of Config.
const (
	DefaultListen         = "127.0.0.1:8080"
	DefaultRequestTimeout = 20 * time.Second
	DefaultReadTimeout    = 10 * time.Second
	DefaultWriteTimeout   = 30 * time.Second
	DefaultIdleTimeout    = time.Minute
)

const (
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	// stopGrace is how long running requests may take to finish after a stop;
	// then their queries are cancelled, and stopLimit ends it all.
	stopGrace = 3 * time.Second
	stopLimit = 4 * time.Second
)

// Config is what a Server needs.
type Config struct {
	// Pool reaches the database; hypertick_reader's rights are enough.
	Pool *pgxpool.Pool
	// Operator reaches it as hypertick_operator, to write what clients may write,
	// and each minute what the API was asked. Without it the API only reads.
	Operator *pgxpool.Pool
	// Listen is host:port; DefaultListen when empty. Port 0 takes a free one.
	Listen string
	// Log takes one line per request and every internal error.
	Log *slog.Logger

	// RequestTimeout bounds the work on one request; DefaultRequestTimeout when 0.
	// It lies above the statement_timeout of the roles, so that the database gives
	// up first, and says so.
	RequestTimeout time.Duration
	// ReadTimeout bounds the reading of a request; DefaultReadTimeout when 0.
	ReadTimeout time.Duration
	// WriteTimeout bounds each write of an answer, so that a client that does
	// not read is cut off; DefaultWriteTimeout when 0.
	WriteTimeout time.Duration
	// IdleTimeout closes a quiet keep-alive connection; DefaultIdleTimeout when 0.
	IdleTimeout time.Duration

	// KeysFile holds the names and hashes of API keys (see NewKey). When it is
	// given, everything under /v1 needs one. It is read again when it changes.
	KeysFile string
	// Insecure lets the API listen beyond this machine without keys.
	Insecure bool
	// RateLimit is how many requests a second under /v1 one key may make, or
	// one address where there is no key; 0 is no limit.
	RateLimit float64
	// RateBurst is how many of them may come at once; 0 is twice RateLimit.
	RateBurst int
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// CORSOrigins are the origins whose pages may read the answers; * is all.
	CORSOrigins []string
	// MetricsListen is the address of /metrics. Empty: not served.
	MetricsListen string
	// Tracer makes a span of each request; nil makes none.
	Tracer trace.TracerProvider
	// Now is the clock of the rate limit and of the request statistics; time.Now
	// when nil.
	Now func() time.Time

	// Stream tunes the live events; its pool and its log are this one's.
	Stream stream.Config
}

// Server is the API, listening.
type Server struct {
	cfg      Config
	app      *fiber.App
	api      huma.API
	listener net.Listener
	queries  *db.Queries
	operator *pgxpool.Pool // nil: nothing is written
	keys     *keyring      // nil: no keys are needed
	limit    *limiter      // nil: no limit
	metrics  *metrics
	activity *activity // nil: requests are not counted
	tracer   tracer
	// metricsListener is nil when metrics are not served.
	metricsListener net.Listener
	hub             *stream.Hub
	// base is the parent of every request's context: ended, it stops them all.
	base   context.Context
	cancel context.CancelFunc
}

// New makes the API and takes its address; Run serves it.
func New(cfg Config) (*Server, error) {
	if cfg.Pool == nil {
		return nil, errors.New("make api: want a database pool, got none")
	}
	if cfg.Listen == "" {
		cfg.Listen = DefaultListen
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	setDefault(&cfg.RequestTimeout, DefaultRequestTimeout)
	setDefault(&cfg.ReadTimeout, DefaultReadTimeout)
	setDefault(&cfg.WriteTimeout, DefaultWriteTimeout)
	setDefault(&cfg.IdleTimeout, DefaultIdleTimeout)

	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	s := &Server{cfg: cfg, queries: db.New(describing{cfg.Pool}), operator: cfg.Operator, metrics: newMetrics(cfg.Pool), tracer: newTracer(cfg.Tracer)}
	if err := checkOrigins(cfg.CORSOrigins); err != nil {
		return nil, err
	}
	var err error
	if s.limit, err = newLimiter(cfg.RateLimit, cfg.RateBurst, maxBuckets, cfg.Now); err != nil {
		return nil, err
	}
	if cfg.KeysFile != "" {
		if s.keys, err = openKeyring(cfg.KeysFile, cfg.Log); err != nil {
			return nil, err
		}
	}
	s.app = fiber.New(fiber.Config{
		AppName: "hypertick", DisableStartupMessage: true,
		// Values outlive their request: huma hands them to handlers, handlers to pgx.
		Immutable: true, CaseSensitive: true, StrictRouting: true,
		ReadTimeout: cfg.ReadTimeout, IdleTimeout: cfg.IdleTimeout, // see paced for writes
		ReadBufferSize: maxHeaderBytes, BodyLimit: maxBodyBytes,
		ErrorHandler: s.early,
	})
	s.app.Use(s.frame)
	s.app.Use("/v1", s.admit)
	if err := s.registerPage(); err != nil {
		return nil, err
	}
	s.api = humafiber.New(s.app, s.config())
	s.api.UseMiddleware(unescapePath)
	s.registerOpenAPI()
	s.registerHealth()
	s.registerPipeline()
	s.registerSymbols()
	s.registerInstruments()
	s.registerTicks()
	s.registerCandles()
	s.registerIntervals()
	s.registerCalendars()
	s.registerCatalog()
	s.registerIndicator()
	s.registerScreener()
	s.registerSnapshot()
	s.registerAlerts()
	s.registerStream()
	if err := s.listen(); err != nil {
		return nil, err
	}
	s.activity = newActivity(cfg.Operator, cfg.Log, cfg.Now, db.InstanceName("", s.Addr()))
	s.base, s.cancel = context.WithCancel(context.Background())
	cfg.Stream.Pool, cfg.Stream.Log = cfg.Pool, cfg.Log
	s.hub = stream.New(cfg.Stream)
	return s, nil
}

// listen takes the addresses.
func (s *Server) listen() error {
	ln, err := net.Listen("tcp", s.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for the api: %w", err)
	}
	if err := s.cfg.guardAddress(ln.Addr()); err != nil {
		_ = ln.Close()
		return err
	}
	s.listener = ln
	if s.cfg.MetricsListen == "" {
		return nil
	}
	if s.metricsListener, err = net.Listen("tcp", s.cfg.MetricsListen); err != nil {
		_ = ln.Close()
		return fmt.Errorf("listen for the metrics of the api: %w", err)
	}
	return nil
}

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// MetricsAddr is where /metrics is served, as host:port; empty when it is not.
func (s *Server) MetricsAddr() string {
	if s.metricsListener == nil {
		return ""
	}
	return s.metricsListener.Addr().String()
}

// Close gives the addresses back; only a server that was never run needs it.
func (s *Server) Close() error {
	s.cancel()
	err := s.listener.Close()
	if s.metricsListener != nil {
		err = errors.Join(err, s.metricsListener.Close())
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close api: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then lets running requests finish, for at most
// some seconds, and writes down what was asked last.
func (s *Server) Run(ctx context.Context) error {
	defer s.cancel()
	g, ctx := errgroup.WithContext(ctx)
	if s.metricsListener != nil {
		g.Go(func() error { return s.serveMetrics(ctx, s.metricsListener) })
	}
	var stopped time.Time
	g.Go(func() error {
		<-ctx.Done()
		stopped = time.Now()
		return nil
	})
	g.Go(func() error { s.activity.keep(ctx); return nil })
	g.Go(func() error { return s.hub.Run(ctx) }) // its streams end with ctx, and not by themselves
	g.Go(func() error { return s.serve(ctx) })
	err := g.Wait()
	s.activity.end(stopped.Add(stopWhole))
	return err
}

func (s *Server) serve(ctx context.Context) error {
	served := make(chan error, 1)
	s.app.Server().Handler = s.serveKnown(s.app.Handler())
	go func() { served <- s.app.Listener(paced{s.listener, s.cfg.WriteTimeout}) }()
	s.cfg.Log.InfoContext(ctx, "api listens", slog.String("url", "http://"+s.Addr()), slog.Bool("keys", s.keys != nil))
	select {
	case err := <-served:
		return fmt.Errorf("serve api: %w", err)
	case <-ctx.Done():
	}
	cut := time.AfterFunc(stopGrace, s.cancel)
	defer cut.Stop()
	if err := s.app.ShutdownWithTimeout(stopLimit); err != nil {
		s.cfg.Log.Warn("api stopped with requests still running", slog.Any("error", err))
	}
	// Shutdown before the listener is served leaves it open.
	_ = s.listener.Close()
	if err := <-served; err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve api: %w", err)
	}
	return nil
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// describing caches the description of a query, but not its plan. A cached plan
// cannot prune the chunks of a hypertable by its parameters: it would look at all
// of them every time.
type describing struct{ *pgxpool.Pool }

func (d describing) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.Pool.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func (d describing) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.Pool.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

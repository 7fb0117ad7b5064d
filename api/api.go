// Package api serves what the database knows over REST: huma operations on
// Fiber, problem+json errors, cursor paging. It only reads.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humafiber"
	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
)

// DefaultListen is where the API listens unless told otherwise.
const DefaultListen = "127.0.0.1:8080"

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
	// Listen is host:port; DefaultListen when empty. Port 0 takes a free one.
	Listen string
	// Log takes one line per request and every internal error.
	Log *slog.Logger

	// RequestTimeout bounds the work on one request; 20 s when 0. It lies above
	// the reader's statement_timeout, so that the database gives up first.
	RequestTimeout time.Duration
	// ReadTimeout bounds the reading of a request; 10 s when 0.
	ReadTimeout time.Duration
	// WriteTimeout bounds the writing of an answer; 30 s when 0.
	WriteTimeout time.Duration
	// IdleTimeout closes a quiet keep-alive connection; 60 s when 0.
	IdleTimeout time.Duration
}

// Server is the API, listening.
type Server struct {
	cfg      Config
	app      *fiber.App
	api      huma.API
	listener net.Listener
	queries  *db.Queries
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
	setDefault(&cfg.RequestTimeout, 20*time.Second)
	setDefault(&cfg.ReadTimeout, 10*time.Second)
	setDefault(&cfg.WriteTimeout, 30*time.Second)
	setDefault(&cfg.IdleTimeout, time.Minute)

	s := &Server{cfg: cfg, queries: db.New(describing{cfg.Pool})}
	s.app = fiber.New(fiber.Config{
		AppName: "hypertick", DisableStartupMessage: true,
		// Values outlive their request: huma hands them to handlers, handlers to pgx.
		Immutable: true, UnescapePath: true, CaseSensitive: true, StrictRouting: true,
		ReadTimeout: cfg.ReadTimeout, WriteTimeout: cfg.WriteTimeout, IdleTimeout: cfg.IdleTimeout,
		ReadBufferSize: maxHeaderBytes, BodyLimit: maxBodyBytes,
		ErrorHandler: s.handleError,
	})
	s.app.Use(s.frame)
	s.api = humafiber.New(s.app, s.config())
	s.registerHealth()
	s.registerSymbols()
	s.registerTicks()
	s.registerCandles()
	s.registerCatalog()
	s.registerIndicator()
	s.registerScreener()
	s.registerSnapshot()

	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for the api: %w", err)
	}
	s.listener = ln
	s.base, s.cancel = context.WithCancel(context.Background())
	return s, nil
}

// Addr is where the server listens, as host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close gives the address back; only a server that was never run needs it.
func (s *Server) Close() error {
	s.cancel()
	if err := s.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close api: %w", err)
	}
	return nil
}

// Run serves until ctx ends, then lets running requests finish, for at most
// some seconds.
func (s *Server) Run(ctx context.Context) error {
	defer s.cancel()
	served := make(chan error, 1)
	go func() { served <- s.app.Listener(s.listener) }()
	s.cfg.Log.InfoContext(ctx, "api listens", slog.String("url", "http://"+s.Addr()))
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

// OpenAPI is the description of the API.
func (s *Server) OpenAPI() *huma.OpenAPI { return s.api.OpenAPI() }

func (s *Server) config() huma.Config {
	cfg := huma.DefaultConfig("Hypertick", "1.0.0")
	cfg.Info.Description = "Market data kept by TimescaleDB: ticks, and candles from one minute to one day.\n\n" +
		"Every list answers `{\"data\": [...], \"next\": \"...\"}`. Pass `next` as `cursor` for the next page; it is absent on the last one. " +
		"Times are RFC 3339 in UTC. Errors are `application/problem+json` (RFC 9457) with the location of what is wrong; " +
		"`request_id` names the request in the server's log."
	cfg.Info.License = &huma.License{Name: "MIT", Identifier: "MIT"}
	cfg.Tags = []*huma.Tag{
		{Name: "market", Description: "Symbols, ticks and candles."},
		{Name: "indicators", Description: "Indicators the database keeps, and the screener over them."},
		{Name: "health", Description: "For whoever supervises the server."},
	}
	// Only the database knows all parameters of an indicator.
	cfg.OnAddOperation = append(cfg.OnAddOperation, func(_ *huma.OpenAPI, op *huma.Operation) {
		op.RejectUnknownQueryParameters = op.OperationID != operationIndicator
	})
	cfg.CreateHooks = nil // no $schema in the answers
	cfg.DocsPath = ""     // its page would load from a foreign host
	cfg.SchemasPath = ""
	cfg.Transformers = []huma.Transformer{nameRequest}
	return cfg
}

func setDefault(d *time.Duration, to time.Duration) {
	if *d <= 0 {
		*d = to
	}
}

// describing runs queries with their description cached but planned anew each
// time. A cached plan cannot know which chunks of a hypertable its parameters
// leave, and would look at all of them, every time.
type describing struct{ *pgxpool.Pool }

func (d describing) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return d.Pool.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func (d describing) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return d.Pool.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

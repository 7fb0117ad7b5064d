package ingest

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

// Defaults of Config.
const (
	DefaultGroup     = "hypertick-ingest"
	DefaultMaxBatch  = 20_000
	DefaultLateAfter = 5 * time.Minute
)

// Config says what to ingest, and how.
type Config struct {
	Brokers  []string      // host:port of the first brokers to ask; required
	Security feed.Security // how to connect to them
	// Topic of the ticks, default feed.Topic. Dead letters go to
	// feed.DeadLetterTopic of it.
	Topic string
	Group string // consumer group, default DefaultGroup
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
	// MaxBatch is the most rows a batch holds, default DefaultMaxBatch.
	MaxBatch int
	// LateAfter is how much older than its partition's newest a tick may be
	// before it takes the late lane, default DefaultLateAfter.
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

// ConfigError says which field of a Config is wrong and what was expected of it.
type ConfigError struct {
	Field string
	Want  string // what was expected, and what was given instead
}

func (e *ConfigError) Error() string { return e.Field + ": " + e.Want }

// check reports the first field that is wrong, as a *ConfigError.
func (c *Config) check() error {
	switch {
	case len(c.Brokers) == 0:
		return &ConfigError{"brokers", "want at least one host:port, got none"}
	case c.Pool == nil:
		return &ConfigError{"pool", "want a database pool, got none"}
	case c.SessionTimeout < 0:
		return &ConfigError{"session timeout", fmt.Sprintf("want more than 0, got %v", c.SessionTimeout)}
	case c.MaxBatch < 0:
		return &ConfigError{"max batch", fmt.Sprintf("want at least 1, got %d", c.MaxBatch)}
	case c.LateAfter < 0:
		return &ConfigError{"late after", fmt.Sprintf("want more than 0, got %v", c.LateAfter)}
	case c.Workers < 0:
		return &ConfigError{"workers", fmt.Sprintf("want at least 1, got %d", c.Workers)}
	}
	return nil
}

// withDefaults is the configuration with a value for everything that has a
// default.
func (c Config) withDefaults() Config {
	if c.Topic == "" {
		c.Topic = feed.Topic
	}
	if c.Group == "" {
		c.Group = DefaultGroup
	}
	if c.SessionTimeout == 0 {
		c.SessionTimeout = 10 * time.Second
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = DefaultMaxBatch
	}
	if c.LateAfter == 0 {
		c.LateAfter = DefaultLateAfter
	}
	if c.Workers == 0 {
		c.Workers = 1
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

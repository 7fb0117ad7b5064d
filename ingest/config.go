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
	DefaultNewFeeds  = 20_000
	DefaultMaxFeeds  = 200_000
)

// Config configures an Ingester.
type Config struct {
	Brokers  []string      // host:port of the first brokers to ask; required
	Security feed.Security // how to connect to them
	// Topic of the ticks, default feed.Topic. Dead letters are published to its
	// feed.DeadLetterTopic.
	Topic string
	Group string // consumer group, default DefaultGroup
	// Instance is the static member ID of this process in the group. After a
	// crash, a process of the same instance takes over at once and not when the
	// session has timed out. No two live processes may share it. Default: none.
	Instance string
	// SessionTimeout is how long the broker waits for the heartbeat of a member
	// before it assigns the member's partitions to others. Default 10 s.
	SessionTimeout time.Duration
	// Pool of the database; required. Each worker uses up to two connections,
	// and all workers share one more.
	Pool *pgxpool.Pool
	// MaxBatch is the maximum number of rows of a batch, default DefaultMaxBatch.
	MaxBatch int
	// LateAfter is how much older than the newest tick of its partition a tick
	// may be before it goes to the late lane, default DefaultLateAfter.
	LateAfter time.Duration
	// NewFeeds is how many feeds may be new in a minute, and MaxFeeds how many
	// there may be. The records of feeds above them become dead letters. Defaults
	// DefaultNewFeeds and DefaultMaxFeeds.
	NewFeeds, MaxFeeds int
	// Workers is the number of group members in this process. Each has a share
	// of the partitions. Default 1.
	Workers int
	// MetricsListen is the address of /metrics, /livez and /readyz. Empty:
	// not served.
	MetricsListen string
	// Hooks of the consumers' clients, for traces.
	Hooks []kgo.Hook
	Log   *slog.Logger     // default slog.Default()
	Now   func() time.Time // default time.Now
}

// ConfigError names the field of a Config that is invalid and what was expected.
type ConfigError struct {
	Field string
	Want  string // what was expected, and what was given instead
}

func (e *ConfigError) Error() string { return e.Field + ": " + e.Want }

// check returns a *ConfigError for the first invalid field.
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
	case c.NewFeeds < 0:
		return &ConfigError{"new feeds", fmt.Sprintf("want at least 1, got %d", c.NewFeeds)}
	case c.MaxFeeds < 0:
		return &ConfigError{"max feeds", fmt.Sprintf("want at least 1, got %d", c.MaxFeeds)}
	case c.Workers < 0:
		return &ConfigError{"workers", fmt.Sprintf("want at least 1, got %d", c.Workers)}
	}
	return nil
}

// withDefaults returns the configuration with the defaults filled in.
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
	if c.NewFeeds == 0 {
		c.NewFeeds = DefaultNewFeeds
	}
	if c.MaxFeeds == 0 {
		c.MaxFeeds = DefaultMaxFeeds
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

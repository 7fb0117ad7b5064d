package ingest

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/feed"
)

func TestConfig(t *testing.T) {
	good := Config{Brokers: []string{"127.0.0.1:1"}, Pool: new(pgxpool.Pool)}
	c := good.withDefaults()
	if c.Topic != feed.Topic || c.Group != "hypertick-ingest" || c.SessionTimeout != 10*time.Second || c.MaxBatch != 20_000 ||
		c.LateAfter != 5*time.Minute || c.Workers != 1 || c.Log == nil || c.Now == nil {
		t.Errorf("defaults: %+v", c)
	}
	if again := c.withDefaults(); again.Topic != c.Topic || again.MaxBatch != c.MaxBatch || again.check() != nil {
		t.Errorf("what is set does not stay: %+v", again)
	}
	for want, change := range map[string]func(*Config){
		"": func(*Config) {},
		"brokers: want at least one host:port, got none": func(c *Config) { c.Brokers = nil },
		"pool: want a database pool, got none":           func(c *Config) { c.Pool = nil },
		"session timeout: want more than 0, got -1s":     func(c *Config) { c.SessionTimeout = -time.Second },
		"max batch: want at least 1, got -5":             func(c *Config) { c.MaxBatch = -5 },
		"late after: want more than 0, got -1m0s":        func(c *Config) { c.LateAfter = -time.Minute },
		"workers: want at least 1, got -2":               func(c *Config) { c.Workers = -2 },
	} {
		c := good
		change(&c)
		err := c.check()
		if want == "" {
			if err != nil {
				t.Errorf("a good one: %v", err)
			}
			continue
		}
		if _, ok := errors.AsType[*ConfigError](err); !ok || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

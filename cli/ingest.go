package cli

import (
	"errors"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/ingest"
)

type ingestFlags struct {
	Group         string        `help:"Consumer group; the ingest processes of a group share the partitions." default:"${group}" placeholder:"NAME"`
	Workers       int           `help:"Number of group members in this process, each with its share of the partitions." default:"1" placeholder:"N"`
	MaxBatch      int           `help:"Maximum number of ticks in one transaction." default:"${max_batch}" placeholder:"N"`
	LateAfter     time.Duration `help:"Age, relative to the newest tick of the partition, above which a tick takes the late lane." default:"${late_after}" placeholder:"DURATION"`
	NewFeeds      int           `help:"Feeds that may be new in a minute; the records of more become dead letters, which dlq retry stores." default:"${new_feeds}" placeholder:"N"`
	MaxFeeds      int           `help:"Feeds that there may be; the records of new ones above it become dead letters." default:"${max_feeds}" placeholder:"N"`
	MetricsListen string        `help:"Address that serves /metrics, /livez and /readyz." default:"127.0.0.1:9464" placeholder:"HOST:PORT"`
}

type ingestCmd struct {
	databaseFlag
	brokerFlag
	ingestFlags
	Instance string `help:"Static name of this process in the group, unique: after a restart it gets its partitions at once, without waiting 10 s for the session timeout." placeholder:"NAME"`
}

// Run ingests until the context ends.
func (c *ingestCmd) Run(e *env) error {
	ingest.BoundMemory()
	tracing, err := startTracing(e.ctx, "hypertick-ingest", e.log)
	if err != nil {
		return err
	}
	defer tracing.stop()
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	pool, err := db.NewPool(c.DatabaseURL, 0, tracing.pool)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := refuseBaseline(e.ctx, pool); err != nil {
		return err
	}
	in, err := ingest.New(ingest.Config{
		Brokers: c.Brokers, Security: security, Topic: c.Topic, Group: c.Group, Instance: c.Instance, Workers: c.Workers,
		Pool: pool, MaxBatch: c.MaxBatch, LateAfter: c.LateAfter, NewFeeds: c.NewFeeds, MaxFeeds: c.MaxFeeds, MetricsListen: c.MetricsListen, Log: e.log,
		Hooks: tracing.hooks(),
	})
	if err != nil {
		return ingestError(err)
	}
	return in.Run(e.ctx)
}

// ingestError turns a setting that ingest rejects into a usage error.
func ingestError(err error) error {
	if _, ok := errors.AsType[*ingest.ConfigError](err); ok {
		return usageError{err}
	}
	return err
}

package cli

import (
	"errors"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/ingest"
)

type ingestFlags struct {
	Group         string        `help:"Consumer group; several ingests of one group share the partitions." default:"${group}" placeholder:"NAME"`
	Workers       int           `help:"Members of the group in this process, each with its share of the partitions." default:"1" placeholder:"N"`
	MaxBatch      int           `help:"Most ticks in one transaction." default:"${max_batch}" placeholder:"N"`
	LateAfter     time.Duration `help:"A tick this much older than the newest of its partition takes the late lane." default:"${late_after}" placeholder:"DURATION"`
	MetricsListen string        `help:"Where /metrics, /livez and /readyz are served." default:"127.0.0.1:9464" placeholder:"HOST:PORT"`
}

type ingestCmd struct {
	databaseFlag
	brokerFlag
	ingestFlags
	Instance string `help:"Name of this process in the group, unique and the same after a restart: then a successor takes over at once, not when the broker has missed it for 10 s." placeholder:"NAME"`
}

// Run ingests until it is told to stop.
func (c *ingestCmd) Run(e *env) error {
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
		Pool: pool, MaxBatch: c.MaxBatch, LateAfter: c.LateAfter, MetricsListen: c.MetricsListen, Log: e.log,
		Hooks: tracing.hooks(),
	})
	if err != nil {
		return ingestError(err)
	}
	return in.Run(e.ctx)
}

// ingestError makes a usage error of a setting that ingest does not take.
func ingestError(err error) error {
	if _, ok := errors.AsType[*ingest.ConfigError](err); ok {
		return usageError{err}
	}
	return err
}

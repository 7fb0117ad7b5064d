package cli

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kong"
	"golang.org/x/sync/errgroup"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
	"github.com/hypertick/hypertick/notify"
)

type demoCmd struct {
	DataDir        string `help:"Directory of the data; a restarted demo continues from it." default:".hypertick" placeholder:"DIR" type:"path"`
	CacheDir       string `help:"Directory in which the embedded database is installed once. Default: hypertick in your cache directory." placeholder:"DIR" type:"path"`
	BrokerListen   string `help:"Address of the embedded broker." default:"127.0.0.1:19092" placeholder:"HOST:PORT"`
	DatabaseListen string `help:"Address of the embedded database." default:"127.0.0.1:15432" placeholder:"HOST:PORT"`
	PortBase       int    `help:"Listen on 127.0.0.1 and consecutive ports from this one: API, broker, database, metrics of ingest, of the API, of the notifier. An address that a flag or variable names stays." placeholder:"PORT"`
	Simulate       bool   `help:"Simulate a market. Without it the stack starts empty, for your own data." default:"true" negatable:""`

	apiFlags
	ingestFlags
	notifyFlags
	simulateFlags
	produceFlags
}

// Run runs the whole stack in this process, with the database in a child.
func (c *demoCmd) Run(e *env, k *kong.Context) error {
	if err := c.setAddresses(func(flag string) bool { return given(k, flag) }); err != nil {
		return err
	}
	cfg, err := c.apiFlags.config()
	if err != nil {
		return err
	}
	sending, err := c.notifyFlags.config()
	if err != nil {
		return err
	}
	// In a demo the receiver of notifications is usually on the same machine.
	sending.Allow = append(sending.Allow, netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
	if c.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("find the cache directory (name one with --cache-dir): %w", err)
		}
		c.CacheDir = filepath.Join(dir, "hypertick")
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("create data directory: %w", err)
	}
	// All ports are checked first, so that one in use does not stop a half-started
	// stack.
	for _, l := range c.listeners() {
		if err := free(e.ctx, l.flag, *l.addr); err != nil {
			return err
		}
	}

	start := time.Now()
	broker, err := embedded.StartBroker(e.ctx, embedded.BrokerConfig{
		Dir: filepath.Join(c.DataDir, "broker"), Listen: c.BrokerListen, Partitions: c.Partitions, Log: e.log,
	})
	if err != nil {
		return inUse(c.DataDir, err)
	}
	defer broker.Close()
	fmt.Fprintln(e.errOut, "starting the embedded database (the first time also installs it) ...")
	database, err := embedded.StartDatabase(e.ctx, embedded.DatabaseConfig{
		Dir: filepath.Join(c.DataDir, "database"), Listen: c.DatabaseListen, CacheDir: c.CacheDir, Relaxed: true, Restart: true, Log: e.log,
	})
	if err != nil {
		return inUse(c.DataDir, err)
	}
	defer func() { _ = database.Close() }()
	if err := db.Migrate(e.ctx, database.URL("postgres"), e.log); err != nil {
		if other, ok := errors.AsType[*db.BaselineError](err); ok {
			return fmt.Errorf("the data in %s is of another version, %s: give another --data-dir, or remove that folder", c.DataDir, other.Problem())
		}
		return err
	}
	err = c.serve(e, cfg, sending, broker, database, start)
	if e.ctx.Err() != nil {
		return nil
	}
	return err
}

// backlog is the lag, in records, above which the jobs wait for ingest.
const backlog = 50_000

// serve runs everything that depends on the broker and the database until one part
// fails or the context ends.
func (c *demoCmd) serve(e *env, cfg api.Config, sending notify.Config, broker *embedded.Broker, database *embedded.Database, start time.Time) error {
	owner, err := db.NewPool(database.URL("postgres"), 2)
	if err != nil {
		return err
	}
	defer owner.Close()
	writer, err := db.NewPool(database.URL("hypertick_writer"), 4)
	if err != nil {
		return err
	}
	defer writer.Close()
	reader, err := db.NewPool(database.URL("hypertick_reader"), 8)
	if err != nil {
		return err
	}
	defer reader.Close()
	// For the notifier, and for what the API writes.
	operator, err := db.NewPool(database.URL("hypertick_operator"), 3+operatorConns)
	if err != nil {
		return err
	}
	defer operator.Close()
	brokers := []string{broker.Addr()}
	in, err := ingest.New(ingest.Config{
		Brokers: brokers, Topic: feed.Topic, Group: c.Group, Workers: c.Workers,
		Instance: "demo", Pool: writer, MaxBatch: c.MaxBatch, LateAfter: c.LateAfter, MetricsListen: c.MetricsListen, Log: e.log,
	})
	if err != nil {
		return ingestError(err)
	}
	// A log line for each request would hide the status line.
	cfg.Pool, cfg.Operator, cfg.Log = reader, operator, newLogger(e.errOut, "warn", "text")
	server, err := api.New(cfg)
	if err != nil {
		return err
	}
	sending.Pool, sending.Log = operator, e.log
	sending.Instance = "demo"
	notifier, err := notify.New(sending)
	if err != nil {
		return err
	}

	g, ctx := errgroup.WithContext(e.ctx)
	// The database and the broker close after Wait, so that no part waits for one
	// that has stopped.
	g.Go(func() error { return in.Run(ctx) })
	g.Go(func() error { return server.Run(ctx) })
	g.Go(func() error { return notifier.Run(ctx) })
	g.Go(func() error {
		return embedded.RunJobs(ctx, owner, e.log, func() bool { lag := in.Lag(); return lag < 0 || lag > backlog })
	})
	g.Go(func() error {
		select {
		case <-ctx.Done():
			return nil
		case <-database.Done():
			return fmt.Errorf("embedded database: %w", database.Err())
		}
	})
	if c.Simulate {
		g.Go(func() error {
			// No progress bar: the status line shows the progress.
			err := c.simulateFlags.run(ctx, brokerFlag{Brokers: brokers, Topic: feed.Topic, BrokerSASL: "none"}, c.produceFlags, nil, e.log)
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("simulator: %w", err)
			}
			return nil
		})
	}
	c.announce(e, broker, database, time.Since(start))
	g.Go(func() error { return watch(ctx, e.out, brokers, feed.Security{}, reader) })
	return g.Wait()
}

// announce prints the addresses.
func (c *demoCmd) announce(e *env, broker *embedded.Broker, database *embedded.Database, took time.Duration) {
	symbol := "AAPL"
	if !c.Simulate {
		symbol = "BTC-USDT"
	}
	fmt.Fprintf(e.out, `
Hypertick is up, %.1[1]f s after its start. Data is in %[2]s.

  page       http://%[3]s  (reference of the API: /docs)
  candles    curl 'http://%[3]s/v1/symbols/%[4]s/candles?interval=5m&limit=3'
  symbols    curl 'http://%[3]s/v1/symbols'
  API        http://%[3]s/openapi.json
  SQL        psql '%[5]s'
  broker     %[6]s, topic %[7]s
  metrics    http://%[8]s/metrics (ingest), http://%[9]s/metrics (API), http://%[10]s/metrics (notifier)
  status     hypertick status --api http://%[3]s --brokers %[6]s --database-url '%[5]s'
`, took.Seconds(), c.DataDir, c.Listen, symbol, database.URL("hypertick_reader"), broker.Addr(), feed.Topic, c.MetricsListen, c.APIMetricsListen, c.NotifyMetricsListen)
	if !c.Simulate {
		fmt.Fprintf(e.out, "\nNothing is simulated. Replay your own data:\n\n  hypertick replay --file trades.csv --symbol BTC-USDT --venue BINANCE --brokers %s\n", broker.Addr())
	}
	fmt.Fprint(e.out, "\nCtrl-C stops it.\n\n")
}

// inUse explains that another demo has the data open.
func inUse(dir string, err error) error {
	var used *embedded.ErrInUse
	if errors.As(err, &used) {
		return fmt.Errorf("the data in %s is in use by another hypertick demo; stop that one, or give this one --data-dir: %w", dir, err)
	}
	return err
}

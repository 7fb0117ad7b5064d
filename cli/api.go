package cli

import (
	"net/netip"
	"time"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
)

// apiFlags are those of whatever serves the API.
type apiFlags struct {
	Listen           string   `help:"Where the REST API listens. Beyond loopback it wants --api-keys-file or --insecure." default:"${listen}" placeholder:"HOST:PORT"`
	APIKeysFile      string   `help:"File of API keys, made by hypertick key new. With it, every call under /v1 needs a key." name:"api-keys-file" placeholder:"FILE" type:"path"`
	Insecure         bool     `help:"Listen beyond loopback without keys: whoever reaches the address may read everything, and write alert rules where the API may."`
	RateLimit        *float64 `help:"Requests a second for each key, or for each address without one; 0 is no limit. Default: none on loopback, else 50." placeholder:"N"`
	RateBurst        int      `help:"How many of them may come at once. Default: twice the rate." placeholder:"N"`
	TrustedProxies   []string `help:"Networks of proxies whose X-Forwarded-For tells the address of a client." placeholder:"CIDR"`
	CORSOrigins      []string `help:"Origins whose pages may read the API, like https://example.com, or *." name:"cors-origins" placeholder:"ORIGIN"`
	APIMetricsListen string   `help:"Where /metrics of the API is served." name:"api-metrics-listen" default:"127.0.0.1:9465" placeholder:"HOST:PORT"`

	RequestTimeout time.Duration `help:"Most time for one request, the database included." default:"${request_timeout}" placeholder:"DURATION"`
	ReadTimeout    time.Duration `help:"Most time for a request to arrive." default:"${read_timeout}" placeholder:"DURATION"`
	WriteTimeout   time.Duration `help:"Most time for a client to take what is written to it." default:"${write_timeout}" placeholder:"DURATION"`
	IdleTimeout    time.Duration `help:"How long a connection may be quiet between two requests." default:"${idle_timeout}" placeholder:"DURATION"`
}

// defaultRate is the limit where others than this machine can ask.
const defaultRate = 50

// config says what is wrong with the flags before anything is started.
func (f *apiFlags) config() (api.Config, error) {
	cfg := api.Config{
		Listen: f.Listen, MetricsListen: f.APIMetricsListen, KeysFile: f.APIKeysFile, Insecure: f.Insecure,
		RequestTimeout: f.RequestTimeout, ReadTimeout: f.ReadTimeout, WriteTimeout: f.WriteTimeout, IdleTimeout: f.IdleTimeout,
		RateBurst: f.RateBurst, CORSOrigins: f.CORSOrigins,
	}
	for _, p := range f.TrustedProxies {
		network, err := netip.ParsePrefix(p)
		if err != nil {
			return cfg, usagef("--trusted-proxies: want a network like 10.0.0.0/8, got %q", p)
		}
		cfg.TrustedProxies = append(cfg.TrustedProxies, network.Masked())
	}
	loopback, err := api.Loopback(f.Listen)
	switch {
	case err != nil:
		return cfg, usagef("--listen: %w", err)
	case !loopback && f.APIKeysFile == "" && !f.Insecure:
		return cfg, usagef("--listen %s can be reached from other machines: give --api-keys-file (hypertick key new makes keys), or --insecure to let everybody read", f.Listen)
	case f.RateLimit != nil && *f.RateLimit < 0:
		return cfg, usagef("--rate-limit: want requests a second, or 0 for none, got %v", *f.RateLimit)
	case f.RateLimit != nil:
		cfg.RateLimit = *f.RateLimit
	case !loopback:
		cfg.RateLimit = defaultRate
	}
	return cfg, nil
}

// operatorConns is enough for rules, which people write.
const operatorConns = 2

type apiCmd struct {
	databaseFlag
	apiFlags
	OperatorURL string `help:"The same database as hypertick_operator, for clients to write alert rules, and for the API to write down each minute what it was asked. Without it the API only reads." placeholder:"URL"`
}

// Run serves until it is told to stop.
func (c *apiCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	tracing, err := startTracing(e.ctx, "hypertick-api", e.log)
	if err != nil {
		return err
	}
	defer tracing.stop()
	pool, err := db.NewPool(c.DatabaseURL, 0, tracing.pool)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := refuseBaseline(e.ctx, pool); err != nil {
		return err
	}
	if c.OperatorURL != "" {
		if cfg.Operator, err = db.NewPool(c.OperatorURL, operatorConns, tracing.pool); err != nil {
			return usagef("--operator-url: %w", err)
		}
		defer cfg.Operator.Close()
	}
	cfg.Pool, cfg.Log, cfg.Tracer = pool, e.log, tracing.provider
	server, err := api.New(cfg)
	if err != nil {
		return err
	}
	return server.Run(e.ctx)
}

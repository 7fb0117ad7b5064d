package cli

import (
	"net/netip"
	"time"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
)

// apiFlags are the flags of the commands that serve the API.
type apiFlags struct {
	Listen           string   `help:"Address of the REST API. One that is not loopback needs --api-keys-file or --insecure." default:"${listen}" placeholder:"HOST:PORT"`
	APIKeysFile      string   `help:"File of API keys, written by hypertick key new. With it, every request below /v1 needs a key." name:"api-keys-file" placeholder:"FILE" type:"path"`
	Insecure         bool     `help:"Listen on other addresses than loopback without keys: whoever reaches the address can read everything, and write alert rules if --operator-url is given."`
	RateLimit        *float64 `help:"Maximum number of requests per second for each key, or for each address without a key; 0 is no limit. Default: none on loopback, 50 elsewhere." placeholder:"N"`
	RateBurst        int      `help:"Maximum burst of requests. Default: twice the rate." placeholder:"N"`
	TrustedProxies   []string `help:"Networks of proxies whose X-Forwarded-For names the address of the client." placeholder:"CIDR"`
	CORSOrigins      []string `help:"Origins whose pages may read the API, such as https://example.com, or *." name:"cors-origins" placeholder:"ORIGIN"`
	APIMetricsListen string   `help:"Address that serves /metrics of the API." name:"api-metrics-listen" default:"127.0.0.1:9465" placeholder:"HOST:PORT"`

	RequestTimeout time.Duration `help:"Maximum time for one request, the database included." default:"${request_timeout}" placeholder:"DURATION"`
	ReadTimeout    time.Duration `help:"Maximum time to read a request." default:"${read_timeout}" placeholder:"DURATION"`
	WriteTimeout   time.Duration `help:"Maximum time for one write to a client." default:"${write_timeout}" placeholder:"DURATION"`
	IdleTimeout    time.Duration `help:"Maximum time between two requests of a connection." default:"${idle_timeout}" placeholder:"DURATION"`
}

// defaultRate is the rate limit where the API is not on loopback, in requests per
// second.
const defaultRate = 50

// config returns the settings, or a usage error.
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
		return cfg, usagef("--listen %s can be reached from other machines: give --api-keys-file (hypertick key new writes one), or --insecure to serve without keys", f.Listen)
	case f.RateLimit != nil && *f.RateLimit < 0:
		return cfg, usagef("--rate-limit: want requests per second, or 0 for none, got %v", *f.RateLimit)
	case f.RateLimit != nil:
		cfg.RateLimit = *f.RateLimit
	case !loopback:
		cfg.RateLimit = defaultRate
	}
	return cfg, nil
}

// operatorConns is the size of the pool that writes alert rules.
const operatorConns = 2

type apiCmd struct {
	databaseFlag
	apiFlags
	OperatorURL string `help:"The same database as hypertick_operator: lets clients write alert rules, instruments and corporate actions, and the API its request statistics. Without it the API only reads." placeholder:"URL"`
}

// Run serves until the context ends.
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

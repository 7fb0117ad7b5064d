package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hypertick/hypertick/db"
)

type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	inFlight prometheus.Gauge
	// streams counts the open event streams.
	streams prometheus.Gauge
}

func newMetrics(pool *pgxpool.Pool) *metrics {
	opts := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "hypertick", Subsystem: "api", Name: name, Help: help}
	}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts(opts("requests_total", "Requests answered, by route, method and status.")),
			[]string{"route", "method", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "hypertick", Subsystem: "api", Name: "request_seconds",
			Help:    "Time from a request's arrival until its answer is ready to be sent; for a stream, until it begins.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"route"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts(opts("in_flight_requests", "Requests being worked on."))),
		streams:  prometheus.NewGauge(prometheus.GaugeOpts(opts("streams", "Event streams open."))),
	}
	m.registry.MustRegister(m.requests, m.seconds, m.inFlight, m.streams, newPoolCollector(pool), newDriftGauge(pool), qualityCollector{pool},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// driftTimeout is below what a scrape may take; so is its double.
const driftTimeout = 2 * time.Second

// newDriftGauge asks the database for the drift that verify's samples found. It
// is NaN while the database does not answer.
func newDriftGauge(pool *pgxpool.Pool) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "hypertick", Subsystem: "verify", Name: "drift_buckets",
		Help: "Candles and blocks in which the samples of verify found drift.",
	}, func() float64 {
		ctx, cancel := context.WithTimeout(context.Background(), driftTimeout)
		defer cancel()
		n, err := db.New(pool).KnownDrift(ctx)
		if err != nil {
			return math.NaN()
		}
		return float64(n)
	})
}

// qualityCollector asks the database for the data quality findings. It yields
// nothing while the database does not answer.
type qualityCollector struct{ pool *pgxpool.Pool }

var qualityDesc = prometheus.NewDesc("hypertick_quality_findings",
	"Data quality findings: those that last, and gaps and outliers of the last hour.", []string{"kind"}, nil)

// Describe names what Collect yields.
func (c qualityCollector) Describe(ch chan<- *prometheus.Desc) { ch <- qualityDesc }

// Collect asks.
func (c qualityCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), driftTimeout)
	defer cancel()
	counts, err := db.New(c.pool).QualityCounts(ctx)
	if err != nil {
		return
	}
	// A kind that there is none of is 0, so that an alert can end.
	found := map[string]int64{"stale": 0, "gap": 0, "conflict": 0, "outlier": 0, "crossed": 0, "skew": 0, "split": 0}
	for _, k := range counts {
		found[k.Kind] = k.Findings
	}
	for kind, n := range found {
		ch <- prometheus.MustNewConstMetric(qualityDesc, prometheus.GaugeValue, float64(n), kind)
	}
}

// poolCollector reads the pool when it is asked.
type poolCollector struct {
	pool  *pgxpool.Pool
	stats []poolStat
}

type poolStat struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*pgxpool.Stat) float64
}

func newPoolCollector(pool *pgxpool.Pool) *poolCollector {
	c := &poolCollector{pool: pool}
	add := func(name, help string, kind prometheus.ValueType, read func(*pgxpool.Stat) float64) {
		desc := prometheus.NewDesc("hypertick_api_pool_"+name, help, nil, nil)
		c.stats = append(c.stats, poolStat{desc, kind, read})
	}
	add("acquired_connections", "Connections of the database in use.", prometheus.GaugeValue,
		func(s *pgxpool.Stat) float64 { return float64(s.AcquiredConns()) })
	add("idle_connections", "Connections of the database that are open and idle.", prometheus.GaugeValue,
		func(s *pgxpool.Stat) float64 { return float64(s.IdleConns()) })
	add("max_connections", "Maximum number of connections of the pool.", prometheus.GaugeValue,
		func(s *pgxpool.Stat) float64 { return float64(s.MaxConns()) })
	add("acquires_total", "Connections acquired.", prometheus.CounterValue,
		func(s *pgxpool.Stat) float64 { return float64(s.AcquireCount()) })
	add("waits_total", "Acquisitions that waited because no connection was idle.", prometheus.CounterValue,
		func(s *pgxpool.Stat) float64 { return float64(s.EmptyAcquireCount()) })
	add("wait_seconds_total", "Time spent waiting because none was idle.", prometheus.CounterValue,
		func(s *pgxpool.Stat) float64 { return s.EmptyAcquireWaitTime().Seconds() })
	add("canceled_acquires_total", "Times the wait for a connection was given up.", prometheus.CounterValue,
		func(s *pgxpool.Stat) float64 { return float64(s.CanceledAcquireCount()) })
	return c
}

// Describe names what Collect yields.
func (c *poolCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, s := range c.stats {
		ch <- s.desc
	}
}

// Collect reads the pool.
func (c *poolCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.pool.Stat()
	for _, s := range c.stats {
		ch <- prometheus.MustNewConstMetric(s.desc, s.kind, s.read(now))
	}
}

// serveMetrics serves /metrics until ctx ends, on an address of its own: it is for
// whoever runs the server, and stays out of keys and limits.
func (s *Server) serveMetrics(ctx context.Context, ln net.Listener) error {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}))
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(ln); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

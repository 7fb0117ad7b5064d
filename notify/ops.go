package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hypertick/hypertick/db"
)

type metrics struct {
	registry              *prometheus.Registry
	sent, failed, dead    *prometheus.CounterVec
	seconds               *prometheus.HistogramVec
	waiting, lost, oldest *prometheus.GaugeVec
	served                []string
}

func newMetrics(channels []string) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), served: channels}
	label := []string{"channel"}
	counter := func(name, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "hypertick", Subsystem: "notify", Name: name, Help: help}, label)
		m.registry.MustRegister(c)
		return c
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "hypertick", Subsystem: "notify", Name: name, Help: help}, label)
		m.registry.MustRegister(g)
		return g
	}
	m.sent = counter("sent_total", "Notifications that a receiver accepted.")
	m.failed = counter("failed_total", "Attempts that failed.")
	m.dead = counter("given_up_total", "Notifications that failed permanently.")
	m.waiting = gauge("waiting", "Notifications in the outbox that wait to be sent.")
	m.lost = gauge("dead", "Notifications in the outbox that have failed permanently.")
	m.oldest = gauge("oldest_waiting_seconds", "Age of the oldest waiting notification; 0 if none waits.")
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "hypertick", Subsystem: "notify", Name: "send_seconds", Help: "Duration of an attempt, whether it failed or not.",
		Buckets: prometheus.ExponentialBuckets(0.005, 2, 12),
	}, label)
	m.registry.MustRegister(m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, c := range channels {
		m.sent.WithLabelValues(c)
		m.failed.WithLabelValues(c)
		m.dead.WithLabelValues(c)
		m.seconds.WithLabelValues(c)
	}
	m.outbox(nil)
	return m
}

// outbox sets the gauges, also of channels that no notifier serves.
func (m *metrics) outbox(rows []db.OutboxStateRow) {
	for _, g := range []*prometheus.GaugeVec{m.waiting, m.lost, m.oldest} {
		g.Reset()
		for _, c := range m.served {
			g.WithLabelValues(c)
		}
	}
	for _, r := range rows {
		m.waiting.WithLabelValues(r.Channel).Set(float64(r.Waiting))
		m.lost.WithLabelValues(r.Channel).Set(float64(r.Dead))
		m.oldest.WithLabelValues(r.Channel).Set(r.OldestSeconds)
	}
}

// Handler serves /metrics, /livez and /readyz.
func (n *Notifier) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(n.metrics.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := n.Ready(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ok")
	})
	return mux
}

// Ready returns what prevents this process from sending notifications, or nil. It
// does not depend on the receivers.
func (n *Notifier) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := n.cfg.Pool.Ping(ctx); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	switch {
	case !n.listed.Load():
		return errors.New("starting")
	case n.failing.Load():
		return errors.New("the outbox could not be read, retrying")
	}
	return nil
}

func (n *Notifier) serve(ctx context.Context) error {
	srv := &http.Server{Handler: n.Handler(), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(n.log.Handler(), slog.LevelWarn)}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(n.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve metrics: %w", err)
	}
	return nil
}

package ingest

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

type metrics struct {
	registry *prometheus.Registry

	rows, late, batches, bytes, dups, gaps, lost prometheus.Counter
	conflicts, changes, restarts, lookups        prometheus.Counter
	fenced, retries, fetchErrors                 prometheus.Counter
	topicRestarts, refused                       prometheus.Counter
	dead                                         *prometheus.CounterVec
	seconds                                      prometheus.Histogram
	lag                                          *prometheus.GaugeVec

	mu      sync.Mutex
	members []*member
	parts   map[int32]*progress
}

type progress struct {
	next, end int64
	// at is when next moved last, or when the first of the records came that wait.
	at time.Time
}

// behind returns how many records wait.
func (p *progress) behind() int64 { return max(0, p.end-p.next) }

func newMetrics(in *Ingester) *metrics {
	m := &metrics{registry: prometheus.NewRegistry(), parts: make(map[int32]*progress)}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "hypertick", Subsystem: "ingest", Name: name, Help: help})
		m.registry.MustRegister(c)
		return c
	}
	m.rows = counter("rows_total", "Ticks stored, late ones included.")
	m.late = counter("late_total", "Of these, ticks written to the late lane.")
	m.batches = counter("batches_total", "Transactions committed.")
	m.bytes = counter("bytes_total", "Bytes of record values stored.")
	m.dups = counter("duplicates_total", "Ticks dropped because they are stored, equal in all.")
	m.conflicts = counter("conflicts_total", "Ticks with the ts and seq of a stored one and another price or size.")
	m.changes = counter("changes_total", "Cancels and corrections.")
	m.restarts = counter("restarts_total", "Times that a feed began to number again.")
	m.lookups = counter("lookups_total", "Ticks that were looked up in the database, because they may be stored.")
	m.gaps = counter("gaps_total", "Ranges of seq that a contiguous feed skipped.")
	m.lost = counter("lost_records_total", "Records deleted by the broker before they were ingested.")
	m.fenced = counter("fenced_total", "Batches rolled back because another member had moved the positions.")
	m.retries = counter("retries_total", "Attempts that failed and were retried.")
	m.fetchErrors = counter("fetch_errors_total", "Errors returned by the broker to fetches.")
	m.topicRestarts = counter("restarted_partitions_total", "Partitions read from their start again: the topic was recreated, or ended before the offset in the database.")
	m.refused = counter("refused_feed_records_total", "Records of new feeds above the bounds, published to the dead-letter topic.")
	m.dead = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "hypertick", Subsystem: "ingest", Name: "dead_letters_total", Help: "Records published to the dead-letter topic, by invalid field.",
	}, []string{"field"})
	m.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Namespace: "hypertick", Subsystem: "ingest", Name: "batch_seconds", Help: "Time to commit a batch, retries included.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
	})
	m.lag = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "hypertick", Subsystem: "ingest", Name: "lag_records", Help: "Records of a partition that are not ingested yet.",
	}, []string{"partition"})
	age := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "hypertick", Subsystem: "ingest", Name: "last_tick_age_seconds", Help: "Seconds since the trade time of the newest tick; -1 before the first.",
	}, func() float64 {
		if h := in.newest.Load(); h != never {
			return in.cfg.Now().Sub(time.UnixMicro(h)).Seconds()
		}
		return -1
	})
	topicLag := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "hypertick", Subsystem: "ingest", Name: "topic_lag_records",
		Help: "Records of all partitions of the topic that no process has ingested yet, within the last five seconds.",
	}, func() float64 {
		in.topic.mu.Lock()
		defer in.topic.mu.Unlock()
		return float64(in.topic.lag)
	})
	m.registry.MustRegister(m.dead, m.seconds, m.lag, age, topicLag,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) addMember(x *member) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.members = append(m.members, x)
}

func (m *metrics) committed(parts []*part, took time.Duration) {
	m.batches.Inc()
	m.seconds.Observe(took.Seconds())
	for _, p := range parts {
		m.rows.Add(float64(p.direct.rows + p.late))
		m.late.Add(float64(p.late))
		m.bytes.Add(float64(p.bytes))
		m.dups.Add(float64(p.dups))
		m.conflicts.Add(float64(len(p.conflicts)))
		m.changes.Add(float64(len(p.changes)))
		for i := range p.deltas {
			m.gaps.Add(float64(len(p.deltas[i].opened)))
			m.restarts.Add(float64(len(p.deltas[i].restarts)))
		}
		for i := range p.dead {
			m.dead.WithLabelValues(p.dead[i].field).Inc()
		}
		m.advance(p.partition.id, p.to)
	}
}

// advance ignores partitions that have been revoked.
func (m *metrics) advance(id int32, next int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.parts[id]; p != nil {
		p.next, p.at = next, time.Now()
		m.lag.WithLabelValues(strconv.Itoa(int(id))).Set(float64(p.behind()))
	}
}

// place sets where a partition is read from, and where it ends.
func (m *metrics) place(id int32, next, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.parts[id]
	if p == nil {
		p = new(progress)
		m.parts[id] = p
	}
	p.next, p.end, p.at = next, end, time.Now()
	m.lag.WithLabelValues(strconv.Itoa(int(id))).Set(float64(p.behind()))
}

// setEnd ignores partitions that are not assigned to this process.
func (m *metrics) setEnd(id int32, end int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.parts[id]; p != nil {
		if p.behind() == 0 {
			p.at = time.Now()
		}
		p.end = max(end, p.end)
		m.lag.WithLabelValues(strconv.Itoa(int(id))).Set(float64(p.behind()))
	}
}

// behind returns the number of records of a partition from next on, as of the
// last fetch.
func (m *metrics) behind(id int32, next int64) int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.parts[id]; p != nil {
		return max(0, p.end-next)
	}
	return 0
}

// stalled returns a partition that has had records for a while without
// advancing, and how many.
func (m *metrics) stalled(after time.Duration) (id int32, behind int64, since time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, x := range m.parts {
		if d := time.Since(x.at); x.behind() > 0 && d > after && d > since {
			id, behind, since = p, x.behind(), d
		}
	}
	return id, behind, since
}

// allStalled returns all such partitions.
func (m *metrics) allStalled(after time.Duration) (ids []int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, x := range m.parts {
		if x.behind() > 0 && time.Since(x.at) > after {
			ids = append(ids, p)
		}
	}
	return ids
}

// Lag returns the number of records that are not ingested yet in the assigned
// partitions, as of the last fetch; -1 while none is assigned.
func (in *Ingester) Lag() int64 {
	m := in.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.parts) == 0 {
		return -1
	}
	var lag int64
	for _, p := range m.parts {
		lag += p.behind()
	}
	return lag
}

func (m *metrics) dropPartition(id int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.parts, id)
	m.lag.DeleteLabelValues(strconv.Itoa(int(id)))
}

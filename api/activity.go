package api

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
)

const (
	// activityTimeout limits a write, which is retried a minute later.
	activityTimeout = 10 * time.Second
	// activityKeep is how many closed minutes are kept while the database is down.
	activityKeep = 60
	// stopWhole is the time in which a server must have shut down.
	stopWhole = 4800 * time.Millisecond
	// assetRoute stands for the files of the page: their names change with each release.
	assetRoute = "/assets/{file}"
)

// latencyBounds are the ends of the classes of api_activity.latency; a last class
// has none.
var latencyBounds = func() (bounds [37]time.Duration) {
	for i := range bounds {
		bounds[i] = time.Duration(math.Pow(2, float64(i)/2-3) * float64(time.Millisecond))
	}
	return bounds
}()

type operation struct{ method, route string }

// load counts the requests of an operation in a minute.
type load struct {
	requests, clientErrors, serverErrors int32
	bytes                                int64
	took                                 time.Duration
	latency                              [len(latencyBounds) + 1]int32
}

type activityMinute struct {
	start time.Time
	loads map[operation]*load
}

// activity counts requests by minute and operation and writes closed minutes to
// api_activity. A nil one does neither.
type activity struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	now      func() time.Time
	instance string
	started  time.Time
	lost     bool // whether the last write failed

	mu      sync.Mutex
	minutes []activityMinute // oldest first; the last one is open
	sent    time.Time        // minutes before it take no more
}

func newActivity(pool *pgxpool.Pool, log *slog.Logger, now func() time.Time, instance string) *activity {
	if pool == nil {
		return nil
	}
	return &activity{pool: pool, log: log, now: now, instance: instance, started: time.Now()}
}

// add counts a request. It never waits for the database.
func (a *activity) add(method, route string, status int, took time.Duration, bytes int) {
	if a == nil {
		return
	}
	if strings.HasPrefix(route, "/assets/") {
		route = assetRoute
	}
	class, _ := slices.BinarySearch(latencyBounds[:], took)
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.open(operation{method, route})
	l.requests++
	switch {
	case status >= http.StatusInternalServerError:
		l.serverErrors++
	case status >= http.StatusBadRequest:
		l.clientErrors++
	}
	l.bytes += int64(bytes)
	l.took += took
	l.latency[class]++
}

// open is the load of an operation in this minute. If the clock
// was set back, the minute stays, or is the next one if it was sent.
func (a *activity) open(op operation) *load {
	minute := a.now().UTC().Truncate(time.Minute)
	if minute.Before(a.sent) {
		minute = a.sent
	}
	if n := len(a.minutes); n == 0 || a.minutes[n-1].start.Before(minute) {
		a.minutes = append(a.minutes, activityMinute{minute, map[operation]*load{}})
		if n >= activityKeep {
			a.minutes = slices.Delete(a.minutes, 0, n-activityKeep+1)
		}
	}
	m := a.minutes[len(a.minutes)-1]
	l := m.loads[op]
	if l == nil {
		l = &load{}
		m.loads[op] = l
	}
	return l
}

// keep writes each minute when it has closed, until ctx ends.
func (a *activity) keep(ctx context.Context) {
	if a == nil {
		return
	}
	for {
		now := a.now()
		next := time.NewTimer(now.Truncate(time.Minute).Add(time.Minute).Sub(now))
		select {
		case <-ctx.Done():
			next.Stop()
			return
		case <-next.C:
		}
		step, cancel := context.WithTimeout(ctx, activityTimeout)
		a.write(step, a.now().Truncate(time.Minute))
		cancel()
	}
}

// end writes what is left, the open minute included.
func (a *activity) end(deadline time.Time) {
	if a == nil {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	a.write(ctx, time.Time{})
}

// write stores the minutes before end, or all, in one statement and deletes them
// here. After a failure they are sent with the next statement: the database takes
// them for the same rows.
func (a *activity) write(ctx context.Context, end time.Time) {
	rows, last := a.rows(end)
	if len(rows.Minutes) == 0 {
		return
	}
	if err := db.New(a.pool).RecordAPIActivity(ctx, rows); err != nil {
		// A database that is down is logged elsewhere too: one warning is enough.
		if !a.lost && !errors.Is(ctx.Err(), context.Canceled) {
			a.log.WarnContext(ctx, "cannot write request statistics", slog.Any("error", err))
		}
		a.lost = true
		return
	}
	a.lost = false
	a.mu.Lock()
	defer a.mu.Unlock()
	a.minutes = slices.DeleteFunc(a.minutes, func(m activityMinute) bool { return !m.start.After(last) })
}

// rows returns the minutes before end, or all where it is zero, and the last of them.
func (a *activity) rows(end time.Time) (p db.RecordAPIActivityParams, last time.Time) {
	p.Instance, p.StartedAt = a.instance, a.started
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, m := range a.minutes {
		if !end.IsZero() && !m.start.Before(end) {
			break
		}
		last, a.sent = m.start, m.start.Add(time.Minute)
		for op, l := range m.loads {
			p.Minutes = append(p.Minutes, m.start)
			p.Methods, p.Routes = append(p.Methods, op.method), append(p.Routes, op.route)
			p.Requests = append(p.Requests, l.requests)
			p.ClientErrors, p.ServerErrors = append(p.ClientErrors, l.clientErrors), append(p.ServerErrors, l.serverErrors)
			p.Bytes, p.Seconds = append(p.Bytes, l.bytes), append(p.Seconds, l.took.Seconds())
			p.Latencies = append(p.Latencies, l.array())
		}
	}
	return p, last
}

// array is the histogram as PostgreSQL writes it, without the zeros at its end.
func (l *load) array() string {
	b := []byte{'{'}
	for i, n := range l.latency {
		if n == 0 && !slices.ContainsFunc(l.latency[i:], func(n int32) bool { return n > 0 }) {
			break
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(n), 10)
	}
	return string(append(b, '}'))
}

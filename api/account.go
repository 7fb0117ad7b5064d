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
	// accountTimeout is how long a write may take; it is tried again a minute later.
	accountTimeout = 10 * time.Second
	// accountKeep is how many closed minutes wait for a database that is away.
	accountKeep = 60
	// stopWhole is when a server that was told to stop is gone.
	stopWhole = 4800 * time.Millisecond
	// assetRoute stands for the files of the page: each release names them anew.
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

// load is what came to an operation in a minute.
type load struct {
	requests, clientErrors, serverErrors int32
	bytes                                int64
	took                                 time.Duration
	latency                              [len(latencyBounds) + 1]int32
}

type accountMinute struct {
	start time.Time
	loads map[operation]*load
}

// account counts requests by minute and operation and writes closed minutes to
// api_activity. A nil one does neither.
type account struct {
	pool     *pgxpool.Pool
	log      *slog.Logger
	now      func() time.Time
	instance string
	started  time.Time
	lost     bool // whether the last write failed

	mu      sync.Mutex
	minutes []accountMinute // oldest first; the last one is open
	sent    time.Time       // minutes before it take no more
}

func newAccount(pool *pgxpool.Pool, log *slog.Logger, now func() time.Time, instance string) *account {
	if pool == nil {
		return nil
	}
	return &account{pool: pool, log: log, now: now, instance: instance, started: time.Now()}
}

// add counts a request. It never waits for the database.
func (a *account) add(method, route string, status int, took time.Duration, bytes int) {
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

// open is the load of an operation in this minute. A clock that was set back
// goes on in the minute it had, or in the next if that was sent.
func (a *account) open(op operation) *load {
	minute := a.now().UTC().Truncate(time.Minute)
	if minute.Before(a.sent) {
		minute = a.sent
	}
	if n := len(a.minutes); n == 0 || a.minutes[n-1].start.Before(minute) {
		a.minutes = append(a.minutes, accountMinute{minute, map[operation]*load{}})
		if n >= accountKeep {
			a.minutes = slices.Delete(a.minutes, 0, n-accountKeep+1)
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
func (a *account) keep(ctx context.Context) {
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
		step, cancel := context.WithTimeout(ctx, accountTimeout)
		a.write(step, a.now().Truncate(time.Minute))
		cancel()
	}
}

// end writes what is left, the open minute included.
func (a *account) end(deadline time.Time) {
	if a == nil {
		return
	}
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	a.write(ctx, time.Time{})
}

// write stores the minutes before end, or all, in one statement and forgets them.
// Those of a statement that failed are sent again with the next, which the database
// takes for the same rows.
func (a *account) write(ctx context.Context, end time.Time) {
	rows, last := a.rows(end)
	if len(rows.Minutes) == 0 {
		return
	}
	if err := db.New(a.pool).RecordAPIActivity(ctx, rows); err != nil {
		// The database says loudly enough itself when it is gone: once is enough.
		if !a.lost && !errors.Is(ctx.Err(), context.Canceled) {
			a.log.WarnContext(ctx, "cannot write the account of requests", slog.Any("error", err))
		}
		a.lost = true
		return
	}
	a.lost = false
	a.mu.Lock()
	defer a.mu.Unlock()
	a.minutes = slices.DeleteFunc(a.minutes, func(m accountMinute) bool { return !m.start.After(last) })
}

// rows are the minutes before end, or all where it is zero, and the last of them.
func (a *account) rows(end time.Time) (p db.RecordAPIActivityParams, last time.Time) {
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

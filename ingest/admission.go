package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// admission bounds new feeds: each costs a row, a cache entry, and work in every
// job that goes through the symbols. A producer that invents symbols would
// otherwise make all of them late.
type admission struct {
	perMinute, most int

	mu      sync.Mutex
	window  time.Time            // the minute that is counted
	granted map[feedKey]struct{} // in it
	known   int64                // feeds in the database, those granted since included
	refused int64                // records, so far
	last    time.Time            // when one was refused last
}

func newAdmission(perMinute, most int) *admission {
	return &admission{perMinute: perMinute, most: most, granted: make(map[feedKey]struct{})}
}

// admit returns why a new feed is refused, or nil.
func (a *admission) admit(key feedKey, now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if minute := now.Truncate(time.Minute); minute.After(a.window) {
		a.window = minute
		clear(a.granted)
	}
	if _, ok := a.granted[key]; ok {
		return nil // its batch was read again
	}
	switch {
	case a.known >= int64(a.most):
		return &feed.FieldError{Field: "feed", Want: fmt.Sprintf("want at most %d feeds, got a new one", a.most)}
	case len(a.granted) >= a.perMinute:
		return &feed.FieldError{Field: "feed", Want: fmt.Sprintf("want at most %d new feeds a minute, got more", a.perMinute)}
	}
	a.granted[key] = struct{}{}
	a.known++
	return nil
}

func (a *admission) count(n int, now time.Time) (first bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first = now.Sub(a.last) > time.Minute
	a.refused += int64(n)
	a.last = now
	return first
}

// recent returns the number of records refused so far, if one was within the
// last ten minutes.
func (a *admission) recent(now time.Time) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.last) > 10*time.Minute {
		return 0
	}
	return a.refused
}

func (in *Ingester) readFeeds(ctx context.Context) error {
	n, err := in.queries.CountFeeds(ctx)
	if err == nil {
		in.admission.mu.Lock()
		in.admission.known = n
		in.admission.mu.Unlock()
	}
	return err
}

// admit makes dead letters of the records of new feeds that are over the bounds.
// unknown are the feeds of b that were not in the cache.
func (m *member) admit(b *batch, unknown []feedKey) {
	now := m.in.cfg.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	refused := make(map[*position]error)
	for _, key := range unknown {
		p := m.positions.byKey[key]
		if p == nil || p.stored {
			continue
		}
		if err := m.in.admission.admit(key, now); err != nil {
			refused[p] = err
			delete(m.positions.byKey, key)
		}
	}
	if len(refused) == 0 {
		return
	}
	clear(m.positions.recent[:])
	n := 0
	for i := range b.chunks {
		c := &b.chunks[i]
		dead := make([]deadLetter, 0, len(c.dead)) // one for each tick without a position, in their order
		old := c.dead
		for j := range c.ticks {
			t := &c.ticks[j]
			if t.isDead() {
				dead, old = append(dead, old[0]), old[1:]
			} else if err := refused[t.pos]; err != nil {
				t.pos = nil
				dead = append(dead, newDeadLetter(c.records[j], err))
				n++
			}
		}
		c.dead = dead
	}
	m.in.metrics.refused.Add(float64(n))
	if m.in.admission.count(n, now) {
		m.log.Warn("too many new feeds, their records become dead letters: hypertick dlq retry stores them",
			slog.Int("records", n), slog.Int("new_feeds", m.in.cfg.NewFeeds), slog.Int("max_feeds", m.in.cfg.MaxFeeds))
	}
}

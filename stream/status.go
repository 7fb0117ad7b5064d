package stream

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// staleAfter is how long no tick may come before the data is stale, here and in
	// the view pipeline.
	staleAfter = 15 * time.Second
	// materialiseAfter is the end_offset of the policies of the candles: the age at
	// which they take a bar in.
	materialiseAfter = time.Minute
	// quietAfter is how long feeds that are behind may bring nothing before bars
	// close by the clock alone, and behindAtMost how far behind they may be.
	quietAfter   = 5 * time.Second
	behindAtMost = 10 * time.Minute
)

// reading is what the rate is taken from.
type reading struct {
	at      time.Time
	records int64
}

// progress follows the newest trade time to say which bars are complete.
type progress struct {
	newest  time.Time
	movedAt time.Time
}

// upto is the time up to which bars are closed: grace ago, or earlier while
// ingest works off a backlog, for then most ticks of the last minutes are
// still to come.
func (p *progress) upto(now, newest time.Time, grace time.Duration) time.Time {
	if newest.After(p.newest) {
		p.newest, p.movedAt = newest, now
	}
	if newest.Before(now) && now.Sub(newest) < behindAtMost && now.Sub(p.movedAt) < quietAfter {
		return newest.Add(-grace)
	}
	return now.Add(-grace)
}

// status makes a status event when it is time for one.
func (p *pass) status(ctx context.Context, records int64) error {
	h := p.h
	if time.Since(h.statusAt) < h.cfg.StatusEvery {
		return nil
	}
	row, err := p.q.StreamStatus(ctx)
	if err != nil {
		return fmt.Errorf("read status: %w", err)
	}
	h.statusAt = time.Now()
	s := Health{Time: p.now, Stale: true, JobsFailed: row.JobsFailed}
	var arrived time.Time
	for _, f := range p.feeds {
		if f.updated.After(arrived) {
			arrived = f.updated
		}
	}
	if newest := p.newest(); !newest.IsZero() {
		age := round(p.now.Sub(newest).Seconds())
		s.LastTick, s.LastTickAge = &newest, &age
		s.Stale = p.now.Sub(arrived) > staleAfter
		s.CandlesBehind = behind(p.now, newest, row.CandlesUpto)
	}
	if r := h.healthReads; !r.at.IsZero() {
		s.TicksPerSecond = round(float64(records-r.records) / time.Since(r.at).Seconds())
	}
	h.healthReads = reading{time.Now(), records}
	h.health = s
	p.update.status = &event{kind: Status, body: encode("status", s)}
	return nil
}

// behind is for how many seconds the oldest closed bar that is not yet
// materialised has been due.
func behind(now, newest, upto time.Time) float64 {
	end := newest.Truncate(time.Minute).Add(time.Minute)
	if due := now.Add(-materialiseAfter).Truncate(time.Minute); due.Before(end) {
		end = due
	}
	if !upto.Before(end) {
		return 0
	}
	if upto.Unix() > 0 {
		end = upto.Add(time.Minute)
	}
	return round(max(0, now.Sub(end.Add(materialiseAfter)).Seconds()))
}

// staleStatus is for when the database does not answer.
func (h *Hub) staleStatus() *event {
	if time.Since(h.statusAt) < h.cfg.StatusEvery && h.failing {
		return nil
	}
	h.statusAt = time.Now()
	s := h.health
	s.Time, s.TicksPerSecond, s.Stale = time.Now().UTC(), 0, true
	if h.cfg.Now != nil {
		s.Time = h.cfg.Now().UTC()
	}
	if s.LastTick != nil {
		age := round(s.Time.Sub(*s.LastTick).Seconds())
		s.LastTickAge = &age
	}
	return &event{kind: Status, body: encode("status", s)}
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

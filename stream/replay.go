package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
)

const (
	// resumeWithin is how long an id can be resumed from. The table bar_revisions
	// must keep its rows for longer: by what bars may be behind the clock when
	// the id was given, and by what a replay takes.
	resumeWithin = 24 * time.Hour
	// replayTimeout bounds a replay.
	replayTimeout = 30 * time.Second
)

// replay is what happened between two positions: first the alerts that changed,
// then the revisions of bars the client knows as closed, then the bars that
// closed, with what they have become since.
func (h *Hub) replay(ctx context.Context, sub *Subscription, from, upto position, badID bool) ([]byte, error) {
	if badID {
		return wire(resetEvent("", "the last event id is not one of this stream", upto)), nil
	}
	if sub.Kinds&(Candles|Alerts) == 0 {
		return nil, nil
	}
	switch age := upto.upto.Sub(from.upto); {
	case age > resumeWithin && sub.Kinds&Candles != 0:
		return wire(resetEvent("", "the last event id is too old", upto)), nil
	case from.revision > upto.revision || from.change > upto.change:
		return wire(resetEvent("", "the last event id is of another database", upto)), nil
	}
	select {
	case h.replays <- struct{}{}:
		defer func() { <-h.replays }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var events []*event
	err := h.read(ctx, func(q *db.Queries) error {
		if sub.Kinds&Alerts != 0 {
			alerts, tooMany, err := changedAlerts(ctx, q, from, upto.change, sub.alertSymbols())
			if err != nil {
				return err
			}
			if tooMany {
				alerts = []*event{resetEvent("", "too many alerts were missed", upto)}
			}
			events = append(events, alerts...)
		}
		if sub.Kinds&Candles == 0 {
			return nil
		}
		from.change = upto.change
		symbols, err := replaySymbols(ctx, q, sub, from)
		if err != nil {
			return err
		}
		want := func(level int, symbol string) bool {
			return sub.levels[level] && (sub.set == nil || sub.set[symbol])
		}
		revisions, _, err := h.revisions(ctx, q, from, upto.revision, true, want)
		if err != nil {
			return err
		}
		for _, e := range revisions {
			if e.symbol == "" || sub.set == nil || sub.set[e.symbol] {
				events = append(events, e)
			}
		}
		closes, tooMany, err := closings(ctx, q, from, upto, func(level int) []string {
			if !sub.levels[level] {
				return nil
			}
			return symbols
		})
		if tooMany {
			closes = []*event{resetEvent("", "too many candles were missed", upto)}
		}
		events = append(events, closes...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return wire(events...), nil
}

// replaySymbols are the symbols of a subscription that may have closed bars.
func replaySymbols(ctx context.Context, q *db.Queries, sub *Subscription, from position) ([]string, error) {
	feeds, err := q.StreamFeeds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read feeds: %w", err)
	}
	seen := map[string]bool{}
	var symbols []string
	since := from.upto.Add(-widths[levels-1])
	for _, f := range feeds {
		if !seen[f.Symbol] && !f.LastTs.Before(since) && (sub.set == nil || sub.set[f.Symbol]) {
			seen[f.Symbol] = true
			symbols = append(symbols, f.Symbol)
		}
	}
	return symbols, nil
}

func wire(events ...*event) []byte {
	var out []byte
	for _, e := range events {
		out = append(append(out, e.id...), e.body...)
	}
	return out
}

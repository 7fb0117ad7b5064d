package stream

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
)

const (
	// resumeWithin is the maximum age of an id to resume from. The retention of
	// bar_revisions must be longer, by how far bars may be behind the clock and
	// by the time of a replay.
	resumeWithin = 24 * time.Hour
	// replayTimeout bounds a replay.
	replayTimeout = 30 * time.Second
)

// replay returns the events between two positions: first the changed alerts, then
// the revisions of bars that the client has as closed, then the bars that closed
// since, as they are now.
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
		candles, err := h.replayCandles(ctx, q, sub, from, upto)
		events = append(events, candles...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return wire(events...), nil
}

// replayCandles returns the revisions of bars that the client has as closed, and
// then the bars that closed since.
func (h *Hub) replayCandles(ctx context.Context, q *db.Queries, sub *Subscription, from, upto position) ([]*event, error) {
	head, err := q.StreamPosition(ctx)
	if err != nil {
		return nil, fmt.Errorf("read stream position: %w", err)
	}
	symbols, err := replaySymbols(ctx, q, sub, from)
	if err != nil {
		return nil, err
	}
	every := func(timeframe) []string { return symbols }
	revisions, _, err := h.revisions(ctx, q, revisionRange{
		from: from, upto: upto.revision, resumed: true, timeframes: sub.timeframes, materialized: head.Materialized,
		want: func(_ timeframe, symbol string) bool { return sub.set == nil || sub.set[symbol] },
	})
	if err != nil {
		return nil, err
	}
	told := map[shownKey]bool{}
	var events []*event
	for _, e := range revisions {
		if e.symbol == "" || sub.set == nil || sub.set[e.symbol] {
			events = append(events, e)
			told[e.shownKey()] = true
		}
	}
	at := from
	at.revision = max(from.revision, upto.revision)
	short, tooManyShort, err := h.shortRevisions(ctx, q, from, at, true, sub.timeframes, every)
	if err != nil {
		return nil, err
	}
	for _, e := range short {
		if !told[e.shownKey()] {
			events = append(events, e)
		}
	}
	closes, tooMany, err := closings(ctx, q, from, upto, sub.timeframes, every)
	if err != nil {
		return nil, err
	}
	if tooMany || tooManyShort {
		closes = []*event{resetEvent("", "too many candles were missed", upto)}
	}
	return append(events, closes...), nil
}

// replaySymbols returns the symbols of a subscription that may have closed bars.
func replaySymbols(ctx context.Context, q *db.Queries, sub *Subscription, from position) ([]string, error) {
	feeds, err := q.StreamFeeds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read feeds: %w", err)
	}
	since := from.upto
	for _, tf := range sub.timeframes {
		// The bar that from.upto lies in, or that ends there.
		if start := tf.Add(tf.Start(from.upto), -1); start.Before(since) {
			since = start
		}
	}
	seen := map[string]bool{}
	var symbols []string
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

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
		candles, err := h.replayCandles(ctx, q, sub, from, upto)
		events = append(events, candles...)
		return err
	})
	if err != nil {
		return nil, err
	}
	return wire(events...), nil
}

// replayCandles is what bars the client knows as closed have become, and then
// the bars that have closed.
func (h *Hub) replayCandles(ctx context.Context, q *db.Queries, sub *Subscription, from, upto position) ([]*event, error) {
	head, err := q.StreamPosition(ctx)
	if err != nil {
		return nil, fmt.Errorf("read head: %w", err)
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

// replaySymbols are the symbols of a subscription that may have closed bars.
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

package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/hypertick/hypertick/db"
)

// close reports the bars that have ended since the pass before.
func (p *pass) close(ctx context.Context) error {
	events, tooMany, err := closings(ctx, p.q, p.update.start, p.update.at, p.timeframes, func(tf timeframe) []string {
		var symbols []string
		for symbol, head := range p.heads {
			if p.w.candlesOf(tf, symbol) && !head.Before(tf.Start(p.update.start.upto)) {
				symbols = append(symbols, symbol)
			}
		}
		return symbols
	})
	if err != nil {
		return err
	}
	if tooMany {
		events = []*event{resetEvent("", "too many candles closed at once", p.update.at)}
	}
	p.update.durable = append(p.update.durable, events...)
	return nil
}

// closings reads the bars that ended behind from and up to upto, in the order
// of the stream.
func closings(
	ctx context.Context, q *db.Queries, from, upto position, timeframes []timeframe, symbols func(timeframe) []string,
) (events []*event, tooMany bool, err error) {
	if upto.upto.Before(from.upto) {
		return nil, false, nil
	}
	var ask barQuery
	for _, tf := range timeframes {
		// A bar that ends at from.upto may still be to come: see position.closed.
		first, end := tf.Start(from.upto), tf.Start(upto.upto)
		if first.Equal(from.upto) && !from.whole() {
			first = tf.Add(first, -1)
		}
		if !first.Before(end) {
			continue
		}
		for _, s := range symbols(tf) {
			ask.add(s, tf, first, end)
		}
	}
	rows, err := ask.read(ctx, q, maxRows+1)
	if err != nil {
		return nil, false, fmt.Errorf("read closed bars: %w", err)
	}
	if len(rows) > maxRows {
		return nil, true, nil
	}
	for _, r := range rows {
		if end := r.end(); !from.closed(end, r.timeframe, r.Symbol) {
			events = append(events, barEvent(r, closed, position{end, r.timeframe, r.Symbol, upto.revision, upto.change}))
		}
	}
	slices.SortFunc(events, func(a, b *event) int {
		return cmp.Or(a.end.Compare(b.end), a.compare(b.timeframe), strings.Compare(a.symbol, b.symbol))
	})
	return events, false, nil
}

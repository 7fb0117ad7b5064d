package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hypertick/hypertick/db"
)

// revise reports closed bars that late, cancelled or corrected ticks have changed.
// The symbol's forming bars are read again.
func (p *pass) revise(ctx context.Context) error {
	from := p.update.start
	from.change = p.update.at.change // alerts come before
	events, symbols, err := p.h.revisions(ctx, p.q, revisionRange{
		from: from, upto: p.update.at.revision, timeframes: p.timeframes, materialized: p.materialized, want: p.w.candlesOf,
	})
	if err != nil {
		return err
	}
	for _, s := range symbols {
		p.reload(s)
	}
	p.update.durable = append(p.update.durable, events...)
	return nil
}

// revisionRange says which revisions to read.
type revisionRange struct {
	from         position // behind it, of bars it has reported closed
	upto         int64
	resumed      bool // for a client that comes back
	timeframes   []timeframe
	materialized []string
	want         func(timeframe, string) bool
}

// revisions reads the revisions of a range, and the symbols that had any. What
// the database lists is bars of materialised intervals; the bars that are rolled
// up from them have changed with them.
func (h *Hub) revisions(ctx context.Context, q *db.Queries, r revisionRange) (events []*event, symbols []string, err error) {
	if r.upto <= r.from.revision {
		return nil, nil, nil
	}
	rows, err := q.StreamRevisions(ctx, db.StreamRevisionsParams{After: r.from.revision, Upto: r.upto, MaxRows: maxRows + 1})
	if err != nil {
		return nil, nil, fmt.Errorf("read revisions: %w", err)
	}
	at := r.from
	at.revision = r.upto
	tooMany := []*event{resetEvent("", "too many candles revised at once", at)}
	if len(rows) > maxRows {
		return tooMany, nil, nil
	}
	var ask barQuery
	affected := bySource(r.timeframes, r.materialized)
	last := map[shownKey]int64{} // of several revisions of a bar only the last counts
	undone := map[shownKey]bool{}
	touched := map[string]bool{}
	for _, row := range rows {
		touched[row.Symbol] = true
		source, err := parseTimeframe(row.Bar)
		if err != nil {
			return nil, nil, fmt.Errorf("read revision %d: %w", row.ID, err)
		}
		if row.Whole {
			at.revision = row.ID
			events = append(events, resetEvent(row.Symbol, "history was filled in", at))
			continue
		}
		for _, tf := range affected[source.name] {
			// One bar that holds the revised one, or those that lie in it.
			first, end := tf.Start(row.Bucket), tf.From(source.End(row.Bucket))
			if !r.want(tf, row.Symbol) || !r.from.closed(tf.End(first), tf, row.Symbol) {
				continue
			}
			again := true
			for bucket := first; bucket.Before(end); bucket = tf.End(bucket) {
				key := shownKey{barKey{row.Symbol, tf}, bucket.Unix()}
				if last[key] == 0 {
					again = false
				}
				last[key] = row.ID
				undone[key] = undone[key] || row.Undone
			}
			if !again {
				ask.add(row.Symbol, tf, first, end)
			}
			if len(last) > maxRows {
				return tooMany, nil, nil
			}
		}
	}
	bars, err := ask.read(ctx, q, 2*maxRows)
	if err != nil {
		return nil, nil, fmt.Errorf("read revised bars: %w", err)
	}
	if len(bars) == 2*maxRows {
		return tooMany, nil, nil
	}
	for _, b := range bars {
		key := shownKey{barKey{b.Symbol, b.timeframe}, b.Bucket.Unix()}
		id := last[key]
		delete(last, key) // ranges may overlap
		if id == 0 || !r.from.closed(b.end(), b.timeframe, b.Symbol) {
			continue
		}
		at.revision = id
		if e := barEvent(b, revised, at); !h.unchanged(e, r.resumed) {
			events = append(events, e)
		}
	}
	// What was not read is not there: it is gone, unless it never was.
	for key, id := range last {
		at.revision = id
		if e := removedEvent(key, at); undone[key] && r.from.closed(e.end, e.timeframe, e.symbol) && !h.unchanged(e, r.resumed) {
			events = append(events, e)
		}
	}
	slices.SortStableFunc(events, func(a, b *event) int {
		return cmp.Or(cmp.Compare(a.at.revision, b.at.revision), compareBars(a, b))
	})
	shareRevision(events)
	for s := range touched {
		symbols = append(symbols, s)
	}
	return events, symbols, nil
}

// shareRevision sets the ids of the events of one revision: only the last one has
// the id of the whole revision, so that a client that resumes in between misses
// none.
func shareRevision(events []*event) {
	for i, e := range events[:max(len(events)-1, 0)] {
		if e.at.revision == events[i+1].at.revision {
			e.at.revision--
			e.id = idLine(e.at)
		}
	}
}

func compareBars(a, b *event) int {
	return cmp.Or(a.compare(b.timeframe), a.bucket.Compare(b.bucket), strings.Compare(a.symbol, b.symbol))
}

// reviseShort reports bars of seconds that ticks have changed after they
// closed, but before their minute was over: the database lists only what comes
// later.
func (p *pass) reviseShort(ctx context.Context) error {
	at := p.update.at
	at.upto = p.update.start.upto
	events, tooMany, err := p.h.shortRevisions(ctx, p.q, p.update.start, at, false, p.timeframes, func(tf timeframe) []string {
		var symbols []string
		for symbol := range p.late {
			if p.w.candlesOf(tf, symbol) {
				symbols = append(symbols, symbol)
			}
		}
		return symbols
	})
	if err != nil {
		return err
	}
	if tooMany {
		events = []*event{resetEvent("", "too many candles revised at once", at)}
	}
	p.update.durable = append(p.update.durable, events...)
	return nil
}

// shortRevisions reads bars of seconds that from has reported closed and whose
// minute it has not seen the end of, where they have changed.
func (h *Hub) shortRevisions(
	ctx context.Context, q *db.Queries, from, at position, resumed bool, timeframes []timeframe, symbols func(timeframe) []string,
) (events []*event, tooMany bool, err error) {
	var ask barQuery
	minute := from.upto.Truncate(time.Minute)
	for _, tf := range timeframes {
		if end := tf.Start(from.upto); tf.short() && minute.Before(end) {
			for _, s := range symbols(tf) {
				ask.add(s, tf, minute, end)
			}
		}
	}
	rows, err := ask.read(ctx, q, maxRows+1)
	if err != nil {
		return nil, false, fmt.Errorf("read revised bars of seconds: %w", err)
	}
	if len(rows) > maxRows {
		return nil, true, nil
	}
	for _, r := range rows {
		if !from.closed(r.end(), r.timeframe, r.Symbol) {
			continue
		}
		if e := barEvent(r, revised, at); !h.unchanged(e, resumed) {
			events = append(events, e)
		}
	}
	slices.SortFunc(events, compareBars)
	return events, false, nil
}

// changedSources sends a reset to the clients of an interval whose bars are now
// rolled up from another one, since revisions of the old source are not sent any
// more.
func (p *pass) changedSources() {
	for _, tf := range p.timeframes {
		if before := tf.source(p.h.materialized); before == tf.source(p.materialized) {
			continue
		}
		e := resetEvent("", "the candles of "+tf.name+" have another source", p.update.at)
		e.kind, e.timeframe = Candles, tf
		p.update.durable = append(p.update.durable, e)
	}
}

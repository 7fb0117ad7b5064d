package stream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
)

const (
	// MaxIntervals is how many intervals a client may follow.
	MaxIntervals = 8
	// maxTimeframes bounds the intervals of all clients together: the hub keeps
	// a forming bar of each for every symbol that trades.
	maxTimeframes = 64
)

// ErrIntervals means that the clients together follow as many intervals as the
// hub takes.
var ErrIntervals = errors.New("too many different intervals")

// timeframe is an interval as a client names it. 60m and 1h have equal bars but
// are two: each client gets the name it asked for.
type timeframe struct {
	name string
	interval.Width
}

func parseTimeframe(name string) (timeframe, error) {
	w, err := interval.Parse(name)
	return timeframe{name, w}, err
}

// parseTimeframes reads the names of a subscription; each counts once.
func parseTimeframes(names []string) ([]timeframe, error) {
	var out []timeframe
	for _, name := range names {
		tf, err := parseTimeframe(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, tf) {
			out = append(out, tf)
		}
	}
	if len(out) > MaxIntervals {
		return nil, fmt.Errorf("interval: want at most %d, got %d", MaxIntervals, len(out))
	}
	return out, nil
}

// compare orders timeframes by the length of their bars, and then by name.
func (tf timeframe) compare(other timeframe) int {
	return cmp.Or(cmp.Compare(tf.Typical(), other.Typical()), strings.Compare(tf.name, other.name))
}

// short reports whether bars end within a minute.
func (tf timeframe) short() bool { return tf.Months == 0 && tf.Seconds < 60 }

// source is the materialised interval whose revised bars revise those of tf:
// its own, or the one the database rolls it up from. Bars made of ticks change
// with the shortest one. It is empty where nothing is materialised.
func (tf timeframe) source(materialized []string) string {
	if len(materialized) == 0 {
		return ""
	}
	if slices.Contains(materialized, tf.name) {
		return tf.name
	}
	for _, name := range slices.Backward(materialized) {
		if w, err := interval.Parse(name); err == nil && w.Typical() <= tf.Typical() && w.Divides(tf.Width) {
			return name
		}
	}
	return materialized[0]
}

// bySource groups timeframes by what revises them.
func bySource(timeframes []timeframe, materialized []string) map[string][]timeframe {
	out := map[string][]timeframe{}
	for _, tf := range timeframes {
		source := tf.source(materialized)
		out[source] = append(out[source], tf)
	}
	return out
}

// barQuery collects bars to read in one query.
type barQuery struct {
	arg        db.StreamBarsParams
	timeframes map[string]timeframe
}

// barRow is a bar that was read from the database.
type barRow struct {
	db.StreamBarsRow
	timeframe timeframe
}

// add asks for the bars of symbol that begin from from on and before to.
func (b *barQuery) add(symbol string, tf timeframe, from, to time.Time) {
	if b.timeframes == nil {
		b.timeframes = map[string]timeframe{}
	}
	b.timeframes[tf.name] = tf
	b.arg.Symbols, b.arg.Bars = append(b.arg.Symbols, symbol), append(b.arg.Bars, tf.name)
	b.arg.FromBuckets, b.arg.ToBuckets = append(b.arg.FromBuckets, from), append(b.arg.ToBuckets, to)
}

// read returns at most maxBars bars, in no order.
func (b *barQuery) read(ctx context.Context, q *db.Queries, maxBars int32) ([]barRow, error) {
	if len(b.arg.Symbols) == 0 {
		return nil, nil
	}
	b.arg.MaxRows = maxBars
	rows, err := q.StreamBars(ctx, b.arg)
	if err != nil {
		return nil, err
	}
	return b.rows(rows), nil
}

// forming returns the bars as ticks are added to them: those that readers do not
// see too, and NaN for what no tick has moved.
func (b *barQuery) forming(ctx context.Context, q *db.Queries) ([]barRow, error) {
	if len(b.arg.Symbols) == 0 {
		return nil, nil
	}
	rows, err := q.StreamFormingBars(ctx, db.StreamFormingBarsParams{
		Symbols: b.arg.Symbols, Bars: b.arg.Bars, FromBuckets: b.arg.FromBuckets, ToBuckets: b.arg.ToBuckets,
	})
	if err != nil {
		return nil, err
	}
	bars := make([]db.StreamBarsRow, len(rows))
	for i, r := range rows {
		bars[i] = db.StreamBarsRow(r)
	}
	return b.rows(bars), nil
}

func (b *barQuery) rows(rows []db.StreamBarsRow) []barRow {
	out := make([]barRow, len(rows))
	for i, r := range rows {
		r.Bucket = r.Bucket.UTC()
		out[i] = barRow{r, b.timeframes[r.Bar]}
	}
	return out
}

// end is when the bar is over.
func (r *barRow) end() time.Time { return r.timeframe.End(r.Bucket) }

package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// TimeError is the error of a tick that is stored with another ts, which a wrong
// time zone explains. It would be stored twice.
type TimeError struct {
	Venue, Symbol string
	Seq           int64
	TS, Stored    time.Time
}

func (e *TimeError) Error() string {
	by, than := e.TS.Sub(e.Stored), "later"
	if by < 0 {
		by, than = -by, "earlier"
	}
	return fmt.Sprintf("ts: seq %d of %s %s is stored with %s, got %s, %v %s",
		e.Seq, e.Venue, e.Symbol, e.Stored.Format(time.RFC3339Nano), e.TS.Format(time.RFC3339Nano), by, than)
}

// checkTimes compares the first and the last tick of the batch that have a number
// of their source's with those stored with the same seq, price and size at a time
// that another zone, or a coarser clock, would give.
func (l *Loader) checkTimes(ctx context.Context, q *db.Queries) error {
	var first, last *feed.Tick
	for i := range l.batch {
		t := &l.batch[i]
		if t.Seq >= feed.ContentSeq {
			continue
		}
		if first == nil {
			first = t
		}
		last = t
	}
	if first == nil {
		return nil
	}
	arg := db.NearestShiftedParams{Oldest: first.Time(), Newest: first.Time()}
	for _, t := range []*feed.Tick{first, last} {
		arg.Venues, arg.Symbols = append(arg.Venues, t.Venue), append(arg.Symbols, t.Symbol)
		arg.Seqs, arg.Tss = append(arg.Seqs, t.Seq), append(arg.Tss, t.Time())
		arg.Prices, arg.Sizes = append(arg.Prices, t.Price), append(arg.Sizes, t.Size)
		if t.Time().Before(arg.Oldest) {
			arg.Oldest = t.Time()
		}
		if t.Time().After(arg.Newest) {
			arg.Newest = t.Time()
		}
	}
	found, err := q.NearestShifted(ctx, arg)
	if err != nil {
		return fmt.Errorf("search for ticks at other times: %w", err)
	}
	for _, f := range found {
		if !f.Stored.Equal(f.Given) {
			return &TimeError{f.Venue, f.Symbol, f.Seq, f.Given.UTC(), f.Stored.UTC()}
		}
	}
	return nil
}

package deadletter

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// store stores the tick of a record within a transaction, and reports whether it
// was new: a tick that is equal to a stored one is not. A cancel or a correction is
// asked for as ingest does.
func store(ctx context.Context, q *db.Queries, t *feed.Tick, from Source) (bool, error) {
	settings, err := db.ReadFeedSettings(ctx, q)
	if err != nil {
		return false, err
	}
	if err := t.CheckPrice(settings.NonPositive(t.Symbol, t.Venue)); err != nil {
		return false, err
	}
	var at time.Time // before 1900: not known
	if t.TS != feed.NoTime {
		at = t.Time()
	}
	flags := settings.Flags(t.Conditions)
	if t.Kind != feed.Trade {
		err := q.InsertTickChanges(ctx, db.InsertTickChangesParams{
			Kinds: []string{t.Kind.String()}, Symbols: []string{t.Symbol}, Venues: []string{t.Venue}, Seqs: []int64{t.Seq}, Tss: []time.Time{at},
			Prices: []float64{t.Price}, Sizes: []float64{t.Size}, Sides: []int16{int16(t.Side)}, Flags: []int32{flags}, Origins: []string{from.String()},
		})
		if err != nil {
			return false, fmt.Errorf("ask for the %v: %w", t.Kind, err)
		}
		return true, nil
	}
	// Ingest now waits for the lock, and all that it has stored is visible.
	_, err = q.LockFeeds(ctx, db.LockFeedsParams{Venues: []string{t.Venue}, Symbols: []string{t.Symbol}, Tss: []time.Time{at}})
	if err != nil {
		return false, fmt.Errorf("lock feed: %w", err)
	}
	horizon, err := q.TickHorizon(ctx)
	if err != nil {
		return false, fmt.Errorf("read retention horizon: %w", err)
	}
	done, err := q.StoreHistory(ctx, db.StoreHistoryParams{
		Tss: []time.Time{at}, Symbols: []string{t.Symbol}, Prices: []float64{t.Price}, Sizes: []float64{t.Size},
		Seqs: []int64{t.Seq}, Venues: []string{t.Venue}, Sides: []int16{int16(t.Side)}, Flags: []int32{flags},
		Sources: []string{t.Symbol}, Oldest: at, Newest: at, Horizon: horizon, Origin: from.String(),
	})
	if err != nil {
		return false, fmt.Errorf("store tick: %w", err)
	}
	switch {
	case done.Old > 0:
		return false, TooOld(horizon)
	case done.Refused > 0:
		return false, &feed.FieldError{Field: "seq", Want: "want a tick of its own, got one of the ts and seq of a stored one with another price or size"}
	}
	err = q.FillGaps(ctx, db.FillGapsParams{
		Venues: []string{t.Venue}, Symbols: []string{t.Symbol}, Seqs: []int64{t.Seq}, Tss: []time.Time{at}, How: "stream",
	})
	if err != nil {
		return false, fmt.Errorf("fill gaps: %w", err)
	}
	return done.Stored+done.Corrected > 0, nil
}

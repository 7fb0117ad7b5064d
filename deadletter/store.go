package deadletter

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// around is how far from the ts of a tick another of its seq is searched for
// while its feed is locked.
const around = time.Minute

// AheadError is the error of a tick that is ahead of its feed position while
// ticks before it are not ingested yet: ingest would drop those as duplicates.
type AheadError struct {
	Source
	Next int64 // next offset of ingest in the partition, -1 if it has none
	// Seq of the tick, and LastSeq of its feed position.
	Seq, LastSeq int64
}

func (e *AheadError) Error() string {
	switch {
	case !e.known():
		return fmt.Sprintf("its source offset is unknown, and its seq %d is ahead of the feed position %d: "+
			"ingest would drop the ticks between as duplicates", e.Seq, e.LastSeq)
	case e.Next < 0:
		return fmt.Sprintf("ingest has not passed it yet (offset %d of partition %d of %s, where ingest has not begun)", e.Offset, e.Partition, e.Topic)
	}
	return fmt.Sprintf("ingest has not passed it yet (offset %d of partition %d of %s, ingest is at %d)", e.Offset, e.Partition, e.Topic, e.Next)
}

// store stores the tick of a record within a transaction, and reports whether it
// was new: ticks of one feed with equal seq are the same, whatever their ts.
//
// The seq of a dead letter is mostly below its feed position, so that ingest would
// drop it as a duplicate. It is therefore written to the database directly.
func store(ctx context.Context, q *db.Queries, t *feed.Tick, from Source) (bool, error) {
	// This is slow for a symbol with many ticks, so it comes before the lock.
	last := int64(0)
	rows, err := q.FeedPositions(ctx, db.FeedPositionsParams{Venues: []string{t.Venue}, Symbols: []string{t.Symbol}})
	if err != nil {
		return false, fmt.Errorf("read feed position: %w", err)
	}
	if len(rows) > 0 {
		last = rows[0].LastSeq
	}
	searched := t.Seq <= last
	if searched {
		if found, err := stored(ctx, q, t); found || err != nil {
			return false, err
		}
	}
	// Ingest now waits for the lock, and all that it has stored is visible.
	locked, err := q.LockFeeds(ctx, db.LockFeedsParams{Venues: []string{t.Venue}, Symbols: []string{t.Symbol}, Tss: []time.Time{t.Time()}})
	if err != nil {
		return false, fmt.Errorf("lock feed: %w", err)
	}
	last = locked[0].LastSeq
	switch {
	case t.Seq > last:
		// Ingest reads a partition in order: if it has committed the record, it has
		// committed the ticks of the feed before it.
		if err := checkIngested(ctx, q, t, from, last); err != nil {
			return false, err
		}
	case !searched: // ingest has passed its seq since the search
		if found, err := stored(ctx, q, t); found || err != nil {
			return false, err
		}
	}
	n, err := q.StoreHistory(ctx, db.StoreHistoryParams{
		Tss: []time.Time{t.Time()}, Symbols: []string{t.Symbol}, Prices: []float64{t.Price}, Sizes: []float64{t.Size},
		Seqs: []int64{t.Seq}, Venues: []string{t.Venue}, Sources: []string{t.Symbol},
		Oldest: t.Time().Add(-around), Newest: t.Time().Add(around),
	})
	if err != nil {
		return false, fmt.Errorf("store tick: %w", err)
	}
	return n > 0, nil
}

// stored reports whether a tick with the seq of t is stored.
func stored(ctx context.Context, q *db.Queries, t *feed.Tick) (bool, error) {
	rows, err := q.NearestStored(ctx, db.NearestStoredParams{
		Venues: []string{t.Venue}, Symbols: []string{t.Symbol}, Seqs: []int64{t.Seq}, Tss: []time.Time{t.Time()},
	})
	if err != nil {
		return false, fmt.Errorf("search for the tick: %w", err)
	}
	return len(rows) > 0, nil
}

// checkIngested returns an AheadError unless ingest has committed the record.
func checkIngested(ctx context.Context, q *db.Queries, t *feed.Tick, from Source, last int64) error {
	ahead := &AheadError{Source: from, Next: -1, Seq: t.Seq, LastSeq: last}
	if !from.known() {
		return ahead
	}
	rows, err := q.IngestOffsets(ctx, db.IngestOffsetsParams{Topic: from.Topic, Partitions: []int32{from.Partition}})
	if err != nil {
		return fmt.Errorf("read ingest's offset: %w", err)
	}
	if len(rows) > 0 {
		ahead.Next = rows[0].NextOffset
	}
	if ahead.Next <= from.Offset {
		return ahead
	}
	return nil
}

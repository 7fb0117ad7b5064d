package deadletter

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// around is how far from the ts of a tick another of its seq is looked for while
// its feed is locked.
const around = time.Minute

// AheadError is about a tick that would keep ticks before it out: ingest has yet
// to bring them, and would take them for duplicates.
type AheadError struct {
	Source
	Next int64 // offset at which ingest goes on in the partition, -1 when it has none
	// Seq is the tick's, LastSeq that of its feed.
	Seq, LastSeq int64
}

func (e *AheadError) Error() string {
	switch {
	case !e.known():
		return fmt.Sprintf("nothing says where in the stream it was, and its seq %d is beyond the %d of its feed: "+
			"ticks between that ingest has yet to bring would count as repeats", e.Seq, e.LastSeq)
	case e.Next < 0:
		return fmt.Sprintf("ingest has not come past it yet (it was offset %d of partition %d of %s, where ingest has not begun)", e.Offset, e.Partition, e.Topic)
	}
	return fmt.Sprintf("ingest has not come past it yet (it was offset %d of partition %d of %s, ingest is at %d)", e.Offset, e.Partition, e.Topic, e.Next)
}

// store stores the tick of a record within a transaction, and says whether it was
// new: a tick of its seq counts as the same, whatever its ts.
//
// A letter's seq is mostly below the position of its feed, so that ingest would
// take it for a duplicate. It therefore goes straight to the database.
func store(ctx context.Context, q *db.Queries, t *feed.Tick, from Source) (bool, error) {
	// Where the symbol has many ticks this takes a while, so ingest does not wait meanwhile.
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
		if there, err := anywhere(ctx, q, t); there || err != nil {
			return false, err
		}
	}
	// From here on ingest waits with the feed: what it has stored is seen.
	locked, err := q.LockFeeds(ctx, db.LockFeedsParams{Venues: []string{t.Venue}, Symbols: []string{t.Symbol}, Tss: []time.Time{t.Time()}})
	if err != nil {
		return false, fmt.Errorf("lock feed: %w", err)
	}
	last = locked[0].LastSeq
	switch {
	case t.Seq > last:
		// Ingest takes a partition in order. So when it has committed the record, it
		// has committed the feed's ticks before it.
		if err := past(ctx, q, t, from, last); err != nil {
			return false, err
		}
	case !searched: // ingest has come past its seq meanwhile
		if there, err := anywhere(ctx, q, t); there || err != nil {
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

// anywhere says whether a tick with the seq of t is there.
func anywhere(ctx context.Context, q *db.Queries, t *feed.Tick) (bool, error) {
	rows, err := q.NearestStored(ctx, db.NearestStoredParams{
		Venues: []string{t.Venue}, Symbols: []string{t.Symbol}, Seqs: []int64{t.Seq}, Tss: []time.Time{t.Time()},
	})
	if err != nil {
		return false, fmt.Errorf("look for the tick: %w", err)
	}
	return len(rows) > 0, nil
}

// past wants ingest to be done with the record.
func past(ctx context.Context, q *db.Queries, t *feed.Tick, from Source, last int64) error {
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

package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// Place is where a record was in the stream. One without a topic was nowhere.
type Place struct {
	Topic     string
	Partition int32
	Offset    int64
}

// AheadError is about a tick that would keep ticks before it out: ingest, which
// has yet to bring them, would take them for repeats.
type AheadError struct {
	Place
	Next int64 // where ingest goes on in the partition, -1 when it knows none
	// Seq is the tick's, LastSeq that of its feed.
	Seq, LastSeq int64
}

func (e *AheadError) Error() string {
	switch {
	case e.Topic == "":
		return fmt.Sprintf("nothing says where in the stream it was, and its seq %d is beyond the %d of its feed: "+
			"ticks between that ingest has yet to bring would count as repeats", e.Seq, e.LastSeq)
	case e.Next < 0:
		return fmt.Sprintf("ingest has not come past it yet (it was offset %d of partition %d of %s, where ingest has not begun)", e.Offset, e.Partition, e.Topic)
	}
	return fmt.Sprintf("ingest has not come past it yet (it was offset %d of partition %d of %s, ingest is at %d)", e.Offset, e.Partition, e.Topic, e.Next)
}

// Store stores a tick whose record was at from, within a transaction of the
// caller, who may have more to do in it. It says whether the tick was new; one
// with its seq counts as there whatever its ts.
func Store(ctx context.Context, tx pgx.Tx, t *feed.Tick, from Place) (bool, error) {
	q := db.New(tx)
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
	feeds, arg := params([]feed.Tick{*t})
	at, err := lock(ctx, q, feeds)
	if err != nil {
		return false, err
	}
	last = at[feedOf(t)].LastSeq
	switch {
	case t.Seq > last:
		// Ingest takes a partition in order. So when it has committed the record, it
		// has committed the feed's ticks before it; and with the feed locked, what
		// it has committed is seen.
		if err := past(ctx, q, t, from, last); err != nil {
			return false, err
		}
	case !searched: // ingest has come past its seq meanwhile
		if there, err := anywhere(ctx, q, t); there || err != nil {
			return false, err
		}
	}
	n, err := q.StoreHistory(ctx, arg)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
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
func past(ctx context.Context, q *db.Queries, t *feed.Tick, from Place, last int64) error {
	ahead := &AheadError{Place: from, Next: -1, Seq: t.Seq, LastSeq: last}
	if from.Topic == "" {
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

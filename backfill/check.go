package backfill

import (
	"context"
	"fmt"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// SeqError is the error of ticks whose seq would cause those of the live feed to be
// dropped as duplicates.
type SeqError struct {
	Venue, Symbol string
	Seq, LastSeq  int64
	TS, LastTS    time.Time
}

func (e *SeqError) Error() string {
	return fmt.Sprintf("seq: want at most %d, the feed position of %s %s, for ticks before %s, got %d at %s: "+
		"the file numbers its ticks differently from the feed; give it a venue of its own",
		e.LastSeq, e.Venue, e.Symbol, e.LastTS.Format(time.RFC3339), e.Seq, e.TS.Format(time.RFC3339))
}

// TimeError is the error of a tick that is already stored with another ts. It
// would be stored twice.
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
		e.Seq, e.Venue, e.Symbol, e.Stored.Format(time.RFC3339), e.TS.Format(time.RFC3339), by, than)
}

// JumpError is the error of a file that begins ahead of the feed position. Ingest
// would drop the ticks between as duplicates.
type JumpError struct {
	Venue, Symbol string
	Seq, LastSeq  int64
}

func (e *JumpError) Error() string {
	return fmt.Sprintf("seq: want at most %d for the first tick of %s %s, whose feed position is %d, got %d: "+
		"ingest would drop the ticks between as duplicates", e.LastSeq+1, e.Venue, e.Symbol, e.LastSeq, e.Seq)
}

// checkSeqs checks the seqs of feeds of which the loader has not stored ticks yet.
func (l *Loader) checkSeqs(at map[key]db.LockFeedsRow) error {
	lowest := map[key]int64{}
	for i := range l.batch {
		t := &l.batch[i]
		k := feedOf(t)
		p := at[k]
		if l.known[k] || p.LastSeq == 0 {
			continue
		}
		if t.Seq > p.LastSeq && t.Time().Before(p.LastTs.Add(-around)) {
			return &SeqError{t.Venue, t.Symbol, t.Seq, p.LastSeq, t.Time(), p.LastTs}
		}
		if seq, ok := lowest[k]; !ok || t.Seq < seq {
			lowest[k] = t.Seq
		}
	}
	if l.cfg.Jump {
		return nil
	}
	// In the order of the batch, so that the error is the same each time.
	for i := range l.batch {
		k := feedOf(&l.batch[i])
		if seq, ok := lowest[k]; ok && seq > at[k].LastSeq+1 {
			return &JumpError{k.venue, k.symbol, seq, at[k].LastSeq}
		}
	}
	return nil
}

// searches is the maximum number of feeds of a batch whose whole history is
// searched.
const searches = 5

// checkTimes compares some ticks of the batch with those already stored: their ts
// must be equal. Only seqs up to the feed position can be stored.
func (l *Loader) checkTimes(ctx context.Context, q *db.Queries, feeds db.LockFeedsParams) error {
	rows, err := q.FeedPositions(ctx, db.FeedPositionsParams{Venues: feeds.Venues, Symbols: feeds.Symbols})
	if err != nil {
		return fmt.Errorf("read feed positions: %w", err)
	}
	last := make(map[key]int64, len(rows))
	for _, r := range rows {
		last[key{r.Venue, r.Symbol}] = r.LastSeq
	}
	// The first and the last such tick of each feed, and of the batch.
	type span struct{ first, last *feed.Tick }
	var all span
	of := map[key]span{}
	var order []key
	for i := range l.batch {
		t := &l.batch[i]
		k := feedOf(t)
		if t.Seq > last[k] {
			continue
		}
		s := of[k]
		if s.first == nil {
			s.first = t
			order = append(order, k)
		}
		s.last = t
		of[k] = s
		if all.first == nil {
			all.first = t
		}
		all.last = t
	}
	if all.first == nil {
		return nil
	}
	// The whole history of a feed once, which also finds a file that was renumbered.
	var whole db.NearestStoredParams
	n := 0
	for _, k := range order {
		if l.searched[k] || n == searches {
			continue
		}
		l.searched[k] = true
		n++
		for _, t := range []*feed.Tick{of[k].first, of[k].last} {
			whole.Venues, whole.Symbols = append(whole.Venues, t.Venue), append(whole.Symbols, t.Symbol)
			whole.Seqs, whole.Tss = append(whole.Seqs, t.Seq), append(whole.Tss, t.Time())
		}
	}
	if n > 0 {
		found, err := q.NearestStored(ctx, whole)
		if err != nil {
			return fmt.Errorf("search for ticks: %w", err)
		}
		for _, f := range found {
			if err := sameTime(f); err != nil {
				return err
			}
		}
	}
	// In every batch, ticks shifted by the offset of a time zone: zones may differ
	// in summer only, and a file may begin long before the feed.
	var shifted db.NearestShiftedParams
	shifted.Oldest, shifted.Newest = all.first.Time(), all.first.Time()
	for _, t := range []*feed.Tick{all.first, all.last} {
		shifted.Venues, shifted.Symbols = append(shifted.Venues, t.Venue), append(shifted.Symbols, t.Symbol)
		shifted.Seqs, shifted.Tss = append(shifted.Seqs, t.Seq), append(shifted.Tss, t.Time())
		if t.Time().Before(shifted.Oldest) {
			shifted.Oldest = t.Time()
		}
		if t.Time().After(shifted.Newest) {
			shifted.Newest = t.Time()
		}
	}
	found, err := q.NearestShifted(ctx, shifted)
	if err != nil {
		return fmt.Errorf("search for ticks at other times: %w", err)
	}
	for _, f := range found {
		if err := sameTime(db.NearestStoredRow(f)); err != nil {
			return err
		}
	}
	return nil
}

func sameTime(r db.NearestStoredRow) error {
	if r.Stored.Sub(r.Given).Abs() <= around {
		return nil
	}
	return &TimeError{r.Venue, r.Symbol, r.Seq, r.Given.UTC(), r.Stored.UTC()}
}

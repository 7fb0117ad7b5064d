package dbtest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
)

// Commit stores ticks as ingest does, in one transaction with the positions
// of their feeds: direct ones in ticks, late ones in late_ticks. seq must rise
// from call to call.
func (d *DB) Commit(t testing.TB, direct, late []Tick) {
	t.Helper()
	if err := d.TryCommit(context.Background(), direct, late); err != nil {
		t.Fatal(err)
	}
}

// TryCommit is Commit for other goroutines than the test's.
func (d *DB) TryCommit(ctx context.Context, direct, late []Tick) error {
	type key struct{ symbol, venue string }
	type move struct {
		seq, least     int64
		top            int64 // of newest
		n              int64
		newest, oldest time.Time
	}
	feeds := map[key]*move{}
	var order []key
	note := func(k Tick, isLate bool) {
		id := key{k.Symbol, k.Venue}
		f := feeds[id]
		if f == nil {
			f = &move{least: k.Seq, newest: k.TS, top: k.Seq}
			feeds[id] = f
			order = append(order, id)
		}
		f.n++
		f.seq, f.least = max(f.seq, k.Seq), min(f.least, k.Seq)
		switch {
		case k.TS.After(f.newest):
			f.newest, f.top = k.TS, k.Seq
		case k.TS.Equal(f.newest):
			f.top = max(f.top, k.Seq)
		}
		if !isLate && (f.oldest.IsZero() || k.TS.Before(f.oldest)) {
			f.oldest = k.TS
		}
	}
	for _, k := range direct {
		note(k, false)
	}
	for _, k := range late {
		note(k, true)
	}
	return pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error {
		var arrivals db.NoteArrivalsParams
		var symbols, venues []string
		var seqs, tops, counts []int64
		var newests []time.Time
		for _, id := range order {
			f := feeds[id]
			symbols, venues, seqs, newests = append(symbols, id.symbol), append(venues, id.venue), append(seqs, f.seq), append(newests, f.newest)
			tops, counts = append(tops, f.top), append(counts, f.n)
			if !f.oldest.IsZero() {
				arrivals.Symbols, arrivals.Venues = append(arrivals.Symbols, id.symbol), append(arrivals.Venues, id.venue)
				arrivals.AfterSeqs, arrivals.LastSeqs = append(arrivals.AfterSeqs, f.least-1), append(arrivals.LastSeqs, f.seq)
				arrivals.Oldests, arrivals.Newests = append(arrivals.Oldests, f.oldest), append(arrivals.Newests, f.newest)
			}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO feed_positions AS p (symbol, venue, last_seq, last_ts, top_seq, version)
			SELECT unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::timestamptz[]), unnest($5::bigint[]), unnest($6::bigint[])
			ON CONFLICT (symbol, venue) DO UPDATE
			SET last_seq = excluded.last_seq, last_ts = greatest(p.last_ts, excluded.last_ts), version = p.version + excluded.version, updated_at = now(),
			    top_seq = CASE WHEN excluded.last_ts > p.last_ts THEN excluded.top_seq
			                   WHEN excluded.last_ts = p.last_ts THEN greatest(p.top_seq, excluded.top_seq) ELSE p.top_seq END`,
			symbols, venues, seqs, newests, tops, counts); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO ingest_offsets AS o (topic, partition, next_offset) VALUES ('dbtest', 0, $1)
			ON CONFLICT (topic, partition) DO UPDATE SET next_offset = o.next_offset + excluded.next_offset`, len(direct)+len(late)); err != nil {
			return err
		}
		for table, ticks := range map[string][]Tick{"ticks": direct, "late_ticks": late} {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{table}, []string{"ts", "symbol", "price", "size", "seq", "venue", "side", "flags"},
				pgx.CopyFromSlice(len(ticks), func(i int) ([]any, error) {
					k := ticks[i]
					side := &k.Side
					if k.Side == 0 {
						side = nil
					}
					return []any{k.TS, k.Symbol, k.Price, k.Size, k.Seq, k.Venue, side, k.Flags}, nil
				})); err != nil {
				return err
			}
		}
		if len(arrivals.Symbols) == 0 {
			return nil
		}
		return db.New(tx).NoteArrivals(ctx, arrivals)
	})
}

// Undo does to stored ticks what the job that applies cancels and corrections
// does: in one transaction they go, what takes their place comes, and that is noted
// for each of their minutes.
func (d *DB) Undo(t testing.TB, old, corrected []Tick) {
	t.Helper()
	ctx := context.Background()
	if err := pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error {
		for _, k := range old {
			tag, err := tx.Exec(ctx, "DELETE FROM ticks WHERE venue = $1 AND symbol = $2 AND ts = $3 AND seq = $4 AND price = $5 AND size = $6", k.Venue, k.Symbol, k.TS, k.Seq, k.Price, k.Size)
			if err != nil {
				return err
			}
			if tag.RowsAffected() != 1 {
				return fmt.Errorf("%+v: %d rows deleted, want 1", k, tag.RowsAffected())
			}
			if _, err := tx.Exec(ctx, "INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest, undone) VALUES ($1, $2, $3::bigint, $3::bigint + 1, $4, $4, true)",
				k.Symbol, k.Venue, k.Seq-1, k.TS); err != nil {
				return err
			}
		}
		for _, k := range corrected {
			if _, err := tx.Exec(ctx, "INSERT INTO ticks (ts, symbol, price, size, seq, venue, side, flags) VALUES ($1, $2, $3, $4, $5, $6, nullif($7::smallint, 0), $8)",
				k.TS, k.Symbol, k.Price, k.Size, k.Seq, k.Venue, k.Side, k.Flags); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// NoteRevisions runs the job that lists revised bars.
func (d *DB) NoteRevisions(t testing.TB) {
	t.Helper()
	var job int32
	if err := d.Pool.QueryRow(context.Background(), "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'note_revisions'").Scan(&job); err != nil {
		t.Fatal(err)
	}
	if err := db.New(d.Pool).RunJob(context.Background(), job); err != nil {
		t.Fatalf("run note_revisions: %v", err)
	}
}

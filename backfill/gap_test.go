package backfill_test

import (
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// TestGaps: seqs that a file skips ahead of the feed position are gaps, as with
// ingest; those below it are not recorded by a backfill.
func TestGaps(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	if _, err := d.Pool.Exec(t.Context(), "INSERT INTO feed_venues (venue, contiguous) VALUES ('SPARSE', false)"); err != nil {
		t.Fatal(err)
	}
	ticks := days(time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3), 2, 4000, "A", "B")
	a := func(seq int) int { return 2 * (seq - 1) }
	d.Commit(t, []dbtest.Tick{{TS: ticks[a(1000)].Time(), Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 1000}}, nil)
	// Gaps of A above 1000: 1001 to 1010, 2000, 3001 to 3003, over a batch's end or not.
	file := slices.Clone(ticks)
	file = slices.DeleteFunc(file, func(t feed.Tick) bool {
		return t.Symbol == "A" && (t.Seq <= 1010 || t.Seq == 2000 || t.Seq > 3000 && t.Seq <= 3003) || t.Symbol == "B" && (t.Seq < 20 || t.Seq == 40)
	})
	for i := range 10 {
		k := ticks[i*10]
		k.Venue = "SPARSE"
		file = append(file, k)
	}
	for range 2 {
		l := backfill.New(backfill.Config{Pool: pool, Batch: 1500})
		for i := range file {
			if err := l.Add(t.Context(), &file[i]); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	type gap struct {
		Symbol        string
		From, To      int64
		Before, After time.Time
	}
	rows, err := d.Pool.Query(t.Context(), "SELECT symbol, from_seq, to_seq, before_ts, after_ts FROM feed_gaps WHERE venue = 'V' ORDER BY symbol, from_seq")
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[gap])
	want := []gap{
		{"A", 1001, 1010, ticks[a(1000)].Time(), ticks[a(1011)].Time()},
		{"A", 2000, 2000, ticks[a(1999)].Time(), ticks[a(2001)].Time()},
		{"A", 3001, 3003, ticks[a(3000)].Time(), ticks[a(3004)].Time()},
		{"B", 40, 40, ticks[a(39)].Time(), ticks[a(41)].Time()},
	}
	if err != nil || !slices.EqualFunc(got, want, func(a, b gap) bool {
		return a.Symbol == b.Symbol && a.From == b.From && a.To == b.To && a.Before.Equal(b.Before) && a.After.Equal(b.After)
	}) {
		t.Errorf("gaps are %v, want %v: %v", got, want, err)
	}
	var n int
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*) FROM feed_gaps").Scan(&n); err != nil || n != len(want) {
		t.Errorf("%d gaps in all, want %d: %v", n, len(want), err)
	}
	// What was missing comes, in two files: each part is closed when it is stored.
	for _, part := range []struct {
		ticks []feed.Tick
		want  string
	}{
		{[]feed.Tick{ticks[a(1002)], ticks[a(1003)], ticks[a(2000)]}, "{[1001,1002),[1004,1011)} {} {[3001,3004)} {[40,41)} backfill"},
		{ticks[a(1):a(3500)], "{} {} {} {} backfill"},
	} {
		if _, err := load(t.Context(), pool, part.ticks); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := d.Pool.QueryRow(t.Context(), `SELECT string_agg(missing::text, ' ' ORDER BY symbol, from_seq) || ' ' || string_agg(DISTINCT closed_by, ' ')
			FROM feed_gaps WHERE (missing = '{}') = (closed_at IS NOT NULL)`).Scan(&got); err != nil || got != part.want {
			t.Errorf("still missing are %s, want %s: %v", got, part.want, err)
		}
	}
}

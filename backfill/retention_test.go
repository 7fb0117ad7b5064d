package backfill_test

import (
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestRetention: ticks older than the retention horizon are counted, not stored,
// and the feed continues after them.
func TestRetention(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	now := time.Now().UTC().Truncate(time.Second)
	if _, err := d.Pool.Exec(t.Context(), "SELECT set_retention('ticks', INTERVAL '5 days')"); err != nil {
		t.Fatal(err)
	}
	// 400 a day; the horizon is in the middle of a batch.
	ticks := days(now.AddDate(0, 0, -10).Add(-time.Hour), 10, 4000, "A")
	s, err := load(t.Context(), pool, ticks)
	if err != nil || s.Read != 4000 || s.Stored+s.Old != 4000 || s.Old < 2000 || s.Old > 2050 {
		t.Errorf("%+v, %v", s, err)
	}
	var oldest time.Time
	var rows, late, last int64
	if err := d.Pool.QueryRow(t.Context(), `SELECT (SELECT min(ts) FROM ticks), (SELECT count(*) FROM ticks), (SELECT last_seq FROM feed_positions),
		(SELECT count(*) FROM _hypertick.late_arrivals WHERE oldest < now() - INTERVAL '5 days 1 minute')`).Scan(&oldest, &rows, &last, &late); err != nil {
		t.Fatal(err)
	}
	if oldest.Before(now.AddDate(0, 0, -5)) || rows != s.Stored || last != 4000 || late != 0 {
		t.Errorf("%d ticks since %v, position %d, %d notes of older ones", rows, oldest, last, late)
	}
	if s, err := load(t.Context(), pool, ticks); err != nil || s.Stored != 0 || s.Old < 2000 {
		t.Errorf("again: %+v, %v", s, err)
	}
	// A whole file: the position of a new feed is the end of the file.
	if s, err := load(t.Context(), pool, days(now.AddDate(0, 0, -9), 2, 100, "B")); err != nil || s.Stored != 0 || s.Old != 100 {
		t.Errorf("all too old: %+v, %v", s, err)
	}
	d.SettleCandles(t)
	var first time.Time
	if err := d.Pool.QueryRow(t.Context(), "SELECT min(bucket) FROM candles_1m").Scan(&first); err != nil || first.Before(now.AddDate(0, 0, -5).Add(-time.Minute)) {
		t.Errorf("candles since %v: %v", first, err)
	}
}

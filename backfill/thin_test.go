package backfill_test

import (
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// TestThinHistory loads weekly ticks since 1970, in any order of symbols.
func TestThinHistory(t *testing.T) {
	d := dbtest.New(t)
	var ticks []feed.Tick
	for _, symbol := range []string{"A", "B"} {
		seq := int64(0)
		for at := time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC); at.Before(time.Now()); at = at.AddDate(0, 0, 7) {
			seq++
			ticks = append(ticks, feed.Tick{TS: at.UnixMicro(), Symbol: symbol, Venue: "FILE", Price: 10, Size: 1, Seq: seq})
		}
	}
	stats, err := load(t.Context(), writer(t, d), ticks)
	if err != nil || stats.Stored != int64(len(ticks)) {
		t.Fatalf("%+v, %v, want %d stored", stats, err, len(ticks))
	}
	var stored, chunks int
	if err := d.Pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM ticks), (SELECT count(*) FROM timescaledb_information.chunks)").Scan(&stored, &chunks); err != nil {
		t.Fatal(err)
	}
	if stored != len(ticks) || chunks >= 150 {
		t.Errorf("%d ticks in %d chunks in all, want %d in fewer than 150", stored, chunks, len(ticks))
	}
}

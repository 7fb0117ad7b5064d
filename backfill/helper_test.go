package backfill_test

import (
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// days is n ticks of each symbol over days, numbered from 1 by symbol.
func days(start time.Time, days, n int, symbols ...string) (ticks []feed.Tick) {
	step := time.Duration(days) * 24 * time.Hour / time.Duration(n)
	for i := range n {
		for _, s := range symbols {
			at := start.Add(time.Duration(i)*step + 123_456*time.Microsecond)
			ticks = append(ticks, feed.Tick{TS: at.UnixMicro(), Symbol: s, Venue: "V", Price: 1 + float64(i%7), Size: 1, Seq: int64(i + 1)})
		}
	}
	return ticks
}

func count(t *testing.T, d *dbtest.DB) (rows, seqs int) {
	t.Helper()
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT (venue, symbol, seq)) FROM ticks").Scan(&rows, &seqs); err != nil {
		t.Fatal(err)
	}
	return rows, seqs
}

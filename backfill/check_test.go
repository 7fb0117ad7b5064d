package backfill_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hypertick/hypertick/backfill"
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

// moved is the ticks from i on with another ts.
func moved(ticks []feed.Tick, i int, by time.Duration) []feed.Tick {
	m := append([]feed.Tick(nil), ticks...)
	for ; i < len(m); i++ {
		m[i].TS += by.Microseconds()
	}
	return m
}

func count(t *testing.T, d *dbtest.DB) (rows, seqs int) {
	t.Helper()
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT (venue, symbol, seq)) FROM ticks").Scan(&rows, &seqs); err != nil {
		t.Fatal(err)
	}
	return rows, seqs
}

// TestOtherTime: a file that was loaded once is read in another zone.
func TestOtherTime(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -30)
	ticks := days(start, 10, 4000, "A", "B")
	if s, err := load(t.Context(), pool, ticks); err != nil || s.Stored != 8000 {
		t.Fatalf("%+v, %v", s, err)
	}
	for what, other := range map[string][]feed.Tick{
		"west":                  moved(ticks, 0, 5*time.Hour),
		"east":                  moved(ticks, 0, -(5*time.Hour + 45*time.Minute)),
		"the date line":         moved(ticks, 0, 26*time.Hour),
		"in whole seconds":      moved(ticks, 0, 4*time.Hour-123_456*time.Microsecond),
		"a coarser clock":       moved(ticks, 0, -123_456*time.Microsecond),
		"a zone, in summer":     moved(ticks, 4321, time.Hour),
		"a zone, in the middle": moved(ticks[2000:], 0, -4*time.Hour),
	} {
		s, err := load(t.Context(), pool, other)
		if e, ok := errors.AsType[*backfill.TimeError](err); !ok || e.TS.Sub(e.Stored) == 0 {
			t.Errorf("%s: got %v, want a TimeError", what, err)
		}
		if rows, seqs := count(t, d); s.Stored != 0 || rows != 8000 || seqs != 8000 {
			t.Errorf("%s: %+v, %d rows of %d seqs", what, s, rows, seqs)
		}
	}
	for what, same := range map[string][]feed.Tick{"again": ticks} {
		if s, err := load(t.Context(), pool, same); err != nil || s.Stored != 0 {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
	}
}

// TestOtherTimeThanLive: history in another zone, which begins long before the
// live feed, is stored up to where the feed begins, and none of the feed's ticks
// is stored twice.
func TestOtherTimeThanLive(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -30)
	ticks := days(start, 10, 8000, "A")
	live := make([]dbtest.Tick, 0, 1000)
	for _, k := range ticks[5000:6000] {
		live = append(live, dbtest.Tick{TS: k.Time(), Symbol: k.Symbol, Venue: k.Venue, Price: k.Price, Size: k.Size, Seq: k.Seq})
	}
	d.Commit(t, live, nil)
	// No tick of its first batch is stored, so only nearby times are searched.
	s, err := load(t.Context(), pool, moved(ticks, 0, -4*time.Hour))
	if _, ok := errors.AsType[*backfill.TimeError](err); !ok {
		t.Errorf("got %v, want a TimeError", err)
	}
	if rows, seqs := count(t, d); rows != seqs || s.Stored > 5000 {
		t.Errorf("%+v, %d rows of %d seqs", s, rows, seqs)
	}
	if s, err := load(t.Context(), pool, days(start, 10, 8000, "C")); err != nil || s.Stored != 8000 {
		t.Errorf("another symbol: %+v, %v", s, err)
	}
}

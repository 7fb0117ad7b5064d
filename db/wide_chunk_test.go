package db_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// weekly is a tick of each symbol a week.
func weekly(from, to time.Time, symbols ...string) []dbtest.Tick {
	var out []dbtest.Tick
	for at, n := from, int64(1); at.Before(to); at, n = at.AddDate(0, 0, 7), n+1 {
		for i, s := range symbols {
			out = append(out, dbtest.Tick{TS: at.Add(time.Duration(i) * time.Second), Symbol: s, Price: 100 + float64(n%97), Size: float64(n % 5), Seq: n, Venue: "FILE"})
		}
	}
	return out
}

func widen(t *testing.T, d *dbtest.DB, from, to time.Time, ticks int) int {
	t.Helper()
	made, err := db.New(d.Pool).WidenHistory(t.Context(), db.WidenHistoryParams{Oldest: from, Newest: to, Ticks: int64(ticks)})
	if err != nil {
		t.Fatal(err)
	}
	return int(made)
}

// chunks counts those of a hypertable, or all.
func chunks(t *testing.T, d *dbtest.DB, where string) (n int) {
	t.Helper()
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*) FROM timescaledb_information.chunks WHERE "+where).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const ofTicks = "hypertable_name = 'ticks'"

// TestThinHistory stores a century of weekly ticks beside a live market: few chunks,
// the candles of every tick, and retention that drops by decades.
func TestThinHistory(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	now := time.Now().UTC().Truncate(time.Second)
	start := time.Date(1926, 1, 4, 15, 0, 0, 0, time.UTC)
	// What is there before: live ticks, and a week in 1987.
	before := append(weekly(now.AddDate(0, 0, -14), now, "LIVE"), weekly(time.Date(1987, 10, 19, 0, 0, 0, 0, time.UTC), time.Date(1987, 10, 20, 0, 0, 0, 0, time.UTC), "CRASH")...)
	insert(t, d, "ticks", before)
	// Of the century only the ends: a refresh goes through all that was stored.
	old := append(weekly(start, start.AddDate(12, 0, 0), "A", "B"), weekly(now.AddDate(-4, 0, 0), now, "A", "B")...)
	if made := widen(t, d, start, now, len(old)); made < 50 || made > 150 {
		t.Errorf("%d chunks were made", made)
	}
	if made := widen(t, d, start, now, len(old)); made != 0 {
		t.Errorf("%d chunks were made again", made)
	}
	// Some of it comes late, as what a topic delivers out of order does.
	insert(t, d, "ticks", old[:1000])
	insert(t, d, "late_ticks", old[1000:])
	if n := chunks(t, d, ofTicks); n > 40 {
		t.Errorf("ticks has %d chunks", n)
	}
	d.Settle(t)
	if n := chunks(t, d, "true"); n >= 200 {
		t.Errorf("there are %d chunks in all", n)
	}
	all := slices.Concat(before, old)
	for interval, span := range map[string]time.Duration{"1m": time.Minute, "15m": 15 * time.Minute, "1d": 24 * time.Hour} {
		dbtest.EqualCandles(t, interval, d.Candles(t, interval), dbtest.BruteForce(all, span))
	}
	if _, err := d.Pool.Exec(t.Context(), "SELECT drop_chunks('ticks', older_than => '1935-06-01'::timestamptz)"); err != nil {
		t.Fatal(err)
	}
	var oldest time.Time
	if err := d.Pool.QueryRow(t.Context(), "SELECT min(ts) FROM ticks").Scan(&oldest); err != nil {
		t.Fatal(err)
	}
	// All of the decade stays, and nothing of the one before.
	if oldest.Before(time.Date(1930, 1, 1, 0, 0, 0, 0, time.UTC)) || oldest.After(time.Date(1930, 1, 8, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("when all before 1935 was dropped the oldest tick is of %v, want that of January 1930", oldest)
	}
}

// TestWideChunksOnlyWhereThin leaves alone what is dense, recent or too little to tell.
func TestWideChunksOnlyWhereThin(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	now := time.Now().UTC()
	at := time.Date(2011, 3, 7, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		what     string
		from, to time.Time
		ticks    int
	}{
		{"dense", at, at.AddDate(0, 2, 0), 20_000_000},
		{"an hour", at, at.Add(time.Hour), 20_000},
		{"one tick", at, at, 1},
		{"recent", now.AddDate(0, 0, -34), now, 30},
		{"to come", now, now.AddDate(0, 0, 60), 30},
	} {
		if made := widen(t, d, c.from, c.to, c.ticks); made != 0 {
			t.Errorf("%s: %d chunks were made", c.what, made)
		}
	}
	// Behind the retention horizon nothing is stored.
	if _, err := d.Pool.Exec(t.Context(), "SELECT set_retention('ticks', '5 years')"); err != nil {
		t.Fatal(err)
	}
	widen(t, d, at.AddDate(-50, 0, 0), now, 3000)
	if n := chunks(t, d, fmt.Sprintf("%s AND range_end < now() - INTERVAL '5 years'", ofTicks)); n != 0 {
		t.Errorf("%d chunks are older than the retention horizon", n)
	}
}

// TestSingleTicks stores history a tick at a time, as a slow producer would.
func TestSingleTicks(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	from := time.Date(1960, 1, 4, 0, 0, 0, 0, time.UTC)
	for _, k := range weekly(from, from.AddDate(3, 0, 0), "A") {
		widen(t, d, k.TS, k.TS, 1)
		insert(t, d, "ticks", []dbtest.Tick{k})
	}
	if n := chunks(t, d, ofTicks); n > 6 {
		t.Errorf("%d chunks for three years", n)
	}
}

// TestWideChunksBesideInserts makes them while others make chunks of the same time.
func TestWideChunksBesideInserts(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	if d.Embedded != nil {
		t.Skip("one backend: nothing is at the same time")
	}
	from := time.Date(1950, 1, 2, 0, 0, 0, 0, time.UTC)
	var parts sync.WaitGroup
	stored := 0
	for n := range 4 {
		ticks := weekly(from.AddDate(0, 0, n), from.AddDate(40, 0, n), fmt.Sprintf("S%d", n))
		stored += len(ticks)
		parts.Go(func() {
			for len(ticks) > 0 {
				batch := ticks[:min(150, len(ticks))]
				ticks = ticks[len(batch):]
				if n > 0 { // the first one does not ask
					if _, err := db.New(d.Pool).WidenHistory(context.Background(), db.WidenHistoryParams{
						Oldest: batch[0].TS, Newest: batch[len(batch)-1].TS, Ticks: int64(len(batch)),
					}); err != nil {
						t.Error(err)
					}
				}
				_, err := d.Pool.CopyFrom(context.Background(), pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"},
					pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
						k := batch[i]
						return []any{k.TS, k.Symbol, k.Price, k.Size, k.Seq, k.Venue}, nil
					}))
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	parts.Wait()
	var n, overlaps int
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*) FROM ticks").Scan(&n); err != nil || n != stored {
		t.Errorf("%d ticks, want %d (%v)", n, stored, err)
	}
	if err := d.Pool.QueryRow(t.Context(), `SELECT count(*) FROM timescaledb_information.chunks a JOIN timescaledb_information.chunks b
		ON a.hypertable_name = b.hypertable_name AND a.chunk_name < b.chunk_name AND a.range_start < b.range_end AND b.range_start < a.range_end`).Scan(&overlaps); err != nil || overlaps != 0 {
		t.Errorf("%d chunks overlap (%v)", overlaps, err)
	}
}

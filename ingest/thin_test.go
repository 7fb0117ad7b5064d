package ingest

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// TestThinHistory produces weekly ticks since 1970, in order and in none.
func TestThinHistory(t *testing.T) {
	r := newRig(t)
	weekly := func(symbol string) (ticks []feed.Tick) {
		seq := int64(0)
		for at := time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC); at.Before(time.Now()); at = at.AddDate(0, 0, 7) {
			seq++
			ticks = append(ticks, feed.Tick{TS: at.UnixMicro(), Symbol: symbol, Venue: "V", Price: 10, Size: 1, Seq: seq})
		}
		return ticks
	}
	pool := openPool(t, r.db.URLAs(t, "hypertick_writer"))
	x := r.start(func(c *Config) { c.Pool = pool })
	rising, shuffled := weekly("RISING"), weekly("SHUFFLED")
	random := rand.New(rand.NewPCG(1, 2))
	random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	r.produce(rising...)
	r.produce(shuffled...)
	r.untilIngested()
	r.db.Settle(t)
	x.stop()
	var stored, waiting, chunks int
	if err := r.db.Pool.QueryRow(r.ctx, `SELECT (SELECT count(*) FROM ticks), (SELECT count(*) FROM late_ticks),
		(SELECT count(*) FROM timescaledb_information.chunks)`).Scan(&stored, &waiting, &chunks); err != nil {
		t.Fatal(err)
	}
	if want := len(rising) + len(shuffled); stored != want || waiting != 0 || chunks >= 200 {
		t.Errorf("%d ticks, %d waiting, %d chunks in all; want %d in fewer than 200", stored, waiting, chunks, want)
	}
}

package ingest

import (
	"fmt"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// History is written to the columnstore if the server supports it, and the
// candles must include it even if they were materialised before.
func TestHistory(t *testing.T) {
	r := newRig(t)
	base := time.Now().Add(-20 * 24 * time.Hour).Truncate(time.Hour).UnixMicro()
	mk := func(symbol string, n int) []feed.Tick {
		ticks := make([]feed.Tick, n)
		for i := range ticks {
			ticks[i] = feed.Tick{
				Symbol: symbol, Venue: "V", TS: base + int64(i)*1_500_000, Price: 100 + float64(i*7919%1000)/10, Size: float64(1 + i%9), Seq: int64(i + 1),
			}
		}
		return ticks
	}
	pool := openPool(t, r.db.URLAs(t, "hypertick_writer"))
	x := r.start(func(c *Config) { c.Pool = pool })
	var all []feed.Tick
	for i := range 3 {
		ticks := mk(fmt.Sprintf("H%d", i), 3000)
		r.produce(ticks...)
		all = append(all, ticks...)
		r.untilIngested()
		r.db.Settle(t)
	}
	x.stop()
	r.wantStored(all)
	want := make([]dbtest.Tick, len(all))
	for i, a := range all {
		want[i] = dbtest.Tick{TS: a.Time(), Symbol: a.Symbol, Price: a.Price, Size: a.Size, Seq: a.Seq}
	}
	for interval, span := range map[string]time.Duration{"1m": time.Minute, "1h": time.Hour, "1d": 24 * time.Hour} {
		dbtest.EqualCandles(t, interval, r.db.Candles(t, interval), dbtest.BruteForce(want, span))
	}
	// TimescaleDB 2.23, the embedded one, has the setting and ignores it.
	if r.db.Embedded == nil && x.compressAge.Load() > 0 {
		var compressed int
		if err := r.db.Pool.QueryRow(r.ctx, "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = 'ticks' AND is_compressed").Scan(&compressed); err != nil || compressed == 0 {
			t.Errorf("%d chunks in the columnstore, %v", compressed, err)
		}
	}
	t.Logf("columnstore after %v", time.Duration(x.compressAge.Load())*time.Microsecond)
}

package ingest

import (
	"net/http"
	"testing"
	"time"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

func TestIngest(t *testing.T) {
	r := newRig(t)
	ticks := series(10, 500, 1)
	r.produce(ticks[:2000]...)
	// As the role it runs as: what it may not do shows here.
	pool := openPool(t, r.db.URLAs(t, "hypertick_writer"))
	x := r.start(func(c *Config) { c.Pool, c.MetricsListen = pool, "127.0.0.1:0" })
	r.untilIngested()
	r.produce(ticks[2000:]...)
	r.untilIngested()
	r.wantStored(ticks)
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/metrics": 200} {
		res, err := http.Get("http://" + x.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil || res.StatusCode != want {
			t.Errorf("%s: %d, %v", path, res.StatusCode, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	x.stop()
	if got := x.metric("rows_total"); got != 5000 {
		t.Errorf("rows_total: %v", got)
	}
	if got := x.metric("lag_records"); got != 0 {
		t.Errorf("lag_records: %v", got)
	}

	// A feed that replays all, and then goes on.
	x = r.start(nil)
	more := series(10, 20, 501)
	r.produce(ticks...)
	r.produce(more...)
	r.untilIngested()
	r.wantStored(append(ticks, more...))
	wait.Equal(t, "duplicates are counted", 5000, func() float64 { return x.metric("duplicates_total") })
	x.stop()
}

func TestGaps(t *testing.T) {
	r := newRig(t)
	if _, err := r.db.Pool.Exec(r.ctx, "INSERT INTO feed_venues (venue, contiguous) VALUES ('GAPPY', false)"); err != nil {
		t.Fatal(err)
	}
	x := r.start(nil)
	now := time.Now().UnixMicro()
	mk := func(venue string, seq int64) feed.Tick {
		return feed.Tick{Symbol: "A", Venue: venue, TS: now + seq, Price: 1, Size: 1, Seq: seq}
	}
	want := []feed.Tick{mk("V", 7), mk("V", 8), mk("V", 12), mk("GAPPY", 1), mk("GAPPY", 9)}
	r.produce(want...)
	r.untilIngested()
	x.stop()
	r.wantStored(want)
	var venue string
	var from, to int64
	var before, after time.Time
	if err := r.db.Pool.QueryRow(r.ctx, "SELECT venue, from_seq, to_seq, before_ts, after_ts FROM feed_gaps").Scan(&venue, &from, &to, &before, &after); err != nil {
		t.Fatal(err)
	}
	if venue != "V" || from != 9 || to != 11 || before.UnixMicro() != now+8 || after.UnixMicro() != now+12 {
		t.Errorf("gap: %s %d..%d %v %v", venue, from, to, before, after)
	}
	var n int
	if err := r.db.Pool.QueryRow(r.ctx, "SELECT count(*) FROM feed_gaps").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d gaps, %v", n, err)
	}
	if x.metric("gaps_total") != 1 {
		t.Error("gaps_total is not 1")
	}
}

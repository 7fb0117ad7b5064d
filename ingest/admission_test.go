package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// A producer that invents symbols: the feeds within the bounds are stored, the
// records of the others are dead letters, and known feeds go on.
func TestNewFeedsAreBounded(t *testing.T) {
	r := newRig(t)
	ts := time.Now().UnixMicro()
	mk := func(symbol string, seq int64) feed.Tick {
		return feed.Tick{Symbol: symbol, Venue: "V", TS: ts + seq, Price: 1, Size: 1, Seq: seq}
	}
	minute := time.Now().Truncate(time.Minute)
	x := r.start(func(c *Config) {
		c.NewFeeds, c.MaxFeeds = 100, 150
		c.Now = func() time.Time { return minute.Add(30 * time.Second) } // one minute
	})
	var first []feed.Tick
	for i := range 100 {
		first = append(first, mk(fmt.Sprintf("KNOWN%d", i), 1))
	}
	r.produce(first...)
	r.untilRead()
	var flood []feed.Tick
	for i := range 300 {
		flood = append(flood, mk(fmt.Sprintf("INVENTED%d", i), 1), mk(fmt.Sprintf("KNOWN%d", i%100), int64(2+i/100)))
	}
	r.produce(flood...)
	r.untilRead()
	want := first
	for _, tick := range flood {
		if strings.HasPrefix(tick.Symbol, "KNOWN") {
			want = append(want, tick)
		}
	}
	r.wantStored(want)
	for _, rec := range r.consumeAll(feed.DeadLetterTopic(feed.Topic)) {
		if d := deadletter.Parse(rec); d.Reason != "feed: want at most 100 new feeds a minute, got more" {
			t.Errorf("reason %q", d.Reason)
		}
	}
	if got := x.metric("refused_feed_records_total"); got != 300 {
		t.Errorf("refused_feed_records_total: %v, want 300", got)
	}
	r.wantPart("ingest", "ok", "300 records of new feeds above the bounds refused")
	r.wantPart("dead letters", "warning", "300 records")
	x.stop()

	// The bound of all: 50 more, in the next minute.
	x = r.start(func(c *Config) {
		c.NewFeeds, c.MaxFeeds = 100, 150
		c.Now = func() time.Time { return minute.Add(90 * time.Second) }
	})
	var more []feed.Tick
	for i := range 80 {
		more = append(more, mk(fmt.Sprintf("LATER%d", i), 1))
	}
	r.produce(more...)
	r.untilRead()
	wait.Equal(t, "feeds", 150, func() int64 { return r.one("SELECT count(*) FROM feed_positions") })
	if got := x.metric("refused_feed_records_total"); got != 30 {
		t.Errorf("refused_feed_records_total: %v, want 30", got)
	}
	x.stop()
}

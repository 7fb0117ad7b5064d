package history

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

// TestGapsOverWhatIsStored has the histories in which a gap was opened, or left
// open, over a tick that is stored.
func TestGapsOverWhatIsStored(t *testing.T) {
	base := time.Now().Add(-6 * time.Hour).Truncate(time.Minute)
	const nanoseconds = 1_795_546_800_469_782_944
	cases := map[string]struct {
		ticks   [][2]int64 // seq, and minute of the trade
		missing string     // in the end, however the ticks are batched
	}{
		// The run jumps over the late ticks of the one before.
		"JUMPS": {[][2]int64{{24, 0}, {36, 10}, {5, 11}, {nanoseconds, 12}, {37, 10}, {34, 9}}, "{[6,24),[25,34),[35,36),[38,1795546800469782944)}"},
		// What is the next seq of the run fills a gap of the one before.
		"NEXT": {[][2]int64{{1, 0}, {9, 1}, {1, 300}, {2, 0}}, "{[3,9)}"},
		// A tick is ahead of its run, and older.
		"AHEAD": {[][2]int64{{1, 60}, {3, 30}, {2, 61}, {4, 62}}, ""},
		// The gap is not the one that the first restart was in.
		"TWICE": {[][2]int64{{40, 1}, {50, 2}, {51, 3}, {45, 4}, {46, 5}, {1, 6}, {48, 7}}, "{[2,40),[41,45),[47,48)}"},
	}
	r := newRig(t)
	r.start(1, 100)
	send := func(symbol string, kind feed.Kind, ticks ...[2]int64) {
		t.Helper()
		var recs []*kgo.Record
		for _, x := range ticks {
			k := feed.Tick{Kind: kind, Symbol: symbol, Venue: "M", Seq: x[0], TS: base.Add(time.Duration(x[1]) * time.Minute).UnixMicro(), Price: 100, Size: 1}
			recs = append(recs, &kgo.Record{Topic: feed.Topic, Value: feed.AppendJSON(nil, &k), Timestamp: base})
		}
		if err := r.client.ProduceSync(r.ctx, recs...).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	check := func(symbol, missing string) {
		t.Helper()
		if filled := r.filled(symbol); filled != "" {
			t.Errorf("%s: said to be missing, and stored: %s", symbol, filled)
		}
		var got string
		if err := r.db.Pool.QueryRow(r.ctx, "SELECT coalesce(range_agg(missing)::text, '') FROM feed_gaps WHERE symbol = $1 AND closed_at IS NULL",
			symbol).Scan(&got); err != nil || got != missing {
			t.Errorf("%s: missing are %s, want %s, %v", symbol, got, missing, err)
		}
	}
	for suffix, batch := range map[string]int{"-TOGETHER": 100, "-ALONE": 1} {
		r.stop()
		for symbol, c := range cases {
			send(symbol+suffix, feed.Trade, c.ticks...)
		}
		r.start(1, batch)
		r.ingested()
	}
	// One that was undone came too.
	send("UNDONE", feed.Trade, [2]int64{1, 60}, [2]int64{3, 30})
	send("UNDONE", feed.Cancel, [2]int64{3, 30})
	r.ingested()
	r.jobs()
	send("UNDONE", feed.Trade, [2]int64{2, 61}, [2]int64{4, 62})
	r.ingested()
	r.jobs()
	check("UNDONE", "")
	for symbol, c := range cases {
		for _, suffix := range []string{"-TOGETHER", "-ALONE"} {
			check(symbol+suffix, c.missing)
		}
	}
}

package feed_test

import (
	"fmt"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// A tick as the value of a record, and back.
func ExampleAppendJSON() {
	at := time.Date(2026, 11, 24, 19, 0, 0, 123456000, time.UTC)
	value := feed.AppendJSON(nil, &feed.Tick{Symbol: "AAPL", Venue: "SIM", TS: at.UnixMicro(), Price: 189.37, Size: 100, Seq: 123})
	fmt.Println(string(value))

	var t feed.Tick
	if err := feed.NewDecoder().DecodeValid(value, &t, at); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(t.Symbol, t.Time().Format(time.RFC3339Nano), t.Price, t.Size, t.Seq, t.Venue)
	// Output:
	// {"symbol":"AAPL","ts":"2026-11-24T19:00:00.123456Z","price":189.37,"size":100,"seq":123,"venue":"SIM"}
	// AAPL 2026-11-24T19:00:00.123456Z 189.37 100 123 SIM
}

// An error names the field that is invalid.
func ExampleDecoder_DecodeValid() {
	value := []byte(`{"symbol":"AAPL","ts":"2026-11-24T19:00:00Z","price":1e-200,"size":100,"seq":123,"venue":"SIM"}`)
	var t feed.Tick
	err := feed.NewDecoder().DecodeValid(value, &t, time.Date(2026, 11, 24, 19, 0, 0, 0, time.UTC))
	fmt.Println(err)
	// Output: price: want 0 or a number from 1e-15 to 1e15 above or below it, got 1e-200
}

func ExampleDeadLetterTopic() {
	for _, s := range feed.TopicSpecs(feed.Topic, feed.DefaultPartitions) {
		fmt.Println(s.Name, s.Partitions, s.Config()["max.message.bytes"])
	}
	// Output:
	// market.ticks 8 1048576
	// market.ticks.dlq 1 2097152
}

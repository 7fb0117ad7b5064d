package feed_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

func TestPositions(t *testing.T) {
	c := broker(t)
	addrs := c.ListenAddrs()
	none, err := feed.Positions(t.Context(), addrs, feed.Security{}, feed.Topic, "SIM")
	if err != nil || len(none) != 0 {
		t.Fatalf("no topic: %v, %v", none, err)
	}
	p := producer(t, feed.ProducerConfig{Brokers: addrs})
	if err := p.EnsureTopic(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if none, err = feed.Positions(t.Context(), addrs, feed.Security{}, feed.Topic, "SIM", "AAPL"); err != nil || len(none) != 0 {
		t.Fatalf("empty topic: %v, %v", none, err)
	}
	want := map[string]feed.Tick{}
	put := func(symbol, venue string, seq int64) {
		tk := tick(symbol, seq)
		tk.Venue = venue
		if err := p.Produce(t.Context(), tk); err != nil {
			t.Fatal(err)
		}
		if venue == "SIM" && seq > want[symbol].Seq {
			want[symbol] = *tk
		}
	}
	put("RARE", "SIM", 1)
	for seq := range int64(20_000) {
		put(fmt.Sprint("S", seq%7), "SIM", seq+1)
		put(fmt.Sprint("S", seq%7), "OTHER", seq+100_000)
	}
	put("S3", "SIM", 5) // a duplicate, after newer ones
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	raw, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.DefaultProduceTopic(feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	for i := range 10 {
		if err := raw.ProduceSync(t.Context(), kgo.StringRecord(strings.Repeat("bad", i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	got, err := feed.Positions(t.Context(), addrs, feed.Security{}, feed.Topic, "SIM")
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("all: %v\n got %v\nwant %v", err, got, want)
	}
	got, err = feed.Positions(t.Context(), addrs, feed.Security{}, feed.Topic, "SIM", "S3", "RARE", "ABSENT")
	if err != nil || !maps.Equal(got, map[string]feed.Tick{"S3": want["S3"], "RARE": want["RARE"]}) {
		t.Errorf("some: %v, %v", got, err)
	}
	for p := range int32(3) { // retention takes the oldest record, RARE among them
		if err := c.DeleteRecords(feed.Topic, p, min(1, c.PartitionInfo(feed.Topic, p).HighWatermark)); err != nil {
			t.Fatal(err)
		}
	}
	delete(want, "RARE")
	got, err = feed.Positions(t.Context(), addrs, feed.Security{}, feed.Topic, "SIM")
	if err != nil || !maps.Equal(got, want) {
		t.Errorf("truncated: %v, %v", got, err)
	}
}

func TestPositionsReadTheTailOnly(t *testing.T) {
	c := broker(t, kfake.SeedTopics(2, feed.Topic))
	p := producer(t, feed.ProducerConfig{Brokers: c.ListenAddrs()})
	for seq := range int64(100_000) {
		if err := p.Produce(t.Context(), tick(fmt.Sprint("S", seq%10), seq+1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, read, err := feed.ScanPositions(t.Context(), c.ListenAddrs(), feed.Topic, "SIM", "S1", "S2")
	if err != nil || len(got) != 2 || got["S1"].Seq != 99_992 {
		t.Fatalf("got %v, %v", got, err)
	}
	if read > 10_000 {
		t.Errorf("took in %d records", read)
	}
}

func TestPositionsWithoutABroker(t *testing.T) {
	addr, _ := deadAddr(t)
	if _, err := feed.Positions(t.Context(), []string{addr}, feed.Security{}, feed.Topic, "SIM"); err == nil || !strings.Contains(err.Error(), addr) {
		t.Errorf("got %v", err)
	}
	c := broker(t, kfake.SeedTopics(1, feed.Topic))
	ctx, cancel := context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if _, err := feed.Positions(ctx, c.ListenAddrs(), feed.Security{}, feed.Topic, "SIM"); err == nil {
		t.Error("no error from a context that has ended")
	}
}

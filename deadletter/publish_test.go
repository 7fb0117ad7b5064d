package deadletter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hypertick/hypertick/feed"
)

const deadTopic = "t.dlq"

// publisher is one with a broker of its own.
func publisher(t *testing.T, opts ...kfake.Opt) (*Publisher, *kfake.Cluster) {
	t.Helper()
	c, err := kfake.NewCluster(append(opts, kfake.NumBrokers(1))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	client, err := feed.Security{}.Client(c.ListenAddrs(), append(ClientOptions(), kgo.MetadataMinAge(10*time.Millisecond))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return NewPublisher(client, "t", slog.New(slog.DiscardHandler)), c
}

// letters makes letters whose values are random, so that they do not compress.
func letters(count, bytes int) []*Letter {
	random := rand.NewChaCha8([32]byte{7})
	out := make([]*Letter, count)
	for i := range out {
		value := make([]byte, bytes)
		_, _ = random.Read(value)
		out[i] = New(&kgo.Record{Topic: "t", Offset: int64(i), Value: value}, fmt.Sprintf("value: letter %d", i))
	}
	return out
}

// mustPublish publishes all letters, with as many tries as it takes.
func mustPublish(t *testing.T, p *Publisher, letters []*Letter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(letters) > 0 {
		var err error
		if letters, err = p.Publish(ctx, letters); err != nil && ctx.Err() != nil {
			t.Fatalf("%d letters are left: %v", len(letters), err)
		}
	}
}

// published are the letters in the topic, by the offset of their source.
func published(t *testing.T, c *kfake.Cluster) map[int64]*Letter {
	t.Helper()
	q := NewQueue(QueueConfig{Brokers: c.ListenAddrs(), Topic: "t"})
	got := map[int64]*Letter{}
	if err := q.read(t.Context(), &Filter{}, func(l *Letter) error { got[l.Source.Offset] = l; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func samePublished(t *testing.T, c *kfake.Cluster, want []*Letter) {
	t.Helper()
	got := published(t, c)
	if len(got) != len(want) {
		t.Errorf("%d letters in the topic, want %d", len(got), len(want))
	}
	for _, w := range want {
		if g := got[w.Source.Offset]; g == nil || !bytes.Equal(g.Value, w.Value) || g.Reason != w.Reason || g.Truncated != 0 {
			t.Errorf("letter %d did not come as it was", w.Source.Offset)
		}
	}
}

// TestPublishCreatesTopic publishes where there is no topic yet.
func TestPublishCreatesTopic(t *testing.T) {
	t.Parallel()
	p, c := publisher(t)
	want := letters(3, 100)
	if left, err := p.Publish(t.Context(), want); !errors.Is(err, kerr.UnknownTopicOrPartition) || len(left) != 3 {
		t.Fatalf("the first try: %d letters left, %v", len(left), err)
	}
	mustPublish(t, p, want)
	samePublished(t, c, want)
}

// TestPublishMany publishes letters that are too large for a batch together, and
// not one by one.
func TestPublishMany(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]string{"as brokers have it": "1048588", "a small one": "40000"} {
		t.Run(name, func(t *testing.T) {
			p, c := publisher(t, kfake.SeedTopics(1, deadTopic), kfake.BrokerConfigs(map[string]string{"message.max.bytes": limit}))
			want := letters(600, 20_000)
			mustPublish(t, p, want)
			samePublished(t, c, want)
		})
	}
}

// TestPublishTooLarge publishes letters that the topic does not take whole: they
// are cut, and hold up no other.
func TestPublishTooLarge(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"the value": 1_000_000, "all of it": 20_000} {
		t.Run(name, func(t *testing.T) {
			p, c := publisher(t, kfake.SeedTopics(1, deadTopic), kfake.BrokerConfigs(map[string]string{"message.max.bytes": fmt.Sprint(limit)}))
			all := letters(5, 900)
			value := letters(1, 1_200_000)[0]
			all[1].Value = value.Value
			all[2].Headers = []kgo.RecordHeader{{Key: "small", Value: []byte("x")}, {Key: "large", Value: value.Value}}
			all[3].Key = value.Value
			mustPublish(t, p, all)
			got := published(t, c)
			if len(got) != len(all) {
				t.Errorf("%d letters in the topic, want %d", len(got), len(all))
			}
			for i, w := range all {
				g := got[int64(i)]
				if g == nil || g.Reason != w.Reason || !bytes.HasPrefix(w.Value, g.Value) || len(g.Value) < min(900, len(w.Value)) {
					t.Fatalf("letter %d did not come", i)
				}
				if cut := len(g.Value) < len(w.Value); cut != (g.Truncated == int64(len(w.Value))) || cut != (i == 1) {
					t.Errorf("letter %d: %d of %d bytes, truncated %d", i, len(g.Value), len(w.Value), g.Truncated)
				}
			}
			if h := got[2].Headers; len(h) != 1 || h[0].Key != "small" {
				t.Errorf("headers %v, want the small one", h)
			}
		})
	}
}

// TestPublishLeft has the broker refuse now and then: what is left is published
// by the next try.
func TestPublishLeft(t *testing.T) {
	t.Parallel()
	p, c := publisher(t, kfake.SeedTopics(1, deadTopic))
	want := letters(200, 20_000)
	turn := 0
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.TopicAuthorizationFailed, Count: -1,
		When: func(kmsg.Request) bool { turn++; return turn%3 == 0 }})
	left, err := p.Publish(t.Context(), want)
	if !errors.Is(err, kerr.TopicAuthorizationFailed) || len(left) == 0 || len(left) > len(want) {
		t.Fatalf("%d letters left, %v", len(left), err)
	}
	mustPublish(t, p, left)
	samePublished(t, c, want)
}

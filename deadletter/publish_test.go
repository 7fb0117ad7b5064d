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

// publisher returns a Publisher with a broker of its own.
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

// randomDead returns dead letters with random values, which do not compress.
func randomDead(count, bytes int) []*DeadLetter {
	random := rand.NewChaCha8([32]byte{7})
	out := make([]*DeadLetter, count)
	for i := range out {
		value := make([]byte, bytes)
		_, _ = random.Read(value)
		out[i] = New(&kgo.Record{Topic: "t", Offset: int64(i), Value: value}, fmt.Sprintf("value: dead letter %d", i))
	}
	return out
}

// mustPublish publishes all dead letters, with as many attempts as necessary.
func mustPublish(t *testing.T, p *Publisher, dead []*DeadLetter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for len(dead) > 0 {
		var err error
		if dead, err = p.Publish(ctx, dead); err != nil && ctx.Err() != nil {
			t.Fatalf("%d dead letters are left: %v", len(dead), err)
		}
	}
}

// published returns the dead letters in the topic, by the offset of their source.
func published(t *testing.T, c *kfake.Cluster) map[int64]*DeadLetter {
	t.Helper()
	q := NewQueue(QueueConfig{Brokers: c.ListenAddrs(), Topic: "t"})
	got := map[int64]*DeadLetter{}
	if err := q.read(t.Context(), &Filter{}, func(l *DeadLetter) error { got[l.Source.Offset] = l; return nil }); err != nil {
		t.Fatal(err)
	}
	return got
}

func samePublished(t *testing.T, c *kfake.Cluster, want []*DeadLetter) {
	t.Helper()
	got := published(t, c)
	if len(got) != len(want) {
		t.Errorf("%d dead letters in the topic, want %d", len(got), len(want))
	}
	for _, w := range want {
		if g := got[w.Source.Offset]; g == nil || !bytes.Equal(g.Value, w.Value) || g.Reason != w.Reason || g.Truncated != 0 {
			t.Errorf("dead letter %d is not the one that was published", w.Source.Offset)
		}
	}
}

// TestPublishCreatesTopic publishes before the topic exists.
func TestPublishCreatesTopic(t *testing.T) {
	t.Parallel()
	p, c := publisher(t)
	want := randomDead(3, 100)
	if left, err := p.Publish(t.Context(), want); !errors.Is(err, kerr.UnknownTopicOrPartition) || len(left) != 3 {
		t.Fatalf("first attempt: %d dead letters left, %v", len(left), err)
	}
	mustPublish(t, p, want)
	samePublished(t, c, want)
}

// TestPublishMany publishes dead letters that together are too large for a batch,
// but not one by one.
func TestPublishMany(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]string{"the default": "1048588", "a small one": "40000"} {
		t.Run(name, func(t *testing.T) {
			p, c := publisher(t, kfake.SeedTopics(1, deadTopic), kfake.BrokerConfigs(map[string]string{"message.max.bytes": limit}))
			want := randomDead(600, 20_000)
			mustPublish(t, p, want)
			samePublished(t, c, want)
		})
	}
}

// TestPublishTooLarge publishes dead letters that are too large for the topic: they
// are truncated, and block no other.
func TestPublishTooLarge(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"the value": 1_000_000, "all of it": 20_000} {
		t.Run(name, func(t *testing.T) {
			p, c := publisher(t, kfake.SeedTopics(1, deadTopic), kfake.BrokerConfigs(map[string]string{"message.max.bytes": fmt.Sprint(limit)}))
			all := randomDead(5, 900)
			value := randomDead(1, 1_200_000)[0]
			all[1].Value = value.Value
			all[2].Headers = []kgo.RecordHeader{{Key: "small", Value: []byte("x")}, {Key: "large", Value: value.Value}}
			all[3].Key = value.Value
			mustPublish(t, p, all)
			got := published(t, c)
			if len(got) != len(all) {
				t.Errorf("%d dead letters in the topic, want %d", len(got), len(all))
			}
			for i, w := range all {
				g := got[int64(i)]
				if g == nil || g.Reason != w.Reason || !bytes.HasPrefix(w.Value, g.Value) || len(g.Value) < min(900, len(w.Value)) {
					t.Fatalf("dead letter %d is missing or wrong", i)
				}
				if cut := len(g.Value) < len(w.Value); cut != (g.Truncated == int64(len(w.Value))) || cut != (i == 1) {
					t.Errorf("dead letter %d: %d of %d bytes, truncated %d", i, len(g.Value), len(w.Value), g.Truncated)
				}
			}
			if h := got[2].Headers; len(h) != 1 || h[0].Key != "small" {
				t.Errorf("headers %v, want the small one", h)
			}
		})
	}
}

// TestPublishLeft has the broker reject some requests: the dead letters that are
// left are published by the next attempt.
func TestPublishLeft(t *testing.T) {
	t.Parallel()
	p, c := publisher(t, kfake.SeedTopics(1, deadTopic))
	want := randomDead(200, 20_000)
	turn := 0
	c.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: deadTopic, Err: kerr.TopicAuthorizationFailed, Count: -1,
		When: func(kmsg.Request) bool { turn++; return turn%3 == 0 }})
	left, err := p.Publish(t.Context(), want)
	if !errors.Is(err, kerr.TopicAuthorizationFailed) || len(left) == 0 || len(left) > len(want) {
		t.Fatalf("%d dead letters left, %v", len(left), err)
	}
	mustPublish(t, p, left)
	samePublished(t, c, want)
}

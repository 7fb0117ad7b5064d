package cli_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
)

// TestTopicsAreAlike creates the topics of a stream in every possible way, and checks
// that the broker reports the same partitions and configuration. Only the embedded
// broker, which uses the disk of a laptop, keeps less.
func TestTopicsAreAlike(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	server := func() string {
		c, err := kfake.NewCluster(kfake.NumBrokers(1))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c.ListenAddrs()[0]
	}
	ticks, dead := feed.Topic, feed.DeadLetterTopic(feed.Topic)

	command := server()
	if code, out, errOut := run(ctx, "topic", "--brokers", command); code != 0 {
		t.Fatalf("topic: exit code %d: %s%s", code, out, errOut)
	}
	want := map[string]map[string]string{ticks: describe(ctx, t, command, ticks), dead: describe(ctx, t, command, dead)}
	for topic, config := range want {
		for key, value := range map[string]string{"retention.ms": "-1", "cleanup.policy": "delete", "message.timestamp.type": "CreateTime"} {
			if config[key] != value {
				t.Errorf("%s: %s is %s, want %s", topic, key, config[key], value)
			}
		}
		for _, key := range []string{"retention.bytes", "max.message.bytes", "segment.bytes"} {
			if config[key] == "" || strings.HasPrefix(config[key], "-") {
				t.Errorf("%s: %s is %q, want a bound", topic, key, config[key])
			}
		}
	}

	producing := server()
	producer, err := feed.NewProducer(feed.ProducerConfig{Brokers: []string{producing}})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	if err := producer.EnsureTopic(ctx, feed.DefaultPartitions); err != nil {
		t.Fatal(err)
	}
	same(t, "a producer's", describe(ctx, t, producing, ticks), want[ticks])

	ingesting := server()
	client, err := feed.Security{}.Client([]string{ingesting}, deadletter.ClientOptions()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	publisher := deadletter.NewPublisher(client, ticks, slog.New(slog.DiscardHandler))
	if _, err := publisher.Publish(ctx, []*deadletter.DeadLetter{deadletter.New(&kgo.Record{Topic: ticks, Value: []byte("x")}, "value: x")}); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("publish where there is no topic: %v", err)
	}
	same(t, "ingest's", describe(ctx, t, ingesting, dead), want[dead])

	broker, err := embedded.StartBroker(ctx, embedded.BrokerConfig{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	for topic, config := range want {
		less := maps.Clone(config)
		less["retention.bytes"], less["segment.bytes"] = "134217728", "16777216"
		same(t, "the embedded broker's", describe(ctx, t, broker.Addr(), topic), less)
	}
}

// describe returns the number of partitions of a topic, and its configuration.
func describe(ctx context.Context, t *testing.T, broker, topic string) map[string]string {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{"partitions": fmt.Sprint(len(topics[topic].Partitions))}
	for _, c := range configs {
		if c.Err != nil {
			t.Fatalf("%s: %v", topic, c.Err)
		}
		for _, kv := range c.Configs {
			out[kv.Key] = kv.MaybeValue()
		}
	}
	return out
}

func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	for key := range want {
		if got[key] != want[key] {
			t.Errorf("%s: %s is %q, want %q", what, key, got[key], want[key])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%s: %d settings, want %d", what, len(got), len(want))
	}
}

package feed_test

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

func TestCreateTopics(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := feed.TopicsConfig{Brokers: c.ListenAddrs(), Topic: "ticks", Partitions: 6, Replicas: 3, Timeout: 10 * time.Second}
	for _, created := range []bool{true, false} {
		infos, err := feed.CreateTopics(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		want := []feed.TopicInfo{
			{Name: "ticks", Created: created, Partitions: 6, Replicas: 3, RetentionMS: "-1"},
			{Name: "ticks.dlq", Created: created, Partitions: 1, Replicas: 3, RetentionMS: "-1"},
		}
		if len(infos) != 2 || infos[0] != want[0] || infos[1] != want[1] {
			t.Errorf("got %+v\nwant %+v", infos, want)
		}
		cfg.Partitions = 12 // no effect on a topic that exists
	}
}

func TestCreateTopicsReportsRetention(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	infos, err := feed.CreateTopics(t.Context(), feed.TopicsConfig{
		Brokers: c.ListenAddrs(), Topic: feed.Topic, Partitions: 2, Replicas: 1, Timeout: 10 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	if infos[0].Created || infos[0].RetentionMS == "-1" || infos[0].RetentionMS == "" {
		t.Errorf("got %+v, want the broker's own retention of a topic that was there", infos[0])
	}
}

// TestCreateTopicsGivesUp tries to reach a broker that is down.
func TestCreateTopicsGivesUp(t *testing.T) {
	t.Parallel()
	_, err := feed.CreateTopics(t.Context(), feed.TopicsConfig{
		Brokers: []string{"127.0.0.1:1"}, Topic: feed.Topic, Partitions: 1, Replicas: 1, Timeout: 300 * time.Millisecond,
	})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("got %v, want an error that names the broker", err)
	}
}

func TestCheckTopic(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	check := func(topic string, maxAge time.Duration) (feed.TopicState, error) {
		return feed.CheckTopic(t.Context(), c.ListenAddrs(), feed.Security{}, topic, maxAge)
	}
	produce := func(partition int32, age time.Duration) {
		t.Helper()
		cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		r := &kgo.Record{Topic: feed.Topic, Partition: partition, Value: []byte("x"), Timestamp: time.Now().Add(-age)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := check("absent", 0); err == nil {
		t.Error("a topic that is not there: want an error")
	}
	for _, step := range []struct {
		partition int32
		age       time.Duration
		want      feed.TopicState
	}{
		{0, 48 * time.Hour, feed.TopicState{Partitions: 3, Records: 1}},
		{2, 2 * time.Hour, feed.TopicState{Partitions: 3, Records: 2}},
		{1, time.Second, feed.TopicState{Partitions: 3, Records: 3, Fresh: true}},
	} {
		produce(step.partition, step.age)
		if got, err := check(feed.Topic, time.Hour); err != nil || got != step.want {
			t.Errorf("after a record of %v ago: got %+v, %v, want %+v", step.age, got, err, step.want)
		}
	}
	if _, err := feed.CheckTopic(t.Context(), []string{"127.0.0.1:1"}, feed.Security{}, feed.Topic, 0); err == nil {
		t.Error("a broker that is not there: want an error")
	}
}

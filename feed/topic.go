package feed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Topic is the default topic of the ticks. The key of a record is its symbol, so
// that all ticks of one symbol are in one partition and keep their order.
const Topic = "market.ticks"

// DefaultPartitions is the default number of partitions of the topic of the ticks.
const DefaultPartitions = 8

// DeadLetterTopic returns the name of the dead-letter topic of topic.
func DeadLetterTopic(topic string) string { return topic + ".dlq" }

// TopicSpec specifies a topic of the stream. Producers, ingest, the command and the
// embedded broker create topics from it.
type TopicSpec struct {
	Name       string
	Partitions int32
	// RetentionBytes bounds a partition, in compressed bytes.
	RetentionBytes int64
	// SegmentBytes is the size of the files of a partition. Retention deletes
	// whole files.
	SegmentBytes int64
	// MaxMessageBytes bounds a batch of records as the producer compressed it.
	MaxMessageBytes int64
}

// TickTopicSpec returns the specification of a topic of ticks.
func TickTopicSpec(topic string, partitions int32) TopicSpec {
	return TopicSpec{Name: topic, Partitions: partitions, RetentionBytes: 4 << 30, SegmentBytes: 128 << 20, MaxMessageBytes: 1 << 20}
}

// DeadLetterTopicSpec returns the specification of the dead-letter topic of topic.
// It has one partition, so that an offset identifies a dead letter. A batch has
// room for the largest record of topic and the headers of a dead letter.
func DeadLetterTopicSpec(topic string) TopicSpec {
	s := TickTopicSpec(DeadLetterTopic(topic), 1)
	s.MaxMessageBytes *= 2
	return s
}

// TopicSpecs returns the topics of a stream: the ticks and the dead letters.
func TopicSpecs(topic string, partitions int32) []TopicSpec {
	return []TopicSpec{TickTopicSpec(topic, partitions), DeadLetterTopicSpec(topic)}
}

// Config returns the configuration of the topic by the broker's names.
func (s TopicSpec) Config() map[string]string {
	return map[string]string{
		"cleanup.policy":   "delete",
		"compression.type": "producer",
		// The timestamp of a record is the trade time. The usual retention of seven
		// days would delete a month of history as soon as it is produced, so the
		// topic is bounded by size.
		"message.timestamp.type": "CreateTime",
		"retention.ms":           "-1",
		"retention.bytes":        strconv.FormatInt(s.RetentionBytes, 10),
		"segment.bytes":          strconv.FormatInt(s.SegmentBytes, 10),
		"max.message.bytes":      strconv.FormatInt(s.MaxMessageBytes, 10),
	}
}

// Ensure creates the topic if it does not exist, and reports whether it did. An
// existing topic is left as it is. replicas of -1 is the broker's default.
func (s TopicSpec) Ensure(ctx context.Context, admin *kadm.Client, replicas int16) (created bool, err error) {
	// Listing first: it takes fewer rights than creating.
	topics, err := admin.ListTopics(ctx, s.Name)
	if err != nil || topics.Has(s.Name) {
		return false, err
	}
	config := make(map[string]*string)
	for key, value := range s.Config() {
		config[key] = &value
	}
	_, err = admin.CreateTopic(ctx, s.Partitions, replicas, config, s.Name)
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return false, nil
	}
	return err == nil, err
}

// EnsureTopic creates the producer's topic if it does not exist, with the
// broker's default replication. An existing topic is left as it is. It waits for
// a broker that is not available yet, up to the delivery timeout.
func (p *Producer) EnsureTopic(ctx context.Context, partitions int32) error {
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	waiting, cancel := context.WithTimeout(ctx, p.cfg.DeliveryTimeout)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	for {
		_, err := TickTopicSpec(p.cfg.Topic, partitions).Ensure(waiting, kadm.NewClient(p.client), -1)
		if err == nil {
			return nil
		}
		unreachable := p.lastDialErr() != nil
		if unreachable || kerr.IsRetriable(err) {
			select {
			case <-time.After(200 * time.Millisecond):
				continue
			case <-waiting.Done():
			}
		}
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("create topic %s: %w", p.cfg.Topic, ctx.Err())
		case unreachable:
			return fmt.Errorf("create topic %s: broker %s did not answer within %v, is it running? %w",
				p.cfg.Topic, p.addr(), p.cfg.DeliveryTimeout, err)
		}
		return fmt.Errorf("create topic %s on broker %s: %w", p.cfg.Topic, p.addr(), err)
	}
}

// TopicsConfig configures CreateTopics.
type TopicsConfig struct {
	Brokers    []string
	Security   Security
	Topic      string // of the ticks; see DeadLetterTopic for the other
	Partitions int32  // of the ticks; the dead-letter topic has one
	Replicas   int16  // -1: the broker's default
	// Timeout is how long to wait for a broker that is not available yet.
	Timeout time.Duration
}

// TopicInfo describes a topic.
type TopicInfo struct {
	Name        string
	Created     bool // by this call
	Partitions  int
	Replicas    int    // of the partition with the fewest
	RetentionMS string // empty if the broker does not report it
}

// CreateTopics creates the topics of the stream that do not exist, and describes
// all of them.
func CreateTopics(ctx context.Context, cfg TopicsConfig) ([]TopicInfo, error) {
	// The client caches metadata: briefly, so that it sees the topics it has just
	// created.
	client, err := cfg.Security.Client(cfg.Brokers, kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("create broker client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	waiting, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	var infos []TopicInfo
	for _, t := range TopicSpecs(cfg.Topic, cfg.Partitions) {
		info := TopicInfo{Name: t.Name}
		for {
			var created bool
			if created, err = t.Ensure(waiting, admin, cfg.Replicas); err == nil {
				info.Created = info.Created || created
				err = describeTopic(waiting, admin, &info)
			}
			if err == nil {
				break
			}
			// A permanent error is returned at once. A broker that is starting may
			// refuse connections or have no controller yet.
			var refused *kerr.Error
			if errors.As(err, &refused) && !refused.Retriable {
				return nil, fmt.Errorf("create topic %s on broker %s: %w", t.Name, strings.Join(cfg.Brokers, ","), err)
			}
			select {
			case <-time.After(200 * time.Millisecond):
			case <-waiting.Done():
				return nil, fmt.Errorf("create topic %s on broker %s: %w", t.Name, strings.Join(cfg.Brokers, ","), err)
			}
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func describeTopic(ctx context.Context, admin *kadm.Client, info *TopicInfo) error {
	topics, err := admin.ListTopics(ctx, info.Name)
	if err != nil {
		return err
	}
	detail := topics[info.Name]
	if detail.Err != nil {
		return detail.Err
	}
	if len(detail.Partitions) == 0 {
		return kerr.UnknownTopicOrPartition // created, and not yet known to this broker
	}
	info.Partitions = len(detail.Partitions)
	for _, p := range detail.Partitions {
		if info.Replicas == 0 || len(p.Replicas) < info.Replicas {
			info.Replicas = len(p.Replicas)
		}
	}
	configs, err := admin.DescribeTopicConfigs(ctx, info.Name)
	if err != nil {
		return err
	}
	for _, c := range configs {
		for _, kv := range c.Configs {
			if kv.Key == "retention.ms" && kv.Value != nil {
				info.RetentionMS = *kv.Value
			}
		}
	}
	return nil
}

// TopicState is the state of a topic.
type TopicState struct {
	Partitions int
	Records    int64
	Fresh      bool // the newest record is not older than maxAge
}

// CheckTopic reads the state of a topic. A topic that does not exist, or has a
// partition without a leader, is an error. Fresh is set if a record is not older
// than maxAge.
func CheckTopic(ctx context.Context, brokers []string, security Security, topic string, maxAge time.Duration) (TopicState, error) {
	var state TopicState
	client, err := security.Client(brokers)
	if err != nil {
		return state, fmt.Errorf("create broker client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return state, err
	}
	detail := topics[topic]
	if detail.Err != nil {
		return state, detail.Err
	}
	state.Partitions = len(detail.Partitions)
	for _, p := range detail.Partitions {
		if p.Err != nil {
			return state, fmt.Errorf("partition %d: %w", p.Partition, p.Err)
		}
		if p.Leader < 0 {
			return state, fmt.Errorf("partition %d has no leader", p.Partition)
		}
	}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return state, err
	}
	// Listed before the ends: a tick that arrives in between counts as fresh.
	var after kadm.ListedOffsets
	if maxAge > 0 {
		after, err = admin.ListOffsetsAfterMilli(ctx, time.Now().Add(-maxAge).UnixMilli(), topic)
		if err == nil {
			err = after.Error()
		}
		if err != nil {
			return state, err
		}
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return state, err
	}
	ends.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, end.Partition)
		state.Records += end.Offset - start.Offset
	})
	// If there is no such record, the broker returns the end offset.
	after.Each(func(o kadm.ListedOffset) {
		if end, ok := ends.Lookup(topic, o.Partition); ok && o.Offset < end.Offset {
			state.Fresh = true
		}
	})
	return state, nil
}

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

// Topic is the topic of the ticks where no other is named. A record's key is its
// symbol, so that all ticks of one symbol share a partition and keep their order.
const Topic = "market.ticks"

// DefaultPartitions is how many partitions the topic of the ticks gets where no
// other number is given.
const DefaultPartitions = 8

// DeadLetterTopic names the topic of the records of topic that ingest could not
// store.
func DeadLetterTopic(topic string) string { return topic + ".dlq" }

// TopicSpec says how a topic of the stream is created. Whoever creates one, a
// producer, ingest, the command or the embedded broker, takes it from here.
type TopicSpec struct {
	Name       string
	Partitions int32
	// RetentionBytes bounds a partition, in compressed bytes.
	RetentionBytes int64
	// SegmentBytes is the size of the files of a partition. Retention deletes
	// whole files.
	SegmentBytes int64
	// MaxMessageBytes bounds a batch of records, compressed, as it comes from a
	// producer.
	MaxMessageBytes int64
}

// TickTopicSpec is the topic of the ticks.
func TickTopicSpec(topic string, partitions int32) TopicSpec {
	return TopicSpec{Name: topic, Partitions: partitions, RetentionBytes: 4 << 30, SegmentBytes: 128 << 20, MaxMessageBytes: 1 << 20}
}

// DeadLetterTopicSpec is the topic of the dead letters of topic. It has one
// partition, so that an offset names a letter, and room in a batch for the
// largest record of topic and the headers that a letter has besides.
func DeadLetterTopicSpec(topic string) TopicSpec {
	s := TickTopicSpec(DeadLetterTopic(topic), 1)
	s.MaxMessageBytes *= 2
	return s
}

// TopicSpecs are the topics of a stream: its ticks and its dead letters.
func TopicSpecs(topic string, partitions int32) []TopicSpec {
	return []TopicSpec{TickTopicSpec(topic, partitions), DeadLetterTopicSpec(topic)}
}

// Config is the configuration of the topic in the broker's names.
func (s TopicSpec) Config() map[string]string {
	return map[string]string{
		"cleanup.policy":   "delete",
		"compression.type": "producer",
		// A record's timestamp is the time of its trade. So the usual seven days of
		// retention would delete a month of history as soon as it is produced: size
		// bounds the topic instead.
		"message.timestamp.type": "CreateTime",
		"retention.ms":           "-1",
		"retention.bytes":        strconv.FormatInt(s.RetentionBytes, 10),
		"segment.bytes":          strconv.FormatInt(s.SegmentBytes, 10),
		"max.message.bytes":      strconv.FormatInt(s.MaxMessageBytes, 10),
	}
}

// Ensure creates the topic if it does not exist, and says whether it did.
// An existing topic is left as it is. replicas of -1 is the broker's default.
func (s TopicSpec) Ensure(ctx context.Context, admin *kadm.Client, replicas int16) (created bool, err error) {
	// Ask first: to see a topic takes fewer rights than to create one.
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
// broker's default replication. An existing topic is left as it is. A broker
// that is not there yet is waited for, up to the delivery timeout.
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

// TopicsConfig says which topics CreateTopics makes.
type TopicsConfig struct {
	Brokers    []string
	Security   Security
	Topic      string // of the ticks; see DeadLetterTopic for the other
	Partitions int32  // of the ticks; the dead letters get one
	Replicas   int16  // -1: what the broker thinks right
	// Patience is how long to wait for a broker that is not there yet.
	Patience time.Duration
}

// TopicInfo is what a topic is like.
type TopicInfo struct {
	Name        string
	Created     bool // just now
	Partitions  int
	Replicas    int    // of the partition that has the fewest
	RetentionMS string // empty when the broker does not tell
}

// CreateTopics creates the topics of the stream where they are missing, and
// says what is there.
func CreateTopics(ctx context.Context, cfg TopicsConfig) ([]TopicInfo, error) {
	// The client remembers what topics there are: not for long, or it would
	// not see those it has made.
	client, err := cfg.Security.Client(cfg.Brokers, kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("make broker client: %w", err)
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	waiting, cancel := context.WithTimeout(ctx, cfg.Patience)
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
			// What the broker refuses for good is told at once; a broker that
			// is starting may refuse connections, or know of no controller yet.
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
		return kerr.UnknownTopicOrPartition // made, and not told to this broker yet
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

// TopicState is how a topic is.
type TopicState struct {
	Partitions int
	Records    int64
	Fresh      bool // a tick is younger than was asked for
}

// CheckTopic asks a broker for a topic. A topic that is missing, or has a
// partition without a leader, is an error. State says Fresh when a record is
// not older than maxAge.
func CheckTopic(ctx context.Context, brokers []string, security Security, topic string, maxAge time.Duration) (TopicState, error) {
	var state TopicState
	client, err := security.Client(brokers)
	if err != nil {
		return state, fmt.Errorf("make broker client: %w", err)
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
	// Asked for before the ends: a tick that comes in between counts as fresh.
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
	// Where there is no such record the broker's answer is the end.
	after.Each(func(o kadm.ListedOffset) {
		if end, ok := ends.Lookup(topic, o.Partition); ok && o.Offset < end.Offset {
			state.Fresh = true
		}
	})
	return state, nil
}

package feed

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrNoTopic is returned for a topic that the broker does not have.
var ErrNoTopic = errors.New("the topic does not exist")

// TopicMetadata is what a broker says of a topic.
type TopicMetadata struct {
	// ID tells a topic from another of its name: one that was recreated, or that
	// is in another cluster. It is written as kafka-topics --describe prints it,
	// and empty if the broker has no IDs.
	ID         string
	Raw        [16]byte // ID as it is in requests
	Partitions []int32  // in order
	// Err is the first error of a partition, for example that it has no leader.
	Err error
}

// ReadTopicMetadata asks a broker for a topic, without a cache: a recreated topic
// is seen at once. The error is ErrNoTopic if there is no such topic.
func ReadTopicMetadata(ctx context.Context, client *kgo.Client, topic string) (TopicMetadata, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return TopicMetadata{}, fmt.Errorf("read metadata: %w", err)
	}
	var m TopicMetadata
	for i := range resp.Topics {
		t := &resp.Topics[i]
		if t.Topic == nil || *t.Topic != topic {
			continue
		}
		switch err := kerr.ErrorForCode(t.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
			return m, ErrNoTopic
		case err != nil:
			return m, fmt.Errorf("read metadata: %w", err)
		}
		if t.TopicID != [16]byte{} {
			m.Raw = t.TopicID
			m.ID = base64.RawURLEncoding.EncodeToString(t.TopicID[:])
		}
		for j := range t.Partitions {
			p := &t.Partitions[j]
			m.Partitions = append(m.Partitions, p.Partition)
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil && m.Err == nil {
				m.Err = fmt.Errorf("partition %d: %w", p.Partition, err)
			}
		}
		slices.Sort(m.Partitions)
		return m, nil
	}
	return m, ErrNoTopic
}

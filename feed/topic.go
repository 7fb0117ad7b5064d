package feed

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// topicConfig keeps history in the topic: a record's timestamp is its trade
// time, so the usual seven days of retention would delete a month of history
// as soon as it was produced. Size bounds the topic instead.
var topicConfig = map[string]*string{
	"retention.ms":    new("-1"),
	"retention.bytes": new("4294967296"), // of one partition, compressed
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
		err := p.ensureTopic(waiting, partitions)
		if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
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

func (p *Producer) ensureTopic(ctx context.Context, partitions int32) error {
	admin := kadm.NewClient(p.client)
	// Ask first: to see a topic takes fewer rights than to create one.
	topics, err := admin.ListTopics(ctx, p.cfg.Topic)
	if err != nil || topics.Has(p.cfg.Topic) {
		return err
	}
	_, err = admin.CreateTopic(ctx, partitions, -1, topicConfig, p.cfg.Topic)
	return err
}

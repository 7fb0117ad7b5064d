package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

const (
	// maxBytes is the maximum size of a dead letter that is published whole. It
	// is truncated if its topic allows less.
	maxBytes = 16 << 20
	// maxRun bounds the dead letters that are produced together, in bytes, so
	// that a batch the broker rejects as too large holds only one.
	maxRun = 512 << 10
)

// cuts are the sizes in bytes to which the value, the key, the reason and the
// headers of a dead letter are truncated, one after the other, until its topic
// accepts it. The last one leaves its source alone, and the begin of the reason.
var cuts = [...]int{64 << 10, 1 << 10, 0}

// ClientOptions are the options that the client of a Publisher needs.
func ClientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Dead letters are published at least once anyway, and an idempotent
		// producer cannot stop waiting for a broker that is down.
		kgo.DisableIdempotentWrite(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(maxBytes),
	}
}

// Publisher publishes dead letters of one topic. It is safe for concurrent use.
type Publisher struct {
	client *kgo.Client
	spec   feed.TopicSpec
	log    *slog.Logger
}

// NewPublisher returns a Publisher for the dead letters of topic. The client has
// ClientOptions, and the caller closes it.
func NewPublisher(client *kgo.Client, topic string, log *slog.Logger) *Publisher {
	spec := feed.DeadLetterTopicSpec(topic)
	return &Publisher{client: client, spec: spec, log: log.With(slog.String("dead_letter_topic", spec.Name))}
}

// Publish returns when the broker has acknowledged all dead letters. With an
// error it returns those that are left, to be retried. A dead letter that is
// published again after a crash is in the topic twice, with the same source.
//
// A record near the size limit of its own topic may exceed that of the
// dead-letter topic. It is truncated, so that it does not block all others. A
// topic that does not exist is created, and the attempt fails.
func (p *Publisher) Publish(ctx context.Context, dead []*DeadLetter) (left []*DeadLetter, err error) {
	for len(dead) > 0 {
		n := run(dead)
		failed, err := p.produce(ctx, dead[:n])
		if err != nil {
			return append(failed, dead[n:]...), err
		}
		dead = dead[n:]
	}
	return nil, nil
}

// run returns how many of the dead letters to produce together, at least one.
func run(dead []*DeadLetter) int {
	size := 0
	for i, d := range dead {
		if size += d.size(); size > maxRun {
			return max(i, 1)
		}
	}
	return len(dead)
}

func (d *DeadLetter) size() int {
	n := len(d.Key) + len(d.Value) + len(d.Reason) + len(d.Source.Topic) + 128
	for _, h := range d.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// produce produces dead letters together, and those that are too large one by
// one.
func (p *Publisher) produce(ctx context.Context, dead []*DeadLetter) (failed []*DeadLetter, err error) {
	records := make([]*kgo.Record, len(dead))
	of := make(map[*kgo.Record]*DeadLetter, len(dead))
	for i, d := range dead {
		records[i] = d.Record(p.spec.Name)
		of[records[i]] = d
	}
	var large []*DeadLetter
	for _, res := range p.client.ProduceSync(ctx, records...) {
		switch d := of[res.Record]; {
		case res.Err == nil:
		case errors.Is(res.Err, kerr.MessageTooLarge), errors.Is(res.Err, kerr.InvalidRecord):
			large = append(large, d)
		default:
			failed = append(failed, d)
			if err == nil {
				err = res.Err
			}
		}
	}
	if err != nil {
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			if _, err := p.spec.Ensure(ctx, kadm.NewClient(p.client), -1); err != nil {
				return append(failed, large...), fmt.Errorf("create %s: %w", p.spec.Name, err)
			}
		}
		return append(failed, large...), fmt.Errorf("produce to %s: %w", p.spec.Name, err)
	}
	for i, d := range large {
		if err := p.produceCut(ctx, d); err != nil {
			return large[i:], fmt.Errorf("produce to %s: %w", p.spec.Name, err)
		}
	}
	return nil, nil
}

// produceCut produces one dead letter, truncated as far as necessary.
func (p *Publisher) produceCut(ctx context.Context, d *DeadLetter) error {
	err := p.client.ProduceSync(ctx, d.Record(p.spec.Name)).FirstErr()
	for _, most := range cuts {
		if !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.InvalidRecord) {
			return err
		}
		p.log.Warn("dead letter is too large for its topic, truncated", slog.Int("bytes", d.size()), slog.Int("kept", most),
			slog.String("source", d.Source.Topic), slog.Int("partition", int(d.Source.Partition)), slog.Int64("offset", d.Source.Offset))
		d = d.cut(most)
		err = p.client.ProduceSync(ctx, d.Record(p.spec.Name)).FirstErr()
	}
	return err
}

// cut returns a copy with at most the given number of bytes of the value, of the
// key, of the reason and of the headers. A header is kept whole or dropped.
func (d *DeadLetter) cut(most int) *DeadLetter {
	c := *d
	if len(c.Value) > most {
		c.Value = c.Value[:most]
		c.Truncated = max(d.Truncated, int64(len(d.Value)))
	}
	c.Key = c.Key[:min(len(c.Key), most)]
	c.Reason = c.Reason[:min(len(c.Reason), max(most, 100))]
	size := 0
	for i, h := range c.Headers {
		if size += len(h.Key) + len(h.Value); size > most {
			c.Headers = c.Headers[:i:i]
			break
		}
	}
	return &c
}

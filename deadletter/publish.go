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
	// maxLetter bounds a letter that is published whole, in bytes. Where the
	// topic takes less a letter is cut.
	maxLetter = 16 << 20
	// maxRun bounds the letters that are produced together, in bytes, so that a
	// broker which finds a batch too large can only mean one letter.
	maxRun = 512 << 10
)

// cuts are how many bytes a letter that its topic does not take keeps of its
// value, of its key, of its reason and of its headers: first, and then.
var cuts = [...]int{64 << 10, 1 << 10}

// ClientOptions are what the client of a Publisher needs.
func ClientOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// Letters are published at least once anyway, and an idempotent producer
		// cannot be told to stop waiting for a broker that is gone.
		kgo.DisableIdempotentWrite(),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchMaxBytes(maxLetter),
	}
}

// Publisher writes letters to the dead-letter topic of a topic. It is safe for
// concurrent use.
type Publisher struct {
	client *kgo.Client
	spec   feed.TopicSpec
	log    *slog.Logger
}

// NewPublisher publishes the dead letters of topic. The client has
// ClientOptions; it stays the caller's.
func NewPublisher(client *kgo.Client, topic string, log *slog.Logger) *Publisher {
	spec := feed.DeadLetterTopicSpec(topic)
	return &Publisher{client: client, spec: spec, log: log.With(slog.String("dead_letter_topic", spec.Name))}
}

// Publish returns when the broker has acknowledged all letters. With an error it
// returns those that are left, for another try. Published again after a crash,
// a letter is in the topic twice: its source tells.
//
// A record near the limit of its own topic may be above that of the dead-letter
// topic; it must not hold up all others, so it is cut. A topic that does not exist is
// created, and the try fails.
func (p *Publisher) Publish(ctx context.Context, letters []*Letter) (left []*Letter, err error) {
	for len(letters) > 0 {
		n := run(letters)
		failed, err := p.produce(ctx, letters[:n])
		if err != nil {
			return append(failed, letters[n:]...), err
		}
		letters = letters[n:]
	}
	return nil, nil
}

// run is how many letters are produced together, at least one.
func run(letters []*Letter) int {
	size := 0
	for i, l := range letters {
		if size += l.size(); size > maxRun {
			return max(i, 1)
		}
	}
	return len(letters)
}

func (l *Letter) size() int {
	n := len(l.Key) + len(l.Value) + len(l.Reason) + len(l.Source.Topic) + 128
	for _, h := range l.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return n
}

// produce produces letters together, and those that are too large together one by
// one.
func (p *Publisher) produce(ctx context.Context, letters []*Letter) (failed []*Letter, err error) {
	records := make([]*kgo.Record, len(letters))
	of := make(map[*kgo.Record]*Letter, len(letters))
	for i, l := range letters {
		records[i] = l.Record(p.spec.Name)
		of[records[i]] = l
	}
	var large []*Letter
	for _, res := range p.client.ProduceSync(ctx, records...) {
		switch l := of[res.Record]; {
		case res.Err == nil:
		case errors.Is(res.Err, kerr.MessageTooLarge), errors.Is(res.Err, kerr.InvalidRecord):
			large = append(large, l)
		default:
			failed = append(failed, l)
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
	for i, l := range large {
		if err := p.produceCut(ctx, l); err != nil {
			return large[i:], fmt.Errorf("produce to %s: %w", p.spec.Name, err)
		}
	}
	return nil, nil
}

// produceCut produces one letter, cut as far as it takes.
func (p *Publisher) produceCut(ctx context.Context, l *Letter) error {
	err := p.client.ProduceSync(ctx, l.Record(p.spec.Name)).FirstErr()
	for _, most := range cuts {
		if !errors.Is(err, kerr.MessageTooLarge) && !errors.Is(err, kerr.InvalidRecord) {
			return err
		}
		p.log.Warn("dead letter is too large for its topic, truncated", slog.Int("bytes", l.size()), slog.Int("kept", most),
			slog.String("source", l.Source.Topic), slog.Int("partition", int(l.Source.Partition)), slog.Int64("offset", l.Source.Offset))
		l = l.cut(most)
		err = p.client.ProduceSync(ctx, l.Record(p.spec.Name)).FirstErr()
	}
	return err
}

// cut is the letter with at most so many bytes of its value, of its key, of its
// reason, and of its headers, which stay whole or go.
func (l *Letter) cut(most int) *Letter {
	c := *l
	if len(c.Value) > most {
		c.Value = c.Value[:most]
		c.Truncated = max(l.Truncated, int64(len(l.Value)))
	}
	c.Key = c.Key[:min(len(c.Key), most)]
	c.Reason = c.Reason[:min(len(c.Reason), most)]
	size := 0
	for i, h := range c.Headers {
		if size += len(h.Key) + len(h.Value); size > most {
			c.Headers = c.Headers[:i:i]
			break
		}
	}
	return &c
}

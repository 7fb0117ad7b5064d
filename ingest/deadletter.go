package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

// Headers of a dead letter, after those the record had.
const (
	HeaderError           = "error"
	HeaderSourceTopic     = "source.topic"
	HeaderSourcePartition = "source.partition"
	HeaderSourceOffset    = "source.offset"
	// HeaderTruncated is set, to the original length, where the topic does not
	// take a value whole.
	HeaderTruncated = "truncated"
)

const (
	deadLetterMax = 16 << 20
	truncatedTo   = 64 << 10
)

// deadLetter is a record that cannot be stored, and why.
type deadLetter struct {
	record *kgo.Record
	field  string
	reason string
}

func newDeadLetter(r *kgo.Record, err error) deadLetter {
	d := deadLetter{record: r, field: "value", reason: err.Error()}
	var fe *feed.FieldError
	if errors.As(err, &fe) {
		d.field = fe.Field
	}
	return d
}

var errNoValue = &feed.FieldError{Field: "value", Want: "want a JSON object, got none (a tombstone)"}

func tooOldLetter(r *kgo.Record, horizon int64) deadLetter {
	return newDeadLetter(r, &feed.FieldError{
		Field: "ts", Want: "older than the retention horizon " + fromMicros(horizon).Format(time.RFC3339),
	})
}

// letter is what goes to the dead-letter topic: the record unchanged, and
// headers.
func (d *deadLetter) letter(topic string) *kgo.Record {
	r := d.record
	headers := make([]kgo.RecordHeader, 0, len(r.Headers)+4)
	headers = append(headers, r.Headers...)
	headers = append(headers,
		kgo.RecordHeader{Key: HeaderError, Value: []byte(d.reason)},
		kgo.RecordHeader{Key: HeaderSourceTopic, Value: []byte(r.Topic)},
		kgo.RecordHeader{Key: HeaderSourcePartition, Value: strconv.AppendInt(nil, int64(r.Partition), 10)},
		kgo.RecordHeader{Key: HeaderSourceOffset, Value: strconv.AppendInt(nil, r.Offset, 10)})
	return &kgo.Record{Topic: topic, Key: r.Key, Value: r.Value, Timestamp: r.Timestamp, Headers: headers}
}

// bury produces the dead letters of b, and returns when the broker has
// acknowledged all: only then may their offsets pass. If ingest dies in
// between they are produced again, so the dead-letter topic holds each at
// least once; source.partition and source.offset identify it.
func (in *Ingester) bury(ctx, writing context.Context, b *batch) error {
	var letters []*kgo.Record
	for _, p := range b.parts {
		for i := range p.dead {
			letters = append(letters, p.dead[i].letter(in.cfg.DeadLetterTopic))
		}
	}
	if len(letters) == 0 {
		return nil
	}
	return in.patiently(ctx, "produce dead letters", func(context.Context) error {
		try, cancel := context.WithTimeout(writing, 30*time.Second)
		defer cancel()
		failed := letters[:0:0]
		var first error
		for _, res := range in.admin.ProduceSync(try, letters...) {
			if res.Err == nil {
				continue
			}
			if first == nil {
				first = res.Err
			}
			failed = append(failed, in.again(res.Record, res.Err))
		}
		letters = failed
		if errors.Is(first, kerr.UnknownTopicOrPartition) {
			if err := in.createDeadLetterTopic(try); err != nil {
				return fmt.Errorf("create %s: %w", in.cfg.DeadLetterTopic, err)
			}
		}
		return first
	})
}

// again prepares a letter for its next try. A record near the limit of its
// own topic may be over it with the new headers; it must not stall all others.
func (in *Ingester) again(r *kgo.Record, err error) *kgo.Record {
	headers, value := r.Headers, r.Value
	if (errors.Is(err, kerr.MessageTooLarge) || errors.Is(err, kerr.InvalidRecord)) && len(value) > truncatedTo {
		in.log.Warn("dead letter is too large for its topic, truncated", slog.Int("bytes", len(value)))
		headers = append(headers[:len(headers):len(headers)],
			kgo.RecordHeader{Key: HeaderTruncated, Value: strconv.AppendInt(nil, int64(len(value)), 10)})
		value = value[:truncatedTo]
	}
	return &kgo.Record{Topic: r.Topic, Key: r.Key, Value: value, Timestamp: r.Timestamp, Headers: headers}
}

func (in *Ingester) createDeadLetterTopic(ctx context.Context) error {
	keep := "-1"
	res, err := kadm.NewClient(in.admin).CreateTopic(ctx, 1, -1, map[string]*string{"retention.ms": &keep}, in.cfg.DeadLetterTopic)
	if err == nil {
		err = res.Err
	}
	if errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return err
}

// Package deadletter reads the topic of records that ingest could not store.
package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
)

// Letter is one record of the topic.
type Letter struct {
	Partition int32
	Offset    int64
	// At is the record's own timestamp; Reason why it could not be stored.
	At     time.Time
	Reason string
	// Topic, From and FromOffset say where the record was.
	Topic      string
	From       int32
	FromOffset int64
	Key, Value []byte
	// Truncated is the length of the whole value where the topic holds a part; else 0.
	Truncated int64
	// Headers are those the record had.
	Headers []kgo.RecordHeader
}

// ErrStop ends Read early.
var ErrStop = errors.New("stop")

// Read calls f for every letter that the topic holds now, partition by
// partition, from its offset on (-1: the first). A topic that is not there yet holds none.
func Read(ctx context.Context, brokers []string, security feed.Security, topic string, partition int32, offset int64, f func(*Letter) error) error {
	client, err := security.Client(brokers)
	if err != nil {
		return fmt.Errorf("make broker client: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, topic)
	if err == nil {
		err = starts.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list start offsets of %s: %w", topic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list end offsets of %s: %w", topic, err)
	}
	for _, end := range ends.Offsets().Sorted() {
		start, _ := starts.Lookup(topic, end.Partition)
		from := start.Offset
		if partition >= 0 && end.Partition != partition {
			continue
		}
		if offset >= 0 {
			from = max(from, offset)
		}
		if from >= end.At {
			continue
		}
		if err := readPartition(ctx, brokers, security, topic, end.Partition, from, end.At, f); errors.Is(err, ErrStop) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func readPartition(ctx context.Context, brokers []string, security feed.Security, topic string, partition int32, from, to int64, f func(*Letter) error) error {
	client, err := security.Client(brokers, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(from)}}), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return fmt.Errorf("make broker client: %w", err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset < to {
				if err := f(parse(r)); err != nil {
					return err
				}
			}
			if r.Offset+1 >= to {
				return nil
			}
		}
	}
}

func parse(r *kgo.Record) *Letter {
	l := &Letter{Partition: r.Partition, Offset: r.Offset, At: r.Timestamp.UTC(), Key: r.Key, Value: r.Value, From: -1, FromOffset: -1}
	for _, h := range r.Headers {
		switch h.Key {
		case ingest.HeaderError:
			l.Reason = string(h.Value)
		case ingest.HeaderSourceTopic:
			l.Topic = string(h.Value)
		case ingest.HeaderSourcePartition:
			l.From = int32(number(h.Value))
		case ingest.HeaderSourceOffset:
			l.FromOffset = number(h.Value)
		case ingest.HeaderTruncated:
			l.Truncated = number(h.Value)
		default:
			l.Headers = append(l.Headers, h)
		}
	}
	return l
}

func number(b []byte) int64 {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

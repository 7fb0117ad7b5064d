// Package deadletter handles the records that ingest cannot store. It publishes
// them to a topic of their own, reads them back, and retries or discards them.
package deadletter

import (
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a dead letter, after those of the record.
const (
	HeaderError           = "error" // why the record could not be stored
	HeaderSourceTopic     = "source.topic"
	HeaderSourcePartition = "source.partition"
	HeaderSourceOffset    = "source.offset"
	// HeaderTruncated is the length in bytes of the whole value. Only a dead
	// letter with a truncated value has it.
	HeaderTruncated = "truncated"
)

// DeadLetter is a record that ingest cannot store.
type DeadLetter struct {
	// Position in the dead-letter topic.
	Position
	// Source is the position of the record in its own topic.
	Source Source
	// Time is the record's own timestamp.
	Time time.Time
	// Reason is why it cannot be stored: the invalid field, a colon and what was
	// expected.
	Reason string
	// Key, Value and Headers are those of the record.
	Key, Value []byte
	Headers    []kgo.RecordHeader
	// Truncated is the length in bytes of the whole value if Value is only a
	// part of it, and 0 otherwise.
	Truncated int64
	// Handled is how it was handled, empty if it was not. Only Queue.Each sets it.
	Handled Outcome
}

// Source is the position of a record in the topic of the ticks. If it is
// unknown, Topic is empty, or Partition or Offset is -1.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
}

// String is the topic, partition and offset, as tick_changes.origin has it.
func (s Source) String() string { return fmt.Sprintf("%s/%d/%d", s.Topic, s.Partition, s.Offset) }

// New returns the dead letter of a record. The two share their bytes.
func New(r *kgo.Record, reason string) *DeadLetter {
	return &DeadLetter{
		Source: Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
		Time:   r.Timestamp, Reason: reason, Key: r.Key, Value: r.Value, Headers: r.Headers,
	}
}

// Record returns a record of the dead-letter topic: the original record,
// unchanged, with more headers. Parse reads it.
func (d *DeadLetter) Record(topic string) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(d.Headers)+5)
	headers = append(headers, d.Headers...)
	headers = append(headers,
		kgo.RecordHeader{Key: HeaderError, Value: []byte(d.Reason)},
		kgo.RecordHeader{Key: HeaderSourceTopic, Value: []byte(d.Source.Topic)},
		kgo.RecordHeader{Key: HeaderSourcePartition, Value: strconv.AppendInt(nil, int64(d.Source.Partition), 10)},
		kgo.RecordHeader{Key: HeaderSourceOffset, Value: strconv.AppendInt(nil, d.Source.Offset, 10)})
	if d.Truncated > 0 {
		headers = append(headers, kgo.RecordHeader{Key: HeaderTruncated, Value: strconv.AppendInt(nil, d.Truncated, 10)})
	}
	return &kgo.Record{Topic: topic, Key: d.Key, Value: d.Value, Timestamp: d.Time, Headers: headers}
}

// Parse reads a record of a dead-letter topic. Any record is a dead letter: where
// a header is missing or malformed, its field is unknown.
//
// The original record may have headers of the same names, for example if it is a
// dead letter of another topic. So the last header of each name counts, and
// truncated counts only after the error.
func Parse(r *kgo.Record) *DeadLetter {
	d := &DeadLetter{
		Position: Position{Partition: r.Partition, Offset: r.Offset}, Source: Source{Partition: -1, Offset: -1},
		Time: r.Timestamp.UTC(), Key: r.Key, Value: r.Value,
	}
	last := map[string]int{}
	for i, h := range r.Headers {
		last[h.Key] = i
	}
	for i, h := range r.Headers {
		ours := last[h.Key] == i
		switch {
		case ours && h.Key == HeaderError:
			d.Reason = string(h.Value)
		case ours && h.Key == HeaderSourceTopic:
			d.Source.Topic = string(h.Value)
		case ours && h.Key == HeaderSourcePartition:
			d.Source.Partition = int32(number(h.Value, 32))
		case ours && h.Key == HeaderSourceOffset:
			d.Source.Offset = number(h.Value, 64)
		case ours && h.Key == HeaderTruncated && afterError(i, last):
			d.Truncated = max(0, number(h.Value, 64))
		default:
			d.Headers = append(d.Headers, h)
		}
	}
	return d
}

// afterError reports whether header i comes after the error.
func afterError(i int, last map[string]int) bool {
	e, ok := last[HeaderError]
	return ok && i > e
}

// number parses a non-negative number of at most the given bits. It returns -1
// for anything else.
func number(b []byte, bits int) int64 {
	n, err := strconv.ParseInt(string(b), 10, bits)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

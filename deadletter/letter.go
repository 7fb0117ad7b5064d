// Package deadletter handles the records that ingest could not store. It
// publishes them to a topic of their own, reads them back, and stores them once
// they can be read, or notes that they are discarded.
package deadletter

import (
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Headers of a dead letter, behind those that the record had.
const (
	HeaderError           = "error" // why the record could not be stored
	HeaderSourceTopic     = "source.topic"
	HeaderSourcePartition = "source.partition"
	HeaderSourceOffset    = "source.offset"
	// HeaderTruncated is the length in bytes of the whole value. Only a letter
	// whose value was cut has it.
	HeaderTruncated = "truncated"
)

// Letter is a record that ingest could not store.
type Letter struct {
	// Position is where the letter is in the dead-letter topic.
	Position
	// Source is where the record was.
	Source Source
	// Time is the record's own timestamp.
	Time time.Time
	// Reason says why it could not be stored. It begins with the field that was
	// wrong and a colon.
	Reason string
	// Key, Value and Headers are those of the record.
	Key, Value []byte
	Headers    []kgo.RecordHeader
	// Truncated is the length in bytes of the whole value where Value is only a
	// part of it; else 0.
	Truncated int64
	// Handled says what became of the letter. Only Queue.Each sets it.
	Handled Outcome
}

// Source is where a record was in the topic of the ticks. Where that is not
// known Topic is empty, or Partition or Offset is -1.
type Source struct {
	Topic     string
	Partition int32
	Offset    int64
}

func (s Source) known() bool { return s.Topic != "" && s.Partition >= 0 && s.Offset >= 0 }

// New makes a letter of a record. The two share their bytes.
func New(r *kgo.Record, reason string) *Letter {
	return &Letter{
		Source: Source{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset},
		Time:   r.Timestamp, Reason: reason, Key: r.Key, Value: r.Value, Headers: r.Headers,
	}
}

// Record is the letter as a record of topic: the record that could not be
// stored, unchanged, with more headers. Parse reads it.
func (l *Letter) Record(topic string) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(l.Headers)+5)
	headers = append(headers, l.Headers...)
	headers = append(headers,
		kgo.RecordHeader{Key: HeaderError, Value: []byte(l.Reason)},
		kgo.RecordHeader{Key: HeaderSourceTopic, Value: []byte(l.Source.Topic)},
		kgo.RecordHeader{Key: HeaderSourcePartition, Value: strconv.AppendInt(nil, int64(l.Source.Partition), 10)},
		kgo.RecordHeader{Key: HeaderSourceOffset, Value: strconv.AppendInt(nil, l.Source.Offset, 10)})
	if l.Truncated > 0 {
		headers = append(headers, kgo.RecordHeader{Key: HeaderTruncated, Value: strconv.AppendInt(nil, l.Truncated, 10)})
	}
	return &kgo.Record{Topic: topic, Key: l.Key, Value: l.Value, Timestamp: l.Time, Headers: headers}
}

// Parse reads a record of a dead-letter topic. What its headers do not say, or
// say in a way that cannot be read, is unknown in the letter: any record is a
// letter.
//
// The record that could not be stored may have had headers of the same names, a
// letter of another topic for example. So of each name the last header is the
// letter's, and of truncated only one behind the error.
func Parse(r *kgo.Record) *Letter {
	l := &Letter{
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
			l.Reason = string(h.Value)
		case ours && h.Key == HeaderSourceTopic:
			l.Source.Topic = string(h.Value)
		case ours && h.Key == HeaderSourcePartition:
			l.Source.Partition = int32(number(h.Value, 32))
		case ours && h.Key == HeaderSourceOffset:
			l.Source.Offset = number(h.Value, 64)
		case ours && h.Key == HeaderTruncated && behind(i, last):
			l.Truncated = max(0, number(h.Value, 64))
		default:
			l.Headers = append(l.Headers, h)
		}
	}
	return l
}

// behind reports whether header i is behind the error.
func behind(i int, last map[string]int) bool {
	e, ok := last[HeaderError]
	return ok && i > e
}

// number reads a number of so many bits that is not negative; -1 stands for
// anything else.
func number(b []byte, bits int) int64 {
	n, err := strconv.ParseInt(string(b), 10, bits)
	if err != nil || n < 0 {
		return -1
	}
	return n
}

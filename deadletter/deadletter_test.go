package deadletter

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// reread returns a dead letter as it is read back from its topic.
func reread(l *DeadLetter) *DeadLetter {
	r := l.Record("market.ticks.dlq")
	r.Partition, r.Offset = l.Partition, l.Offset
	return Parse(r)
}

func TestRoundTrip(t *testing.T) {
	record := func(headers ...kgo.RecordHeader) *kgo.Record {
		return &kgo.Record{Topic: "market.ticks", Partition: 3, Offset: 42, Timestamp: time.UnixMilli(1_700_000_000_123).UTC(),
			Key: []byte("AAPL"), Value: []byte("not json"), Headers: headers}
	}
	truncated := New(record(), "value: too large")
	truncated.Truncated = 9_000_000
	twice := New(record(truncated.Record("other.dlq").Headers...), "value: want a tick, got a dead letter")
	for name, want := range map[string]*DeadLetter{
		"plain":                    New(record(), "value: want a JSON object, got n"),
		"headers of its own":       New(record(kgo.RecordHeader{Key: "trace", Value: []byte("1")}, kgo.RecordHeader{Key: "empty"}), "price: want a number"),
		"headers of our names":     New(record(kgo.RecordHeader{Key: HeaderError, Value: []byte("theirs")}, kgo.RecordHeader{Key: HeaderTruncated, Value: []byte("7")}), "seq: want a number"),
		"a nested dead letter":     twice,
		"truncated":                truncated,
		"no value":                 New(&kgo.Record{Topic: "t", Timestamp: time.UnixMilli(1).UTC()}, "value: want a JSON object, got none (a tombstone)"),
		"an empty value":           New(&kgo.Record{Topic: "t", Timestamp: time.UnixMilli(1).UTC(), Key: []byte{}, Value: []byte{}}, "value: want a JSON object, got nothing"),
		"from where is not known":  {Source: Source{Partition: -1, Offset: -1}, Time: time.UnixMilli(0).UTC(), Reason: "", Value: []byte("x")},
		"where it is in the topic": {Position: Position{2, 1 << 40}, Source: Source{"t", 1<<31 - 1, 1<<63 - 1}, Time: time.UnixMilli(5).UTC(), Reason: "ts: want a time"},
	} {
		if got := reread(want); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

// TestParseForeignRecord parses records that no Publisher has written.
func TestParseForeignRecord(t *testing.T) {
	h := func(key, value string) kgo.RecordHeader { return kgo.RecordHeader{Key: key, Value: []byte(value)} }
	unknown := Source{Partition: -1, Offset: -1}
	for _, c := range []struct {
		headers []kgo.RecordHeader
		reason  string
		source  Source
		cut     int64
		kept    int
	}{
		{nil, "", unknown, 0, 0},
		{[]kgo.RecordHeader{h(HeaderError, "why")}, "why", unknown, 0, 0},
		{[]kgo.RecordHeader{h(HeaderSourceOffset, "5"), h(HeaderSourceTopic, "t"), h(HeaderSourcePartition, "4"), h(HeaderError, "why")}, "why", Source{"t", 4, 5}, 0, 0},
		{[]kgo.RecordHeader{h(HeaderTruncated, "5")}, "", unknown, 0, 1},
		{[]kgo.RecordHeader{h(HeaderSourceOffset, "-7"), h(HeaderSourcePartition, "4294967296"), h(HeaderError, ""), h(HeaderTruncated, "many")}, "", unknown, 0, 0},
	} {
		got := Parse(&kgo.Record{Headers: c.headers})
		if got.Reason != c.reason || got.Source != c.source || got.Truncated != c.cut || len(got.Headers) != c.kept {
			t.Errorf("%v: got %+v, want reason %q, source %+v, %d bytes, %d headers", c.headers, got, c.reason, c.source, c.cut, c.kept)
		}
	}
}

// FuzzParse parses any record, encodes the dead letter and parses it again: both
// dead letters are equal.
func FuzzParse(f *testing.F) {
	f.Add([]byte("k"), []byte("v"), []byte("error\x00why\x00source.topic\x00t\x00source.partition\x001\x00source.offset\x002\x00truncated\x003"))
	f.Add([]byte(nil), []byte(nil), []byte("truncated\x009\x00error\x00a\x00error\x00b\x00source.partition\x00-1\x00source.offset\x009999999999999999999"))
	f.Fuzz(func(t *testing.T, key, value, headers []byte) {
		r := &kgo.Record{Key: key, Value: value, Timestamp: time.UnixMilli(int64(len(value))), Partition: 1, Offset: 2}
		parts := bytes.Split(headers, []byte{0})
		for i := 0; i+1 < len(parts); i += 2 {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: string(parts[i]), Value: parts[i+1]})
		}
		want := Parse(r)
		if got := reread(want); !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if want.Source.Partition < -1 || want.Source.Offset < -1 || want.Truncated < 0 {
			t.Errorf("a number below what it may be: %+v", want)
		}
		if !bytes.Equal(want.Key, key) || !bytes.Equal(want.Value, value) || len(want.Headers) > len(r.Headers) {
			t.Errorf("the record is not unchanged: %+v", want)
		}
	})
}

func ExampleParse() {
	l := Parse(&kgo.Record{
		Partition: 0, Offset: 17, Value: []byte(`{"symbol":"AAPL","seq":"five"}`),
		Headers: []kgo.RecordHeader{
			{Key: HeaderError, Value: []byte(`seq: want a number, got "five"`)},
			{Key: HeaderSourceTopic, Value: []byte("market.ticks")},
			{Key: HeaderSourcePartition, Value: []byte("3")},
			{Key: HeaderSourceOffset, Value: []byte("42")},
		},
	})
	fmt.Printf("dead letter %v was offset %d of partition %d of %s\n%s\n", l.Position, l.Source.Offset, l.Source.Partition, l.Source.Topic, l.Reason)
	// Output:
	// dead letter 0/17 was offset 42 of partition 3 of market.ticks
	// seq: want a number, got "five"
}

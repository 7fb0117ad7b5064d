package cli_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// TestRetryAhead retries dead letters whose records ingest has not passed yet, and
// some that are not known to it: each tick is stored once, and no other is lost.
func TestRetryAhead(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	p := newStream(ctx, t)
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(p.brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	// The first ingest creates this topic.
	dead, err := feed.NewProducer(feed.ProducerConfig{Brokers: strings.Split(p.brokers, ","), Topic: feed.DeadLetterTopic(p.topic)})
	if err != nil {
		t.Fatal(err)
	}
	if err := dead.EnsureTopic(ctx, 1); err != nil {
		t.Fatal(err)
	}
	dead.Close()
	produce := func(topic, value string, headers ...kgo.RecordHeader) *kgo.Record {
		t.Helper()
		r := &kgo.Record{Topic: topic, Key: []byte("AAA"), Value: []byte(value), Headers: headers}
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		return r
	}
	start := time.Now().UTC().Truncate(time.Minute).Add(-6 * time.Hour)
	value := func(seq int64, later time.Duration) string {
		at := start.Add(time.Duration(seq) * time.Second).Add(later)
		return string(feed.AppendJSON(nil, &feed.Tick{Symbol: "AAA", Venue: "V", TS: at.UnixMicro(), Price: 10 + float64(seq), Size: 1, Seq: seq}))
	}
	// As an older ingest would have published it.
	deadLetter := func(r *kgo.Record, value string) {
		t.Helper()
		h := []kgo.RecordHeader{{Key: deadletter.HeaderError, Value: []byte("not understood then")}}
		if r != nil {
			h = append(h, kgo.RecordHeader{Key: deadletter.HeaderSourceTopic, Value: []byte(r.Topic)},
				kgo.RecordHeader{Key: deadletter.HeaderSourcePartition, Value: []byte(strconv.Itoa(int(r.Partition)))},
				kgo.RecordHeader{Key: deadletter.HeaderSourceOffset, Value: []byte(strconv.FormatInt(r.Offset, 10))})
		}
		produce(feed.DeadLetterTopic(p.topic), value, h...)
	}
	retry := func(want ...string) {
		t.Helper()
		code, out, errOut := run(ctx, "dlq", "retry", "--reason", "not understood", "--database-url", p.URLAs(t, "hypertick_writer"), "--brokers", p.brokers, "--topic", p.topic)
		for _, w := range want {
			if code != 0 || !strings.Contains(out+errOut, w) {
				t.Errorf("retry: exit code %d, want %q in\n%s%s", code, w, out, errOut)
			}
		}
	}
	stored := func(want string) {
		t.Helper()
		var got string
		if err := p.Pool.QueryRow(ctx, "SELECT coalesce(string_agg(seq::text, ' ' ORDER BY seq), '') FROM (SELECT seq FROM ticks UNION ALL SELECT seq FROM late_ticks) t").Scan(&got); err != nil || got != want {
			t.Errorf("stored are %q, want %q: %v", got, want, err)
		}
	}

	var fifth *kgo.Record
	for seq := int64(1); seq <= 7; seq++ {
		if seq == 5 {
			fifth = produce(p.topic, "five")
		} else {
			produce(p.topic, value(seq, 0))
		}
	}
	eighth := produce(p.topic, "eight")
	deadLetter(fifth, value(5, 0))
	deadLetter(eighth, value(8, 0))
	deadLetter(nil, value(6, 0))
	retry("3 stored, 0 already stored, 0 stay")
	stored("5 6 8")

	p.ingest(ctx, t)
	p.caughtUp(ctx, t)
	stored("1 2 3 4 5 6 7 8")
	retry("0 stored, 0 already stored, 0 stay")

	// The feed continues.
	produce(p.topic, value(9, 0))
	p.caughtUp(ctx, t)
	stored("1 2 3 4 5 6 7 8 9")
	// One that is stored, one of a seq at another time, and one of a source that
	// ingest does not know.
	deadLetter(fifth, value(4, 0))
	deadLetter(fifth, value(9, -time.Hour))
	deadLetter(&kgo.Record{Topic: "other"}, value(10, 0))
	retry("2 stored, 1 already stored, 0 stay")
	stored("1 2 3 4 5 6 7 8 9 9 10")
}

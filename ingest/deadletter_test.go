package ingest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// bad returns the i-th malformed record and the field its error must begin with.
func bad(i int) (value []byte, field string) {
	const good = `{"symbol":"S00","ts":"2026-01-02T03:04:05Z","price":1.5,"size":1,"seq":%d,"venue":"SIM"}`
	v := fmt.Sprintf(good, 1_000_000+i)
	swap := func(old, new string) []byte { return []byte(strings.Replace(v, old, new, 1)) }
	switch i % 12 {
	case 0:
		return nil, "value"
	case 1:
		return []byte("not json at all"), "value"
	case 2:
		return []byte(v[:len(v)-9]), "value"
	case 3:
		return []byte("[]"), "value"
	case 4:
		return swap(`"S00"`, `"space at the end "`), "symbol"
	case 5:
		return swap("2026-01-02T03:04:05Z", "yesterday"), "ts"
	case 6:
		return swap("2026-01-02T03:04:05Z", "2999-01-01T00:00:00Z"), "ts"
	case 7:
		return swap("1.5", "-1.5"), "price"
	case 8:
		return swap("1.5", `"1.5"`), "price"
	case 9:
		return swap(`"size":1`, `"size":-1`), "size"
	case 10:
		return swap(strconv.Itoa(1_000_000+i), "-1"), "seq"
	default:
		return swap(`"SIM"`, `"a venue with a long name"`), "venue"
	}
}

func TestDeadLetters(t *testing.T) {
	r := newRig(t)
	good := series(10, 300, 1)
	var recs []*kgo.Record
	wantField := map[string]string{} // by the id header
	values := map[string][]byte{}
	for i := range good {
		recs = append(recs, record(good[i]))
		if i%3 == 0 {
			n := i / 3
			value, field := bad(n)
			id := strconv.Itoa(n)
			wantField[id], values[id] = field, value
			recs = append(recs, &kgo.Record{
				Topic: feed.Topic, Partition: int32(n % testPartitions), Key: []byte("k" + id), Value: value, Timestamp: time.UnixMilli(1_700_000_000_000 + int64(n)),
				Headers: []kgo.RecordHeader{{Key: "id", Value: []byte(id)}},
			})
		}
	}
	r.produceRecords(recs...)
	x := r.start(nil)
	r.untilIngested()
	x.stop()
	r.wantStored(good)
	if got := x.metric("dead_letters_total"); got != 1000 {
		t.Errorf("dead_letters_total: %v", got)
	}

	dead := r.consume(feed.DeadLetterTopic(feed.Topic), 1000)
	source := map[string]*kgo.Record{}
	for _, rec := range recs {
		source[fmt.Sprint(rec.Partition, "/", rec.Offset)] = rec
	}
	for _, l := range dead {
		h := headers(l)
		id := h["id"]
		if want := wantField[id]; !strings.HasPrefix(h[deadletter.HeaderError], want+": ") {
			t.Errorf("dead letter %s: error %q, want one of %s", id, h[deadletter.HeaderError], want)
		}
		if !bytes.Equal(l.Value, values[id]) || (l.Value == nil) != (values[id] == nil) || string(l.Key) != "k"+id {
			t.Errorf("dead letter %s: key %q value %q", id, l.Key, l.Value)
		}
		src := source[h[deadletter.HeaderSourcePartition]+"/"+h[deadletter.HeaderSourceOffset]]
		if src == nil || headers(src)["id"] != id || h[deadletter.HeaderSourceTopic] != feed.Topic {
			t.Errorf("dead letter %s: wrong source %v", id, h)
		} else if !l.Timestamp.Equal(src.Timestamp) {
			t.Errorf("dead letter %s: timestamp %v, want %v", id, l.Timestamp, src.Timestamp)
		}
		delete(wantField, id)
	}
	if len(wantField) != 0 {
		t.Errorf("%d records are not in the dead-letter topic", len(wantField))
	}
}

func headers(r *kgo.Record) map[string]string {
	h := map[string]string{}
	for _, x := range r.Headers {
		h[x.Key] = string(x.Value)
	}
	return h
}

func (r *rig) consume(topic string, n int) []*kgo.Record {
	r.t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(r.ctx, 20*time.Second)
	defer cancel()
	var out []*kgo.Record
	for len(out) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			r.t.Fatalf("after %d of %d records of %s: %v", len(out), n, topic, err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

// A dead-letter topic that does not exist, or rejects large records, must not
// block ingest.
func TestDeadLetterTopic(t *testing.T) {
	r := newRig(t)
	if err := r.fake().DeleteTopic(feed.DeadLetterTopic(feed.Topic)); err != nil {
		t.Fatal(err)
	}
	big := &kgo.Record{Topic: feed.Topic, Partition: 0, Value: bytes.Repeat([]byte("x"), 900_000)}
	r.produceRecords(big, record(series(1, 1, 1)[0]))
	x := r.start(nil)
	r.untilIngested()
	x.stop()
	got := r.consume(feed.DeadLetterTopic(feed.Topic), 1)[0]
	if !bytes.Equal(got.Value, big.Value) {
		t.Errorf("%d bytes", len(got.Value))
	}
}

// Malformed records that do not compress, more in one poll than the dead-letter
// topic accepts in a batch, must not block ingest.
func TestDeadLetterFlood(t *testing.T) {
	r := newRig(t)
	random := rand.NewChaCha8([32]byte{7})
	recs := make([]*kgo.Record, 400)
	for i := range recs {
		value := make([]byte, 20_000)
		_, _ = random.Read(value)
		recs[i] = &kgo.Record{Topic: feed.Topic, Partition: int32(i % testPartitions), Value: value}
	}
	r.produceRecords(recs...)
	x := r.start(nil)
	r.untilIngested()
	wait.Until(t, "all counted", func() bool { return x.metric("dead_letters_total") == float64(len(recs)) })
	x.stop()
	if got := len(r.consume(feed.DeadLetterTopic(feed.Topic), len(recs))); got != len(recs) {
		t.Errorf("%d dead letters, want %d", got, len(recs))
	}
}

func TestHorizon(t *testing.T) {
	r := newRig(t)
	if _, err := r.db.Pool.Exec(r.ctx, "SELECT set_retention('ticks', INTERVAL '10 days')"); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	mk := func(seq int64, age time.Duration) feed.Tick {
		return feed.Tick{Symbol: "A", Venue: "V", TS: now.Add(-age).UnixMicro(), Price: 1, Size: 1, Seq: seq}
	}
	day := 24 * time.Hour
	ticks := []feed.Tick{mk(1, 11*day), mk(2, 9*day), mk(3, 12*day), mk(4, 0), mk(5, 11*day)}
	x := r.start(nil)
	r.produce(ticks...)
	r.untilIngested()
	x.stop()
	r.wantStored([]feed.Tick{ticks[1], ticks[3]})
	for _, l := range r.consume(feed.DeadLetterTopic(feed.Topic), 3) {
		if e := headers(l)[deadletter.HeaderError]; !strings.HasPrefix(e, "ts: older than the retention horizon ") {
			t.Errorf("error %q", e)
		}
	}
	// They did come: no gap.
	if got := x.metric("gaps_total"); got != 0 {
		t.Errorf("gaps_total: %v", got)
	}
}

package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// rawBatch encodes a batch of n records around compressed records.
func rawBatch(codec kgo.CompressionCodecType, records []byte, n int) []byte {
	b := kmsg.NewRecordBatch()
	b.PartitionLeaderEpoch, b.Magic, b.Attributes = -1, 2, int16(codec)
	b.LastOffsetDelta, b.NumRecords, b.Records = int32(n-1), int32(n), records
	b.FirstTimestamp, b.MaxTimestamp = time.Now().UnixMilli(), time.Now().UnixMilli()
	b.ProducerID, b.ProducerEpoch, b.FirstSequence = -1, -1, -1
	raw := b.AppendTo(nil)
	b.Length = int32(len(raw) - 12)
	raw = b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// produceRaw produces an encoded batch, as no client of good will would.
func (r *rig) produceRaw(partition int32, batch []byte) error {
	r.t.Helper()
	meta, err := feed.ReadTopicMetadata(r.ctx, r.client, feed.Topic)
	if err != nil {
		r.t.Fatal(err)
	}
	leader := int32(-1)
	wait.Until(r.t, "a leader", func() bool {
		leader, _, err = r.client.PartitionLeader(feed.Topic, partition)
		if err != nil {
			r.client.ForceMetadataRefresh()
			_ = r.client.ProduceSync(r.ctx, &kgo.Record{Topic: feed.Topic, Partition: partition, Value: []byte(`warm up`)})
		}
		return err == nil && leader >= 0
	})
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 30_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID = feed.Topic, meta.Raw
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	answer, err := r.client.Broker(int(leader)).RetriableRequest(r.ctx, req)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
}

// rawRecord is a record whose value is so many zeros, without the zeros.
func rawRecord(value, delta int) (before, after []byte) {
	body := []byte{0, 0}                           // attributes, timestamp
	body = binary.AppendVarint(body, int64(delta)) // offset
	body = append(body, 1)                         // no key
	body = binary.AppendVarint(body, int64(value)) // value
	before = binary.AppendVarint(nil, int64(len(body)+value+1))
	return append(before, body...), []byte{0} // no headers
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// compressed compresses what write writes.
func compressed(t testing.TB, codec kgo.CompressionCodecType, write func(io.Writer)) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	switch codec {
	case kgo.CodecGzip:
		w = gzip.NewWriter(&out)
	case kgo.CodecLz4:
		w = lz4.NewWriter(&out)
	case kgo.CodecZstd:
		z, err := zstd.NewWriter(&out)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	default:
		t.Fatalf("codec %d", codec)
	}
	write(struct{ io.Writer }{w})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// bomb is a batch of one record whose value is size zeros.
func bomb(t testing.TB, codec kgo.CompressionCodecType, size int) []byte {
	before, after := rawRecord(size, 0)
	return rawBatch(codec, compressed(t, codec, func(w io.Writer) {
		_, _ = w.Write(before)
		_, _ = io.CopyN(w, zeros{}, int64(size))
		_, _ = w.Write(after)
	}), 1)
}

// crowd is a batch of so many records that are as small as they can be.
func crowd(t testing.TB, codec kgo.CompressionCodecType, records int) []byte {
	return rawBatch(codec, compressed(t, codec, func(w io.Writer) {
		var b []byte
		for i := range records {
			before, after := rawRecord(0, i)
			b = append(append(b, before...), after...)
		}
		_, _ = w.Write(b)
	}), records)
}

// snappyLie claims to unpack to 400 MB.
func snappyLie() []byte {
	return rawBatch(kgo.CodecSnappy, append(binary.AppendUvarint(nil, 400<<20), 0, 'x'), 1)
}

// goods are good records, each to be produced between two hostile ones.
type goods struct {
	ticks []feed.Tick
	next  int
}

func (r *rig) good(g *goods, partition int32) *kgo.Record {
	g.ticks[g.next].Symbol = fmt.Sprintf("P%d", partition)
	rec := record(g.ticks[g.next])
	rec.Partition = partition
	g.next++
	return rec
}

// Batches that unpack to far more than memory, or to just less and many of them,
// between good records: the good ones are stored, the hostile ones are dead
// letters, and memory stays flat. Ingest is a process of its own, to measure it:
// not under the race detector, which takes several times the memory and minutes.
func TestUnpackBombs(t *testing.T) {
	r := newRig(t)
	type batch struct {
		what string
		raw  []byte
		stub bool // one dead letter for the batch, not for its record
	}
	batches := []batch{
		{"gzip 400 MB", bomb(t, kgo.CodecGzip, 400<<20), true},
		{"lz4 200 MB", bomb(t, kgo.CodecLz4, 200<<20), true},
		{"zstd 400 MB", bomb(t, kgo.CodecZstd, 400<<20), true},
		{"zstd 900,000 records", crowd(t, kgo.CodecZstd, 900_000), true},
	}
	if r.broker != nil { // a server looks into it
		batches = append(batches, batch{"snappy 400 MB, which is a lie", snappyLie(), true})
	}
	small := []batch{
		{"zstd 30 MB", bomb(t, kgo.CodecZstd, 30<<20), false},
		{"gzip 30 MB", bomb(t, kgo.CodecGzip, 30<<20), false},
	}
	rounds := 25
	if raceDetector {
		rounds = 2
	}
	for range rounds { // each fits, and all of them do not
		batches = append(batches, small...)
	}
	g := &goods{ticks: series(1, 2*len(batches)+testPartitions, 1)}
	stubs := 0
	for i, b := range batches {
		p := int32(i % testPartitions)
		r.produceRecords(r.good(g, p))
		if err := r.produceRaw(p, b.raw); err != nil {
			t.Fatalf("%s, %d bytes: %v", b.what, len(b.raw), err)
		}
		r.produceRecords(r.good(g, p))
		if b.stub {
			stubs++
		}
	}
	p := newProcess(t, childEnv+"=ingest", "CHILD_DATABASE="+r.db.URL, "CHILD_BROKERS="+strings.Join(r.brokers, ","))
	r.untilRead()
	peak := peakMemory(t, p.cmd.Process.Pid)
	t.Logf("peak of memory: %d MiB", peak>>20)
	if peak > 256<<20 && !raceDetector { // make test-kafka measures it
		t.Errorf("peak of memory: %d MiB, want at most 256", peak>>20)
	}
	p.kill()
	r.wantStored(g.ticks[:g.next])
	found := 0
	for _, d := range r.consumeAll(feed.DeadLetterTopic(feed.Topic)) {
		if strings.HasPrefix(deadletter.Parse(d).Reason, "batch: want at most 32 MiB unpacked") {
			found++
		}
	}
	if found < stubs {
		t.Errorf("%d stub dead letters, want %d", found, stubs)
	}
}

// peakMemory returns the most memory that a process has had.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc")
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatal("no VmHWM")
	}
	kb, _ := strconv.ParseInt(string(m[1]), 10, 64)
	return kb << 10
}

// consumeAll returns all records of a topic.
func (r *rig) consumeAll(topic string) []*kgo.Record {
	r.t.Helper()
	ends, err := kadm.NewClient(r.client).ListEndOffsets(r.ctx, topic)
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	ends.Each(func(o kadm.ListedOffset) { n += int(o.Offset) })
	return r.consume(topic, n)
}

// hostile returns batches that no record can be read from, and records that no
// tick can be read from, each of a kind of its own.
func (r *rig) hostile() (batches [][]byte, records []*kgo.Record) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 1000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	before, after := rawRecord(10, 0)
	whole := append(append(bytes.Clone(before), make([]byte, 10)...), after...)
	if r.broker != nil { // a server looks into batches, and refuses these
		for codec := kgo.CodecGzip; codec <= kgo.CodecZstd; codec++ {
			batches = append(batches, rawBatch(codec, noise, 1), rawBatch(codec, nil, 3))
		}
		batches = append(batches,
			rawBatch(kgo.CodecNone, noise, 1),                // records that are none
			rawBatch(kgo.CodecNone, whole[:len(whole)-5], 1), // cut
			rawBatch(kgo.CodecNone, whole, 7),                // fewer than it says
			rawBatch(kgo.CodecNone, nil, 2),                  // no bytes
			snappyLie())
	}
	const tick = `{"symbol":"S00","ts":"2026-01-02T03:04:05Z","price":1.5,"size":1,"seq":%d,"venue":"SIM"}`
	swap := func(i int, old, new string) []byte {
		return []byte(strings.Replace(fmt.Sprintf(tick, 5_000_000+i), old, new, 1))
	}
	values := [][]byte{
		nil, {}, {0}, []byte("null"), []byte("{}"), []byte("[]"), []byte(`"x"`), noise, bytes.Repeat([]byte("["), 100_000),
		bytes.Repeat([]byte(`{"a":`), 50_000), bytes.Repeat([]byte("x"), 900_000),
		swap(1, "1.5", "1.797e308"), swap(2, "1.5", "1e-200"), swap(3, `"size":1`, `"size":1e200`), swap(4, "1.5", "NaN"), swap(5, "1.5", "1e999"),
		swap(6, `"S00"`, `""`), swap(7, `"S00"`, `" "`), swap(8, `"S00"`, `"\u0000"`), swap(9, `"S00"`, `"\u001b[2J"`), swap(10, `"S00"`, `"`+strings.Repeat("A", 65)+`"`),
		swap(11, `"S00"`, `"\ud800"`), swap(12, "2026-01-02", "0001-01-01"), swap(13, "2026-01-02", "9999-12-31"), swap(14, "5000014", "9223372036854775808"),
		swap(15, `"venue":"SIM"`, `"venue":"SIM","venue":7`), swap(16, `"SIM"}`, `"SIM"`),
	}
	for i, v := range values {
		records = append(records, &kgo.Record{Topic: feed.Topic, Partition: int32(i % testPartitions), Key: []byte("k"), Value: v})
	}
	big := bytes.Repeat([]byte("K"), 1_040_000)
	records = append(records,
		&kgo.Record{Topic: feed.Topic, Partition: 0, Key: big},
		&kgo.Record{Topic: feed.Topic, Partition: 1, Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "h", Value: big}}},
		&kgo.Record{Topic: feed.Topic, Partition: 2, Headers: []kgo.RecordHeader{{Key: string(big), Value: nil}}},
		&kgo.Record{Topic: feed.Topic, Partition: 3, Headers: []kgo.RecordHeader{{Key: "\x1b]0;title\a", Value: []byte("\x1b[31m")}, {Key: "error", Value: []byte("no")}, {Key: "truncated", Value: []byte("-1")}}},
	)
	return batches, records
}

// Each of some 40 hostile records and batches stands between good records, and the
// topic of dead letters allows no more than a record of the ticks.
func TestHostileRecords(t *testing.T) {
	r := newRig(t)
	topic := feed.DeadLetterTopic(feed.Topic)
	if _, err := kadm.NewClient(r.client).AlterTopicConfigs(r.ctx, []kadm.AlterConfig{{Name: "max.message.bytes", Value: kmsg.StringPtr("500000")}}, topic); err != nil {
		t.Fatal(err)
	}
	x := r.start(nil)
	batches, records := r.hostile()
	t.Logf("%d batches, %d records", len(batches), len(records))
	g := &goods{ticks: series(1, 2*(len(batches)+len(records)), 1)}
	want := map[string]bool{} // partition/offset of every hostile record
	for i, b := range batches {
		p := int32(i % testPartitions)
		first := r.good(g, p)
		r.produceRecords(first)
		if err := r.produceRaw(p, b); err != nil {
			t.Fatalf("batch %d: %v", i, err)
		}
		want[fmt.Sprint(p, "/", first.Offset+1)] = true
		r.produceRecords(r.good(g, p))
	}
	wide := r.wide()
	for i, h := range records {
		r.produceRecords(r.good(g, h.Partition))
		if err := wide.ProduceSync(r.ctx, h).FirstErr(); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		want[fmt.Sprint(h.Partition, "/", h.Offset)] = true
		r.produceRecords(r.good(g, h.Partition))
	}
	wait.Equal(t, "good ticks stored", int64(g.next), func() int64 { return r.one("SELECT count(*) FROM ticks") })
	r.untilRead()
	r.wantStored(g.ticks[:g.next])
	for _, rec := range r.consumeAll(topic) {
		d := deadletter.Parse(rec)
		delete(want, fmt.Sprint(d.Source.Partition, "/", d.Source.Offset))
		if d.Reason == "" {
			t.Errorf("no reason: %v", d.Source)
		}
	}
	if len(want) > 0 {
		t.Errorf("not in the dead letters: %v", want)
	}
	if err := x.Ready(r.ctx); err != nil {
		t.Error(err)
	}
	x.stop()
}

// wide returns a client that produces records of almost a megabyte.
func (r *rig) wide() *kgo.Client {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(1_048_000), kgo.ProducerBatchCompression(kgo.NoCompression()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

// A record that only the database refuses is found among others, and becomes a
// dead letter.
func TestHostileToDatabase(t *testing.T) {
	r := newRig(t)
	ticks := series(20, 100, 1)
	bad := map[int]bool{3: true, 700: true, 701: true, 1999: true}
	var good []feed.Tick
	for i := range ticks {
		if bad[i] {
			ticks[i].Size = 4711
		} else {
			good = append(good, ticks[i])
		}
	}
	if _, err := r.db.Pool.Exec(r.ctx, "ALTER TABLE ticks ADD CONSTRAINT no_4711 CHECK (size <> 4711)"); err != nil {
		t.Fatal(err)
	}
	r.produce(ticks...)
	x := r.start(nil)
	r.untilRead()
	r.wantStored(good)
	found := map[string]bool{}
	for _, rec := range r.consumeAll(feed.DeadLetterTopic(feed.Topic)) {
		if d := deadletter.Parse(rec); !strings.HasPrefix(d.Reason, "database: refuses it: ") || !strings.Contains(d.Reason, "no_4711") {
			t.Errorf("reason %q", d.Reason)
		} else {
			found[string(d.Value)] = true
		}
	}
	if len(found) != len(bad) {
		t.Errorf("%d dead letters, want %d", len(found), len(bad))
	}
	if got := x.metric("dead_letters_total"); got != float64(len(bad)) {
		t.Errorf("dead_letters_total: %v, want %d", got, len(bad))
	}
	x.stop()
}

package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker starts an in-process broker on a socket.
func broker(t testing.TB, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func producer(t testing.TB, cfg feed.ProducerConfig) *feed.Producer {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	p, err := feed.NewProducer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// consume reads n records of the topic.
func consume(t testing.TB, brokers []string, n int) []*kgo.Record {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...), kgo.ConsumeTopics(feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx := wait.Context(t, 30*time.Second)
	var out []*kgo.Record
	for len(out) < n {
		fetches := cl.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", len(out), n, err)
		}
		out = append(out, fetches.Records()...)
	}
	return out
}

func tick(symbol string, seq int64) *feed.Tick {
	return &feed.Tick{Symbol: symbol, Venue: "SIM", TS: 1795546800123456 + seq*1000, Price: 10 + float64(seq)/100, Size: float64(seq), Seq: seq}
}

func TestProducer(t *testing.T) {
	c := broker(t)
	p := producer(t, feed.ProducerConfig{Brokers: c.ListenAddrs(), MaxBuffered: 50})
	if err := p.EnsureTopic(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if err := p.EnsureTopic(t.Context(), 9); err != nil {
		t.Fatalf("a topic that exists: %v", err)
	}
	if got := c.TopicInfo(feed.Topic); got == nil || *got.Configs["retention.ms"] != "-1" ||
		c.PartitionInfo(feed.Topic, 3) == nil || c.PartitionInfo(feed.Topic, 4) != nil {
		t.Fatalf("topic %+v", got)
	}
	const perSymbol = 1000
	symbols := []string{"AAPL", "MSFT", "BTC-USDT", "21", "foobar", "a-little-bit-long-string"}
	for seq := range int64(perSymbol) {
		for _, s := range symbols {
			if err := p.Produce(t.Context(), tick(s, seq+1)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	total := perSymbol * len(symbols)
	st := p.Stats()
	if st.Produced != int64(total) || st.Delivered != int64(total) || st.Waiting != 0 || st.WireBytes == 0 || st.WireBytes >= st.ValueBytes {
		t.Errorf("stats %+v", st)
	}
	// The hashes are those of Kafka's own UtilsTest for murmur2.
	want := map[string]int32{"21": -973932308 & 0x7fffffff % 4, "foobar": -790332482 & 0x7fffffff % 4, "a-little-bit-long-string": -985981536 & 0x7fffffff % 4}
	next := map[string]int64{}
	d := feed.NewDecoder()
	for _, r := range consume(t, c.ListenAddrs(), total) {
		var got feed.Tick
		if err := d.Decode(r.Value, &got); err != nil {
			t.Fatalf("%s: %v", r.Value, err)
		}
		next[got.Symbol]++
		if w := tick(string(r.Key), next[got.Symbol]); got != *w {
			t.Fatalf("got %+v, want %+v", got, *w)
		}
		if !r.Timestamp.Equal(got.Time().Truncate(time.Millisecond)) {
			t.Fatalf("record time %v of trade time %v", r.Timestamp, got.Time())
		}
		if codec := r.Attrs.CompressionType(); codec != 4 && codec != 0 { // a batch of one does not shrink
			t.Fatalf("codec %d", codec)
		}
		if w, ok := want[got.Symbol]; ok && r.Partition != w {
			t.Fatalf("%s is in partition %d, Kafka would choose %d", got.Symbol, r.Partition, w)
		}
	}
	p.Close()
	if err := p.Produce(t.Context(), tick("AAPL", 1)); !errors.Is(err, feed.ErrProducerClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, feed.ErrProducerClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestProducerNeedsATopic(t *testing.T) {
	c := broker(t)
	p := producer(t, feed.ProducerConfig{Brokers: c.ListenAddrs()})
	if err := p.Produce(t.Context(), tick("AAPL", 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "topic market.ticks does not exist on broker "+c.ListenAddrs()[0]) {
		t.Errorf("got %v", err)
	}
}

// deadAddr is an address where nobody listens.
func deadAddr(t testing.TB) (string, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	return l.Addr().String(), n
}

func TestProducerGivesUpOnADeadBroker(t *testing.T) {
	addr, _ := deadAddr(t)
	p := producer(t, feed.ProducerConfig{Brokers: []string{addr}, DeliveryTimeout: 200 * time.Millisecond, MaxBuffered: 10})
	var err error
	for seq := int64(1); err == nil; seq++ { // blocks at 10 until the producer gives up
		err = p.Produce(t.Context(), tick("AAPL", seq))
	}
	for what, err := range map[string]error{"produce": err, "again": p.Produce(t.Context(), tick("AAPL", 1)), "flush": p.Flush(t.Context()), "topic": p.EnsureTopic(t.Context(), 1)} {
		if err == nil || !strings.Contains(err.Error(), "broker "+addr+" acknowledged nothing for 200ms") || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%s: %v", what, err)
		}
	}
	q := producer(t, feed.ProducerConfig{Brokers: []string{addr}, DeliveryTimeout: 200 * time.Millisecond})
	if err := q.EnsureTopic(t.Context(), 1); err == nil || !strings.Contains(err.Error(), addr+" did not answer within 200ms") {
		t.Errorf("topic: %v", err)
	}
}

func TestProducerOutlivesAnOutage(t *testing.T) {
	addr, port := deadAddr(t)
	p := producer(t, feed.ProducerConfig{Brokers: []string{addr}})
	for seq := range int64(100) {
		if err := p.Produce(t.Context(), tick("AAPL", seq+1)); err != nil {
			t.Fatal(err)
		}
	}
	broker(t, kfake.Ports(port))
	if err := p.EnsureTopic(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, r := range consume(t, []string{addr}, 100) {
		if !strings.Contains(string(r.Value), fmt.Sprintf(`"seq":%d,`, i+1)) {
			t.Fatalf("record %d is %s", i, r.Value)
		}
	}
}

func TestProducerGivesUpWhenTheBrokerDies(t *testing.T) {
	c := broker(t, kfake.SeedTopics(1, feed.Topic))
	p := producer(t, feed.ProducerConfig{Brokers: c.ListenAddrs(), DeliveryTimeout: 200 * time.Millisecond})
	if err := p.Produce(t.Context(), tick("AAPL", 1)); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if err := p.Produce(t.Context(), tick("AAPL", 2)); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "acknowledged nothing") {
		t.Errorf("got %v", err)
	}
}

func TestProducerBackPressure(t *testing.T) {
	c := broker(t, kfake.SeedTopics(1, feed.Topic))
	hold, held := make(chan struct{}), make(chan struct{}, 1)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		select { // asked for every request, and only the first is waited for
		case held <- struct{}{}:
		default:
		}
		<-hold
		return nil, nil, false
	})
	p := producer(t, feed.ProducerConfig{Brokers: c.ListenAddrs(), MaxBuffered: 8})
	for seq := range int64(8) {
		if err := p.Produce(t.Context(), tick("AAPL", seq+1)); err != nil {
			t.Fatal(err)
		}
	}
	<-held
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Produce(ctx, tick("AAPL", 9)); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("with a full buffer: %v", err)
	}
	if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("flush without an answer: %v", err)
	}
	done := make(chan error)
	for range 3 { // all of them must wake
		go func() { done <- p.Produce(t.Context(), tick("AAPL", 9)) }()
	}
	close(hold)
	for range 3 {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if st := p.Stats(); st.Delivered != 11 {
		t.Errorf("stats %+v", st)
	}
}

func BenchmarkProduce(b *testing.B) {
	c := broker(b, kfake.SeedTopics(6, feed.Topic), kfake.BlackholeProduce())
	p := producer(b, feed.ProducerConfig{Brokers: c.ListenAddrs()})
	ticks := make([]*feed.Tick, 1024)
	for i := range ticks {
		ticks[i] = tick(fmt.Sprint("S", i%100), int64(i+1))
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		if err := p.Produce(b.Context(), ticks[i%1024]); err != nil {
			b.Fatal(err)
		}
		i++
	}
	if err := p.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ticks/s")
}

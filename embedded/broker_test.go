package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

func startBroker(t testing.TB, cfg BrokerConfig) *Broker {
	t.Helper()
	cfg.Log = testLog(t)
	b, err := StartBroker(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func newClient(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(addr), kgo.DefaultProduceTopic(feed.Topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func record(i int) *kgo.Record {
	return kgo.KeyStringRecord(fmt.Sprint("SYM", i%10), fmt.Sprint("value ", i))
}

// consume reads n records from the start of the tick topic, as value to count.
func consume(t testing.TB, client *kgo.Client, n int) map[string]int {
	t.Helper()
	got := map[string]int{}
	for len(got) < n {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)]++ })
	}
	return got
}

func fromStart() []kgo.Opt {
	return []kgo.Opt{kgo.ConsumeTopics(feed.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
}

func TestBrokerKeepsTopicsAndCommits(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, BrokerConfig{Dir: dir, Partitions: 3})
	client := newClient(t, b.Addr(), append(fromStart(), kgo.ConsumerGroup("g"), kgo.DisableAutoCommit())...)

	topics, err := kadm.NewClient(client).ListTopics(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if ticks, dead := len(topics[feed.Topic].Partitions), len(topics[feed.DeadLetterTopic(feed.Topic)].Partitions); ticks != 3 || dead != 1 {
		t.Errorf("%d and %d partitions, want 3 and 1", ticks, dead)
	}
	if brokers, err := kadm.NewClient(client).ListBrokers(t.Context()); err != nil || len(brokers) != 1 || fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port) != b.Addr() {
		t.Errorf("the broker calls itself %v (%v), it is %s", brokers, err, b.Addr())
	}

	for i := range 1000 {
		client.Produce(t.Context(), record(i), nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	consume(t, client, 1000)
	if err := client.CommitUncommittedOffsets(t.Context()); err != nil {
		t.Fatal(err)
	}

	t.Run("in use", func(t *testing.T) {
		_, err := StartBroker(t.Context(), BrokerConfig{Dir: dir, Log: testLog(t)})
		var inUse *ErrInUse
		if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.Dir != dir {
			t.Errorf("got %v", err)
		}
	})

	client.Close()
	b.Close()
	b.Close() // does no harm
	again := startBroker(t, BrokerConfig{Dir: dir, Listen: b.Addr(), Partitions: 8})
	if again.Addr() != b.Addr() {
		t.Errorf("serves %s, asked for %s", again.Addr(), b.Addr())
	}
	admin := kadm.NewClient(newClient(t, again.Addr()))
	offsets, err := admin.FetchOffsets(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	var committed int64
	offsets.Each(func(o kadm.OffsetResponse) { committed += o.At })
	if committed != 1000 {
		t.Errorf("the group has committed %d, want 1000", committed)
	}
	got := consume(t, newClient(t, again.Addr(), fromStart()...), 1000)
	for i := range 1000 {
		if got[string(record(i).Value)] != 1 {
			t.Fatalf("record %d was read %d times", i, got[string(record(i).Value)])
		}
	}
}

func TestBrokerOnEveryAddress(t *testing.T) {
	b := startBroker(t, BrokerConfig{Listen: "0.0.0.0:0"})
	if strings.HasPrefix(b.Addr(), "0.0.0.0") {
		t.Error("clients are told", b.Addr())
	}
	client := newClient(t, b.Addr())
	if err := client.ProduceSync(t.Context(), record(1)).FirstErr(); err != nil {
		t.Error(err)
	}
}

func init() {
	helpers["broker"] = func() {
		b, err := StartBroker(context.Background(), BrokerConfig{Dir: os.Args[1], Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		select {}
	}
}

// TestBrokerKilled kills a broker process while it is produced to, and expects
// every acknowledged record.
func TestBrokerKilled(t *testing.T) {
	dir := t.TempDir()
	acked := map[string]int{}
	for round := range 3 {
		cmd := exec.Command(os.Args[0], dir)
		cmd.Env = append(os.Environ(), helperEnv+"=broker")
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		addr, err := bufio.NewReader(stdout).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		acks := make(chan string, 1024)
		ctx, cancel := context.WithCancel(t.Context())
		client := newClient(t, strings.TrimSpace(addr), kgo.ProducerLinger(0), kgo.MaxBufferedRecords(1024))
		producing := make(chan struct{})
		var promised sync.WaitGroup
		go func() {
			defer close(producing)
			for i := 0; ctx.Err() == nil; i++ {
				promised.Add(1)
				client.Produce(ctx, record(round*1_000_000+i), func(r *kgo.Record, err error) {
					defer promised.Done()
					if err == nil {
						acks <- string(r.Value)
					}
				})
			}
		}()
		for range 2000 {
			acked[<-acks]++
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		cancel()
		go func() {
			<-producing
			client.Close()
			promised.Wait() // Close does not wait for the last of them
			close(acks)
		}()
		for value := range acks {
			acked[value]++
		}
	}
	b := startBroker(t, BrokerConfig{Dir: dir})
	client := newClient(t, b.Addr(), fromStart()...)
	ends, err := kadm.NewClient(client).ListEndOffsets(t.Context(), feed.Topic)
	if err != nil {
		t.Fatal(err)
	}
	var total int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	missing := maps.Clone(acked)
	for read := int64(0); read < total; {
		fetches := client.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			read++
			delete(missing, string(r.Value))
		})
	}
	if len(missing) > 0 {
		t.Errorf("%d of %d acknowledged records are lost", len(missing), len(acked))
	}
}

// TestBrokerRetention fills a topic beyond its size: the disk is bounded, and
// what is left can be read.
func TestBrokerRetention(t *testing.T) {
	dir := t.TempDir()
	b := startBroker(t, BrokerConfig{Dir: dir, Partitions: 1})
	client := newClient(t, b.Addr(), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(900_000))
	random := rand.NewChaCha8([32]byte{1})
	const count = 200
	for range count {
		value := make([]byte, 800_000)
		_, _ = random.Read(value)
		client.Produce(t.Context(), kgo.SliceRecord(value), nil)
	}
	if err := client.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.cluster.ApplyRetention()
	start, err := kadm.NewClient(client).ListStartOffsets(t.Context(), feed.Topic)
	if err != nil {
		t.Fatal(err)
	}
	o, _ := start.Lookup(feed.Topic, 0)
	if kept := (count - o.Offset) * 800_000; kept > 134<<20 || kept < 120<<20 {
		t.Errorf("%d records of %d are kept: %d bytes", count-o.Offset, count, kept)
	}
	var size int64
	if err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		size += info.Size()
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if size > 160<<20 {
		t.Errorf("the topic takes %d bytes on disk", size)
	}
	reader := newClient(t, b.Addr(), fromStart()...)
	fetches := reader.PollFetches(t.Context())
	if records := fetches.Records(); len(records) == 0 || records[0].Offset != o.Offset {
		t.Errorf("the first record is %v %v, want offset %d", records, fetches.Err(), o.Offset)
	}
}

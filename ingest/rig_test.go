package ingest

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

func TestMain(m *testing.M) {
	if child() {
		return
	}
	goleak.VerifyTestMain(m)
}

// rig is a database, an in-process broker, and the ticks produced.
type rig struct {
	t       testing.TB
	ctx     context.Context
	db      *dbtest.DB
	broker  *kfake.Cluster
	brokers []string
	client  *kgo.Client
}

const testPartitions = 4

func newRig(t testing.TB) *rig {
	t.Helper()
	ctx := wait.Context(t, 3*time.Minute)
	r := &rig{t: t, ctx: ctx, db: dbtest.New(t)}
	if brokers := os.Getenv("HYPERTICK_TEST_BROKERS"); brokers != "" {
		r.brokers = strings.Split(brokers, ",")
		r.reconnect()
		r.emptyTopics()
		return r
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(testPartitions, feed.Topic), kfake.SeedTopics(1, feed.DeadLetterTopic(feed.Topic)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r.broker, r.brokers = c, c.ListenAddrs()
	r.reconnect()
	return r
}

// fake skips a test that needs the fake broker.
func (r *rig) fake() *kfake.Cluster {
	r.t.Helper()
	if r.broker == nil {
		r.t.Skip("needs the fake broker")
	}
	return r.broker
}

// emptyTopics makes the topics of a server as they are in a new fake broker.
func (r *rig) emptyTopics() {
	r.t.Helper()
	adm := kadm.NewClient(r.client)
	for topic, partitions := range map[string]int32{feed.Topic: testPartitions, feed.DeadLetterTopic(feed.Topic): 1} {
		_, _ = adm.DeleteTopic(r.ctx, topic)
		wait.Until(r.t, topic+" is created", func() bool {
			_, err := adm.CreateTopic(r.ctx, partitions, 1, nil, topic)
			return err == nil
		})
	}
	r.reconnect()
}

// partitioner uses the partition that a test sets; -1 partitions by key.
type partitioner struct{}

func (partitioner) build() kgo.Partitioner {
	byKey := kgo.StickyKeyPartitioner(nil)
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		keyed := byKey.ForTopic(topic)
		return func(r *kgo.Record, n int) int {
			if r.Partition >= 0 {
				return int(r.Partition)
			}
			return keyed.Partition(r, n)
		}
	})
}

func record(t feed.Tick) *kgo.Record {
	return &kgo.Record{
		Topic: feed.Topic, Partition: -1, Key: []byte(t.Symbol), Value: feed.AppendJSON(nil, &t), Timestamp: t.Time(),
	}
}

func (r *rig) produce(ticks ...feed.Tick) {
	r.t.Helper()
	recs := make([]*kgo.Record, len(ticks))
	for i := range ticks {
		recs[i] = record(ticks[i])
	}
	r.produceRecords(recs...)
}

func (r *rig) produceRecords(recs ...*kgo.Record) {
	r.t.Helper()
	if err := r.client.ProduceSync(r.ctx, recs...).FirstErr(); err != nil {
		r.t.Fatal(err)
	}
}

// run is an ingester under test.
type run struct {
	*Ingester
	rig    *rig
	cancel context.CancelFunc
	done   chan error
}

func quiet() *slog.Logger {
	if testing.Verbose() && os.Getenv("INGEST_TEST_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	return slog.New(slog.DiscardHandler)
}

func (r *rig) start(change func(*Config)) *run {
	r.t.Helper()
	cfg := Config{Brokers: r.brokers, Pool: r.db.Pool, Log: quiet(), SessionTimeout: 6 * time.Second}
	if change != nil {
		change(&cfg)
	}
	in, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	x := &run{Ingester: in, rig: r, cancel: cancel, done: make(chan error, 1)}
	go func() { x.done <- in.Run(ctx) }()
	r.t.Cleanup(func() {
		cancel()
		select {
		case <-x.done:
		default:
			<-x.done
		}
	})
	return x
}

// stop stops the ingester, which must end without an error and in time.
func (x *run) stop() {
	x.rig.t.Helper()
	begin := time.Now()
	x.cancel()
	err := <-x.done
	x.done <- nil
	if err != nil {
		x.rig.t.Errorf("Run: %v", err)
	}
	if took := time.Since(begin); took > wait.Scale(5*time.Second) {
		x.rig.t.Errorf("stopping took %v", took)
	}
}

func (x *run) metric(name string) float64 {
	x.rig.t.Helper()
	families, err := x.metrics.registry.Gather()
	if err != nil {
		x.rig.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == "hypertick_ingest_"+name {
			for _, m := range f.Metric {
				sum += value(m)
			}
			return sum
		}
	}
	return 0
}

func value(m *dto.Metric) float64 {
	if m.Counter != nil {
		return m.Counter.GetValue()
	}
	return m.Gauge.GetValue()
}

// untilIngested waits until the whole topic is ingested.
func (r *rig) untilIngested() {
	r.t.Helper()
	ends, err := kadm.NewClient(r.client).ListEndOffsets(r.ctx, feed.Topic)
	if err != nil {
		r.t.Fatal(err)
	}
	var want, got int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	wait.For(r.t, fmt.Sprintf("all %d records ingested", want), func() (any, bool) {
		_ = r.db.Pool.QueryRow(r.ctx, "SELECT coalesce(sum(next_offset), 0) FROM ingest_offsets").Scan(&got)
		return got, got >= want
	})
	if got != want {
		r.t.Errorf("offsets in the database add up to %d, the topic's to %d", got, want)
	}
}

func readTicks(ctx context.Context, t testing.TB, pool *pgxpool.Pool, table string) []feed.Tick {
	t.Helper()
	rows, err := pool.Query(ctx, "SELECT ts, symbol, price, size, seq, venue FROM "+table)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (feed.Tick, error) {
		var x feed.Tick
		var ts time.Time
		err := row.Scan(&ts, &x.Symbol, &x.Price, &x.Size, &x.Seq, &x.Venue)
		x.TS = ts.UnixMicro()
		return x, err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func sorted(ticks []feed.Tick) []feed.Tick {
	return slices.SortedFunc(slices.Values(ticks), func(a, b feed.Tick) int {
		return cmp.Or(strings.Compare(a.Symbol, b.Symbol), strings.Compare(a.Venue, b.Venue), cmp.Compare(a.Seq, b.Seq))
	})
}

// wantStored compares the rows of both tables with want, in any order.
func (r *rig) wantStored(want []feed.Tick) {
	r.t.Helper()
	got := append(readTicks(r.ctx, r.t, r.db.Pool, "ticks"), readTicks(r.ctx, r.t, r.db.Pool, "late_ticks")...)
	wantEqual(r.t, got, want)
}

func wantEqual(t testing.TB, got, want []feed.Tick) {
	t.Helper()
	got, want = sorted(got), sorted(want)
	if len(got) != len(want) {
		t.Errorf("%d ticks stored, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			t.Fatalf("tick %d: got %+v, want %+v", i, got[i], want[i])
		}
	}
}

// series makes n ticks of each symbol, in turn, a second apart, ending now.
func series(symbols, n int, from int64) []feed.Tick {
	ticks := make([]feed.Tick, 0, symbols*n)
	base := time.Now().Add(-time.Duration(n) * time.Second).UnixMicro()
	for i := range n {
		for s := range symbols {
			seq := from + int64(i)
			ticks = append(ticks, feed.Tick{
				Symbol: fmt.Sprintf("S%02d", s), Venue: "SIM", TS: base + int64(i)*1_000_000 + int64(s), Price: 100 + float64(seq%997)/100, Size: float64(seq % 13), Seq: seq,
			})
		}
	}
	return ticks
}

func openPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := db.NewPool(url, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

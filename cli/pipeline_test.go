package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/cli"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/simulate"
	"github.com/hypertick/hypertick/internal/wait"
)

// pipeline is a broker, a database and an ingest between them.
type pipeline struct {
	*dbtest.DB
	brokers, topic string
}

func newPipeline(ctx context.Context, t *testing.T) *pipeline {
	t.Helper()
	p := newStream(ctx, t)
	p.ingest(ctx, t)
	return p
}

// newStream returns a pipeline whose ingest does not run yet.
func newStream(ctx context.Context, t *testing.T) *pipeline {
	t.Helper()
	var b [6]byte
	_, _ = rand.Read(b[:])
	p := &pipeline{DB: dbtest.New(t), topic: "test." + hex.EncodeToString(b[:]), brokers: os.Getenv("HYPERTICK_TEST_BROKERS")}
	if p.brokers == "" {
		broker, err := embedded.StartBroker(ctx, embedded.BrokerConfig{Log: dbtest.Log(t)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { broker.Close() })
		p.brokers = broker.Addr()
	}
	producer, err := feed.NewProducer(feed.ProducerConfig{Brokers: strings.Split(p.brokers, ","), Topic: p.topic})
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.EnsureTopic(ctx, 4); err != nil {
		t.Fatal(err)
	}
	producer.Close()
	return p
}

// ingest runs ingest until the test ends.
func (p *pipeline) ingest(ctx context.Context, t *testing.T) {
	t.Helper()
	run, stop := context.WithCancel(ctx)
	done := make(chan int)
	var log bytes.Buffer
	go func() {
		done <- cli.Main(run, []string{"ingest", "--brokers", p.brokers, "--topic", p.topic, "--group", p.topic,
			"--database-url", p.URLAs(t, "hypertick_writer"), "--metrics-listen", "127.0.0.1:0"}, &log, &log)
	}()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 || t.Failed() {
			t.Errorf("ingest: exit code %d\n%s", code, log.String())
		}
	})
}

// caughtUp waits until ingest has handled all records of the topic, then runs the
// jobs that refresh the candles.
func (p *pipeline) caughtUp(ctx context.Context, t *testing.T) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(p.brokers, ",")...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, p.topic)
	if err != nil {
		t.Fatal(err)
	}
	var want int64
	ends.Each(func(o kadm.ListedOffset) { want += o.Offset })
	wait.For(t, fmt.Sprintf("offset %d", want), func() (any, bool) {
		var got int64
		if err := p.Pool.QueryRow(ctx, "SELECT coalesce(sum(next_offset), 0) FROM ingest_offsets WHERE topic = $1", p.topic).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got, got >= want
	})
	p.SettleCandles(t)
}

// checksum is a checksum over the rows of ticks that does not depend on order.
func (p *pipeline) checksum(ctx context.Context, t *testing.T) (count int64, sum string) {
	t.Helper()
	err := p.Pool.QueryRow(ctx, `SELECT count(*), coalesce(sum(('x' || substr(md5(concat_ws('|', symbol, extract(epoch FROM ts), seq, price, size)), 1, 15))::bit(60)::bigint), 0)::text
		FROM ticks`).Scan(&count, &sum)
	if err != nil {
		t.Fatal(err)
	}
	return count, sum
}

func (p *pipeline) ticks(ctx context.Context, t *testing.T) []dbtest.Tick {
	t.Helper()
	rows, err := p.Pool.Query(ctx, "SELECT ts, symbol, price, size, seq, venue, coalesce(side, 0), flags FROM ticks")
	if err != nil {
		t.Fatal(err)
	}
	ticks, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbtest.Tick])
	if err != nil {
		t.Fatal(err)
	}
	return ticks
}

func (p *pipeline) replay(ctx context.Context, t *testing.T, args ...string) string {
	t.Helper()
	code, _, errOut := run(ctx, append([]string{"replay", "--brokers", p.brokers, "--topic", p.topic}, args...)...)
	if code != 0 {
		t.Fatalf("replay: exit code %d: %s", code, errOut)
	}
	return errOut
}

// TestReplayBars sends twenty years of daily bars through the whole pipeline:
// the daily candles are the bars.
func TestReplayBars(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 5*time.Minute)
	const file = "../testdata/npm/node_modules/vega-datasets/data/sp500-2000.csv"
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("run npm ci in testdata/npm (make test does): %v", err)
	}
	p := newPipeline(ctx, t)
	// Four ticks a day do not need a chunk per week.
	if _, err := p.Pool.Exec(ctx, "SELECT set_chunk_time_interval('ticks', INTERVAL '90 days')"); err != nil {
		t.Fatal(err)
	}
	p.replay(ctx, t, "--file", file, "--symbol", "SPX", "--venue", "INDEX")
	p.caughtUp(ctx, t)

	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	var want []dbtest.Candle
	for _, r := range rows[1:] { // date,open,high,low,close,adjclose,volume
		day, err := time.Parse(time.DateOnly, r[0])
		if err != nil {
			t.Fatal(err)
		}
		c := dbtest.Candle{Symbol: "SPX", Bucket: day, Open: number(r[1]), High: number(r[2]), Low: number(r[3]), Close: number(r[4]), Volume: number(r[6]), Trades: 4}
		c.Notional = c.Close * c.Volume
		want = append(want, c)
	}
	if len(want) < 5000 {
		t.Fatalf("the file has only %d bars", len(want))
	}
	dbtest.EqualCandles(t, "1d", p.Candles(t, "1d"), want)

	count, sum := p.checksum(ctx, t)
	// Again, skipping rows already in the topic, and again, sending every row.
	for _, args := range [][]string{{}, {"--all"}} {
		p.replay(ctx, t, append([]string{"--file", file, "--symbol", "SPX", "--venue", "INDEX"}, args...)...)
		p.caughtUp(ctx, t)
		if c, s := p.checksum(ctx, t); c != count || s != sum {
			t.Fatalf("replaying again %q changed %d ticks to %d", args, count, c)
		}
	}
	dbtest.EqualCandles(t, "1d again", p.Candles(t, "1d"), want)
}

// TestReplayTrades sends a thousand real trades, many of them tied in ts.
func TestReplayTrades(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 3*time.Minute)
	file := filepath.Join("..", "..", "shared", "data", "btcusdt-2020-11-16.csv")
	f, err := os.Open(file)
	if err != nil {
		t.Skipf("the file of real trades is not here: %v", err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var want []dbtest.Tick
	for _, r := range rows[1:] { // ts,seq,price,size
		ts, err := time.Parse(time.RFC3339, r[0])
		if err != nil {
			t.Fatal(err)
		}
		k := dbtest.Tick{TS: ts, Symbol: "BTC-USDT", Venue: "BINANCE"}
		k.Seq, _ = strconv.ParseInt(r[1], 10, 64)
		k.Price, _ = strconv.ParseFloat(r[2], 64)
		k.Size, _ = strconv.ParseFloat(r[3], 64)
		want = append(want, k)
	}
	p := newPipeline(ctx, t)
	p.replay(ctx, t, "--file", file, "--symbol", "BTC-USDT", "--venue", "BINANCE")
	p.caughtUp(ctx, t)
	if got := p.ticks(ctx, t); len(got) != len(want) {
		t.Fatalf("%d ticks stored, want %d", len(got), len(want))
	}
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, p.Candles(t, i.Name), dbtest.BruteForce(want, i.Span))
	}
	p.replay(ctx, t, "--file", file, "--symbol", "BTC-USDT", "--venue", "BINANCE", "--all")
	p.caughtUp(ctx, t)
	if got := p.ticks(ctx, t); len(got) != len(want) {
		t.Fatalf("%d ticks after a second replay, want %d", len(got), len(want))
	}
}

// TestSimulatedDay sends a day with late, tied and duplicate ticks, and
// compares what is stored with what the simulator made.
func TestSimulatedDay(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 5*time.Minute)
	p := newPipeline(ctx, t)
	producer, err := feed.NewProducer(feed.ProducerConfig{Brokers: strings.Split(p.brokers, ","), Topic: p.topic})
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()

	cfg := simulate.Defaults()
	cfg.Seed, cfg.Symbols, cfg.HistoryRate, cfg.Late, cfg.Duplicates = 42, 6, 0.5, 0.02, 0.02
	end := time.Now().UTC().Truncate(24 * time.Hour)
	cfg.Start = end.Add(-24 * time.Hour)
	simulated, stop := context.WithCancel(ctx)
	defer stop()
	// The history ends at the time of the clock; the first sleep ends the simulation.
	cfg.Clock = func() time.Time { return end }
	cfg.Sleep = func(context.Context, time.Duration) error { stop(); return context.Canceled }
	sim, err := simulate.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	type key struct {
		symbol string
		seq    int64
	}
	var want []dbtest.Tick
	seen := map[key]bool{}
	sent, late := 0, 0
	newest := map[string]int64{}
	err = sim.Run(simulated, func(k *feed.Tick) error {
		sent++
		if !seen[key{k.Symbol, k.Seq}] {
			seen[key{k.Symbol, k.Seq}] = true
			if k.TS < newest[k.Symbol] {
				late++
			}
			newest[k.Symbol] = max(newest[k.Symbol], k.TS)
			want = append(want, dbtest.Tick{TS: k.Time(), Symbol: k.Symbol, Price: k.Price, Size: k.Size, Seq: k.Seq, Venue: k.Venue})
			// Every tenth tick has a copy at the same time with a symbol of its own,
			// so that the seqs of the simulator stay as they are.
			if k.Seq%10 == 0 {
				twin := feed.Tick{Symbol: "TWIN", Venue: "TEST", TS: k.TS / 1e6 * 1e6, Price: k.Price, Size: 1, Seq: int64(len(want))}
				want = append(want, dbtest.Tick{TS: twin.Time(), Symbol: twin.Symbol, Price: twin.Price, Size: twin.Size, Seq: twin.Seq, Venue: twin.Venue})
				if err := producer.Produce(ctx, &twin); err != nil {
					return err
				}
			}
		}
		return producer.Produce(ctx, k)
	}, func(done, total int64) {})
	if err != nil && simulated.Err() == nil {
		t.Fatal(err)
	}
	if err := producer.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	if late == 0 || sent == len(seen) || len(want) < 10000 {
		t.Fatalf("%d ticks sent, %d new, %d late: not the day this test wants", sent, len(want), late)
	}
	p.caughtUp(ctx, t)
	if count, _ := p.checksum(ctx, t); count != int64(len(want)) {
		t.Fatalf("%d ticks stored, want %d", count, len(want))
	}
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, p.Candles(t, i.Name), dbtest.BruteForce(want, i.Span))
	}
}

package web_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
)

// prices are the symbols of the test's market and where each begins.
var prices = map[string]float64{"AAPL": 189, "AMD": 138, "BTC-USDT": 91250, "KO": 62, "MSFT": 421, "NVDA": 134, "TSLA": 340, "XOM": 118}

// market is everything between a trade and the page: a broker, ingest, a
// database with some history, the API.
type market struct {
	db     *dbtest.DB
	url    string
	broker *embedded.Broker
	// halt stops the trades.
	halt func()
}

func newMarket(t *testing.T) *market {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &market{db: dbtest.New(t)}
	last := m.seed(t)
	m.db.Settle(t)

	var err error
	if m.broker, err = embedded.StartBroker(ctx, embedded.BrokerConfig{Log: dbtest.Log(t)}); err != nil {
		t.Fatal(err)
	}
	brokers := []string{m.broker.Addr()}
	producer, err := feed.NewProducer(feed.ProducerConfig{Brokers: brokers, Log: dbtest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.EnsureTopic(ctx, 4); err != nil {
		t.Fatal(err)
	}
	pool := func(role string) *ingest.Config {
		p, err := db.Open(ctx, m.db.URLAs(t, role), 4)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return &ingest.Config{Pool: p}
	}
	in := pool("hypertick_writer")
	in.Brokers, in.MetricsListen, in.Log = brokers, "127.0.0.1:0", dbtest.Log(t)
	ingester, err := ingest.New(*in)
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{
		Pool: pool("hypertick_reader").Pool, Operator: pool("hypertick_operator").Pool, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.url = "http://" + server.Addr()

	var parts sync.WaitGroup
	trading, halt := context.WithCancel(ctx)
	m.halt = halt
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	run("ingest", ingester.Run)
	run("api", server.Run)
	parts.Go(func() { trade(trading, t, producer, last) })
	t.Cleanup(func() {
		cancel()
		parts.Wait()
		producer.Close()
		m.broker.Close()
	})
	return m
}

// seed stores two days of history and returns the last price of each symbol.
func (m *market) seed(t *testing.T) map[string]float64 {
	t.Helper()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(3, 5))
	now := time.Now().UTC()
	last := map[string]float64{}
	var rows [][]any
	for symbol, price := range prices {
		seq := int64(0)
		for ts := now.Add(-48 * time.Hour); ts.Before(now); ts = ts.Add(20 * time.Second) {
			step, size := r.NormFloat64()*0.0006, 1+float64(r.IntN(200))
			// Now and then something for the marks to find.
			if r.IntN(1500) == 0 {
				step, size = step*20, size*40
			}
			price = round(price * (1 + step))
			seq++
			rows = append(rows, []any{ts, symbol, price, size, seq, "SIM"})
		}
		last[symbol] = price
	}
	if _, err := m.db.Pool.CopyFrom(ctx, pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Pool.Exec(ctx, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts)
		SELECT venue, symbol, max(seq), max(ts) FROM ticks GROUP BY venue, symbol`); err != nil {
		t.Fatal(err)
	}
	return last
}

func round(p float64) float64 { return float64(int64(p*100+0.5)) / 100 }

// trade produces ticks until ctx ends.
func trade(ctx context.Context, t *testing.T, producer *feed.Producer, last map[string]float64) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	symbols := make([]string, 0, len(last))
	for s := range last {
		symbols = append(symbols, s)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for seq := int64(1 << 20); ; seq++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s := symbols[r.IntN(len(symbols))]
			// Never the price before: a candle has to move.
			step := max(0.01, last[s]*0.00012*r.Float64()) * float64(1-2*r.IntN(2))
			last[s] = round(last[s] + step)
			err := producer.Produce(ctx, &feed.Tick{Symbol: s, TS: now.UnixMicro(), Price: last[s], Size: 1 + float64(r.IntN(4)), Seq: seq, Venue: "SIM"})
			if err != nil && ctx.Err() == nil {
				t.Errorf("produce: %v", err)
				return
			}
		}
	}
}

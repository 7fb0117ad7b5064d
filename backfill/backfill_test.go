package backfill_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// history is days of trades of some symbols in the order of a file; a fifth of them
// share their time with the one before.
func history(start time.Time, n int) (ticks []feed.Tick, same []dbtest.Tick) {
	r := rand.New(rand.NewPCG(5, 6))
	at := start
	for i := range n {
		if r.IntN(5) > 0 {
			at = at.Add(time.Duration(r.IntN(90_000_000)) * time.Microsecond)
		}
		symbol := fmt.Sprintf("S%d", r.IntN(4))
		t := feed.Tick{TS: at.UnixMicro(), Symbol: symbol, Venue: "FILE", Price: 90 + float64(r.IntN(2000))/100, Size: float64(1 + r.IntN(9)), Seq: int64(i + 1)}
		ticks = append(ticks, t)
		same = append(same, dbtest.Tick{TS: t.Time(), Symbol: symbol, Venue: "FILE", Price: t.Price, Size: t.Size, Seq: t.Seq})
	}
	return ticks, same
}

func writer(t *testing.T, d *dbtest.DB) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), d.URLAs(t, "hypertick_writer"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func load(ctx context.Context, pool *pgxpool.Pool, ticks []feed.Tick) (backfill.Stats, error) {
	l := backfill.New(backfill.Config{Pool: pool, Batch: 1500, Log: slog.New(slog.DiscardHandler)})
	for i := range ticks {
		if err := l.Add(ctx, &ticks[i]); err != nil {
			return l.Stats(), err
		}
	}
	err := l.Flush(ctx)
	return l.Stats(), err
}

// TestLoad loads history beside a live feed of the same symbols, is stopped in the
// middle, started again, and run once more: the candles are those of every tick
// once.
func TestLoad(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -12)
	ticks, all := history(start, 10_000)
	// At the same time a live feed delivers some of the newest through the broker.
	broker, err := embedded.StartBroker(t.Context(), embedded.BrokerConfig{Log: dbtest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer broker.Close()
	in, err := ingest.New(ingest.Config{Brokers: []string{broker.Addr()}, Pool: writer(t, d), MaxBatch: 40, Log: dbtest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	running, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- in.Run(running) }()
	defer func() {
		end()
		if err := <-ended; err != nil {
			t.Errorf("ingest: %v", err)
		}
	}()
	const live = 600
	produced := make(chan error, 1)
	go func() {
		p, err := feed.NewProducer(feed.ProducerConfig{Brokers: []string{broker.Addr()}, Log: dbtest.Log(t)})
		if err != nil {
			produced <- err
			return
		}
		defer p.Close()
		for i := range ticks[9000 : 9000+live] {
			if err := p.Produce(t.Context(), &ticks[9000+i]); err != nil {
				produced <- err
				return
			}
			if i%20 == 0 {
				if err := p.Flush(t.Context()); err != nil {
					produced <- err
					return
				}
			}
		}
		produced <- p.Flush(t.Context())
	}()
	// Stopped in the middle: whole batches are stored.
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l := backfill.New(backfill.Config{Pool: pool, Batch: 1500})
	for i := range ticks {
		if i == 5000 {
			stop()
		}
		if err := l.Add(ctx, &ticks[i]); err != nil {
			break
		}
	}
	if s := l.Stats(); s.Read != 4500 || s.Stored != 4500 {
		t.Errorf("stopped after %+v, want 4500 stored", s)
	}
	s, err := load(t.Context(), pool, ticks)
	if err != nil || s.Read != 10_000 || s.Stored > 10_000-4500 || s.Stored < 10_000-4500-live {
		t.Fatalf("second run: %+v, %v", s, err)
	}
	if err := <-produced; err != nil {
		t.Fatal(err)
	}
	for done := 0; done < live; {
		if err := d.Pool.QueryRow(t.Context(), "SELECT coalesce(sum(next_offset), 0) FROM ingest_offsets").Scan(&done); err != nil {
			t.Fatal(err)
		}
	}
	if s, err = load(t.Context(), pool, ticks); err != nil || s.Stored != 0 || !s.From.Equal(all[0].TS) || !s.To.Equal(all[len(all)-1].TS) {
		t.Errorf("third run: %+v, %v", s, err)
	}
	var rows, distinct int
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*), count(DISTINCT (venue, symbol, seq)) FROM ticks").Scan(&rows, &distinct); err != nil || rows != 10_000 || distinct != 10_000 {
		t.Errorf("%d rows, %d of them distinct, want 10000: %v", rows, distinct, err)
	}
	d.SettleCandles(t)
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(all, i.Span))
	}
	var wrong int
	if err := d.Pool.QueryRow(t.Context(), `SELECT count(*) FROM feed_positions p
		JOIN (SELECT symbol, max(seq) AS seq, max(ts) AS ts FROM ticks GROUP BY 1) t USING (symbol) WHERE p.last_seq <> t.seq OR p.last_ts <> t.ts`).Scan(&wrong); err != nil || wrong != 0 {
		t.Errorf("%d positions do not fit the ticks: %v", wrong, err)
	}
}

// TestOtherNumbers: a file that numbers its ticks differently from the feed is
// stored as any other, and the feed continues as before.
func TestOtherNumbers(t *testing.T) {

	d := dbtest.New(t)
	pool := writer(t, d)
	now := time.Now().UTC().Truncate(time.Second)
	d.Commit(t, []dbtest.Tick{{TS: now, Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 50}}, nil)
	if _, err := d.Pool.Exec(t.Context(), "UPDATE feed_positions SET run_since = last_ts"); err != nil {
		t.Fatal(err)
	}
	old := feed.Tick{TS: now.AddDate(0, 0, -3).UnixMicro(), Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 900_000}
	if s, err := load(t.Context(), pool, []feed.Tick{old, old}); err != nil || s.Stored != 1 {
		t.Errorf("%+v, %v, want 1 stored", s, err)
	}
	if s, err := load(t.Context(), pool, []feed.Tick{old}); err != nil || s.Stored != 0 {
		t.Errorf("again: %+v, %v, want 0 stored", s, err)
	}
	var n int
	if err := d.Pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM ticks) * 100 + (SELECT last_seq FROM feed_positions) + (SELECT count(*) FROM feed_gaps) * 10000").Scan(&n); err != nil || n != 250 {
		t.Errorf("%d, want 2 ticks, the feed at 50 and no gap: %v", n, err)
	}
}

package ingest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// BenchmarkIdentity measures what it takes to tell what is stored from what is not:
// rising seqs, one tick of ten twice, everything once more, and 1,000 cancels in the
// columnstore. Ratios are to rising seqs of the same run.
func BenchmarkIdentity(b *testing.B) {
	x := newBench(b)
	const doubled = "bench.doubled"
	p, err := feed.NewProducer(feed.ProducerConfig{Brokers: []string{x.addr}, Topic: doubled, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	if err := p.EnsureTopic(x.ctx, 1); err != nil {
		b.Fatal(err)
	}
	for i := range x.ticks {
		if err := p.Produce(x.ctx, &x.ticks[i]); err != nil {
			b.Fatal(err)
		}
		if i%10 == 9 { // by another feed handler, half a thousand ticks behind
			if err := p.Produce(x.ctx, &x.ticks[max(i-500, 0)]); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := p.Flush(x.ctx); err != nil {
		b.Fatal(err)
	}
	p.Close()

	best := func(what string, f func() error) time.Duration {
		b.Helper()
		least := time.Duration(0)
		for range x.rounds {
			c, err := x.measure(f)
			if err != nil {
				b.Fatalf("%s: %v", what, err)
			}
			if least == 0 || c.wall < least {
				least = c.wall
			}
		}
		return least
	}
	rising := best("rising", func() error { return x.ingest(0) })
	tenth := best("one of ten twice", func() error { return x.ingestUntil(Config{Topic: doubled}, len(x.ticks), len(x.ticks)/10) })

	// Once more, with everything there.
	if _, err := x.measure(func() error { return x.ingest(0) }); err != nil {
		b.Fatal(err)
	}
	if _, err := x.db.Pool.Exec(x.ctx, "TRUNCATE ingest_offsets"); err != nil {
		b.Fatal(err)
	}
	begin := time.Now()
	if err := x.ingestUntil(Config{}, 0, len(x.ticks)); err != nil {
		b.Fatal(err)
	}
	again := time.Since(begin)

	rate := func(d time.Duration) float64 { return float64(len(x.ticks)) / d.Seconds() }
	var out strings.Builder
	for _, l := range []struct {
		what string
		took time.Duration
	}{{"rising seqs", rising}, {"one of ten twice", tenth}, {"everything once more", again}} {
		fmt.Fprintf(&out, "\n%-24s %9.0f ticks/s   %.2f of rising", l.what, rate(l.took), rate(l.took)/rate(rising))
	}
	for _, statement := range []string{
		"SELECT compress_chunk(c, true) FROM show_chunks('ticks') c",
		`INSERT INTO tick_changes (kind, symbol, venue, seq, ts, origin)
		 SELECT 'cancel', symbol, venue, seq, ts, 'bench' FROM ticks ORDER BY hashint8(seq), symbol LIMIT 1000`,
	} {
		if _, err := x.db.Pool.Exec(x.ctx, statement); err != nil {
			b.Fatal(err)
		}
	}
	var bytes float64
	if err := x.db.Pool.QueryRow(x.ctx, "SELECT sum(after_compression_total_bytes)::float8 / $1 FROM chunk_columnstore_stats('ticks')", len(x.ticks)).Scan(&bytes); err != nil {
		b.Fatal(err)
	}
	begin = time.Now()
	if _, err := x.db.Pool.Exec(x.ctx, "CALL _hypertick.apply_tick_changes(0, '{}')"); err != nil {
		b.Fatal(err)
	}
	cancels := time.Since(begin)
	b.Logf("%d ticks of 100 symbols, %d rounds, best:%s\n1,000 cancels in the columnstore: %v; bytes a tick there: %.1f", len(x.ticks), x.rounds, out.String(), cancels.Round(time.Millisecond), bytes)
	b.ReportMetric(rate(rising), "rows/s")
	b.ReportMetric(0, "ns/op")
}

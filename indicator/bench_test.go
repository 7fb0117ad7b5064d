package indicator

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// fill stores one tick a minute of each symbol up to now, made by the server,
// and brings candles and blocks up to date. It returns how long each refresh took.
func fill(b *testing.B, d *dbtest.DB, prefix string, symbols, minutes int) map[string]time.Duration {
	b.Helper()
	ctx := context.Background()
	// Piece by piece: the embedded database has the memory of a browser's tab.
	for step, from := max(1, 200_000/symbols), 0; from < minutes; from += step {
		if _, err := d.Pool.Exec(ctx, `
			INSERT INTO ticks (ts, symbol, price, size, seq, venue)
			SELECT date_trunc('hour', now()) - ($3::int - m) * INTERVAL '1 minute', $1::text || s, 100 + 5 * sin(m / 37.0 + s) + sin(m * 1.7 + s), 1 + (m * 7 + s) % 11, m + 1, 'BENCH'
			FROM generate_series($4::int, $5::int) m, generate_series(1, $2::int) s`,
			prefix, symbols, minutes, from, min(from+step, minutes)-1); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := d.Pool.Exec(ctx, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts)
		SELECT 'BENCH', $1::text || s, $3::int, now() FROM generate_series(1, $2::int) s`, prefix, symbols, minutes); err != nil {
		b.Fatal(err)
	}
	took := map[string]time.Duration{}
	for _, job := range refreshJobs(b, d) {
		var relation string
		if err := d.Pool.QueryRow(ctx, "SELECT hypertable_name FROM timescaledb_information.jobs WHERE job_id = $1", job).Scan(&relation); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if _, err := d.Pool.Exec(ctx, fmt.Sprintf("CALL run_job(%d)", job)); err != nil {
			b.Fatal(err)
		}
		took[relation] = time.Since(begin)
	}
	if _, err := d.Pool.Exec(ctx, "ANALYZE"); err != nil {
		b.Fatal(err)
	}
	return took
}

// median is how long the statement takes, over some runs after a first one.
func median(b *testing.B, d *dbtest.DB, statement string, args ...any) time.Duration {
	b.Helper()
	var got []time.Duration
	for i := range 10 {
		begin := time.Now()
		if _, err := d.Pool.Exec(context.Background(), statement, args...); err != nil {
			b.Fatal(err)
		}
		if i > 0 {
			got = append(got, time.Since(begin))
		}
	}
	slices.Sort(got)
	return got[len(got)/2]
}

// BenchmarkRead compares a read of 500 bars of RSI where the symbol has 10,000
// bars with the same where it has a hundred times as many.
func BenchmarkRead(b *testing.B) {
	d := dbtest.New(b)
	const read = `SELECT * FROM indicator.rsi($1, '1m', date_trunc('hour', now()) - INTERVAL '500 minutes', date_trunc('hour', now()))`
	fill(b, d, "S", 1, 10_000)
	few := median(b, d, read, "S1")
	const long = 1_000_000
	fill(b, d, "L", 1, long)
	many := median(b, d, read, "L1")
	b.ReportMetric(float64(few.Microseconds())/1000, "ms/10k-bars")
	b.ReportMetric(float64(many.Microseconds())/1000, fmt.Sprintf("ms/%dk-bars", long/1000))
	b.ReportMetric(float64(many)/float64(few), "ratio")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkScreener measures indicator.latest, the refresh of the blocks it
// reads, and what the same RSI of every symbol takes from states and from bars.
func BenchmarkScreener(b *testing.B) {
	d := dbtest.New(b)
	symbols := 5000
	if d.Embedded != nil {
		symbols = 1000
	}
	const minutes = 480
	took := fill(b, d, "S", symbols, minutes)
	latest := median(b, d, "SELECT * FROM indicator.latest('1m')")
	states := median(b, d, `SELECT symbol, indicator.rsi(indicator.rollup(rsi_14 ORDER BY bucket)) FROM indicator.blocks_1m
		WHERE bucket >= (SELECT max(bucket) FROM indicator.blocks_1m) - INTERVAL '5 hours' GROUP BY symbol`)
	bars := median(b, d, `SELECT symbol, indicator.rsi(indicator.rsi_agg(close, 14 ORDER BY bucket)) FROM candles_1m
		WHERE bucket >= date_trunc('hour', now()) - INTERVAL '330 minutes' GROUP BY symbol`)
	b.ReportMetric(float64(latest.Microseconds())/float64(symbols), "screener-ms/1000-symbols")
	b.ReportMetric(float64(symbols*minutes)/took["blocks_1m"].Seconds(), "refreshed-bars/s")
	b.ReportMetric(float64(bars)/float64(states), "bars/states-ratio")
	b.ReportMetric(0, "ns/op")
}

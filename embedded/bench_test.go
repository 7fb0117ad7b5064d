package embedded

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// BenchmarkDatabaseCopy copies batches of 10,000 ticks into a hypertable.
func BenchmarkDatabaseCopy(b *testing.B) {
	ctx := b.Context()
	d := startDatabase(b, DatabaseConfig{})
	conn := connect(b, d, "postgres")
	if _, err := conn.Exec(ctx, `create table ticks (ts timestamptz not null, symbol text, price float8, size float8, seq bigint, venue text);
		select create_hypertable('ticks', by_range('ts', interval '1 day'), create_default_indexes => false);
		create index on ticks (symbol, ts desc)`); err != nil {
		b.Fatal(err)
	}
	symbols := []string{"AAPL", "MSFT", "NVDA", "AMZN", "GOOG", "META", "TSLA", "AVGO"}
	const batch = 10_000
	cpu := serverCPU(b, d)
	start, seq := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), int64(0)
	for b.Loop() {
		n := int64(0)
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"}, pgx.CopyFromFunc(func() ([]any, error) {
			if n == batch {
				return nil, nil
			}
			n++
			seq++
			return []any{start.Add(time.Duration(seq) * time.Millisecond), symbols[seq%8], float64(seq) / 100, 1.0, seq, "SIM"}, nil
		}))
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*batch/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64((serverCPU(b, d)-cpu).Microseconds())/float64(b.N*batch), "server-µs/row")
}

// BenchmarkDatabaseQuery runs a small prepared query from several connections.
func BenchmarkDatabaseQuery(b *testing.B) {
	for name, clients := range map[string]int{"1 client": 1, "8 clients": 8} {
		b.Run(name, func(b *testing.B) {
			d := startDatabase(b, DatabaseConfig{})
			cfg, err := pgxpool.ParseConfig(d.URL("postgres"))
			if err != nil {
				b.Fatal(err)
			}
			cfg.MaxConns = int32(clients)
			pool, err := pgxpool.NewWithConfig(b.Context(), cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer pool.Close()
			b.SetParallelism(clients)
			cpu := serverCPU(b, d)
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					var n int
					if err := pool.QueryRow(b.Context(), `select $1::int + 1`, 41).Scan(&n); err != nil || n != 42 {
						b.Error(n, err)
						return
					}
				}
			})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "queries/s")
			b.ReportMetric(float64((serverCPU(b, d)-cpu).Microseconds())/float64(b.N), "server-µs/query")
		})
	}
}

// serverCPU is the processor time that the server has used, where /proc tells.
// It says more than the clock on a machine that others use too.
func serverCPU(b *testing.B, d *Database) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.current().cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		b.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // in hundredths of a second
}

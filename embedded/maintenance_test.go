package embedded

import (
	"testing"

	"github.com/hypertick/hypertick/internal/wait"
)

// Without statistics the planner reads all ticks for a refresh of one candle.
func TestGrownChunksAreAnalyzed(t *testing.T) {
	t.Parallel()
	conn := connect(t, sharedDatabase(t), "postgres")
	run(t, conn, `create table grown (ts timestamptz not null, price float8 not null)`)
	run(t, conn, `select create_hypertable('grown', by_range('ts', interval '1 year'))`)
	const rows = 150_000 // more write-ahead log than passes unseen
	run(t, conn, `insert into grown select timestamptz '2026-01-01' + make_interval(secs => i), i from generate_series(1, $1::int) i`, rows)
	wait.Until(t, "statistics of the chunk", func() bool {
		got := value[float64](t, conn, `select max(c.reltuples)::float8 from pg_class c join show_chunks('grown') s on s = c.oid`)
		return got > 0.9*rows && got < 1.1*rows
	})
}

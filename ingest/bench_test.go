package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// serverDirEnv names a directory that both this process and the database
// server see; by default the one for temporary files.
const serverDirEnv = "HYPERTICK_TEST_SERVER_DIR"

// cost is what moving the rows took.
type cost struct {
	wall           time.Duration
	client, server time.Duration // CPU; server is 0 where it cannot be seen
}

// bench has the same rows in a topic, in memory and in a file.
type bench struct {
	*rig
	ticks  []feed.Tick
	file   string
	addr   string
	rounds int
}

// BenchmarkIngest compares topic-to-hypertable ingest with pgx CopyFrom of the
// same rows from memory, and with server-side COPY BINARY from a file, which is
// the least a server can do. The paths take turns and the median counts.
func BenchmarkIngest(b *testing.B) {
	x := newBench(b)
	type path struct {
		name string
		run  func() error
		got  []cost
	}
	paths := []*path{
		{name: "server COPY BINARY from a file", run: x.serverCopy},
		{name: "pgx CopyFrom from memory", run: x.pgxCopy},
		{name: "topic to hypertable (ingest)", run: func() error { return x.ingest(0) }},
	}
	if x.db.Embedded == nil {
		// As if the rows were old enough for the columnstore.
		paths = append(paths, &path{name: "the same, as history", run: func() error { return x.ingest(30 * 24 * time.Hour) }})
	}
	for range x.rounds {
		for _, p := range paths {
			if p.run == nil {
				continue
			}
			c, err := x.measure(p.run)
			if err != nil && p == paths[0] {
				b.Logf("%s: not measured, the server cannot read %s (set %s): %v", p.name, x.file, serverDirEnv, err)
				p.run = nil
				continue
			}
			if err != nil {
				b.Fatalf("%s: %v", p.name, err)
			}
			p.got = append(p.got, c)
		}
	}
	var out strings.Builder
	rate := make([]float64, len(paths))
	for i, p := range paths {
		if len(p.got) == 0 {
			continue
		}
		slices.SortFunc(p.got, func(a, b cost) int { return int(a.wall - b.wall) })
		c, n := p.got[len(p.got)/2], float64(len(x.ticks))
		rate[i] = n / c.wall.Seconds()
		server := "not seen"
		if c.server > 0 {
			server = fmt.Sprintf("%.2f", float64(c.server.Nanoseconds())/n/1000)
		}
		fmt.Fprintf(&out, "\n%-32s %9.0f rows/s   CPU µs/row: client %.2f, server %s", p.name, rate[i], float64(c.client.Nanoseconds())/n/1000, server)
	}
	for i, p := range paths[:2] {
		if rate[i] > 0 {
			fmt.Fprintf(&out, "\ningest / %-24s %.2f", strings.Fields(p.name)[0]+" "+strings.Fields(p.name)[1], rate[2]/rate[i])
		}
	}
	b.Logf("%d ticks of 100 symbols, %d rounds, median:%s", len(x.ticks), x.rounds, out.String())
	b.ReportMetric(rate[2], "rows/s")
	b.ReportMetric(0, "ns/op")
}

func newBench(b *testing.B) *bench {
	b.Helper()
	d := dbtest.New(b)
	rows, rounds := 1_000_000, 3
	if d.Embedded != nil {
		rows, rounds = 200_000, 1
	}
	ctx := wait.Context(b, 10*time.Minute)
	x := &bench{rig: &rig{t: b, ctx: ctx, db: d}, rounds: rounds, ticks: make([]feed.Tick, rows)}
	base := time.Now().Add(-24 * time.Hour).UnixMicro()
	for i := range x.ticks {
		x.ticks[i] = feed.Tick{
			Symbol: fmt.Sprintf("SYM%02d", i%100), Venue: "SIM", TS: base + int64(i)*80_000, Price: 50 + float64(i%9973)/100,
			Size: float64(1 + i%400), Seq: int64(1 + i/100),
		}
	}
	// The broker is a process of its own, so that this one's CPU is ingest's.
	broker := newProcess(b, childEnv+"=broker", "CHILD_DIR="+b.TempDir(), "CHILD_LISTEN=127.0.0.1:0")
	line, err := broker.out.ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	x.addr = strings.TrimSpace(line)
	p, err := feed.NewProducer(feed.ProducerConfig{Brokers: []string{x.addr}, Log: quiet()})
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	for i := range x.ticks {
		if err := p.Produce(ctx, &x.ticks[i]); err != nil {
			b.Fatal(err)
		}
	}
	if err := p.Flush(ctx); err != nil {
		b.Fatal(err)
	}
	dir, err := os.MkdirTemp(os.Getenv(serverDirEnv), "hypertick-bench-")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = os.RemoveAll(dir) })
	x.file = filepath.Join(dir, "ticks.bin")
	var buf []byte
	for i := range x.ticks {
		buf = appendRow(buf, &x.ticks[i], 0)
	}
	buf = slices.Concat(copyHeader, buf, copyTrailer)
	if err := os.WriteFile(x.file, buf, 0o644); err != nil {
		b.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		b.Fatal(err)
	}
	return x
}

// measure empties the table, runs f and checks that all rows are there.
func (x *bench) measure(f func() error) (cost, error) {
	if _, err := x.db.Pool.Exec(x.ctx, "TRUNCATE ticks, late_ticks, ingest_offsets, feed_positions, feed_gaps"); err != nil {
		return cost{}, err
	}
	if x.db.Embedded == nil {
		if _, err := x.db.Pool.Exec(x.ctx, "CHECKPOINT"); err != nil {
			return cost{}, err
		}
	}
	client, server, begin := selfCPU(), x.serverCPU(), time.Now()
	err := f()
	c := cost{wall: time.Since(begin), client: selfCPU() - client, server: x.serverCPU() - server}
	if err != nil {
		return c, err
	}
	var n int
	if err := x.db.Pool.QueryRow(x.ctx, "SELECT count(*) FROM ticks").Scan(&n); err != nil {
		return c, err
	}
	if n != len(x.ticks) {
		return c, fmt.Errorf("%d rows in ticks, want %d", n, len(x.ticks))
	}
	return c, nil
}

func (x *bench) serverCopy() error {
	_, err := x.db.Pool.Exec(x.ctx, "COPY ticks (ts, symbol, price, size, seq, venue) FROM '"+x.file+"' WITH (FORMAT binary)")
	return err
}

func (x *bench) pgxCopy() error {
	columns := []string{"ts", "symbol", "price", "size", "seq", "venue"}
	row := make([]any, len(columns))
	_, err := x.db.Pool.CopyFrom(x.ctx, pgx.Identifier{"ticks"}, columns, pgx.CopyFromSlice(len(x.ticks), func(i int) ([]any, error) {
		t := &x.ticks[i]
		row[0], row[1], row[2], row[3], row[4], row[5] = t.Time(), t.Symbol, t.Price, t.Size, t.Seq, t.Venue
		return row, nil
	}))
	return err
}

// ingest ingests the topic of all ticks once, age after their time.
func (x *bench) ingest(age time.Duration) error {
	return x.ingestUntil(Config{Now: func() time.Time { return time.Now().Add(age) }}, len(x.ticks), 0)
}

// ingestUntil ingests until so many ticks are stored, and so many were recognised as
// stored.
func (x *bench) ingestUntil(cfg Config, stored, known int) error {
	cfg.Brokers, cfg.Pool, cfg.Log = []string{x.addr}, x.db.Pool, quiet()
	in, err := New(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(x.ctx)
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	reached := func(c prometheus.Counter, n int) bool {
		var m dto.Metric
		return c.Write(&m) == nil && m.Counter.GetValue() >= float64(n)
	}
	wait.Until(x.t, "all ingested", func() bool { return reached(in.metrics.rows, stored) && reached(in.metrics.dups, known) })
	cancel()
	return <-done
}

func selfCPU() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// serverCPU adds up the CPU of this database's backends, where they are
// processes of this machine.
func (x *bench) serverCPU() time.Duration {
	if x.db.Embedded != nil {
		return 0
	}
	rows, err := x.db.Pool.Query(x.ctx, "SELECT pid FROM pg_stat_activity WHERE datname = current_database()")
	if err != nil {
		return 0
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, pid := range pids {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || !strings.Contains(string(stat), "(postgres)") {
			return 0
		}
		f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')'):]))
		user, _ := strconv.Atoi(f[12])
		system, _ := strconv.Atoi(f[13])
		sum += time.Duration(user+system) * 10 * time.Millisecond
	}
	return sum
}

package cli_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// brokerDir makes this test binary a broker on the data in a directory.
const brokerDir = "HYPERTICK_TEST_BROKER_DIR"

func runBroker(ctx context.Context, dir string, args []string, errOut io.Writer) int {
	b, err := embedded.StartBroker(ctx, embedded.BrokerConfig{Dir: dir, Listen: args[0], Partitions: 4, Log: slog.New(slog.NewTextHandler(errOut, nil))})
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 1
	}
	<-ctx.Done()
	b.Close()
	return 0
}

// child is a process of the stack, to be killed and started again.
type child struct {
	name string
	env  string
	args []string
	cmd  *exec.Cmd
	log  *lockedBuffer
}

func (c *child) start(t *testing.T) {
	t.Helper()
	c.cmd = exec.Command(os.Args[0], c.args...)
	c.cmd.Env = append(os.Environ(), c.env)
	c.cmd.Stdout, c.cmd.Stderr = c.log, c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
}

func (c *child) kill() {
	if c.cmd != nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
		c.cmd = nil
	}
}

// stack is all components, each in a process of its own.
type stack struct {
	demo     // their addresses
	children map[string]*child
	dir      string
	server   *embedded.Database
}

func (s *stack) startDatabase(ctx context.Context, t *testing.T) {
	t.Helper()
	server, err := embedded.StartDatabase(ctx, embedded.DatabaseConfig{
		Dir: filepath.Join(s.dir, "database"), Listen: s.database, CacheDir: dbtest.CacheDir(t), Relaxed: true, Log: dbtest.Log(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
}

func newStack(ctx context.Context, t *testing.T) *stack {
	t.Helper()
	s := &stack{demo: demo{api: freeAddr(t), database: freeAddr(t), broker: freeAddr(t)}, dir: t.TempDir(), children: map[string]*child{}}
	s.startDatabase(ctx, t)
	t.Cleanup(func() { _ = s.server.Close() })
	if err := db.Migrate(ctx, s.server.URL("postgres"), dbtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	add := func(name, env string, args ...string) {
		c := &child{name: name, env: env, args: args, log: &lockedBuffer{}}
		s.children[name] = c
		c.start(t)
		t.Cleanup(func() {
			c.kill()
			if t.Failed() {
				t.Logf("%s printed:\n%s", name, tail(c.log.String(), 3000))
			}
		})
	}
	add("broker", brokerDir+"="+filepath.Join(s.dir, "broker"), s.broker)
	add("ingest", asCommand+"=1", "ingest", "--brokers", s.broker, "--database-url", s.server.URL("hypertick_writer"), "--metrics-listen", freeAddr(t), "--max-batch", "700", "--instance", "one")
	add("api", asCommand+"=1", "api", "--listen", s.api, "--database-url", s.server.URL("hypertick_reader"), "--api-metrics-listen", freeAddr(t))
	add("notify", asCommand+"=1", "notify", "--database-url", s.server.URL("hypertick_operator"), "--notify-metrics-listen", freeAddr(t))
	return s
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// kill kills a component with SIGKILL.
func (s *stack) kill(component string) {
	if component == "database" {
		s.server.Kill()
		<-s.server.Done()
		return
	}
	s.children[component].kill()
}

func (s *stack) start(ctx context.Context, t *testing.T, component string) {
	t.Helper()
	if component == "database" {
		s.startDatabase(ctx, t)
		return
	}
	s.children[component].start(t)
}

// sum is a count and a checksum that does not depend on order.
type sum struct {
	count int
	hash  uint64
}

func (s *sum) add(symbol string, ts, seq int64, price, size float64) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, symbol)
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(ts))
	binary.LittleEndian.PutUint64(b[8:], uint64(seq))
	binary.LittleEndian.PutUint64(b[16:], math.Float64bits(price))
	binary.LittleEndian.PutUint64(b[24:], math.Float64bits(size))
	_, _ = h.Write(b[:])
	s.count++
	s.hash += h.Sum64()
}

// produce sends some 2,000 ticks a second, a few of them an hour late, until stop is
// closed, whatever happens to the broker.
func produce(broker string, stop <-chan struct{}) (total sum, err error) {
	p, err := feed.NewProducer(feed.ProducerConfig{Brokers: []string{broker}, Log: slog.New(slog.DiscardHandler), DeliveryTimeout: 2 * time.Minute, MaxBuffered: 4000})
	if err != nil {
		return total, err
	}
	defer p.Close()
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for seq := int64(1); ; seq++ {
		select {
		case <-stop:
			return total, p.Flush(context.Background())
		case <-pace.C:
		}
		for s := range 20 {
			ts := time.Now().UnixMicro()
			if seq%50 == 49 {
				ts -= time.Hour.Microseconds()
			}
			tick := feed.Tick{Symbol: fmt.Sprintf("S%02d", s), Venue: "SIM", TS: ts, Price: 100 + float64(seq%89)/8, Size: float64(seq % 7), Seq: seq}
			total.add(tick.Symbol, tick.TS, tick.Seq, tick.Price, tick.Size)
			if err := p.Produce(context.Background(), &tick); err != nil {
				return total, err
			}
		}
	}
}

// rounds is the number of components to kill: HYPERTICK_TEST_ROUNDS, or each once.
func rounds(components int) int {
	if n, err := strconv.Atoi(os.Getenv("HYPERTICK_TEST_ROUNDS")); err == nil {
		return n
	}
	return components
}

// TestKillEach kills each component in turn under load, in a random order. Status
// must report the victim as failed, then everything as ok; in the end each tick
// must be stored exactly once. HYPERTICK_TEST_SEED repeats an order.
func TestKillEach(t *testing.T) {
	ctx := wait.Context(t, 15*time.Minute)
	seed := uint64(time.Now().UnixNano())
	if n, err := strconv.ParseUint(os.Getenv("HYPERTICK_TEST_SEED"), 10, 64); err == nil {
		seed = n
	}
	t.Logf("HYPERTICK_TEST_SEED=%d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	s := newStack(ctx, t)

	owner, err := db.NewPool(s.server.URL("postgres"), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	jobs, stopJobs := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- embedded.RunJobs(jobs, owner, dbtest.Log(t), nil) }()
	defer func() {
		stopJobs()
		if err := <-ended; err != nil {
			t.Errorf("jobs: %v", err)
		}
	}()
	stop, produced := make(chan struct{}), make(chan error, 1)
	var want sum
	go func() {
		var err error
		want, err = produce(s.broker, stop)
		produced <- err
	}()

	well := func() (any, bool) {
		now, code, out := s.status(ctx)
		return out, code == 0 && now.part("ingest").State == "ok" && now.part("feed").State == "ok"
	}
	wait.For(t, "status to be ok at first", well)
	components := []string{"broker", "database", "ingest", "api", "notify"}
	var slowest, longest time.Duration
	var order []string
	for i := range rounds(len(components)) {
		if i%len(components) == 0 {
			r.Shuffle(len(components), func(a, b int) { components[a], components[b] = components[b], components[a] })
		}
		victim := components[i%len(components)]
		order = append(order, victim)
		s.kill(victim)
		killed := time.Now()
		wait.For(t, fmt.Sprintf("status to report %s as failed, round %d", victim, i+1), func() (any, bool) {
			now, code, out := s.status(ctx)
			return out, code == 1 && now.part(victim).State == "failed"
		})
		slowest = max(slowest, time.Since(killed))
		s.start(ctx, t, victim)
		started := time.Now()
		wait.For(t, fmt.Sprintf("status to be ok after %s was started, round %d", victim, i+1), well)
		longest = max(longest, time.Since(started))
	}
	t.Logf("killed %v: reported after %v at most, ok after %v at most", order, slowest.Round(time.Millisecond), longest.Round(time.Millisecond))

	close(stop)
	if err := <-produced; err != nil {
		t.Fatalf("produce: %v", err)
	}
	wait.For(t, fmt.Sprintf("%d ticks stored", want.count), func() (any, bool) {
		var n int
		err := owner.QueryRow(ctx, "SELECT (SELECT count(*) FROM ticks) + (SELECT count(*) FROM late_ticks)").Scan(&n)
		return n, err == nil && n >= want.count
	})
	var got sum
	rows, err := owner.Query(ctx, "SELECT symbol, (extract(epoch FROM ts) * 1000000)::bigint, seq, price, size FROM (SELECT symbol, ts, seq, price, size FROM ticks UNION ALL SELECT symbol, ts, seq, price, size FROM late_ticks) x")
	if err != nil {
		t.Fatal(err)
	}
	var symbol string
	var ts, seq int64
	var price, size float64
	if _, err := pgx.ForEachRow(rows, []any{&symbol, &ts, &seq, &price, &size}, func() error {
		got.add(symbol, ts, seq, price, size)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("stored %d ticks with checksum %x, produced %d with %x", got.count, got.hash, want.count, want.hash)
	}
	t.Logf("%d ticks", got.count)
}

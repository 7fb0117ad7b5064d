package ingest

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

const childEnv = "HYPERTICK_INGEST_TEST_CHILD"

// child runs this binary as a process to be killed, if it was started as one.
func child() bool {
	var err error
	switch os.Getenv(childEnv) {
	case "":
		return false
	case "ingest":
		err = childIngest()
	case "broker":
		err = childBroker()
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
	return true
}

func childIngest() error {
	BoundMemory()
	pool, err := db.NewPool(os.Getenv("CHILD_DATABASE"), 4)
	if err != nil {
		return err
	}
	workers, _ := strconv.Atoi(os.Getenv("CHILD_WORKERS"))
	// Small batches: more transactions to be killed in.
	in, err := New(Config{
		Brokers: strings.Split(os.Getenv("CHILD_BROKERS"), ","), Pool: pool, Instance: "child", MaxBatch: 700, Workers: max(workers, 1),
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	return in.Run(context.Background())
}

func childBroker() error {
	b, err := embedded.StartBroker(context.Background(), embedded.BrokerConfig{
		Dir: os.Getenv("CHILD_DIR"), Listen: os.Getenv("CHILD_LISTEN"), Partitions: testPartitions,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	if err != nil {
		return err
	}
	fmt.Println(b.Addr())
	select {}
}

// process is a child that can be killed and started again.
type process struct {
	t   testing.TB
	env []string
	cmd *exec.Cmd
	out *bufio.Reader
}

func (p *process) start() {
	p.t.Helper()
	self, err := os.Executable()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.Command(self)
	p.cmd.Env = append(os.Environ(), p.env...)
	if os.Getenv("INGEST_TEST_LOG") != "" {
		p.cmd.Stderr = os.Stderr
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = bufio.NewReader(out)
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

func newProcess(t testing.TB, env ...string) *process {
	p := &process{t: t, env: env}
	t.Cleanup(p.kill)
	p.start()
	return p
}

// sum is a count and a checksum that does not depend on order.
type sum struct {
	count int
	hash  uint64
}

func (s *sum) add(t *feed.Tick) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(t.Symbol))
	var b [32]byte
	binary.LittleEndian.PutUint64(b[0:], uint64(t.TS))
	binary.LittleEndian.PutUint64(b[8:], uint64(t.Seq))
	binary.LittleEndian.PutUint64(b[16:], math.Float64bits(t.Price))
	binary.LittleEndian.PutUint64(b[24:], math.Float64bits(t.Size))
	_, _ = h.Write(b[:])
	s.count++
	s.hash += h.Sum64()
}

// load produces ticks of 20 symbols, a few of them late, until stopped.
type load struct {
	stop chan struct{}
	done chan error
	sum  sum
}

func startLoad(t testing.TB, brokers []string) *load {
	t.Helper()
	p, err := feed.NewProducer(feed.ProducerConfig{Brokers: brokers, Log: quiet(), DeliveryTimeout: time.Minute, MaxBuffered: 4000})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{stop: make(chan struct{}), done: make(chan error, 1)}
	go func() {
		defer p.Close()
		l.done <- l.run(p)
	}()
	return l
}

func (l *load) run(p *feed.Producer) error {
	pace := time.NewTicker(10 * time.Millisecond)
	defer pace.Stop()
	for seq := int64(1); ; {
		select {
		case <-l.stop:
			return p.Flush(context.Background())
		case <-pace.C:
		}
		for range 10 { // 200 ticks every 10 ms
			for s := range 20 {
				ts := time.Now().UnixMicro()
				if seq%50 == 49 {
					ts -= int64(time.Hour/time.Microsecond) * (1 + seq%5)
				}
				t := feed.Tick{Symbol: fmt.Sprintf("S%02d", s), Venue: "SIM", TS: ts, Price: 100 + float64(seq%89)/8, Size: float64(seq % 7), Seq: seq}
				l.sum.add(&t)
				if err := p.Produce(context.Background(), &t); err != nil {
					return err
				}
			}
			seq++
		}
	}
}

func (l *load) end(t testing.TB) sum {
	t.Helper()
	close(l.stop)
	if err := <-l.done; err != nil {
		t.Fatalf("produce: %v", err)
	}
	return l.sum
}

// watched returns the offset of ingest; 0 while the database is down.
func watched(ctx context.Context, d *dbtest.DB) (offset int64, stored int) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	_ = d.Pool.QueryRow(ctx, "SELECT (SELECT coalesce(sum(next_offset), 0) FROM ingest_offsets), (SELECT count(*) FROM ticks) + (SELECT count(*) FROM late_ticks)").Scan(&offset, &stored)
	return offset, stored
}

func wantSum(t *testing.T, ctx context.Context, d *dbtest.DB, want sum) {
	t.Helper()
	var offset int64
	var stored int
	wait.For(t, fmt.Sprintf("%d ticks stored", want.count), func() (any, bool) {
		if o, n := watched(ctx, d); o > 0 { // 0 while the database is down
			offset, stored = o, n
		}
		return fmt.Sprintf("%d ticks stored, offsets add up to %d", stored, offset), stored >= want.count
	})
	var got sum
	for _, table := range []string{"ticks", "late_ticks"} {
		for _, x := range readTicks(ctx, t, d.Pool, table) {
			got.add(&x)
		}
	}
	if got != want {
		t.Errorf("stored %d ticks with checksum %x, produced %d with %x", got.count, got.hash, want.count, want.hash)
	}
	t.Logf("%d ticks", got.count)
}

// TestKillIngest kills ingest with SIGKILL ten times under load.
func TestKillIngest(t *testing.T) {
	r := newRig(t)
	p := newProcess(t, childEnv+"=ingest", "CHILD_DATABASE="+r.db.URL, "CHILD_BROKERS="+strings.Join(r.brokers, ","))
	l := startLoad(t, r.brokers)
	for kill := range 10 {
		before, _ := watched(r.ctx, r.db)
		wait.Until(t, fmt.Sprintf("progress before kill %d", kill+1), func() bool {
			now, _ := watched(r.ctx, r.db)
			return now > before+int64(300*kill)
		})
		p.kill()
		p.start()
	}
	wantSum(t, r.ctx, r.db, l.end(t))
}

// redundant produces as two feed handlers do that know nothing of keys: both send
// the ticks of three symbols over all partitions, one some steps behind, and each
// loses some that the other has.
type redundant struct {
	client *kgo.Client
	recent []feed.Tick
}

func (r *redundant) send(ctx context.Context, t *feed.Tick) {
	r.recent = append(r.recent, *t)
	if t.Seq%17 != 3 {
		r.produce(ctx, t)
	}
	if len(r.recent) > 60 {
		r.behind(ctx)
	}
}

func (r *redundant) behind(ctx context.Context) {
	if t := &r.recent[0]; t.Seq%13 != 5 || t.Seq%17 == 3 {
		r.produce(ctx, t)
	}
	r.recent = r.recent[1:]
}

func (r *redundant) produce(ctx context.Context, t *feed.Tick) {
	r.client.Produce(ctx, &kgo.Record{Topic: feed.Topic, Value: feed.AppendJSON(nil, t), Timestamp: t.Time()}, nil)
}

func (r *redundant) flush(ctx context.Context) error {
	for len(r.recent) > 0 {
		r.behind(ctx)
	}
	return r.client.Flush(ctx)
}

// TestKillWithoutKeys kills ingest, with two members, under the load of two
// redundant feed handlers that send no keys.
func TestKillWithoutKeys(t *testing.T) {
	r := newRig(t)
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := newProcess(t, childEnv+"=ingest", "CHILD_DATABASE="+r.db.URL, "CHILD_BROKERS="+strings.Join(r.brokers, ","), "CHILD_WORKERS=2")
	feeds, seq, want := &redundant{client: client}, int64(0), sum{}
	load := func(n int) {
		for range n {
			seq++
			for s := range 3 {
				k := feed.Tick{Symbol: fmt.Sprintf("S%02d", s), Venue: "SIM", TS: time.Now().UnixMicro(), Price: 100 + float64(seq%89)/8, Size: float64(seq % 7), Seq: seq}
				want.add(&k)
				feeds.send(r.ctx, &k)
			}
		}
	}
	for kill := range 5 {
		before, _ := watched(r.ctx, r.db)
		load(800)
		wait.Until(t, fmt.Sprintf("progress before kill %d", kill+1), func() bool {
			now, _ := watched(r.ctx, r.db)
			return now > before+int64(300*kill)
		})
		p.kill()
		p.start()
	}
	load(100)
	if err := feeds.flush(r.ctx); err != nil {
		t.Fatalf("produce: %v", err)
	}
	wantSum(t, r.ctx, r.db, want)
	if open := r.text(openGaps); open != "" {
		t.Errorf("open gaps are %s, want none: each handler sent what the other lost", open)
	}
}

// TestKillAll kills the database and the broker twice each, and ingest in
// between. A server we did not start cannot be killed: the database is
// always the embedded one.
func TestKillAll(t *testing.T) {
	t.Setenv(dbtest.ServerEnv, "")
	ctx := wait.Context(t, 4*time.Minute)
	d := restartable(t)
	dir := t.TempDir()
	broker := newProcess(t, childEnv+"=broker", "CHILD_DIR="+dir, "CHILD_LISTEN=127.0.0.1:0")
	line, err := broker.out.ReadString('\n')
	if err != nil {
		t.Fatalf("broker did not start: %v", err)
	}
	addr := strings.TrimSpace(line)
	broker.env = append(broker.env, "CHILD_LISTEN="+addr)
	p := newProcess(t, childEnv+"=ingest", "CHILD_DATABASE="+d.URL, "CHILD_BROKERS="+addr)
	l := startLoad(t, []string{addr})
	moves := func(what string) {
		var before int64
		wait.Until(t, "the database answers "+what, func() bool { before, _ = watched(ctx, d); return before > 0 })
		wait.Until(t, "progress "+what, func() bool { now, _ := watched(ctx, d); return now > before+500 })
	}
	for range 2 {
		moves("before the database is killed")
		d.Embedded.Kill()
		moves("before the broker is killed")
		broker.kill()
		broker.start()
		moves("before ingest is killed")
		p.kill()
		p.start()
	}
	wantSum(t, ctx, d, l.end(t))
}

// TestBrokerKillsKeepOrder kills the broker under load and expects the ticks of
// each symbol in the order of seq, apart from duplicates: ingest drops a tick
// that comes after a newer one as a duplicate.
func TestBrokerKillsKeepOrder(t *testing.T) {
	ctx := wait.Context(t, 4*time.Minute)
	broker := newProcess(t, childEnv+"=broker", "CHILD_DIR="+t.TempDir(), "CHILD_LISTEN=127.0.0.1:0")
	line, err := broker.out.ReadString('\n')
	if err != nil {
		t.Fatalf("broker did not start: %v", err)
	}
	addr := strings.TrimSpace(line)
	broker.env = append(broker.env, "CHILD_LISTEN="+addr)
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(feed.Topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	decoder, newest := feed.NewDecoder(), map[string]int64{}
	read, distinct, late := 0, 0, 0
	l := startLoad(t, []string{addr})
	// poll reads until ok, and records ticks that are out of order.
	poll := func(what string, ok func() bool) {
		t.Helper()
		wait.Until(t, what, func() bool {
			short, stop := context.WithTimeout(ctx, 200*time.Millisecond)
			defer stop()
			cl.PollFetches(short).EachRecord(func(r *kgo.Record) {
				var x feed.Tick
				if err := decoder.Decode(r.Value, &x); err != nil {
					t.Fatal(err)
				}
				read++
				switch last := newest[x.Symbol]; {
				case x.Seq == last+1:
					newest[x.Symbol] = x.Seq
					distinct++
				case x.Seq > last:
					late += int(x.Seq - last - 1)
					newest[x.Symbol] = x.Seq
					distinct++
				}
			})
			select {
			case err := <-l.done:
				l.done <- err // end wants it as well
				if err != nil {
					t.Fatalf("the producer gave up: %v", err)
				}
			default:
			}
			return ok()
		})
	}
	for kill := range kills() {
		before := read
		poll(fmt.Sprintf("progress before kill %d", kill+1), func() bool { return read > before+2000 })
		broker.kill()
		broker.start()
	}
	want := l.end(t)
	poll("the topic is read", func() bool { return distinct+late >= want.count })
	if late > 0 {
		t.Errorf("%d of %d ticks were overtaken by newer ones of their symbol, or are not there", late, want.count)
	}
	t.Logf("%d ticks, %d repeats", distinct, read-distinct)
}

// kills is how often the broker dies: HYPERTICK_TEST_KILLS, or a few times.
func kills() int {
	if n, err := strconv.Atoi(os.Getenv("HYPERTICK_TEST_KILLS")); err == nil {
		return n
	}
	return 5
}

// restartable is an embedded database that comes back when it is killed.
func restartable(t *testing.T) *dbtest.DB {
	t.Helper()
	ctx := wait.Context(t, 2*time.Minute)
	e, err := embedded.StartDatabase(ctx, embedded.DatabaseConfig{
		Dir: t.TempDir(), CacheDir: dbtest.CacheDir(t), Relaxed: true, Restart: true, Log: quiet(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Close() })
	d := &dbtest.DB{URL: e.URL("postgres"), Embedded: e}
	if err := db.Migrate(ctx, d.URL, quiet()); err != nil {
		t.Fatal(err)
	}
	if d.Pool, err = db.NewPool(d.URL, 2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Pool.Close)
	return d
}

package api

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
	"github.com/hypertick/hypertick/stream"
)

// soakEnv asks for the whole soak: 1,000 clients, 5,000 ticks a second, a minute.
const soakEnv = "HYPERTICK_SOAK"

type soak struct {
	clients, symbols int
	minutes          int // of the market
	commits, rows    int // per minute, and ticks per commit
	paced            bool
}

// TestStreamSoak has many clients at once, and expects that each sees every
// closed candle of its symbols exactly once, and that memory stays flat. The
// market's clock goes twelve times as fast as ours, so that many bars close.
func TestStreamSoak(t *testing.T) {
	s := soak{clients: 200, symbols: 20, minutes: 7, commits: 6, rows: 100}
	if os.Getenv(soakEnv) != "" {
		s = soak{clients: 1000, symbols: 100, minutes: 12, commits: 100, rows: 250, paced: true}
	}
<<<<<<< HEAD
	every := 100 * time.Millisecond
	if s.paced {
		every = 250 * time.Millisecond
	}
	l := newLive(t, Config{Stream: stream.Config{Beat: every, StatusEvery: time.Second}})
=======
	poll := 100 * time.Millisecond
	if s.paced {
		poll = 250 * time.Millisecond
	}
	l := newLive(t, Config{Stream: stream.Config{PollInterval: poll, StatusEvery: time.Second}})
>>>>>>> wb
	names := make([]string, s.symbols)
	for i := range names {
		names[i] = fmt.Sprintf("SYM%02d", i)
	}
	// The market is ahead of the database's clock, so nothing counts as late.
	start := time.Now().UTC().Truncate(time.Hour).Add(2 * time.Hour)
	l.tick(start, names...)

	ends := make(chan error, s.clients)
	var clients []*soakClient
	var wg sync.WaitGroup
	var subs []*subscriber
	defer func() {
		for _, sub := range subs {
			sub.close()
		}
		wg.Wait()
	}()
	for i := range s.clients {
		c := &soakClient{closed: map[string]int{}, ready: make(chan struct{})}
		var query string
		if i%10 == 0 {
			query, c.intervals = "?events=candle,status&interval=1m,5m", []string{"1m", "5m"}
		} else {
			c.intervals = []string{"1m"}
			for k := range 3 {
				c.symbols = append(c.symbols, names[(i+k*7)%len(names)])
			}
			query = fmt.Sprintf("?symbols=%s,%s,%s", c.symbols[0], c.symbols[1], c.symbols[2])
		}
		sub := l.mustSubscribe(query, "")
		clients = append(clients, c)
		wg.Add(1)
		go func() { defer wg.Done(); ends <- c.read(sub) }()
		subs = append(subs, sub)
	}
	for _, c := range clients {
		<-c.ready
	}

	cpu, began, ticks := cpuTime(), time.Now(), l.feed(s, start, names)
	var early, late runtime.MemStats
	feeding := make(chan error, 1)
	go func() {
		feeding <- ticks(func(minute int) {
			if minute == s.minutes/3 {
				runtime.GC()
				runtime.ReadMemStats(&early)
			}
		})
	}()
	if err := <-feeding; err != nil {
		t.Fatal(err)
	}
	took, used := time.Since(began), cpuTime()-cpu
	runtime.GC()
	runtime.ReadMemStats(&late)
	all := l.committed
	end := start.Add(time.Duration(s.minutes) * time.Minute)
	l.clock.Store(end.Add(20 * time.Second).UnixMicro())

	want := map[string]bool{}
	for _, interval := range dbtest.Intervals[:2] {
		for _, c := range dbtest.BruteForce(all, interval.Span) {
			if !c.Bucket.Add(interval.Span).After(end) {
				want[fmt.Sprint(c.Symbol, " ", interval.Name, " ", c.Bucket.Unix())] = true
			}
		}
	}
	for i, c := range clients {
		mine := map[string]bool{}
		for key := range want {
			var symbol, interval string
			fmt.Sscan(key, &symbol, &interval)
			if (c.symbols == nil || slices.Contains(c.symbols, symbol)) && slices.Contains(c.intervals, interval) {
				mine[key] = true
			}
		}
		wait.For(t, fmt.Sprintf("all that client %d should see (the market began at %d)", i, start.Unix()), func() (any, bool) {
			l.clock.Add(int64(20 * time.Millisecond / time.Microsecond)) // the last bars close when the feeds have been quiet
			c.mu.Lock()
			defer c.mu.Unlock()
			var missing []string
			for key := range mine {
				if c.closed[key] == 0 {
					missing = append(missing, key)
				}
			}
			return fmt.Sprintf("no %q", missing), len(missing) == 0
		})
		c.mu.Lock()
		for key, n := range c.closed {
			if n != 1 || !mine[key] {
				t.Errorf("client %d: %s came %d times", i, key, n)
			}
		}
		c.mu.Unlock()
	}
	select {
	case err := <-ends:
		t.Errorf("a client's stream ended: %v", err)
	default:
	}
	var events, size int64
	for _, c := range clients {
		events, size = events+c.events.Load(), size+c.bytes.Load()
	}
	if grown := int64(late.HeapInuse) - int64(early.HeapInuse); grown > 16<<20+int64(early.HeapInuse)/4+int64(len(all))*80 {
		t.Errorf("the heap grew from %d to %d bytes", early.HeapInuse, late.HeapInuse)
	}
	t.Logf("%d clients, %d ticks in %v (%.0f/s), %d closes each of %d: %d events, %d MB sent; CPU %v with clients and feed (%.2f cores); heap %d MB after a third, %d MB at the end, from the system %d MB",
		s.clients, len(all), took.Round(time.Millisecond), float64(len(all))/took.Seconds(), len(want), s.clients, events, size>>20,
		used.Round(time.Millisecond), used.Seconds()/took.Seconds(), early.HeapInuse>>20, late.HeapInuse>>20, late.Sys>>20)
}

// feed makes the function that commits the ticks of the whole market.
func (l *live) feed(s soak, start time.Time, names []string) func(each func(minute int)) error {
	return func(each func(minute int)) error {
		gap := time.Minute / time.Duration(s.commits)
		pace := time.NewTicker(gap / 12)
		defer pace.Stop()
		for minute := range s.minutes {
			for commit := range s.commits {
				at := start.Add(time.Duration(minute)*time.Minute + time.Duration(commit)*gap)
				ticks := make([]dbtest.Tick, s.rows)
				for i := range ticks {
					l.seq++
					ticks[i] = dbtest.Tick{TS: at.Add(time.Duration(1+i) * time.Microsecond), Symbol: names[i%len(names)], Price: 50 + float64(l.seq%977)/10, Size: 1, Seq: l.seq, Venue: "SIM"}
				}
				if err := l.db.TryCommit(context.Background(), ticks, nil); err != nil {
					return err
				}
				l.clock.Store(at.UnixMicro())
				l.committed = append(l.committed, ticks...)
				if s.paced {
					<-pace.C
				}
			}
			each(minute)
		}
		return nil
	}
}

// soakClient counts the closes it sees.
type soakClient struct {
	symbols, intervals []string
	ready              chan struct{}
	events, bytes      atomic.Int64
	mu                 sync.Mutex
	closed             map[string]int
}

func (c *soakClient) read(s *subscriber) error {
	first := true
	for {
		line, err := s.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		c.bytes.Add(int64(len(line)))
		if len(line) > 6 && line[0] == 'd' {
			c.events.Add(1)
			if first {
				first = false
				close(c.ready)
			}
			if key, ok := closedOf(line); ok {
				c.mu.Lock()
				c.closed[key]++
				c.mu.Unlock()
			}
		}
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

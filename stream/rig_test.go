package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a hub on a database of the test's own, with a clock of its own: the
// market's time goes as fast as the test feeds it.
type rig struct {
	t     testing.TB
	db    *dbtest.DB
	hub   *Hub
	end   func() // ends the hub and waits for it
	clock atomic.Int64
	seq   int64
	ticks []dbtest.Tick
	rand  *rand.Rand
}

// begin is midnight some days ago: old enough for every bar of that day to be
// closed by any clock.
var begin = time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)

func newRig(t testing.TB, cfg Config) *rig {
	t.Helper()
	r := &rig{t: t, db: dbtest.New(t), rand: rand.New(rand.NewPCG(3, 5))}
	r.setClock(begin)
	r.hub = r.newHub(cfg)
	r.end = run(t, r.hub)
	return r
}

// run runs a hub for the length of the test, or until it is ended.
func run(t testing.TB, h *Hub) (end func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run the hub: %v", err)
		}
	})
	t.Cleanup(end)
	return end
}

// newHub is a hub that does not run yet.
func (r *rig) newHub(cfg Config) *Hub {
	r.t.Helper()
	pool, err := db.Open(context.Background(), r.db.URLAs(r.t, "hypertick_reader"), 4)
	if err != nil {
		r.t.Fatal(err)
	}
	cfg.Pool, cfg.Log, cfg.Now = pool, dbtest.Log(r.t), r.now
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 20 * time.Millisecond
	}
	r.t.Cleanup(pool.Close)
	return New(cfg)
}

func (r *rig) now() time.Time        { return time.UnixMicro(r.clock.Load()).UTC() }
func (r *rig) setClock(ts time.Time) { r.clock.Store(ts.UnixMicro()) }

// tick makes the next tick of a symbol.
func (r *rig) tick(symbol string, ts time.Time) dbtest.Tick {
	r.seq++
	return dbtest.Tick{TS: ts, Symbol: symbol, Price: 50 + float64(r.rand.IntN(10000))/100, Size: float64(r.rand.IntN(5)), Seq: r.seq, Venue: "SIM", Side: int16(r.seq%3) - 1}
}

// feed commits ticks that are in order and sets the clock to the newest.
func (r *rig) feed(ticks ...dbtest.Tick) {
	r.t.Helper()
	for _, k := range ticks {
		if k.TS.After(r.now()) {
			r.setClock(k.TS)
		}
	}
	r.db.Commit(r.t, ticks, nil)
	r.ticks = append(r.ticks, ticks...)
}

// minute feeds a minute of the symbols, in a few commits.
func (r *rig) minute(start time.Time, symbols ...string) {
	r.t.Helper()
	for part := range 3 {
		var ticks []dbtest.Tick
		for i, s := range symbols {
			ticks = append(ticks, r.tick(s, start.Add(time.Duration(part)*20*time.Second+time.Duration(i)*time.Millisecond)))
		}
		r.feed(ticks...)
	}
}

// five are the intervals that are materialised from the start.
var five = []string{"1m", "5m", "15m", "1h", "1d"}

// timeframeOf parses the name of an interval.
func timeframeOf(name string) timeframe {
	tf, err := parseTimeframe(name)
	if err != nil {
		panic(err)
	}
	return tf
}

// want is the bars of an interval that ended by end.
func (r *rig) want(interval string, end time.Time, symbols ...string) []dbtest.Candle {
	tf := timeframeOf(interval)
	var out []dbtest.Candle
	for _, c := range dbtest.BruteForceBy(r.ticks, tf.Start) {
		if !tf.End(c.Bucket).After(end) && (symbols == nil || slices.Contains(symbols, c.Symbol)) {
			out = append(out, c)
		}
	}
	return out
}

// message is an event as a client reads it.
type message struct {
	id, event, data string
	candle          Candle
	alert           Alert
}

// listener collects what a client gets.
type listener struct {
	t    testing.TB
	c    *Client
	stop context.CancelFunc
	done chan struct{}
	mu   sync.Mutex
	got  []message
	err  error
}

func (r *rig) listen(h *Hub, sub Subscription) *listener {
	r.t.Helper()
	c, err := h.Subscribe(sub)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	l := &listener{t: r.t, c: c, stop: cancel, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		for {
			out, err := c.Next(ctx, time.Minute)
			l.mu.Lock()
			if err != nil {
				l.err = err
				l.mu.Unlock()
				return
			}
			l.got = append(l.got, parse(out)...)
			l.mu.Unlock()
		}
	}()
	r.t.Cleanup(l.close)
	return l
}

func (l *listener) close() {
	l.stop()
	<-l.done
	l.c.Close()
}

func (l *listener) messages() []message {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.got)
}

// candles is the candles of the given states, in the order they came.
func (l *listener) candles(states ...string) []Candle {
	var out []Candle
	for _, m := range l.messages() {
		if m.event == "candle" && slices.Contains(states, m.candle.State) {
			out = append(out, m.candle)
		}
	}
	return out
}

// alerts is the alerts, in the order they came.
func (l *listener) alerts() []Alert {
	var out []Alert
	for _, m := range l.messages() {
		if m.event == "alert" {
			out = append(out, m.alert)
		}
	}
	return out
}

func (l *listener) count(event string) int {
	n := 0
	for _, m := range l.messages() {
		if m.event == event {
			n++
		}
	}
	return n
}

func parse(b []byte) []message {
	var out []message
	for _, block := range strings.Split(string(b), "\n\n") {
		var m message
		for _, line := range strings.Split(block, "\n") {
			switch name, value, _ := strings.Cut(line, ": "); name {
			case "id":
				m.id = value
			case "event":
				m.event = value
			case "data":
				m.data = value
			}
		}
		if to := map[string]any{"candle": &m.candle, "alert": &m.alert}[m.event]; to != nil {
			dec := json.NewDecoder(bytes.NewReader([]byte(m.data)))
			dec.DisallowUnknownFields()
			if err := dec.Decode(to); err != nil {
				m.event = fmt.Sprintf("not decoded: %v: %s", err, m.data)
			}
		}
		if m.event != "" {
			out = append(out, m)
		}
	}
	return out
}

// caughtUp waits until the hub has made a whole pass that began after now.
func (r *rig) caughtUp(h *Hub) {
	r.t.Helper()
	// Two statuses: the second's pass began after the first was out.
	l := r.listen(h, Subscription{Kinds: Status})
	defer l.close()
	wait.Until(r.t, "two passes", func() bool { return l.count("status") >= 3 })
}

// sameCandles compares events with bars, in any order.
func sameCandles(t testing.TB, what string, got []Candle, want []dbtest.Candle) {
	t.Helper()
	var bars []dbtest.Candle
	for _, c := range got {
		b := dbtest.Candle{Symbol: c.Symbol, Bucket: c.Bucket, Open: c.Open, High: c.High, Low: c.Low, Close: c.Close, Volume: c.Volume, BuyVolume: c.BuyVolume, Trades: c.Trades}
		if c.VWAP != nil {
			b.Notional = *c.VWAP * c.Volume
		}
		bars = append(bars, b)
	}
	slices.SortStableFunc(bars, func(a, b dbtest.Candle) int {
		if c := strings.Compare(a.Symbol, b.Symbol); c != 0 {
			return c
		}
		return a.Bucket.Compare(b.Bucket)
	})
	dbtest.EqualCandles(t, what, bars, want)
}

func only(candles []Candle, interval string, symbols ...string) []Candle {
	var out []Candle
	for _, c := range candles {
		if c.Interval == interval && (symbols == nil || slices.Contains(symbols, c.Symbol)) {
			out = append(out, c)
		}
	}
	return out
}

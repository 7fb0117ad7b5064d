package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
	"github.com/hypertick/hypertick/stream"
)

// live is a server with a stream whose clock the test sets.
type live struct {
	*client
	db        *dbtest.DB
	server    *Server
	clock     atomic.Int64
	seq       int64
	committed []dbtest.Tick
}

func newLive(t testing.TB, cfg Config) *live {
	t.Helper()
	l := &live{db: dbtest.New(t)}
	l.clock.Store(time.Now().Truncate(time.Hour).UnixMicro())
	cfg.Pool = reader(t, l.db)
	cfg.Stream.Now = l.now
	if cfg.Stream.PollInterval == 0 {
		cfg.Stream.PollInterval = 20 * time.Millisecond
	}
	l.client = serve(t, cfg, func(s *Server) { l.server = s })
	return l
}

func (l *live) now() time.Time { return time.UnixMicro(l.clock.Load()).UTC() }

// tick commits one tick of each symbol and sets the clock to it.
func (l *live) tick(ts time.Time, symbols ...string) {
	l.t.Helper()
	var ticks []dbtest.Tick
	for _, s := range symbols {
		l.seq++
		ticks = append(ticks, dbtest.Tick{TS: ts, Symbol: s, Price: 100 + float64(l.seq), Size: float64(l.seq % 3), Seq: l.seq, Venue: "SIM"})
	}
	l.clock.Store(ts.UnixMicro())
	l.db.Commit(l.t, ticks, nil)
}

// sse is one event.
type sse struct{ id, event, data string }

// subscriber reads a stream from a socket of its own.
type subscriber struct {
	conn net.Conn
	resp *http.Response
	r    *bufio.Reader
}

func (c *client) subscribe(query, lastID string) (*subscriber, error) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.base, "http://"))
	if err != nil {
		return nil, err
	}
	header := ""
	if lastID != "" {
		header = "Last-Event-ID: " + lastID + "\r\n"
	}
	if _, err := fmt.Fprintf(conn, "GET /v1/stream%s HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n%s\r\n", query, header); err != nil {
		conn.Close()
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 4096), nil)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return &subscriber{conn, resp, bufio.NewReaderSize(resp.Body, 1024)}, nil
}

// next is the next event; comments and retry are passed over.
func (s *subscriber) next() (sse, error) {
	var e sse
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return e, err
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			e.id = value
		case "event":
			e.event = value
		case "data":
			e.data = value
		case "":
			if e.event != "" {
				return e, nil
			}
		}
	}
}

func (s *subscriber) close() { s.conn.Close() }

func (l *live) mustSubscribe(query, lastID string) *subscriber {
	l.t.Helper()
	s, err := l.subscribe(query, lastID)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(s.close)
	if s.resp.StatusCode != http.StatusOK {
		l.t.Fatalf("status %d", s.resp.StatusCode)
	}
	return s
}

// until reads events until one fits.
func (l *live) until(s *subscriber, what string, fits func(sse) bool) sse {
	l.t.Helper()
	_ = s.conn.SetReadDeadline(time.Now().Add(wait.Scale(time.Minute)))
	for {
		e, err := s.next()
		if err != nil {
			l.t.Fatalf("%s: %v", what, err)
		}
		if fits(e) {
			return e
		}
	}
}

func has(event, part string) func(sse) bool {
	return func(e sse) bool { return e.event == event && strings.Contains(e.data, part) }
}

// TestStream compares what the stream says with what REST says.
func TestStream(t *testing.T) {
	l := newLive(t, Config{})
	start := l.now()
	l.tick(start.Add(time.Second), "AAPL", "MSFT")
	s := l.mustSubscribe("?symbols=AAPL,MSFT&interval=1m,5m", "")
	if ct, cc := s.resp.Header.Get("Content-Type"), s.resp.Header.Get("Cache-Control"); ct != "text/event-stream" || cc != "no-store" || s.resp.Header.Get("X-Request-ID") == "" {
		t.Errorf("headers %v", s.resp.Header)
	}
	status := l.until(s, "status", has("status", ""))
	var fields map[string]any
	if err := json.Unmarshal([]byte(status.data), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"time", "last_tick", "last_tick_age", "ticks_per_second", "stale", "jobs_failed", "candles_behind"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("status has no %s: %s", name, status.data)
		}
	}
	l.tick(start.Add(2*time.Second), "AAPL")
	tick := l.until(s, "tick", has("tick", `"AAPL"`))
	forming := l.until(s, "forming", has("candle", `"symbol":"AAPL","interval":"5m","state":"forming"`))
	if tick.id == "" || forming.id == "" {
		t.Errorf("no ids: %+v, %+v", tick, forming)
	}
	l.tick(start.Add(66*time.Second), "AAPL", "MSFT")
	closed := l.until(s, "closed", has("candle", `"symbol":"MSFT","interval":"1m","state":"closed"`))

	l.same(tick, "/v1/symbols/AAPL/ticks", 1)
	l.same(forming, "/v1/symbols/AAPL/candles?interval=5m&to="+start.Add(time.Minute).Format(time.RFC3339), -1)
	l.same(closed, "/v1/symbols/MSFT/candles?interval=1m", 0)

	// From the forming candle on it has missed the close, but not the ticks.
	again := l.mustSubscribe("?symbols=MSFT&interval=1m&events=candle", forming.id)
	if e := l.until(again, "replay", has("candle", "")); e.data != closed.data {
		t.Errorf("after %s came %+v, want the close", forming.id, e)
	}
}

// same compares an event with row n of a list. Forming bars have gone on.
func (l *live) same(e sse, path string, n int) {
	l.t.Helper()
	a, err := l.do(http.MethodGet, path)
	if err != nil || a.status != http.StatusOK {
		l.t.Fatalf("%s: %d %s %v", path, a.status, a.body, err)
	}
	var list struct{ Data []map[string]any }
	var got map[string]any
	if err := json.Unmarshal(a.body, &list); err != nil {
		l.t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(e.data), &got); err != nil {
		l.t.Fatal(err)
	}
	for _, name := range []string{"symbol", "interval", "state"} {
		delete(got, name)
	}
	if n < 0 {
		row := list.Data[0]
		for name := range row {
			if _, ok := got[name]; !ok {
				l.t.Errorf("%s has %s, the event has not: %s", path, name, e.data)
			}
		}
		if len(got) != len(row) || got["bucket"] != row["bucket"] || got["open"] != row["open"] {
			l.t.Errorf("%s: got %s, want %v", path, e.data, row)
		}
		return
	}
	if !reflect.DeepEqual(got, list.Data[n]) {
		l.t.Errorf("%s: got %s, want %v", path, e.data, list.Data[n])
	}
}

func TestStreamProblems(t *testing.T) {
	l := newLive(t, Config{Stream: stream.Config{MaxClients: 1}})
	l.tick(l.now(), "AAPL")
	for _, c := range []struct {
		query    string
		status   int
		location string
	}{
		{"symbols=NONE", 404, "query.symbols"},
		{"symbols=AAPL,NONE", 404, "query.symbols"},
		{"symbols=AAPL%27--", 404, "query.symbols"},
		{"symbols=AAPL%00", 422, "query.symbols"},
		{"symbols=*,AAPL", 422, "query.symbols"},
		{"symbols=" + strings.Repeat("AAPL,", 200) + "AAPL", 422, "query.symbols"},
		{"interval=7s", 422, "query.interval"},
		{"interval=1m,7s", 422, "query.interval"},
		{"events=trade", 422, "query.events"},
		{"symbol=AAPL", 422, "query.symbol"},
	} {
		a, err := l.do(http.MethodGet, "/v1/stream?"+c.query)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.query, a.status, c.status, a.body)
			continue
		}
		p := problemOf(t, a)
		if len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, c.location) {
			t.Errorf("%s: %s, want location %s", c.query, a.body, c.location)
		}
	}
	a, err := l.do(http.MethodHead, "/v1/stream")
	if err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("HEAD: %+v, %v", a, err)
	}
	one := l.mustSubscribe("", "")
	a, err = l.do(http.MethodGet, "/v1/stream")
	if err != nil || a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("one too many: %+v, %v", a, err)
	}
	problemOf(t, a)
	one.close()
	wait.Equal(t, "clients once the one has gone", 0, l.server.hub.Clients)
}

// TestStreamStop stops a server with streams, and expects that it stops long
// before it would cut them.
func TestStreamStop(t *testing.T) {
	d := dbtest.New(t)
	s, err := New(Config{Pool: reader(t, d), Listen: "127.0.0.1:0", Log: dbtest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	c := &client{base: "http://" + s.Addr()}
	var streams []*subscriber
	for range 20 {
		sub, err := c.subscribe("", "")
		if err != nil {
			t.Fatal(err)
		}
		defer sub.close()
		streams = append(streams, sub)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.base.Err(); err == nil {
		t.Error("the server's context goes on")
	}
	for _, sub := range streams {
		for {
			// The end is that of a whole answer, not of a broken one.
			if _, err := sub.next(); err != nil {
				if err.Error() != "EOF" {
					t.Errorf("the stream ended with %v", err)
				}
				break
			}
		}
	}
}

// TestStreamSlow has clients that do not read. They are dropped, and one that
// reads misses nothing.
func TestStreamSlow(t *testing.T) {
	l := newLive(t, Config{WriteTimeout: time.Second, Stream: stream.Config{MaxPending: 50}})
	symbols := make([]string, 20)
	for i := range symbols {
		symbols[i] = fmt.Sprintf("SYM%02d", i)
	}
	start := l.now()
	l.tick(start, symbols...)
	good := l.mustSubscribe("?events=candle&symbols=SYM07", "")
	for range 5 {
		s := l.mustSubscribe("?interval=1m,5m,15m", "")
		_ = s.conn.(*net.TCPConn).SetReadBuffer(2048)
	}
	closes := make(chan string, 10_000)
	go func() {
		defer close(closes)
		for {
			e, err := good.next()
			if err != nil {
				return
			}
			if strings.Contains(e.data, `"closed"`) {
				closes <- e.data
			}
		}
	}()
	wait.Equal(t, "clients", 6, l.server.hub.Clients)
	n := 0
	for ; l.server.hub.Clients() > 1; n++ {
		if n > 5000 {
			t.Fatal("they are still there")
		}
		l.tick(start.Add(time.Duration(n+1)*time.Minute), symbols...)
	}
	l.tick(start.Add(time.Duration(n+1)*time.Minute), symbols...)
	l.clock.Add(int64(2 * time.Minute / time.Microsecond))
	seen := map[string]bool{}
	for len(seen) < n {
		select {
		case data, ok := <-closes:
			if !ok {
				t.Fatalf("the good client was dropped after %d closes", len(seen))
			}
			if seen[data] {
				t.Errorf("twice: %s", data)
			}
			seen[data] = true
		case <-time.After(wait.Scale(time.Minute)):
			t.Fatalf("%d closes, want %d", len(seen), n)
		}
	}
}

var closedMark = []byte(`"state":"closed"`)

// closedOf is symbol, interval and bucket of a closed candle's line.
func closedOf(line []byte) (string, bool) {
	if !bytes.Contains(line, closedMark) {
		return "", false
	}
	var c stream.Candle
	if err := json.Unmarshal(bytes.TrimPrefix(line, []byte("data: ")), &c); err != nil {
		return err.Error(), true
	}
	return fmt.Sprint(c.Symbol, " ", c.Interval, " ", c.Bucket.Unix()), true
}

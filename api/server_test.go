package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one clock for the life of the process,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// and what clears idle workers notices the end of a server within 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// and so does the one of the benchmarks' client.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"))
}

// client speaks to a server over a socket.
type client struct {
	t    testing.TB
	http *http.Client
	base string
	log  *lines
	// contract judges every answer.
	contract *contract
}

// lines collects the log.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve runs a server for the length of the test.
func serve(t testing.TB, cfg Config, prepare ...func(*Server)) *client {
	t.Helper()
	log := &lines{}
	cfg.Listen, cfg.Log = "127.0.0.1:0", slog.New(slog.NewJSONHandler(log, nil))
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range prepare {
		p(s)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if t.Failed() {
			for line := range strings.Lines(log.String()) {
				if strings.Contains(line, `"level":"ERROR"`) {
					t.Log(line)
				}
			}
		}
	})
	return &client{t: t, http: &http.Client{Transport: transport, Timeout: time.Minute}, base: "http://" + s.Addr(), log: log,
		contract: newContract(t, s)}
}

// reader is a pool with the rights the API needs and no more.
func reader(t testing.TB, d *dbtest.DB) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(context.Background(), d.URLAs(t, "hypertick_reader"), 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// do never fails the test itself, so that goroutines may call it.
func (c *client) do(method, path string, header ...string) (answer, error) {
	return c.send(method, path, nil, header...)
}

func (c *client) send(method, path string, content io.Reader, header ...string) (answer, error) {
	req, err := http.NewRequestWithContext(context.Background(), method, c.base+path, content)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{resp.StatusCode, resp.Header, body}
	return a, c.contract.check(method, path, a)
}

func (c *client) get(path string) answer {
	c.t.Helper()
	a, err := c.do(http.MethodGet, path)
	if err != nil {
		c.t.Fatal(err)
	}
	return a
}

// fatal is what both testing.T and rapid.T can do.
type fatal interface {
	Helper()
	Fatalf(string, ...any)
}

// all follows the pages of path and returns them.
func all[T any](t fatal, c *client, path string, query url.Values) [][]T {
	t.Helper()
	var pages [][]T
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		a, err := c.do(http.MethodGet, path+"?"+q.Encode())
		if err != nil {
			t.Fatalf("%v", err)
		}
		if a.status != http.StatusOK {
			t.Fatalf("GET %s?%s: %d %s", path, q.Encode(), a.status, a.body)
		}
		var p page[T]
		dec := json.NewDecoder(bytes.NewReader(a.body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&p); err != nil {
			t.Fatalf("%v: %s", err, a.body)
		}
		if p.Data == nil {
			t.Fatalf("data is not a list: %s", a.body)
		}
		pages = append(pages, p.Data)
		if p.Next == "" {
			return pages
		}
		if len(p.Data) == 0 || len(pages) > 20000 {
			t.Fatalf("pages without end: %s", a.body)
		}
		q.Set("cursor", p.Next)
	}
}

func problemOf(t testing.TB, a answer) Problem {
	t.Helper()
	if ct := a.header.Get("Content-Type"); ct != problemType {
		t.Fatalf("content type %q, body %s", ct, a.body)
	}
	var p Problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	if p.Status != a.status || p.Title == "" || p.Detail == "" || p.RequestID == "" || p.RequestID != a.header.Get("X-Request-ID") {
		t.Fatalf("problem %+v, status %d, id %s", p, a.status, a.header.Get("X-Request-ID"))
	}
	return p
}

// market is a seeded database and what is in it.
type market struct {
	db    *dbtest.DB
	ticks map[string][]dbtest.Tick // by symbol, in order of ts, seq, venue
	now   time.Time                // of the newest tick but one
}

// current is the time as the database keeps it.
func current() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// newMarket seeds symbols that are busy, tied, sparse, long gone and split by
// years of silence. Half of it is in the continuous aggregates, half is not.
func newMarket(t testing.TB) *market {
	t.Helper()
	d := dbtest.New(t)
	m := &market{db: d, ticks: map[string][]dbtest.Tick{}}
	r := rand.New(rand.NewPCG(7, 11))
	seq := int64(0)
	now := current()
	add := func(symbol, venue string, ts time.Time) {
		seq++
		k := dbtest.Tick{TS: ts, Symbol: symbol, Price: 50 + 100*r.Float64(), Size: float64(r.IntN(4)), Seq: seq, Venue: venue}
		switch symbol { // of the others no side is known
		case "AAPL":
			k.Side = int16(2*(seq%2) - 1)
		case "BTC-USDT":
			k.Side = int16(seq%3 - 1)
		}
		m.ticks[symbol] = append(m.ticks[symbol], k)
	}
	for i := range 700 {
		// Many share a ts, across venues and within one.
		add("AAPL", []string{"SIM", "NYSE", "ARCA"}[r.IntN(3)], now.Add(-time.Duration(700-i)*4*time.Minute).Truncate(time.Minute*12))
		add("BTC-USDT", "BINANCE", now.Add(-time.Duration(r.IntN(40*24*3600))*time.Second))
	}
	for i := range 60 {
		// Silent between for longer than the windows of ticks reach.
		add("X:Y", "SIM", now.AddDate(-2*(i%2), 0, 0).Add(-time.Duration(i*i)*time.Hour))
		add("OLD.1", "SIM", now.AddDate(-2, 0, 0).Add(time.Duration(i)*time.Minute))
	}
	add("_ONE", "SIM", now.Add(-time.Hour))
	for i := range 30 {
		// The same ts and seq on several venues: only venue orders them.
		add("TIES", string(rune('A'+i%10)), now.Add(-time.Duration(i/10)*time.Hour))
		m.ticks["TIES"][i].Seq = int64(1 + i/10)
		m.ticks["TIES"][i].Price = 9
	}
	m.insert(t)
	d.Settle(t)
	// After the refresh: a late tick, and the forming bar. It is the bar of now,
	// for one that is a minute old is no longer forming when it is refreshed.
	now = current()
	m.now = now
	before := m.count()
	add("AAPL", "SIM", now.Add(-30*time.Hour))
	add("AAPL", "SIM", now)
	add("BTC-USDT", "BINANCE", now.Add(-time.Second))
	add("BTC-USDT", "COINBASE", now.Add(-time.Second))
	m.insertAfter(t, before)
	d.Settle(t)
	add("AAPL", "SIM", now.Add(time.Millisecond))
	m.insertAfter(t, m.count()-1)
	for _, ticks := range m.ticks {
		slices.SortFunc(ticks, order)
	}
	return m
}

func order(a, b dbtest.Tick) int {
	if c := a.TS.Compare(b.TS); c != 0 {
		return c
	}
	if c := cmp.Compare(a.Seq, b.Seq); c != 0 {
		return c
	}
	return strings.Compare(a.Venue, b.Venue)
}

func (m *market) count() int {
	n := 0
	for _, ticks := range m.ticks {
		n += len(ticks)
	}
	return n
}

func (m *market) insert(t testing.TB) { m.insertAfter(t, 0) }

// insertAfter stores the ticks whose seq is above seq.
func (m *market) insertAfter(t testing.TB, seq int) {
	t.Helper()
	var rows [][]any
	for _, ticks := range m.ticks {
		for _, k := range ticks {
			if k.Seq > int64(seq) {
				var side *int16
				if k.Side != 0 {
					side = &k.Side
				}
				rows = append(rows, []any{k.TS, k.Symbol, k.Price, k.Size, k.Seq, k.Venue, side})
			}
		}
	}
	ctx := context.Background()
	if _, err := m.db.Pool.CopyFrom(ctx, pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue", "side"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Pool.Exec(ctx, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts)
		SELECT venue, symbol, max(seq), max(ts) FROM ticks GROUP BY venue, symbol
		ON CONFLICT (symbol, venue) DO UPDATE SET last_seq = excluded.last_seq, last_ts = excluded.last_ts`); err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Pool.Exec(ctx, "INSERT INTO instruments (symbol, name) SELECT DISTINCT symbol, CASE symbol WHEN 'AAPL' THEN 'Apple' END FROM ticks ON CONFLICT DO NOTHING"); err != nil {
		t.Fatal(err)
	}
}

// vwap is what a candle's should be.
// tickOf is what the API returns for a tick.
func tickOf(k dbtest.Tick) Tick {
	t := Tick{TS: k.TS, Price: k.Price, Size: k.Size, Seq: k.Seq, Venue: k.Venue, Flags: k.Flags}
	switch k.Side {
	case 1:
		t.Side = ptr("buy")
	case -1:
		t.Side = ptr("sell")
	}
	return t
}

func vwap(notional, volume float64) *float64 {
	if volume == 0 {
		return nil
	}
	v := notional / volume
	return &v
}

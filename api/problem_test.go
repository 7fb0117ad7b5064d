package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

func testErrors(t *testing.T, c *client) {
	next := func(path string) string {
		var p page[map[string]any]
		if err := json.Unmarshal(c.get(path).body, &p); err != nil || p.Next == "" {
			t.Fatalf("%s: no next (%v)", path, err)
		}
		return p.Next
	}
	ticks := next("/v1/symbols/AAPL/ticks?limit=1")
	forward := next("/v1/symbols/AAPL/ticks?limit=1&from=2000-01-01T00:00:00Z")
	bars := next("/v1/symbols/AAPL/candles?limit=1&interval=5m")
	symbols := next("/v1/symbols?limit=1&q=o")
	at := int64(1)
	hostile := cursor{Kind: kindTicks, Symbol: "AAPL", At: &position{TS: 1 << 62, Venue: "a"}}.String()
	zero := cursor{Kind: kindTicks, Symbol: "AAPL", At: &position{TS: 1, Venue: "\x00"}}.String()
	backwards := cursor{Kind: kindTicks, Symbol: "AAPL", From: &at, To: &at, At: &position{}}.String()

	for _, k := range []struct {
		path     string
		status   int
		location string
	}{
		{"/v1/symbols/NOPE/ticks", 404, "path.symbol"},
		{"/v1/symbols/NOPE/candles", 404, "path.symbol"},
		{"/v1/symbols/NOPE/candles?from=2001-01-01T00:00:00Z&to=2001-01-02T00:00:00Z", 404, "path.symbol"},
		{"/v1/symbols/aapl/ticks", 404, "path.symbol"},
		{"/v1/symbols/" + strings.Repeat("A", 65) + "/ticks", 422, "path.symbol"},
		{"/v1/symbols/A%00B/ticks", 422, "path.symbol"},
		{"/v1/symbols/AAPL/ticks?limit=0", 422, "query.limit"},
		{"/v1/symbols/AAPL/ticks?limit=5001", 422, "query.limit"},
		{"/v1/symbols/AAPL/ticks?limit=-1", 422, "query.limit"},
		{"/v1/symbols/AAPL/ticks?limit=99999999999999999999", 422, "query.limit"},
		{"/v1/symbols/AAPL/ticks?limit=ten", 422, "query.limit"},
		{"/v1/symbols?limit=5001", 422, "query.limit"},
		{"/v1/symbols?q=" + strings.Repeat("A", 65), 422, "query.q"},
		{"/v1/symbols/AAPL/ticks?from=yesterday", 422, "query.from"},
		{"/v1/symbols/AAPL/ticks?to=2026-13-01T00:00:00Z", 422, "query.to"},
		{"/v1/symbols/AAPL/ticks?to=infinity", 422, "query.to"},
		{"/v1/symbols/AAPL/ticks?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "query.from"},
		{"/v1/symbols/AAPL/candles?from=2026-01-02T00:00:00Z&to=2026-01-02T00:00:00Z", 422, "query.from"},
		{"/v1/symbols/AAPL/candles?interval=7s", 422, "query.interval"},
		{"/v1/symbols/AAPL/candles?form=2026-01-02T00:00:00Z", 422, "query.form"},
		{"/v1/symbols/AAPL/ticks?cursor=!", 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + ticks[:len(ticks)-2], 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + strings.Repeat("A", 1025), 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + bars, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + symbols, 422, "query.cursor"},
		{"/v1/symbols?cursor=" + ticks, 422, "query.cursor"},
		{"/v1/symbols?q=b&cursor=" + symbols, 422, "query.cursor"},
		{"/v1/symbols/BTC-USDT/ticks?cursor=" + ticks, 422, "query.cursor"},
		{"/v1/symbols/AAPL/candles?interval=1h&cursor=" + bars, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?from=2000-01-01T00:00:00Z&cursor=" + ticks, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?from=2000-01-02T00:00:00Z&cursor=" + forward, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?to=2100-01-02T00:00:00Z&cursor=" + forward, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + hostile, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + zero, 422, "query.cursor"},
		{"/v1/symbols/AAPL/ticks?cursor=" + backwards, 422, "query.from"},
		{"/nope", 404, ""},
		{"/v1/symbols/", 404, ""},
		{"/v1/symbols/A%2FB/ticks", 404, "path.symbol"},
		{"/v1/symbols/A/B/ticks", 404, ""},
		{"/v1/symbols?q=%zz", 400, ""},
	} {
		// net/http would repair some of these paths.
		a := c.raw(http.MethodGet, k.path)
		p := problemOf(t, a)
		if a.status != k.status {
			t.Errorf("%s: status %d, want %d: %s", k.path, a.status, k.status, a.body)
		}
		if k.location != "" && (len(p.Errors) != 1 || p.Errors[0].Location != k.location || p.Errors[0].Message == "") {
			t.Errorf("%s: errors %s, want %s", k.path, a.body, k.location)
		}
		noLeak(t, a)
	}

	for _, s := range []string{"'; DROP TABLE ticks; --", "1' OR '1'='1", `"`, `\`, "$1", "%", "_%", "(SELECT 1)", "AAPL'--", "\u202e", "A A"} {
		e := url.QueryEscape(s)
		for _, path := range []string{
			"/v1/symbols/" + url.PathEscape(s) + "/ticks", "/v1/symbols/" + url.PathEscape(s) + "/candles", "/v1/symbols?cursor=" + e,
			"/v1/symbols?limit=" + e, "/v1/symbols/AAPL/ticks?from=" + e, "/v1/symbols/AAPL/ticks?to=" + e, "/v1/symbols/AAPL/ticks?cursor=" + e,
			"/v1/symbols/AAPL/candles?interval=" + e, "/v1/symbols/AAPL/candles?" + e + "=1",
		} {
			a := c.raw(http.MethodGet, path)
			problemOf(t, a)
			if a.status != 404 && a.status != 422 {
				t.Errorf("%s: status %d: %s", path, a.status, a.body)
			}
		}
	}
	for _, s := range []string{"'; DROP TABLE ticks; --", "1' OR '1'='1", `\\`, "$1", "_%", "(SELECT 1)", "\u202e"} {
		if a := c.raw(http.MethodGet, "/v1/symbols?q="+url.QueryEscape(s)); a.status != 200 || string(a.body) != "{\"data\":[]}\n" {
			t.Errorf("a search for %s: %d %s", s, a.status, a.body)
		}
	}
	if strings.Contains(c.log.String(), `"level":"ERROR"`) {
		t.Errorf("something reached the database that should not: %s", c.log)
	}
}

// raw sends the path as it is.
func (c *client) raw(method, path string) answer {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.base, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path)
	req, _ := http.NewRequest(method, c.base, nil)
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	var b strings.Builder
	if _, err := bufio.NewReader(resp.Body).WriteTo(&b); err != nil {
		c.t.Fatal(err)
	}
	a.body = []byte(b.String())
	if err := c.contract.check(method, path, a); err != nil {
		c.t.Error(err)
	}
	return a
}

// noLeak fails when an answer speaks of what is behind it.
func noLeak(t testing.TB, a answer) {
	t.Helper()
	for _, word := range []string{"SQLSTATE", "pgx", "dial", "127.0.0.1", "feed_positions", "goroutine", "timeout:"} {
		if strings.Contains(string(a.body), word) {
			t.Errorf("answer says %q: %s", word, a.body)
		}
	}
}

func TestMethods(t *testing.T) {
	d := dbtest.New(t)
	c := serve(t, Config{Pool: reader(t, d)})
	get := c.get("/v1/symbols")
	head, err := c.do(http.MethodHead, "/v1/symbols")
	if err != nil || head.status != 200 || len(head.body) != 0 || head.header.Get("Content-Length") != fmt.Sprint(len(get.body)) {
		t.Errorf("HEAD: %+v %v", head, err)
	}
	if a, err := c.do(http.MethodHead, "/nope"); err != nil || a.status != 404 {
		t.Errorf("HEAD /nope: %+v %v", a, err)
	}
	a, err := c.do(http.MethodOptions, "/v1/symbols/AAPL/ticks")
	if err != nil || a.status != 204 || a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
		t.Errorf("OPTIONS: %+v %v", a, err)
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		a, err := c.do(method, "/v1/symbols")
		if err != nil || a.status != 405 || a.header.Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %+v %v", method, a, err)
		}
		problemOf(t, a)
	}
	// Broken before any handler: still a problem.
	if a := c.raw(http.MethodGet, "/v1/symbols?q="+strings.Repeat("A", maxHeaderBytes)); a.status != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long header: %d %s", a.status, a.body)
	} else {
		problemOf(t, a)
	}
	if a := c.get("/"); a.status != 200 || !strings.Contains(string(a.body), "/v1/symbols") {
		t.Errorf("/: %+v", a)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if a := c.get(path); a.status != 200 || string(a.body) != "{\"status\":\"ok\"}\n" {
			t.Errorf("%s: %+v", path, a)
		}
	}
}

func TestRequestID(t *testing.T) {
	pool, err := db.NewPool("postgres://nobody@127.0.0.1:1/none?connect_timeout=1", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	c := serve(t, Config{Pool: pool}, func(s *Server) {
		s.app.Get("/panic", func(*fiber.Ctx) error { panic("secret 127.0.0.1") })
		s.app.Get("/error", func(*fiber.Ctx) error { return fmt.Errorf("secret: %w", net.ErrClosed) })
	})
	a, err := c.do(http.MethodGet, "/livez", requestIDHeader, "mine-1")
	if err != nil || a.header.Get(requestIDHeader) != "mine-1" {
		t.Errorf("%+v %v", a, err)
	}
	a, err = c.do(http.MethodGet, "/livez", requestIDHeader, "a b\"c")
	if err != nil || a.header.Get(requestIDHeader) == "a b\"c" || len(a.header.Get(requestIDHeader)) < 16 {
		t.Errorf("%+v %v", a, err)
	}

	// The database is down: each read says so, and the log says why.
	for _, path := range []string{"/v1/symbols", "/v1/symbols/A/ticks", "/v1/symbols/A/candles", "/v1/symbols/A/snapshot",
		"/v1/indicators", "/v1/symbols/A/indicators/rsi", "/v1/screener", "/v1/alerts/rules", "/v1/alerts/rules/1", "/v1/alerts/events", "/v1/alerts/events/1", "/readyz"} {
		a := c.get(path)
		p := problemOf(t, a)
		if a.status != 503 || a.header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %v %s", path, a.status, a.header, a.body)
		}
		noLeak(t, a)
		var cause, access bool
		for _, line := range strings.Split(strings.TrimSpace(c.log.String()), "\n") {
			var l map[string]any
			if err := json.Unmarshal([]byte(line), &l); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			if l["request_id"] == p.RequestID {
				cause = cause || l["level"] == "ERROR" && l["error"] != nil
				access = access || l["msg"] == "request" && l["status"] == 503.0 && l["path"] == path && l["method"] == "GET"
			}
		}
		if !cause || !access {
			t.Errorf("%s: log lacks the request: %s", path, c.log)
		}
	}
	for _, path := range []string{"/panic", "/error"} {
		a := c.get(path)
		problemOf(t, a)
		if a.status != 500 || strings.Contains(string(a.body), "secret") {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
	if !strings.Contains(c.log.String(), "secret 127.0.0.1") {
		t.Error("the panic is not in the log")
	}
	if a := c.get("/livez"); a.status != 200 {
		t.Errorf("after the panic: %d", a.status)
	}
}

// TestSlowDatabase holds a lock: requests end by their deadline, and a stop
// ends them too.
func TestSlowDatabase(t *testing.T) {
	d := dbtest.New(t)
	pool := reader(t, d)
	ctx := context.Background()
	tx, err := d.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "LOCK TABLE feed_positions IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	t.Run("deadline", func(t *testing.T) {
		c := serve(t, Config{Pool: pool, RequestTimeout: 300 * time.Millisecond})
		for _, path := range []string{"/v1/symbols", "/v1/symbols/A/indicators/rsi", "/v1/symbols/A/snapshot", "/v1/screener"} {
			a := c.get(path)
			problemOf(t, a)
			if a.status != http.StatusGatewayTimeout {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
			noLeak(t, a)
		}
	})
	t.Run("stop", func(t *testing.T) {
		entered := make(chan struct{})
		got := make(chan answer, 1)
		start := time.Now()
		t.Run("serve", func(t *testing.T) {
			c := serve(t, Config{Pool: pool, RequestTimeout: time.Minute}, func(s *Server) {
				s.app.Get("/enter", func(c *fiber.Ctx) error {
					close(entered)
					_, err := s.queries.Symbols(c.UserContext(), db.SymbolsParams{MaxRows: 1})
					return s.failed(c.UserContext(), "read", err)
				})
			})
			go func() {
				a, _ := c.do(http.MethodGet, "/enter")
				got <- a
			}()
			<-entered
		})
		if took := time.Since(start); took > wait.Scale(30*time.Second) {
			t.Errorf("stop took %v", took)
		}
		if a := <-got; a.status != 0 && a.status != 503 {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
}

func TestClassify(t *testing.T) {
	s := &Server{cfg: Config{Log: dbtest.Log(t)}}
	for code, want := range map[string]int{"57014": 504, "57P01": 503, "53300": 503, "08006": 503, "42P01": 503, "22012": 500, "42501": 500} {
		err := s.failed(context.Background(), "read", fmt.Errorf("x: %w", &pgconn.PgError{Code: code}))
		if p := asProblem(err); p.Status != want {
			t.Errorf("%s: got %d, want %d", code, p.Status, want)
		}
	}
}

func TestNew(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("made an api without a pool")
	}
	pool, err := db.NewPool("postgres://nobody@127.0.0.1:1/none", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s, err := New(Config{Pool: pool, Listen: "127.0.0.1:0", Log: dbtest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Pool: pool, Listen: s.Addr(), Log: dbtest.Log(t)}); err == nil {
		t.Error("took an address twice")
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

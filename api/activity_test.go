package api

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"
	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// written is what api_activity says of an operation, all minutes and processes together.
type written struct {
	Method, Route                        string
	Requests, ClientErrors, ServerErrors int
	Bytes                                int64
	Seconds                              float64
	Latencies                            int
	Processes                            int
}

func stored(t testing.TB, d *dbtest.DB) map[string]written {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), `SELECT method, route, sum(requests)::int, sum(client_errors)::int, sum(server_errors)::int, sum(bytes)::bigint, sum(seconds),
		(SELECT sum(n) FROM unnest(latency_sum(latency)) n)::int, count(DISTINCT (instance, started_at))::int FROM api_activity GROUP BY method, route`)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[written])
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]written{}
	for _, w := range all {
		if w.Latencies != w.Requests {
			t.Errorf("%s %s: %d requests, but %d latencies", w.Method, w.Route, w.Requests, w.Latencies)
		}
		out[w.Method+" "+w.Route] = w
	}
	return out
}

// TestActivity counts by operation and class of status over a socket, over two
// processes at once and one restart, all within one minute.
func TestActivity(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	minute := time.Date(2026, 11, 24, 19, 7, 0, 0, time.UTC)
	cfg := Config{Pool: reader(t, d), Operator: operator(t, d), Now: func() time.Time { return minute.Add(30 * time.Second) }}
	var bytes int64
	ask := func(c *client) {
		bytes += int64(len(c.get("/v1/intervals-are-no-path").body))
		c.get("/livez")
		c.get("/livez")
		if _, err := c.do(http.MethodHead, "/livez"); err != nil {
			t.Fatal(err)
		}
		c.get("/v1/symbols/AAPL/candles")
		c.get("/v1/symbols/MSFT/candles?limit=0")
		c.get("/v1/panic")
		c.raw("BREW", "/livez")
	}
	panics := func(s *Server) {
		s.app.Get("/v1/panic", func(*fiber.Ctx) error { panic("on purpose") })
	}
	t.Run("processes", func(t *testing.T) {
		first, second := serve(t, cfg, panics), serve(t, cfg, panics)
		ask(first)
		ask(second)
		if got := stored(t, d); len(got) != 0 {
			t.Errorf("written before the minute has closed: %v", got)
		}
	})
	t.Run("restarted", func(t *testing.T) { ask(serve(t, cfg, panics)) })
	want := map[string][3]int{
		"GET /livez": {6, 0, 0}, "HEAD /livez": {3, 0, 0}, "GET unknown": {3, 3, 0}, "GET /v1/symbols/{symbol}/candles": {6, 6, 0},
		"GET /v1/panic": {3, 0, 3}, "other malformed": {3, 0, 3},
	}
	got := stored(t, d)
	for op, w := range want {
		g := got[op]
		if g.Requests != w[0] || g.ClientErrors != w[1] || g.ServerErrors != w[2] || g.Processes != 3 || g.Seconds <= 0 {
			t.Errorf("%s: %+v, want %v from 3 processes", op, g, w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("operations %v, want %v", got, want)
	}
	if g := got["GET unknown"].Bytes; g != bytes {
		t.Errorf("%d bytes, want %d", g, bytes)
	}
	if g := got["HEAD /livez"].Bytes; g != 0 {
		t.Errorf("%d bytes of answers to HEAD, want 0", g)
	}
	var minutes []time.Time
	if err := d.Pool.QueryRow(context.Background(), "SELECT array_agg(DISTINCT minute) FROM api_activity").Scan(&minutes); err != nil || len(minutes) != 1 || !minutes[0].Equal(minute) {
		t.Errorf("minutes %v, %v", minutes, err)
	}
	// What people ask.
	var perSecond, mean, p50, p95, p99 float64
	if err := cfg.Pool.QueryRow(context.Background(), "SELECT per_second, mean_ms, p50_ms, p95_ms, p99_ms FROM api_traffic WHERE method = 'GET' AND route = '/livez'").Scan(&perSecond, &mean, &p50, &p95, &p99); err != nil {
		t.Fatal(err)
	}
	if perSecond != 0.1 || mean <= 0 || p50 <= 0 || p50 > p95 || p95 > p99 {
		t.Errorf("%v a second, mean %v ms, p50 %v, p95 %v, p99 %v", perSecond, mean, p50, p95, p99)
	}
}

// TestActivityMinute: a minute is written when it closes, while the server runs, and
// the pipeline then tells of it.
func TestActivityMinute(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	// A clock that stands at the end of a minute until a request was answered.
	clock := time.Now().Truncate(time.Minute).Add(-100 * time.Millisecond)
	var passed atomic.Int64
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d), Now: func() time.Time { return clock.Add(time.Duration(passed.Load())) }})
	c.get("/livez")
	passed.Store(int64(time.Second))
	wait.Until(t, "a row of the minute", func() bool { return len(stored(t, d)) > 0 })
	if got := stored(t, d)["GET /livez"]; got.Requests != 1 {
		t.Errorf("%+v", got)
	}
	wait.For(t, "the pipeline to tell of it", func() (any, bool) {
		var p Pipeline
		if err := json.Unmarshal(c.get("/v1/pipeline").body, &p); err != nil {
			t.Fatal(err)
		}
		api := p.Data[len(p.Data)-1]
		return api, strings.HasPrefix(api.Detail, "answers, 1 requests in 5 minutes, p95 ")
	})
}

// TestActivityUnwritten: without an operator, without its rights and without a
// database requests are answered all the same.
func TestActivityUnwritten(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	c := serve(t, Config{Pool: reader(t, d)}, func(s *Server) {
		if s.activity != nil {
			t.Error("activity is counted that nobody can write")
		}
	})
	if a := c.get("/v1/pipeline"); a.status != http.StatusOK {
		t.Errorf("%d %s", a.status, a.body)
	}

	asOwner(t, d, "REVOKE INSERT ON api_activity FROM hypertick_operator")
	clock := time.Date(2026, 11, 24, 19, 7, 30, 0, time.UTC)
	log := &lines{}
	a := newActivity(operator(t, d), slog.New(slog.NewTextHandler(log, nil)), func() time.Time { return clock }, "desk:1")
	for range activityKeep + 5 {
		a.add("GET", "/livez", 200, time.Millisecond, 10)
		a.write(context.Background(), clock.Truncate(time.Minute))
		clock = clock.Add(time.Minute)
	}
	if d.Embedded != nil { // it has no rights, and a write goes through
		return
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || len(a.minutes) != activityKeep {
		t.Errorf("%d warnings and %d minutes, want 1 and %d: %s", n, len(a.minutes), activityKeep, log)
	}
	asOwner(t, d, "GRANT INSERT ON api_activity TO hypertick_operator")
	a.end(time.Now().Add(time.Minute))
	if got := stored(t, d)["GET /livez"]; got.Requests != activityKeep || len(a.minutes) != 0 {
		t.Errorf("%+v, and %d minutes are left", got, len(a.minutes))
	}
}

// TestActivityAgain: rows that are sent again add nothing, and a minute that was
// sent takes no more even where the clock goes back to it.
func TestActivityAgain(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	clock := time.Date(2026, 11, 24, 19, 7, 30, 0, time.UTC)
	a := newActivity(operator(t, d), dbtest.Log(t), func() time.Time { return clock }, "desk:1")
	a.add("GET", "/assets/index-1.js", 200, time.Millisecond, 10)
	a.add("GET", "/assets/index-2.css", 304, time.Millisecond, 0)
	minutes := slices.Clone(a.minutes)
	a.end(time.Now().Add(time.Minute))
	a.minutes = append(minutes, a.minutes...) // as if the answer had been lost
	clock = clock.Add(-time.Minute)
	a.add("GET", "/livez", 200, time.Millisecond, 10)
	a.end(time.Now().Add(time.Minute))
	got := stored(t, d)
	if files := got["GET "+assetRoute]; len(got) != 2 || files.Requests != 2 || files.Bytes != 10 || got["GET /livez"].Requests != 1 {
		t.Errorf("%+v", got)
	}
}

// TestActivityCounts loses none of the requests that many make at once while
// minutes pass and are written.
func TestActivityCounts(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	var mu sync.Mutex
	clock := time.Date(2026, 11, 24, 19, 7, 30, 0, time.UTC)
	a := newActivity(operator(t, d), dbtest.Log(t), func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		clock = clock.Add(50 * time.Millisecond)
		return clock
	}, "desk:1")
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 2500 {
				a.add("GET", "/livez", 200+300*(i%2), time.Duration(i)*time.Microsecond, 1)
				if worker == 0 && i%250 == 0 { // one writes
					a.write(context.Background(), a.now().Truncate(time.Minute))
				}
			}
		})
	}
	all.Wait()
	a.end(time.Now().Add(time.Minute))
	if got := stored(t, d)["GET /livez"]; got.Requests != 10_000 || got.ServerErrors != 5000 || got.Bytes != 10_000 {
		t.Errorf("%+v", got)
	}
}

// TestLatencyQuantile compares with the latencies themselves.
func TestLatencyQuantile(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx, pool := context.Background(), reader(t, d)
	ask := func(arrays []string, q float64) (got *float64) {
		t.Helper()
		if err := pool.QueryRow(ctx, "SELECT latency_quantile(latency_sum(l::int[]), $2) FROM unnest($1::text[]) l", arrays, q).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	r := rand.New(rand.NewPCG(3, 5))
	for _, draw := range []struct {
		name string
		ms   func() float64
		off  float64 // how far an answer may be from the truth, as a factor
	}{
		{"log-normal", func() float64 { return 3 * math.Exp(0.8*r.NormFloat64()) }, 1.1},
		{"uniform", func() float64 { return 20 * r.Float64() }, 1.2},
		{"two ways", func() float64 { return []float64{1, 900}[r.IntN(5)/4] * (1 + 0.01*r.Float64()) }, math.Sqrt2},
		{"one value", func() float64 { return 7 }, math.Sqrt2},
		{"fast", func() float64 { return 0.12 * r.Float64() }, 1.3},
	} {
		var arrays []string
		var all []float64
		for range 7 { // histograms of different lengths
			l := &load{}
			for range 500 {
				ms := draw.ms()
				all = append(all, ms)
				class, _ := slices.BinarySearch(latencyBounds[:], time.Duration(ms*1e6))
				l.latency[class]++
			}
			arrays = append(arrays, l.array())
		}
		slices.Sort(all)
		for _, q := range []float64{0.05, 0.5, 0.75, 0.95, 0.99, 1} {
			want := all[max(int(math.Ceil(q*float64(len(all))))-1, 0)]
			got := ask(arrays, q)
			if got == nil {
				t.Fatalf("%s: no quantile %v", draw.name, q)
			}
			if *got > want*draw.off || *got < want/draw.off {
				t.Errorf("%s: quantile %v is %v, want %v", draw.name, q, *got, want)
			}
		}
	}
	for _, c := range []struct {
		latency string
		q       float64
		want    any
	}{
		{"{}", 0.5, nil}, {"{0,0}", 0.5, nil}, {"{1}", 1.5, nil}, {"{1}", -1, nil},
		{"{10}", 0.5, 0.0625}, {"{10}", 1, 0.125}, {"{0,4}", 0, 0.125}, {"{0,0,4}", 1, 0.25},
		{"{0,0,4}", 0.5, math.Pow(2, -2.25)}, {"{" + strings.Repeat("0,", 36) + "1}", 1, 32768.0}, {"{1," + strings.Repeat("0,", 36) + "9}", 0.5, 32768.0},
	} {
		got := ask([]string{c.latency}, c.q)
		if want, ok := c.want.(float64); ok != (got != nil) || ok && math.Abs(*got-want) > 1e-9*want {
			t.Errorf("quantile %v of %s is %v, want %v", c.q, c.latency, got, c.want)
		}
	}
	// Both ends of a class fall where the database believes they do.
	for i, bound := range latencyBounds {
		if below, above := math.Pow(2, float64(i)/2-3)-bound.Seconds()*1e3, math.Pow(2, float64(i)/2-3)-(bound+time.Nanosecond).Seconds()*1e3; below < -1e-9 || above > 1e-9 {
			t.Errorf("class %d ends at %v", i+1, bound)
		}
	}
}

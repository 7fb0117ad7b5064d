package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestMarket is everything that reads one seeded market, as the reader role.
func TestMarket(t *testing.T) {
	m := newMarket(t)
	c := serve(t, Config{Pool: reader(t, m.db)})
	symbols := make([]string, 0, len(m.ticks))
	for s := range m.ticks {
		symbols = append(symbols, s)
	}
	slices.Sort(symbols)

	t.Run("ticks", rapid.MakeCheck(func(t *rapid.T) {
		symbol := rapid.SampledFrom(symbols).Draw(t, "symbol")
		ticks := m.ticks[symbol]
		q, from, to := drawRange(t, ticks)
		q.Set("limit", strconv.Itoa(rapid.SampledFrom([]int{1, 2, 3, 7, 50, 499, 5000}).Draw(t, "limit")))
		if q.Get("limit") == "1" && len(ticks) > 100 {
			q.Set("limit", "13")
		}
		var want []Tick
		for _, k := range ticks {
			if !k.TS.Before(from) && k.TS.Before(to) {
				want = append(want, tickOf(k))
			}
		}
		pages := all[Tick](t, c, "/v1/symbols/"+url.PathEscape(symbol)+"/ticks", q)
		checkPages(t, pages, want, q)
	}))

	t.Run("candles", rapid.MakeCheck(func(t *rapid.T) {
		symbol := rapid.SampledFrom(symbols).Draw(t, "symbol")
		interval := rapid.SampledFrom(dbtest.Intervals).Draw(t, "interval")
		q, from, to := drawRange(t, m.ticks[symbol])
		q.Set("interval", interval.Name)
		q.Set("limit", strconv.Itoa(rapid.SampledFrom([]int{1, 5, 60, 500, 5000}).Draw(t, "limit")))
		want := []Candle{}
		for _, k := range dbtest.BruteForce(m.ticks[symbol], interval.Span) {
			if !k.Bucket.Before(from) && k.Bucket.Before(to) {
				want = append(want, Candle{k.Bucket, k.Open, k.High, k.Low, k.Close, k.Volume, k.BuyVolume, vwap(k.Notional, k.Volume), k.Trades})
			}
		}
		if q.Get("limit") == "1" && len(want) > 50 {
			q.Set("limit", "29")
		}
		pages := all[Candle](t, c, "/v1/symbols/"+url.PathEscape(symbol)+"/candles", q)
		checkPages(t, pages, want, q)
	}))

	t.Run("every interval", func(t *testing.T) {
		for _, interval := range dbtest.Intervals {
			a := c.get("/v1/symbols/AAPL/candles?limit=1&interval=" + interval.Name)
			var p page[Candle]
			if err := json.Unmarshal(a.body, &p); err != nil {
				t.Fatal(err)
			}
			want := dbtest.BruteForce(m.ticks["AAPL"], interval.Span)
			last := want[len(want)-1]
			// The forming bar is there, with the tick no refresh has seen.
			if len(p.Data) != 1 || !p.Data[0].Bucket.Equal(last.Bucket) || p.Data[0].Close != last.Close || p.Data[0].Trades != last.Trades {
				t.Errorf("%s: got %s, want %+v", interval.Name, a.body, last)
			}
		}
	})

	t.Run("calendars", func(t *testing.T) { testCalendars(t, c) })
	t.Run("any interval", func(t *testing.T) { testIntervals(t, m, c) })
	t.Run("no interval", func(t *testing.T) { testIntervalErrors(t, c) })

	t.Run("shape", func(t *testing.T) {
		for path, want := range map[string][]string{
			"/v1/symbols/AAPL/candles": {"bucket", "buy_volume", "close", "high", "low", "open", "trades", "volume", "vwap"},
			"/v1/symbols/AAPL/ticks":   {"flags", "price", "seq", "side", "size", "ts", "venue"},
			"/v1/symbols":              {"last_price", "last_ts", "name", "symbol", "venues"},
		} {
			a := c.get(path + "?limit=1")
			var p struct {
				Data []map[string]any `json:"data"`
				Next string           `json:"next"`
			}
			if err := json.Unmarshal(a.body, &p); err != nil || len(p.Data) != 1 || p.Next == "" {
				t.Fatalf("%s: %v %s", path, err, a.body)
			}
			var got []string
			for k, v := range p.Data[0] {
				got = append(got, k)
				if k == "ts" || k == "bucket" || k == "last_ts" {
					if s, _ := v.(string); s == "" || s[len(s)-1] != 'Z' {
						t.Errorf("%s: %s is %v, want UTC", path, k, v)
					}
				}
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("%s: fields %v, want %v", path, got, want)
			}
			if ct := a.header.Get("Content-Type"); ct != "application/json" {
				t.Errorf("%s: content type %q", path, ct)
			}
		}
	})

	t.Run("symbols", func(t *testing.T) {
		for _, limit := range []string{"1", "2", "500"} {
			var got []Symbol
			for _, p := range all[Symbol](t, c, "/v1/symbols", url.Values{"limit": {limit}}) {
				got = append(got, p...)
			}
			if len(got) != len(symbols) {
				t.Fatalf("limit %s: got %d symbols, want %d", limit, len(got), len(symbols))
			}
			for i, g := range got {
				last := m.ticks[symbols[i]][len(m.ticks[symbols[i]])-1]
				if g.Symbol != symbols[i] || g.LastPrice == nil || *g.LastPrice != last.Price || !g.LastTS.Equal(last.TS) {
					t.Errorf("limit %s: got %+v, want %+v", limit, g, last)
				}
			}
			if !slices.Equal(got[0].Venues, []string{"ARCA", "NYSE", "SIM"}) {
				t.Errorf("venues %v", got[0].Venues)
			}
		}
		for q, want := range map[string]int{"btc": 1, "_": 1, "A": 1, ".": 1, ":": 1, "NOPE": 0, "-": 1} {
			if got := all[Symbol](t, c, "/v1/symbols", url.Values{"q": {q}}); len(got[0]) != want {
				t.Errorf("q=%s: got %+v", q, got)
			}
		}
	})

	t.Run("errors", func(t *testing.T) { testErrors(t, c) })
	t.Run("formats", func(t *testing.T) { testFormats(t, c) })
	t.Run("curl in docs", func(t *testing.T) { testCurlInDocs(t, c) })
	t.Run("caching", func(t *testing.T) { testCaching(t, m, c) })
	t.Run("snapshot", func(t *testing.T) { testSnapshot(t, m, c) })
	t.Run("injection", func(t *testing.T) { testInjection(t, c) })
	t.Run("indicators", func(t *testing.T) { testIndicators(t, m, c) })
	t.Run("example in docs", func(t *testing.T) { testExampleInDocs(t, m, c) })
	t.Run("screener", func(t *testing.T) { testScreener(t, m, c) })
	t.Run("known without a feed", func(t *testing.T) {
		if _, err := m.db.Pool.Exec(context.Background(), "INSERT INTO ticks VALUES ($1, 'BYHAND', 1, 1, 1, 'X')", m.now); err != nil {
			t.Fatal(err)
		}
		if a := c.get("/v1/symbols/BYHAND/ticks?to=2001-01-01T00:00:00Z"); a.status != http.StatusOK || string(a.body) != "{\"data\":[]}\n" {
			t.Errorf("%d %q", a.status, a.body)
		}
	})
	t.Run("before any refresh", func(t *testing.T) {
		// No candle knows of it yet, but the feed does.
		if _, err := m.db.Pool.Exec(context.Background(), `WITH k AS (INSERT INTO ticks VALUES ('1990-01-01', 'ANCIENT', 1, 1, 1, 'X') RETURNING *)
			INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) SELECT venue, symbol, seq, ts FROM k`); err != nil {
			t.Fatal(err)
		}
		if a := c.get("/v1/symbols/ANCIENT/ticks"); !strings.Contains(string(a.body), "1990-01-01T00:00:00Z") {
			t.Errorf("%d %s", a.status, a.body)
		}
	})
	t.Run("stable under inserts", func(t *testing.T) { testInserts(t, m, c) })
}

// drawRange draws from and to, or leaves them out, at ticks and between.
func drawRange(t *rapid.T, ticks []dbtest.Tick) (url.Values, time.Time, time.Time) {
	q, from, to := url.Values{}, firstTime, lastTime
	bound := func(name string) time.Time {
		i := rapid.IntRange(0, len(ticks)-1).Draw(t, name)
		shift := rapid.SampledFrom([]time.Duration{0, time.Microsecond, -time.Microsecond, time.Hour, -90 * day, 90 * day}).Draw(t, name+" shift")
		return ticks[i].TS.Add(shift)
	}
	if rapid.Bool().Draw(t, "with from") {
		from = bound("from")
		q.Set("from", from.Format(time.RFC3339Nano))
	}
	if rapid.Bool().Draw(t, "with to") {
		to = bound("to")
		if !from.Before(to) {
			to = from.Add(time.Microsecond)
		}
		q.Set("to", to.Format(time.RFC3339Nano))
	}
	return q, from, to
}

// checkPages fails unless pages are want, cut as they should be.
func checkPages[T any](t *rapid.T, pages [][]T, want []T, q url.Values) {
	limit, _ := strconv.Atoi(q.Get("limit"))
	for i, p := range pages {
		if len(p) > limit || i < len(pages)-1 && len(p) != limit {
			t.Fatalf("page %d of %d has %d rows, limit %d", i, len(pages), len(p), limit)
		}
	}
	if q.Get("from") == "" {
		slices.Reverse(pages)
	}
	got := slices.Concat(pages...)
	if len(got) != len(want) {
		t.Fatalf("%v: got %d rows, want %d", q, len(got), len(want))
	}
	for i := range want {
		if !same(got[i], want[i]) {
			t.Fatalf("%v: row %d: got %+v, want %+v", q, i, got[i], want[i])
		}
	}
}

// same allows sums the freedom of the order of addition.
func same(a, b any) bool {
	x, ok := a.(Candle)
	if !ok {
		return reflect.DeepEqual(a, b)
	}
	y := b.(Candle)
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(math.Abs(a), math.Abs(b)) }
	if (x.VWAP == nil) != (y.VWAP == nil) || x.VWAP != nil && !near(*x.VWAP, *y.VWAP) || !near(x.Volume, y.Volume) ||
		(x.BuyVolume == nil) != (y.BuyVolume == nil) || x.BuyVolume != nil && !near(*x.BuyVolume, *y.BuyVolume) {
		return false
	}
	x.VWAP, y.VWAP, x.BuyVolume, y.BuyVolume, x.Volume, y.Volume = nil, nil, nil, nil, 0, 0
	return x == y
}

// testInserts pages in both directions, many at once, while ticks come in: all
// that was there before is seen once.
func testInserts(t *testing.T, m *market, c *client) {
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			ts := m.now.Add(-time.Duration(i%600) * 5 * time.Minute)
			if _, err := m.db.Pool.Exec(context.Background(), "INSERT INTO ticks VALUES ($1, 'AAPL', 1, 0, $2, 'NEW')", ts, i+1); err != nil {
				errs <- err
				return
			}
		}
	})
	for i := range 8 {
		wg.Go(func() {
			q := url.Values{"limit": {strconv.Itoa(40 + i)}}
			if i%2 == 0 {
				q.Set("from", "2000-01-01T00:00:00Z")
			}
			f := &collect{errs: errs}
			defer f.end()
			type key struct {
				seq   int64
				venue string
			}
			seen := map[key]int{}
			for _, p := range all[Tick](f, c, "/v1/symbols/AAPL/ticks", q) {
				for _, k := range p {
					seen[key{k.Seq, k.Venue}]++
				}
			}
			for _, k := range m.ticks["AAPL"] {
				if n := seen[key{k.Seq, k.Venue}]; n != 1 {
					errs <- fmt.Errorf("saw %+v %d times", k, n)
					return
				}
			}
			for k, n := range seen {
				if n != 1 {
					errs <- fmt.Errorf("saw %+v %d times", k, n)
					return
				}
			}
		})
	}
	wg.Wait()
	close(stop)
	writer.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// collect is a fatal for goroutines.
type collect struct{ errs chan<- error }

func (c *collect) Helper() {}

func (c *collect) Fatalf(format string, args ...any) {
	c.errs <- fmt.Errorf(format, args...)
	panic(c)
}

// end stops Fatalf's panic, and no other.
func (c *collect) end() {
	if r := recover(); r != nil && r != c {
		panic(r)
	}
}

package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/interval"
	"github.com/hypertick/hypertick/stream"
)

// testIntervals reads candles, indicators, screener and snapshot of intervals
// that are rolled up, then materialises some and expects the same answers.
func testIntervals(t *testing.T, m *market, c *client) {
	names := []string{"2m", "45m", "30s", "1w", "1mo"}
	paths := func(name string) []string {
		at := "interval=" + name
		return []string{
			"/v1/symbols/AAPL/candles?limit=5000&" + at, "/v1/symbols/X:Y/candles?limit=7&" + at,
			"/v1/symbols/BTC-USDT/candles?limit=11&from=2000-01-01T00:00:00Z&" + at,
			"/v1/symbols/AAPL/indicators/rsi?period=3&limit=50&" + at, "/v1/symbols/X:Y/indicators/macd?limit=20&" + at,
			// A stored screener lags by the last minutes.
			"/v1/screener?filter=bucket%3C" + m.now.Add(-6*time.Hour).Format(time.RFC3339) + "&" + at, "/v1/symbols/OLD.1/snapshot?" + at,
		}
	}
	before := map[string]answer{}
	for _, name := range names {
		w, err := interval.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		for symbol, ticks := range m.ticks {
			var want []Candle
			for _, k := range dbtest.BruteForceBy(ticks, dbtest.BarStart(t, name)) {
				want = append(want, Candle{k.Bucket, k.Open, k.High, k.Low, k.Close, k.Volume, k.BuyVolume, vwap(k.Notional, k.Volume), k.Trades})
			}
			// From bound to bound, backwards and forwards, on the start of a bar and within one.
			path := "/v1/symbols/" + url.PathEscape(symbol) + "/candles"
			for _, from := range []string{"", "2000-01-01T00:00:00Z", want[len(want)/2].Bucket.Format(time.RFC3339), want[len(want)/2].Bucket.Add(time.Second).Format(time.RFC3339)} {
				q := url.Values{"interval": {name}, "limit": {strconv.Itoa(max(3, len(want)/4))}}
				bars := want
				if from != "" {
					q.Set("from", from)
					at, _ := time.Parse(time.RFC3339, from)
					bars = slices.DeleteFunc(slices.Clone(want), func(c Candle) bool { return c.Bucket.Before(at) })
				}
				pages := all[Candle](t, c, path, q)
				if from == "" {
					slices.Reverse(pages)
				}
				got := slices.Concat(pages...)
				if len(got) != len(bars) {
					t.Fatalf("%s %v: %d bars, want %d", symbol, q, len(got), len(bars))
				}
				for i := range got {
					if !same(got[i], bars[i]) {
						t.Fatalf("%s %v: bar %d is %+v, want %+v", symbol, q, i, got[i], bars[i])
					}
				}
			}
			// A range that lies behind is cacheable by when its last bar was over.
			to := want[0].Bucket.Add(time.Second)
			a := c.get(path + "?to=" + to.Format(time.RFC3339) + "&interval=" + name)
			if control := cacheControl(w.End(want[0].Bucket), time.Now()); !near(t, a.header.Get("Cache-Control"), control) || len(want) > 1 && !strings.Contains(string(a.body), `"trades":`) {
				t.Errorf("%s %s: Cache-Control %q, want %q: %s", symbol, name, a.header.Get("Cache-Control"), control, a.body)
			}
			again, err := c.do(http.MethodGet, path+"?to="+to.Format(time.RFC3339)+"&interval="+name, "If-None-Match", a.header.Get("ETag"))
			if err != nil || again.status != http.StatusNotModified {
				t.Errorf("%s %s: %d with its own ETag, %v", symbol, name, again.status, err)
			}

			var s Snapshot
			if err := json.Unmarshal(c.get("/v1/symbols/"+url.PathEscape(symbol)+"/snapshot?interval="+name).body, &s); err != nil {
				t.Fatal(err)
			}
			last := want[len(want)-1]
			if s.Candle == nil || !same(*s.Candle, last) {
				t.Errorf("%s %s: snapshot has %+v, want %+v", symbol, name, s.Candle, last)
			}
			if end := w.End(last.Bucket); s.Forming != end.After(time.Now()) && time.Since(end).Abs() > time.Minute {
				t.Errorf("%s %s: forming is %v for the bar that ends at %v", symbol, name, s.Forming, end)
			}
			// sma of period 1 is the close of each bar.
			var values []IndicatorValue
			pages := all[IndicatorValue](t, c, "/v1/symbols/"+url.PathEscape(symbol)+"/indicators/sma", url.Values{"interval": {name}, "period": {"1"}})
			for _, p := range slices.Backward(pages) {
				values = append(values, p...)
			}
			if len(values) != len(want) {
				t.Fatalf("%s %s: %d values, want %d", symbol, name, len(values), len(want))
			}
			for i, v := range values {
				if got := v.Values["sma"]; got == nil || !v.Bucket.Equal(want[i].Bucket) || math.Abs(*got-want[i].Close) > 1e-9*want[i].Close {
					t.Fatalf("%s %s: value %d is %v at %v, want %+v", symbol, name, i, deref(got), v.Bucket, want[i])
				}
			}
		}
		var screen page[map[string]any]
		if err := json.Unmarshal(c.get("/v1/screener?interval="+name).body, &screen); err != nil {
			t.Fatal(err)
		}
		for _, row := range screen.Data {
			bars := dbtest.BruteForceBy(m.ticks[row["symbol"].(string)], dbtest.BarStart(t, name))
			if last := bars[len(bars)-1]; row["close"] != last.Close || row["bucket"] != last.Bucket.Format(time.RFC3339) {
				t.Errorf("%s: screener has %v, want %+v", name, row, last)
			}
		}
		if len(screen.Data) != len(m.ticks) {
			t.Errorf("%s: screener has %d symbols, want %d", name, len(screen.Data), len(m.ticks))
		}
		for _, path := range paths(name) {
			before[path] = c.get(path)
		}
	}
	for path, columns := range map[string]string{
		"/v1/symbols/AAPL/candles?limit=20&interval=45m": "bucket,open,high,low,close,volume,buy_volume,vwap,trades",
		"/v1/symbols/X:Y/candles?limit=3&interval=1mo":   "bucket,open,high,low,close,volume,buy_volume,vwap,trades",
		"/v1/symbols/AAPL/candles?limit=20&interval=30s": "bucket,open,high,low,close,volume,buy_volume,vwap,trades",
	} {
		var rows [3][]string
		for i, format := range []string{typeJSON, typeCSV, typeArrow} {
			a, err := c.do(http.MethodGet, path, "Accept", format)
			if err != nil || a.status != http.StatusOK {
				t.Fatalf("%s: %v %d %s", path, err, a.status, a.body)
			}
			rows[i] = map[string]func(testing.TB, []byte, string) []string{typeJSON: jsonRows, typeCSV: csvRows, typeArrow: arrowRows}[format](t, a.body, columns)
		}
		if len(rows[0]) < 2 || !slices.Equal(rows[0], rows[1]) || !slices.Equal(rows[0], rows[2]) {
			t.Errorf("%s: the formats differ:\n%v\n%v\n%v", path, rows[0], rows[1], rows[2])
		}
	}

	var listed page[Interval]
	list := func() map[string]Interval {
		if err := json.Unmarshal(c.get("/v1/intervals").body, &listed); err != nil {
			t.Fatal(err)
		}
		out := map[string]Interval{}
		last := time.Duration(0)
		for _, i := range listed.Data {
			w, err := interval.Parse(i.Interval)
			if err != nil || i.Seconds != w.Seconds || int(i.Months) != w.Months || w.Typical() <= last {
				t.Errorf("%+v is not what its name says, or not behind what is shorter: %v", i, err)
			}
			last = w.Typical()
			out[i.Interval] = i
		}
		return out
	}
	if got := list(); !got["1m"].Materialized || got["1w"].Materialized || got["1mo"].Months != 1 || got["45m"] != (Interval{}) {
		t.Errorf("intervals are %+v", listed.Data)
	}
	stored := []string{"2m", "45m", "30s", "1w"}
	for _, name := range stored {
		m.db.AddInterval(t, name)
	}
	m.db.Settle(t)
	if got := list(); !got["45m"].Materialized || !got["1w"].Materialized {
		t.Errorf("intervals are %+v", listed.Data)
	}
	for path, was := range before {
		if now := c.get(path); !sameJSON(t, now.body, was.body) {
			t.Errorf("%s: materialised\n%s\nrolled up\n%s", path, now.body, was.body)
		}
	}
	for _, name := range slices.Backward(stored) {
		if _, err := m.db.Pool.Exec(context.Background(), "SELECT remove_interval($1)", name); err != nil {
			t.Fatal(err)
		}
	}
}

// near compares Cache-Control headers whose age may differ by seconds.
func near(t *testing.T, got, want string) bool {
	t.Helper()
	g, gerr := strconv.Atoi(strings.TrimPrefix(got, "max-age="))
	w, werr := strconv.Atoi(strings.TrimPrefix(want, "max-age="))
	if gerr != nil || werr != nil {
		return got == want
	}
	return g-w < 5 && w-g < 5
}

// sameJSON compares numbers to 1e-9: sums are added in another order. The
// cursors hold no number.
func sameJSON(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatal(err)
	}
	var equal func(x, y any) bool
	equal = func(x, y any) bool {
		switch x := x.(type) {
		case float64:
			y, ok := y.(float64)
			return ok && math.Abs(x-y) <= 1e-9*max(1, math.Abs(x))
		case []any:
			y, ok := y.([]any)
			return ok && slices.EqualFunc(x, y, equal)
		case map[string]any:
			y, ok := y.(map[string]any)
			if !ok || len(x) != len(y) {
				return false
			}
			for k := range x {
				if !equal(x[k], y[k]) {
					return false
				}
			}
			return true
		}
		return reflect.DeepEqual(x, y)
	}
	return equal(x, y)
}

// testIntervalErrors names intervals there are none of: each answer has the
// field, and what there is.
func testIntervalErrors(t *testing.T, c *client) {
	for _, path := range []string{"/v1/symbols/AAPL/candles", "/v1/symbols/AAPL/indicators/rsi", "/v1/symbols/AAPL/snapshot", "/v1/screener", "/v1/stream"} {
		for _, name := range []string{"7s", "2x", "11y", "0m", "1M", "99999m", "m", "1m%0A"} {
			a := c.get(path + "?interval=" + name)
			p := problemOf(t, a)
			if a.status != 422 || len(p.Errors) != 1 || p.Errors[0].Location != "query.interval" || !strings.HasPrefix(p.Errors[0].Message, "want one of 1s, 5s, ") {
				t.Errorf("%s?interval=%s: %d %s", path, name, a.status, a.body)
			}
		}
	}
	if a := c.get("/v1/stream?interval=1m,2m,3m,4m,5m,6m,7m,8m,9m"); a.status != 422 || problemOf(t, a).Errors[0].Location != "query.interval" {
		t.Errorf("%d %s", a.status, a.body)
	}
	field, _ := reflect.TypeFor[streamInput]().FieldByName("Interval")
	if n := field.Tag.Get("maxItems"); n != strconv.Itoa(stream.MaxIntervals) {
		t.Errorf("a stream takes %s intervals, the hub %d", n, stream.MaxIntervals)
	}
}

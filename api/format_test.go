package api

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow/ipc"

	"github.com/hypertick/hypertick/db/dbtest"
)

// testFormats reads the same page in each format, and the pages behind it by
// the Link header.
func testFormats(t *testing.T, c *client) {
	for path, columns := range map[string]string{
		"/v1/symbols/AAPL/candles?interval=15m&limit=20":                "bucket,open,high,low,close,volume,buy_volume,vwap,trades",
		"/v1/symbols/AAPL/ticks?limit=20":                               "ts,price,size,seq,venue,side,flags",
		"/v1/symbols/AAPL/indicators/macd?interval=15m&limit=20&fast=5": "bucket,macd,signal,histogram",
		"/v1/screener?interval=1d&limit=2&sort=close": "symbol,bucket,close,change,change_1d,sma_20,sma_50,sma_200,ema_12,ema_26,macd," +
			"rsi_14,atr_14,percent_b,zscore,volume_ratio,trend",
	} {
		var pages [3][]string // the rows of all pages, in each format, as CSV has them
		for i, format := range []string{typeJSON, typeCSV, typeArrow} {
			at := path
			for n := 0; ; n++ {
				a, err := c.do(http.MethodGet, at, "Accept", format)
				if err != nil || a.status != 200 || !strings.HasPrefix(a.header.Get("Content-Type"), format) || a.header.Get("Vary") != "Accept" {
					t.Fatalf("%s: %v %d %v %s", at, err, a.status, a.header, a.body)
				}
				rows := map[string]func(testing.TB, []byte, string) []string{typeJSON: jsonRows, typeCSV: csvRows, typeArrow: arrowRows}[format](t, a.body, columns)
				pages[i] = append(pages[i], rows...)
				link := a.header.Get("Link")
				if link == "" || n == 2 {
					break
				}
				at = strings.TrimSuffix(strings.TrimPrefix(link, "<"), `>; rel="next"`)
			}
		}
		if len(pages[0]) < 4 {
			t.Errorf("%s: %d rows", path, len(pages[0]))
		}
		for i := range pages {
			if !slices.Equal(pages[0], pages[i]) {
				t.Errorf("%s: format %d: %d rows, JSON %d:\n%v\n%v", path, i, len(pages[i]), len(pages[0]), pages[i], pages[0])
			}
		}
		a, err := c.do(http.MethodGet, path, "Accept", "text/html")
		if p := problemOf(t, a); err != nil || a.status != http.StatusNotAcceptable || p.Errors[0].Location != "header.Accept" {
			t.Errorf("%v %d %s", err, a.status, a.body)
		}
	}
}

// jsonRows flattens the rows of a page to text.
func jsonRows(t testing.TB, body []byte, columns string) []string {
	var p page[map[string]any]
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range p.Data {
		if v, ok := r["values"].(map[string]any); ok {
			for name, x := range v {
				r[name] = x
			}
		}
		var row []string
		for _, name := range strings.Split(columns, ",") {
			v, ok := r[name]
			if !ok {
				t.Fatalf("no %s in %v", name, r)
			}
			if row = append(row, ""); v != nil {
				row[len(row)-1] = text(v)
			}
		}
		out = append(out, strings.Join(row, ","))
	}
	return out
}

func csvRows(t testing.TB, body []byte, columns string) []string {
	rows, err := csv.NewReader(bytes.NewReader(body)).ReadAll()
	if err != nil || len(rows) == 0 || strings.Join(rows[0], ",") != columns {
		t.Fatalf("%v: %s", err, body)
	}
	var out []string
	for _, r := range rows[1:] {
		for i, cell := range r {
			var f float64
			if json.Unmarshal([]byte(cell), &f) == nil {
				r[i] = text(f)
			}
		}
		out = append(out, strings.Join(r, ","))
	}
	return out
}

func arrowRows(t testing.TB, body []byte, columns string) []string {
	r, err := ipc.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	var names, out []string
	for _, f := range r.Schema().Fields() {
		names = append(names, f.Name)
	}
	if strings.Join(names, ",") != columns {
		t.Fatalf("columns %v, want %s", names, columns)
	}
	for r.Next() {
		batch := r.RecordBatch()
		for i := range int(batch.NumRows()) {
			var row []string
			for _, a := range batch.Columns() {
				cell := ""
				switch v := arrowCell(a, i).(type) {
				case nil:
				case time.Time:
					cell = v.Format(time.RFC3339Nano)
				case int64:
					cell = text(float64(v))
				default:
					cell = text(v)
				}
				row = append(row, cell)
			}
			out = append(out, strings.Join(row, ","))
		}
	}
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	return out
}

// testCaching: what has closed may be kept, is confirmed by its ETag, and has
// another one once a late tick changes it.
func testCaching(t *testing.T, m *market, c *client) {
	day := m.now.Truncate(day)
	closed := fmt.Sprintf("from=%s&to=%s", day.AddDate(0, 0, -2).Format(time.RFC3339), day.AddDate(0, 0, -1).Format(time.RFC3339))
	paths := []string{
		"/v1/symbols/AAPL/ticks?" + closed, "/v1/symbols/AAPL/candles?interval=1m&" + closed, "/v1/symbols/AAPL/indicators/sma?period=2&interval=1m&" + closed,
	}
	tags := map[string]string{}
	for _, path := range paths {
		for _, format := range []string{typeJSON, typeCSV, typeArrow} {
			a, err := c.do(http.MethodGet, path, "Accept", format)
			tag := a.header.Get("ETag")
			if err != nil || a.status != 200 || !strings.HasPrefix(tag, `"`) || !strings.HasPrefix(a.header.Get("Cache-Control"), "max-age=") {
				t.Fatalf("%s: %v %d %v", path, err, a.status, a.header)
			}
			for _, header := range []string{tag, `"other", W/` + tag, "*"} {
				again, err := c.do(http.MethodGet, path, "Accept", format, "If-None-Match", header)
				if err != nil || again.status != http.StatusNotModified || len(again.body) != 0 || again.header.Get("ETag") != tag ||
					again.header.Get("Cache-Control") == "" || again.header.Get("Vary") != "Accept" {
					t.Errorf("%s with %s: %v %d %v", path, header, err, again.status, again.header)
				}
			}
			if again, err := c.do(http.MethodGet, path, "Accept", format, "If-None-Match", `"other"`); err != nil || again.status != 200 {
				t.Errorf("%s: %v %d", path, err, again.status)
			}
			tags[path+format] = tag
		}
	}
	if len(tags) != len(paths)*3 {
		t.Fatal("tags are missing")
	}
	// The forming bar, and whatever may still grow.
	for _, path := range []string{
		"/v1/symbols/AAPL/candles", "/v1/symbols/AAPL/ticks?from=" + day.Format(time.RFC3339), "/v1/symbols/AAPL/indicators/sma",
		"/v1/symbols/AAPL/candles?interval=1d&to=" + m.now.Add(time.Minute).Format(time.RFC3339), "/v1/screener", "/v1/symbols/AAPL/snapshot",
	} {
		a := c.get(path)
		if a.header.Get("Cache-Control") != "no-cache" || a.header.Get("ETag") == "" {
			t.Errorf("%s: %v", path, a.header)
		}
		if again, err := c.do(http.MethodGet, path, "If-None-Match", a.header.Get("ETag")); err != nil || again.status != http.StatusNotModified {
			t.Errorf("%s: %v %d", path, err, again.status)
		}
	}
	// A page behind the first is over, even when the first is not.
	a := c.get("/v1/symbols/AAPL/candles?limit=3")
	next := strings.TrimSuffix(strings.TrimPrefix(a.header.Get("Link"), "<"), `>; rel="next"`)
	if a := c.get(next); !strings.HasPrefix(a.header.Get("Cache-Control"), "max-age=") {
		t.Errorf("%s: %v", next, a.header)
	}

	ctx := context.Background()
	late := day.AddDate(0, 0, -2).Add(12*time.Hour + 34*time.Second)
	if _, err := m.db.Pool.Exec(ctx, "INSERT INTO ticks VALUES ($1, 'AAPL', 321.5, 1, 1, 'LATE')", late); err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Pool.Exec(ctx, fmt.Sprintf("CALL refresh_continuous_aggregate('candles_1m', '%s', '%s')",
		late.Add(-time.Hour).Format(time.RFC3339), late.Add(time.Hour).Format(time.RFC3339))); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for _, format := range []string{typeJSON, typeCSV, typeArrow} {
			a, err := c.do(http.MethodGet, path, "Accept", format, "If-None-Match", tags[path+format])
			if err != nil || a.status != 200 || a.header.Get("ETag") == tags[path+format] {
				t.Errorf("%s as %s after a late tick: %v %d %v", path, format, err, a.status, a.header)
			}
		}
	}
	if _, err := m.db.Pool.Exec(ctx, "DELETE FROM ticks WHERE venue = 'LATE'"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Pool.Exec(ctx, fmt.Sprintf("CALL refresh_continuous_aggregate('candles_1m', '%s', '%s')",
		late.Add(-time.Hour).Format(time.RFC3339), late.Add(time.Hour).Format(time.RFC3339))); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if a := c.get(path); a.header.Get("ETag") != tags[path+typeJSON] {
			t.Errorf("%s: the content of before has another tag", path)
		}
	}
}

// testSnapshot compares it with what the ticks give, and with the indicators
// asked for one by one.
func testSnapshot(t *testing.T, m *market, c *client) {
	for symbol, interval := range map[string]string{"AAPL": "1m", "BTC-USDT": "5m", "OLD.1": "1h", "_ONE": "1d", "TIES": "1m"} {
		a := c.get("/v1/symbols/" + symbol + "/snapshot?interval=" + interval)
		var s Snapshot
		dec := json.NewDecoder(bytes.NewReader(a.body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&s); err != nil || a.status != 200 || s.Symbol != symbol || s.Tick == nil || s.Candle == nil || s.Day == nil {
			t.Fatalf("%s: %v %d %s", symbol, err, a.status, a.body)
		}
		ticks := m.ticks[symbol]
		last := ticks[len(ticks)-1]
		if !reflect.DeepEqual(*s.Tick, tickOf(last)) {
			t.Errorf("%s: tick %+v, want %+v", symbol, *s.Tick, last)
		}
		width := dbtest.Intervals[slices.IndexFunc(dbtest.Intervals, func(i dbtest.Interval) bool { return i.Name == interval })].Span
		bars := dbtest.BruteForce(ticks, width)
		k := bars[len(bars)-1]
		if !same(*s.Candle, Candle{k.Bucket, k.Open, k.High, k.Low, k.Close, k.Volume, k.BuyVolume, vwap(k.Notional, k.Volume), k.Trades}) {
			t.Errorf("%s: candle %+v, want %+v", symbol, *s.Candle, k)
		}
		if over := k.Bucket.Add(width).Before(time.Now()); s.Forming == over && time.Since(k.Bucket.Add(width)) > time.Minute {
			t.Errorf("%s: forming is %v for %v", symbol, s.Forming, k.Bucket)
		}
		days := dbtest.BruteForce(ticks, day)
		d := days[len(days)-1]
		if !s.Day.Bucket.Equal(d.Bucket) || s.Day.Open != d.Open || s.Day.High != d.High || s.Day.Low != d.Low || s.Day.Close != d.Close {
			t.Errorf("%s: day %+v, want %+v", symbol, *s.Day, d)
		}
		if len(days) > 1 {
			before := days[len(days)-2].Close
			if s.Day.PreviousClose == nil || *s.Day.PreviousClose != before || *s.Day.Change != d.Close-before || *s.Day.ChangeFraction != d.Close/before-1 {
				t.Errorf("%s: day %s, previous close %v", symbol, a.body, before)
			}
		} else if s.Day.PreviousClose != nil || s.Day.Change != nil || s.Day.ChangeFraction != nil {
			t.Errorf("%s: day %s, there is none before", symbol, a.body)
		}
		for name, ask := range map[string]string{
			"sma_20": "sma?period=20", "sma_50": "sma?period=50", "sma_200": "sma?period=200", "ema_12": "ema?period=12", "ema_26": "ema?period=26",
			"macd": "macd?", "rsi_14": "rsi?", "atr_14": "atr?", "percent_b": "bollinger?", "zscore": "zscore?", "volume_ratio": "volume_spike?", "trend": "",
		} {
			got, ok := s.Indicators[name]
			if !ok || len(s.Indicators) != 12 {
				t.Fatalf("%s: no %s: %s", symbol, name, a.body)
			}
			var p page[IndicatorValue]
			value := func(ask, series string) *float64 {
				if err := json.Unmarshal(c.get("/v1/symbols/"+symbol+"/indicators/"+ask+"&limit=1&interval="+interval).body, &p); err != nil || len(p.Data) != 1 {
					t.Fatal(err)
				}
				return p.Data[0].Values[series]
			}
			var want *float64
			if name == "trend" {
				fast, slow := value("trend?", "fast"), value("trend?", "slow")
				if fast != nil && slow != nil {
					want = ptr(map[bool]float64{true: 1, false: -1}[*fast > *slow])
				}
			} else {
				series, _, _ := strings.Cut(name, "_")
				switch name {
				case "percent_b":
					series = name
				case "volume_ratio":
					series = "ratio"
				}
				want = value(ask, series)
			}
			// The two may begin at different bars: they agree to 1e-9, as everything does.
			if (got == nil) != (want == nil) || got != nil && math.Abs(*got-*want) > 1e-9*max(1, math.Abs(*want)) {
				t.Errorf("%s %s: %s is %v, want %v", symbol, interval, name, deref(got), deref(want))
			}
		}
	}
	for path, status := range map[string]int{
		"/v1/symbols/NOPE/snapshot": 404, "/v1/symbols/nope/snapshot": 404, "/v1/symbols/AAPL/snapshot?interval=7s": 422, "/v1/symbols/AAPL/snapshot?x=1": 422,
	} {
		if a := c.get(path); a.status != status {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		} else {
			problemOf(t, a)
		}
	}
}

// hostile are strings that would do harm where text becomes part of SQL.
var hostile = []string{
	"'; DROP TABLE ticks; --", "1' OR '1'='1", `"`, `\`, "$1", "%", "_%", "(SELECT 1)", "AAPL'--", "\u202e", "A A", "1;SELECT pg_sleep(9)", "\x00",
	`x"; DROP TABLE ticks; --`, "symbol) FROM pg_shadow --", "1 UNION SELECT rolpassword FROM pg_authid",
}

// testInjection puts them into every parameter of every operation.
func testInjection(t *testing.T, c *client) {
	for _, s := range hostile {
		e, p := url.QueryEscape(s), url.PathEscape(s)
		paths := []string{
			"/v1/symbols/" + p + "/ticks", "/v1/symbols/" + p + "/candles", "/v1/symbols/" + p + "/snapshot", "/v1/symbols/" + p + "/indicators/rsi",
			"/v1/symbols/AAPL/indicators/" + p, "/v1/indicators?name=" + e,
			"/v1/symbols/AAPL/indicators/rsi?period=" + e, "/v1/symbols/AAPL/indicators/rsi?" + e + "=1", "/v1/screener?sort=" + e, "/v1/screener?order=" + e,
			"/v1/screener?filter=" + e, "/v1/screener?filter=" + e + "%3C1", "/v1/screener?filter=close%3C" + e, "/v1/screener?filter=bucket%3C" + e,
		}
		for _, base := range []string{"/v1/symbols/AAPL/ticks", "/v1/symbols/AAPL/candles", "/v1/symbols/AAPL/indicators/rsi", "/v1/screener", "/v1/symbols/AAPL/snapshot"} {
			for _, name := range []string{"from", "to", "limit", "cursor", "interval", e} {
				paths = append(paths, base+"?"+name+"="+e)
			}
		}
		for _, path := range paths {
			a := c.raw(http.MethodGet, path)
			problemOf(t, a)
			if a.status != 404 && a.status != 422 {
				t.Errorf("%s: status %d: %s", path, a.status, a.body)
			}
			noLeak(t, a)
		}
	}
}

func deref(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"pgregory.net/rapid"
)

// testIndicators reads every indicator through pages and compares with what
// the database says of the whole history at once.
func testIndicators(t *testing.T, m *market, c *client) {
	var list page[Indicator]
	if err := json.Unmarshal(c.get("/v1/indicators").body, &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	rows, err := m.db.Pool.Query(context.Background(), "SELECT name FROM indicator.catalog ORDER BY name")
	if err != nil {
		t.Fatal(err)
	}
	if names, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 || len(list.Data) != len(names) {
		t.Fatalf("%d indicators listed, the catalog has %d", len(list.Data), len(names))
	}
	for i, e := range list.Data {
		if e.Name != names[i] || e.Title == "" || e.Description == "" || len(e.Series) == 0 {
			t.Errorf("%+v", e)
		}
		for _, p := range e.Parameters {
			if p.Min == nil || p.Max == nil || p.Description == "" {
				t.Errorf("%s: %+v", e.Name, p)
			}
			if v, err := strconv.ParseFloat(string(p.Default), 64); err != nil || p.Type == "integer" && v != math.Trunc(v) {
				t.Errorf("%s: default of %s is %s, want a %s", e.Name, p.Name, p.Default, p.Type)
			}
		}
	}

	t.Run("pages", rapid.MakeCheck(func(t *rapid.T) {
		e := rapid.SampledFrom(list.Data).Draw(t, "indicator")
		symbol := rapid.SampledFrom([]string{"AAPL", "BTC-USDT", "_ONE", "X:Y"}).Draw(t, "symbol")
		interval := rapid.SampledFrom([]string{"1m", "15m", "1d"}).Draw(t, "interval")
		q, from, to := drawRange(t, m.ticks[symbol])
		params := map[string]string{}
		for _, p := range e.Parameters {
			if p.Name == "period" && rapid.Bool().Draw(t, "with period") {
				params["period"] = strconv.Itoa(rapid.IntRange(max(int(*p.Min), 1), 9).Draw(t, "period"))
				q.Set("period", params["period"])
			}
		}
		q.Set("interval", interval)
		q.Set("limit", strconv.Itoa(rapid.SampledFrom([]int{7, 100, 500, 5000}).Draw(t, "limit")))
		want := wantValues(t, m, e, symbol, interval, from, to, params)
		pages := all[IndicatorValue](t, c, "/v1/symbols/"+symbol+"/indicators/"+e.Name, q)
		if q.Get("from") == "" {
			slices.Reverse(pages)
		}
		got := slices.Concat(pages...)
		if len(got) != len(want) {
			t.Fatalf("%s?%s: %d bars, want %d", e.Name, q.Encode(), len(got), len(want))
		}
		for i, g := range got {
			w := want[i]
			if !g.Bucket.Equal(w.Bucket) || len(g.Values) != len(e.Series) {
				t.Fatalf("%s?%s: bar %d is %+v, want %+v", e.Name, q.Encode(), i, g, w)
			}
			for name, v := range g.Values {
				if v == nil || w.Values[name] == nil {
					if v != w.Values[name] {
						t.Fatalf("%s?%s: %s at %v: %v, want %v", e.Name, q.Encode(), name, g.Bucket, v, w.Values[name])
					}
				} else if x, y := *v, *w.Values[name]; math.Abs(x-y) > 1e-9*math.Max(1e-2, math.Max(math.Abs(x), math.Abs(y))) {
					t.Fatalf("%s?%s: %s at %v: %v, want %v", e.Name, q.Encode(), name, g.Bucket, x, y)
				}
			}
		}
	}))

	t.Run("newest", func(t *testing.T) {
		for _, path := range []string{"", "&to=2100-01-01T00:00:00Z"} {
			var p page[IndicatorValue]
			a := c.get("/v1/symbols/AAPL/indicators/rsi?limit=1" + path)
			if err := json.Unmarshal(a.body, &p); err != nil || len(p.Data) != 1 || p.Data[0].Values["rsi"] == nil || p.Next == "" ||
				!p.Data[0].Bucket.Equal(m.now.Add(time.Millisecond).Truncate(time.Minute)) {
				t.Errorf("%s: %v %s", path, err, a.body)
			}
		}
	})
	t.Run("errors", func(t *testing.T) { testIndicatorErrors(t, m, c) })
}

// wantValues is each bar of the range with what evaluate says of it.
func wantValues(t *rapid.T, m *market, e Indicator, symbol, interval string, from, to time.Time, params map[string]string) []IndicatorValue {
	ctx := context.Background()
	rows, err := m.db.Pool.Query(ctx, `SELECT c.bucket, e.series, e.value FROM candles($1, $2, $3, $4) c
		LEFT JOIN indicator.evaluate($5, $1, $2, '-infinity', 'infinity', $6) e USING (bucket) ORDER BY c.bucket`,
		symbol, interval, from, to, e.Name, params)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []IndicatorValue
	for rows.Next() {
		var bucket time.Time
		var series *string
		var value *float64
		if err := rows.Scan(&bucket, &series, &value); err != nil {
			t.Fatal(err)
		}
		if len(out) == 0 || !out[len(out)-1].Bucket.Equal(bucket) {
			out = append(out, IndicatorValue{bucket, map[string]*float64{}})
		}
		if series != nil {
			out[len(out)-1].Values[*series] = value
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func testIndicatorErrors(t *testing.T, m *market, c *client) {
	var p page[IndicatorValue]
	if err := json.Unmarshal(c.get("/v1/symbols/AAPL/indicators/rsi?limit=1&period=5").body, &p); err != nil || p.Next == "" {
		t.Fatal(err)
	}
	// Someone's indicators that fail in ways of their own.
	execSQL(t, m, `CREATE FUNCTION indicator.broken(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, n int DEFAULT 0)
		RETURNS SETOF indicator.point LANGUAGE sql STABLE AS $$ SELECT "from", 'broken', 1.0 / n $$`)
	execSQL(t, m, `CREATE FUNCTION indicator.lacking(symbol text, "interval" text, "from" timestamptz, "to" timestamptz)
		RETURNS SETOF indicator.point LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN QUERY SELECT "from", 'x', nope(1); END $$`)
	execSQL(t, m, `CREATE FUNCTION indicator.unsaid(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, word text DEFAULT 'b')
		RETURNS SETOF indicator.point LANGUAGE sql STABLE AS $$
		SELECT bucket, s, close FROM public.candles(symbol, "interval", "from", "to"), unnest(ARRAY['a', word]) s ORDER BY bucket $$`)
	for _, k := range []struct {
		path     string
		status   int
		location string
		message  string
	}{
		{"/v1/symbols/AAPL/indicators/nope", 404, "path.name", "unknown"},
		{"/v1/symbols/AAPL/indicators/evaluate", 404, "path.name", "unknown"},
		{"/v1/symbols/NOPE/indicators/rsi", 404, "path.symbol", "unknown"},
		{"/v1/symbols/NOPE/indicators/rsi?period=1", 422, "query.period", "want 2 to 500, got 1"},
		{"/v1/symbols/AAPL/indicators/rsi?period=501", 422, "query.period", "want 2 to 500, got 501"},
		{"/v1/symbols/AAPL/indicators/rsi?period=14.5", 422, "query.period", "want an integer"},
		{"/v1/symbols/AAPL/indicators/rsi?period=", 422, "query.period", "want an integer"},
		{"/v1/symbols/AAPL/indicators/rsi?period=1&period=2", 422, "query.period", "once"},
		{"/v1/symbols/AAPL/indicators/rsi?length=3", 422, "query.length", "rsi has period (integer 2 to 500)"},
		{"/v1/symbols/AAPL/indicators/macd?fast=30", 422, "query.slow", "want 31 to 500"},
		{"/v1/symbols/AAPL/indicators/rsi?interval=7s", 422, "query.interval", ""},
		{"/v1/symbols/AAPL/indicators/rsi?limit=0", 422, "query.limit", ""},
		{"/v1/symbols/AAPL/indicators/rsi?period=%00", 422, "query.period", "printable"},
		{"/v1/symbols/AAPL/indicators/rsi?period=%ff", 422, "query.period", "printable"},
		{"/v1/symbols/AAPL/indicators/rsi?%00=1", 422, "query", "printable"},
		{"/v1/symbols/AAPL/indicators/rsi?period=" + strings.Repeat("1", 300), 422, "query.period", "256"},
		{"/v1/symbols/AAPL/indicators/ema?cursor=" + p.Next, 422, "query.cursor", "another indicator"},
		{"/v1/symbols/AAPL/indicators/rsi?period=6&cursor=" + p.Next, 422, "query.cursor", "other parameters"},
		{"/v1/symbols/AAPL/candles?cursor=" + p.Next, 422, "query.cursor", "another resource"},
		{"/v1/symbols/AAPL/indicators/broken", 500, "", ""},
		{"/v1/symbols/AAPL/indicators/broken?n=99999999999", 422, "query", "broken has n (integer)"},
		{"/v1/symbols/AAPL/indicators/lacking", 500, "", ""},
	} {
		a := c.get(k.path)
		got := problemOf(t, a)
		if a.status != k.status {
			t.Errorf("%s: status %d, want %d: %s", k.path, a.status, k.status, a.body)
		}
		if k.location != "" && (len(got.Errors) != 1 || got.Errors[0].Location != k.location || !strings.Contains(got.Errors[0].Message, k.message)) {
			t.Errorf("%s: %s, want %s %q", k.path, a.body, k.location, k.message)
		}
		noLeak(t, a)
	}
	// A cursor brings its parameters with it.
	if a := c.get("/v1/symbols/AAPL/indicators/rsi?limit=1&cursor=" + p.Next); a.status != 200 {
		t.Errorf("%d %s", a.status, a.body)
	}
	// Series the comment does not name are there all the same.
	a := c.get("/v1/symbols/AAPL/indicators/unsaid?limit=1&word=%C3%A9%22")
	if want := regexp.MustCompile(`"values":\{"unsaid":null,"a":([\d.]+),"é\\"":([\d.]+)\}`); !want.Match(a.body) {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func execSQL(t testing.TB, m *market, sql string) {
	t.Helper()
	if _, err := m.db.Pool.Exec(context.Background(), sql); err != nil {
		t.Fatal(err)
	}
}

// testExampleInDocs executes docs/add-an-indicator.md word for word while the
// server runs: its migration, then its curl.
func testExampleInDocs(t *testing.T, m *market, c *client) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "add-an-indicator.md"))
	if err != nil {
		t.Fatal(err)
	}
	migration := regexp.MustCompile("(?s)```sql\n(-- \\+goose Up\n.*?)```").FindSubmatch(doc)
	curl := regexp.MustCompile(`(?m)^curl 'localhost:8080(/\S+)'$`).FindSubmatch(doc)
	if migration == nil || curl == nil {
		t.Fatal("no migration or no curl in docs/add-an-indicator.md")
	}
	if a := c.get(string(curl[1])); a.status != http.StatusNotFound {
		t.Fatalf("before the migration: %d %s", a.status, a.body)
	}
	sqlDB := stdlib.OpenDBFromPool(m.db.Pool)
	defer func() { _ = sqlDB.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, sqlDB, fstest.MapFS{"10001_efficiency.sql": {Data: migration[1]}}, goose.WithTableName("example_version"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	a := c.get("/v1/indicators")
	if want := `"name":"efficiency","title":"Efficiency ratio"`; !strings.Contains(string(a.body), want) ||
		!strings.Contains(string(a.body), `{"name":"period","type":"integer","default":10,"min":2,"max":500,"description":"Bars."}`) {
		t.Errorf("want %s in %s", want, a.body)
	}
	var got page[IndicatorValue]
	a = c.get(string(curl[1]))
	if err := json.Unmarshal(a.body, &got); err != nil || a.status != 200 || len(got.Data) == 0 {
		t.Fatalf("%v: %d %s", err, a.status, a.body)
	}
	values := 0
	for i, g := range got.Data {
		v := g.Values["efficiency"]
		if v == nil {
			if i >= 20 {
				t.Errorf("no value at bar %d", i)
			}
			continue
		}
		values++
		if *v < 0 || *v > 1+1e-12 {
			t.Errorf("%v at %v", *v, g.Bucket)
		}
	}
	if values < 100 {
		t.Errorf("%d values", values)
	}
	if _, err := p.Down(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := c.get(string(curl[1])); a.status != http.StatusNotFound {
		t.Errorf("after it was dropped: %d %s", a.status, a.body)
	}
}

// testScreener compares pages with what the rows of indicator.latest give when
// Go filters and sorts them.
func testScreener(t *testing.T, m *market, c *client) {
	// A later migration adds columns, of other types too.
	execSQL(t, m, `DO $$ BEGIN EXECUTE replace(pg_get_functiondef('indicator.latest(text)'::regprocedure), 'latest', 'latest_before'); END $$`)
	execSQL(t, m, `DROP FUNCTION indicator.latest(text)`)
	execSQL(t, m, `CREATE FUNCTION indicator.latest("interval" text)
		RETURNS TABLE (symbol text, bucket timestamptz, close float8, rsi_14 float8, sma_20 float8, percent_b float8, trend float8,
		               word text, big bigint, fine numeric, odd boolean)
		LANGUAGE sql STABLE AS $$ SELECT b.symbol, b.bucket, b.close, b.rsi_14, b.sma_20, b.percent_b, b.trend,
			nullif(substr(b.symbol, 1, 1), 'B') || '"é', length(b.symbol), 0.10 + length(b.symbol), length(b.symbol) % 2 = 1
			FROM indicator.latest_before("interval") b $$`)
	execSQL(t, m, `GRANT EXECUTE ON FUNCTION indicator.latest(text) TO hypertick_reader`)

	names := []string{"symbol", "bucket", "close", "rsi_14", "sma_20", "percent_b", "trend", "word", "big", "fine", "odd"}
	rowsOf := map[string][]map[string]any{}
	for _, interval := range []string{"1m", "1d"} {
		for _, p := range all[map[string]any](t, c, "/v1/screener", url.Values{"interval": {interval}}) {
			rowsOf[interval] = append(rowsOf[interval], p...)
		}
		var n int
		if err := m.db.Pool.QueryRow(context.Background(), "SELECT count(*) FROM indicator.latest($1)", interval).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n < 5 || len(rowsOf[interval]) != n {
			t.Fatalf("%s: %d rows, want %d", interval, len(rowsOf[interval]), n)
		}
		for _, r := range rowsOf[interval] {
			var x struct {
				close      float64
				rsi, sma   *float64
				word       *string
				big        int64
				odd, equal bool
			}
			err := m.db.Pool.QueryRow(context.Background(), `SELECT close, rsi_14, sma_20, word, big, odd, bucket = $3::timestamptz
				FROM indicator.latest($1) WHERE symbol = $2`, interval, r["symbol"], r["bucket"]).Scan(&x.close, &x.rsi, &x.sma, &x.word, &x.big, &x.odd, &x.equal)
			if err != nil || len(r) != len(names) || r["close"] != x.close || !sameNumber(r["rsi_14"], x.rsi) || !sameNumber(r["sma_20"], x.sma) ||
				r["big"] != float64(x.big) || r["odd"] != x.odd || !x.equal || r["fine"] != float64(x.big)+0.1 || x.word != nil && r["word"] != *x.word {
				t.Errorf("%s: %v: %v, want %+v", interval, err, r, x)
			}
		}
	}

	t.Run("pages", rapid.MakeCheck(func(t *rapid.T) {
		interval := rapid.SampledFrom([]string{"1m", "1d"}).Draw(t, "interval")
		q := url.Values{"interval": {interval}, "limit": {strconv.Itoa(rapid.SampledFrom([]int{1, 2, 3, 50}).Draw(t, "limit"))}}
		key := rapid.SampledFrom(names).Draw(t, "sort")
		q.Set("sort", key)
		descending := rapid.Bool().Draw(t, "descending")
		if descending {
			q.Set("order", "desc")
		}
		want := slices.Clone(rowsOf[interval])
		for range rapid.IntRange(0, 3).Draw(t, "filters") {
			name := rapid.SampledFrom(names).Draw(t, "filter")
			operator := rapid.SampledFrom([]string{"<", "<=", ">", ">=", "=", "!="}).Draw(t, "operator")
			value := rapid.SampledFrom(rowsOf[interval]).Draw(t, "row")[name]
			if value == nil {
				continue
			}
			q.Add("filter", name+operator+text(value))
			want = slices.DeleteFunc(want, func(r map[string]any) bool {
				if r[name] == nil {
					return true
				}
				n := compareCells(r[name], value)
				return map[string]bool{"<": n >= 0, "<=": n > 0, ">": n <= 0, ">=": n < 0, "=": n != 0, "!=": n == 0}[operator]
			})
		}
		slices.SortFunc(want, func(a, b map[string]any) int {
			x, y := a[key], b[key]
			n := 0
			switch {
			case x == nil && y != nil:
				return 1
			case x != nil && y == nil:
				return -1
			case x != nil:
				n = compareCells(x, y)
			}
			if descending {
				n = -n
			}
			if n == 0 {
				n = strings.Compare(text(a["symbol"]), text(b["symbol"]))
			}
			return n
		})
		got := slices.Concat(all[map[string]any](t, c, "/v1/screener", q)...)
		if fmt.Sprint(symbolsOf(got)) != fmt.Sprint(symbolsOf(want)) {
			t.Fatalf("%v: got %v, want %v", q, symbolsOf(got), symbolsOf(want))
		}
	}))

	t.Run("errors", func(t *testing.T) {
		var p page[map[string]any]
		if err := json.Unmarshal(c.get("/v1/screener?limit=1&sort=close&filter=close>0").body, &p); err != nil || p.Next == "" {
			t.Fatal(err)
		}
		for path, want := range map[string]string{
			"?sort=nope": "query.sort", "?sort=symbol%20DESC": "query.sort", "?sort=%22": "query.sort", "?order=up": "query.order",
			"?interval=7s": "query.interval", "?limit=0": "query.limit", "?limit=5001": "query.limit", "?sorted=1": "query.sorted",
			"?filter=nope<1": "query.filter", "?filter=close": "query.filter", "?filter=close<": "query.filter", "?filter=close<x": "query.filter",
			"?filter=close<NaN": "query.filter", "?filter=close<1e999": "query.filter", "?filter=close<0x1p3": "query.filter",
			"?filter=close<1%20OR%201=1": "query.filter", "?filter=close<<1": "query.filter", "?filter=bucket>yesterday": "query.filter",
			"?filter=odd=maybe": "query.filter", "?filter=symbol=%00": "query.filter", "?filter=%22close%22<1": "query.filter",
			"?filter=symbol=" + strings.Repeat("A", 200): "query.filter", "?" + strings.Repeat("filter=close>1&", 11): "query.filter",
			"?cursor=x": "query.cursor", "?order=desc&cursor=" + p.Next: "query.cursor", "?sort=symbol&cursor=" + p.Next: "query.cursor",
			"?interval=5m&cursor=" + p.Next: "query.cursor", "?filter=close>1&cursor=" + p.Next: "query.cursor",
		} {
			a := c.raw(http.MethodGet, "/v1/screener"+path)
			got := problemOf(t, a)
			if a.status != 422 || len(got.Errors) != 1 || got.Errors[0].Location != want {
				t.Errorf("%s: %d %s, want %s", path, a.status, a.body, want)
			}
			noLeak(t, a)
		}
		if a := c.raw(http.MethodGet, "/v1/screener?filter=symbol='%20OR%201=1%20--"); a.status != 200 || !strings.Contains(string(a.body), `"data":[]`) {
			t.Errorf("text is compared as text: %d %s", a.status, a.body)
		}
	})
}

func symbolsOf(rows []map[string]any) []any {
	out := make([]any, len(rows))
	for i, r := range rows {
		out[i] = r["symbol"]
	}
	return out
}

func sameNumber(got any, want *float64) bool {
	if want == nil {
		return got == nil
	}
	return got == *want
}

func text(v any) string {
	if f, ok := v.(float64); ok {
		return strconv.FormatFloat(f, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}

func compareCells(a, b any) int {
	if x, ok := a.(float64); ok {
		y := b.(float64)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return strings.Compare(fmt.Sprint(a), fmt.Sprint(b))
}

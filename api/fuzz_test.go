package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// fuzzDatabase hands the database on to workers.
const fuzzDatabase = "HYPERTICK_FUZZ_DATABASE"

// FuzzRequest puts anything into every parameter of every operation, over a
// socket and down to the database: whatever comes, the answer is rows or a
// problem of the client's, never one of the server's.
//
// The fuzzer's workers are processes of their own. They share the database of
// the one that starts them, and each serves from it itself, so that the
// fuzzer sees which code a request reaches.
func FuzzRequest(f *testing.F) {
	start := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	if os.Getenv(fuzzDatabase) == "" {
		f.Setenv(fuzzDatabase, fuzzMarket(f, start))
	}
	pool, err := db.Open(context.Background(), os.Getenv(fuzzDatabase), 4)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(pool.Close)
	c := serve(f, Config{Pool: pool})

	paths := []string{
		"/v1/symbols", "/v1/symbols/%s/ticks", "/v1/symbols/%s/candles", "/v1/symbols/%s/indicators/%s", "/v1/symbols/%s/snapshot",
		"/v1/screener", "/v1/indicators",
	}
	for i, seed := range [][4]string{
		{"q", "A", "limit", "1"}, {"from", start.Format(time.RFC3339), "cursor", "AQ"}, {"interval", "5m", "to", "9999-12-31T23:59:59Z"},
		{"period", "14", "from", "0000-01-01T00:00:00+23:59"}, {"interval", "1d", "x", "1"}, {"filter", "close<1e308", "sort", "symbol"},
		{"filter", "bucket>=0000-01-01T00:00:00Z", "order", "desc"},
	} {
		f.Add(uint8(i%len(paths)), "A", "rsi", seed[0], seed[1], seed[2], seed[3], "")
	}
	// Cursors of every kind, whole, for the fuzzer to bend.
	for i, path := range []string{"/v1/symbols/A/ticks", "/v1/symbols/A/candles", "/v1/symbols/A/indicators/rsi"} {
		var p struct{ Next string }
		if a := c.get(path + "?limit=1&from=2000-01-01T00:00:00Z"); json.Unmarshal(a.body, &p) != nil || p.Next == "" {
			f.Fatalf("%s: no next: %s", path, a.body)
		}
		f.Add(uint8(i+1), "A", "rsi", "cursor", p.Next, "limit", "2", typeCSV)
	}
	at := position{TS: start.UnixMicro()}
	for i, k := range []cursor{
		{Kind: kindSymbols, Symbol: "A"}, {Kind: kindTicks, Symbol: "A", At: &at}, {Kind: kindCandles, Symbol: "A", Interval: "1m", At: &position{TS: minMicros}},
		{Kind: kindIndicators, Symbol: "A", Interval: "1m", Name: "rsi", Params: map[string]string{"period": "3"}, At: &position{TS: maxMicros}},
		{Kind: kindSymbols}, {Kind: kindScreener, Symbol: "A", Interval: "1m", Sort: "close", Filters: []string{"close>1"}, Number: new(uint64), Text: ptr("é")},
	} {
		f.Add(uint8(i), "A", "rsi", "cursor", k.String(), "", "", typeArrow)
	}

	f.Fuzz(func(t *testing.T, which uint8, symbol, name, k1, v1, k2, v2, accept string) {
		path := paths[int(which)%len(paths)]
		switch parts := []any{url.PathEscape(symbol), url.PathEscape(name)}; int(which) % len(paths) {
		case 1, 2, 4:
			path = fmt.Sprintf(path, parts[0])
		case 3:
			path = fmt.Sprintf(path, parts...)
		}
		q := url.Values{}
		for _, kv := range [][2]string{{k1, v1}, {k2, v2}} {
			if kv[0] != "" {
				q.Add(kv[0], kv[1])
			}
		}
		header := []string{}
		if accept == typeCSV || accept == typeArrow {
			header = append(header, "Accept", accept)
		}
		a, err := c.do(http.MethodGet, path+"?"+q.Encode(), header...)
		if err != nil {
			t.Fatal(err)
		}
		switch ct := a.header.Get("Content-Type"); {
		case a.status >= 500:
			t.Fatalf("%s?%s: %d %s\n%s", path, q.Encode(), a.status, a.body, c.log)
		case a.status >= 400:
			problemOf(t, a)
		case a.status == 200 && ct == typeJSON && !json.Valid(a.body):
			t.Fatalf("%s?%s: %s", path, q.Encode(), a.body)
		}
	})
}

// fuzzMarket is a database with 300 ticks of A from start on, for a reader.
func fuzzMarket(f *testing.F, start time.Time) string {
	d := dbtest.New(f)
	var rows [][]any
	for i := range 300 {
		rows = append(rows, []any{start.Add(time.Duration(i) * 20 * time.Second), "A", 100 + float64(i%7), float64(i % 3), int64(i + 1), "SIM"})
	}
	ctx := context.Background()
	if _, err := d.Pool.CopyFrom(ctx, pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"}, pgx.CopyFromRows(rows)); err != nil {
		f.Fatal(err)
	}
	if _, err := d.Pool.Exec(ctx, "INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) VALUES ('SIM', 'A', 300, $1)", rows[299][0]); err != nil {
		f.Fatal(err)
	}
	d.Settle(f)
	return d.URLAs(f, "hypertick_reader")
}

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

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
		"/v1/screener", "/v1/indicators", "/v1/alerts/rules", "/v1/alerts/events",
	}
	for i, seed := range [][4]string{
		{"q", "A", "limit", "1"}, {"from", start.Format(time.RFC3339), "cursor", "AQ"}, {"interval", "5m", "to", "9999-12-31T23:59:59Z"},
		{"period", "14", "from", "0000-01-01T00:00:00+23:59"}, {"interval", "1d", "x", "1"}, {"filter", "close<1e308", "sort", "symbol"},
		{"filter", "bucket>=0000-01-01T00:00:00Z", "order", "desc"}, {"enabled", "true", "severity", "info,critical"},
		{"rule", "rsi-above-70", "symbol", "A,B"}, {"rule", "7", "state", "firing"},
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
		{Kind: kindAlerts, Filters: []string{"rule=a", "symbol=A"}, From: ptr(minMicros), At: &position{TS: start.UnixMicro(), Seq: 1}},
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
	d.URLAs(f, "hypertick_operator")
	return d.URLAs(f, "hypertick_reader")
}

// FuzzAlertRule sends anything as a rule, a change of one, and a dry run:
// whatever comes, it is taken or it is the client's mistake.
func FuzzAlertRule(f *testing.F) {
	if os.Getenv(fuzzDatabase) == "" {
		f.Setenv(fuzzDatabase, fuzzMarket(f, time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)))
	}
	at, err := url.Parse(os.Getenv(fuzzDatabase))
	if err != nil {
		f.Fatal(err)
	}
	pools := map[string]*pgxpool.Pool{}
	for _, role := range []string{"hypertick_reader", "hypertick_operator"} {
		// On a server all roles have the same password; the embedded one asks for none.
		if password, ok := at.User.Password(); ok {
			at.User = url.UserPassword(role, password)
		} else {
			at.User = url.User(role)
		}
		if pools[role], err = db.Open(context.Background(), at.String(), 2); err != nil {
			f.Fatal(err)
		}
		f.Cleanup(pools[role].Close)
	}
	c := serve(f, Config{Pool: pools["hypertick_reader"], Operator: pools["hypertick_operator"]})
	for i, body := range []string{
		`{"name":"a","condition":"above","interval":"5m","indicator":"rsi","params":{"period":14},"threshold":70,"cooldown":"30m"}`,
		`{"threshold":null,"against_indicator":"sma","against_params":{"period":2e9},"symbols":["*","A?"]}`,
		`{"from":"2026-11-25T10:00:00Z","to":"2026-11-25T11:00:00Z","symbols":["A*"]}`,
		`{"name":"b","condition":"outside","interval":"1d","indicator":"zscore","threshold":-1e-320,"upper":1e300,"bars":1000}`,
		`{"condition":"fails","interval":null,"indicator":null,"threshold":null,"cooldown":"8784h"}`, `{"channels":["x"]}`, `null`, `[[[[`,
	} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		method, path := http.MethodPost, "/v1/alerts/rules"
		switch which % 3 {
		case 1:
			method, path = http.MethodPatch, "/v1/alerts/rules/1"
		case 2:
			path = "/v1/alerts/rules/2/test"
		}
		a, err := c.send(method, path, strings.NewReader(body), "Content-Type", typeJSON)
		switch {
		case err != nil:
			t.Fatal(err)
		case a.status >= 500:
			t.Fatalf("%s %s %s: %d %s\n%s", method, path, body, a.status, a.body, c.log)
		case a.status >= 400:
			problemOf(t, a)
		case a.status == 201:
			rule := decode[AlertRule](t, a)
			if a, err := c.do(http.MethodDelete, fmt.Sprintf("/v1/alerts/rules/%d", rule.ID)); err != nil || a.status != 204 {
				t.Fatalf("delete: %d %s %v", a.status, a.body, err)
			}
		}
	})
}

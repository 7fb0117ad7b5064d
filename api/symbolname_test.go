package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// escapes are the ways in which clients write a symbol into a path; all escapes what
// need not be escaped too.
var escapes = map[string]func(string) string{
	"go": url.PathEscape,
	"javascript": func(s string) string { // encodeURIComponent
		return strings.NewReplacer("+", "%20", "%21", "!", "%27", "'", "%28", "(", "%29", ")", "%2A", "*", "%7E", "~").Replace(url.QueryEscape(s))
	},
	"all": func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02x", s[i])
		}
		return b.String()
	},
}

// inList is a symbol as an item of a list.
func inList(s string) string { return strings.NewReplacer(`\`, `\\`, ",", `\,`, "*", `\*`).Replace(s) }

// TestOddSymbols reads every symbol at every door of the API.
func TestOddSymbols(t *testing.T) {
	l := newLive(t, Config{})
	at := l.now().Add(-time.Hour)
	price := map[string]float64{}
	for range 3 {
		at = at.Add(time.Minute)
		l.tick(at, dbtest.OddSymbols...)
	}
	l.db.Settle(t)
	for i, s := range dbtest.OddSymbols {
		price[s] = 100 + float64(2*len(dbtest.OddSymbols)+i+1)
	}

	t.Run("list", func(t *testing.T) {
		var got []string
		for _, page := range all[Symbol](t, l.client, "/v1/symbols", url.Values{"limit": {"5"}}) {
			for _, s := range page {
				got = append(got, s.Symbol)
				if s.LastPrice == nil || *s.LastPrice != price[s.Symbol] {
					t.Errorf("%q: last price %v, want %v", s.Symbol, s.LastPrice, price[s.Symbol])
				}
			}
		}
		want := slices.Sorted(slices.Values(dbtest.OddSymbols))
		if !slices.Equal(got, want) {
			t.Errorf("got %q\nwant %q", got, want)
		}
		for _, s := range dbtest.OddSymbols {
			if found := all[Symbol](t, l.client, "/v1/symbols", url.Values{"q": {s}, "limit": {"2"}}); !slices.ContainsFunc(slices.Concat(found...), func(f Symbol) bool { return f.Symbol == s }) {
				t.Errorf("the search for %q finds %v", s, found)
			}
		}
		if found := slices.Concat(all[Symbol](t, l.client, "/v1/symbols", url.Values{"q": {"aApL"}})...); len(found) != 2 {
			t.Errorf("the search for aApL finds %v", found)
		}
	})

	t.Run("path", func(t *testing.T) {
		for _, s := range dbtest.OddSymbols {
			for client, escape := range escapes {
				path := "/v1/symbols/" + escape(s)
				for _, page := range all[Tick](t, l.client, path+"/ticks", url.Values{"limit": {"1"}})[:1] {
					if len(page) != 1 || page[0].Price != price[s] {
						t.Errorf("%s, %s: ticks %+v, want %v", client, path, page, price[s])
					}
				}
				if client != "javascript" {
					continue
				}
				pages := all[Candle](t, l.client, path+"/candles", url.Values{"limit": {"2"}})
				if n := len(slices.Concat(pages...)); n != 3 || pages[0][1].Close != price[s] {
					t.Errorf("%s, %s: %d candles, %+v", client, path, n, pages)
				}
				if v := slices.Concat(all[IndicatorValue](t, l.client, path+"/indicators/sma", url.Values{"period": {"1"}})...); len(v) != 3 || *v[2].Values["sma"] != price[s] {
					t.Errorf("%s, %s: indicator %+v", client, path, v)
				}
				snap := decode[Snapshot](t, l.get(path+"/snapshot"))
				if snap.Symbol != s || snap.Tick == nil || snap.Tick.Price != price[s] {
					t.Errorf("%s, %s: snapshot %+v", client, path, snap)
				}
			}
			// As curl sends it, and the Link of the next page.
			a := l.raw(http.MethodGet, "/v1/symbols/"+url.PathEscape(s)+"/ticks?limit=1")
			link, _, _ := strings.Cut(strings.TrimPrefix(a.header.Get("Link"), "<"), ">")
			if next := l.raw(http.MethodGet, link); a.status != 200 || next.status != 200 || !strings.Contains(string(next.body), fmt.Sprintf(`"price":%v,`, price[s]-float64(len(dbtest.OddSymbols)))) {
				t.Errorf("%q: %d, Link %s: %d %s", s, a.status, link, next.status, next.body)
			}
		}
	})

	t.Run("table", func(t *testing.T) {
		want := slices.Sorted(slices.Values(dbtest.OddSymbols))
		a, err := l.do(http.MethodGet, "/v1/screener?limit=100", "Accept", typeCSV)
		if err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		at := slices.Index(rows[0], "symbol")
		var got []string
		for _, r := range rows[1:] {
			got = append(got, r[at])
		}
		if !slices.Equal(got, want) {
			t.Errorf("CSV has %q", got)
		}
		if a, err = l.do(http.MethodGet, "/v1/screener?limit=100", "Accept", typeArrow); err != nil {
			t.Fatal(err)
		}
		all := strings.Join(arrowRows(t, a.body, strings.Join(rows[0], ",")), "\n")
		for _, s := range want {
			if !strings.Contains(all, s) {
				t.Errorf("Arrow lacks %q", s)
			}
		}
		// By pages, whose cursors hold the symbol.
		a = l.get("/v1/screener?limit=1&sort=symbol")
		n := 0
		for ; a.status == 200; n++ {
			var p page[ScreenerRow]
			if err := json.Unmarshal(a.body, &p); err != nil || len(p.Data) != 1 || p.Data[0].Symbol != want[n] {
				t.Fatalf("page %d: %v %s, want %q", n, err, a.body, want[n])
			}
			if p.Next == "" {
				break
			}
			a = l.get("/v1/screener?limit=1&sort=symbol&cursor=" + p.Next)
		}
		if n != len(want)-1 {
			t.Errorf("%d pages", n+1)
		}
	})

	t.Run("stream", func(t *testing.T) {
		for how, query := range map[string]string{
			"one list": "?symbols=" + url.QueryEscape(strings.Join(each(dbtest.OddSymbols, inList), ",")),
			"repeated": "?" + url.Values{"symbols": each(dbtest.OddSymbols, inList)}.Encode(),
		} {
			s := l.mustSubscribe(query+"&interval=1m&events=tick,candle,status", "")
			l.until(s, "status", has("status", ""))
			at = at.Add(3 * time.Minute)
			l.tick(at, dbtest.OddSymbols...)
			l.tick(at.Add(70*time.Second), dbtest.OddSymbols[0])
			got, closed := map[string]string{}, map[string]string{}
			last := ""
			for len(got) < len(dbtest.OddSymbols) || len(closed) < len(dbtest.OddSymbols) {
				e := l.until(s, fmt.Sprintf("a tick or close beside those of %q and %q", slices.Collect(maps.Keys(got)), slices.Collect(maps.Keys(closed))),
					func(e sse) bool { return e.event == "tick" || has("candle", `"closed"`)(e) })
				symbol := decodeText[struct{ Symbol string }](t, e.data).Symbol
				if e.event == "tick" {
					got[symbol] = e.id
				} else {
					closed[symbol], last = e.id, e.id
				}
				// Ids go into a header, where a browser takes ASCII alone.
				if strings.ContainsFunc(e.id, func(r rune) bool { return r <= ' ' || r > '~' }) {
					t.Errorf("id %q is not printable ASCII", e.id)
				}
			}
			for _, symbol := range dbtest.OddSymbols {
				if got[symbol] == "" || closed[symbol] == "" {
					t.Errorf("%s: no tick or no close of %q", how, symbol)
				}
			}
			// After the close of a symbol those of the symbols above it are sent again, and no reset.
			for _, symbol := range []string{"币安人生USDT", "SPY   251219C00650000", "50%25", "A,B"} {
				again := l.mustSubscribe("?events=candle&symbols="+url.QueryEscape(inList("🚀")), closed[symbol])
				if e := l.until(again, "the close of the last symbol after "+symbol, func(e sse) bool { return e.event != "" }); e.id != closed["🚀"] {
					t.Errorf("after %s: %+v, want %s", closed[symbol], e, last)
				}
				again.close()
			}
			s.close()
		}
	})

	t.Run("alert", func(t *testing.T) {
		for _, s := range dbtest.OddSymbols {
			var symbols []string
			if err := l.db.Pool.QueryRow(t.Context(), `SELECT array_agg(s) FROM unnest($1::text[]) s WHERE _hypertick.matches(s, ARRAY[$2::text])`,
				dbtest.OddSymbols, strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`).Replace(s)).Scan(&symbols); err != nil || !slices.Equal(symbols, []string{s}) {
				t.Errorf("the pattern of %q matches %q (%v)", s, symbols, err)
			}
		}
		for pattern, want := range map[string][]string{"SPX*": {"SPX*"}, "*PL": {"AAPL"}, "a?c": {"a?c"}, "?": {"*", "%", "_", "🚀"}, `a\*`: nil, `A\,B`: {"A,B"}} {
			var symbols []string
			if err := l.db.Pool.QueryRow(t.Context(), `SELECT array_agg(s) FROM unnest($1::text[]) s WHERE _hypertick.matches(s, ARRAY[$2::text])`,
				dbtest.OddSymbols, pattern).Scan(&symbols); err != nil || !slices.Equal(symbols, want) {
				t.Errorf("%s matches %q (%v), want %q", pattern, symbols, err, want)
			}
		}
	})
}

func each(in []string, f func(string) string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}

func decodeText[T any](t testing.TB, s string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v: %s", err, s)
	}
	return v
}

// TestNoSymbol refuses what can be none with the whole rule.
func TestNoSymbol(t *testing.T) {
	c := serve(t, Config{Pool: noDatabase(t)})
	for _, s := range []string{" A", "A ", " ", "\x00", "A\tB", "A\nB", "\x7f", "\u00a0A", "A\u202eB", "A\u200bB", "\xff", strings.Repeat("A", 65), strings.Repeat("币", 22)} {
		for _, k := range []struct{ path, location string }{
			{"/v1/symbols/" + url.PathEscape(s) + "/ticks", "path.symbol"},
			{"/v1/symbols/" + url.PathEscape(s) + "/candles", "path.symbol"},
			{"/v1/symbols/" + url.PathEscape(s) + "/indicators/sma", "path.symbol"},
			{"/v1/symbols/" + url.PathEscape(s) + "/snapshot", "path.symbol"},
			{"/v1/stream?symbols=AAPL," + url.QueryEscape(s), "query.symbols"},
		} {
			a := c.raw(http.MethodGet, k.path)
			p := problemOf(t, a)
			if a.status != 422 || len(p.Errors) != 1 || p.Errors[0].Location != k.location || !strings.HasPrefix(p.Errors[0].Message, wantSymbol) {
				t.Errorf("%s: %d %s", k.path, a.status, a.body)
			}
		}
	}
}

func TestSplitList(t *testing.T) {
	for list, want := range map[string][]string{
		"AAPL": {"AAPL"}, "AAPL,MSFT": {"AAPL", "MSFT"}, `A\,B,C`: {"A,B", "C"}, `A\\,B`: {`A\`, "B"}, `\*`: {"*"}, "": {""}, `A\`: {`A\`}, ",": {"", ""},
	} {
		if got := each(splitList(list), unescapeItem); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", list, got, want)
		}
	}
}

package api

import (
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// read expects a status.
func (c *client) read(path string, status int) answer {
	c.t.Helper()
	a, err := c.do(http.MethodGet, path)
	if err != nil {
		c.t.Fatal(err)
	}
	if a.status != status {
		c.t.Fatalf("GET %s: status %d, want %d: %s", path, a.status, status, a.body)
	}
	return a
}

func TestInstruments(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	asOwner(t, d, `INSERT INTO calendars (calendar, name, zone, first_day, last_day)
		VALUES ('XNAS', 'Nasdaq', 'America/New_York', '1990-01-01', '2026-12-31') ON CONFLICT DO NOTHING`)
	asOwner(t, d, `INSERT INTO instruments (symbol, name, kind, calendar) VALUES ('META', 'Meta Platforms', 'equity', 'XNAS'), ('FB', NULL, 'other', '24x7'),
		('METAL', 'Steel Works', 'equity', '24x7'), ('BTC/USDT', 'Bitcoin', 'crypto', '24x7'), ('XM', 'The metaphor of metals', 'etf', '24x7'), ('Q', 'Thermeta', 'etf', '24x7'),
		('NEW', 'Has taken a symbol', 'etf', '24x7')`)
	asOwner(t, d, `INSERT INTO former_symbols VALUES ('META', 'FB', '2022-06-09'), ('META', 'TFB', '2012-05-18'), ('Q', 'NEW', '2020-01-01')`)
	asOwner(t, d, `UPDATE instruments SET active_from = '2020-01-01' WHERE symbol = 'NEW'`)
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d)})

	asOwner(t, d, "INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) VALUES ('V', 'FB', 1, now()), ('V', 'META', 1, now()), ('V', 'NOBODY', 1, now())")
	var names []string
	for _, s := range decode[page[Symbol]](t, c.read("/v1/symbols", 200)).Data {
		if s.Name != nil {
			names = append(names, s.Symbol+" "+*s.Name)
		} else {
			names = append(names, s.Symbol)
		}
	}
	if want := "[FB META Meta Platforms NOBODY]"; fmt.Sprint(names) != want {
		t.Errorf("symbols: got %v, want %s", names, want)
	}

	list := func(query string) (symbols []string) {
		t.Helper()
		for _, limit := range []int{1, 2, 500} {
			var got []string
			for next := "first"; next != ""; {
				path := fmt.Sprintf("/v1/instruments?limit=%d&%s", limit, query)
				if next != "first" {
					path = fmt.Sprintf("/v1/instruments?limit=%d&cursor=%s", limit, next)
				}
				p := decode[page[Instrument]](t, c.read(path, 200))
				for _, i := range p.Data {
					got = append(got, i.Symbol)
				}
				next = p.Next
			}
			if symbols != nil && !slices.Equal(got, symbols) {
				t.Errorf("%s: pages of %d have %v, want %v", query, limit, got, symbols)
			}
			symbols = got
		}
		return symbols
	}
	for query, want := range map[string]string{
		"":                     "[BTC/USDT FB META METAL NEW Q XM]",
		"q=meta":               "[META METAL XM Q]",
		"q=fb":                 "[FB META]",
		"q=PLAT":               "[META]",
		"q=tc/":                "[BTC/USDT]",
		"q=%25":                "[]",
		"kind=etf,crypto":      "[BTC/USDT NEW Q XM]",
		"calendar=XNAS":        "[META]",
		"q=meta&kind=etf":      "[XM Q]",
		"calendar=XNAS&q=zzzz": "[]",
	} {
		if got := fmt.Sprint(list(query)); got != want {
			t.Errorf("%q: got %s, want %s", query, got, want)
		}
	}
	next := decode[page[Instrument]](t, c.read("/v1/instruments?limit=1&q=meta", 200)).Next
	for path, field := range map[string]string{
		"?limit=1&q=x&cursor=" + next: "query.cursor", "?limit=1&kind=etf&cursor=" + next: "query.cursor", "?cursor=zzz": "query.cursor", "?kind=stock": "query.kind", "?q=%00": "query.q",
	} {
		if a := c.read("/v1/instruments"+path, 422); !strings.Contains(string(a.body), `"`+field) {
			t.Errorf("%s: want an error of %s: %s", path, field, a.body)
		}
	}

	one := func(symbol string) FoundInstrument {
		t.Helper()
		return decode[FoundInstrument](t, c.read("/v1/instruments/"+url.PathEscape(symbol), 200))
	}
	meta := one("META")
	if meta.FoundBy != nil || meta.Zone != "America/New_York" || fmt.Sprint(meta.Former) != "[{FB 2022-06-09} {TFB 2012-05-18}]" || *meta.Name != "Meta Platforms" {
		t.Errorf("META: %+v", meta)
	}
	for _, former := range []FormerSymbol{{"FB", "2022-06-09"}, {"TFB", "2012-05-18"}} {
		if got := one(former.Symbol); got.Symbol != "META" || got.FoundBy == nil || *got.FoundBy != former {
			t.Errorf("%s leads to %+v", former.Symbol, got)
		}
	}
	if got := one("NEW"); got.Symbol != "NEW" || got.FoundBy != nil {
		t.Errorf("NEW, which has been taken: %+v", got)
	}
	// A calendar whose only session has the present in it, then one that ended.
	asOwner(t, d, `INSERT INTO calendars (calendar, name, zone, first_day, last_day) VALUES ('NOW', 'Now', 'UTC', '1990-01-01', '2099-12-31'), ('PAST', 'Past', 'UTC', '1990-01-01', '2099-12-31')`)
	now := time.Now().UTC().Truncate(time.Second)
	day := now.Format(time.DateOnly)
	for calendar, at := range map[string]time.Time{"NOW": now, "PAST": now.Add(-5 * time.Hour)} {
		asOwner(t, d, `INSERT INTO sessions (calendar, day, opens, closes, pre_opens, post_closes, kind)
			VALUES ($1, $2, $3::timestamptz - INTERVAL '1 hour', $3::timestamptz + INTERVAL '1 hour', $3::timestamptz - INTERVAL '2 hours', $3::timestamptz + INTERVAL '3 hours', 'regular')`, calendar, day, at)
	}
	asOwner(t, d, "INSERT INTO instruments (symbol, calendar) VALUES ('OPEN', 'NOW'), ('ENDED', 'PAST')")
	if m := one("OPEN").Market; m.State != "open" || m.Until == nil || !m.Until.Equal(now.Add(time.Hour)) || *m.Day != day {
		t.Errorf("a market that is open: %+v", m)
	}
	if m := one("ENDED").Market; m.State != "closed" || m.Until != nil || m.Day != nil {
		t.Errorf("a market whose calendar ends: %+v", m)
	}
	if m := one("XM").Market; m.State != "open" || m.Until != nil || m.Day == nil {
		t.Errorf("a market that is always open: %+v", m)
	}
	if got := one("BTC/USDT"); *got.Name != "Bitcoin" {
		t.Errorf("BTC/USDT: %+v", got)
	}
	c.read("/v1/instruments/NONE", 404)

	patch := func(symbol, body string, status int) answer {
		t.Helper()
		return c.write(http.MethodPatch, "/v1/instruments/"+symbol, body, status)
	}
	got := decode[FoundInstrument](t, patch("METAL", `{"name":"Metal","kind":"etf","calendar":"XNAS","currency":"USD","price_step":0.05,"size_step":10,
		"non_positive_prices":true,"active_from":"2001-02-03","active_to":"2020-01-01","former":[{"symbol":"MTL","until":"2010-01-04"}]}`, 200))
	if !reflect.DeepEqual(got, one("METAL")) || *got.PriceStep != 0.05 || *got.SizeStep != 10 || !*got.NonPositivePrices || *got.ActiveFrom != "2001-02-03" ||
		*got.ActiveTo != "2020-01-01" || got.Calendar != "XNAS" || got.Kind != "etf" || *got.Currency != "USD" || fmt.Sprint(got.Former) != "[{MTL 2010-01-04}]" {
		t.Errorf("METAL: %+v", got)
	}
	got = decode[FoundInstrument](t, patch("METAL", `{"name":null,"kind":null,"calendar":null,"price_step":null,"active_to":null,"former":null}`, 200))
	if got.Name != nil || got.Kind != "other" || got.Calendar != "24x7" || got.PriceStep != nil || got.ActiveTo != nil || len(got.Former) != 0 || *got.SizeStep != 10 || *got.ActiveFrom != "2001-02-03" {
		t.Errorf("METAL, cleared: %+v", got)
	}
	for body, field := range map[string]string{
		`{"kind":"stock"}`: "body.kind", `{"calendar":"XXXX"}`: "body.calendar", `{"currency":"usd"}`: "body.currency", `{"price_step":0}`: "body.price_step",
		`{"active_to":"2001-01-01"}`: "body.active_to", `{"active_from":"2001-02-30"}`: "body.active_from", `{"name":" x"}`: "body.name",
		`{"former":[{"symbol":"METAL","until":"2010-01-04"}]}`: "body.former", `{"former":[{"symbol":"A","until":"soon"}]}`: "body.former[0].until", `{"colour":"red"}`: "body.colour",
	} {
		if a := patch("METAL", body, 422); !strings.Contains(string(a.body), `"`+field+`"`) {
			t.Errorf("%s: want an error of %s: %s", body, field, a.body)
		}
	}
	if a := patch("TFB", `{"name":"x"}`, 404); !strings.Contains(string(a.body), "former symbol of META") {
		t.Errorf("TFB: %s", a.body)
	}
	patch("NONE", `{}`, 404)
	serve(t, Config{Pool: reader(t, d)}).write(http.MethodPatch, "/v1/instruments/META", `{}`, 403)
}

func TestActions(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d)})
	add := func(body string, status int) Action {
		t.Helper()
		return decode[Action](t, c.write(http.MethodPost, "/v1/actions", body, status))
	}
	four := add(`{"symbol":"AAPL","kind":"split","ex_date":"2020-08-31","ratio":4}`, 201)
	if again := add(`{"symbol":"AAPL","kind":"split","ex_date":"2020-08-31","ratio":4,"source":"x"}`, 200); again.ID != four.ID || again.Source != "api" {
		t.Errorf("added again: %+v, want %+v", again, four)
	}
	five := add(`{"symbol":"AAPL","kind":"split","ex_date":"2020-08-31","ratio":5,"source":"vendor"}`, 201)
	cash := add(`{"symbol":"AAPL","kind":"dividend","ex_date":"2020-08-07","cash":0.82}`, 201)
	other := add(`{"symbol":"GE","kind":"split","ex_date":"2021-08-02","ratio":0.125}`, 201)
	ids := func(query string) string {
		t.Helper()
		var all []int64
		for path := "/v1/actions?limit=1&" + query; path != ""; {
			p := decode[page[Action]](t, c.read(path, 200))
			path = ""
			for _, a := range p.Data {
				all = append(all, a.ID)
			}
			if p.Next != "" {
				path = "/v1/actions?limit=1&cursor=" + p.Next
			}
		}
		return fmt.Sprint(all)
	}
	for query, want := range map[string][]int64{
		"":                              {other.ID, five.ID, cash.ID},
		"symbol=AAPL":                   {five.ID, cash.ID},
		"from=2020-08-31&to=2021-08-02": {five.ID},
		"to=2020-08-31":                 {cash.ID},
		"as_of=" + four.KnownAt.Format(time.RFC3339Nano):                  {four.ID},
		"as_of=" + five.KnownAt.Format(time.RFC3339Nano):                  {five.ID},
		"as_of=" + cash.KnownAt.Format(time.RFC3339Nano) + "&symbol=AAPL": {five.ID, cash.ID},
		"as_of=2020-01-01T00:00:00Z":                                      {},
		"symbol=NONE":                                                     {},
	} {
		if got := ids(query); got != fmt.Sprint(want) {
			t.Errorf("%q: got %s, want %v", query, got, want)
		}
	}
	for body, field := range map[string]string{
		`{"symbol":"A","kind":"split","ex_date":"2020-08-31"}`: "body.ratio", `{"symbol":"A","kind":"split","ex_date":"2020-08-31","ratio":1}`: "body.ratio",
		`{"symbol":"A","kind":"split","ex_date":"2020-08-31","ratio":2,"cash":1}`: "body.cash", `{"symbol":"A","kind":"dividend","ex_date":"2020-08-31","cash":-1}`: "body.cash",
		`{"symbol":"A","kind":"merger","ex_date":"2020-08-31"}`: "body.kind", `{"symbol":" A","kind":"split","ex_date":"2020-08-31","ratio":2}`: "body.symbol",
		`{"symbol":"A","kind":"split","ex_date":"2020-02-30","ratio":2}`: "body.ex_date", `{"kind":"split","ex_date":"2020-02-20","ratio":2}`: "body",
	} {
		if a := c.write(http.MethodPost, "/v1/actions", body, 422); !strings.Contains(string(a.body), `"`+field+`"`) {
			t.Errorf("%s: want an error of %s: %s", body, field, a.body)
		}
	}
	next := decode[page[Action]](t, c.read("/v1/actions?limit=1&symbol=AAPL", 200)).Next
	for path, field := range map[string]string{
		"?from=2020-13-01": "query.from", "?as_of=now": "query.as_of", "?from=2021-01-01&to=2020-01-01": "query.from", "?symbol=%20": "query.symbol",
		"?symbol=GE&cursor=" + next: "query.cursor", "?as_of=2020-01-01T00:00:00Z&cursor=" + next: "query.cursor",
	} {
		if a := c.read("/v1/actions"+path, 422); !strings.Contains(string(a.body), `"`+field+`"`) {
			t.Errorf("%s: want an error of %s: %s", path, field, a.body)
		}
	}
	for range 2 {
		c.write(http.MethodDelete, fmt.Sprintf("/v1/actions/%d", five.ID), "", 204)
	}
	c.write(http.MethodDelete, "/v1/actions/999", "", 404)
	if got, want := ids("symbol=AAPL"), fmt.Sprint([]int64{cash.ID}); got != want {
		t.Errorf("after the undo: %s, want %s", got, want)
	}
	if got, want := ids("symbol=AAPL&as_of="+cash.KnownAt.Format(time.RFC3339Nano)), fmt.Sprint([]int64{five.ID, cash.ID}); got != want {
		t.Errorf("before the undo: %s, want %s", got, want)
	}
	readOnly := serve(t, Config{Pool: reader(t, d)})
	readOnly.write(http.MethodPost, "/v1/actions", `{"symbol":"A","kind":"split","ex_date":"2020-08-31","ratio":2}`, 403)
	readOnly.write(http.MethodDelete, fmt.Sprintf("/v1/actions/%d", cash.ID), "", 403)
}

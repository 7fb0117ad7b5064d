package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db/dbtest"
)

// eventMarket is a database with events of three rules, some of one bar.
type eventMarket struct {
	db     *dbtest.DB
	now    time.Time
	events []AlertEvent
}

func newEventMarket(t testing.TB, n int) *eventMarket {
	t.Helper()
	m := &eventMarket{db: dbtest.New(t), now: current()}
	for i := range n {
		m.add(t, i, m.now.Truncate(time.Minute).Add(-time.Duration(i/3)*37*time.Minute))
	}
	return m
}

// add stores an event as the evaluation would, and keeps what is known of it.
func (m *eventMarket) add(t testing.TB, i int, bar time.Time) {
	t.Helper()
	rules, symbols := []string{"rsi-above-70", "rsi-below-30", "gone-1"}, []string{"AAPL", "BTC-USDT", "X:Y"}
	e := AlertEvent{
		RuleID: []int64{1, 2, 99}[i%3], Rule: rules[i%3], Severity: []string{"info", "warning", "critical"}[i/2%3], Symbol: symbols[i/3%3], Interval: ptr("5m"),
		Bar: bar, Message: fmt.Sprintf("event %d, \"quoted\"", i), State: []string{"firing", "resolved", "retracted"}[i/5%3], Late: i%4 == 0, Revision: int32(i % 2),
	}
	if i%7 > 0 {
		e.Value, e.Threshold = ptr(70.5+float64(i)), ptr(70.0)
	}
	if e.State != "firing" {
		e.Resolved = ptr(bar.Add(5 * time.Minute))
	}
	err := m.db.Pool.QueryRow(context.Background(), `INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, resolved, value, threshold, message, state, late, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) RETURNING id, opened, changed, change_id`,
		e.RuleID, e.Rule, e.Severity, e.Symbol, e.Interval, e.Bar, e.Resolved, e.Value, e.Threshold, e.Message, e.State, e.Late, e.Revision).Scan(&e.ID, &e.Opened, &e.Changed, &e.ChangeID)
	if err != nil {
		t.Fatal(err)
	}
	e.Opened, e.Changed = e.Opened.UTC(), e.Changed.UTC()
	m.events = append(m.events, e)
	slices.SortFunc(m.events, func(a, b AlertEvent) int { return cmp.Or(b.Bar.Compare(a.Bar), cmp.Compare(b.ID, a.ID)) })
}

func sameEvent(a, b AlertEvent) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// TestAlertEvents pages through events by any filters, and compares with brute
// force.
func TestAlertEvents(t *testing.T) {
	m := newEventMarket(t, 90)
	c := serve(t, Config{Pool: reader(t, m.db)})
	rapid.Check(t, func(t *rapid.T) {
		q := url.Values{"limit": {fmt.Sprint(rapid.IntRange(1, 40).Draw(t, "limit"))}}
		some := func(name string, from ...string) []string {
			v := rapid.SliceOfNDistinct(rapid.SampledFrom(from), 0, 2, rapid.ID).Draw(t, name)
			if len(v) > 0 {
				q.Set(name, strings.Join(v, ","))
			}
			return v
		}
		symbols, severities, states := some("symbol", "AAPL", "BTC-USDT", "X:Y", "NONE"), some("severity", "info", "warning", "critical"), some("state", "firing", "resolved", "retracted")
		rule := rapid.SampledFrom([]string{"", "1", "rsi-below-30", "99", "gone-1"}).Draw(t, "rule")
		if rule != "" {
			q.Set("rule", rule)
		}
		from, to := m.now.Add(-time.Duration(rapid.IntRange(0, 24).Draw(t, "from"))*time.Hour).Truncate(time.Minute), m.now.Add(time.Hour).Truncate(time.Second)
		if rapid.Bool().Draw(t, "has from") {
			q.Set("from", from.Format(time.RFC3339Nano))
		} else {
			from = time.Time{}
		}
		if rapid.Bool().Draw(t, "has to") {
			to = m.now.Add(-time.Duration(rapid.IntRange(0, 8).Draw(t, "to")) * time.Hour).Truncate(time.Minute)
			q.Set("to", to.Format(time.RFC3339Nano))
		}
		if !from.Before(to) {
			return
		}
		var want []AlertEvent
		for _, e := range m.events {
			if (len(symbols) == 0 || slices.Contains(symbols, e.Symbol)) && (len(severities) == 0 || slices.Contains(severities, e.Severity)) &&
				(len(states) == 0 || slices.Contains(states, e.State)) && (rule == "" || rule == e.Rule || rule == fmt.Sprint(e.RuleID)) &&
				!e.Bar.Before(from) && e.Bar.Before(to) {
				want = append(want, e)
			}
		}
		got := slices.Concat(all[AlertEvent](t, c, "/v1/alerts/events", q)...)
		if !slices.EqualFunc(got, want, sameEvent) {
			t.Fatalf("%s: got %d events, want %d:\n%+v\n%+v", q.Encode(), len(got), len(want), got, want)
		}
	})

	// What is found between two pages moves nothing.
	first := decode[page[AlertEvent]](t, c.get("/v1/alerts/events?limit=30&state=firing,resolved"))
	want := slices.DeleteFunc(slices.Clone(m.events), func(e AlertEvent) bool { return e.State == "retracted" })[30:]
	for i := range 10 {
		m.add(t, i, m.now.Truncate(time.Minute).Add(time.Duration(i+1)*time.Minute))
	}
	rest := decode[page[AlertEvent]](t, c.get("/v1/alerts/events?limit=500&cursor="+first.Next))
	if !slices.EqualFunc(rest.Data, want, sameEvent) {
		t.Errorf("the second page has %d events, want %d", len(rest.Data), len(want))
	}

	// The other formats say the same.
	columns := "id,rule_id,rule,severity,symbol,interval,bar,opened,resolved,value,threshold,message,state,late,revision,changed,change_id"
	csv, err := c.do(http.MethodGet, "/v1/alerts/events?limit=20", "Accept", typeCSV)
	if err != nil || csv.header.Get("Link") == "" {
		t.Fatalf("%v %v", csv.header, err)
	}
	arrow, err := c.do(http.MethodGet, "/v1/alerts/events?limit=20", "Accept", typeArrow)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := csvRows(t, csv.body, columns), arrowRows(t, arrow.body, columns); len(a) != 20 || !slices.Equal(a, b) {
		t.Errorf("CSV %q\nArrow %q", a, b)
	}
	if a, err := c.do(http.MethodGet, "/v1/alerts/events?limit=20", "Accept", typeCSV, "If-None-Match", csv.header.Get("ETag")); err != nil || a.status != 304 {
		t.Errorf("again: %d %v", a.status, err)
	}
}

// TestAlertEventProblems asks for events in ways that cannot be answered.
func TestAlertEventProblems(t *testing.T) {
	m := newEventMarket(t, 12)
	c := serve(t, Config{Pool: reader(t, m.db)})
	next := func(query string) string {
		return decode[page[AlertEvent]](t, c.get("/v1/alerts/events?limit=1&"+query)).Next
	}
	plain, filtered := next(""), next("symbol=AAPL&from=2020-01-01T00:00:00Z")
	made := cursor{Kind: kindAlerts, Filters: []string{"state=\x00"}, At: &position{}}.String()
	for _, k := range []struct {
		path     string
		status   int
		location string
	}{
		{"/v1/alerts/events?rule=nope", 404, "query.rule"},
		{"/v1/alerts/events?rule=12345", 404, "query.rule"},
		{"/v1/alerts/events?rule=No%20Name", 422, "query.rule"},
		{"/v1/alerts/events?severity=loud", 422, "query.severity"},
		{"/v1/alerts/events?state=firing,over", 422, "query.state"},
		{"/v1/alerts/events?symbol=" + strings.Repeat("A,", 201), 422, "query.symbol"},
		{"/v1/alerts/events?symbol=A%00", 422, "query.symbol"},
		{"/v1/alerts/events?symbol=A,,B", 422, "query.symbol"},
		{"/v1/alerts/events?symbol=" + strings.Repeat("A", 101), 422, "query.symbol"},
		{"/v1/alerts/events?from=yesterday", 422, "query.from"},
		{"/v1/alerts/events?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", 422, "query.from"},
		{"/v1/alerts/events?limit=0", 422, "query.limit"},
		{"/v1/alerts/events?limit=5001", 422, "query.limit"},
		{"/v1/alerts/events?cursor=!", 422, "query.cursor"},
		{"/v1/alerts/events?cursor=" + cursor{Kind: kindTicks, At: &position{}}.String(), 422, "query.cursor"},
		{"/v1/alerts/events?cursor=" + made, 422, "query.cursor"},
		{"/v1/alerts/events?cursor=" + cursor{Kind: kindAlerts, Filters: []string{"x=1"}, At: &position{}}.String(), 422, "query.cursor"},
		{"/v1/alerts/events?symbol=AAPL&cursor=" + plain, 422, "query.cursor"},
		{"/v1/alerts/events?symbol=MSFT&cursor=" + filtered, 422, "query.cursor"},
		{"/v1/alerts/events?from=2020-01-02T00:00:00Z&cursor=" + filtered, 422, "query.cursor"},
		{"/v1/alerts/events?to=2020-01-02T00:00:00Z&cursor=" + filtered, 422, "query.cursor"},
		{"/v1/alerts/events?since=2020-01-02T00:00:00Z", 422, "query.since"},
		{"/v1/alerts/events/0", 422, "path.id"},
		{"/v1/alerts/events/x", 422, "path.id"},
		{"/v1/alerts/events/99999999999999999999", 422, "path.id"},
		{"/v1/alerts/events/123456789", 404, "path.id"},
		{"/v1/alerts/rules/123456789", 404, "path.id"},
		{"/v1/alerts/rules/-1", 422, "path.id"},
		{"/v1/alerts/rules?enabled=yes", 422, "query.enabled"},
		{"/v1/alerts/rules?severity=loud", 422, "query.severity"},
	} {
		a := c.raw(http.MethodGet, k.path)
		p := problemOf(t, a)
		if a.status != k.status || len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, k.location) {
			t.Errorf("%s: %d %s, want %d at %s", k.path, a.status, a.body, k.status, k.location)
		}
		noLeak(t, a)
	}
	for _, s := range hostile {
		e := url.QueryEscape(s)
		for _, path := range []string{
			"/v1/alerts/events?rule=" + e, "/v1/alerts/events?symbol=" + e, "/v1/alerts/events?severity=" + e, "/v1/alerts/events?state=" + e,
			"/v1/alerts/events?from=" + e, "/v1/alerts/events?cursor=" + e, "/v1/alerts/events/" + url.PathEscape(s), "/v1/alerts/rules/" + url.PathEscape(s),
			"/v1/alerts/rules?severity=" + e, "/v1/alerts/events?" + e + "=1",
		} {
			// Nobody has such a symbol, and that is no mistake.
			if a := c.raw(http.MethodGet, path); a.status != 404 && a.status != 422 && (a.status != 200 || string(a.body) != "{\"data\":[]}\n") {
				t.Errorf("%s: %d %s", path, a.status, a.body)
			}
		}
	}
	if strings.Contains(c.log.String(), `"level":"ERROR"`) {
		t.Errorf("something reached the database that should not: %s", c.log)
	}
}

// TestAlertEventHistory lets late ticks change events: what they said before
// can be read.
func TestAlertEventHistory(t *testing.T) {
	d := dbtest.New(t)
	asOwner(t, d, "DELETE FROM alert.rules")
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d)})
	c.write(http.MethodPost, "/v1/alerts/rules", `{"name":"high","condition":"above","interval":"1m","indicator":"sma","params":{"period":1},"threshold":110}`, 201)
	now := current()
	start := now.Truncate(time.Minute).Add(-40 * time.Minute)
	var ticks []dbtest.Tick
	for i := range 30 {
		price := 100.0
		if i == 10 || i == 20 {
			price = 120
		}
		ticks = append(ticks, dbtest.Tick{TS: start.Add(time.Duration(i) * time.Minute), Symbol: "AAA", Price: price, Size: 1, Seq: int64(i + 1), Venue: "TEST"})
	}
	d.Commit(t, ticks, nil)
	d.SettleCandles(t)
	evaluate := func() { asOwner(t, d, "CALL _hypertick.evaluate_alerts(0, '{\"budget\": \"5 minutes\"}')") }
	evaluate()
	late := func(i int, price float64, seq int64) dbtest.Tick {
		return dbtest.Tick{TS: start.Add(time.Duration(i)*time.Minute + time.Second), Symbol: "AAA", Price: price, Size: 1, Seq: seq, Venue: "TEST"}
	}
	d.Commit(t, []dbtest.Tick{late(10, 130, 101), late(20, 90, 102)}, nil)
	d.SettleCandles(t)
	d.NoteRevisions(t)
	evaluate()
	list := decode[page[AlertEvent]](t, c.get("/v1/alerts/events?rule=high")).Data
	if len(list) != 2 || list[0].State != "retracted" || list[1].State != "resolved" || *list[1].Value != 130 {
		t.Fatalf("events %+v", list)
	}
	for i, was := range []string{"AAA 1m: close 120 is above 110", "AAA 1m: close 120 is above 110"} {
		e := decode[AlertEventHistory](t, c.get(fmt.Sprintf("/v1/alerts/events/%d", list[i].ID)))
		if !sameEvent(e.AlertEvent, list[i]) || len(e.History) != 1 || e.History[0].Message != was || *e.History[0].Value != 120 || e.History[0].State != "resolved" ||
			!e.History[0].Resolved.Equal(e.Bar.Add(time.Minute+time.Minute)) || e.History[0].At.Location() != time.UTC || e.Revision != 1 {
			t.Errorf("event %+v, history %+v", e.AlertEvent, e.History)
		}
	}
	if r := decode[page[AlertRule]](t, c.get("/v1/alerts/rules")).Data[0]; r.LastRun == nil || r.LastRun.Error != nil || r.LastRun.FinishedAt.Before(now) {
		t.Errorf("its run: %+v", r.LastRun)
	}
}

// TestAlertTest tries rules on history.
func TestAlertTest(t *testing.T) {
	d := dbtest.New(t)
	now := current()
	start := now.Truncate(time.Minute).Add(-60 * time.Minute)
	var ticks []dbtest.Tick
	for i := range 50 {
		for j, symbol := range []string{"AAA", "BBB"} {
			price := 100.0
			if i%10 == 9 {
				price = 115 + float64(j)
			}
			ticks = append(ticks, dbtest.Tick{TS: start.Add(time.Duration(i) * time.Minute), Symbol: symbol, Price: price, Size: 1, Seq: int64(2*i + j + 1), Venue: "TEST"})
		}
	}
	d.Commit(t, ticks, nil)
	d.SettleCandles(t)
	ro := serve(t, Config{Pool: reader(t, d)}) // a dry run writes nothing
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d)})
	rule := decode[AlertRule](t, c.write(http.MethodPost, "/v1/alerts/rules", `{"name":"high","condition":"above","interval":"1m","indicator":"sma","params":{"period":1},"threshold":110,"enabled":false}`, 201))
	path := fmt.Sprintf("/v1/alerts/rules/%d/test", rule.ID)
	from := start.Format(time.RFC3339)
	try := func(body string) AlertTestResult {
		return decode[AlertTestResult](t, ro.write(http.MethodPost, path, body, 200))
	}
	got := try(`{"from":"` + from + `"}`)
	if got.Count != 10 || got.Symbols != 2 || len(got.Data) != 10 {
		t.Fatalf("got %+v", got)
	}
	for i, e := range got.Data {
		symbol, bar := []string{"AAA", "BBB"}[i%2], start.Add(time.Duration(i/2*10+9)*time.Minute)
		if e.Symbol != symbol || !e.Bar.Equal(bar) || e.Value != 115+float64(i%2) || e.Threshold != 110 || (e.Resolved == nil) != (i >= 8) || e.Message == "" {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	to := start.Add(20 * time.Minute).Format(time.RFC3339)
	if got := try(`{"from":"` + from + `","to":"` + to + `","symbols":["B*"]}`); got.Count != 2 || got.Symbols != 1 || got.Data[0].Symbol != "BBB" {
		t.Errorf("some of it: %+v", got)
	}
	if got := try(`{"from":"` + from + `","symbols":["NONE"]}`); got.Count != 0 || got.Symbols != 0 || got.Data == nil {
		t.Errorf("of nobody: %+v", got)
	}
	if n := len(decode[page[AlertEvent]](t, c.get("/v1/alerts/events")).Data); n != 0 {
		t.Errorf("a dry run wrote %d events", n)
	}

	health := decode[AlertRule](t, c.write(http.MethodPost, "/v1/alerts/rules", `{"name":"broken","condition":"fails"}`, 201))
	for i := range previewSymbols {
		asOwner(t, d, "INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) VALUES ('TEST', $1, 1, now())", fmt.Sprintf("SYM%03d", i))
	}
	for _, k := range []struct {
		path, body string
		status     int
		location   string
	}{
		{path, `{}`, 422, "body"},
		{path, `{"from":"yesterday"}`, 422, "body.from"},
		{path, `{"from":"` + from + `","to":"` + from + `"}`, 422, "body.from"},
		{path, `{"from":"` + now.AddDate(0, 0, -10).Format(time.RFC3339) + `","symbols":["AAA"]}`, 422, "body.from"},
		{path, `{"from":"0000-01-01T00:00:00Z","to":"9999-12-31T23:59:59Z","symbols":["AAA"]}`, 422, "body.from"},
		{path, `{"from":"` + from + `"}`, 422, "body.symbols"},
		{path, `{"from":"` + from + `","symbols":[]}`, 422, "body.symbols"},
		{path, `{"from":"` + from + `","symbols":["A\u0000"]}`, 422, "body.symbols"},
		{path, `{"from":"` + from + `","x":1}`, 422, "body.x"},
		{"/v1/alerts/rules/12345/test", `{"from":"` + from + `"}`, 404, "path.id"},
		{fmt.Sprintf("/v1/alerts/rules/%d/test", health.ID), `{"from":"` + from + `"}`, 422, "path.id"},
	} {
		a := ro.write(http.MethodPost, k.path, k.body, k.status)
		if p := problemOf(t, a); len(p.Errors) == 0 || !strings.HasPrefix(p.Errors[0].Location, k.location) {
			t.Errorf("%s %s: %s, want %s", k.path, k.body, a.body, k.location)
		}
		noLeak(t, a)
	}

	// Its time is bounded as that of any read.
	ctx := context.Background()
	hasty := serve(t, Config{Pool: reader(t, d), RequestTimeout: 300 * time.Millisecond})
	err := pgx.BeginFunc(ctx, d.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "LOCK TABLE feed_positions IN ACCESS EXCLUSIVE MODE"); err != nil {
			return err
		}
		hasty.write(http.MethodPost, path, `{"from":"`+from+`","symbols":["AAA"]}`, 504)
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestAlertStream compares the stream's alerts with what REST says.
func TestAlertStream(t *testing.T) {
	l := newLive(t, Config{})
	l.tick(l.now(), "AAPL", "MSFT")
	m := &eventMarket{db: l.db}
	few := l.mustSubscribe("?symbols=MSFT&events=alert,status", "")
	all := l.mustSubscribe("?symbols=MSFT&alerts=all&events=alert,status", "")
	for _, s := range []*subscriber{few, all} {
		l.until(s, "status", has("status", ""))
	}
	m.add(t, 1, current().Truncate(time.Minute)) // of AAPL
	e := l.until(all, "alert", has("alert", `"AAPL"`))
	row := decode[struct{ Data []json.RawMessage }](t, l.get("/v1/alerts/events")).Data[0]
	if e.data != string(row) || e.id == "" {
		t.Errorf("the stream says %+v, REST %s", e, row)
	}
	asOwner(t, l.db, "UPDATE alert.events SET symbol = 'MSFT', state = 'resolved', resolved = now(), change_id = nextval('alert.change_id')")
	l.until(few, "alert", func(e sse) bool {
		if e.event == "alert" && strings.Contains(e.data, "AAPL\"") {
			t.Errorf("not asked for: %s", e.data)
		}
		return e.event == "alert"
	})
	again := l.mustSubscribe("?symbols=MSFT&events=alert", e.id)
	if e := l.until(again, "replay", has("alert", "")); !strings.Contains(e.data, `"state":"resolved"`) {
		t.Errorf("what was missed: %+v", e)
	}
	if a, err := l.do(http.MethodGet, "/v1/stream?alerts=none"); err != nil || a.status != 422 {
		t.Errorf("alerts=none: %d %v", a.status, err)
	}
}

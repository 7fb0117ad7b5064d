package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// operator is a pool with the rights to write alert rules and no more.
func operator(t testing.TB, d *dbtest.DB) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(context.Background(), d.URLAs(t, "hypertick_operator"), 2)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// write sends JSON and expects a status.
func (c *client) write(method, path, body string, status int, header ...string) answer {
	c.t.Helper()
	a, err := c.send(method, path, strings.NewReader(body), append([]string{"Content-Type", typeJSON}, header...)...)
	if err != nil {
		c.t.Fatal(err)
	}
	if a.status != status {
		c.t.Fatalf("%s %s %s: status %d, want %d: %s", method, path, body, a.status, status, a.body)
	}
	return a
}

func decode[T any](t testing.TB, a answer) T {
	t.Helper()
	var v T
	dec := json.NewDecoder(bytes.NewReader(a.body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, a.body)
	}
	return v
}

func asOwner(t testing.TB, d *dbtest.DB, stmt string, args ...any) {
	t.Helper()
	if _, err := d.Pool.Exec(context.Background(), stmt, args...); err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
}

// TestAlertRules writes, reads, changes and deletes rules.
func TestAlertRules(t *testing.T) {
	d := dbtest.New(t)
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d)})
	list := func(query string) []AlertRule {
		return decode[page[AlertRule]](t, c.get("/v1/alerts/rules"+query)).Data
	}
	seeded := list("")
	if len(seeded) < 8 || seeded[0].Name != "rsi-above-70" || seeded[0].Version != 1 || seeded[0].Cooldown != "30m" || seeded[0].LastRun != nil {
		t.Fatalf("seeded rules: %+v", seeded)
	}
	if n, w := len(list("?severity=info,critical")), len(list("?severity=warning")); n == 0 || w == 0 || n+w != len(seeded) {
		t.Errorf("%d rules of two severities and %d of the other, of %d", n, w, len(seeded))
	}

	// Created with defaults, and with everything.
	a := c.write(http.MethodPost, "/v1/alerts/rules", `{"name":"high","condition":"above","interval":"1m","indicator":"sma","params":{"period":1},"threshold":110}`, 201)
	high := decode[AlertRule](t, a)
	path := fmt.Sprintf("/v1/alerts/rules/%d", high.ID)
	if a.header.Get("Location") != path || a.header.Get("ETag") != `"1"` {
		t.Errorf("headers %v", a.header)
	}
	want := AlertRule{
		ID: high.ID, Name: "high", Symbols: []string{"*"}, Interval: ptr("1m"), Indicator: ptr("sma"), Params: Params{"period": json.Number("1")}, Series: ptr("sma"),
		Condition: "above", Threshold: ptr(110.0), AgainstParams: Params{}, Bars: 1, Cooldown: "0s", Severity: "warning", Channels: []string{}, Enabled: true,
		CreatedAt: high.CreatedAt, UpdatedAt: high.UpdatedAt, Version: 1,
	}
	if !reflect.DeepEqual(high, want) {
		t.Errorf("created %+v\nwant    %+v", high, want)
	}
	if got := c.get(path); got.header.Get("ETag") != `"1"` || !bytes.Equal(got.body, a.body) {
		t.Errorf("GET gives %v %s, POST gave %s", got.header, got.body, a.body)
	}
	asOwner(t, d, "INSERT INTO alert.channels (name, kind) VALUES ('desk', 'webhook')")
	full := decode[AlertRule](t, c.write(http.MethodPost, "/v1/alerts/rules", `{"name":"cross-1","condition":"crosses_above","description":"Two\nlines.","symbols":["AAPL","BTC-*"],
		"interval":"15m","indicator":"macd","params":{"fast":8,"slow":21},"series":"macd","against_indicator":"macd","against_params":{"fast":8,"slow":21},"against_series":"signal",
		"cooldown":"1h30m","severity":"critical","channels":["desk"],"notify_resolved":true,"enabled":false,"threshold":null}`, 201))
	if full.Cooldown != "1h30m" || full.Enabled || !full.NotifyResolved || full.Channels[0] != "desk" || *full.AgainstSeries != "signal" || full.Description != "Two\nlines." {
		t.Errorf("created %+v", full)
	}
	if off := list("?enabled=false"); len(off) != 1 || off[0].ID != full.ID {
		t.Errorf("rules that are off: %+v", off)
	}

	// Changed in parts; what is absent stays.
	a = c.write(http.MethodPatch, path, `{"threshold":120,"cooldown":"90s","symbols":["AAPL"]}`, 200)
	if r := decode[AlertRule](t, a); *r.Threshold != 120 || r.Cooldown != "1m30s" || r.Symbols[0] != "AAPL" || *r.Indicator != "sma" || r.Version != 2 || a.header.Get("ETag") != `"2"` {
		t.Errorf("changed to %s", a.body)
	}
	// What changes nothing is no change; parameters count by value.
	for _, body := range []string{`{}`, `{"enabled":true}`, `{"params":{ "period" : 1 },"threshold":120.0,"indicator":"sma"}`} {
		if r := decode[AlertRule](t, c.write(http.MethodPatch, path, body, 200)); r.Version != 2 {
			t.Errorf("%s made version %d", body, r.Version)
		}
	}
	// null is the default, or nothing.
	r := decode[AlertRule](t, c.write(http.MethodPatch, path, `{"cooldown":null,"symbols":null,"severity":null,"threshold":null,"against_indicator":"ema","against_params":{"period":50}}`, 200, "Content-Type", typeMergePatch))
	if r.Threshold != nil || r.Cooldown != "0s" || r.Symbols[0] != "*" || *r.AgainstIndicator != "ema" || *r.AgainstSeries != "ema" {
		t.Errorf("changed to %+v", r)
	}
	// Another indicator begins with its own parameters and series.
	r = decode[AlertRule](t, c.write(http.MethodPatch, path, `{"indicator":"rsi","against_indicator":null,"threshold":80}`, 200))
	if *r.Series != "rsi" || len(r.Params) != 0 || r.AgainstIndicator != nil || len(r.AgainstParams) != 0 || r.AgainstSeries != nil {
		t.Errorf("changed to %+v", r)
	}

	// A change meant for another version is refused.
	for match, status := range map[string]int{`"1"`: 412, `W/"4"`: 412, `4`: 412, `"3", "4"`: 200, `*`: 200} {
		a := c.write(http.MethodPatch, path, fmt.Sprintf(`{"description":%q}`, match), status, "If-Match", match)
		if status == 412 {
			if p := problemOf(t, a); p.Errors[0].Location != "header.If-Match" || !strings.Contains(p.Detail, "version 4") {
				t.Errorf("If-Match %s: %s", match, a.body)
			}
			continue
		}
		// Back to version 4 for the next.
		asOwner(t, d, "ALTER TABLE alert.rules DISABLE TRIGGER check_rule")
		asOwner(t, d, "UPDATE alert.rules SET version = 4 WHERE id = $1", high.ID)
		asOwner(t, d, "ALTER TABLE alert.rules ENABLE TRIGGER check_rule")
	}
	c.write(http.MethodDelete, path, "", 412, "If-Match", `"9"`)

	// Its run and its events.
	asOwner(t, d, `INSERT INTO alert.runs (rule_id, version, revision_id, finished_at, took, symbols, error) VALUES ($1, 4, 0, now(), '12.5 ms', 3, 'AAPL: broken')`, high.ID)
	asOwner(t, d, `INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, message) VALUES ($1, 'high', 'warning', 'AAPL', '1m', now(), 'high')`, high.ID)
	r = decode[AlertRule](t, c.get(path))
	if r.LastRun == nil || r.LastRun.Took != "12.5ms" || r.LastRun.Symbols != 3 || *r.LastRun.Error != "AAPL: broken" || r.Firing != 1 {
		t.Errorf("its run: %+v, %d firing", r.LastRun, r.Firing)
	}
	if a := c.write(http.MethodDelete, path, "", 204, "If-Match", `"4"`); len(a.body) != 0 {
		t.Errorf("DELETE answers %s", a.body)
	}
	for method, body := range map[string]string{http.MethodGet: "", http.MethodPatch: "{}", http.MethodDelete: ""} {
		if p := problemOf(t, c.write(method, path, body, 404)); p.Errors[0].Location != "path.id" {
			t.Errorf("%s of a rule that is gone: %+v", method, p)
		}
	}
	if e := decode[page[AlertEvent]](t, c.get("/v1/alerts/events?rule=high")); len(e.Data) != 1 || e.Data[0].State != "resolved" {
		t.Errorf("events of a rule that is gone: %+v", e)
	}
}

// TestAlertRefusals writes rules that cannot be: each answer names the field.
func TestAlertRefusals(t *testing.T) {
	d := dbtest.New(t)
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d)})
	base := map[string]any{"name": "mine", "interval": "5m", "indicator": "rsi", "condition": "above", "threshold": 70}
	mine := decode[AlertRule](t, c.write(http.MethodPost, "/v1/alerts/rules", `{"name":"taken","interval":"5m","indicator":"rsi","condition":"above","threshold":70}`, 201))
	patch := fmt.Sprintf("/v1/alerts/rules/%d", mine.ID)
	for _, k := range []struct {
		change   string // over a rule that is fine
		status   int
		location string
		message  string
	}{
		{`{"name":"No Spaces"}`, 422, "body.name", "want 1 to 63 lower case letters"},
		{`{"name":""}`, 422, "body.name", ""},
		{`{"name":"taken"}`, 409, "body.name", "want a name that no other rule has"},
		{`{"name":null}`, 422, "body.name", ""},
		{`{"condition":"near"}`, 422, "body.condition", ""},
		{`{"condition":null}`, 422, "body.condition", ""},
		{`{"symbols":[]}`, 422, "body.symbols", ""},
		{`{"symbols":[""]}`, 422, "body.symbols", "want 1 to 200 characters"},
		{`{"symbols":["A\u0000"]}`, 422, "body.symbols", "want printable text"},
		{`{"symbols":"AAPL"}`, 422, "body.symbols", ""},
		{`{"interval":"2x"}`, 422, "body.interval", "want one of 1s, 5s"},
		{`{"interval":null}`, 422, "body.interval", "want one of 1s, 5s"},
		{`{"indicator":"rsi2"}`, 422, "body.indicator", "want a name of indicator.catalog, got rsi2"},
		{`{"indicator":"rsi(); DROP TABLE ticks"}`, 422, "body.indicator", "want a name"},
		{`{"indicator":null}`, 422, "body.indicator", "want a name"},
		{`{"params":{"period":1}}`, 422, "body.params.period", "want 2 to 500, got 1"},
		{`{"params":{"period":1e400}}`, 400, "body", ""},
		{`{"params":{"period":"14; DROP TABLE ticks"}}`, 422, "body.params.period", "want an integer"},
		{`{"params":{"length":14}}`, 422, "body.params.length", "no such parameter"},
		{`{"params":{"le\u0000ngth":14}}`, 422, "body.params", "want printable text"},
		{`{"params":{"period":{"a":1}}}`, 422, "body.params.period", ""},
		{`{"params":[1]}`, 422, "body.params", ""},
		{`{"series":"macd"}`, 422, "body.series", "want one of rsi, got macd"},
		{`{"threshold":null}`, 422, "body.threshold", "want either"},
		{`{"threshold":"70"}`, 422, "body.threshold", ""},
		{`{"threshold":1e308}`, 422, "body.threshold", "want a number"},
		{`{"threshold":1e400}`, 400, "body", ""},
		{`{"against_indicator":"rsi"}`, 422, "body.threshold", "want either"},
		{`{"threshold":null,"against_indicator":"sma","against_params":{"period":"x"}}`, 422, "body.against_params.period", "want an integer"},
		{`{"threshold":null,"against_indicator":"macd","against_series":"rsi"}`, 422, "body.against_series", "want one of macd"},
		{`{"condition":"outside"}`, 422, "body.upper", "want more than threshold"},
		{`{"upper":80}`, 422, "body.upper", "want none"},
		{`{"condition":"changes","threshold":-3}`, 422, "body.threshold", "want more than 0 percent"},
		{`{"condition":"crosses_above","bars":2}`, 422, "body.bars", "want 1 where"},
		{`{"bars":0}`, 422, "body.bars", ""},
		{`{"bars":1.5}`, 422, "body.bars", ""},
		{`{"cooldown":"soon"}`, 422, "body.cooldown", "want a duration like 30m"},
		{`{"cooldown":"-5m"}`, 422, "body.cooldown", "want 0 to 366 days"},
		{`{"cooldown":"9000h"}`, 422, "body.cooldown", "want 0 to 366 days"},
		{`{"cooldown":30}`, 422, "body.cooldown", ""},
		{`{"severity":"loud"}`, 422, "body.severity", ""},
		{`{"channels":["nobody"]}`, 422, "body.channels", "want names that a notifier has listed (none yet), got nobody"},
		{`{"condition":"fails"}`, 422, "body.indicator", "want none where the condition is fails"},
		{`{"enabled":"yes"}`, 422, "body.enabled", ""},
		{`{"version":9}`, 422, "body.version", ""},
		{`{"id":9}`, 422, "body.id", ""},
	} {
		body := base
		if !strings.HasPrefix(k.location, "body.") {
			body = nil
		}
		for _, w := range []struct{ method, path, body string }{
			{http.MethodPost, "/v1/alerts/rules", over(t, body, k.change)}, {http.MethodPatch, patch, k.change},
		} {
			if k.status == 409 && w.method == http.MethodPatch {
				continue // its own name
			}
			a := c.write(w.method, w.path, w.body, k.status)
			p := problemOf(t, a)
			found := false
			for _, e := range p.Errors {
				found = found || (e.Location == k.location || strings.HasPrefix(e.Location, k.location+"[")) && strings.HasPrefix(e.Message, k.message)
			}
			if !found {
				t.Errorf("%s %s: %s, want %s: %s", w.method, w.body, a.body, k.location, k.message)
			}
			noLeak(t, a)
		}
	}
	for _, body := range []string{``, `{`, `[]`, `null`, `"x"`, `{"name":"a"}{}`, strings.Repeat(`[`, 60_000)} {
		a, err := c.send(http.MethodPost, "/v1/alerts/rules", strings.NewReader(body), "Content-Type", typeJSON)
		if err != nil || a.status != 400 && a.status != 422 {
			t.Errorf("%.20s: %d %.300s %v", body, a.status, a.body, err)
		}
	}
	if r := decode[AlertRule](t, c.get(patch)); r.Version != 1 {
		t.Errorf("refused changes made version %d", r.Version)
	}
	if strings.Contains(c.log.String(), `"level":"ERROR"`) {
		t.Errorf("a refusal is no error of the server: %s", c.log)
	}
}

// over is an object with some fields changed.
func over(t testing.TB, base map[string]any, change string) string {
	t.Helper()
	if base == nil {
		return change
	}
	m := map[string]json.RawMessage{}
	for k, v := range base {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		m[k] = b
	}
	if err := json.Unmarshal([]byte(change), &m); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAlertWritesAreGuarded asks servers that may not write, without a key, and
// as a foreign page would.
func TestAlertWritesAreGuarded(t *testing.T) {
	const good = `{"name":"mine","interval":"5m","indicator":"rsi","condition":"above","threshold":70}`
	d := dbtest.New(t)
	ro := serve(t, Config{Pool: reader(t, d)})
	for method, path := range map[string]string{http.MethodPost: "/v1/alerts/rules", http.MethodPatch: "/v1/alerts/rules/1", http.MethodDelete: "/v1/alerts/rules/1"} {
		if p := problemOf(t, ro.write(method, path, good, 403)); !strings.Contains(p.Detail, "HYPERTICK_OPERATOR_URL") {
			t.Errorf("%s says %q", method, p.Detail)
		}
	}
	file := filepath.Join(t.TempDir(), "keys")
	key := newKey(t, file, "alice")
	c := serve(t, Config{Pool: reader(t, d), Operator: operator(t, d), KeysFile: file, CORSOrigins: []string{"*"}})
	c.write(http.MethodPost, "/v1/alerts/rules", good, 401)
	c.write(http.MethodDelete, "/v1/alerts/rules/1", "", 401)

	// What a page may send without asking first: forms, and scripts with the same
	// types or none.
	for _, media := range []string{"", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/foo+json", "application/merge-patch+json", "application/json, text/plain"} {
		header := []string{apiKeyHeader, key, "Origin", "https://evil.example"}
		if media != "" {
			header = append(header, "Content-Type", media)
		}
		for _, path := range []string{"/v1/alerts/rules", "/v1/alerts/rules/1/test"} {
			body := good
			if strings.HasPrefix(media, "multipart") {
				body = "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n" + good + "\r\n--x--\r\n"
			}
			a, err := c.send(http.MethodPost, path, strings.NewReader(body), header...)
			if err != nil || a.status != 415 || problemOf(t, a).Errors[0].Location != "header.Content-Type" {
				t.Errorf("%s as %q: %d %s %v", path, media, a.status, a.body, err)
			}
		}
	}
	// And asking first gets no permission, not even where all origins may read.
	for _, method := range []string{http.MethodPost, http.MethodPatch, http.MethodDelete} {
		a, err := c.do(http.MethodOptions, "/v1/alerts/rules", "Origin", "https://evil.example", "Access-Control-Request-Method", method, "Access-Control-Request-Headers", "content-type")
		methods, headers := a.header.Get("Access-Control-Allow-Methods"), a.header.Get("Access-Control-Allow-Headers")
		if err != nil || a.status != 204 || strings.Contains(methods, method) || strings.Contains(strings.ToLower(headers), "content-type") {
			t.Errorf("preflight of %s: %d %v %v", method, a.status, a.header, err)
		}
	}
	c.write(http.MethodPost, "/v1/alerts/rules", good, 201, apiKeyHeader, key)
}

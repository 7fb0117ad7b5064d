package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// What Grafana makes of a column.
const (
	isTime   = "time"
	isNumber = "number"
	isText   = "text"
)

func kind(oid uint32) string {
	switch oid {
	case pgtype.TimestamptzOID:
		return isTime
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return isNumber
	case pgtype.TextOID:
		return isText
	}
	return fmt.Sprintf("type %d", oid)
}

type column struct{ name, kind string }

// result is what a statement gave.
type result struct {
	columns []column
	rows    [][]any
	took    time.Duration
}

func (r result) kinds() []string {
	var out []string
	for _, c := range r.columns {
		out = append(out, c.kind)
	}
	return out
}

func (m *market) ask(t testing.TB, sql string) (result, error) {
	t.Helper()
	start := time.Now()
	rows, err := m.reader.Query(t.Context(), sql)
	if err != nil {
		return result{}, err
	}
	var r result
	r.rows, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	for _, f := range rows.FieldDescriptions() {
		r.columns = append(r.columns, column{f.Name, kind(f.DataTypeOID)})
	}
	r.took = time.Since(start)
	return r, err
}

// must fails the test unless the statement runs.
func (m *market) must(t testing.TB, sql string) result {
	t.Helper()
	r, err := m.ask(t, sql)
	if err != nil {
		t.Fatalf("%v\n%s", err, sql)
	}
	return r
}

// statement is one query of a dashboard.
type statement struct {
	where string // dashboard and panel
	kind  string // type of the panel, or variable or annotation
	query query
	multi []string // variables that hold several values
}

// statements are all of a dashboard, variables and annotations included.
func statements(t testing.TB, name string, d dashboard.Dashboard) []statement {
	t.Helper()
	var out []statement
	var multi []string
	if d.Templating.List != nil {
		for _, v := range d.Templating.List {
			if v.Multi != nil && *v.Multi {
				multi = append(multi, v.Name)
			}
			if v.Type == dashboard.VariableTypeQuery {
				out = append(out, statement{where: name + ": $" + v.Name, kind: "variable", query: query{RawSQL: *v.Query.String}})
			}
		}
	}
	for _, a := range d.Annotations.List {
		if a.Target != nil {
			b, err := json.Marshal(a.Target)
			if err != nil {
				t.Fatal(err)
			}
			var q query
			if err := json.Unmarshal(b, &q); err != nil {
				t.Fatal(err)
			}
			out = append(out, statement{where: name + ": " + a.Name, kind: "annotation", query: q})
		}
	}
	for _, p := range d.Panels {
		for _, target := range p.Panel.Targets {
			out = append(out, statement{where: name + ": " + *p.Panel.Title, kind: p.Panel.Type, query: target.(query)})
		}
	}
	for i := range out {
		out[i].multi = multi
	}
	return out
}

// demoLike holds simulated companies and one made so that every panel has
// something to show: it trended down, turned, and then jumped on high volume.
func demoLike(t testing.TB) *market {
	t.Helper()
	m := newMarket(t)
	m.simulate(t, 5, 26*time.Hour, 1)
	for i := range 26 * 12 {
		price, size := 100-0.01*float64(i), 10.0
		if i > 280 {
			price += 5
		}
		if i == 300 {
			price, size = price+10, 500
		}
		m.trade(turner, m.now.Add(time.Duration(i-26*12)*5*time.Minute).Truncate(5*time.Minute).Add(time.Second), price+0.02*float64(i%3), size+float64(i%4))
		// Whatever the hour, one symbol is below the day before.
		m.trade("SINK", m.now.Add(time.Duration(i-26*12)*5*time.Minute).Truncate(5*time.Minute).Add(time.Second), 50-0.02*float64(i), 5)
	}
	m.store(t)
	m.gap(t, turner)
	m.exec(t, `INSERT INTO quality_findings (kind, venue, symbol, since, seen_at, value, bound, detail) VALUES ('stale', 'SIM', $1, $2, $2, 400, 120, 'no tick')`, turner, m.now.Add(-time.Minute))
	for p := range 3 {
		m.activity(t, "market.ticks", p, 0, 5)
	}
	m.apiActivity(t)
	m.Settle(t)
	if m.Embedded == nil {
		// There tests switch the scheduler's jobs off: some will run tomorrow.
		m.exec(t, "SELECT alter_job(job_id, scheduled => true, next_start => now() + INTERVAL '1 day') FROM timescaledb_information.jobs WHERE proc_name IN ('evaluate_alerts', 'check_quality')")
	}
	// TimescaleDB's statistics count as a user would see them.
	m.exec(t, "ANALYZE")
	return m
}

const turner = "TURN"

func (m *market) symbols(t testing.TB) []string {
	var out []string
	for _, row := range m.must(t, symbolsSQL).rows {
		out = append(out, row[0].(string))
	}
	if len(out) != 7 {
		t.Fatalf("got symbols %v, want 7", out)
	}
	return out
}

func (m *market) expansion(interval, indicator string, symbols ...string) expansion {
	return expansion{
		from: m.now.Add(-6 * time.Hour), to: m.now, interval: 5 * time.Minute,
		single: map[string]string{"interval": interval, "indicator": indicator, "parameters": "{}", "symbol": symbols[0]},
		many:   map[string][]string{"symbol": symbols},
	}
}

// with keeps of each variable the form in which the dashboard declares it.
func (s statement) expand(t testing.TB, e expansion) string {
	t.Helper()
	if slices.Contains(s.multi, "symbol") {
		delete(e.single, "symbol")
	} else {
		delete(e.many, "symbol")
	}
	return e.expand(t, s.query.RawSQL)
}

// TestDashboards asks what Grafana would ask, as the role that it has.
func TestDashboards(t *testing.T) {
	m := demoLike(t)
	// One event that has ended, and one that has not.
	m.exec(t, `INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, value, threshold, message, resolved, state)
		SELECT r.id, r.name, 'critical', $1, r."interval", date_trunc('hour', now()) - o.ago, 71, r.threshold, $1 || ' says so', now() - o.ago + o.lasted, CASE WHEN o.lasted IS NULL THEN 'firing' ELSE 'resolved' END
		FROM alert.rules r, (VALUES (INTERVAL '1 hour', INTERVAL '5 minutes'), (INTERVAL '2 hours', NULL)) o(ago, lasted) WHERE r.name = 'rsi-above-70'`, turner)
	t.Run("statements", m.testStatements)
	t.Run("overrides", m.testOverrides)
	t.Run("indicators", m.testIndicators)
}

func (m *market) testStatements(t *testing.T) {
	all := m.symbols(t)
	// Those that are stored, some that are rolled up, and one that somebody typed.
	intervals := []string{"30m", "1w", "1mo", "45m"}
	for _, row := range m.must(t, `SELECT i."interval" FROM public.intervals i WHERE i.materialized ORDER BY i.width`).rows {
		intervals = append(intervals, row[0].(string))
	}
	if offered := m.must(t, intervalsSQL).rows; !slices.Equal(offered[0], []any{"1s"}) || !slices.Equal(offered[len(offered)-1], []any{"1y"}) {
		t.Errorf("the dashboards offer %v, want all intervals by length", offered)
	}
	for name, d := range load(t) {
		for _, s := range statements(t, name, d) {
			t.Run(s.where, func(t *testing.T) {
				r := m.must(t, s.expand(t, m.expansion("5m", "rsi", turner)))
				checkColumns(t, s, r)
				if len(r.rows) == 0 {
					t.Errorf("no rows")
				}
				for _, row := range r.rows {
					for i, v := range row {
						if inf, ok := v.(pgtype.InfinityModifier); ok {
							t.Errorf("column %s holds %v, which Grafana cannot show", r.columns[i].name, inf)
						}
					}
				}
				if s.kind == "stat" {
					for i, v := range r.rows[0] {
						// Nothing is in the columnstore here.
						if v == nil && r.columns[i].name != "Columnstore" {
							t.Errorf("%s is null", r.columns[i].name)
						}
					}
				}
				// Several values at once, and every kind of interval.
				for _, interval := range intervals {
					m.must(t, s.expand(t, m.expansion(interval, "macd", all...)))
					if !strings.Contains(s.query.RawSQL, "$interval") {
						break
					}
				}
				// A value with a quote in it stays a value, and a market that
				// reported nothing yet is no error.
				m.must(t, s.expand(t, m.expansion("1h", "bollinger", "O'HARE")))
			})
		}
	}
}

func checkColumns(t *testing.T, s statement, r result) {
	t.Helper()
	kinds := r.kinds()
	for i, k := range kinds {
		if k != isTime && k != isNumber && k != isText {
			t.Errorf("column %s is %s, which no panel shows", r.columns[i].name, k)
		}
	}
	has := func(name, kind string) bool { return slices.Contains(r.columns, column{name, kind}) }
	switch s.kind {
	case "timeseries", "status-history":
		if !has("time", isTime) {
			t.Errorf("want a column time, got %v", r.columns)
		}
		if s.query.Format == series {
			if !has("metric", isText) || !has("value", isNumber) || len(r.columns) != 3 {
				t.Errorf("want time, metric and value, got %v", r.columns)
			}
		} else if slices.Contains(kinds, isText) || len(kinds) < 2 {
			t.Errorf("want time and numbers, got %v", r.columns)
		}
	case "candlestick":
		for _, name := range []string{"open", "high", "low", "close", "volume"} {
			if !has(name, isNumber) {
				t.Errorf("want a number %s, got %v", name, r.columns)
			}
		}
		if !has("time", isTime) || slices.Contains(kinds, isText) {
			t.Errorf("want time and numbers, got %v", r.columns)
		}
	case "stat":
		if slices.Contains(kinds, isText) {
			t.Errorf("want numbers, got %v", r.columns)
		}
	case "bargauge":
		if !slices.Equal(kinds, []string{isText, isNumber}) {
			t.Errorf("want a name and a number, got %v", r.columns)
		}
	case "variable":
		for _, k := range kinds {
			if k != isText {
				t.Errorf("want text, got %v", r.columns)
			}
		}
	case "annotation":
		if !has("time", isTime) || !has("text", isText) || !has("tags", isText) {
			t.Errorf("want time, text and tags, got %v", r.columns)
		}
	case "table":
	default:
		t.Errorf("no columns are known for a %s", s.kind)
	}
}

// An override of a column that is not there does nothing, and nobody notices.
func (m *market) testOverrides(t *testing.T) {
	for name, d := range load(t) {
		for _, p := range d.Panels {
			if len(p.Panel.Targets) == 0 {
				continue
			}
			s := statement{query: p.Panel.Targets[0].(query)}
			if name == "lab" || name == "alerts" {
				s.multi = []string{"symbol"}
			}
			r := m.must(t, s.expand(t, m.expansion("5m", "rsi", turner)))
			for _, o := range p.Panel.FieldConfig.Overrides {
				if o.Matcher.Id != "byName" {
					continue
				}
				want := o.Matcher.Options.(string)
				if !slices.ContainsFunc(r.columns, func(c column) bool { return c.name == want }) {
					t.Errorf("%s: %s: override of %q, but the columns are %v", name, *p.Panel.Title, want, r.columns)
				}
			}
		}
	}
}

// The lab shows every indicator, one added here included.
func (m *market) testIndicators(t *testing.T) {
	m.exec(t, `CREATE FUNCTION indicator.mine(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, times int DEFAULT 2)
		RETURNS SETOF indicator.point LANGUAGE sql STABLE AS
		$$ SELECT c.bucket, 'mine', c.close * times FROM public.candles(symbol, "interval", "from", "to") c $$;
		GRANT EXECUTE ON FUNCTION indicator.mine(text, text, timestamptz, timestamptz, int) TO hypertick_reader`)
	var names []string
	for _, row := range m.must(t, indicatorsSQL).rows {
		names = append(names, row[0].(string))
	}
	if len(names) < 17 || !slices.Contains(names, "mine") {
		t.Fatalf("the lab offers %v", names)
	}
	for _, s := range statements(t, "lab", load(t)["lab"]) {
		if !strings.Contains(s.query.RawSQL, "$indicator") {
			continue
		}
		for _, name := range names {
			if r := m.must(t, s.expand(t, m.expansion("5m", name, turner))); len(r.rows) == 0 {
				t.Errorf("%s: no rows for %s", s.where, name)
			}
		}
	}
	e := m.expansion("5m", "mine", turner)
	e.single["parameters"] = `{"times": 3}`
	s := statements(t, "lab", load(t)["lab"])
	i := slices.IndexFunc(s, func(s statement) bool { return strings.HasSuffix(s.where, "Newest values") })
	got := m.must(t, s[i].expand(t, e)).rows[0][2].(float64)
	want := m.must(t, `SELECT close * 3 FROM public.candles('`+turner+`', '5m', '`+m.now.Add(-6*time.Hour).Format(time.RFC3339)+`') ORDER BY bucket DESC LIMIT 1`).rows[0][0].(float64)
	if got != want {
		t.Errorf("mine with times 3 is %v, want %v", got, want)
	}
}

// BenchmarkStatements prints how long the slowest panels take.
func BenchmarkStatements(b *testing.B) {
	m := demoLike(b)
	all := m.symbols(b)
	for name, d := range load(b) {
		for _, s := range statements(b, name, d) {
			b.Run(s.where, func(b *testing.B) {
				sql := s.expand(b, m.expansion("5m", "rsi", all...))
				for b.Loop() {
					m.must(b, sql)
				}
			})
		}
	}
}

package indicator

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
)

func TestEvaluateRefuses(t *testing.T) {
	d := dbtest.New(t)
	conn, err := pgx.Connect(context.Background(), d.URLAs(t, "hypertick_reader"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, k := range []struct{ name, interval, params, want string }{
		{"nope", "1m", `{}`, "indicator: nope does not exist"},
		{`x"; DROP TABLE ticks; --`, "1m", `{}`, `indicator: "x""; DROP TABLE ticks; --" does not exist`},
		{"evaluate", "1m", `{}`, "indicator: evaluate does not exist"},
		{"rsi", "7x", `{}`, "interval: want one of"},
		{"rsi", "1m", `{"length": 3}`, "length: no such parameter of rsi"},
		{"rsi", "1m", `{"period": 1}`, "period: want 2 to 500, got 1"},
		{"rsi", "1m", `{"period": "501"}`, "period: want 2 to 500, got 501"},
		{"rsi", "1m", `{"period": 14.5}`, "period: want an integer"},
		{"rsi", "1m", `{"period": "14; DROP TABLE ticks"}`, "period: want an integer"},
		{"rsi", "1m", `{"period": 99999999999999999999}`, "period: want an integer"},
		{"rsi", "1m", `{"period": 999999999999}`, "period: want 2 to 500"},
		{"rsi", "1m", `{"period": null}`, "period: want integer, got null"},
		{"rsi", "1m", `{"period": [1]}`, "period: want an integer"},
		{"rsi", "1m", `[]`, "params: want an object"},
		{"bollinger", "1m", `{"deviations": "NaN"}`, "deviations: want a number"},
		{"bollinger", "1m", `{"deviations": 11}`, "deviations: want 0.1 to 10, got 11"},
		{"macd", "1m", `{"fast": 30}`, "slow: want 31 to 500, got 26"},
	} {
		_, err := conn.Exec(context.Background(), "SELECT * FROM indicator.evaluate($1, 'A', $2, now() - interval '1 hour', now(), $3)", k.name, k.interval, []byte(k.params))
		if err == nil || !contains(err.Error(), k.want) {
			t.Errorf("%s %s: %v, want %q", k.name, k.params, err, k.want)
		}
	}
	// Text that spells a value is taken, as it comes from a URL.
	if _, err := conn.Exec(context.Background(), `SELECT * FROM indicator.evaluate('bollinger', 'A', '1m', now() - interval '1 hour', now(), '{"period": "20", "deviations": "2.5"}')`); err != nil {
		t.Error(err)
	}
}

// Every indicator of the catalog says what it is, answers with the series it
// names and no others, and gives the same numbers however much history is asked for.
func TestCatalog(t *testing.T) {
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -6)
	insert(t, d, walk("A", start, 4500, 0)...)
	d.Settle(t)
	rows, err := d.Pool.Query(context.Background(), "SELECT name, title, description, parameters, series FROM indicator.catalog")
	if err != nil {
		t.Fatal(err)
	}
	type entry struct {
		Name, Title, Description string
		Parameters               json.RawMessage
		Series                   json.RawMessage
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[entry])
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 16 {
		t.Errorf("%d indicators, want 16", len(all))
	}
	for _, e := range all {
		var parameters []struct {
			Name, Type, Default, Description string
			Min, Max                         *float64
		}
		var series []struct{ Name, Description string }
		if err := json.Unmarshal(e.Parameters, &parameters); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(e.Series, &series); err != nil {
			t.Fatal(err)
		}
		if e.Title == e.Name || e.Description == "" || len(series) == 0 {
			t.Errorf("%s: title %q, description %q, %d series", e.Name, e.Title, e.Description, len(series))
		}
		for _, p := range parameters {
			if p.Default == "" || p.Description == "" || p.Min == nil || p.Max == nil {
				t.Errorf("%s: parameter %+v", e.Name, p)
			}
		}
		whole := evaluate(t, d, e.Name, "A", "1m", start, start.AddDate(0, 0, 10), nil)
		if len(whole) != len(series) {
			t.Errorf("%s: %d series, its comment names %d", e.Name, len(whole), len(series))
		}
		from := start.Add(4123 * time.Minute)
		part := evaluate(t, d, e.Name, "A", "1m", from, start.AddDate(0, 0, 10), nil)
		for _, s := range series {
			if s.Description == "" || len(part[s.Name]) != 4500-4123 {
				t.Errorf("%s %s: %q, %d values, want %d", e.Name, s.Name, s.Description, len(part[s.Name]), 4500-4123)
			}
			for at, got := range part[s.Name] {
				if want, ok := whole[s.Name][at]; !ok || apart(got, want, 1e-2) > tolerance {
					t.Errorf("%s %s at %v: %v from the middle on, %v from the start", e.Name, s.Name, at, got, want)
					break
				}
			}
		}
	}
}

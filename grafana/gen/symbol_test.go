package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestSymbolsAreEscaped looks at every place that holds the variable: in SQL it must
// be a literal whatever the symbol is, and in a link a part of a query.
func TestSymbolsAreEscaped(t *testing.T) {
	for name, d := range load(t) {
		for _, s := range statements(t, name, d) {
			for _, m := range variableRE.FindAllString(s.query.RawSQL, -1) {
				if strings.Contains(m, "symbol") && m != "${symbol:sqlstring}" {
					t.Errorf("%s has %s in SQL, want ${symbol:sqlstring}", s.where, m)
				}
			}
			if strings.Contains(s.query.RawSQL, "'${symbol") {
				t.Errorf("%s puts quotes around what has them", s.where)
			}
		}
	}
	links := 0
	for _, path := range []string{"alerts", "lab", "overview", "pipeline", "symbol"} {
		b, err := os.ReadFile(filepath.Join(root, "dashboards", path+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`var-symbol=([^&"\\]*)`).FindAllStringSubmatch(string(b), -1) {
			links++
			if !strings.HasSuffix(m[1], ":percentencode}") {
				t.Errorf("%s has a link with %s", path, m[1])
			}
		}
	}
	if links < 5 {
		t.Errorf("%d links to a symbol were found", links)
	}
}

// TestOddSymbols asks for every symbol what its dashboards ask.
func TestOddSymbols(t *testing.T) {
	m := newMarket(t)
	for i := range 40 {
		for j, s := range dbtest.OddSymbols {
			m.trade(s, m.closed().Add(time.Duration(i-40)*5*time.Minute), float64(100+j), 1)
		}
	}
	m.store(t)
	m.Settle(t)
	var offered []string
	for _, row := range m.must(t, symbolsSQL).rows {
		offered = append(offered, row[0].(string))
	}
	for _, s := range dbtest.OddSymbols {
		if !slices.Contains(offered, s) {
			t.Errorf("the variable does not offer %q", s)
		}
	}
	// To Grafana the value $__all of a variable means every value.
	several := slices.DeleteFunc(slices.Clone(dbtest.OddSymbols), func(s string) bool { return s == "$__all" })
	boards := load(t)
	for _, s := range statements(t, "alerts", boards["alerts"]) {
		m.must(t, s.expand(t, m.expansion("5m", "rsi", several...)))
	}
	for _, s := range statements(t, "lab", boards["lab"]) {
		m.must(t, s.expand(t, m.expansion("5m", "rsi", several...)))
	}
	for j, symbol := range dbtest.OddSymbols {
		if !slices.Contains(several, symbol) {
			continue
		}
		for _, s := range statements(t, "symbol", boards["symbol"]) {
			if s.kind != "candlestick" && s.kind != "table" {
				continue
			}
			if r := m.must(t, s.expand(t, m.expansion("5m", "rsi", symbol))); len(r.rows) != 40 || r.rows[0][1].(float64) != float64(100+j) {
				t.Errorf("%s of %q: %d rows, the first %v", s.where, symbol, len(r.rows), r.rows[:min(len(r.rows), 1)])
			}
		}
	}
}

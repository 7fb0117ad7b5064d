package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// expansion is what Grafana would put into a statement.
type expansion struct {
	from, to time.Time
	interval time.Duration
	// single are variables with one value, many those of several.
	single map[string]string
	many   map[string][]string
}

var (
	variableRE = regexp.MustCompile(`\$\{(\w+)(?::(\w+))?\}|\$(\w+)`)
	macroRE    = regexp.MustCompile(`\$__(\w+)(?:\(([^()]*(?:\([^()]*\)[^()]*)*)\))?`)
)

// expand does what Grafana documents for its PostgreSQL source: first the
// browser puts in variables, a variable of one value with its quotes doubled and
// one of several as a list of literals (the format sqlstring makes literals of
// both), then the server expands macros, with
// TimescaleDB on.
func (e expansion) expand(t testing.TB, sql string) string {
	t.Helper()
	sql = variableRE.ReplaceAllStringFunc(sql, func(m string) string {
		g := variableRE.FindStringSubmatch(m)
		name := g[1] + g[3]
		if name == "__interval" {
			return fmt.Sprintf("%ds", int(e.interval.Seconds()))
		}
		if name == "__interval_ms" {
			return strconv.FormatInt(e.interval.Milliseconds(), 10)
		}
		if strings.HasPrefix(name, "__") {
			return m
		}
		if v, ok := e.single[name]; ok {
			v = strings.ReplaceAll(v, "'", "''")
			if g[2] == "sqlstring" {
				v = "'" + v + "'"
			}
			return v
		}
		if v, ok := e.many[name]; ok {
			list := make([]string, len(v))
			for i, s := range v {
				list[i] = "'" + strings.ReplaceAll(s, "'", "''") + "'"
			}
			return strings.Join(list, ",")
		}
		t.Fatalf("no variable $%s is declared:\n%s", name, sql)
		return ""
	})
	const layout = time.RFC3339Nano
	from, to := e.from.UTC().Format(layout), e.to.UTC().Format(layout)
	return macroRE.ReplaceAllStringFunc(sql, func(m string) string {
		g := macroRE.FindStringSubmatch(m)
		args := strings.Split(g[2], ",")
		for i := range args {
			args[i] = strings.TrimSpace(args[i])
		}
		switch g[1] {
		case "timeFilter":
			return fmt.Sprintf("%s BETWEEN '%s' AND '%s'", args[0], from, to)
		case "timeFrom":
			return "'" + from + "'"
		case "timeTo":
			return "'" + to + "'"
		case "timeGroup", "timeGroupAlias":
			if len(args) != 2 {
				t.Fatalf("%s: want a column and an interval", m)
			}
			d, err := time.ParseDuration(strings.Trim(args[1], "'"))
			if err != nil {
				t.Fatalf("%s: %v", m, err)
			}
			group := fmt.Sprintf("time_bucket('%.3fs',%s)", d.Seconds(), args[0])
			if g[1] == "timeGroupAlias" {
				group += ` AS "time"`
			}
			return group
		}
		t.Fatalf("%s is no macro of Grafana's PostgreSQL source", m)
		return ""
	})
}

func TestExpand(t *testing.T) {
	at := time.Date(2026, 11, 24, 19, 0, 0, 0, time.UTC)
	e := expansion{
		from: at, to: at.Add(time.Hour), interval: 5 * time.Minute,
		single: map[string]string{"interval": "5m", "quote": "it's"}, many: map[string][]string{"symbol": {"A", "B'"}},
	}
	for _, c := range []struct{ sql, want string }{
		{`f('$interval', $__timeFrom(), $__timeTo())`, `f('5m', '2026-11-24T19:00:00Z', '2026-11-24T20:00:00Z')`},
		{`x IN ($symbol)`, `x IN ('A','B''')`},
		{`'$quote'`, `'it''s'`},
		{`${quote:sqlstring}`, `'it''s'`},
		{`x IN (${symbol:sqlstring})`, `x IN ('A','B''')`},
		{`$__timeFilter(c.bucket)`, `c.bucket BETWEEN '2026-11-24T19:00:00Z' AND '2026-11-24T20:00:00Z'`},
		{`$__timeGroupAlias(c.bucket,$__interval)`, `time_bucket('300.000s',c.bucket) AS "time"`},
		{`$__interval_ms`, `300000`},
	} {
		if got := e.expand(t, c.sql); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.sql, got, c.want)
		}
	}
}

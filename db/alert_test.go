package db_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db/dbtest"
)

// event is a row of alert.events without what depends on the clock.
type event struct {
	Bar       time.Time
	Value     float64
	Threshold float64
	Resolved  *time.Time
	State     string
	Late      bool
	Revision  int
}

func evaluateAlerts(t testing.TB, d *dbtest.DB) {
	t.Helper()
	if _, err := d.Pool.Exec(context.Background(), "CALL _hypertick.evaluate_alerts(0, '{\"budget\": \"5 minutes\"}')"); err != nil {
		t.Fatal(err)
	}
	rows, err := d.Pool.Query(context.Background(), "SELECT rule_id || ': ' || error FROM alert.runs WHERE error IS NOT NULL")
	if err != nil {
		t.Fatal(err)
	}
	if failed, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(failed) > 0 {
		t.Fatalf("rules failed: %v, %v", failed, err)
	}
}

func events(t testing.TB, d *dbtest.DB, rule, symbol string) []event {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), `SELECT bar, value, threshold, resolved, state, late, revision
		FROM alert.events WHERE rule = $1 AND symbol = $2 ORDER BY bar`, rule, symbol)
	if err != nil {
		t.Fatal(err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[event])
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// path makes one tick a bar: price and size of bar i, from start on.
func path(symbol string, start time.Time, width time.Duration, n int, bar func(i int) (price, size float64)) []dbtest.Tick {
	ticks := make([]dbtest.Tick, n)
	for i := range ticks {
		price, size := bar(i)
		ticks[i] = dbtest.Tick{TS: start.Add(time.Duration(i) * width), Symbol: symbol, Price: price, Size: size, Seq: int64(i + 1), Venue: "TEST"}
	}
	return ticks
}

// wave is a price that rests: up and down by step around 100.
func wave(i int, step float64) float64 {
	if i%2 == 0 {
		return 100 + step
	}
	return 100 - step
}

// TestSeededRules walks a price path for each seeded rule whose bars can be
// told in advance, and sees events on exactly those.
func TestSeededRules(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	day := time.Now().UTC().Truncate(15 * time.Minute).Add(-15 * time.Minute)
	type hit struct {
		bar      int // index of the first bar on which the condition holds
		resolved int // index of the first bar on which it no longer does; -1: still holds
	}
	cases := []struct {
		rule  string
		width time.Duration
		n     int
		bar   func(i int) (price, size float64)
		want  []hit
	}{
		// Gains and losses of 1 in turn keep both averages near 1/2. After k rises of 3,
		// with q = (13/14)^k, RSI is 100 (3 - 2.5q) / (3 - 2q): 62.6, 68.5, 72.6.
		{"rsi-above-70", 5 * time.Minute, 70, func(i int) (float64, float64) { return wave(i, 0.5) + 3*float64(max(0, i-60)), 1 }, []hit{{63, -1}}},
		{"rsi-below-30", 5 * time.Minute, 70, func(i int) (float64, float64) { return wave(i, 0.5) - 3*float64(max(0, i-60)), 1 }, []hit{{63, -1}}},
		// 200 bars fall by 0.1 a bar: the fast average is 7.5 below the slow one.
		// Then each bar is 20.5 above the line: k of them lift the fast average by
		// 20.5k/50 and the slow one by 20.5k/200, and 0.3075k is above 7.5 from 25 on.
		{"golden-cross", 15 * time.Minute, 250, func(i int) (float64, float64) { return 100 - 0.1*float64(i) + step(i >= 210, 20.5), 1 }, []hit{{234, 235}}},
		{"death-cross", 15 * time.Minute, 250, func(i int) (float64, float64) { return 100 + 0.1*float64(i) - step(i >= 210, 20.5), 1 }, []hit{{234, 235}}},
		// Returns of 0.1 % up and down, one of 2 %.
		{"return-anomaly", time.Minute, 60, func(i int) (float64, float64) { return wave(i, 0.05) + step(i >= 45, 2), 1 }, []hit{{45, 46}}},
		{"volume-spike", time.Minute, 60, func(i int) (float64, float64) { return 100, 10 + float64(i%3) + step(i == 40, 90) + step(i == 50, 20) }, []hit{{40, 41}}},
		{"bollinger-breakout", 5 * time.Minute, 60, func(i int) (float64, float64) { return wave(i, 0.5) + step(i == 40, 3) - step(i == 50, 4), 1 }, []hit{{40, 41}, {50, 51}}},
		// 3.1 % at bar 30: fifteen bars later it is no change any more. 2.9 % is none.
		{"price-move", time.Minute, 60, func(i int) (float64, float64) { return 100 + step(i >= 10, 2.9) + step(i >= 30, 3.2), 1 }, []hit{{30, 45}}},
	}
	var all []dbtest.Tick
	for _, c := range cases {
		all = append(all, path(strings.ToUpper(c.rule), day.Add(-time.Duration(c.n-1)*c.width), c.width, c.n, c.bar)...)
	}
	d.Commit(t, all, nil)
	d.Settle(t)
	// Far enough back for the crosses.
	if _, err := d.Pool.Exec(context.Background(), "SELECT _hypertick.evaluate_rule(id, '{\"lookback\": 260}') FROM alert.rules"); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		symbol, start := strings.ToUpper(c.rule), day.Add(-time.Duration(c.n-1)*c.width)
		got := events(t, d, c.rule, symbol)
		var have, want []string
		for _, e := range got {
			end := "-"
			if e.Resolved != nil {
				end = fmt.Sprint(int(e.Resolved.Sub(start)/c.width) - 1)
			}
			have = append(have, fmt.Sprint(int(e.Bar.Sub(start)/c.width), " ", end, " ", e.State))
		}
		for _, h := range c.want {
			end, state := fmt.Sprint(h.resolved), "resolved"
			if h.resolved < 0 {
				end, state = "-", "firing"
			}
			want = append(want, fmt.Sprint(h.bar, " ", end, " ", state))
		}
		if !slices.Equal(have, want) {
			t.Errorf("%s: events on %q, want %q", c.rule, have, want)
		}
	}
	// A second evaluation of the same bars finds nothing.
	var before, after int64
	count := "SELECT last_value FROM alert.change_id"
	if err := d.Pool.QueryRow(context.Background(), count).Scan(&before); err != nil {
		t.Fatal(err)
	}
	evaluateAlerts(t, d)
	if err := d.Pool.QueryRow(context.Background(), count).Scan(&after); err != nil {
		t.Fatal(err)
	}
	if before != after || before == 0 {
		t.Errorf("a second evaluation made changes %d to %d", before, after)
	}
	// A dry run by the reader finds what the rule found.
	reader, err := pgx.Connect(context.Background(), d.URLAs(t, "hypertick_reader"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close(context.Background()) }()
	rows, err := reader.Query(context.Background(), `SELECT p.symbol, p.bar, p.resolved, p.message FROM alert.rules r,
		alert.preview(r.id, now() - INTERVAL '1 day', 'infinity', '{VOLUME*}') p WHERE r.name = 'volume-spike'`)
	if err != nil {
		t.Fatal(err)
	}
	type preview struct {
		Symbol   string
		Bar      time.Time
		Resolved *time.Time
		Message  string
	}
	previews, err := pgx.CollectRows(rows, pgx.RowToStructByPos[preview])
	if err != nil || len(previews) != 1 || !previews[0].Bar.Equal(events(t, d, "volume-spike", "VOLUME-SPIKE")[0].Bar) {
		t.Errorf("dry run: %+v, %v", previews, err)
	}
}

func step(on bool, by float64) float64 {
	if on {
		return by
	}
	return 0
}

// TestAlertCatchUp keeps the job away for two hours of bars, after which each
// rule and symbol gets one notification, however many events there were.
func TestAlertCatchUp(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	ctx := context.Background()
	exec(t, d, "DELETE FROM alert.rules")
	exec(t, d, "INSERT INTO alert.channels (name, kind) VALUES ('desk', 'webhook'), ('mail', 'email')")
	exec(t, d, `INSERT INTO alert.rules (name, "interval", indicator, params, condition, threshold, channels) VALUES
		('high', '1m', 'sma', '{"period": 1}', 'above', 110, '{}'),
		('high-desk', '1m', 'sma', '{"period": 1}', 'above', 110, '{desk}')`)
	start := time.Now().UTC().Truncate(time.Minute).Add(-150 * time.Minute)
	// Every tenth bar is above.
	ticks := path("AAA", start, time.Minute, 149, func(i int) (float64, float64) { return 100 + step(i%10 == 9, 15), 1 })
	d.Commit(t, ticks[:1], nil)
	// As if the job had last run half an hour after the beginning.
	exec(t, d, `INSERT INTO alert.progress (rule_id, symbol, since, upto) SELECT id, 'AAA', $1, $2 FROM alert.rules`, start, start.Add(30*time.Minute))
	d.Commit(t, ticks[1:], nil)
	exec(t, d, `INSERT INTO alert.runs (rule_id, version, revision_id) SELECT id, version, 0 FROM alert.rules`)
	d.SettleCandles(t)
	evaluateAlerts(t, d)
	evaluateAlerts(t, d)
	if n := len(events(t, d, "high", "AAA")); n != 11 {
		t.Errorf("%d events, want 11", n)
	}
	rows, err := d.Pool.Query(ctx, `SELECT concat_ws(' ', payload ->> 'rule', channel, payload ->> 'kind', payload ->> 'count', jsonb_array_length(payload -> 'events')) FROM alert.outbox ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if want := []string{"high desk opened 11 11", "high mail opened 11 11", "high-desk desk opened 11 11"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("notifications %q, want %q (%v)", got, want, err)
	}

	// A symbol seen for the first time is looked back on, and nobody is woken.
	other := path("BBB", start, time.Minute, 149, func(i int) (float64, float64) { return 100 + step(i%10 == 9, 15), 1 })
	d.Commit(t, other, nil)
	d.SettleCandles(t)
	evaluateAlerts(t, d)
	if n := len(events(t, d, "high", "BBB")); n != 6 {
		t.Errorf("%d events in the 60 bars looked back on, want 6", n)
	}
	if n := count(t, d, "SELECT count(*) FROM alert.outbox"); n != 3 {
		t.Errorf("%d notifications, want still 3", n)
	}

	// A changed rule ends what it found and begins with the bar that forms.
	exec(t, d, "UPDATE alert.rules SET threshold = 90 WHERE name = 'high'")
	evaluateAlerts(t, d)
	if n := count(t, d, "SELECT count(*) FROM alert.events WHERE rule = 'high' AND state = 'firing'"); n != 0 {
		t.Errorf("%d events of the rule as it was still fire", n)
	}
	if n := len(events(t, d, "high", "AAA")); n != 11 {
		t.Errorf("%d events after the change, want 11: old bars are not looked at again", n)
	}
	// And of a rule that is gone nothing fires.
	exec(t, d, `INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, message) SELECT id, name, severity, 'AAA', '1m', now(), 'by hand' FROM alert.rules WHERE name = 'high'`)
	exec(t, d, "DELETE FROM alert.rules WHERE name = 'high'")
	if n := count(t, d, "SELECT count(*) FROM alert.events WHERE rule = 'high' AND state = 'firing'"); n != 0 {
		t.Errorf("%d events of a deleted rule fire", n)
	}
}

// TestAlertRevision: a late tick changes closed bars; events on them are
// revised, retracted or added, and keep what they said.
func TestAlertRevision(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	exec(t, d, "DELETE FROM alert.rules")
	exec(t, d, "INSERT INTO alert.channels (name, kind) VALUES ('desk', 'webhook')")
	exec(t, d, `INSERT INTO alert.rules (name, "interval", indicator, params, condition, threshold) VALUES ('high', '1m', 'sma', '{"period": 1}', 'above', 110)`)
	start := time.Now().UTC().Truncate(time.Minute).Add(-40 * time.Minute)
	prices := map[int]float64{10: 115, 11: 116, 20: 120, 30: 130}
	ticks := path("AAA", start, time.Minute, 38, func(i int) (float64, float64) {
		if p, ok := prices[i]; ok {
			return p, 1
		}
		return 100, 1
	})
	d.Commit(t, ticks, nil)
	d.SettleCandles(t)
	evaluateAlerts(t, d)
	if n := len(events(t, d, "high", "AAA")); n != 3 {
		t.Fatalf("%d events, want 3", n)
	}

	// Each a second after the bar's own tick: it closes the bar.
	late := func(i int, price float64, seq int64) dbtest.Tick {
		return dbtest.Tick{TS: start.Add(time.Duration(i)*time.Minute + time.Second), Symbol: "AAA", Price: price, Size: 1, Seq: seq, Venue: "TEST"}
	}
	d.Commit(t, []dbtest.Tick{late(5, 111, 101), late(11, 90, 102), late(20, 125, 103), late(30, 109, 104)}, nil)
	d.SettleCandles(t)
	d.NoteRevisions(t)
	evaluateAlerts(t, d)
	at := func(i int) *time.Time { at := start.Add(time.Duration(i) * time.Minute); return &at }
	want := []event{
		{Bar: *at(5), Value: 111, Threshold: 110, Resolved: at(7), State: "resolved", Late: true},
		{Bar: *at(10), Value: 115, Threshold: 110, Resolved: at(12), State: "resolved", Revision: 1}, // it ended a bar earlier
		{Bar: *at(20), Value: 125, Threshold: 110, Resolved: at(22), State: "resolved", Revision: 1},
		{Bar: *at(30), Value: 130, Threshold: 110, Resolved: at(32), State: "retracted", Revision: 1},
	}
	if got := events(t, d, "high", "AAA"); !equalEvents(got, want) {
		t.Errorf("after late ticks:\n%+v\nwant\n%+v", got, want)
	}
	var history string
	if err := d.Pool.QueryRow(context.Background(), `SELECT string_agg(concat_ws(' ', h ->> 'revision', h ->> 'state', h ->> 'value'), '; ' ORDER BY bar)
		FROM alert.events, jsonb_array_elements(history) h`).Scan(&history); err != nil || history != "0 resolved 115; 0 resolved 120; 0 resolved 130" {
		t.Errorf("history %q, %v", history, err)
	}
	rows, err := d.Pool.Query(context.Background(), `SELECT concat_ws(' ', payload ->> 'kind', payload ->> 'value', payload ->> 'message') FROM alert.outbox ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if want := []string{
		"retracted 130 AAA 1m: close 130 is above 110 (retracted: the bar has changed)", "opened 111 AAA 1m: close 111 is above 110",
	}; err != nil || !slices.Equal(sent, want) {
		t.Errorf("notifications %q, want %q (%v)", sent, want, err)
	}

	// Another one makes the retracted event true again.
	d.Commit(t, []dbtest.Tick{{TS: start.Add(30*time.Minute + 2*time.Second), Symbol: "AAA", Price: 131, Size: 1, Seq: 105, Venue: "TEST"}}, nil)
	d.SettleCandles(t)
	d.NoteRevisions(t)
	evaluateAlerts(t, d)
	want[3] = event{Bar: *at(30), Value: 131, Threshold: 110, Resolved: at(32), State: "resolved", Revision: 2}
	if got := events(t, d, "high", "AAA"); !equalEvents(got, want) {
		t.Errorf("after another late tick:\n%+v\nwant\n%+v", got, want)
	}
}

func equalEvents(a, b []event) bool {
	return slices.EqualFunc(a, b, func(x, y event) bool {
		// What changes by less than a millionth is no revision.
		return x.Bar.Equal(y.Bar) && math.Abs(x.Value-y.Value) <= 2e-6*math.Abs(y.Value) && math.Abs(x.Threshold-y.Threshold) <= 2e-6*math.Abs(y.Threshold) &&
			(x.Resolved == nil) == (y.Resolved == nil) && (x.Resolved == nil || x.Resolved.Equal(*y.Resolved)) &&
			x.State == y.State && x.Late == y.Late && x.Revision == y.Revision
	})
}

// TestRuleChecks writes rules that cannot be evaluated: each error begins with
// the column it is about.
func TestRuleChecks(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	operator, err := pgx.Connect(context.Background(), d.URLAs(t, "hypertick_operator"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = operator.Close(context.Background()) }()
	base := map[string]any{"name": "mine", "interval": "5m", "indicator": "rsi", "condition": "above", "threshold": 70.0}
	write := func(change map[string]any) error {
		var columns, holes []string
		var values []any
		for k, v := range base {
			if _, ok := change[k]; !ok {
				columns, values = append(columns, pgx.Identifier{k}.Sanitize()), append(values, v)
			}
		}
		for k, v := range change {
			if v != nil {
				columns, values = append(columns, pgx.Identifier{k}.Sanitize()), append(values, v)
			}
		}
		for i := range values {
			holes = append(holes, fmt.Sprintf("$%d", i+1))
		}
		_, err := operator.Exec(context.Background(), "INSERT INTO alert.rules ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(holes, ", ")+")", values...)
		return err
	}
	for _, c := range []struct {
		change map[string]any
		want   string
	}{
		{map[string]any{"name": "No Spaces"}, "name: "},
		{map[string]any{"symbols": []string{}}, "symbols: "},
		{map[string]any{"symbols": []string{""}}, "symbols: "},
		{map[string]any{"interval": "7x"}, "interval: want one of"},
		{map[string]any{"interval": nil}, "interval: want one of"},
		{map[string]any{"indicator": "rsi2"}, "indicator: want a name of indicator.catalog, got rsi2"},
		{map[string]any{"indicator": "rsi(); DROP TABLE ticks"}, "indicator: want a name"},
		{map[string]any{"indicator": nil}, "indicator: "},
		{map[string]any{"params": map[string]any{"period": 1}}, "params: period: want 2 to 500, got 1"},
		{map[string]any{"params": map[string]any{"length": 14}}, "params: length: no such parameter of rsi"},
		{map[string]any{"params": []int{1}}, "params: params: want an object"},
		{map[string]any{"series": "macd"}, "series: want one of rsi, got macd"},
		{map[string]any{"condition": "near"}, "condition: want above, below"},
		{map[string]any{"threshold": nil}, "threshold: want either"},
		{map[string]any{"against_indicator": "rsi"}, "threshold: want either"},
		{map[string]any{"threshold": math.NaN()}, "threshold: want a number, got NaN"},
		{map[string]any{"threshold": math.Inf(-1)}, "threshold: want a number, got -Infinity"},
		{map[string]any{"threshold": nil, "against_indicator": "nope"}, "against_indicator: want a name"},
		{map[string]any{"threshold": nil, "against_indicator": "macd", "against_series": "rsi"}, "against_series: want one of macd, signal, histogram"},
		{map[string]any{"threshold": nil, "against_indicator": "sma", "against_params": map[string]any{"period": "x"}}, "against_params: period: want an integer"},
		{map[string]any{"condition": "outside"}, "upper: want more than threshold"},
		{map[string]any{"condition": "outside", "upper": 60.0}, "upper: want more than threshold"},
		{map[string]any{"upper": 80.0}, "upper: want none"},
		{map[string]any{"condition": "changes", "threshold": -3.0}, "threshold: want more than 0 percent"},
		{map[string]any{"condition": "crosses_above", "bars": 2}, "bars: want 1 where"},
		{map[string]any{"bars": 0}, "bars: want 1 to 1000"},
		{map[string]any{"cooldown": -time.Second}, "cooldown: "},
		{map[string]any{"severity": "loud"}, "severity: "},
		{map[string]any{"channels": []string{"nobody"}}, "channels: want names that a notifier has listed (none yet), got nobody"},
		{map[string]any{"condition": "fails"}, "indicator: want none where the condition is fails"},
	} {
		err := write(c.change)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "22023" || !strings.HasPrefix(pgErr.Message, c.want) {
			t.Errorf("%v: got %v, want SQLSTATE 22023 %q", c.change, err, c.want)
		}
	}
	if err := write(nil); err != nil {
		t.Errorf("a good rule: %v", err)
	}
	if err := write(map[string]any{"name": "cross", "condition": "crosses_above", "threshold": nil, "indicator": "macd", "against_indicator": "macd", "against_series": "signal"}); err != nil {
		t.Errorf("a good rule: %v", err)
	}
	if n := count(t, d, "SELECT count(*) FROM alert.rules WHERE series = CASE indicator WHEN 'rsi' THEN 'rsi' ELSE 'macd' END AND name IN ('mine', 'cross')"); n != 2 {
		t.Errorf("series left out were not filled in")
	}
	// The operator writes rules, and neither events nor ticks; nor may a rule say what the evaluation keeps.
	for _, stmt := range []string{
		"DELETE FROM alert.events", "INSERT INTO ticks VALUES (now(), 'A', 1, 1, 1, 'V')", "UPDATE alert.rules SET version = 9", "DELETE FROM alert.outbox", "UPDATE alert.outbox SET payload = '{}'",
	} {
		var pgErr *pgconn.PgError
		if _, err := operator.Exec(context.Background(), stmt); !errors.As(err, &pgErr) || pgErr.Code != "42501" {
			t.Errorf("%s: got %v, want permission denied", stmt, err)
		}
	}
}

func exec(t testing.TB, d *dbtest.DB, stmt string, args ...any) {
	t.Helper()
	if _, err := d.Pool.Exec(context.Background(), stmt, args...); err != nil {
		t.Fatalf("%s: %v", stmt, err)
	}
}

func count(t testing.TB, d *dbtest.DB, query string) int {
	t.Helper()
	var n int
	if err := d.Pool.QueryRow(context.Background(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

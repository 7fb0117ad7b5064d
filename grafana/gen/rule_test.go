package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// provisionedRules are those of the committed file, as Grafana reads it.
func provisionedRules(t testing.TB) map[string]alertRule {
	t.Helper()
	var file rulesFile
	decodeYAML(t, filepath.Join("alerting", "rules.yaml"), &file)
	out := make(map[string]alertRule)
	for _, g := range file.Groups {
		if g.Folder != ruleFolder || g.Interval == "" {
			t.Errorf("group %s: want a folder and an interval", g.Name)
		}
		for _, r := range g.Rules {
			out[strings.TrimPrefix(r.UID, "hypertick-")] = r
		}
	}
	return out
}

func decodeYAML(t testing.TB, name string, into any) {
	t.Helper()
	f, err := os.Open(filepath.Join(root, "provisioning", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := yaml.NewDecoder(f)
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// firing evaluates a rule as Grafana does: each row is a series, its text
// columns are the labels, its number is held against the threshold. It returns
// the labels of those that fire and of those that do not.
func (m *market) firing(t testing.TB, r alertRule) (fires, quiet []string) {
	t.Helper()
	q, condition := r.Data[0], r.Data[2].Model.Conditions[0].Evaluator
	if q.DatasourceUID != sourceUID || q.Model.Format != table || r.Data[1].Model.Expression != "A" || r.Data[2].Model.Expression != "B" || r.Condition != "C" {
		t.Fatalf("%s: not a threshold over the number of a statement", r.UID)
	}
	for _, row := range m.must(t, q.Model.RawSQL).rows {
		var labels []string
		value, numbers := 0.0, 0
		for _, v := range row {
			switch v := v.(type) {
			case string:
				labels = append(labels, v)
			case float64:
				value, numbers = v, numbers+1
			default:
				t.Fatalf("%s: a %T is neither a label nor a number", r.UID, v)
			}
		}
		if numbers != 1 {
			t.Fatalf("%s: want one number in a row, got %v", r.UID, row)
		}
		label := strings.Join(labels, " ")
		if slices.Contains(fires, label) || slices.Contains(quiet, label) {
			t.Fatalf("%s: two series are labelled %s", r.UID, label)
		}
		if passes(t, condition, value) {
			fires = append(fires, label)
		} else {
			quiet = append(quiet, label)
		}
	}
	return fires, quiet
}

func passes(t testing.TB, e ruleEvaluator, value float64) bool {
	t.Helper()
	switch e.Type {
	case "gt":
		return value > e.Params[0]
	case "lt":
		return value < e.Params[0]
	case "outside_range":
		return value < e.Params[0] || value > e.Params[1]
	}
	t.Fatalf("no threshold is named %s", e.Type)
	return false
}

// calm trades once a quarter of an hour for three days, and every minute for
// the last three hours: up and down by a tenth of a percent, on a slow rise.
// shape changes price and size of the bar that begins so many minutes, or
// quarters, before the newest.
func (m *market) calm(symbol string, shape func(quarters, minutes int, price, size float64) (float64, float64)) {
	quarter := m.now.Truncate(15 * time.Minute)
	emit := func(at time.Time, i, quarters, minutes int) {
		price, size := 100+0.004*at.Sub(quarter).Minutes()/15+0.1*float64(i%2), 10+float64(i%3)
		if shape != nil {
			price, size = shape(quarters, minutes, price, size)
		}
		m.trade(symbol, at, price, size)
	}
	recent := m.closed().Add(-3 * time.Hour)
	for i := 288; i > 0; i-- {
		if at := quarter.Add(time.Duration(-i) * 15 * time.Minute); at.Before(recent) {
			emit(at.Add(time.Second), i, i, 1<<20)
		}
	}
	for i := 180; i >= 0; i-- {
		at := m.closed().Add(time.Duration(-i) * time.Minute)
		emit(at.Add(time.Second), i, int(quarter.Sub(at.Truncate(15*time.Minute))/(15*time.Minute)), i)
	}
}

// seeds make one series fire and leave another one quiet, for every rule.
func (m *market) seed(t testing.TB) (loud, quiet map[string]string) {
	m.calm("CALM", nil)
	m.calm("MOVE", func(_, minutes int, price, size float64) (float64, float64) {
		return price * (1 + 0.006*float64(max(0, 10-minutes))), size
	})
	m.calm("HIGH", func(_, minutes int, price, size float64) (float64, float64) {
		if minutes > 180 {
			return price, size
		}
		return 100 + 0.02*float64(180-minutes), size
	})
	m.calm("JUMP", func(_, minutes int, price, size float64) (float64, float64) {
		if minutes == 0 {
			return price * 1.02, size
		}
		return price, size
	})
	m.calm("BULK", func(_, minutes int, price, size float64) (float64, float64) {
		if minutes == 0 {
			return price, size * 30
		}
		return price, size
	})
	cross := func(sign float64) func(int, int, float64, float64) (float64, float64) {
		return func(quarters, _ int, _, size float64) (float64, float64) {
			// Slowly one way for three days, then the other way within the hour.
			price := 100 - sign*0.01*float64(300-quarters)
			if quarters <= 2 {
				price += sign * 60
			}
			return price, size
		}
	}
	m.calm("GOLD", cross(1))
	m.calm("DEAD", cross(-1))
	m.store(t)
	m.exec(t, "UPDATE feed_positions SET last_ts = now() - INTERVAL '20 minutes' WHERE symbol = 'DEAD'")
	m.activity(t, "market.ticks", 0, 0, 12)
	m.activity(t, "market.ticks", 1, 0, 5_000_000)
	m.activity(t, "market.bad", 0, 3, 0)
	if m.Embedded == nil {
		// There tests switch the scheduler's jobs off, and those are not shown.
		m.exec(t, "SELECT alter_job(job_id, scheduled => true, next_start => now() + INTERVAL '1 day') FROM timescaledb_information.jobs WHERE job_id >= 1000")
	}
	jobs := m.must(t, "SELECT job_id FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id LIMIT 2").rows
	failed, fine := jobs[0][0].(int32), jobs[1][0].(int32)
	m.run(t, failed, false)
	m.run(t, fine, true)
	named := func(job int32) string {
		return fmt.Sprint(job, " ", m.must(t, fmt.Sprintf("SELECT name FROM job_status WHERE job_id = %d", job)).rows[0][0])
	}
	return map[string]string{
			"price-move": "MOVE", "rsi-extreme": "HIGH", "return-anomaly": "JUMP", "volume-spike": "BULK",
			"golden-cross": "GOLD", "death-cross": "DEAD", "data-stale": "DEAD TEST", "ingest-lag": "market.ticks 1",
			"job-failed": named(failed), "dead-letters": "market.bad", "aggregate-lag": "candles_1m",
		}, map[string]string{
			"price-move": "CALM", "rsi-extreme": "CALM", "return-anomaly": "CALM", "volume-spike": "CALM",
			"golden-cross": "CALM", "death-cross": "CALM", "data-stale": "CALM TEST", "ingest-lag": "market.ticks 0",
			"job-failed": named(fine), "dead-letters": "market.ticks", "aggregate-lag": "candles_1m",
		}
}

// run notes a job's last run where TimescaleDB's scheduler would.
func (m *market) run(t testing.TB, job int32, success bool) {
	t.Helper()
	m.exec(t, "DELETE FROM _timescaledb_internal.bgw_job_stat WHERE job_id = $1", job)
	m.exec(t, `INSERT INTO _timescaledb_internal.bgw_job_stat (job_id, last_start, last_finish, next_start, last_successful_finish, last_run_success,
			total_runs, total_duration, total_duration_failures, total_successes, total_failures, total_crashes, consecutive_failures, consecutive_crashes)
		VALUES ($1, now() - INTERVAL '2 seconds', now() - INTERVAL '1 second', now() + INTERVAL '1 minute', now() - INTERVAL '1 hour', $2,
			10, '10 seconds', '0', 9, 1, 0, $3, 0)`, job, success, map[bool]int{true: 0, false: 1}[success])
}

func TestRules(t *testing.T) {
	m := newMarket(t)
	loud, quiet := m.seed(t)
	provisioned := provisionedRules(t)
	if len(provisioned) != len(rules) || len(loud) != len(rules) {
		t.Fatalf("got %d rules in the file and %d data sets, want %d", len(provisioned), len(loud), len(rules))
	}
	// Nothing is materialised yet.
	if fires, _ := m.firing(t, provisioned["aggregate-lag"]); !slices.Contains(fires, loud["aggregate-lag"]) {
		t.Errorf("aggregate-lag: %s does not fire before the first refresh", loud["aggregate-lag"])
	}
	m.Settle(t)
	for uid, r := range provisioned {
		t.Run(uid, func(t *testing.T) {
			fires, rests := m.firing(t, r)
			t.Logf("fires: %v, rests: %v", fires, rests)
			if uid != "aggregate-lag" && !slices.Contains(fires, loud[uid]) {
				t.Errorf("%s does not fire, but %v", loud[uid], fires)
			}
			if !slices.Contains(rests, quiet[uid]) {
				t.Errorf("%s does not rest, but %v", quiet[uid], rests)
			}
		})
	}
}

// TestRulesOfAnEmptyDatabase: no data is not an error.
func TestRulesOfAnEmptyDatabase(t *testing.T) {
	m := newMarket(t)
	for _, r := range provisionedRules(t) {
		if fires, _ := m.firing(t, r); len(fires) > 0 {
			t.Errorf("%s fires: %v", r.UID, fires)
		}
	}
}

func TestRulesLint(t *testing.T) {
	boards := load(t)
	severities := []string{"info", "warning", "critical"}
	for uid, r := range provisionedRules(t) {
		if r.Title == "" || r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: want a title, a summary and a description", uid)
		}
		if !slices.Contains(severities, r.Labels["severity"]) {
			t.Errorf("%s: severity %q", uid, r.Labels["severity"])
		}
		for _, q := range r.Data {
			if q.DatasourceUID != sourceUID && q.DatasourceUID != expressions {
				t.Errorf("%s: datasource %s", uid, q.DatasourceUID)
			}
		}
		found := false
		for _, d := range boards {
			found = found || *d.Uid == r.DashboardUID && int(r.PanelID) <= len(d.Panels) && r.PanelID > 0
		}
		if !found {
			t.Errorf("%s: dashboard %s has no panel %d", uid, r.DashboardUID, r.PanelID)
		}
	}
}

package main

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// rule is an alert rule: a statement that gives a number per set of labels, and
// the numbers that fire.
type rule struct {
	uid, title, group string
	severity          string
	// sql gives columns of text, which become labels, and one number.
	sql string
	// fires is a threshold of Grafana: gt, lt or outside_range, with its limits.
	fires  string
	limits []float64
	// hold is how long the condition must hold.
	hold string
	// summary and description are templates over the labels and the value.
	summary, description string
	// board and panel are where it shows when the rule changes its state.
	board, panel string
}

// The SQL says now() itself: Grafana reads a $ in provisioned files as a
// variable of the environment, so that macros would have to be escaped. Symbols
// that did not trade lately are left out, or a market that closed on an extreme
// would alert all night.
var rules = []rule{
	{
		uid: "price-move", title: "Price move", group: "market", severity: "warning", fires: "gt", limits: []float64{0.03}, hold: "0s", board: uidAlerts, panel: "Unusual returns",
		summary:     `{{ .Labels.symbol }} moved {{ humanizePercentage .Values.B.Value }} within 15 minutes`,
		description: `From the first to the last price of the last 15 minutes. Fires from 3 % on.`,
		sql: `
		SELECT c.symbol, abs(public.last(c.close, c.bucket) / nullif(public.first(coalesce(c.open, c.close), c.bucket), 0) - 1) AS value
		FROM public.candles_1m c
		WHERE c.bucket > now() - INTERVAL '15 minutes' AND c.close IS NOT NULL
		GROUP BY c.symbol`,
	},
	{
		uid: "rsi-extreme", title: "RSI extreme", group: "market", severity: "info", fires: "outside_range", limits: []float64{20, 80}, hold: "0s", board: uidAlerts, panel: "Furthest RSI now",
		summary:     `{{ .Labels.symbol }}: RSI {{ printf "%.1f" .Values.B.Value }}`,
		description: `RSI 14 of bars of 5 minutes, below 20 or above 80, of prices that move.`,
		sql: `
		SELECT l.symbol, l.rsi_14 AS value
		FROM indicator.latest('5m') l
		WHERE l.bucket > now() - INTERVAL '30 minutes' AND (l.rsi_14 > 0 OR l.rsi_14 = 0 AND l.change <> 0)`,
	},
	{
		uid: "return-anomaly", title: "Return anomaly", group: "market", severity: "warning", fires: "gt", limits: []float64{5}, hold: "0s", board: uidAlerts, panel: "Unusual returns",
		summary:     `{{ .Labels.symbol }}: a return {{ printf "%.1f" .Values.B.Value }} standard deviations from usual`,
		description: `The newest closed bar of 1 minute against the 20 before it.`,
		sql: `
		SELECT l.symbol, abs(l.zscore) AS value
		FROM indicator.latest('1m') l
		WHERE l.zscore IS NOT NULL AND l.bucket > now() - INTERVAL '10 minutes'`,
	},
	{
		uid: "volume-spike", title: "Volume spike", group: "market", severity: "info", fires: "gt", limits: []float64{5}, hold: "0s", board: uidAlerts, panel: "Unusual volumes",
		summary:     `{{ .Labels.symbol }}: {{ printf "%.1f" .Values.B.Value }} times the usual volume`,
		description: `The newest closed bar of 1 minute against the mean of the 20 before it.`,
		sql: `
		SELECT l.symbol, l.volume_ratio AS value
		FROM indicator.latest('1m') l
		WHERE l.volume_ratio IS NOT NULL AND l.bucket > now() - INTERVAL '10 minutes'`,
	},
	{
		uid: "golden-cross", title: "Golden cross", group: "market", severity: "info", fires: "gt", limits: []float64{0}, hold: "0s", board: uidAlerts, panel: "Trend crosses",
		summary:     `{{ .Labels.symbol }}: SMA 50 crossed above SMA 200`,
		description: `Bars of 15 minutes, within the last hour.`,
		sql:         crossSQL("1"),
	},
	{
		uid: "death-cross", title: "Death cross", group: "market", severity: "info", fires: "gt", limits: []float64{0}, hold: "0s", board: uidAlerts, panel: "Trend crosses",
		summary:     `{{ .Labels.symbol }}: SMA 50 crossed below SMA 200`,
		description: `Bars of 15 minutes, within the last hour.`,
		sql:         crossSQL("-1"),
	},
	{
		uid: "data-stale", title: "Feed stale", group: "pipeline", severity: "critical", fires: "gt", limits: []float64{300}, hold: "1m", board: uidPipeline, panel: "Quietest feeds",
		summary:     `{{ .Labels.symbol }} of {{ .Labels.venue }}: no trade for {{ humanizeDuration .Values.B.Value }}`,
		description: `Fires from 5 minutes on. Mute it for venues while they are closed.`,
		sql: `
		SELECT p.symbol, p.venue, extract(epoch FROM now() - p.last_ts)::float8 AS value
		FROM public.feed_positions p`,
	},
	{
		uid: "ingest-lag", title: "Ingest lags", group: "pipeline", severity: "critical", fires: "gt", limits: []float64{100_000}, hold: "2m", board: uidPipeline, panel: "Consumer lag",
		summary:     `{{ .Labels.topic }} partition {{ .Labels.partition }}: {{ humanize .Values.B.Value }} records behind`,
		description: `Records left to read after the partition's newest batch. If no batch comes any more, Feed stale fires.`,
		sql: `
		SELECT DISTINCT ON (a.topic, a.partition) a.topic, a.partition::text AS partition, a.behind::float8 AS value
		FROM public.ingest_activity a
		WHERE a.minute > now() - INTERVAL '10 minutes'
		ORDER BY a.topic, a.partition, a.minute DESC`,
	},
	{
		uid: "aggregate-lag", title: "Candles not materialised", group: "pipeline", severity: "warning", fires: "gt", limits: []float64{900}, hold: "5m", board: uidPipeline, panel: "Watermarks behind the newest tick",
		summary:     `{{ .Labels.relation }} is {{ humanizeDuration .Values.B.Value }} behind`,
		description: `From the end of what is materialised to the newest tick, less the length of one bar. Reads stay correct, but compute what is missing.`,
		sql: `
		SELECT w.relation, greatest(extract(epoch FROM (SELECT max(p.last_ts) FROM public.feed_positions p)
		           - coalesce(w.watermark, (SELECT min(t.range_start) FROM timescaledb_information.chunks t WHERE t.hypertable_name = 'ticks')) - i.width), 0)::float8 AS value
		FROM public.watermarks w JOIN public.intervals i ON w.relation = 'candles_' || i."interval"`,
	},
	{
		uid: "job-failed", title: "Job failed", group: "pipeline", severity: "critical", fires: "gt", limits: []float64{0}, hold: "0s", board: uidPipeline, panel: "Jobs of the database",
		summary:     `Job {{ .Labels.job }} ({{ .Labels.what }}) failed`,
		description: `Its last run failed. The view job_status has the error; the job is retried by itself.`,
		sql: `
		SELECT j.job_id::text AS job, j.name AS what, j.failed::int::float8 AS value
		FROM public.job_status j`,
	},
	{
		uid: "dead-letters", title: "Dead letters", group: "pipeline", severity: "warning", fires: "gt", limits: []float64{0}, hold: "0s", board: uidPipeline, panel: "Duplicates and dead letters",
		summary:     `{{ .Labels.topic }}: {{ humanize .Values.B.Value }} records were not understood within 10 minutes`,
		description: `They are in the dead-letter topic, each with the reason in its header "error".`,
		sql: `
		SELECT a.topic, sum(a.dead_letters)::float8 AS value
		FROM public.ingest_activity a
		WHERE a.minute > now() - INTERVAL '10 minutes'
		GROUP BY a.topic`,
	},
}

// panelKey finds a panel by its dashboard and title.
type panelKey struct{ board, title string }

// crossSQL looks at four closed bars, so that a cross is seen even if an
// evaluation is missed.
func crossSQL(sign string) string {
	return `
		SELECT s.symbol, greatest(max(t.value * ` + sign + `), 0)::float8 AS value
		FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p WHERE p.last_ts > now() - INTERVAL '2 hours') s,
		     indicator.trend(s.symbol, '15m', now() - INTERVAL '1 hour', public.time_bucket(INTERVAL '15 minutes', now())) t
		WHERE t.series = 'cross'
		GROUP BY s.symbol`
}

// The form of a provisioned file of alert rules, as far as it is used here.
type (
	rulesFile struct {
		APIVersion int         `yaml:"apiVersion"`
		Groups     []ruleGroup `yaml:"groups"`
	}
	ruleGroup struct {
		OrgID    int         `yaml:"orgId"`
		Name     string      `yaml:"name"`
		Folder   string      `yaml:"folder"`
		Interval string      `yaml:"interval"`
		Rules    []alertRule `yaml:"rules"`
	}
	alertRule struct {
		UID          string            `yaml:"uid"`
		Title        string            `yaml:"title"`
		Condition    string            `yaml:"condition"`
		Data         []ruleQuery       `yaml:"data"`
		DashboardUID string            `yaml:"dashboardUid"`
		PanelID      uint32            `yaml:"panelId"`
		NoDataState  string            `yaml:"noDataState"`
		ExecErrState string            `yaml:"execErrState"`
		For          string            `yaml:"for"`
		Annotations  map[string]string `yaml:"annotations"`
		Labels       map[string]string `yaml:"labels"`
	}
	ruleQuery struct {
		RefID             string    `yaml:"refId"`
		RelativeTimeRange timeRange `yaml:"relativeTimeRange"`
		DatasourceUID     string    `yaml:"datasourceUid"`
		Model             ruleModel `yaml:"model"`
	}
	timeRange struct {
		From int `yaml:"from"`
		To   int `yaml:"to"`
	}
	ruleModel struct {
		RefID         string          `yaml:"refId"`
		EditorMode    string          `yaml:"editorMode,omitempty"`
		Format        string          `yaml:"format,omitempty"`
		RawQuery      bool            `yaml:"rawQuery,omitempty"`
		RawSQL        string          `yaml:"rawSql,omitempty"`
		Type          string          `yaml:"type,omitempty"`
		Expression    string          `yaml:"expression,omitempty"`
		Reducer       string          `yaml:"reducer,omitempty"`
		Conditions    []ruleCondition `yaml:"conditions,omitempty"`
		IntervalMs    int             `yaml:"intervalMs"`
		MaxDataPoints int             `yaml:"maxDataPoints"`
	}
	ruleCondition struct {
		Evaluator ruleEvaluator `yaml:"evaluator"`
	}
	ruleEvaluator struct {
		Type   string    `yaml:"type"`
		Params []float64 `yaml:"params,flow"`
	}
)

const (
	ruleFolder  = "Hypertick"
	expressions = "__expr__" // Grafana's own, for what is computed from A
	rulesHeader = "# Written by go run ./grafana/gen, see rule.go there. Not to be edited.\n"
)

// The groups and how often they are evaluated.
var ruleGroups = []struct{ name, every string }{{"market", "1m"}, {"pipeline", "1m"}}

func encodeRules(panels map[panelKey]uint32) ([]byte, error) {
	file := rulesFile{APIVersion: 1}
	for _, g := range ruleGroups {
		group := ruleGroup{OrgID: 1, Name: "Hypertick " + g.name, Folder: ruleFolder, Interval: g.every}
		for _, r := range rules {
			if r.group != g.name {
				continue
			}
			id, ok := panels[panelKey{r.board, r.panel}]
			if !ok {
				return nil, fmt.Errorf("encode alert rule %s: dashboard %s has no panel %q", r.uid, r.board, r.panel)
			}
			group.Rules = append(group.Rules, r.provision(id))
		}
		file.Groups = append(file.Groups, group)
	}
	var b bytes.Buffer
	b.WriteString(rulesHeader)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(file); err != nil {
		return nil, fmt.Errorf("encode alert rules: %w", err)
	}
	// Grafana would put variables of the environment there.
	if strings.Contains(b.String(), "$") {
		return nil, fmt.Errorf("encode alert rules: want no dollar sign in them")
	}
	return b.Bytes(), nil
}

func (r rule) provision(panel uint32) alertRule {
	condition := []ruleCondition{{Evaluator: ruleEvaluator{Type: r.fires, Params: r.limits}}}
	return alertRule{
		UID: "hypertick-" + r.uid, Title: r.title, Condition: "C", NoDataState: "OK", ExecErrState: "Error", For: r.hold,
		DashboardUID: r.board, PanelID: panel,
		Annotations: map[string]string{"summary": r.summary, "description": r.description},
		Labels:      map[string]string{"severity": r.severity, "subject": r.group},
		Data: []ruleQuery{
			{RefID: "A", RelativeTimeRange: timeRange{From: 3600}, DatasourceUID: sourceUID, Model: ruleModel{
				RefID: "A", EditorMode: "code", Format: table, RawQuery: true, RawSQL: flush(r.sql), IntervalMs: 1000, MaxDataPoints: 43200,
			}},
			{RefID: "B", DatasourceUID: expressions, Model: ruleModel{
				RefID: "B", Type: "reduce", Expression: "A", Reducer: "last", IntervalMs: 1000, MaxDataPoints: 43200,
			}},
			{RefID: "C", DatasourceUID: expressions, Model: ruleModel{
				RefID: "C", Type: "threshold", Expression: "B", Conditions: condition, IntervalMs: 1000, MaxDataPoints: 43200,
			}},
		},
	}
}

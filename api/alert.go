package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// AlertRule is what is watched for, and how its last evaluation went.
type AlertRule struct {
	ID               int64     `json:"id" doc:"Number of the rule." example:"7"`
	Name             string    `json:"name" doc:"Its name, which no other rule has." example:"volume-spike"`
	Description      string    `json:"description" doc:"What it is for." example:"Four times the usual volume."`
	Symbols          []string  `json:"symbols" nullable:"false" doc:"Symbols, or patterns with * and ?. Where the condition is fails: parts of the pipeline." example:"[\"*\"]"`
	Interval         *string   `json:"interval" nullable:"true" doc:"Interval of the bars; null where the condition is fails." example:"1m"`
	Indicator        *string   `json:"indicator" nullable:"true" doc:"Name in /v1/indicators. sma with period 1 is the close." example:"volume_spike"`
	Params           Params    `json:"params" doc:"Parameters of the indicator by name; those left out have their defaults." example:"{\"period\":20}"`
	Series           *string   `json:"series" nullable:"true" doc:"Series of the indicator." example:"ratio"`
	Condition        string    `json:"condition" enum:"above,below,crosses_above,crosses_below,outside,changes,rises,falls,fails" doc:"How the series must be." example:"above"`
	Threshold        *float64  `json:"threshold" nullable:"true" doc:"What it is compared with; for outside the lower bound; for changes, rises and falls the change in percent." example:"4"`
	Upper            *float64  `json:"upper" nullable:"true" doc:"For outside: the upper bound." example:"8"`
	AgainstIndicator *string   `json:"against_indicator" nullable:"true" doc:"Instead of threshold: the indicator the series is compared with." example:"sma"`
	AgainstParams    Params    `json:"against_params" doc:"Its parameters." example:"{\"period\":200}"`
	AgainstSeries    *string   `json:"against_series" nullable:"true" doc:"Its series." example:"sma"`
	Bars             int32     `json:"bars" doc:"For above, below and outside: bars in a row on which it must hold. For changes, rises and falls: how many bars the change may take." example:"1"`
	Cooldown         string    `json:"cooldown" doc:"For this long after an event the rule opens no other for the symbol, in the time of the bars." example:"5m"`
	Severity         string    `json:"severity" enum:"info,warning,critical" doc:"How much it matters." example:"info"`
	Channels         []string  `json:"channels" nullable:"false" doc:"Where notifications go; none means to all channels." example:"[\"desk\"]"`
	NotifyResolved   bool      `json:"notify_resolved" doc:"Whether the end of an event is notified too." example:"false"`
	Enabled          bool      `json:"enabled" doc:"Whether it is evaluated." example:"true"`
	CreatedAt        time.Time `json:"created_at" doc:"When it was written, UTC." example:"2026-11-24T15:30:00Z"`
	UpdatedAt        time.Time `json:"updated_at" doc:"When it was last changed, UTC." example:"2026-11-24T15:30:00Z"`
	Version          int32     `json:"version" doc:"Rises with each change. The ETag of the rule." example:"1"`
	Firing           int64     `json:"firing" doc:"How many of its events fire." example:"2"`
	LastRun          *AlertRun `json:"last_run,omitempty" doc:"Its last evaluation. Absent before the first."`
}

// AlertRun is the last evaluation of a rule.
type AlertRun struct {
	FinishedAt time.Time `json:"finished_at" doc:"When it ended, UTC." example:"2026-11-24T15:30:04Z"`
	Took       string    `json:"took" doc:"How long it took." example:"12.5ms"`
	Symbols    int32     `json:"symbols" doc:"Symbols that had bars to look at." example:"24"`
	Error      *string   `json:"error" nullable:"true" doc:"Why it failed; null when it did not." example:"AAPL: division by zero"`
}

// Params are values by name.
type Params map[string]any

// Schema describes them in the OpenAPI document: one level, no more.
func (Params) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeNumber}, {Type: huma.TypeBoolean}, {Type: huma.TypeString, MaxLength: ptr(256)},
	}}}
}

// UnmarshalJSON keeps numbers as they are written.
func (p *Params) UnmarshalJSON(b []byte) error {
	dec := json.NewDecoder(strings.NewReader(string(b)))
	dec.UseNumber()
	var m map[string]any
	if err := dec.Decode(&m); err != nil {
		return fmt.Errorf("want an object: %w", err)
	}
	*p = m
	return nil
}

// AlertRulePath is a rule of a path.
type AlertRulePath struct {
	ID int64 `path:"id" minimum:"1" maximum:"9223372036854775807" doc:"Number of the rule." example:"7"`
}

type alertRulesInput struct {
	Enabled  string   `query:"enabled" enum:"true,false" doc:"Only rules that are evaluated, or only those that are not." example:"true"`
	Severity []string `query:"severity" enum:"info,warning,critical" doc:"Only rules of these severities, separated by commas." example:"warning,critical"`
}

type alertRulesOutput struct{ Body page[AlertRule] }

type alertRuleInput struct{ AlertRulePath }

type alertRuleOutput struct {
	ETag string `header:"ETag" doc:"The version of the rule, for If-Match. What changes by itself, like last_run, does not change it." example:"\"1\""`
	Body AlertRule
}

func (s *Server) registerAlerts() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-alert-rules", Method: http.MethodGet, Path: "/v1/alerts/rules", Tags: []string{"alerts"},
		Summary:     "Alert rules",
		Description: "Every rule in the order in which they were written, each with its last evaluation and how many of its events fire.",
		Errors:      marketErrors[1:],
	}, s.alertRules)
	huma.Register(s.api, huma.Operation{
		OperationID: "get-alert-rule", Method: http.MethodGet, Path: "/v1/alerts/rules/{id}", Tags: []string{"alerts"},
		Summary:     "An alert rule",
		Description: "One rule. Its ETag is its version: send it as If-Match with a change, and the change is refused if another came in between.",
		Errors:      marketErrors,
	}, s.alertRule)
	s.registerAlertWrites()
	s.registerAlertEvents()
	s.registerAlertTest()
}

func (s *Server) alertRules(ctx context.Context, in *alertRulesInput) (*alertRulesOutput, error) {
	arg := db.AlertRulesParams{Severities: in.Severity}
	if in.Enabled != "" {
		arg.Enabled = ptr(in.Enabled == "true")
	}
	rows, err := s.queries.AlertRules(ctx, arg)
	if err != nil {
		return nil, s.failed(ctx, "read alert rules", err)
	}
	out := &alertRulesOutput{}
	out.Body.Data = make([]AlertRule, len(rows))
	for i := range rows {
		if out.Body.Data[i], err = alertRuleOf(&rows[i]); err != nil {
			return nil, s.failed(ctx, "read alert rules", err)
		}
	}
	return out, nil
}

func (s *Server) alertRule(ctx context.Context, in *alertRuleInput) (*alertRuleOutput, error) {
	rule, err := findAlertRule(ctx, s.queries, in.ID)
	if err != nil {
		return nil, s.failed(ctx, "read alert rule", err)
	}
	return &alertRuleOutput{ETag: versionTag(rule.Version), Body: rule}, nil
}

// findAlertRule reads one rule; the error is a problem when there is none.
func findAlertRule(ctx context.Context, q *db.Queries, id int64) (AlertRule, error) {
	rows, err := q.AlertRules(ctx, db.AlertRulesParams{ID: &id})
	if err != nil {
		return AlertRule{}, err
	}
	if len(rows) == 0 {
		return AlertRule{}, unknownAlertRule(id)
	}
	return alertRuleOf(&rows[0])
}

func unknownAlertRule(id int64) *Problem {
	return problem(http.StatusNotFound, fmt.Sprintf("There is no alert rule %d; /v1/alerts/rules lists those there are.", id),
		&huma.ErrorDetail{Location: "path.id", Message: "unknown rule", Value: id})
}

func alertRuleOf(r *db.AlertRulesRow) (AlertRule, error) {
	rule := AlertRule{
		ID: r.ID, Name: r.Name, Description: r.Description, Symbols: r.Symbols, Interval: r.Bar, Indicator: r.Indicator, Series: r.Series,
		Condition: r.Condition, Threshold: r.Threshold, Upper: r.Upper, AgainstIndicator: r.AgainstIndicator, AgainstSeries: r.AgainstSeries,
		Bars: r.Bars, Cooldown: shortDuration(time.Duration(r.CooldownUs) * time.Microsecond), Severity: r.Severity, Channels: r.Channels,
		NotifyResolved: r.NotifyResolved, Enabled: r.Enabled, CreatedAt: r.CreatedAt.UTC(), UpdatedAt: r.UpdatedAt.UTC(), Version: r.Version, Firing: r.Firing,
	}
	if err := errors.Join(json.Unmarshal(r.Params, &rule.Params), json.Unmarshal(r.AgainstParams, &rule.AgainstParams)); err != nil {
		return rule, fmt.Errorf("parameters of rule %d: %w", r.ID, err)
	}
	if r.FinishedAt != nil {
		run := AlertRun{FinishedAt: r.FinishedAt.UTC(), Took: shortDuration(time.Duration(r.TookUs) * time.Microsecond), Error: r.Error}
		if r.LookedAt != nil {
			run.Symbols = *r.LookedAt
		}
		rule.LastRun = &run
	}
	return rule, nil
}

// versionTag is the ETag of a rule.
func versionTag(version int32) string { return `"` + strconv.Itoa(int(version)) + `"` }

// shortDuration is how people write a duration: 30m, not 30m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

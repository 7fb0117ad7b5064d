package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
)

// What a dry run looks at, and tells, at most.
const (
	previewBars    = 5000
	previewSymbols = 100
	previewRows    = 1000
)

// AlertTest says what a dry run looks at.
type AlertTest struct {
	From    time.Time  `json:"from" doc:"Bars from this time on." example:"2026-11-24T00:00:00Z"`
	To      *time.Time `json:"to,omitempty" nullable:"true" doc:"Bars before this time; by default, all that have closed. Between the two there may be 5000 bars." example:"2026-11-25T00:00:00Z"`
	Symbols []string   `json:"symbols,omitempty" nullable:"true" minItems:"1" maxItems:"100" doc:"Of the rule's symbols these, or those that match a pattern with * and ? (a backslash takes their meaning off); by default all. At most 100 symbols are looked at." example:"[\"AAPL\"]"`
}

// AlertTestResult is what a rule would have found.
type AlertTestResult struct {
	Count   int64            `json:"count" doc:"How many events there would have been." example:"12"`
	Symbols int64            `json:"symbols" doc:"Symbols that were looked at." example:"24"`
	Data    []AlertTestEvent `json:"data" nullable:"false" doc:"The events, oldest first; the first 1000."`
}

// AlertTestEvent is an event that would have been.
type AlertTestEvent struct {
	Symbol    string     `json:"symbol" doc:"Symbol." example:"AAPL"`
	Bar       time.Time  `json:"bar" doc:"Start of the first bar on which the condition holds, UTC." example:"2026-11-24T15:30:00Z"`
	Value     float64    `json:"value" doc:"Value of the series; for changes, rises and falls the change in percent." example:"6.2"`
	Threshold float64    `json:"threshold" doc:"What it is compared with." example:"4"`
	Resolved  *time.Time `json:"resolved" nullable:"true" doc:"End of the first bar on which it no longer does; null when there is none." example:"2026-11-24T15:32:00Z"`
	Message   string     `json:"message" doc:"One sentence about it." example:"AAPL 1m: volume_spike ratio 6.2 is above 4"`
}

type alertTestInput struct {
	AlertRulePath
	Body AlertTest
}

type alertTestOutput struct{ Body AlertTestResult }

func (s *Server) registerAlertTest() {
	huma.Register(s.api, huma.Operation{
		OperationID: "test-alert-rule", Method: http.MethodPost, Path: "/v1/alerts/rules/{id}/test", Tags: []string{"alerts"},
		Summary: "Try an alert rule on history",
		Description: "Which closed bars the rule would have found something on, whether or not it is enabled. Nothing is written and nobody is notified, " +
			"so that a server that only reads does it too. The range begins afresh: a bar before it opens no event and starts no cooldown.",
		Errors:      append([]int{http.StatusUnsupportedMediaType}, marketErrors...),
		Middlewares: huma.Middlewares{s.takesJSON},
	}, s.testAlertRule)
}

func (s *Server) testAlertRule(ctx context.Context, in *alertTestInput) (*alertTestOutput, error) {
	rule, err := findAlertRule(ctx, s.queries, in.ID)
	if err != nil {
		return nil, s.failed(ctx, "read alert rule", err)
	}
	if rule.Interval == nil {
		return nil, invalid("path.id", "want a rule on bars: the health of the pipeline has no history", in.ID)
	}
	arg := db.AlertPreviewParams{RuleID: in.ID, FromTime: in.Body.From, ToTime: time.Now(), Symbols: in.Body.Symbols, MaxRows: previewRows}
	if in.Body.To != nil {
		arg.ToTime = *in.Body.To
	}
	if len(arg.Symbols) == 0 {
		arg.Symbols = []string{"*"}
	}
	for _, v := range arg.Symbols {
		if v == "" || len(v) > 200 || !printable(v) {
			return nil, invalid("body.symbols", "want 1 to 200 bytes of printable text in each", v)
		}
	}
	bars, err := interval.Parse(*rule.Interval)
	if err != nil {
		return nil, s.failed(ctx, "read alert rule", err)
	}
	width := bars.Typical()
	if !arg.FromTime.Before(arg.ToTime) {
		return nil, invalid("body.from", "want a time before to", arg.FromTime.Format(time.RFC3339Nano))
	}
	// Longer differences than a Duration holds are cut to its longest.
	if n := arg.ToTime.Sub(arg.FromTime) / width; n > previewBars {
		return nil, invalid("body.from", fmt.Sprintf("want at most %d bars of %s, that is %s, before to", previewBars, *rule.Interval, shortDuration(previewBars*width)), arg.FromTime.Format(time.RFC3339Nano))
	}
	symbols, err := s.queries.AlertSymbols(ctx, db.AlertSymbolsParams{ID: in.ID, Symbols: arg.Symbols})
	if err != nil {
		return nil, s.failed(ctx, "find symbols of alert rule", err)
	}
	if symbols > previewSymbols {
		return nil, invalid("body.symbols", fmt.Sprintf("want at most %d symbols, these are %d", previewSymbols, symbols), in.Body.Symbols)
	}
	rows, err := s.queries.AlertPreview(ctx, arg)
	if err != nil {
		return nil, s.refusedTest(ctx, err)
	}
	out := &alertTestOutput{Body: AlertTestResult{Symbols: symbols, Data: make([]AlertTestEvent, len(rows))}}
	for i, r := range rows {
		e := AlertTestEvent{Symbol: r.Symbol, Bar: r.Bar.UTC(), Value: r.Value, Threshold: r.Threshold, Message: r.Message}
		if r.Resolved.Unix() > 0 {
			e.Resolved = ptr(r.Resolved.UTC())
		}
		out.Body.Count, out.Body.Data[i] = r.Total, e
	}
	return out, nil
}

// refusedTest is the answer to an error of a dry run: the rule was checked when
// it was written, so what is wrong now is that the catalog has changed since.
func (s *Server) refusedTest(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "22023" || pg.Code == "42883" && strings.HasPrefix(pg.Message, "indicator: ")) {
		return invalid("path.id", "the rule cannot be evaluated: "+clipTo(pg.Message, 300), nil)
	}
	return s.failed(ctx, "try alert rule", err)
}

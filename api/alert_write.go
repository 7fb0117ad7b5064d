package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
)

const typeMergePatch = "application/merge-patch+json"

type newAlertRuleInput struct{ Body NewAlertRule }

type newAlertRuleOutput struct {
	Location string `header:"Location" doc:"Address of the rule." example:"/v1/alerts/rules/9"`
	ETag     string `header:"ETag" doc:"The version of the rule, for If-Match." example:"\"1\""`
	Body     AlertRule
}

// IfMatch is the version a change is meant for.
type IfMatch struct {
	IfMatch string `header:"If-Match" maxLength:"256" doc:"ETag of the rule as the client knows it: the change is refused when it has another version by now. Without it, or with *, whatever the version." example:"\"1\""`
}

type patchAlertRuleInput struct {
	AlertRulePath
	IfMatch
	Body AlertRulePatch
}

type deleteAlertRuleInput struct {
	AlertRulePath
	IfMatch
}

// writeErrors are those that a write may end in besides those of a read.
func writeErrors(more ...int) []int {
	errs := slices.Concat(more, marketErrors, []int{http.StatusForbidden})
	slices.Sort(errs)
	return errs
}

func (s *Server) registerAlertWrites() {
	huma.Register(s.api, huma.Operation{
		OperationID: "create-alert-rule", Method: http.MethodPost, Path: "/v1/alerts/rules", Tags: []string{"alerts"},
		Summary: "Write an alert rule",
		Description: "A rule is evaluated on closed bars, each once. What does not fit the catalog of indicators is refused, with the field it is about. " +
			"It begins with the bar that is forming; a symbol seen for the first time is looked back on for 60 bars, without notifications.",
		DefaultStatus: http.StatusCreated,
		Errors:        slices.DeleteFunc(writeErrors(http.StatusConflict, http.StatusUnsupportedMediaType), func(e int) bool { return e == http.StatusNotFound }),
		Middlewares:   huma.Middlewares{s.takesJSON, s.writes},
	}, s.createAlertRule)
	huma.Register(s.api, huma.Operation{
		OperationID: "change-alert-rule", Method: http.MethodPatch, Path: "/v1/alerts/rules/{id}", Tags: []string{"alerts"},
		Summary: "Change an alert rule",
		Description: "What is absent stays, null is the default or nothing. A changed rule has a higher version: what it found before is resolved, " +
			"and its evaluation restarts with the bar that is forming. A change that changes nothing leaves it as it is.",
		Errors:      writeErrors(http.StatusConflict, http.StatusPreconditionFailed, http.StatusUnsupportedMediaType),
		Middlewares: huma.Middlewares{s.takesJSON, s.writes},
	}, s.patchAlertRule)
	huma.Register(s.api, huma.Operation{
		OperationID: "delete-alert-rule", Method: http.MethodDelete, Path: "/v1/alerts/rules/{id}", Tags: []string{"alerts"},
		Summary:       "Delete an alert rule",
		Description:   "Its events stay; those that fire are resolved.",
		DefaultStatus: http.StatusNoContent,
		Errors:        writeErrors(http.StatusPreconditionFailed),
		Middlewares:   huma.Middlewares{s.writes},
	}, s.deleteAlertRule)
	// huma leaves null out of the values of a field that may be null.
	for _, name := range []string{"NewAlertRule", "AlertRulePatch"} {
		for _, p := range s.api.OpenAPI().Components.Schemas.Map()[name].Properties {
			if p.Nullable && len(p.Enum) > 0 {
				p.Enum = append(p.Enum, nil)
			}
		}
	}
}

// writes lets a request through when this server may write at all.
func (s *Server) writes(ctx huma.Context, next func(huma.Context)) {
	if s.operator != nil {
		next(ctx)
		return
	}
	_ = huma.WriteErr(s.api, ctx, http.StatusForbidden,
		"This server only reads. Whoever runs it lets it write with --operator-url (HYPERTICK_OPERATOR_URL): the database as hypertick_operator.")
}

// takesJSON lets a request through when it says that its body is JSON. A form
// of a foreign page cannot say so, and its script must ask first (see cors),
// so no page that a user visits can write here.
func (s *Server) takesJSON(ctx huma.Context, next func(huma.Context)) {
	given := ctx.Header("Content-Type")
	media, _, err := mime.ParseMediaType(given)
	if err == nil && (media == typeJSON || media == typeMergePatch && ctx.Method() == http.MethodPatch) {
		next(ctx)
		return
	}
	_ = huma.WriteErr(s.api, ctx, http.StatusUnsupportedMediaType, "The body must be JSON and say so.",
		&huma.ErrorDetail{Location: "header.Content-Type", Message: "want " + typeJSON, Value: clip(given)})
}

func (s *Server) createAlertRule(ctx context.Context, in *newAlertRuleInput) (*newAlertRuleOutput, error) {
	t := newTerms()
	t.Name, t.Condition = in.Body.Name, in.Body.Condition
	if err := in.Body.apply(&t); err != nil {
		return nil, err
	}
	out := &newAlertRuleOutput{}
	err := s.write(ctx, func(q *db.Queries) error {
		id, err := q.InsertAlertRule(ctx, db.InsertAlertRuleParams{
			Name: t.Name, Description: t.Description, Symbols: t.Symbols, Bar: t.Bar, Indicator: t.Indicator, Params: t.Params, Series: t.Series,
			Condition: t.Condition, Threshold: t.Threshold, Upper: t.Upper, AgainstIndicator: t.AgainstIndicator, AgainstParams: t.AgainstParams,
			AgainstSeries: t.AgainstSeries, Bars: t.Bars, CooldownUs: t.CooldownUs, Severity: t.Severity, Channels: t.Channels,
			NotifyResolved: t.NotifyResolved, Enabled: t.Enabled,
		})
		if err == nil {
			out.Body, err = findAlertRule(ctx, q, id)
		}
		return err
	})
	if err != nil {
		return nil, s.refusedRule(ctx, "write alert rule", &t, err)
	}
	out.ETag, out.Location = versionTag(out.Body.Version), fmt.Sprintf("/v1/alerts/rules/%d", out.Body.ID)
	return out, nil
}

func (s *Server) patchAlertRule(ctx context.Context, in *patchAlertRuleInput) (*alertRuleOutput, error) {
	out := &alertRuleOutput{}
	var t terms
	err := s.write(ctx, func(q *db.Queries) error {
		if err := in.lock(ctx, q, in.ID); err != nil {
			return err
		}
		rows, err := q.AlertRules(ctx, db.AlertRulesParams{ID: &in.ID})
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return unknownAlertRule(in.ID)
		}
		for name, f := range map[string]Field[string]{"name": in.Body.Name, "condition": in.Body.Condition} {
			if f.null {
				return invalid("body."+name, "want a value, got null", nil)
			}
		}
		before := termsOf(&rows[0])
		t = before
		set(in.Body.Name, &t.Name, t.Name)
		set(in.Body.Condition, &t.Condition, t.Condition)
		if err := in.Body.apply(&t); err != nil {
			return err
		}
		if !sameTerms(t, before) {
			if err := q.UpdateAlertRule(ctx, t); err != nil {
				return err
			}
		}
		out.Body, err = findAlertRule(ctx, q, in.ID)
		return err
	})
	if err != nil {
		return nil, s.refusedRule(ctx, "change alert rule", &t, err)
	}
	out.ETag = versionTag(out.Body.Version)
	return out, nil
}

func (s *Server) deleteAlertRule(ctx context.Context, in *deleteAlertRuleInput) (*struct{}, error) {
	err := s.write(ctx, func(q *db.Queries) error {
		if err := q.LockAlerts(ctx); err != nil {
			return err
		}
		if err := in.lock(ctx, q, in.ID); err != nil {
			return err
		}
		return q.DeleteAlertRule(ctx, in.ID)
	})
	if err != nil {
		return nil, s.failed(ctx, "delete alert rule", err)
	}
	return nil, nil
}

// lock keeps others from changing the rule until the transaction ends, and
// refuses when it is not the one the client knows.
func (m *IfMatch) lock(ctx context.Context, q *db.Queries, id int64) error {
	version, err := q.LockAlertRule(ctx, id)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return unknownAlertRule(id)
	case err != nil:
		return err
	case m.IfMatch == "":
		return nil
	}
	for tag := range strings.SplitSeq(m.IfMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == versionTag(version) {
			return nil
		}
	}
	return problem(http.StatusPreconditionFailed, fmt.Sprintf("The rule is at version %d by now. Read it again before you change it.", version),
		&huma.ErrorDetail{Location: "header.If-Match", Message: "want " + versionTag(version), Value: m.IfMatch})
}

// write runs f in a transaction as hypertick_operator.
func (s *Server) write(ctx context.Context, f func(*db.Queries) error) error {
	return pgx.BeginFunc(ctx, s.operator, func(tx pgx.Tx) error { return f(db.New(tx)) })
}

// sameTerms reports whether the terms of two rules are equal.
func sameTerms(a, b terms) bool {
	same := func(x, y []byte) bool {
		var p, q Params
		return json.Unmarshal(x, &p) == nil && json.Unmarshal(y, &q) == nil && reflect.DeepEqual(p, q)
	}
	if !same(a.Params, b.Params) || !same(a.AgainstParams, b.AgainstParams) {
		return false
	}
	a.Params, a.AgainstParams = b.Params, b.AgainstParams
	return reflect.DeepEqual(a, b)
}

func termsOf(r *db.AlertRulesRow) terms {
	return terms{
		ID: r.ID, Name: r.Name, Description: r.Description, Symbols: r.Symbols, Bar: r.Bar, Indicator: r.Indicator, Params: r.Params, Series: r.Series,
		Condition: r.Condition, Threshold: r.Threshold, Upper: r.Upper, AgainstIndicator: r.AgainstIndicator, AgainstParams: r.AgainstParams,
		AgainstSeries: r.AgainstSeries, Bars: r.Bars, CooldownUs: r.CooldownUs, Severity: r.Severity, Channels: r.Channels,
		NotifyResolved: r.NotifyResolved, Enabled: r.Enabled,
	}
}

// refusal is what the check of the database says: the column, and what was wanted.
var refusal = regexp.MustCompile(`(?s)^([a-z_]+): (?:([A-Za-z_][A-Za-z0-9_]*): )?(.+)$`)

// refusedRule is the answer to an error of a write. What the check of the
// database says is meant for the client.
func (s *Server) refusedRule(ctx context.Context, what string, t *terms, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return s.failed(ctx, what, err)
	}
	switch pg.Code {
	case "22023": // invalid_parameter_value
		if m := refusal.FindStringSubmatch(pg.Message); m != nil && alertColumns[m[1]] {
			location, message := "body."+m[1], m[3]
			if strings.HasSuffix(m[1], "params") && m[2] != "" && m[2] != "params" {
				location += "." + m[2]
			}
			return invalid(location, clipTo(message, 300), nil)
		}
	case "23505": // unique_violation
		return problem(http.StatusConflict, "There is another rule of that name.",
			&huma.ErrorDetail{Location: "body.name", Message: "want a name that no other rule has", Value: t.Name})
	case "22003", "22P02": // out of the range of its type, or no value of it
		return invalid("body.params", "a value is out of range", nil)
	}
	return s.failed(ctx, what, err)
}

// alertColumns are the fields of a rule that the check of the database names.
var alertColumns = func() map[string]bool {
	names := map[string]bool{}
	for _, t := range []reflect.Type{reflect.TypeFor[NewAlertRule](), reflect.TypeFor[AlertTerms]()} {
		for i := range t.NumField() {
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			names[name] = true
		}
	}
	return names
}()

package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
)

// AlertEvent is what a rule found.
type AlertEvent struct {
	ID        int64      `json:"id" doc:"Number of the event." example:"1042"`
	RuleID    int64      `json:"rule_id" doc:"Number of the rule, which may be gone." example:"7"`
	Rule      string     `json:"rule" doc:"Name of the rule then." example:"volume-spike"`
	Severity  string     `json:"severity" enum:"info,warning,critical" doc:"Severity of the rule then." example:"info"`
	Symbol    string     `json:"symbol" doc:"Symbol; for condition fails, the part of the pipeline." example:"AAPL"`
	Interval  *string    `json:"interval" nullable:"true" doc:"Interval of the bar; null for condition fails." example:"1m"`
	Bar       time.Time  `json:"bar" doc:"Start of the first bar on which the condition held, UTC." example:"2026-11-24T15:30:00Z"`
	Opened    time.Time  `json:"opened" doc:"When it was found, UTC." example:"2026-11-24T15:31:05Z"`
	Resolved  *time.Time `json:"resolved" nullable:"true" doc:"End of the first bar on which the condition no longer held; null while it fires." example:"2026-11-24T15:32:00Z"`
	Value     *float64   `json:"value" nullable:"true" doc:"Value of the series; for changes, rises and falls the change in percent." example:"6.2"`
	Threshold *float64   `json:"threshold" nullable:"true" doc:"What it was compared with." example:"4"`
	Message   string     `json:"message" doc:"One sentence about it." example:"AAPL 1m: volume_spike ratio 6.2 is above 4"`
	State     string     `json:"state" enum:"firing,resolved,retracted" doc:"firing; resolved; or retracted: the bar has changed, or is gone, and the condition does not hold on it." example:"firing"`
	Late      bool       `json:"late" doc:"Found on a bar that had been looked at before, after it changed." example:"false"`
	Revision  int32      `json:"revision" doc:"How often late ticks changed it." example:"0"`
	Changed   time.Time  `json:"changed" doc:"When it last changed, UTC." example:"2026-11-24T15:31:05Z"`
	ChangeID  int64      `json:"change_id" doc:"Rises with every change of any event: of two copies of an event the higher one is newer." example:"1107"`
}

// alertEventColumns are the fields of AlertEvent, in the order of the query.
var alertEventColumns = []column{
	{"id", kindInt}, {"rule_id", kindInt}, {"rule", kindText}, {"severity", kindText}, {"symbol", kindText}, {"interval", kindText},
	{"bar", kindTime}, {"opened", kindTime}, {"resolved", kindTime}, {"value", kindFloat}, {"threshold", kindFloat}, {"message", kindText},
	{"state", kindText}, {"late", kindBool}, {"revision", kindInt}, {"changed", kindTime}, {"change_id", kindInt},
}

const columnEventID, columnEventBar = 0, 6

// AlertChange is what an event said before its bar changed.
type AlertChange struct {
	Revision  int32      `json:"revision" doc:"The revision that said so." example:"0"`
	At        time.Time  `json:"at" doc:"Since when, UTC." example:"2026-11-24T15:31:05Z"`
	State     string     `json:"state" doc:"Its state then." example:"firing"`
	Value     *float64   `json:"value" nullable:"true" doc:"Its value then." example:"6.2"`
	Threshold *float64   `json:"threshold" nullable:"true" doc:"Its threshold then." example:"4"`
	Resolved  *time.Time `json:"resolved" nullable:"true" doc:"Its end then." example:"2026-11-24T15:32:00Z"`
	Message   string     `json:"message" doc:"Its message then." example:"AAPL 1m: volume_spike ratio 6.2 is above 4"`
}

// AlertEventHistory is an event with its history.
type AlertEventHistory struct {
	AlertEvent
	History []AlertChange `json:"history" nullable:"false" doc:"What it said before each revision, oldest first."`
}

// AlertEventFilters say which events.
type AlertEventFilters struct {
	Rule     string   `query:"rule" maxLength:"63" pattern:"^[a-z0-9][a-z0-9-]*$" doc:"Only of this rule: its number or its name. A rule that is gone is found by what it was." example:"volume-spike"`
	Symbol   []string `query:"symbol,explode" doc:"Only of these symbols, separated by commas; may be given several times, for up to 200. Without it, or with *: all. Write a comma in a symbol as \\, and a backslash as \\\\." example:"[\"AAPL,MSFT\"]"`
	Severity []string `query:"severity" enum:"info,warning,critical" doc:"Only of these severities, separated by commas." example:"warning,critical"`
	State    []string `query:"state" enum:"firing,resolved,retracted" doc:"Only in these states, separated by commas." example:"firing"`
}

type alertEventsInput struct {
	AlertEventFilters
	From   Time   `query:"from" doc:"Bars from this time on. RFC 3339; write the + of an offset as %2B." example:"2026-11-24T09:30:00Z"`
	To     Time   `query:"to" doc:"Bars before this time." example:"2026-11-24T16:00:00Z"`
	Limit  int    `query:"limit" minimum:"1" maximum:"5000" default:"100" doc:"Rows in a page." example:"50"`
	Cursor string `query:"cursor" maxLength:"16384" doc:"The next of the page before. The other parameters must be the same, or absent." example:"AYxgJ2t7ImsiOiJjYW5kbGVzIn0"`
	Conditions
}

type alertEventInput struct {
	ID int64 `path:"id" minimum:"1" maximum:"9223372036854775807" doc:"Number of the event." example:"1042"`
}

type alertEventOutput struct{ Body AlertEventHistory }

func (s *Server) registerAlertEvents() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-alert-events", Method: http.MethodGet, Path: "/v1/alerts/events", Tags: []string{"alerts"},
		Summary: "What alert rules found",
		Description: "Events, newest bar first. Each page begins after the last row of the previous one, so new events do not shift the rows. " +
			"An event changes when it is resolved, and when a late tick changes its bar: it is revised or retracted, and its history keeps what it said. " +
			"The stream sends each change at once.",
		Errors: tableErrors, Responses: tableResponses(pageSchema[AlertEvent](s.api, "AlertEvents")),
	}, s.alertEvents)
	huma.Register(s.api, huma.Operation{
		OperationID: "get-alert-event", Method: http.MethodGet, Path: "/v1/alerts/events/{id}", Tags: []string{"alerts"},
		Summary:     "An event of an alert rule",
		Description: "One event with its history.",
		Errors:      marketErrors,
	}, s.alertEvent)
}

func (s *Server) alertEvents(ctx context.Context, in *alertEventsInput) (*reply, error) {
	if err := in.choose(); err != nil {
		return nil, err
	}
	sp, filters, err := in.query()
	if err != nil {
		return nil, err
	}
	arg, err := filters.params()
	if err != nil {
		return nil, err
	}
	arg.FromTime, arg.ToTime, arg.MaxRows = sp.from, sp.to, int32(in.Limit)+1
	if sp.at != nil {
		arg.BeforeBar, arg.BeforeID = ptr(sp.at.time()), &sp.at.Seq
	}
	rows, err := s.queries.AlertEventRows(ctx, arg)
	t := newTable(alertEventColumns, in.Limit+1)
	if err == nil {
		err = t.read(rows)
	}
	if err != nil {
		return nil, s.failed(ctx, "read alert events", err)
	}
	if t.rows() == 0 && filters.Rule != "" && sp.at == nil {
		known, err := s.queries.AlertRuleNames(ctx, db.AlertRuleNamesParams{ID: arg.RuleID, Name: arg.Rule})
		switch {
		case err != nil:
			return nil, s.failed(ctx, "find alert rule", err)
		case !known:
			return nil, problem(http.StatusNotFound, "There is no alert rule "+filters.Rule+"; /v1/alerts/rules lists those there are.",
				&huma.ErrorDetail{Location: "query.rule", Message: "unknown rule", Value: filters.Rule})
		}
	}
	next := ""
	if t.rows() > in.Limit {
		t.keep(0, in.Limit)
		last := t.row(in.Limit - 1)
		next = sp.next(cursor{Kind: kindAlerts, Filters: filters.list()}, position{TS: t.micros(last[columnEventBar]), Seq: t.int(last[columnEventID])})
	}
	return s.reply(ctx, &in.Conditions, t, "/v1/alerts/events?limit="+strconv.Itoa(in.Limit)+"&", next, time.Time{})
}

// query is the range and the filters, of the parameters or else of the cursor.
func (in *alertEventsInput) query() (span, AlertEventFilters, error) {
	var sp span
	if in.From.set {
		sp.from = &in.From.Time
	}
	if in.To.set {
		sp.to = &in.To.Time
	}
	filters := in.AlertEventFilters
	var err error
	if everySymbol(filters.Symbol) {
		filters.Symbol = nil
	} else if filters.Symbol, err = symbolList("query.symbol", filters.Symbol, validPart, "want 1 to 100 bytes of printable text"); err != nil {
		return sp, filters, err
	}
	if in.Cursor != "" {
		refuse := func(message string) (span, AlertEventFilters, error) {
			return sp, filters, invalid("query.cursor", message, in.Cursor)
		}
		c, err := parseCursor(in.Cursor)
		switch given := filters.list(); {
		case err != nil:
			return refuse(err.Error())
		case c.Kind != kindAlerts || c.At == nil:
			return refuse("belongs to another resource, not to " + kindAlerts)
		case !sameBound(sp.from, c.From):
			return refuse("belongs to a query with another from")
		case !sameBound(sp.to, c.To):
			return refuse("belongs to a query with another to")
		case len(given) > 0 && !slices.Equal(given, c.Filters):
			return refuse("belongs to a query with other filters")
		}
		if filters, err = filtersOf(c.Filters); err != nil {
			return refuse(err.Error())
		}
		sp = span{from: fromMicros(c.From), to: fromMicros(c.To), at: c.At}
	}
	if sp.from != nil && sp.to != nil && !sp.from.Before(*sp.to) {
		return sp, filters, invalid("query.from", "want a time before to", sp.from.Format(time.RFC3339Nano))
	}
	return sp, filters, nil
}

// list is the filters as a cursor keeps them.
func (f *AlertEventFilters) list() []string {
	var out []string
	if f.Rule != "" {
		out = append(out, "rule="+f.Rule)
	}
	for name, values := range map[string][]string{"symbol": f.Symbol, "severity": f.Severity, "state": f.State} {
		for _, v := range values {
			out = append(out, name+"="+v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// filtersOf is the inverse of list.
func filtersOf(list []string) (AlertEventFilters, error) {
	var f AlertEventFilters
	for _, item := range list {
		name, v, _ := strings.Cut(item, "=")
		switch name {
		case "rule":
			f.Rule = v
		case "symbol":
			f.Symbol = append(f.Symbol, v)
		case "severity":
			f.Severity = append(f.Severity, v)
		case "state":
			f.State = append(f.State, v)
		default:
			return f, errCursor
		}
	}
	return f, nil
}

// params are the filters as the query takes them.
func (f *AlertEventFilters) params() (db.AlertEventsParams, error) {
	arg := db.AlertEventsParams{Symbols: f.Symbol, Severities: f.Severity, States: f.State}
	for _, v := range f.Symbol {
		if !validPart(v) { // only a made-up cursor can bring it
			return arg, invalid("query.cursor", errCursor.Error(), v)
		}
	}
	for _, v := range slices.Concat(f.Severity, f.State, []string{f.Rule}) {
		if !plain(v) { // only a made-up cursor can bring it
			return arg, invalid("query.cursor", errCursor.Error(), v)
		}
	}
	if id, err := strconv.ParseInt(f.Rule, 10, 64); err == nil {
		arg.RuleID = &id
	} else if f.Rule != "" {
		arg.Rule = &f.Rule
	}
	return arg, nil
}

// validPart reports whether s can be the symbol of an event, or else the part of the pipeline.
func validPart(s string) bool { return s != "" && len(s) <= 100 && printable(s) }

func (s *Server) alertEvent(ctx context.Context, in *alertEventInput) (*alertEventOutput, error) {
	r, err := s.queries.AlertEvent(ctx, in.ID)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, problem(http.StatusNotFound, "There is no alert event "+strconv.FormatInt(in.ID, 10)+"; /v1/alerts/events lists those there are.",
			&huma.ErrorDetail{Location: "path.id", Message: "unknown event", Value: in.ID})
	}
	out := &alertEventOutput{Body: AlertEventHistory{AlertEvent: AlertEvent{
		ID: r.ID, RuleID: r.RuleID, Rule: r.Rule, Severity: r.Severity, Symbol: r.Symbol, Interval: r.BarInterval, Bar: r.Bar.UTC(), Opened: r.Opened.UTC(),
		Resolved: inUTC(r.Resolved), Value: r.Value, Threshold: r.Threshold, Message: r.Message, State: r.State, Late: r.Late, Revision: r.Revision,
		Changed: r.Changed.UTC(), ChangeID: r.ChangeID,
	}}}
	if err == nil {
		err = json.Unmarshal(r.History, &out.Body.History)
	}
	if err != nil {
		return nil, s.failed(ctx, "read alert event", err)
	}
	// The database writes times in the session's zone.
	for i := range out.Body.History {
		h := &out.Body.History[i]
		h.At, h.Resolved = h.At.UTC(), inUTC(h.Resolved)
	}
	return out, nil
}

func inUTC(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	return ptr(t.UTC())
}

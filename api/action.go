package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/instrument"
)

// Action is a corporate action.
type Action struct {
	ID       int64      `json:"id" doc:"Number of the action." example:"12"`
	Symbol   string     `json:"symbol" doc:"Symbol." example:"AAPL"`
	Kind     string     `json:"kind" enum:"split,dividend" doc:"What it is." example:"split"`
	ExDate   string     `json:"ex_date" format:"date" doc:"First trading day without it." example:"2020-08-31"`
	Ratio    *float64   `json:"ratio" nullable:"true" doc:"Of a split: new shares for an old one; 0.1 where ten become one." example:"4"`
	Cash     *float64   `json:"cash" nullable:"true" doc:"Of a dividend: what is paid for a share." example:"0.82"`
	KnownAt  time.Time  `json:"known_at" doc:"When it was entered here, UTC." example:"2026-11-24T15:30:00Z"`
	UndoneAt *time.Time `json:"undone_at" nullable:"true" doc:"When it was undone or replaced, UTC; null while it is in force." example:"2026-11-24T16:30:00Z"`
	Source   string     `json:"source" doc:"Where it comes from." example:"api"`
}

// NewAction is a corporate action to add.
type NewAction struct {
	Symbol string   `json:"symbol" minLength:"1" maxLength:"64" doc:"Symbol." example:"AAPL"`
	Kind   string   `json:"kind" enum:"split,dividend" doc:"What it is." example:"split"`
	ExDate string   `json:"ex_date" format:"date" doc:"First trading day without it." example:"2020-08-31"`
	Ratio  *float64 `json:"ratio,omitempty" exclusiveMinimum:"0" doc:"Of a split: new shares for an old one; 0.1 where ten become one." example:"4"`
	Cash   *float64 `json:"cash,omitempty" exclusiveMinimum:"0" doc:"Of a dividend: what is paid for a share."`
	Source string   `json:"source,omitempty" maxLength:"200" default:"api" doc:"Where it comes from." example:"api"`
}

type actionsInput struct {
	Symbol string `query:"symbol" maxLength:"64" doc:"Only of this symbol." example:"AAPL"`
	From   Date   `query:"from" doc:"Ex-dates from this day on." example:"2020-01-01"`
	To     Date   `query:"to" doc:"Ex-dates before this day." example:"2021-01-01"`
	AsOf   Time   `query:"as_of" doc:"Those in force at this time, as far as was known here then. Without it, those in force now." example:"2026-11-24T16:00:00Z"`
	Limit  int    `query:"limit" minimum:"1" maximum:"5000" default:"500" doc:"Rows in a page." example:"100"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"The next of the page before. The other parameters must be the same, or absent." example:"AYxgJ2t7ImsiOiJjYW5kbGVzIn0"`
}

type actionsOutput struct{ Body page[Action] }

type newActionInput struct{ Body NewAction }

type newActionOutput struct {
	Status int
	Body   Action
}

type actionInput struct {
	ID int64 `path:"id" minimum:"1" maximum:"9223372036854775807" doc:"Number of the action." example:"12"`
}

func (s *Server) registerActions() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-actions", Method: http.MethodGet, Path: "/v1/actions", Tags: []string{"market"},
		Summary:     "Corporate actions",
		Description: "Splits and dividends, the newest ex-date first. Bars are as they were traded: they are not adjusted yet.",
		Errors:      marketErrors[1:],
	}, s.actions)
	huma.Register(s.api, huma.Operation{
		OperationID: "add-action", Method: http.MethodPost, Path: "/v1/actions", Tags: []string{"market"},
		Summary: "Add a corporate action",
		Description: "It is known from then on. One that is in force already is answered with status 200. One of the same symbol, kind and day " +
			"that differs is undone and replaced: what was known before can still be asked for with as_of.",
		DefaultStatus: http.StatusCreated,
		Errors:        slices.DeleteFunc(writeErrors(http.StatusUnsupportedMediaType), func(e int) bool { return e == http.StatusNotFound }),
		Responses: map[string]*huma.Response{"200": {Description: "It is in force already.", Content: map[string]*huma.MediaType{
			typeJSON: {Schema: &huma.Schema{Ref: "#/components/schemas/Action"}},
		}}},
		Middlewares: huma.Middlewares{s.takesJSON, s.writes},
	}, s.addAction)
	huma.Register(s.api, huma.Operation{
		OperationID: "undo-action", Method: http.MethodDelete, Path: "/v1/actions/{id}", Tags: []string{"market"},
		Summary:       "Undo a corporate action",
		Description:   "It is in force no more; as_of still finds it at times before.",
		DefaultStatus: http.StatusNoContent,
		Errors:        writeErrors(),
		Middlewares:   huma.Middlewares{s.writes},
	}, s.undoAction)
}

func (s *Server) actions(ctx context.Context, in *actionsInput) (*actionsOutput, error) {
	if in.Symbol != "" && !feed.ValidSymbol(in.Symbol) {
		return nil, invalid("query.symbol", wantSymbol, in.Symbol)
	}
	q := RangeQuery{Cursor: in.Cursor}
	for _, bound := range []struct {
		day Date
		to  *Time
	}{{in.From, &q.From}, {in.To, &q.To}} {
		if bound.day.Valid {
			*bound.to = Time{bound.day.Time, true}
		}
	}
	// The cursor holds the symbol and the time of the query too.
	symbol, asOf := in.Symbol, in.AsOf
	if c, err := parseCursor(in.Cursor); err == nil && in.Cursor != "" {
		if symbol == "" {
			symbol = c.Symbol
		}
		if c.Text != nil {
			known := Time{set: true}
			if known.Time, err = time.Parse(time.RFC3339Nano, *c.Text); err != nil {
				return nil, invalid("query.cursor", errCursor.Error(), in.Cursor)
			}
			if asOf.set && !asOf.Equal(known.Time) {
				return nil, invalid("query.cursor", "belongs to a query with another as_of", in.Cursor)
			}
			asOf = known
		} else if asOf.set {
			return nil, invalid("query.cursor", "belongs to a query without as_of", in.Cursor)
		}
	}
	sp, err := q.span(kindActions, symbol, "")
	if err != nil {
		return nil, err
	}
	arg := db.CorporateActionsParams{MaxRows: int32(in.Limit) + 1}
	if symbol != "" {
		arg.Symbol = &symbol
	}
	if sp.from != nil {
		arg.FromDay = instrument.Day(*sp.from)
	}
	if sp.to != nil {
		arg.ToDay = instrument.Day(*sp.to)
	}
	if asOf.set {
		arg.AsOf = &asOf.Time
	}
	if sp.at != nil {
		arg.BeforeDay, arg.BeforeID = instrument.Day(sp.at.time()), &sp.at.Seq
	}
	rows, err := s.queries.CorporateActions(ctx, arg)
	if err != nil {
		return nil, s.failed(ctx, "read corporate actions", err)
	}
	out := &actionsOutput{}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		last := rows[in.Limit-1]
		c := cursor{Kind: kindActions, Symbol: symbol}
		if asOf.set {
			c.Text = ptr(asOf.Format(time.RFC3339Nano))
		}
		out.Body.Next = sp.next(c, position{TS: last.ExDate.Time.UnixMicro(), Seq: last.ID})
	}
	out.Body.Data = make([]Action, len(rows))
	for i := range rows {
		out.Body.Data[i] = actionOf(&rows[i])
	}
	return out, nil
}

func actionOf(r *db.CorporateAction) Action {
	a := Action{ID: r.ID, Symbol: r.Symbol, Kind: r.Kind, ExDate: r.ExDate.Time.Format(time.DateOnly), Ratio: r.Ratio, Cash: r.Cash, KnownAt: r.KnownAt.UTC(), Source: r.Source}
	if r.UndoneAt != nil {
		a.UndoneAt = ptr(r.UndoneAt.UTC())
	}
	return a
}

func (s *Server) addAction(ctx context.Context, in *newActionInput) (*newActionOutput, error) {
	number := func(v *float64) string {
		if v == nil {
			return ""
		}
		return strconv.FormatFloat(*v, 'g', -1, 64)
	}
	if !printable(in.Body.Source) {
		return nil, invalid("body.source", "want printable text", in.Body.Source)
	}
	a, bad := instrument.ParseAction(in.Body.Symbol, in.Body.Kind, in.Body.ExDate, number(in.Body.Ratio), number(in.Body.Cash))
	if len(bad) > 0 {
		return nil, refusedField(bad[0])
	}
	out := &newActionOutput{Status: http.StatusCreated}
	err := s.write(ctx, func(q *db.Queries) error {
		done, err := instrument.Store(ctx, q, []instrument.Action{a}, in.Body.Source)
		if err != nil {
			return err
		}
		if len(done.IDs) == 0 {
			out.Status = http.StatusOK
		}
		rows, err := q.CorporateActions(ctx, db.CorporateActionsParams{
			Symbol: &a.Symbol, FromDay: instrument.Day(a.ExDate), ToDay: instrument.Day(a.ExDate.AddDate(0, 0, 1)), MaxRows: 2,
		})
		for i := range rows {
			if rows[i].Kind == a.Kind {
				out.Body = actionOf(&rows[i])
			}
		}
		return err
	})
	if err != nil {
		return nil, s.failed(ctx, "add corporate action", err)
	}
	return out, nil
}

func (s *Server) undoAction(ctx context.Context, in *actionInput) (*struct{}, error) {
	err := s.write(ctx, func(q *db.Queries) error {
		undone, err := instrument.Undo(ctx, q, in.ID)
		if err != nil || undone {
			return err
		}
		// A second DELETE finds what it asked for.
		if _, err = q.FindAction(ctx, in.ID); errors.Is(err, pgx.ErrNoRows) {
			return problem(http.StatusNotFound, fmt.Sprintf("There is no corporate action %d; /v1/actions lists those there are.", in.ID),
				&huma.ErrorDetail{Location: "path.id", Message: "unknown action", Value: in.ID})
		}
		return err
	})
	if err != nil {
		return nil, s.failed(ctx, "undo corporate action", err)
	}
	return nil, nil
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
)

// Calendar is the hours of one exchange.
type Calendar struct {
	Calendar string `json:"calendar" doc:"Name: market identifier code where there is one." example:"XNYS"`
	Name     string `json:"name" doc:"What people call it." example:"New York Stock Exchange"`
	Zone     string `json:"zone" doc:"IANA time zone of its hours." example:"America/New_York"`
	FirstDay string `json:"first_day" format:"date" doc:"First day that it knows." example:"1990-01-01"`
	LastDay  string `json:"last_day" format:"date" doc:"Last day that it knows; later days have no session." example:"2035-12-31"`
}

// Session is one trading day.
type Session struct {
	Day        string     `json:"day" format:"date" doc:"The trading day." example:"2024-11-29"`
	Opens      time.Time  `json:"opens" doc:"Start of the regular session." example:"2024-11-29T14:30:00Z"`
	Closes     time.Time  `json:"closes" doc:"End of the regular session, exclusive." example:"2024-11-29T18:00:00Z"`
	BreakStart *time.Time `json:"break_start,omitempty" doc:"Start of the break. Absent: none."`
	BreakEnd   *time.Time `json:"break_end,omitempty" doc:"End of the break. Absent: none."`
	PreOpens   time.Time  `json:"pre_opens" doc:"Start of extended hours; opens where there are none." example:"2024-11-29T09:00:00Z"`
	PostCloses time.Time  `json:"post_closes" doc:"End of extended hours; closes where there are none." example:"2024-11-29T22:00:00Z"`
	Kind       string     `json:"kind" enum:"regular,early_close,late_open,special" doc:"How it differs from regular sessions." example:"early_close"`
}

// maxSessionDays bounds an answer: two years.
const maxSessionDays = 732

type calendarsOutput struct{ Body page[Calendar] }

type sessionsInput struct {
	Calendar string `path:"calendar" maxLength:"16" doc:"Name of a calendar, one of /v1/calendars." example:"XNYS"`
	From     Date   `query:"from" required:"true" doc:"First day." example:"2024-11-25"`
	To       Date   `query:"to" required:"true" doc:"Last day, inclusive; at most two years after the first." example:"2024-11-29"`
}

type sessionsOutput struct{ Body page[Session] }

func (s *Server) registerCalendars() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-calendars", Method: http.MethodGet, Path: "/v1/calendars", Tags: []string{"market"},
		Summary:     "Trading calendars",
		Description: "The trading calendars by name. 24x7 has no sessions: its day is the UTC day.",
		Errors:      marketErrors[1:],
	}, s.calendars)
	huma.Register(s.api, huma.Operation{
		OperationID: "list-sessions", Method: http.MethodGet, Path: "/v1/calendars/{calendar}/sessions", Tags: []string{"market"},
		Summary:     "Sessions of a calendar",
		Description: "The sessions of a range of days, oldest first, with early closes, breaks and daylight saving time. A day without one is closed.",
		Errors:      marketErrors,
	}, s.sessions)
}

func (s *Server) calendars(ctx context.Context, _ *struct{}) (*calendarsOutput, error) {
	rows, err := s.queries.Calendars(ctx)
	if err != nil {
		return nil, s.failed(ctx, "read calendars", err)
	}
	out := &calendarsOutput{}
	out.Body.Data = make([]Calendar, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = Calendar{Calendar: r.Calendar, Name: r.Name, Zone: r.Zone, FirstDay: r.FirstDay, LastDay: r.LastDay}
	}
	return out, nil
}

func (s *Server) sessions(ctx context.Context, in *sessionsInput) (*sessionsOutput, error) {
	switch days := in.To.Time.Sub(in.From.Time).Hours() / 24; {
	case days < 0:
		return nil, invalid("query.to", "want a day from "+in.From.Time.Format(time.DateOnly)+" on", in.To.Time.Format(time.DateOnly))
	case days > maxSessionDays:
		return nil, invalid("query.to", "want at most two years after from", in.To.Time.Format(time.DateOnly))
	}
	known, err := s.queries.Calendars(ctx)
	if err != nil {
		return nil, s.failed(ctx, "read calendars", err)
	}
	found := false
	for _, c := range known {
		found = found || c.Calendar == in.Calendar
	}
	if !found {
		return nil, problem(http.StatusNotFound, "There is no calendar "+clip(in.Calendar)+"; /v1/calendars lists those there are.",
			&huma.ErrorDetail{Location: "path.calendar", Message: "unknown calendar", Value: in.Calendar})
	}
	rows, err := s.queries.Sessions(ctx, db.SessionsParams{
		Calendar: in.Calendar, FromDay: pgtype.Date{Time: in.From.Time, Valid: true}, ToDay: pgtype.Date{Time: in.To.Time, Valid: true},
	})
	if err != nil {
		return nil, s.failed(ctx, "read sessions", err)
	}
	out := &sessionsOutput{}
	out.Body.Data = make([]Session, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = Session{
			Day: r.Day, Opens: r.Opens.UTC(), Closes: r.Closes.UTC(), BreakStart: r.BreakStart, BreakEnd: r.BreakEnd,
			PreOpens: r.PreOpens.UTC(), PostCloses: r.PostCloses.UTC(), Kind: r.Kind,
		}
		if r.BreakStart != nil {
			start, end := r.BreakStart.UTC(), r.BreakEnd.UTC()
			out.Body.Data[i].BreakStart, out.Body.Data[i].BreakEnd = &start, &end
		}
	}
	return out, nil
}

package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/interval"
)

// Interval is one length of bars.
type Interval struct {
	Interval     string `json:"interval" doc:"Name, for the parameter interval." example:"1m"`
	Seconds      int64  `json:"seconds" doc:"Length of a bar in seconds; 0 where it is in months." example:"60"`
	Months       int32  `json:"months" doc:"Length of a bar in calendar months; 0 where it is in seconds." example:"0"`
	Materialized bool   `json:"materialized" doc:"Whether its bars are stored. If not, they are rolled up when they are read." example:"true"`
}

type intervalsOutput struct{ Body page[Interval] }

func (s *Server) registerIntervals() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-intervals", Method: http.MethodGet, Path: "/v1/intervals", Tags: []string{"market"},
		Summary: "Intervals",
		Description: "The intervals of bars that the database lists, shortest first. Any other number of s, m, h, d, w, mo or y up to ten years, " +
			"such as 90m, is taken too; seconds must divide a minute. Bars begin at multiples of their length from Monday 2000-01-03 UTC, " +
			"those in months and years from January 2000.",
		Errors: marketErrors[1:],
	}, s.intervals)
}

func (s *Server) intervals(ctx context.Context, _ *struct{}) (*intervalsOutput, error) {
	rows, err := s.queries.Intervals(ctx)
	if err != nil {
		return nil, s.failed(ctx, "read intervals", err)
	}
	out := &intervalsOutput{}
	out.Body.Data = make([]Interval, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = Interval{Interval: r.Name, Months: r.Months, Materialized: r.Materialized}
		if r.Months == 0 {
			out.Body.Data[i].Seconds = r.Seconds
		}
	}
	return out, nil
}

// IntervalName is a parameter that names an interval. Exported as SymbolPath is.
type IntervalName string

// Schema describes it in the OpenAPI document. The pattern is an extension, which
// is published but not enforced: the server's own refusal lists the intervals
// there are.
func (IntervalName) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Extensions: map[string]any{"pattern": interval.Pattern}}
}

// IntervalQuery is the length of bars. Exported as SymbolPath is.
type IntervalQuery struct {
	Interval IntervalName `query:"interval" default:"1m" doc:"Length of a bar: one of /v1/intervals, or any number of s, m, h, d, w, mo or y such as 90m." example:"5m"`
}

// width is how long bars of an interval are. Where it is none, the error names
// the parameter and what there is.
func (s *Server) width(ctx context.Context, location string, name IntervalName) (interval.Width, error) {
	w, err := interval.Parse(clip(string(name)))
	if err == nil {
		return w, nil
	}
	message := strings.TrimPrefix(err.Error(), "interval: ")
	if rows, err := s.queries.Intervals(ctx); err == nil {
		names := make([]string, len(rows))
		for i, r := range rows {
			names[i] = r.Name
		}
		message = "want one of " + strings.Join(names, ", ") + ", or " + strings.TrimPrefix(message, "want ")
	}
	return w, invalid(location, message, string(name))
}

package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// readyTimeout is short: who asks wants to know about now.
const readyTimeout = 2 * time.Second

type statusOutput struct {
	Body struct {
		Status string `json:"status" enum:"ok" doc:"Always ok; anything else is an error." example:"ok"`
	}
}

type indexOutput struct {
	Body struct {
		Name  string   `json:"name" doc:"Name of the program."`
		Paths []string `json:"paths" nullable:"false" doc:"Where there is something to read."`
	}
}

func (s *Server) registerHealth() {
	huma.Register(s.api, huma.Operation{
		OperationID: "livez", Method: http.MethodGet, Path: "/livez", Tags: []string{"health"},
		Summary: "Is the server alive?", Description: "Answers as long as the process serves requests.",
	}, func(context.Context, *struct{}) (*statusOutput, error) { return ok(), nil })

	huma.Register(s.api, huma.Operation{
		OperationID: "readyz", Method: http.MethodGet, Path: "/readyz", Tags: []string{"health"},
		Summary: "Is the server ready?", Description: "Answers when the database answers and has been migrated.",
		Errors: []int{http.StatusServiceUnavailable},
	}, func(ctx context.Context, _ *struct{}) (*statusOutput, error) {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		if _, err := s.queries.Ready(ctx); err != nil {
			_ = s.failed(ctx, "check readiness", err)
			return nil, unavailable("The database does not answer or has not been migrated.")
		}
		return ok(), nil
	})

	huma.Register(s.api, huma.Operation{OperationID: "index", Method: http.MethodGet, Path: "/", Hidden: true},
		func(context.Context, *struct{}) (*indexOutput, error) {
			out := &indexOutput{}
			out.Body.Name = "hypertick"
			out.Body.Paths = []string{
				"/v1/symbols", "/v1/symbols/{symbol}/candles", "/v1/symbols/{symbol}/ticks", "/v1/symbols/{symbol}/snapshot",
				"/v1/indicators", "/v1/symbols/{symbol}/indicators/{name}", "/v1/screener", "/v1/alerts/rules", "/v1/alerts/events", "/v1/pipeline",
				"/livez", "/readyz", "/openapi.json",
			}
			return out, nil
		})
}

func ok() *statusOutput {
	out := &statusOutput{}
	out.Body.Status = "ok"
	return out
}

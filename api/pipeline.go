package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// Part is one part of the pipeline.
type Part struct {
	Component string   `json:"component" doc:"What it is: database, broker, topic, ingest, feed, dead letters, quality, candles, blocks, job, verify, alerts, notify, outbox or api." example:"ingest"`
	Part      string   `json:"part" doc:"Which one of them: an instance, an interval, a job. Empty where there is one." example:"desk-1:9464"`
	State     string   `json:"state" enum:"ok,warning,failed" doc:"Its state." example:"ok"`
	Seconds   *float64 `json:"seconds" nullable:"true" doc:"Age of its last heartbeat, or how far it is behind." example:"0.4"`
	Detail    string   `json:"detail" doc:"A summary in words." example:"1 members, 8 partitions, 0 records behind"`
	Error     *string  `json:"error" nullable:"true" doc:"Its last error, while it matters." example:"broker: connection refused"`
	Action    *string  `json:"action" nullable:"true" doc:"What to do about it." example:"Start it: hypertick ingest resumes where it stopped."`
}

// Pipeline is the state of every part.
type Pipeline struct {
	State string    `json:"state" enum:"ok,warning,failed" doc:"The worst of the states below." example:"ok"`
	Time  time.Time `json:"time" doc:"When it was looked at, UTC." example:"2026-11-24T19:00:00.123456Z"`
	Data  []Part    `json:"data" nullable:"false" doc:"Every part, in the order in which ticks pass through them."`
}

type pipelineOutput struct {
	CacheControl string `header:"Cache-Control"`
	Body         Pipeline
}

func (s *Server) registerPipeline() {
	huma.Register(s.api, huma.Operation{
		OperationID: "get-pipeline", Method: http.MethodGet, Path: "/v1/pipeline", Tags: []string{"health"},
		Summary: "State of the pipeline",
		Description: "State, lag or age, last error and what to do, for the database, the broker as ingest sees it, ingest, the feed, candles and blocks of each interval, " +
			"every job, alerts, notifiers and this API. The status is 200 whatever the states are; a database that does not answer is a part that has failed.",
		Errors: []int{http.StatusInternalServerError},
	}, s.pipeline)
}

// pipelineTimeout is below what a status may be late by.
const pipelineTimeout = 4 * time.Second

func (s *Server) pipeline(ctx context.Context, _ *struct{}) (*pipelineOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, pipelineTimeout)
	defer cancel()
	out := &pipelineOutput{CacheControl: "no-store"}
	out.Body.Time = time.Now().UTC()
	rows, err := s.queries.Pipeline(ctx)
	if err != nil {
		_ = s.failed(ctx, "read pipeline", err)
		rows = []db.PipelineRow{{
			Component: "database", State: "failed", Detail: "does not answer, or has not been migrated", Action: "Start it; the rest recovers by itself when it answers.",
		}}
	}
	api := db.PipelineRow{Component: "api", State: "ok", Detail: "answers"}
	if err == nil {
		if traffic, err := s.queries.APITraffic(ctx); err == nil && traffic != "" {
			api.Detail += ", " + traffic
		}
	}
	rows = append(rows, api)
	out.Body.State = "ok"
	for _, r := range rows {
		p := Part{Component: r.Component, Part: r.Part, State: r.State, Seconds: r.Seconds, Detail: r.Detail}
		if r.Error != "" {
			p.Error = &r.Error
		}
		if r.Action != "" {
			p.Action = &r.Action
		}
		if p.State == "failed" || p.State == "warning" && out.Body.State == "ok" {
			out.Body.State = p.State
		}
		out.Body.Data = append(out.Body.Data, p)
	}
	return out, nil
}

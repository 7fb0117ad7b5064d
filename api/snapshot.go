package api

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// Snapshot is what is known of a symbol now.
type Snapshot struct {
	Symbol     string              `json:"symbol" doc:"Symbol." example:"AAPL"`
	Tick       *Tick               `json:"tick,omitempty" doc:"The newest tick. Absent before there is one."`
	Candle     *Candle             `json:"candle,omitempty" doc:"The newest bar. Absent before there is one."`
	Forming    bool                `json:"forming" doc:"Whether that bar is not over yet." example:"true"`
	Day        *Day                `json:"day,omitempty" doc:"The UTC day the symbol last traded on. Absent before there is one."`
	Indicators map[string]*float64 `json:"indicators" nullable:"false" doc:"Indicators on the newest bar, under the names of the screener's columns; null where there is no value." example:"{\"rsi_14\":61.8}"`
}

// Day is a UTC day of a symbol.
type Day struct {
	Bucket         time.Time `json:"bucket" doc:"Start of the day, UTC." example:"2026-11-24T00:00:00Z"`
	Open           float64   `json:"open" doc:"First price." example:"187.2"`
	High           float64   `json:"high" doc:"Highest price." example:"190.02"`
	Low            float64   `json:"low" doc:"Lowest price." example:"186.9"`
	Close          float64   `json:"close" doc:"Last price." example:"189.44"`
	Volume         float64   `json:"volume" doc:"Sum of sizes." example:"2840000"`
	PreviousClose  *float64  `json:"previous_close" nullable:"true" doc:"Close of the day before it that has one." example:"187.1"`
	Change         *float64  `json:"change" nullable:"true" doc:"Close less previous close." example:"2.34"`
	ChangeFraction *float64  `json:"change_fraction" nullable:"true" doc:"Change over previous close." example:"0.0125"`
}

type snapshotInput struct {
	SymbolPath
	IntervalQuery
	IfNoneMatch string `header:"If-None-Match" doc:"ETags of copies the client has; 304 when one of them is still right." example:"\"q3Zl2nXk0Ww7yQbJ1uVb8A\""`
}

func (s *Server) registerSnapshot() {
	huma.Register(s.api, huma.Operation{
		OperationID: "get-snapshot", Method: http.MethodGet, Path: "/v1/symbols/{symbol}/snapshot", Tags: []string{"market"},
		Summary:     "All about a symbol, now",
		Description: "The newest tick and bar, the day with its change, and the indicators of the screener, of one moment: one query reads it all.",
		Errors:      marketErrors,
		Responses: map[string]*huma.Response{
			"200": {Description: "The snapshot.", Content: map[string]*huma.MediaType{typeJSON: {Schema: schemaOf[Snapshot](s.api, "Snapshot")}}},
			"304": {Description: "The copy the client has is still right."},
		},
	}, s.snapshot)
}

func (s *Server) snapshot(ctx context.Context, in *snapshotInput) (*reply, error) {
	width, err := s.width(ctx, "query.interval", in.Interval)
	if err != nil {
		return nil, err
	}
	raw, err := s.queries.Snapshot(ctx, db.SnapshotParams{Symbol: string(in.Symbol), Bar: string(in.Interval)})
	if err != nil {
		return nil, s.failed(ctx, "read snapshot", err)
	}
	snap := Snapshot{Symbol: string(in.Symbol)}
	if err := json.Unmarshal(raw, &snap); err != nil {
		return nil, s.failed(ctx, "read snapshot", err)
	}
	if snap.Candle == nil {
		if err := s.knowSymbol(ctx, string(in.Symbol)); err != nil {
			return nil, err
		}
	}
	if snap.Indicators == nil {
		snap.Indicators = map[string]*float64{}
	}
	// The database writes times in the session's zone.
	if snap.Tick != nil {
		snap.Tick.TS = snap.Tick.TS.UTC()
	}
	if snap.Candle != nil {
		snap.Candle.Bucket = snap.Candle.Bucket.UTC()
		snap.Forming = width.End(snap.Candle.Bucket).After(time.Now())
	}
	if snap.Day != nil {
		snap.Day.Bucket = snap.Day.Bucket.UTC()
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(snap); err != nil {
		return nil, s.failed(ctx, "write snapshot", err)
	}
	out := &reply{ContentType: typeJSON, Body: body.Bytes()}
	out.validate(in.IfNoneMatch, time.Time{})
	return out, nil
}

package api

import (
	"context"
	"math"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// Candle is one bar.
type Candle struct {
	Bucket time.Time `json:"bucket" doc:"Start of the bar, UTC." example:"2026-11-24T15:30:00Z"`
	Open   float64   `json:"open" doc:"First price." example:"189.37"`
	High   float64   `json:"high" doc:"Highest price." example:"189.61"`
	Low    float64   `json:"low" doc:"Lowest price." example:"189.12"`
	Close  float64   `json:"close" doc:"Last price." example:"189.44"`
	Volume float64   `json:"volume" doc:"Sum of sizes." example:"12400"`
	VWAP   *float64  `json:"vwap" nullable:"true" doc:"Price weighted by size; null when the volume is 0." example:"189.402"`
	Trades int64     `json:"trades" doc:"Number of ticks." example:"117"`
}

type candlesInput struct {
	SymbolPath
	Interval string `query:"interval" enum:"1m,5m,15m,1h,1d" default:"1m" doc:"Length of a bar." example:"5m"`
	RangeQuery
}

type candlesOutput struct{ Body page[Candle] }

func (s *Server) registerCandles() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-candles", Method: http.MethodGet, Path: "/v1/symbols/{symbol}/candles", Tags: []string{"market"},
		Summary: "Candles of a symbol",
		Description: "Bars of one symbol, oldest first within a page, the forming bar included. There is no bar where nothing was traded. " +
			"A bar belongs to the range when its start does. Without from: the newest bars, and pages go back in time.",
		Errors: marketErrors,
	}, s.candles)
}

func (s *Server) candles(ctx context.Context, in *candlesInput) (*candlesOutput, error) {
	sp, err := in.span(kindCandles, in.Symbol, in.Interval)
	if err != nil {
		return nil, err
	}
	arg := db.CandlesParams{Symbol: in.Symbol, Bar: in.Interval, FromTime: sp.from, ToTime: sp.to}
	if sp.forward() {
		if sp.at != nil {
			after := sp.at.time().Add(time.Microsecond)
			arg.FromTime = &after
		}
		arg.MaxBars = new(int64)
		*arg.MaxBars = int64(in.Limit) + 1
	} else {
		if sp.at != nil {
			before := sp.at.time()
			arg.ToTime = &before
		}
		arg.FromTime, arg.MaxBars, arg.Warmup = arg.ToTime, new(int64), int32(in.Limit)+1
	}
	rows, err := s.queries.Candles(ctx, arg)
	if err != nil {
		return nil, s.failed(ctx, "read candles", err)
	}
	if len(rows) == 0 {
		if err := s.knowSymbol(ctx, in.Symbol); err != nil {
			return nil, err
		}
	}
	out := &candlesOutput{}
	more := len(rows) > in.Limit
	if more && sp.forward() {
		rows = rows[:in.Limit]
	} else if more {
		rows = rows[1:]
	}
	out.Body.Data = make([]Candle, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = Candle{r.Bucket.UTC(), r.Open, r.High, r.Low, r.Close, r.Volume, vwap(r.Notional, r.Volume), r.Trades}
	}
	if more {
		last := rows[0]
		if sp.forward() {
			last = rows[len(rows)-1]
		}
		out.Body.Next = sp.next(kindCandles, in.Symbol, in.Interval, position{TS: last.Bucket.UnixMicro()})
	}
	return out, nil
}

func vwap(notional, volume float64) *float64 {
	v := notional / volume
	if volume == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

// knowSymbol is nil when the symbol has ever been heard of. A page with rows
// needs no such question.
func (s *Server) knowSymbol(ctx context.Context, symbol string) error {
	known, err := s.queries.SymbolFeeds(ctx, symbol)
	if err != nil {
		return s.failed(ctx, "find symbol", err)
	}
	if known.Feeds > 0 {
		return nil
	}
	// Ticks that came by another way than ingest.
	bars, err := s.lastDays(ctx, []string{symbol})
	if err != nil {
		return s.failed(ctx, "find symbol", err)
	}
	if len(bars) == 0 {
		return unknownSymbol(symbol)
	}
	return nil
}

// lastDays is the newest daily bar of each symbol that has one.
func (s *Server) lastDays(ctx context.Context, symbols []string) (map[string]db.LastDaysRow, error) {
	if len(symbols) == 0 {
		return nil, nil
	}
	rows, err := s.queries.LastDays(ctx, symbols)
	if err != nil {
		return nil, err
	}
	out := make(map[string]db.LastDaysRow, len(rows))
	for _, r := range rows {
		out[r.Symbol] = r
	}
	return out, nil
}

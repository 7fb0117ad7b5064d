package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
)

// Candle is one bar.
type Candle struct {
	Bucket    time.Time `json:"bucket" doc:"Start of the bar, UTC." example:"2026-11-24T15:30:00Z"`
	Open      float64   `json:"open" doc:"First price." example:"189.37"`
	High      float64   `json:"high" doc:"Highest price." example:"189.61"`
	Low       float64   `json:"low" doc:"Lowest price." example:"189.12"`
	Close     float64   `json:"close" doc:"Last price." example:"189.44"`
	Volume    float64   `json:"volume" doc:"Sum of sizes." example:"12400"`
	BuyVolume *float64  `json:"buy_volume" nullable:"true" doc:"The part of volume whose buyer began the trade; null when no side is known." example:"7300"`
	VWAP      *float64  `json:"vwap" nullable:"true" doc:"Price weighted by size; null when the volume is 0." example:"189.402"`
	Trades    int64     `json:"trades" doc:"Number of ticks." example:"117"`
}

// candleColumns are the fields of Candle.
var candleColumns = []column{
	{"bucket", kindTime}, {"open", kindFloat}, {"high", kindFloat}, {"low", kindFloat}, {"close", kindFloat},
	{"volume", kindFloat}, {"buy_volume", kindFloat}, {"vwap", kindFloat}, {"trades", kindInt},
}

type candlesInput struct {
	SymbolPath
	IntervalQuery
	RangeQuery
	Conditions
}

func (s *Server) registerCandles() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-candles", Method: http.MethodGet, Path: "/v1/symbols/{symbol}/candles", Tags: []string{"market"},
		Summary: "Candles of a symbol",
		Description: "Bars of one symbol, oldest first within a page, the forming bar included. There is no bar where no trade moved the close. " +
			"A bar belongs to the range when its start does. Without from: the newest bars, and pages go back in time.",
		Errors: tableErrors, Responses: tableResponses(pageSchema[Candle](s.api, "Candles")),
	}, s.candles)
}

func (s *Server) candles(ctx context.Context, in *candlesInput) (*reply, error) {
	if err := in.choose(); err != nil {
		return nil, err
	}
	width, err := s.width(ctx, "query.interval", in.Interval)
	if err != nil {
		return nil, err
	}
	bar := string(in.Interval)
	sp, err := in.span(kindCandles, string(in.Symbol), bar)
	if err != nil {
		return nil, err
	}
	w := sp.bars(in.Limit)
	rows, err := s.queries.CandleRows(ctx, db.CandlesParams{
		Symbol: string(in.Symbol), Bar: bar, FromTime: w.from, ToTime: w.to, Warmup: w.warmup, MaxBars: w.max,
	})
	t := newTable(candleColumns, in.Limit+1)
	if err == nil {
		err = t.read(rows)
	}
	if err != nil {
		return nil, s.failed(ctx, "read candles", err)
	}
	if t.rows() == 0 {
		if err := s.knowSymbol(ctx, string(in.Symbol)); err != nil {
			return nil, err
		}
	}
	next, closed := sp.cut(t, in.Limit, width, cursor{Kind: kindCandles, Symbol: string(in.Symbol), Interval: bar})
	return s.reply(ctx, &in.Conditions, t, in.link("candles", bar, in.Limit), next, closed)
}

// bars is what the function candles of the database is asked for.
type bars struct {
	from, to *time.Time
	warmup   int32
	max      *int64
}

// bars asks for a page of bars and one more, which tells whether there is a
// next page. Bars counted back from an end are the warm-up of nothing.
func (s *span) bars(limit int) bars {
	b := bars{from: s.from, to: s.to}
	if s.forward() {
		if s.at != nil {
			after := s.at.time().Add(time.Microsecond)
			b.from = &after
		}
		b.max = ptr(int64(limit) + 1)
		return b
	}
	if s.at != nil {
		before := s.at.time()
		b.to = &before
	}
	b.from, b.max, b.warmup = b.to, new(int64), int32(limit)+1
	return b
}

// cut takes the bar beyond the page off the table, and gives the cursor after
// the page and the time it closed: when the last bar that belongs to it, there
// or not, was over.
func (s *span) cut(t *table, limit int, width interval.Width, c cursor) (next string, closed time.Time) {
	more := t.rows() > limit
	switch {
	case more && s.forward():
		t.keep(0, limit)
	case more:
		t.keep(t.rows()-limit, t.rows())
	}
	switch {
	case more && s.forward():
		closed = width.End(time.UnixMicro(t.micros(t.row(limit - 1)[0])))
	case !s.forward() && s.at != nil:
		// The bar before the position at the latest.
		closed = s.at.time()
	case s.to != nil:
		closed = width.End(width.Start(s.to.Add(-time.Microsecond)))
	}
	if !more {
		return "", closed
	}
	last := t.row(0)
	if s.forward() {
		last = t.row(t.rows() - 1)
	}
	return s.next(c, position{TS: t.micros(last[0])}), closed
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

package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// marketErrors are those any read of the database can end in.
var marketErrors = []int{
	http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusInternalServerError,
	http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// tableErrors are those of a read in several formats.
var tableErrors = slices.Concat([]int{http.StatusNotAcceptable}, marketErrors)

// recent is how far behind the page's newest symbol the last tick of another
// is looked up in ticks; beyond, its daily bar answers, at a cost that does
// not depend on how long ago it was.
const recent = 7 * 24 * time.Hour

// Symbol is one instrument.
type Symbol struct {
	Symbol    string    `json:"symbol" doc:"Symbol." example:"AAPL"`
	Name      *string   `json:"name" nullable:"true" doc:"What people call it; null when it is not known. /v1/instruments searches names." example:"Apple"`
	Venues    []string  `json:"venues" nullable:"false" doc:"Venues it was traded on." example:"[\"SIM\"]"`
	LastPrice *float64  `json:"last_price" nullable:"true" doc:"Price of the newest tick; null for the moment before that tick is stored." example:"189.37"`
	LastTS    time.Time `json:"last_ts" doc:"Time of the newest tick, UTC." example:"2026-11-24T19:00:00.123456Z"`
}

type symbolsInput struct {
	Q      string `query:"q" maxLength:"64" doc:"Only symbols that contain this; case does not matter." example:"BTC"`
	Limit  int    `query:"limit" minimum:"1" maximum:"5000" default:"500" doc:"Rows in a page." example:"100"`
	Cursor string `query:"cursor" maxLength:"4096" doc:"The next of the page before. The other parameters must be the same, or absent." example:"AYxgJ2t7ImsiOiJjYW5kbGVzIn0"`
}

type symbolsOutput struct{ Body page[Symbol] }

func (s *Server) registerSymbols() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-symbols", Method: http.MethodGet, Path: "/v1/symbols", Tags: []string{"market"},
		Summary:     "Symbols",
		Description: "Every symbol with a tick, by name, with its venues and its newest tick.",
		Errors:      marketErrors[1:],
	}, s.symbols)
}

func (s *Server) symbols(ctx context.Context, in *symbolsInput) (*symbolsOutput, error) {
	if len(in.Q) > feed.MaxSymbolLen || !printable(in.Q) {
		return nil, invalid("query.q", fmt.Sprintf("want at most %d bytes of printable UTF-8", feed.MaxSymbolLen), in.Q)
	}
	search, after := in.Q, ""
	if in.Cursor != "" {
		c, err := parseCursor(in.Cursor)
		switch {
		case err != nil:
			return nil, invalid("query.cursor", err.Error(), in.Cursor)
		case c.Kind != kindSymbols || c.Symbol == "":
			return nil, invalid("query.cursor", "belongs to another resource, not to "+kindSymbols, in.Cursor)
		case search != "" && search != c.Search:
			return nil, invalid("query.cursor", "belongs to a query with another q", in.Cursor)
		}
		search, after = c.Search, c.Symbol
	}
	rows, err := s.queries.Symbols(ctx, db.SymbolsParams{After: after, Search: search, MaxRows: int32(in.Limit) + 1})
	if err != nil {
		return nil, s.failed(ctx, "read symbols", err)
	}
	out := &symbolsOutput{}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		out.Body.Next = cursor{Kind: kindSymbols, Symbol: rows[in.Limit-1].Symbol, Search: search}.String()
	}
	out.Body.Data = make([]Symbol, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = Symbol{Symbol: r.Symbol, Name: r.Name, Venues: r.Venues, LastTS: r.LastTs.UTC()}
	}
	if err := s.addLast(ctx, out.Body.Data); err != nil {
		return nil, s.failed(ctx, "read last ticks", err)
	}
	return out, nil
}

// addLast fills in the last price of each symbol.
func (s *Server) addLast(ctx context.Context, symbols []Symbol) error {
	var newest time.Time
	for _, sym := range symbols {
		if sym.LastTS.After(newest) {
			newest = sym.LastTS
		}
	}
	live := make([]string, 0, len(symbols))
	for _, sym := range symbols {
		if sym.LastTS.After(newest.Add(-recent)) {
			live = append(live, sym.Symbol)
		}
	}
	if len(live) == 0 {
		return nil
	}
	ticks, err := s.queries.LastTicks(ctx, db.LastTicksParams{Symbols: live, FromTs: newest.Add(-recent)})
	if err != nil {
		return err
	}
	last := make(map[string]db.LastTicksRow, len(ticks))
	for _, t := range ticks {
		last[t.Symbol] = t
	}
	var rest []string
	for i := range symbols {
		if t, ok := last[symbols[i].Symbol]; ok {
			symbols[i].LastPrice, symbols[i].LastTS = &t.Price, t.Ts.UTC()
		} else {
			rest = append(rest, symbols[i].Symbol)
		}
	}
	days, err := s.lastDays(ctx, rest)
	if err != nil {
		return err
	}
	for i := range symbols {
		if d, ok := days[symbols[i].Symbol]; ok {
			symbols[i].LastPrice = &d.Close
		}
	}
	return nil
}

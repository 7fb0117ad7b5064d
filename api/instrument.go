package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// Instrument is what is known of a symbol.
type Instrument struct {
	Symbol            string         `json:"symbol" doc:"Symbol." example:"META"`
	Name              *string        `json:"name" nullable:"true" doc:"What people call it; null when it is not known." example:"Meta Platforms"`
	Kind              string         `json:"kind" enum:"equity,etf,index,fx,crypto,future,option,other" doc:"What it is." example:"equity"`
	Calendar          string         `json:"calendar" doc:"Trading calendar; 24x7 is always open, its day is the UTC day." example:"XNAS"`
	Zone              string         `json:"zone" doc:"IANA time zone of the calendar." example:"America/New_York"`
	Currency          *string        `json:"currency" nullable:"true" doc:"Currency of its prices." example:"USD"`
	PriceStep         *float64       `json:"price_step" nullable:"true" doc:"Prices are multiples of it." example:"0.01"`
	SizeStep          *float64       `json:"size_step" nullable:"true" doc:"Sizes are multiples of it." example:"1"`
	NonPositivePrices *bool          `json:"non_positive_prices" nullable:"true" doc:"Whether prices at or below 0 are stored; null: as its venue says." example:"false"`
	ActiveFrom        *string        `json:"active_from" nullable:"true" format:"date" doc:"First day it trades." example:"2012-05-18"`
	ActiveTo          *string        `json:"active_to" nullable:"true" format:"date" doc:"Last day it trades; null while it does." example:"2030-12-31"`
	Former            []FormerSymbol `json:"former" nullable:"false" doc:"Symbols it had before, the latest first."`
}

// FormerSymbol is a symbol that an instrument had before.
type FormerSymbol struct {
	Symbol string `json:"symbol" minLength:"1" doc:"The symbol." example:"FB"`
	Until  string `json:"until" format:"date" doc:"First trading day under the next symbol." example:"2022-06-09"`
}

// FoundInstrument is an instrument, and what it was found by.
type FoundInstrument struct {
	Instrument
	FoundBy *FormerSymbol `json:"found_by,omitempty" doc:"The former symbol that was asked for. Absent when it was the present one."`
	Market  Market        `json:"market" doc:"What goes on in its market at this moment."`
}

// Market is what goes on in the market of an instrument.
type Market struct {
	State string     `json:"state" enum:"open,closed,pre,post,break" doc:"open, closed, before the open (pre), after the close (post) or in a break." example:"open"`
	Until *time.Time `json:"until" nullable:"true" doc:"When that ends, UTC; null: never, or the calendar does not know." example:"2026-11-24T21:00:00Z"`
	Day   *string    `json:"day" nullable:"true" format:"date" doc:"The trading day that is on, or else the next; null: the calendar does not know." example:"2026-11-24"`
}

type instrumentsInput struct {
	Q        string   `query:"q" maxLength:"64" doc:"Only instruments whose symbol, name or former symbol contains this; case does not matter. The best match comes first: the symbol, a former symbol, a symbol that begins with it, a name with a word that does, then the rest." example:"meta"`
	Kind     []string `query:"kind" enum:"equity,etf,index,fx,crypto,future,option,other" doc:"Only of these kinds, separated by commas." example:"equity,etf"`
	Calendar []string `query:"calendar" doc:"Only of these calendars, separated by commas." example:"XNYS,XNAS"`
	Limit    int      `query:"limit" minimum:"1" maximum:"5000" default:"500" doc:"Rows in a page." example:"100"`
	Cursor   string   `query:"cursor" maxLength:"4096" doc:"The next of the page before. The other parameters must be the same, or absent." example:"AYxgJ2t7ImsiOiJjYW5kbGVzIn0"`
}

type instrumentsOutput struct{ Body page[Instrument] }

type instrumentInput struct{ SymbolPath }

type instrumentOutput struct{ Body FoundInstrument }

func (s *Server) registerInstruments() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-instruments", Method: http.MethodGet, Path: "/v1/instruments", Tags: []string{"market"},
		Summary:     "Instruments",
		Description: "What is known of symbols: names, kinds, calendars. By symbol, or the best match of q first.",
		Errors:      marketErrors[1:],
	}, s.instruments)
	huma.Register(s.api, huma.Operation{
		OperationID: "get-instrument", Method: http.MethodGet, Path: "/v1/instruments/{symbol}", Tags: []string{"market"},
		Summary: "An instrument",
		Description: "One instrument. A former symbol leads to the instrument that had it, and found_by says so, " +
			"unless another instrument has taken the symbol since: one that is active from that day on.",
		Errors: marketErrors,
	}, s.instrument)
	s.registerInstrumentWrites()
	s.registerActions()
}

func (s *Server) instruments(ctx context.Context, in *instrumentsInput) (*instrumentsOutput, error) {
	if len(in.Q) > feed.MaxSymbolLen || !printable(in.Q) {
		return nil, invalid("query.q", fmt.Sprintf("want at most %d bytes of printable UTF-8", feed.MaxSymbolLen), in.Q)
	}
	for _, c := range in.Calendar {
		if !plain(c) {
			return nil, invalid("query.calendar", "want calendars such as XNYS", c)
		}
	}
	arg := db.InstrumentsParams{Search: in.Q, Kinds: in.Kind, Calendars: in.Calendar, AfterRank: -1, MaxRows: int32(in.Limit) + 1}
	filters := append(prefixed("kind:", in.Kind), prefixed("calendar:", in.Calendar)...)
	if in.Cursor != "" {
		c, err := parseCursor(in.Cursor)
		switch {
		case err != nil:
			return nil, invalid("query.cursor", err.Error(), in.Cursor)
		case c.Kind != kindInstruments || c.Symbol == "" || c.Number == nil || *c.Number > 9:
			return nil, invalid("query.cursor", "belongs to another resource, not to "+kindInstruments, in.Cursor)
		case in.Q != "" && in.Q != c.Search:
			return nil, invalid("query.cursor", "belongs to a query with another q", in.Cursor)
		case len(filters) > 0 && !slices.Equal(filters, c.Filters):
			return nil, invalid("query.cursor", "belongs to a query with other filters", in.Cursor)
		}
		filters = c.Filters
		arg.Search, arg.Kinds, arg.Calendars = c.Search, unprefixed("kind:", filters), unprefixed("calendar:", filters)
		arg.After, arg.AfterRank = c.Symbol, int32(*c.Number)
	}
	rows, err := s.queries.Instruments(ctx, arg)
	if err != nil {
		return nil, s.failed(ctx, "read instruments", err)
	}
	out := &instrumentsOutput{}
	if len(rows) > in.Limit {
		rows = rows[:in.Limit]
		last := rows[in.Limit-1]
		out.Body.Next = cursor{Kind: kindInstruments, Symbol: last.Symbol, Search: arg.Search, Filters: filters, Number: ptr(uint64(last.Rank))}.String()
	}
	out.Body.Data = make([]Instrument, len(rows))
	for i, r := range rows {
		out.Body.Data[i] = instrumentOf(&db.InstrumentRow{
			Symbol: r.Symbol, Name: r.Name, Kind: r.Kind, Calendar: r.Calendar, Currency: r.Currency, PriceStep: r.PriceStep, SizeStep: r.SizeStep,
			NonPositivePrices: r.NonPositivePrices, ActiveFrom: r.ActiveFrom, ActiveTo: r.ActiveTo, Zone: r.Zone,
		})
	}
	if err := addFormer(ctx, s.queries, out.Body.Data); err != nil {
		return nil, s.failed(ctx, "read former symbols", err)
	}
	return out, nil
}

func (s *Server) instrument(ctx context.Context, in *instrumentInput) (*instrumentOutput, error) {
	found, err := findInstrument(ctx, s.queries, string(in.Symbol))
	if err == nil {
		found.Market, err = marketOf(ctx, s.queries, found.Symbol)
	}
	if err != nil {
		return nil, s.failed(ctx, "read instrument", err)
	}
	return &instrumentOutput{found}, nil
}

// findInstrument reads the instrument that a symbol leads to; the error is a
// problem when there is none.
func findInstrument(ctx context.Context, q *db.Queries, symbol string) (FoundInstrument, error) {
	next, err := q.Successors(ctx, symbol)
	if err != nil {
		return FoundInstrument{}, err
	}
	if len(next) > 0 {
		i, err := readInstrument(ctx, q, next[0].Symbol)
		if !errors.Is(err, pgx.ErrNoRows) {
			return FoundInstrument{Instrument: i, FoundBy: &FormerSymbol{symbol, next[0].Until.Time.Format(time.DateOnly)}}, err
		}
	}
	i, err := readInstrument(ctx, q, symbol)
	if errors.Is(err, pgx.ErrNoRows) {
		return FoundInstrument{}, unknownInstrument(symbol)
	}
	return FoundInstrument{Instrument: i}, err
}

func readInstrument(ctx context.Context, q *db.Queries, symbol string) (Instrument, error) {
	r, err := q.Instrument(ctx, symbol)
	if err != nil {
		return Instrument{}, err
	}
	one := []Instrument{instrumentOf(&r)}
	err = addFormer(ctx, q, one)
	return one[0], err
}

// marketOf reads what goes on in the market of a symbol.
func marketOf(ctx context.Context, q *db.Queries, symbol string) (Market, error) {
	r, err := q.MarketStatus(ctx, symbol)
	if err != nil {
		return Market{}, err
	}
	m := Market{State: "closed", Day: dateOf(r.Day)}
	if r.State != nil {
		m.State = *r.State
	}
	if r.Until != nil {
		m.Until = ptr(r.Until.UTC())
	}
	return m, nil
}

func unknownInstrument(symbol string) *Problem {
	return problem(http.StatusNotFound, "There is no instrument "+symbol+"; /v1/instruments lists those there are. Case matters.",
		&huma.ErrorDetail{Location: "path.symbol", Message: "unknown instrument", Value: symbol})
}

func instrumentOf(r *db.InstrumentRow) Instrument {
	return Instrument{
		Symbol: r.Symbol, Name: r.Name, Kind: r.Kind, Calendar: r.Calendar, Zone: r.Zone, Currency: r.Currency, PriceStep: r.PriceStep, SizeStep: r.SizeStep,
		NonPositivePrices: r.NonPositivePrices, ActiveFrom: dateOf(r.ActiveFrom), ActiveTo: dateOf(r.ActiveTo), Former: []FormerSymbol{},
	}
}

func dateOf(d pgtype.Date) *string {
	if !d.Valid {
		return nil
	}
	return ptr(d.Time.Format(time.DateOnly))
}

// addFormer fills in the former symbols.
func addFormer(ctx context.Context, q *db.Queries, list []Instrument) error {
	symbols := make([]string, len(list))
	at := make(map[string]int, len(list))
	for i, x := range list {
		symbols[i], at[x.Symbol] = x.Symbol, i
	}
	rows, err := q.FormerSymbols(ctx, symbols)
	if err != nil {
		return err
	}
	for _, r := range rows {
		to := &list[at[r.Symbol]].Former
		*to = append(*to, FormerSymbol{r.Former, r.Until.Time.Format(time.DateOnly)})
	}
	return nil
}

func prefixed(prefix string, values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = prefix + v
	}
	slices.SortFunc(out, cmp.Compare[string])
	return out
}

func unprefixed(prefix string, values []string) []string {
	var out []string
	for _, v := range values {
		if s, ok := strings.CutPrefix(v, prefix); ok {
			out = append(out, s)
		}
	}
	return out
}

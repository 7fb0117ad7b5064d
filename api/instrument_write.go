package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/instrument"
)

// InstrumentPatch is a change of an instrument: what is absent stays, null is not
// known again, or the default.
type InstrumentPatch struct {
	Name              Field[string]         `json:"name,omitzero" nullable:"true" minLength:"1" maxLength:"200" doc:"What people call it." example:"Meta Platforms"`
	Kind              Field[string]         `json:"kind,omitzero" nullable:"true" enum:"equity,etf,index,fx,crypto,future,option,other" doc:"What it is; other by default." example:"equity"`
	Calendar          Field[string]         `json:"calendar,omitzero" nullable:"true" maxLength:"16" doc:"Trading calendar; 24x7 by default." example:"24x7"`
	Currency          Field[string]         `json:"currency,omitzero" nullable:"true" pattern:"^[A-Z0-9]{2,12}$" doc:"Currency of its prices." example:"USD"`
	PriceStep         Field[float64]        `json:"price_step,omitzero" nullable:"true" minimum:"1e-15" maximum:"1e15" doc:"Prices are multiples of it." example:"0.01"`
	SizeStep          Field[float64]        `json:"size_step,omitzero" nullable:"true" minimum:"1e-15" maximum:"1e15" doc:"Sizes are multiples of it." example:"1"`
	NonPositivePrices Field[bool]           `json:"non_positive_prices,omitzero" nullable:"true" doc:"Whether prices at or below 0 are stored; null: as its venue says." example:"false"`
	ActiveFrom        Field[string]         `json:"active_from,omitzero" nullable:"true" format:"date" doc:"First day it trades." example:"2012-05-18"`
	ActiveTo          Field[string]         `json:"active_to,omitzero" nullable:"true" format:"date" doc:"Last day it trades." example:"2030-12-31"`
	Former            Field[[]FormerSymbol] `json:"former,omitzero" nullable:"true" maxItems:"100" doc:"Symbols it had before: all of them." example:"[{\"symbol\":\"FB\",\"until\":\"2022-06-09\"}]"`
}

type patchInstrumentInput struct {
	SymbolPath
	Body InstrumentPatch
}

func (s *Server) registerInstrumentWrites() {
	huma.Register(s.api, huma.Operation{
		OperationID: "change-instrument", Method: http.MethodPatch, Path: "/v1/instruments/{symbol}", Tags: []string{"market"},
		Summary: "Change an instrument",
		Description: "What is absent stays, null is not known again, or the default. The symbol is the present one: a former symbol leads nowhere here. " +
			"Ingest follows within a minute.",
		Errors:      writeErrors(http.StatusUnsupportedMediaType),
		Middlewares: huma.Middlewares{s.takesJSON, s.writes},
	}, s.patchInstrument)
	for _, p := range s.api.OpenAPI().Components.Schemas.Map()["InstrumentPatch"].Properties {
		if p.Nullable && len(p.Enum) > 0 {
			p.Enum = append(p.Enum, nil) // as of alert rules
		}
	}
}

func (s *Server) patchInstrument(ctx context.Context, in *patchInstrumentInput) (*instrumentOutput, error) {
	change, err := in.change()
	if err != nil {
		return nil, err
	}
	if bad := change.Check(); len(bad) > 0 {
		return nil, refusedField(bad[0])
	}
	out := &instrumentOutput{}
	err = s.write(ctx, func(q *db.Queries) error {
		if _, err := q.Instrument(ctx, change.Symbol); errors.Is(err, pgx.ErrNoRows) {
			return in.unknown(ctx, q)
		} else if err != nil {
			return err
		}
		if _, err := instrument.Apply(ctx, q, &change); err != nil {
			return err
		}
		if out.Body.Instrument, err = readInstrument(ctx, q, change.Symbol); err != nil {
			return err
		}
		out.Body.Market, err = marketOf(ctx, q, change.Symbol)
		return err
	})
	var bad *instrument.FieldError
	if errors.As(err, &bad) {
		return nil, refusedField(bad)
	}
	if err != nil {
		return nil, s.failed(ctx, "change instrument", err)
	}
	return out, nil
}

// unknown is the problem of a symbol that no instrument has now.
func (in *patchInstrumentInput) unknown(ctx context.Context, q *db.Queries) error {
	symbol := string(in.Symbol)
	next, err := q.Successors(ctx, symbol)
	if err != nil {
		return err
	}
	p := unknownInstrument(symbol)
	if len(next) > 0 {
		p.Detail = fmt.Sprintf("%s is a former symbol of %s: change that.", symbol, next[0].Symbol)
	}
	return p
}

func refusedField(bad *instrument.FieldError) *Problem {
	return invalid("body."+bad.Field, clipTo("want "+bad.Want, 300), bad.Got)
}

func (in *patchInstrumentInput) change() (instrument.Change, error) {
	b := &in.Body
	c := instrument.Change{
		Symbol: string(in.Symbol), Name: optionOf(b.Name), Kind: optionOf(b.Kind), Calendar: optionOf(b.Calendar), Currency: optionOf(b.Currency),
		PriceStep: optionOf(b.PriceStep), SizeStep: optionOf(b.SizeStep), NonPositivePrices: optionOf(b.NonPositivePrices),
	}
	var err error
	if c.ActiveFrom, err = dayOf("active_from", b.ActiveFrom); err != nil {
		return c, err
	}
	if c.ActiveTo, err = dayOf("active_to", b.ActiveTo); err != nil {
		return c, err
	}
	if b.Former.given {
		former := make([]instrument.Former, len(b.Former.value))
		for i, f := range b.Former.value {
			until, ok := instrument.ParseDay(f.Until)
			if !ok {
				return c, invalid(fmt.Sprintf("body.former[%d].until", i), wantDay, f.Until)
			}
			former[i] = instrument.Former{Symbol: f.Symbol, Until: until}
		}
		c.Former = instrument.Set(former)
	}
	return c, nil
}

func optionOf[T any](f Field[T]) instrument.Option[T] {
	o := instrument.Option[T]{Given: f.given}
	if f.given && !f.null {
		o.Value = &f.value
	}
	return o
}

func dayOf(name string, f Field[string]) (instrument.Option[time.Time], error) {
	o := instrument.Option[time.Time]{Given: f.given}
	if !f.given || f.null {
		return o, nil
	}
	day, ok := instrument.ParseDay(f.value)
	if !ok {
		return o, invalid("body."+name, wantDay, f.value)
	}
	return instrument.Set(day), nil
}

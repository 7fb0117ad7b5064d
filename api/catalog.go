package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// Indicator is one entry of the catalog.
type Indicator struct {
	Name        string      `json:"name" doc:"Name, for the path." example:"rsi"`
	Title       string      `json:"title" doc:"What it is called." example:"Relative strength index"`
	Description string      `json:"description" doc:"Formula, seeding, warm-up, source." example:"100 * mean gain / (mean gain + mean loss) of the closes."`
	Parameters  []Parameter `json:"parameters" nullable:"false" doc:"What may be given in the query."`
	Series      []Series    `json:"series" nullable:"false" doc:"The values it has for each bar."`
}

// Parameter is what an indicator takes.
type Parameter struct {
	Name        string       `json:"name" doc:"Name, for the query." example:"period"`
	Type        string       `json:"type" enum:"integer,number,boolean,string" doc:"What its value is." example:"integer"`
	Default     DefaultValue `json:"default" doc:"Its value when none is given, of its type; null where one must be given." example:"14"`
	Min         *float64     `json:"min,omitempty" doc:"Minimum." example:"2"`
	Max         *float64     `json:"max,omitempty" doc:"Maximum." example:"500"`
	Description string       `json:"description,omitempty" doc:"What it does." example:"Bars."`
}

// Series is one line of an indicator.
type Series struct {
	Name        string `json:"name" doc:"Key of its value in values." example:"rsi"`
	Description string `json:"description,omitempty" doc:"What it says." example:"0 to 100."`
}

// DefaultValue is JSON of a parameter's type.
type DefaultValue json.RawMessage

// MarshalJSON gives it as it is.
func (v DefaultValue) MarshalJSON() ([]byte, error) { return json.RawMessage(v).MarshalJSON() }

// UnmarshalJSON takes it as it is.
func (v *DefaultValue) UnmarshalJSON(b []byte) error { return (*json.RawMessage)(v).UnmarshalJSON(b) }

// Schema describes it in the OpenAPI document.
func (v DefaultValue) Schema(huma.Registry) *huma.Schema { return &huma.Schema{} }

type indicatorsOutput struct{ Body page[Indicator] }

func (s *Server) registerCatalog() {
	huma.Register(s.api, huma.Operation{
		OperationID: "list-indicators", Method: http.MethodGet, Path: "/v1/indicators", Tags: []string{"indicators"},
		Summary: "Indicators",
		Description: "Every indicator of the database by name, those added by a migration of yours included: " +
			"the catalog is read for each request.",
		Errors: marketErrors[1:],
	}, s.indicators)
}

func (s *Server) indicators(ctx context.Context, _ *struct{}) (*indicatorsOutput, error) {
	rows, err := s.queries.Indicators(ctx, nil)
	if err != nil {
		return nil, s.failed(ctx, "read indicators", err)
	}
	out := &indicatorsOutput{}
	out.Body.Data = make([]Indicator, len(rows))
	for i, r := range rows {
		if out.Body.Data[i], err = indicatorOf(r); err != nil {
			return nil, s.failed(ctx, "read indicators", err)
		}
	}
	return out, nil
}

// indicator finds one by name.
func (s *Server) indicator(ctx context.Context, name string) (Indicator, error) {
	rows, err := s.queries.Indicators(ctx, &name)
	if err != nil {
		return Indicator{}, s.failed(ctx, "find indicator", err)
	}
	if len(rows) == 0 {
		return Indicator{}, unknownIndicator(name)
	}
	// Functions of one name with other parameters: evaluate takes the first too.
	i, err := indicatorOf(rows[0])
	if err != nil {
		return Indicator{}, s.failed(ctx, "find indicator", err)
	}
	return i, nil
}

func unknownIndicator(name string) *Problem {
	return problem(http.StatusNotFound, "There is no indicator "+name+"; /v1/indicators lists those there are.",
		&huma.ErrorDetail{Location: "path.name", Message: "unknown indicator", Value: name})
}

func indicatorOf(r db.IndicatorsRow) (Indicator, error) {
	i := Indicator{Name: r.Name, Title: r.Title, Description: r.Description}
	var parameters []struct {
		Name, Type, Description string
		Default                 *string
		Min, Max                *float64
	}
	if err := json.Unmarshal(r.Parameters, &parameters); err != nil {
		return i, fmt.Errorf("parameters of %s: %w", r.Name, err)
	}
	if err := json.Unmarshal(r.Series, &i.Series); err != nil {
		return i, fmt.Errorf("series of %s: %w", r.Name, err)
	}
	i.Parameters = make([]Parameter, len(parameters))
	for j, p := range parameters {
		i.Parameters[j] = Parameter{p.Name, p.Type, defaultValue(p.Type, p.Default), p.Min, p.Max, p.Description}
	}
	return i, nil
}

// defaultValue makes JSON of a default, which the catalog has as text of SQL.
func defaultValue(kind string, text *string) DefaultValue {
	if text == nil {
		return DefaultValue("null")
	}
	v := *text
	switch kind {
	case "integer", "number":
		if f, err := strconv.ParseFloat(v, 64); err == nil {
			return DefaultValue(appendFloat(nil, f))
		}
	case "boolean":
		if v == "true" || v == "false" {
			return DefaultValue(v)
		}
	}
	return DefaultValue(appendString(nil, v))
}

// signature tells the parameters of an indicator in a sentence.
func (i *Indicator) signature() string {
	if len(i.Parameters) == 0 {
		return i.Name + " has no parameters of its own"
	}
	var b strings.Builder
	b.WriteString(i.Name + " has ")
	for j, p := range i.Parameters {
		if j > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s", p.Name, p.Type)
		if p.Min != nil && p.Max != nil {
			fmt.Fprintf(&b, " %v to %v", *p.Min, *p.Max)
		}
		b.WriteString(")")
	}
	return b.String()
}

func (i *Indicator) parameter(name string) bool {
	for _, p := range i.Parameters {
		if p.Name == name {
			return true
		}
	}
	return false
}

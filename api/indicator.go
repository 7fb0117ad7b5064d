package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
)

// IndicatorValue is what an indicator says of one bar.
type IndicatorValue struct {
	Bucket time.Time           `json:"bucket" doc:"Start of the bar, UTC." example:"2026-11-24T15:30:00Z"`
	Values map[string]*float64 `json:"values" nullable:"false" doc:"Each series by name; null where it has no value, as before its first." example:"{\"rsi\":61.8}"`
}

type indicatorInput struct {
	SymbolPath
	Name string `path:"name" minLength:"1" maxLength:"63" pattern:"^[A-Za-z_][A-Za-z0-9_]*$" doc:"Indicator, of /v1/indicators." example:"rsi"`
	IntervalQuery
	RangeQuery
	Conditions

	// params are the rest of the query: the indicator's own.
	params   map[string]string
	repeated string
}

const operationIndicator = "get-indicator"

// ownParameters are the names indicatorInput itself takes.
var ownParameters = []string{"interval", "from", "to", "limit", "cursor"}

// Resolve collects the parameters that only the database knows.
func (in *indicatorInput) Resolve(ctx huma.Context) []error {
	u := ctx.URL()
	for k, v := range u.Query() {
		if slices.Contains(ownParameters, k) {
			continue
		}
		if in.params == nil {
			in.params = map[string]string{}
		}
		if in.params[k] = v[0]; len(v) > 1 {
			in.repeated = k
		}
	}
	return in.Symbol.Resolve(ctx, nil) // huma does not look into what resolves itself
}

func (s *Server) registerIndicator() {
	explode := true
	huma.Register(s.api, huma.Operation{
		OperationID: operationIndicator, Method: http.MethodGet, Path: "/v1/symbols/{symbol}/indicators/{name}", Tags: []string{"indicators"},
		Summary: "An indicator of a symbol",
		Description: "All series of an indicator, one element for each bar that /candles has, oldest first within a page. " +
			"The indicator's own parameters go into the query by name, as in `?period=20`; /v1/indicators lists them with their ranges. " +
			"What came before the page is taken into account: a value does not depend on the range that is asked for. " +
			"Without from: the newest bars, and pages go back in time.",
		Errors: tableErrors, Responses: tableResponses(pageSchema[IndicatorValue](s.api, "IndicatorValues")),
		Parameters: []*huma.Param{{
			Name: "parameters", In: "query", Style: "form", Explode: &explode,
			Description: "Parameters of the indicator, each by its name.", Example: map[string]any{"period": "20"},
			Schema: &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}},
		}},
	}, s.indicatorValues)
}

func (s *Server) indicatorValues(ctx context.Context, in *indicatorInput) (*reply, error) {
	if err := in.choose(); err != nil {
		return nil, err
	}
	width, err := s.width(ctx, "query.interval", in.Interval)
	if err != nil {
		return nil, err
	}
	c := cursor{Kind: kindIndicators, Symbol: string(in.Symbol), Interval: string(in.Interval), Name: in.Name}
	sp, err := in.span(kindIndicators, string(in.Symbol), c.Interval)
	if err != nil {
		return nil, err
	}
	if c.Params, err = in.parameters(); err != nil {
		return nil, err
	}
	known, err := s.indicator(ctx, in.Name)
	if err != nil {
		return nil, err
	}
	if err := known.check(c.Params); err != nil {
		return nil, err
	}
	params, err := json.Marshal(orEmpty(c.Params))
	if err != nil {
		return nil, s.failed(ctx, "write parameters", err)
	}
	w := sp.bars(in.Limit)
	rows, err := s.queries.IndicatorRows(ctx, db.IndicatorValuesParams{
		Symbol: string(in.Symbol), Bar: c.Interval, FromTime: w.from, ToTime: w.to, Warmup: w.warmup, MaxBars: w.max,
		Name: in.Name, Params: params,
	})
	columns := []column{{"bucket", kindTime}}
	for _, series := range known.Series {
		columns = append(columns, column{series.Name, kindFloat})
	}
	t := newTable(columns, in.Limit+1)
	t.nested = "values"
	if err == nil {
		err = t.pivot(rows)
	}
	if err != nil {
		return nil, s.refused(ctx, &known, c.Params, err)
	}
	if t.rows() == 0 {
		if err := s.knowSymbol(ctx, string(in.Symbol)); err != nil {
			return nil, err
		}
	}
	next, closed := sp.cut(t, in.Limit, width, c)
	return s.reply(ctx, &in.Conditions, t, in.link("indicators/"+in.Name, c.Interval, in.Limit), next, closed)
}

// parameters are those of the query, or else those of the cursor.
func (in *indicatorInput) parameters() (map[string]string, error) {
	if in.repeated != "" {
		return nil, invalid("query."+clip(in.repeated), "want it once", in.params[in.repeated])
	}
	total := 0
	for k, v := range in.params {
		if total += len(k) + len(v); total > 1024 {
			return nil, invalid("query", "want at most 1024 bytes of parameters", nil)
		}
		if !printable(k) {
			return nil, invalid("query", "want the names of parameters in printable text", nil)
		}
		if !printable(v) || len(v) > 256 {
			return nil, invalid("query."+clip(k), "want at most 256 bytes of printable text", nil)
		}
	}
	if in.Cursor == "" {
		return in.params, nil
	}
	c, err := parseCursor(in.Cursor)
	switch {
	case err != nil:
		return nil, invalid("query.cursor", err.Error(), in.Cursor)
	case c.Name != in.Name:
		return nil, invalid("query.cursor", "belongs to another indicator", in.Cursor)
	case len(in.params) > 0 && !maps.Equal(in.params, c.Params):
		return nil, invalid("query.cursor", "belongs to a query with other parameters", in.Cursor)
	}
	return c.Params, nil
}

// printable is what a text of the database can hold and a log can show.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// check refuses what the indicator does not take. Values are for the database
// to judge.
func (i *Indicator) check(params map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(params)) {
		if !i.parameter(name) {
			return invalid("query."+clip(name), "unknown query parameter; "+i.signature(), params[name])
		}
	}
	return nil
}

// orEmpty makes an object of no parameters, where JSON would say null.
func orEmpty(params map[string]string) map[string]string {
	if params == nil {
		return map[string]string{}
	}
	return params
}

// pivot makes one row of each bar out of one row of each of its series. The
// rows are (bucket, series, value), with nulls for a bar without any.
func (t *table) pivot(rows pgx.Rows) error {
	defer rows.Close()
	var bucket string
	for rows.Next() {
		v := rows.RawValues()
		if v[0] == nil {
			continue // a value for no bar
		}
		if t.rows() == 0 || string(v[0]) != bucket {
			bucket = string(v[0])
			t.put(v[0])
			for range t.columns[1:] {
				t.put(nil)
			}
		}
		if v[1] == nil {
			continue
		}
		i := slices.IndexFunc(t.columns[1:], func(c column) bool { return c.name == string(v[1]) }) + 1
		if i == 0 {
			// A series the indicator's comment says nothing of.
			t.widen(column{string(v[1]), kindFloat})
			i = len(t.columns) - 1
		}
		if v[2] != nil {
			t.row(t.rows() - 1)[i] = cell{int32(len(t.data)), int32(len(v[2]))}
			t.data = append(t.data, v[2]...)
		}
	}
	return rows.Err()
}

// refused is the answer to an error of an indicator. What it says of its
// parameters is meant for the client; anything else is a fault of its own.
func (s *Server) refused(ctx context.Context, i *Indicator, params map[string]string, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return s.failed(ctx, "read indicator", err)
	}
	switch pg.Code {
	case "22023": // invalid_parameter_value
		name, message, ok := strings.Cut(pg.Message, ": ")
		if ok && i.parameter(name) {
			return invalid("query."+name, clipTo(message, 200), params[name])
		}
		return invalid("query", "the indicator does not take these values together; "+i.signature(), nil)
	case "22003", "22P02": // out of the range of its type, or no value of it
		if len(params) > 0 {
			return invalid("query", "a value is out of range; "+i.signature(), nil)
		}
	case "42883": // undefined_function: gone since it was found
		if strings.HasPrefix(pg.Message, "indicator: ") {
			return unknownIndicator(i.Name)
		}
		// A function the indicator itself lacks.
		err = errors.New(pg.Message)
	}
	return s.failed(ctx, "read indicator", err)
}

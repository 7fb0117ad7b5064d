package api

import (
	"context"
	"encoding/binary"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/db"
)

// ScreenerRow is what is known of one symbol. It has a field for each column of
// indicator.latest; these are the ones that are always there.
type ScreenerRow struct {
	Symbol string    `json:"symbol" doc:"Symbol." example:"AAPL"`
	Bucket time.Time `json:"bucket" doc:"Start of its last bar, UTC." example:"2026-11-24T15:30:00Z"`
	Close  *float64  `json:"close" nullable:"true" doc:"Close of that bar." example:"189.44"`
	_      struct{}  `additionalProperties:"true"`
}

type screenerInput struct {
	IntervalQuery
	Sort   string   `query:"sort" maxLength:"63" doc:"Column of the order; symbol when absent. Symbols without a value come last, ties go by symbol." example:"rsi_14"`
	Order  string   `query:"order" enum:"asc,desc" doc:"Direction of the order; asc when absent." example:"asc"`
	Filter []string `query:"filter,explode" maxItems:"10" doc:"Column, operator and value. The operators are < <= > >= = !=; write a time in RFC 3339. Several are given as several filter parameters, and all must hold; a symbol without a value passes none on it." example:"[\"rsi_14<30\",\"volume_ratio>=2\"]"`
	Limit  int      `query:"limit" minimum:"1" maximum:"5000" default:"50" doc:"Rows in a page." example:"100"`
	Cursor string   `query:"cursor" maxLength:"4096" doc:"The next of the page before. The other parameters must be the same, or absent." example:"AYxgJ2t7ImsiOiJjYW5kbGVzIn0"`
	Conditions
}

func (s *Server) registerScreener() {
	huma.Register(s.api, huma.Operation{
		OperationID: "screen", Method: http.MethodGet, Path: "/v1/screener", Tags: []string{"indicators"},
		Summary: "Screener",
		Description: "One row per symbol with its last bar and its indicators, as the function indicator.latest of the database returns them: " +
			"change (since the close before, as a fraction), change_1d (since the close of the day before), sma_20, sma_50, sma_200, ema_12, ema_26, macd, rsi_14, " +
			"atr_14, percent_b, zscore, volume_ratio, trend. A column that a migration adds there appears here at once. Values are as of the last " +
			"refresh, a minute or so ago. Each page begins after the last row of the previous one; a symbol whose value changes meanwhile may " +
			"appear twice or not at all.",
		Errors: tableErrors, Responses: tableResponses(pageSchema[ScreenerRow](s.api, "Screener")),
	}, s.screener)
}

func (s *Server) screener(ctx context.Context, in *screenerInput) (*reply, error) {
	if err := in.choose(); err != nil {
		return nil, err
	}
	if _, err := s.width(ctx, "query.interval", in.Interval); err != nil {
		return nil, err
	}
	at, err := in.position()
	if err != nil {
		return nil, err
	}
	columns, err := s.screenerColumns(ctx)
	if err != nil {
		return nil, err
	}
	arg := db.ScreenParams{
		Interval: at.Interval, Sort: at.Sort, Descending: at.Descending, MaxRows: int32(in.Limit) + 1, AfterSymbol: at.Symbol,
	}
	i := columnIndex(columns, at.Sort)
	if i < 0 {
		return nil, invalid("query.sort", "want a column: "+columnNames(columns), at.Sort)
	}
	arg.SortKind = columns[i].kind.String()
	if at.Number != nil {
		arg.AfterNumber = ptr(math.Float64frombits(*at.Number))
	}
	arg.AfterText = at.Text
	for _, f := range at.Filters {
		if err := addFilter(&arg, columns, f); err != nil {
			return nil, err
		}
	}
	rows, err := s.queries.Screen(ctx, arg)
	if err != nil {
		return nil, s.failed(ctx, "read screener", err)
	}
	// The last two columns are those of the position.
	columns = columnsOf(rows.FieldDescriptions())
	t := newTable(columns, min(in.Limit, 500)+1)
	if err := t.read(rows); err != nil {
		return nil, s.failed(ctx, "read screener", err)
	}
	next := ""
	if t.rows() > in.Limit {
		t.keep(0, in.Limit)
		next = at.after(t).String()
	}
	t.drop(2)
	return s.reply(ctx, &in.Conditions, t, in.link(), next, time.Time{})
}

// position is the query, of its parameters or else of its cursor, and where in
// it to go on.
func (in *screenerInput) position() (cursor, error) {
	c := cursor{Kind: kindScreener, Interval: string(in.Interval), Sort: in.Sort, Descending: in.Order == "desc", Filters: in.Filter}
	if in.Cursor == "" {
		if c.Sort == "" {
			c.Sort = "symbol"
		}
		return c, nil
	}
	at, err := parseCursor(in.Cursor)
	switch {
	case err != nil:
		return c, invalid("query.cursor", err.Error(), in.Cursor)
	case at.Kind != kindScreener || at.Symbol == "":
		return c, invalid("query.cursor", "belongs to another resource, not to "+kindScreener, in.Cursor)
	case at.Interval != string(in.Interval):
		return c, invalid("query.cursor", "belongs to another interval", in.Cursor)
	case in.Sort != "" && in.Sort != at.Sort || in.Order != "" && c.Descending != at.Descending:
		return c, invalid("query.cursor", "belongs to a query with another order", in.Cursor)
	case len(in.Filter) > 0 && !slices.Equal(in.Filter, at.Filters):
		return c, invalid("query.cursor", "belongs to a query with other filters", in.Cursor)
	}
	return at, nil
}

// after returns the cursor of the page after the last row of the table.
func (c cursor) after(t *table) cursor {
	row := t.row(t.rows() - 1)
	n := len(row)
	c.Symbol, c.Number, c.Text = string(t.bytes(row[columnIndex(t.columns, "symbol")])), nil, nil
	if row[n-2].n == 8 {
		c.Number = ptr(binary.BigEndian.Uint64(t.bytes(row[n-2])))
	}
	if row[n-1].n >= 0 {
		c.Text = ptr(string(t.bytes(row[n-1])))
	}
	return c
}

func (in *screenerInput) link() string {
	return "/v1/screener?interval=" + string(in.Interval) + "&limit=" + strconv.Itoa(in.Limit) + "&"
}

func (s *Server) screenerColumns(ctx context.Context) ([]column, error) {
	rows, err := s.queries.ScreenerColumns(ctx)
	if err != nil {
		return nil, s.failed(ctx, "read columns of the screener", err)
	}
	if len(rows) == 0 {
		return nil, unavailable("The database has no screener yet; it has not been migrated.")
	}
	out := make([]column, len(rows))
	for i, r := range rows {
		out[i] = column{r.Name, kindOf(uint32(r.Type))}
	}
	return out, nil
}

func columnIndex(columns []column, name string) int {
	return slices.IndexFunc(columns, func(c column) bool { return c.name == name })
}

func columnNames(columns []column) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.name)
	}
	return b.String()
}

// drop removes the last n columns.
func (t *table) drop(n int) {
	w := len(t.columns)
	cells := t.cells[:0]
	for i := range t.rows() {
		cells = append(cells, t.cells[i*w:(i+1)*w-n]...)
	}
	t.columns, t.cells = t.columns[:w-n], cells
}

var (
	filterForm = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_]{0,62})\s*(<=|>=|!=|<|>|=)\s*(\S.*?)\s*$`)
	numberForm = regexp.MustCompile(`^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$`)
)

// addFilter reads a filter like rsi_14<30.
func addFilter(arg *db.ScreenParams, columns []column, filter string) error {
	refuse := func(message string) error { return invalid("query.filter", message, filter) }
	if len(filter) > 200 || !printable(filter) {
		return refuse("want at most 200 bytes of printable text")
	}
	m := filterForm.FindStringSubmatch(filter)
	if m == nil {
		return refuse("want a column, one of < <= > >= = !=, and a value, like rsi_14<30")
	}
	i := columnIndex(columns, m[1])
	if i < 0 {
		return refuse("want a column: " + columnNames(columns))
	}
	value := m[3]
	switch columns[i].kind {
	case kindFloat, kindInt, kindNumber:
		if f, err := strconv.ParseFloat(value, 64); err != nil || math.IsInf(f, 0) || !numberForm.MatchString(value) {
			return refuse("want a number to compare " + m[1] + " with")
		}
	case kindTime:
		var at Time
		if err := at.UnmarshalText([]byte(value)); err != nil || !validMicros(at.UnixMicro()) {
			return refuse("want RFC 3339 like 2026-11-24T09:30:00Z to compare " + m[1] + " with")
		}
		value = at.Format(time.RFC3339Nano)
	case kindBool:
		if value != "true" && value != "false" {
			return refuse("want true or false to compare " + m[1] + " with")
		}
	case kindText:
	}
	arg.Columns, arg.Kinds = append(arg.Columns, m[1]), append(arg.Kinds, columns[i].kind.String())
	arg.Operators, arg.Values = append(arg.Operators, m[2]), append(arg.Values, value)
	return nil
}

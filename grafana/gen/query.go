package main

import (
	"bytes"
	"encoding/json"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/candlestick"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statushistory"
	gtable "github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// sourceType and sourceUID name the one datasource of everything here.
const (
	sourceType = "grafana-postgresql-datasource"
	sourceUID  = "hypertick"
)

var source = common.DataSourceRef{Type: cog.ToPtr(sourceType), Uid: cog.ToPtr(sourceUID)}

// The forms a result can take: rows as they are, or one series per value of the
// column metric.
const (
	table  = "table"
	series = "time_series"
)

// query is a query of Grafana's PostgreSQL source, which the SDK has no type for.
type query struct {
	Datasource common.DataSourceRef `json:"datasource"`
	EditorMode string               `json:"editorMode"`
	Format     string               `json:"format"`
	RawQuery   bool                 `json:"rawQuery"`
	RawSQL     string               `json:"rawSql"`
	RefID      string               `json:"refId"`
}

func (query) ImplementsDataqueryVariant() {}

func (query) DataqueryType() string { return sourceType }

func (query) Validate() error { return nil }

func (q query) Equals(other variants.Dataquery) bool {
	o, ok := other.(query)
	return ok && q.Datasource.Equals(o.Datasource) && q.Format == o.Format && q.RawSQL == o.RawSQL && q.RefID == o.RefID
}

// Build makes a query its own builder.
func (q query) Build() (variants.Dataquery, error) { return q, nil }

func ask(format, sql string) query {
	return query{Datasource: source, EditorMode: "code", Format: format, RawQuery: true, RawSQL: flush(sql), RefID: "A"}
}

// flush takes the indentation of the Go source off a statement.
func flush(sql string) string {
	lines := strings.Split(strings.Trim(sql, "\n\t "), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "\t\t")
	}
	return strings.Join(lines, "\n")
}

// The SDK decodes panels and queries by what is registered with it. Its own
// package that registers everything takes a minute to compile.
func init() {
	runtime := cog.NewRuntime()
	for _, panel := range []variants.PanelcfgConfig{
		bargauge.VariantConfig(), candlestick.VariantConfig(), stat.VariantConfig(), statushistory.VariantConfig(), gtable.VariantConfig(), timeseries.VariantConfig(),
	} {
		runtime.RegisterPanelcfgVariant(panel)
	}
	decode := func(raw []byte) (variants.Dataquery, error) {
		var q query
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		err := d.Decode(&q)
		return q, err
	}
	runtime.RegisterDataqueryVariant(variants.DataqueryConfig{
		Identifier: sourceType, DataqueryUnmarshaler: decode, StrictDataqueryUnmarshaler: decode,
	})
}

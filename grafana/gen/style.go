package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	gtable "github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// The palette of Okabe and Ito, which people with any form of colour blindness
// can tell apart. Up is blue and down is orange, never green and red.
const (
	up         = "#56B4E9"
	upStrong   = "#0072B2"
	down       = "#E69F00"
	downStrong = "#D55E00"
	neutral    = "#8A8F98"
	violet     = "#CC79A7"
	green      = "#009E73"
	clear      = "transparent"
)

// Units of Grafana.
const (
	unitPrice    = "locale"
	unitCount    = "short"
	unitFraction = "percentunit"
	unitPercent  = "percent"
	unitSeconds  = "s"
	unitBytes    = "bytes"
	unitRate     = "cps"
	unitRequests = "reqps"
	unitMillis   = "ms"
	unitNumber   = "none"
)

// at is a place on the grid, 24 wide.
func at(x, y, w, h uint32) dashboard.GridPos {
	return dashboard.GridPos{X: x, Y: y, W: w, H: h}
}

type step struct {
	from  float64
	color string
}

// thresholds colour values.
func thresholds(steps []dashboard.Threshold) cog.Builder[dashboard.ThresholdsConfig] {
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

// scale is base below the first step, and each step's colour from there on.
func scale(base string, steps ...step) []dashboard.Threshold {
	out := []dashboard.Threshold{{Color: base}}
	for _, s := range steps {
		out = append(out, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.color})
	}
	return out
}

// byChange goes from orange to blue around 0; strong is where it is deepest.
func byChange(strong float64) []dashboard.Threshold {
	return scale(downStrong, step{-strong, down}, step{-strong / 10, neutral}, step{strong / 10, up}, step{strong, upStrong})
}

func colorMode(mode dashboard.FieldColorModeId) cog.Builder[dashboard.FieldColor] {
	return dashboard.NewFieldColorBuilder().Mode(mode)
}

// The overrides of one field.
type props []dashboard.DynamicConfigValue

func set() props { return nil }

func (p props) with(id string, value any) props {
	return append(p, dashboard.DynamicConfigValue{Id: id, Value: value})
}

func (p props) unit(unit string) props { return p.with("unit", unit) }

func (p props) decimals(n int) props { return p.with("decimals", n) }

func (p props) width(n int) props { return p.with("custom.width", n) }

func (p props) color(hex string) props {
	return p.with("color", map[string]any{"mode": "fixed", "fixedColor": hex})
}

func (p props) line(width float64) props { return p.with("custom.lineWidth", width) }

func (p props) dashed() props {
	return p.with("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{6, 4}})
}

func (p props) fill(opacity float64) props { return p.with("custom.fillOpacity", opacity) }

func (p props) bars() props { return p.with("custom.drawStyle", "bars").fill(60).line(0) }

// rightAxis puts a field of another unit on a scale of its own.
func (p props) rightAxis() props { return p.with("custom.axisPlacement", "right") }

// steps colours by value, as text or as the background of a table's cell.
func (p props) steps(steps []dashboard.Threshold) props {
	return p.with("thresholds", map[string]any{"mode": "absolute", "steps": steps}).
		with("color", map[string]any{"mode": "thresholds"})
}

func (p props) cell(kind string) props {
	return p.with("custom.cellOptions", map[string]any{"type": kind, "mode": "basic"})
}

func (p props) mapped(texts map[string]dashboard.ValueMappingResult) props {
	return p.with("mappings", []any{map[string]any{"type": "value", "options": texts}})
}

// toSymbol makes a cell that holds a symbol lead to its dashboard.
func (p props) toSymbol() props {
	return p.with("links", []any{map[string]any{
		"title": "Open ${__value.text}",
		"url":   "/d/" + uidSymbol + "?var-symbol=${__value.raw:percentencode}&${__url_time_range}",
	}})
}

func lines(title, description, unit string, pos dashboard.GridPos, queries ...query) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().
		Title(title).Description(description).Unit(unit).GridPos(pos).Datasource(source).Targets(targets(queries)).
		LineWidth(1.5).FillOpacity(0).ShowPoints(common.VisibilityModeNever).PointSize(5).
		SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(true)}).
		ColorScheme(colorMode(dashboard.FieldColorModeIdPaletteClassicByName)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
}

func rows(title, description string, pos dashboard.GridPos, q query) *gtable.PanelBuilder {
	return gtable.NewPanelBuilder().
		Title(title).Description(description).Unit(unitCount).GridPos(pos).Datasource(source).WithTarget(q).
		CellHeight(common.TableCellHeightSm).Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{}).CountRows(false)).ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor("text"))
}

// figures shows each number of one row.
func figures(title, description, unit string, pos dashboard.GridPos, q query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().
		Title(title).Description(description).Unit(unit).GridPos(pos).Datasource(source).WithTarget(q).
		GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue).TextMode(common.BigValueTextModeValueAndName).
		Orientation(common.VizOrientationVertical).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor("text")).
		ReduceOptions(lastValue())
}

func bars(title, description, unit string, pos dashboard.GridPos, q query) *bargauge.PanelBuilder {
	return bargauge.NewPanelBuilder().
		Title(title).Description(description).Unit(unit).GridPos(pos).Datasource(source).WithTarget(q).
		DisplayMode(common.BarGaugeDisplayModeBasic).Orientation(common.VizOrientationHorizontal).
		ValueMode(common.BarGaugeValueModeText).ShowUnfilled(false).NamePlacement(common.BarGaugeNamePlacementLeft).
		Sizing(common.BarGaugeSizingAuto).MinVizHeight(8).MaxVizHeight(24).MinVizWidth(8).
		ColorScheme(colorMode(dashboard.FieldColorModeIdThresholds)).
		// A bar for each row, not one for their last.
		ReduceOptions(common.NewReduceDataOptionsBuilder().Values(true).Calcs([]string{"lastNotNull"}))
}

func lastValue() cog.Builder[common.ReduceDataOptions] {
	return common.NewReduceDataOptionsBuilder().Values(false).Calcs([]string{"lastNotNull"})
}

// targets letters the queries of a panel.
func targets(queries []query) []cog.Builder[variants.Dataquery] {
	out := make([]cog.Builder[variants.Dataquery], len(queries))
	for i, q := range queries {
		q.RefID = string(rune('A' + i))
		out[i] = q
	}
	return out
}

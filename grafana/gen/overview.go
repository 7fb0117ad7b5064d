package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/statushistory"
)

// overview answers: what moves, and is the market as a whole going anywhere?
func overview() *dashboard.DashboardBuilder {
	return board(uidOverview, "Market overview", "Every symbol at a glance: the screener, movers, breadth, and what is unusual now.", "now-6h", "30s").
		WithVariable(pickInterval("5m")).
		Annotation(markAlerts(true, ` AND e.severity = 'critical'`)).
		Annotation(markGaps("")).
		WithPanel(overviewFigures()).
		WithPanel(screener()).
		WithPanel(movers("Rising most", "The symbols furthest above the close of the UTC day before; a bar is full at 3 %. Choose one to open it.", "", scale(up), at(14, 4, 5, 9))).
		WithPanel(movers("Falling most", "The symbols furthest below the close of the UTC day before, by how far they fell; a bar is full at 3 %. Choose one to open it.", "-", scale(down), at(19, 4, 5, 9))).
		WithPanel(unusual(at(14, 13, 10, 9))).
		WithPanel(breadth()).
		WithPanel(changeMap())
}

func overviewFigures() cogPanel {
	return figures("Market now", "As of the newest refresh. Above SMA 50 is the share of symbols whose close is above the mean of their last 50 bars. Unusual means a return 3 standard deviations from the 20 bars before, or 3 times their volume.",
		unitNumber, at(0, 0, 24, 4), ask(table, `
		SELECT count(*) AS "Symbols",
		       count(*) FILTER (WHERE l.change_1d > 0) AS "Up today",
		       count(*) FILTER (WHERE l.change_1d < 0) AS "Down today",
		       avg(l.change_1d)::float8 AS "Mean change today",
		       avg((l.close > l.sma_50)::int)::float8 AS "Above SMA 50",
		       avg(l.rsi_14)::float8 AS "Mean RSI",
		       count(*) FILTER (WHERE abs(l.zscore) >= 3 OR l.volume_ratio >= 3) AS "Unusual now"
		FROM indicator.latest('$interval') l`)).
		OverrideByName("Up today", set().color(up)).
		OverrideByName("Down today", set().color(down)).
		OverrideByName("Mean change today", set().unit(unitFraction).decimals(2).steps(byChange(0.02))).
		OverrideByName("Above SMA 50", set().unit(unitFraction).decimals(0).steps(scale(down, step{0.4, neutral}, step{0.6, up}))).
		OverrideByName("Mean RSI", set().decimals(1).steps(scale(up, step{30, neutral}, step{70, down}))).
		OverrideByName("Unusual now", set().color(violet))
}

func screener() cogPanel {
	return rows("Screener", "One row per symbol as of its newest closed bar. Change is since the bar before, Today since the close of the UTC day before. RSI below 30 is blue (oversold), above 70 orange (overbought). Choose a symbol to open it; every column sorts and filters.",
		at(0, 4, 14, 18), ask(table, `
		SELECT l.symbol AS "Symbol", l.close AS "Last", l.change AS "Change", l.change_1d AS "Today", l.rsi_14 AS "RSI",
		       l.trend AS "Trend", l.percent_b AS "%B", l.atr_14 / l.close AS "ATR", l.zscore AS "Return σ",
		       l.volume_ratio AS "Volume ×", l.bucket AS "Bar"
		FROM indicator.latest('$interval') l
		ORDER BY l.symbol`)).
		Filterable(true).
		OverrideByName("Symbol", set().toSymbol().width(95)).
		OverrideByName("Last", set().width(85).unit(unitPrice)).
		OverrideByName("Change", set().width(85).unit(unitFraction).decimals(2).cell("color-text").steps(byChange(0.005))).
		OverrideByName("Today", set().width(85).unit(unitFraction).decimals(2).cell("color-background").steps(byChangeBackground(0.02))).
		OverrideByName("RSI", set().width(65).decimals(1).cell("color-background").steps(scale(upStrong, step{30, clear}, step{70, downStrong}))).
		OverrideByName("Trend", set().cell("color-text").width(80).mapped(map[string]dashboard.ValueMappingResult{
			"1": mapped("▲ up", up, 0), "-1": mapped("▼ down", down, 1), "0": mapped("– flat", neutral, 2),
		})).
		OverrideByName("%B", set().width(65).decimals(2)).
		OverrideByName("ATR", set().width(70).unit(unitFraction).decimals(2)).
		OverrideByName("Return σ", set().width(90).decimals(1).cell("color-text").steps(scale(violet, step{-3, "text"}, step{3, violet}))).
		OverrideByName("Volume ×", set().width(90).decimals(1).cell("color-text").steps(scale("text", step{3, violet}))).
		OverrideByName("Bar", set().unit("time:HH:mm").width(70))
}

// byChangeBackground leaves small changes uncoloured, so that large ones stand out.
func byChangeBackground(strong float64) []dashboard.Threshold {
	return scale(downStrong, step{-strong, "rgba(213, 94, 0, 0.45)"}, step{-strong / 5, clear}, step{strong / 5, "rgba(0, 114, 178, 0.45)"}, step{strong, upStrong})
}

func mapped(text, color string, index int32) dashboard.ValueMappingResult {
	return dashboard.ValueMappingResult{Text: &text, Color: &color, Index: &index}
}

// movers are bars from zero on: what fell is drawn by how far it fell.
func movers(title, description string, sign string, colors []dashboard.Threshold, pos dashboard.GridPos) cogPanel {
	return bars(title, description, unitFraction, pos, ask(table, `
		SELECT l.symbol AS "Symbol", `+sign+`l.change_1d AS "Today"
		FROM indicator.latest('$interval') l
		WHERE `+sign+`l.change_1d > 0
		ORDER BY `+sign+`l.change_1d DESC, l.symbol LIMIT 8`)).
		Decimals(2).Min(0).Max(0.03).Thresholds(thresholds(colors)).
		OverrideByName("Today", set().with("links", []any{map[string]any{
			"title": "Open ${__data.fields.Symbol}",
			"url":   "/d/" + uidSymbol + "?var-symbol=${__data.fields.Symbol:percentencode}&${__url_time_range}",
		}}))
}

// unusual lists what stands out most, whether or not it passes a threshold.
func unusual(pos dashboard.GridPos) cogPanel {
	return rows("Most unusual now", "The ten bars furthest from what the 20 bars before them were like, by return or by volume. Beyond 3 they are marked.",
		pos, ask(table, `
		SELECT l.symbol AS "Symbol", l.zscore AS "Return σ", l.volume_ratio AS "Volume ×", l.change AS "Change", l.bucket AS "Bar"
		FROM indicator.latest('$interval') l
		WHERE l.zscore IS NOT NULL OR l.volume_ratio IS NOT NULL
		ORDER BY greatest(abs(l.zscore), l.volume_ratio) DESC NULLS LAST, l.symbol
		LIMIT 10`)).
		OverrideByName("Symbol", set().toSymbol().width(90)).
		OverrideByName("Return σ", set().decimals(2).cell("color-background").steps(scale(violet, step{-3, clear}, step{3, violet}))).
		OverrideByName("Volume ×", set().decimals(2).cell("color-background").steps(scale(clear, step{3, violet}))).
		OverrideByName("Change", set().unit(unitFraction).decimals(2).cell("color-text").steps(byChange(0.005))).
		OverrideByName("Bar", set().unit("time:HH:mm").width(65))
}

func breadth() cogPanel {
	return lines("Market breadth", "Share of the symbols that closed above the mean of their last 50 bars, and share that rose in the bar. Above one half most of the market takes part in a rise.",
		unitFraction, at(0, 22, 24, 7), ask(table, `
		SELECT m.bucket AS time,
		       avg((m.close > m.sma_50)::int)::float8 AS "Above SMA 50",
		       avg((m.change > 0)::int)::float8 AS "Rising"
		FROM indicator.market('$interval', $__timeFrom(), $__timeTo()) m
		GROUP BY m.bucket ORDER BY m.bucket`)).
		Min(0).Max(1).Decimals(0).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed)).
		Thresholds(thresholds(scale(clear, step{0.5, neutral}))).
		OverrideByName("Above SMA 50", set().color(up).line(2).fill(15)).
		OverrideByName("Rising", set().color(neutral).line(1))
}

func changeMap() cogPanel {
	return statushistory.NewPanelBuilder().
		Title("Heat map of change").
		Description("From open to close of each interval, by symbol: blue rose, orange fell.").
		Unit(unitFraction).Decimals(2).GridPos(at(0, 29, 24, 17)).Datasource(source).WithTarget(ask(series, `
		SELECT $__timeGroupAlias(c.bucket,$__interval), c.symbol AS metric,
		       public.last(c.close, c.bucket) / nullif(public.first(coalesce(c.open, c.close), c.bucket), 0) - 1 AS value
		FROM public.candles_5m c
		WHERE $__timeFilter(c.bucket) AND c.close IS NOT NULL
		GROUP BY 1, 2
		ORDER BY 1, 2`)).
		Interval("5m").MaxDataPoints(48).
		ShowValue(common.VisibilityModeNever).RowHeight(0.9).ColWidth(0.95).LineWidth(0).FillOpacity(90).
		ColorScheme(colorMode(dashboard.FieldColorModeIdThresholds)).Thresholds(thresholds(byChange(0.01))).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeSingle).Sort(common.SortOrderNone))
}

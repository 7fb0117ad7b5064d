package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// lab answers: what does this indicator say, of these symbols? It reads the
// catalog, so an indicator that somebody adds is here at the next load.
func lab() *dashboard.DashboardBuilder {
	parameters := dashboard.NewTextBoxVariableBuilder("parameters").Label("Parameters").
		Description(`JSON object, as {"period": 9}. What is left out has its default.`).DefaultValue(dashboard.StringOrMap{String: cog.ToPtr("{}")})
	return board(uidLab, "Indicator lab", "Any indicator of the catalog, your own included, over several symbols and any interval.", "now-6h", "1m").
		WithVariable(pickSymbol().Multi(true)).
		WithVariable(pickInterval("5m")).
		WithVariable(pick("indicator", "Indicator", "What the catalog lists: every function of schema indicator that returns points.", indicatorsSQL).
			Current(chosen("Relative strength index (rsi)", "rsi"))).
		WithVariable(parameters).
		Annotation(markGaps(` AND g.symbol IN (${symbol:sqlstring})`)).
		WithPanel(lines("$indicator, $interval", "Every series of the indicator for every chosen symbol.",
			unitNumber, at(0, 0, 24, 12), ask(series, `
		SELECT p.bucket AS time, s.symbol || ' ' || p.series AS metric, p.value
		FROM unnest(ARRAY[${symbol:sqlstring}]::text[]) AS s(symbol),
		     indicator.evaluate('$indicator', s.symbol, '$interval', $__timeFrom(), $__timeTo(), `+given+`) p
		ORDER BY p.bucket, s.symbol`)).
			Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementRight).
				ShowLegend(true).Calcs([]string{"lastNotNull", "min", "max"}))).
		WithPanel(lines("Prices, begun at 100", "Closes of the chosen symbols, scaled so that each begins at 100: who gains on whom.",
			unitNumber, at(0, 12, 24, 8), ask(series, `
		SELECT c.bucket AS time, c.symbol AS metric, 100 * c.close / first_value(c.close) OVER (PARTITION BY c.symbol ORDER BY c.bucket) AS value
		FROM unnest(ARRAY[${symbol:sqlstring}]::text[]) AS s(symbol), public.candles(s.symbol, '$interval', $__timeFrom(), $__timeTo()) c
		ORDER BY c.bucket, c.symbol`)).Decimals(2)).
		WithPanel(rows("Newest values", "The last bar of each symbol and series.", at(0, 20, 12, 9), ask(table, `
		SELECT DISTINCT ON (s.symbol, p.series) s.symbol AS "Symbol", p.series AS "Series", p.value AS "Value", p.bucket AS "Bar"
		FROM unnest(ARRAY[${symbol:sqlstring}]::text[]) AS s(symbol),
		     indicator.evaluate('$indicator', s.symbol, '$interval', $__timeFrom(), $__timeTo(), `+given+`) p
		ORDER BY s.symbol, p.series, p.bucket DESC`)).
			OverrideByName("Symbol", set().toSymbol()).
			OverrideByName("Value", set().unit(unitNumber)).
			OverrideByName("Bar", set().unit("time:MM-DD HH:mm"))).
		WithPanel(rows("What it is", "The indicator's entry in the catalog: its parameters with their defaults and ranges, and its series.", at(12, 20, 12, 9), ask(table, `
		SELECT 'Title' AS "About", c.title AS "$indicator" FROM indicator.catalog c WHERE c.name = '$indicator'
		UNION ALL
		SELECT 'Parameter ' || (p ->> 'name'),
		       concat_ws('. ', 'Default ' || (p ->> 'default'), (p ->> 'min') || ' to ' || (p ->> 'max'), p ->> 'description')
		FROM indicator.catalog c, LATERAL jsonb_array_elements(c.parameters) p WHERE c.name = '$indicator'
		UNION ALL
		SELECT 'Series ' || (s ->> 'name'), coalesce(s ->> 'description', '')
		FROM indicator.catalog c, LATERAL jsonb_array_elements(c.series) s WHERE c.name = '$indicator'
		UNION ALL
		SELECT 'Description', c.description FROM indicator.catalog c WHERE c.name = '$indicator'`)).
			OverrideByName("About", set().width(180)).
			WithOverride(dashboard.MatcherConfig{Id: "byType", Options: cog.ToPtr[any]("string")}, set().with("custom.cellOptions", map[string]any{"type": "auto", "wrapText": true}))).
		WithPanel(each())
}

// given are the parameters; a box that was emptied means none.
const given = `coalesce(nullif('$parameters', ''), '{}')::jsonb`

// each repeats for every chosen symbol, where one chart of all has too many lines.
func each() cogPanel {
	return lines("$symbol: $indicator", "The indicator of one symbol; the panel repeats for each one chosen.",
		unitNumber, at(0, 29, 12, 8), ask(series, `
		SELECT p.bucket AS time, p.series AS metric, p.value
		FROM unnest(ARRAY[${symbol:sqlstring}]::text[]) AS s(symbol),
		     indicator.evaluate('$indicator', s.symbol, '$interval', $__timeFrom(), $__timeTo(), `+given+`) p
		ORDER BY p.bucket`)).
		Repeat("symbol").RepeatDirection(dashboard.PanelRepeatDirectionH).MaxPerRow(2)
}

package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// alerts answers: what asks for attention, and what did before?
func alerts() *dashboard.DashboardBuilder {
	return board(uidAlerts, "Alerts and anomalies", "Rules that fire, unusual returns and volumes, RSI extremes and trend crosses.", "now-6h", "30s").
		WithVariable(all(pickSymbol())).
		WithVariable(pickInterval("5m")).
		Annotation(markAlerts(false, ` AND e.symbol IN (${symbol:sqlstring})`)).
		Annotation(markGaps(` AND g.symbol IN (${symbol:sqlstring})`)).
		WithPanel(firing()).
		WithPanel(alertFigures()).
		WithPanel(extremes()).
		WithPanel(scores("Unusual returns", "Every bar whose return is 2 standard deviations or more from the 20 before it. Beyond 3, the dashed lines, it is counted as unusual.",
			"m.zscore", "abs(m.zscore) >= 2", unitNumber, at(0, 9, 12, 9), scale(shade, step{-3, clear}, step{3, shade}))).
		WithPanel(scores("Unusual volumes", "Every bar with twice the volume of the 20 before it, or more. Beyond 3, the dashed line, it is counted as unusual.",
			"m.volume_ratio", "m.volume_ratio >= 2", unitNumber, at(12, 9, 12, 9), scale(clear, step{3, shade}))).
		WithPanel(history()).
		WithPanel(crosses()).
		WithPanel(found()).
		WithPanel(grafanaRules())
}

// shade marks what lies beyond a threshold.
const shade = "rgba(204, 121, 167, 0.15)"

// severities colours them, with the word beside the colour.
func severities(p props) props {
	return p.width(95).cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
		"critical": mapped("▲ critical", downStrong, 0), "warning": mapped("■ warning", down, 1), "info": mapped("● info", up, 2),
	})
}

// firing is what the rules in the database find to hold now.
func firing() cogPanel {
	return rows("Firing", "What the rules in the database (alert.rules) find to hold now, the worst first. Parts of the pipeline that have failed are here too, whatever symbols are chosen.",
		at(0, 0, 10, 9), ask(table, `
		SELECT e.severity AS "Severity", e.bar AS "Since", e.symbol AS "Symbol", e.message AS "What"
		FROM alert.events e
		WHERE e.state = 'firing' AND (e.symbol IN (${symbol:sqlstring}) OR e."interval" IS NULL)
		ORDER BY array_position(ARRAY['critical', 'warning', 'info'], e.severity), e.bar DESC LIMIT 100`)).
		NoValue("Nothing fires").
		OverrideByName("Severity", severities(set())).
		OverrideByName("Since", set().unit("time:MM-DD HH:mm").width(100)).
		OverrideByName("Symbol", set().toSymbol().width(80))
}

func found() cogPanel {
	return rows("Events of the rules", "What the rules found on closed bars, newest first. Retracted: the bar has changed, and the condition does not hold on it.",
		at(0, 30, 14, 12), ask(table, `
		SELECT e.bar AS "Bar", e.symbol AS "Symbol", e.severity AS "Severity", e.state AS "State", e.message AS "What", e.revision AS "Revisions"
		FROM alert.events e
		WHERE $__timeFilter(e.bar) AND (e.symbol IN (${symbol:sqlstring}) OR e."interval" IS NULL)
		ORDER BY e.bar DESC, e.symbol LIMIT 500`)).
		NoValue("The rules found nothing in the time shown").
		OverrideByName("Bar", set().unit("time:MM-DD HH:mm").width(100)).
		OverrideByName("Symbol", set().toSymbol().width(80)).
		OverrideByName("Severity", severities(set())).
		OverrideByName("State", set().width(90).cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
			"firing": mapped("firing", downStrong, 0), "resolved": mapped("resolved", neutral, 1), "retracted": mapped("retracted", violet, 2),
		})).
		OverrideByName("Revisions", set().width(85))
}

// grafanaRules is Grafana's own list; it asks no datasource.
func grafanaRules() cogPanel {
	return dashboard.NewPanelBuilder().Type("alertlist").
		Title("Rules of this Grafana").Description("Grafana's own alert rules that fire, are about to, or cannot be evaluated.").
		GridPos(at(14, 30, 10, 12)).
		Options(map[string]any{
			"alertInstanceLabelFilter": "", "alertName": "", "dashboardAlerts": false, "groupBy": []string{}, "groupMode": "default",
			"maxItems": 50, "sortOrder": 1, "viewMode": "list", "showInstances": true,
			"stateFilter": map[string]bool{"firing": true, "pending": true, "error": true, "noData": false, "normal": false},
		})
}

func alertFigures() cogPanel {
	return figures("In the time shown", "Bars of the chosen symbols beyond 3 standard deviations or 3 times the usual volume, and gaps in the feed.",
		unitNumber, at(10, 0, 6, 9), ask(table, `
		SELECT count(*) FILTER (WHERE abs(m.zscore) >= 3) AS "Unusual returns",
		       count(*) FILTER (WHERE m.volume_ratio >= 3) AS "Unusual volumes",
		       count(*) FILTER (WHERE abs(m.zscore) >= 3 AND m.volume_ratio >= 3) AS "Both at once",
		       (SELECT count(*) FROM public.feed_gaps g WHERE g.closed_at IS NULL AND g.symbol IN (${symbol:sqlstring}) AND $__timeFilter(g.detected_at)) AS "Gaps in the feed"
		FROM indicator.market('$interval', $__timeFrom(), $__timeTo(), ARRAY[${symbol:sqlstring}]::text[]) m`)).
		Orientation(common.VizOrientationHorizontal).
		OverrideByRegexp("Unusual.*", set().color(violet)).
		OverrideByName("Both at once", set().color(downStrong)).
		OverrideByName("Gaps in the feed", set().steps(scale("text", step{1, downStrong})))
}

func extremes() cogPanel {
	return rows("Furthest RSI now", "The symbols whose RSI is furthest from 50. Below 30 is blue (oversold), above 70 orange (overbought).",
		at(16, 0, 8, 9), ask(table, `
		SELECT l.symbol AS "Symbol", l.rsi_14 AS "RSI", l.change_1d AS "Today", l.bucket AS "Bar"
		FROM indicator.latest('$interval') l
		WHERE l.symbol IN (${symbol:sqlstring}) AND l.rsi_14 IS NOT NULL
		ORDER BY abs(l.rsi_14 - 50) DESC, l.symbol LIMIT 15`)).
		OverrideByName("Symbol", set().toSymbol()).
		OverrideByName("RSI", set().decimals(1).cell("color-background").steps(scale(upStrong, step{30, clear}, step{70, downStrong}))).
		OverrideByName("Today", set().unit(unitFraction).decimals(2).cell("color-text").steps(byChange(0.02))).
		OverrideByName("Bar", set().unit("time:HH:mm"))
}

// scores draws a point for each bar that stands out.
func scores(title, description, value, where, unit string, pos dashboard.GridPos, bands []dashboard.Threshold) cogPanel {
	return lines(title, description, unit, pos, ask(series, `
		SELECT m.bucket AS time, m.symbol AS metric, `+value+` AS value
		FROM indicator.market('$interval', $__timeFrom(), $__timeTo(), ARRAY[${symbol:sqlstring}]::text[]) m
		WHERE `+where+`
		ORDER BY m.bucket, m.symbol`)).
		DrawStyle(common.GraphDrawStylePoints).ShowPoints(common.VisibilityModeAlways).PointSize(7).Decimals(1).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashedAndArea)).
		Thresholds(thresholds(bands)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeSingle).Sort(common.SortOrderNone))
}

func history() cogPanel {
	return rows("What happened", "Unusual bars and gaps in the feed, newest first. Score is standard deviations, times the usual volume, or the number of ticks that have not come.",
		at(0, 18, 14, 12), ask(table, `
		SELECT e.at AS "Time", e.symbol AS "Symbol", e.what AS "What", e.score AS "Score"
		FROM (
		    SELECT m.bucket AS at, m.symbol, v.what, v.score
		    FROM indicator.market('$interval', $__timeFrom(), $__timeTo(), ARRAY[${symbol:sqlstring}]::text[]) m,
		         LATERAL (VALUES (CASE WHEN m.zscore > 0 THEN 'unusual rise' ELSE 'unusual fall' END, m.zscore), ('unusual volume', m.volume_ratio)) v(what, score)
		    WHERE abs(v.score) >= 3
		    UNION ALL
		    SELECT g.before_ts, g.symbol, 'gap in the feed', (SELECT sum(upper(r.part)::numeric - lower(r.part)) FROM (SELECT unnest(g.missing) AS part) r)::float8
		    FROM public.feed_gaps g WHERE g.closed_at IS NULL AND $__timeFilter(g.before_ts) AND g.symbol IN (${symbol:sqlstring})
		) e
		ORDER BY e.at DESC, e.symbol LIMIT 500`)).
		OverrideByName("Time", set().unit("time:MM-DD HH:mm").width(120)).
		OverrideByName("Symbol", set().toSymbol().width(120)).
		OverrideByName("What", set().cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
			"unusual rise": mapped("▲ unusual rise", up, 0), "unusual fall": mapped("▼ unusual fall", down, 1),
			"unusual volume": mapped("■ unusual volume", violet, 2), "gap in the feed": mapped("○ gap in the feed", neutral, 3),
		})).
		OverrideByName("Score", set().decimals(1))
}

func crosses() cogPanel {
	return rows("Trend crosses", "Where SMA 50 crossed SMA 200: golden upwards, death downwards, newest first.",
		at(14, 18, 10, 12), ask(table, `
		SELECT t.bucket AS "Time", s.symbol AS "Symbol", t.value AS "Cross"
		FROM unnest(ARRAY[${symbol:sqlstring}]::text[]) AS s(symbol),
		     indicator.trend(s.symbol, '$interval', $__timeFrom(), $__timeTo()) t
		WHERE t.series = 'cross' AND t.value <> 0
		ORDER BY t.bucket DESC, s.symbol LIMIT 200`)).
		OverrideByName("Time", set().unit("time:MM-DD HH:mm").width(120)).
		OverrideByName("Symbol", set().toSymbol()).
		OverrideByName("Cross", set().cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
			"1": mapped("▲ golden", up, 0), "-1": mapped("▼ death", down, 1),
		}))
}

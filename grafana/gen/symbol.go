package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/candlestick"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
)

// cogPanel is what every panel builder is.
type cogPanel = cog.Builder[dashboard.Panel]

// symbol answers: what is this one doing?
func symbol() *dashboard.DashboardBuilder {
	return board(uidSymbol, "Symbol", "One symbol: candles with averages and bands, RSI, MACD, ATR, VWAP, and how often it trades.", "now-6h", "10s").
		WithVariable(pickSymbol()).
		WithVariable(pickInterval("5m")).
		Annotation(marks("Unusual returns", violet, true, `
		SELECT z.bucket AS time, ${symbol:sqlstring} || ': return ' || round(z.value::numeric, 1) || ' σ from usual' AS text, 'anomaly' AS tags
		FROM indicator.zscore(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) z
		WHERE abs(z.value) >= 4`)).
		Annotation(marks("Crosses of SMA 50 and 200", green, true, `
		SELECT t.bucket AS time, ${symbol:sqlstring} || ': ' || CASE WHEN t.value > 0 THEN 'golden' ELSE 'death' END || ' cross' AS text, 'cross' AS tags
		FROM indicator.trend(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) t
		WHERE t.series = 'cross' AND t.value <> 0`)).
		Annotation(markAlerts(true, ` AND e.symbol = ${symbol:sqlstring}`)).
		Annotation(markGaps(` AND g.symbol = ${symbol:sqlstring}`)).
		WithPanel(lastPrice()).
		WithPanel(today()).
		WithPanel(candles()).
		WithPanel(rsi()).
		WithPanel(macd()).
		WithPanel(vwap()).
		WithPanel(atr()).
		WithPanel(tradeRate()).
		WithPanel(lastTrades())
}

func lastPrice() cogPanel {
	return stat.NewPanelBuilder().Title("$symbol").
		Description("The newest close, and the closes before it.").
		Unit(unitPrice).GridPos(at(0, 0, 5, 4)).Datasource(source).WithTarget(ask(table, `
		SELECT c.bucket AS time, c.close AS "Last"
		FROM public.candles(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) c`)).
		GraphMode(common.BigValueGraphModeArea).ColorMode(common.BigValueColorModeValue).TextMode(common.BigValueTextModeValue).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdFixed).FixedColor(up)).
		ReduceOptions(lastValue())
}

func today() cogPanel {
	return figures("Today, UTC", "The UTC day so far. Change is since the close of the day before; VWAP is over every trade of the day.",
		unitNumber, at(5, 0, 19, 4), ask(table, `
		SELECT d.close / nullif(lag(d.close) OVER (ORDER BY d.bucket), 0) - 1 AS "Change",
		       d.open AS "Open", d.high AS "High", d.low AS "Low", d.notional / nullif(d.volume, 0) AS "VWAP",
		       d.volume AS "Volume", d.trades AS "Trades",
		       (SELECT extract(epoch FROM now() - max(p.last_ts))::float8 FROM public.feed_positions p WHERE p.symbol = ${symbol:sqlstring}) AS "Last trade"
		FROM public.candles(${symbol:sqlstring}, '1d', 'infinity', warmup => 2) d
		ORDER BY d.bucket DESC LIMIT 1`)).
		OverrideByName("Change", set().unit(unitFraction).decimals(2).steps(byChange(0.02))).
		OverrideByRegexp("Open|High|Low|VWAP", set().unit(unitPrice)).
		OverrideByName("VWAP", set().decimals(2)).
		OverrideByRegexp("Volume|Trades", set().unit(unitCount)).
		OverrideByName("Last trade", set().unit(unitSeconds).decimals(0).steps(scale(neutral, step{60, down}, step{600, downStrong})))
}

// candles joins the overlays to the bars in SQL: the panel draws one frame.
func candles() cogPanel {
	return candlestick.NewPanelBuilder().
		Title("$symbol, $interval").
		Description("Bars with volume. SMA 20 and the Bollinger bands around it at two standard deviations, EMA 12 and EMA 50. The newest bar is still forming. Blue closed above its open, orange below.").
		Unit(unitPrice).GridPos(at(0, 4, 24, 15)).Datasource(source).WithTarget(ask(table, `
		SELECT c.bucket AS time, c.open, c.high, c.low, c.close, c.volume,
		       max(b.value) FILTER (WHERE b.series = 'middle') AS "SMA 20",
		       max(b.value) FILTER (WHERE b.series = 'upper') AS "Upper band",
		       max(b.value) FILTER (WHERE b.series = 'lower') AS "Lower band",
		       max(b.value) FILTER (WHERE b.series = 'ema 12') AS "EMA 12",
		       max(b.value) FILTER (WHERE b.series = 'ema 50') AS "EMA 50"
		FROM public.candles(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) c
		LEFT JOIN (
		    SELECT p.bucket, p.series, p.value FROM indicator.bollinger(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) p
		    UNION ALL
		    SELECT p.bucket, 'ema 12', p.value FROM indicator.ema(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo(), 12) p
		    UNION ALL
		    SELECT p.bucket, 'ema 50', p.value FROM indicator.ema(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo(), 50) p
		) b ON b.bucket = c.bucket
		GROUP BY c.bucket, c.open, c.high, c.low, c.close, c.volume
		ORDER BY c.bucket`)).
		Mode(candlestick.VizDisplayModeCandlesVolume).CandleStyle(candlestick.CandleStyleCandles).ColorStrategy(candlestick.ColorStrategyOpenClose).
		Colors(candlestick.NewCandlestickColorsBuilder().Up(up).Down(down).Flat(neutral)).
		Fields(candlestick.NewCandlestickFieldMapBuilder().Open("open").High("high").Low("low").Close("close").Volume("volume")).
		IncludeAllFields(true).
		LineWidth(1).FillOpacity(0).ShowPoints(common.VisibilityModeNever).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true)).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderNone)).
		OverrideByName("volume", set().unit(unitCount)).
		OverrideByName("SMA 20", set().color(neutral)).
		OverrideByName("Upper band", set().color(neutral).dashed()).
		OverrideByName("Lower band", set().color(neutral).dashed()).
		OverrideByName("EMA 12", set().color(violet)).
		OverrideByName("EMA 50", set().color(green).line(1.5))
}

func rsi() cogPanel {
	return lines("RSI 14", "Wilder's relative strength index. Below 30 is often read as oversold, above 70 as overbought.",
		unitNumber, at(0, 19, 12, 7), ask(table, `
		SELECT r.bucket AS time, r.value AS "RSI"
		FROM indicator.rsi(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) r`)).
		Min(0).Max(100).Decimals(1).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashedAndArea)).
		Thresholds(thresholds(scale("rgba(0, 114, 178, 0.25)", step{30, clear}, step{70, "rgba(213, 94, 0, 0.25)"}))).
		OverrideByName("RSI", set().color(violet))
}

func macd() cogPanel {
	return lines("MACD 12, 26, 9", "EMA 12 less EMA 26, its signal line, and their difference. Above 0 the shorter average leads.",
		unitPrice, at(12, 19, 12, 7), ask(table, `
		SELECT m.bucket AS time,
		       max(m.value) FILTER (WHERE m.series = 'histogram') AS "Histogram",
		       max(m.value) FILTER (WHERE m.series = 'macd') AS "MACD",
		       max(m.value) FILTER (WHERE m.series = 'signal') AS "Signal"
		FROM indicator.macd(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) m
		GROUP BY m.bucket ORDER BY m.bucket`)).
		Decimals(3).AxisCenteredZero(true).
		OverrideByName("Histogram", set().color(neutral).bars()).
		OverrideByName("MACD", set().color(up)).
		OverrideByName("Signal", set().color(down))
}

func vwap() cogPanel {
	return lines("VWAP", "The close against the average price of every trade, weighted by size: since midnight UTC, and over the last 50 bars.",
		unitPrice, at(0, 26, 12, 7), ask(table, `
		SELECT c.bucket AS time, c.close AS "Close", d.value AS "VWAP of the day", r.value AS "VWAP of 50 bars"
		FROM public.candles(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) c
		LEFT JOIN indicator.vwap(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) d ON d.bucket = c.bucket
		LEFT JOIN indicator.vwap(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo(), 50) r ON r.bucket = c.bucket
		ORDER BY c.bucket`)).
		OverrideByName("Close", set().color(up)).
		OverrideByName("VWAP of the day", set().color(down).line(2)).
		OverrideByName("VWAP of 50 bars", set().color(neutral).dashed())
}

func atr() cogPanel {
	return lines("ATR 14", "Wilder's average true range: how far a bar usually goes, gaps included. On the right as a share of the close.",
		unitPrice, at(12, 26, 12, 7), ask(table, `
		SELECT a.bucket AS time, a.value AS "ATR", a.value / c.close AS "ATR / close"
		FROM indicator.atr(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) a
		JOIN public.candles(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) c ON c.bucket = a.bucket
		ORDER BY a.bucket`)).
		Decimals(3).
		OverrideByName("ATR", set().color(up)).
		OverrideByName("ATR / close", set().color(neutral).dashed().unit(unitFraction).decimals(2).rightAxis())
}

func tradeRate() cogPanel {
	return lines("Trade rate", "Trades a minute in each bar, and on the right the bar's volume over that of the 20 bars before.",
		unitCount, at(0, 33, 12, 8), ask(table, `
		SELECT c.bucket AS time, c.trades * 60 / extract(epoch FROM _hypertick.bucket_end(c.bucket, bars.width) - c.bucket)::float8 AS "Trades a minute", v.value AS "Volume ×"
		FROM public.candles(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) c
		CROSS JOIN _hypertick.find_interval('$interval') bars
		LEFT JOIN indicator.volume_spike(${symbol:sqlstring}, '$interval', $__timeFrom(), $__timeTo()) v ON v.bucket = c.bucket AND v.series = 'ratio'
		ORDER BY c.bucket`)).
		Min(0).
		OverrideByName("Trades a minute", set().color(up).bars()).
		OverrideByName("Volume ×", set().color(violet).decimals(1).rightAxis())
}

func lastTrades() cogPanel {
	return rows("Last trades", "The newest trades stored, newest first.", at(12, 33, 12, 8), ask(table, `
		SELECT t.ts AS "Time", t.price AS "Price", t.size AS "Size", t.venue AS "Venue", t.seq AS "Sequence"
		FROM public.ticks t
		WHERE t.symbol = ${symbol:sqlstring}
		ORDER BY t.ts DESC LIMIT 50`)).
		OverrideByName("Time", set().unit("time:HH:mm:ss.SSS")).
		OverrideByName("Price", set().unit(unitPrice)).
		OverrideByName("Sequence", set().unit(unitNumber))
}

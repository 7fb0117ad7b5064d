package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// pipeline answers: do the ticks arrive, and does the database keep up? All of
// it from SQL.
func pipeline() *dashboard.DashboardBuilder {
	return board(uidPipeline, "Pipeline", "From the topic to the API: ingest, lag, dead letters, gaps, data quality, jobs, storage and requests, from SQL only.", "now-3h", "30s").
		Annotation(markGaps("")).
		WithPanel(pipelineFigures()).
		WithPanel(parts()).
		WithPanel(ingestRate()).
		WithPanel(lag()).
		WithPanel(rejected()).
		WithPanel(marketRate()).
		WithPanel(stalest()).
		WithPanel(watermarks()).
		WithPanel(gaps()).
		WithPanel(quality()).
		WithPanel(jobs()).
		WithPanel(storage()).
		WithPanel(chunks()).
		WithPanel(apiRate()).
		WithPanel(apiLatency())
}

func pipelineFigures() cogPanel {
	return figures("Now", "Last tick: how long ago the newest trade took place. Behind: records the partitions still had to read at their last batch. Columnstore: compression ratio of the chunks of ticks in it.",
		unitNumber, at(0, 0, 24, 4), ask(table, `
		SELECT (SELECT extract(epoch FROM now() - max(p.last_ts))::float8 FROM public.feed_positions p) AS "Last tick",
		       (SELECT extract(epoch FROM now() - max(o.updated_at))::float8 FROM public.ingest_offsets o) AS "Last batch",
		       (SELECT sum(b.behind)::float8 FROM (
		           SELECT DISTINCT ON (a.topic, a.partition) a.behind FROM public.ingest_activity a
		           ORDER BY a.topic, a.partition, a.minute DESC) b) AS "Behind",
		       (SELECT coalesce(sum(a.stored), 0)::float8 FROM public.ingest_activity a WHERE $__timeFilter(a.minute)) AS "Stored",
		       (SELECT coalesce(sum(a.duplicates), 0)::float8 FROM public.ingest_activity a WHERE $__timeFilter(a.minute)) AS "Duplicates",
		       (SELECT coalesce(sum(a.dead_letters), 0)::float8 FROM public.ingest_activity a WHERE $__timeFilter(a.minute)) AS "Dead letters",
		       (SELECT count(*) FROM public.feed_gaps g WHERE g.closed_at IS NULL AND $__timeFilter(g.detected_at)) AS "Gaps",
		       (SELECT s.before_compression_total_bytes::float8 / nullif(s.after_compression_total_bytes, 0)
		        FROM public.hypertable_compression_stats('public.ticks') s) AS "Columnstore",
		       pg_database_size(current_database()) AS "Database"`)).
		OverrideByRegexp("Last tick|Last batch", set().unit(unitSeconds).decimals(0).steps(scale(up, step{60, down}, step{600, downStrong}))).
		OverrideByName("Behind", set().unit(unitCount).steps(scale(up, step{10_000, down}, step{100_000, downStrong}))).
		OverrideByName("Stored", set().unit(unitCount)).
		OverrideByRegexp("Duplicates|Gaps", set().unit(unitCount).steps(scale("text", step{1, down}))).
		OverrideByName("Dead letters", set().unit(unitCount).steps(scale("text", step{1, downStrong}))).
		OverrideByName("Columnstore", set().unit("suffix: ×").decimals(1)).
		OverrideByName("Database", set().unit(unitBytes))
}

func ingestRate() cogPanel {
	return lines("Ingest rate", "Ticks stored a second, by the minute in which they were stored.",
		unitRate, at(0, 16, 12, 8), ask(table, `
		SELECT a.minute AS time, sum(a.stored)::float8 / 60 AS "Stored"
		FROM public.ingest_activity a
		WHERE $__timeFilter(a.minute)
		GROUP BY a.minute ORDER BY a.minute`)).
		Min(0).OverrideByName("Stored", set().color(up).fill(15))
}

func lag() cogPanel {
	return lines("Consumer lag", "Records of each partition still to read after its last batch of the minute.",
		unitCount, at(12, 16, 12, 8), ask(series, `
		SELECT a.minute AS time, a.topic || ' ' || a.partition AS metric, a.behind AS value
		FROM public.ingest_activity a
		WHERE $__timeFilter(a.minute)
		ORDER BY a.minute, metric`)).Min(0)
}

func rejected() cogPanel {
	return lines("Duplicates and dead letters", "Records a minute that were not stored: duplicates from the feed, or invalid records published to the dead-letter topic.",
		unitCount, at(0, 24, 12, 7), ask(table, `
		SELECT a.minute AS time, sum(a.duplicates)::float8 AS "Duplicates", sum(a.dead_letters)::float8 AS "Dead letters"
		FROM public.ingest_activity a
		WHERE $__timeFilter(a.minute)
		GROUP BY a.minute ORDER BY a.minute`)).
		Min(0).
		OverrideByName("Duplicates", set().color(neutral).bars()).
		OverrideByName("Dead letters", set().color(downStrong).bars())
}

func marketRate() cogPanel {
	return lines("Trades a second, by trade time", "Trades by trade time. If the ingest rate falls while this does not, ticks arrive late.",
		unitRate, at(12, 24, 12, 7), ask(table, `
		SELECT $__timeGroupAlias(c.bucket,$__interval), sum(c.trades)::float8 / $__interval_ms * 1000 AS "Trades"
		FROM public.candles_1m c
		WHERE $__timeFilter(c.bucket)
		GROUP BY 1 ORDER BY 1`)).
		Interval("1m").Min(0).OverrideByName("Trades", set().color(violet))
}

func stalest() cogPanel {
	return bars("Quietest feeds", "Time since the newest trade of each feed, the longest first.",
		unitSeconds, at(0, 31, 8, 10), ask(table, `
		SELECT p.symbol || ' ' || p.venue AS "Feed", extract(epoch FROM now() - p.last_ts)::float8 AS "Age"
		FROM public.feed_positions p
		ORDER BY p.last_ts LIMIT 12`)).
		Min(0).Decimals(0).Thresholds(thresholds(scale(up, step{60, down}, step{600, downStrong})))
}

func watermarks() cogPanel {
	return bars("Watermarks behind the newest tick", "Lag of the watermark of each candle and block aggregate behind the newest tick. The width of one bucket is normal.",
		unitSeconds, at(8, 31, 8, 10), ask(table, `
		SELECT w.relation AS "Aggregate",
		       greatest(extract(epoch FROM (SELECT max(p.last_ts) FROM public.feed_positions p) - w.watermark), 0)::float8 AS "Behind"
		FROM public.watermarks w
		ORDER BY w.relation`)).
		Min(0).Decimals(0).Thresholds(thresholds(scale(up)))
}

func gaps() cogPanel {
	return rows("Open gaps in the feed", "Ranges of seq that a contiguous feed skipped and that have not come since, newest first.",
		at(16, 31, 8, 10), ask(table, `
		SELECT g.detected_at AS "Seen", g.symbol AS "Symbol", g.venue AS "Venue", (SELECT sum(upper(r.part)::numeric - lower(r.part)) FROM (SELECT unnest(g.missing) AS part) r)::float8 AS "Ticks"
		FROM public.feed_gaps g WHERE g.closed_at IS NULL
		ORDER BY g.detected_at DESC LIMIT 50`)).
		NoValue("No gaps").
		OverrideByName("Seen", set().unit("time:MM-DD HH:mm:ss")).
		OverrideByName("Symbol", set().toSymbol())
}

func quality() cogPanel {
	return rows("Data quality findings", "Findings of the job that checks new ticks: those that last, then those seen in the range shown. Nothing was dropped or changed.",
		at(0, 41, 24, 8), ask(table, `
		SELECT f.kind AS "Kind", CASE WHEN f.ended_at IS NULL THEN 'lasts' ELSE 'over' END AS "State", f.symbol AS "Symbol", f.venue AS "Venue",
		       f.since AS "Since", f.seen_at AS "Seen", f.detail AS "Detail"
		FROM public.quality_findings f
		WHERE f.ended_at IS NULL OR $__timeFilter(f.seen_at)
		ORDER BY f.ended_at IS NULL DESC, f.seen_at DESC, f.symbol LIMIT 200`)).
		NoValue("No findings").
		OverrideByName("Kind", set().width(100)).
		OverrideByName("State", set().width(90).cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
			"lasts": mapped("! lasts", down, 0), "over": mapped("over", neutral, 1),
		})).
		OverrideByName("Symbol", set().toSymbol().width(120)).
		OverrideByName("Venue", set().width(120)).
		OverrideByRegexp("Since|Seen", set().unit("time:MM-DD HH:mm:ss").width(140))
}

func jobs() cogPanel {
	return rows("Jobs of the database", "Refresh, columnstore, retention, alerts and the rest, with the result of their last run. Failed ones come first.",
		at(0, 49, 24, 10), ask(table, `
		SELECT j.name AS "Job", extract(epoch FROM j.every)::float8 AS "Every",
		       nullif(j.finished_at, '-infinity') AS "Last run", CASE WHEN j.failed THEN 'failed' WHEN j.running THEN 'runs' WHEN j.total > 0 THEN 'success' END AS "Status",
		       extract(epoch FROM j.took)::float8 AS "Took", j.total AS "Runs", j.total_failures AS "Failures",
		       nullif(j.next_start, '-infinity') AS "Next run", j.error AS "Error"
		FROM public.job_status j
		ORDER BY j.failed DESC, j.total_failures DESC, j.job_id`)).
		OverrideByName("Job", set().width(210)).
		OverrideByName("Every", set().unit(unitSeconds).width(90)).
		OverrideByName("Took", set().unit(unitSeconds).decimals(2).width(90)).
		OverrideByRegexp("Runs|Failures", set().width(90)).
		OverrideByRegexp("Last run|Next run", set().unit("time:MM-DD HH:mm:ss").width(140)).
		OverrideByName("Status", set().width(110).cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
			"success": mapped("✓ success", up, 0), "failed": mapped("✕ failed", downStrong, 1), "runs": mapped("… runs", neutral, 2),
		})).
		OverrideByName("Failures", set().width(90).cell("color-text").steps(scale("text", step{1, downStrong})))
}

// parts shows the same as hypertick status.
func parts() cogPanel {
	return rows("Every part", "State, age or lag, last error and what to do, of every part that the database knows. Jobs that are ok are left out: they are below.",
		at(0, 4, 24, 12), ask(table, `
		SELECT p.state AS "State", concat_ws(' ', p.component, nullif(p.part, '')) AS "Part", p.seconds AS "Age", p.detail AS "Detail",
		       p.error AS "Error", p.action AS "What to do"
		FROM public.pipeline p
		WHERE p.component <> 'job' OR p.state <> 'ok'
		ORDER BY array_position(ARRAY['failed', 'warning', 'ok'], p.state)`)).
		OverrideByName("State", set().width(110).cell("color-text").mapped(map[string]dashboard.ValueMappingResult{
			"ok": mapped("✓ ok", up, 0), "warning": mapped("! warning", down, 1), "failed": mapped("✕ failed", downStrong, 2),
		})).
		OverrideByName("Part", set().width(210)).
		OverrideByName("Age", set().unit(unitSeconds).decimals(1).width(90)).
		OverrideByName("Detail", set().width(430))
}

func storage() cogPanel {
	return rows("Storage", "Disk space of each table and aggregate, and the compression ratio of its chunks in the columnstore.",
		at(0, 59, 14, 10), ask(table, `
		SELECT s.relation AS "Relation", s.chunks AS "Chunks", s.compressed_chunks AS "In the columnstore", s.total_bytes AS "On disk",
		       s.before_bytes AS "Before", s.after_bytes AS "After", s.before_bytes::float8 / nullif(s.after_bytes, 0) AS "Ratio"
		FROM public.storage s
		ORDER BY s.total_bytes DESC`)).
		OverrideByRegexp("On disk|Before|After", set().unit(unitBytes)).
		OverrideByName("Ratio", set().unit("suffix: ×").decimals(1))
}

func chunks() cogPanel {
	return bars("Chunks of ticks", "Size of the newest chunks of raw ticks, columnstore included.",
		unitBytes, at(14, 59, 10, 10), ask(table, `
		SELECT to_char(c.range_start, 'YYYY-MM-DD') || CASE WHEN c.is_compressed THEN ' columnstore' ELSE '' END AS "Begins", d.total_bytes AS "Size"
		FROM timescaledb_information.chunks c
		JOIN public.chunks_detailed_size('public.ticks') d USING (chunk_schema, chunk_name)
		WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'ticks'
		ORDER BY c.range_start DESC LIMIT 12`)).
		Min(0).Decimals(1).Thresholds(thresholds(scale(up)))
}

func apiRate() cogPanel {
	return lines("API requests per second", "Requests that the API answered, by class of status. A minute is written when it has ended, if the API has --operator-url.",
		unitRequests, at(0, 69, 12, 8), ask(table, `
		SELECT $__timeGroupAlias(a.minute,$__interval),
		       sum(a.requests - a.client_errors - a.server_errors)::float8 / $__interval_ms * 1000 AS "2xx and 3xx",
		       sum(a.client_errors)::float8 / $__interval_ms * 1000 AS "4xx",
		       sum(a.server_errors)::float8 / $__interval_ms * 1000 AS "5xx"
		FROM public.api_activity a
		WHERE $__timeFilter(a.minute)
		GROUP BY 1 ORDER BY 1`)).
		Interval("1m").Min(0).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A")).
		OverrideByName("2xx and 3xx", set().color(up).bars()).
		OverrideByName("4xx", set().color(down).bars()).
		OverrideByName("5xx", set().color(downStrong).bars())
}

func apiLatency() cogPanel {
	return lines("API latency p50/p95/p99", "Time from the arrival of a request until its answer was ready that half, 95 % and 99 % of the requests did not exceed, all operations and instances together.",
		unitMillis, at(12, 69, 12, 8), ask(table, `
		SELECT $__timeGroupAlias(a.minute,$__interval),
		       public.latency_quantile(public.latency_sum(a.latency), 0.5) AS "p50",
		       public.latency_quantile(public.latency_sum(a.latency), 0.95) AS "p95",
		       public.latency_quantile(public.latency_sum(a.latency), 0.99) AS "p99"
		FROM public.api_activity a
		WHERE $__timeFilter(a.minute)
		GROUP BY 1 ORDER BY 1`)).
		Interval("1m").Min(0).
		OverrideByName("p50", set().color(up)).
		OverrideByName("p95", set().color(down)).
		OverrideByName("p99", set().color(downStrong))
}

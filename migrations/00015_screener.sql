-- +goose Up
-- The newest values of every symbol, from the block states alone: some ten rows
-- a symbol, whatever the length of its history.

CREATE AGGREGATE _hypertick.concat_agg(float8[]) (sfunc = pg_catalog.array_cat, stype = float8[], parallel = safe);
COMMENT ON AGGREGATE _hypertick.concat_agg(float8[]) IS 'Joins arrays in their order.';

CREATE FUNCTION _hypertick.series(pattern text, first int, last int, glue text DEFAULT ' + ') RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT pg_catalog.string_agg(pg_catalog.replace(pattern, '%s', i::text), glue ORDER BY i) FROM pg_catalog.generate_series(first, last) i);
COMMENT ON FUNCTION _hypertick.series(text, int, int, text) IS 'SQL text: the pattern once for each number from first to last.';

-- +goose StatementBegin
CREATE FUNCTION indicator.latest("interval" text)
RETURNS TABLE (
    symbol text, bucket timestamptz, close float8, change float8, change_1d float8,
    sma_20 float8, sma_50 float8, sma_200 float8, ema_12 float8, ema_26 float8, macd float8, rsi_14 float8, atr_14 float8,
    percent_b float8, zscore float8, volume_ratio float8, trend float8
)
LANGUAGE plpgsql STABLE ROWS 1000
-- Compiling the plan takes longer than running it, and the rows should sort in memory.
SET jit = off
SET work_mem = '128MB'
AS $$
#variable_conflict use_column
DECLARE
    -- Bars after which RSI and ATR have forgotten their seed, to 5e-12.
    enough CONSTANT int := 350;
    relation text;
    source   text;
    since    timestamptz;
    since_closes  timestamptz;
    since_volumes timestamptz;
    newest   timestamptz;
    today    timestamptz;
    roll     text;
BEGIN
    SELECT b.relation, b.source INTO relation, source FROM _hypertick.blocks b WHERE b."interval" = latest."interval";
    IF NOT FOUND THEN
        RAISE EXCEPTION 'interval: want one of 1m, 5m, 15m, 1h, 1d, got %', pg_catalog.quote_nullable("interval")
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- The newest blocks that hold anything (markets close), as many as a symbol
    -- that trades in every bar needs. Where such a symbol has enough bars in
    -- them, the newest six blocks hold 200 of them (eight of 60 days), the
    -- newest four (six) 21.
    FOR i IN 1..CASE "interval" WHEN '1m' THEN 7 WHEN '5m' THEN 6 WHEN '1d' THEN 10 ELSE 9 END LOOP
        EXECUTE pg_catalog.format('SELECT max(bucket) FROM _hypertick.%I WHERE bucket < $1', relation)
            INTO newest USING coalesce(since, 'infinity');
        EXIT WHEN newest IS NULL;
        since := newest;
        IF i <= (CASE "interval" WHEN '1m' THEN 5 WHEN '1d' THEN 8 ELSE 6 END) THEN
            since_closes := since;
        END IF;
        IF i <= (CASE "interval" WHEN '1d' THEN 6 ELSE 4 END) THEN
            since_volumes := since;
        END IF;
    END LOOP;
    SELECT pg_catalog.max(b.bucket) INTO today FROM _hypertick.blocks_1d b;
    -- Blocks joined into one row a symbol: after is how many bars come after a block.
    roll := $q$
        SELECT b.symbol, pg_catalog.sum(b.bars)::float8 AS n, pg_catalog.max(b.last_bucket) AS bucket,
               pg_catalog.sum(b.ema_12 * (11 / 13.0::float8) ^ b.after) AS ema_12,
               pg_catalog.sum(b.ema_26 * (25 / 27.0::float8) ^ b.after) AS ema_26,
               pg_catalog.sum(b.gain * b.decay + greatest(b.next_first - b.last, 0) / 14 * b.decay_next) AS gain,
               pg_catalog.sum(b.loss * b.decay + greatest(b.last - b.next_first, 0) / 14 * b.decay_next) AS loss,
               pg_catalog.sum(b.range * b.decay + (greatest(b.next_high, b.last) - least(b.next_low, b.last)) / 14 * b.decay_next) AS range,
               pg_catalog.sum(CASE WHEN b.after + b.bars <= 200 THEN b.bars * b.mean
                                   ELSE (SELECT pg_catalog.sum(x) FROM pg_catalog.unnest(b.closes[b.bars + b.after::int - 199:]) x) END)
                   FILTER (WHERE b.after < 200) / 200 AS sma_200,
               _hypertick.concat_agg(b.closes ORDER BY b.bucket) FILTER (WHERE b.after < 50) AS closes,
               _hypertick.concat_agg(b.volumes ORDER BY b.bucket) FILTER (WHERE b.after < 21) AS volumes
        FROM (
            SELECT w.*, (13 / 14.0::float8) ^ w.after AS decay,
                   CASE WHEN w.after > 0 THEN (13 / 14.0::float8) ^ (w.after - 1) ELSE 0 END AS decay_next
            FROM (
                SELECT r.*, coalesce(pg_catalog.sum(r.bars) OVER win, 0)::float8 AS after, pg_catalog.lead(r.first) OVER win AS next_first,
                       pg_catalog.lead(r.high) OVER win AS next_high, pg_catalog.lead(r.low) OVER win AS next_low
                FROM (%s) r
                WINDOW win AS (PARTITION BY r.symbol ORDER BY r.bucket ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
            ) w WHERE w.after < 2000
        ) b GROUP BY b.symbol
    $q$;
    -- Sums over the newest closes and volumes, written out: an unnest and an
    -- aggregate for each symbol take several times as long. Where there are too few
    -- bars a subscript finds NULL, and the value is NULL.
    RETURN QUERY EXECUTE pg_catalog.format($q$
    WITH near AS MATERIALIZED (%1$s), thin AS MATERIALIZED (
        -- Symbols that trade seldom or began lately: as many of their blocks as it takes.
        SELECT n.symbol, n.n AS bars FROM near n WHERE n.n < $2
        UNION ALL
        SELECT DISTINCT p.symbol, 0::float8 FROM public.feed_positions p WHERE NOT EXISTS (SELECT FROM near n WHERE n.symbol = p.symbol)
    ), far AS MATERIALIZED (
        SELECT b.*, least($2, $2 * 20 / greatest(t.bars, 1) + 20)::int AS asked
        FROM thin t, LATERAL (
            SELECT f.symbol, f.bucket, f.bars::int AS bars, f.ema_12, f.ema_26, f.first, f.last, f.gain, f.loss,
                   f.high, f.low, f.range, f.mean, f.last_bucket, f.closes, f.volumes
            FROM _hypertick.%2$I f WHERE f.symbol = t.symbol
            ORDER BY f.bucket DESC LIMIT least($2, $2 * 20 / greatest(t.bars, 1) + 20)
        ) b
    ), young AS (
        -- Those whose history begins within these.
        SELECT f.symbol FROM far f GROUP BY f.symbol, f.asked HAVING pg_catalog.sum(f.bars) < $2 AND pg_catalog.count(*) < f.asked
    ), rolled AS (
        SELECT n.* FROM near n WHERE n.n >= $2
        UNION ALL
        %3$s
    ), days AS (
        -- The close of the day before the symbol's last.
        SELECT DISTINCT ON (d.symbol) d.symbol, d.closes[d.bars - 1] AS before, pg_catalog.lag(d.last) OVER (PARTITION BY d.symbol ORDER BY d.bucket) AS block_before
        FROM _hypertick.blocks_1d d WHERE d.bucket >= $3 - INTERVAL '60 days'
        ORDER BY d.symbol, d.bucket DESC
    ), first_bars AS (
        SELECT a.*, greatest(a.close - a.before, 0) AS gain, greatest(a.before - a.close, 0) AS loss,
               greatest(a.high, a.before) - least(a.low, a.before) AS range
        FROM (
            SELECT y.symbol, c.high, c.low, c.close, (pg_catalog.row_number() OVER w)::float8 AS i, pg_catalog.lag(c.close) OVER w AS before
            FROM young y, LATERAL (SELECT k.* FROM public.%4$I k WHERE k.symbol = y.symbol ORDER BY k.bucket LIMIT 26) c
            WINDOW w AS (PARTITION BY y.symbol ORDER BY c.bucket)
        ) a
    ), seeds AS (
        -- A symbol whose history began lately still feels how TA-Lib seeds. The
        -- value before the first bar that would have led to TA-Lib's seed stands
        -- for it: with it, a state over all bars gives TA-Lib's value. MACD seeds its
        -- fast average later than EMA does, on the bar of the slow one.
        SELECT b.symbol,
               CASE WHEN pg_catalog.count(*) >= 12 THEN
                   (pg_catalog.avg(b.close) FILTER (WHERE b.i <= 12) - pg_catalog.sum(b.close * 2 / 13 * (11 / 13.0::float8) ^ (12 - b.i)) FILTER (WHERE b.i <= 12)) / (11 / 13.0::float8) ^ 12 END AS ema_12,
               CASE WHEN pg_catalog.count(*) >= 26 THEN
                   (pg_catalog.avg(b.close) - pg_catalog.sum(b.close * 2 / 27 * (25 / 27.0::float8) ^ (26 - b.i))) / (25 / 27.0::float8) ^ 26 END AS ema_26,
               CASE WHEN pg_catalog.count(*) >= 26 THEN
                   (pg_catalog.avg(b.close) FILTER (WHERE b.i > 14) - pg_catalog.sum(b.close * 2 / 13 * (11 / 13.0::float8) ^ (26 - b.i))) / (11 / 13.0::float8) ^ 26 END AS macd_fast,
               CASE WHEN pg_catalog.count(*) >= 15 THEN
                   (pg_catalog.avg(b.gain) FILTER (WHERE b.i <= 15 AND b.i > 1) - pg_catalog.sum(b.gain / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i <= 15 AND b.i > 1)) / (13 / 14.0::float8) ^ 14 END AS gain,
               CASE WHEN pg_catalog.count(*) >= 15 THEN
                   (pg_catalog.avg(b.loss) FILTER (WHERE b.i <= 15 AND b.i > 1) - pg_catalog.sum(b.loss / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i <= 15 AND b.i > 1)) / (13 / 14.0::float8) ^ 14 END AS loss,
               CASE WHEN pg_catalog.count(*) >= 15 THEN
                   (pg_catalog.avg(b.range) FILTER (WHERE b.i <= 15 AND b.i > 1) - pg_catalog.sum(b.range / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i <= 15 AND b.i > 1)) / (13 / 14.0::float8) ^ 14 END AS range
        FROM first_bars b GROUP BY b.symbol
    ), seeded AS (
        SELECT r.*, pg_catalog.cardinality(r.closes) AS m, pg_catalog.cardinality(r.volumes) AS mv, y.symbol IS NOT NULL AS young,
               f.ema_12 AS seed_12, f.ema_26 AS seed_26, f.macd_fast, f.gain AS seed_gain, f.loss AS seed_loss, f.range AS seed_range
        FROM rolled r
        LEFT JOIN young y ON y.symbol = r.symbol
        LEFT JOIN seeds f ON f.symbol = y.symbol
    ), valued AS (
        SELECT s.symbol, s.bucket, s.n, s.closes, s.m, s.closes[s.m] AS close, s.closes[s.m - 1] AS close_before, s.sma_200,
               CASE WHEN s.young THEN s.seed_12 * (11 / 13.0::float8) ^ s.n + s.ema_12 ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS ema_12,
               CASE WHEN s.young THEN s.seed_26 * (25 / 27.0::float8) ^ s.n + s.ema_26 ELSE s.ema_26 / (1 - (25 / 27.0::float8) ^ least(s.n, 1000)) END AS ema_26,
               CASE WHEN s.young THEN s.macd_fast * (11 / 13.0::float8) ^ s.n + s.ema_12 ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS macd_fast,
               CASE WHEN s.young THEN s.seed_gain * (13 / 14.0::float8) ^ (s.n - 1) + s.gain ELSE s.gain END AS gain,
               CASE WHEN s.young THEN s.seed_loss * (13 / 14.0::float8) ^ (s.n - 1) + s.loss ELSE s.loss END AS loss,
               CASE WHEN s.young THEN s.seed_range * (13 / 14.0::float8) ^ (s.n - 1) + s.range
                    WHEN s.n > 1 THEN s.range / (1 - (13 / 14.0::float8) ^ least(s.n - 1, 1000)) END AS atr,
               (%5$s) / 20 AS sma_20, (%5$s + %6$s) / 50 AS sma_50, s.volumes[s.mv] * 20 / nullif(%7$s, 0) AS ratio,
               -- Differences of logarithms would lose digits: logarithms of quotients.
               ARRAY[%8$s] AS returns
        FROM seeded s OFFSET 0
    ), spread AS (
        SELECT v.*, pg_catalog.sqrt((%9$s) / 20) AS sd_20, (%10$s) / 20 AS mean_return FROM valued v OFFSET 0
    )
    SELECT v.symbol, v.bucket, v.close, v.close / v.close_before - 1, v.close / coalesce(d.before, d.block_before) - 1,
           v.sma_20, v.sma_50, CASE WHEN v.n >= 200 THEN v.sma_200 END,
           v.ema_12, v.ema_26, CASE WHEN v.n >= 34 THEN v.macd_fast - v.ema_26 END,
           CASE WHEN v.n < 15 THEN NULL WHEN v.gain + v.loss < 1e-150 THEN 0 ELSE 100 * (v.gain / (v.gain + v.loss)) END,
           CASE WHEN v.n >= 15 THEN v.atr END,
           (v.close - v.sma_20 + 2 * v.sd_20) / nullif(4 * v.sd_20, 0),
           (v.returns[1] - v.mean_return) / nullif(pg_catalog.sqrt((%11$s) / 19), 0), v.ratio,
           CASE WHEN v.n >= 200 THEN pg_catalog.sign(v.sma_50 - v.sma_200) END
    FROM spread v LEFT JOIN days d ON d.symbol = v.symbol
    ORDER BY v.symbol
    $q$,
        pg_catalog.format(roll, pg_catalog.format($q$
                    SELECT b.symbol, b.bucket, b.bars::int AS bars, b.ema_12, b.ema_26, b.first, b.last, b.gain, b.loss,
                           b.high, b.low, b.range, b.mean, b.last_bucket,
                           CASE WHEN b.bucket >= $4 THEN b.closes END AS closes, CASE WHEN b.bucket >= $5 THEN b.volumes END AS volumes
                    FROM _hypertick.%I b WHERE b.bucket >= $1$q$, relation)),
        relation, pg_catalog.format(roll, 'SELECT f.* FROM far f'), source,
        _hypertick.series('s.closes[s.m - %s]', 0, 19), _hypertick.series('s.closes[s.m - %s]', 20, 49), _hypertick.series('s.volumes[s.mv - %s]', 1, 20),
        _hypertick.series('pg_catalog.ln(s.closes[s.m - %s] / s.closes[s.m - %s - 1])', 0, 20, ', '),
        _hypertick.series('(v.closes[v.m - %s] - v.sma_20) ^ 2', 0, 19), _hypertick.series('v.returns[%s]', 2, 21),
        _hypertick.series('(v.returns[%s] - v.mean_return) ^ 2', 2, 21))
    USING since, enough, today, since_closes, since_volumes;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.latest(text) IS
'One row per symbol for an interval, from block states: the last bar, its close, change since the close before and change_1d since the close of the UTC day before (fractions), and the indicators of the same name with their default parameters; trend is 1 where sma_50 is above sma_200, -1 where below. As of the last refresh of the blocks, a minute or so ago.';
REVOKE EXECUTE ON FUNCTION indicator.latest(text), _hypertick.concat_agg(float8[]), _hypertick.series(text, int, int, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indicator.latest(text), _hypertick.concat_agg(float8[]), _hypertick.series(text, int, int, text) TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP FUNCTION indicator.latest(text);
DROP FUNCTION _hypertick.series(text, int, int, text);
DROP AGGREGATE _hypertick.concat_agg(float8[]);

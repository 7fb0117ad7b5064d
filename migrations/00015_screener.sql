-- +goose Up
-- The newest values of every symbol, from the block states alone: some ten rows
-- a symbol, whatever the length of its history.

CREATE AGGREGATE _hypertick.concat_agg(float8[]) (sfunc = pg_catalog.array_cat, stype = float8[], parallel = safe);
COMMENT ON AGGREGATE _hypertick.concat_agg(float8[]) IS 'Joins arrays in their order.';

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
        EXECUTE pg_catalog.format('SELECT max(bucket) FROM indicator.%I WHERE bucket < $1', relation)
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
    SELECT pg_catalog.max(b.bucket) INTO today FROM indicator.blocks_1d b;
    RETURN QUERY EXECUTE pg_catalog.format($q$
    WITH near AS MATERIALIZED (
        SELECT b.symbol, b.bucket, b.bars::int AS bars, (b.ema_12).s AS ema_12, (b.ema_26).s AS ema_26, (b.rsi_14).first, (b.rsi_14).last, (b.rsi_14).g, (b.rsi_14).l,
               (b.atr_14).high, (b.atr_14).low, (b.atr_14).s AS range, (b.close_sum).mean, b.last_bucket,
               CASE WHEN b.bucket >= $4 THEN b.closes END AS closes, CASE WHEN b.bucket >= $5 THEN b.volumes END AS volumes
        FROM indicator.%1$I b WHERE b.bucket >= $1
    ), have AS MATERIALIZED (
        SELECT n.symbol, pg_catalog.sum(n.bars) AS bars FROM near n GROUP BY n.symbol
    ), thin AS MATERIALIZED (
        -- Symbols that trade seldom or began lately: as many of their blocks as it takes.
        SELECT h.symbol, h.bars FROM have h WHERE h.bars < $2
        UNION ALL
        SELECT DISTINCT p.symbol, 0::bigint FROM public.feed_positions p WHERE NOT EXISTS (SELECT FROM have h WHERE h.symbol = p.symbol)
    ), far AS MATERIALIZED (
        SELECT b.*
        FROM thin t, LATERAL (
            SELECT f.symbol, f.bucket, f.bars::int AS bars, (f.ema_12).s AS ema_12, (f.ema_26).s AS ema_26, (f.rsi_14).first, (f.rsi_14).last, (f.rsi_14).g, (f.rsi_14).l,
                   (f.atr_14).high, (f.atr_14).low, (f.atr_14).s AS range, (f.close_sum).mean, f.last_bucket, f.closes, f.volumes
            FROM indicator.%1$I f WHERE f.symbol = t.symbol
            ORDER BY f.bucket DESC LIMIT least($2, $2 * 20 / greatest(t.bars, 1) + 20)
        ) b
    ), young AS (
        SELECT t.symbol, pg_catalog.count(f.bucket) < least($2, $2 * 20 / greatest(t.bars, 1) + 20) AS whole
        FROM thin t LEFT JOIN far f USING (symbol) GROUP BY t.symbol, t.bars
        HAVING pg_catalog.sum(f.bars) < $2
    ), blocks AS (
        SELECT b.*,
               pg_catalog.sum(b.bars) OVER (PARTITION BY b.symbol) - pg_catalog.sum(b.bars) OVER win AS after,
               pg_catalog.lag(b.last) OVER win AS before
        FROM (SELECT n.* FROM near n WHERE n.symbol NOT IN (SELECT t.symbol FROM thin t) UNION ALL SELECT f.* FROM far f) b
        WINDOW win AS (PARTITION BY b.symbol ORDER BY b.bucket)
    ), rolled AS (
        SELECT b.symbol, pg_catalog.sum(b.bars)::float8 AS n, pg_catalog.max(b.last_bucket) AS bucket,
               pg_catalog.sum(b.ema_12 * (11 / 13.0::float8) ^ b.after::float8) AS ema_12,
               pg_catalog.sum(b.ema_26 * (25 / 27.0::float8) ^ b.after::float8) AS ema_26,
               pg_catalog.sum(b.g * b.decay + greatest(b.first - b.before, 0) / 14 * b.decay_all) AS gain,
               pg_catalog.sum(b.l * b.decay + greatest(b.before - b.first, 0) / 14 * b.decay_all) AS loss,
               pg_catalog.sum(b.range * b.decay + (greatest(b.high, b.before) - least(b.low, b.before)) / 14
                              * CASE WHEN b.before IS NULL THEN 0 ELSE b.decay_all END) AS range,
               pg_catalog.sum(CASE WHEN b.after + b.bars <= 200 THEN b.bars * b.mean
                                   ELSE (SELECT pg_catalog.sum(x) FROM pg_catalog.unnest(b.closes[b.bars + b.after::int - 199:]) x) END)
                   FILTER (WHERE b.after < 200) / 200 AS sma_200,
               _hypertick.concat_agg(b.closes ORDER BY b.bucket) FILTER (WHERE b.after < 50) AS closes,
               _hypertick.concat_agg(b.volumes ORDER BY b.bucket) FILTER (WHERE b.after < 21) AS volumes
        FROM (
            SELECT b.*, (13 / 14.0::float8) ^ b.after::float8 AS decay, (13 / 14.0::float8) ^ (b.after + b.bars - 1)::float8 AS decay_all
            FROM blocks b WHERE b.after < 2000
        ) b GROUP BY b.symbol
    ), days AS (
        -- The close of the day before the symbol's last.
        SELECT DISTINCT ON (d.symbol) d.symbol, d.last_bucket, d.closes[d.bars - 1] AS before,
               pg_catalog.lag(d.closes[d.bars]) OVER (PARTITION BY d.symbol ORDER BY d.bucket) AS block_before
        FROM indicator.blocks_1d d WHERE d.bucket >= $3 - INTERVAL '60 days'
        ORDER BY d.symbol, d.bucket DESC
    ), first_bars AS (
        SELECT a.*, greatest(a.close - a.before, 0) AS gain, greatest(a.before - a.close, 0) AS loss,
               greatest(a.high, a.before) - least(a.low, a.before) AS range
        FROM (
            SELECT y.symbol, c.high, c.low, c.close, (pg_catalog.row_number() OVER w)::float8 AS i, pg_catalog.lag(c.close) OVER w AS before
            FROM young y, LATERAL (SELECT k.* FROM public.%2$I k WHERE k.symbol = y.symbol ORDER BY k.bucket LIMIT 26) c
            WHERE y.whole
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
        SELECT r.*, y.symbol IS NOT NULL AS young, f.ema_12 AS seed_12, f.ema_26 AS seed_26, f.macd_fast, f.gain AS seed_gain, f.loss AS seed_loss, f.range AS seed_range
        FROM rolled r
        LEFT JOIN young y ON y.symbol = r.symbol AND y.whole
        LEFT JOIN seeds f ON f.symbol = y.symbol
    ), valued AS (
        SELECT s.symbol, s.bucket, s.n, s.closes[l.m] AS close, s.closes[l.m - 1] AS close_before, s.sma_200,
               CASE WHEN s.young THEN s.seed_12 * (11 / 13.0::float8) ^ s.n + s.ema_12 ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS ema_12,
               CASE WHEN s.young THEN s.seed_26 * (25 / 27.0::float8) ^ s.n + s.ema_26 ELSE s.ema_26 / (1 - (25 / 27.0::float8) ^ least(s.n, 1000)) END AS ema_26,
               CASE WHEN s.young THEN s.macd_fast * (11 / 13.0::float8) ^ s.n + s.ema_12 ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS macd_fast,
               CASE WHEN s.young THEN s.seed_gain * (13 / 14.0::float8) ^ (s.n - 1) + s.gain ELSE s.gain END AS gain,
               CASE WHEN s.young THEN s.seed_loss * (13 / 14.0::float8) ^ (s.n - 1) + s.loss ELSE s.loss END AS loss,
               CASE WHEN s.young THEN s.seed_range * (13 / 14.0::float8) ^ (s.n - 1) + s.range
                    WHEN s.n > 1 THEN s.range / (1 - (13 / 14.0::float8) ^ least(s.n - 1, 1000)) END AS atr,
               c.sma_20, c.sd_20, c.sma_50, z.zscore, v.ratio
        FROM seeded s
        CROSS JOIN LATERAL (SELECT pg_catalog.cardinality(s.closes) AS m, pg_catalog.cardinality(s.volumes) AS mv) l
        CROSS JOIN LATERAL (
            SELECT pg_catalog.avg(x) AS sma_20, pg_catalog.stddev_pop(x) AS sd_20,
                   (SELECT pg_catalog.avg(x) FROM pg_catalog.unnest(s.closes[l.m - 49:]) x) AS sma_50
            FROM pg_catalog.unnest(s.closes[l.m - 19:]) x
        ) c
        CROSS JOIN LATERAL (
            SELECT (pg_catalog.max(r) FILTER (WHERE j = 21) - pg_catalog.avg(r) FILTER (WHERE j < 21))
                   / nullif(pg_catalog.stddev_samp(r) FILTER (WHERE j < 21), 0) AS zscore
            FROM (SELECT pg_catalog.ln(u.x / u.p) AS r, u.j
                  FROM ROWS FROM (pg_catalog.unnest(s.closes[l.m - 21:l.m - 1]), pg_catalog.unnest(s.closes[l.m - 20:l.m])) WITH ORDINALITY u(p, x, j)
                  WHERE l.m >= 22) w
        ) z
        CROSS JOIN LATERAL (
            SELECT s.volumes[l.mv] / nullif(pg_catalog.avg(x), 0) AS ratio
            FROM pg_catalog.unnest(s.volumes[l.mv - 20:l.mv - 1]) x WHERE l.mv >= 21
        ) v
    )
    SELECT v.symbol, v.bucket, v.close, v.close / v.close_before - 1, v.close / coalesce(d.before, d.block_before) - 1,
           CASE WHEN v.n >= 20 THEN v.sma_20 END, CASE WHEN v.n >= 50 THEN v.sma_50 END, CASE WHEN v.n >= 200 THEN v.sma_200 END,
           v.ema_12, v.ema_26, CASE WHEN v.n >= 34 THEN v.macd_fast - v.ema_26 END,
           CASE WHEN v.n < 15 THEN NULL WHEN v.gain + v.loss < 1e-150 THEN 0 ELSE 100 * (v.gain / (v.gain + v.loss)) END,
           CASE WHEN v.n >= 15 THEN v.atr END,
           CASE WHEN v.n >= 20 THEN (v.close - v.sma_20 + 2 * v.sd_20) / nullif(4 * v.sd_20, 0) END,
           v.zscore, v.ratio,
           CASE WHEN v.n >= 200 THEN pg_catalog.sign(v.sma_50 - v.sma_200) END
    FROM valued v LEFT JOIN days d ON d.symbol = v.symbol
    ORDER BY v.symbol
    $q$, relation, source) USING since, enough, today, since_closes, since_volumes;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.latest(text) IS
'One row per symbol for an interval, from block states: the last bar, its close, change since the close before and change_1d since the close of the UTC day before (fractions), and the indicators of the same name with their default parameters; trend is 1 where sma_50 is above sma_200, -1 where below. As of the last refresh of the blocks, a minute or so ago.';
REVOKE EXECUTE ON FUNCTION indicator.latest(text), _hypertick.concat_agg(float8[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indicator.latest(text), _hypertick.concat_agg(float8[]) TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP FUNCTION indicator.latest(text);
DROP AGGREGATE _hypertick.concat_agg(float8[]);

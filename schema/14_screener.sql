-- The whole market: the newest values of every symbol, every bar of every symbol,
-- and all there is to know of one symbol.

CREATE AGGREGATE _hypertick.concat_agg(float8[]) (sfunc = array_cat, stype = float8[], parallel = safe);
COMMENT ON AGGREGATE _hypertick.concat_agg(float8[]) IS 'Joins arrays in their order.';

CREATE FUNCTION _hypertick.series(pattern text, first int, last int, glue text DEFAULT ' + ') RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(replace(pattern, '%s', i::text), glue ORDER BY i) FROM generate_series(first, last) i);
COMMENT ON FUNCTION _hypertick.series(text, int, int, text) IS
    'SQL text: the pattern once for each number from first to last.';

-- From the block states alone: some ten rows a symbol, whatever the length of
-- its history. An interval that is not materialised has no blocks: they are made
-- here, of the newest bars of every symbol.
CREATE FUNCTION indicator.latest("interval" text)
RETURNS TABLE (
    symbol text, bucket timestamptz, close float8, change float8, change_1d float8,
    sma_20 float8, sma_50 float8, sma_200 float8, ema_12 float8, ema_26 float8, macd float8, rsi_14 float8,
    atr_14 float8, percent_b float8, zscore float8, volume_ratio float8, trend float8
)
LANGUAGE plpgsql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
-- Compiling the plan takes longer than running it, and the rows should sort in
-- memory.
SET jit = off
SET work_mem = '128MB'
AS $$
#variable_conflict use_column
DECLARE
    -- Bars after which RSI and ATR have forgotten their seed, to 5e-12.
    enough CONSTANT int := 350;
    bars   CONSTANT _hypertick.interval_source := _hypertick.find_interval("interval");
    width  CONSTANT interval := _hypertick.block_width("interval");
    -- Bars a block holds at most, and blocks that hold enough of a symbol that
    -- trades in every bar; markets that close on weekends leave two days in seven
    -- of daily bars without one.
    most   CONSTANT int := round(extract(epoch FROM width) / extract(epoch FROM bars.width));
    blocks CONSTANT int := 1 + ceil(enough / (most * CASE WHEN bars.width >= '24 hours' THEN 5 / 7.0 ELSE 1 END));
    -- Where a symbol has enough bars in them, the newest blocks - (enough - n) / most
    -- of them hold n.
    for_200 CONSTANT int := blocks - (enough - 200) / most;
    for_21  CONSTANT int := blocks - (enough - 21) / most;
    relation text := '_hypertick.' || quote_ident(replace(bars.relation, 'candles_', 'blocks_'));
    made     text := '';
    asked    text := 'least($2, $2 * 20 / greatest(t.bars, 1) + 20)';
    since    timestamptz := '-infinity';
    since_closes  timestamptz := '-infinity';
    since_volumes timestamptz := '-infinity';
    newest   timestamptz;
    today    timestamptz;
    roll     text;
BEGIN
    IF width IS NULL THEN
        relation := 'made';
        asked := '$2';
        made := format($q$
            made AS MATERIALIZED (
                SELECT g.symbol, g.bucket, (g.b).n AS bars, (g.b).first, (g.b).last, (g.b).high, (g.b).low,
                       (g.b).ema_12, (g.b).ema_26, (g.b).gain, (g.b).loss, (g.b).range, (g.b).mean,
                       g.last_bucket, g.closes, g.volumes
                FROM (
                    SELECT c.symbol, public.time_bucket(%L::interval, c.bucket) AS bucket,
                           _hypertick.block_agg(c.high, c.low, c.close, c.volume ORDER BY c.bucket) AS b,
                           max(c.bucket) AS last_bucket, array_agg(c.close ORDER BY c.bucket) AS closes,
                           array_agg(c.volume ORDER BY c.bucket) AS volumes
                    FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p) s,
                         LATERAL public.candles(s.symbol, %L, 'infinity', warmup => $2) c
                    GROUP BY 1, 2
                ) g
            ), $q$, 60 * bars.width, "interval");
    ELSE
        -- The newest blocks that hold anything: markets close.
        since := 'infinity';
        FOR i IN 1..blocks LOOP
            EXECUTE format('SELECT max(bucket) FROM %s WHERE bucket < $1', relation) INTO newest USING since;
            EXIT WHEN newest IS NULL;
            since := newest;
            IF i <= for_200 THEN
                since_closes := since;
            END IF;
            IF i <= for_21 THEN
                since_volumes := since;
            END IF;
        END LOOP;
    END IF;
    SELECT max(b.bucket) INTO today FROM _hypertick.blocks_1d b;
    -- Blocks joined into one row a symbol: after is how many bars come after a block.
    roll := $q$
        SELECT b.symbol, sum(b.bars)::float8 AS n, max(b.last_bucket) AS bucket,
               sum(b.ema_12 * (11 / 13.0::float8) ^ b.after) AS ema_12,
               sum(b.ema_26 * (25 / 27.0::float8) ^ b.after) AS ema_26,
               sum(b.gain * b.decay + greatest(b.next_first - b.last, 0) / 14 * b.decay_next) AS gain,
               sum(b.loss * b.decay + greatest(b.last - b.next_first, 0) / 14 * b.decay_next) AS loss,
               sum(b.range * b.decay
                   + (greatest(b.next_high, b.last) - least(b.next_low, b.last)) / 14 * b.decay_next) AS range,
               sum(CASE WHEN b.after + b.bars <= 200 THEN b.bars * b.mean
                        ELSE (SELECT sum(x) FROM unnest(b.closes[b.bars + b.after::int - 199:]) x) END)
                   FILTER (WHERE b.after < 200) / 200 AS sma_200,
               _hypertick.concat_agg(b.closes ORDER BY b.bucket) FILTER (WHERE b.after < 50) AS closes,
               _hypertick.concat_agg(b.volumes ORDER BY b.bucket) FILTER (WHERE b.after < 21) AS volumes
        FROM (
            SELECT w.*, (13 / 14.0::float8) ^ w.after AS decay,
                   CASE WHEN w.after > 0 THEN (13 / 14.0::float8) ^ (w.after - 1) ELSE 0 END AS decay_next
            FROM (
                SELECT r.*, coalesce(sum(r.bars) OVER win, 0)::float8 AS after, lead(r.first) OVER win AS next_first,
                       lead(r.high) OVER win AS next_high, lead(r.low) OVER win AS next_low
                FROM (%s) r
                WINDOW win AS (PARTITION BY r.symbol ORDER BY r.bucket
                               ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
            ) w WHERE w.after < 2000
        ) b GROUP BY b.symbol
    $q$;
    -- Sums over the newest closes and volumes, written out: an unnest and an
    -- aggregate for each symbol take several times as long. Where there are too
    -- few bars a subscript finds NULL, and the value is NULL.
    RETURN QUERY EXECUTE format($q$
    WITH %12$s near AS MATERIALIZED (%1$s), thin AS MATERIALIZED (
        -- Symbols that trade seldom or began lately: as many of their blocks as it takes.
        SELECT n.symbol, n.n AS bars FROM near n WHERE n.n < $2
        UNION ALL
        SELECT DISTINCT p.symbol, 0::float8 FROM public.feed_positions p
        WHERE NOT EXISTS (SELECT FROM near n WHERE n.symbol = p.symbol)
    ), far AS MATERIALIZED (
        SELECT b.*, %13$s::int AS asked
        FROM thin t, LATERAL (
            SELECT f.symbol, f.bucket, f.bars::int AS bars, f.ema_12, f.ema_26, f.first, f.last, f.gain, f.loss,
                   f.high, f.low, f.range, f.mean, f.last_bucket, f.closes, f.volumes
            FROM %2$s f WHERE f.symbol = t.symbol
            ORDER BY f.bucket DESC LIMIT %13$s
        ) b
    ), young AS (
        -- Those whose history begins within these.
        SELECT f.symbol FROM far f GROUP BY f.symbol, f.asked HAVING sum(f.bars) < $2 AND count(*) < f.asked
    ), rolled AS (
        SELECT n.* FROM near n WHERE n.n >= $2
        UNION ALL
        %3$s
    ), days AS (
        -- The close of the day before the symbol's last.
        SELECT DISTINCT ON (d.symbol) d.symbol, d.closes[d.bars - 1] AS before,
               lag(d.last) OVER (PARTITION BY d.symbol ORDER BY d.bucket) AS block_before
        FROM _hypertick.blocks_1d d WHERE d.bucket >= $3 - INTERVAL '60 days'
        ORDER BY d.symbol, d.bucket DESC
    ), first_bars AS (
        SELECT a.*, greatest(a.close - a.before, 0) AS gain, greatest(a.before - a.close, 0) AS loss,
               greatest(a.high, a.before) - least(a.low, a.before) AS range
        FROM (
            SELECT y.symbol, c.high, c.low, c.close, (row_number() OVER w)::float8 AS i, lag(c.close) OVER w AS before
            FROM young y, LATERAL public.candles(y.symbol, %4$L, '-infinity', max_bars => 26) c
            WINDOW w AS (PARTITION BY y.symbol ORDER BY c.bucket)
        ) a
    ), seeds AS (
        -- A symbol whose history began lately still feels how TA-Lib seeds. The
        -- value before the first bar that would have led to TA-Lib's seed stands
        -- for it: with it, a state over all bars gives TA-Lib's value. MACD seeds
        -- its fast average later than EMA does, on the bar of the slow one.
        SELECT b.symbol,
               CASE WHEN count(*) >= 12 THEN
                   (avg(b.close) FILTER (WHERE b.i <= 12)
                    - sum(b.close * 2 / 13 * (11 / 13.0::float8) ^ (12 - b.i)) FILTER (WHERE b.i <= 12))
                   / (11 / 13.0::float8) ^ 12 END AS ema_12,
               CASE WHEN count(*) >= 26 THEN
                   (avg(b.close) - sum(b.close * 2 / 27 * (25 / 27.0::float8) ^ (26 - b.i)))
                   / (25 / 27.0::float8) ^ 26 END AS ema_26,
               CASE WHEN count(*) >= 26 THEN
                   (avg(b.close) FILTER (WHERE b.i > 14) - sum(b.close * 2 / 13 * (11 / 13.0::float8) ^ (26 - b.i)))
                   / (11 / 13.0::float8) ^ 26 END AS macd_fast,
               CASE WHEN count(*) >= 15 THEN
                   (avg(b.gain) FILTER (WHERE b.i BETWEEN 2 AND 15)
                    - sum(b.gain / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i BETWEEN 2 AND 15))
                   / (13 / 14.0::float8) ^ 14 END AS gain,
               CASE WHEN count(*) >= 15 THEN
                   (avg(b.loss) FILTER (WHERE b.i BETWEEN 2 AND 15)
                    - sum(b.loss / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i BETWEEN 2 AND 15))
                   / (13 / 14.0::float8) ^ 14 END AS loss,
               CASE WHEN count(*) >= 15 THEN
                   (avg(b.range) FILTER (WHERE b.i BETWEEN 2 AND 15)
                    - sum(b.range / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i BETWEEN 2 AND 15))
                   / (13 / 14.0::float8) ^ 14 END AS range
        FROM first_bars b GROUP BY b.symbol
    ), seeded AS (
        SELECT r.*, cardinality(r.closes) AS m, cardinality(r.volumes) AS mv, y.symbol IS NOT NULL AS young,
               f.ema_12 AS seed_12, f.ema_26 AS seed_26, f.macd_fast,
               f.gain AS seed_gain, f.loss AS seed_loss, f.range AS seed_range
        FROM rolled r
        LEFT JOIN young y ON y.symbol = r.symbol
        LEFT JOIN seeds f ON f.symbol = y.symbol
    ), valued AS (
        SELECT s.symbol, s.bucket, s.n, s.closes, s.m, s.closes[s.m] AS close, s.closes[s.m - 1] AS close_before,
               s.sma_200,
               CASE WHEN s.young THEN s.seed_12 * (11 / 13.0::float8) ^ s.n + s.ema_12
                    ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS ema_12,
               CASE WHEN s.young THEN s.seed_26 * (25 / 27.0::float8) ^ s.n + s.ema_26
                    ELSE s.ema_26 / (1 - (25 / 27.0::float8) ^ least(s.n, 1000)) END AS ema_26,
               CASE WHEN s.young THEN s.macd_fast * (11 / 13.0::float8) ^ s.n + s.ema_12
                    ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS macd_fast,
               CASE WHEN s.young THEN s.seed_gain * (13 / 14.0::float8) ^ (s.n - 1) + s.gain ELSE s.gain END AS gain,
               CASE WHEN s.young THEN s.seed_loss * (13 / 14.0::float8) ^ (s.n - 1) + s.loss ELSE s.loss END AS loss,
               CASE WHEN s.young THEN s.seed_range * (13 / 14.0::float8) ^ (s.n - 1) + s.range
                    WHEN s.n > 1 THEN s.range / (1 - (13 / 14.0::float8) ^ least(s.n - 1, 1000)) END AS atr,
               (%5$s) / 20 AS sma_20, (%5$s + %6$s) / 50 AS sma_50, s.volumes[s.mv] * 20 / nullif(%7$s, 0) AS ratio,
               -- Differences of logarithms would lose digits: logarithms of quotients.
               ARRAY[%8$s] AS returns
        FROM seeded s OFFSET 0
    ), spread AS (
        SELECT v.*, CASE WHEN v.close = ALL (v.closes[v.m - 19:v.m]) THEN 0 ELSE sqrt((%9$s) / 20) END AS sd_20,
               (%10$s) / 20 AS mean_return
        FROM valued v OFFSET 0
    )
    SELECT v.symbol, v.bucket, v.close, _hypertick.change(v.close, v.close_before),
           _hypertick.change(v.close, coalesce(d.before, d.block_before)),
           v.sma_20, v.sma_50, CASE WHEN v.n >= 200 THEN v.sma_200 END,
           v.ema_12, v.ema_26, CASE WHEN v.n >= 34 THEN v.macd_fast - v.ema_26 END,
           CASE WHEN v.n < 15 THEN NULL WHEN v.gain + v.loss < 1e-150 THEN 0
                ELSE 100 * (v.gain / (v.gain + v.loss)) END,
           CASE WHEN v.n >= 15 THEN v.atr END,
           (v.close - v.sma_20 + 2 * v.sd_20) / nullif(4 * v.sd_20, 0),
           CASE WHEN sqrt((%11$s) / 19) > 1e-15 THEN (v.returns[1] - v.mean_return) / sqrt((%11$s) / 19) END, v.ratio,
           CASE WHEN v.n >= 200 THEN _hypertick.side(v.sma_50, v.sma_200) END
    FROM spread v LEFT JOIN days d ON d.symbol = v.symbol
    ORDER BY v.symbol
    $q$,
        format(roll, format($q$
                    SELECT b.symbol, b.bucket, b.bars::int AS bars, b.ema_12, b.ema_26, b.first, b.last, b.gain,
                           b.loss, b.high, b.low, b.range, b.mean, b.last_bucket,
                           CASE WHEN b.bucket >= $4 THEN b.closes END AS closes,
                           CASE WHEN b.bucket >= $5 THEN b.volumes END AS volumes
                    FROM %s b WHERE b.bucket >= $1$q$, relation)),
        relation, format(roll, 'SELECT f.* FROM far f'), "interval",
        _hypertick.series('s.closes[s.m - %s]', 0, 19), _hypertick.series('s.closes[s.m - %s]', 20, 49),
        _hypertick.series('s.volumes[s.mv - %s]', 1, 20),
        _hypertick.series('_hypertick.log_return(s.closes[s.m - %s], s.closes[s.m - %s - 1])', 0, 20, ', '),
        _hypertick.series('(v.closes[v.m - %s] - v.sma_20) ^ 2', 0, 19), _hypertick.series('v.returns[%s]', 2, 21),
        _hypertick.series('(v.returns[%s] - v.mean_return) ^ 2', 2, 21), made, asked)
    USING since, enough, today, since_closes, since_volumes;
END
$$;
COMMENT ON FUNCTION indicator.latest(text) IS
    'One row per symbol for an interval, from block states: the last bar, its close, change since the close before '
    'and change_1d since the close of the UTC day before (fractions), and the indicators of the same name with their '
    'default parameters; trend is 1 where sma_50 is above sma_200, -1 where below. As of the last refresh of the '
    'blocks, a minute or so ago; of an interval that is not materialised, as of now, but slower: see add_interval().';

-- A chart of the market's breadth needs every bar of every symbol, and asking the
-- indicators symbol by symbol would read the same bars for each of them.
--
-- Means and deviations over the last n bars are differences of running sums: a
-- window that slides would add up n values for every bar. What that loses in
-- precision is far below what a screen shows; a variance that is nothing but such
-- a loss counts as none.
CREATE FUNCTION indicator.market(
    "interval" text, "from" timestamptz, "to" timestamptz, symbols text[] DEFAULT NULL)
RETURNS TABLE (
    symbol text, bucket timestamptz, close float8, change float8, volume float8,
    sma_50 float8, zscore float8, volume_ratio float8
)
LANGUAGE sql STABLE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH bars AS (
        SELECT s.symbol, c.bucket, c.close, c.volume, row_number() OVER w AS i,
               _hypertick.log_return(c.close, lag(c.close) OVER w) AS change
        FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p
              WHERE market.symbols IS NULL OR p.symbol = ANY (market.symbols)) s,
             LATERAL public.candles(s.symbol, market."interval", market."from", market."to", warmup => 50) c
        WINDOW w AS (PARTITION BY s.symbol ORDER BY c.bucket)
    ), sums AS (
        SELECT b.*, sum(b.close) OVER w AS closes, sum(b.volume) OVER w AS volumes,
               sum(b.change) OVER w AS changes, sum(b.change * b.change) OVER w AS squares,
               count(b.change) OVER w AS known
        FROM bars b
        WINDOW w AS (PARTITION BY b.symbol ORDER BY b.bucket ROWS UNBOUNDED PRECEDING)
    ), stats AS (
        SELECT s.symbol, s.bucket, s.close, s.change, s.volume,
               CASE WHEN s.i >= 50 THEN (s.closes - lag(s.closes, 50, 0) OVER w) / 50 END AS sma_50,
               CASE WHEN s.i > 20 THEN (lag(s.volumes) OVER w - lag(s.volumes, 21, 0) OVER w) / 20 END AS volume_mean,
               CASE WHEN s.i > 21 AND lag(s.known) OVER w - lag(s.known, 21) OVER w = 20
                    THEN (lag(s.changes) OVER w - coalesce(lag(s.changes, 21) OVER w, 0)) / 20 END AS mean,
               CASE WHEN s.i > 21 THEN (lag(s.squares) OVER w - coalesce(lag(s.squares, 21) OVER w, 0)) / 20 END
                   AS square_mean
        FROM sums s
        WINDOW w AS (PARTITION BY s.symbol ORDER BY s.bucket)
    )
    SELECT s.symbol, s.bucket, s.close, exp(s.change) - 1, s.volume, s.sma_50,
           CASE WHEN s.square_mean - s.mean * s.mean > 1e-9 * s.square_mean
                THEN (s.change - s.mean) / sqrt((s.square_mean - s.mean * s.mean) * 20 / 19) END,
           CASE WHEN s.volume_mean > 0 THEN s.volume / s.volume_mean END
    FROM stats s
    WHERE s.bucket >= market."from"
    ORDER BY s.symbol, s.bucket
$$;
COMMENT ON FUNCTION indicator.market(text, timestamptz, timestamptz, text[]) IS
    'Bars with "from" <= bucket < "to" of all symbols, or of those named: close, change since the bar before as a '
    'fraction, volume, the mean of 50 closes, and how unusual the bar is against the 20 before it: zscore as '
    'indicator.zscore, volume_ratio as the ratio of indicator.volume_spike. NULL where history is too short.';

CREATE FUNCTION snapshot(symbol text, "interval" text DEFAULT '1m') RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- A generic plan does not know which chunks the times leave, and looks at all.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    bar        public.candle;
    today      public.candle;
    yesterday  public.candle;
    since      timestamptz;
    tick       public.ticks;
    indicators jsonb;
BEGIN
    SELECT c.* INTO bar FROM public.candles(symbol, "interval", 'infinity', warmup => 1) c;
    IF bar.bucket IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT c.* INTO today FROM public.candles(symbol, '1d', 'infinity', warmup => 1) c;
    SELECT c.* INTO yesterday FROM public.candles(symbol, '1d', today.bucket, today.bucket, warmup => 1) c;
    SELECT c.bucket INTO since FROM public.candles(symbol, '1m', 'infinity', warmup => 1) c;
    SELECT t.* INTO tick FROM public.ticks t
    WHERE t.symbol = snapshot.symbol AND t.ts >= since
    ORDER BY t.ts DESC, t.seq DESC, t.venue DESC LIMIT 1;
    -- The names and default parameters of indicator.latest. An indicator that has
    -- no value on this bar is null.
    SELECT jsonb_object_agg(wanted.name, found.value) INTO indicators
    FROM (VALUES ('sma_20'), ('sma_50'), ('sma_200'), ('ema_12'), ('ema_26'), ('macd'), ('rsi_14'), ('atr_14'),
                 ('percent_b'), ('zscore'), ('volume_ratio'), ('trend')) wanted(name)
    LEFT JOIN (
        SELECT 'sma_20' AS name, p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 20) p
        UNION ALL SELECT 'sma_50', p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 50) p
        UNION ALL SELECT 'sma_200', p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 200) p
        UNION ALL SELECT 'ema_12', p.value FROM indicator.ema(symbol, "interval", bar.bucket, 'infinity', 12) p
        UNION ALL SELECT 'ema_26', p.value FROM indicator.ema(symbol, "interval", bar.bucket, 'infinity', 26) p
        UNION ALL SELECT 'macd', p.value FROM indicator.macd(symbol, "interval", bar.bucket, 'infinity') p
                  WHERE p.series = 'macd'
        UNION ALL SELECT 'rsi_14', p.value FROM indicator.rsi(symbol, "interval", bar.bucket, 'infinity', 14) p
        UNION ALL SELECT 'atr_14', p.value FROM indicator.atr(symbol, "interval", bar.bucket, 'infinity', 14) p
        UNION ALL SELECT 'percent_b', p.value FROM indicator.bollinger(symbol, "interval", bar.bucket, 'infinity') p
                  WHERE p.series = 'percent_b'
        UNION ALL SELECT 'zscore', p.value FROM indicator.zscore(symbol, "interval", bar.bucket, 'infinity') p
        UNION ALL SELECT 'volume_ratio', p.value
                  FROM indicator.volume_spike(symbol, "interval", bar.bucket, 'infinity') p WHERE p.series = 'ratio'
        UNION ALL SELECT 'trend', _hypertick.side(max(p.value) FILTER (WHERE p.series = 'fast'),
                                                  max(p.value) FILTER (WHERE p.series = 'slow'))
                  FROM indicator.trend(symbol, "interval", bar.bucket, 'infinity') p
                  WHERE p.series IN ('fast', 'slow') HAVING count(*) = 2
    ) found USING (name);
    RETURN jsonb_build_object(
        'symbol', symbol,
        'tick', CASE WHEN tick.ts IS NOT NULL THEN jsonb_build_object(
            'ts', tick.ts, 'price', tick.price, 'size', tick.size, 'seq', tick.seq, 'venue', tick.venue,
            'side', CASE tick.side WHEN 1 THEN 'buy' WHEN -1 THEN 'sell' END, 'flags', tick.flags) END,
        'candle', jsonb_build_object(
            'bucket', bar.bucket, 'open', bar.open, 'high', bar.high, 'low', bar.low, 'close', bar.close,
            'volume', bar.volume, 'buy_volume', bar.buy_volume, 'vwap', public.vwap(bar.notional, bar.volume),
            'trades', bar.trades),
        'day', jsonb_build_object(
            'bucket', today.bucket, 'open', today.open, 'high', today.high, 'low', today.low, 'close', today.close,
            'volume', today.volume, 'previous_close', yesterday.close, 'change', today.close - yesterday.close,
            'change_fraction', _hypertick.change(today.close, yesterday.close)),
        'indicators', indicators);
END
$$;
COMMENT ON FUNCTION snapshot(text, text) IS
    'What is known of a symbol now: its newest tick, the newest bar of the interval, the UTC day it last traded on '
    'with the change since the day before, and the indicators of indicator.latest on that bar. Null for a symbol '
    'without a bar.';

CREATE FUNCTION _hypertick.busiest_symbol("interval" text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    source CONSTANT text := (_hypertick.find_interval("interval")).relation;
    symbol text;
BEGIN
    -- Blocks are some sixty times fewer than the bars.
    EXECUTE format('SELECT b.symbol FROM indicator.%I b GROUP BY b.symbol ORDER BY sum(b.bars) DESC, b.symbol LIMIT 1',
        replace(CASE source WHEN 'ticks' THEN 'candles_1m' ELSE source END, 'candles_', 'blocks_')) INTO symbol;
    RETURN symbol;
END
$$;
COMMENT ON FUNCTION _hypertick.busiest_symbol(text) IS
    'The symbol with most bars of an interval, by the block states.';

REVOKE EXECUTE ON FUNCTION
    indicator.latest(text), indicator.market(text, timestamptz, timestamptz, text[]), snapshot(text, text),
    _hypertick.busiest_symbol(text), _hypertick.concat_agg(float8[]), _hypertick.series(text, int, int, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    indicator.latest(text), indicator.market(text, timestamptz, timestamptz, text[]), snapshot(text, text),
    _hypertick.busiest_symbol(text), _hypertick.concat_agg(float8[]), _hypertick.series(text, int, int, text)
TO hypertick_reader, hypertick_writer;

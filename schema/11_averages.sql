-- Averages and what is built on them. Each reads only bars near "from": either
-- the block states before it, or as many warm-up bars as the recurrence needs to
-- forget what came before (to 1e-13). Where history begins within those, the
-- values are TA-Lib's from its first defined one on.
--
-- Flat prices: PostgreSQL's deviation of equal values is not 0 but some 1e-17, and
-- means of equal values differ in their last digits. Where all values of a window are
-- equal the deviation is 0 here, and averages as near as rounding are equal.

CREATE FUNCTION _hypertick.change(close float8, before float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN close > 0 AND before > 0 THEN close / before - 1 END;
COMMENT ON FUNCTION _hypertick.change(float8, float8) IS
    'Change of a price as a fraction. NULL where a price is not above 0: a fraction of it says nothing.';

CREATE FUNCTION _hypertick.log_return(close float8, before float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN close > 0 AND before > 0 THEN ln(close / before) END;
COMMENT ON FUNCTION _hypertick.log_return(float8, float8) IS
    'Logarithm of the quotient of two prices, which keeps digits that a difference of logarithms would lose. NULL '
    'where one is not above 0.';

CREATE FUNCTION _hypertick.side(a float8, b float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(a - b) <= 1e-12 * greatest(abs(a), abs(b)) THEN 0 ELSE sign(a - b) END;
COMMENT ON FUNCTION _hypertick.side(float8, float8) IS
    '1 where an average is above another, -1 where below, 0 where they differ by no more than rounding.';

GRANT EXECUTE ON FUNCTION
    _hypertick.change(float8, float8), _hypertick.log_return(float8, float8), _hypertick.side(float8, float8)
TO hypertick_reader, hypertick_writer, hypertick_operator;
REVOKE EXECUTE ON FUNCTION
    _hypertick.change(float8, float8), _hypertick.log_return(float8, float8), _hypertick.side(float8, float8)
FROM PUBLIC;

CREATE FUNCTION indicator.sma(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'sma', w.value
    FROM (
        SELECT c.bucket, avg(c.close) OVER win AS value, count(*) OVER win AS n
        FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
             public.candles(symbol, "interval", "from", "to", warmup => period - 1) c
        WINDOW win AS (ORDER BY c.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
    ) w
    WHERE w.n = period AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
COMMENT ON FUNCTION indicator.sma(text, text, timestamptz, timestamptz, int) IS
'Simple moving average
Mean of the last period closes. First defined on bar period - 1, counting from 0. Flat prices: the price.
Warm-up: period - 1 bars. Profile: TA-Lib SMA.
@param period 1..500 Bars averaged.
@series sma Mean of the closes.';

CREATE FUNCTION indicator.wma(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'wma', (w.weighted - (w.i - period) * w.plain) / (period * (period + 1) / 2)
    FROM (
        SELECT b.bucket, b.i, sum(b.i * b.close) OVER win AS weighted, sum(b.close) OVER win AS plain
        FROM (
            SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket) AS i
            FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period - 1) c
        ) b
        WINDOW win AS (ORDER BY b.i ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
    ) w
    WHERE w.i >= period AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
COMMENT ON FUNCTION indicator.wma(text, text, timestamptz, timestamptz, int) IS
'Weighted moving average
Mean of the last period closes with weights 1 to period, the newest the heaviest. First defined on bar
period - 1. Flat prices: the price. Warm-up: period - 1 bars. Profile: TA-Lib WMA.
@param period 1..500 Bars averaged.
@series wma Weighted mean of the closes.';

CREATE FUNCTION indicator.ema(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 12)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need int;
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 1, 500);
    need := _hypertick.forget(1 - 2.0::float8 / (period + 1));
    IF period IN (12, 26, 50, 200) THEN
        SELECT indicator.rollup(CASE period WHEN 12 THEN block.ema_12
                                            WHEN 26 THEN block.ema_26
                                            WHEN 50 THEN block.ema_50
                                            ELSE block.ema_200 END ORDER BY block.bucket) AS state,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need) block;
        IF past.bars >= need THEN
            RETURN QUERY
            SELECT w.bucket, 'ema', w.value
            FROM (
                SELECT bar.bucket, indicator.ema(indicator.ema_agg(bar.close, period) OVER (ORDER BY bar.bucket),
                                                 indicator.ema(past.state)) AS value
                FROM public.candles(symbol, "interval", past.upto, "to") bar
            ) w
            WHERE w.bucket >= "from"
            ORDER BY w.bucket;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket) AS i
        FROM public.candles(symbol, "interval", "from", "to", warmup => need + period) c
    ), seed AS (
        SELECT avg(bar.close) AS value FROM bars bar WHERE bar.i <= period HAVING count(*) = period
    )
    SELECT w.bucket, 'ema', w.value
    FROM (
        SELECT bar.bucket, seed.value FROM bars bar, seed WHERE bar.i = period
        UNION ALL
        SELECT bar.bucket, indicator.ema(indicator.ema_agg(bar.close, period) OVER (ORDER BY bar.i), seed.value)
        FROM bars bar, seed
        WHERE bar.i > period
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
COMMENT ON FUNCTION indicator.ema(text, text, timestamptz, timestamptz, int) IS
'Exponential moving average
ema = ema before + 2/(period+1) * (close - ema before), seeded with the mean of the first period closes, on bar
period - 1. Flat prices: the price. Periods 12, 26, 50 and 200 read block states; others need 15 * period warm-up
bars. Profile: TA-Lib EMA.
@param period 1..500 Bars; the newest weighs 2/(period+1).
@series ema Exponential mean of the closes.';

CREATE FUNCTION indicator.macd(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    fast int DEFAULT 12, slow int DEFAULT 26, signal int DEFAULT 9)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 1500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need      int;
    need_line int;
    past      record;
    since     timestamptz := "from";
    lead_in   int;
    -- The bar both averages are seeded on; 0 when the states bring their values.
    at        int := 0;
BEGIN
    PERFORM _hypertick.in_range('fast', fast, 2, 499);
    PERFORM _hypertick.in_range('slow', slow, fast + 1, 500);
    PERFORM _hypertick.in_range('signal', signal, 1, 500);
    need := _hypertick.forget(1 - 2.0::float8 / (slow + 1));
    need_line := _hypertick.forget(1 - 2.0::float8 / (signal + 1)) + signal;
    SELECT NULL::float8 AS fast, NULL::float8 AS slow, NULL::timestamptz AS upto, NULL::numeric AS bars INTO past;
    IF fast IN (12, 26, 50) AND slow IN (26, 50, 200) THEN
        SELECT indicator.ema(indicator.rollup(CASE fast WHEN 12 THEN block.ema_12
                                                        WHEN 26 THEN block.ema_26
                                                        ELSE block.ema_50 END ORDER BY block.bucket)) AS fast,
               indicator.ema(indicator.rollup(CASE slow WHEN 26 THEN block.ema_26
                                                        WHEN 50 THEN block.ema_50
                                                        ELSE block.ema_200 END ORDER BY block.bucket)) AS slow,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need, need_line) block;
    END IF;
    IF past.bars >= need THEN
        since := past.upto;
        lead_in := 0;
    ELSE
        lead_in := need + slow + need_line;
        at := slow;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket) AS i
        FROM public.candles(symbol, "interval", since, "to", warmup => lead_in) c
    ), seed AS (
        SELECT avg(bar.close) FILTER (WHERE bar.i > slow - fast) AS fast, avg(bar.close) AS slow
        FROM bars bar
        WHERE bar.i <= at
        HAVING count(*) = at AND at > 0
        UNION ALL
        SELECT past.fast, past.slow WHERE at = 0
    ), line AS MATERIALIZED (
        SELECT bar.bucket, bar.i - at AS i, seed.fast - seed.slow AS value FROM bars bar, seed WHERE bar.i = at
        UNION ALL
        SELECT bar.bucket, bar.i - at,
               indicator.ema(indicator.ema_agg(bar.close, macd.fast) OVER (ORDER BY bar.i), seed.fast)
             - indicator.ema(indicator.ema_agg(bar.close, macd.slow) OVER (ORDER BY bar.i), seed.slow)
        FROM bars bar, seed
        WHERE bar.i > at
    ), numbered AS MATERIALIZED (
        SELECT line.bucket, line.value, row_number() OVER (ORDER BY line.i) AS i FROM line
    ), signal_seed AS (
        SELECT avg(point.value) AS value FROM numbered point WHERE point.i <= signal HAVING count(*) = signal
    ), both_lines AS (
        SELECT point.bucket, point.value AS line, signal_seed.value AS signal
        FROM numbered point, signal_seed
        WHERE point.i = macd.signal
        UNION ALL
        SELECT point.bucket, point.value,
               indicator.ema(indicator.ema_agg(point.value, macd.signal) OVER (ORDER BY point.i), signal_seed.value)
        FROM numbered point, signal_seed
        WHERE point.i > macd.signal
    )
    SELECT pair.bucket, v.series, v.value
    FROM both_lines pair, LATERAL (VALUES
        (1, 'macd', pair.line),
        (2, 'signal', pair.signal),
        (3, 'histogram', pair.line - pair.signal)) v(i, series, value)
    WHERE pair.bucket >= "from"
    ORDER BY pair.bucket, v.i;
END
$$;
COMMENT ON FUNCTION indicator.macd(text, text, timestamptz, timestamptz, int, int, int) IS
'Moving average convergence divergence
Fast EMA less slow EMA, its own EMA, and the difference of the two. Both averages are seeded on bar slow - 1 with
the mean of the closes up to it, the signal with the mean of the first values of macd; all are first defined on bar
slow + signal - 2. Flat prices: 0. Fast and slow of 12, 26, 50 and 200 read block states. Profile: TA-Lib MACD.
@param fast 2..499 Period of the fast average.
@param slow 3..500 Period of the slow average, above fast.
@param signal 1..500 Period of the signal.
@series macd Fast average less slow average.
@series signal Average of macd.
@series histogram macd less signal.';

CREATE FUNCTION indicator.bollinger(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    period int DEFAULT 20, deviations float8 DEFAULT 2)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 2500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, v.series, v.value
    FROM (
        SELECT b.bucket, b.close, avg(b.close) OVER win AS middle,
               CASE WHEN count(*) FILTER (WHERE b.moved) OVER inside > 0
                    THEN deviations * stddev_pop(b.close) OVER win ELSE 0 END AS width,
               count(*) OVER win AS n
        FROM (
            SELECT c.bucket, c.close, c.close <> lag(c.close) OVER (ORDER BY c.bucket) AS moved
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 _hypertick.in_range('deviations', deviations, 0.1, 10) AS deviations_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period - 1) c
        ) b
        WINDOW win AS (ORDER BY b.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW),
               inside AS (ORDER BY b.bucket ROWS BETWEEN period - 2 PRECEDING AND CURRENT ROW)
    ) w, LATERAL (VALUES
        (1, 'upper', w.middle + w.width),
        (2, 'middle', w.middle),
        (3, 'lower', w.middle - w.width),
        (4, 'percent_b', (w.close - w.middle + w.width) / nullif(2 * w.width, 0)),
        (5, 'bandwidth', CASE WHEN w.middle > 0 THEN 2 * w.width / w.middle END)) v(i, series, value)
    WHERE w.n = period AND w.bucket >= "from" AND v.value IS NOT NULL
    ORDER BY w.bucket, v.i
$$;
COMMENT ON FUNCTION indicator.bollinger(text, text, timestamptz, timestamptz, int, float8) IS
'Bollinger bands
Mean of the last period closes, and bands at a number of their population standard deviations. First defined on
bar period - 1. Flat prices: the bands meet, bandwidth is 0, percent_b has no value. No bandwidth where the middle
is not above 0. Warm-up: period - 1 bars. Profile: TA-Lib BBANDS (SMA).
@param period 2..500 Bars averaged.
@param deviations 0.1..10 Standard deviations from the middle to a band.
@series upper Upper band.
@series middle Mean of the closes.
@series lower Lower band.
@series percent_b Where the close is: 0 on the lower band, 1 on the upper.
@series bandwidth Distance of the bands over the middle.';

CREATE FUNCTION indicator.trend(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    fast int DEFAULT 50, slow int DEFAULT 200)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 1500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.bucket, v.series, v.value
    FROM (
        SELECT w.*, _hypertick.side(w.fast_value, w.slow_value) AS side,
               lag(_hypertick.side(w.fast_value, w.slow_value)) OVER (ORDER BY w.bucket) AS side_before
        FROM (
            SELECT c.bucket,
                   avg(c.close) OVER fast_win AS fast_value,
                   avg(c.close) OVER slow_win AS slow_value,
                   count(*) OVER slow_win AS n
            FROM _hypertick.in_range('fast', fast, 1, 499) AS fast_ok,
                 _hypertick.in_range('slow', slow, fast + 1, 500) AS slow_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => slow) c
            WINDOW fast_win AS (ORDER BY c.bucket ROWS BETWEEN fast - 1 PRECEDING AND CURRENT ROW),
                   slow_win AS (ORDER BY c.bucket ROWS BETWEEN slow - 1 PRECEDING AND CURRENT ROW)
        ) w
        WHERE w.n = slow
    ) x, LATERAL (VALUES
        (1, 'fast', x.fast_value),
        (2, 'slow', x.slow_value),
        (3, 'cross', CASE WHEN x.side > 0 AND x.side_before <= 0 THEN 1.0
                          WHEN x.side < 0 AND x.side_before >= 0 THEN -1.0
                          ELSE 0.0 END)) v(i, series, value)
    WHERE x.bucket >= "from"
    ORDER BY x.bucket, v.i
$$;
COMMENT ON FUNCTION indicator.trend(text, text, timestamptz, timestamptz, int, int) IS
'Trend by two averages
A fast and a slow simple average, and where they cross: 1 on a golden cross (fast rises above slow), -1 on a death
cross (it falls below), else 0. First defined on bar slow - 1. Flat prices: both are the price, no cross. Warm-up: slow
bars. Source: the plain definition.
@param fast 1..499 Period of the fast average.
@param slow 2..500 Period of the slow average, above fast.
@series fast Fast average.
@series slow Slow average.
@series cross 1, -1 or 0.';

REVOKE EXECUTE ON FUNCTION
    indicator.sma(text, text, timestamptz, timestamptz, int),
    indicator.wma(text, text, timestamptz, timestamptz, int),
    indicator.ema(text, text, timestamptz, timestamptz, int),
    indicator.macd(text, text, timestamptz, timestamptz, int, int, int),
    indicator.bollinger(text, text, timestamptz, timestamptz, int, float8),
    indicator.trend(text, text, timestamptz, timestamptz, int, int)
FROM PUBLIC;

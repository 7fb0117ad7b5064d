-- Volume, volatility and anomalies.

CREATE FUNCTION indicator.vwap(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'vwap', public.vwap(CASE WHEN period = 0 THEN w.day_notional ELSE w.notional END, w.volume)
    FROM (
        SELECT x.*, CASE WHEN period = 0 THEN x.day_volume ELSE x.roll_volume END AS volume
        FROM (
            SELECT c.bucket,
                   sum(c.notional) OVER per_day AS day_notional,
                   sum(c.volume) OVER per_day AS day_volume,
                   sum(c.notional) OVER roll AS notional,
                   sum(c.volume) OVER roll AS roll_volume,
                   count(*) OVER roll AS n
            FROM _hypertick.in_range('period', period, 0, 500) AS period_ok,
                 public.candles(symbol, "interval",
                                CASE WHEN period = 0 THEN date_trunc('day', "from", 'UTC') ELSE "from" END, "to",
                                warmup => greatest(period - 1, 0)) c
            WINDOW per_day AS (PARTITION BY date_trunc('day', c.bucket, 'UTC')
                               ORDER BY c.bucket ROWS UNBOUNDED PRECEDING),
                   roll AS (ORDER BY c.bucket ROWS BETWEEN greatest(period - 1, 0) PRECEDING AND CURRENT ROW)
        ) x
        WHERE x.n >= period
    ) w
    WHERE w.volume > 0 AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
COMMENT ON FUNCTION indicator.vwap(text, text, timestamptz, timestamptz, int) IS
'Volume-weighted average price
Sum of price times size over sum of size, of every trade: since midnight UTC, or over the last period bars. No
value where nothing but zero sizes traded. Warm-up: the bars since midnight, or period - 1 bars. Source: the plain
definition, over trades and not over typical prices.
@param period 0..500 Bars; 0 restarts each day, UTC.
@series vwap In the price''s units.';

CREATE FUNCTION indicator.obv(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 0, 500);
    IF period > 0 THEN
        RETURN QUERY
        SELECT w.bucket, 'obv', w.value
        FROM (
            SELECT x.bucket, x.i,
                   sum(x.signed) OVER (ORDER BY x.i ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW) AS value
            FROM (
                SELECT c.bucket, row_number() OVER (ORDER BY c.bucket) AS i,
                       sign(c.close - lag(c.close) OVER (ORDER BY c.bucket)) * c.volume AS signed
                FROM public.candles(symbol, "interval", "from", "to", warmup => period) c
            ) x
        ) w
        WHERE w.i > period AND w.bucket >= "from"
        ORDER BY w.bucket;
        RETURN;
    END IF;
    SELECT coalesce(sum((x.obv).s + CASE WHEN x.before IS NULL THEN 1 ELSE sign((x.obv).first - x.before) END
                                    * (x.obv).volume), 0) AS value,
           coalesce(_hypertick.bucket_end(max(x.bucket), _hypertick.block_width("interval")), '-infinity') AS upto,
           (array_agg((x.obv).last ORDER BY x.bucket DESC))[1] AS last
    INTO past
    FROM (
        SELECT b.bucket, b.obv, lag((b.obv).last) OVER (ORDER BY b.bucket) AS before
        FROM _hypertick.blocks_before(symbol, "interval", "from", 9223372036854775807) b
    ) x;
    RETURN QUERY
    SELECT w.bucket, 'obv', past.value + w.value
    FROM (
        SELECT x.bucket, sum(CASE WHEN x.before IS NULL THEN 1 ELSE sign(x.close - x.before) END * x.volume)
                         OVER (ORDER BY x.bucket) AS value
        FROM (
            SELECT c.bucket, c.close, c.volume, coalesce(lag(c.close) OVER (ORDER BY c.bucket), past.last) AS before
            FROM public.candles(symbol, "interval", past.upto, "to") c
        ) x
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
COMMENT ON FUNCTION indicator.obv(text, text, timestamptz, timestamptz, int) IS
'On-balance volume
Running sum of the volume, added where the close rises, subtracted where it falls; begins with the first bar''s
volume. Flat prices: unchanged. Its level depends on all history, so it reads every block state of the symbol, one
row for some 60 bars; with a period it is the sum over the last period bars instead, first defined on bar period.
Profile: TA-Lib OBV.
@param period 0..500 Bars; 0 counts from the beginning of history.
@series obv In units traded.';

CREATE FUNCTION indicator.volatility(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    period int DEFAULT 20, per_year float8 DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    -- The bars of a year in a SELECT of its own, which runs once and not for every bar.
    SELECT w.bucket, 'volatility',
           w.sd * sqrt((SELECT CASE WHEN per_year > 0 THEN per_year ELSE _hypertick.bars_per_year("interval") END))
    FROM (
        SELECT x.bucket, stddev_samp(x.change) OVER win AS sd, count(x.change) OVER win AS n
        FROM (
            SELECT c.bucket, _hypertick.log_return(c.close, lag(c.close) OVER (ORDER BY c.bucket)) AS change
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 _hypertick.in_range('per_year', per_year, 0, 1000000) AS per_year_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period) c
        ) x
        WINDOW win AS (ORDER BY x.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
    ) w
    WHERE w.n = period AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
COMMENT ON FUNCTION indicator.volatility(text, text, timestamptz, timestamptz, int, float8) IS
'Volatility, annualised
Sample standard deviation of the last period log returns, times the square root of the number of bars in a year.
First defined on bar period. Flat prices: 0. No value where one of the closes is not above 0. Warm-up: period bars.
Source: J. Hull, Options, Futures and Other Derivatives (historical volatility).
@param period 2..500 Returns.
@param per_year 0..1000000 Bars in a year; 0 is every bar of 365 days (for daily bars of an exchange use 252).
@series volatility A fraction: 0.2 is 20 % a year.';

CREATE FUNCTION indicator.zscore(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'zscore', (w.change - w.mean) / w.sd
    FROM (
        SELECT x.bucket, x.change, avg(x.change) OVER win AS mean, stddev_samp(x.change) OVER win AS sd,
               count(x.change) OVER win AS n
        FROM (
            SELECT c.bucket, _hypertick.log_return(c.close, lag(c.close) OVER (ORDER BY c.bucket)) AS change
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period + 1) c
        ) x
        WINDOW win AS (ORDER BY x.bucket ROWS BETWEEN period PRECEDING AND 1 PRECEDING)
    ) w
    -- A return is known to some 2e-16: a smaller deviation is nothing but rounding.
    WHERE w.n = period AND w.sd > 1e-15 AND w.change IS NOT NULL AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
COMMENT ON FUNCTION indicator.zscore(text, text, timestamptz, timestamptz, int) IS
'Anomaly of the return
The bar''s log return less the mean of the period returns before it, over their sample standard deviation. The bar
itself is not among them, so that a jump does not hide itself. First defined on bar period + 1. Flat prices: no
value, and none where one of the closes is not above 0. Warm-up: period + 1 bars. Source: the plain definition.
@param period 2..500 Returns to compare with.
@series zscore Standard deviations; beyond 3 or -3 is unusual.';

CREATE FUNCTION indicator.volume_spike(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, v.series, v.value
    FROM (
        SELECT b.bucket, b.volume, avg(b.volume) OVER win AS mean,
               CASE WHEN count(*) FILTER (WHERE b.moved) OVER inside > 0 THEN stddev_samp(b.volume) OVER win END AS sd,
               count(*) OVER win AS n
        FROM (
            SELECT c.bucket, c.volume, c.volume <> lag(c.volume) OVER (ORDER BY c.bucket) AS moved
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period) c
        ) b
        WINDOW win AS (ORDER BY b.bucket ROWS BETWEEN period PRECEDING AND 1 PRECEDING),
               inside AS (ORDER BY b.bucket ROWS BETWEEN period - 1 PRECEDING AND 1 PRECEDING)
    ) w, LATERAL (VALUES
        (1, 'ratio', w.volume / nullif(w.mean, 0)),
        (2, 'zscore', (w.volume - w.mean) / nullif(w.sd, 0))) v(i, series, value)
    WHERE w.n = period AND v.value IS NOT NULL AND w.bucket >= "from"
    ORDER BY w.bucket, v.i
$$;
COMMENT ON FUNCTION indicator.volume_spike(text, text, timestamptz, timestamptz, int) IS
'Anomaly of the volume
The bar''s volume against that of the period bars before it: over their mean, and less their mean over their sample
standard deviation. First defined on bar period. No ratio where the mean is 0, no zscore where all are equal.
Warm-up: period bars. Source: the plain definition.
@param period 2..500 Bars to compare with.
@series ratio Times the usual volume.
@series zscore Standard deviations from the usual volume.';

REVOKE EXECUTE ON FUNCTION
    indicator.vwap(text, text, timestamptz, timestamptz, int),
    indicator.obv(text, text, timestamptz, timestamptz, int),
    indicator.volatility(text, text, timestamptz, timestamptz, int, float8),
    indicator.zscore(text, text, timestamptz, timestamptz, int),
    indicator.volume_spike(text, text, timestamptz, timestamptz, int)
FROM PUBLIC;

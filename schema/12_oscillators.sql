-- Momentum, range and direction.

CREATE FUNCTION indicator.rsi(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 14, flat float8 DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need int;
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 2, 500);
    PERFORM _hypertick.in_range('flat', flat, 0, 100);
    need := _hypertick.forget(1 - 1.0::float8 / period) + 1;
    IF period = 14 THEN
        SELECT indicator.rollup(block.rsi_14 ORDER BY block.bucket) AS state,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need) block;
        IF past.bars >= need THEN
            -- The last close before goes in as the first bar, at which the means are
            -- those of the state.
            RETURN QUERY
            SELECT w.bucket, 'rsi', w.value
            FROM (
                SELECT bar.bucket, _hypertick.rsi_value(indicator.rsi_agg(bar.close, period) OVER (ORDER BY bar.i),
                                                 (past.state).g, (past.state).l, flat) AS value
                FROM (
                    SELECT NULL::timestamptz AS bucket, (past.state).last AS close, 0::bigint AS i
                    UNION ALL
                    SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket)
                    FROM public.candles(symbol, "interval", past.upto, "to") c
                ) bar
            ) w
            WHERE w.bucket >= "from"
            ORDER BY w.bucket;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.close, row_number() OVER win AS i, c.close - lag(c.close) OVER win AS change
        FROM public.candles(symbol, "interval", "from", "to", warmup => need + period) c
        WINDOW win AS (ORDER BY c.bucket)
    ), seed AS (
        SELECT avg(greatest(bar.change, 0)) AS gain, avg(greatest(-bar.change, 0)) AS loss
        FROM bars bar
        WHERE bar.i BETWEEN 2 AND period + 1
        HAVING count(*) = period
    )
    SELECT w.bucket, 'rsi', w.value
    FROM (
        SELECT bar.bucket, _hypertick.rsi_value(indicator.rsi_agg(bar.close, period) OVER (ORDER BY bar.i),
                                         seed.gain, seed.loss, flat) AS value
        FROM bars bar, seed
        WHERE bar.i > period
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
COMMENT ON FUNCTION indicator.rsi(text, text, timestamptz, timestamptz, int, float8) IS
'Relative strength index
100 * mean gain / (mean gain + mean loss) of the closes, with Wilder''s means (weight 1/period), seeded with the
plain means of the first period changes, on bar period. Flat prices, which neither gain nor lose: flat, which is 0
unless given, as TA-Lib has it (TradingView: 100). Period 14 reads block states; others need 30 * period warm-up
bars. Profile: TA-Lib RSI. Source: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978.
@param period 2..500 Bars; the newest change weighs 1/period.
@param flat 0..100 Value where the price has not moved; 50 is neither high nor low.
@series rsi 0 to 100; below 30 is often read as oversold, above 70 as overbought.';

CREATE FUNCTION indicator.atr(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 14)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need int;
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 1, 500);
    need := _hypertick.forget(1 - 1.0::float8 / period) + 1;
    IF period = 14 THEN
        SELECT indicator.rollup(block.atr_14 ORDER BY block.bucket) AS state,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need) block;
        IF past.bars >= need THEN
            -- The last close before goes in as the first bar, at which the mean is
            -- that of the state.
            RETURN QUERY
            SELECT w.bucket, 'atr', w.value
            FROM (
                SELECT bar.bucket,
                       indicator.atr(indicator.atr_agg(bar.high, bar.low, bar.close, period) OVER (ORDER BY bar.i),
                                     (past.state).s) AS value
                FROM (
                    SELECT NULL::timestamptz AS bucket, (past.state).close AS high, (past.state).close AS low,
                           (past.state).close AS close, 0::bigint AS i
                    UNION ALL
                    SELECT c.bucket, c.high, c.low, c.close, row_number() OVER (ORDER BY c.bucket)
                    FROM public.candles(symbol, "interval", past.upto, "to") c
                ) bar
            ) w
            WHERE w.bucket >= "from"
            ORDER BY w.bucket;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.high, c.low, c.close, row_number() OVER win AS i, lag(c.close) OVER win AS before
        FROM public.candles(symbol, "interval", "from", "to", warmup => need + period) c
        WINDOW win AS (ORDER BY c.bucket)
    ), seed AS (
        SELECT avg(greatest(bar.high, bar.before) - least(bar.low, bar.before)) AS value
        FROM bars bar
        WHERE bar.i BETWEEN 2 AND period + 1
        HAVING count(*) = period
    )
    SELECT w.bucket, 'atr', w.value
    FROM (
        SELECT bar.bucket,
               indicator.atr(indicator.atr_agg(bar.high, bar.low, bar.close, period) OVER (ORDER BY bar.i),
                             seed.value) AS value
        FROM bars bar, seed
        WHERE bar.i > period
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
COMMENT ON FUNCTION indicator.atr(text, text, timestamptz, timestamptz, int) IS
'Average true range
Wilder''s mean (weight 1/period) of the true range: the greatest of high - low, |high - close before|, |low - close
before|. Seeded with the plain mean of the first period true ranges, on bar period. Flat prices: 0. Period 14 reads
block states; others need 30 * period warm-up bars. Profile: TA-Lib ATR. Source: J. Welles Wilder, 1978.
@param period 1..500 Bars; the newest true range weighs 1/period.
@series atr In the price''s units.';

-- A loop, since its sums, means and the mean of their ratio hang together.
CREATE FUNCTION indicator.adx(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 14)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 1500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bar        record;
    i          int := -1;
    prev_high  float8;
    prev_low   float8;
    prev_close float8;
    up         float8;
    down       float8;
    range_sum  float8 := 0;
    plus_sum   float8 := 0;
    minus_sum  float8 := 0;
    plus_di    float8;
    minus_di   float8;
    dx_sum     float8 := 0;
    adx_value  float8;
    keep       float8;
BEGIN
    PERFORM _hypertick.in_range('period', period, 2, 500);
    keep := 1 - 1.0::float8 / period;
    -- Two means in a row forget more slowly than one.
    FOR bar IN
        SELECT c.bucket, c.high, c.low, c.close
        FROM public.candles(symbol, "interval", "from", "to",
                            warmup => 2 * period + _hypertick.forget(keep) * 4 / 3) c
    LOOP
        i := i + 1;
        IF i > 0 THEN
            up := bar.high - prev_high;
            down := prev_low - bar.low;
            IF i >= period THEN
                range_sum := CASE WHEN range_sum < 1e-150 THEN 0 ELSE range_sum * keep END;
                plus_sum := CASE WHEN plus_sum < 1e-150 THEN 0 ELSE plus_sum * keep END;
                minus_sum := CASE WHEN minus_sum < 1e-150 THEN 0 ELSE minus_sum * keep END;
            END IF;
            -- In this order: the sum is of prices' differences, and keeps their digits.
            range_sum := range_sum + (greatest(bar.high, prev_close) - least(bar.low, prev_close));
            IF up > 0 AND up > down THEN
                plus_sum := plus_sum + up;
            ELSIF down > 0 AND down > up THEN
                minus_sum := minus_sum + down;
            END IF;
            IF i >= period THEN
                IF range_sum > 0 THEN
                    plus_di := 100 * (plus_sum / range_sum);
                    minus_di := 100 * (minus_sum / range_sum);
                ELSE
                    plus_di := 0;
                    minus_di := 0;
                END IF;
                IF plus_di + minus_di > 0 THEN
                    up := 100 * (abs(plus_di - minus_di) / (plus_di + minus_di));
                    IF i < 2 * period THEN
                        dx_sum := dx_sum + up;
                    ELSE
                        adx_value := (adx_value * (period - 1) + up) / period;
                    END IF;
                END IF;
                IF i = 2 * period - 1 THEN
                    adx_value := dx_sum / period;
                END IF;
                IF bar.bucket >= "from" THEN
                    IF adx_value IS NOT NULL THEN
                        RETURN NEXT ROW(bar.bucket, 'adx', adx_value)::indicator.point;
                    END IF;
                    RETURN NEXT ROW(bar.bucket, 'plus_di', plus_di)::indicator.point;
                    RETURN NEXT ROW(bar.bucket, 'minus_di', minus_di)::indicator.point;
                END IF;
            END IF;
        END IF;
        prev_high := bar.high;
        prev_low := bar.low;
        prev_close := bar.close;
    END LOOP;
END
$$;
COMMENT ON FUNCTION indicator.adx(text, text, timestamptz, timestamptz, int) IS
'Average directional index
Strength of a trend: Wilder''s mean of |plus_di - minus_di| / (plus_di + minus_di), where the directional
indicators are Wilder''s sums of upward and downward movement over that of the true range. The indicators are first
defined on bar period, adx on bar 2 * period - 1. Flat prices: the indicators are 0 and adx stays as it was.
Warm-up: 42 * period bars. Profile: TA-Lib ADX, PLUS_DI, MINUS_DI. Source: J. Welles Wilder, 1978.
@param period 2..500 Bars; the newest movement weighs 1/period.
@series adx 0 to 100; above 25 is often read as a trend.
@series plus_di Upward movement.
@series minus_di Downward movement.';

CREATE FUNCTION indicator.stochastic(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    period int DEFAULT 14, slow int DEFAULT 3, signal int DEFAULT 3)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT z.bucket, v.series, v.value
    FROM (
        SELECT y.bucket, y.i, y.k,
               avg(y.k) OVER (ORDER BY y.bucket ROWS BETWEEN signal - 1 PRECEDING AND CURRENT ROW) AS d
        FROM (
            SELECT x.bucket, x.i,
                   avg(x.raw) OVER (ORDER BY x.bucket ROWS BETWEEN slow - 1 PRECEDING AND CURRENT ROW) AS k
            FROM (
                SELECT c.bucket, row_number() OVER (ORDER BY c.bucket) AS i,
                       coalesce(100 * ((c.close - min(c.low) OVER win)
                                       / nullif(max(c.high) OVER win - min(c.low) OVER win, 0)), 0) AS raw
                FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
                     _hypertick.in_range('slow', slow, 1, 100) AS slow_ok,
                     _hypertick.in_range('signal', signal, 1, 100) AS signal_ok,
                     public.candles(symbol, "interval", "from", "to", warmup => period + slow + signal - 3) c
                WINDOW win AS (ORDER BY c.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
            ) x
            WHERE x.i >= period
        ) y
        WHERE y.i >= period + slow - 1
    ) z, LATERAL (VALUES (1, 'k', z.k), (2, 'd', z.d)) v(i, series, value)
    WHERE z.i >= period + slow + signal - 2 AND z.bucket >= "from"
    ORDER BY z.bucket, v.i
$$;
COMMENT ON FUNCTION indicator.stochastic(text, text, timestamptz, timestamptz, int, int, int) IS
'Stochastic oscillator
Where the close lies between the lowest low and the highest high of the last period bars, averaged over slow bars
(k), and the average of that over signal bars (d). Both first defined on bar period + slow + signal - 3. Flat
prices: 0. Warm-up: period + slow + signal - 3 bars. Profile: TA-Lib STOCH with simple averages (its own default
periods are 5, 3, 3).
@param period 1..500 Bars of the range.
@param slow 1..100 Bars k is averaged over; 1 gives the fast stochastic.
@param signal 1..100 Bars d averages k over.
@series k 0 to 100.
@series d Average of k.';

CREATE FUNCTION indicator.roc(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 10)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'roc', 100 * _hypertick.change(w.close, w.before)
    FROM (
        SELECT c.bucket, c.close, lag(c.close, period) OVER (ORDER BY c.bucket) AS before
        FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
             public.candles(symbol, "interval", "from", "to", warmup => period) c
    ) w
    WHERE _hypertick.change(w.close, w.before) IS NOT NULL AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
COMMENT ON FUNCTION indicator.roc(text, text, timestamptz, timestamptz, int) IS
'Rate of change
Change of the close over period bars, in percent. First defined on bar period. Flat prices: 0. No value where
one of the two is not above 0. Warm-up: period bars. Profile: TA-Lib ROC.
@param period 1..500 Bars between the two closes.
@series roc Percent.';

REVOKE EXECUTE ON FUNCTION
    indicator.rsi(text, text, timestamptz, timestamptz, int, float8),
    indicator.atr(text, text, timestamptz, timestamptz, int),
    indicator.adx(text, text, timestamptz, timestamptz, int),
    indicator.stochastic(text, text, timestamptz, timestamptz, int, int, int),
    indicator.roc(text, text, timestamptz, timestamptz, int)
FROM PUBLIC;

-- +goose Up
-- An exponential mean of the typical price, each value computed from the previous
-- one. It works as it is, so that there is something to change. What to
-- change: what is averaged, how fast it forgets, the parameters, and the COMMENT.
CREATE FUNCTION indicator.NAME(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point LANGUAGE sql STABLE AS $$
    SELECT bucket, 'NAME', value
    FROM (SELECT bucket, row_number() OVER w AS n,
                 -- ema_agg, rsi_agg and atr_agg are running states: there is one after each bar. They are
                 -- also what a continuous aggregate can keep per block (docs/add-an-indicator.md). A
                 -- recurrence that they do not cover is a loop in plpgsql over the same bars.
                 indicator.ema(indicator.ema_agg((high + low + close) / 3, period) OVER w) AS value
          -- The bars after which what came before "from" weighs less than 1e-13: forget takes how much
          -- of the value before each new one keeps. For Wilder's means that is 1 - 1.0 / period.
          FROM public.candles(symbol, "interval", "from", "to", warmup => _hypertick.forget(1 - 2.0 / (period + 1)) + period)
          WINDOW w AS (ORDER BY bucket)) bars
    -- No row where there is no value yet, none before "from", none that is NULL.
    WHERE n >= period AND bucket >= "from" AND value IS NOT NULL
    ORDER BY bucket
$$;
-- What people see. The first line is the title; each parameter has its range, each series its line.
COMMENT ON FUNCTION indicator.NAME IS 'TITLE
value = value before + 2/(period+1) * ((high + low + close) / 3 - value before), over the bars there are. First defined on bar period - 1. Flat prices: the price. Warm-up: 16 * period bars. Source: say where the formula is from.
@param period 1..500 Bars; the newest weighs 2/(period+1).
@series NAME In the price''s units.';

-- +goose Down
DROP FUNCTION indicator.NAME;

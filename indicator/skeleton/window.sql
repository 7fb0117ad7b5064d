-- +goose Up
-- A mean of the last period closes: it works as it is, so that there is
-- something to change. What to change: the formula, how many bars it needs
-- before "from", the parameters, and the COMMENT.
CREATE FUNCTION indicator.NAME(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point LANGUAGE sql STABLE AS $$
    -- One row a bar and series. Several series: FROM bars, LATERAL (VALUES (1, 'upper', x), (2, 'lower', y)) v(i, series, value).
    SELECT bucket, 'NAME', value
    FROM (SELECT bucket,
                 -- The formula. Bars have open, high, low, close, volume, notional and trades. Look only at
                 -- the bar itself and those before it.
                 avg(close) OVER w AS value,
                 count(*) OVER w AS n
          -- warmup is how many bars before "from" the first value needs: period - 1 for a window of
          -- period bars, period where changes from bar to bar are involved.
          FROM public.candles(symbol, "interval", "from", "to", warmup => period - 1)
          WINDOW w AS (ORDER BY bucket ROWS period - 1 PRECEDING)) bars
    -- No row where there is no value yet, none before "from", none that is NULL.
    WHERE n = period AND bucket >= "from" AND value IS NOT NULL
    ORDER BY bucket
$$;
-- What people see. The first line is the title; each parameter has its range, each series its line.
COMMENT ON FUNCTION indicator.NAME IS 'TITLE
Mean of the last period closes. First defined on bar period - 1. Flat prices: the price. Warm-up: period - 1 bars. Source: say where the formula is from.
@param period 1..500 Bars averaged.
@series NAME In the price''s units.';

-- +goose Down
DROP FUNCTION indicator.NAME;

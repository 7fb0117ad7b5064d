-- Splits that nobody has entered. A split moves the price between two trading
-- days by a common ratio and volume the other way, so that as much money changes
-- hands as on other days. A crash comes with far more of it, or within a day.

CREATE FUNCTION _hypertick.ended_days(after timestamptz, until timestamptz)
RETURNS TABLE (calendar text, day date, opens timestamptz, closes timestamptz,
               before_from timestamptz, before_to timestamptz)
LANGUAGE sql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.calendar, s.day, s.opens, s.closes, p.opens, p.closes
    FROM public.sessions s
    CROSS JOIN LATERAL (SELECT x.opens, x.closes FROM public.sessions x
                        WHERE x.calendar = s.calendar AND x.day < s.day ORDER BY x.day DESC LIMIT 1) p
    WHERE s.closes > after AND s.closes <= until
    UNION ALL
    -- Where every day is one, a symbol may still rest for some.
    SELECT '24x7', (d.opens AT TIME ZONE 'UTC')::date, d.opens, d.opens + INTERVAL '24 hours',
           d.opens - INTERVAL '168 hours', d.opens
    FROM generate_series(date_trunc('day', after, 'UTC') - INTERVAL '24 hours', until - INTERVAL '24 hours',
                         INTERVAL '24 hours') d(opens)
    WHERE d.opens + INTERVAL '24 hours' > after
$$;
COMMENT ON FUNCTION _hypertick.ended_days(timestamptz, timestamptz) IS
    'Trading days that ended after one time and not after another, and where the last close before them is found.';

CREATE FUNCTION _hypertick.quality_splits(
    after timestamptz, until timestamptz, tolerance float8, drift float8, volume float8)
RETURNS TABLE (symbol text, since timestamptz, value float8, bound float8, detail text)
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    ratios CONSTANT float8[] := ARRAY(
        SELECT r FROM unnest(ARRAY[1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20]::float8[]) x(ratio),
                      unnest(ARRAY[x.ratio, 1 / x.ratio]) r);
    d record;
BEGIN
    FOR d IN SELECT * FROM _hypertick.ended_days(after, until) LOOP
        RETURN QUERY
        WITH bars AS MATERIALIZED (
            SELECT b.symbol, b.bucket, b.open, b.close, b.notional
            FROM public.candles_15m b
            WHERE d.calendar <> '24x7' AND b.bucket >= d.before_from AND b.bucket < d.closes
              AND (b.bucket < d.before_to OR b.bucket >= d.opens)
            UNION ALL
            SELECT b.symbol, b.bucket, b.open, b.close, b.notional
            FROM public.candles_1d b
            WHERE d.calendar = '24x7' AND b.bucket >= d.before_from AND b.bucket < d.closes
        ), days AS (
            SELECT b.symbol,
                   public.last(b.close, b.bucket) FILTER (WHERE b.bucket < d.opens) AS last_close,
                   public.first(b.open, b.bucket) FILTER (WHERE b.bucket >= d.opens) AS open,
                   public.last(b.close, b.bucket) FILTER (WHERE b.bucket >= d.opens) AS close,
                   sum(b.notional) FILTER (WHERE b.bucket >= d.opens) AS notional
            FROM bars b
            GROUP BY b.symbol
        ), jumped AS MATERIALIZED (
            SELECT x.symbol, x.last_close, x.open, x.notional, r.ratio
            FROM days x
            LEFT JOIN public.instruments i ON i.symbol = x.symbol
            CROSS JOIN LATERAL (SELECT c.ratio FROM unnest(ratios) c(ratio)
                                WHERE x.last_close > 0 AND x.open > 0
                                ORDER BY abs(ln(x.last_close / x.open / c.ratio)) LIMIT 1) r
            WHERE coalesce(i.calendar, '24x7') = d.calendar AND x.close > 0
              AND abs(ln(x.last_close / x.open / r.ratio)) <= ln(1 + tolerance)
              -- The move is between the days: the price stays where it opened.
              AND abs(ln(x.close / x.open)) <= ln(1 + drift)
        )
        SELECT j.symbol, d.opens, j.last_close / j.open, j.ratio,
               format('the open of %s leaves the last close of %s by %s, as a split of %s for %s does, '
                      'and none is known',
                      j.open, j.last_close, round((j.last_close / j.open)::numeric, 3),
                      CASE WHEN j.ratio = 1.5 THEN 3 WHEN j.ratio > 1 THEN j.ratio
                           WHEN j.ratio > 0.6 THEN 2 ELSE 1 END,
                      CASE WHEN j.ratio = 1.5 THEN 2 WHEN j.ratio > 1 THEN 1
                           WHEN j.ratio > 0.6 THEN 3 ELSE round(1 / j.ratio) END)
        FROM jumped j
        CROSS JOIN LATERAL (
            SELECT count(*) AS days, percentile_cont(0.5) WITHIN GROUP (ORDER BY u.notional) AS notional
            FROM (SELECT b.notional FROM public.candles_1d b
                  WHERE b.symbol = j.symbol AND b.bucket < d.before_to - INTERVAL '1 second'
                    AND b.bucket >= d.opens - INTERVAL '40 days'
                  ORDER BY b.bucket DESC LIMIT 20) u
        ) usual
        WHERE usual.days >= 5 AND j.notional BETWEEN usual.notional / volume AND usual.notional * volume
          AND NOT EXISTS (SELECT FROM public.corporate_actions a
                          WHERE a.symbol = j.symbol AND a.kind = 'split' AND a.ex_date = d.day
                            AND a.undone_at IS NULL);
    END LOOP;
END
$$;
COMMENT ON FUNCTION _hypertick.quality_splits(timestamptz, timestamptz, float8, float8, float8) IS
    'Symbols whose open left the last close by a common ratio, to within tolerance, on a trading day that ended after '
    'one time and not after another, whose price stayed within drift of it, and whose notional was within volume '
    'times the median of up to 20 days before, while no split of that day is known. A symbol with fewer than 5 days '
    'before is not judged.';

CREATE FUNCTION _hypertick.quality_split_entered(symbol text, opens timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM public.corporate_actions a
        WHERE a.symbol = quality_split_entered.symbol AND a.kind = 'split' AND a.undone_at IS NULL
          AND a.ex_date = coalesce(
              (SELECT s.day FROM public.instruments i JOIN public.sessions s ON s.calendar = i.calendar
               WHERE i.symbol = quality_split_entered.symbol AND s.opens = quality_split_entered.opens),
              (quality_split_entered.opens AT TIME ZONE 'UTC')::date))
$$;
COMMENT ON FUNCTION _hypertick.quality_split_entered(text, timestamptz) IS
    'Whether a split is in force whose ex-date is the trading day that opened then.';

REVOKE EXECUTE ON FUNCTION
    _hypertick.ended_days(timestamptz, timestamptz),
    _hypertick.quality_splits(timestamptz, timestamptz, float8, float8, float8),
    _hypertick.quality_split_entered(text, timestamptz)
FROM PUBLIC;

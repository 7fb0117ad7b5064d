-- Candles: one real-time continuous aggregate for each materialised interval
-- (see 06_intervals.sql), and the one way SQL reads bars of any interval.

CREATE TYPE candle AS (
    symbol     text COLLATE "C",
    bucket     timestamptz,
    open       float8,
    high       float8,
    low        float8,
    close      float8,
    volume     float8,
    buy_volume float8,
    notional   float8,
    trades     bigint
);
COMMENT ON TYPE candle IS
    'A bar: a row of candles(), and of candles_<interval>, where open, high, low and close may be NULL.';

CREATE FUNCTION vwap(notional float8, volume float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN volume > 0 THEN notional / volume END;
COMMENT ON FUNCTION vwap(float8, float8) IS 'Volume-weighted average price of a candle. NULL where the volume is 0.';
REVOKE EXECUTE ON FUNCTION vwap(float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vwap(float8, float8) TO hypertick_reader, hypertick_writer, hypertick_operator;

CREATE FUNCTION _hypertick.rolled_up(bars _hypertick.interval_source, at text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT %s FROM (SELECT %s FROM public.%I WHERE symbol = $1 AND %I >= $2 AND %4$I < $3 '
                  'GROUP BY 1, 2) c WHERE c.close IS NOT NULL',
        _hypertick.shown_columns(), _hypertick.candle_columns(bars.relation, bars.width), bars.relation, at)
$$;
COMMENT ON FUNCTION _hypertick.rolled_up(_hypertick.interval_source, text) IS
    'SQL text: the bars of symbol $1 from $2 to before $3, made of what is stored.';

-- Bars that are not stored are made in windows of time, each as wide as the bars
-- asked for would be if the symbol traded in every one, so that the newest bars
-- of a long history cost no more than those of a short one.
CREATE FUNCTION _hypertick.roll_up(
    bars _hypertick.interval_source, symbol text, since timestamptz, until timestamptz, max_bars bigint)
RETURNS SETOF candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at     CONSTANT text := CASE bars.relation WHEN 'ticks' THEN 'ts' ELSE 'bucket' END;
    made   CONSTANT text := _hypertick.rolled_up(bars, at) || ' ORDER BY 2 LIMIT $4';
    next   CONSTANT text := format(
        'SELECT %2$I FROM public.%1$I WHERE symbol = $1 AND %2$I >= $2 AND %2$I < $3 ORDER BY %2$I LIMIT 1',
        bars.relation, at);
    -- The first bar that begins in the range, and the first one after it.
    start  timestamptz := _hypertick.bucket_from(since, bars.width);
    behind CONSTANT timestamptz := _hypertick.bucket_from(until, bars.width);
    stop   timestamptz;
    reach  interval := least(bars.width * greatest(least(max_bars, 100000), 1), INTERVAL '1000 years');
    n      bigint;
BEGIN
    IF max_bars IS NULL THEN
        RETURN QUERY EXECUTE made USING symbol, start, behind, NULL::bigint;
        RETURN;
    END IF;
    WHILE max_bars > 0 LOOP
        EXECUTE next INTO start USING symbol, start, behind;
        EXIT WHEN start IS NULL;
        start := public.time_bucket(bars.width, start);
        stop := least(behind, public.time_bucket(bars.width, _hypertick.bucket_end(start, reach)));
        RETURN QUERY EXECUTE made USING symbol, start, stop, max_bars;
        GET DIAGNOSTICS n = ROW_COUNT;
        max_bars := max_bars - n;
        start := stop;
        reach := least(2 * reach, INTERVAL '1000 years');
    END LOOP;
END
$$;
COMMENT ON FUNCTION _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint) IS
    'Bars of an interval that is not materialised, which begin from since on and before until, oldest first, at most '
    'max_bars.';

CREATE FUNCTION _hypertick.roll_up_before(
    bars _hypertick.interval_source, symbol text, until timestamptz, max_bars bigint)
RETURNS SETOF candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at     CONSTANT text := CASE bars.relation WHEN 'ticks' THEN 'ts' ELSE 'bucket' END;
    made   CONSTANT text := _hypertick.rolled_up(bars, at) || ' ORDER BY 2 DESC LIMIT $4';
    last   CONSTANT text := format(
        'SELECT %2$I FROM public.%1$I WHERE symbol = $1 AND %2$I < $2 ORDER BY %2$I DESC LIMIT 1', bars.relation, at);
    behind timestamptz := _hypertick.bucket_from(until, bars.width);
    start  timestamptz;
    reach  interval := least(bars.width * greatest(least(max_bars, 100000), 1), INTERVAL '1000 years');
    n      bigint;
BEGIN
    WHILE max_bars > 0 LOOP
        EXECUTE last INTO behind USING symbol, behind;
        EXIT WHEN behind IS NULL;
        behind := _hypertick.bucket_end(public.time_bucket(bars.width, behind), bars.width);
        start := public.time_bucket(bars.width, _hypertick.bucket_end(behind, -reach));
        RETURN QUERY EXECUTE made USING symbol, start, behind, max_bars;
        GET DIAGNOSTICS n = ROW_COUNT;
        max_bars := max_bars - n;
        behind := start;
        reach := least(2 * reach, INTERVAL '1000 years');
    END LOOP;
END
$$;
COMMENT ON FUNCTION _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint) IS
    'The last max_bars bars of an interval that is not materialised, which begin before until, newest first.';

-- A function and not a view over all intervals: each statement has its own time
-- bounds, which TimescaleDB can prune chunks by. A dynamic statement
-- would be planned on every call, which takes longer than reading a bar; so the
-- function is recreated when an interval is added or removed, with one static
-- statement for each.
CREATE FUNCTION _hypertick.make_candles_function() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    before text;
    after  text;
    raw    text;
    stored text[];
BEGIN
    SELECT string_agg(format($q$WHEN %L THEN
            FOR bar IN SELECT %s FROM public.%I c
                       WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                         AND c.close IS NOT NULL
                       ORDER BY c.bucket DESC LIMIT warmup LOOP
                bars := bars || bar;
            END LOOP;$q$, i."interval", _hypertick.shown_columns(), 'candles_' || i."interval"),
               E'\n        ' ORDER BY i.width),
           string_agg(format($q$WHEN %L THEN
            RETURN QUERY SELECT %s FROM public.%I c
                         WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
                           AND c.close IS NOT NULL
                         ORDER BY c.bucket LIMIT max_bars;$q$,
                             i."interval", _hypertick.shown_columns(), 'candles_' || i."interval"),
               E'\n        ' ORDER BY i.width),
           string_agg(format($q$WHEN %L THEN
        RETURN QUERY SELECT c.* FROM public.%I c
                     WHERE c.symbol = raw_candles.symbol AND c.bucket >= "from" AND c.bucket < "to";$q$,
                             i."interval", 'candles_' || i."interval"),
               E'\n    ' ORDER BY i.width),
           array_agg(i."interval" ORDER BY i.width)
    INTO before, after, raw, stored
    FROM public.intervals i WHERE i.materialized;

    EXECUTE format($function$
CREATE OR REPLACE FUNCTION public.candles(
    symbol     text,
    "interval" text,
    "from"     timestamptz DEFAULT '-infinity',
    "to"       timestamptz DEFAULT 'infinity',
    warmup     int DEFAULT 0,
    max_bars   bigint DEFAULT NULL
)
RETURNS SETOF public.candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path = pg_catalog, pg_temp
-- Below the union of a real-time aggregate the planner does not see the LIMIT
-- and would sort a symbol's whole history; so it walks the index, and a read
-- takes as long after ten years as after ten days.
SET enable_sort = off
-- The penalty that stands for "off" looks to the JIT like a query of hours, and
-- compiling one costs seconds.
SET jit = off
AS $$
DECLARE
    bar     public.candle;
    bars    public.candle[];
    made_of _hypertick.interval_source;
BEGIN
    IF ("interval" = ANY (%L)) IS NOT TRUE THEN
        made_of := _hypertick.find_interval("interval");
    END IF;
    -- Bars before "from", turned round here: TimescaleDB pushes an ORDER BY and
    -- LIMIT into a real-time aggregate only from the top of a statement. Inside
    -- another SELECT it reads every bar the symbol ever had and sorts them.
    IF warmup > 0 AND "from" > '-infinity' THEN
        CASE "interval"
        %s
        ELSE
            FOR bar IN SELECT c.* FROM _hypertick.roll_up_before(made_of, symbol, least("from", "to"), warmup) c LOOP
                bars := bars || bar;
            END LOOP;
        END CASE;
        FOR n IN REVERSE coalesce(cardinality(bars), 0) .. 1 LOOP
            RETURN NEXT bars[n];
        END LOOP;
    END IF;
    IF "from" < "to" AND (max_bars > 0 OR max_bars IS NULL) THEN
        CASE "interval"
        %s
        ELSE
            RETURN QUERY SELECT c.* FROM _hypertick.roll_up(made_of, symbol, "from", "to", max_bars) c;
        END CASE;
    END IF;
END
$$
$function$, stored, before, after);

    EXECUTE format($function$
CREATE OR REPLACE FUNCTION _hypertick.raw_candles(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz)
RETURNS SETOF public.candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    made_of _hypertick.interval_source;
BEGIN
    CASE "interval"
    %s
    ELSE
        made_of := _hypertick.find_interval("interval");
        RETURN QUERY EXECUTE format(
            'SELECT %%s FROM public.%%I WHERE symbol = $1 AND %%I >= $2 AND %%3$I < $3 GROUP BY 1, 2',
            _hypertick.candle_columns(made_of.relation, made_of.width), made_of.relation,
            CASE made_of.relation WHEN 'ticks' THEN 'ts' ELSE 'bucket' END)
            USING symbol, _hypertick.bucket_from("from", made_of.width), _hypertick.bucket_from("to", made_of.width);
    END CASE;
END
$$
$function$, raw);
END
$make$;
COMMENT ON FUNCTION _hypertick.make_candles_function() IS
    'Creates candles(), through which SQL reads bars, and raw_candles(), for the intervals there are.';
REVOKE EXECUTE ON FUNCTION _hypertick.make_candles_function() FROM PUBLIC;

SELECT add_interval(i."interval") FROM intervals i WHERE i.kind = 'core' ORDER BY i.width;

COMMENT ON FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint) IS
    'Bars of one symbol, oldest first, with "from" <= bucket < "to". interval is one of the table intervals, or any '
    'number of s, m, h, d, w, mo or y such as 90m. warmup adds up to that many bars before "from"; max_bars bounds '
    'those from "from" on. The newest 500: candles(symbol, interval, ''infinity'', warmup => 500). There is a bar '
    'where a trade moves the close; what the trades of other times count in is the wider bars.';

COMMENT ON FUNCTION _hypertick.raw_candles(text, text, timestamptz, timestamptz) IS
    'Bars as they are stored or made, in no order: open, high, low or close is NULL where no trade moved it. Whoever '
    'adds ticks to a bar needs these.';

-- Only blocks older than the newest of any symbol are final (see 05_blocks.sql).
COMMENT ON FUNCTION _hypertick.blocks_before(text, text, timestamptz, bigint, bigint) IS
    'The block states that end by before, newest first, until they hold that many bars; the newest ones that '
    'together hold up to skip bars are left out. The caller checks sum(bars): fewer than asked for means that '
    'history begins within them.';

REVOKE EXECUTE ON FUNCTION
    candles(text, text, timestamptz, timestamptz, int, bigint),
    _hypertick.raw_candles(text, text, timestamptz, timestamptz),
    _hypertick.blocks_before(text, text, timestamptz, bigint, bigint),
    _hypertick.rolled_up(_hypertick.interval_source, text),
    _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint),
    _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    candles(text, text, timestamptz, timestamptz, int, bigint),
    _hypertick.raw_candles(text, text, timestamptz, timestamptz),
    _hypertick.blocks_before(text, text, timestamptz, bigint, bigint),
    _hypertick.rolled_up(_hypertick.interval_source, text),
    _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint),
    _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint)
TO hypertick_reader, hypertick_writer, hypertick_operator;

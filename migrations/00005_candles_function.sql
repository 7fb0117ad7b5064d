-- +goose Up
-- The one way SQL reads bars of any interval. A function and not a view over
-- all intervals: each branch is static SQL with its own time bounds, which
-- TimescaleDB can prune chunks by.
-- +goose StatementBegin
CREATE FUNCTION candles(
    symbol     text,
    "interval" text,
    "from"     timestamptz DEFAULT '-infinity',
    "to"       timestamptz DEFAULT 'infinity',
    warmup     int DEFAULT 0,
    max_bars   bigint DEFAULT NULL
)
RETURNS SETOF candles_1m
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
-- Below the union of a real-time aggregate the planner does not see the LIMIT
-- and would sort a symbol's whole history; so it walks the index, and a read
-- takes as long after ten years as after ten days.
SET enable_sort = off
-- The penalty that stands for "off" looks to the JIT like a query of hours, and
-- compiling one costs seconds.
SET jit = off
AS $$
BEGIN
    IF "interval" = '1m' THEN
        IF warmup > 0 AND "from" > '-infinity' THEN
            RETURN QUERY
            SELECT w.* FROM (
                SELECT c.* FROM public.candles_1m c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            ) w ORDER BY w.bucket;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_1m c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '5m' THEN
        IF warmup > 0 AND "from" > '-infinity' THEN
            RETURN QUERY
            SELECT w.* FROM (
                SELECT c.* FROM public.candles_5m c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            ) w ORDER BY w.bucket;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_5m c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '15m' THEN
        IF warmup > 0 AND "from" > '-infinity' THEN
            RETURN QUERY
            SELECT w.* FROM (
                SELECT c.* FROM public.candles_15m c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            ) w ORDER BY w.bucket;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_15m c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '1h' THEN
        IF warmup > 0 AND "from" > '-infinity' THEN
            RETURN QUERY
            SELECT w.* FROM (
                SELECT c.* FROM public.candles_1h c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            ) w ORDER BY w.bucket;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_1h c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '1d' THEN
        IF warmup > 0 AND "from" > '-infinity' THEN
            RETURN QUERY
            SELECT w.* FROM (
                SELECT c.* FROM public.candles_1d c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            ) w ORDER BY w.bucket;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_1d c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSE
        RAISE EXCEPTION 'interval: want one of 1m, 5m, 15m, 1h, 1d, got %', pg_catalog.quote_nullable("interval")
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint) IS
'Bars of one symbol, oldest first, with "from" <= bucket < "to". interval is one of 1m, 5m, 15m, 1h, 1d. warmup adds up to that many bars before "from"; max_bars bounds those from "from" on. The newest 500: candles(symbol, interval, ''infinity'', warmup => 500).';
REVOKE EXECUTE ON FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint) TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint);

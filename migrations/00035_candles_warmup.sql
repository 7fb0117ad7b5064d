-- +goose Up
-- Bars before "from" without reading a symbol's whole history. TimescaleDB pushes
-- an ORDER BY and LIMIT into a real-time aggregate only from the top of a
-- statement. Inside another SELECT, which was there to turn the bars round, it
-- read every bar the symbol ever had and sorted them. So the bars are turned
-- round here.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION candles(
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
DECLARE
    before CONSTANT boolean := warmup > 0 AND "from" > '-infinity';
    bar  public.candles_1m;
    bars public.candles_1m[];
BEGIN
    IF "interval" = '1m' THEN
        IF before THEN
            FOR bar IN
                SELECT c.* FROM public.candles_1m c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            LOOP
                bars := bar || bars;
            END LOOP;
            RETURN QUERY SELECT b.* FROM pg_catalog.unnest(bars) b;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_1m c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '5m' THEN
        IF before THEN
            FOR bar IN
                SELECT c.* FROM public.candles_5m c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            LOOP
                bars := bar || bars;
            END LOOP;
            RETURN QUERY SELECT b.* FROM pg_catalog.unnest(bars) b;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_5m c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '15m' THEN
        IF before THEN
            FOR bar IN
                SELECT c.* FROM public.candles_15m c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            LOOP
                bars := bar || bars;
            END LOOP;
            RETURN QUERY SELECT b.* FROM pg_catalog.unnest(bars) b;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_15m c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '1h' THEN
        IF before THEN
            FOR bar IN
                SELECT c.* FROM public.candles_1h c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            LOOP
                bars := bar || bars;
            END LOOP;
            RETURN QUERY SELECT b.* FROM pg_catalog.unnest(bars) b;
        END IF;
        RETURN QUERY
        SELECT c.* FROM public.candles_1h c
        WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
        ORDER BY c.bucket LIMIT max_bars;
    ELSIF "interval" = '1d' THEN
        IF before THEN
            FOR bar IN
                SELECT c.* FROM public.candles_1d c
                WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                ORDER BY c.bucket DESC LIMIT warmup
            LOOP
                bars := bar || bars;
            END LOOP;
            RETURN QUERY SELECT b.* FROM pg_catalog.unnest(bars) b;
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

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION candles(
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

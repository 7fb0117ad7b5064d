-- What sqlc has to know of the functions that the database makes itself: see
-- make_candles_function() in schema/. Never applied to a database.
CREATE FUNCTION candles(
    symbol     text,
    "interval" text,
    "from"     timestamptz DEFAULT '-infinity',
    "to"       timestamptz DEFAULT 'infinity',
    warmup     int DEFAULT 0,
    max_bars   bigint DEFAULT NULL
) RETURNS SETOF candle LANGUAGE sql AS '';

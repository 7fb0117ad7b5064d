-- name: Candles :many
-- Bars of one symbol, oldest first: see the function candles in the database.
-- No from is the end of time, so that warmup counts back from the newest bar.
-- vwap is NULL where the volume is 0, buy_volume where no side is known: read them
-- raw, see CandleRows.
SELECT c.bucket::timestamptz AS bucket, c.open::float8 AS open, c.high::float8 AS high, c.low::float8 AS low,
       c.close::float8 AS close, c.volume::float8 AS volume, c.buy_volume::float8 AS buy_volume, vwap(c.notional, c.volume) AS vwap, c.trades::bigint AS trades
FROM candles(@symbol::text, @bar::text, coalesce(sqlc.narg(from_time)::timestamptz, 'infinity'),
             coalesce(sqlc.narg(to_time)::timestamptz, 'infinity'), @warmup::int, sqlc.narg(max_bars)::bigint) AS c;

-- name: CandleBuckets :many
-- When the same bars begin.
SELECT c.bucket::timestamptz AS bucket
FROM candles(@symbol::text, @bar::text, coalesce(sqlc.narg(from_time)::timestamptz, 'infinity'),
             coalesce(sqlc.narg(to_time)::timestamptz, 'infinity'), @warmup::int, sqlc.narg(max_bars)::bigint) AS c;

-- name: LastDays :many
-- The newest daily bar of each symbol.
SELECT s.symbol::text AS symbol, c.bucket::timestamptz AS bucket, c.close::float8 AS close
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol) s
CROSS JOIN LATERAL candles(s.symbol, '1d', 'infinity', warmup => 1) AS c;

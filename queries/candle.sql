-- name: Candles :many
-- Bars of one symbol, oldest first: see the function candles in the database.
SELECT c.bucket::timestamptz AS bucket, c.open::float8 AS open, c.high::float8 AS high, c.low::float8 AS low,
       c.close::float8 AS close, c.volume::float8 AS volume, c.notional::float8 AS notional, c.trades::bigint AS trades
FROM candles(@symbol::text, @bar::text, @from_time::timestamptz, @to_time::timestamptz, @warmup::int, sqlc.narg(max_bars)::bigint) AS c;

-- What backfill asks before it stores a file.

-- name: AllowsNonPositivePrices :one
-- Reports whether a symbol of a venue may have prices at or below 0.
SELECT coalesce((SELECT i.non_positive_prices FROM instruments i WHERE i.symbol = @symbol),
                (SELECT v.non_positive_prices FROM feed_venues v WHERE v.venue = @venue), false)::boolean;

-- name: TradesAt :many
-- Returns the ticks of these feeds at these times; oldest and newest bound the
-- times, symbols_once are the symbols. A file whose trades have no ids is laid
-- against them.
WITH wanted AS MATERIALIZED (
    SELECT DISTINCT u.venue, u.symbol, u.ts
    FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol,
                 unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
)
SELECT t.venue, t.symbol, t.ts, t.seq, t.price, t.size
FROM ticks t JOIN wanted w ON w.symbol = t.symbol AND w.ts = t.ts AND w.venue = t.venue
WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz
  AND t.symbol = ANY (sqlc.arg(symbols_once)::text[])
UNION ALL
SELECT t.venue, t.symbol, t.ts, t.seq, t.price, t.size
FROM late_ticks t JOIN wanted w ON w.symbol = t.symbol AND w.ts = t.ts AND w.venue = t.venue
WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz;

-- name: TicksAfter :many
-- Ticks are read in bounded windows of time: the planner looks at every chunk
-- a query may touch, and that alone takes 80 ms for 20 years of them. Within a
-- window the index gives the order of ts, and ties are sorted as they come.
-- Oldest first, from (from_ts, after_seq, after_venue), exclusive, to to_ts, exclusive.
SELECT t.ts, t.price, t.size, t.seq, t.venue FROM ticks t
WHERE t.symbol = @symbol AND t.ts >= @from_ts AND t.ts < @to_ts
  AND (t.ts > @from_ts OR (t.seq, t.venue) > (@after_seq::bigint, @after_venue::text))
ORDER BY t.ts, t.seq, t.venue LIMIT @max_rows;

-- name: TicksBefore :many
-- Newest first, from (to_ts, before_seq, before_venue), exclusive, back to from_ts, inclusive.
SELECT t.ts, t.price, t.size, t.seq, t.venue FROM ticks t
WHERE t.symbol = @symbol AND t.ts >= @from_ts AND t.ts <= @to_ts
  AND (t.ts < @to_ts OR (t.seq, t.venue) < (@before_seq::bigint, @before_venue::text))
ORDER BY t.ts DESC, t.seq DESC, t.venue DESC LIMIT @max_rows;

-- name: LastTicks :many
-- The newest tick of each symbol, where there is one from from_ts on.
SELECT s.symbol::text AS symbol, l.ts, l.price
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol) s
CROSS JOIN LATERAL (
    SELECT t.ts, t.price FROM ticks t
    WHERE t.symbol = s.symbol AND t.ts >= @from_ts
    ORDER BY t.ts DESC, t.seq DESC, t.venue DESC LIMIT 1
) l;

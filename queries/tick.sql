-- name: TicksAfter :many
-- Oldest first, from (from_ts, after_seq, after_venue), exclusive, to to_ts, exclusive.
--
-- Ticks are read in bounded windows of time: the planner looks at every chunk
-- a query may touch, and that alone takes 80 ms for 20 years of them. The index
-- and the columnstore give the order of (ts, seq), so LIMIT ends the read early;
-- venue in that order would sort a whole chunk, hence ties and a sort outside.
-- side is NULL where it is not known: read it raw, see TickRows.
SELECT t.ts, t.price, t.size, t.seq, t.venue, (CASE t.side WHEN 1 THEN 'buy' WHEN -1 THEN 'sell' END)::text AS side, t.flags FROM (
    SELECT k.ts, k.price, k.size, k.seq, k.venue, k.side, k.flags FROM ticks k
    WHERE k.symbol = @symbol AND k.ts >= @from_ts AND k.ts < @to_ts
      AND (k.ts > @from_ts OR (k.seq, k.venue) > (@after_seq::bigint, @after_venue::text))
    ORDER BY k.ts, k.seq FETCH FIRST (@max_rows::int) ROWS WITH TIES
) t
ORDER BY t.ts, t.seq, t.venue LIMIT @max_rows::int;

-- name: TicksBefore :many
-- Newest first, from (to_ts, before_seq, before_venue), exclusive, back to from_ts, inclusive.
SELECT t.ts, t.price, t.size, t.seq, t.venue, (CASE t.side WHEN 1 THEN 'buy' WHEN -1 THEN 'sell' END)::text AS side, t.flags FROM (
    SELECT k.ts, k.price, k.size, k.seq, k.venue, k.side, k.flags FROM ticks k
    WHERE k.symbol = @symbol AND k.ts >= @from_ts AND k.ts <= @to_ts
      AND (k.ts < @to_ts OR (k.seq, k.venue) < (@before_seq::bigint, @before_venue::text))
    ORDER BY k.ts DESC, k.seq DESC FETCH FIRST (@max_rows::int) ROWS WITH TIES
) t
ORDER BY t.ts DESC, t.seq DESC, t.venue DESC LIMIT @max_rows::int;

-- name: LastTicks :many
-- The newest tick of each symbol, where there is one from from_ts on.
SELECT s.symbol::text AS symbol, l.ts, l.price
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol) s
CROSS JOIN LATERAL (
    SELECT t.ts, t.price FROM ticks t
    WHERE t.symbol = s.symbol AND t.ts >= @from_ts
    ORDER BY t.ts DESC, t.seq DESC LIMIT 1
) l;

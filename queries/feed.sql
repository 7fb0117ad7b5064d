-- name: Feeds :many
-- Positions of feeds, by symbol and venue, with what their open gaps miss.
SELECT p.symbol, p.venue, p.last_seq, p.last_ts, p.runs, p.run_since, p.updated_at,
       coalesce(g.gaps, 0)::bigint AS gaps, coalesce(g.missing, 0)::numeric::float8 AS missing
FROM feed_positions p
LEFT JOIN (
    SELECT f.symbol, f.venue, count(DISTINCT f.id) AS gaps, sum(upper(m.part)::numeric - lower(m.part)) AS missing
    FROM feed_gaps f CROSS JOIN LATERAL (SELECT unnest(f.missing) AS part) m WHERE f.closed_at IS NULL GROUP BY f.symbol, f.venue
) g ON g.symbol = p.symbol AND g.venue = p.venue
WHERE (sqlc.narg(symbol)::text IS NULL OR p.symbol = sqlc.narg(symbol)) AND (sqlc.narg(venue)::text IS NULL OR p.venue = sqlc.narg(venue))
  AND (NOT @only_gaps::boolean OR g.gaps > 0)
ORDER BY p.symbol, p.venue LIMIT @max_rows;

-- name: FeedGaps :many
-- Gaps of a symbol, open ones first, then the newest.
SELECT g.venue, g.from_seq, g.to_seq, g.missing::text AS missing, g.before_ts, g.after_ts, g.detected_at, g.closed_at, coalesce(g.closed_by, '')::text AS closed_by
FROM feed_gaps g
WHERE g.symbol = @symbol AND (sqlc.narg(venue)::text IS NULL OR g.venue = sqlc.narg(venue))
ORDER BY g.closed_at IS NOT NULL, g.id DESC LIMIT @max_rows;

-- name: FeedConflicts :many
SELECT c.venue, c.ts, c.seq, c.stored_price, c.stored_size, c.price, c.size, c.outcome, c.at
FROM feed_conflicts c
WHERE c.symbol = @symbol AND (sqlc.narg(venue)::text IS NULL OR c.venue = sqlc.narg(venue))
ORDER BY c.id DESC LIMIT @max_rows;

-- name: ResetFeed :execrows
-- The next tick begins a run. What a member of ingest knows of the feed is read
-- again: its version rises.
UPDATE feed_positions p SET last_seq = -1, run_since = NULL, version = p.version + 1
WHERE p.symbol = @symbol AND p.venue = @venue;

-- name: CloseGaps :execrows
UPDATE feed_gaps g SET closed_at = now(), closed_by = 'operator' WHERE g.symbol = @symbol AND g.venue = @venue AND g.closed_at IS NULL;

-- name: TicksBySeq :many
-- Ticks of a symbol, by seq or by time, and what they were before they were
-- undone, oldest first.
SELECT t.ts, t.price, t.size, t.seq, t.venue, coalesce(t.side, 0)::smallint AS side, t.flags, t.known_ms, 0::bigint AS undone_ms, ''::text AS why FROM ticks t
WHERE t.symbol = @symbol AND (sqlc.narg(venue)::text IS NULL OR t.venue = sqlc.narg(venue)) AND (sqlc.narg(seq)::bigint IS NULL OR t.seq = sqlc.narg(seq))
  AND t.ts >= @from_ts AND t.ts < @to_ts
UNION ALL
SELECT l.ts, l.price, l.size, l.seq, l.venue, coalesce(l.side, 0)::smallint, l.flags, 0, 0, 'waits in late_ticks' FROM late_ticks l
WHERE l.symbol = @symbol AND (sqlc.narg(venue)::text IS NULL OR l.venue = sqlc.narg(venue)) AND (sqlc.narg(seq)::bigint IS NULL OR l.seq = sqlc.narg(seq))
  AND l.ts >= @from_ts AND l.ts < @to_ts
UNION ALL
SELECT u.ts, u.price, u.size, u.seq, u.venue, coalesce(u.side, 0)::smallint, u.flags, u.known_ms, u.undone_ms, u.why FROM ticks_undone u
WHERE u.symbol = @symbol AND (sqlc.narg(venue)::text IS NULL OR u.venue = sqlc.narg(venue)) AND (sqlc.narg(seq)::bigint IS NULL OR u.seq = sqlc.narg(seq))
  AND u.ts >= @from_ts AND u.ts < @to_ts
ORDER BY ts, seq, known_ms LIMIT @max_rows;

-- name: FindTick :many
-- The tick that a cancel or correction means; none if it is not stored.
SELECT t.ts, t.price, t.size, coalesce(t.side, 0)::smallint AS side, t.flags FROM _hypertick.find_tick(@symbol::text, @venue::text, @seq::bigint, sqlc.narg(ts)::timestamptz) t;

-- name: AskTickChange :one
INSERT INTO tick_changes (kind, symbol, venue, seq, ts, price, size, side, flags, origin)
VALUES (@kind, @symbol, @venue, @seq, sqlc.narg(ts), sqlc.narg(price), sqlc.narg(size), sqlc.narg(side), sqlc.narg(flags), @origin)
RETURNING id;

-- name: TickChange :one
SELECT c.state, coalesce(c.detail, '')::text AS detail, coalesce(c.ts, '1900-01-01Z')::timestamptz AS ts FROM tick_changes c WHERE c.id = @id;

-- name: TickChanges :many
-- The changes of one tick, in their order.
SELECT c.id, c.kind, c.venue, c.seq, c.price, c.size, c.origin, c.asked_at, c.state, coalesce(c.detail, '')::text AS detail FROM tick_changes c
WHERE c.symbol = @symbol AND (sqlc.narg(venue)::text IS NULL OR c.venue = sqlc.narg(venue)) AND c.seq = ANY (@seqs::bigint[])
ORDER BY c.id LIMIT @max_rows;

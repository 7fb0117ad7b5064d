-- Ingest: positions, and what moves them. Several unnest in one SELECT go in
-- step; sqlc does not know unnest with several arrays.

-- name: FeedPositions :many
SELECT p.venue, p.symbol, p.last_seq, p.last_ts FROM feed_positions p
JOIN (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue) u
  ON p.symbol = u.symbol AND p.venue = u.venue;

-- name: NewestTradeTime :one
-- Over all feeds; 1970 when there is none.
SELECT coalesce(max(last_ts), '1970-01-01')::timestamptz AS newest FROM feed_positions;

-- name: NonContiguousVenues :many
-- Venues where a jump of seq is not a gap.
SELECT venue FROM feed_venues WHERE NOT contiguous;

-- name: TickHorizon :one
SELECT coalesce(tick_horizon(), '1970-01-01')::timestamptz AS horizon;

-- name: AdvanceIngest :one
-- Compares and sets all positions of a batch in one round trip, and adds the
-- batch to the activity of its minute. The caller rolls back unless each count
-- equals what it asked for.
WITH offsets AS (
    UPDATE ingest_offsets o SET next_offset = u.next_offset, updated_at = now()
    FROM (SELECT unnest(sqlc.arg(partitions)::int[]) AS partition, unnest(sqlc.arg(topic_ids)::text[]) AS topic_id, unnest(sqlc.arg(expected_offsets)::bigint[]) AS expected, unnest(sqlc.arg(next_offsets)::bigint[]) AS next_offset) u
    WHERE o.topic = sqlc.arg(topic) AND o.partition = u.partition AND o.topic_id = u.topic_id AND o.next_offset = u.expected
    RETURNING 1
), moved AS (
    UPDATE feed_positions p SET last_seq = u.seq, last_ts = greatest(p.last_ts, u.ts), updated_at = now()
    FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(expected_seqs)::bigint[]) AS expected, unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
    WHERE p.symbol = u.symbol AND p.venue = u.venue AND p.last_seq = u.expected
    RETURNING 1
), added AS (
    INSERT INTO feed_positions (symbol, venue, last_seq, last_ts)
    SELECT u.symbol, u.venue, u.seq, u.ts
    FROM (SELECT unnest(sqlc.arg(new_symbols)::text[]) AS symbol, unnest(sqlc.arg(new_venues)::text[]) AS venue, unnest(sqlc.arg(new_seqs)::bigint[]) AS seq, unnest(sqlc.arg(new_tss)::timestamptz[]) AS ts) u
    ON CONFLICT (symbol, venue) DO NOTHING
    RETURNING 1
), counted AS (
    INSERT INTO ingest_activity AS a (minute, topic, partition, stored, duplicates, dead_letters, behind)
    SELECT date_trunc('minute', now()), sqlc.arg(topic), u.partition, u.stored, u.duplicates, u.dead_letters, u.behind
    FROM (SELECT unnest(sqlc.arg(partitions)::int[]) AS partition, unnest(sqlc.arg(stored)::bigint[]) AS stored, unnest(sqlc.arg(duplicates)::bigint[]) AS duplicates, unnest(sqlc.arg(dead_letters)::bigint[]) AS dead_letters, unnest(sqlc.arg(behind)::bigint[]) AS behind) u
    ON CONFLICT (minute, topic, partition) DO UPDATE
    SET stored = a.stored + excluded.stored, duplicates = a.duplicates + excluded.duplicates,
        dead_letters = a.dead_letters + excluded.dead_letters, behind = excluded.behind
)
SELECT (SELECT count(*) FROM offsets) AS offsets,
       (SELECT count(*) FROM moved) AS moved,
       (SELECT count(*) FROM added) AS added;

-- name: InsertFeedGaps :exec
INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts)
SELECT u.venue, u.symbol, u.from_seq, u.to_seq, u.before_ts, u.after_ts
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(from_seqs)::bigint[]) AS from_seq, unnest(sqlc.arg(to_seqs)::bigint[]) AS to_seq, unnest(sqlc.arg(before_tss)::timestamptz[]) AS before_ts, unnest(sqlc.arg(after_tss)::timestamptz[]) AS after_ts) u;

-- name: DirectCompress :one
-- The age at which ticks go to the columnstore, 0 if they never do or the
-- server cannot take a COPY straight into it.
SELECT coalesce((
    SELECT extract(epoch FROM (j.config ->> 'compress_after')::interval)
    FROM timescaledb_information.jobs j
    WHERE j.hypertable_name = 'ticks' AND j.proc_name = 'policy_compression'
      AND current_setting('timescaledb.enable_direct_compress_copy', true) IS NOT NULL
    LIMIT 1
), 0)::float8 AS after_seconds;

-- Ingest: positions, and what moves them. Several unnest in one SELECT go in
-- step; sqlc does not know unnest with several arrays.

-- name: FeedPositions :many
SELECT p.venue, p.symbol, p.last_seq, p.last_ts, p.top_seq, p.run_since, p.runs, p.version,
       EXISTS (SELECT FROM feed_gaps g WHERE g.symbol = p.symbol AND g.venue = p.venue AND g.closed_at IS NULL) AS gaps,
       coalesce(j.from_seq, -1)::bigint AS jump_from, coalesce(j.before_ts, p.last_ts)::timestamptz AS jump_before
FROM feed_positions p
JOIN (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue) u
  ON p.symbol = u.symbol AND p.venue = u.venue
LEFT JOIN LATERAL (
    -- The last gap, if the run has just jumped over it.
    SELECT g.from_seq, g.before_ts FROM feed_gaps g
    WHERE g.symbol = p.symbol AND g.venue = p.venue AND g.closed_at IS NULL AND g.to_seq = p.last_seq - 1
    ORDER BY g.id DESC LIMIT 1
) j ON true;

-- name: StoredTicks :many
-- What is stored of these ticks, by venue, symbol, ts and seq: waiting and undone
-- ones too. The arrays are in order; at is the index. A symbol and a ts for each
-- lookup, so that the index serves it.
SELECT u.at::int AS at, k.price, k.size, k.undone::boolean AS undone
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue,
             unnest(sqlc.arg(tss)::timestamptz[]) AS ts, unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(ats)::int[]) AS at) u
CROSS JOIN LATERAL (
    SELECT t.price, t.size, false AS undone FROM ticks t
    WHERE t.symbol = u.symbol AND t.ts = u.ts AND t.venue = u.venue AND t.seq = u.seq
      AND t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz
    UNION ALL
    SELECT t.price, t.size, false FROM late_ticks t
    WHERE t.ts = u.ts AND t.symbol = u.symbol AND t.venue = u.venue AND t.seq = u.seq
    UNION ALL
    SELECT t.price, t.size, true FROM ticks_undone t
    WHERE t.symbol = u.symbol AND t.ts = u.ts AND t.venue = u.venue AND t.seq = u.seq
) k;

-- name: NewestTradeTime :one
-- Over all feeds; 1970 when there is none.
SELECT coalesce(max(last_ts), '1970-01-01')::timestamptz AS newest FROM feed_positions;

-- name: FeedVenues :many
SELECT v.venue, v.contiguous, v.non_positive_prices, v.conflicts, v.calendar FROM feed_venues v;

-- name: PricedInstruments :many
-- Symbols with a setting of their own for prices at or below 0.
SELECT i.symbol, i.non_positive_prices::boolean AS non_positive_prices FROM instruments i WHERE i.non_positive_prices IS NOT NULL;

-- name: TradeConditions :many
SELECT c.code, c.flags FROM trade_conditions c;

-- name: TickHorizon :one
SELECT coalesce(tick_horizon(), '1900-01-01')::timestamptz AS horizon;

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
    UPDATE feed_positions p SET last_seq = u.seq, last_ts = u.ts, top_seq = u.top, run_since = u.since, runs = u.runs, version = u.version, updated_at = now()
    FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(expected_versions)::bigint[]) AS expected, unnest(sqlc.arg(versions)::bigint[]) AS version,
                 unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(tss)::timestamptz[]) AS ts, unnest(sqlc.arg(tops)::bigint[]) AS top, unnest(sqlc.arg(sinces)::timestamptz[]) AS since, unnest(sqlc.arg(runs)::int[]) AS runs) u
    WHERE p.symbol = u.symbol AND p.venue = u.venue AND p.version = u.expected
    RETURNING 1
), added AS (
    INSERT INTO feed_positions (symbol, venue, last_seq, last_ts, top_seq, run_since, runs, version)
    SELECT u.symbol, u.venue, u.seq, u.ts, u.top, u.since, u.runs, u.version
    FROM (SELECT unnest(sqlc.arg(new_symbols)::text[]) AS symbol, unnest(sqlc.arg(new_venues)::text[]) AS venue, unnest(sqlc.arg(new_versions)::bigint[]) AS version,
                 unnest(sqlc.arg(new_seqs)::bigint[]) AS seq, unnest(sqlc.arg(new_tss)::timestamptz[]) AS ts, unnest(sqlc.arg(new_tops)::bigint[]) AS top, unnest(sqlc.arg(new_sinces)::timestamptz[]) AS since, unnest(sqlc.arg(new_runs)::int[]) AS runs) u
    ON CONFLICT (symbol, venue) DO NOTHING
    RETURNING symbol, venue
), listed AS (
    -- Nothing reads it, so it runs after the positions; in order, so that two
    -- transactions with the same new symbols do not wait for each other in a circle.
    INSERT INTO instruments (symbol, calendar)
    SELECT DISTINCT ON (a.symbol) a.symbol, coalesce(v.calendar, '24x7')
    FROM added a LEFT JOIN feed_venues v ON v.venue = a.venue ORDER BY a.symbol, a.venue
    ON CONFLICT DO NOTHING
), counted AS (
    INSERT INTO ingest_activity AS a (minute, topic, partition, stored, duplicates, conflicts, changes, dead_letters, behind)
    SELECT date_trunc('minute', now()), sqlc.arg(topic), u.partition, u.stored, u.duplicates, u.conflicts, u.changes, u.dead_letters, u.behind
    FROM (SELECT unnest(sqlc.arg(partitions)::int[]) AS partition, unnest(sqlc.arg(stored)::bigint[]) AS stored, unnest(sqlc.arg(duplicates)::bigint[]) AS duplicates, unnest(sqlc.arg(conflicts)::bigint[]) AS conflicts, unnest(sqlc.arg(changes)::bigint[]) AS changes, unnest(sqlc.arg(dead_letters)::bigint[]) AS dead_letters, unnest(sqlc.arg(behind)::bigint[]) AS behind) u
    ON CONFLICT (minute, topic, partition) DO UPDATE
    SET stored = a.stored + excluded.stored, duplicates = a.duplicates + excluded.duplicates,
        conflicts = a.conflicts + excluded.conflicts, changes = a.changes + excluded.changes,
        dead_letters = a.dead_letters + excluded.dead_letters, behind = excluded.behind
)
SELECT (SELECT count(*) FROM offsets) AS offsets,
       (SELECT count(*) FROM moved) AS moved,
       (SELECT count(*) FROM added) AS added;

-- name: InsertFeedGaps :many
INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts)
SELECT u.venue, u.symbol, u.from_seq, u.to_seq, u.before_ts, u.after_ts
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(from_seqs)::bigint[]) AS from_seq, unnest(sqlc.arg(to_seqs)::bigint[]) AS to_seq, unnest(sqlc.arg(before_tss)::timestamptz[]) AS before_ts, unnest(sqlc.arg(after_tss)::timestamptz[]) AS after_ts) u
RETURNING id;

-- name: FillGapsFromStored :exec
-- Ticks of new gaps that are stored already: they came before the run reached
-- them, with a trade time before it began. One that was undone has come too.
WITH came AS (
    SELECT g.id, range_agg(int8range(t.seq, t.seq, '[]')) AS seqs
    FROM feed_gaps g CROSS JOIN LATERAL (
        SELECT k.seq FROM ticks k
        WHERE k.symbol = g.symbol AND k.venue = g.venue AND k.ts >= g.before_ts - INTERVAL '1 hour' AND k.ts <= g.after_ts AND k.seq BETWEEN g.from_seq AND g.to_seq
        UNION ALL
        SELECT k.seq FROM late_ticks k
        WHERE k.symbol = g.symbol AND k.venue = g.venue AND k.ts >= g.before_ts - INTERVAL '1 hour' AND k.ts <= g.after_ts AND k.seq BETWEEN g.from_seq AND g.to_seq
        UNION ALL
        SELECT k.seq FROM ticks_undone k
        WHERE k.symbol = g.symbol AND k.venue = g.venue AND k.ts >= g.before_ts - INTERVAL '1 hour' AND k.ts <= g.after_ts AND k.seq BETWEEN g.from_seq AND g.to_seq
    ) t
    WHERE g.id = ANY (sqlc.arg(ids)::bigint[]) GROUP BY g.id
)
UPDATE feed_gaps g
SET filled = g.filled + came.seqs,
    closed_at = CASE WHEN g.missing <@ came.seqs THEN now() END,
    closed_by = CASE WHEN g.missing <@ came.seqs THEN sqlc.arg(how)::text END
FROM came WHERE g.id = came.id;

-- name: FillGaps :exec
-- Closes the parts of open gaps whose ticks are stored. A seq of another run has
-- a trade time far from that of the gap.
WITH came AS (
    SELECT g.id, range_agg(int8range(u.seq, u.seq, '[]')) AS seqs
    FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
    JOIN feed_gaps g ON g.symbol = u.symbol AND g.venue = u.venue AND g.closed_at IS NULL AND g.from_seq <= u.seq AND g.to_seq >= u.seq
     AND u.ts BETWEEN g.before_ts - INTERVAL '1 hour' AND g.after_ts + INTERVAL '1 hour'
    GROUP BY g.id
)
UPDATE feed_gaps g
SET filled = g.filled + came.seqs,
    closed_at = CASE WHEN g.missing <@ came.seqs THEN now() END,
    closed_by = CASE WHEN g.missing <@ came.seqs THEN sqlc.arg(how)::text END
FROM came WHERE g.id = came.id AND g.missing && came.seqs;

-- name: CloseGapsAround :many
-- A feed numbers again from seq on: the last gap that its old run jumped over, if
-- it holds the new seq, was none. What is missing of it below seq is, and becomes a
-- gap of its own. An old gap is not meant: the jump was just before. If it numbers
-- again twice, the lower seq counts.
WITH held AS (
    SELECT DISTINCT ON (u.venue, u.symbol, u.seq) g.id, u.seq, u.ts
    FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(lasts)::bigint[]) AS last,
                 unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
    JOIN feed_gaps g ON g.symbol = u.symbol AND g.venue = u.venue AND g.closed_at IS NULL AND g.from_seq <= u.seq AND g.to_seq >= u.seq AND g.to_seq < u.last
     AND u.ts <= g.after_ts + INTERVAL '1 hour'
    ORDER BY u.venue, u.symbol, u.seq, g.id DESC
), around AS (
    SELECT DISTINCT ON (h.id) h.* FROM held h ORDER BY h.id, h.seq
), closed AS (
    UPDATE feed_gaps g SET closed_at = now(), closed_by = 'restart' FROM around a WHERE g.id = a.id
    RETURNING g.venue, g.symbol, g.before_ts, a.ts, g.missing * int8multirange(int8range(NULL, a.seq)) AS below
)
INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts)
SELECT c.venue, c.symbol, lower(r.part), upper(r.part) - 1, c.before_ts, c.ts FROM closed c CROSS JOIN LATERAL (SELECT unnest(c.below) AS part) r
RETURNING id;

-- name: InsertConflicts :exec
INSERT INTO feed_conflicts (venue, symbol, ts, seq, stored_price, stored_size, price, size, outcome)
SELECT u.venue, u.symbol, u.ts, u.seq, u.stored_price, u.stored_size, u.price, u.size, u.outcome
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(tss)::timestamptz[]) AS ts, unnest(sqlc.arg(seqs)::bigint[]) AS seq,
             unnest(sqlc.arg(stored_prices)::float8[]) AS stored_price, unnest(sqlc.arg(stored_sizes)::float8[]) AS stored_size,
             unnest(sqlc.arg(prices)::float8[]) AS price, unnest(sqlc.arg(sizes)::float8[]) AS size, unnest(sqlc.arg(outcomes)::text[]) AS outcome) u;

-- name: InsertTickChanges :exec
-- In the order of the arrays. A ts before 1900 stands for none.
INSERT INTO tick_changes (kind, symbol, venue, seq, ts, price, size, side, flags, origin)
SELECT u.kind, u.symbol, u.venue, u.seq, CASE WHEN u.ts >= '1900-01-01Z' THEN u.ts END,
       CASE u.kind WHEN 'correct' THEN u.price END, CASE u.kind WHEN 'correct' THEN u.size END,
       CASE u.kind WHEN 'correct' THEN nullif(u.side, 0) END, CASE u.kind WHEN 'correct' THEN u.flags END, u.origin
FROM (SELECT unnest(sqlc.arg(kinds)::text[]) AS kind, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(seqs)::bigint[]) AS seq,
             unnest(sqlc.arg(tss)::timestamptz[]) AS ts, unnest(sqlc.arg(prices)::float8[]) AS price, unnest(sqlc.arg(sizes)::float8[]) AS size,
             unnest(sqlc.arg(sides)::smallint[]) AS side, unnest(sqlc.arg(flags)::int[]) AS flags, unnest(sqlc.arg(origins)::text[]) AS origin,
             generate_subscripts(sqlc.arg(kinds)::text[], 1) AS at) u
ORDER BY u.at;

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

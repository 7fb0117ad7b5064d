-- name: StoreHistory :one
-- Stores ticks that are not stored yet, as ingest does: a tick equal to a stored or
-- undone one is a duplicate, one that differs in price or size alone a conflict.
-- Positions rise, changed bars, conflicts, and the gaps of contiguous feeds are
-- recorded. oldest and newest bound the ts given. A tick older than the retention
-- horizon is not stored. The feeds must be locked, see LockFeeds.
WITH given AS MATERIALIZED (
    SELECT DISTINCT ON (u.venue, u.symbol, u.ts, u.seq, u.price, u.size) u.*
    FROM (SELECT unnest(sqlc.arg(tss)::timestamptz[]) AS ts, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(prices)::float8[]) AS price,
                 unnest(sqlc.arg(sizes)::float8[]) AS size, unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(venues)::text[]) AS venue,
                 unnest(sqlc.arg(sides)::smallint[]) AS side, unnest(sqlc.arg(flags)::int[]) AS flags, generate_subscripts(sqlc.arg(tss)::timestamptz[], 1) AS at) u
    ORDER BY u.venue, u.symbol, u.ts, u.seq, u.price, u.size, u.at
), there AS MATERIALIZED (
    SELECT t.venue, t.symbol, t.ts, t.seq, t.price, t.size, false AS undone FROM ticks t
    WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz AND t.symbol = ANY (sqlc.arg(sources)::text[])
    UNION ALL
    SELECT t.venue, t.symbol, t.ts, t.seq, t.price, t.size, false FROM late_ticks t
    WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz
    UNION ALL
    SELECT t.venue, t.symbol, t.ts, t.seq, t.price, t.size, true FROM ticks_undone t
    WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz AND t.symbol = ANY (sqlc.arg(sources)::text[])
), compared AS MATERIALIZED (
    SELECT g.*, k.venue IS NOT NULL AS known,
           coalesce(o.price, lag(g.price) OVER same) AS other_price, coalesce(o.size, lag(g.size) OVER same) AS other_size,
           coalesce((SELECT v.conflicts FROM feed_venues v WHERE v.venue = g.venue), 'keep') AS conflicts
    FROM given g
    LEFT JOIN (SELECT DISTINCT t.venue, t.symbol, t.ts, t.seq, t.price, t.size FROM there t) k
           ON k.venue = g.venue AND k.symbol = g.symbol AND k.ts = g.ts AND k.seq = g.seq AND k.price = g.price AND k.size = g.size
    LEFT JOIN (SELECT DISTINCT ON (t.venue, t.symbol, t.ts, t.seq) t.* FROM there t WHERE NOT t.undone ORDER BY t.venue, t.symbol, t.ts, t.seq) o
           ON o.venue = g.venue AND o.symbol = g.symbol AND o.ts = g.ts AND o.seq = g.seq
    WINDOW same AS (PARTITION BY g.venue, g.symbol, g.ts, g.seq ORDER BY g.at)
), judged AS MATERIALIZED (
    SELECT c.*, CASE WHEN c.known THEN 'known' WHEN c.ts < sqlc.arg(horizon)::timestamptz THEN 'old' WHEN c.other_price IS NOT NULL THEN c.conflicts ELSE 'new' END AS fate
    FROM compared c
), fresh AS MATERIALIZED (
    SELECT j.* FROM judged j WHERE j.fate IN ('new', 'keep')
), stored AS (
    INSERT INTO ticks (ts, symbol, price, size, seq, venue, side, flags)
    SELECT f.ts, f.symbol, f.price, f.size, f.seq, f.venue, nullif(f.side, 0), f.flags FROM fresh f ORDER BY f.symbol, f.ts, f.seq
    RETURNING 1
), conflicting AS (
    INSERT INTO feed_conflicts (venue, symbol, ts, seq, stored_price, stored_size, price, size, outcome)
    SELECT j.venue, j.symbol, j.ts, j.seq, j.other_price, j.other_size, j.price, j.size, CASE j.fate WHEN 'keep' THEN 'kept' WHEN 'correct' THEN 'corrected' ELSE 'refused' END
    FROM judged j WHERE j.fate IN ('keep', 'correct', 'refuse')
    RETURNING 1
), changing AS (
    INSERT INTO tick_changes (kind, symbol, venue, seq, ts, price, size, side, flags, origin)
    SELECT 'correct', j.symbol, j.venue, j.seq, j.ts, j.price, j.size, nullif(j.side, 0), j.flags, sqlc.arg(origin)
    FROM judged j WHERE j.fate = 'correct' ORDER BY j.at
), tops AS (
    SELECT DISTINCT ON (f.venue, f.symbol) f.venue, f.symbol, f.ts, f.seq, first_value(f.ts) OVER (PARTITION BY f.venue, f.symbol ORDER BY f.ts) AS oldest,
           count(*) OVER (PARTITION BY f.venue, f.symbol) AS n
    FROM fresh f ORDER BY f.venue, f.symbol, f.ts DESC, f.seq DESC
), runs AS (
    -- Ticks of the present run, or of a feed that has none. Seqs from 2^62 on stand
    -- for content.
    SELECT f.venue, f.symbol, max(f.seq) AS seq FROM fresh f JOIN feed_positions p ON p.symbol = f.symbol AND p.venue = f.venue
    WHERE f.seq < 4611686018427387904 AND (p.last_seq < 0 OR p.run_since IS NULL OR f.ts >= p.run_since) GROUP BY f.venue, f.symbol
), moved AS (
    UPDATE feed_positions p
    SET last_seq = greatest(p.last_seq, r.seq), version = p.version + t.n, updated_at = now(),
        last_ts = CASE WHEN p.version = 0 OR (t.ts, t.seq) > (p.last_ts, p.top_seq) THEN t.ts ELSE p.last_ts END,
        top_seq = CASE WHEN p.version = 0 OR (t.ts, t.seq) > (p.last_ts, p.top_seq) THEN t.seq ELSE p.top_seq END,
        run_since = CASE WHEN p.version = 0 THEN t.oldest ELSE p.run_since END
    FROM tops t LEFT JOIN runs r ON r.symbol = t.symbol AND r.venue = t.venue
    WHERE p.symbol = t.symbol AND p.venue = t.venue
), noted AS (
    INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest)
    SELECT f.symbol, f.venue, min(f.seq) - 1, max(f.seq), min(f.ts), max(f.ts) FROM fresh f GROUP BY f.symbol, f.venue
), missed AS (
    -- A feed that is new has nothing before its first tick.
    INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts)
    SELECT s.venue, s.symbol, s.before + 1, s.seq - 1, least(s.before_ts, s.ts), greatest(s.before_ts, s.ts)
    FROM (
        SELECT g.venue, g.symbol, g.seq, g.ts, lag(g.seq, 1, nullif(p.last_seq, -1)) OVER w AS before, lag(g.ts, 1, p.last_ts) OVER w AS before_ts
        FROM fresh g JOIN feed_positions p ON p.symbol = g.symbol AND p.venue = g.venue AND g.seq > p.last_seq
        WHERE g.seq < 4611686018427387904 AND (p.run_since IS NULL OR p.version = 0 OR g.ts >= p.run_since)
          AND NOT EXISTS (SELECT FROM feed_venues v WHERE v.venue = g.venue AND NOT v.contiguous)
        WINDOW w AS (PARTITION BY g.venue, g.symbol ORDER BY g.seq)
    ) s
    WHERE s.seq > s.before + 1
    RETURNING id
)
SELECT ARRAY(SELECT m.id FROM missed m)::bigint[] AS gaps, (SELECT count(*) FROM stored) AS stored, (SELECT count(*) FROM conflicting) AS conflicts,
       (SELECT count(*) FROM judged j WHERE j.fate = 'known') AS known, (SELECT count(*) FROM judged j WHERE j.fate = 'old') AS old,
       (SELECT count(*) FROM judged j WHERE j.fate = 'refuse') AS refused, (SELECT count(*) FROM judged j WHERE j.fate = 'correct') AS corrected;

-- name: LockFeeds :many
-- Locks these feeds against ingest until the transaction ends, and returns their
-- positions. A new feed has version 0 and seq -1; a new symbol gets a row in
-- instruments, as in AdvanceIngest.
WITH locked AS (
    INSERT INTO feed_positions AS p (venue, symbol, last_seq, last_ts, version)
    SELECT u.venue, u.symbol, -1, u.ts, 0
    FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
    ORDER BY u.symbol, u.venue
    ON CONFLICT (symbol, venue) DO UPDATE SET updated_at = p.updated_at
    RETURNING p.venue, p.symbol, p.last_seq, p.last_ts, p.version
), listed AS (
    INSERT INTO instruments (symbol, calendar)
    SELECT DISTINCT ON (l.symbol) l.symbol, coalesce(v.calendar, '24x7')
    FROM locked l LEFT JOIN feed_venues v ON v.venue = l.venue WHERE l.version = 0 ORDER BY l.symbol, l.venue
    ON CONFLICT DO NOTHING
)
SELECT l.venue, l.symbol, l.last_seq, l.last_ts, l.version FROM locked l;

-- name: FeedsWithGaps :many
-- Which of these feeds have open gaps. Not a part of LockFeeds: a statement that
-- has waited for a lock does not see what the other transaction has recorded.
SELECT DISTINCT g.venue, g.symbol FROM feed_gaps g
JOIN (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol) u ON g.symbol = u.symbol AND g.venue = u.venue
WHERE g.closed_at IS NULL;

-- name: NearestShifted :many
-- Finds ticks of these seqs, prices and sizes among the times that another time
-- zone would give: whole quarters of an hour away, up to 26 hours; of each the
-- nearest. oldest and newest bound the ts given. 10 to 50 ms however many ticks
-- there are.
SELECT u.venue::text AS venue, u.symbol::text AS symbol, u.seq::bigint AS seq, u.ts::timestamptz AS given, s.ts::timestamptz AS stored
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol,
             unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(tss)::timestamptz[]) AS ts,
             unnest(sqlc.arg(prices)::float8[]) AS price, unnest(sqlc.arg(sizes)::float8[]) AS size) u
CROSS JOIN LATERAL (
    SELECT t.ts FROM generate_series(-104, 104) k
    CROSS JOIN LATERAL (
        SELECT t.ts FROM ticks t
        WHERE t.symbol = u.symbol AND t.venue = u.venue AND t.seq = u.seq AND t.price = u.price AND t.size = u.size
          AND t.ts >= u.ts + k * INTERVAL '15 minutes' - INTERVAL '1 second' AND t.ts <= u.ts + k * INTERVAL '15 minutes' + INTERVAL '1 second'
          AND t.ts >= sqlc.arg(oldest)::timestamptz - INTERVAL '27 hours' AND t.ts <= sqlc.arg(newest)::timestamptz + INTERVAL '27 hours'
        ORDER BY greatest(t.ts, u.ts) - least(t.ts, u.ts) LIMIT 1
    ) t
    ORDER BY abs(k), greatest(t.ts, u.ts) - least(t.ts, u.ts) LIMIT 1
) s;

-- name: ColumnstoreInserts :one
-- Reports whether an INSERT can write into the columnstore directly.
SELECT (current_setting('timescaledb.enable_direct_compress_insert', true) IS NOT NULL)::boolean;

-- name: HandleDeadLetter :execrows
-- No row: another process has handled it.
INSERT INTO dead_letters_handled (topic, topic_id, partition, "offset", how) VALUES (@topic, @topic_id, @partition, @at_offset, @how)
ON CONFLICT DO NOTHING;

-- name: HandledDeadLetters :many
SELECT h.partition, h."offset", h.how FROM dead_letters_handled h WHERE h.topic = @topic AND h.topic_id = @topic_id;

-- name: WidenHistory :one
-- Makes wide chunks for a batch of thin history, before it is stored; returns how many.
SELECT widen_history(@oldest, @newest, @ticks)::int AS made;

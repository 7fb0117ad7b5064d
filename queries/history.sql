-- name: StoreHistory :one
-- Stores ticks that are not stored yet, as ingest does: positions only rise, and
-- changed bars and the gaps of contiguous feeds are recorded. Returns the number of
-- ticks stored. oldest and newest bound the search for duplicates. A tick older than
-- the retention horizon only moves its position.
WITH given AS MATERIALIZED (
    SELECT DISTINCT ON (u.venue, u.symbol, u.seq) u.ts, u.symbol, u.price, u.size, u.seq, u.venue
    FROM (SELECT unnest(sqlc.arg(tss)::timestamptz[]) AS ts, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(prices)::float8[]) AS price,
                 unnest(sqlc.arg(sizes)::float8[]) AS size, unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(venues)::text[]) AS venue) u
    ORDER BY u.venue, u.symbol, u.seq
), there AS MATERIALIZED (
    SELECT t.venue, t.symbol, t.seq FROM ticks t
    WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz AND t.symbol = ANY (sqlc.arg(sources)::text[])
    UNION ALL
    SELECT t.venue, t.symbol, t.seq FROM late_ticks t
    WHERE t.ts >= sqlc.arg(oldest)::timestamptz AND t.ts <= sqlc.arg(newest)::timestamptz
), fresh AS MATERIALIZED (
    SELECT g.* FROM given g
    WHERE g.ts >= sqlc.arg(horizon)::timestamptz AND NOT EXISTS (SELECT FROM there t WHERE t.venue = g.venue AND t.symbol = g.symbol AND t.seq = g.seq)
), stored AS (
    INSERT INTO ticks (ts, symbol, price, size, seq, venue)
    SELECT f.ts, f.symbol, f.price, f.size, f.seq, f.venue FROM fresh f ORDER BY f.symbol, f.ts, f.seq
    RETURNING 1
), moved AS (
    INSERT INTO feed_positions AS p (venue, symbol, last_seq, last_ts)
    SELECT g.venue, g.symbol, max(g.seq), max(g.ts) FROM given g GROUP BY g.venue, g.symbol
    ON CONFLICT (symbol, venue) DO UPDATE
    SET last_seq = excluded.last_seq, last_ts = greatest(p.last_ts, excluded.last_ts), updated_at = now()
    WHERE excluded.last_seq > p.last_seq
), noted AS (
    INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest)
    SELECT f.symbol, f.venue, min(f.seq) - 1, max(f.seq), min(f.ts), max(f.ts) FROM fresh f GROUP BY f.symbol, f.venue
), missed AS (
    -- A feed that is new has nothing before its first tick.
    INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts)
    SELECT s.venue, s.symbol, s.before + 1, s.seq - 1, s.before_ts, s.ts
    FROM (
        SELECT g.venue, g.symbol, g.seq, g.ts, lag(g.seq, 1, nullif(p.last_seq, 0)) OVER w AS before, lag(g.ts, 1, p.last_ts) OVER w AS before_ts
        FROM given g JOIN feed_positions p ON p.symbol = g.symbol AND p.venue = g.venue AND g.seq > p.last_seq
        WHERE NOT EXISTS (SELECT FROM feed_venues v WHERE v.venue = g.venue AND NOT v.contiguous)
        WINDOW w AS (PARTITION BY g.venue, g.symbol ORDER BY g.seq)
    ) s
    WHERE s.seq > s.before + 1
)
SELECT count(*) FROM stored;

-- name: LockFeeds :many
-- Locks these feeds against ingest until the transaction ends, and returns their
-- positions; a new feed has seq 0.
INSERT INTO feed_positions AS p (venue, symbol, last_seq, last_ts)
SELECT u.venue, u.symbol, 0, u.ts
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
ORDER BY u.symbol, u.venue
ON CONFLICT (symbol, venue) DO UPDATE SET updated_at = p.updated_at
RETURNING p.venue, p.symbol, p.last_seq, p.last_ts;

-- name: NearestStored :many
-- Finds ticks of these seqs, whatever their ts; of each seq the tick that is
-- nearest to the ts given. Reads all ticks of their symbols: where one has a
-- million, 0.2 to 0.4 s for each seq in the row store, some ms in the columnstore,
-- which knows what seqs lie where (native and embedded, 2 cores).
SELECT u.venue::text AS venue, u.symbol::text AS symbol, u.seq::bigint AS seq, u.ts::timestamptz AS given, s.ts::timestamptz AS stored
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol,
             unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
CROSS JOIN LATERAL (
    SELECT t.ts FROM (
        SELECT k.ts FROM ticks k WHERE k.symbol = u.symbol AND k.venue = u.venue AND k.seq = u.seq
        UNION ALL
        SELECT k.ts FROM late_ticks k WHERE k.symbol = u.symbol AND k.venue = u.venue AND k.seq = u.seq
    ) t
    ORDER BY greatest(t.ts, u.ts) - least(t.ts, u.ts) LIMIT 1
) s;

-- name: NearestShifted :many
-- The same, among the times that another time zone would give: whole quarters of
-- an hour away, up to 26 hours; oldest and newest bound the ts given. 10 to 50 ms
-- however many ticks there are.
SELECT u.venue::text AS venue, u.symbol::text AS symbol, u.seq::bigint AS seq, u.ts::timestamptz AS given, s.ts::timestamptz AS stored
FROM (SELECT unnest(sqlc.arg(venues)::text[]) AS venue, unnest(sqlc.arg(symbols)::text[]) AS symbol,
             unnest(sqlc.arg(seqs)::bigint[]) AS seq, unnest(sqlc.arg(tss)::timestamptz[]) AS ts) u
CROSS JOIN LATERAL (
    SELECT t.ts FROM generate_series(-104, 104) k
    CROSS JOIN LATERAL (
        SELECT t.ts FROM ticks t
        WHERE t.symbol = u.symbol AND t.venue = u.venue AND t.seq = u.seq
          AND t.ts >= u.ts + k * INTERVAL '15 minutes' - INTERVAL '1 second' AND t.ts <= u.ts + k * INTERVAL '15 minutes' + INTERVAL '1 second'
          AND t.ts >= sqlc.arg(oldest)::timestamptz - INTERVAL '27 hours' AND t.ts <= sqlc.arg(newest)::timestamptz + INTERVAL '27 hours'
        LIMIT 1
    ) t
    ORDER BY abs(k) LIMIT 1
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

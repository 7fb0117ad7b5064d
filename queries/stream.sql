-- The stream: what one pass of the hub reads, in one snapshot.

-- name: StreamPosition :one
-- The clock, records ingested from topics, the newest revision, the last number of
-- the sequence of alert changes, which may be ahead of the rows, and the
-- materialised intervals, shortest first.
SELECT now()::timestamptz AS now,
       (SELECT coalesce(sum(o.next_offset), 0) FROM ingest_offsets o)::bigint AS records,
       (SELECT coalesce(max(r.id), 0) FROM bar_revisions r)::bigint AS revision,
       coalesce(pg_sequence_last_value('alert.change_id'::regclass), 0)::bigint AS changes,
       ARRAY(SELECT i."interval" FROM intervals i WHERE i.materialized ORDER BY i.width)::text[] AS materialized;

-- name: StreamFeeds :many
-- The position of each feed: one that differs from the previous pass has new ticks.
SELECT p.symbol, p.venue, p.last_ts, p.top_seq, p.version, p.updated_at FROM feed_positions p;

-- name: StreamTicks :many
-- The newest ticks of each feed that are newer than a position of it, newest first.
-- oldest and newest bound all of them, so that the plan is made for few chunks.
SELECT u.symbol::text AS symbol, u.venue::text AS venue, t.ts, t.price, t.size, t.seq, coalesce(t.side, 0)::smallint AS side, t.flags
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue,
             unnest(sqlc.arg(from_tss)::timestamptz[]) AS from_ts, unnest(sqlc.arg(to_tss)::timestamptz[]) AS to_ts,
             unnest(sqlc.arg(after_seqs)::bigint[]) AS after_seq) u
CROSS JOIN LATERAL (
    SELECT k.ts, k.price, k.size, k.seq, k.side, k.flags FROM ticks k
    WHERE k.symbol = u.symbol AND k.ts >= u.from_ts AND k.ts <= u.to_ts AND k.ts >= sqlc.arg(oldest) AND k.ts <= sqlc.arg(newest)
      AND k.venue = u.venue AND (k.ts > u.from_ts OR k.seq > u.after_seq AND u.after_seq >= 0)
    ORDER BY k.ts DESC, k.seq DESC LIMIT sqlc.arg(max_rows)::int
) t;

-- name: StreamBars :many
-- Bars by symbol, interval and start. buy_volume is NaN where no side is known.
SELECT c.symbol::text AS symbol, u.bar::text AS bar, c.bucket::timestamptz AS bucket, c.open::float8 AS open, c.high::float8 AS high, c.low::float8 AS low,
       c.close::float8 AS close, c.volume::float8 AS volume, coalesce(c.buy_volume, 'NaN')::float8 AS buy_volume, c.notional::float8 AS notional,
       c.trades::bigint AS trades
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(bars)::text[]) AS bar,
             unnest(sqlc.arg(from_buckets)::timestamptz[]) AS from_bucket, unnest(sqlc.arg(to_buckets)::timestamptz[]) AS to_bucket) u
CROSS JOIN LATERAL candles(u.symbol, u.bar, u.from_bucket, u.to_bucket) AS c
LIMIT sqlc.arg(max_rows)::int;

-- name: StreamFormingBars :many
-- The same for bars that ticks are added to: what no tick has moved is NaN.
SELECT c.symbol::text AS symbol, u.bar::text AS bar, c.bucket::timestamptz AS bucket, coalesce(c.open, 'NaN')::float8 AS open, coalesce(c.high, 'NaN')::float8 AS high,
       coalesce(c.low, 'NaN')::float8 AS low, coalesce(c.close, 'NaN')::float8 AS close, c.volume::float8 AS volume,
       coalesce(c.buy_volume, 'NaN')::float8 AS buy_volume, c.notional::float8 AS notional, c.trades::bigint AS trades
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(bars)::text[]) AS bar,
             unnest(sqlc.arg(from_buckets)::timestamptz[]) AS from_bucket, unnest(sqlc.arg(to_buckets)::timestamptz[]) AS to_bucket) u
CROSS JOIN LATERAL _hypertick.raw_candles(u.symbol, u.bar, u.from_bucket, u.to_bucket) AS c;

-- name: StreamRevisions :many
SELECT r.id, r.symbol, r."interval" AS bar, r.bucket, r.whole, r.undone FROM bar_revisions r
WHERE r.id > sqlc.arg(after) AND r.id <= sqlc.arg(upto)
ORDER BY r.id LIMIT sqlc.arg(max_rows)::int;

-- name: LastAlertChange :one
SELECT coalesce(max(e.change_id), 0)::bigint AS change FROM alert.events e;

-- name: StreamAlerts :many
-- Events that have changed, in the order of their last changes. Those of the
-- pipeline, which have no interval, are for whoever has any symbol.
SELECT e.id, e.rule_id, e.rule, e.severity, e.symbol, e."interval" AS bar_interval, e.bar, e.opened, e.resolved, e.value, e.threshold, e.message,
       e.state, e.late, e.revision, e.changed, e.change_id
FROM alert.events e
WHERE e.change_id > sqlc.arg(after) AND e.change_id <= sqlc.arg(upto)
  AND (sqlc.narg(symbols)::text[] IS NULL OR e.symbol = ANY (sqlc.narg(symbols)) OR e."interval" IS NULL)
ORDER BY e.change_id LIMIT sqlc.arg(max_rows)::int;

-- name: StreamStatus :one
-- Failed jobs, and where the one-minute candles stop being materialised (1970
-- when none is). Jobs below 1000 are TimescaleDB's own.
SELECT (SELECT count(*) FROM timescaledb_information.job_stats s WHERE s.last_run_status = 'Failed' AND s.job_id >= 1000)::bigint AS jobs_failed,
       coalesce((SELECT greatest(w.watermark, '1970-01-01')
                 FROM watermarks w JOIN intervals i ON w.relation = 'candles_' || i."interval"
                 ORDER BY i.width LIMIT 1), '1970-01-01')::timestamptz AS candles_upto;

-- name: StreamKnown :many
-- Which of the symbols have ticks.
SELECT DISTINCT p.symbol FROM feed_positions p WHERE p.symbol = ANY (sqlc.arg(symbols)::text[]);

-- name: NoteArrivals :exec
-- What ingest stored after its minute. The clock is the database's: the
-- stream closes bars by the same one, some seconds later.
INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest)
SELECT u.symbol, u.venue, u.after_seq, u.last_seq, u.oldest, u.newest
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(venues)::text[]) AS venue,
             unnest(sqlc.arg(after_seqs)::bigint[]) AS after_seq, unnest(sqlc.arg(last_seqs)::bigint[]) AS last_seq,
             unnest(sqlc.arg(oldests)::timestamptz[]) AS oldest, unnest(sqlc.arg(newests)::timestamptz[]) AS newest) u
WHERE u.oldest < date_trunc('minute', clock_timestamp() - INTERVAL '2 seconds');

-- What verify reads.

-- name: VerifyLevels :many
-- What can be verified, and since when it can.
SELECT a.relation::text AS relation, a.bar::text AS bar, a.blocks::boolean AS blocks, a.schema::text AS schema,
       _hypertick.months(a.width) AS months, extract(epoch FROM a.width)::bigint AS seconds, isfinite(a.whole_since)::boolean AS present,
       CASE WHEN isfinite(a.whole_since) THEN a.whole_since ELSE '1970-01-01' END::timestamptz AS whole_since
FROM _hypertick.verify_levels a ORDER BY a.blocks, a.bar_width;

-- name: VerifyCandles :many
SELECT d.relation::text AS relation, coalesce(d.symbol, '')::text AS symbol, coalesce(d.bucket, '1970-01-01')::timestamptz AS bucket, coalesce(d.pending, false)::boolean AS pending,
       d.stored::jsonb AS stored, d.expected::jsonb AS expected, coalesce(d.checked, 0)::bigint AS checked
FROM _hypertick.verify_candles(sqlc.arg(after)::timestamptz, sqlc.arg(before)::timestamptz, sqlc.narg(symbol)::text, sqlc.arg(bars)::text[]) d;

-- name: VerifyBlocks :many
SELECT d.relation::text AS relation, coalesce(d.symbol, '')::text AS symbol, coalesce(d.bucket, '1970-01-01')::timestamptz AS bucket, coalesce(d.pending, false)::boolean AS pending,
       d.stored::jsonb AS stored, d.expected::jsonb AS expected, coalesce(d.checked, 0)::bigint AS checked
FROM _hypertick.verify_blocks(@bar::text, @after::timestamptz, @before::timestamptz, sqlc.narg(symbol)::text) d;

-- name: VerifySeqs :many
SELECT d.kind::text AS kind, coalesce(d.venue, '')::text AS venue, coalesce(d.from_seq, 0)::bigint AS from_seq, coalesce(d.to_seq, 0)::bigint AS to_seq, coalesce(d.at, '1970-01-01')::timestamptz AS at,
       coalesce(d.copies, 0)::bigint AS copies, coalesce(d.checked, 0)::bigint AS checked
FROM _hypertick.verify_seqs(@symbol::text, coalesce(sqlc.narg(after)::timestamptz, '-infinity'), coalesce(sqlc.narg(before)::timestamptz, 'infinity')) d;

-- name: VerifySymbols :many
-- Symbols with ticks or a position; given one, only that.
SELECT u.symbol::text AS symbol FROM (
    SELECT DISTINCT t.symbol FROM ticks t WHERE sqlc.narg(symbol)::text IS NULL OR t.symbol = sqlc.narg(symbol)
    UNION
    SELECT DISTINCT t.symbol FROM late_ticks t WHERE sqlc.narg(symbol)::text IS NULL OR t.symbol = sqlc.narg(symbol)
    UNION
    SELECT p.symbol FROM feed_positions p WHERE sqlc.narg(symbol)::text IS NULL OR p.symbol = sqlc.narg(symbol)
) u ORDER BY u.symbol;

-- name: AllIngestOffsets :many
SELECT o.topic, o.partition, o.next_offset FROM ingest_offsets o ORDER BY o.topic, o.partition;

-- name: RefreshAggregate :exec
-- Refreshes the buckets of a window; with force also those without an invalidation.
-- Not within a transaction.
CALL refresh_continuous_aggregate(CAST(@relation AS text)::regclass, @after::timestamptz, @before::timestamptz, @force::boolean, @options::jsonb);

-- name: DeleteDrift :exec
DELETE FROM verify_drift WHERE relation = @relation AND symbol = @symbol AND bucket = @bucket;

-- name: KnownDrift :one
SELECT count(*) FROM verify_drift;

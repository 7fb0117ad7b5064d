-- name: IngestStatus :one
-- Progress of ingest: records of the topic ingested, symbols, and the newest trade
-- time (1970 when there is none).
SELECT (SELECT coalesce(sum(o.next_offset), 0) FROM ingest_offsets o WHERE o.topic = @topic)::bigint AS done,
       (SELECT count(DISTINCT p.symbol) FROM feed_positions p)::bigint AS symbols,
       coalesce((SELECT max(p.last_ts) FROM feed_positions p), '1970-01-01')::timestamptz AS newest_ts;

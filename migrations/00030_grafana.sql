-- +goose Up
-- What dashboards and alert rules read, beside the tables and indicators that
-- are there already.

-- Ingest's own account, by the minute of its commits. ticks cannot tell it: they
-- are stamped with the time of the trade, and a duplicate or a dead letter
-- leaves nothing there. Written in the transaction of the batch, so it is exact.
CREATE TABLE ingest_activity (
    minute       timestamptz NOT NULL,
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    stored       bigint      NOT NULL,
    duplicates   bigint      NOT NULL,
    dead_letters bigint      NOT NULL,
    behind       bigint      NOT NULL
);
SELECT create_hypertable('ingest_activity', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
-- A partition has one writer at a time (see ingest_offsets), so nobody waits for
-- anybody's row here.
CREATE UNIQUE INDEX ingest_activity_key ON ingest_activity (minute, topic, partition);
SELECT add_retention_policy('ingest_activity', INTERVAL '30 days', schedule_interval => INTERVAL '1 day');

COMMENT ON TABLE ingest_activity IS 'What ingest did with the records of each partition, by minute. Rows go after 30 days.';
COMMENT ON COLUMN ingest_activity.minute IS 'Minute in which the batches began to be stored.';
COMMENT ON COLUMN ingest_activity.topic IS 'Topic of the broker.';
COMMENT ON COLUMN ingest_activity.partition IS 'Partition of the topic.';
COMMENT ON COLUMN ingest_activity.stored IS 'Ticks stored, late ones included.';
COMMENT ON COLUMN ingest_activity.duplicates IS 'Ticks dropped because their seq was stored before.';
COMMENT ON COLUMN ingest_activity.dead_letters IS 'Records sent to the dead-letter topic.';
COMMENT ON COLUMN ingest_activity.behind IS 'Records of the partition still to read after the minute''s last batch.';
COMMENT ON INDEX ingest_activity_key IS 'One row for a partition and minute.';
GRANT SELECT ON ingest_activity TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON ingest_activity TO hypertick_writer;

CREATE VIEW intervals AS
SELECT b."interval", b."interval"::interval AS span
FROM _hypertick.blocks b
ORDER BY b."interval"::interval;
COMMENT ON VIEW intervals IS 'The lengths of bars there are, shortest first.';
COMMENT ON COLUMN intervals."interval" IS 'As candles() and the indicators take it.';
COMMENT ON COLUMN intervals.span IS 'How long that is.';
GRANT SELECT ON intervals TO hypertick_reader, hypertick_writer;

-- Up to where each aggregate is stored. What is newer is computed by whoever
-- reads, so a watermark that stands still makes every read slower.
CREATE VIEW watermarks AS
SELECT c.user_view_schema::text AS schema, c.user_view_name::text AS relation,
       -- An aggregate that was never refreshed stands at the beginning of time.
       CASE WHEN w.at > 0 THEN _timescaledb_functions.to_timestamp(w.at) END AS watermark
FROM _timescaledb_catalog.continuous_agg c, LATERAL _timescaledb_functions.cagg_watermark(c.mat_hypertable_id) w(at)
ORDER BY c.mat_hypertable_id;
COMMENT ON VIEW watermarks IS 'How far each continuous aggregate is materialised.';
COMMENT ON COLUMN watermarks.schema IS 'Schema of the continuous aggregate.';
COMMENT ON COLUMN watermarks.relation IS 'Continuous aggregate: candles, or blocks of indicator states.';
COMMENT ON COLUMN watermarks.watermark IS 'End of what is materialised. NULL: nothing is.';
GRANT SELECT ON watermarks TO hypertick_reader, hypertick_writer;

-- Sizes are of hypertables. A continuous aggregate has one that nobody knows by
-- name, so it is shown under the aggregate's.
CREATE VIEW storage AS
SELECT h.schema, h.relation,
       (SELECT count(*) FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = h.hypertable_schema AND c.hypertable_name = h.hypertable_name) AS chunks,
       coalesce(s.compressed_chunks, 0) AS compressed_chunks, public.hypertable_size(r.hypertable) AS total_bytes, s.before_bytes, s.after_bytes
FROM (
    SELECT t.hypertable_schema::text AS schema, t.hypertable_name::text AS relation, t.hypertable_schema, t.hypertable_name
    FROM timescaledb_information.hypertables t
    UNION ALL
    SELECT c.view_schema::text, c.view_name::text, c.materialization_hypertable_schema, c.materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates c
) h
CROSS JOIN LATERAL (SELECT pg_catalog.format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass AS hypertable) r
-- No row for a hypertable without a columnstore.
LEFT JOIN LATERAL public.hypertable_compression_stats(r.hypertable)
    s(chunks, compressed_chunks, before_table, before_index, before_toast, before_bytes, after_table, after_index, after_toast, after_bytes) ON true
ORDER BY h.schema DESC, h.relation;
COMMENT ON VIEW storage IS 'What each hypertable and continuous aggregate takes on disk.';
COMMENT ON COLUMN storage.schema IS 'Schema of the relation.';
COMMENT ON COLUMN storage.relation IS 'Hypertable or continuous aggregate.';
COMMENT ON COLUMN storage.chunks IS 'Number of chunks.';
COMMENT ON COLUMN storage.compressed_chunks IS 'Of these, chunks in the columnstore.';
COMMENT ON COLUMN storage.total_bytes IS 'Bytes on disk, indexes and columnstore included.';
COMMENT ON COLUMN storage.before_bytes IS 'What the chunks in the columnstore took before.';
COMMENT ON COLUMN storage.after_bytes IS 'What they take now.';
GRANT SELECT ON storage TO hypertick_reader, hypertick_writer;

-- The whole market over time, in one pass over the bars. indicator.latest() says
-- where it stands now; a chart of its breadth needs every bar of every symbol, and
-- asking the indicators symbol by symbol would read the same bars for each of them.
--
-- Means and deviations over the last n bars are differences of running sums: a
-- window that slides would add up n values for every bar. What that loses in
-- precision is far below what a screen shows; a variance that is nothing but such
-- a loss counts as none.
-- +goose StatementBegin
CREATE FUNCTION indicator.market("interval" text, "from" timestamptz, "to" timestamptz, symbols text[] DEFAULT NULL)
RETURNS TABLE (symbol text, bucket timestamptz, close float8, change float8, volume float8, sma_50 float8, zscore float8, volume_ratio float8)
LANGUAGE sql STABLE ROWS 10000
AS $$
    WITH bars AS (
        SELECT s.symbol, c.bucket, c.close, c.volume, pg_catalog.row_number() OVER w AS i,
               pg_catalog.ln(c.close / pg_catalog.lag(c.close) OVER w) AS change
        FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p WHERE market.symbols IS NULL OR p.symbol = ANY (market.symbols)) s,
             LATERAL public.candles(s.symbol, market."interval", market."from", market."to", warmup => 50) c
        WINDOW w AS (PARTITION BY s.symbol ORDER BY c.bucket)
    ), sums AS (
        SELECT b.*, pg_catalog.sum(b.close) OVER w AS closes, pg_catalog.sum(b.volume) OVER w AS volumes,
               pg_catalog.sum(b.change) OVER w AS changes, pg_catalog.sum(b.change * b.change) OVER w AS squares
        FROM bars b
        WINDOW w AS (PARTITION BY b.symbol ORDER BY b.bucket ROWS UNBOUNDED PRECEDING)
    ), stats AS (
        SELECT s.symbol, s.bucket, s.close, s.change, s.volume,
               CASE WHEN s.i >= 50 THEN (s.closes - pg_catalog.lag(s.closes, 50, 0) OVER w) / 50 END AS sma_50,
               CASE WHEN s.i > 20 THEN (pg_catalog.lag(s.volumes) OVER w - pg_catalog.lag(s.volumes, 21, 0) OVER w) / 20 END AS volume_mean,
               CASE WHEN s.i > 21 THEN (pg_catalog.lag(s.changes) OVER w - coalesce(pg_catalog.lag(s.changes, 21) OVER w, 0)) / 20 END AS mean,
               CASE WHEN s.i > 21 THEN (pg_catalog.lag(s.squares) OVER w - coalesce(pg_catalog.lag(s.squares, 21) OVER w, 0)) / 20 END AS square_mean
        FROM sums s
        WINDOW w AS (PARTITION BY s.symbol ORDER BY s.bucket)
    )
    SELECT s.symbol, s.bucket, s.close, pg_catalog.exp(s.change) - 1, s.volume, s.sma_50,
           CASE WHEN s.square_mean - s.mean * s.mean > 1e-9 * s.square_mean
                THEN (s.change - s.mean) / pg_catalog.sqrt((s.square_mean - s.mean * s.mean) * 20 / 19) END,
           CASE WHEN s.volume_mean > 0 THEN s.volume / s.volume_mean END
    FROM stats s
    WHERE s.bucket >= market."from"
    ORDER BY s.symbol, s.bucket
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.market(text, timestamptz, timestamptz, text[]) IS
'Bars with "from" <= bucket < "to" of all symbols, or of those named: close, change since the bar before as a fraction, volume, the mean of 50 closes, and how unusual the bar is against the 20 before it: zscore as indicator.zscore, volume_ratio as the ratio of indicator.volume_spike. NULL where history is too short.';
REVOKE EXECUTE ON FUNCTION indicator.market(text, timestamptz, timestamptz, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION indicator.market(text, timestamptz, timestamptz, text[]) TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP FUNCTION indicator.market(text, timestamptz, timestamptz, text[]);
DROP VIEW storage;
DROP VIEW watermarks;
DROP VIEW intervals;
DROP TABLE ingest_activity;

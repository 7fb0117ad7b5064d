-- +goose Up
-- Which closed bars late ticks have changed, so that whoever shows bars can
-- read just those again. GET /v1/stream follows it.
--
-- Three steps, because a late tick shows in a bar only once the continuous
-- aggregates have been refreshed:
--   late_arrivals      ingest, and the job below it, note where late ticks went;
--   awaited_revisions  the bars they belong to, until each level shows them;
--   bar_revisions      the result, in the order in which it could be seen.
-- Ticks in order cost nothing here: only what comes after its minute is noted.

CREATE TABLE _hypertick.late_arrivals (
    at        timestamptz      NOT NULL DEFAULT clock_timestamp(),
    symbol    text COLLATE "C" NOT NULL,
    venue     text COLLATE "C" NOT NULL,
    after_seq bigint           NOT NULL,
    last_seq  bigint           NOT NULL,
    oldest    timestamptz      NOT NULL,
    newest    timestamptz      NOT NULL
);
COMMENT ON TABLE _hypertick.late_arrivals IS 'Ticks stored after the minute they belong to, one row per batch and feed. A job empties it within seconds.';
COMMENT ON COLUMN _hypertick.late_arrivals.at IS 'When they were stored.';
COMMENT ON COLUMN _hypertick.late_arrivals.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.late_arrivals.venue IS 'See ticks.venue.';
COMMENT ON COLUMN _hypertick.late_arrivals.after_seq IS 'Every seq of the batch is above it.';
COMMENT ON COLUMN _hypertick.late_arrivals.last_seq IS 'Highest seq of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.oldest IS 'Oldest ts of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.newest IS 'Newest ts of the batch.';
GRANT SELECT ON _hypertick.late_arrivals TO hypertick_reader, hypertick_writer;
GRANT INSERT ON _hypertick.late_arrivals TO hypertick_writer;

CREATE TABLE _hypertick.awaited_revisions (
    symbol text COLLATE "C" NOT NULL,
    level  int              NOT NULL,
    bucket timestamptz      NOT NULL,
    whole  boolean          NOT NULL,
    since  timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, level, bucket)
);
COMMENT ON TABLE _hypertick.awaited_revisions IS 'Closed bars that late ticks belong to and that do not show them yet.';
COMMENT ON COLUMN _hypertick.awaited_revisions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.awaited_revisions.level IS '1 is 1m, 5 is 1d.';
COMMENT ON COLUMN _hypertick.awaited_revisions.bucket IS 'Start of the bar.';
COMMENT ON COLUMN _hypertick.awaited_revisions.whole IS 'See bar_revisions.whole.';
COMMENT ON COLUMN _hypertick.awaited_revisions.since IS 'When the job learned of it.';
GRANT SELECT ON _hypertick.awaited_revisions TO hypertick_reader;

CREATE TABLE bar_revisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol     text COLLATE "C" NOT NULL,
    "interval" text             NOT NULL,
    bucket     timestamptz      NOT NULL,
    whole      boolean          NOT NULL DEFAULT false,
    at         timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX bar_revisions_at_idx ON bar_revisions (at);
COMMENT ON TABLE bar_revisions IS 'Closed bars that late ticks have changed, listed when the change can be read. Kept for a day.';
COMMENT ON COLUMN bar_revisions.id IS 'Rises in the order in which revisions become visible: a reader that has seen id n has seen all below.';
COMMENT ON COLUMN bar_revisions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN bar_revisions."interval" IS 'Interval of the bar: 1m, 5m, 15m, 1h or 1d.';
COMMENT ON COLUMN bar_revisions.bucket IS 'Start of the bar, UTC.';
COMMENT ON COLUMN bar_revisions.whole IS 'More than a day of the symbol changed at once, a backfill: its other bars are not listed.';
COMMENT ON COLUMN bar_revisions.at IS 'When it was listed.';
COMMENT ON INDEX bar_revisions_at_idx IS 'Finds what is older than a day.';
GRANT SELECT ON bar_revisions TO hypertick_reader, hypertick_writer;

CREATE FUNCTION _hypertick.bar_levels(OUT level int, OUT "interval" text, OUT below text, OUT width interval) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 5
AS $$
    VALUES (1, '1m', NULL, INTERVAL '1 minute'), (2, '5m', '1m', INTERVAL '5 minutes'), (3, '15m', '5m', INTERVAL '15 minutes'),
           (4, '1h', '15m', INTERVAL '1 hour'), (5, '1d', '1h', INTERVAL '1 day')
$$;
COMMENT ON FUNCTION _hypertick.bar_levels() IS 'The levels of candles, each with the one it is built from.';
REVOKE EXECUTE ON FUNCTION _hypertick.bar_levels() FROM PUBLIC;

-- +goose StatementBegin
CREATE PROCEDURE _hypertick.note_revisions(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    -- A bar closes when its end has passed by some seconds: what comes before
    -- that changes no closed bar.
    grace CONSTANT interval := coalesce(config ->> 'grace', '2 seconds')::interval;
    keep  CONSTANT interval := coalesce(config ->> 'keep', '25 hours')::interval;
    flood CONSTANT interval := coalesce(config ->> 'flood', '1 day')::interval;
    l     record;
BEGIN
    -- One writer at a time, so that ids become visible in their order.
    PERFORM pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('_hypertick.note_revisions'));

    WITH taken AS (
        DELETE FROM _hypertick.late_arrivals a RETURNING a.*
    ), feeds AS (
        SELECT t.symbol, pg_catalog.sum(t.newest - t.oldest) > flood AS whole FROM taken t GROUP BY t.symbol
    ), minutes AS (
        -- The rows say from where to where a batch reached, the ticks which minutes it touched.
        SELECT t.symbol, m.minute, t.at, false AS whole
        FROM taken t
        JOIN feeds f ON f.symbol = t.symbol AND NOT f.whole
        CROSS JOIN LATERAL (
            SELECT DISTINCT public.time_bucket(INTERVAL '1 minute', k.ts) AS minute
            FROM public.ticks k
            WHERE k.symbol = t.symbol AND k.ts >= t.oldest AND k.ts <= t.newest
              AND k.venue = t.venue AND k.seq > t.after_seq AND k.seq <= t.last_seq
        ) m
        UNION ALL
        SELECT t.symbol, public.time_bucket(INTERVAL '1 minute', pg_catalog.min(t.oldest)), pg_catalog.max(t.at), true
        FROM taken t JOIN feeds f ON f.symbol = t.symbol AND f.whole
        GROUP BY t.symbol
    ), bars AS (
        SELECT m.symbol, b.level, public.time_bucket(b.width, m.minute) AS bucket, pg_catalog.bool_or(m.whole) AS whole
        FROM minutes m CROSS JOIN _hypertick.bar_levels() b
        WHERE public.time_bucket(b.width, m.minute) + b.width <= m.at - grace
          AND (NOT m.whole OR b.level = 4)
        GROUP BY 1, 2, 3
    )
    INSERT INTO _hypertick.awaited_revisions AS w (symbol, level, bucket, whole)
    SELECT b.symbol, b.level, b.bucket, b.whole FROM bars b
    ON CONFLICT (symbol, level, bucket) DO UPDATE SET whole = w.whole OR excluded.whole;

    -- A bar shows its late ticks when it counts as many as what it is built
    -- from, and that in turn is awaited no more. Ticks are never taken away one by
    -- one, so the numbers cannot agree by chance.
    FOR l IN SELECT * FROM _hypertick.bar_levels() ORDER BY 1 LOOP
        WITH shown AS (
            SELECT w.symbol, w.bucket
            FROM (SELECT a.* FROM _hypertick.awaited_revisions a WHERE a.level = l.level ORDER BY a.since LIMIT 5000) w
            WHERE NOT EXISTS (
                    SELECT FROM _hypertick.awaited_revisions b
                    WHERE b.symbol = w.symbol AND b.level = l.level - 1 AND b.bucket >= w.bucket AND b.bucket < w.bucket + l.width)
              AND (SELECT pg_catalog.sum(c.trades) FROM public.candles(w.symbol, l.interval, w.bucket, w.bucket + l.width) c)
                = CASE WHEN l.below IS NULL OR w.whole
                    THEN (SELECT pg_catalog.count(*) FROM public.ticks k WHERE k.symbol = w.symbol AND k.ts >= w.bucket AND k.ts < w.bucket + l.width)
                    ELSE (SELECT pg_catalog.sum(c.trades) FROM public.candles(w.symbol, l.below, w.bucket, w.bucket + l.width) c) END
        ), done AS (
            DELETE FROM _hypertick.awaited_revisions w USING shown s
            WHERE w.level = l.level AND w.symbol = s.symbol AND w.bucket = s.bucket
            RETURNING w.symbol, w.bucket, w.whole
        )
        INSERT INTO public.bar_revisions (symbol, "interval", bucket, whole)
        SELECT d.symbol, l.interval, d.bucket, d.whole FROM done d ORDER BY d.bucket, d.symbol;
    END LOOP;

    -- Where retention has taken the ticks the numbers never agree.
    DELETE FROM _hypertick.awaited_revisions w WHERE w.since < pg_catalog.now() - INTERVAL '1 hour';
    DELETE FROM public.bar_revisions r WHERE r.at < pg_catalog.now() - keep;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.note_revisions(int, jsonb) IS 'Job: lists closed bars that late ticks have changed in bar_revisions. config: grace, keep, flood.';
REVOKE EXECUTE ON PROCEDURE _hypertick.note_revisions(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.note_revisions', INTERVAL '5 seconds',
    config => '{"grace": "2 seconds", "keep": "25 hours", "flood": "1 day"}', fixed_schedule => false);

-- As in 00007, and notes what it moved.
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE _hypertick.move_late_ticks(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 50000);
    upto     timestamptz;
BEGIN
    LOOP
        -- Rows of the range's last ts go together, even past max_rows: the
        -- next range must begin after it.
        SELECT pg_catalog.max(r.ts) INTO upto
        FROM (
            SELECT w.ts, pg_catalog.bool_or(w.pause) OVER (ORDER BY w.ts ROWS UNBOUNDED PRECEDING) AS beyond
            FROM (
                SELECT l.ts, l.ts - pg_catalog.lag(l.ts) OVER (ORDER BY l.ts) > max_gap AS pause
                FROM (SELECT t.ts FROM public.late_ticks t ORDER BY t.ts LIMIT max_rows) l
            ) w
        ) r
        WHERE r.beyond IS NOT TRUE;
        EXIT WHEN upto IS NULL;

        WITH moved AS (
            DELETE FROM public.late_ticks l WHERE l.ts <= upto
            RETURNING l.ts, l.symbol, l.price, l.size, l.seq, l.venue
        ), noted AS (
            INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest)
            SELECT m.symbol, m.venue, pg_catalog.min(m.seq) - 1, pg_catalog.max(m.seq), pg_catalog.min(m.ts), pg_catalog.max(m.ts)
            FROM moved m GROUP BY m.symbol, m.venue, public.time_bucket(INTERVAL '1 minute', m.ts)
        )
        INSERT INTO public.ticks (ts, symbol, price, size, seq, venue)
        SELECT m.ts, m.symbol, m.price, m.size, m.seq, m.venue FROM moved m;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE _hypertick.move_late_ticks(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 50000);
    upto     timestamptz;
BEGIN
    LOOP
        -- Rows of the range's last ts go together, even past max_rows: the
        -- next range must begin after it.
        SELECT pg_catalog.max(r.ts) INTO upto
        FROM (
            SELECT w.ts, pg_catalog.bool_or(w.pause) OVER (ORDER BY w.ts ROWS UNBOUNDED PRECEDING) AS beyond
            FROM (
                SELECT l.ts, l.ts - pg_catalog.lag(l.ts) OVER (ORDER BY l.ts) > max_gap AS pause
                FROM (SELECT t.ts FROM public.late_ticks t ORDER BY t.ts LIMIT max_rows) l
            ) w
        ) r
        WHERE r.beyond IS NOT TRUE;
        EXIT WHEN upto IS NULL;

        WITH moved AS (
            DELETE FROM public.late_ticks l WHERE l.ts <= upto
            RETURNING l.ts, l.symbol, l.price, l.size, l.seq, l.venue
        )
        INSERT INTO public.ticks (ts, symbol, price, size, seq, venue)
        SELECT m.ts, m.symbol, m.price, m.size, m.seq, m.venue FROM moved m;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd
SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = '_hypertick' AND proc_name = 'note_revisions';
DROP PROCEDURE _hypertick.note_revisions(int, jsonb);
DROP FUNCTION _hypertick.bar_levels();
DROP TABLE bar_revisions;
DROP TABLE _hypertick.awaited_revisions;
DROP TABLE _hypertick.late_arrivals;

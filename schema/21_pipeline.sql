-- The state of every part of the pipeline, as far as the database can know it:
-- one row each, with what to do about it. hypertick status, GET /v1/pipeline,
-- Grafana and the rules of condition fails read the same rows.

CREATE TABLE heartbeats (
    component  text        NOT NULL,
    instance   text        NOT NULL,
    started_at timestamptz NOT NULL,
    sent_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    every      interval    NOT NULL,
    detail     text        NOT NULL DEFAULT '',
    error      text,
    PRIMARY KEY (component, instance)
) WITH (fillfactor = 50);
COMMENT ON TABLE heartbeats IS
    'Heartbeats of the processes around the database. A process that shuts down cleanly deletes its row.';
COMMENT ON COLUMN heartbeats.component IS 'What it is: ingest or notify.';
COMMENT ON COLUMN heartbeats.instance IS 'Which one.';
COMMENT ON COLUMN heartbeats.started_at IS 'When it was started.';
COMMENT ON COLUMN heartbeats.sent_at IS 'When it sent its last heartbeat.';
COMMENT ON COLUMN heartbeats.every IS 'How often it sends one.';
COMMENT ON COLUMN heartbeats.detail IS 'What it is doing.';
COMMENT ON COLUMN heartbeats.error IS 'What keeps it from working. NULL: nothing.';
GRANT SELECT ON heartbeats TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON heartbeats TO hypertick_writer, hypertick_operator;

-- Jobs -----------------------------------------------------------------------

-- TimescaleDB's scheduler keeps statistics of the jobs that it starts; this table
-- has those of the jobs that a client starts.
CREATE TABLE _hypertick.job_runs (
    job_id      int         PRIMARY KEY,
    finished_at timestamptz NOT NULL,
    took        interval    NOT NULL,
    failures    int         NOT NULL,
    total       bigint      NOT NULL,
    total_failures bigint   NOT NULL,
    error       text
) WITH (fillfactor = 50);
COMMENT ON TABLE _hypertick.job_runs IS 'The last run of each job on a server without a scheduler.';
COMMENT ON COLUMN _hypertick.job_runs.job_id IS 'See timescaledb_information.jobs.';
COMMENT ON COLUMN _hypertick.job_runs.finished_at IS 'When it ended.';
COMMENT ON COLUMN _hypertick.job_runs.took IS 'How long it took.';
COMMENT ON COLUMN _hypertick.job_runs.failures IS 'How often in a row it has failed.';
COMMENT ON COLUMN _hypertick.job_runs.total IS 'Number of runs.';
COMMENT ON COLUMN _hypertick.job_runs.total_failures IS 'How many of them failed.';
COMMENT ON COLUMN _hypertick.job_runs.error IS 'Why it failed. NULL: it did not.';

-- As its owner: TimescaleDB shows a job's errors to the job's owner only.
CREATE FUNCTION _hypertick.job_error(job_id int) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((
        SELECT e.err_message FROM timescaledb_information.job_errors e
        WHERE e.job_id = job_error.job_id ORDER BY e.finish_time DESC LIMIT 1), 'failed')
$$;
COMMENT ON FUNCTION _hypertick.job_error(int) IS 'Why a job of TimescaleDB''s scheduler last failed.';
REVOKE EXECUTE ON FUNCTION _hypertick.job_error(int) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.job_error(int) TO hypertick_reader, hypertick_operator;

CREATE VIEW job_status AS
SELECT j.job_id,
       CASE j.proc_name WHEN 'policy_refresh_continuous_aggregate' THEN 'refresh '
            WHEN 'policy_compression' THEN 'columnstore ' WHEN 'policy_retention' THEN 'retention '
            ELSE replace(j.proc_name::text, '_', ' ') END || coalesce(j.hypertable_name::text, '') AS name,
       j.schedule_interval AS every,
       coalesce(s.job_status = 'Running', false) AS running,
       coalesce(r.finished_at, s.last_run_started_at + s.last_run_duration) AS finished_at,
       coalesce(r.took, s.last_run_duration) AS took,
       s.next_start,
       CASE WHEN r.job_id IS NOT NULL THEN r.error IS NOT NULL
            ELSE coalesce(s.last_run_status = 'Failed', false) END AS failed,
       coalesce(r.total, s.total_runs, 0) AS total,
       coalesce(r.total_failures, s.total_failures, 0) AS total_failures,
       CASE WHEN r.job_id IS NOT NULL THEN r.error
            WHEN s.last_run_status = 'Failed' THEN _hypertick.job_error(j.job_id) END AS error
FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
LEFT JOIN _hypertick.job_runs r ON r.job_id = j.job_id
-- Those below are TimescaleDB's own.
WHERE j.job_id >= 1000 AND j.scheduled
ORDER BY j.job_id;
COMMENT ON VIEW job_status IS 'The jobs in the database and the outcome of their last run.';
COMMENT ON COLUMN job_status.job_id IS 'See timescaledb_information.jobs.';
COMMENT ON COLUMN job_status.name IS 'What it does, to what.';
COMMENT ON COLUMN job_status.every IS 'How often it runs.';
COMMENT ON COLUMN job_status.running IS 'Whether it runs now.';
COMMENT ON COLUMN job_status.finished_at IS 'When its last run ended.';
COMMENT ON COLUMN job_status.took IS 'How long that took.';
COMMENT ON COLUMN job_status.next_start IS 'When it runs next.';
COMMENT ON COLUMN job_status.failed IS 'Whether the last run failed.';
COMMENT ON COLUMN job_status.total IS 'Number of runs.';
COMMENT ON COLUMN job_status.total_failures IS 'How many of them failed.';
COMMENT ON COLUMN job_status.error IS 'Why the last run failed. NULL: it did not.';
GRANT SELECT ON job_status TO hypertick_reader, hypertick_operator;

-- Where no scheduler runs, one backend runs all due jobs, one after the other.
CREATE FUNCTION _hypertick.job_rank(proc text, relation text) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    -- Before the candles that they change, to refresh those once.
    WHEN proc IN ('move_late_ticks', 'apply_tick_changes') THEN 0
    WHEN proc = 'policy_refresh_continuous_aggregate' AND relation LIKE 'candles%' THEN 1
    -- Right after the candles that they read.
    WHEN proc = 'evaluate_alerts' THEN 2
    ELSE 3
END;
COMMENT ON FUNCTION _hypertick.job_rank(text, text) IS
    'In which order jobs that are due together run; among equals the older job goes first.';
REVOKE EXECUTE ON FUNCTION _hypertick.job_rank(text, text) FROM PUBLIC;

-- Storage --------------------------------------------------------------------

-- What is newer than its watermark is computed by whoever reads the aggregate, so
-- a watermark that does not advance makes every read slower.
CREATE VIEW watermarks AS
SELECT c.user_view_schema::text AS schema, c.user_view_name::text AS relation,
       -- An aggregate that was never refreshed stands at the beginning of time.
       CASE WHEN w.at > 0 THEN _timescaledb_functions.to_timestamp(w.at) END AS watermark
FROM _timescaledb_catalog.continuous_agg c,
     LATERAL _timescaledb_functions.cagg_watermark(c.mat_hypertable_id) w(at)
ORDER BY c.mat_hypertable_id;
COMMENT ON VIEW watermarks IS 'How far each continuous aggregate is materialised.';
COMMENT ON COLUMN watermarks.schema IS 'Schema of the continuous aggregate.';
COMMENT ON COLUMN watermarks.relation IS 'Continuous aggregate: candles, or blocks of indicator states.';
COMMENT ON COLUMN watermarks.watermark IS 'End of what is materialised. NULL: nothing is.';
GRANT SELECT ON watermarks TO hypertick_reader, hypertick_writer, hypertick_operator;

-- Sizes are of hypertables. A continuous aggregate has one that nobody knows by
-- name, so it is shown under the aggregate's.
CREATE VIEW storage AS
SELECT h.schema, h.relation,
       (SELECT count(*) FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = h.hypertable_schema AND c.hypertable_name = h.hypertable_name) AS chunks,
       coalesce(s.compressed_chunks, 0) AS compressed_chunks, public.hypertable_size(r.hypertable) AS total_bytes,
       s.before_bytes, s.after_bytes
FROM (
    SELECT t.hypertable_schema::text AS schema, t.hypertable_name::text AS relation,
           t.hypertable_schema, t.hypertable_name
    FROM timescaledb_information.hypertables t
    UNION ALL
    SELECT c.view_schema::text, c.view_name::text,
           c.materialization_hypertable_schema, c.materialization_hypertable_name
    FROM timescaledb_information.continuous_aggregates c
) h
CROSS JOIN LATERAL (SELECT format('%I.%I', h.hypertable_schema, h.hypertable_name)::regclass AS hypertable) r
-- No row for a hypertable without a columnstore.
LEFT JOIN LATERAL public.hypertable_compression_stats(r.hypertable)
    s(chunks, compressed_chunks, before_table, before_index, before_toast, before_bytes,
      after_table, after_index, after_toast, after_bytes) ON true
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

-- Advice ---------------------------------------------------------------------

-- What a condition of a part means and what to do about it are data: the views
-- below name conditions, and compare with the limits that stand here.
CREATE TABLE pipeline_advice (
    component text   NOT NULL,
    condition text   NOT NULL,
    state     text   NOT NULL CHECK (state IN ('ok', 'warning', 'failed')),
    above     float8,
    action    text   NOT NULL,
    PRIMARY KEY (component, condition)
);
COMMENT ON TABLE pipeline_advice IS 'What the conditions of the pipeline mean. Limits may be changed with UPDATE.';
COMMENT ON COLUMN pipeline_advice.component IS 'See pipeline.component.';
COMMENT ON COLUMN pipeline_advice.condition IS 'Name of the condition.';
COMMENT ON COLUMN pipeline_advice.state IS 'State of a part in this condition.';
COMMENT ON COLUMN pipeline_advice.above IS
    'Limit: records of topic, seconds of the others. NULL: the condition has none.';
COMMENT ON COLUMN pipeline_advice.action IS 'What to do about it.';
GRANT SELECT ON pipeline_advice TO hypertick_reader, hypertick_writer, hypertick_operator;
INSERT INTO pipeline_advice (component, condition, state, above, action) VALUES
    ('broker', 'unknown', 'warning', NULL, 'Start an ingest: hypertick ingest.'),
    ('broker', 'unreachable', 'failed', NULL,
     'Start it, or check its address and credentials; producers and ingest retry by themselves.'),
    ('topic', 'backlog', 'warning', 10000,
     'Ingest works off a backlog. If it never ends: more workers, or more ingests.'),
    ('topic', 'stuck', 'failed', 30,
     'See the log of ingest. A partition that no ingest reads needs one more ingest or worker.'),
    ('topic', 'lost', 'warning', 86400,
     'Table lost_ranges shows them. Raise the retention of the topic, or ingest faster.'),
    ('topic', 'recreated', 'warning', 3600,
     'Nothing: ticks that are stored already are recognised. Table topic_changes shows which partitions.'),
    ('ingest', 'topic', 'failed', NULL,
     'Create the topic, or check the brokers and --topic; ingest reads it when it is there.'),
    ('ingest', 'none', 'failed', NULL, 'Start one: hypertick ingest.'),
    ('ingest', 'gone', 'failed', NULL, 'Start it: hypertick ingest resumes where it stopped.'),
    ('ingest', 'replaced', 'warning', NULL,
     'Start it: hypertick ingest resumes where it stopped. Others have taken its partitions.'),
    ('ingest', 'broker', 'failed', NULL, 'Check that the broker runs; ingest retries by itself.'),
    ('ingest', 'error', 'failed', NULL, 'See its log; it retries by itself.'),
    ('feed', 'silent', 'warning', 15,
     'Check that the feed produces into the topic, and that its market is open.'),
    ('dead letters', 'recent', 'warning', 3600, 'hypertick dlq list shows them and why.'),
    ('quality', 'findings', 'warning', 3600,
     'Table quality_findings, and the pipeline dashboard, show which; nothing was dropped.'),
    ('changes', 'behind', 'failed', 60, 'Check the job apply_tick_changes.'),
    ('changes', 'refused', 'warning', 86400, 'Table tick_changes shows them and why.'),
    ('candles', 'behind', 'warning', 300, 'Check the job that refreshes it; reads stay right, but take longer.'),
    ('blocks', 'behind', 'warning', 300, 'Check the job that refreshes it; reads stay right, but take longer.'),
    ('job', 'failed', 'failed', NULL,
     'It is retried by itself; see job_errors in timescaledb_information, or the log of the demo.'),
    ('job', 'late', 'warning', 180,
     'Check that timescaledb.max_background_workers is enough and that no other job holds it up.'),
    ('verify', 'drift', 'failed', NULL, 'hypertick verify shows them, and --repair computes them again.'),
    ('alerts', 'error', 'failed', NULL, 'See alert.runs for the rule: correct it or switch it off.'),
    ('alerts', 'behind', 'warning', 60, 'Check the job evaluate alerts.'),
    ('notify', 'gone', 'failed', NULL, 'Start it: hypertick notify sends what waits.'),
    ('notify', 'replaced', 'warning', NULL, 'Start it: hypertick notify sends what waits.'),
    ('notify', 'error', 'failed', NULL, 'See its log; it retries by itself.'),
    ('outbox', 'behind', 'warning', 60, 'Check that a notifier runs and reaches its channels.'),
    ('outbox', 'dead', 'warning', 86400, 'hypertick outbox list shows them and why.');

CREATE FUNCTION _hypertick.pipeline_limit(component text, condition text) RETURNS float8
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN (SELECT a.above FROM public.pipeline_advice a
        WHERE a.component = pipeline_limit.component AND a.condition = pipeline_limit.condition);
COMMENT ON FUNCTION _hypertick.pipeline_limit(text, text) IS 'The limit of a condition, see pipeline_advice.above.';

CREATE FUNCTION _hypertick.seconds_since(at timestamptz) RETURNS float8
LANGUAGE sql VOLATILE PARALLEL SAFE
RETURN extract(epoch FROM clock_timestamp() - at)::float8;
COMMENT ON FUNCTION _hypertick.seconds_since(timestamptz) IS 'Seconds from a time until now.';

REVOKE EXECUTE ON FUNCTION
    _hypertick.pipeline_limit(text, text), _hypertick.seconds_since(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.pipeline_limit(text, text), _hypertick.seconds_since(timestamptz)
TO hypertick_reader, hypertick_writer, hypertick_operator;

-- A value outside the constraints of ticks can be there only if somebody has
-- dropped one. It makes every refresh of its bucket fail, for all symbols.
CREATE FUNCTION bad_ticks("from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS TABLE (ts timestamptz, symbol text, venue text, seq bigint, price float8, size float8, problem text)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT t.ts, t.symbol, t.venue, t.seq, t.price, t.size,
           CASE WHEN NOT (t.price = 0 OR abs(t.price) BETWEEN 1e-15 AND 1e15) THEN 'price ' || t.price
                WHEN NOT (t.size = 0 OR t.size BETWEEN 1e-15 AND 1e15) THEN 'size ' || t.size
                ELSE 'symbol of ' || octet_length(t.symbol) || ' bytes' END
    FROM public.ticks t
    WHERE t.ts >= bad_ticks."from" AND t.ts < bad_ticks."to"
      AND NOT ((t.price = 0 OR abs(t.price) BETWEEN 1e-15 AND 1e15)
               AND (t.size = 0 OR t.size BETWEEN 1e-15 AND 1e15) AND octet_length(t.symbol) BETWEEN 1 AND 64)
    ORDER BY t.ts
$$;
COMMENT ON FUNCTION bad_ticks(timestamptz, timestamptz) IS
    'Ticks that the constraints of ticks would refuse. They make refreshes fail. It reads all ticks of the range.';
REVOKE EXECUTE ON FUNCTION bad_ticks(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bad_ticks(timestamptz, timestamptz)
TO hypertick_reader, hypertick_writer, hypertick_operator;

CREATE FUNCTION _hypertick.blame(job_error text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat('tick ', b.venue, ' ', b.symbol, ' seq ', b.seq, ' is out of bounds (', b.problem,
                  '); remove it: hypertick tick cancel ', quote_literal(b.symbol), ' --venue ', b.venue,
                  ' --seq ', b.seq)
    FROM public.bad_ticks(now() - INTERVAL '7 days') b
    -- Other errors are not worth reading a week of ticks.
    WHERE job_error ~* 'out of range|overflow|underflow|infinity|nan'
    LIMIT 1
$$;
COMMENT ON FUNCTION _hypertick.blame(text) IS
    'The tick of the last week that makes a job fail with an arithmetic error, and how to remove it. NULL: there is '
    'none.';
REVOKE EXECUTE ON FUNCTION _hypertick.blame(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.blame(text) TO hypertick_reader, hypertick_writer, hypertick_operator;

-- Parts ----------------------------------------------------------------------
-- Each view gives place and rank (where the part is listed), component, part,
-- condition (NULL: ok), seconds, detail and error.

CREATE VIEW _hypertick.pipeline_processes AS
WITH timed AS (
    SELECT h.component, h.instance, h.detail, h.error, _hypertick.seconds_since(h.sent_at) AS age,
           greatest(3 * extract(epoch FROM h.every), 3)::float8 AS patience
    FROM public.heartbeats h
), alive AS (
    SELECT t.component, t.instance, t.detail, t.error, t.age, t.age > t.patience AS gone,
           EXISTS (SELECT FROM timed o
                   WHERE o.component = t.component AND o.instance <> t.instance AND o.age <= o.patience) AS others
    FROM timed t
)
-- The database does not connect to the broker: ingest reports its state.
SELECT 15 AS place, 0::float8 AS rank, 'broker' AS component, '' AS part,
       CASE WHEN count(*) = 0 THEN 'unknown' WHEN bool_or(a.error LIKE 'broker%') THEN 'unreachable' END AS condition,
       NULL::float8 AS seconds,
       CASE WHEN count(*) = 0 THEN 'no ingest runs that could tell' ELSE 'as ingest sees it' END AS detail,
       min(a.error) FILTER (WHERE a.error LIKE 'broker%') AS error
FROM alive a WHERE a.component = 'ingest' AND NOT a.gone
UNION ALL
SELECT CASE a.component WHEN 'ingest' THEN 20 ELSE 70 END, 0, a.component, a.instance,
       CASE WHEN a.gone AND a.others THEN 'replaced' WHEN a.gone THEN 'gone'
            WHEN a.component = 'ingest' AND a.error LIKE 'broker%' THEN 'broker'
            WHEN a.component = 'ingest' AND a.error LIKE 'topic%' THEN 'topic'
            WHEN a.error IS NOT NULL THEN 'error' END,
       a.age, CASE WHEN a.gone THEN 'last heartbeat ' || round(a.age::numeric) || ' s ago' ELSE a.detail END, a.error
FROM alive a
-- One that stopped while others run is reported for ten minutes only.
WHERE NOT (a.gone AND a.age > 600 AND a.others)
UNION ALL
SELECT 20, 0, 'ingest', '', 'none', NULL, 'no ingest runs', NULL
WHERE NOT EXISTS (SELECT FROM alive a WHERE a.component = 'ingest')
UNION ALL
SELECT 70, 0, 'notify', '', NULL, NULL, 'no notifier runs', NULL
WHERE NOT EXISTS (SELECT FROM alive a WHERE a.component = 'notify');
COMMENT ON VIEW _hypertick.pipeline_processes IS 'Parts of pipeline: the broker, ingests and notifiers.';

CREATE VIEW _hypertick.pipeline_stream AS
WITH topics AS (
    SELECT o.topic, count(*) AS partitions, sum(o.next_offset) AS read,
           -- What the last batches saw, until ingest has listed the ends.
           coalesce(sum((
               SELECT x.behind FROM public.ingest_activity x
               WHERE x.topic = o.topic AND x.partition = o.partition AND x.minute > now() - INTERVAL '10 minutes'
               ORDER BY x.minute DESC LIMIT 1)), 0) AS behind
    FROM public.ingest_offsets o GROUP BY o.topic
), ends AS (
    SELECT l.topic, count(*) AS partitions, sum(l.lag) AS lag, coalesce(sum(l.next_offset), 0) AS read,
           max(l.listed_at) AS listed_at,
           (array_agg(l.partition ORDER BY l.waiting_since, l.partition) FILTER (WHERE l.lag > 0))[1] AS slowest,
           min(l.waiting_since) FILTER (WHERE l.lag > 0) AS waiting_since
    FROM public.topic_lag l GROUP BY l.topic
), states AS (
    SELECT coalesce(e.topic, t.topic) AS topic, coalesce(e.partitions, t.partitions) AS partitions,
           coalesce(e.read, t.read) AS read, coalesce(e.lag, t.behind) AS lag, e.slowest,
           -- Nobody lists them while no ingest runs, which is a failure of its own.
           CASE WHEN _hypertick.seconds_since(e.listed_at) < _hypertick.pipeline_limit('topic', 'stuck')
                THEN _hypertick.seconds_since(e.waiting_since) END AS waiting,
           (SELECT sum(r.to_offset - r.from_offset + 1) FROM public.lost_ranges r
            WHERE r.topic = coalesce(e.topic, t.topic)
              AND r.noticed_at > now() - make_interval(secs => _hypertick.pipeline_limit('topic', 'lost'))) AS lost,
           (SELECT (array_agg(c.reason ORDER BY c.noticed_at DESC))[1] FROM public.topic_changes c
            WHERE c.topic = coalesce(e.topic, t.topic)
              AND c.noticed_at > now() - make_interval(secs => _hypertick.pipeline_limit('topic', 'recreated')))
               AS changed
    FROM topics t FULL JOIN ends e ON e.topic = t.topic
)
SELECT 16 AS place, 0::float8 AS rank, 'topic' AS component, s.topic AS part,
       CASE WHEN s.waiting > _hypertick.pipeline_limit('topic', 'stuck') THEN 'stuck' WHEN s.lost > 0 THEN 'lost'
            WHEN s.changed IS NOT NULL THEN 'recreated'
            WHEN s.lag > _hypertick.pipeline_limit('topic', 'backlog') THEN 'backlog' END AS condition,
       NULL::float8 AS seconds,
       concat(s.partitions, ' partitions, ', s.read, ' records ingested, lag ', s.lag,
              CASE WHEN s.waiting > _hypertick.pipeline_limit('topic', 'stuck')
                   THEN concat('; partition ', s.slowest, ' has not advanced for ', round(s.waiting::numeric),
                               ' s') END,
              '; ' || s.lost || ' records were deleted before they were ingested',
              CASE s.changed WHEN 'recreated' THEN '; it was recreated, and is read from its start'
                   WHEN 'truncated' THEN '; the broker lost records, and it is read from its start' END) AS detail,
       NULL AS error
FROM states s
UNION ALL
-- No trade is no failure: markets close.
SELECT 30, 0, 'feed', '',
       CASE WHEN f.quiet < _hypertick.pipeline_limit('feed', 'silent') THEN NULL ELSE 'silent' END,
       greatest(_hypertick.seconds_since(f.newest), 0),
       CASE WHEN f.symbols = 0 THEN 'no tick yet'
            WHEN f.quiet < _hypertick.pipeline_limit('feed', 'silent') THEN concat(f.symbols, ' symbols')
            ELSE concat(f.symbols, ' symbols, nothing came for ', round(f.quiet::numeric), ' s') END, NULL
FROM (
    SELECT count(DISTINCT p.symbol) AS symbols, max(p.last_ts) AS newest,
           _hypertick.seconds_since(max(p.updated_at)) AS quiet
    FROM public.feed_positions p
) f
UNION ALL
SELECT 31, 0, 'dead letters', '', CASE WHEN d.recent > 0 THEN 'recent' END, NULL,
       CASE WHEN d.recent > 0 THEN concat(d.recent, ' records in the last hour could not be read')
            ELSE 'none in the last hour' END, NULL
FROM (
    SELECT coalesce(sum(x.dead_letters), 0) AS recent FROM public.ingest_activity x
    WHERE x.minute > now() - make_interval(secs => _hypertick.pipeline_limit('dead letters', 'recent'))
) d
UNION ALL
-- Listed only while there is something to say.
SELECT 33, 0, 'changes', '',
       CASE WHEN _hypertick.seconds_since(c.oldest) > _hypertick.pipeline_limit('changes', 'behind') THEN 'behind'
            WHEN c.refused > 0 THEN 'refused' END, NULL,
       concat_ws(', ', c.fresh || ' cancels and corrections are to be applied', c.waiting || ' wait for their ticks',
                 c.refused || ' were refused since yesterday'), NULL
FROM (
    SELECT nullif(count(*) FILTER (WHERE x.state = 'new'), 0) AS fresh,
           nullif(count(*) FILTER (WHERE x.state = 'waiting'), 0) AS waiting,
           min(x.asked_at) FILTER (WHERE x.state = 'new') AS oldest,
           (SELECT nullif(count(*), 0) FROM public.tick_changes r WHERE r.state = 'refused'
            AND r.state_at > now() - make_interval(secs => _hypertick.pipeline_limit('changes', 'refused'))) AS refused
    FROM public.tick_changes x WHERE x.state IN ('new', 'waiting')
) c
WHERE c.fresh > 0 OR c.waiting > 0 OR c.refused > 0
UNION ALL
SELECT 32, 0, 'quality', '', CASE WHEN q.n > 0 THEN 'findings' END, _hypertick.seconds_since(r.at),
       CASE WHEN q.n > 0 THEN q.kinds WHEN r.at IS NULL THEN 'ticks were not checked yet'
            ELSE 'the ticks of the last hour are as expected' END, q.newest
FROM (
    SELECT coalesce(sum(k.n), 0) AS n, string_agg(k.n || ' ' || k.kind, ', ' ORDER BY k.kind) AS kinds,
           (array_agg(k.newest ORDER BY k.seen_at DESC, k.kind))[1] AS newest
    FROM (
        SELECT f.kind, count(*) AS n, max(f.seen_at) AS seen_at,
               (array_agg(concat(f.kind, ' ', f.venue, ' ' || nullif(f.symbol, ''), ': ', f.detail)
                          ORDER BY f.seen_at DESC, f.symbol))[1] AS newest
        FROM public.quality_findings f
        -- Moments are reported for an hour, the rest until it ends.
        WHERE f.ended_at IS NULL
           OR f.kind IN ('gap', 'conflict', 'outlier')
              AND f.seen_at > now() - make_interval(secs => _hypertick.pipeline_limit('quality', 'findings'))
        GROUP BY f.kind
    ) k
) q LEFT JOIN public.quality_runs r ON true;
COMMENT ON VIEW _hypertick.pipeline_stream IS
    'Parts of pipeline: topics, feeds, dead letters and the quality of ticks.';

CREATE VIEW _hypertick.pipeline_database AS
SELECT 10 AS place, 0::float8 AS rank, 'database' AS component, '' AS part, NULL AS condition, NULL::float8 AS seconds,
       concat('PostgreSQL ', split_part(current_setting('server_version'), ' ', 1), ', TimescaleDB ',
              (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'timescaledb'), ', ',
              pg_size_pretty(pg_database_size(current_database()))) AS detail,
       NULL AS error
UNION ALL
SELECT m.place, extract(epoch FROM m.width)::float8, m.component, m."interval",
       CASE WHEN m.behind > _hypertick.pipeline_limit(m.component, 'behind') + extract(epoch FROM m.width)
            THEN 'behind' END,
       m.behind,
       CASE WHEN m.watermark IS NULL THEN 'not materialised yet'
            ELSE 'materialised up to ' || to_char(m.watermark AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') END, NULL
FROM (
    SELECT kind.place, kind.component, i."interval", w.watermark,
           CASE kind.component WHEN 'candles' THEN i.width ELSE i.block_width END AS width,
           CASE WHEN f.newest IS NULL THEN 0
                ELSE greatest(0, extract(epoch FROM
                         public.time_bucket(i.width, least(f.newest, clock_timestamp() - INTERVAL '1 minute'))
                         - coalesce(w.watermark, f.newest - INTERVAL '1 day'))) END::float8 AS behind
    FROM (VALUES (40, 'candles'), (41, 'blocks')) kind(place, component)
    CROSS JOIN public.intervals i
    CROSS JOIN (SELECT max(p.last_ts) AS newest FROM public.feed_positions p) f
    JOIN public.watermarks w ON w.relation = kind.component || '_' || i."interval"
    WHERE i.materialized
) m
UNION ALL
SELECT 50, 0, 'job', j.name, CASE WHEN j.failed THEN 'failed' WHEN j.late THEN 'late' END,
       _hypertick.seconds_since(j.finished_at),
       CASE WHEN j.failed AND j.blame IS NOT NULL THEN j.blame
            WHEN j.running THEN 'runs' WHEN j.late THEN 'did not start when it was due'
            WHEN j.finished_at IS NULL THEN 'has not run yet'
            ELSE concat('took ', round(extract(epoch FROM j.took)::numeric, 2), ' s') END,
       j.error
FROM (
    SELECT s.*, CASE WHEN s.failed THEN _hypertick.blame(s.error) END AS blame,
           NOT s.running AND s.next_start > '-infinity'
                AND _hypertick.seconds_since(s.next_start + s.every) > _hypertick.pipeline_limit('job', 'late') AS late
    FROM public.job_status s
) j
UNION ALL
SELECT 55, 0, 'verify', '', CASE WHEN d.wrong > 0 THEN 'drift' END, _hypertick.seconds_since(v.at),
       CASE WHEN d.wrong > 0 THEN d.wrong || ' buckets are not what they should be'
            WHEN v.at IS NULL THEN 'nothing was sampled yet'
            ELSE v.checked || ' buckets sampled in the last day, all right' END, d.which
FROM (SELECT count(*) AS wrong, min(x.relation || ' ' || x.symbol || ' ' || x.bucket) AS which
      FROM public.verify_drift x) d,
     (SELECT max(r.at) AS at, sum(r.checked) FILTER (WHERE r.at > now() - INTERVAL '1 day') AS checked
      FROM public.verify_runs r) v;
COMMENT ON VIEW _hypertick.pipeline_database IS
    'Parts of pipeline: the database, what it keeps materialised, its jobs.';

CREATE VIEW _hypertick.pipeline_alerts AS
SELECT 60 AS place, 0::float8 AS rank, 'alerts' AS component, '' AS part,
       CASE WHEN a.wrong > 0 THEN 'error'
            WHEN a.age > _hypertick.pipeline_limit('alerts', 'behind') THEN 'behind' END AS condition,
       a.age AS seconds, concat(a.rules, ' rules, ', a.firing, ' firing') AS detail, a.error
FROM (
    SELECT count(*) AS rules, count(r.error) AS wrong, min(u.name || ': ' || r.error) AS error,
           _hypertick.seconds_since(min(coalesce(r.finished_at, u.updated_at))) AS age,
           (SELECT count(*) FROM alert.events e WHERE e.state = 'firing') AS firing
    FROM alert.rules u LEFT JOIN alert.runs r ON r.rule_id = u.id
    WHERE u.enabled
) a
UNION ALL
SELECT 71, 0, 'outbox', '',
       CASE WHEN o.age > _hypertick.pipeline_limit('outbox', 'behind') THEN 'behind' WHEN o.dead > 0 THEN 'dead' END,
       o.age, concat(o.waiting, ' waiting, ', o.dead, ' given up in the last day'), o.error
FROM (
    SELECT count(*) FILTER (WHERE x.state = 'waiting') AS waiting,
           count(*) FILTER (WHERE x.state = 'dead' AND x.recent) AS dead,
           _hypertick.seconds_since(min(x.created_at) FILTER (WHERE x.state = 'waiting')) AS age,
           min(x.error) FILTER (WHERE x.state = 'waiting' OR x.recent) AS error
    FROM (SELECT b.*,
                 b.finished_at > now() - make_interval(secs => _hypertick.pipeline_limit('outbox', 'dead')) AS recent
          FROM alert.outbox b WHERE b.state <> 'sent') x
) o;
COMMENT ON VIEW _hypertick.pipeline_alerts IS 'Parts of pipeline: alert rules and notifications.';

CREATE VIEW pipeline AS
SELECT p.component, p.part, coalesce(a.state, 'ok') AS state, p.seconds, p.detail, p.error, a.action
FROM (
    SELECT * FROM _hypertick.pipeline_database
    UNION ALL SELECT * FROM _hypertick.pipeline_processes
    UNION ALL SELECT * FROM _hypertick.pipeline_stream
    UNION ALL SELECT * FROM _hypertick.pipeline_alerts
) p
LEFT JOIN pipeline_advice a ON a.component = p.component AND a.condition = p.condition
ORDER BY p.place, p.rank, p.part;
COMMENT ON VIEW pipeline IS
    'Every part of the pipeline that the database knows of. A process counts as failed three seconds after its last '
    'heartbeat.';
COMMENT ON COLUMN pipeline.component IS
    'database, broker, topic, ingest, feed, dead letters, quality, candles, blocks, job, verify, alerts, notify or '
    'outbox.';
COMMENT ON COLUMN pipeline.part IS 'Which one of them: an instance, an interval, a job. Empty where there is one.';
COMMENT ON COLUMN pipeline.state IS 'ok, warning or failed.';
COMMENT ON COLUMN pipeline.seconds IS 'Age of its last heartbeat, or how far it is behind.';
COMMENT ON COLUMN pipeline.detail IS 'A summary in words.';
COMMENT ON COLUMN pipeline.error IS 'Its last error, while it matters.';
COMMENT ON COLUMN pipeline.action IS 'What to do about it. NULL: nothing.';
GRANT SELECT ON
    pipeline, _hypertick.pipeline_processes, _hypertick.pipeline_stream,
    _hypertick.pipeline_database, _hypertick.pipeline_alerts
TO hypertick_reader, hypertick_operator;

-- Health rules ---------------------------------------------------------------

CREATE FUNCTION _hypertick.evaluate_health(rule alert.rules) RETURNS int
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A restart is no alert.
    patience CONSTANT interval := INTERVAL '10 seconds';
    began    CONSTANT timestamptz := clock_timestamp();
    n        int := 0;
    part     record;
    event    alert.events;
BEGIN
    FOR part IN
        SELECT coalesce(p.name, g.symbol) AS name, coalesce(p.failed, false) AS failed, p.seconds, p.message,
               g.since, o.bar AS open
        FROM (
            SELECT x.component || coalesce(':' || nullif(x.part, ''), '') AS name, x.state = 'failed' AS failed,
                   x.seconds,
                   concat_ws(': ', x.component || coalesce(' ' || nullif(x.part, ''), ''), x.detail, x.error)
                       AS message
            FROM public.pipeline x
        ) p
        FULL JOIN (SELECT k.symbol, k.since FROM alert.progress k WHERE k.rule_id = rule.id) g ON g.symbol = p.name
        LEFT JOIN LATERAL (
            SELECT v.bar FROM alert.events v
            WHERE v.rule_id = rule.id AND v.symbol = coalesce(p.name, g.symbol) AND v.state = 'firing'
            ORDER BY v.bar DESC LIMIT 1) o ON true
        WHERE _hypertick.matches(coalesce(p.name, g.symbol), rule.symbols) OR g.symbol IS NOT NULL
    LOOP
        n := n + 1;
        IF part.failed AND part.since IS NULL THEN
            INSERT INTO alert.progress (rule_id, symbol, since, upto) VALUES (rule.id, part.name, began, began);
        ELSIF part.failed AND part.open IS NULL AND began - part.since >= patience
              AND NOT EXISTS (
                  SELECT FROM alert.events v
                  WHERE v.rule_id = rule.id AND v.symbol = part.name AND v.bar + rule.cooldown > part.since) THEN
            INSERT INTO alert.events (rule_id, rule, severity, symbol, bar, value, message)
            VALUES (rule.id, rule.name, rule.severity, part.name, part.since, part.seconds, part.message)
            RETURNING * INTO event;
            PERFORM _hypertick.announce(rule, 'opened', ARRAY[event]);
        ELSIF NOT part.failed AND part.since IS NOT NULL THEN
            IF part.open IS NOT NULL THEN
                UPDATE alert.events v
                SET state = 'resolved', resolved = began, changed = clock_timestamp(),
                    change_id = nextval('alert.change_id')
                WHERE v.rule_id = rule.id AND v.symbol = part.name AND v.bar = part.open
                RETURNING v.* INTO event;
                IF rule.notify_resolved THEN
                    PERFORM _hypertick.announce(rule, 'resolved', ARRAY[event]);
                END IF;
            END IF;
            DELETE FROM alert.progress g WHERE g.rule_id = rule.id AND g.symbol = part.name;
        END IF;
    END LOOP;
    RETURN n;
END
$$;
COMMENT ON FUNCTION _hypertick.evaluate_health(alert.rules) IS
    'Evaluates a rule of condition fails: an event opens when a part of pipeline has failed for ten seconds, and '
    'ends when it works again or is gone.';
REVOKE EXECUTE ON FUNCTION _hypertick.evaluate_health(alert.rules) FROM PUBLIC;

INSERT INTO alert.rules (name, description, symbols, condition, cooldown, severity, notify_resolved) VALUES
    ('pipeline-failure', 'A part of the pipeline has failed.', '{*}', 'fails', '5 minutes', 'critical', true);

-- +goose Up
-- How every part of the pipeline is, as far as the database can know: one row
-- each, with what to do about it. hypertick status, GET /v1/pipeline, Grafana
-- and the rules of condition fails read the same rows.

-- What runs outside the database says every second that it does.
CREATE TABLE beats (
    component  text        NOT NULL,
    instance   text        NOT NULL,
    started_at timestamptz NOT NULL,
    beat_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    every      interval    NOT NULL,
    detail     text        NOT NULL DEFAULT '',
    error      text,
    PRIMARY KEY (component, instance)
) WITH (fillfactor = 50);
COMMENT ON TABLE beats IS 'Signs of life of the processes around the database. One that stops in order takes its row away.';
COMMENT ON COLUMN beats.component IS 'What it is: ingest or notify.';
COMMENT ON COLUMN beats.instance IS 'Which one.';
COMMENT ON COLUMN beats.started_at IS 'When it was started.';
COMMENT ON COLUMN beats.beat_at IS 'When it last gave a sign of life.';
COMMENT ON COLUMN beats.every IS 'How often it does.';
COMMENT ON COLUMN beats.detail IS 'What it is doing.';
COMMENT ON COLUMN beats.error IS 'What keeps it from working. NULL: nothing.';
GRANT SELECT ON beats TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON beats TO hypertick_writer, hypertick_operator;

-- What became of the jobs where TimescaleDB's scheduler does not run: it keeps its
-- own account of those that it starts itself.
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
-- +goose StatementBegin
CREATE FUNCTION _hypertick.job_error(job_id int) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT e.err_message FROM timescaledb_information.job_errors e WHERE e.job_id = job_error.job_id ORDER BY e.finish_time DESC LIMIT 1), 'failed')
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.job_error(int) IS 'Why a job of TimescaleDB''s scheduler last failed.';

CREATE VIEW job_status AS
SELECT j.job_id,
       CASE j.proc_name WHEN 'policy_refresh_continuous_aggregate' THEN 'refresh ' WHEN 'policy_compression' THEN 'columnstore '
            WHEN 'policy_retention' THEN 'retention ' ELSE pg_catalog.replace(j.proc_name::text, '_', ' ') END || coalesce(j.hypertable_name::text, '') AS name,
       j.schedule_interval AS every,
       coalesce(s.job_status = 'Running', false) AS running,
       coalesce(r.finished_at, s.last_run_started_at + s.last_run_duration) AS finished_at,
       coalesce(r.took, s.last_run_duration) AS took,
       s.next_start,
       CASE WHEN r.job_id IS NOT NULL THEN r.error IS NOT NULL ELSE coalesce(s.last_run_status = 'Failed', false) END AS failed,
       coalesce(r.total, s.total_runs, 0) AS total,
       coalesce(r.total_failures, s.total_failures, 0) AS total_failures,
       CASE WHEN r.job_id IS NOT NULL THEN r.error WHEN s.last_run_status = 'Failed' THEN _hypertick.job_error(j.job_id) END AS error
FROM timescaledb_information.jobs j
LEFT JOIN timescaledb_information.job_stats s ON s.job_id = j.job_id
LEFT JOIN _hypertick.job_runs r ON r.job_id = j.job_id
-- Those below are TimescaleDB's own.
WHERE j.job_id >= 1000 AND j.scheduled
ORDER BY j.job_id;
COMMENT ON VIEW job_status IS 'The jobs in the database and what became of their last run.';
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

CREATE VIEW pipeline AS
    WITH clock AS (
        SELECT pg_catalog.clock_timestamp() AS now
    ), feed AS (
        SELECT pg_catalog.count(DISTINCT f.symbol) AS symbols, pg_catalog.max(f.last_ts) AS newest, pg_catalog.max(f.updated_at) AS moved FROM public.feed_positions f
    ), alive AS (
        SELECT b.component, b.instance, b.detail, b.error, pg_catalog.date_part('epoch', c.now - b.beat_at) AS age,
               c.now - b.beat_at > greatest(3 * b.every, INTERVAL '3 seconds') AS gone,
               EXISTS (SELECT FROM public.beats o WHERE o.component = b.component AND o.instance <> b.instance
                       AND c.now - o.beat_at <= greatest(3 * o.every, INTERVAL '3 seconds')) AS others
        FROM public.beats b, clock c
    ), parts AS (
        SELECT 10 AS i, 0::float8 AS k, 'database' AS component, '' AS part, 'ok' AS state, NULL::float8 AS seconds,
               pg_catalog.concat('PostgreSQL ', pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1), ', TimescaleDB ',
                   (SELECT e.extversion FROM pg_catalog.pg_extension e WHERE e.extname = 'timescaledb'), ', ',
                   pg_catalog.pg_size_pretty(pg_catalog.pg_database_size(pg_catalog.current_database()))) AS detail, NULL AS error, NULL AS action
        UNION ALL
        -- The database does not speak to the broker: ingest tells it how it is.
        SELECT 15, 0, 'broker', '', CASE WHEN pg_catalog.count(*) = 0 THEN 'warning' WHEN pg_catalog.bool_or(a.error LIKE 'broker%') THEN 'failed' ELSE 'ok' END, NULL,
               CASE WHEN pg_catalog.count(*) = 0 THEN 'no ingest runs that could tell' ELSE 'as ingest sees it' END,
               pg_catalog.min(a.error) FILTER (WHERE a.error LIKE 'broker%'),
               CASE WHEN pg_catalog.count(*) = 0 THEN 'Start an ingest: hypertick ingest.' WHEN pg_catalog.bool_or(a.error LIKE 'broker%') THEN 'Start it, or look at its address and credentials; producers and ingest try again by themselves.' END
        FROM alive a WHERE a.component = 'ingest' AND NOT a.gone
        UNION ALL
        SELECT 16, 0, 'topic', t.topic, CASE WHEN t.behind > 10000 THEN 'warning' ELSE 'ok' END, NULL,
               pg_catalog.concat(t.partitions, ' partitions, ', t.read, ' records done with, ', t.behind, ' to do'), NULL,
               CASE WHEN t.behind > 10000 THEN 'Ingest works off a backlog. Where it never ends: more workers, or more ingests.' END
        FROM (SELECT o.topic, pg_catalog.count(*) AS partitions, pg_catalog.sum(o.next_offset) AS read,
                     coalesce(pg_catalog.sum((SELECT x.behind FROM public.ingest_activity x
                                              WHERE x.topic = o.topic AND x.partition = o.partition AND x.minute > c.now - INTERVAL '10 minutes'
                                              ORDER BY x.minute DESC LIMIT 1)), 0) AS behind
              FROM public.ingest_offsets o, clock c GROUP BY o.topic) t
        UNION ALL
        SELECT 20, 0, 'ingest', a.instance,
               CASE WHEN a.gone AND a.others THEN 'warning' WHEN a.gone OR a.error IS NOT NULL THEN 'failed' ELSE 'ok' END, a.age,
               CASE WHEN a.gone THEN 'gave its last sign of life ' || pg_catalog.round(a.age::numeric) || ' s ago' ELSE a.detail END, a.error,
               CASE WHEN a.gone THEN 'Start it: hypertick ingest goes on where it stopped.' || CASE WHEN a.others THEN ' Others have taken its partitions.' ELSE '' END
                    WHEN a.error LIKE 'broker%' THEN 'Look whether the broker runs; ingest tries again by itself.'
                    WHEN a.error IS NOT NULL THEN 'See its log; it tries again by itself.' END
        FROM alive a
        -- One that went while others work is news for a while only.
        WHERE a.component = 'ingest' AND NOT (a.gone AND a.age > 600 AND a.others)
        UNION ALL
        SELECT 20, 0, 'ingest', '', 'failed', NULL, 'no ingest runs', NULL, 'Start one: hypertick ingest.'
        WHERE NOT EXISTS (SELECT FROM alive a WHERE a.component = 'ingest')
        UNION ALL
        -- No trade is no failure: markets close.
        SELECT 30, 0, 'feed', '', CASE WHEN c.now - f.moved < INTERVAL '15 seconds' THEN 'ok' ELSE 'warning' END, greatest(pg_catalog.date_part('epoch', c.now - f.newest), 0),
               CASE WHEN f.symbols = 0 THEN 'no tick yet'
                    WHEN c.now - f.moved < INTERVAL '15 seconds' THEN pg_catalog.concat(f.symbols, ' symbols')
                    ELSE pg_catalog.concat(f.symbols, ' symbols, nothing came for ', pg_catalog.round(pg_catalog.date_part('epoch', c.now - f.moved)::numeric), ' s') END, NULL,
               CASE WHEN c.now - f.moved < INTERVAL '15 seconds' THEN NULL ELSE 'Look whether the feed produces into the topic, and whether its market is open.' END
        FROM feed f, clock c
        UNION ALL
        SELECT 31, 0, 'dead letters', '', CASE WHEN d.recent > 0 THEN 'warning' ELSE 'ok' END, NULL,
               CASE WHEN d.recent > 0 THEN pg_catalog.concat(d.recent, ' records in the last hour could not be read') ELSE 'none in the last hour' END, NULL,
               CASE WHEN d.recent > 0 THEN 'hypertick dlq list shows them and why.' END
        FROM (SELECT coalesce(pg_catalog.sum(x.dead_letters), 0) AS recent FROM public.ingest_activity x, clock c WHERE x.minute > c.now - INTERVAL '1 hour') d
        UNION ALL
        SELECT 32, 0, 'quality', '', CASE WHEN q.n > 0 THEN 'warning' ELSE 'ok' END, pg_catalog.date_part('epoch', c.now - r.at),
               CASE WHEN q.n > 0 THEN q.kinds WHEN r.at IS NULL THEN 'ticks were not checked yet' ELSE 'the ticks of the last hour are as expected' END, q.newest,
               CASE WHEN q.n > 0 THEN 'Table quality_findings, and the pipeline dashboard, show which; nothing was dropped.' END
        FROM clock c CROSS JOIN (
            SELECT coalesce(pg_catalog.sum(k.n), 0) AS n, pg_catalog.string_agg(k.n || ' ' || k.kind, ', ' ORDER BY k.kind) AS kinds,
                   (pg_catalog.array_agg(k.newest ORDER BY k.seen_at DESC, k.kind))[1] AS newest
            FROM (
                SELECT f.kind, pg_catalog.count(*) AS n, pg_catalog.max(f.seen_at) AS seen_at,
                       (pg_catalog.array_agg(pg_catalog.concat(f.kind, ' ', f.venue, ' ' || nullif(f.symbol, ''), ': ', f.detail) ORDER BY f.seen_at DESC, f.symbol))[1] AS newest
                FROM public.quality_findings f
                -- Moments are news for an hour, what lasts until it is over.
                WHERE f.ended_at IS NULL OR f.kind IN ('gap', 'outlier') AND f.seen_at > pg_catalog.now() - INTERVAL '1 hour'
                GROUP BY f.kind) k
        ) q LEFT JOIN public.quality_runs r ON true
        UNION ALL
        SELECT 40 + n.i, w.width, n.component, w.span_name, CASE WHEN w.behind > 300 + w.width THEN 'warning' ELSE 'ok' END, w.behind,
               CASE WHEN w.watermark IS NULL THEN 'not materialised yet' ELSE 'materialised up to ' || pg_catalog.to_char(w.watermark AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') END, NULL,
               CASE WHEN w.behind > 300 + w.width THEN 'Look at the job that refreshes it; reads stay right, but take longer.' END
        FROM (VALUES (0, 'candles'), (1, 'blocks')) n(i, component)
        CROSS JOIN LATERAL (
            SELECT i."interval" AS span_name, m.watermark,
                   pg_catalog.date_part('epoch', CASE n.component WHEN 'candles' THEN i.span ELSE _hypertick.block_width(i."interval") END) AS width,
                   CASE WHEN f.symbols = 0 THEN 0
                        ELSE greatest(0, pg_catalog.date_part('epoch', public.time_bucket(i.span, least(f.newest, c.now - INTERVAL '1 minute')) - coalesce(m.watermark, f.newest - INTERVAL '1 day'))) END AS behind
            FROM public.intervals i, feed f, clock c, public.watermarks m
            WHERE m.relation = n.component || '_' || i."interval"
        ) w
        UNION ALL
        SELECT 50, 0, 'job', j.name, CASE WHEN j.failed THEN 'failed' WHEN j.late THEN 'warning' ELSE 'ok' END,
               pg_catalog.date_part('epoch', c.now - j.finished_at),
               CASE WHEN j.running THEN 'runs' WHEN j.late THEN 'did not start when it was due' WHEN j.finished_at IS NULL THEN 'has not run yet'
                    ELSE pg_catalog.concat('took ', pg_catalog.round(pg_catalog.date_part('epoch', j.took)::numeric, 2), ' s') END,
               j.error,
               CASE WHEN j.failed THEN 'It is tried again by itself; see job_errors in timescaledb_information, or the log of the demo.'
                    WHEN j.late THEN 'Look whether timescaledb.max_background_workers is enough and another job holds it up.' END
        FROM clock c, (SELECT s.*, NOT s.running AND s.next_start > '-infinity' AND k.now - s.next_start > INTERVAL '3 minutes' + s.every AS late FROM public.job_status s, clock k) j
        UNION ALL
        SELECT 55, 0, 'audit', '', CASE WHEN w.wrong > 0 THEN 'failed' ELSE 'ok' END, pg_catalog.date_part('epoch', c.now - a.at),
               CASE WHEN w.wrong > 0 THEN w.wrong || ' buckets are not what they should be'
                    WHEN a.at IS NULL THEN 'nothing was sampled yet' ELSE a.checked || ' buckets sampled in the last day, all sound' END, w.which,
               CASE WHEN w.wrong > 0 THEN 'hypertick verify shows them, and --repair computes them again.' END
        FROM clock c, (SELECT pg_catalog.count(*) AS wrong, pg_catalog.min(d.relation || ' ' || d.symbol || ' ' || d.bucket) AS which FROM public.audit_drift d) w,
             (SELECT pg_catalog.max(r.at) AS at, pg_catalog.sum(r.checked) FILTER (WHERE r.at > pg_catalog.now() - INTERVAL '1 day') AS checked FROM public.audit_runs r) a
        UNION ALL
        SELECT 60, 0, 'alerts', '', CASE WHEN a.wrong > 0 THEN 'failed' WHEN a.age > 60 THEN 'warning' ELSE 'ok' END, a.age,
               pg_catalog.concat(a.rules, ' rules, ', a.firing, ' firing'), a.error,
               CASE WHEN a.wrong > 0 THEN 'See alert.runs for the rule: correct it or switch it off.' WHEN a.age > 60 THEN 'Look at job evaluate alerts.' END
        FROM (
            SELECT pg_catalog.count(*) AS rules, pg_catalog.count(r.error) AS wrong, pg_catalog.min(u.name || ': ' || r.error) AS error,
                   pg_catalog.date_part('epoch', pg_catalog.max(c.now) - pg_catalog.min(coalesce(r.finished_at, u.updated_at))) AS age,
                   (SELECT pg_catalog.count(*) FROM alert.events e WHERE e.state = 'firing') AS firing
            FROM alert.rules u LEFT JOIN alert.runs r ON r.rule_id = u.id CROSS JOIN clock c
            WHERE u.enabled
        ) a
        UNION ALL
        SELECT 70, 0, 'notify', a.instance, CASE WHEN a.gone AND a.others THEN 'warning' WHEN a.gone OR a.error IS NOT NULL THEN 'failed' ELSE 'ok' END, a.age,
               CASE WHEN a.gone THEN 'gave its last sign of life ' || pg_catalog.round(a.age::numeric) || ' s ago' ELSE a.detail END, a.error,
               CASE WHEN a.gone THEN 'Start it: hypertick notify sends what waits.' WHEN a.error IS NOT NULL THEN 'See its log; it tries again by itself.' END
        FROM alive a
        WHERE a.component = 'notify' AND NOT (a.gone AND a.age > 600 AND a.others)
        UNION ALL
        SELECT 70, 0, 'notify', '', 'ok', NULL, 'no notifier runs', NULL, NULL
        WHERE NOT EXISTS (SELECT FROM alive a WHERE a.component = 'notify')
        UNION ALL
        SELECT 71, 0, 'outbox', '', CASE WHEN o.dead > 0 OR o.age > 60 THEN 'warning' ELSE 'ok' END, o.age,
               pg_catalog.concat(o.waiting, ' waiting, ', o.dead, ' given up in the last day'), o.error,
               CASE WHEN o.age > 60 THEN 'Look whether a notifier runs and reaches its channels.' WHEN o.dead > 0 THEN 'hypertick outbox list shows them and why.' END
        FROM (SELECT pg_catalog.count(*) FILTER (WHERE x.state = 'waiting') AS waiting,
                     pg_catalog.count(*) FILTER (WHERE x.state = 'dead' AND x.finished_at > c.now - INTERVAL '1 day') AS dead,
                     pg_catalog.date_part('epoch', pg_catalog.max(c.now - x.created_at) FILTER (WHERE x.state = 'waiting')) AS age,
                     pg_catalog.min(x.error) FILTER (WHERE x.state = 'waiting' OR x.finished_at > c.now - INTERVAL '1 day') AS error
              FROM clock c LEFT JOIN alert.outbox x ON x.state <> 'sent') o
    )
    SELECT p.component, p.part, p.state, p.seconds, p.detail, p.error, p.action FROM parts p
    ORDER BY p.i, p.k, p.part;
COMMENT ON VIEW pipeline IS 'Every part of the pipeline that the database knows of. A process counts as failed three seconds after its last sign of life.';
COMMENT ON COLUMN pipeline.component IS 'database, broker, topic, ingest, feed, dead letters, quality, candles, blocks, job, audit, alerts, notify or outbox.';
COMMENT ON COLUMN pipeline.part IS 'Which one of them: an instance, an interval, a job. Empty where there is one.';
COMMENT ON COLUMN pipeline.state IS 'ok, warning or failed.';
COMMENT ON COLUMN pipeline.seconds IS 'How old its last sign of life is, or how far it is behind.';
COMMENT ON COLUMN pipeline.detail IS 'What there is to say of it.';
COMMENT ON COLUMN pipeline.error IS 'Its last error, while it matters.';
COMMENT ON COLUMN pipeline.action IS 'What to do about it. NULL: nothing.';
GRANT SELECT ON pipeline TO hypertick_reader, hypertick_operator;

-- A part fails an alert when it has failed for some seconds: a restart is none.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.evaluate_health(rule alert.rules) RETURNS int
LANGUAGE plpgsql AS $$
DECLARE
    patience CONSTANT interval := INTERVAL '10 seconds';
    began    CONSTANT timestamptz := pg_catalog.clock_timestamp();
    n        int := 0;
    s        record;
    e        alert.events;
BEGIN
    FOR s IN
        SELECT coalesce(p.name, g.symbol) AS name, coalesce(p.failed, false) AS failed, p.seconds, p.message, g.since, o.bar AS open
        FROM (
            SELECT x.component || coalesce(':' || nullif(x.part, ''), '') AS name, x.state = 'failed' AS failed, x.seconds,
                   pg_catalog.concat_ws(': ', x.component || coalesce(' ' || nullif(x.part, ''), ''), x.detail, x.error) AS message
            FROM public.pipeline x
        ) p
        FULL JOIN (SELECT k.symbol, k.since FROM alert.progress k WHERE k.rule_id = rule.id) g ON g.symbol = p.name
        LEFT JOIN LATERAL (SELECT v.bar FROM alert.events v WHERE v.rule_id = rule.id AND v.symbol = coalesce(p.name, g.symbol) AND v.state = 'firing'
                           ORDER BY v.bar DESC LIMIT 1) o ON true
        WHERE _hypertick.matches(coalesce(p.name, g.symbol), rule.symbols) OR g.symbol IS NOT NULL
    LOOP
        n := n + 1;
        IF s.failed AND s.since IS NULL THEN
            INSERT INTO alert.progress (rule_id, symbol, since, upto) VALUES (rule.id, s.name, began, began);
        ELSIF s.failed AND s.open IS NULL AND began - s.since >= patience
              AND NOT EXISTS (SELECT FROM alert.events v WHERE v.rule_id = rule.id AND v.symbol = s.name AND v.bar + rule.cooldown > s.since) THEN
            INSERT INTO alert.events (rule_id, rule, severity, symbol, bar, value, message)
            VALUES (rule.id, rule.name, rule.severity, s.name, s.since, s.seconds, s.message) RETURNING * INTO e;
            PERFORM _hypertick.announce(rule, 'opened', ARRAY[e]);
        ELSIF NOT s.failed AND s.since IS NOT NULL THEN
            IF s.open IS NOT NULL THEN
                UPDATE alert.events v SET state = 'resolved', resolved = began, changed = pg_catalog.clock_timestamp(), change_id = pg_catalog.nextval('alert.change_id')
                WHERE v.rule_id = rule.id AND v.symbol = s.name AND v.bar = s.open RETURNING v.* INTO e;
                IF rule.notify_resolved THEN
                    PERFORM _hypertick.announce(rule, 'resolved', ARRAY[e]);
                END IF;
            END IF;
            DELETE FROM alert.progress g WHERE g.rule_id = rule.id AND g.symbol = s.name;
        END IF;
    END LOOP;
    RETURN n;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.evaluate_health(alert.rules) IS 'Evaluates a rule of condition fails: an event opens when a part of pipeline has failed for ten seconds, and ends when it works again or is gone.';

INSERT INTO alert.rules (name, description, symbols, condition, cooldown, severity, notify_resolved) VALUES
('pipeline-failure', 'A part of the pipeline has failed.', '{*}', 'fails', '5 minutes', 'critical', true);

REVOKE EXECUTE ON FUNCTION _hypertick.job_error(int), _hypertick.evaluate_health(alert.rules) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.job_error(int) TO hypertick_reader, hypertick_operator;
GRANT EXECUTE ON FUNCTION _hypertick.block_width(text) TO hypertick_operator;

-- +goose Down
DELETE FROM alert.rules WHERE condition = 'fails';
DROP FUNCTION _hypertick.evaluate_health(alert.rules);
REVOKE EXECUTE ON FUNCTION _hypertick.block_width(text) FROM hypertick_operator;
DROP VIEW pipeline;
DROP VIEW job_status;
DROP FUNCTION _hypertick.job_error(int);
DROP TABLE _hypertick.job_runs;
DROP TABLE beats;

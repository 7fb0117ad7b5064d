-- +goose Up
-- Retention, off until hypertick retention or set_retention() turns it on.
--
-- The trap: where raw ticks have been dropped, one late tick would make the
-- refresh rebuild a whole candle from that tick alone. So a refresh window
-- never reaches past a horizon: it starts where both the candles and what they
-- are built from are still whole. When retention is loosened again, what was
-- dropped stays dropped, so each level remembers its floor: the newest horizon
-- it ever had.
CREATE TABLE _hypertick.retention (
    level      int         PRIMARY KEY,
    relation   text        NOT NULL UNIQUE,
    drop_after interval    CHECK (drop_after >= INTERVAL '1 day'),
    floor      timestamptz
);
COMMENT ON TABLE _hypertick.retention IS 'How long each relation keeps its rows, from ticks upwards.';
COMMENT ON COLUMN _hypertick.retention.level IS '0 is ticks; each relation is built from the level below.';
COMMENT ON COLUMN _hypertick.retention.relation IS 'Hypertable or continuous aggregate in public.';
COMMENT ON COLUMN _hypertick.retention.drop_after IS 'Age at which rows go. NULL: never.';
COMMENT ON COLUMN _hypertick.retention.floor IS 'Rows before this may have been dropped already, whatever drop_after says now.';
GRANT SELECT ON _hypertick.retention TO hypertick_reader, hypertick_writer;
INSERT INTO _hypertick.retention (level, relation) VALUES
    (0, 'ticks'), (1, 'candles_1m'), (2, 'candles_5m'), (3, 'candles_15m'), (4, 'candles_1h'), (5, 'candles_1d');

-- A view, because more than one reader needs the same arithmetic.
CREATE VIEW retention AS
SELECT r.relation, r.drop_after, greatest(r.floor, pg_catalog.now() - r.drop_after) AS horizon
FROM _hypertick.retention r
ORDER BY r.level;
COMMENT ON VIEW retention IS 'How long each relation keeps its rows. Change it with set_retention().';
COMMENT ON COLUMN retention.relation IS 'Hypertable or continuous aggregate.';
COMMENT ON COLUMN retention.drop_after IS 'Age at which rows go. NULL: never.';
COMMENT ON COLUMN retention.horizon IS 'Everything from this time on is still there. NULL: nothing was ever dropped.';
GRANT SELECT ON retention TO hypertick_reader, hypertick_writer;

CREATE OR REPLACE FUNCTION tick_horizon() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT pg_catalog.max(r.horizon) FROM public.retention r WHERE r.relation IN ('ticks', 'candles_1m'));

-- Brings the jobs in line with the table. Safe to run at any time.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.apply_retention() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    l record;
BEGIN
    FOR l IN
        SELECT r.relation, r.drop_after, r.level,
               -- What a refresh may touch: nothing older than its own rows or its source's.
               (SELECT pg_catalog.max(greatest(b.floor, pg_catalog.now() - b.drop_after))
                FROM _hypertick.retention b WHERE b.level IN (r.level, r.level - 1)) AS horizon
        FROM _hypertick.retention r
        ORDER BY r.level
    LOOP
        PERFORM public.remove_retention_policy(pg_catalog.format('public.%I', l.relation)::regclass, if_exists => true);
        IF l.drop_after IS NOT NULL THEN
            PERFORM public.add_retention_policy(pg_catalog.format('public.%I', l.relation)::regclass, l.drop_after,
                schedule_interval => INTERVAL '1 hour');
        END IF;
        PERFORM public.alter_job(j.job_id, config => j.config || pg_catalog.jsonb_build_object(
                    'start_offset', (pg_catalog.now() - l.horizon)::text))
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_refresh_continuous_aggregate' AND j.hypertable_name = l.relation
          AND j.config -> 'start_offset' IS DISTINCT FROM pg_catalog.to_jsonb((pg_catalog.now() - l.horizon)::text);
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.apply_retention() IS 'Sets retention policies and refresh windows from _hypertick.retention.';
REVOKE EXECUTE ON FUNCTION _hypertick.apply_retention() FROM PUBLIC;

-- +goose StatementBegin
CREATE FUNCTION set_retention(relation text, drop_after interval) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    bad record;
BEGIN
    IF drop_after < INTERVAL '1 day' THEN
        RAISE EXCEPTION '%: want at least 1 day, got %', set_retention.relation, drop_after USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE _hypertick.retention r
    SET drop_after = set_retention.drop_after,
        -- Dropped rows do not come back when the age is raised.
        floor = greatest(r.floor, pg_catalog.now() - r.drop_after, pg_catalog.now() - set_retention.drop_after)
    WHERE r.relation = set_retention.relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation: want one of ticks, candles_1m, candles_5m, candles_15m, candles_1h, candles_1d, got %',
            pg_catalog.quote_nullable(set_retention.relation) USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM _hypertick.apply_retention();
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION set_retention(text, interval) IS 'Keeps the rows of ticks or of one level of candles for the given age, at least 1 day; NULL keeps them for ever.';
REVOKE EXECUTE ON FUNCTION set_retention(text, interval) FROM PUBLIC;

-- A start_offset is an age, a floor is a point in time: while a floor holds,
-- the offset must grow with the clock, and this job makes it.
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.follow_retention(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM _hypertick.retention WHERE floor > pg_catalog.now() - coalesce(drop_after, INTERVAL '1000 years')) THEN
        PERFORM _hypertick.apply_retention();
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.follow_retention(int, jsonb) IS 'Job: lets refresh windows grow again after retention was loosened.';
REVOKE EXECUTE ON PROCEDURE _hypertick.follow_retention(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.follow_retention', INTERVAL '1 hour', fixed_schedule => false);

-- +goose Down
SELECT set_retention(relation, NULL) FROM _hypertick.retention;
SELECT alter_job(job_id, config => config || '{"start_offset": null}')
FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' AND config ->> 'start_offset' IS NOT NULL;
SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = '_hypertick' AND proc_name = 'follow_retention';
DROP PROCEDURE _hypertick.follow_retention(int, jsonb);
DROP FUNCTION set_retention(text, interval);
DROP FUNCTION _hypertick.apply_retention();
CREATE OR REPLACE FUNCTION tick_horizon() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN NULL::timestamptz;
DROP VIEW retention;
DROP TABLE _hypertick.retention;

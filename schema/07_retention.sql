-- Retention, off until hypertick retention or set_retention() turns it on.
--
-- The trap: where raw ticks have been dropped, one late tick would make the
-- refresh rebuild a whole candle from that tick alone. So a refresh window never
-- reaches past a horizon: it starts where both the candles and what they are
-- built from are still whole. When retention is loosened again, what was dropped
-- stays dropped, so each relation remembers its floor: the newest horizon it
-- ever had.
CREATE TABLE _hypertick.retention (
    relation   text        PRIMARY KEY,
    "interval" text        UNIQUE REFERENCES intervals,
    drop_after interval    CHECK (drop_after >= INTERVAL '1 day'),
    floor      timestamptz
);
COMMENT ON TABLE _hypertick.retention IS 'How long ticks and each materialised interval keep their rows.';
COMMENT ON COLUMN _hypertick.retention.relation IS 'Hypertable or continuous aggregate in public.';
COMMENT ON COLUMN _hypertick.retention."interval" IS 'Interval of the candles. NULL: ticks.';
COMMENT ON COLUMN _hypertick.retention.drop_after IS 'Age at which rows go. NULL: never.';
COMMENT ON COLUMN _hypertick.retention.floor IS
    'Rows before this may have been dropped already, whatever drop_after says now.';
GRANT SELECT ON _hypertick.retention TO hypertick_reader, hypertick_writer;
INSERT INTO _hypertick.retention (relation) VALUES ('ticks');

-- A view, because more than one reader needs the same arithmetic.
CREATE VIEW retention AS
SELECT r.relation, r.drop_after, greatest(r.floor, now() - r.drop_after) AS horizon,
       CASE WHEN r."interval" IS NOT NULL THEN coalesce('candles_' || i.source, 'ticks') END AS source
FROM _hypertick.retention r LEFT JOIN intervals i ON i."interval" = r."interval"
ORDER BY i.width NULLS FIRST;
COMMENT ON VIEW retention IS 'How long each relation keeps its rows. Change it with set_retention().';
COMMENT ON COLUMN retention.relation IS 'Hypertable or continuous aggregate.';
COMMENT ON COLUMN retention.drop_after IS 'Age at which rows go. NULL: never.';
COMMENT ON COLUMN retention.horizon IS 'Everything from this time on is still there. NULL: nothing was ever dropped.';
COMMENT ON COLUMN retention.source IS 'What its rows are built from. NULL: they come from the feeds.';
GRANT SELECT ON retention TO hypertick_reader, hypertick_writer;

-- Older ticks fall behind the retention of ticks or of the candles built from
-- them, and a candle there could only be rebuilt from what is left of it.
CREATE FUNCTION tick_horizon() RETURNS timestamptz
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT max(r.horizon) FROM public.retention r WHERE r.relation = 'ticks' OR r.source = 'ticks');
COMMENT ON FUNCTION tick_horizon() IS
    'Ticks older than this are refused, for retention has reached them. NULL: none are.';
REVOKE EXECUTE ON FUNCTION tick_horizon() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION tick_horizon() TO hypertick_reader, hypertick_writer;

-- Brings the jobs in line with the table. Safe to run at any time. A refresh
-- never reaches a block whose candles are no longer whole, and blocks outlive
-- their candles by 60 blocks, which the EMA 200 of the oldest bars still needs.
CREATE FUNCTION _hypertick.apply_retention() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
-- No notice about a policy that is not there.
SET client_min_messages = warning
AS $$
DECLARE
    kept record;
BEGIN
    FOR kept IN
        SELECT 'public' AS schema, r.relation, format('public.%I', r.relation) AS name, r.drop_after,
               -- A refresh may touch nothing older than its own rows or its source's.
               greatest(r.horizon, s.horizon) AS horizon
        FROM public.retention r LEFT JOIN public.retention s ON s.relation = r.source
        UNION ALL
        SELECT '_hypertick', 'blocks_' || i."interval", format('_hypertick.%I', 'blocks_' || i."interval"),
               r.drop_after + 60 * i.block_width, r.horizon
        FROM public.intervals i JOIN public.retention r ON r.relation = 'candles_' || i."interval"
        WHERE i.materialized
    LOOP
        PERFORM public.remove_retention_policy(kept.name::regclass, if_exists => true);
        IF kept.drop_after IS NOT NULL THEN
            PERFORM public.add_retention_policy(kept.name::regclass, kept.drop_after,
                schedule_interval => INTERVAL '1 hour');
        END IF;
        PERFORM public.alter_job(j.job_id,
                    config => j.config || jsonb_build_object('start_offset', (now() - kept.horizon)::text))
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_refresh_continuous_aggregate'
          AND j.hypertable_schema = kept.schema AND j.hypertable_name = kept.relation
          AND j.config -> 'start_offset' IS DISTINCT FROM to_jsonb((now() - kept.horizon)::text);
    END LOOP;
END
$$;
COMMENT ON FUNCTION _hypertick.apply_retention() IS
    'Sets retention policies and refresh windows from _hypertick.retention.';
REVOKE EXECUTE ON FUNCTION _hypertick.apply_retention() FROM PUBLIC;

CREATE FUNCTION set_retention(relation text, drop_after interval) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF drop_after < INTERVAL '1 day' THEN
        RAISE EXCEPTION '%: want at least 1 day, got %', set_retention.relation, drop_after
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE _hypertick.retention r
    SET drop_after = set_retention.drop_after,
        -- Dropped rows do not come back when the age is raised.
        floor = greatest(r.floor, now() - r.drop_after, now() - set_retention.drop_after)
    WHERE r.relation = set_retention.relation;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'relation: want one of %, got %',
            (SELECT string_agg(r.relation, ', ') FROM public.retention r),
            coalesce(quote_literal(set_retention.relation), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM _hypertick.apply_retention();
END
$$;
COMMENT ON FUNCTION set_retention(text, interval) IS
    'Keeps the rows of ticks, or of the candles of one interval, for the given age, at least 1 day; NULL keeps them '
    'for ever.';
REVOKE EXECUTE ON FUNCTION set_retention(text, interval) FROM PUBLIC;

-- A start_offset is an age, a floor is a point in time: while a floor holds, the
-- offset must grow with the clock, and this job makes it.
CREATE PROCEDURE _hypertick.follow_retention(job_id int, config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM _hypertick.retention r
               WHERE r.floor > now() - coalesce(r.drop_after, INTERVAL '1000 years')) THEN
        PERFORM _hypertick.apply_retention();
    END IF;
END
$$;
COMMENT ON PROCEDURE _hypertick.follow_retention(int, jsonb) IS
    'Job: lets refresh windows grow again after retention was loosened.';
REVOKE EXECUTE ON PROCEDURE _hypertick.follow_retention(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.follow_retention', INTERVAL '1 hour', fixed_schedule => false);

-- +goose Up
-- The audit as a job: some days of some symbols, drawn at random, so that in time
-- everything is looked at again.
CREATE TABLE audit_runs (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    took    interval    NOT NULL,
    samples int         NOT NULL,
    checked bigint      NOT NULL,
    drift   bigint      NOT NULL
);
CREATE INDEX audit_runs_at_idx ON audit_runs (at);
COMMENT ON TABLE audit_runs IS 'Runs of the job that audits samples. Kept for 30 days.';
COMMENT ON COLUMN audit_runs.id IS 'Number of the run.';
COMMENT ON COLUMN audit_runs.at IS 'When it ended.';
COMMENT ON COLUMN audit_runs.took IS 'How long it took.';
COMMENT ON COLUMN audit_runs.samples IS 'Days of a symbol that were looked at.';
COMMENT ON COLUMN audit_runs.checked IS 'Candles and blocks that were computed again.';
COMMENT ON COLUMN audit_runs.drift IS 'How many of them are not what they should be.';
COMMENT ON INDEX audit_runs_at_idx IS 'Finds the newest, and what can go.';
GRANT SELECT ON audit_runs TO hypertick_reader;

CREATE TABLE audit_drift (
    relation text             NOT NULL,
    symbol   text COLLATE "C" NOT NULL,
    bucket   timestamptz      NOT NULL,
    stored   jsonb,
    expected jsonb,
    found_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, symbol, bucket)
);
COMMENT ON TABLE audit_drift IS 'Buckets that samples found to be wrong. A row goes when a later sample, or a repair, finds its bucket sound.';
COMMENT ON COLUMN audit_drift.relation IS 'Candles or blocks.';
COMMENT ON COLUMN audit_drift.symbol IS 'Symbol.';
COMMENT ON COLUMN audit_drift.bucket IS 'Start of the bucket.';
COMMENT ON COLUMN audit_drift.stored IS 'What is stored, of what differs. NULL: nothing is.';
COMMENT ON COLUMN audit_drift.expected IS 'What should be. NULL: nothing.';
COMMENT ON COLUMN audit_drift.found_at IS 'When it was last seen.';
GRANT SELECT ON audit_drift TO hypertick_reader;

-- +goose StatementBegin
CREATE PROCEDURE _hypertick.audit_sample(job_id int, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    samples CONSTANT int := coalesce((config ->> 'samples')::int, 20);
    keep    CONSTANT interval := coalesce(config ->> 'keep', '30 days')::interval;
    -- Without a scheduler one backend serves all.
    budget  CONSTANT interval := coalesce((config ->> 'budget')::interval,
        CASE WHEN _hypertick.has_scheduler() THEN INTERVAL '1 minute' ELSE INTERVAL '1 second' END);
    began   CONSTANT timestamptz := pg_catalog.clock_timestamp();
    symbols text[];
    bars    text[];
    since   timestamptz;
    -- Closed and refreshed for sure.
    newest  CONSTANT timestamptz := pg_catalog.now() - INTERVAL '1 hour';
    of      text;
    span    interval;
    first   timestamptz;
    last    timestamptz;
    bar     text;
    done    int := 0;
    n       bigint := 0;
    wrong   bigint := 0;
    d       _hypertick.drift;
BEGIN
    SELECT pg_catalog.array_agg(DISTINCT p.symbol) INTO symbols FROM public.feed_positions p;
    SELECT pg_catalog.array_agg(a.bar ORDER BY a.level) INTO bars FROM _hypertick.audit_levels a WHERE a.blocks;
    SELECT pg_catalog.min(a.whole_since) INTO since FROM _hypertick.audit_levels a WHERE NOT a.blocks AND pg_catalog.isfinite(a.whole_since);
    WHILE done < samples AND since < newest AND symbols IS NOT NULL AND pg_catalog.clock_timestamp() < began + budget LOOP
        of := symbols[1 + pg_catalog.floor(pg_catalog.random() * pg_catalog.cardinality(symbols))::int];
        bar := bars[1 + pg_catalog.floor(pg_catalog.random() * pg_catalog.cardinality(bars))::int];
        -- A day of candles, or as long as a block or two of that interval.
        span := greatest(INTERVAL '1 day', 2 * _hypertick.block_width(bar));
        first := public.time_bucket(INTERVAL '1 day', since + pg_catalog.random() * (newest - since));
        last := least(first + INTERVAL '1 day', newest);
        FOR d IN
            SELECT x.* FROM _hypertick.audit_candles(first, last, of) x
            UNION ALL
            SELECT x.* FROM _hypertick.audit_blocks(bar, first, least(first + span, newest), of) x
        LOOP
            IF d.symbol IS NULL THEN
                n := n + d.checked;
                -- What was wrong in this range, and is not any more, goes. The counts
                -- come last: what is wrong now has been seen.
                DELETE FROM public.audit_drift w
                WHERE w.relation = d.relation AND w.symbol = of AND w.found_at < began AND w.bucket >= first
                  AND w.bucket + (SELECT a.width FROM _hypertick.audit_levels a WHERE a.relation = w.relation)
                      <= CASE WHEN d.relation LIKE 'blocks%' THEN least(first + span, newest) ELSE last END;
            ELSIF NOT d.pending THEN
                wrong := wrong + 1;
                INSERT INTO public.audit_drift AS w (relation, symbol, bucket, stored, expected) VALUES (d.relation, d.symbol, d.bucket, d.stored, d.expected)
                ON CONFLICT (relation, symbol, bucket) DO UPDATE SET stored = excluded.stored, expected = excluded.expected, found_at = pg_catalog.clock_timestamp();
            END IF;
        END LOOP;
        done := done + 1;
        COMMIT;
    END LOOP;
    INSERT INTO public.audit_runs (took, samples, checked, drift) VALUES (pg_catalog.clock_timestamp() - began, done, n, wrong);
    DELETE FROM public.audit_runs r WHERE r.at < pg_catalog.now() - keep;
    -- Retention may have taken what was wrong.
    DELETE FROM public.audit_drift w WHERE w.found_at < pg_catalog.now() - keep;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.audit_sample(int, jsonb) IS 'Job: audits some days of some symbols, drawn at random, into audit_runs and audit_drift. config: samples, budget (how long it may take), keep.';
REVOKE EXECUTE ON PROCEDURE _hypertick.audit_sample(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.audit_sample', INTERVAL '1 hour', config => '{"samples": 20, "keep": "30 days"}', fixed_schedule => false);

-- +goose Down
SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE proc_schema = '_hypertick' AND proc_name = 'audit_sample';
DROP PROCEDURE _hypertick.audit_sample(int, jsonb);
DROP TABLE audit_drift;
DROP TABLE audit_runs;

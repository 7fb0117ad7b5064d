-- Verify: what is stored, compared with what it was made from. Rows are compared
-- in the database, and only those that differ leave it. hypertick verify asks for
-- a range, a job for samples.
--
-- A bucket that differs is drift, unless TimescaleDB itself has noted that it is
-- to be computed again. It does so in three tables, and an entry moves from one
-- to the next within a transaction: changes noted by the writers, changes handed
-- to each aggregate, ranges a refresh has begun with. The second also holds,
-- open-ended, all that was never materialised. Everything is read in one snapshot
-- (the functions are STABLE), so it does not matter that ticks come in and
-- refreshes run meanwhile.

CREATE VIEW _hypertick.verify_levels AS
WITH RECURSIVE made AS (
    SELECT 'public' AS schema, 'candles_' || i."interval" AS relation, i."interval" AS bar, false AS blocks, i.width,
           coalesce('candles_' || i.source, 'ticks') AS source, i.width AS bar_width
    FROM public.intervals i WHERE i.materialized
    UNION ALL
    SELECT '_hypertick', 'blocks_' || i."interval", i."interval", true, i.block_width,
           'candles_' || i."interval", i.width
    FROM public.intervals i WHERE i.materialized
), lineage AS (
    -- Each relation with itself and all that it is built from, ticks aside.
    SELECT m.relation, m.relation AS part, m.source FROM made m
    UNION ALL
    SELECT l.relation, m.relation, m.source FROM lineage l JOIN made m ON m.relation = l.source
), catalogued AS (
    SELECT m.*, a.mat_hypertable_id, a.raw_hypertable_id, h.schema_name, h.table_name,
           s.schema_name AS source_schema, s.table_name AS source_name
    FROM made m
    JOIN _timescaledb_catalog.continuous_agg a ON a.user_view_schema = m.schema AND a.user_view_name = m.relation
    JOIN _timescaledb_catalog.hypertable h ON h.id = a.mat_hypertable_id
    LEFT JOIN _timescaledb_catalog.continuous_agg b ON b.user_view_schema = 'public' AND b.user_view_name = m.source
    JOIN _timescaledb_catalog.hypertable s
        ON s.id = b.mat_hypertable_id OR (s.schema_name = 'public' AND s.table_name = m.source)
)
SELECT c.relation, c.bar, c.blocks, c.width, c.bar_width, c.schema, c.source,
       format('%I.%I', c.schema_name, c.table_name) AS stored,
       c.mat_hypertable_id AS mat_id, c.raw_hypertable_id AS raw_id,
       (SELECT array_agg(l.part) FROM lineage l WHERE l.relation = c.relation) AS lineage,
       greatest(
           (SELECT max(r.horizon) FROM public.retention r
            WHERE CASE WHEN c.blocks THEN r.relation = c.source
                       ELSE r.relation = 'ticks' OR r.relation IN (
                           SELECT l.part FROM lineage l WHERE l.relation = c.relation) END),
           -- Chunks may have been dropped by hand too.
           coalesce((SELECT min(k.range_start) FROM timescaledb_information.chunks k
                     WHERE k.hypertable_schema = c.source_schema AND k.hypertable_name = c.source_name), 'infinity'))
           AS whole_since
FROM catalogued c;
COMMENT ON VIEW _hypertick.verify_levels IS
    'The aggregates that can be verified: where their rows are stored, what they are built from, and since when all '
    'of that is still there.';
GRANT SELECT ON _hypertick.verify_levels TO hypertick_reader, hypertick_writer;

CREATE VIEW _hypertick.verify_waiting AS
WITH levels AS MATERIALIZED (
    SELECT v.relation, v.lineage, v.mat_id, v.raw_id FROM _hypertick.verify_levels v
)
SELECT r.relation, w.lowest_modified_value AS lo, w.greatest_modified_value AS hi
FROM levels r
-- What waits below is not above yet either.
JOIN levels c ON c.relation = ANY (r.lineage)
CROSS JOIN LATERAL (
    SELECT i.lowest_modified_value, i.greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log i WHERE i.hypertable_id = c.raw_id
    UNION ALL
    SELECT i.lowest_modified_value, i.greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_materialization_invalidation_log i WHERE i.materialization_id = c.mat_id
    UNION ALL
    SELECT i.lowest_modified_value, i.greatest_modified_value
    FROM _timescaledb_catalog.continuous_aggs_materialization_ranges i WHERE i.materialization_id = c.mat_id
) w;
COMMENT ON VIEW _hypertick.verify_waiting IS
    'Ranges, in Unix microseconds, that a refresh will still compute again, of each aggregate and of those below it.';
GRANT SELECT ON _hypertick.verify_waiting TO hypertick_reader, hypertick_writer;

CREATE TYPE _hypertick.drift AS (
    relation text, symbol text, bucket timestamptz, pending boolean, stored jsonb, expected jsonb, checked bigint
);
COMMENT ON TYPE _hypertick.drift IS
    'A stored row with drift, or (symbol is NULL) how many rows of a relation were checked.';
CREATE TYPE _hypertick.seq_finding AS (
    kind text, venue text, from_seq bigint, to_seq bigint, at timestamptz, copies bigint, checked bigint
);
COMMENT ON TYPE _hypertick.seq_finding IS 'What is wrong with the seqs of a symbol; see _hypertick.verify_seqs().';

CREATE FUNCTION _hypertick.verify_diff(
    stored jsonb, expected jsonb, exact text[], OUT stored_part jsonb, OUT expected_part jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN expected IS NULL THEN stored - ARRAY['symbol', 'bucket']
                WHEN stored IS NOT NULL THEN jsonb_object_agg(e.key, stored -> e.key) END,
           CASE WHEN stored IS NULL THEN expected - ARRAY['symbol', 'bucket']
                WHEN expected IS NOT NULL THEN jsonb_object_agg(e.key, e.value) END
    FROM jsonb_each(coalesce(expected, stored)) e
    WHERE stored IS NULL OR expected IS NULL
       OR (stored -> e.key IS DISTINCT FROM e.value
           AND NOT coalesce(
                e.key <> ALL (exact) AND jsonb_typeof(e.value) = 'number' AND jsonb_typeof(stored -> e.key) = 'number'
                AND abs((stored ->> e.key)::numeric - (e.value #>> '{}')::numeric)
                    <= 1e-9 * abs((e.value #>> '{}')::numeric), false))
$$;
COMMENT ON FUNCTION _hypertick.verify_diff(jsonb, jsonb, text[]) IS
    'The fields in which two rows differ; numbers not named in exact may do so by 1e-9 of their size. NULL where a '
    'row is missing, NULL twice where nothing differs.';

-- An entry without end stands for what was never materialised, which is no drift.
-- But it says nothing of a bucket in which nothing has traded since: where a
-- market has stopped, the newest buckets are verified too.
CREATE FUNCTION _hypertick.verify_pending() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN $q$
        CROSS JOIN LATERAL (
            SELECT count(*) AS waits, bool_or(w.hi < 9223372036854775807) IS TRUE AS noted
            FROM waiting w
            WHERE w.relation = f.relation AND w.lo < _timescaledb_functions.to_unix_microseconds(f.until)
              AND w.hi >= _timescaledb_functions.to_unix_microseconds(f.bucket)
              AND (w.hi < 9223372036854775807 OR EXISTS (
                  SELECT FROM public.ticks t
                  WHERE t.symbol = f.symbol AND t.ts < f.until
                    AND t.ts >= _timescaledb_functions.to_timestamp(
                        greatest(w.lo, _timescaledb_functions.to_unix_microseconds(f.bucket)))))
        ) p
$q$;
COMMENT ON FUNCTION _hypertick.verify_pending() IS
    'SQL text: joins to found buckets f how many ranges of waiting hold them, and whether a refresh will make a '
    'change.';

-- One scan of the ticks for all levels: the upper ones are made from the lower,
-- as sums may differ in their last digits anyway. Compiling these statements
-- takes longer than running them, at every slice again.
CREATE FUNCTION _hypertick.verify_candles(
    "from" timestamptz, "to" timestamptz, symbol text DEFAULT NULL, bars text[] DEFAULT NULL)
RETURNS SETOF _hypertick.drift
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    level  record;
    first  timestamptz;
    last   timestamptz;
    made   text;
    arms   text;
    counts text;
BEGIN
    FOR level IN SELECT v.* FROM _hypertick.verify_levels v WHERE NOT v.blocks ORDER BY v.width LOOP
        made := concat_ws(', ', made, format('%1$I AS MATERIALIZED (SELECT %2$s FROM %3$s GROUP BY 1, 2)',
            'made_' || level.bar, _hypertick.candle_columns(level.source, level.width),
            CASE level.source WHEN 'ticks' THEN 'read'
                ELSE quote_ident(replace(level.source, 'candles_', 'made_')) END));
        -- Buckets that lie in the range as a whole, with all their ticks.
        first := _hypertick.bucket_from(greatest("from", level.whole_since), level.width);
        last := CASE WHEN isfinite("to") THEN public.time_bucket(level.width, "to") ELSE "to" END;
        CONTINUE WHEN NOT first < last OR level.bar <> ALL (bars);
        arms := concat_ws(' UNION ALL ', arms, format($q$
            SELECT %1$L AS relation, coalesce(s.symbol, e.symbol) AS symbol, coalesce(s.bucket, e.bucket) AS bucket,
                   _hypertick.bucket_end(coalesce(s.bucket, e.bucket), %2$L::interval) AS until,
                   CASE WHEN s.symbol IS NOT NULL THEN to_jsonb(s) END AS stored,
                   CASE WHEN e.symbol IS NOT NULL THEN to_jsonb(e) END AS expected
            FROM (SELECT m.symbol, m.bucket, m.open, m.high, m.low, m.close, m.volume,
                         m.buy_volume, m.notional, m.trades
                  FROM %3$s m WHERE m.bucket >= %4$L AND m.bucket < %5$L AND ($3 IS NULL OR m.symbol = $3)) s
            FULL JOIN (SELECT x.* FROM %6$I x WHERE x.bucket >= %4$L AND x.bucket < %5$L) e
                ON e.symbol = s.symbol AND e.bucket = s.bucket
            WHERE NOT coalesce(
                (s.open, s.high, s.low, s.close) IS NOT DISTINCT FROM (e.open, e.high, e.low, e.close)
                AND s.trades = e.trades
                AND (s.volume = e.volume OR abs(s.volume - e.volume) <= 1e-9 * abs(e.volume))
                AND (s.buy_volume IS NOT DISTINCT FROM e.buy_volume
                     OR abs(s.buy_volume - e.buy_volume) <= 1e-9 * abs(e.buy_volume))
                AND (s.notional = e.notional OR abs(s.notional - e.notional) <= 1e-9 * abs(e.notional)), false)
            UNION ALL
            SELECT %1$L, m.symbol, m.bucket, _hypertick.bucket_end(m.bucket, %2$L::interval),
                   jsonb_build_object('rows', count(*)), '{"rows": 1}'
            FROM %3$s m WHERE m.bucket >= %4$L AND m.bucket < %5$L AND ($3 IS NULL OR m.symbol = $3)
            GROUP BY m.symbol, m.bucket HAVING count(*) > 1$q$,
            level.relation, level.width, level.stored, first, last, 'made_' || level.bar));
        counts := concat_ws(' UNION ALL ', counts, format(
            'SELECT %L AS relation, count(*) AS n FROM %I x WHERE x.bucket >= %L AND x.bucket < %L',
            level.relation, 'made_' || level.bar, first, last));
    END LOOP;
    IF arms IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($q$
        WITH read AS (
            SELECT t.* FROM public.ticks t WHERE t.ts >= $1 AND t.ts < $2 AND ($3 IS NULL OR t.symbol = $3)
        ), %s, waiting AS MATERIALIZED (SELECT w.* FROM _hypertick.verify_waiting w), found AS (%s), counts AS (%s)
        SELECT f.relation, f.symbol::text, f.bucket, p.noted, d.stored_part, d.expected_part, NULL::bigint
        FROM found f
        %s
        CROSS JOIN LATERAL _hypertick.verify_diff(f.stored, f.expected, '{open,high,low,close,trades,rows}') d
        WHERE p.waits = 0 OR p.noted
        UNION ALL
        SELECT c.relation, NULL, NULL, NULL, NULL, NULL, c.n FROM counts c$q$,
        made, arms, counts, _hypertick.verify_pending())
    USING "from", "to", symbol COLLATE "C";
END
$$;
COMMENT ON FUNCTION _hypertick.verify_candles(timestamptz, timestamptz, text, text[]) IS
    'Stored candles of all materialised intervals that are not what the ticks say, among the buckets that lie within '
    '"from" and "to" as a whole, of one symbol or (NULL) all, and of the intervals in bars or (NULL) all. pending: a '
    'refresh will compute them again anyway. A last row for each interval says how many buckets the ticks make.';

CREATE FUNCTION _hypertick.verify_blocks(
    "interval" text, "from" timestamptz, "to" timestamptz, symbol text DEFAULT NULL)
RETURNS SETOF _hypertick.drift
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    level  record;
    source text;
    first  timestamptz;
    last   timestamptz;
    states CONSTANT text[] := (SELECT array_agg(a.attname ORDER BY a.attnum) FROM pg_attribute a
                               WHERE a.attrelid = '_hypertick.block'::regclass AND a.attname <> 'n');
    names  CONSTANT text := (SELECT string_agg(format('m.%I', n), ', ' ORDER BY o)
                             FROM unnest(states) WITH ORDINALITY u(n, o));
    made   CONSTANT text := (SELECT string_agg(format('(g.b).%1$I AS %1$I', n), ', ' ORDER BY o)
                             FROM unnest(states) WITH ORDINALITY u(n, o));
BEGIN
    SELECT v.* INTO level FROM _hypertick.verify_levels v WHERE v.blocks AND v.bar = verify_blocks."interval";
    SELECT v.stored INTO source FROM _hypertick.verify_levels v
    WHERE NOT v.blocks AND v.bar = verify_blocks."interval";
    IF source IS NULL OR level.stored IS NULL THEN
        RAISE EXCEPTION 'interval: want one that is materialised (%), got %',
            (SELECT string_agg(i."interval", ', ' ORDER BY i.width) FROM public.intervals i WHERE i.materialized),
            coalesce(quote_literal("interval"), 'null') USING ERRCODE = 'invalid_parameter_value';
    END IF;
    first := _hypertick.bucket_from(greatest("from", level.whole_since), level.width);
    -- A block that is forming changes with each of its bars.
    last := public.time_bucket(level.width, least("to", now()));
    IF NOT first < last THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE format($q$
        WITH made AS MATERIALIZED (
            SELECT g.symbol, g.bucket, (g.b).n AS bars, %1$s, g.last_bucket, g.closes, g.volumes
            FROM (
                SELECT c.symbol, public.time_bucket($1, c.bucket) AS bucket,
                       _hypertick.block_agg(c.high, c.low, c.close, c.volume ORDER BY c.bucket) AS b,
                       max(c.bucket) AS last_bucket, array_agg(c.close ORDER BY c.bucket) AS closes,
                       array_agg(c.volume ORDER BY c.bucket) AS volumes
                FROM (
                    SELECT %6$s FROM %2$s c
                    WHERE c.bucket >= $2 AND c.bucket < $3 AND ($4 IS NULL OR c.symbol = $4)
                      AND c.close IS NOT NULL
                ) c
                GROUP BY 1, 2
            ) g
        ), waiting AS MATERIALIZED (
            SELECT w.* FROM _hypertick.verify_waiting w WHERE w.relation = $5
        ), found AS (
            SELECT $5 AS relation, coalesce(s.symbol, e.symbol) AS symbol, coalesce(s.bucket, e.bucket) AS bucket,
                   _hypertick.bucket_end(coalesce(s.bucket, e.bucket), $1) AS until,
                   CASE WHEN s.symbol IS NOT NULL THEN to_jsonb(s) END AS stored,
                   CASE WHEN e.symbol IS NOT NULL THEN to_jsonb(e) END AS expected
            FROM (SELECT m.symbol, m.bucket, m.bars, %3$s, m.last_bucket, m.closes, m.volumes
                  FROM %4$s m WHERE m.bucket >= $2 AND m.bucket < $3 AND ($4 IS NULL OR m.symbol = $4)) s
            FULL JOIN made e ON e.symbol = s.symbol AND e.bucket = s.bucket
            WHERE s IS DISTINCT FROM e
            UNION ALL
            SELECT $5, m.symbol, m.bucket, _hypertick.bucket_end(m.bucket, $1),
                   jsonb_build_object('rows', count(*)), '{"rows": 1}'
            FROM %4$s m WHERE m.bucket >= $2 AND m.bucket < $3 AND ($4 IS NULL OR m.symbol = $4)
            GROUP BY m.symbol, m.bucket HAVING count(*) > 1
        )
        SELECT f.relation, f.symbol::text, f.bucket, p.noted, d.stored_part, d.expected_part, NULL::bigint
        FROM found f
        %5$s
        CROSS JOIN LATERAL _hypertick.verify_diff(
            f.stored, f.expected, '{bars,first,last,high,low,min,max,last_bucket,rows}') d
        WHERE (d.stored_part IS NOT NULL OR d.expected_part IS NOT NULL) AND (p.waits = 0 OR p.noted)
        UNION ALL
        SELECT $5, NULL, NULL, NULL, NULL, NULL, count(*) FROM made$q$,
        made, source, names, level.stored, _hypertick.verify_pending(), _hypertick.shown_columns())
    USING level.width, first, last, symbol COLLATE "C", level.relation;
END
$$;
COMMENT ON FUNCTION _hypertick.verify_blocks(text, timestamptz, timestamptz, text) IS
    'Like verify_candles(), for the block states of one interval and the stored candles they are made from.';

-- The ticks of one symbol in the order of seq show at once what is there twice,
-- what is not there, and how far the feed has come.
CREATE FUNCTION _hypertick.verify_seqs(
    of text, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS SETOF _hypertick.seq_finding
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    -- Around a bounded range more is read: by ts, a tick may be out of order.
    margin  CONSTANT interval := INTERVAL '24 hours';
    bounded CONSTANT boolean := "from" > '-infinity' OR "to" < 'infinity';
    oldest  CONSTANT timestamptz := CASE WHEN "from" > '-infinity' THEN "from" - margin ELSE "from" END;
    newest  CONSTANT timestamptz := CASE WHEN "to" < 'infinity' THEN "to" + margin ELSE "to" END;
    horizon CONSTANT timestamptz := (SELECT r.horizon FROM public.retention r WHERE r.relation = 'ticks');
    content CONSTANT bigint := 4611686018427387904;  -- seqs from 2^62 on stand for content
    tick    record;
    missing bigint := 0;
    found   _hypertick.seq_finding;
BEGIN
    FOR tick IN
        SELECT t.venue, t.seq, t.ts, count(*) AS copies
        FROM (
            SELECT k.venue, k.ts, k.seq, k.price, k.size FROM public.ticks k
            WHERE k.symbol = of AND k.ts >= "from" AND k.ts < "to"
            UNION ALL
            SELECT k.venue, k.ts, k.seq, k.price, k.size FROM public.late_ticks k
            WHERE k.symbol = of AND k.ts >= "from" AND k.ts < "to"
        ) t
        GROUP BY t.venue, t.ts, t.seq, t.price, t.size
        HAVING count(*) > 1
        ORDER BY t.venue, t.ts, t.seq
    LOOP
        found := ROW('duplicate', tick.venue, tick.seq, tick.seq, tick.ts, tick.copies, NULL);
        RETURN NEXT found;
    END LOOP;
    -- Numbers of all runs of a feed together. One that was undone is not missing.
    FOR tick IN
        SELECT odd.* FROM (
            SELECT t.venue, t.seq, t.ts, lag(t.seq) OVER ordered AS before, lag(t.ts) OVER ordered AS before_ts
            FROM (
                SELECT k.venue, k.seq, k.ts FROM public.ticks k
                WHERE k.symbol = of AND k.ts >= oldest AND k.ts < newest
                UNION ALL
                SELECT k.venue, k.seq, k.ts FROM public.late_ticks k
                WHERE k.symbol = of AND k.ts >= oldest AND k.ts < newest
                UNION ALL
                SELECT k.venue, k.seq, k.ts FROM public.ticks_undone k
                WHERE k.symbol = of AND k.ts >= oldest AND k.ts < newest
            ) t
            WHERE t.seq < content
            WINDOW ordered AS (PARTITION BY t.venue ORDER BY t.seq, t.ts)
        ) odd
        WHERE odd.seq > odd.before + 1
          AND (odd.ts >= "from" AND odd.ts < "to" OR odd.before_ts >= "from" AND odd.before_ts < "to")
          -- Before the horizon a tick may be dropped while its neighbours are kept.
          AND (horizon IS NULL OR least(odd.ts, odd.before_ts) >= horizon + margin)
          AND coalesce((SELECT v.contiguous FROM public.feed_venues v WHERE v.venue = odd.venue), true)
        ORDER BY odd.venue, odd.seq, odd.ts
    LOOP
        IF bounded THEN
            SELECT count(DISTINCT k.seq) INTO missing FROM public.ticks k
            WHERE k.symbol = of AND k.venue = tick.venue AND k.seq > tick.before AND k.seq < tick.seq;
        END IF;
        CONTINUE WHEN missing >= tick.seq - tick.before - 1
            -- A jump of the numbers, or one that an operator accepted.
            OR EXISTS (SELECT FROM public.feed_gaps g WHERE g.symbol = of AND g.venue = tick.venue
                       AND g.from_seq <= tick.before + 1 AND g.to_seq >= tick.seq - 1
                       AND g.closed_by IN ('restart', 'operator'));
        -- A gap that ingest recorded never came; any other was stored once.
        found := ROW(CASE WHEN EXISTS (
                SELECT FROM public.feed_gaps g WHERE g.symbol = of AND g.venue = tick.venue
                AND g.closed_at IS NULL AND g.missing @> int8range(tick.before + 1, tick.seq - 1, '[]'))
            THEN 'gap' ELSE 'hole' END,
            tick.venue, tick.before + 1, tick.seq - 1, tick.before_ts, NULL, NULL);
        RETURN NEXT found;
    END LOOP;
    -- A position that is too low lets ingest store a tick twice. Above the newest
    -- tick it is after that was cancelled, or dropped by retention.
    FOR tick IN
        SELECT n.venue, n.ts, n.seq, p.last_ts, p.top_seq
        FROM (
            SELECT DISTINCT ON (t.venue) t.venue, t.ts, t.seq
            FROM (
                SELECT k.venue, k.ts, k.seq FROM public.ticks k
                WHERE k.symbol = of AND k.ts >= "from" AND k.ts < "to"
                UNION ALL
                SELECT k.venue, k.ts, k.seq FROM public.late_ticks k
                WHERE k.symbol = of AND k.ts >= "from" AND k.ts < "to"
            ) t
            ORDER BY t.venue, t.ts DESC, t.seq DESC
        ) n
        LEFT JOIN public.feed_positions p ON p.symbol = of AND p.venue = n.venue
        WHERE p.venue IS NULL OR n.ts > p.last_ts OR n.ts = p.last_ts AND n.seq > p.top_seq AND p.top_seq >= 0
    LOOP
        found := ROW('position', tick.venue, tick.top_seq, tick.seq, tick.ts, NULL, NULL);
        RETURN NEXT found;
    END LOOP;
    found := ROW('checked', NULL, NULL, NULL, NULL, NULL, (
        SELECT count(*) FROM public.ticks k WHERE k.symbol = of AND k.ts >= "from" AND k.ts < "to"));
    RETURN NEXT found;
END
$$;
COMMENT ON FUNCTION _hypertick.verify_seqs(text, timestamptz, timestamptz) IS
    'What is wrong with the seqs of one symbol: duplicate (stored copies times), gap (missing, and ingest saw it), '
    'hole (missing, and ingest did not), position (a tick, to_seq, is newer than feed_positions). A last row, '
    'checked, counts the ticks read.';

REVOKE EXECUTE ON FUNCTION
    _hypertick.verify_diff(jsonb, jsonb, text[]), _hypertick.verify_pending(),
    _hypertick.verify_candles(timestamptz, timestamptz, text, text[]),
    _hypertick.verify_blocks(text, timestamptz, timestamptz, text),
    _hypertick.verify_seqs(text, timestamptz, timestamptz)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.verify_diff(jsonb, jsonb, text[]), _hypertick.verify_pending(),
    _hypertick.verify_candles(timestamptz, timestamptz, text, text[]),
    _hypertick.verify_blocks(text, timestamptz, timestamptz, text),
    _hypertick.verify_seqs(text, timestamptz, timestamptz)
TO hypertick_reader, hypertick_writer;

-- Samples --------------------------------------------------------------------

CREATE TABLE verify_runs (
    id      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    took    interval    NOT NULL,
    samples int         NOT NULL,
    checked bigint      NOT NULL,
    drift   bigint      NOT NULL
);
CREATE INDEX verify_runs_at_idx ON verify_runs (at);
COMMENT ON TABLE verify_runs IS 'Runs of the job that verifies samples. Kept for 30 days.';
COMMENT ON COLUMN verify_runs.id IS 'Number of the run.';
COMMENT ON COLUMN verify_runs.at IS 'When it ended.';
COMMENT ON COLUMN verify_runs.took IS 'How long it took.';
COMMENT ON COLUMN verify_runs.samples IS 'Days of a symbol that were checked.';
COMMENT ON COLUMN verify_runs.checked IS 'Candles and blocks that were computed again.';
COMMENT ON COLUMN verify_runs.drift IS 'How many of them have drift.';
COMMENT ON INDEX verify_runs_at_idx IS 'Finds the newest, and what can go.';
GRANT SELECT ON verify_runs TO hypertick_reader;

CREATE TABLE verify_drift (
    relation text             NOT NULL,
    symbol   text COLLATE "C" NOT NULL,
    bucket   timestamptz      NOT NULL,
    stored   jsonb,
    expected jsonb,
    found_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (relation, symbol, bucket)
);
COMMENT ON TABLE verify_drift IS
    'Buckets with drift, found by samples. The row is deleted when a later sample, or a repair, finds none.';
COMMENT ON COLUMN verify_drift.relation IS 'Candles or blocks.';
COMMENT ON COLUMN verify_drift.symbol IS 'Symbol.';
COMMENT ON COLUMN verify_drift.bucket IS 'Start of the bucket.';
COMMENT ON COLUMN verify_drift.stored IS 'The stored fields that differ. NULL: no row is stored.';
COMMENT ON COLUMN verify_drift.expected IS 'The expected fields. NULL: no row is expected.';
COMMENT ON COLUMN verify_drift.found_at IS 'When it was last seen.';
GRANT SELECT ON verify_drift TO hypertick_reader;

-- The setting is defined by TimescaleDB's loader, and only where the server
-- preloads it; unlike shared_preload_libraries every role may read it.
CREATE FUNCTION _hypertick.has_scheduler() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN current_setting('timescaledb.max_background_workers', true) IS NOT NULL;
COMMENT ON FUNCTION _hypertick.has_scheduler() IS
    'Whether TimescaleDB''s own background workers run here: they need the library to be preloaded, which the '
    'embedded database cannot do.';
REVOKE EXECUTE ON FUNCTION _hypertick.has_scheduler() FROM PUBLIC;

-- Days and symbols are drawn at random, so that in time everything is looked at
-- again. A transaction for each: no SET search_path.
CREATE PROCEDURE _hypertick.verify_sample(job_id int, config jsonb)
LANGUAGE plpgsql AS $$
DECLARE
    samples CONSTANT int := coalesce((config ->> 'samples')::int, 20);
    keep    CONSTANT interval := coalesce(config ->> 'keep', '30 days')::interval;
    -- Without a scheduler one backend serves all.
    budget  CONSTANT interval := coalesce((config ->> 'budget')::interval,
        CASE WHEN _hypertick.has_scheduler() THEN INTERVAL '1 minute' ELSE INTERVAL '1 second' END);
    began   CONSTANT timestamptz := clock_timestamp();
    symbols text[];
    bars    text[];
    since   timestamptz;
    -- Closed and refreshed for sure.
    newest  CONSTANT timestamptz := now() - INTERVAL '1 hour';
    of      text;
    unit    interval;
    span    interval;
    first   timestamptz;
    last    timestamptz;
    bar     text;
    done    int := 0;
    n       bigint := 0;
    wrong   bigint := 0;
    drift   _hypertick.drift;
BEGIN
    SELECT array_agg(DISTINCT p.symbol) INTO symbols FROM public.feed_positions p;
    SELECT array_agg(v.bar ORDER BY v.bar_width) INTO bars FROM _hypertick.verify_levels v WHERE v.blocks;
    -- From the oldest tick on, as chunks tell it; those of longer bars reach back
    -- for years before.
    SELECT min(v.whole_since) INTO since FROM _hypertick.verify_levels v
    WHERE v.source = 'ticks' AND isfinite(v.whole_since);
    WHILE done < samples AND since < newest AND symbols IS NOT NULL AND clock_timestamp() < began + budget LOOP
        of := symbols[1 + floor(random() * cardinality(symbols))::int];
        bar := bars[1 + floor(random() * cardinality(bars))::int];
        -- A day of candles, or one candle of that interval where it is longer; and
        -- as long as a block or two.
        unit := greatest(INTERVAL '24 hours', (SELECT i.width FROM public.intervals i WHERE i."interval" = bar));
        span := greatest(unit, 2 * _hypertick.block_width(bar));
        first := public.time_bucket(unit, since + random() * (newest - since));
        last := least(_hypertick.bucket_end(first, unit), newest);
        FOR drift IN
            SELECT x.* FROM _hypertick.verify_candles(first, last, of) x
            UNION ALL
            SELECT x.* FROM _hypertick.verify_blocks(bar, first, least(first + span, newest), of) x
        LOOP
            IF drift.symbol IS NULL THEN
                n := n + drift.checked;
                -- What was wrong in this range, and is not any more, goes. The
                -- counts come last: what is wrong now has been seen.
                DELETE FROM public.verify_drift w
                WHERE w.relation = drift.relation AND w.symbol = of AND w.found_at < began AND w.bucket >= first
                  AND w.bucket + (SELECT v.width FROM _hypertick.verify_levels v WHERE v.relation = w.relation)
                      <= CASE WHEN drift.relation LIKE 'blocks%' THEN least(first + span, newest) ELSE last END;
            ELSIF NOT drift.pending THEN
                wrong := wrong + 1;
                INSERT INTO public.verify_drift AS w (relation, symbol, bucket, stored, expected)
                VALUES (drift.relation, drift.symbol, drift.bucket, drift.stored, drift.expected)
                ON CONFLICT (relation, symbol, bucket) DO UPDATE
                SET stored = excluded.stored, expected = excluded.expected, found_at = clock_timestamp();
            END IF;
        END LOOP;
        done := done + 1;
        COMMIT;
    END LOOP;
    INSERT INTO public.verify_runs (took, samples, checked, drift) VALUES (clock_timestamp() - began, done, n, wrong);
    DELETE FROM public.verify_runs r WHERE r.at < now() - keep;
    -- Retention may have dropped what was wrong.
    DELETE FROM public.verify_drift w WHERE w.found_at < now() - keep;
END
$$;
COMMENT ON PROCEDURE _hypertick.verify_sample(int, jsonb) IS
    'Job: verifies some days of some symbols, drawn at random, into verify_runs and verify_drift. config: samples, '
    'budget (how long it may take), keep.';
REVOKE EXECUTE ON PROCEDURE _hypertick.verify_sample(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.verify_sample', INTERVAL '1 hour',
    config => '{"samples": 20, "keep": "30 days"}', fixed_schedule => false);

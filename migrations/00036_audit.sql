-- +goose Up
-- The self-audit: what is stored, compared with what it was made from. Rows
-- are compared in the database, and only those that differ leave it.
--
-- A bucket that differs is drift, unless TimescaleDB itself has noted that it
-- is to be computed again. It does so in three tables, and an entry moves from one to
-- the next within a transaction: changes noted by the writers, changes handed
-- to each aggregate, ranges a refresh has begun with. The second also holds,
-- open-ended, all that was never materialised. Everything is read in one snapshot
-- (the functions are STABLE), so it does not matter that ticks come in
-- and refreshes run meanwhile.

CREATE VIEW _hypertick.audit_levels AS
WITH l AS (
    SELECT 'public' AS schema, k.source AS relation, k."interval", r.level, false AS blocks, k."interval"::interval AS width, 'ticks' AS source
    FROM _hypertick.blocks k JOIN _hypertick.retention r ON r.relation = k.source
    UNION ALL
    SELECT '_hypertick', k.relation, k."interval", r.level, true, k.width, k.source
    FROM _hypertick.blocks k JOIN _hypertick.retention r ON r.relation = k.source
), c AS (
    SELECT l.*, a.mat_hypertable_id, a.raw_hypertable_id, h.schema_name, h.table_name, s.schema_name AS source_schema, s.table_name AS source_name
    FROM l
    JOIN _timescaledb_catalog.continuous_agg a ON a.user_view_schema = l.schema AND a.user_view_name = l.relation
    JOIN _timescaledb_catalog.hypertable h ON h.id = a.mat_hypertable_id
    LEFT JOIN _timescaledb_catalog.continuous_agg b ON b.user_view_schema = 'public' AND b.user_view_name = l.source
    JOIN _timescaledb_catalog.hypertable s ON s.id = b.mat_hypertable_id OR (s.schema_name = 'public' AND s.table_name = l.source)
)
SELECT c.relation, c."interval" AS bar, c.level, c.blocks, c.width, c.schema, pg_catalog.format('%I.%I', c.schema_name, c.table_name) AS stored,
       c.mat_hypertable_id AS mat_id, c.raw_hypertable_id AS raw_id,
       greatest(
           (SELECT pg_catalog.max(r.horizon) FROM public.retention r JOIN _hypertick.retention k ON k.relation = r.relation
            WHERE CASE WHEN c.blocks THEN k.level = c.level ELSE k.level <= c.level END),
           -- Chunks may have been dropped by hand too.
           coalesce((SELECT pg_catalog.min(k.range_start) FROM timescaledb_information.chunks k
                     WHERE k.hypertable_schema = c.source_schema AND k.hypertable_name = c.source_name), 'infinity')) AS whole_since
FROM c;
COMMENT ON VIEW _hypertick.audit_levels IS 'The aggregates that can be audited: where their rows are stored, and since when all they were made from is still there.';
GRANT SELECT ON _hypertick.audit_levels TO hypertick_reader, hypertick_writer;

CREATE VIEW _hypertick.audit_waiting AS
WITH l AS MATERIALIZED (SELECT a.relation, a.level, a.blocks, a.mat_id, a.raw_id FROM _hypertick.audit_levels a)
SELECT r.relation, w.lowest_modified_value AS lo, w.greatest_modified_value AS hi
FROM l r
-- What waits below is not above yet either.
JOIN l c ON c.relation = r.relation OR (NOT c.blocks AND c.level <= r.level)
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
COMMENT ON VIEW _hypertick.audit_waiting IS 'Ranges, in Unix microseconds, that a refresh will still compute again, of each aggregate and of those below it.';
GRANT SELECT ON _hypertick.audit_waiting TO hypertick_reader, hypertick_writer;

-- An entry without end stands for what was never materialised, which is not
-- worth a word. But it says nothing of a bucket in which nothing has traded
-- since: where a market has stopped, the newest buckets are audited too.
CREATE TYPE _hypertick.drift AS (relation text, symbol text, bucket timestamptz, pending boolean, stored jsonb, expected jsonb, checked bigint);
COMMENT ON TYPE _hypertick.drift IS 'A stored row that is not what it should be, or (symbol is NULL) how many rows of a relation were looked at.';
CREATE TYPE _hypertick.seq_finding AS (kind text, venue text, from_seq bigint, to_seq bigint, at timestamptz, copies bigint, checked bigint);
COMMENT ON TYPE _hypertick.seq_finding IS 'What is wrong with the seqs of a symbol; see _hypertick.audit_seqs().';

CREATE FUNCTION _hypertick.audit_diff(stored jsonb, expected jsonb, exact text[], OUT stored_part jsonb, OUT expected_part jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE WHEN expected IS NULL THEN stored - ARRAY['symbol', 'bucket']
                WHEN stored IS NOT NULL THEN pg_catalog.jsonb_object_agg(e.key, stored -> e.key) END,
           CASE WHEN stored IS NULL THEN expected - ARRAY['symbol', 'bucket']
                WHEN expected IS NOT NULL THEN pg_catalog.jsonb_object_agg(e.key, e.value) END
    FROM pg_catalog.jsonb_each(coalesce(expected, stored)) e
    WHERE stored IS NULL OR expected IS NULL
       OR (stored -> e.key IS DISTINCT FROM e.value
           AND NOT coalesce(e.key <> ALL (exact) AND pg_catalog.jsonb_typeof(e.value) = 'number' AND pg_catalog.jsonb_typeof(stored -> e.key) = 'number'
                AND pg_catalog.abs((stored ->> e.key)::numeric - (e.value #>> '{}')::numeric) <= 1e-9 * pg_catalog.abs((e.value #>> '{}')::numeric), false))
$$;
COMMENT ON FUNCTION _hypertick.audit_diff(jsonb, jsonb, text[]) IS 'The fields in which two rows differ; numbers not named in exact may do so by 1e-9 of their size. NULL where a row is missing, NULL twice where nothing differs.';

-- One scan of the ticks for all five levels: the upper ones are made from the
-- minutes, as sums may differ in their last digits anyway. Compiling these
-- statements takes longer than running them, at every slice again.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.audit_candles("from" timestamptz, "to" timestamptz, symbol text DEFAULT NULL)
RETURNS SETOF _hypertick.drift
LANGUAGE plpgsql STABLE SET jit = off
AS $$
DECLARE
    l      record;
    first  timestamptz;
    last   timestamptz;
    made   text;
    arms   text;
    counts text;
BEGIN
    FOR l IN SELECT a.* FROM _hypertick.audit_levels a WHERE NOT a.blocks ORDER BY a.level LOOP
        made := pg_catalog.concat_ws(', ', made, CASE WHEN l.level = 1 THEN $q$
            l1 AS MATERIALIZED (
                SELECT t.symbol, public.time_bucket(INTERVAL '1 minute', t.ts) AS bucket,
                       public.first(t.price, pg_catalog.timestamptz_send(t.ts) || pg_catalog.int8send(t.seq)) AS open,
                       pg_catalog.max(t.price) AS high, pg_catalog.min(t.price) AS low,
                       public.last(t.price, pg_catalog.timestamptz_send(t.ts) || pg_catalog.int8send(t.seq)) AS close,
                       pg_catalog.sum(t.size) AS volume, pg_catalog.sum(t.price * t.size) AS notional, pg_catalog.count(*) AS trades
                FROM public.ticks t
                WHERE t.ts >= $1 AND t.ts < $2 AND ($3 IS NULL OR t.symbol = $3)
                GROUP BY 1, 2)$q$
            ELSE pg_catalog.format($q$
            l%1$s AS MATERIALIZED (
                SELECT b.symbol, public.time_bucket(%2$L::interval, b.bucket) AS bucket,
                       public.first(b.open, b.bucket) AS open, pg_catalog.max(b.high) AS high, pg_catalog.min(b.low) AS low,
                       public.last(b.close, b.bucket) AS close,
                       pg_catalog.sum(b.volume) AS volume, pg_catalog.sum(b.notional) AS notional, pg_catalog.sum(b.trades)::bigint AS trades
                FROM l%3$s b GROUP BY 1, 2)$q$, l.level, l.width, l.level - 1) END);
        -- Buckets that lie in the range as a whole, with all their ticks.
        first := public.time_bucket(l.width, greatest("from", l.whole_since) + l.width - INTERVAL '1 microsecond');
        last := public.time_bucket(l.width, "to");
        CONTINUE WHEN NOT first < last;
        arms := pg_catalog.concat_ws(' UNION ALL ', arms, pg_catalog.format($q$
            SELECT %1$L AS relation, %2$L::interval AS width, coalesce(s.symbol, e.symbol) AS symbol, coalesce(s.bucket, e.bucket) AS bucket,
                   CASE WHEN s.symbol IS NOT NULL THEN pg_catalog.to_jsonb(s) END AS stored,
                   CASE WHEN e.symbol IS NOT NULL THEN pg_catalog.to_jsonb(e) END AS expected
            FROM (SELECT m.symbol, m.bucket, m.open, m.high, m.low, m.close, m.volume, m.notional, m.trades
                  FROM %3$s m WHERE m.bucket >= %4$L AND m.bucket < %5$L AND ($3 IS NULL OR m.symbol = $3)) s
            FULL JOIN (SELECT x.* FROM l%6$s x WHERE x.bucket >= %4$L AND x.bucket < %5$L) e ON e.symbol = s.symbol AND e.bucket = s.bucket
            WHERE NOT coalesce(s.open = e.open AND s.high = e.high AND s.low = e.low AND s.close = e.close AND s.trades = e.trades
                AND (s.volume = e.volume OR pg_catalog.abs(s.volume - e.volume) <= 1e-9 * pg_catalog.abs(e.volume))
                AND (s.notional = e.notional OR pg_catalog.abs(s.notional - e.notional) <= 1e-9 * pg_catalog.abs(e.notional)), false)
            UNION ALL
            SELECT %1$L, %2$L::interval, m.symbol, m.bucket, pg_catalog.jsonb_build_object('rows', pg_catalog.count(*)), '{"rows": 1}'
            FROM %3$s m WHERE m.bucket >= %4$L AND m.bucket < %5$L AND ($3 IS NULL OR m.symbol = $3)
            GROUP BY m.symbol, m.bucket HAVING pg_catalog.count(*) > 1$q$,
            l.relation, l.width, l.stored, first, last, l.level));
        counts := pg_catalog.concat_ws(' UNION ALL ', counts, pg_catalog.format(
            'SELECT %L AS relation, pg_catalog.count(*) AS n FROM l%s x WHERE x.bucket >= %L AND x.bucket < %L', l.relation, l.level, first, last));
    END LOOP;
    IF arms IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format($q$
        WITH %s, waiting AS MATERIALIZED (SELECT w.* FROM _hypertick.audit_waiting w), found AS (%s), counts AS (%s)
        SELECT f.relation, f.symbol::text, f.bucket,
               p.noted, d.stored_part, d.expected_part, NULL::bigint
        FROM found f
        CROSS JOIN LATERAL (
            SELECT pg_catalog.count(*) AS n, pg_catalog.bool_or(w.hi < 9223372036854775807) IS TRUE AS noted
            FROM waiting w
            WHERE w.relation = f.relation AND w.lo < _timescaledb_functions.to_unix_microseconds(f.bucket + f.width)
              AND w.hi >= _timescaledb_functions.to_unix_microseconds(f.bucket)
              AND (w.hi < 9223372036854775807 OR EXISTS (
                  SELECT FROM public.ticks t
                  WHERE t.symbol = f.symbol AND t.ts < f.bucket + f.width
                    AND t.ts >= _timescaledb_functions.to_timestamp(greatest(w.lo, _timescaledb_functions.to_unix_microseconds(f.bucket)))))
        ) p
        CROSS JOIN LATERAL _hypertick.audit_diff(f.stored, f.expected, '{open,high,low,close,trades,rows}') d
        WHERE p.n = 0 OR p.noted
        UNION ALL
        SELECT c.relation, NULL, NULL, NULL, NULL, NULL, c.n FROM counts c$q$, made, arms, counts)
    USING "from", "to", symbol COLLATE "C";
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.audit_candles(timestamptz, timestamptz, text) IS
'Stored candles of all levels that are not what the ticks say, among the buckets that lie within "from" and "to" as a whole, of one symbol or (NULL) all. pending: a refresh will compute them again anyway. A last row for each level says how many buckets the ticks make.';

-- +goose StatementBegin
CREATE FUNCTION _hypertick.audit_blocks("interval" text, "from" timestamptz, "to" timestamptz, symbol text DEFAULT NULL)
RETURNS SETOF _hypertick.drift
LANGUAGE plpgsql STABLE SET jit = off
AS $$
DECLARE
    l      record;
    source text;
    first  timestamptz;
    last   timestamptz;
    states CONSTANT text[] := '{first,last,high,low,volume,ema_12,ema_26,ema_50,ema_200,gain,loss,range,obv,mean,m2,min,max}';
    names  CONSTANT text := (SELECT pg_catalog.string_agg(pg_catalog.format('m.%I', n), ', ' ORDER BY o) FROM pg_catalog.unnest(states) WITH ORDINALITY u(n, o));
    made   CONSTANT text := (SELECT pg_catalog.string_agg(pg_catalog.format('(g.b).%1$I AS %1$I', n), ', ' ORDER BY o) FROM pg_catalog.unnest(states) WITH ORDINALITY u(n, o));
BEGIN
    SELECT a.* INTO l FROM _hypertick.audit_levels a WHERE a.blocks AND a.bar = audit_blocks."interval";
    SELECT a.stored INTO source FROM _hypertick.audit_levels a WHERE NOT a.blocks AND a.bar = audit_blocks."interval";
    IF source IS NULL OR l.stored IS NULL THEN
        RAISE EXCEPTION 'interval: want one of 1m, 5m, 15m, 1h, 1d, got %', pg_catalog.quote_nullable("interval")
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    first := public.time_bucket(l.width, greatest("from", l.whole_since) + l.width - INTERVAL '1 microsecond');
    -- A block that is forming changes with each of its bars.
    last := public.time_bucket(l.width, least("to", pg_catalog.now()));
    IF NOT first < last THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE pg_catalog.format($q$
        WITH made AS MATERIALIZED (
            SELECT g.symbol, g.bucket, (g.b).n AS bars, %1$s, g.last_bucket, g.closes, g.volumes
            FROM (
                SELECT c.symbol, public.time_bucket($1, c.bucket) AS bucket,
                       _hypertick.block_agg(c.high, c.low, c.close, c.volume ORDER BY c.bucket) AS b, pg_catalog.max(c.bucket) AS last_bucket,
                       pg_catalog.array_agg(c.close ORDER BY c.bucket) AS closes, pg_catalog.array_agg(c.volume ORDER BY c.bucket) AS volumes
                FROM %2$s c
                WHERE c.bucket >= $2 AND c.bucket < $3 AND ($4 IS NULL OR c.symbol = $4)
                GROUP BY 1, 2
            ) g
        ), waiting AS MATERIALIZED (SELECT w.* FROM _hypertick.audit_waiting w WHERE w.relation = $5), found AS (
            SELECT coalesce(s.symbol, e.symbol) AS symbol, coalesce(s.bucket, e.bucket) AS bucket,
                   CASE WHEN s.symbol IS NOT NULL THEN pg_catalog.to_jsonb(s) END AS stored,
                   CASE WHEN e.symbol IS NOT NULL THEN pg_catalog.to_jsonb(e) END AS expected
            FROM (SELECT m.symbol, m.bucket, m.bars, %3$s, m.last_bucket, m.closes, m.volumes
                  FROM %4$s m WHERE m.bucket >= $2 AND m.bucket < $3 AND ($4 IS NULL OR m.symbol = $4)) s
            FULL JOIN made e ON e.symbol = s.symbol AND e.bucket = s.bucket
            WHERE s IS DISTINCT FROM e
            UNION ALL
            SELECT m.symbol, m.bucket, pg_catalog.jsonb_build_object('rows', pg_catalog.count(*)), '{"rows": 1}'
            FROM %4$s m WHERE m.bucket >= $2 AND m.bucket < $3 AND ($4 IS NULL OR m.symbol = $4)
            GROUP BY m.symbol, m.bucket HAVING pg_catalog.count(*) > 1
        )
        SELECT $5, f.symbol::text, f.bucket,
               p.noted, d.stored_part, d.expected_part, NULL::bigint
        FROM found f
        CROSS JOIN LATERAL (
            SELECT pg_catalog.count(*) AS n, pg_catalog.bool_or(w.hi < 9223372036854775807) IS TRUE AS noted
            FROM waiting w
            WHERE w.relation = $5 AND w.lo < _timescaledb_functions.to_unix_microseconds(f.bucket + $1)
              AND w.hi >= _timescaledb_functions.to_unix_microseconds(f.bucket)
              AND (w.hi < 9223372036854775807 OR EXISTS (
                  SELECT FROM public.ticks t
                  WHERE t.symbol = f.symbol AND t.ts < f.bucket + $1
                    AND t.ts >= _timescaledb_functions.to_timestamp(greatest(w.lo, _timescaledb_functions.to_unix_microseconds(f.bucket)))))
        ) p
        CROSS JOIN LATERAL _hypertick.audit_diff(f.stored, f.expected, '{bars,first,last,high,low,min,max,last_bucket,rows}') d
        WHERE (d.stored_part IS NOT NULL OR d.expected_part IS NOT NULL) AND (p.n = 0 OR p.noted)
        UNION ALL
        SELECT $5, NULL, NULL, NULL, NULL, NULL, pg_catalog.count(*) FROM made$q$, made, source, names, l.stored)
    USING l.width, first, last, symbol COLLATE "C", l.relation;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.audit_blocks(text, timestamptz, timestamptz, text) IS
'Like audit_candles(), for the block states of one interval and the stored candles they are made from.';

-- The ticks of one symbol in the order of seq show at once what is there twice,
-- what is not there, and how far the feed has come.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.audit_seqs(of text, "from" timestamptz DEFAULT '-infinity', "to" timestamptz DEFAULT 'infinity')
RETURNS SETOF _hypertick.seq_finding
LANGUAGE plpgsql STABLE SET jit = off
AS $$
DECLARE
    -- Around a bounded range more is read: by ts, a tick may be out of order.
    margin  CONSTANT interval := INTERVAL '1 day';
    bounded CONSTANT boolean := "from" > '-infinity' OR "to" < 'infinity';
    oldest  CONSTANT timestamptz := CASE WHEN "from" > '-infinity' THEN "from" - margin ELSE "from" END;
    newest  CONSTANT timestamptz := CASE WHEN "to" < 'infinity' THEN "to" + margin ELSE "to" END;
    horizon CONSTANT timestamptz := (SELECT r.horizon FROM public.retention r WHERE r.relation = 'ticks');
    highest jsonb := '{}';
    r       record;
    n       bigint := 0;
    found   _hypertick.seq_finding;
    read    bigint := 0;
BEGIN
    FOR r IN
        SELECT w.* FROM (
            SELECT t.venue, t.seq, t.ts, pg_catalog.lag(t.seq) OVER o AS before, pg_catalog.lag(t.ts) OVER o AS before_ts,
                   pg_catalog.lead(t.seq) OVER o AS after, pg_catalog.count(*) OVER (PARTITION BY t.venue, t.seq) AS copies,
                   pg_catalog.count(*) OVER (PARTITION BY t.venue) AS ticks
            FROM (
                SELECT k.venue, k.seq, k.ts FROM public.ticks k
                WHERE k.symbol = of AND k.ts >= oldest AND k.ts < newest
                UNION ALL
                SELECT k.venue, k.seq, k.ts FROM public.late_ticks k
                WHERE k.symbol = of AND k.ts >= oldest AND k.ts < newest
            ) t
            WINDOW o AS (PARTITION BY t.venue ORDER BY t.seq, t.ts)
        ) w
        WHERE w.seq = w.before OR w.seq > w.before + 1 OR w.after IS NULL
        ORDER BY w.venue, w.seq, w.ts
    LOOP
        IF r.seq = r.before AND r.after IS DISTINCT FROM r.seq AND r.ts >= "from" AND r.before_ts < "to" THEN
            found := ROW('duplicate', r.venue, r.seq, r.seq, r.before_ts, r.copies, NULL);
            RETURN NEXT found;
        END IF;
        IF r.seq > r.before + 1 AND (r.ts >= "from" AND r.ts < "to" OR r.before_ts >= "from" AND r.before_ts < "to")
           -- Behind the horizon a tick may have gone though its neighbours are there.
           AND (horizon IS NULL OR least(r.ts, r.before_ts) >= horizon + margin)
           AND coalesce((SELECT v.contiguous FROM public.feed_venues v WHERE v.venue = r.venue), true) THEN
            IF bounded THEN
                SELECT pg_catalog.count(DISTINCT k.seq) INTO n FROM public.ticks k
                WHERE k.symbol = of AND k.venue = r.venue AND k.seq > r.before AND k.seq < r.seq;
            END IF;
            IF n < r.seq - r.before - 1 THEN
                -- What ingest saw missing never came; what it did not was there once.
                found := ROW(CASE WHEN EXISTS (SELECT FROM public.feed_gaps g WHERE g.symbol = of AND g.venue = r.venue
                    AND g.from_seq <= r.before + 1 AND g.to_seq >= r.seq - 1) THEN 'gap' ELSE 'hole' END,
                    r.venue, r.before + 1, r.seq - 1, r.before_ts, NULL, NULL);
                RETURN NEXT found;
            END IF;
        END IF;
        IF r.after IS NULL THEN
            highest := highest || pg_catalog.jsonb_build_object(r.venue, r.seq);
            read := read + r.ticks;
        END IF;
    END LOOP;
    FOR r IN
        SELECT coalesce(p.venue, h.key) AS venue, p.last_seq, p.last_ts, h.value::bigint AS seq
        FROM (SELECT f.* FROM public.feed_positions f WHERE f.symbol = of) p
        FULL JOIN pg_catalog.jsonb_each_text(highest) h ON h.key = p.venue
    LOOP
        -- A position that is too low lets a tick in again; one that is too high
        -- keeps ticks out. The latter shows only where all ticks were read.
        IF r.seq > coalesce(r.last_seq, 0) OR NOT bounded AND coalesce(r.seq, 0) < r.last_seq AND (horizon IS NULL OR r.last_ts >= horizon + margin) THEN
            found := ROW('position', r.venue, r.last_seq, r.seq, r.last_ts, NULL, NULL);
            RETURN NEXT found;
        END IF;
    END LOOP;
    found := ROW('checked', NULL, NULL, NULL, NULL, NULL, read);
    RETURN NEXT found;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.audit_seqs(text, timestamptz, timestamptz) IS
'What is wrong with the seqs of one symbol: duplicate (stored copies times), gap (missing, and ingest saw it), hole (missing, and ingest did not), position (feed_positions says from_seq, the ticks to_seq). A last row, checked, counts the ticks read.';

REVOKE EXECUTE ON FUNCTION _hypertick.audit_diff(jsonb, jsonb, text[]),
    _hypertick.audit_candles(timestamptz, timestamptz, text), _hypertick.audit_blocks(text, timestamptz, timestamptz, text),
    _hypertick.audit_seqs(text, timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.audit_diff(jsonb, jsonb, text[]),
    _hypertick.audit_candles(timestamptz, timestamptz, text), _hypertick.audit_blocks(text, timestamptz, timestamptz, text),
    _hypertick.audit_seqs(text, timestamptz, timestamptz) TO hypertick_reader, hypertick_writer;
-- The audit runs with the rights of whoever asks.
GRANT EXECUTE ON FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) TO hypertick_reader, hypertick_writer;

-- +goose Down
REVOKE EXECUTE ON FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) FROM hypertick_reader, hypertick_writer;
DROP FUNCTION _hypertick.audit_seqs(text, timestamptz, timestamptz);
DROP FUNCTION _hypertick.audit_blocks(text, timestamptz, timestamptz, text);
DROP FUNCTION _hypertick.audit_candles(timestamptz, timestamptz, text);
DROP FUNCTION _hypertick.audit_diff(jsonb, jsonb, text[]);
DROP TYPE _hypertick.seq_finding;
DROP TYPE _hypertick.drift;
DROP VIEW _hypertick.audit_waiting;
DROP VIEW _hypertick.audit_levels;

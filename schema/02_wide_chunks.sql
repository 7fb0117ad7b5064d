-- Wide chunks for thin history.
--
-- A chunk of ticks is seven days wide, which suits a market that trades. A history of daily
-- or weekly bars since 1970 would make thousands of chunks with a row or twenty in each:
-- 2,971 weekly ticks made 2,970 chunks, every plan and refresh went through all of them,
-- and the embedded database never answered again. So whoever stores old ticks calls
-- widen_history() before, and where there is no chunk yet it makes one of a decade, a
-- year or a quarter, in ticks and in every level of candles and blocks.
--
-- Only what is thin: a batch that is dense where it lies, or too short to tell, changes nothing, and
-- what is full by then keeps its chunks. Only what is old: retention drops whole chunks, and the
-- chunks that are live belong to ingest.

CREATE FUNCTION _hypertick.history_cell(at timestamptz, decades int) RETURNS tstzrange
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- The widest that is over, so that a late tick is rare in it.
    SELECT tstzrange(c.start AT TIME ZONE 'UTC', c.until AT TIME ZONE 'UTC')
    FROM (SELECT at AT TIME ZONE 'UTC') u(t),
    LATERAL (VALUES
        (1, make_timestamp((extract(year FROM u.t)::int / (10 * decades)) * 10 * decades, 1, 1, 0, 0, 0),
            make_timestamp((extract(year FROM u.t)::int / (10 * decades) + 1) * 10 * decades, 1, 1, 0, 0, 0)),
        (2, date_trunc('year', u.t), date_trunc('year', u.t) + INTERVAL '1 year'),
        (3, date_trunc('quarter', u.t), date_trunc('quarter', u.t) + INTERVAL '3 months')) c(rank, start, until)
    WHERE c.until AT TIME ZONE 'UTC' < now() - INTERVAL '35 days'
    ORDER BY c.rank LIMIT 1
$$;
COMMENT ON FUNCTION _hypertick.history_cell(timestamptz, int) IS
    'The time that a wide chunk around a moment would take: decades, a year or a quarter. NULL: it is too recent.';

CREATE VIEW _hypertick.wide_chunks AS
SELECT c.range_start, c.range_end
FROM timescaledb_information.chunks c
WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'ticks'
  AND c.range_end - c.range_start > INTERVAL '35 days';
COMMENT ON VIEW _hypertick.wide_chunks IS 'Chunks of ticks that widen_history() made.';
COMMENT ON COLUMN _hypertick.wide_chunks.range_start IS 'Start of the chunk.';
COMMENT ON COLUMN _hypertick.wide_chunks.range_end IS 'End of the chunk, exclusive.';

-- The lock is the one that every maker of a chunk takes: nobody makes one between the look
-- and create_chunk(), which refuses ranges that overlap. It does not stop inserts.
CREATE FUNCTION _hypertick.widen_chunk(relation regclass, at timestamptz, decades int) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    cell   CONSTANT tstzrange := _hypertick.history_cell(at, decades);
    low    timestamptz := lower(cell);
    high   timestamptz := upper(cell);
    known  record;
BEGIN
    IF cell IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', relation);
    SELECT d.column_name, d.time_interval AS width, c.before, c.after, c.covered INTO known
    FROM timescaledb_information.dimensions d
    CROSS JOIN LATERAL (
        SELECT max(c.range_end) FILTER (WHERE c.range_end <= at) AS before,
               min(c.range_start) FILTER (WHERE c.range_start > at) AS after,
               bool_or(c.range_start <= at AND c.range_end > at) AS covered
        FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = d.hypertable_schema AND c.hypertable_name = d.hypertable_name) c
    WHERE format('%I.%I', d.hypertable_schema, d.hypertable_name)::regclass = relation;
    low := greatest(low, known.before);
    high := least(high, known.after);
    -- TimescaleDB's own chunks are as good where there is little room.
    IF known.covered OR high - low < 2 * known.width THEN
        RETURN false;
    END IF;
    -- As TimescaleDB writes time: microseconds since 1970.
    PERFORM _timescaledb_functions.create_chunk(relation, jsonb_build_object(known.column_name, jsonb_build_array(
        (extract(epoch FROM low) * 1e6)::bigint, (extract(epoch FROM high) * 1e6)::bigint)));
    RETURN true;
EXCEPTION
    -- A refresh that is at work makes its own chunk; the next batch comes here again.
    WHEN lock_not_available THEN
        RETURN false;
END
$$;
COMMENT ON FUNCTION _hypertick.widen_chunk(regclass, timestamptz, int) IS
    'Makes one wide chunk around a moment, between the chunks there are. False: there is one, or no room.';

CREATE FUNCTION widen_history(oldest timestamptz, newest timestamptz, ticks bigint) RETURNS int
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- A batch that lies within a month is no proof of anything.
    thin  CONSTANT boolean := newest - oldest >= INTERVAL '30 days'
                              AND ticks * 7 * 86400 / extract(epoch FROM newest - oldest) < 200000; -- a week
    -- What retention has reached is not stored.
    wanted CONSTANT tstzrange := tstzrange(least(greatest(oldest, public.tick_horizon()), newest), newest, '[]');
    gap    tstzrange;
    at     timestamptz;
    cell   tstzrange;
    level  record;
    tiny   bigint;
    made   int := 0;
BEGIN
    FOR gap IN
        SELECT unnest(tstzmultirange(wanted) - coalesce(range_agg(tstzrange(c.range_start, c.range_end)), '{}'))
        FROM timescaledb_information.chunks c
        WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'ticks'
    LOOP
        at := lower(gap);
        WHILE at <= upper(gap) LOOP
            cell := _hypertick.history_cell(at, 1);
            EXIT WHEN cell IS NULL;
            IF NOT thin THEN
                -- Ticks that come one at a time prove it by the chunks they leave behind.
                SELECT count(*) INTO tiny
                FROM timescaledb_information.chunks c
                WHERE c.hypertable_schema = 'public' AND c.hypertable_name = 'ticks' AND NOT c.is_compressed
                  AND c.range_start >= lower(cell) AND c.range_end <= upper(cell)
                  AND pg_relation_size(to_regclass(format('%I.%I', c.chunk_schema, c.chunk_name))) <= 65536;
            END IF;
            IF (thin OR tiny >= 4) AND _hypertick.widen_chunk('public.ticks', at, 1) THEN
                made := made + 1;
                FOR level IN
                    SELECT format('%I.%I', h.schema_name, h.table_name)::regclass AS relation
                    FROM _timescaledb_catalog.continuous_agg g
                    JOIN _timescaledb_catalog.hypertable h ON h.id = g.mat_hypertable_id
                    JOIN public.intervals i
                      ON g.user_view_schema = 'public' AND g.user_view_name = 'candles_' || i."interval"
                      OR g.user_view_schema = '_hypertick' AND g.user_view_name = 'blocks_' || i."interval"
                    ORDER BY h.id
                LOOP
                    -- Fewer rows than ticks, so twice as wide.
                    IF _hypertick.widen_chunk(level.relation, at, 2) THEN
                        made := made + 1;
                    END IF;
                END LOOP;
            END IF;
            at := upper(cell);
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
COMMENT ON FUNCTION widen_history(timestamptz, timestamptz, bigint) IS
    'For a batch of so many ticks between two times, before it is stored: makes wide chunks where it is old and thin '
    'and no chunk is. Returns how many. Call it in a transaction of its own.';

REVOKE EXECUTE ON FUNCTION
    _hypertick.history_cell(timestamptz, int), _hypertick.widen_chunk(regclass, timestamptz, int),
    widen_history(timestamptz, timestamptz, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION widen_history(timestamptz, timestamptz, bigint) TO hypertick_writer;

-- Generated from schema/ by make baseline. DO NOT EDIT: edit schema/.
-- +goose Up
-- Until 0.1.0 a database is not upgraded from one baseline to the next.
-- +goose StatementBegin
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = '_hypertick') THEN
        RAISE EXCEPTION 'this database was made by another baseline: make a new one, or empty it with the program that made it (hypertick migrate --down-to 0)';
    END IF;
END
$$;
-- +goose StatementEnd

-- 01_roles.sql ----------------------------------------------------------------

-- The extension, the roles everything else is granted to, and the schemas.
CREATE EXTENSION IF NOT EXISTS timescaledb;

-- Roles belong to the cluster, not to the database: another database of the
-- same server may have made them already, perhaps at this very moment. What is
-- right already is not touched: its row would stay locked until this migration
-- ends, and every other one would wait.
-- +goose StatementBegin
DO $$
DECLARE
    role record;
    line text;
BEGIN
    FOR role IN
        SELECT * FROM (VALUES
            ('hypertick_reader', ARRAY['statement_timeout=15s', 'default_transaction_read_only=on'],
             'Hypertick: reads everything public, writes nothing. For the API and Grafana. '
             'No password until one is set.'),
            ('hypertick_writer', '{}',
             'Hypertick: appends ticks and moves ingest positions. For ingest. No password until one is set.'),
            ('hypertick_operator', ARRAY['statement_timeout=15s'],
             'Hypertick: reads everything public, writes alert rules and the state of notifications. '
             'For the API''s writes and the notifier. No password until one is set.')
        ) r(name, settings, comment)
    LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role.name) THEN
                EXECUTE format('CREATE ROLE %I LOGIN', role.name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        BEGIN
            FOR line IN
                SELECT s.line FROM unnest(role.settings) s(line)
                WHERE NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role.name AND s.line = ANY (r.rolconfig))
            LOOP
                EXECUTE format('ALTER ROLE %I SET %I = %L', role.name,
                               split_part(line, '=', 1), split_part(line, '=', 2));
            END LOOP;
            IF (SELECT shobj_description(r.oid, 'pg_authid') FROM pg_roles r WHERE r.rolname = role.name)
               IS DISTINCT FROM role.comment THEN
                EXECUTE format('COMMENT ON ROLE %I IS %L', role.name, role.comment);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF sqlerrm !~ 'tuple concurrently updated' THEN
                RAISE;
            END IF;
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd
GRANT USAGE ON SCHEMA public TO hypertick_writer, hypertick_reader, hypertick_operator;
CREATE SCHEMA _hypertick;
COMMENT ON SCHEMA _hypertick IS 'Private helpers of Hypertick. They may change with every release.';
GRANT USAGE ON SCHEMA _hypertick TO hypertick_writer, hypertick_reader, hypertick_operator;
CREATE SCHEMA indicator;
COMMENT ON SCHEMA indicator IS
    'Indicators: every function that takes (symbol, interval, from, to, ...) and returns SETOF indicator.point is '
    'one. Also the mergeable states they are computed from.';
GRANT USAGE ON SCHEMA indicator TO hypertick_reader, hypertick_writer, hypertick_operator;

-- A migration that adds an indicator needs no GRANT.
ALTER DEFAULT PRIVILEGES IN SCHEMA indicator GRANT EXECUTE ON FUNCTIONS TO hypertick_reader, hypertick_writer;
ALTER DEFAULT PRIVILEGES IN SCHEMA indicator GRANT SELECT ON TABLES TO hypertick_reader, hypertick_writer;
CREATE SCHEMA alert;
COMMENT ON SCHEMA alert IS 'Alert rules, the events they found, and the notifications about them.';
GRANT USAGE ON SCHEMA alert TO hypertick_reader, hypertick_operator;

-- Which baseline made this database. Until 0.1.0 a database of another one is
-- not upgraded but refused; the baseline migration inserts the row.
CREATE TABLE _hypertick.baseline (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    checksum text    NOT NULL
);
COMMENT ON TABLE _hypertick.baseline IS 'The baseline migration that made this database: one row.';
COMMENT ON COLUMN _hypertick.baseline.one IS 'Always true.';
COMMENT ON COLUMN _hypertick.baseline.checksum IS 'SHA-256 of the baseline.';
GRANT SELECT ON _hypertick.baseline TO hypertick_reader, hypertick_writer, hypertick_operator;

-- 02_ticks.sql ----------------------------------------------------------------

-- The raw trades.
--
-- No unique constraint: TimescaleDB's direct-to-columnstore COPY is skipped
-- where one exists, and duplicates are stopped before they get here, by seq.
-- One index, because the index is the largest cost of ingest.
-- Collation "C": a symbol is a code, and comparing bytes is what an index does
-- fastest.
CREATE TABLE ticks (
    ts     timestamptz      NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    price  float8           NOT NULL,
    size   float8           NOT NULL,
    seq    bigint           NOT NULL,
    venue  text COLLATE "C" NOT NULL,
    -- Narrow, and last: a row without them is as wide as one that never had them.
    side     smallint,
    flags    int            NOT NULL DEFAULT 0,
    -- Milliseconds in a bigint: the columnstore keeps a timestamp per tick in 4.9
    -- bytes, this in 1.3 (2 M ticks of 200 symbols, native 2.29).
    known_ms bigint         NOT NULL DEFAULT (date_part('epoch', now()) * 1000)::bigint,
    CONSTRAINT ticks_ts_check CHECK (ts >= '1900-01-01Z'),
    CONSTRAINT ticks_price_check CHECK (price = 0 OR abs(price) BETWEEN 1e-15 AND 1e15),
    CONSTRAINT ticks_size_check CHECK (size = 0 OR size BETWEEN 1e-15 AND 1e15),
    CONSTRAINT ticks_symbol_check CHECK (octet_length(symbol) BETWEEN 1 AND 64),
    CONSTRAINT ticks_side_check CHECK (side IN (-1, 1))
);

-- Seven days suit up to some thousand ticks a second on a small server; for
-- more: SELECT set_chunk_time_interval('ticks', INTERVAL '1 day').
SELECT create_hypertable('ticks', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);
CREATE INDEX ticks_symbol_ts_idx ON ticks (symbol, ts DESC);
COMMENT ON TABLE ticks IS 'Every trade once, as it came from the feeds.';
COMMENT ON COLUMN ticks.ts IS 'Trade time, in microseconds.';
COMMENT ON COLUMN ticks.symbol IS '1 to 64 bytes of printable UTF-8, without a space at either end.';
COMMENT ON COLUMN ticks.price IS
    'In the quote currency. At or below 0 only where instruments or feed_venues allow it.';
COMMENT ON COLUMN ticks.size IS 'Units traded, at least 0.';
COMMENT ON COLUMN ticks.seq IS
    'Number of the trade at its source, per venue and symbol. Orders ticks of the same ts.';
COMMENT ON COLUMN ticks.venue IS 'Where the trade took place, 1 to 16 characters.';
COMMENT ON COLUMN ticks.side IS '1: the buyer began the trade, -1: the seller did, NULL: not known.';
COMMENT ON COLUMN ticks.flags IS
    'What the trade does not move, and what it is: see trade_flags. 0 for most.';
COMMENT ON COLUMN ticks.known_ms IS
    'When the tick was stored here, in milliseconds since 1970. As a time: known_at(ticks), or t.known_at.';
COMMENT ON INDEX ticks_symbol_ts_idx IS 'Serves reads of one symbol over time, and the refresh of its candles.';
GRANT SELECT ON ticks TO hypertick_reader, hypertick_writer;
GRANT INSERT ON ticks TO hypertick_writer;
CREATE FUNCTION known_at(tick ticks) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(tick.known_ms / 1000.0::float8);
COMMENT ON FUNCTION known_at(ticks) IS 'When a tick was stored here. SELECT t.known_at FROM ticks t.';
REVOKE EXECUTE ON FUNCTION known_at(ticks) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION known_at(ticks) TO hypertick_reader, hypertick_writer;

-- A tick that comes long after its time would, inside a batch of live ones,
-- invalidate everything between: an invalidated range spans the oldest and the
-- newest row of its transaction, for all symbols. So ingest puts it here in the
-- same transaction, and a job moves it on in one of its own.
CREATE TABLE late_ticks (
    ts     timestamptz      NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    price  float8           NOT NULL,
    size   float8           NOT NULL,
    seq    bigint           NOT NULL,
    venue  text COLLATE "C" NOT NULL,
    side   smallint,
    flags  int              NOT NULL DEFAULT 0,
    -- A row that ticks would refuse must not wait here for ever.
    CHECK (ts >= '1900-01-01Z' AND octet_length(symbol) BETWEEN 1 AND 64
           AND (price = 0 OR abs(price) BETWEEN 1e-15 AND 1e15) AND (size = 0 OR size BETWEEN 1e-15 AND 1e15)
           AND (side IN (-1, 1)) IS NOT FALSE)
);
CREATE INDEX late_ticks_ts_idx ON late_ticks (ts);
COMMENT ON TABLE late_ticks IS 'Late ticks on their way into ticks. A job moves them within seconds.';
COMMENT ON COLUMN late_ticks.ts IS 'See ticks.ts.';
COMMENT ON COLUMN late_ticks.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN late_ticks.price IS 'See ticks.price.';
COMMENT ON COLUMN late_ticks.size IS 'See ticks.size.';
COMMENT ON COLUMN late_ticks.seq IS 'See ticks.seq.';
COMMENT ON COLUMN late_ticks.venue IS 'See ticks.venue.';
COMMENT ON COLUMN late_ticks.side IS 'See ticks.side.';
COMMENT ON COLUMN late_ticks.flags IS 'See ticks.flags.';
COMMENT ON INDEX late_ticks_ts_idx IS 'Lets the job take the oldest ticks first.';
GRANT SELECT ON late_ticks TO hypertick_reader, hypertick_writer;
GRANT INSERT ON late_ticks TO hypertick_writer;

-- Columnstore: a compressed tick is about 14 bytes. Late ticks are stored in
-- the row store until the policy compresses them too.
ALTER TABLE ticks SET (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'ts, seq');
CALL add_columnstore_policy('ticks', after => INTERVAL '7 days', schedule_interval => INTERVAL '1 hour');

-- 02_wide_chunks.sql ----------------------------------------------------------

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
-- +goose StatementBegin
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
-- +goose StatementEnd
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
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.widen_chunk(regclass, timestamptz, int) IS
    'Makes one wide chunk around a moment, between the chunks there are. False: there is one, or no room.';
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION widen_history(timestamptz, timestamptz, bigint) IS
    'For a batch of so many ticks between two times, before it is stored: makes wide chunks where it is old and thin '
    'and no chunk is. Returns how many. Call it in a transaction of its own.';
REVOKE EXECUTE ON FUNCTION
    _hypertick.history_cell(timestamptz, int), _hypertick.widen_chunk(regclass, timestamptz, int),
    widen_history(timestamptz, timestamptz, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION widen_history(timestamptz, timestamptz, bigint) TO hypertick_writer;

-- 03_calendars.sql ------------------------------------------------------------

-- Trading calendars. A calendar is a zone, rules (the regular hours of periods
-- and weekdays) and exceptions (holidays, early closes, late opens). sessions is
-- what they come to: one row for each trading day, made by make_sessions().
--
-- Rules and exceptions of the calendars that come with Hypertick are generated
-- from the PyPI package exchange_calendars: see calendar/.
CREATE TABLE calendars (
    calendar  text PRIMARY KEY CHECK (calendar ~ '^[A-Za-z0-9][A-Za-z0-9/_-]{0,15}$'),
    name      text     NOT NULL,
    zone      text     NOT NULL,
    day_shift interval NOT NULL DEFAULT '0' CHECK (day_shift >= '0' AND day_shift < '24 hours'),
    first_day date     NOT NULL,
    last_day  date     NOT NULL,
    version   bigint   NOT NULL DEFAULT 1,
    CHECK (first_day <= last_day)
);
COMMENT ON TABLE calendars IS 'Trading calendars. 24x7 has no sessions: its day is the UTC day.';
COMMENT ON COLUMN calendars.calendar IS 'Market identifier code (ISO 10383) where there is one.';
COMMENT ON COLUMN calendars.name IS 'What it is called.';
COMMENT ON COLUMN calendars.zone IS 'IANA time zone that its hours are in.';
COMMENT ON COLUMN calendars.day_shift IS
    'Local time that has to be added to an instant so that its date is the trading day: 7 hours where a day begins at '
    '17:00 the evening before.';
COMMENT ON COLUMN calendars.first_day IS 'First day that it knows.';
COMMENT ON COLUMN calendars.last_day IS 'Last day that it knows. Later days have no session.';
COMMENT ON COLUMN calendars.version IS 'Rises when a session changes.';
GRANT SELECT ON calendars TO hypertick_reader, hypertick_writer, hypertick_operator;
CREATE TABLE calendar_rules (
    calendar    text     NOT NULL REFERENCES calendars ON DELETE CASCADE,
    from_day    date     NOT NULL,
    to_day      date     NOT NULL,
    weekdays    int[]    NOT NULL,
    opens       interval NOT NULL,
    closes      interval NOT NULL,
    break_start interval,
    break_end   interval,
    pre_opens   interval,
    post_closes interval,
    PRIMARY KEY (calendar, from_day, weekdays),
    CHECK (opens < closes AND (break_start IS NULL) = (break_end IS NULL)
           AND (break_start > opens AND break_end > break_start AND closes > break_end) IS NOT FALSE
           AND (pre_opens <= opens) IS NOT FALSE AND (post_closes >= closes) IS NOT FALSE)
);
COMMENT ON TABLE calendar_rules IS 'Regular hours of a calendar, by period and weekday.';
COMMENT ON COLUMN calendar_rules.calendar IS 'See calendars.calendar.';
COMMENT ON COLUMN calendar_rules.from_day IS 'First day of the period.';
COMMENT ON COLUMN calendar_rules.to_day IS 'Last day of the period.';
COMMENT ON COLUMN calendar_rules.weekdays IS 'Weekdays, 1 is Monday and 7 Sunday.';
-- +goose StatementBegin
COMMENT ON COLUMN calendar_rules.opens IS
    'Local time after the midnight that begins the day; below 0 the evening before.';
-- +goose StatementEnd
COMMENT ON COLUMN calendar_rules.closes IS 'Local time after the same midnight.';
COMMENT ON COLUMN calendar_rules.break_start IS 'Start of the break. NULL: none.';
COMMENT ON COLUMN calendar_rules.break_end IS 'End of the break.';
COMMENT ON COLUMN calendar_rules.pre_opens IS 'Start of trading before the open. NULL: none.';
COMMENT ON COLUMN calendar_rules.post_closes IS 'End of trading after the close. NULL: none.';
GRANT SELECT ON calendar_rules TO hypertick_reader, hypertick_writer, hypertick_operator;
CREATE TABLE calendar_exceptions (
    calendar    text NOT NULL REFERENCES calendars ON DELETE CASCADE,
    day         date NOT NULL,
    closed      boolean NOT NULL,
    opens       interval,
    closes      interval,
    break_start interval,
    break_end   interval,
    no_break    boolean NOT NULL DEFAULT false,
    added       boolean NOT NULL DEFAULT false,
    note        text,
    PRIMARY KEY (calendar, day)
);
COMMENT ON TABLE calendar_exceptions IS
    'Days that differ from the rules: closed, or open at other times, also where no rule has a session.';
COMMENT ON COLUMN calendar_exceptions.calendar IS 'See calendars.calendar.';
COMMENT ON COLUMN calendar_exceptions.day IS 'The trading day.';
COMMENT ON COLUMN calendar_exceptions.closed IS 'Whether there is no session.';
COMMENT ON COLUMN calendar_exceptions.opens IS 'See calendar_rules.opens. NULL: as the rule says.';
COMMENT ON COLUMN calendar_exceptions.closes IS 'See calendar_rules.closes. NULL: as the rule says.';
COMMENT ON COLUMN calendar_exceptions.break_start IS 'See calendar_rules.break_start. NULL: as the rule says.';
COMMENT ON COLUMN calendar_exceptions.break_end IS 'See calendar_rules.break_end. NULL: as the rule says.';
COMMENT ON COLUMN calendar_exceptions.no_break IS 'Whether the break of the rule is left out.';
COMMENT ON COLUMN calendar_exceptions.added IS 'Whether a person added it, rather than a release.';
COMMENT ON COLUMN calendar_exceptions.note IS 'Why.';
GRANT SELECT ON calendar_exceptions TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT, UPDATE, DELETE ON calendar_exceptions TO hypertick_operator;
CREATE TABLE sessions (
    calendar    text        NOT NULL REFERENCES calendars ON DELETE CASCADE,
    day         date        NOT NULL,
    opens       timestamptz NOT NULL,
    closes      timestamptz NOT NULL,
    break_start timestamptz,
    break_end   timestamptz,
    pre_opens   timestamptz NOT NULL,
    post_closes timestamptz NOT NULL,
    kind        text        NOT NULL CHECK (kind IN ('regular', 'early_close', 'late_open', 'special')),
    PRIMARY KEY (calendar, day)
);
CREATE INDEX sessions_closes_idx ON sessions (calendar, post_closes);
COMMENT ON TABLE sessions IS
    'Trading days of the calendars that are in use, made of rules and exceptions. Do not write to it: see '
    'calendar_exceptions.';
COMMENT ON COLUMN sessions.calendar IS 'See calendars.calendar.';
COMMENT ON COLUMN sessions.day IS 'The trading day.';
COMMENT ON COLUMN sessions.opens IS 'Start of the regular session.';
COMMENT ON COLUMN sessions.closes IS 'End of the regular session: the first instant that does not belong to it.';
COMMENT ON COLUMN sessions.break_start IS 'Start of the break. NULL: none.';
COMMENT ON COLUMN sessions.break_end IS 'End of the break.';
-- +goose StatementBegin
COMMENT ON COLUMN sessions.pre_opens IS 'Start of extended trading; opens where there is none.';
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON COLUMN sessions.post_closes IS 'End of extended trading; closes where there is none.';
-- +goose StatementEnd
COMMENT ON COLUMN sessions.kind IS
    'regular, or an exception: early_close, late_open, special (both, or an unusual day).';
COMMENT ON INDEX sessions_closes_idx IS 'Serves the search for the session at or after a time.';
GRANT SELECT ON sessions TO hypertick_reader, hypertick_writer, hypertick_operator;

-- 03_calendars_data.sql -------------------------------------------------------

-- Generated from calendar/calendars.txt by go run ./calendar/gen. DO NOT EDIT.
--
-- Rows of the calendars that come with Hypertick.
INSERT INTO calendars (calendar, name, zone, day_shift, first_day, last_day) VALUES
    ('24x7', 'Always open', 'UTC', '00:00', '1900-01-01', '9999-12-31'),
    ('CMES', 'CME Globex', 'America/Chicago', '07:00', '1990-01-01', '2035-12-31'),
    ('FX', 'Foreign exchange, 24 hours on weekdays', 'UTC', '00:00', '1990-01-01', '2035-12-31'),
    ('XASX', 'ASX, Sydney', 'Australia/Sydney', '00:00', '1990-01-01', '2035-12-31'),
    ('XETR', 'Xetra, Frankfurt', 'Europe/Berlin', '00:00', '1990-01-01', '2035-12-31'),
    ('XHKG', 'Hong Kong Stock Exchange', 'Asia/Hong_Kong', '00:00', '1990-01-01', '2035-12-31'),
    ('XLON', 'London Stock Exchange', 'Europe/London', '00:00', '1990-01-01', '2035-12-31'),
    ('XNAS', 'Nasdaq', 'America/New_York', '00:00', '1990-01-01', '2035-12-31'),
    ('XNSE', 'National Stock Exchange of India', 'Asia/Kolkata', '00:00', '1997-01-01', '2026-12-31'),
    ('XNYS', 'New York Stock Exchange', 'America/New_York', '00:00', '1990-01-01', '2035-12-31'),
    ('XPAR', 'Euronext Paris', 'Europe/Paris', '00:00', '1990-01-01', '2035-12-31'),
    ('XTKS', 'Tokyo Stock Exchange', 'Asia/Tokyo', '00:00', '1997-01-01', '2035-12-31'),
    ('XTSE', 'Toronto Stock Exchange', 'America/Toronto', '00:00', '1990-01-01', '2035-12-31');
INSERT INTO calendar_rules (calendar, from_day, to_day, weekdays, opens, closes,
                            break_start, break_end, pre_opens, post_closes) VALUES
    ('CMES', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '-07:00', '17:00', NULL, NULL, NULL, NULL),
    ('FX', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '00:00', '24:00', NULL, NULL, NULL, NULL),
    ('XASX', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '10:00', '16:00', NULL, NULL, NULL, NULL),
    ('XETR', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '09:00', '17:30', NULL, NULL, NULL, NULL),
    ('XHKG', '1990-01-01', '2011-03-06', '{1,2,3,4,5}', '10:00', '16:00', '12:00', '13:00', NULL, NULL),
    ('XHKG', '2011-03-07', '2035-12-31', '{1,2,3,4,5}', '09:30', '16:00', '12:00', '13:00', NULL, NULL),
    ('XLON', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '08:00', '16:30', NULL, NULL, NULL, NULL),
    ('XNAS', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '09:30', '16:00', NULL, NULL, '04:00', '20:00'),
    ('XNSE', '1997-01-01', '2026-12-31', '{1,2,3,4,5}', '09:15', '15:30', NULL, NULL, NULL, NULL),
    ('XNYS', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '09:30', '16:00', NULL, NULL, '04:00', '20:00'),
    ('XPAR', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '09:00', '17:30', NULL, NULL, NULL, NULL),
    ('XTKS', '1997-01-01', '2024-11-04', '{1,2,3,4,5}', '09:00', '15:00', '11:30', '12:30', NULL, NULL),
    ('XTKS', '2024-11-05', '2035-12-31', '{1,2,3,4,5}', '09:00', '15:30', '11:30', '12:30', NULL, NULL),
    ('XTSE', '1990-01-01', '2035-12-31', '{1,2,3,4,5}', '09:30', '16:00', NULL, NULL, NULL, NULL);

-- A line is a calendar, a year, the hours where it is open, and days.
INSERT INTO calendar_exceptions (calendar, day, closed, opens, closes)
SELECT line[1], (line[2] || '-' || day)::date, line[3] = 'closed',
       nullif(split_part(hours, '..', 1), '')::interval, nullif(split_part(hours, '..', 2), '')::interval
FROM (SELECT string_to_array(line, ' ') AS line FROM string_to_table($calendars$CMES 1990 closed 01-01 04-13 12-25
CMES 1990 ..12:00 02-19 05-28 07-04 09-03 11-22 12-24
CMES 1991 closed 01-01 03-29 12-25
CMES 1991 ..12:00 02-18 05-27 07-04 09-02 11-28 12-24
CMES 1992 closed 01-01 04-17 12-25
CMES 1992 ..12:00 02-17 05-25 07-03 09-07 11-26 12-24
CMES 1993 closed 01-01 04-09 12-24
CMES 1993 ..12:00 02-15 05-31 07-05 09-06 11-25 11-26
CMES 1994 ..12:00 02-21 05-30 07-04 09-05 11-24 11-25
CMES 1994 closed 04-01 04-27 12-26
CMES 1995 closed 01-02 04-14 12-25
CMES 1995 ..12:00 02-20 05-29 07-04 09-04 11-23 11-24
CMES 1996 closed 01-01 04-05 12-25
CMES 1996 ..12:00 02-19 05-27 07-04 09-02 11-28 11-29 12-24
CMES 1997 closed 01-01 03-28 12-25
CMES 1997 ..12:00 02-17 05-26 07-04 09-01 11-27 11-28 12-24
CMES 1998 closed 01-01 04-10 12-25
CMES 1998 ..12:00 01-19 02-16 05-25 07-03 09-07 11-26 11-27 12-24
CMES 1999 closed 01-01 04-02 12-24
CMES 1999 ..12:00 01-18 02-15 05-31 07-05 09-06 11-25 11-26
CMES 2000 ..12:00 01-17 02-21 05-29 07-04 09-04 11-23 11-24
CMES 2000 closed 04-21 12-25
CMES 2001 closed 01-01 04-13 12-25
CMES 2001 ..12:00 01-15 02-19 05-28 07-04 09-03 11-22 11-23 12-24
CMES 2002 closed 01-01 03-29 12-25
CMES 2002 ..12:00 01-21 02-18 05-27 07-04 09-02 11-28 11-29 12-24
CMES 2003 closed 01-01 04-18 12-25
CMES 2003 ..12:00 01-20 02-17 05-26 07-04 09-01 11-27 11-28 12-24
CMES 2004 closed 01-01 04-09 06-11 12-24
CMES 2004 ..12:00 01-19 02-16 05-31 07-05 09-06 11-25 11-26
CMES 2005 ..12:00 01-17 02-21 05-30 07-04 09-05 11-24 11-25
CMES 2005 closed 03-25 12-26
CMES 2006 closed 01-02 04-14 12-25
CMES 2006 ..12:00 01-16 02-20 05-29 07-04 09-04 11-23 11-24
CMES 2007 closed 01-01 01-02 04-06 12-25
CMES 2007 ..12:00 01-15 02-19 05-28 07-04 09-03 11-22 11-23 12-24
CMES 2008 closed 01-01 03-21 12-25
CMES 2008 ..12:00 01-21 02-18 05-26 07-04 09-01 11-27 11-28 12-24
CMES 2009 closed 01-01 04-10 12-25
CMES 2009 ..12:00 01-19 02-16 05-25 07-03 09-07 11-26 11-27 12-24
CMES 2010 closed 01-01 04-02 12-24
CMES 2010 ..12:00 01-18 02-15 05-31 07-05 09-06 11-25 11-26
CMES 2011 ..12:00 01-17 02-21 05-30 07-04 09-05 11-24 11-25
CMES 2011 closed 04-22 12-26
CMES 2012 closed 01-02 04-06 12-25
CMES 2012 ..12:00 01-16 02-20 05-28 07-04 09-03 11-22 11-23 12-24
CMES 2013 closed 01-01 03-29 12-25
CMES 2013 ..12:00 01-21 02-18 05-27 07-04 09-02 11-28 11-29 12-24
CMES 2014 closed 01-01 04-18 12-25
CMES 2014 ..12:00 01-20 02-17 05-26 07-04 09-01 11-27 11-28 12-24
CMES 2015 closed 01-01 04-03 12-25
CMES 2015 ..12:00 01-19 02-16 05-25 07-03 09-07 11-26 11-27 12-24
CMES 2016 closed 01-01 03-25 12-26
CMES 2016 ..12:00 01-18 02-15 05-30 07-04 09-05 11-24 11-25
CMES 2017 closed 01-02 04-14 12-25
CMES 2017 ..12:00 01-16 02-20 05-29 07-04 09-04 11-23 11-24
CMES 2018 closed 01-01 03-30 12-05 12-25
CMES 2018 ..12:00 01-15 02-19 05-28 07-04 09-03 11-22 11-23 12-24
CMES 2019 closed 01-01 04-19 12-25
CMES 2019 ..12:00 01-21 02-18 05-27 07-04 09-02 11-28 11-29 12-24
CMES 2020 closed 01-01 04-10 12-25
CMES 2020 ..12:00 01-20 02-17 05-25 07-03 09-07 11-26 11-27 12-24
CMES 2021 closed 01-01 04-02 12-24
CMES 2021 ..12:00 01-18 02-15 05-31 07-05 09-06 11-25 11-26
CMES 2022 ..12:00 01-17 02-21 05-30 07-04 09-05 11-24 11-25
CMES 2022 closed 04-15 12-26
CMES 2023 closed 01-02 04-07 12-25
CMES 2023 ..12:00 01-16 02-20 05-29 07-04 09-04 11-23 11-24
CMES 2024 closed 01-01 03-29 12-25
CMES 2024 ..12:00 01-15 02-19 05-27 07-04 09-02 11-28 11-29 12-24
CMES 2025 closed 01-01 01-09 04-18 12-25
CMES 2025 ..12:00 01-20 02-17 05-26 07-04 09-01 11-27 11-28 12-24
CMES 2026 closed 01-01 04-03 12-25
CMES 2026 ..12:00 01-19 02-16 05-25 07-03 09-07 11-26 11-27 12-24
CMES 2027 closed 01-01 03-26 12-24
CMES 2027 ..12:00 01-18 02-15 05-31 07-05 09-06 11-25 11-26
CMES 2028 ..12:00 01-17 02-21 05-29 07-04 09-04 11-23 11-24
CMES 2028 closed 04-14 12-25
CMES 2029 closed 01-01 03-30 12-25
CMES 2029 ..12:00 01-15 02-19 05-28 07-04 09-03 11-22 11-23 12-24
CMES 2030 closed 01-01 04-19 12-25
CMES 2030 ..12:00 01-21 02-18 05-27 07-04 09-02 11-28 11-29 12-24
CMES 2031 closed 01-01 04-11 12-25
CMES 2031 ..12:00 01-20 02-17 05-26 07-04 09-01 11-27 11-28 12-24
CMES 2032 closed 01-01 03-26 12-24
CMES 2032 ..12:00 01-19 02-16 05-31 07-05 09-06 11-25 11-26
CMES 2033 ..12:00 01-17 02-21 05-30 07-04 09-05 11-24 11-25
CMES 2033 closed 04-15 12-26
CMES 2034 closed 01-02 04-07 12-25
CMES 2034 ..12:00 01-16 02-20 05-29 07-04 09-04 11-23 11-24
CMES 2035 closed 01-01 03-23 12-25
CMES 2035 ..12:00 01-15 02-19 05-28 07-04 09-03 11-22 11-23 12-24
XASX 1990 closed 01-01 01-29 04-13 04-16 04-25 06-11 12-25 12-26 12-31
XASX 1991 closed 01-01 01-28 03-29 04-01 04-25 06-10 12-25 12-26
XASX 1992 closed 01-01 01-27 04-17 04-20 06-08 12-25 12-28
XASX 1993 closed 01-01 04-09 04-12 06-14 12-27 12-28
XASX 1994 closed 01-03 01-26 04-01 04-04 04-25 06-13 12-26 12-27
XASX 1995 closed 01-02 01-26 04-14 04-17 04-25 06-12 12-25 12-26
XASX 1996 closed 01-01 01-26 04-05 04-08 04-25 06-10 12-25 12-26
XASX 1997 closed 01-01 01-27 03-28 03-31 04-25 06-09 12-25 12-26
XASX 1998 closed 01-01 01-26 04-10 04-13 06-08 12-25 12-28
XASX 1999 closed 01-01 01-26 04-02 04-05 06-14 12-27 12-28 12-31
XASX 2000 closed 01-03 01-26 04-21 04-24 04-25 06-12 12-25 12-26
XASX 2001 closed 01-01 01-26 04-13 04-16 04-25 06-11 12-25 12-26
XASX 2002 closed 01-01 01-28 03-29 04-01 04-25 06-10 12-25 12-26
XASX 2003 closed 01-01 01-27 04-18 04-21 04-25 06-09 12-25 12-26
XASX 2004 closed 01-01 01-26 04-09 04-12 06-14 12-27 12-28
XASX 2005 closed 01-03 01-26 03-25 03-28 04-25 06-13 12-26 12-27
XASX 2006 closed 01-02 01-26 04-14 04-17 04-25 06-12 12-25 12-26
XASX 2007 closed 01-01 01-26 04-06 04-09 04-25 06-11 12-25 12-26
XASX 2008 closed 01-01 01-28 03-21 03-24 04-25 06-09 12-25 12-26
XASX 2009 closed 01-01 01-26 04-10 04-13 06-08 12-25 12-28
XASX 2010 closed 01-01 01-26 04-02 04-05 04-26 06-14 12-27 12-28
XASX 2010 ..14:10 12-24 12-31
XASX 2011 closed 01-03 01-26 04-22 04-25 04-26 06-13 12-26 12-27
XASX 2011 ..14:10 12-23 12-30
XASX 2012 closed 01-02 01-26 04-06 04-09 04-25 06-11 12-25 12-26
XASX 2012 ..14:10 12-24 12-31
XASX 2013 closed 01-01 01-28 03-29 04-01 04-25 06-10 12-25 12-26
XASX 2013 ..14:10 12-24 12-31
XASX 2014 closed 01-01 01-27 04-18 04-21 04-25 06-09 12-25 12-26
XASX 2014 ..14:10 12-24 12-31
XASX 2015 closed 01-01 01-26 04-03 04-06 06-08 12-25 12-28
XASX 2015 ..14:10 12-24 12-31
XASX 2016 closed 01-01 01-26 03-25 03-28 04-25 06-13 12-26 12-27
XASX 2016 ..14:10 12-23 12-30
XASX 2017 closed 01-02 01-26 04-14 04-17 04-25 06-12 12-25 12-26
XASX 2017 ..14:10 12-22 12-29
XASX 2018 closed 01-01 01-26 03-30 04-02 04-25 06-11 12-25 12-26
XASX 2018 ..14:10 12-24 12-31
XASX 2019 closed 01-01 01-28 04-19 04-22 04-25 06-10 12-25 12-26
XASX 2019 ..14:10 12-24 12-31
XASX 2020 closed 01-01 01-27 04-10 04-13 06-08 12-25 12-28
XASX 2020 ..14:10 12-24 12-31
XASX 2021 closed 01-01 01-26 04-02 04-05 06-14 12-27 12-28
XASX 2021 ..14:10 12-24 12-31
XASX 2022 closed 01-03 01-26 04-15 04-18 04-25 06-13 09-22 12-26 12-27
XASX 2023 closed 01-02 01-26 04-07 04-10 04-25 06-12 12-25 12-26
XASX 2023 ..14:10 12-22 12-29
XASX 2024 closed 01-01 01-26 03-29 04-01 04-25 06-10 12-25 12-26
XASX 2024 ..14:10 12-24 12-31
XASX 2025 closed 01-01 01-27 04-18 04-21 04-25 06-09 12-25 12-26
XASX 2025 ..14:10 12-24 12-31
XASX 2026 closed 01-01 01-26 04-03 04-06 06-08 12-25 12-28
XASX 2026 ..14:10 12-24 12-31
XASX 2027 closed 01-01 01-26 03-26 03-29 06-14 12-27 12-28
XASX 2027 ..14:10 12-24 12-31
XASX 2028 closed 01-03 01-26 04-14 04-17 04-25 06-12 12-25 12-26
XASX 2028 ..14:10 12-22 12-29
XASX 2029 closed 01-01 01-26 03-30 04-02 04-25 06-11 12-25 12-26
XASX 2029 ..14:10 12-24 12-31
XASX 2030 closed 01-01 01-28 04-19 04-22 04-25 06-10 12-25 12-26
XASX 2030 ..14:10 12-24 12-31
XASX 2031 closed 01-01 01-27 04-11 04-14 04-25 06-09 12-25 12-26
XASX 2031 ..14:10 12-24 12-31
XASX 2032 closed 01-01 01-26 03-26 03-29 06-14 12-27 12-28
XASX 2032 ..14:10 12-24 12-31
XASX 2033 closed 01-03 01-26 04-15 04-18 04-25 06-13 12-26 12-27
XASX 2033 ..14:10 12-23 12-30
XASX 2034 closed 01-02 01-26 04-07 04-10 04-25 06-12 12-25 12-26
XASX 2034 ..14:10 12-22 12-29
XASX 2035 closed 01-01 01-26 03-23 03-26 04-25 06-11 12-25 12-26
XASX 2035 ..14:10 12-24 12-31
XETR 1990 closed 01-01 04-13 04-16 05-01 12-24 12-25 12-26 12-31
XETR 1991 closed 01-01 03-29 04-01 05-01 12-24 12-25 12-26 12-31
XETR 1992 closed 01-01 04-17 04-20 05-01 12-24 12-25 12-31
XETR 1993 closed 01-01 04-09 04-12 12-24 12-31
XETR 1994 closed 04-01 04-04 12-26
XETR 1995 closed 04-14 04-17 05-01 12-25 12-26
XETR 1996 closed 01-01 04-05 04-08 05-01 12-24 12-25 12-26 12-31
XETR 1997 closed 01-01 03-28 03-31 05-01 12-24 12-25 12-26 12-31
XETR 1998 closed 01-01 04-10 04-13 05-01 12-24 12-25 12-31
XETR 1999 closed 01-01 04-02 04-05 12-24 12-31
XETR 2000 closed 04-21 04-24 05-01 12-25 12-26
XETR 2001 closed 01-01 04-13 04-16 05-01 12-24 12-25 12-26 12-31
XETR 2002 closed 01-01 03-29 04-01 05-01 12-24 12-25 12-26 12-31
XETR 2003 closed 01-01 04-18 04-21 05-01 12-24 12-25 12-26 12-31
XETR 2004 closed 01-01 04-09 04-12 12-24 12-31
XETR 2005 closed 03-25 03-28 12-26
XETR 2006 closed 04-14 04-17 05-01 12-25 12-26
XETR 2007 closed 01-01 04-06 04-09 05-01 05-28 12-24 12-25 12-26 12-31
XETR 2008 closed 01-01 03-21 03-24 05-01 12-24 12-25 12-26 12-31
XETR 2009 closed 01-01 04-10 04-13 05-01 12-24 12-25 12-31
XETR 2010 closed 01-01 04-02 04-05 12-24 12-31
XETR 2010 ..14:00 12-30
XETR 2011 closed 04-22 04-25 12-26
XETR 2011 ..14:00 12-30
XETR 2012 closed 04-06 04-09 05-01 12-24 12-25 12-26 12-31
XETR 2012 ..14:00 12-28
XETR 2013 closed 01-01 03-29 04-01 05-01 12-24 12-25 12-26 12-31
XETR 2013 ..14:00 12-30
XETR 2014 closed 01-01 04-18 04-21 05-01 10-03 12-24 12-25 12-26 12-31
XETR 2014 ..14:00 12-30
XETR 2015 closed 01-01 04-03 04-06 05-01 05-25 12-24 12-25 12-31
XETR 2015 ..14:00 12-30
XETR 2016 closed 01-01 03-25 03-28 05-16 10-03 12-26
XETR 2016 ..14:00 12-30
XETR 2017 closed 04-14 04-17 05-01 06-05 10-03 10-31 12-25 12-26
XETR 2017 ..14:00 12-29
XETR 2018 closed 01-01 03-30 04-02 05-01 05-21 10-03 12-24 12-25 12-26 12-31
XETR 2018 ..14:00 12-28
XETR 2019 closed 01-01 04-19 04-22 05-01 06-10 10-03 12-24 12-25 12-26 12-31
XETR 2019 ..14:00 12-30
XETR 2020 closed 01-01 04-10 04-13 05-01 06-01 12-24 12-25 12-31
XETR 2020 ..14:00 12-30
XETR 2021 closed 01-01 04-02 04-05 05-24 12-24 12-31
XETR 2021 ..14:00 12-30
XETR 2022 closed 04-15 04-18 12-26
XETR 2022 ..14:00 12-30
XETR 2023 closed 04-07 04-10 05-01 12-25 12-26
XETR 2023 ..14:00 12-29
XETR 2024 closed 01-01 03-29 04-01 05-01 12-24 12-25 12-26 12-31
XETR 2024 ..14:00 12-30
XETR 2025 closed 01-01 04-18 04-21 05-01 12-24 12-25 12-26 12-31
XETR 2025 ..14:00 12-30
XETR 2026 closed 01-01 04-03 04-06 05-01 12-24 12-25 12-31
XETR 2026 ..14:00 12-30
XETR 2027 closed 01-01 03-26 03-29 12-24 12-31
XETR 2027 ..14:00 12-30
XETR 2028 closed 04-14 04-17 05-01 12-25 12-26
XETR 2028 ..14:00 12-29
XETR 2029 closed 01-01 03-30 04-02 05-01 12-24 12-25 12-26 12-31
XETR 2029 ..14:00 12-28
XETR 2030 closed 01-01 04-19 04-22 05-01 12-24 12-25 12-26 12-31
XETR 2030 ..14:00 12-30
XETR 2031 closed 01-01 04-11 04-14 05-01 12-24 12-25 12-26 12-31
XETR 2031 ..14:00 12-30
XETR 2032 closed 01-01 03-26 03-29 12-24 12-31
XETR 2032 ..14:00 12-30
XETR 2033 closed 04-15 04-18 12-26
XETR 2033 ..14:00 12-30
XETR 2034 closed 04-07 04-10 05-01 12-25 12-26
XETR 2034 ..14:00 12-29
XETR 2035 closed 01-01 03-23 03-26 05-01 12-24 12-25 12-26 12-31
XETR 2035 ..14:00 12-28
XHKG 1990 closed 01-01 01-26 01-29 04-05 04-13 04-16 05-02 05-28 06-18 08-27 10-04 10-26 12-25 12-26
XHKG 1990 ..12:30 12-24 12-31
XHKG 1991 closed 01-01 02-15 03-29 04-01 04-05 05-21 06-17 06-18 08-26 09-23 10-16 12-25 12-26
XHKG 1991 ..12:30 12-24 12-31
XHKG 1992 closed 01-01 02-04 02-05 02-06 04-17 04-20 05-11 06-05 06-15 07-22 08-31 10-05 12-25
XHKG 1992 ..12:30 12-24 12-31
XHKG 1993 closed 01-01 01-22 01-25 04-05 04-09 04-12 05-28 06-14 06-24 08-30 09-17 12-27
XHKG 1993 ..12:30 12-24 12-31
XHKG 1994 closed 02-10 02-11 04-01 04-04 04-05 05-18 06-13 06-14 08-29 09-21 10-13 12-26 12-27
XHKG 1995 closed 01-02 01-31 02-01 02-02 04-05 04-14 04-17 05-08 06-02 06-19 08-28 11-01 12-25 12-26
XHKG 1996 closed 01-01 02-19 02-20 02-21 04-04 04-05 04-08 05-24 06-17 06-20 08-26 10-21 12-25 12-26
XHKG 1996 ..12:30 12-24 12-31
XHKG 1997 closed 01-01 02-07 03-28 03-31 05-14 06-09 06-30 07-01 07-02 08-18 09-17 10-01 10-02 10-10 12-25 12-26
XHKG 1997 ..12:30 12-24 12-31
XHKG 1998 closed 01-01 01-28 01-29 01-30 04-06 04-10 04-13 05-04 07-01 08-17 10-01 10-02 10-06 10-28 12-25
XHKG 1998 ..12:30 12-24 12-31
XHKG 1999 closed 01-01 02-16 02-17 02-18 04-02 04-05 04-06 06-18 07-01 09-16 10-01 10-18 12-27 12-31
XHKG 1999 ..12:30 12-24
XHKG 2000 closed 02-04 02-07 04-04 04-21 04-24 05-01 05-11 06-06 09-13 10-02 10-06 12-25 12-26
XHKG 2001 closed 01-01 01-24 01-25 01-26 04-05 04-13 04-16 04-30 05-01 06-25 07-02 07-06 07-25 10-01 10-02 10-25 12-25
XHKG 2001 closed 12-26
XHKG 2001 ..12:30 12-24 12-31
XHKG 2002 closed 01-01 02-12 02-13 02-14 03-29 04-01 04-05 05-01 05-20 07-01 10-01 10-14 12-25 12-26
XHKG 2002 ..12:30 12-24 12-31
XHKG 2003 closed 01-01 01-31 02-03 04-18 04-21 05-01 05-08 06-04 07-01 09-12 10-01 12-25 12-26
XHKG 2003 ..12:30 12-24 12-31
XHKG 2004 closed 01-01 01-22 01-23 04-05 04-09 04-12 05-26 06-22 07-01 09-29 10-01 10-22 12-27
XHKG 2004 ..12:30 12-24 12-31
XHKG 2005 closed 02-09 02-10 02-11 03-25 03-28 04-05 05-02 05-16 07-01 09-19 10-11 12-26 12-27
XHKG 2006 closed 01-02 01-30 01-31 04-05 04-14 04-17 05-01 05-05 05-31 10-02 10-30 12-25 12-26
XHKG 2007 closed 01-01 02-19 02-20 04-05 04-06 04-09 05-01 05-24 06-19 07-02 09-26 10-01 10-19 12-25 12-26
XHKG 2007 ..12:30 12-24 12-31
XHKG 2008 closed 01-01 02-07 02-08 03-21 03-24 04-04 05-01 05-12 06-09 07-01 08-06 08-22 09-15 10-01 10-07 12-25 12-26
XHKG 2008 ..12:30 12-24 12-31
XHKG 2009 closed 01-01 01-26 01-27 01-28 04-10 04-13 05-01 05-28 07-01 10-01 10-26 12-25
XHKG 2009 ..12:30 12-24 12-31
XHKG 2010 closed 01-01 02-15 02-16 04-02 04-05 04-06 05-21 06-16 07-01 09-23 10-01 12-27
XHKG 2010 ..12:30 12-24 12-31
XHKG 2011 closed 02-03 02-04 04-05 04-22 04-25 05-02 05-10 06-06 07-01 09-13 09-29 10-05 12-26 12-27
XHKG 2012 closed 01-02 01-23 01-24 01-25 04-04 04-06 04-09 05-01 07-02 10-01 10-02 10-23 12-25 12-26
XHKG 2012 ..12:00 12-24 12-31
XHKG 2013 closed 01-01 02-11 02-12 02-13 03-29 04-01 04-04 05-01 05-17 06-12 07-01 08-14 09-20 10-01 10-14 12-25 12-26
XHKG 2013 ..12:00 12-24 12-31
XHKG 2014 closed 01-01 01-31 02-03 04-18 04-21 05-01 05-06 06-02 07-01 09-09 10-01 10-02 12-25 12-26
XHKG 2014 ..12:00 01-30 12-24 12-31
XHKG 2015 closed 01-01 02-19 02-20 04-03 04-06 04-07 05-01 05-25 07-01 09-03 09-28 10-01 10-21 12-25
XHKG 2015 ..12:00 02-18 12-24 12-31
XHKG 2016 closed 01-01 02-08 02-09 02-10 03-25 03-28 04-04 05-02 06-09 07-01 08-02 09-16 10-10 10-21 12-26 12-27
XHKG 2017 closed 01-02 01-30 01-31 04-04 04-14 04-17 05-01 05-03 05-30 08-23 10-02 10-05 12-25 12-26
XHKG 2017 ..12:00 01-27
XHKG 2018 closed 01-01 02-16 02-19 03-30 04-02 04-05 05-01 05-22 06-18 07-02 09-25 10-01 10-17 12-25 12-26
XHKG 2018 ..12:00 02-15 12-24 12-31
XHKG 2019 closed 01-01 02-05 02-06 02-07 04-05 04-19 04-22 05-01 05-13 06-07 07-01 10-01 10-07 12-25 12-26
XHKG 2019 ..12:00 02-04 12-24 12-31
XHKG 2020 closed 01-01 01-27 01-28 04-10 04-13 04-30 05-01 06-25 07-01 10-01 10-02 10-13 10-26 12-25
XHKG 2020 ..12:00 01-24 12-24 12-31
XHKG 2021 closed 01-01 02-12 02-15 04-02 04-05 04-06 05-19 06-14 07-01 09-22 10-01 10-13 10-14 12-27
XHKG 2021 ..12:00 02-11 12-24 12-31
XHKG 2022 ..12:00 01-31
XHKG 2022 closed 02-01 02-02 02-03 04-05 04-15 04-18 05-02 05-09 06-03 07-01 09-12 10-04 12-26 12-27
XHKG 2023 closed 01-02 01-23 01-24 01-25 04-05 04-07 04-10 05-01 05-26 06-22 07-17 10-02 10-23 12-25 12-26
XHKG 2024 closed 01-01 02-12 02-13 03-29 04-01 04-04 05-01 05-15 06-10 07-01 09-06 09-18 10-01 10-11 12-25 12-26
XHKG 2024 ..12:00 02-09 12-24 12-31
XHKG 2025 closed 01-01 01-29 01-30 01-31 04-04 04-18 04-21 05-01 05-05 07-01 10-01 10-07 10-29 12-25 12-26
XHKG 2025 ..12:00 01-28 12-24 12-31
XHKG 2026 closed 01-01 02-17 02-18 02-19 04-03 04-06 04-07 05-01 05-25 06-19 07-01 10-01 10-19 12-25
XHKG 2026 ..12:00 02-16 12-24 12-31
XHKG 2027 closed 01-01 02-08 02-09 03-26 03-29 04-05 05-13 06-09 07-01 09-16 10-01 10-08 12-27
XHKG 2027 ..12:00 02-05 12-24 12-31
XHKG 2028 ..12:00 01-25
XHKG 2028 closed 01-26 01-27 01-28 04-04 04-14 04-17 05-01 05-02 05-29 10-02 10-04 10-26 12-25 12-26
XHKG 2029 closed 01-01 02-13 02-14 02-15 03-30 04-02 04-04 05-01 05-21 07-02 10-01 10-16 12-25 12-26
XHKG 2029 ..12:00 02-12 12-24 12-31
XHKG 2030 closed 01-01 02-04 02-05 02-06 04-05 04-19 04-22 05-01 05-09 06-05 07-01 09-13 10-01 12-25 12-26
XHKG 2030 ..12:00 12-24 12-31
XHKG 2031 closed 01-01 01-23 01-24 04-11 04-14 05-01 05-28 06-24 07-01 10-01 10-02 10-24 12-25 12-26
XHKG 2031 ..12:00 01-22 12-24 12-31
XHKG 2032 closed 01-01 02-11 02-12 02-13 03-26 03-29 04-05 05-17 07-01 09-20 10-01 10-12 12-27
XHKG 2032 ..12:00 02-10 12-24 12-31
XHKG 2033 closed 01-31 02-01 02-02 04-04 04-15 04-18 05-02 05-06 06-01 07-01 09-09 12-26 12-27
XHKG 2034 closed 01-02 02-20 02-21 02-22 04-05 04-07 04-10 04-26 05-01 05-22 08-29 09-21 10-02 12-25 12-26
XHKG 2035 closed 01-01 02-08 02-09 03-23 03-26 04-05 05-01 05-15 06-11 07-02 09-17 10-01 10-09 12-25 12-26
XHKG 2035 ..12:00 02-07 12-24 12-31
XLON 1990 closed 01-01 04-13 04-16 05-07 05-28 08-27 12-25 12-26
XLON 1990 ..12:30 12-24 12-31
XLON 1991 closed 01-01 03-29 04-01 05-06 05-27 08-26 12-25 12-26
XLON 1991 ..12:30 12-24 12-31
XLON 1992 closed 01-01 04-17 04-20 05-04 05-25 08-31 12-25 12-28
XLON 1992 ..12:30 12-24 12-31
XLON 1993 closed 01-01 04-09 04-12 05-03 05-31 08-30 12-27 12-28
XLON 1993 ..12:30 12-24 12-31
XLON 1994 closed 01-03 04-01 04-04 05-02 05-30 08-29 12-26 12-27
XLON 1994 ..12:30 12-23 12-30
XLON 1995 closed 01-02 04-14 04-17 05-08 05-29 08-28 12-25 12-26
XLON 1995 ..12:30 12-22 12-29
XLON 1996 closed 01-01 04-05 04-08 05-06 05-27 08-26 12-25 12-26
XLON 1996 ..12:30 12-24 12-31
XLON 1997 closed 01-01 03-28 03-31 05-05 05-26 08-25 12-25 12-26
XLON 1997 ..12:30 12-24 12-31
XLON 1998 closed 01-01 04-10 04-13 05-04 05-25 08-31 12-25 12-28
XLON 1998 ..12:30 12-24 12-31
XLON 1999 closed 01-01 04-02 04-05 05-03 05-31 08-30 12-27 12-28 12-31
XLON 1999 ..12:30 12-24
XLON 2000 closed 01-03 04-21 04-24 05-01 05-29 08-28 12-25 12-26
XLON 2000 ..12:30 12-22 12-29
XLON 2001 closed 01-01 04-13 04-16 05-07 05-28 08-27 12-25 12-26
XLON 2001 ..12:30 12-24 12-31
XLON 2002 closed 01-01 03-29 04-01 05-06 06-03 06-04 08-26 12-25 12-26
XLON 2002 ..12:30 12-24 12-31
XLON 2003 closed 01-01 04-18 04-21 05-05 05-26 08-25 12-25 12-26
XLON 2003 ..12:30 12-24 12-31
XLON 2004 closed 01-01 04-09 04-12 05-03 05-31 08-30 12-27 12-28
XLON 2004 ..12:30 12-24 12-31
XLON 2005 closed 01-03 03-25 03-28 05-02 05-30 08-29 12-26 12-27
XLON 2005 ..12:30 12-23 12-30
XLON 2006 closed 01-02 04-14 04-17 05-01 05-29 08-28 12-25 12-26
XLON 2006 ..12:30 12-22 12-29
XLON 2007 closed 01-01 04-06 04-09 05-07 05-28 08-27 12-25 12-26
XLON 2007 ..12:30 12-24 12-31
XLON 2008 closed 01-01 03-21 03-24 05-05 05-26 08-25 12-25 12-26
XLON 2008 ..12:30 12-24 12-31
XLON 2009 closed 01-01 04-10 04-13 05-04 05-25 08-31 12-25 12-28
XLON 2009 ..12:30 12-24 12-31
XLON 2010 closed 01-01 04-02 04-05 05-03 05-31 08-30 12-27 12-28
XLON 2010 ..12:30 12-24 12-31
XLON 2011 closed 01-03 04-22 04-25 04-29 05-02 05-30 08-29 12-26 12-27
XLON 2011 ..12:30 12-23 12-30
XLON 2012 closed 01-02 04-06 04-09 05-07 06-04 06-05 08-27 12-25 12-26
XLON 2012 ..12:30 12-24 12-31
XLON 2013 closed 01-01 03-29 04-01 05-06 05-27 08-26 12-25 12-26
XLON 2013 ..12:30 12-24 12-31
XLON 2014 closed 01-01 04-18 04-21 05-05 05-26 08-25 12-25 12-26
XLON 2014 ..12:30 12-24 12-31
XLON 2015 closed 01-01 04-03 04-06 05-04 05-25 08-31 12-25 12-28
XLON 2015 ..12:30 12-24 12-31
XLON 2016 closed 01-01 03-25 03-28 05-02 05-30 08-29 12-26 12-27
XLON 2016 ..12:30 12-23 12-30
XLON 2017 closed 01-02 04-14 04-17 05-01 05-29 08-28 12-25 12-26
XLON 2017 ..12:30 12-22 12-29
XLON 2018 closed 01-01 03-30 04-02 05-07 05-28 08-27 12-25 12-26
XLON 2018 ..12:30 12-24 12-31
XLON 2019 closed 01-01 04-19 04-22 05-06 05-27 08-26 12-25 12-26
XLON 2019 ..12:30 12-24 12-31
XLON 2020 closed 01-01 04-10 04-13 05-08 05-25 08-31 12-25 12-28
XLON 2020 ..12:30 12-24 12-31
XLON 2021 closed 01-01 04-02 04-05 05-03 05-31 08-30 12-27 12-28
XLON 2021 ..12:30 12-24 12-31
XLON 2022 closed 01-03 04-15 04-18 05-02 06-02 06-03 08-29 09-19 12-26 12-27
XLON 2022 ..12:30 12-23 12-30
XLON 2023 closed 01-02 04-07 04-10 05-01 05-08 05-29 08-28 12-25 12-26
XLON 2023 ..12:30 12-22 12-29
XLON 2024 closed 01-01 03-29 04-01 05-06 05-27 08-26 12-25 12-26
XLON 2024 ..12:30 12-24 12-31
XLON 2025 closed 01-01 04-18 04-21 05-05 05-26 08-25 12-25 12-26
XLON 2025 ..12:30 12-24 12-31
XLON 2026 closed 01-01 04-03 04-06 05-04 05-25 08-31 12-25 12-28
XLON 2026 ..12:30 12-24 12-31
XLON 2027 closed 01-01 03-26 03-29 05-03 05-31 08-30 12-27 12-28
XLON 2027 ..12:30 12-24 12-31
XLON 2028 closed 01-03 04-14 04-17 05-01 05-29 08-28 12-25 12-26
XLON 2028 ..12:30 12-22 12-29
XLON 2029 closed 01-01 03-30 04-02 05-07 05-28 08-27 12-25 12-26
XLON 2029 ..12:30 12-24 12-31
XLON 2030 closed 01-01 04-19 04-22 05-06 05-27 08-26 12-25 12-26
XLON 2030 ..12:30 12-24 12-31
XLON 2031 closed 01-01 04-11 04-14 05-05 05-26 08-25 12-25 12-26
XLON 2031 ..12:30 12-24 12-31
XLON 2032 closed 01-01 03-26 03-29 05-03 05-31 08-30 12-27 12-28
XLON 2032 ..12:30 12-24 12-31
XLON 2033 closed 01-03 04-15 04-18 05-02 05-30 08-29 12-26 12-27
XLON 2033 ..12:30 12-23 12-30
XLON 2034 closed 01-02 04-07 04-10 05-01 05-29 08-28 12-25 12-26
XLON 2034 ..12:30 12-22 12-29
XLON 2035 closed 01-01 03-23 03-26 05-07 05-28 08-27 12-25 12-26
XLON 2035 ..12:30 12-24 12-31
XNAS 1990 closed 01-01 02-19 04-13 05-28 07-04 09-03 11-22 12-25
XNAS 1990 ..14:00 12-24
XNAS 1991 closed 01-01 02-18 03-29 05-27 07-04 09-02 11-28 12-25
XNAS 1991 ..14:00 12-24
XNAS 1992 closed 01-01 02-17 04-17 05-25 07-03 09-07 11-26 12-25
XNAS 1992 ..14:00 11-27 12-24
XNAS 1993 closed 01-01 02-15 04-09 05-31 07-05 09-06 11-25 12-24
XNAS 1993 ..13:00 11-26
XNAS 1994 closed 02-21 04-01 04-27 05-30 07-04 09-05 11-24 12-26
XNAS 1994 ..13:00 11-25
XNAS 1995 closed 01-02 02-20 04-14 05-29 07-04 09-04 11-23 12-25
XNAS 1995 ..13:00 07-03 11-24
XNAS 1996 closed 01-01 02-19 04-05 05-27 07-04 09-02 11-28 12-25
XNAS 1996 ..13:00 07-05 11-29 12-24
XNAS 1997 closed 01-01 02-17 03-28 05-26 07-04 09-01 11-27 12-25
XNAS 1997 ..13:00 07-03 11-28 12-24 12-26
XNAS 1998 closed 01-01 01-19 02-16 04-10 05-25 07-03 09-07 11-26 12-25
XNAS 1998 ..13:00 11-27 12-24
XNAS 1999 closed 01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24
XNAS 1999 ..13:00 11-26 12-31
XNAS 2000 closed 01-17 02-21 04-21 05-29 07-04 09-04 11-23 12-25
XNAS 2000 ..13:00 07-03 11-24
XNAS 2001 closed 01-01 01-15 02-19 04-13 05-28 07-04 09-03 09-11 09-12 09-13 09-14 11-22 12-25
XNAS 2001 ..13:00 07-03 11-23 12-24
XNAS 2002 closed 01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25
XNAS 2002 ..13:00 07-05 11-29 12-24
XNAS 2003 closed 01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25
XNAS 2003 ..13:00 07-03 11-28 12-24 12-26
XNAS 2004 closed 01-01 01-19 02-16 04-09 05-31 06-11 07-05 09-06 11-25 12-24
XNAS 2004 ..13:00 11-26
XNAS 2005 closed 01-17 02-21 03-25 05-30 07-04 09-05 11-24 12-26
XNAS 2005 ..13:00 11-25
XNAS 2006 closed 01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25
XNAS 2006 ..13:00 07-03 11-24
XNAS 2007 closed 01-01 01-02 01-15 02-19 04-06 05-28 07-04 09-03 11-22 12-25
XNAS 2007 ..13:00 07-03 11-23 12-24
XNAS 2008 closed 01-01 01-21 02-18 03-21 05-26 07-04 09-01 11-27 12-25
XNAS 2008 ..13:00 07-03 11-28 12-24
XNAS 2009 closed 01-01 01-19 02-16 04-10 05-25 07-03 09-07 11-26 12-25
XNAS 2009 ..13:00 11-27 12-24
XNAS 2010 closed 01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24
XNAS 2010 ..13:00 11-26
XNAS 2011 closed 01-17 02-21 04-22 05-30 07-04 09-05 11-24 12-26
XNAS 2011 ..13:00 11-25
XNAS 2012 closed 01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25
XNAS 2012 ..13:00 07-03 11-23 12-24
XNAS 2013 closed 01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25
XNAS 2013 ..13:00 07-03 11-29 12-24
XNAS 2014 closed 01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25
XNAS 2014 ..13:00 07-03 11-28 12-24
XNAS 2015 closed 01-01 01-19 02-16 04-03 05-25 07-03 09-07 11-26 12-25
XNAS 2015 ..13:00 11-27 12-24
XNAS 2016 closed 01-01 01-18 02-15 03-25 05-30 07-04 09-05 11-24 12-26
XNAS 2016 ..13:00 11-25
XNAS 2017 closed 01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25
XNAS 2017 ..13:00 07-03 11-24
XNAS 2018 closed 01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25
XNAS 2018 ..13:00 07-03 11-23 12-24
XNAS 2019 closed 01-01 01-21 02-18 04-19 05-27 07-04 09-02 11-28 12-25
XNAS 2019 ..13:00 07-03 11-29 12-24
XNAS 2020 closed 01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25
XNAS 2020 ..13:00 11-27 12-24
XNAS 2021 closed 01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24
XNAS 2021 ..13:00 11-26
XNAS 2022 closed 01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26
XNAS 2022 ..13:00 11-25
XNAS 2023 closed 01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25
XNAS 2023 ..13:00 07-03 11-24
XNAS 2024 closed 01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25
XNAS 2024 ..13:00 07-03 11-29 12-24
XNAS 2025 closed 01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25
XNAS 2025 ..13:00 07-03 11-28 12-24
XNAS 2026 closed 01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25
XNAS 2026 ..13:00 11-27 12-24
XNAS 2027 closed 01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24
XNAS 2027 ..13:00 11-26
XNAS 2028 closed 01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25
XNAS 2028 ..13:00 07-03 11-24
XNAS 2029 closed 01-01 01-15 02-19 03-30 05-28 06-19 07-04 09-03 11-22 12-25
XNAS 2029 ..13:00 07-03 11-23 12-24
XNAS 2030 closed 01-01 01-21 02-18 04-19 05-27 06-19 07-04 09-02 11-28 12-25
XNAS 2030 ..13:00 07-03 11-29 12-24
XNAS 2031 closed 01-01 01-20 02-17 04-11 05-26 06-19 07-04 09-01 11-27 12-25
XNAS 2031 ..13:00 07-03 11-28 12-24
XNAS 2032 closed 01-01 01-19 02-16 03-26 05-31 06-18 07-05 09-06 11-25 12-24
XNAS 2032 ..13:00 11-26
XNAS 2033 closed 01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26
XNAS 2033 ..13:00 11-25
XNAS 2034 closed 01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25
XNAS 2034 ..13:00 07-03 11-24
XNAS 2035 closed 01-01 01-15 02-19 03-23 05-28 06-19 07-04 09-03 11-22 12-25
XNAS 2035 ..13:00 07-03 11-23 12-24
XNSE 1997 closed 01-23 03-07 03-24 04-08 04-14 04-16 04-18 05-01 05-08 08-15 08-18 08-25 10-02 10-28 10-29 10-31 12-25
XNSE 1998 closed 04-09 04-14 04-28 12-25
XNSE 1999 closed 01-01 01-20 01-26 03-02 03-18 03-25 03-29 04-02 04-14 04-27 04-30 09-13 10-19 11-08 11-10 11-23 12-31
XNSE 2000 closed 01-26 03-17 03-20 04-14 04-21 05-01 08-15 09-01 10-02 12-25
XNSE 2001 closed 01-01 01-26 03-06 04-05 04-13 05-01 08-15 08-22 10-02 10-26 11-16 11-30 12-17 12-25
XNSE 2002 closed 03-25 03-29 05-01 08-15 09-10 10-02 10-15 11-06 11-19 12-25
XNSE 2003 closed 02-13 03-14 03-18 04-14 04-18 05-01 08-15 10-02 11-26 12-25
XNSE 2004 closed 01-01 01-26 02-02 03-02 04-09 04-14 04-26 10-13 10-22 11-15 11-26
XNSE 2005 closed 01-21 01-26 03-25 04-14 07-28 08-15 09-07 10-12 11-03 11-04 11-15
XNSE 2006 closed 01-11 01-26 02-09 03-15 04-06 04-11 04-14 05-01 08-15 10-02 10-24 10-25 12-25
XNSE 2007 closed 01-01 01-26 01-30 02-16 03-27 04-06 05-01 05-02 08-15 10-02 12-21 12-25
XNSE 2008 closed 03-06 03-20 03-21 04-14 04-18 05-01 05-19 08-15 09-03 10-02 10-09 10-30 11-13 11-27 12-09 12-25
XNSE 2009 closed 01-08 01-26 02-23 03-10 03-11 04-03 04-07 04-10 04-14 04-30 05-01 09-21 09-28 10-02 10-13 10-19 11-02
XNSE 2009 closed 12-25 12-28
XNSE 2010 closed 01-01 01-26 02-12 03-01 03-24 04-02 04-14 09-10 11-17 12-17
XNSE 2011 closed 01-26 03-02 04-12 04-14 04-22 08-15 08-31 09-01 10-06 10-27 11-07 11-10 12-06
XNSE 2012 closed 01-26 02-20 03-08 04-05 04-06 05-01 08-15 08-20 09-19 10-02 10-24 11-14 11-28 12-25
XNSE 2013 closed 03-27 03-29 04-19 04-24 05-01 08-09 08-15 09-09 10-02 10-16 11-04 11-14 12-25
XNSE 2014 closed 02-27 03-17 04-08 04-14 04-18 04-24 05-01 07-29 08-15 08-29 10-02 10-03 10-06 10-15 10-23 10-24 11-04
XNSE 2014 closed 11-06 12-25
XNSE 2015 closed 01-26 02-17 03-06 04-02 04-03 04-14 05-01 09-17 09-25 10-02 10-22 11-11 11-12 11-25 12-25
XNSE 2016 closed 01-26 03-07 03-24 03-25 04-14 04-15 04-19 07-06 08-15 09-05 09-13 10-11 10-12 10-31 11-14
XNSE 2017 closed 01-26 02-24 03-13 04-04 04-14 05-01 06-26 08-15 08-25 10-02 10-19 10-20 12-25
XNSE 2018 closed 01-26 02-13 03-02 03-29 03-30 05-01 08-15 08-22 09-13 09-20 10-02 10-18 11-07 11-08 11-23 12-25
XNSE 2019 closed 03-04 03-21 04-17 04-19 04-29 05-01 06-05 08-12 08-15 09-02 09-10 10-02 10-08 10-21 10-28 11-12 12-25
XNSE 2020 closed 02-21 03-10 04-02 04-06 04-10 04-14 05-01 05-25 10-02 11-16 11-30 12-25
XNSE 2021 closed 01-26 03-11 03-29 04-02 04-14 04-21 05-13 07-21 08-19 09-10 10-15 11-04 11-05 11-19
XNSE 2022 closed 01-26 03-01 03-18 04-14 04-15 05-03 08-09 08-15 08-31 10-05 10-24 10-26 11-08
XNSE 2023 closed 01-26 03-07 03-30 04-04 04-07 04-14 05-01 06-29 08-15 09-19 10-02 10-24 11-14 11-27 12-25
XNSE 2024 closed 01-22 01-26 03-08 03-25 03-29 04-11 04-17 05-01 05-20 06-17 07-17 08-15 10-02 11-01 11-15 11-20 12-25
XNSE 2025 closed 02-26 03-14 03-31 04-10 04-14 04-18 05-01 08-15 08-27 10-02 10-21 10-22 11-05 12-25
XNSE 2026 closed 01-15 01-26 03-03 03-26 03-31 04-03 04-14 05-01 05-28 06-26 09-14 10-02 10-20 11-10 11-24 12-25
XNYS 1990 closed 01-01 02-19 04-13 05-28 07-04 09-03 11-22 12-25
XNYS 1990 ..14:00 12-24
XNYS 1991 closed 01-01 02-18 03-29 05-27 07-04 09-02 11-28 12-25
XNYS 1991 ..14:00 12-24
XNYS 1992 closed 01-01 02-17 04-17 05-25 07-03 09-07 11-26 12-25
XNYS 1992 ..14:00 11-27 12-24
XNYS 1993 closed 01-01 02-15 04-09 05-31 07-05 09-06 11-25 12-24
XNYS 1993 ..13:00 11-26
XNYS 1994 closed 02-21 04-01 04-27 05-30 07-04 09-05 11-24 12-26
XNYS 1994 ..13:00 11-25
XNYS 1995 closed 01-02 02-20 04-14 05-29 07-04 09-04 11-23 12-25
XNYS 1995 ..13:00 07-03 11-24
XNYS 1996 closed 01-01 02-19 04-05 05-27 07-04 09-02 11-28 12-25
XNYS 1996 ..13:00 07-05 11-29 12-24
XNYS 1997 closed 01-01 02-17 03-28 05-26 07-04 09-01 11-27 12-25
XNYS 1997 ..13:00 07-03 11-28 12-24 12-26
XNYS 1998 closed 01-01 01-19 02-16 04-10 05-25 07-03 09-07 11-26 12-25
XNYS 1998 ..13:00 11-27 12-24
XNYS 1999 closed 01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24
XNYS 1999 ..13:00 11-26 12-31
XNYS 2000 closed 01-17 02-21 04-21 05-29 07-04 09-04 11-23 12-25
XNYS 2000 ..13:00 07-03 11-24
XNYS 2001 closed 01-01 01-15 02-19 04-13 05-28 07-04 09-03 09-11 09-12 09-13 09-14 11-22 12-25
XNYS 2001 ..13:00 07-03 11-23 12-24
XNYS 2002 closed 01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25
XNYS 2002 ..13:00 07-05 11-29 12-24
XNYS 2003 closed 01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25
XNYS 2003 ..13:00 07-03 11-28 12-24 12-26
XNYS 2004 closed 01-01 01-19 02-16 04-09 05-31 06-11 07-05 09-06 11-25 12-24
XNYS 2004 ..13:00 11-26
XNYS 2005 closed 01-17 02-21 03-25 05-30 07-04 09-05 11-24 12-26
XNYS 2005 ..13:00 11-25
XNYS 2006 closed 01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25
XNYS 2006 ..13:00 07-03 11-24
XNYS 2007 closed 01-01 01-02 01-15 02-19 04-06 05-28 07-04 09-03 11-22 12-25
XNYS 2007 ..13:00 07-03 11-23 12-24
XNYS 2008 closed 01-01 01-21 02-18 03-21 05-26 07-04 09-01 11-27 12-25
XNYS 2008 ..13:00 07-03 11-28 12-24
XNYS 2009 closed 01-01 01-19 02-16 04-10 05-25 07-03 09-07 11-26 12-25
XNYS 2009 ..13:00 11-27 12-24
XNYS 2010 closed 01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24
XNYS 2010 ..13:00 11-26
XNYS 2011 closed 01-17 02-21 04-22 05-30 07-04 09-05 11-24 12-26
XNYS 2011 ..13:00 11-25
XNYS 2012 closed 01-02 01-16 02-20 04-06 05-28 07-04 09-03 10-29 10-30 11-22 12-25
XNYS 2012 ..13:00 07-03 11-23 12-24
XNYS 2013 closed 01-01 01-21 02-18 03-29 05-27 07-04 09-02 11-28 12-25
XNYS 2013 ..13:00 07-03 11-29 12-24
XNYS 2014 closed 01-01 01-20 02-17 04-18 05-26 07-04 09-01 11-27 12-25
XNYS 2014 ..13:00 07-03 11-28 12-24
XNYS 2015 closed 01-01 01-19 02-16 04-03 05-25 07-03 09-07 11-26 12-25
XNYS 2015 ..13:00 11-27 12-24
XNYS 2016 closed 01-01 01-18 02-15 03-25 05-30 07-04 09-05 11-24 12-26
XNYS 2016 ..13:00 11-25
XNYS 2017 closed 01-02 01-16 02-20 04-14 05-29 07-04 09-04 11-23 12-25
XNYS 2017 ..13:00 07-03 11-24
XNYS 2018 closed 01-01 01-15 02-19 03-30 05-28 07-04 09-03 11-22 12-05 12-25
XNYS 2018 ..13:00 07-03 11-23 12-24
XNYS 2019 closed 01-01 01-21 02-18 04-19 05-27 07-04 09-02 11-28 12-25
XNYS 2019 ..13:00 07-03 11-29 12-24
XNYS 2020 closed 01-01 01-20 02-17 04-10 05-25 07-03 09-07 11-26 12-25
XNYS 2020 ..13:00 11-27 12-24
XNYS 2021 closed 01-01 01-18 02-15 04-02 05-31 07-05 09-06 11-25 12-24
XNYS 2021 ..13:00 11-26
XNYS 2022 closed 01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26
XNYS 2022 ..13:00 11-25
XNYS 2023 closed 01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25
XNYS 2023 ..13:00 07-03 11-24
XNYS 2024 closed 01-01 01-15 02-19 03-29 05-27 06-19 07-04 09-02 11-28 12-25
XNYS 2024 ..13:00 07-03 11-29 12-24
XNYS 2025 closed 01-01 01-09 01-20 02-17 04-18 05-26 06-19 07-04 09-01 11-27 12-25
XNYS 2025 ..13:00 07-03 11-28 12-24
XNYS 2026 closed 01-01 01-19 02-16 04-03 05-25 06-19 07-03 09-07 11-26 12-25
XNYS 2026 ..13:00 11-27 12-24
XNYS 2027 closed 01-01 01-18 02-15 03-26 05-31 06-18 07-05 09-06 11-25 12-24
XNYS 2027 ..13:00 11-26
XNYS 2028 closed 01-17 02-21 04-14 05-29 06-19 07-04 09-04 11-23 12-25
XNYS 2028 ..13:00 07-03 11-24
XNYS 2029 closed 01-01 01-15 02-19 03-30 05-28 06-19 07-04 09-03 11-22 12-25
XNYS 2029 ..13:00 07-03 11-23 12-24
XNYS 2030 closed 01-01 01-21 02-18 04-19 05-27 06-19 07-04 09-02 11-28 12-25
XNYS 2030 ..13:00 07-03 11-29 12-24
XNYS 2031 closed 01-01 01-20 02-17 04-11 05-26 06-19 07-04 09-01 11-27 12-25
XNYS 2031 ..13:00 07-03 11-28 12-24
XNYS 2032 closed 01-01 01-19 02-16 03-26 05-31 06-18 07-05 09-06 11-25 12-24
XNYS 2032 ..13:00 11-26
XNYS 2033 closed 01-17 02-21 04-15 05-30 06-20 07-04 09-05 11-24 12-26
XNYS 2033 ..13:00 11-25
XNYS 2034 closed 01-02 01-16 02-20 04-07 05-29 06-19 07-04 09-04 11-23 12-25
XNYS 2034 ..13:00 07-03 11-24
XNYS 2035 closed 01-01 01-15 02-19 03-23 05-28 06-19 07-04 09-03 11-22 12-25
XNYS 2035 ..13:00 07-03 11-23 12-24
XPAR 1990 closed 01-01 04-13 04-16 05-01 06-04 12-25 12-26 12-31
XPAR 1990 ..14:05 12-24
XPAR 1991 closed 01-01 03-29 04-01 05-01 05-20 12-25 12-26 12-31
XPAR 1991 ..14:05 12-24
XPAR 1992 closed 01-01 04-17 04-20 05-01 06-08 07-14 12-25 12-31
XPAR 1992 ..14:05 12-24
XPAR 1993 closed 01-01 04-09 04-12 05-31 07-14 12-31
XPAR 1993 ..14:05 12-24
XPAR 1994 closed 04-01 04-04 05-23 07-14 12-26
XPAR 1995 closed 04-14 04-17 05-01 06-05 07-14 12-25 12-26
XPAR 1996 closed 01-01 04-05 04-08 05-01 05-27 12-25 12-26 12-31
XPAR 1996 ..14:05 12-24
XPAR 1997 closed 01-01 03-28 03-31 05-01 05-19 07-14 12-25 12-26 12-31
XPAR 1997 ..14:05 12-24
XPAR 1998 closed 01-01 04-10 04-13 05-01 06-01 07-14 12-25 12-31
XPAR 1998 ..14:05 12-24
XPAR 1999 closed 01-01 04-02 04-05 05-24 07-14 12-31
XPAR 1999 ..14:05 12-24
XPAR 2000 closed 04-21 04-24 05-01 06-12 07-14 12-25 12-26
XPAR 2001 closed 01-01 04-13 04-16 05-01 06-04 12-25 12-26 12-31
XPAR 2001 ..14:05 12-24
XPAR 2002 closed 01-01 03-29 04-01 05-01 12-25 12-26
XPAR 2002 ..14:05 12-24 12-31
XPAR 2003 closed 01-01 04-18 04-21 05-01 12-25 12-26
XPAR 2003 ..14:05 12-24 12-31
XPAR 2004 closed 01-01 04-09 04-12
XPAR 2004 ..14:05 12-24 12-31
XPAR 2005 closed 03-25 03-28 12-26
XPAR 2006 closed 04-14 04-17 05-01 12-25 12-26
XPAR 2007 closed 01-01 04-06 04-09 05-01 12-25 12-26
XPAR 2007 ..14:05 12-24 12-31
XPAR 2008 closed 01-01 03-21 03-24 05-01 12-25 12-26
XPAR 2008 ..14:05 12-24 12-31
XPAR 2009 closed 01-01 04-10 04-13 05-01 12-25
XPAR 2009 ..14:05 12-24 12-31
XPAR 2010 closed 01-01 04-02 04-05
XPAR 2010 ..14:05 12-24 12-31
XPAR 2011 closed 04-22 04-25 12-26
XPAR 2012 closed 04-06 04-09 05-01 12-25 12-26
XPAR 2012 ..14:05 12-24 12-31
XPAR 2013 closed 01-01 03-29 04-01 05-01 12-25 12-26
XPAR 2013 ..14:05 12-24 12-31
XPAR 2014 closed 01-01 04-18 04-21 05-01 12-25 12-26
XPAR 2014 ..14:05 12-24 12-31
XPAR 2015 closed 01-01 04-03 04-06 05-01 12-25
XPAR 2015 ..14:05 12-24 12-31
XPAR 2016 closed 01-01 03-25 03-28 12-26
XPAR 2017 closed 04-14 04-17 05-01 12-25 12-26
XPAR 2018 closed 01-01 03-30 04-02 05-01 12-25 12-26
XPAR 2018 ..14:05 12-24 12-31
XPAR 2019 closed 01-01 04-19 04-22 05-01 12-25 12-26
XPAR 2019 ..14:05 12-24 12-31
XPAR 2020 closed 01-01 04-10 04-13 05-01 12-25
XPAR 2020 ..14:05 12-24 12-31
XPAR 2021 closed 01-01 04-02 04-05
XPAR 2021 ..14:05 12-24 12-31
XPAR 2022 closed 04-15 04-18 12-26
XPAR 2023 closed 04-07 04-10 05-01 12-25 12-26
XPAR 2024 closed 01-01 03-29 04-01 05-01 12-25 12-26
XPAR 2024 ..14:05 12-24 12-31
XPAR 2025 closed 01-01 04-18 04-21 05-01 12-25 12-26
XPAR 2025 ..14:05 12-24 12-31
XPAR 2026 closed 01-01 04-03 04-06 05-01 12-25
XPAR 2026 ..14:05 12-24 12-31
XPAR 2027 closed 01-01 03-26 03-29
XPAR 2027 ..14:05 12-24 12-31
XPAR 2028 closed 04-14 04-17 05-01 12-25 12-26
XPAR 2029 closed 01-01 03-30 04-02 05-01 12-25 12-26
XPAR 2029 ..14:05 12-24 12-31
XPAR 2030 closed 01-01 04-19 04-22 05-01 12-25 12-26
XPAR 2030 ..14:05 12-24 12-31
XPAR 2031 closed 01-01 04-11 04-14 05-01 12-25 12-26
XPAR 2031 ..14:05 12-24 12-31
XPAR 2032 closed 01-01 03-26 03-29
XPAR 2032 ..14:05 12-24 12-31
XPAR 2033 closed 04-15 04-18 12-26
XPAR 2034 closed 04-07 04-10 05-01 12-25 12-26
XPAR 2035 closed 01-01 03-23 03-26 05-01 12-25 12-26
XPAR 2035 ..14:05 12-24 12-31
XTKS 1997 closed 01-01 01-02 01-03 01-15 02-11 03-20 04-29 05-05 07-21 09-15 09-23 10-10 11-03 11-24 12-23 12-31
XTKS 1998 closed 01-01 01-02 01-15 02-11 04-29 05-04 05-05 05-06 07-20 09-15 09-23 11-03 11-23 12-23 12-31
XTKS 1999 closed 01-01 01-15 02-11 03-22 04-29 05-03 05-04 05-05 07-20 09-15 09-23 10-11 11-03 11-23 12-23 12-31
XTKS 2000 closed 01-03 01-10 02-11 03-20 05-03 05-04 05-05 07-20 09-15 10-09 11-03 11-23
XTKS 2001 closed 01-01 01-02 01-03 01-08 02-12 03-20 04-30 05-03 05-04 07-20 09-24 10-08 11-23 12-24 12-31
XTKS 2002 closed 01-01 01-02 01-03 01-14 02-11 03-21 04-29 05-03 05-06 09-16 09-23 10-14 11-04 12-23 12-31
XTKS 2003 closed 01-01 01-02 01-03 01-13 02-11 03-21 04-29 05-05 07-21 09-15 09-23 10-13 11-03 11-24 12-23 12-31
XTKS 2004 closed 01-01 01-02 01-12 02-11 04-29 05-03 05-04 05-05 07-19 09-20 09-23 10-11 11-03 11-23 12-23 12-31
XTKS 2005 closed 01-03 01-10 02-11 03-21 04-29 05-03 05-04 05-05 07-18 09-19 09-23 10-10 11-03 11-23 12-23
XTKS 2006 closed 01-02 01-03 01-09 03-21 05-03 05-04 05-05 07-17 09-18 10-09 11-03 11-23
XTKS 2007 closed 01-01 01-02 01-03 01-08 02-12 03-21 04-30 05-03 05-04 07-16 09-17 09-24 10-08 11-23 12-24 12-31
XTKS 2008 closed 01-01 01-02 01-03 01-14 02-11 03-20 04-29 05-05 05-06 07-21 09-15 09-23 10-13 11-03 11-24 12-23 12-31
XTKS 2009 closed 01-01 01-02 01-12 02-11 03-20 04-29 05-04 05-05 05-06 07-20 09-21 09-22 09-23 10-12 11-03 11-23 12-23
XTKS 2009 closed 12-31
XTKS 2010 closed 01-01 01-11 02-11 03-22 04-29 05-03 05-04 05-05 07-19 09-20 09-23 10-11 11-03 11-23 12-23 12-31
XTKS 2011 closed 01-03 01-10 02-11 03-21 04-29 05-03 05-04 05-05 07-18 09-19 09-23 10-10 11-03 11-23 12-23
XTKS 2012 closed 01-02 01-03 01-09 03-20 04-30 05-03 05-04 07-16 09-17 10-08 11-23 12-24 12-31
XTKS 2013 closed 01-01 01-02 01-03 01-14 02-11 03-20 04-29 05-03 05-06 07-15 09-16 09-23 10-14 11-04 12-23 12-31
XTKS 2014 closed 01-01 01-02 01-03 01-13 02-11 03-21 04-29 05-05 05-06 07-21 09-15 09-23 10-13 11-03 11-24 12-23 12-31
XTKS 2015 closed 01-01 01-02 01-12 02-11 04-29 05-04 05-05 05-06 07-20 09-21 09-22 09-23 10-12 11-03 11-23 12-23 12-31
XTKS 2016 closed 01-01 01-11 02-11 03-21 04-29 05-03 05-04 05-05 07-18 08-11 09-19 09-22 10-10 11-03 11-23 12-23
XTKS 2017 closed 01-02 01-03 01-09 03-20 05-03 05-04 05-05 07-17 08-11 09-18 10-09 11-03 11-23
XTKS 2018 closed 01-01 01-02 01-03 01-08 02-12 03-21 04-30 05-03 05-04 07-16 09-17 09-24 10-08 11-23 12-24 12-31
XTKS 2019 closed 01-01 01-02 01-03 01-14 02-11 03-21 04-29 04-30 05-01 05-02 05-03 05-06 07-15 08-12 09-16 09-23 10-14
XTKS 2019 closed 10-22 11-04 12-31
XTKS 2020 closed 01-01 01-02 01-03 01-13 02-11 02-24 03-20 04-29 05-04 05-05 05-06 07-23 07-24 08-10 09-21 09-22 10-01
XTKS 2020 closed 11-03 11-23 12-31
XTKS 2021 closed 01-01 01-11 02-11 02-23 04-29 05-03 05-04 05-05 07-22 07-23 08-09 09-20 09-23 11-03 11-23 12-31
XTKS 2022 closed 01-03 01-10 02-11 02-23 03-21 04-29 05-03 05-04 05-05 07-18 08-11 09-19 09-23 10-10 11-03 11-23
XTKS 2023 closed 01-02 01-03 01-09 02-23 03-21 05-03 05-04 05-05 07-17 08-11 09-18 10-09 11-03 11-23
XTKS 2024 closed 01-01 01-02 01-03 01-08 02-12 02-23 03-20 04-29 05-03 05-06 07-15 08-12 09-16 09-23 10-14 11-04 12-31
XTKS 2025 closed 01-01 01-02 01-03 01-13 02-11 02-24 03-20 04-29 05-05 05-06 07-21 08-11 09-15 09-23 10-13 11-03 11-24
XTKS 2025 closed 12-31
XTKS 2026 closed 01-01 01-02 01-12 02-11 02-23 03-20 04-29 05-04 05-05 05-06 07-20 08-11 09-21 09-22 09-23 10-12 11-03
XTKS 2026 closed 11-23 12-31
XTKS 2027 closed 01-01 01-11 02-11 02-23 03-22 04-29 05-03 05-04 05-05 07-19 08-11 09-20 09-23 10-11 11-03 11-23 12-31
XTKS 2028 closed 01-03 01-10 02-11 02-23 03-20 05-03 05-04 05-05 07-17 08-11 09-18 09-22 10-09 11-03 11-23
XTKS 2029 closed 01-01 01-02 01-03 01-08 02-12 02-23 03-20 04-30 05-03 05-04 07-16 09-17 09-24 10-08 11-23 12-31
XTKS 2030 closed 01-01 01-02 01-03 01-14 02-11 03-20 04-29 05-03 05-06 07-15 08-12 09-16 09-23 10-14 11-04 12-31
XTKS 2031 closed 01-01 01-02 01-03 01-13 02-11 02-24 03-21 04-29 05-05 05-06 07-21 08-11 09-15 09-23 10-13 11-03 11-24
XTKS 2031 closed 12-31
XTKS 2032 closed 01-01 01-02 01-12 02-11 02-23 04-29 05-03 05-04 05-05 07-19 08-11 09-20 09-21 09-22 10-11 11-03 11-23
XTKS 2032 closed 12-31
XTKS 2033 closed 01-03 01-10 02-11 02-23 03-21 04-29 05-03 05-04 05-05 07-18 08-11 09-19 09-23 10-10 11-03 11-23
XTKS 2034 closed 01-02 01-03 01-09 02-23 03-20 05-03 05-04 05-05 07-17 08-11 09-18 10-09 11-03 11-23
XTKS 2035 closed 01-01 01-02 01-03 01-08 02-12 02-23 03-21 04-30 05-03 05-04 07-16 09-17 09-24 10-08 11-23 12-31
XTSE 1990 closed 01-01 04-13 05-21 07-02 08-06 09-03 10-08 12-25 12-26
XTSE 1991 closed 01-01 03-29 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 1992 closed 01-01 04-17 05-18 07-01 08-03 09-07 10-12 12-25 12-28
XTSE 1993 closed 01-01 04-09 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 1994 closed 01-03 04-01 05-23 07-01 08-01 09-05 10-10 12-26 12-27
XTSE 1995 closed 01-02 04-14 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 1996 closed 01-01 04-05 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 1997 closed 01-01 03-28 05-19 07-01 08-04 09-01 10-13 12-25 12-26
XTSE 1998 closed 01-01 04-10 05-18 07-01 08-03 09-07 10-12 12-25 12-28
XTSE 1999 closed 01-01 04-02 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 2000 closed 01-03 04-21 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 2001 closed 01-01 04-13 05-21 07-02 08-06 09-03 09-11 09-12 10-08 12-25 12-26
XTSE 2002 closed 01-01 03-29 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 2003 closed 01-01 04-18 05-19 07-01 08-04 09-01 10-13 12-25 12-26
XTSE 2004 closed 01-01 04-09 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 2005 closed 01-03 03-25 05-23 07-01 08-01 09-05 10-10 12-26 12-27
XTSE 2006 closed 01-02 04-14 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 2007 closed 01-01 04-06 05-21 07-02 08-06 09-03 10-08 12-25 12-26
XTSE 2008 closed 01-01 02-18 03-21 05-19 07-01 08-04 09-01 10-13 12-25 12-26
XTSE 2009 closed 01-01 02-16 04-10 05-18 07-01 08-03 09-07 10-12 12-25 12-28
XTSE 2010 closed 01-01 02-15 04-02 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 2010 ..13:00 12-24
XTSE 2011 closed 01-03 02-21 04-22 05-23 07-01 08-01 09-05 10-10 12-26 12-27
XTSE 2012 closed 01-02 02-20 04-06 05-21 07-02 08-06 09-03 10-08 12-25 12-26
XTSE 2012 ..13:00 12-24
XTSE 2013 closed 01-01 02-18 03-29 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 2013 ..13:00 12-24
XTSE 2014 closed 01-01 02-17 04-18 05-19 07-01 08-04 09-01 10-13 12-25 12-26
XTSE 2014 ..13:00 12-24
XTSE 2015 closed 01-01 02-16 04-03 05-18 07-01 08-03 09-07 10-12 12-25 12-28
XTSE 2015 ..13:00 12-24
XTSE 2016 closed 01-01 02-15 03-25 05-23 07-01 08-01 09-05 10-10 12-26 12-27
XTSE 2017 closed 01-02 02-20 04-14 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 2018 closed 01-01 02-19 03-30 05-21 07-02 08-06 09-03 10-08 12-25 12-26
XTSE 2018 ..13:00 12-24
XTSE 2019 closed 01-01 02-18 04-19 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 2019 ..13:00 12-24
XTSE 2020 closed 01-01 02-17 04-10 05-18 07-01 08-03 09-07 10-12 12-25 12-28
XTSE 2020 ..13:00 12-24
XTSE 2021 closed 01-01 02-15 04-02 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 2021 ..13:00 12-24
XTSE 2022 closed 01-03 02-21 04-15 05-23 07-01 08-01 09-05 10-10 12-26 12-27
XTSE 2023 closed 01-02 02-20 04-07 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 2024 closed 01-01 02-19 03-29 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 2024 ..13:00 12-24
XTSE 2025 closed 01-01 02-17 04-18 05-19 07-01 08-04 09-01 10-13 12-25 12-26
XTSE 2025 ..13:00 12-24
XTSE 2026 closed 01-01 02-16 04-03 05-18 07-01 08-03 09-07 10-12 12-25 12-28
XTSE 2026 ..13:00 12-24
XTSE 2027 closed 01-01 02-15 03-26 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 2027 ..13:00 12-24
XTSE 2028 closed 01-03 02-21 04-14 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 2029 closed 01-01 02-19 03-30 05-21 07-02 08-06 09-03 10-08 12-25 12-26
XTSE 2029 ..13:00 12-24
XTSE 2030 closed 01-01 02-18 04-19 05-20 07-01 08-05 09-02 10-14 12-25 12-26
XTSE 2030 ..13:00 12-24
XTSE 2031 closed 01-01 02-17 04-11 05-19 07-01 08-04 09-01 10-13 12-25 12-26
XTSE 2031 ..13:00 12-24
XTSE 2032 closed 01-01 02-16 03-26 05-24 07-01 08-02 09-06 10-11 12-27 12-28
XTSE 2032 ..13:00 12-24
XTSE 2033 closed 01-03 02-21 04-15 05-23 07-01 08-01 09-05 10-10 12-26 12-27
XTSE 2034 closed 01-02 02-20 04-07 05-22 07-03 08-07 09-04 10-09 12-25 12-26
XTSE 2035 closed 01-01 02-19 03-23 05-21 07-02 08-06 09-03 10-08 12-25 12-26
XTSE 2035 ..13:00 12-24$calendars$, E'\n') line) l,
     nullif(line[3], 'closed') hours, unnest(line[4:]) day;

-- 03_feeds.sql ----------------------------------------------------------------

-- Offsets and feed positions. They change in the transaction that stores the
-- ticks: that makes ingest exactly-once.
CREATE TABLE ingest_offsets (
    topic       text        NOT NULL,
    partition   int         NOT NULL,
    next_offset bigint      NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    topic_id    text        NOT NULL DEFAULT '',
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE ingest_offsets IS
    'Next offset to read of each partition of the topic. Ingest resumes from it, not from the group''s offset.';
COMMENT ON COLUMN ingest_offsets.topic IS 'Topic of the broker.';
COMMENT ON COLUMN ingest_offsets.partition IS 'Partition of the topic.';
COMMENT ON COLUMN ingest_offsets.next_offset IS 'Every record below it is stored, dead-lettered or was a duplicate.';
COMMENT ON COLUMN ingest_offsets.updated_at IS 'When it last moved.';
COMMENT ON COLUMN ingest_offsets.topic_id IS
    'ID of the topic that next_offset counts in, as kafka-topics --describe prints it. A topic that is recreated, '
    'or one of that name in another cluster, has another ID. Empty: not known, because the broker has no IDs.';
GRANT SELECT ON ingest_offsets TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_offsets TO hypertick_writer;

-- A tick lexicographically above (last_ts, top_seq) cannot be stored yet, and is
-- new without a look. Whoever stores ticks of a feed raises version in the same
-- transaction: what another has looked up before is then looked up again.
CREATE TABLE feed_positions (
    venue      text COLLATE "C" NOT NULL,
    symbol     text COLLATE "C" NOT NULL,
    last_seq   bigint           NOT NULL,
    last_ts    timestamptz      NOT NULL,
    top_seq    bigint           NOT NULL DEFAULT -1,
    run_since  timestamptz,
    runs       int              NOT NULL DEFAULT 1,
    version    bigint           NOT NULL DEFAULT 1,
    updated_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, venue)
) WITH (fillfactor = 50);
COMMENT ON TABLE feed_positions IS
    'Position of each feed: how far its ticks reach, and its present run of seqs. A lower seq with a newer ts begins '
    'a new run.';
COMMENT ON COLUMN feed_positions.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_positions.symbol IS 'See ticks.symbol.';
-- +goose StatementBegin
COMMENT ON COLUMN feed_positions.last_seq IS
    'Highest seq of the present run; a gap is counted from it. -1: the next tick begins a run.';
-- +goose StatementEnd
COMMENT ON COLUMN feed_positions.last_ts IS 'Newest trade time stored.';
-- +goose StatementBegin
COMMENT ON COLUMN feed_positions.top_seq IS 'At least the highest seq stored with last_ts; -1: not known.';
-- +goose StatementEnd
COMMENT ON COLUMN feed_positions.run_since IS 'Trade time at which the present run began. NULL: not known.';
COMMENT ON COLUMN feed_positions.runs IS 'Number of runs so far: how often seq began again, plus one.';
COMMENT ON COLUMN feed_positions.version IS
    'Rises by one for each tick of the feed that is stored, whatever its ts and seq.';
COMMENT ON COLUMN feed_positions.updated_at IS 'When a tick of the feed was last stored.';
GRANT SELECT ON feed_positions TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON feed_positions TO hypertick_writer;
CREATE TABLE feed_venues (
    venue      text COLLATE "C" PRIMARY KEY,
    contiguous boolean NOT NULL DEFAULT true,
    non_positive_prices boolean NOT NULL DEFAULT false,
    conflicts  text             NOT NULL DEFAULT 'keep' CHECK (conflicts IN ('keep', 'correct', 'refuse')),
    calendar   text             NOT NULL DEFAULT '24x7'
);
COMMENT ON TABLE feed_venues IS
    'Properties of venues. A venue that is not listed is contiguous. Ingest reads the table once a minute.';
COMMENT ON COLUMN feed_venues.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_venues.contiguous IS
    'Whether seq rises by exactly one per symbol, so that a jump is a gap. Set it to false for venues that number '
    'across symbols.';
COMMENT ON COLUMN feed_venues.non_positive_prices IS
    'Whether prices at or below 0 are stored, as of futures and spreads. See instruments for single symbols.';
COMMENT ON COLUMN feed_venues.conflicts IS
    'What becomes of a tick whose ts and seq are stored with another price or size. keep: stored beside it. correct: '
    'it takes its place. refuse: it is a dead letter. Each is listed in feed_conflicts.';
COMMENT ON COLUMN feed_venues.calendar IS 'Calendar of symbols that are new: see instruments.';
GRANT SELECT ON feed_venues TO hypertick_reader, hypertick_writer;

-- Bits of ticks.flags. The first four say what a trade does not move; a candle
-- honours them. The others say what it is.
CREATE TABLE trade_flags (
    flag int PRIMARY KEY CHECK (flag > 0 AND flag & (flag - 1) = 0),
    name text NOT NULL UNIQUE,
    meaning text NOT NULL
);
COMMENT ON TABLE trade_flags IS 'Bits of ticks.flags.';
COMMENT ON COLUMN trade_flags.flag IS 'The bit, as a number.';
COMMENT ON COLUMN trade_flags.name IS 'Short name.';
COMMENT ON COLUMN trade_flags.meaning IS 'What it says of a trade.';
GRANT SELECT ON trade_flags TO hypertick_reader, hypertick_writer;
INSERT INTO trade_flags (flag, name, meaning) VALUES
    (1,   'no_open',       'does not open a bar'),
    (2,   'no_high_low',   'moves neither high nor low'),
    (4,   'no_close',      'does not close a bar'),
    (8,   'no_volume',     'does not count in volume and notional'),
    (16,  'opening',       'opening auction'),
    (32,  'closing',       'closing auction'),
    (64,  'off_session',   'outside regular trading hours'),
    (128, 'odd_lot',       'fewer units than a round lot'),
    (256, 'bar',           'not a trade: a part of a bar from a file of bars'),
    (512, 'unknown',       'has a condition that trade_conditions does not list');
CREATE TABLE trade_conditions (
    code text COLLATE "C" PRIMARY KEY CHECK (code ~ '^[ -+\--~]{1,32}$'),
    flags int NOT NULL,
    title text NOT NULL
);
COMMENT ON TABLE trade_conditions IS
    'Sale conditions and what they do not move. Ingest reads the table once a minute.';
COMMENT ON COLUMN trade_conditions.code IS 'The code, as in the conditions of a message.';
COMMENT ON COLUMN trade_conditions.flags IS 'Sum of trade_flags.flag. Those of several conditions are added together.';
COMMENT ON COLUMN trade_conditions.title IS 'What the condition is called.';
GRANT SELECT ON trade_conditions TO hypertick_reader, hypertick_writer;
INSERT INTO trade_conditions (code, flags, title) VALUES
    ('bar', 256, 'Part of a bar from a file of bars');

-- The rules of the US tapes for the consolidated market, as published: Consolidated
-- Tape Association, CTS Output Specification, and UTP Plan, UTP Data Feed Services
-- Specification, in each the table of sale conditions and what they update; where a
-- table says "last, unless others have", a trade does not close a bar. The lists of
-- dxFeed (docs.dxfeed.com/misc/dxFeed_TimeAndSale_Sale_Conditions.htm), Interactive
-- Brokers (Trade Conditions, CTS and UTDF) and Polygon (v3/reference/conditions,
-- update_rules.consolidated) say the same. B is an average price on the CTA tapes and
-- a bunched trade on the UTP tape: alone it counts as the former, which moves no price.
-- +goose StatementBegin
INSERT INTO trade_conditions (code, flags, title) VALUES
    ('@', 0,   'Regular sale'),
    ('A', 0,   'Acquisition'),
    ('B', 7,   'Average price trade (CTA); bunched trade (UTP: see utp:B)'),
    ('C', 7,   'Cash sale, same-day clearing'),
    ('D', 0,   'Distribution'),
    ('E', 0,   'Automatic execution (CTA)'),
    ('F', 0,   'Intermarket sweep'),
    ('G', 5,   'Bunched sold trade, reported late'),
    ('H', 7,   'Price variation trade'),
    ('I', 135, 'Odd lot trade'),
    ('K', 0,   'Rule 127 (NYSE) or rule 155 (NYSE American)'),
    ('L', 0,   'Sold last, reported late but in sequence'),
    ('M', 15,  'Market center official close: a price, no trade'),
    ('N', 7,   'Next day clearing'),
    ('O', 16,  'Opening trade'),
    ('P', 5,   'Prior reference price'),
    ('Q', 15,  'Market center official open: a price, no trade'),
    ('R', 7,   'Seller'),
    ('S', 0,   'Split trade'),
    ('T', 71,  'Form T: extended hours'),
    ('U', 71,  'Extended hours, sold out of sequence'),
    ('V', 7,   'Contingent trade'),
    ('W', 7,   'Average price trade (UTP)'),
    ('X', 0,   'Cross trade'),
    ('Y', 0,   'Yellow flag'),
    ('Z', 5,   'Sold out of sequence'),
    ('1', 0,   'Stopped stock, regular trade'),
    ('2', 0,   'Stopped stock, sold last'),
    ('3', 5,   'Stopped stock, sold out of sequence'),
    ('4', 5,   'Derivatively priced'),
    ('5', 0,   'Reopening trade'),
    ('6', 32,  'Closing trade'),
    ('7', 7,   'Qualified contingent trade'),
    ('8', 0,   'Trade-through exempt'),
    ('9', 9,   'Corrected consolidated close: its volume has been counted');
-- +goose StatementEnd

-- The same under names, for feeds without these codes.
INSERT INTO trade_conditions (code, flags, title)
SELECT named.code, c.flags, c.title
FROM (VALUES ('regular', '@'), ('acquisition', 'A'), ('average_price', 'W'), ('cash', 'C'), ('distribution', 'D'),
             ('automatic_execution', 'E'), ('intermarket_sweep', 'F'), ('bunched_sold', 'G'),
             ('price_variation', 'H'), ('odd_lot', 'I'), ('sold_last', 'L'), ('official_close', 'M'),
             ('next_day', 'N'), ('opening', 'O'), ('prior_reference_price', 'P'), ('official_open', 'Q'),
             ('seller', 'R'), ('split', 'S'), ('form_t', 'T'), ('extended_hours', 'T'),
             ('extended_hours_out_of_sequence', 'U'), ('contingent', 'V'), ('cross', 'X'),
             ('out_of_sequence', 'Z'), ('stopped', '1'), ('derivatively_priced', '4'), ('reopening', '5'),
             ('closing', '6'), ('qualified_contingent', '7'), ('trade_through_exempt', '8'),
             ('corrected_close', '9'), ('cta:B', 'W'), ('utp:B', 'A')) named(code, of)
JOIN trade_conditions c ON c.code = named.of;
UPDATE trade_conditions SET title = 'Bunched trade (UTP)' WHERE code = 'utp:B';
INSERT INTO trade_conditions (code, flags, title) VALUES ('bunched', 0, 'Bunched trade');

-- And what a trade does not move, for whoever has rules of their own.
INSERT INTO trade_conditions (code, flags, title)
SELECT f.name, f.flag, f.meaning FROM trade_flags f WHERE f.flag IN (1, 2, 4, 8, 64);

-- A gap is open while something of it is missing: a tick that falls into it closes
-- its part, in the transaction that stores it.
CREATE TABLE feed_gaps (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue       text COLLATE "C" NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    from_seq    bigint           NOT NULL,
    to_seq      bigint           NOT NULL,
    before_ts   timestamptz      NOT NULL,
    after_ts    timestamptz      NOT NULL,
    detected_at timestamptz      NOT NULL DEFAULT now(),
    missing     int8multirange   NOT NULL
        GENERATED ALWAYS AS (int8multirange(int8range(from_seq, to_seq, '[]')) - filled) STORED,
    filled      int8multirange   NOT NULL DEFAULT '{}',
    closed_at   timestamptz,
    closed_by   text CHECK (closed_by IN ('stream', 'backfill', 'restart', 'operator')),
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE INDEX feed_gaps_symbol_idx ON feed_gaps (symbol, detected_at DESC);
CREATE INDEX feed_gaps_detected_at_idx ON feed_gaps (detected_at DESC);
CREATE INDEX feed_gaps_open_idx ON feed_gaps (symbol, venue) WHERE closed_at IS NULL;
COMMENT ON TABLE feed_gaps IS 'Ranges of seq that a contiguous feed skipped, open and closed.';
COMMENT ON COLUMN feed_gaps.id IS 'Number of the gap.';
COMMENT ON COLUMN feed_gaps.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_gaps.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN feed_gaps.from_seq IS 'First seq that was missing.';
COMMENT ON COLUMN feed_gaps.to_seq IS 'Last seq that was missing.';
COMMENT ON COLUMN feed_gaps.before_ts IS
    'Trade time of the tick before the gap, or of the one after it if that is older.';
COMMENT ON COLUMN feed_gaps.after_ts IS
    'Trade time of the tick after the gap, or of the one before it if that is newer.';
COMMENT ON COLUMN feed_gaps.detected_at IS 'When it was detected.';
COMMENT ON COLUMN feed_gaps.missing IS 'The seqs of it that are still missing.';
COMMENT ON COLUMN feed_gaps.filled IS 'The seqs of it that have come since.';
COMMENT ON COLUMN feed_gaps.closed_at IS 'When it was closed. NULL: it is open.';
COMMENT ON COLUMN feed_gaps.closed_by IS
    'stream, backfill: its last missing tick came that way. restart: the feed began to number again below it, so it '
    'was none. operator: hypertick feed reset.';
COMMENT ON INDEX feed_gaps_symbol_idx IS 'Serves the gaps of one symbol.';
COMMENT ON INDEX feed_gaps_detected_at_idx IS 'Serves the newest gaps.';
COMMENT ON INDEX feed_gaps_open_idx IS 'Serves ticks that may close a gap.';
GRANT SELECT ON feed_gaps TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON feed_gaps TO hypertick_writer;
CREATE TABLE feed_conflicts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue        text COLLATE "C" NOT NULL,
    symbol       text COLLATE "C" NOT NULL,
    ts           timestamptz      NOT NULL,
    seq          bigint           NOT NULL,
    stored_price float8           NOT NULL,
    stored_size  float8           NOT NULL,
    price        float8           NOT NULL,
    size         float8           NOT NULL,
    outcome      text             NOT NULL CHECK (outcome IN ('kept', 'corrected', 'refused')),
    at           timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX feed_conflicts_at_idx ON feed_conflicts (at DESC);
COMMENT ON TABLE feed_conflicts IS
    'Ticks that came with the ts and seq of a stored one, but with another price or size.';
COMMENT ON COLUMN feed_conflicts.id IS 'Number of the conflict.';
COMMENT ON COLUMN feed_conflicts.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_conflicts.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN feed_conflicts.ts IS 'See ticks.ts.';
COMMENT ON COLUMN feed_conflicts.seq IS 'See ticks.seq.';
COMMENT ON COLUMN feed_conflicts.stored_price IS 'Price of the tick that was stored first.';
COMMENT ON COLUMN feed_conflicts.stored_size IS 'Size of the tick that was stored first.';
COMMENT ON COLUMN feed_conflicts.price IS 'Price of the tick that came.';
COMMENT ON COLUMN feed_conflicts.size IS 'Size of the tick that came.';
COMMENT ON COLUMN feed_conflicts.outcome IS 'What became of it, by feed_venues.conflicts.';
COMMENT ON COLUMN feed_conflicts.at IS 'When it came.';
COMMENT ON INDEX feed_conflicts_at_idx IS 'Serves the newest conflicts.';
GRANT SELECT ON feed_conflicts TO hypertick_reader;
GRANT SELECT, INSERT ON feed_conflicts TO hypertick_writer;

-- Outcomes of dead letters. Their topic is append-only, so the transaction that
-- handles a dead letter records that here.
CREATE TABLE dead_letters_handled (
    topic     text        NOT NULL,
    partition int         NOT NULL,
    "offset"  bigint      NOT NULL,
    how       text        NOT NULL CHECK (how IN ('stored', 'known', 'discarded')),
    at        timestamptz NOT NULL DEFAULT now(),
    topic_id  text        NOT NULL DEFAULT '',
    PRIMARY KEY (topic, topic_id, partition, "offset")
);
COMMENT ON TABLE dead_letters_handled IS 'Dead letters that have been handled.';
COMMENT ON COLUMN dead_letters_handled.topic IS 'Topic of the dead letters.';
COMMENT ON COLUMN dead_letters_handled.partition IS 'Partition of the dead letter, not of the record it was.';
COMMENT ON COLUMN dead_letters_handled."offset" IS 'Offset of the dead letter.';
COMMENT ON COLUMN dead_letters_handled.how IS
    'stored: its tick is in ticks now. known: its tick was stored before. discarded: an operator discarded it.';
COMMENT ON COLUMN dead_letters_handled.at IS 'When it was handled.';
COMMENT ON COLUMN dead_letters_handled.topic_id IS
    'ID of the topic: a topic that is recreated begins at offset 0 again. Empty: not known.';
GRANT SELECT ON dead_letters_handled TO hypertick_reader;
GRANT SELECT, INSERT ON dead_letters_handled TO hypertick_writer;

-- Activity of ingest, by the minute of its commits. ticks does not hold it: its
-- rows have the time of the trade, and a duplicate or a dead letter has none.
-- Written in the transaction of the batch, so it is exact.
CREATE TABLE ingest_activity (
    minute       timestamptz NOT NULL,
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    stored       bigint      NOT NULL,
    duplicates   bigint      NOT NULL,
    conflicts    bigint      NOT NULL DEFAULT 0,
    changes      bigint      NOT NULL DEFAULT 0,
    dead_letters bigint      NOT NULL,
    behind       bigint      NOT NULL
);
SELECT create_hypertable('ingest_activity', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);

-- A partition has one writer at a time (see ingest_offsets), so no
-- transaction waits for another's row here.
CREATE UNIQUE INDEX ingest_activity_key ON ingest_activity (minute, topic, partition);
SELECT add_retention_policy('ingest_activity', INTERVAL '30 days', schedule_interval => INTERVAL '1 day');
COMMENT ON TABLE ingest_activity IS
    'Records that ingest processed, by partition and minute. Rows are kept for 30 days.';
COMMENT ON COLUMN ingest_activity.minute IS 'Minute in which the batches began to be stored.';
COMMENT ON COLUMN ingest_activity.topic IS 'Topic of the broker.';
COMMENT ON COLUMN ingest_activity.partition IS 'Partition of the topic.';
COMMENT ON COLUMN ingest_activity.stored IS 'Ticks stored, late ones included.';
COMMENT ON COLUMN ingest_activity.duplicates IS 'Ticks dropped because they are stored, equal in all.';
COMMENT ON COLUMN ingest_activity.conflicts IS 'Ticks listed in feed_conflicts.';
COMMENT ON COLUMN ingest_activity.changes IS 'Cancels and corrections, listed in tick_changes.';
COMMENT ON COLUMN ingest_activity.dead_letters IS 'Records sent to the dead-letter topic.';
COMMENT ON COLUMN ingest_activity.behind IS 'Records of the partition still to read after the minute''s last batch.';
COMMENT ON INDEX ingest_activity_key IS 'One row for a partition and minute.';
GRANT SELECT ON ingest_activity TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON ingest_activity TO hypertick_writer;

-- 03_instruments.sql ----------------------------------------------------------

-- What a symbol is: where it trades, what it is called, what it was called
-- before, and what its company did to its shares.
CREATE TABLE instruments (
    symbol              text COLLATE "C" PRIMARY KEY,
    name                text,
    kind                text NOT NULL DEFAULT 'other'
                        CHECK (kind IN ('equity', 'etf', 'index', 'fx', 'crypto', 'future', 'option', 'other')),
    calendar            text NOT NULL DEFAULT '24x7',
    currency            text,
    price_step          float8 CHECK (price_step > 0),
    size_step           float8 CHECK (size_step > 0),
    non_positive_prices boolean,
    active_from         date,
    active_to           date
);
COMMENT ON TABLE instruments IS
    'Properties of symbols. A symbol that is new gets a row with the calendar of its venue. Ingest reads the table '
    'once a minute.';
COMMENT ON COLUMN instruments.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN instruments.name IS 'What people call it. NULL: not known.';
COMMENT ON COLUMN instruments.kind IS 'equity, etf, index, fx, crypto, future, option or other.';
COMMENT ON COLUMN instruments.calendar IS 'See calendars.calendar. 24x7: its day is the UTC day.';
COMMENT ON COLUMN instruments.currency IS 'ISO 4217 code, or that of a coin, that its prices are in.';
COMMENT ON COLUMN instruments.price_step IS 'Prices are multiples of it. NULL: not known.';
COMMENT ON COLUMN instruments.size_step IS 'Sizes are multiples of it. NULL: not known.';
COMMENT ON COLUMN instruments.non_positive_prices IS
    'Whether prices at or below 0 are stored. NULL: as feed_venues says of the venue.';
COMMENT ON COLUMN instruments.active_from IS 'First day it trades. NULL: not known.';
COMMENT ON COLUMN instruments.active_to IS 'Last day it trades. NULL: it still does.';
GRANT SELECT ON instruments TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT (symbol, calendar) ON instruments TO hypertick_writer;
GRANT INSERT, UPDATE ON instruments TO hypertick_operator;
CREATE TABLE former_symbols (
    symbol text COLLATE "C" NOT NULL,
    former text COLLATE "C" NOT NULL,
    until  date             NOT NULL,
    PRIMARY KEY (symbol, former),
    CHECK (symbol <> former)
);
CREATE INDEX former_symbols_former_idx ON former_symbols (former);
COMMENT ON TABLE former_symbols IS
    'Symbols that an instrument had before the day until. Searches find it by them.';
COMMENT ON COLUMN former_symbols.symbol IS 'Symbol that it has now.';
COMMENT ON COLUMN former_symbols.former IS 'Symbol that it had.';
COMMENT ON COLUMN former_symbols.until IS 'First trading day under the next symbol.';
COMMENT ON INDEX former_symbols_former_idx IS 'Finds an instrument by a symbol it had.';
GRANT SELECT ON former_symbols TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT, UPDATE, DELETE ON former_symbols TO hypertick_operator;

-- A row is never changed: what was known at a time is still known afterwards. A
-- correction sets undone_at and adds a row.
CREATE TABLE corporate_actions (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol    text COLLATE "C" NOT NULL,
    kind      text             NOT NULL CHECK (kind IN ('split', 'dividend')),
    ex_date   date             NOT NULL,
    ratio     float8           CHECK (ratio > 0 AND ratio < 1e6),
    cash      float8           CHECK (cash > 0 AND cash < 1e12),
    known_at  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    undone_at timestamptz,
    source    text             NOT NULL DEFAULT '',
    CHECK ((kind = 'split') = (ratio IS NOT NULL) AND (kind = 'dividend') = (cash IS NOT NULL))
);
CREATE UNIQUE INDEX corporate_actions_symbol_idx ON corporate_actions (symbol, ex_date, kind) WHERE undone_at IS NULL;
CREATE INDEX corporate_actions_history_idx ON corporate_actions (symbol, ex_date);
COMMENT ON TABLE corporate_actions IS 'Splits and cash dividends, as they are and were known.';
COMMENT ON COLUMN corporate_actions.id IS 'Number of the action.';
COMMENT ON COLUMN corporate_actions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN corporate_actions.kind IS 'split or dividend.';
COMMENT ON COLUMN corporate_actions.ex_date IS 'First trading day without it.';
COMMENT ON COLUMN corporate_actions.ratio IS
    'New shares for an old one: 4 where each becomes four, 0.1 where ten become one. NULL for a dividend.';
COMMENT ON COLUMN corporate_actions.cash IS
    'Paid per share, in the currency of the prices before ex_date. NULL for a split.';
COMMENT ON COLUMN corporate_actions.known_at IS 'When it was entered here.';
COMMENT ON COLUMN corporate_actions.undone_at IS 'When it was withdrawn or replaced. NULL: in force.';
COMMENT ON COLUMN corporate_actions.source IS 'Where it comes from.';
COMMENT ON INDEX corporate_actions_symbol_idx IS 'One split and one dividend a day at most are in force.';
COMMENT ON INDEX corporate_actions_history_idx IS 'Serves reads of a symbol, as of any time.';
GRANT SELECT ON corporate_actions TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT (symbol, kind, ex_date, ratio, cash, source, known_at), UPDATE (undone_at) ON corporate_actions
    TO hypertick_operator;

-- 03_sessions.sql -------------------------------------------------------------

-- From rules and exceptions to sessions, and the state of the market at an instant.

-- A day's hours are wall clocks: the zone makes instants of them, so a day may
-- have 23 or 25 hours. calendar/calendar.go does the same in Go, and a test
-- compares the two.
-- +goose StatementBegin
CREATE FUNCTION expand_sessions(calendar text, from_day date DEFAULT NULL, to_day date DEFAULT NULL)
RETURNS SETOF sessions
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH days AS (
        SELECT c.calendar, c.zone, d.day::date AS day,
               r.from_day IS NOT NULL AS regular, e.day IS NOT NULL AS differs,
               coalesce(e.opens, r.opens) AS opens, coalesce(e.closes, r.closes) AS closes,
               CASE WHEN e.no_break IS NOT TRUE THEN coalesce(e.break_start, r.break_start) END AS break_start,
               CASE WHEN e.no_break IS NOT TRUE THEN coalesce(e.break_end, r.break_end) END AS break_end,
               r.opens AS rule_opens, r.closes AS rule_closes, r.pre_opens, r.post_closes
        FROM public.calendars c
        -- Without a rule there are exceptions alone: the days of 24x7 are not counted through.
        CROSS JOIN LATERAL (
            SELECT generate_series(greatest(c.first_day, from_day), least(c.last_day, to_day), INTERVAL '1 day') AS day
            WHERE EXISTS (SELECT FROM public.calendar_rules r WHERE r.calendar = c.calendar)) d
        LEFT JOIN public.calendar_rules r
            ON r.calendar = c.calendar AND d.day::date BETWEEN r.from_day AND r.to_day
           AND extract(isodow FROM d.day)::int = ANY (r.weekdays)
        LEFT JOIN public.calendar_exceptions e ON e.calendar = c.calendar AND e.day = d.day::date
        WHERE c.calendar = expand_sessions.calendar
          AND NOT coalesce(e.closed, r.from_day IS NULL)
    ), hours AS (
        SELECT d.*,
               -- A break that reaches to the open or the close is none.
               coalesce(d.break_start > d.opens AND d.break_end < d.closes, false) AS pauses,
               coalesce(least(d.pre_opens, d.opens), d.opens) AS pre,
               -- The time after the close is as long as on other days.
               coalesce(d.closes + (d.post_closes - d.rule_closes), d.closes) AS post
        FROM days d
    )
    SELECT h.calendar, h.day, (h.day + h.opens) AT TIME ZONE h.zone, (h.day + h.closes) AT TIME ZONE h.zone,
           CASE WHEN h.pauses THEN (h.day + h.break_start) AT TIME ZONE h.zone END,
           CASE WHEN h.pauses THEN (h.day + h.break_end) AT TIME ZONE h.zone END,
           (h.day + h.pre) AT TIME ZONE h.zone, (h.day + h.post) AT TIME ZONE h.zone,
           CASE
               WHEN NOT h.regular THEN 'special'
               WHEN NOT h.differs OR h.opens = h.rule_opens AND h.closes = h.rule_closes THEN 'regular'
               WHEN h.opens = h.rule_opens AND h.closes < h.rule_closes THEN 'early_close'
               WHEN h.closes = h.rule_closes AND h.opens > h.rule_opens THEN 'late_open'
               ELSE 'special'
           END
    FROM hours h
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION expand_sessions(text, date, date) IS
    'The sessions that rules and exceptions of a calendar come to, of days from from_day up to to_day, both included.';

-- As its owner: ingest gives a new symbol the calendar of its venue.
-- +goose StatementBegin
CREATE FUNCTION make_sessions(calendar text) RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong record;
    days  date[];
BEGIN
    -- Two that make the same wait for each other.
    PERFORM FROM public.calendars c WHERE c.calendar = make_sessions.calendar FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'calendar: want one of %, got %',
            (SELECT string_agg(c.calendar, ', ' ORDER BY c.calendar) FROM public.calendars c), make_sessions.calendar
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT s.day, s.opens, s.closes INTO wrong FROM public.expand_sessions(make_sessions.calendar) s
    WHERE (s.opens < s.closes) IS NOT TRUE ORDER BY s.day LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'calendar % on %: want opens before closes, and both where no rule has a session, got % and %',
            make_sessions.calendar, wrong.day, wrong.opens, wrong.closes USING ERRCODE = 'invalid_parameter_value';
    END IF;
    WITH want AS MATERIALIZED (
        SELECT * FROM public.expand_sessions(make_sessions.calendar)
    ), gone AS (
        DELETE FROM public.sessions s
        WHERE s.calendar = make_sessions.calendar AND s.day NOT IN (SELECT w.day FROM want w)
        RETURNING s.day
    ), made AS (
        INSERT INTO public.sessions AS s SELECT w.* FROM want w
        ON CONFLICT ON CONSTRAINT sessions_pkey DO UPDATE
            SET opens = excluded.opens, closes = excluded.closes, break_start = excluded.break_start,
                break_end = excluded.break_end, pre_opens = excluded.pre_opens, post_closes = excluded.post_closes,
                kind = excluded.kind
            WHERE s IS DISTINCT FROM excluded
        RETURNING s.day
    )
    SELECT array_agg(a.day ORDER BY a.day) INTO days
    FROM (SELECT g.day FROM gone g UNION ALL SELECT m.day FROM made m) a;
    IF days IS NOT NULL THEN
        UPDATE public.calendars c SET version = c.version + 1 WHERE c.calendar = make_sessions.calendar;
    END IF;
    RETURN QUERY SELECT unnest(days);
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION make_sessions(text) IS
    'Makes the sessions of a calendar of its rules and exceptions, and returns the days that changed. Instruments and '
    'venues call it for a calendar that they are the first to use; call it after a change of calendar_exceptions.';
-- +goose StatementEnd

-- Once for a statement: ingest inserts instruments in bulk.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.use_calendars() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT DISTINCT r.calendar FROM rows_in_use r
        WHERE r.calendar <> '24x7' AND NOT EXISTS (SELECT FROM public.sessions s WHERE s.calendar = r.calendar)
        ORDER BY 1 -- in one order, so that no two wait for each other
    LOOP
        PERFORM public.make_sessions(name);
    END LOOP;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.use_calendars() IS
    'Trigger: makes the sessions of a calendar that is used for the first time, and refuses one that is not known.';
CREATE TRIGGER use_calendars_of_new AFTER INSERT ON instruments
    REFERENCING NEW TABLE AS rows_in_use FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.use_calendars();
CREATE TRIGGER use_calendars_of_changed AFTER UPDATE ON instruments
    REFERENCING NEW TABLE AS rows_in_use FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.use_calendars();
CREATE TRIGGER use_calendars_of_new AFTER INSERT ON feed_venues
    REFERENCING NEW TABLE AS rows_in_use FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.use_calendars();
CREATE TRIGGER use_calendars_of_changed AFTER UPDATE ON feed_venues
    REFERENCING NEW TABLE AS rows_in_use FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.use_calendars();
-- +goose StatementBegin
CREATE FUNCTION _hypertick.calendar_of(symbol text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT i.calendar FROM public.instruments i WHERE i.symbol = calendar_of.symbol), '24x7')
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.calendar_of(text) IS 'The calendar of a symbol; 24x7 where no instrument has it.';
-- +goose StatementEnd

-- The session that is on, its extended hours included, or the next. Before the
-- first day of the calendar nothing is known, so there is no next.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.session_at(name text, at timestamptz) RETURNS sessions
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s FROM public.sessions s JOIN public.calendars c USING (calendar)
    WHERE s.calendar = session_at.name AND s.post_closes > session_at.at
      AND session_at.at >= (c.first_day - INTERVAL '1 day') AT TIME ZONE c.zone
    ORDER BY s.post_closes LIMIT 1
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.session_at(text, timestamptz) IS
    'The session of a calendar that is on at a time, or the next. NULL after the last.';
-- +goose StatementBegin
CREATE FUNCTION trading_day(symbol text, at timestamptz) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE c.name WHEN '24x7' THEN (trading_day.at AT TIME ZONE 'UTC')::date
           ELSE (_hypertick.session_at(c.name, trading_day.at)).day END
    FROM (SELECT _hypertick.calendar_of(trading_day.symbol) AS name) c
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION trading_day(text, timestamptz) IS
    'The trading day that a time belongs to, of a symbol: that of the session that is on, extended hours included, '
    'else of the next. Without sessions (24x7) it is the UTC day. NULL where the calendar does not know.';
-- +goose StatementBegin
CREATE FUNCTION market_status(symbol text, at timestamptz DEFAULT now(),
                              OUT state text, OUT until timestamptz, OUT day date)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT v.state, v.until,
           CASE c.name WHEN '24x7' THEN (market_status.at AT TIME ZONE 'UTC')::date ELSE (c.s).day END
    FROM (SELECT n.name, _hypertick.session_at(n.name, market_status.at) AS s
          FROM (SELECT _hypertick.calendar_of(market_status.symbol) AS name) n) c
    CROSS JOIN LATERAL (
        SELECT CASE WHEN c.name = '24x7' THEN 'open'
                    WHEN market_status.at < (c.s).pre_opens THEN 'closed'
                    WHEN market_status.at < (c.s).opens THEN 'pre'
                    WHEN market_status.at < (c.s).break_start THEN 'open'
                    WHEN market_status.at < (c.s).break_end THEN 'break'
                    WHEN market_status.at < (c.s).closes THEN 'open'
                    WHEN market_status.at < (c.s).post_closes THEN 'post'
                    ELSE 'closed' END AS state,
               -- The first of its times that is later; least() and greatest() skip NULL.
               CASE WHEN c.name <> '24x7' THEN least(
                    CASE WHEN (c.s).pre_opens > market_status.at THEN (c.s).pre_opens END,
                    CASE WHEN (c.s).opens > market_status.at THEN (c.s).opens END,
                    CASE WHEN (c.s).break_start > market_status.at THEN (c.s).break_start END,
                    CASE WHEN (c.s).break_end > market_status.at THEN (c.s).break_end END,
                    CASE WHEN (c.s).closes > market_status.at THEN (c.s).closes END,
                    (c.s).post_closes) END AS until) v
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION market_status(text, timestamptz) IS
    'What goes on in the market of a symbol: state is open, closed, pre (before the open), post (after the close) or '
    'break; until is when that ends, NULL: not known or never; day is its trading_day().';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION is_open(symbol text, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.state = 'open' FROM public.market_status(is_open.symbol, is_open.at) m
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION is_open(text, timestamptz) IS
    'Whether the regular session of a symbol is on at a time, and no break. Without sessions (24x7) always.';
-- +goose StatementBegin
CREATE FUNCTION next_open(symbol text, at timestamptz DEFAULT now()) RETURNS timestamptz
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE c.name WHEN '24x7' THEN next_open.at ELSE (
        SELECT least(CASE WHEN s.opens > next_open.at THEN s.opens END,
                     CASE WHEN s.break_end > next_open.at THEN s.break_end END)
        FROM public.sessions s
        WHERE s.calendar = c.name AND s.post_closes > next_open.at
          AND (s.opens > next_open.at OR s.break_end > next_open.at)
          AND (_hypertick.session_at(c.name, next_open.at)).day IS NOT NULL
        ORDER BY s.post_closes LIMIT 1) END
    FROM (SELECT _hypertick.calendar_of(next_open.symbol) AS name) c
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION next_open(text, timestamptz) IS
    'The next time after a time at which trading in a symbol begins, or goes on after a break. Without sessions '
    '(24x7) the time itself. NULL where the calendar does not know.';
REVOKE EXECUTE ON FUNCTION
    make_sessions(text),
    _hypertick.use_calendars()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION make_sessions(text) TO hypertick_writer, hypertick_operator;
GRANT EXECUTE ON FUNCTION
    _hypertick.calendar_of(text), _hypertick.session_at(text, timestamptz),
    expand_sessions(text, date, date), trading_day(text, timestamptz),
    market_status(text, timestamptz), is_open(text, timestamptz),
    next_open(text, timestamptz)
TO hypertick_reader, hypertick_writer, hypertick_operator;

-- 03_topics.sql ---------------------------------------------------------------

-- What ingest knows of the topic at the broker: where it begins and ends, whether
-- it is still the topic that the offsets count in, and what could not be read.
CREATE TABLE topic_ends (
    topic         text        NOT NULL,
    topic_id      text        NOT NULL,
    partition     int         NOT NULL,
    start_offset  bigint      NOT NULL,
    end_offset    bigint      NOT NULL,
    next_offset   bigint,
    listed_at     timestamptz NOT NULL,
    waiting_since timestamptz,
    PRIMARY KEY (topic, topic_id, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE topic_ends IS
    'Offsets of every partition at the broker, as ingest listed them last, within five seconds. The lag is measured '
    'from it, also of partitions that no ingest has read yet.';
COMMENT ON COLUMN topic_ends.topic IS 'Topic of the broker.';
COMMENT ON COLUMN topic_ends.topic_id IS 'See ingest_offsets.topic_id.';
COMMENT ON COLUMN topic_ends.partition IS 'Partition of the topic.';
COMMENT ON COLUMN topic_ends.start_offset IS 'Offset of the oldest record that the broker keeps.';
COMMENT ON COLUMN topic_ends.end_offset IS 'Offset of the next record to be produced.';
COMMENT ON COLUMN topic_ends.next_offset IS 'Offset of ingest at that time. NULL: ingest had none.';
COMMENT ON COLUMN topic_ends.listed_at IS 'When the broker was asked.';
COMMENT ON COLUMN topic_ends.waiting_since IS
    'Since when records wait and the offset of ingest does not move. NULL: no record waits.';
GRANT SELECT ON topic_ends TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON topic_ends TO hypertick_writer;
CREATE TABLE lost_ranges (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text        NOT NULL,
    topic_id    text        NOT NULL,
    partition   int         NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL CHECK (to_offset >= from_offset),
    reason      text        NOT NULL CHECK (reason IN ('trimmed', 'recreated')),
    noticed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX lost_ranges_noticed_at_idx ON lost_ranges (noticed_at DESC);
COMMENT ON TABLE lost_ranges IS 'Records that the broker deleted before they were ingested.';
COMMENT ON COLUMN lost_ranges.id IS 'Number of the range.';
COMMENT ON COLUMN lost_ranges.topic IS 'Topic of the broker.';
COMMENT ON COLUMN lost_ranges.topic_id IS 'See ingest_offsets.topic_id.';
COMMENT ON COLUMN lost_ranges.partition IS 'Partition of the topic.';
COMMENT ON COLUMN lost_ranges.from_offset IS 'First offset that was lost.';
COMMENT ON COLUMN lost_ranges.to_offset IS 'Last offset that was lost, as far as it is known.';
COMMENT ON COLUMN lost_ranges.reason IS
    'trimmed: the retention of the topic deleted them. recreated: the topic was deleted with them.';
COMMENT ON COLUMN lost_ranges.noticed_at IS 'When ingest noticed it.';
COMMENT ON INDEX lost_ranges_noticed_at_idx IS 'Serves the newest ranges.';
GRANT SELECT ON lost_ranges TO hypertick_reader;
GRANT SELECT, INSERT ON lost_ranges TO hypertick_writer;
CREATE TABLE topic_changes (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    old_topic_id text        NOT NULL,
    topic_id     text        NOT NULL,
    old_offset   bigint      NOT NULL,
    next_offset  bigint      NOT NULL,
    reason       text        NOT NULL CHECK (reason IN ('recreated', 'truncated')),
    noticed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX topic_changes_noticed_at_idx ON topic_changes (noticed_at DESC);
COMMENT ON TABLE topic_changes IS
    'Partitions that ingest reads from their start again, because their records are not those that its '
    'offset counted. Ticks that are stored already are recognised.';
COMMENT ON COLUMN topic_changes.id IS 'Number of the change.';
COMMENT ON COLUMN topic_changes.topic IS 'Topic of the broker.';
COMMENT ON COLUMN topic_changes.partition IS 'Partition of the topic.';
COMMENT ON COLUMN topic_changes.old_topic_id IS 'ID of the topic before, see ingest_offsets.topic_id.';
COMMENT ON COLUMN topic_changes.topic_id IS 'ID of the topic now.';
COMMENT ON COLUMN topic_changes.old_offset IS 'Offset of ingest before.';
COMMENT ON COLUMN topic_changes.next_offset IS 'Offset of ingest from then on.';
COMMENT ON COLUMN topic_changes.reason IS
    'recreated: it has another ID. truncated: it ended before the offset of ingest.';
COMMENT ON COLUMN topic_changes.noticed_at IS 'When ingest noticed it.';
COMMENT ON INDEX topic_changes_noticed_at_idx IS 'Serves the newest changes.';
GRANT SELECT ON topic_changes TO hypertick_reader;
GRANT SELECT, INSERT ON topic_changes TO hypertick_writer;

-- Each partition once: of the topic's last ID that was listed.
CREATE VIEW topic_lag AS
SELECT e.topic, e.topic_id, e.partition, e.start_offset, e.end_offset, o.next_offset,
       greatest(0, e.end_offset - greatest(e.start_offset, coalesce(o.next_offset, 0))) AS lag,
       e.waiting_since, e.listed_at
FROM topic_ends e
JOIN (SELECT DISTINCT ON (n.topic) n.topic, n.topic_id FROM topic_ends n
      ORDER BY n.topic, n.listed_at DESC, n.topic_id) n ON n.topic = e.topic AND n.topic_id = e.topic_id
LEFT JOIN ingest_offsets o ON o.topic = e.topic AND o.partition = e.partition AND o.topic_id = e.topic_id;
COMMENT ON VIEW topic_lag IS 'How many records of each partition are not ingested yet.';
COMMENT ON COLUMN topic_lag.topic IS 'Topic of the broker.';
COMMENT ON COLUMN topic_lag.topic_id IS 'See ingest_offsets.topic_id.';
COMMENT ON COLUMN topic_lag.partition IS 'Partition of the topic.';
COMMENT ON COLUMN topic_lag.start_offset IS 'See topic_ends.start_offset.';
COMMENT ON COLUMN topic_lag.end_offset IS 'See topic_ends.end_offset.';
COMMENT ON COLUMN topic_lag.next_offset IS 'Offset of ingest now. NULL: it has not begun.';
COMMENT ON COLUMN topic_lag.lag IS 'Records that wait.';
COMMENT ON COLUMN topic_lag.waiting_since IS 'See topic_ends.waiting_since.';
COMMENT ON COLUMN topic_lag.listed_at IS 'See topic_ends.listed_at.';
GRANT SELECT ON topic_lag TO hypertick_reader, hypertick_writer;

-- 04_states.sql ---------------------------------------------------------------

-- Mergeable states: the two-step style of TimescaleDB's toolkit (x_agg, rollup,
-- accessor) for EMA, RSI, ATR, sums and OBV.
--
-- EMA and Wilder's means are linear recurrences, so a run of contiguous bars is
-- an affine map: value after = a * value before + s. Maps compose, so a state
-- can be kept per block of bars and joined later. Joining is associative but
-- not commutative: always ORDER BY, only contiguous bars, and no combine
-- function.
--
-- Steps, joins and accessors run once a row, in refreshes too, where search_path
-- is empty: they qualify every name outside pg_catalog and have no SET
-- search_path, which would cost more than the step itself.
--
-- What falls below 1e-150 is set to 0, so that no product of two such numbers is
-- below the smallest float8, which PostgreSQL refuses with an error.
CREATE TYPE indicator.ema_state AS (period int, n bigint, a float8, s float8);
COMMENT ON TYPE indicator.ema_state IS
    'Bars of one symbol as an EMA sees them. EMA after them = a * EMA before them + s.';
CREATE TYPE indicator.rsi_state AS (period int, n bigint, first float8, last float8, a float8, g float8, l float8);
-- +goose StatementBegin
COMMENT ON TYPE indicator.rsi_state IS
    'Bars as Wilder''s RSI sees them: first and last close; mean gain after = a * mean gain at the first bar + g, '
    'and the same with l for losses.';
-- +goose StatementEnd
CREATE TYPE indicator.atr_state AS (period int, n bigint, high float8, low float8, close float8, a float8, s float8);
-- +goose StatementBegin
COMMENT ON TYPE indicator.atr_state IS
    'Bars as Wilder''s ATR sees them: high and low of the first, close of the last; ATR after = a * ATR at the first '
    'bar + s.';
-- +goose StatementEnd
CREATE TYPE indicator.sum_state AS (n bigint, mean float8, m2 float8, min float8, max float8);
-- +goose StatementBegin
COMMENT ON TYPE indicator.sum_state IS
    'Count, mean, sum of squared deviations from the mean, minimum and maximum. Sums of squares lose all digits where '
    'a price is far from 0 and hardly moves; this form keeps them.';
-- +goose StatementEnd
CREATE TYPE indicator.obv_state AS (n bigint, first float8, volume float8, last float8, s float8);
COMMENT ON TYPE indicator.obv_state IS
    'Bars as on-balance volume sees them: close and volume of the first, close of the last, and the signed volume '
    'after the first.';

-- EMA ------------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION _hypertick.ema_step(st indicator.ema_state, x float8, period int)
RETURNS indicator.ema_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
BEGIN
    IF x IS NULL THEN
        RETURN st;
    END IF;
    alpha := 2.0 / (period + 1);
    IF st IS NULL THEN
        IF period IS NULL OR period < 1 THEN
            RAISE EXCEPTION 'period: want at least 1, got %', period
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN ROW(period, 1, 1 - alpha, alpha * x)::indicator.ema_state;
    END IF;
    IF st.period IS DISTINCT FROM period THEN
        RAISE EXCEPTION 'period: a state of % got %', st.period, period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN ROW(period, st.n + 1, CASE WHEN st.a < 1e-150 THEN 0 ELSE st.a * (1 - alpha) END,
               CASE WHEN abs(x - st.s) < 1e-150 THEN x ELSE st.s + alpha * (x - st.s) END)::indicator.ema_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.ema_step(indicator.ema_state, float8, int) IS 'The EMA state with one more bar.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.ema_join(x indicator.ema_state, y indicator.ema_state)
RETURNS indicator.ema_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    IF x.period <> y.period THEN
        RAISE EXCEPTION 'period: states of % and % do not join', x.period, y.period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    RETURN ROW(x.period, x.n + y.n,
               CASE WHEN x.a < 1e-150 OR y.a < 1e-150 THEN 0 ELSE x.a * y.a END,
               CASE WHEN y.a < 1e-150 OR abs(x.s) < 1e-150 THEN 0 ELSE y.a * x.s END + y.s)::indicator.ema_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.ema_join(indicator.ema_state, indicator.ema_state) IS 'The EMA state of x and then y.';
CREATE AGGREGATE indicator.ema_agg(x float8, period int)
    (sfunc = _hypertick.ema_step, stype = indicator.ema_state, parallel = safe);
COMMENT ON AGGREGATE indicator.ema_agg(float8, int) IS
    'State of an EMA with weight 2/(period+1) over bars: ema_agg(close, 12 ORDER BY bucket).';
CREATE AGGREGATE indicator.rollup(indicator.ema_state)
    (sfunc = _hypertick.ema_join, stype = indicator.ema_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.ema_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket). States of different periods are an error.';
CREATE FUNCTION indicator.ema(state indicator.ema_state, seed float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN (state).a < 1e-150 OR abs(seed) < 1e-150 THEN (state).s ELSE (state).a * seed + (state).s END;
COMMENT ON FUNCTION indicator.ema(indicator.ema_state, float8) IS
    'The EMA after the bars of the state, when it was seed before them.';
CREATE FUNCTION indicator.ema(state indicator.ema_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).s / (1 - (state).a);
COMMENT ON FUNCTION indicator.ema(indicator.ema_state) IS
    'The EMA of just these bars, weights scaled to sum to 1. After about 15 * period bars it is the EMA whatever '
    'came before.';

-- RSI ------------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rsi_step(st indicator.rsi_state, x float8, period int)
RETURNS indicator.rsi_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
    c     float8;
BEGIN
    IF x IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        IF period IS NULL OR period < 1 THEN
            RAISE EXCEPTION 'period: want at least 1, got %', period
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN ROW(period, 1, x, x, 1, 0, 0)::indicator.rsi_state;
    END IF;
    IF st.period IS DISTINCT FROM period THEN
        RAISE EXCEPTION 'period: a state of % got %', st.period, period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / period;
    c := x - st.last;
    RETURN ROW(period, st.n + 1, st.first, x,
               CASE WHEN st.a < 1e-150 THEN 0 ELSE st.a * (1 - alpha) END,
               CASE WHEN st.g < 1e-150 THEN 0 ELSE st.g * (1 - alpha) END
                 + CASE WHEN c > 0 THEN alpha * c ELSE 0 END,
               CASE WHEN st.l < 1e-150 THEN 0 ELSE st.l * (1 - alpha) END
                 + CASE WHEN c < 0 THEN alpha * -c ELSE 0 END)::indicator.rsi_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rsi_step(indicator.rsi_state, float8, int) IS 'The RSI state with one more bar.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rsi_join(x indicator.rsi_state, y indicator.rsi_state)
RETURNS indicator.rsi_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
    c     float8;
    g     float8;
    l     float8;
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    IF x.period <> y.period THEN
        RAISE EXCEPTION 'period: states of % and % do not join', x.period, y.period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / x.period;
    c := y.first - x.last;
    g := CASE WHEN x.g < 1e-150 THEN 0 ELSE x.g * (1 - alpha) END + CASE WHEN c > 0 THEN alpha * c ELSE 0 END;
    l := CASE WHEN x.l < 1e-150 THEN 0 ELSE x.l * (1 - alpha) END + CASE WHEN c < 0 THEN alpha * -c ELSE 0 END;
    RETURN ROW(x.period, x.n + y.n, x.first, y.last,
               CASE WHEN x.a < 1e-150 OR y.a < 1e-150 THEN 0 ELSE x.a * (1 - alpha) * y.a END,
               CASE WHEN g < 1e-150 OR y.a < 1e-150 THEN 0 ELSE g * y.a END + y.g,
               CASE WHEN l < 1e-150 OR y.a < 1e-150 THEN 0 ELSE l * y.a END + y.l)::indicator.rsi_state;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.rsi_join(indicator.rsi_state, indicator.rsi_state) IS
    'The RSI state of x and then y; the change from x to y falls between them.';
-- +goose StatementEnd
CREATE AGGREGATE indicator.rsi_agg(x float8, period int)
    (sfunc = _hypertick.rsi_step, stype = indicator.rsi_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rsi_agg(float8, int) IS
    'State of Wilder''s RSI over bars: rsi_agg(close, 14 ORDER BY bucket).';
CREATE AGGREGATE indicator.rollup(indicator.rsi_state)
    (sfunc = _hypertick.rsi_join, stype = indicator.rsi_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.rsi_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket). States of different periods are an error.';

-- Not indicator.rsi: with four arguments of unknown type, as
-- indicator.rsi('AAPL', '1m', '-infinity', 'infinity') has, that would be ambiguous.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rsi_value(state indicator.rsi_state, gain float8, loss float8, flat float8)
RETURNS float8
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
    a CONSTANT float8 := CASE WHEN (state).a < 1e-150 THEN 0 ELSE (state).a END;
    g CONSTANT float8 := CASE WHEN gain < 1e-150 THEN 0 ELSE a * gain END + (state).g;
    l CONSTANT float8 := CASE WHEN loss < 1e-150 THEN 0 ELSE a * loss END + (state).l;
BEGIN
    IF g + l < 1e-150 THEN
        RETURN flat;
    END IF;
    RETURN 100 * (g / (g + l));
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8) IS
    'Like indicator.rsi(state, gain, loss), with the value of flat prices.';
REVOKE EXECUTE ON FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8)
TO hypertick_reader, hypertick_writer, hypertick_operator;
CREATE FUNCTION indicator.rsi(state indicator.rsi_state, gain float8, loss float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN _hypertick.rsi_value(state, gain, loss, 0);
COMMENT ON FUNCTION indicator.rsi(indicator.rsi_state, float8, float8) IS
    'The RSI after the bars of the state, when mean gain and mean loss at its first bar were these. Flat prices: 0, '
    'as TA-Lib has it.';
CREATE FUNCTION indicator.rsi(state indicator.rsi_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN indicator.rsi(state, 0, 0);
COMMENT ON FUNCTION indicator.rsi(indicator.rsi_state) IS
    'The RSI of just these bars. After about 30 * period bars it is the RSI whatever came before.';

-- ATR ------------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION _hypertick.atr_step(st indicator.atr_state, high float8, low float8, close float8, period int)
RETURNS indicator.atr_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
BEGIN
    IF close IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        IF period IS NULL OR period < 1 THEN
            RAISE EXCEPTION 'period: want at least 1, got %', period
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        RETURN ROW(period, 1, high, low, close, 1, 0)::indicator.atr_state;
    END IF;
    IF st.period IS DISTINCT FROM period THEN
        RAISE EXCEPTION 'period: a state of % got %', st.period, period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / period;
    RETURN ROW(period, st.n + 1, st.high, st.low, close,
               CASE WHEN st.a < 1e-150 THEN 0 ELSE st.a * (1 - alpha) END,
               CASE WHEN st.s < 1e-150 THEN 0 ELSE st.s * (1 - alpha) END
                 + alpha * (greatest(high, st.close) - least(low, st.close)))::indicator.atr_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.atr_step(indicator.atr_state, float8, float8, float8, int) IS
    'The ATR state with one more bar.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.atr_join(x indicator.atr_state, y indicator.atr_state)
RETURNS indicator.atr_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    alpha float8;
    s     float8;
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    IF x.period <> y.period THEN
        RAISE EXCEPTION 'period: states of % and % do not join', x.period, y.period
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    alpha := 1.0 / x.period;
    s := CASE WHEN x.s < 1e-150 THEN 0 ELSE x.s * (1 - alpha) END
         + alpha * (greatest(y.high, x.close) - least(y.low, x.close));
    RETURN ROW(x.period, x.n + y.n, x.high, x.low, y.close,
               CASE WHEN x.a < 1e-150 OR y.a < 1e-150 THEN 0 ELSE x.a * (1 - alpha) * y.a END,
               CASE WHEN s < 1e-150 OR y.a < 1e-150 THEN 0 ELSE s * y.a END + y.s)::indicator.atr_state;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.atr_join(indicator.atr_state, indicator.atr_state) IS
    'The ATR state of x and then y; the true range of the first bar of y needs the last close of x.';
-- +goose StatementEnd
CREATE AGGREGATE indicator.atr_agg(high float8, low float8, close float8, period int)
    (sfunc = _hypertick.atr_step, stype = indicator.atr_state, parallel = safe);
COMMENT ON AGGREGATE indicator.atr_agg(float8, float8, float8, int) IS
    'State of Wilder''s ATR over bars: atr_agg(high, low, close, 14 ORDER BY bucket).';
CREATE AGGREGATE indicator.rollup(indicator.atr_state)
    (sfunc = _hypertick.atr_join, stype = indicator.atr_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.atr_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket). States of different periods are an error.';
CREATE FUNCTION indicator.atr(state indicator.atr_state, seed float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN (state).a < 1e-150 OR seed < 1e-150 THEN (state).s ELSE (state).a * seed + (state).s END;
COMMENT ON FUNCTION indicator.atr(indicator.atr_state, float8) IS
    'The ATR after the bars of the state, when it was seed at the first of them.';
CREATE FUNCTION indicator.atr(state indicator.atr_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN (state).n > 1 THEN (state).s / (1 - (state).a) END;
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.atr(indicator.atr_state) IS
    'The ATR of just these bars, weights scaled to sum to 1; NULL for a single bar. After about 30 * period bars it '
    'is the ATR whatever came before.';
-- +goose StatementEnd

-- Sums -----------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION _hypertick.sum_step(st indicator.sum_state, x float8)
RETURNS indicator.sum_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    d float8;
    m float8;
BEGIN
    IF x IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        RETURN ROW(1, x, 0, x, x)::indicator.sum_state;
    END IF;
    d := x - st.mean;
    IF abs(d) < 1e-150 THEN
        d := 0;
    END IF;
    m := st.mean + d / (st.n + 1);
    -- d * d * n/(n+1), and never below 0 by rounding.
    RETURN ROW(st.n + 1, m, st.m2 + d * d * (st.n::float8 / (st.n + 1)),
               least(st.min, x), greatest(st.max, x))::indicator.sum_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.sum_step(indicator.sum_state, float8) IS 'The sums with one more value (Welford).';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.sum_join(x indicator.sum_state, y indicator.sum_state)
RETURNS indicator.sum_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
DECLARE
    d float8;
    n bigint;
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    n := x.n + y.n;
    d := y.mean - x.mean;
    IF abs(d) < 1e-150 THEN
        d := 0;
    END IF;
    RETURN ROW(n, x.mean + d * (y.n::float8 / n), x.m2 + y.m2 + d * d * (x.n::float8 * y.n / n),
               least(x.min, y.min), greatest(x.max, y.max))::indicator.sum_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.sum_join(indicator.sum_state, indicator.sum_state) IS 'The sums of both (Chan).';

-- Sums do commute, so these may be computed in parallel.
CREATE AGGREGATE indicator.sum_agg(x float8)
    (sfunc = _hypertick.sum_step, stype = indicator.sum_state,
     combinefunc = _hypertick.sum_join, parallel = safe);
COMMENT ON AGGREGATE indicator.sum_agg(float8) IS
    'State behind SMA, variance and Bollinger bands: n, mean, sum of squared deviations, min, max.';
CREATE AGGREGATE indicator.rollup(indicator.sum_state)
    (sfunc = _hypertick.sum_join, stype = indicator.sum_state,
     combinefunc = _hypertick.sum_join, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.sum_state) IS 'Joins sums of disjoint sets, in any order.';
CREATE FUNCTION indicator.count(state indicator.sum_state) RETURNS bigint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).n;
COMMENT ON FUNCTION indicator.count(indicator.sum_state) IS 'How many values.';
CREATE FUNCTION indicator.sum(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).n * (state).mean;
COMMENT ON FUNCTION indicator.sum(indicator.sum_state) IS 'Sum of the values.';
CREATE FUNCTION indicator.sum_squares(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).m2 + (state).n * (state).mean * (state).mean;
COMMENT ON FUNCTION indicator.sum_squares(indicator.sum_state) IS
    'Sum of the squares of the values. For a variance use variance(state), which keeps more digits.';
CREATE FUNCTION indicator.min(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).min;
COMMENT ON FUNCTION indicator.min(indicator.sum_state) IS 'Minimum.';
CREATE FUNCTION indicator.max(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).max;
COMMENT ON FUNCTION indicator.max(indicator.sum_state) IS 'Greatest value.';
CREATE FUNCTION indicator.mean(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).mean;
COMMENT ON FUNCTION indicator.mean(indicator.sum_state) IS 'Mean of the values.';
CREATE FUNCTION indicator.variance(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).m2 / (state).n;
COMMENT ON FUNCTION indicator.variance(indicator.sum_state) IS 'Population variance, as Bollinger bands use it.';
CREATE FUNCTION indicator.stddev(state indicator.sum_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN sqrt((state).m2 / (state).n);
COMMENT ON FUNCTION indicator.stddev(indicator.sum_state) IS
    'Population standard deviation, as Bollinger bands use it.';

-- On-balance volume ----------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION _hypertick.obv_step(st indicator.obv_state, close float8, volume float8)
RETURNS indicator.obv_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF close IS NULL THEN
        RETURN st;
    END IF;
    IF st IS NULL THEN
        RETURN ROW(1, close, volume, close, 0)::indicator.obv_state;
    END IF;
    RETURN ROW(st.n + 1, st.first, st.volume, close,
               st.s + sign(close - st.last) * volume)::indicator.obv_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.obv_step(indicator.obv_state, float8, float8) IS 'The OBV state with one more bar.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.obv_join(x indicator.obv_state, y indicator.obv_state)
RETURNS indicator.obv_state
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
AS $$
BEGIN
    IF x IS NULL OR y IS NULL THEN
        RETURN coalesce(x, y);
    END IF;
    RETURN ROW(x.n + y.n, x.first, x.volume, y.last,
               x.s + sign(y.first - x.last) * y.volume + y.s)::indicator.obv_state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.obv_join(indicator.obv_state, indicator.obv_state) IS 'The OBV state of x and then y.';
CREATE AGGREGATE indicator.obv_agg(close float8, volume float8)
    (sfunc = _hypertick.obv_step, stype = indicator.obv_state, parallel = safe);
COMMENT ON AGGREGATE indicator.obv_agg(float8, float8) IS
    'State of on-balance volume over bars: obv_agg(close, volume ORDER BY bucket).';
CREATE AGGREGATE indicator.rollup(indicator.obv_state)
    (sfunc = _hypertick.obv_join, stype = indicator.obv_state, parallel = safe);
COMMENT ON AGGREGATE indicator.rollup(indicator.obv_state) IS
    'Joins states of contiguous blocks: rollup(state ORDER BY bucket).';
CREATE FUNCTION indicator.obv(state indicator.obv_state) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (state).volume + (state).s;
COMMENT ON FUNCTION indicator.obv(indicator.obv_state) IS
    'On-balance volume of these bars, counted from the first one''s volume, as TA-Lib does.';

-- Aggregates run their steps with their owner's rights. What is in schema
-- indicator is granted by default (see 01_roles.sql).
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA indicator FROM PUBLIC;
REVOKE EXECUTE ON FUNCTION
    _hypertick.ema_step(indicator.ema_state, float8, int),
    _hypertick.ema_join(indicator.ema_state, indicator.ema_state),
    _hypertick.rsi_step(indicator.rsi_state, float8, int),
    _hypertick.rsi_join(indicator.rsi_state, indicator.rsi_state),
    _hypertick.atr_step(indicator.atr_state, float8, float8, float8, int),
    _hypertick.atr_join(indicator.atr_state, indicator.atr_state),
    _hypertick.sum_step(indicator.sum_state, float8),
    _hypertick.sum_join(indicator.sum_state, indicator.sum_state),
    _hypertick.obv_step(indicator.obv_state, float8, float8),
    _hypertick.obv_join(indicator.obv_state, indicator.obv_state)
FROM PUBLIC;

-- 05_blocks.sql ---------------------------------------------------------------

-- Block states: one row of mergeable states per symbol and block of about 60
-- bars, for each materialised interval. add_interval() makes the continuous
-- aggregate _hypertick.blocks_<interval> and the view indicator.blocks_<interval>.
-- A late tick re-materialises the one candle and the one block it falls into,
-- and every later EMA, RSI and ATR is right again.
--
-- All states in one row of plain numbers: the bars of a block are read and
-- sorted once for all of them, the columnstore compresses numbers well, and the
-- screener, which goes through some ten rows of every symbol, need not take
-- composites apart. The views put the numbers together as states.
--
-- Materialised only, the block still open included: the screener reads nothing
-- else. A reader of one symbol takes the blocks older than the newest one there
-- is, which are final but for late ticks, and then the bars after them; so a
-- block that is not there yet costs bars, never truth. That holds because the
-- refresh policies go oldest first (the default, newest first, would leave holes
-- while a long history is being filled).

-- One aggregate computes all the states of a block: a step of plpgsql costs
-- about as much for eight states as for one, so this fills blocks four times as
-- fast as ema_agg, rsi_agg and so on beside each other (eight times on the
-- embedded database). The arithmetic is theirs; the tests hold the two together.
-- No SET search_path on the step: it would cost more than the step itself.
CREATE TYPE _hypertick.block AS (
    n bigint, first float8, last float8, high float8, low float8, volume float8,
    ema_12 float8, ema_26 float8, ema_50 float8, ema_200 float8,
    gain float8, loss float8, range float8, obv float8, mean float8, m2 float8, min float8, max float8
);
COMMENT ON TYPE _hypertick.block IS 'The states of a block, without what follows from the number of its bars.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.block_step(
    st _hypertick.block, high float8, low float8, close float8, volume float8)
RETURNS _hypertick.block
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    c float8;
    d float8;
BEGIN
    IF st IS NULL THEN
        RETURN ROW(1, close, close, high, low, volume,
            close * (2.0::float8 / 13), close * (2.0::float8 / 27),
            close * (2.0::float8 / 51), close * (2.0::float8 / 201),
            0, 0, 0, 0, close, 0, close, close)::_hypertick.block;
    END IF;
    c := close - st.last;
    d := close - st.mean;
    RETURN ROW(st.n + 1, st.first, close, st.high, st.low, st.volume,
        st.ema_12 + (close - st.ema_12) * (2.0::float8 / 13), st.ema_26 + (close - st.ema_26) * (2.0::float8 / 27),
        st.ema_50 + (close - st.ema_50) * (2.0::float8 / 51), st.ema_200 + (close - st.ema_200) * (2.0::float8 / 201),
        CASE WHEN st.gain < 1e-150 THEN 0 ELSE st.gain * (1 - 1.0::float8 / 14) END
            + CASE WHEN c > 0 THEN c / 14 ELSE 0 END,
        CASE WHEN st.loss < 1e-150 THEN 0 ELSE st.loss * (1 - 1.0::float8 / 14) END
            - CASE WHEN c < 0 THEN c / 14 ELSE 0 END,
        CASE WHEN st.range < 1e-150 THEN 0 ELSE st.range * (1 - 1.0::float8 / 14) END
            + (greatest(high, st.last) - least(low, st.last)) / 14,
        st.obv + sign(c) * volume,
        st.mean + d / (st.n + 1),
        st.m2 + CASE WHEN abs(d) < 1e-150 THEN 0 ELSE d * d * (st.n::float8 / (st.n + 1)) END,
        least(st.min, close), greatest(st.max, close))::_hypertick.block;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8) IS
    'All the states of a block with one more bar.';
CREATE AGGREGATE _hypertick.block_agg(high float8, low float8, close float8, volume float8)
    (sfunc = _hypertick.block_step, stype = _hypertick.block, parallel = safe);
COMMENT ON AGGREGATE _hypertick.block_agg(float8, float8, float8, float8) IS
    'All the states of a block of bars in their order.';

-- verify computes blocks again with the rights of whoever asks.
REVOKE EXECUTE ON FUNCTION
    _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) TO hypertick_reader, hypertick_writer;
CREATE TYPE indicator.block AS (
    symbol      text COLLATE "C",
    bucket      timestamptz,
    bars        bigint,
    ema_12      indicator.ema_state,
    ema_26      indicator.ema_state,
    ema_50      indicator.ema_state,
    ema_200     indicator.ema_state,
    rsi_14      indicator.rsi_state,
    atr_14      indicator.atr_state,
    close_sum   indicator.sum_state,
    obv         indicator.obv_state,
    last_bucket timestamptz,
    closes      float8[],
    volumes     float8[]
);
COMMENT ON TYPE indicator.block IS 'A row of the views indicator.blocks_<interval>.';

-- A cursor, since how many blocks it takes depends on how often the symbol
-- trades. Recreated with every interval, for the reason given at candles(). An
-- interval that is rolled up at read has no blocks.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.make_blocks_function() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    branches text;
BEGIN
    SELECT string_agg(format($q$WHEN %1$L THEN
        OPEN newest FOR SELECT b.* FROM indicator.%2$I b
            WHERE b.symbol = blocks_before.symbol AND b.bucket <= start_by
              AND b.bucket < (SELECT max(n.bucket) FROM _hypertick.%2$I n)
            ORDER BY b.bucket DESC;$q$, i."interval", 'blocks_' || i."interval"), E'\n    ' ORDER BY i.width)
    INTO branches
    FROM public.intervals i WHERE i.materialized;

    EXECUTE format($function$
CREATE OR REPLACE FUNCTION _hypertick.blocks_before(
    symbol text, "interval" text, before timestamptz, bars bigint, skip bigint DEFAULT 0)
RETURNS SETOF indicator.block
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width    CONSTANT interval := _hypertick.block_width("interval");
    start_by CONSTANT timestamptz :=
        CASE WHEN isfinite(before) THEN _hypertick.bucket_end(before, -width) ELSE before END;
    newest   refcursor;
    block    indicator.block;
    gathered bigint := 0;
BEGIN
    CASE "interval"
    %s
    ELSE
        RETURN;
    END CASE;
    LOOP
        FETCH newest INTO block;
        EXIT WHEN NOT FOUND;
        IF skip > 0 THEN
            skip := skip - block.bars;
        ELSE
            RETURN NEXT block;
            gathered := gathered + block.bars;
            EXIT WHEN gathered >= bars;
        END IF;
    END LOOP;
    CLOSE newest;
END
$$
$function$, branches);
END
$make$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.make_blocks_function() IS
    'Makes blocks_before(), which reads block states near a time, for the intervals there are.';
REVOKE EXECUTE ON FUNCTION _hypertick.make_blocks_function() FROM PUBLIC;

-- 06_intervals.sql ------------------------------------------------------------

-- Intervals are rows. This is the one place where they are listed: everything
-- else reads the table or asks _hypertick.find_interval().
--
-- A materialised interval has a continuous aggregate of candles and one of
-- blocks, both made by add_interval(). Every other width answers too: its bars
-- are rolled up at read from the widest materialised interval that divides it.
--
-- A width of up to a week is stored in hours, minutes and seconds, so that
-- adding it to a time does not depend on the time zone of the session; longer
-- ones are months. Buckets are aligned in UTC: to Monday 2000-01-03, or to
-- January 2000 where the width is in months.
CREATE TABLE intervals (
    "interval"   text     PRIMARY KEY,
    width        interval NOT NULL UNIQUE CHECK (width > '0'),
    kind         text     NOT NULL CHECK (kind IN ('core', 'listed', 'own')),
    materialized boolean  NOT NULL DEFAULT false,
    source       text     REFERENCES intervals,
    block_width  interval,
    chunk        interval
);
COMMENT ON TABLE intervals IS
    'The intervals of bars. Others are accepted too: see candles(). Change it with add_interval() and '
    'remove_interval().';
COMMENT ON COLUMN intervals."interval" IS 'Name, as candles() and the indicators take it.';
COMMENT ON COLUMN intervals.width IS 'Length of a bar.';
COMMENT ON COLUMN intervals.kind IS
    'core: materialised from the start, cannot be removed. listed: offered by default. own: added by you.';
COMMENT ON COLUMN intervals.materialized IS
    'Whether its candles are stored (candles_<interval>). If not, they are rolled up when they are read.';
COMMENT ON COLUMN intervals.source IS
    'The interval whose candles its own are built from. NULL: ticks, or not materialised.';
COMMENT ON COLUMN intervals.block_width IS 'Length of a block of its indicator states.';
COMMENT ON COLUMN intervals.chunk IS 'Time that a chunk of its candles spans.';
GRANT SELECT ON intervals TO hypertick_reader, hypertick_writer, hypertick_operator;
INSERT INTO intervals ("interval", width, kind, block_width) VALUES
    ('1s',  '00:00:01',  'listed', NULL),
    ('5s',  '00:00:05',  'listed', NULL),
    ('15s', '00:00:15',  'listed', NULL),
    ('30s', '00:00:30',  'listed', NULL),
    ('1m',  '00:01:00',  'core',   '01:00:00'),
    ('2m',  '00:02:00',  'listed', NULL),
    ('3m',  '00:03:00',  'listed', NULL),
    ('5m',  '00:05:00',  'core',   '06:00:00'),
    ('10m', '00:10:00',  'listed', NULL),
    ('15m', '00:15:00',  'core',   '12:00:00'),
    ('30m', '00:30:00',  'listed', NULL),
    ('1h',  '01:00:00',  'core',   '48:00:00'),
    ('2h',  '02:00:00',  'listed', NULL),
    ('4h',  '04:00:00',  'listed', NULL),
    ('6h',  '06:00:00',  'listed', NULL),
    ('8h',  '08:00:00',  'listed', NULL),
    ('12h', '12:00:00',  'listed', NULL),
    ('1d',  '24:00:00',  'core',   '1440:00:00'),
    ('1w',  '168:00:00', 'listed', NULL),
    ('1mo', '1 mon',     'listed', NULL),
    ('3mo', '3 mons',    'listed', NULL),
    ('1y',  '12 mons',   'listed', NULL);

-- Names ----------------------------------------------------------------------
-- +goose StatementBegin
CREATE FUNCTION _hypertick.interval_width(name text) RETURNS interval
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE part[2]
               WHEN 's' THEN make_interval(secs => part[1]::int)
               WHEN 'm' THEN make_interval(mins => part[1]::int)
               WHEN 'h' THEN make_interval(hours => part[1]::int)
               WHEN 'd' THEN make_interval(hours => 24 * part[1]::int)
               WHEN 'w' THEN make_interval(hours => 168 * part[1]::int)
               WHEN 'mo' THEN make_interval(months => part[1]::int)
               WHEN 'y' THEN make_interval(months => 12 * part[1]::int)
           END
    FROM regexp_match(name, '^([1-9][0-9]{0,3})(s|m|h|d|w|mo|y)$') part
    -- Seconds come from ticks, minute by minute.
    WHERE part IS NOT NULL AND (part[2] <> 's' OR 60 % part[1]::int = 0 OR part[1]::int % 60 = 0)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.interval_width(text) IS
    'Length of the bars of an interval by its name: 90m, 4h, 2w, 3mo. NULL where it is none. Seconds must divide a '
    'minute.';
CREATE FUNCTION _hypertick.months(width interval) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (extract(year FROM width) * 12 + extract(month FROM width))::int;
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.months(interval) IS 'Months of a width; 0 where it is a number of seconds.';
-- +goose StatementEnd
CREATE FUNCTION _hypertick.divides(part interval, whole interval) RETURNS boolean
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE
    WHEN _hypertick.months(part) > 0
        THEN _hypertick.months(whole) > 0 AND _hypertick.months(whole) % _hypertick.months(part) = 0
    -- A month is whole days and nothing longer.
    WHEN _hypertick.months(whole) > 0 THEN 86400 % extract(epoch FROM part)::bigint = 0
    ELSE extract(epoch FROM whole)::bigint % extract(epoch FROM part)::bigint = 0
END;
COMMENT ON FUNCTION _hypertick.divides(interval, interval) IS
    'Whether buckets of the first width always lie within one bucket of the second.';
CREATE FUNCTION _hypertick.interval_names() RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN (SELECT string_agg(i."interval", ', ' ORDER BY i.width) FROM public.intervals i);
COMMENT ON FUNCTION _hypertick.interval_names() IS 'The intervals there are, for messages.';
CREATE TYPE _hypertick.interval_source AS (width interval, relation text, rolled_up boolean);
COMMENT ON TYPE _hypertick.interval_source IS
    'Where the bars of an interval come from: relation holds them, or, rolled_up, shorter bars or ticks that make '
    'them.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.find_interval(name text) RETURNS _hypertick.interval_source
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bars _hypertick.interval_source;
BEGIN
    SELECT i.width, 'candles_' || i."interval", false INTO bars
    FROM public.intervals i WHERE i."interval" = name AND i.materialized;
    IF FOUND THEN
        RETURN bars;
    END IF;
    bars.width := _hypertick.interval_width(name);
    IF bars.width IS NULL OR bars.width > '10 years' THEN
        RAISE EXCEPTION 'interval: want one of %, or a number of s, m, h, d, w, mo or y such as 90m, got %',
            _hypertick.interval_names(), coalesce(quote_literal(name), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT 'candles_' || i."interval", i.width <> bars.width INTO bars.relation, bars.rolled_up
    FROM public.intervals i
    WHERE i.materialized AND i.width <= bars.width AND _hypertick.divides(i.width, bars.width)
    ORDER BY i.width DESC LIMIT 1;
    IF NOT FOUND THEN
        bars.relation := 'ticks';
        bars.rolled_up := true;
    END IF;
    RETURN bars;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.find_interval(text) IS
    'Where the bars of an interval come from. A name that is no interval is an error that says what there is.';

-- Buckets --------------------------------------------------------------------
CREATE FUNCTION _hypertick.bucket_end(bucket timestamptz, width interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ((bucket AT TIME ZONE 'UTC') + width) AT TIME ZONE 'UTC';
COMMENT ON FUNCTION _hypertick.bucket_end(timestamptz, interval) IS
    'Start of the bucket after one, whatever the time zone of the session.';
CREATE FUNCTION _hypertick.bucket_from(at timestamptz, width interval) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN NOT isfinite(at) THEN at
            WHEN public.time_bucket(width, at) = at THEN at
            ELSE _hypertick.bucket_end(public.time_bucket(width, at), width) END;
COMMENT ON FUNCTION _hypertick.bucket_from(timestamptz, interval) IS
    'Start of the first bucket that does not begin before a time.';
CREATE FUNCTION _hypertick.block_width("interval" text) RETURNS interval
LANGUAGE sql STABLE STRICT PARALLEL SAFE
RETURN (SELECT i.block_width FROM public.intervals i
        WHERE i.materialized AND i."interval" = block_width."interval");
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.block_width(text) IS 'Length of the blocks of an interval; NULL where it has none.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION _hypertick.bars_per_year("interval" text) RETURNS float8
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN _hypertick.months(bars.width) > 0 THEN 12.0 / _hypertick.months(bars.width)
                ELSE 365 * 86400 / extract(epoch FROM bars.width) END::float8
    FROM _hypertick.find_interval(bars_per_year."interval") bars
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.bars_per_year(text) IS 'Bars of the interval in 365 days that trade around the clock.';

-- What is stored -------------------------------------------------------------

-- Open and close must not depend on the order of arrival or on the plan: on
-- equal ts the lower seq opens and the higher closes. first() and last() take
-- one ordering value, and the only one that works in parallel plans too is the
-- sortable bytes of both. Bytes of a bucket's own timestamps sort as the
-- timestamps do, since a bucket of ticks never straddles the year 2000, where
-- their sign changes.
--
-- A trade moves what its flags let it move (see trade_flags). What no trade of a
-- bucket moves is NULL here, so that every level is exact: the volume of a minute of
-- odd lots counts in its hour, and its open is no hour's open. Whoever reads bars
-- reads _hypertick.shown_columns() of these.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.candle_columns(relation text, width interval) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN relation = 'ticks' THEN format($q$
            symbol,
            public.time_bucket(%1$L::interval, ts) AS bucket,
            public.first(price, timestamptz_send(ts) || int8send(seq)) FILTER (WHERE flags & 1 = 0) AS open,
            max(price) FILTER (WHERE flags & 2 = 0) AS high,
            min(price) FILTER (WHERE flags & 2 = 0) AS low,
            public.last(price, timestamptz_send(ts) || int8send(seq)) FILTER (WHERE flags & 4 = 0) AS close,
            coalesce(sum(size) FILTER (WHERE flags & 8 = 0), 0) AS volume,
            sum(CASE side WHEN 1 THEN size ELSE 0 END)
                FILTER (WHERE side IS NOT NULL AND flags & 8 = 0) AS buy_volume,
            coalesce(sum(price * size) FILTER (WHERE flags & 8 = 0), 0) AS notional,
            count(*) AS trades$q$, width)
        ELSE format($q$
            symbol,
            public.time_bucket(%1$L::interval, bucket) AS bucket,
            public.first(open, bucket) FILTER (WHERE open IS NOT NULL) AS open,
            max(high) AS high,
            min(low) AS low,
            public.last(close, bucket) FILTER (WHERE close IS NOT NULL) AS close,
            sum(volume) AS volume,
            sum(buy_volume) AS buy_volume,
            sum(notional) AS notional,
            sum(trades)::bigint AS trades$q$, width)
        END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.candle_columns(text, interval) IS
    'SQL text: the columns of candles of a width, made from ticks or from shorter candles.';

-- Not to be applied twice: a wider bar is made of what is stored.
CREATE FUNCTION _hypertick.shown_columns() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN 'c.symbol, c.bucket, coalesce(c.open, c.close) AS open, greatest(c.high, c.open, c.close) AS high, '
    'least(c.low, c.open, c.close) AS low, c.close, c.volume, c.buy_volume, c.notional, c.trades';
COMMENT ON FUNCTION _hypertick.shown_columns() IS
    'SQL text: the columns of bars as readers get them, of candles c whose close is not NULL: a bar that no trade '
    'opens opens where it closes, and open and close lie between low and high.';

-- Every batch of a refresh has a cost of its own that grows with the number of
-- chunks: by default a sparse history of years takes hours.
CREATE FUNCTION _hypertick.refresh_batch(chunk interval, width interval) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN ceil(extract(epoch FROM least(greatest(chunk, INTERVAL '70 days'), INTERVAL '3650 days'))
            / extract(epoch FROM width))::int;
COMMENT ON FUNCTION _hypertick.refresh_batch(interval, interval) IS
    'Buckets that a refresh computes at a time: those of a chunk, but of 70 days at least and of ten years at most.';

-- A bucket is stamped with its start, in UTC, and has no row when nothing
-- traded. Real-time: the forming bar is computed by whoever reads it.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.make_candles(spec intervals) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    relation CONSTANT text := 'candles_' || spec."interval";
    source   CONSTANT text := coalesce('candles_' || spec.source, 'ticks');
BEGIN
    EXECUTE format($q$
        CREATE MATERIALIZED VIEW public.%1$I
        WITH (timescaledb.continuous, timescaledb.materialized_only = false,
              timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %2$L) AS
        SELECT %3$s
        FROM public.%4$I
        GROUP BY symbol, public.time_bucket(%5$L::interval, %6$s)
        WITH NO DATA$q$,
        relation, spec.chunk, _hypertick.candle_columns(source, spec.width), source, spec.width,
        CASE source WHEN 'ticks' THEN 'ts' ELSE 'bucket' END);
    EXECUTE format('CREATE INDEX %I ON public.%I (symbol, bucket DESC)', relation || '_symbol_bucket_idx', relation);
    EXECUTE format('COMMENT ON VIEW public.%I IS %L', relation, format(
        'Candles of %s, kept by TimescaleDB from %s, the forming one included. candles() shows them as bars.',
        spec."interval", source));
    EXECUTE (SELECT string_agg(format('COMMENT ON COLUMN public.%I.%I IS %L', relation, c.name, c.text), '; ')
             FROM (VALUES
                        ('symbol', 'See ticks.symbol.'),
                        ('bucket', 'Start of the candle, UTC.'),
                        ('open', 'First price, by ts and then seq, of the ticks that open a bar. NULL: none does.'),
                        ('high', 'Highest price of those that move high and low. NULL: none does.'),
                        ('low', 'Lowest price of the same.'),
                        ('close', 'Last price, by ts and then seq, of those that close a bar. NULL: none does, '
                                  'and candles() does not show the bar.'),
                        ('volume', 'Sum of sizes.'),
                        ('buy_volume', 'The part of volume whose buyer began the trade. NULL: no side is known.'),
                        ('notional', 'Sum of price times size; see vwap().'),
                        ('trades', 'Number of all ticks.')) c(name, text));
    EXECUTE format('GRANT SELECT ON public.%I TO hypertick_reader, hypertick_writer', relation);

    -- start_offset NULL: no late tick is out of reach, and a run with nothing
    -- invalidated costs milliseconds. end_offset is a minute for every level: a
    -- bucket is materialised as soon as it has closed. What is built from other
    -- candles starts a little after them, so that one round moves a late tick
    -- to the top level. Oldest first: the default would move the watermark to the
    -- end at once, and reads would miss what is not materialised yet below it.
    PERFORM add_continuous_aggregate_policy(format('public.%I', relation)::regclass,
        start_offset => NULL, end_offset => INTERVAL '1 minute',
        buckets_per_batch => _hypertick.refresh_batch(spec.chunk, spec.width), refresh_newest_first => false,
        schedule_interval => CASE WHEN spec.source IS NULL THEN INTERVAL '15 seconds' ELSE INTERVAL '30 seconds' END);
    EXECUTE format($q$ALTER MATERIALIZED VIEW public.%I SET (
        timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket')$q$,
        relation);
    CALL add_columnstore_policy(format('public.%I', relation)::regclass,
        after => spec.chunk / 2, schedule_interval => INTERVAL '1 day');
    INSERT INTO _hypertick.retention (relation, "interval") VALUES (relation, spec."interval");
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.make_candles(intervals) IS
    'Makes the candles of an interval: aggregate, index, comments, rights, policies.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.make_blocks(spec intervals) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    relation CONSTANT text := 'blocks_' || spec."interval";
    source   CONSTANT text := 'candles_' || spec."interval";
    states   CONSTANT text := (
        SELECT string_agg(format('(_hypertick.block_agg(greatest(high, open, close), least(low, open, close), close, '
                                 'volume ORDER BY bucket)).%I AS %I',
                                 a.attname, CASE a.attname WHEN 'n' THEN 'bars' ELSE a.attname END),
                          E',\n' ORDER BY a.attnum)
        FROM pg_attribute a WHERE a.attrelid = '_hypertick.block'::regclass);
BEGIN
    EXECUTE format($q$
        CREATE MATERIALIZED VIEW _hypertick.%1$I
        WITH (timescaledb.continuous, timescaledb.materialized_only = true,
              timescaledb.create_group_indexes = false, timescaledb.chunk_interval = %2$L) AS
        SELECT symbol, public.time_bucket(%3$L::interval, bucket) AS bucket,
               %4$s,
               max(bucket) AS last_bucket,
               array_agg(close ORDER BY bucket) AS closes,
               array_agg(volume ORDER BY bucket) AS volumes
        FROM public.%5$I
        WHERE close IS NOT NULL
        GROUP BY symbol, public.time_bucket(%3$L::interval, bucket)
        WITH NO DATA$q$,
        relation, spec.chunk, spec.block_width, states, source);
    EXECUTE format('CREATE INDEX %I ON _hypertick.%I (symbol, bucket DESC)',
                   relation || '_symbol_bucket_idx', relation);
    EXECUTE format('CREATE INDEX %I ON _hypertick.%I (bucket)', relation || '_bucket_idx', relation);
    EXECUTE format('COMMENT ON VIEW _hypertick.%1$I IS %2$L', relation, format(
        'The bars of %s in blocks of %s, kept by TimescaleDB from %s, the open block included. Read indicator.%s.',
        spec."interval", spec.block_width, source, relation));
    EXECUTE format('GRANT SELECT ON _hypertick.%I TO hypertick_reader, hypertick_writer', relation);

    EXECUTE format($q$
        CREATE VIEW indicator.%1$I AS
        SELECT b.symbol, b.bucket, b.bars,
               ROW(12, b.bars, (11 / 13.0::float8) ^ b.bars::float8, b.ema_12)::indicator.ema_state AS ema_12,
               ROW(26, b.bars, (25 / 27.0::float8) ^ b.bars::float8, b.ema_26)::indicator.ema_state AS ema_26,
               ROW(50, b.bars, (49 / 51.0::float8) ^ b.bars::float8, b.ema_50)::indicator.ema_state AS ema_50,
               ROW(200, b.bars, (199 / 201.0::float8) ^ b.bars::float8, b.ema_200)::indicator.ema_state AS ema_200,
               ROW(14, b.bars, b.first, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8,
                   b.gain, b.loss)::indicator.rsi_state AS rsi_14,
               ROW(14, b.bars, b.high, b.low, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8,
                   b.range)::indicator.atr_state AS atr_14,
               ROW(b.bars, b.mean, b.m2, b.min, b.max)::indicator.sum_state AS close_sum,
               ROW(b.bars, b.first, b.volume, b.last, b.obv)::indicator.obv_state AS obv,
               b.last_bucket, b.closes, b.volumes
        FROM _hypertick.%1$I b$q$, relation);
    EXECUTE format('COMMENT ON VIEW indicator.%I IS %L', relation, format(
        'States of the bars of %s in blocks of %s, kept by TimescaleDB from %s, the open block included.',
        spec."interval", spec.block_width, source));
    EXECUTE (SELECT string_agg(format('COMMENT ON COLUMN indicator.%I.%I IS %L', relation, c.name, c.text), '; ')
             FROM (VALUES
                        ('symbol', 'See ticks.symbol.'),
                        ('bucket', 'Start of the block, UTC.'),
                        ('bars', 'Number of bars in it.'),
                        ('ema_12', 'EMA of period 12 over the closes.'),
                        ('ema_26', 'EMA of period 26 over the closes.'),
                        ('ema_50', 'EMA of period 50 over the closes.'),
                        ('ema_200', 'EMA of period 200 over the closes.'),
                        ('rsi_14', 'RSI of period 14 over the closes.'),
                        ('atr_14', 'ATR of period 14.'),
                        ('close_sum', 'Sums over the closes, for averages and Bollinger bands.'),
                        ('obv', 'On-balance volume.'),
                        ('last_bucket', 'Start of the last bar in it.'),
                        ('closes', 'The closes, for the averages of the screener, which begin within a block.'),
                        ('volumes', 'The volumes, likewise.')) c(name, text));
    EXECUTE format('GRANT SELECT ON indicator.%I TO hypertick_reader, hypertick_writer', relation);

    -- end_offset NULL: the open block is recomputed with every bar that
    -- closes, so that the screener lags a minute or so. A block becomes final in
    -- the run in which the next one first appears: by then the policy of the
    -- candles has materialised all its bars.
    PERFORM add_continuous_aggregate_policy(format('_hypertick.%I', relation)::regclass,
        start_offset => NULL, end_offset => NULL, schedule_interval => INTERVAL '1 minute',
        buckets_per_batch => _hypertick.refresh_batch(spec.chunk, spec.block_width), refresh_newest_first => false);
    EXECUTE format($q$ALTER MATERIALIZED VIEW _hypertick.%I SET (
        timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket')$q$,
        relation);
    CALL add_columnstore_policy(format('_hypertick.%I', relation)::regclass,
        after => spec.chunk, schedule_interval => INTERVAL '1 day');
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.make_blocks(intervals) IS
    'Makes the blocks of an interval: aggregate, view of states, indexes, comments, rights, policies.';
-- +goose StatementBegin
CREATE FUNCTION add_interval(name text, block_width interval DEFAULT NULL) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wanted CONSTANT interval := (_hypertick.find_interval(name)).width;
    spec   public.intervals;
BEGIN
    SELECT i.* INTO spec FROM public.intervals i WHERE i.width = wanted;
    IF spec.materialized THEN
        RAISE EXCEPTION 'interval: want one that is not materialised, got %, which is %', name, spec."interval"
            USING ERRCODE = 'duplicate_object';
    END IF;
    IF spec."interval" IS NULL THEN
        INSERT INTO public.intervals ("interval", width, kind) VALUES (name, wanted, 'own') RETURNING * INTO spec;
    END IF;
    add_interval.block_width := coalesce(add_interval.block_width, spec.block_width, 60 * spec.width);
    IF add_interval.block_width <= spec.width OR NOT _hypertick.divides(spec.width, add_interval.block_width) THEN
        RAISE EXCEPTION 'block_width: want a multiple of %, got %', spec.width, add_interval.block_width
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE public.intervals i
    SET materialized = true, block_width = add_interval.block_width,
        source = (SELECT s."interval" FROM public.intervals s
                  WHERE s.materialized AND s.width < spec.width AND _hypertick.divides(s.width, spec.width)
                  ORDER BY s.width DESC LIMIT 1),
        chunk = CASE WHEN spec.width < '00:05:00' THEN INTERVAL '60 days'
                     WHEN spec.width < '00:15:00' THEN INTERVAL '180 days'
                     WHEN spec.width < '01:00:00' THEN INTERVAL '360 days'
                     WHEN spec.width < '24:00:00' THEN INTERVAL '1800 days'
                     ELSE INTERVAL '10800 days' END
    WHERE i."interval" = spec."interval"
    RETURNING i.* INTO spec;
    PERFORM _hypertick.make_candles(spec);
    PERFORM _hypertick.make_blocks(spec);
    PERFORM _hypertick.make_candles_function();
    PERFORM _hypertick.make_blocks_function();
    PERFORM _hypertick.apply_retention();
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION add_interval(text, interval) IS
    'Materialises an interval: SELECT add_interval(''4h''). Its candles are stored and refreshed from the widest '
    'materialised interval that divides it, and its indicator states in blocks of block_width (60 bars by default).';
-- +goose StatementBegin
CREATE FUNCTION remove_interval(name text) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    spec   public.intervals;
    users  text;
    job    int;
BEGIN
    SELECT i.* INTO spec FROM public.intervals i WHERE i."interval" = name;
    IF spec.materialized IS NOT TRUE THEN
        RAISE EXCEPTION 'interval: want one that is materialised, got %', coalesce(quote_literal(name), 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF spec.kind = 'core' THEN
        RAISE EXCEPTION 'interval: want one that was added, got %, which other parts read', name
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    SELECT string_agg(i."interval", ', ' ORDER BY i.width) INTO users
    FROM public.intervals i WHERE i.source = spec."interval";
    IF users IS NOT NULL THEN
        RAISE EXCEPTION 'interval: want one that no other is built from, got %, from which % is built', name, users
            USING ERRCODE = 'dependent_objects_still_exist';
    END IF;
    -- The jobs are deleted first: otherwise the drop may wait for a running refresh.
    FOR job IN
        SELECT j.job_id FROM timescaledb_information.jobs j
        WHERE j.hypertable_schema = 'public' AND j.hypertable_name = 'candles_' || name
           OR j.hypertable_schema = '_hypertick' AND j.hypertable_name = 'blocks_' || name
        ORDER BY j.job_id
    LOOP
        PERFORM public.delete_job(job);
        DELETE FROM _hypertick.job_runs r WHERE r.job_id = job;
    END LOOP;
    EXECUTE format('DROP VIEW indicator.%I', 'blocks_' || name);
    EXECUTE format('DROP MATERIALIZED VIEW _hypertick.%I', 'blocks_' || name);
    EXECUTE format('DROP MATERIALIZED VIEW public.%I', 'candles_' || name);
    DELETE FROM _hypertick.retention r WHERE r."interval" = name;
    DELETE FROM _hypertick.awaited_revisions w WHERE w."interval" = name;
    DELETE FROM public.bar_revisions r WHERE r."interval" = name;
    DELETE FROM public.verify_drift d WHERE d.relation IN ('candles_' || name, 'blocks_' || name);
    IF spec.kind = 'own' THEN
        DELETE FROM public.intervals i WHERE i."interval" = name;
    ELSE
        UPDATE public.intervals i SET materialized = false, source = NULL, block_width = NULL, chunk = NULL
        WHERE i."interval" = name;
    END IF;
    IF EXISTS (SELECT FROM public.intervals i WHERE i.materialized) THEN
        PERFORM _hypertick.make_candles_function();
        PERFORM _hypertick.make_blocks_function();
    END IF;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION remove_interval(text) IS
    'Drops what is stored of an interval that was added. Its bars are then rolled up when they are read.';
REVOKE EXECUTE ON FUNCTION
    _hypertick.interval_width(text), _hypertick.months(interval), _hypertick.divides(interval, interval),
    _hypertick.interval_names(), _hypertick.find_interval(text), _hypertick.bucket_end(timestamptz, interval),
    _hypertick.bucket_from(timestamptz, interval), _hypertick.block_width(text), _hypertick.bars_per_year(text),
    _hypertick.candle_columns(text, interval), _hypertick.shown_columns(),
    _hypertick.refresh_batch(interval, interval),
    _hypertick.make_candles(intervals), _hypertick.make_blocks(intervals),
    add_interval(text, interval), remove_interval(text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.interval_width(text), _hypertick.months(interval), _hypertick.divides(interval, interval),
    _hypertick.interval_names(), _hypertick.find_interval(text), _hypertick.bucket_end(timestamptz, interval),
    _hypertick.bucket_from(timestamptz, interval), _hypertick.block_width(text), _hypertick.bars_per_year(text),
    _hypertick.candle_columns(text, interval), _hypertick.shown_columns()
TO hypertick_reader, hypertick_writer, hypertick_operator;

-- 07_retention.sql ------------------------------------------------------------

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
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.apply_retention() IS
    'Sets retention policies and refresh windows from _hypertick.retention.';
REVOKE EXECUTE ON FUNCTION _hypertick.apply_retention() FROM PUBLIC;
-- +goose StatementBegin
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
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION set_retention(text, interval) IS
    'Keeps the rows of ticks, or of the candles of one interval, for the given age, at least 1 day; NULL keeps them '
    'for ever.';
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION set_retention(text, interval) FROM PUBLIC;

-- A start_offset is an age, a floor is a point in time: while a floor holds, the
-- offset must grow with the clock, and this job makes it.
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.follow_retention(int, jsonb) IS
    'Job: lets refresh windows grow again after retention was loosened.';
REVOKE EXECUTE ON PROCEDURE _hypertick.follow_retention(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.follow_retention', INTERVAL '1 hour', fixed_schedule => false);

-- 08_candles.sql --------------------------------------------------------------

-- Candles: one real-time continuous aggregate for each materialised interval
-- (see 06_intervals.sql), and the one way SQL reads bars of any interval.
CREATE TYPE candle AS (
    symbol     text COLLATE "C",
    bucket     timestamptz,
    open       float8,
    high       float8,
    low        float8,
    close      float8,
    volume     float8,
    buy_volume float8,
    notional   float8,
    trades     bigint
);
COMMENT ON TYPE candle IS
    'A bar: a row of candles(), and of candles_<interval>, where open, high, low and close may be NULL.';
CREATE FUNCTION vwap(notional float8, volume float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN volume > 0 THEN notional / volume END;
COMMENT ON FUNCTION vwap(float8, float8) IS 'Volume-weighted average price of a candle. NULL where the volume is 0.';
REVOKE EXECUTE ON FUNCTION vwap(float8, float8) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION vwap(float8, float8) TO hypertick_reader, hypertick_writer, hypertick_operator;
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rolled_up(bars _hypertick.interval_source, at text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('SELECT %s FROM (SELECT %s FROM public.%I WHERE symbol = $1 AND %I >= $2 AND %4$I < $3 '
                  'GROUP BY 1, 2) c WHERE c.close IS NOT NULL',
        _hypertick.shown_columns(), _hypertick.candle_columns(bars.relation, bars.width), bars.relation, at)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rolled_up(_hypertick.interval_source, text) IS
    'SQL text: the bars of symbol $1 from $2 to before $3, made of what is stored.';

-- Bars that are not stored are made in windows of time, each as wide as the bars
-- asked for would be if the symbol traded in every one, so that the newest bars
-- of a long history cost no more than those of a short one.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.roll_up(
    bars _hypertick.interval_source, symbol text, since timestamptz, until timestamptz, max_bars bigint)
RETURNS SETOF candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at     CONSTANT text := CASE bars.relation WHEN 'ticks' THEN 'ts' ELSE 'bucket' END;
    made   CONSTANT text := _hypertick.rolled_up(bars, at) || ' ORDER BY 2 LIMIT $4';
    next   CONSTANT text := format(
        'SELECT %2$I FROM public.%1$I WHERE symbol = $1 AND %2$I >= $2 AND %2$I < $3 ORDER BY %2$I LIMIT 1',
        bars.relation, at);
    -- The first bar that begins in the range, and the first one after it.
    start  timestamptz := _hypertick.bucket_from(since, bars.width);
    behind CONSTANT timestamptz := _hypertick.bucket_from(until, bars.width);
    stop   timestamptz;
    reach  interval := least(bars.width * greatest(least(max_bars, 100000), 1), INTERVAL '1000 years');
    n      bigint;
BEGIN
    IF max_bars IS NULL THEN
        RETURN QUERY EXECUTE made USING symbol, start, behind, NULL::bigint;
        RETURN;
    END IF;
    WHILE max_bars > 0 LOOP
        EXECUTE next INTO start USING symbol, start, behind;
        EXIT WHEN start IS NULL;
        start := public.time_bucket(bars.width, start);
        stop := least(behind, public.time_bucket(bars.width, _hypertick.bucket_end(start, reach)));
        RETURN QUERY EXECUTE made USING symbol, start, stop, max_bars;
        GET DIAGNOSTICS n = ROW_COUNT;
        max_bars := max_bars - n;
        start := stop;
        reach := least(2 * reach, INTERVAL '1000 years');
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint) IS
    'Bars of an interval that is not materialised, which begin from since on and before until, oldest first, at most '
    'max_bars.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.roll_up_before(
    bars _hypertick.interval_source, symbol text, until timestamptz, max_bars bigint)
RETURNS SETOF candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    at     CONSTANT text := CASE bars.relation WHEN 'ticks' THEN 'ts' ELSE 'bucket' END;
    made   CONSTANT text := _hypertick.rolled_up(bars, at) || ' ORDER BY 2 DESC LIMIT $4';
    last   CONSTANT text := format(
        'SELECT %2$I FROM public.%1$I WHERE symbol = $1 AND %2$I < $2 ORDER BY %2$I DESC LIMIT 1', bars.relation, at);
    behind timestamptz := _hypertick.bucket_from(until, bars.width);
    start  timestamptz;
    reach  interval := least(bars.width * greatest(least(max_bars, 100000), 1), INTERVAL '1000 years');
    n      bigint;
BEGIN
    WHILE max_bars > 0 LOOP
        EXECUTE last INTO behind USING symbol, behind;
        EXIT WHEN behind IS NULL;
        behind := _hypertick.bucket_end(public.time_bucket(bars.width, behind), bars.width);
        start := public.time_bucket(bars.width, _hypertick.bucket_end(behind, -reach));
        RETURN QUERY EXECUTE made USING symbol, start, behind, max_bars;
        GET DIAGNOSTICS n = ROW_COUNT;
        max_bars := max_bars - n;
        behind := start;
        reach := least(2 * reach, INTERVAL '1000 years');
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint) IS
    'The last max_bars bars of an interval that is not materialised, which begin before until, newest first.';

-- A function and not a view over all intervals: each statement has its own time
-- bounds, which TimescaleDB can prune chunks by. A dynamic statement
-- would be planned on every call, which takes longer than reading a bar; so the
-- function is recreated when an interval is added or removed, with one static
-- statement for each.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.make_candles_function() RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $make$
DECLARE
    before text;
    after  text;
    raw    text;
    stored text[];
BEGIN
    SELECT string_agg(format($q$WHEN %L THEN
            FOR bar IN SELECT %s FROM public.%I c
                       WHERE c.symbol = candles.symbol AND c.bucket < "from" AND c.bucket < "to"
                         AND c.close IS NOT NULL
                       ORDER BY c.bucket DESC LIMIT warmup LOOP
                bars := bars || bar;
            END LOOP;$q$, i."interval", _hypertick.shown_columns(), 'candles_' || i."interval"),
               E'\n        ' ORDER BY i.width),
           string_agg(format($q$WHEN %L THEN
            RETURN QUERY SELECT %s FROM public.%I c
                         WHERE c.symbol = candles.symbol AND c.bucket >= "from" AND c.bucket < "to"
                           AND c.close IS NOT NULL
                         ORDER BY c.bucket LIMIT max_bars;$q$,
                             i."interval", _hypertick.shown_columns(), 'candles_' || i."interval"),
               E'\n        ' ORDER BY i.width),
           string_agg(format($q$WHEN %L THEN
        RETURN QUERY SELECT c.* FROM public.%I c
                     WHERE c.symbol = raw_candles.symbol AND c.bucket >= "from" AND c.bucket < "to";$q$,
                             i."interval", 'candles_' || i."interval"),
               E'\n    ' ORDER BY i.width),
           array_agg(i."interval" ORDER BY i.width)
    INTO before, after, raw, stored
    FROM public.intervals i WHERE i.materialized;

    EXECUTE format($function$
CREATE OR REPLACE FUNCTION public.candles(
    symbol     text,
    "interval" text,
    "from"     timestamptz DEFAULT '-infinity',
    "to"       timestamptz DEFAULT 'infinity',
    warmup     int DEFAULT 0,
    max_bars   bigint DEFAULT NULL
)
RETURNS SETOF public.candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 500
SET search_path = pg_catalog, pg_temp
-- Below the union of a real-time aggregate the planner does not see the LIMIT
-- and would sort a symbol's whole history; so it walks the index, and a read
-- takes as long after ten years as after ten days.
SET enable_sort = off
-- The penalty that stands for "off" looks to the JIT like a query of hours, and
-- compiling one costs seconds.
SET jit = off
AS $$
DECLARE
    bar     public.candle;
    bars    public.candle[];
    made_of _hypertick.interval_source;
BEGIN
    IF ("interval" = ANY (%L)) IS NOT TRUE THEN
        made_of := _hypertick.find_interval("interval");
    END IF;
    -- Bars before "from", turned round here: TimescaleDB pushes an ORDER BY and
    -- LIMIT into a real-time aggregate only from the top of a statement. Inside
    -- another SELECT it reads every bar the symbol ever had and sorts them.
    IF warmup > 0 AND "from" > '-infinity' THEN
        CASE "interval"
        %s
        ELSE
            FOR bar IN SELECT c.* FROM _hypertick.roll_up_before(made_of, symbol, least("from", "to"), warmup) c LOOP
                bars := bars || bar;
            END LOOP;
        END CASE;
        FOR n IN REVERSE coalesce(cardinality(bars), 0) .. 1 LOOP
            RETURN NEXT bars[n];
        END LOOP;
    END IF;
    IF "from" < "to" AND (max_bars > 0 OR max_bars IS NULL) THEN
        CASE "interval"
        %s
        ELSE
            RETURN QUERY SELECT c.* FROM _hypertick.roll_up(made_of, symbol, "from", "to", max_bars) c;
        END CASE;
    END IF;
END
$$
$function$, stored, before, after);

    EXECUTE format($function$
CREATE OR REPLACE FUNCTION _hypertick.raw_candles(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz)
RETURNS SETOF public.candle
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    made_of _hypertick.interval_source;
BEGIN
    CASE "interval"
    %s
    ELSE
        made_of := _hypertick.find_interval("interval");
        RETURN QUERY EXECUTE format(
            'SELECT %%s FROM public.%%I WHERE symbol = $1 AND %%I >= $2 AND %%3$I < $3 GROUP BY 1, 2',
            _hypertick.candle_columns(made_of.relation, made_of.width), made_of.relation,
            CASE made_of.relation WHEN 'ticks' THEN 'ts' ELSE 'bucket' END)
            USING symbol, _hypertick.bucket_from("from", made_of.width), _hypertick.bucket_from("to", made_of.width);
    END CASE;
END
$$
$function$, raw);
END
$make$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.make_candles_function() IS
    'Creates candles(), through which SQL reads bars, and raw_candles(), for the intervals there are.';
REVOKE EXECUTE ON FUNCTION _hypertick.make_candles_function() FROM PUBLIC;
SELECT add_interval(i."interval") FROM intervals i WHERE i.kind = 'core' ORDER BY i.width;
-- +goose StatementBegin
COMMENT ON FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint) IS
    'Bars of one symbol, oldest first, with "from" <= bucket < "to". interval is one of the table intervals, or any '
    'number of s, m, h, d, w, mo or y such as 90m. warmup adds up to that many bars before "from"; max_bars bounds '
    'those from "from" on. The newest 500: candles(symbol, interval, ''infinity'', warmup => 500). There is a bar '
    'where a trade moves the close; what the trades of other times count in is the wider bars.';
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.raw_candles(text, text, timestamptz, timestamptz) IS
    'Bars as they are stored or made, in no order: open, high, low or close is NULL where no trade moved it. Whoever '
    'adds ticks to a bar needs these.';

-- Only blocks older than the newest of any symbol are final (see 05_blocks.sql).
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.blocks_before(text, text, timestamptz, bigint, bigint) IS
    'The block states that end by before, newest first, until they hold that many bars; the newest ones that '
    'together hold up to skip bars are left out. The caller checks sum(bars): fewer than asked for means that '
    'history begins within them.';
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION
    candles(text, text, timestamptz, timestamptz, int, bigint),
    _hypertick.raw_candles(text, text, timestamptz, timestamptz),
    _hypertick.blocks_before(text, text, timestamptz, bigint, bigint),
    _hypertick.rolled_up(_hypertick.interval_source, text),
    _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint),
    _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    candles(text, text, timestamptz, timestamptz, int, bigint),
    _hypertick.raw_candles(text, text, timestamptz, timestamptz),
    _hypertick.blocks_before(text, text, timestamptz, bigint, bigint),
    _hypertick.rolled_up(_hypertick.interval_source, text),
    _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint),
    _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint)
TO hypertick_reader, hypertick_writer, hypertick_operator;

-- 09_late_ticks.sql -----------------------------------------------------------

-- Late ticks: how they get into ticks, and which bars they change. Ticks that are
-- cancelled or corrected change bars the same way (see 09_tick_changes.sql).
--
-- Whoever shows bars wants to read just those again that changed (GET
-- /v1/stream follows them). Three steps, because a late tick shows in a bar only
-- once the continuous aggregates have been refreshed:
--   late_arrivals      ingest, and the jobs, note where ticks came late or went;
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
    newest    timestamptz      NOT NULL,
    undone    boolean          NOT NULL DEFAULT false
);
COMMENT ON TABLE _hypertick.late_arrivals IS
    'Ticks stored after the minute they belong to, one row per batch and feed. A job empties it within seconds.';
COMMENT ON COLUMN _hypertick.late_arrivals.at IS 'When they were stored.';
COMMENT ON COLUMN _hypertick.late_arrivals.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.late_arrivals.venue IS 'See ticks.venue.';
COMMENT ON COLUMN _hypertick.late_arrivals.after_seq IS 'Every seq of the batch is above it.';
COMMENT ON COLUMN _hypertick.late_arrivals.last_seq IS 'Highest seq of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.oldest IS 'Oldest ts of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.newest IS 'Newest ts of the batch.';
COMMENT ON COLUMN _hypertick.late_arrivals.undone IS
    'Every minute from oldest to newest has changed: ticks of it are gone or have other values.';
GRANT SELECT ON _hypertick.late_arrivals TO hypertick_reader, hypertick_writer;
GRANT INSERT ON _hypertick.late_arrivals TO hypertick_writer;
CREATE TABLE _hypertick.awaited_revisions (
    symbol     text COLLATE "C" NOT NULL,
    "interval" text             NOT NULL,
    bucket     timestamptz      NOT NULL,
    whole      boolean          NOT NULL,
    undone     boolean          NOT NULL DEFAULT false,
    since      timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, "interval", bucket)
);
COMMENT ON TABLE _hypertick.awaited_revisions IS
    'Bars that late ticks belong to, or that ticks were taken out of, and that do not show it yet.';
COMMENT ON COLUMN _hypertick.awaited_revisions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.awaited_revisions."interval" IS 'Interval of the bar.';
COMMENT ON COLUMN _hypertick.awaited_revisions.bucket IS 'Start of the bar.';
COMMENT ON COLUMN _hypertick.awaited_revisions.whole IS 'See bar_revisions.whole.';
COMMENT ON COLUMN _hypertick.awaited_revisions.undone IS 'See bar_revisions.undone.';
COMMENT ON COLUMN _hypertick.awaited_revisions.since IS 'When the job first listed it.';
GRANT SELECT ON _hypertick.awaited_revisions TO hypertick_reader;
CREATE TABLE bar_revisions (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol     text COLLATE "C" NOT NULL,
    "interval" text             NOT NULL,
    bucket     timestamptz      NOT NULL,
    whole      boolean          NOT NULL DEFAULT false,
    undone     boolean          NOT NULL DEFAULT false,
    at         timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX bar_revisions_at_idx ON bar_revisions (at);
COMMENT ON TABLE bar_revisions IS
    'Closed bars of the materialised intervals that have changed, by late ticks or because ticks were cancelled or '
    'corrected, listed when the change can be read. Kept for a day.';
COMMENT ON COLUMN bar_revisions.id IS
    'Rises in the order in which revisions become visible: a reader that has seen id n has seen all below.';
COMMENT ON COLUMN bar_revisions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN bar_revisions."interval" IS
    'Interval of the bar. Bars that are rolled up at read have changed where those they are made of have.';
COMMENT ON COLUMN bar_revisions.bucket IS 'Start of the bar, UTC.';
COMMENT ON COLUMN bar_revisions.whole IS
    'More than a day of the symbol changed at once, a backfill: its other bars are not listed.';
COMMENT ON COLUMN bar_revisions.undone IS
    'Ticks of it were cancelled or corrected: it, or shorter bars in it, may be gone. Such a bar is listed even '
    'before it closes.';
COMMENT ON COLUMN bar_revisions.at IS 'When it was listed.';
COMMENT ON INDEX bar_revisions_at_idx IS 'Finds what is older than a day.';
GRANT SELECT ON bar_revisions TO hypertick_reader, hypertick_writer;

-- Each transaction takes one narrow range of time, so that TimescaleDB
-- invalidates just that range: the rows from the oldest waiting one to the first
-- pause of more than max_gap, at most max_rows. Within a wide chunk a pause does not
-- count: there the history is thin, its refresh costs little, and a transaction for each
-- tick would cost much. No SET search_path here: a procedure with one may not COMMIT.
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.move_late_ticks(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 50000);
    upto     timestamptz;
BEGIN
    PERFORM public.widen_history(min(t.ts), max(t.ts), count(*))
    FROM public.late_ticks t WHERE t.ts < now() - INTERVAL '35 days'
    HAVING count(*) > 0;
    COMMIT;
    LOOP
        -- Rows of the range's last ts go together, even past max_rows: the next
        -- range must begin after it.
        SELECT max(waiting.ts) INTO upto
        FROM (
            SELECT gapped.ts, bool_or(gapped.pause) OVER (ORDER BY gapped.ts ROWS UNBOUNDED PRECEDING) AS beyond
            FROM (
                SELECT oldest.ts,
                       oldest.ts - lag(oldest.ts) OVER rising > max_gap
                       AND (wide.range_start = lag(wide.range_start) OVER rising) IS NOT TRUE AS pause
                FROM (SELECT t.ts FROM public.late_ticks t ORDER BY t.ts LIMIT max_rows) oldest
                LEFT JOIN _hypertick.wide_chunks wide ON oldest.ts >= wide.range_start AND oldest.ts < wide.range_end
                WINDOW rising AS (ORDER BY oldest.ts)
            ) gapped
        ) waiting
        WHERE waiting.beyond IS NOT TRUE;
        EXIT WHEN upto IS NULL;

        WITH moved AS (
            DELETE FROM public.late_ticks l WHERE l.ts <= upto
            RETURNING l.ts, l.symbol, l.price, l.size, l.seq, l.venue, l.side, l.flags
        ), noted AS (
            INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest)
            SELECT m.symbol, m.venue, min(m.seq) - 1, max(m.seq), min(m.ts), max(m.ts)
            FROM moved m GROUP BY m.symbol, m.venue, public.time_bucket(INTERVAL '1 minute', m.ts)
        )
        INSERT INTO public.ticks (ts, symbol, price, size, seq, venue, side, flags)
        SELECT m.ts, m.symbol, m.price, m.size, m.seq, m.venue, m.side, m.flags FROM moved m;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.move_late_ticks(int, jsonb) IS
    'Job: moves late_ticks into ticks, one narrow time range a transaction. config: max_gap, max_rows.';
REVOKE EXECUTE ON PROCEDURE _hypertick.move_late_ticks(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.move_late_ticks', INTERVAL '5 seconds',
    config => '{"max_gap": "5 minutes", "max_rows": 50000}', fixed_schedule => false);
-- +goose StatementBegin
CREATE FUNCTION _hypertick.same_bar(a candle, b candle) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    -- Sums differ in their last digits by the order of what they add up. Where
    -- prices are below 0 a notional may be small while what it adds up is not.
    SELECT (a.trades, a.open, a.high, a.low, a.close) IS NOT DISTINCT FROM (b.trades, b.open, b.high, b.low, b.close)
       AND bool_and(s.x IS NOT DISTINCT FROM s.y
                    OR coalesce(abs(s.x - s.y) <= (1e-12 + 2e-16 * a.trades) * s.size, false))
    FROM (VALUES (a.volume, b.volume, b.volume),
                 (a.buy_volume, b.buy_volume, b.volume),
                 (a.notional, b.notional,
                  greatest(abs(b.notional), b.volume * abs(b.high), b.volume * abs(b.low)))) s(x, y, size)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.same_bar(candle, candle) IS
    'Whether two bars are the same: count and prices as they are, sums up to rounding. A bar that is all NULL is one '
    'that does not exist.';
REVOKE EXECUTE ON FUNCTION _hypertick.same_bar(candle, candle) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.same_bar(candle, candle) TO hypertick_reader, hypertick_writer;
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.note_revisions(job_id int, config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    -- A bar closes when its end has passed by some seconds: what comes before
    -- that changes no closed bar.
    grace  CONSTANT interval := coalesce(config ->> 'grace', '2 seconds')::interval;
    keep   CONSTANT interval := coalesce(config ->> 'keep', '25 hours')::interval;
    flood  CONSTANT interval := coalesce(config ->> 'flood', '1 day')::interval;
    -- Intervals of seconds share no bucket but the second.
    grain  CONSTANT interval := (SELECT CASE WHEN min(i.width) < '1 minute' THEN '1 second' ELSE '1 minute' END
                                 FROM public.intervals i WHERE i.materialized);
    -- A flood is listed once, by a bar of the widest interval below a day.
    coarse CONSTANT text := (SELECT i."interval" FROM public.intervals i
                             WHERE i.materialized AND i.width <= '1 hour' ORDER BY i.width DESC LIMIT 1);
    level  record;
BEGIN
    -- One writer at a time, so that ids become visible in their order.
    PERFORM pg_advisory_xact_lock(hashtext('_hypertick.note_revisions'));

    WITH taken AS (
        DELETE FROM _hypertick.late_arrivals a RETURNING a.*
    ), feeds AS (
        SELECT t.symbol, sum(t.newest - t.oldest) > flood AS whole FROM taken t GROUP BY t.symbol
    ), touched AS (
        -- The rows say from where to where a batch reached, the ticks which
        -- minutes it touched.
        SELECT t.symbol, k.start, t.at, false AS whole, t.undone
        FROM taken t
        JOIN feeds f ON f.symbol = t.symbol AND NOT f.whole
        CROSS JOIN LATERAL (
            SELECT DISTINCT public.time_bucket(grain, tick.ts) AS start
            FROM public.ticks tick
            WHERE NOT t.undone AND tick.symbol = t.symbol AND tick.ts >= t.oldest AND tick.ts <= t.newest
              AND tick.venue = t.venue AND tick.seq > t.after_seq AND tick.seq <= t.last_seq
            UNION ALL
            SELECT g.start
            FROM generate_series(public.time_bucket(grain, t.oldest), t.newest, grain) g(start)
            WHERE t.undone
        ) k
        UNION ALL
        SELECT t.symbol, public.time_bucket(grain, min(t.oldest)), max(t.at), true, bool_or(t.undone)
        FROM taken t JOIN feeds f ON f.symbol = t.symbol AND f.whole
        GROUP BY t.symbol
    ), bars AS (
        -- A forming bar is made of ticks as they come. Whoever made it so must be
        -- told when one of them is gone.
        SELECT k.symbol, i."interval", public.time_bucket(i.width, k.start) AS bucket, bool_or(k.whole) AS whole,
               bool_or(k.undone) AS undone
        FROM touched k CROSS JOIN public.intervals i
        WHERE i.materialized
          AND (k.undone OR _hypertick.bucket_end(public.time_bucket(i.width, k.start), i.width) <= k.at - grace)
          AND (NOT k.whole OR i."interval" = coarse)
        GROUP BY 1, 2, 3
    )
    INSERT INTO _hypertick.awaited_revisions AS awaited (symbol, "interval", bucket, whole, undone)
    SELECT b.symbol, b."interval", b.bucket, b.whole, b.undone FROM bars b
    ON CONFLICT (symbol, "interval", bucket) DO UPDATE
    SET whole = awaited.whole OR excluded.whole, undone = awaited.undone OR excluded.undone;

    -- A bar shows what happened to its ticks when it is what its source makes of it
    -- (nothing at all, where they are gone), and that in turn is awaited no more.
    -- Bars are read by a function: where the materialisation is behind, a join with
    -- the aggregate would compute all that is not materialised for each of them.
    FOR level IN
        SELECT i."interval", i.width, i.source, whole.whole,
               CASE WHEN whole.whole OR i.source IS NULL THEN 'ticks' ELSE 'candles_' || i.source END AS made_of
        FROM public.intervals i CROSS JOIN (VALUES (false), (true)) whole(whole)
        WHERE i.materialized
          AND EXISTS (SELECT FROM _hypertick.awaited_revisions a
                      WHERE a."interval" = i."interval" AND a.whole = whole.whole)
        ORDER BY i.width
    LOOP
        EXECUTE format($q$
            WITH waiting AS MATERIALIZED (
                SELECT a.symbol, a.bucket, _hypertick.bucket_end(a.bucket, $3) AS until
                FROM _hypertick.awaited_revisions a WHERE a."interval" = $1 AND a.whole = $4
                ORDER BY a.since LIMIT 5000
            ), shown AS (
                SELECT w.symbol, w.bucket
                FROM waiting w
                LEFT JOIN LATERAL _hypertick.raw_candles(w.symbol, $1, w.bucket, w.until) bar ON true
                LEFT JOIN LATERAL (
                    SELECT %1$s FROM %2$s GROUP BY 1, 2
                ) made ON true
                WHERE NOT EXISTS (
                        SELECT FROM _hypertick.awaited_revisions below
                        WHERE below.symbol = w.symbol AND below."interval" = $2
                          AND below.bucket >= w.bucket AND below.bucket < w.until)
                  AND _hypertick.same_bar(ROW(bar.*)::public.candle, ROW(made.*)::public.candle)
            ), done AS (
                DELETE FROM _hypertick.awaited_revisions w USING shown s
                WHERE w."interval" = $1 AND w.symbol = s.symbol AND w.bucket = s.bucket
                RETURNING w.symbol, w.bucket, w.whole, w.undone
            )
            INSERT INTO public.bar_revisions (symbol, "interval", bucket, whole, undone)
            SELECT d.symbol, $1, d.bucket, d.whole, d.undone FROM done d ORDER BY d.bucket, d.symbol$q$,
            _hypertick.candle_columns(level.made_of, level.width),
            CASE level.made_of
                WHEN 'ticks' THEN 'public.ticks WHERE symbol = w.symbol AND ts >= w.bucket AND ts < w.until'
                ELSE '_hypertick.raw_candles(w.symbol, $2, w.bucket, w.until)' END)
        USING level."interval", level.source, level.width, level.whole;
    END LOOP;

    -- Where retention has dropped the ticks they never agree.
    DELETE FROM _hypertick.awaited_revisions w WHERE w.since < now() - INTERVAL '1 hour';
    DELETE FROM public.bar_revisions r WHERE r.at < now() - keep;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.note_revisions(int, jsonb) IS
    'Job: lists bars that late, cancelled or corrected ticks have changed in bar_revisions. config: grace, keep, '
    'flood.';
REVOKE EXECUTE ON PROCEDURE _hypertick.note_revisions(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.note_revisions', INTERVAL '5 seconds',
    config => '{"grace": "2 seconds", "keep": "25 hours", "flood": "1 day"}', fixed_schedule => false);

-- 09_tick_changes.sql ---------------------------------------------------------

-- Cancels and corrections of ticks.
--
-- Ingest writes them here in the transaction of their batch, so that each counts
-- once, and a job applies them: a row that goes away invalidates its range of time
-- as a late one does, so each transaction touches a narrow range. What was in
-- ticks goes to the journal. A tick that comes again is compared with the journal
-- too: what was undone stays undone.
CREATE TABLE ticks_undone (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ts        timestamptz      NOT NULL,
    symbol    text COLLATE "C" NOT NULL,
    price     float8           NOT NULL,
    size      float8           NOT NULL,
    seq       bigint           NOT NULL,
    venue     text COLLATE "C" NOT NULL,
    side      smallint,
    flags     int              NOT NULL,
    known_ms  bigint           NOT NULL,
    undone_ms bigint           NOT NULL DEFAULT (date_part('epoch', now()) * 1000)::bigint,
    why       text             NOT NULL CHECK (why IN ('cancelled', 'corrected')),
    change_id bigint           NOT NULL
);
CREATE INDEX ticks_undone_symbol_ts_idx ON ticks_undone (symbol, ts);
COMMENT ON TABLE ticks_undone IS 'Journal of ticks that were cancelled or corrected, as they were before.';
COMMENT ON COLUMN ticks_undone.id IS 'Number of the entry.';
COMMENT ON COLUMN ticks_undone.ts IS 'See ticks.ts.';
COMMENT ON COLUMN ticks_undone.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN ticks_undone.price IS 'Price it had.';
COMMENT ON COLUMN ticks_undone.size IS 'Size it had.';
COMMENT ON COLUMN ticks_undone.seq IS 'See ticks.seq.';
COMMENT ON COLUMN ticks_undone.venue IS 'See ticks.venue.';
COMMENT ON COLUMN ticks_undone.side IS 'Side it had.';
COMMENT ON COLUMN ticks_undone.flags IS 'Flags it had.';
COMMENT ON COLUMN ticks_undone.known_ms IS 'See ticks.known_ms.';
COMMENT ON COLUMN ticks_undone.undone_ms IS 'When it left ticks, in milliseconds since 1970.';
COMMENT ON COLUMN ticks_undone.why IS 'cancelled: nothing took its place. corrected: another row did.';
COMMENT ON COLUMN ticks_undone.change_id IS 'The row of tick_changes that undid it.';
COMMENT ON INDEX ticks_undone_symbol_ts_idx IS 'Serves the comparison with ticks that come, and reads of one symbol.';
GRANT SELECT ON ticks_undone TO hypertick_reader, hypertick_writer;
CREATE TABLE tick_changes (
    id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind     text             NOT NULL CHECK (kind IN ('cancel', 'correct')),
    symbol   text COLLATE "C" NOT NULL,
    venue    text COLLATE "C" NOT NULL,
    seq      bigint           NOT NULL,
    ts       timestamptz,
    price    float8,
    size     float8,
    side     smallint,
    flags    int,
    origin   text             NOT NULL,
    asked_at timestamptz      NOT NULL DEFAULT now(),
    state    text             NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'waiting', 'done', 'known', 'refused')),
    state_at timestamptz,
    next_at  timestamptz,
    detail   text,
    CHECK ((kind = 'correct') = (price IS NOT NULL AND size IS NOT NULL AND flags IS NOT NULL)),
    CHECK ((price = 0 OR abs(price) BETWEEN 1e-15 AND 1e15) IS NOT FALSE
           AND (size = 0 OR size BETWEEN 1e-15 AND 1e15) IS NOT FALSE AND (side IN (-1, 1)) IS NOT FALSE)
);
CREATE INDEX tick_changes_due_idx ON tick_changes (coalesce(next_at, asked_at), id) WHERE state IN ('new', 'waiting');
CREATE INDEX tick_changes_refused_idx ON tick_changes (state_at) WHERE state = 'refused';
CREATE INDEX tick_changes_symbol_idx ON tick_changes (symbol, venue, seq);
COMMENT ON TABLE tick_changes IS
    'Cancels and corrections that were asked for, by the topic, a file or a person, and what became of them.';
COMMENT ON COLUMN tick_changes.id IS 'Number of the change. Changes of one tick apply in this order.';
COMMENT ON COLUMN tick_changes.kind IS 'cancel or correct.';
COMMENT ON COLUMN tick_changes.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN tick_changes.venue IS 'See ticks.venue.';
COMMENT ON COLUMN tick_changes.seq IS 'See ticks.seq.';
COMMENT ON COLUMN tick_changes.ts IS 'Trade time of the tick. NULL: the newest tick of that seq is meant.';
COMMENT ON COLUMN tick_changes.price IS 'Correct price. NULL in a cancel.';
COMMENT ON COLUMN tick_changes.size IS 'Correct size. NULL in a cancel.';
COMMENT ON COLUMN tick_changes.side IS 'Correct side, see ticks.side.';
COMMENT ON COLUMN tick_changes.flags IS 'Correct flags, see ticks.flags. NULL in a cancel.';
COMMENT ON COLUMN tick_changes.origin IS 'Who asked: the topic, partition and offset, or a name.';
COMMENT ON COLUMN tick_changes.asked_at IS 'When it was asked for.';
COMMENT ON COLUMN tick_changes.state IS
    'new: not looked at yet. waiting: its tick has not come. done: applied. known: it was in effect before. refused: '
    'see detail.';
COMMENT ON COLUMN tick_changes.state_at IS 'When it was last looked at.';
COMMENT ON COLUMN tick_changes.next_at IS 'When its tick is searched for again.';
COMMENT ON COLUMN tick_changes.detail IS 'Why it waits or was refused.';
COMMENT ON INDEX tick_changes_due_idx IS 'Serves the job.';
COMMENT ON INDEX tick_changes_refused_idx IS 'Serves status.';
COMMENT ON INDEX tick_changes_symbol_idx IS 'Serves the changes of one tick.';
GRANT SELECT ON tick_changes TO hypertick_reader, hypertick_writer;
GRANT INSERT (kind, symbol, venue, seq, ts, price, size, side, flags, origin) ON tick_changes TO hypertick_writer;

-- Without a trade time the newest days are searched first: a symbol may have many
-- millions of ticks, and those that change are mostly young.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.find_tick(symbol text, venue text, seq bigint, ts timestamptz DEFAULT NULL)
RETURNS SETOF ticks
LANGUAGE plpgsql STABLE ROWS 1
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    newest timestamptz;
    reach  interval;
BEGIN
    IF ts IS NOT NULL THEN
        RETURN QUERY SELECT t.* FROM public.ticks t
                     WHERE t.symbol = find_tick.symbol AND t.ts = find_tick.ts
                       AND t.venue = find_tick.venue AND t.seq = find_tick.seq
                     ORDER BY t.known_ms DESC LIMIT 1;
        RETURN;
    END IF;
    SELECT p.last_ts INTO newest FROM public.feed_positions p
    WHERE p.symbol = find_tick.symbol AND p.venue = find_tick.venue;
    FOREACH reach IN ARRAY ARRAY['1 day', '30 days', NULL]::interval[] LOOP
        RETURN QUERY SELECT t.* FROM public.ticks t
                     WHERE t.symbol = find_tick.symbol AND t.venue = find_tick.venue AND t.seq = find_tick.seq
                       AND t.ts >= coalesce(newest - reach, '-infinity')
                     ORDER BY t.ts DESC, t.known_ms DESC LIMIT 1;
        IF FOUND OR newest IS NULL THEN
            RETURN;
        END IF;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz) IS
    'The tick that a cancel or correction means: of that seq, the newest unless ts is given.';
REVOKE EXECUTE ON FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz) TO hypertick_reader, hypertick_writer;
-- +goose StatementBegin
CREATE FUNCTION _hypertick.apply_tick_change(change tick_changes) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    tick    public.ticks;
    horizon CONSTANT timestamptz := public.tick_horizon();
    outcome text;
    why     text;
BEGIN
    SELECT t.* INTO tick FROM _hypertick.find_tick(change.symbol, change.venue, change.seq, change.ts) t;
    IF FOUND AND tick.ts >= coalesce(horizon, '-infinity') THEN
        IF change.kind = 'correct' AND (tick.price, tick.size, tick.side, tick.flags)
               IS NOT DISTINCT FROM (change.price, change.size, change.side, change.flags) THEN
            outcome := 'known';
        ELSE
            outcome := 'done';
        END IF;
    ELSIF FOUND OR change.ts < horizon THEN
        outcome := 'refused';
        why := format('the tick is older than the retention horizon, %s', horizon);
    ELSIF EXISTS (SELECT FROM public.ticks_undone u
                  WHERE u.symbol = change.symbol AND u.venue = change.venue AND u.seq = change.seq
                    AND u.ts = coalesce(change.ts, u.ts) AND u.why = 'cancelled') THEN
        outcome := 'known';
        why := 'the tick is cancelled';
    ELSIF change.asked_at < now() - INTERVAL '30 days' THEN
        outcome := 'refused';
        why := 'no such tick has come within 30 days';
    ELSE
        outcome := 'waiting';
        why := 'no such tick is stored';
    END IF;

    IF outcome = 'done' THEN
        INSERT INTO public.ticks_undone (ts, symbol, price, size, seq, venue, side, flags, known_ms, why, change_id)
        VALUES (tick.ts, tick.symbol, tick.price, tick.size, tick.seq, tick.venue, tick.side, tick.flags,
                tick.known_ms, CASE change.kind WHEN 'cancel' THEN 'cancelled' ELSE 'corrected' END, change.id);
        -- With constants: in the columnstore only the batch that holds the row is
        -- unpacked. A kept conflict is a row of its own.
        EXECUTE format('DELETE FROM public.ticks t WHERE t.symbol = %L AND t.ts = %L AND t.venue = %L AND t.seq = %L '
                       'AND t.price = %L AND t.size = %L',
                       tick.symbol, tick.ts, tick.venue, tick.seq, tick.price, tick.size);
        IF change.kind = 'correct' THEN
            INSERT INTO public.ticks (ts, symbol, price, size, seq, venue, side, flags)
            VALUES (tick.ts, tick.symbol, change.price, change.size, tick.seq, tick.venue, change.side, change.flags);
        END IF;
        INSERT INTO _hypertick.late_arrivals (symbol, venue, after_seq, last_seq, oldest, newest, undone)
        VALUES (tick.symbol, tick.venue, tick.seq - 1, tick.seq, tick.ts, tick.ts, true);
    END IF;
    UPDATE public.tick_changes c
    SET state = outcome, detail = why, state_at = now(),
        ts = coalesce(c.ts, CASE outcome WHEN 'done' THEN tick.ts END),
        -- From 5 s on, doubled up to an hour.
        next_at = CASE outcome WHEN 'waiting' THEN
            now() + least(greatest(now() - change.asked_at, INTERVAL '5 seconds'), INTERVAL '1 hour') END
    WHERE c.id = change.id;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.apply_tick_change(tick_changes) IS
    'Applies one cancel or correction, and records what became of it.';
REVOKE EXECUTE ON FUNCTION _hypertick.apply_tick_change(tick_changes) FROM PUBLIC;

-- A transaction ends when the next tick lies far from those before: the range that
-- a refresh computes again stays narrow. No SET search_path here: a procedure with
-- one may not COMMIT.
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.apply_tick_changes(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    max_gap  CONSTANT interval := coalesce(config ->> 'max_gap', '5 minutes')::interval;
    max_rows CONSTANT int := coalesce((config ->> 'max_rows')::int, 500);
    began    CONSTANT timestamptz := clock_timestamp();
    ids      bigint[];
    tss      timestamptz[];
    newest   timestamptz;
    change   public.tick_changes;
BEGIN
    LOOP
        -- Changes of one tick keep their order; those of others need none.
        SELECT array_agg(c.id ORDER BY t.ts NULLS FIRST, c.id), array_agg(t.ts ORDER BY t.ts NULLS FIRST, c.id)
        INTO ids, tss
        FROM (
            SELECT d.* FROM public.tick_changes d
            WHERE d.state IN ('new', 'waiting') AND coalesce(d.next_at, d.asked_at) <= began
            ORDER BY coalesce(d.next_at, d.asked_at), d.id LIMIT max_rows
        ) c
        LEFT JOIN LATERAL _hypertick.find_tick(c.symbol, c.venue, c.seq, c.ts) t ON true;
        EXIT WHEN ids IS NULL;
        newest := NULL;
        FOR n IN 1 .. cardinality(ids) LOOP
            IF tss[n] - newest > max_gap THEN
                COMMIT;
            END IF;
            newest := tss[n];
            SELECT c.* INTO change FROM public.tick_changes c
            WHERE c.id = ids[n] AND c.state IN ('new', 'waiting') FOR UPDATE;
            IF FOUND THEN
                PERFORM _hypertick.apply_tick_change(change);
            END IF;
        END LOOP;
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.apply_tick_changes(int, jsonb) IS
    'Job: applies tick_changes, a narrow time range a transaction. config: max_gap, max_rows.';
REVOKE EXECUTE ON PROCEDURE _hypertick.apply_tick_changes(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.apply_tick_changes', INTERVAL '5 seconds',
    config => '{"max_gap": "5 minutes", "max_rows": 500}', fixed_schedule => false);

-- 10_catalog.sql --------------------------------------------------------------

-- What an indicator returns, how it is found, and how it is called by name.
CREATE TYPE indicator.point AS (bucket timestamptz, series text, value float8);
COMMENT ON TYPE indicator.point IS 'One value of one series of an indicator, for the bar that starts at bucket.';
CREATE FUNCTION _hypertick.forget(beta float8) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN CASE WHEN beta < 1e-13 THEN 1 ELSE ceil(ln(1e-13) / ln(beta))::int END;
COMMENT ON FUNCTION _hypertick.forget(float8) IS
    'After how many bars a recurrence that keeps beta of its value per bar has forgotten what came before, to 1e-13.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.in_range(parameter text, value float8, lowest float8, highest float8) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF value >= lowest AND value <= highest THEN
        RETURN;
    END IF;
    RAISE EXCEPTION '%: want % to %, got %', parameter, lowest, highest, coalesce(value::text, 'null')
        USING ERRCODE = 'invalid_parameter_value';
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.in_range(text, float8, float8, float8) IS
    'Raises an error that names the parameter unless lowest <= value <= highest.';

-- Indicators, from pg_proc alone. A COMMENT carries what people should know:
-- its first line is the title; lines "@param name min..max text" and "@series name
-- text" describe parameters and series; the rest is the description.
CREATE VIEW indicator.catalog AS
SELECT p.proname::text AS name,
       coalesce(split_part(d.text, E'\n', 1), p.proname::text) AS title,
       -- A single line break is a space, an empty line begins a paragraph.
       (SELECT coalesce(regexp_replace(string_agg(l.line, E'\n' ORDER BY l.i), '([^\n])\n(?=[^\n])', '\1 ', 'g'), '')
        FROM regexp_split_to_table(d.text, E'\n') WITH ORDINALITY l(line, i)
        WHERE l.i > 1 AND l.line !~ '^@') AS description,
       (SELECT coalesce(jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
                   'name', a.name,
                   'type', CASE a.type::text
                               WHEN 'integer' THEN 'integer' WHEN 'bigint' THEN 'integer'
                               WHEN 'double precision' THEN 'number' WHEN 'numeric' THEN 'number'
                               WHEN 'real' THEN 'number'
                               WHEN 'boolean' THEN 'boolean' ELSE 'string' END,
                   'default', regexp_replace(a.def, '^''?(.*?)''?(::[a-z ]+)?$', '\1'),
                   'min', m.found[1]::float8,
                   'max', m.found[2]::float8,
                   'description', m.found[3])) ORDER BY a.i), '[]')
        FROM (SELECT p.proargnames[i] AS name, p.proargtypes[i - 1]::regtype AS type, i,
                     pg_get_function_arg_default(p.oid, i) AS def
              FROM generate_series(5, p.pronargs) i) a
        LEFT JOIN LATERAL (
            SELECT x.found
            FROM regexp_split_to_table(d.text, E'\n') l,
                 regexp_match(l, '^@param\s+' || a.name || '(?:\s+(-?[0-9.]*[0-9])\.\.(-?[0-9.]+))?(?:\s+(.*))?$')
                     x(found)
            WHERE x.found IS NOT NULL LIMIT 1) m ON true) AS parameters,
       (SELECT coalesce(
                   jsonb_agg(jsonb_strip_nulls(jsonb_build_object('name', x.found[1], 'description', x.found[2]))
                             ORDER BY l.i),
                   jsonb_build_array(jsonb_build_object('name', p.proname)))
        FROM regexp_split_to_table(d.text, E'\n') WITH ORDINALITY l(line, i),
             regexp_match(l.line, '^@series\s+(\S+)(?:\s+(.*))?$') x(found)
        WHERE x.found IS NOT NULL) AS series
FROM pg_catalog.pg_proc p
LEFT JOIN LATERAL (SELECT obj_description(p.oid, 'pg_proc')) d(text) ON true
WHERE p.pronamespace = 'indicator'::regnamespace
  AND p.prokind = 'f' AND p.proretset AND p.prorettype = 'indicator.point'::regtype
  AND p.pronargs >= 4 AND p.proargtypes[0] = 'text'::regtype AND p.proargtypes[1] = 'text'::regtype
  AND p.proargtypes[2] = 'timestamptz'::regtype AND p.proargtypes[3] = 'timestamptz'::regtype
  AND has_function_privilege(p.oid, 'EXECUTE')
ORDER BY p.proname;
COMMENT ON VIEW indicator.catalog IS
    'Every indicator there is: the functions of this schema that take (symbol, interval, from, to, ...) and return '
    'SETOF indicator.point.';
COMMENT ON COLUMN indicator.catalog.name IS 'Name of the function.';
COMMENT ON COLUMN indicator.catalog.title IS 'First line of its COMMENT.';
COMMENT ON COLUMN indicator.catalog.description IS 'Rest of its COMMENT.';
-- +goose StatementBegin
COMMENT ON COLUMN indicator.catalog.parameters IS
    'Array of {name, type, default, min, max, description}. type is integer, number, boolean or string; default is '
    'text, absent where a value must be given.';
-- +goose StatementEnd
COMMENT ON COLUMN indicator.catalog.series IS 'Array of {name, description}.';
GRANT SELECT ON indicator.catalog TO hypertick_reader, hypertick_writer;

-- Calls an indicator by name. Only names that were found in pg_proc enter the
-- statement; every value is passed as a value.
-- +goose StatementBegin
CREATE FUNCTION indicator.evaluate(
    name text, symbol text, "interval" text, "from" timestamptz, "to" timestamptz, params jsonb DEFAULT '{}')
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
-- With public: an indicator of your own may say candles() without its schema,
-- whoever calls it.
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    known indicator.catalog;
    want  jsonb;
    key   text;
    got   jsonb;
    word  text;
    args  text := '';
BEGIN
    SELECT c.* INTO known FROM indicator.catalog c WHERE c.name = evaluate.name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'indicator: % does not exist', coalesce(quote_ident(evaluate.name), 'null')
            USING ERRCODE = 'undefined_function', HINT = 'SELECT name FROM indicator.catalog lists them.';
    END IF;
    IF symbol IS NULL OR "interval" IS NULL OR "from" IS NULL OR "to" IS NULL THEN
        RAISE EXCEPTION 'symbol, interval, from and to: none may be null' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    params := coalesce(params, '{}');
    IF jsonb_typeof(params) <> 'object' THEN
        RAISE EXCEPTION 'params: want an object, got %', jsonb_typeof(params)
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    FOR key IN SELECT k FROM jsonb_object_keys(params) k
               WHERE NOT EXISTS (SELECT FROM jsonb_array_elements(known.parameters) p WHERE p ->> 'name' = k) LOOP
        RAISE EXCEPTION '%: no such parameter of %', key, known.name
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = coalesce('It has ' || (SELECT string_agg(p ->> 'name', ', ')
                                                FROM jsonb_array_elements(known.parameters) p) || '.',
                                  'It has none.');
    END LOOP;
    FOR want IN SELECT p FROM jsonb_array_elements(known.parameters) p LOOP
        key := want ->> 'name';
        got := params -> key;
        word := params ->> key;
        IF word IS NULL THEN
            IF want ? 'default' AND got IS NULL THEN
                CONTINUE;
            END IF;
            RAISE EXCEPTION '%: want %, got %', key, want ->> 'type',
                CASE WHEN got IS NULL THEN 'nothing' ELSE 'null' END
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        -- Text is taken where it spells a value of the type, as it comes from a URL.
        IF jsonb_typeof(got) NOT IN ('string', want ->> 'type')
               AND NOT (jsonb_typeof(got) = 'number' AND want ->> 'type' = 'integer')
           OR want ->> 'type' = 'integer' AND word !~ '^-?[0-9]{1,18}$'
           OR want ->> 'type' = 'number'
               AND word !~ '^-?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][-+]?[0-9]{1,2})?$'
           OR want ->> 'type' = 'boolean' AND word NOT IN ('true', 'false') THEN
            RAISE EXCEPTION '%: want %, got %', key,
                CASE WHEN want ->> 'type' = 'integer' THEN 'an integer' ELSE 'a ' || (want ->> 'type') END, got
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        IF word::text ~ '^-?[0-9.]' AND want ->> 'type' IN ('integer', 'number')
           AND (word::float8 < (want ->> 'min')::float8 OR word::float8 > (want ->> 'max')::float8) THEN
            RAISE EXCEPTION '%: want % to %, got %', key, want ->> 'min', want ->> 'max', word
                USING ERRCODE = 'invalid_parameter_value';
        END IF;
        args := args || format(', %I => ($5 ->> %L)::%s', key, key,
            (SELECT format_type(pr.proargtypes[i - 1], NULL)
             FROM pg_proc pr, generate_series(5, pr.pronargs) i
             WHERE pr.pronamespace = 'indicator'::regnamespace AND pr.proname = known.name
               AND pr.prorettype = 'indicator.point'::regtype AND pr.proargnames[i] = key));
    END LOOP;
    RETURN QUERY EXECUTE
        format('SELECT p.bucket, p.series, p.value FROM indicator.%I($1, $2, $3, $4%s) p', known.name, args)
        USING symbol, "interval", "from", "to", params;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb) IS
    'Evaluates an indicator of indicator.catalog by name over the bars with "from" <= bucket < "to". params holds '
    'parameters by name; those left out have their defaults. An unknown name or parameter, a wrong type or a value '
    'out of range is an error that names it.';
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION
    indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb), _hypertick.forget(float8),
    _hypertick.in_range(text, float8, float8, float8)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb), _hypertick.forget(float8),
    _hypertick.in_range(text, float8, float8, float8)
TO hypertick_reader, hypertick_writer;

-- 11_averages.sql -------------------------------------------------------------

-- Averages and what is built on them. Each reads only bars near "from": either
-- the block states before it, or as many warm-up bars as the recurrence needs to
-- forget what came before (to 1e-13). Where history begins within those, the
-- values are TA-Lib's from its first defined one on.
--
-- Flat prices: PostgreSQL's deviation of equal values is not 0 but some 1e-17, and
-- means of equal values differ in their last digits. Where all values of a window are
-- equal the deviation is 0 here, and averages as near as rounding are equal.
CREATE FUNCTION _hypertick.change(close float8, before float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN close > 0 AND before > 0 THEN close / before - 1 END;
COMMENT ON FUNCTION _hypertick.change(float8, float8) IS
    'Change of a price as a fraction. NULL where a price is not above 0: a fraction of it says nothing.';
CREATE FUNCTION _hypertick.log_return(close float8, before float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN close > 0 AND before > 0 THEN ln(close / before) END;
COMMENT ON FUNCTION _hypertick.log_return(float8, float8) IS
    'Logarithm of the quotient of two prices, which keeps digits that a difference of logarithms would lose. NULL '
    'where one is not above 0.';
CREATE FUNCTION _hypertick.side(a float8, b float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN abs(a - b) <= 1e-12 * greatest(abs(a), abs(b)) THEN 0 ELSE sign(a - b) END;
COMMENT ON FUNCTION _hypertick.side(float8, float8) IS
    '1 where an average is above another, -1 where below, 0 where they differ by no more than rounding.';
GRANT EXECUTE ON FUNCTION
    _hypertick.change(float8, float8), _hypertick.log_return(float8, float8), _hypertick.side(float8, float8)
TO hypertick_reader, hypertick_writer, hypertick_operator;
REVOKE EXECUTE ON FUNCTION
    _hypertick.change(float8, float8), _hypertick.log_return(float8, float8), _hypertick.side(float8, float8)
FROM PUBLIC;
-- +goose StatementBegin
CREATE FUNCTION indicator.sma(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'sma', w.value
    FROM (
        SELECT c.bucket, avg(c.close) OVER win AS value, count(*) OVER win AS n
        FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
             public.candles(symbol, "interval", "from", "to", warmup => period - 1) c
        WINDOW win AS (ORDER BY c.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
    ) w
    WHERE w.n = period AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.sma(text, text, timestamptz, timestamptz, int) IS
'Simple moving average
Mean of the last period closes. First defined on bar period - 1, counting from 0. Flat prices: the price.
Warm-up: period - 1 bars. Profile: TA-Lib SMA.
@param period 1..500 Bars averaged.
@series sma Mean of the closes.';
-- +goose StatementBegin
CREATE FUNCTION indicator.wma(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'wma', (w.weighted - (w.i - period) * w.plain) / (period * (period + 1) / 2)
    FROM (
        SELECT b.bucket, b.i, sum(b.i * b.close) OVER win AS weighted, sum(b.close) OVER win AS plain
        FROM (
            SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket) AS i
            FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period - 1) c
        ) b
        WINDOW win AS (ORDER BY b.i ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
    ) w
    WHERE w.i >= period AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.wma(text, text, timestamptz, timestamptz, int) IS
'Weighted moving average
Mean of the last period closes with weights 1 to period, the newest the heaviest. First defined on bar
period - 1. Flat prices: the price. Warm-up: period - 1 bars. Profile: TA-Lib WMA.
@param period 1..500 Bars averaged.
@series wma Weighted mean of the closes.';
-- +goose StatementBegin
CREATE FUNCTION indicator.ema(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 12)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need int;
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 1, 500);
    need := _hypertick.forget(1 - 2.0::float8 / (period + 1));
    IF period IN (12, 26, 50, 200) THEN
        SELECT indicator.rollup(CASE period WHEN 12 THEN block.ema_12
                                            WHEN 26 THEN block.ema_26
                                            WHEN 50 THEN block.ema_50
                                            ELSE block.ema_200 END ORDER BY block.bucket) AS state,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need) block;
        IF past.bars >= need THEN
            RETURN QUERY
            SELECT w.bucket, 'ema', w.value
            FROM (
                SELECT bar.bucket, indicator.ema(indicator.ema_agg(bar.close, period) OVER (ORDER BY bar.bucket),
                                                 indicator.ema(past.state)) AS value
                FROM public.candles(symbol, "interval", past.upto, "to") bar
            ) w
            WHERE w.bucket >= "from"
            ORDER BY w.bucket;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket) AS i
        FROM public.candles(symbol, "interval", "from", "to", warmup => need + period) c
    ), seed AS (
        SELECT avg(bar.close) AS value FROM bars bar WHERE bar.i <= period HAVING count(*) = period
    )
    SELECT w.bucket, 'ema', w.value
    FROM (
        SELECT bar.bucket, seed.value FROM bars bar, seed WHERE bar.i = period
        UNION ALL
        SELECT bar.bucket, indicator.ema(indicator.ema_agg(bar.close, period) OVER (ORDER BY bar.i), seed.value)
        FROM bars bar, seed
        WHERE bar.i > period
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.ema(text, text, timestamptz, timestamptz, int) IS
'Exponential moving average
ema = ema before + 2/(period+1) * (close - ema before), seeded with the mean of the first period closes, on bar
period - 1. Flat prices: the price. Periods 12, 26, 50 and 200 read block states; others need 15 * period warm-up
bars. Profile: TA-Lib EMA.
@param period 1..500 Bars; the newest weighs 2/(period+1).
@series ema Exponential mean of the closes.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.macd(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    fast int DEFAULT 12, slow int DEFAULT 26, signal int DEFAULT 9)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 1500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need      int;
    need_line int;
    past      record;
    since     timestamptz := "from";
    lead_in   int;
    -- The bar both averages are seeded on; 0 when the states bring their values.
    at        int := 0;
BEGIN
    PERFORM _hypertick.in_range('fast', fast, 2, 499);
    PERFORM _hypertick.in_range('slow', slow, fast + 1, 500);
    PERFORM _hypertick.in_range('signal', signal, 1, 500);
    need := _hypertick.forget(1 - 2.0::float8 / (slow + 1));
    need_line := _hypertick.forget(1 - 2.0::float8 / (signal + 1)) + signal;
    SELECT NULL::float8 AS fast, NULL::float8 AS slow, NULL::timestamptz AS upto, NULL::numeric AS bars INTO past;
    IF fast IN (12, 26, 50) AND slow IN (26, 50, 200) THEN
        SELECT indicator.ema(indicator.rollup(CASE fast WHEN 12 THEN block.ema_12
                                                        WHEN 26 THEN block.ema_26
                                                        ELSE block.ema_50 END ORDER BY block.bucket)) AS fast,
               indicator.ema(indicator.rollup(CASE slow WHEN 26 THEN block.ema_26
                                                        WHEN 50 THEN block.ema_50
                                                        ELSE block.ema_200 END ORDER BY block.bucket)) AS slow,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need, need_line) block;
    END IF;
    IF past.bars >= need THEN
        since := past.upto;
        lead_in := 0;
    ELSE
        lead_in := need + slow + need_line;
        at := slow;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket) AS i
        FROM public.candles(symbol, "interval", since, "to", warmup => lead_in) c
    ), seed AS (
        SELECT avg(bar.close) FILTER (WHERE bar.i > slow - fast) AS fast, avg(bar.close) AS slow
        FROM bars bar
        WHERE bar.i <= at
        HAVING count(*) = at AND at > 0
        UNION ALL
        SELECT past.fast, past.slow WHERE at = 0
    ), line AS MATERIALIZED (
        SELECT bar.bucket, bar.i - at AS i, seed.fast - seed.slow AS value FROM bars bar, seed WHERE bar.i = at
        UNION ALL
        SELECT bar.bucket, bar.i - at,
               indicator.ema(indicator.ema_agg(bar.close, macd.fast) OVER (ORDER BY bar.i), seed.fast)
             - indicator.ema(indicator.ema_agg(bar.close, macd.slow) OVER (ORDER BY bar.i), seed.slow)
        FROM bars bar, seed
        WHERE bar.i > at
    ), numbered AS MATERIALIZED (
        SELECT line.bucket, line.value, row_number() OVER (ORDER BY line.i) AS i FROM line
    ), signal_seed AS (
        SELECT avg(point.value) AS value FROM numbered point WHERE point.i <= signal HAVING count(*) = signal
    ), both_lines AS (
        SELECT point.bucket, point.value AS line, signal_seed.value AS signal
        FROM numbered point, signal_seed
        WHERE point.i = macd.signal
        UNION ALL
        SELECT point.bucket, point.value,
               indicator.ema(indicator.ema_agg(point.value, macd.signal) OVER (ORDER BY point.i), signal_seed.value)
        FROM numbered point, signal_seed
        WHERE point.i > macd.signal
    )
    SELECT pair.bucket, v.series, v.value
    FROM both_lines pair, LATERAL (VALUES
        (1, 'macd', pair.line),
        (2, 'signal', pair.signal),
        (3, 'histogram', pair.line - pair.signal)) v(i, series, value)
    WHERE pair.bucket >= "from"
    ORDER BY pair.bucket, v.i;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.macd(text, text, timestamptz, timestamptz, int, int, int) IS
'Moving average convergence divergence
Fast EMA less slow EMA, its own EMA, and the difference of the two. Both averages are seeded on bar slow - 1 with
the mean of the closes up to it, the signal with the mean of the first values of macd; all are first defined on bar
slow + signal - 2. Flat prices: 0. Fast and slow of 12, 26, 50 and 200 read block states. Profile: TA-Lib MACD.
@param fast 2..499 Period of the fast average.
@param slow 3..500 Period of the slow average, above fast.
@param signal 1..500 Period of the signal.
@series macd Fast average less slow average.
@series signal Average of macd.
@series histogram macd less signal.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.bollinger(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    period int DEFAULT 20, deviations float8 DEFAULT 2)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 2500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, v.series, v.value
    FROM (
        SELECT b.bucket, b.close, avg(b.close) OVER win AS middle,
               CASE WHEN count(*) FILTER (WHERE b.moved) OVER inside > 0
                    THEN deviations * stddev_pop(b.close) OVER win ELSE 0 END AS width,
               count(*) OVER win AS n
        FROM (
            SELECT c.bucket, c.close, c.close <> lag(c.close) OVER (ORDER BY c.bucket) AS moved
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 _hypertick.in_range('deviations', deviations, 0.1, 10) AS deviations_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period - 1) c
        ) b
        WINDOW win AS (ORDER BY b.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW),
               inside AS (ORDER BY b.bucket ROWS BETWEEN period - 2 PRECEDING AND CURRENT ROW)
    ) w, LATERAL (VALUES
        (1, 'upper', w.middle + w.width),
        (2, 'middle', w.middle),
        (3, 'lower', w.middle - w.width),
        (4, 'percent_b', (w.close - w.middle + w.width) / nullif(2 * w.width, 0)),
        (5, 'bandwidth', CASE WHEN w.middle > 0 THEN 2 * w.width / w.middle END)) v(i, series, value)
    WHERE w.n = period AND w.bucket >= "from" AND v.value IS NOT NULL
    ORDER BY w.bucket, v.i
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.bollinger(text, text, timestamptz, timestamptz, int, float8) IS
'Bollinger bands
Mean of the last period closes, and bands at a number of their population standard deviations. First defined on
bar period - 1. Flat prices: the bands meet, bandwidth is 0, percent_b has no value. No bandwidth where the middle
is not above 0. Warm-up: period - 1 bars. Profile: TA-Lib BBANDS (SMA).
@param period 2..500 Bars averaged.
@param deviations 0.1..10 Standard deviations from the middle to a band.
@series upper Upper band.
@series middle Mean of the closes.
@series lower Lower band.
@series percent_b Where the close is: 0 on the lower band, 1 on the upper.
@series bandwidth Distance of the bands over the middle.';
-- +goose StatementBegin
CREATE FUNCTION indicator.trend(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    fast int DEFAULT 50, slow int DEFAULT 200)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 1500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT x.bucket, v.series, v.value
    FROM (
        SELECT w.*, _hypertick.side(w.fast_value, w.slow_value) AS side,
               lag(_hypertick.side(w.fast_value, w.slow_value)) OVER (ORDER BY w.bucket) AS side_before
        FROM (
            SELECT c.bucket,
                   avg(c.close) OVER fast_win AS fast_value,
                   avg(c.close) OVER slow_win AS slow_value,
                   count(*) OVER slow_win AS n
            FROM _hypertick.in_range('fast', fast, 1, 499) AS fast_ok,
                 _hypertick.in_range('slow', slow, fast + 1, 500) AS slow_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => slow) c
            WINDOW fast_win AS (ORDER BY c.bucket ROWS BETWEEN fast - 1 PRECEDING AND CURRENT ROW),
                   slow_win AS (ORDER BY c.bucket ROWS BETWEEN slow - 1 PRECEDING AND CURRENT ROW)
        ) w
        WHERE w.n = slow
    ) x, LATERAL (VALUES
        (1, 'fast', x.fast_value),
        (2, 'slow', x.slow_value),
        (3, 'cross', CASE WHEN x.side > 0 AND x.side_before <= 0 THEN 1.0
                          WHEN x.side < 0 AND x.side_before >= 0 THEN -1.0
                          ELSE 0.0 END)) v(i, series, value)
    WHERE x.bucket >= "from"
    ORDER BY x.bucket, v.i
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.trend(text, text, timestamptz, timestamptz, int, int) IS
'Trend by two averages
A fast and a slow simple average, and where they cross: 1 on a golden cross (fast rises above slow), -1 on a death
cross (it falls below), else 0. First defined on bar slow - 1. Flat prices: both are the price, no cross. Warm-up: slow
bars. Source: the plain definition.
@param fast 1..499 Period of the fast average.
@param slow 2..500 Period of the slow average, above fast.
@series fast Fast average.
@series slow Slow average.
@series cross 1, -1 or 0.';
REVOKE EXECUTE ON FUNCTION
    indicator.sma(text, text, timestamptz, timestamptz, int),
    indicator.wma(text, text, timestamptz, timestamptz, int),
    indicator.ema(text, text, timestamptz, timestamptz, int),
    indicator.macd(text, text, timestamptz, timestamptz, int, int, int),
    indicator.bollinger(text, text, timestamptz, timestamptz, int, float8),
    indicator.trend(text, text, timestamptz, timestamptz, int, int)
FROM PUBLIC;

-- 12_oscillators.sql ----------------------------------------------------------

-- Momentum, range and direction.
-- +goose StatementBegin
CREATE FUNCTION indicator.rsi(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 14, flat float8 DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need int;
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 2, 500);
    PERFORM _hypertick.in_range('flat', flat, 0, 100);
    need := _hypertick.forget(1 - 1.0::float8 / period) + 1;
    IF period = 14 THEN
        SELECT indicator.rollup(block.rsi_14 ORDER BY block.bucket) AS state,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need) block;
        IF past.bars >= need THEN
            -- The last close before goes in as the first bar, at which the means are
            -- those of the state.
            RETURN QUERY
            SELECT w.bucket, 'rsi', w.value
            FROM (
                SELECT bar.bucket, _hypertick.rsi_value(indicator.rsi_agg(bar.close, period) OVER (ORDER BY bar.i),
                                                 (past.state).g, (past.state).l, flat) AS value
                FROM (
                    SELECT NULL::timestamptz AS bucket, (past.state).last AS close, 0::bigint AS i
                    UNION ALL
                    SELECT c.bucket, c.close, row_number() OVER (ORDER BY c.bucket)
                    FROM public.candles(symbol, "interval", past.upto, "to") c
                ) bar
            ) w
            WHERE w.bucket >= "from"
            ORDER BY w.bucket;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.close, row_number() OVER win AS i, c.close - lag(c.close) OVER win AS change
        FROM public.candles(symbol, "interval", "from", "to", warmup => need + period) c
        WINDOW win AS (ORDER BY c.bucket)
    ), seed AS (
        SELECT avg(greatest(bar.change, 0)) AS gain, avg(greatest(-bar.change, 0)) AS loss
        FROM bars bar
        WHERE bar.i BETWEEN 2 AND period + 1
        HAVING count(*) = period
    )
    SELECT w.bucket, 'rsi', w.value
    FROM (
        SELECT bar.bucket, _hypertick.rsi_value(indicator.rsi_agg(bar.close, period) OVER (ORDER BY bar.i),
                                         seed.gain, seed.loss, flat) AS value
        FROM bars bar, seed
        WHERE bar.i > period
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.rsi(text, text, timestamptz, timestamptz, int, float8) IS
'Relative strength index
100 * mean gain / (mean gain + mean loss) of the closes, with Wilder''s means (weight 1/period), seeded with the
plain means of the first period changes, on bar period. Flat prices, which neither gain nor lose: flat, which is 0
unless given, as TA-Lib has it (TradingView: 100). Period 14 reads block states; others need 30 * period warm-up
bars. Profile: TA-Lib RSI. Source: J. Welles Wilder, New Concepts in Technical Trading Systems, 1978.
@param period 2..500 Bars; the newest change weighs 1/period.
@param flat 0..100 Value where the price has not moved; 50 is neither high nor low.
@series rsi 0 to 100; below 30 is often read as oversold, above 70 as overbought.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.atr(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 14)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    need int;
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 1, 500);
    need := _hypertick.forget(1 - 1.0::float8 / period) + 1;
    IF period = 14 THEN
        SELECT indicator.rollup(block.atr_14 ORDER BY block.bucket) AS state,
               _hypertick.bucket_end(max(block.bucket), _hypertick.block_width("interval")) AS upto,
               sum(block.bars) AS bars
        INTO past
        FROM _hypertick.blocks_before(symbol, "interval", "from", need) block;
        IF past.bars >= need THEN
            -- The last close before goes in as the first bar, at which the mean is
            -- that of the state.
            RETURN QUERY
            SELECT w.bucket, 'atr', w.value
            FROM (
                SELECT bar.bucket,
                       indicator.atr(indicator.atr_agg(bar.high, bar.low, bar.close, period) OVER (ORDER BY bar.i),
                                     (past.state).s) AS value
                FROM (
                    SELECT NULL::timestamptz AS bucket, (past.state).close AS high, (past.state).close AS low,
                           (past.state).close AS close, 0::bigint AS i
                    UNION ALL
                    SELECT c.bucket, c.high, c.low, c.close, row_number() OVER (ORDER BY c.bucket)
                    FROM public.candles(symbol, "interval", past.upto, "to") c
                ) bar
            ) w
            WHERE w.bucket >= "from"
            ORDER BY w.bucket;
            RETURN;
        END IF;
    END IF;
    RETURN QUERY
    WITH bars AS MATERIALIZED (
        SELECT c.bucket, c.high, c.low, c.close, row_number() OVER win AS i, lag(c.close) OVER win AS before
        FROM public.candles(symbol, "interval", "from", "to", warmup => need + period) c
        WINDOW win AS (ORDER BY c.bucket)
    ), seed AS (
        SELECT avg(greatest(bar.high, bar.before) - least(bar.low, bar.before)) AS value
        FROM bars bar
        WHERE bar.i BETWEEN 2 AND period + 1
        HAVING count(*) = period
    )
    SELECT w.bucket, 'atr', w.value
    FROM (
        SELECT bar.bucket,
               indicator.atr(indicator.atr_agg(bar.high, bar.low, bar.close, period) OVER (ORDER BY bar.i),
                             seed.value) AS value
        FROM bars bar, seed
        WHERE bar.i > period
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.atr(text, text, timestamptz, timestamptz, int) IS
'Average true range
Wilder''s mean (weight 1/period) of the true range: the greatest of high - low, |high - close before|, |low - close
before|. Seeded with the plain mean of the first period true ranges, on bar period. Flat prices: 0. Period 14 reads
block states; others need 30 * period warm-up bars. Profile: TA-Lib ATR. Source: J. Welles Wilder, 1978.
@param period 1..500 Bars; the newest true range weighs 1/period.
@series atr In the price''s units.';
-- +goose StatementEnd

-- A loop, since its sums, means and the mean of their ratio hang together.
-- +goose StatementBegin
CREATE FUNCTION indicator.adx(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 14)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 1500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    bar        record;
    i          int := -1;
    prev_high  float8;
    prev_low   float8;
    prev_close float8;
    up         float8;
    down       float8;
    range_sum  float8 := 0;
    plus_sum   float8 := 0;
    minus_sum  float8 := 0;
    plus_di    float8;
    minus_di   float8;
    dx_sum     float8 := 0;
    adx_value  float8;
    keep       float8;
BEGIN
    PERFORM _hypertick.in_range('period', period, 2, 500);
    keep := 1 - 1.0::float8 / period;
    -- Two means in a row forget more slowly than one.
    FOR bar IN
        SELECT c.bucket, c.high, c.low, c.close
        FROM public.candles(symbol, "interval", "from", "to",
                            warmup => 2 * period + _hypertick.forget(keep) * 4 / 3) c
    LOOP
        i := i + 1;
        IF i > 0 THEN
            up := bar.high - prev_high;
            down := prev_low - bar.low;
            IF i >= period THEN
                range_sum := CASE WHEN range_sum < 1e-150 THEN 0 ELSE range_sum * keep END;
                plus_sum := CASE WHEN plus_sum < 1e-150 THEN 0 ELSE plus_sum * keep END;
                minus_sum := CASE WHEN minus_sum < 1e-150 THEN 0 ELSE minus_sum * keep END;
            END IF;
            -- In this order: the sum is of prices' differences, and keeps their digits.
            range_sum := range_sum + (greatest(bar.high, prev_close) - least(bar.low, prev_close));
            IF up > 0 AND up > down THEN
                plus_sum := plus_sum + up;
            ELSIF down > 0 AND down > up THEN
                minus_sum := minus_sum + down;
            END IF;
            IF i >= period THEN
                IF range_sum > 0 THEN
                    plus_di := 100 * (plus_sum / range_sum);
                    minus_di := 100 * (minus_sum / range_sum);
                ELSE
                    plus_di := 0;
                    minus_di := 0;
                END IF;
                IF plus_di + minus_di > 0 THEN
                    up := 100 * (abs(plus_di - minus_di) / (plus_di + minus_di));
                    IF i < 2 * period THEN
                        dx_sum := dx_sum + up;
                    ELSE
                        adx_value := (adx_value * (period - 1) + up) / period;
                    END IF;
                END IF;
                IF i = 2 * period - 1 THEN
                    adx_value := dx_sum / period;
                END IF;
                IF bar.bucket >= "from" THEN
                    IF adx_value IS NOT NULL THEN
                        RETURN NEXT ROW(bar.bucket, 'adx', adx_value)::indicator.point;
                    END IF;
                    RETURN NEXT ROW(bar.bucket, 'plus_di', plus_di)::indicator.point;
                    RETURN NEXT ROW(bar.bucket, 'minus_di', minus_di)::indicator.point;
                END IF;
            END IF;
        END IF;
        prev_high := bar.high;
        prev_low := bar.low;
        prev_close := bar.close;
    END LOOP;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.adx(text, text, timestamptz, timestamptz, int) IS
'Average directional index
Strength of a trend: Wilder''s mean of |plus_di - minus_di| / (plus_di + minus_di), where the directional
indicators are Wilder''s sums of upward and downward movement over that of the true range. The indicators are first
defined on bar period, adx on bar 2 * period - 1. Flat prices: the indicators are 0 and adx stays as it was.
Warm-up: 42 * period bars. Profile: TA-Lib ADX, PLUS_DI, MINUS_DI. Source: J. Welles Wilder, 1978.
@param period 2..500 Bars; the newest movement weighs 1/period.
@series adx 0 to 100; above 25 is often read as a trend.
@series plus_di Upward movement.
@series minus_di Downward movement.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.stochastic(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    period int DEFAULT 14, slow int DEFAULT 3, signal int DEFAULT 3)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT z.bucket, v.series, v.value
    FROM (
        SELECT y.bucket, y.i, y.k,
               avg(y.k) OVER (ORDER BY y.bucket ROWS BETWEEN signal - 1 PRECEDING AND CURRENT ROW) AS d
        FROM (
            SELECT x.bucket, x.i,
                   avg(x.raw) OVER (ORDER BY x.bucket ROWS BETWEEN slow - 1 PRECEDING AND CURRENT ROW) AS k
            FROM (
                SELECT c.bucket, row_number() OVER (ORDER BY c.bucket) AS i,
                       coalesce(100 * ((c.close - min(c.low) OVER win)
                                       / nullif(max(c.high) OVER win - min(c.low) OVER win, 0)), 0) AS raw
                FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
                     _hypertick.in_range('slow', slow, 1, 100) AS slow_ok,
                     _hypertick.in_range('signal', signal, 1, 100) AS signal_ok,
                     public.candles(symbol, "interval", "from", "to", warmup => period + slow + signal - 3) c
                WINDOW win AS (ORDER BY c.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
            ) x
            WHERE x.i >= period
        ) y
        WHERE y.i >= period + slow - 1
    ) z, LATERAL (VALUES (1, 'k', z.k), (2, 'd', z.d)) v(i, series, value)
    WHERE z.i >= period + slow + signal - 2 AND z.bucket >= "from"
    ORDER BY z.bucket, v.i
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.stochastic(text, text, timestamptz, timestamptz, int, int, int) IS
'Stochastic oscillator
Where the close lies between the lowest low and the highest high of the last period bars, averaged over slow bars
(k), and the average of that over signal bars (d). Both first defined on bar period + slow + signal - 3. Flat
prices: 0. Warm-up: period + slow + signal - 3 bars. Profile: TA-Lib STOCH with simple averages (its own default
periods are 5, 3, 3).
@param period 1..500 Bars of the range.
@param slow 1..100 Bars k is averaged over; 1 gives the fast stochastic.
@param signal 1..100 Bars d averages k over.
@series k 0 to 100.
@series d Average of k.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.roc(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 10)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'roc', 100 * _hypertick.change(w.close, w.before)
    FROM (
        SELECT c.bucket, c.close, lag(c.close, period) OVER (ORDER BY c.bucket) AS before
        FROM _hypertick.in_range('period', period, 1, 500) AS period_ok,
             public.candles(symbol, "interval", "from", "to", warmup => period) c
    ) w
    WHERE _hypertick.change(w.close, w.before) IS NOT NULL AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.roc(text, text, timestamptz, timestamptz, int) IS
'Rate of change
Change of the close over period bars, in percent. First defined on bar period. Flat prices: 0. No value where
one of the two is not above 0. Warm-up: period bars. Profile: TA-Lib ROC.
@param period 1..500 Bars between the two closes.
@series roc Percent.';
REVOKE EXECUTE ON FUNCTION
    indicator.rsi(text, text, timestamptz, timestamptz, int, float8),
    indicator.atr(text, text, timestamptz, timestamptz, int),
    indicator.adx(text, text, timestamptz, timestamptz, int),
    indicator.stochastic(text, text, timestamptz, timestamptz, int, int, int),
    indicator.roc(text, text, timestamptz, timestamptz, int)
FROM PUBLIC;

-- 13_volume.sql ---------------------------------------------------------------

-- Volume, volatility and anomalies.
-- +goose StatementBegin
CREATE FUNCTION indicator.vwap(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'vwap', public.vwap(CASE WHEN period = 0 THEN w.day_notional ELSE w.notional END, w.volume)
    FROM (
        SELECT x.*, CASE WHEN period = 0 THEN x.day_volume ELSE x.roll_volume END AS volume
        FROM (
            SELECT c.bucket,
                   sum(c.notional) OVER per_day AS day_notional,
                   sum(c.volume) OVER per_day AS day_volume,
                   sum(c.notional) OVER roll AS notional,
                   sum(c.volume) OVER roll AS roll_volume,
                   count(*) OVER roll AS n
            FROM _hypertick.in_range('period', period, 0, 500) AS period_ok,
                 public.candles(symbol, "interval",
                                CASE WHEN period = 0 THEN date_trunc('day', "from", 'UTC') ELSE "from" END, "to",
                                warmup => greatest(period - 1, 0)) c
            WINDOW per_day AS (PARTITION BY date_trunc('day', c.bucket, 'UTC')
                               ORDER BY c.bucket ROWS UNBOUNDED PRECEDING),
                   roll AS (ORDER BY c.bucket ROWS BETWEEN greatest(period - 1, 0) PRECEDING AND CURRENT ROW)
        ) x
        WHERE x.n >= period
    ) w
    WHERE w.volume > 0 AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.vwap(text, text, timestamptz, timestamptz, int) IS
'Volume-weighted average price
Sum of price times size over sum of size, of every trade: since midnight UTC, or over the last period bars. No
value where nothing but zero sizes traded. Warm-up: the bars since midnight, or period - 1 bars. Source: the plain
definition, over trades and not over typical prices.
@param period 0..500 Bars; 0 restarts each day, UTC.
@series vwap In the price''s units.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.obv(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    past record;
BEGIN
    PERFORM _hypertick.in_range('period', period, 0, 500);
    IF period > 0 THEN
        RETURN QUERY
        SELECT w.bucket, 'obv', w.value
        FROM (
            SELECT x.bucket, x.i,
                   sum(x.signed) OVER (ORDER BY x.i ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW) AS value
            FROM (
                SELECT c.bucket, row_number() OVER (ORDER BY c.bucket) AS i,
                       sign(c.close - lag(c.close) OVER (ORDER BY c.bucket)) * c.volume AS signed
                FROM public.candles(symbol, "interval", "from", "to", warmup => period) c
            ) x
        ) w
        WHERE w.i > period AND w.bucket >= "from"
        ORDER BY w.bucket;
        RETURN;
    END IF;
    SELECT coalesce(sum((x.obv).s + CASE WHEN x.before IS NULL THEN 1 ELSE sign((x.obv).first - x.before) END
                                    * (x.obv).volume), 0) AS value,
           coalesce(_hypertick.bucket_end(max(x.bucket), _hypertick.block_width("interval")), '-infinity') AS upto,
           (array_agg((x.obv).last ORDER BY x.bucket DESC))[1] AS last
    INTO past
    FROM (
        SELECT b.bucket, b.obv, lag((b.obv).last) OVER (ORDER BY b.bucket) AS before
        FROM _hypertick.blocks_before(symbol, "interval", "from", 9223372036854775807) b
    ) x;
    RETURN QUERY
    SELECT w.bucket, 'obv', past.value + w.value
    FROM (
        SELECT x.bucket, sum(CASE WHEN x.before IS NULL THEN 1 ELSE sign(x.close - x.before) END * x.volume)
                         OVER (ORDER BY x.bucket) AS value
        FROM (
            SELECT c.bucket, c.close, c.volume, coalesce(lag(c.close) OVER (ORDER BY c.bucket), past.last) AS before
            FROM public.candles(symbol, "interval", past.upto, "to") c
        ) x
    ) w
    WHERE w.bucket >= "from"
    ORDER BY w.bucket;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.obv(text, text, timestamptz, timestamptz, int) IS
'On-balance volume
Running sum of the volume, added where the close rises, subtracted where it falls; begins with the first bar''s
volume. Flat prices: unchanged. Its level depends on all history, so it reads every block state of the symbol, one
row for some 60 bars; with a period it is the sum over the last period bars instead, first defined on bar period.
Profile: TA-Lib OBV.
@param period 0..500 Bars; 0 counts from the beginning of history.
@series obv In units traded.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.volatility(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz,
    period int DEFAULT 20, per_year float8 DEFAULT 0)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    -- The bars of a year in a SELECT of its own, which runs once and not for every bar.
    SELECT w.bucket, 'volatility',
           w.sd * sqrt((SELECT CASE WHEN per_year > 0 THEN per_year ELSE _hypertick.bars_per_year("interval") END))
    FROM (
        SELECT x.bucket, stddev_samp(x.change) OVER win AS sd, count(x.change) OVER win AS n
        FROM (
            SELECT c.bucket, _hypertick.log_return(c.close, lag(c.close) OVER (ORDER BY c.bucket)) AS change
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 _hypertick.in_range('per_year', per_year, 0, 1000000) AS per_year_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period) c
        ) x
        WINDOW win AS (ORDER BY x.bucket ROWS BETWEEN period - 1 PRECEDING AND CURRENT ROW)
    ) w
    WHERE w.n = period AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.volatility(text, text, timestamptz, timestamptz, int, float8) IS
'Volatility, annualised
Sample standard deviation of the last period log returns, times the square root of the number of bars in a year.
First defined on bar period. Flat prices: 0. No value where one of the closes is not above 0. Warm-up: period bars.
Source: J. Hull, Options, Futures and Other Derivatives (historical volatility).
@param period 2..500 Returns.
@param per_year 0..1000000 Bars in a year; 0 is every bar of 365 days (for daily bars of an exchange use 252).
@series volatility A fraction: 0.2 is 20 % a year.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.zscore(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 500
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, 'zscore', (w.change - w.mean) / w.sd
    FROM (
        SELECT x.bucket, x.change, avg(x.change) OVER win AS mean, stddev_samp(x.change) OVER win AS sd,
               count(x.change) OVER win AS n
        FROM (
            SELECT c.bucket, _hypertick.log_return(c.close, lag(c.close) OVER (ORDER BY c.bucket)) AS change
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period + 1) c
        ) x
        WINDOW win AS (ORDER BY x.bucket ROWS BETWEEN period PRECEDING AND 1 PRECEDING)
    ) w
    -- A return is known to some 2e-16: a smaller deviation is nothing but rounding.
    WHERE w.n = period AND w.sd > 1e-15 AND w.change IS NOT NULL AND w.bucket >= "from"
    ORDER BY w.bucket
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.zscore(text, text, timestamptz, timestamptz, int) IS
'Anomaly of the return
The bar''s log return less the mean of the period returns before it, over their sample standard deviation. The bar
itself is not among them, so that a jump does not hide itself. First defined on bar period + 1. Flat prices: no
value, and none where one of the closes is not above 0. Warm-up: period + 1 bars. Source: the plain definition.
@param period 2..500 Returns to compare with.
@series zscore Standard deviations; beyond 3 or -3 is unusual.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION indicator.volume_spike(
    symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20)
RETURNS SETOF indicator.point
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT w.bucket, v.series, v.value
    FROM (
        SELECT b.bucket, b.volume, avg(b.volume) OVER win AS mean,
               CASE WHEN count(*) FILTER (WHERE b.moved) OVER inside > 0 THEN stddev_samp(b.volume) OVER win END AS sd,
               count(*) OVER win AS n
        FROM (
            SELECT c.bucket, c.volume, c.volume <> lag(c.volume) OVER (ORDER BY c.bucket) AS moved
            FROM _hypertick.in_range('period', period, 2, 500) AS period_ok,
                 public.candles(symbol, "interval", "from", "to", warmup => period) c
        ) b
        WINDOW win AS (ORDER BY b.bucket ROWS BETWEEN period PRECEDING AND 1 PRECEDING),
               inside AS (ORDER BY b.bucket ROWS BETWEEN period - 1 PRECEDING AND 1 PRECEDING)
    ) w, LATERAL (VALUES
        (1, 'ratio', w.volume / nullif(w.mean, 0)),
        (2, 'zscore', (w.volume - w.mean) / nullif(w.sd, 0))) v(i, series, value)
    WHERE w.n = period AND v.value IS NOT NULL AND w.bucket >= "from"
    ORDER BY w.bucket, v.i
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.volume_spike(text, text, timestamptz, timestamptz, int) IS
'Anomaly of the volume
The bar''s volume against that of the period bars before it: over their mean, and less their mean over their sample
standard deviation. First defined on bar period. No ratio where the mean is 0, no zscore where all are equal.
Warm-up: period bars. Source: the plain definition.
@param period 2..500 Bars to compare with.
@series ratio Times the usual volume.
@series zscore Standard deviations from the usual volume.';
REVOKE EXECUTE ON FUNCTION
    indicator.vwap(text, text, timestamptz, timestamptz, int),
    indicator.obv(text, text, timestamptz, timestamptz, int),
    indicator.volatility(text, text, timestamptz, timestamptz, int, float8),
    indicator.zscore(text, text, timestamptz, timestamptz, int),
    indicator.volume_spike(text, text, timestamptz, timestamptz, int)
FROM PUBLIC;

-- 14_screener.sql -------------------------------------------------------------

-- The whole market: the newest values of every symbol, every bar of every symbol,
-- and all there is to know of one symbol.
CREATE AGGREGATE _hypertick.concat_agg(float8[]) (sfunc = array_cat, stype = float8[], parallel = safe);
COMMENT ON AGGREGATE _hypertick.concat_agg(float8[]) IS 'Joins arrays in their order.';
CREATE FUNCTION _hypertick.series(pattern text, first int, last int, glue text DEFAULT ' + ') RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT string_agg(replace(pattern, '%s', i::text), glue ORDER BY i) FROM generate_series(first, last) i);
COMMENT ON FUNCTION _hypertick.series(text, int, int, text) IS
    'SQL text: the pattern once for each number from first to last.';

-- From the block states alone: some ten rows a symbol, whatever the length of
-- its history. An interval that is not materialised has no blocks: they are made
-- here, of the newest bars of every symbol.
-- +goose StatementBegin
CREATE FUNCTION indicator.latest("interval" text)
RETURNS TABLE (
    symbol text, bucket timestamptz, close float8, change float8, change_1d float8,
    sma_20 float8, sma_50 float8, sma_200 float8, ema_12 float8, ema_26 float8, macd float8, rsi_14 float8,
    atr_14 float8, percent_b float8, zscore float8, volume_ratio float8, trend float8
)
LANGUAGE plpgsql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
-- Compiling the plan takes longer than running it, and the rows should sort in
-- memory.
SET jit = off
SET work_mem = '128MB'
AS $$
#variable_conflict use_column
DECLARE
    -- Bars after which RSI and ATR have forgotten their seed, to 5e-12.
    enough CONSTANT int := 350;
    bars   CONSTANT _hypertick.interval_source := _hypertick.find_interval("interval");
    width  CONSTANT interval := _hypertick.block_width("interval");
    -- Bars a block holds at most, and blocks that hold enough of a symbol that
    -- trades in every bar; markets that close on weekends leave two days in seven
    -- of daily bars without one.
    most   CONSTANT int := round(extract(epoch FROM width) / extract(epoch FROM bars.width));
    blocks CONSTANT int := 1 + ceil(enough / (most * CASE WHEN bars.width >= '24 hours' THEN 5 / 7.0 ELSE 1 END));
    -- Where a symbol has enough bars in them, the newest blocks - (enough - n) / most
    -- of them hold n.
    for_200 CONSTANT int := blocks - (enough - 200) / most;
    for_21  CONSTANT int := blocks - (enough - 21) / most;
    relation text := '_hypertick.' || quote_ident(replace(bars.relation, 'candles_', 'blocks_'));
    made     text := '';
    asked    text := 'least($2, $2 * 20 / greatest(t.bars, 1) + 20)';
    since    timestamptz := '-infinity';
    since_closes  timestamptz := '-infinity';
    since_volumes timestamptz := '-infinity';
    newest   timestamptz;
    today    timestamptz;
    roll     text;
BEGIN
    IF width IS NULL THEN
        relation := 'made';
        asked := '$2';
        made := format($q$
            made AS MATERIALIZED (
                SELECT g.symbol, g.bucket, (g.b).n AS bars, (g.b).first, (g.b).last, (g.b).high, (g.b).low,
                       (g.b).ema_12, (g.b).ema_26, (g.b).gain, (g.b).loss, (g.b).range, (g.b).mean,
                       g.last_bucket, g.closes, g.volumes
                FROM (
                    SELECT c.symbol, public.time_bucket(%L::interval, c.bucket) AS bucket,
                           _hypertick.block_agg(c.high, c.low, c.close, c.volume ORDER BY c.bucket) AS b,
                           max(c.bucket) AS last_bucket, array_agg(c.close ORDER BY c.bucket) AS closes,
                           array_agg(c.volume ORDER BY c.bucket) AS volumes
                    FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p) s,
                         LATERAL public.candles(s.symbol, %L, 'infinity', warmup => $2) c
                    GROUP BY 1, 2
                ) g
            ), $q$, 60 * bars.width, "interval");
    ELSE
        -- The newest blocks that hold anything: markets close.
        since := 'infinity';
        FOR i IN 1..blocks LOOP
            EXECUTE format('SELECT max(bucket) FROM %s WHERE bucket < $1', relation) INTO newest USING since;
            EXIT WHEN newest IS NULL;
            since := newest;
            IF i <= for_200 THEN
                since_closes := since;
            END IF;
            IF i <= for_21 THEN
                since_volumes := since;
            END IF;
        END LOOP;
    END IF;
    SELECT max(b.bucket) INTO today FROM _hypertick.blocks_1d b;
    -- Blocks joined into one row a symbol: after is how many bars come after a block.
    roll := $q$
        SELECT b.symbol, sum(b.bars)::float8 AS n, max(b.last_bucket) AS bucket,
               sum(b.ema_12 * (11 / 13.0::float8) ^ b.after) AS ema_12,
               sum(b.ema_26 * (25 / 27.0::float8) ^ b.after) AS ema_26,
               sum(b.gain * b.decay + greatest(b.next_first - b.last, 0) / 14 * b.decay_next) AS gain,
               sum(b.loss * b.decay + greatest(b.last - b.next_first, 0) / 14 * b.decay_next) AS loss,
               sum(b.range * b.decay
                   + (greatest(b.next_high, b.last) - least(b.next_low, b.last)) / 14 * b.decay_next) AS range,
               sum(CASE WHEN b.after + b.bars <= 200 THEN b.bars * b.mean
                        ELSE (SELECT sum(x) FROM unnest(b.closes[b.bars + b.after::int - 199:]) x) END)
                   FILTER (WHERE b.after < 200) / 200 AS sma_200,
               _hypertick.concat_agg(b.closes ORDER BY b.bucket) FILTER (WHERE b.after < 50) AS closes,
               _hypertick.concat_agg(b.volumes ORDER BY b.bucket) FILTER (WHERE b.after < 21) AS volumes
        FROM (
            SELECT w.*, (13 / 14.0::float8) ^ w.after AS decay,
                   CASE WHEN w.after > 0 THEN (13 / 14.0::float8) ^ (w.after - 1) ELSE 0 END AS decay_next
            FROM (
                SELECT r.*, coalesce(sum(r.bars) OVER win, 0)::float8 AS after, lead(r.first) OVER win AS next_first,
                       lead(r.high) OVER win AS next_high, lead(r.low) OVER win AS next_low
                FROM (%s) r
                WINDOW win AS (PARTITION BY r.symbol ORDER BY r.bucket
                               ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)
            ) w WHERE w.after < 2000
        ) b GROUP BY b.symbol
    $q$;
    -- Sums over the newest closes and volumes, written out: an unnest and an
    -- aggregate for each symbol take several times as long. Where there are too
    -- few bars a subscript finds NULL, and the value is NULL.
    RETURN QUERY EXECUTE format($q$
    WITH %12$s near AS MATERIALIZED (%1$s), thin AS MATERIALIZED (
        -- Symbols that trade seldom or began lately: as many of their blocks as it takes.
        SELECT n.symbol, n.n AS bars FROM near n WHERE n.n < $2
        UNION ALL
        SELECT DISTINCT p.symbol, 0::float8 FROM public.feed_positions p
        WHERE NOT EXISTS (SELECT FROM near n WHERE n.symbol = p.symbol)
    ), far AS MATERIALIZED (
        SELECT b.*, %13$s::int AS asked
        FROM thin t, LATERAL (
            SELECT f.symbol, f.bucket, f.bars::int AS bars, f.ema_12, f.ema_26, f.first, f.last, f.gain, f.loss,
                   f.high, f.low, f.range, f.mean, f.last_bucket, f.closes, f.volumes
            FROM %2$s f WHERE f.symbol = t.symbol
            ORDER BY f.bucket DESC LIMIT %13$s
        ) b
    ), young AS (
        -- Those whose history begins within these.
        SELECT f.symbol FROM far f GROUP BY f.symbol, f.asked HAVING sum(f.bars) < $2 AND count(*) < f.asked
    ), rolled AS (
        SELECT n.* FROM near n WHERE n.n >= $2
        UNION ALL
        %3$s
    ), days AS (
        -- The close of the day before the symbol's last.
        SELECT DISTINCT ON (d.symbol) d.symbol, d.closes[d.bars - 1] AS before,
               lag(d.last) OVER (PARTITION BY d.symbol ORDER BY d.bucket) AS block_before
        FROM _hypertick.blocks_1d d WHERE d.bucket >= $3 - INTERVAL '60 days'
        ORDER BY d.symbol, d.bucket DESC
    ), first_bars AS (
        SELECT a.*, greatest(a.close - a.before, 0) AS gain, greatest(a.before - a.close, 0) AS loss,
               greatest(a.high, a.before) - least(a.low, a.before) AS range
        FROM (
            SELECT y.symbol, c.high, c.low, c.close, (row_number() OVER w)::float8 AS i, lag(c.close) OVER w AS before
            FROM young y, LATERAL public.candles(y.symbol, %4$L, '-infinity', max_bars => 26) c
            WINDOW w AS (PARTITION BY y.symbol ORDER BY c.bucket)
        ) a
    ), seeds AS (
        -- A symbol whose history began lately still feels how TA-Lib seeds. The
        -- value before the first bar that would have led to TA-Lib's seed stands
        -- for it: with it, a state over all bars gives TA-Lib's value. MACD seeds
        -- its fast average later than EMA does, on the bar of the slow one.
        SELECT b.symbol,
               CASE WHEN count(*) >= 12 THEN
                   (avg(b.close) FILTER (WHERE b.i <= 12)
                    - sum(b.close * 2 / 13 * (11 / 13.0::float8) ^ (12 - b.i)) FILTER (WHERE b.i <= 12))
                   / (11 / 13.0::float8) ^ 12 END AS ema_12,
               CASE WHEN count(*) >= 26 THEN
                   (avg(b.close) - sum(b.close * 2 / 27 * (25 / 27.0::float8) ^ (26 - b.i)))
                   / (25 / 27.0::float8) ^ 26 END AS ema_26,
               CASE WHEN count(*) >= 26 THEN
                   (avg(b.close) FILTER (WHERE b.i > 14) - sum(b.close * 2 / 13 * (11 / 13.0::float8) ^ (26 - b.i)))
                   / (11 / 13.0::float8) ^ 26 END AS macd_fast,
               CASE WHEN count(*) >= 15 THEN
                   (avg(b.gain) FILTER (WHERE b.i BETWEEN 2 AND 15)
                    - sum(b.gain / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i BETWEEN 2 AND 15))
                   / (13 / 14.0::float8) ^ 14 END AS gain,
               CASE WHEN count(*) >= 15 THEN
                   (avg(b.loss) FILTER (WHERE b.i BETWEEN 2 AND 15)
                    - sum(b.loss / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i BETWEEN 2 AND 15))
                   / (13 / 14.0::float8) ^ 14 END AS loss,
               CASE WHEN count(*) >= 15 THEN
                   (avg(b.range) FILTER (WHERE b.i BETWEEN 2 AND 15)
                    - sum(b.range / 14 * (13 / 14.0::float8) ^ (15 - b.i)) FILTER (WHERE b.i BETWEEN 2 AND 15))
                   / (13 / 14.0::float8) ^ 14 END AS range
        FROM first_bars b GROUP BY b.symbol
    ), seeded AS (
        SELECT r.*, cardinality(r.closes) AS m, cardinality(r.volumes) AS mv, y.symbol IS NOT NULL AS young,
               f.ema_12 AS seed_12, f.ema_26 AS seed_26, f.macd_fast,
               f.gain AS seed_gain, f.loss AS seed_loss, f.range AS seed_range
        FROM rolled r
        LEFT JOIN young y ON y.symbol = r.symbol
        LEFT JOIN seeds f ON f.symbol = y.symbol
    ), valued AS (
        SELECT s.symbol, s.bucket, s.n, s.closes, s.m, s.closes[s.m] AS close, s.closes[s.m - 1] AS close_before,
               s.sma_200,
               CASE WHEN s.young THEN s.seed_12 * (11 / 13.0::float8) ^ s.n + s.ema_12
                    ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS ema_12,
               CASE WHEN s.young THEN s.seed_26 * (25 / 27.0::float8) ^ s.n + s.ema_26
                    ELSE s.ema_26 / (1 - (25 / 27.0::float8) ^ least(s.n, 1000)) END AS ema_26,
               CASE WHEN s.young THEN s.macd_fast * (11 / 13.0::float8) ^ s.n + s.ema_12
                    ELSE s.ema_12 / (1 - (11 / 13.0::float8) ^ least(s.n, 1000)) END AS macd_fast,
               CASE WHEN s.young THEN s.seed_gain * (13 / 14.0::float8) ^ (s.n - 1) + s.gain ELSE s.gain END AS gain,
               CASE WHEN s.young THEN s.seed_loss * (13 / 14.0::float8) ^ (s.n - 1) + s.loss ELSE s.loss END AS loss,
               CASE WHEN s.young THEN s.seed_range * (13 / 14.0::float8) ^ (s.n - 1) + s.range
                    WHEN s.n > 1 THEN s.range / (1 - (13 / 14.0::float8) ^ least(s.n - 1, 1000)) END AS atr,
               (%5$s) / 20 AS sma_20, (%5$s + %6$s) / 50 AS sma_50, s.volumes[s.mv] * 20 / nullif(%7$s, 0) AS ratio,
               -- Differences of logarithms would lose digits: logarithms of quotients.
               ARRAY[%8$s] AS returns
        FROM seeded s OFFSET 0
    ), spread AS (
        SELECT v.*, CASE WHEN v.close = ALL (v.closes[v.m - 19:v.m]) THEN 0 ELSE sqrt((%9$s) / 20) END AS sd_20,
               (%10$s) / 20 AS mean_return
        FROM valued v OFFSET 0
    )
    SELECT v.symbol, v.bucket, v.close, _hypertick.change(v.close, v.close_before),
           _hypertick.change(v.close, coalesce(d.before, d.block_before)),
           v.sma_20, v.sma_50, CASE WHEN v.n >= 200 THEN v.sma_200 END,
           v.ema_12, v.ema_26, CASE WHEN v.n >= 34 THEN v.macd_fast - v.ema_26 END,
           CASE WHEN v.n < 15 THEN NULL WHEN v.gain + v.loss < 1e-150 THEN 0
                ELSE 100 * (v.gain / (v.gain + v.loss)) END,
           CASE WHEN v.n >= 15 THEN v.atr END,
           (v.close - v.sma_20 + 2 * v.sd_20) / nullif(4 * v.sd_20, 0),
           CASE WHEN sqrt((%11$s) / 19) > 1e-15 THEN (v.returns[1] - v.mean_return) / sqrt((%11$s) / 19) END, v.ratio,
           CASE WHEN v.n >= 200 THEN _hypertick.side(v.sma_50, v.sma_200) END
    FROM spread v LEFT JOIN days d ON d.symbol = v.symbol
    ORDER BY v.symbol
    $q$,
        format(roll, format($q$
                    SELECT b.symbol, b.bucket, b.bars::int AS bars, b.ema_12, b.ema_26, b.first, b.last, b.gain,
                           b.loss, b.high, b.low, b.range, b.mean, b.last_bucket,
                           CASE WHEN b.bucket >= $4 THEN b.closes END AS closes,
                           CASE WHEN b.bucket >= $5 THEN b.volumes END AS volumes
                    FROM %s b WHERE b.bucket >= $1$q$, relation)),
        relation, format(roll, 'SELECT f.* FROM far f'), "interval",
        _hypertick.series('s.closes[s.m - %s]', 0, 19), _hypertick.series('s.closes[s.m - %s]', 20, 49),
        _hypertick.series('s.volumes[s.mv - %s]', 1, 20),
        _hypertick.series('_hypertick.log_return(s.closes[s.m - %s], s.closes[s.m - %s - 1])', 0, 20, ', '),
        _hypertick.series('(v.closes[v.m - %s] - v.sma_20) ^ 2', 0, 19), _hypertick.series('v.returns[%s]', 2, 21),
        _hypertick.series('(v.returns[%s] - v.mean_return) ^ 2', 2, 21), made, asked)
    USING since, enough, today, since_closes, since_volumes;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION indicator.latest(text) IS
    'One row per symbol for an interval, from block states: the last bar, its close, change since the close before '
    'and change_1d since the close of the UTC day before (fractions), and the indicators of the same name with their '
    'default parameters; trend is 1 where sma_50 is above sma_200, -1 where below. As of the last refresh of the '
    'blocks, a minute or so ago; of an interval that is not materialised, as of now, but slower: see add_interval().';
-- +goose StatementEnd

-- A chart of the market's breadth needs every bar of every symbol, and asking the
-- indicators symbol by symbol would read the same bars for each of them.
--
-- Means and deviations over the last n bars are differences of running sums: a
-- window that slides would add up n values for every bar. What that loses in
-- precision is far below what a screen shows; a variance that is nothing but such
-- a loss counts as none.
-- +goose StatementBegin
CREATE FUNCTION indicator.market(
    "interval" text, "from" timestamptz, "to" timestamptz, symbols text[] DEFAULT NULL)
RETURNS TABLE (
    symbol text, bucket timestamptz, close float8, change float8, volume float8,
    sma_50 float8, zscore float8, volume_ratio float8
)
LANGUAGE sql STABLE ROWS 10000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH bars AS (
        SELECT s.symbol, c.bucket, c.close, c.volume, row_number() OVER w AS i,
               _hypertick.log_return(c.close, lag(c.close) OVER w) AS change
        FROM (SELECT DISTINCT p.symbol FROM public.feed_positions p
              WHERE market.symbols IS NULL OR p.symbol = ANY (market.symbols)) s,
             LATERAL public.candles(s.symbol, market."interval", market."from", market."to", warmup => 50) c
        WINDOW w AS (PARTITION BY s.symbol ORDER BY c.bucket)
    ), sums AS (
        SELECT b.*, sum(b.close) OVER w AS closes, sum(b.volume) OVER w AS volumes,
               sum(b.change) OVER w AS changes, sum(b.change * b.change) OVER w AS squares,
               count(b.change) OVER w AS known
        FROM bars b
        WINDOW w AS (PARTITION BY b.symbol ORDER BY b.bucket ROWS UNBOUNDED PRECEDING)
    ), stats AS (
        SELECT s.symbol, s.bucket, s.close, s.change, s.volume,
               CASE WHEN s.i >= 50 THEN (s.closes - lag(s.closes, 50, 0) OVER w) / 50 END AS sma_50,
               CASE WHEN s.i > 20 THEN (lag(s.volumes) OVER w - lag(s.volumes, 21, 0) OVER w) / 20 END AS volume_mean,
               CASE WHEN s.i > 21 AND lag(s.known) OVER w - lag(s.known, 21) OVER w = 20
                    THEN (lag(s.changes) OVER w - coalesce(lag(s.changes, 21) OVER w, 0)) / 20 END AS mean,
               CASE WHEN s.i > 21 THEN (lag(s.squares) OVER w - coalesce(lag(s.squares, 21) OVER w, 0)) / 20 END
                   AS square_mean
        FROM sums s
        WINDOW w AS (PARTITION BY s.symbol ORDER BY s.bucket)
    )
    SELECT s.symbol, s.bucket, s.close, exp(s.change) - 1, s.volume, s.sma_50,
           CASE WHEN s.square_mean - s.mean * s.mean > 1e-9 * s.square_mean
                THEN (s.change - s.mean) / sqrt((s.square_mean - s.mean * s.mean) * 20 / 19) END,
           CASE WHEN s.volume_mean > 0 THEN s.volume / s.volume_mean END
    FROM stats s
    WHERE s.bucket >= market."from"
    ORDER BY s.symbol, s.bucket
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION indicator.market(text, timestamptz, timestamptz, text[]) IS
    'Bars with "from" <= bucket < "to" of all symbols, or of those named: close, change since the bar before as a '
    'fraction, volume, the mean of 50 closes, and how unusual the bar is against the 20 before it: zscore as '
    'indicator.zscore, volume_ratio as the ratio of indicator.volume_spike. NULL where history is too short.';
-- +goose StatementBegin
CREATE FUNCTION snapshot(symbol text, "interval" text DEFAULT '1m') RETURNS jsonb
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- A generic plan does not know which chunks the times leave, and looks at all.
SET plan_cache_mode = force_custom_plan
SET jit = off
AS $$
DECLARE
    bar        public.candle;
    today      public.candle;
    yesterday  public.candle;
    since      timestamptz;
    tick       public.ticks;
    indicators jsonb;
BEGIN
    SELECT c.* INTO bar FROM public.candles(symbol, "interval", 'infinity', warmup => 1) c;
    IF bar.bucket IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT c.* INTO today FROM public.candles(symbol, '1d', 'infinity', warmup => 1) c;
    SELECT c.* INTO yesterday FROM public.candles(symbol, '1d', today.bucket, today.bucket, warmup => 1) c;
    SELECT c.bucket INTO since FROM public.candles(symbol, '1m', 'infinity', warmup => 1) c;
    SELECT t.* INTO tick FROM public.ticks t
    WHERE t.symbol = snapshot.symbol AND t.ts >= since
    ORDER BY t.ts DESC, t.seq DESC, t.venue DESC LIMIT 1;
    -- The names and default parameters of indicator.latest. An indicator that has
    -- no value on this bar is null.
    SELECT jsonb_object_agg(wanted.name, found.value) INTO indicators
    FROM (VALUES ('sma_20'), ('sma_50'), ('sma_200'), ('ema_12'), ('ema_26'), ('macd'), ('rsi_14'), ('atr_14'),
                 ('percent_b'), ('zscore'), ('volume_ratio'), ('trend')) wanted(name)
    LEFT JOIN (
        SELECT 'sma_20' AS name, p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 20) p
        UNION ALL SELECT 'sma_50', p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 50) p
        UNION ALL SELECT 'sma_200', p.value FROM indicator.sma(symbol, "interval", bar.bucket, 'infinity', 200) p
        UNION ALL SELECT 'ema_12', p.value FROM indicator.ema(symbol, "interval", bar.bucket, 'infinity', 12) p
        UNION ALL SELECT 'ema_26', p.value FROM indicator.ema(symbol, "interval", bar.bucket, 'infinity', 26) p
        UNION ALL SELECT 'macd', p.value FROM indicator.macd(symbol, "interval", bar.bucket, 'infinity') p
                  WHERE p.series = 'macd'
        UNION ALL SELECT 'rsi_14', p.value FROM indicator.rsi(symbol, "interval", bar.bucket, 'infinity', 14) p
        UNION ALL SELECT 'atr_14', p.value FROM indicator.atr(symbol, "interval", bar.bucket, 'infinity', 14) p
        UNION ALL SELECT 'percent_b', p.value FROM indicator.bollinger(symbol, "interval", bar.bucket, 'infinity') p
                  WHERE p.series = 'percent_b'
        UNION ALL SELECT 'zscore', p.value FROM indicator.zscore(symbol, "interval", bar.bucket, 'infinity') p
        UNION ALL SELECT 'volume_ratio', p.value
                  FROM indicator.volume_spike(symbol, "interval", bar.bucket, 'infinity') p WHERE p.series = 'ratio'
        UNION ALL SELECT 'trend', _hypertick.side(max(p.value) FILTER (WHERE p.series = 'fast'),
                                                  max(p.value) FILTER (WHERE p.series = 'slow'))
                  FROM indicator.trend(symbol, "interval", bar.bucket, 'infinity') p
                  WHERE p.series IN ('fast', 'slow') HAVING count(*) = 2
    ) found USING (name);
    RETURN jsonb_build_object(
        'symbol', symbol,
        'tick', CASE WHEN tick.ts IS NOT NULL THEN jsonb_build_object(
            'ts', tick.ts, 'price', tick.price, 'size', tick.size, 'seq', tick.seq, 'venue', tick.venue,
            'side', CASE tick.side WHEN 1 THEN 'buy' WHEN -1 THEN 'sell' END, 'flags', tick.flags) END,
        'candle', jsonb_build_object(
            'bucket', bar.bucket, 'open', bar.open, 'high', bar.high, 'low', bar.low, 'close', bar.close,
            'volume', bar.volume, 'buy_volume', bar.buy_volume, 'vwap', public.vwap(bar.notional, bar.volume),
            'trades', bar.trades),
        'day', jsonb_build_object(
            'bucket', today.bucket, 'open', today.open, 'high', today.high, 'low', today.low, 'close', today.close,
            'volume', today.volume, 'previous_close', yesterday.close, 'change', today.close - yesterday.close,
            'change_fraction', _hypertick.change(today.close, yesterday.close)),
        'indicators', indicators);
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION snapshot(text, text) IS
    'What is known of a symbol now: its newest tick, the newest bar of the interval, the UTC day it last traded on '
    'with the change since the day before, and the indicators of indicator.latest on that bar. Null for a symbol '
    'without a bar.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.busiest_symbol("interval" text) RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    source CONSTANT text := (_hypertick.find_interval("interval")).relation;
    symbol text;
BEGIN
    -- Blocks are some sixty times fewer than the bars.
    EXECUTE format('SELECT b.symbol FROM indicator.%I b GROUP BY b.symbol ORDER BY sum(b.bars) DESC, b.symbol LIMIT 1',
        replace(CASE source WHEN 'ticks' THEN 'candles_1m' ELSE source END, 'candles_', 'blocks_')) INTO symbol;
    RETURN symbol;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.busiest_symbol(text) IS
    'The symbol with most bars of an interval, by the block states.';
REVOKE EXECUTE ON FUNCTION
    indicator.latest(text), indicator.market(text, timestamptz, timestamptz, text[]), snapshot(text, text),
    _hypertick.busiest_symbol(text), _hypertick.concat_agg(float8[]), _hypertick.series(text, int, int, text)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    indicator.latest(text), indicator.market(text, timestamptz, timestamptz, text[]), snapshot(text, text),
    _hypertick.busiest_symbol(text), _hypertick.concat_agg(float8[]), _hypertick.series(text, int, int, text)
TO hypertick_reader, hypertick_writer;

-- 15_verify.sql ---------------------------------------------------------------

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
-- +goose StatementBegin
COMMENT ON TYPE _hypertick.seq_finding IS 'What is wrong with the seqs of a symbol; see _hypertick.verify_seqs().';
-- +goose StatementEnd
-- +goose StatementBegin
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
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.verify_diff(jsonb, jsonb, text[]) IS
    'The fields in which two rows differ; numbers not named in exact may do so by 1e-9 of their size. NULL where a '
    'row is missing, NULL twice where nothing differs.';
-- +goose StatementEnd

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
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.verify_candles(timestamptz, timestamptz, text, text[]) IS
    'Stored candles of all materialised intervals that are not what the ticks say, among the buckets that lie within '
    '"from" and "to" as a whole, of one symbol or (NULL) all, and of the intervals in bars or (NULL) all. pending: a '
    'refresh will compute them again anyway. A last row for each interval says how many buckets the ticks make.';
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.verify_blocks(text, timestamptz, timestamptz, text) IS
    'Like verify_candles(), for the block states of one interval and the stored candles they are made from.';

-- The ticks of one symbol in the order of seq show at once what is there twice,
-- what is not there, and how far the feed has come.
-- +goose StatementBegin
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
-- +goose StatementEnd
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
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.verify_sample(int, jsonb) IS
    'Job: verifies some days of some symbols, drawn at random, into verify_runs and verify_drift. config: samples, '
    'budget (how long it may take), keep.';
REVOKE EXECUTE ON PROCEDURE _hypertick.verify_sample(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.verify_sample', INTERVAL '1 hour',
    config => '{"samples": 20, "keep": "30 days"}', fixed_schedule => false);

-- 16_quality.sql --------------------------------------------------------------

-- Data quality of the ticks. Nothing is dropped or changed: findings are
-- recorded, for people and for status.
CREATE TABLE quality_findings (
    kind     text             NOT NULL
             CHECK (kind IN ('stale', 'gap', 'conflict', 'outlier', 'crossed', 'skew', 'split')),
    venue    text COLLATE "C" NOT NULL,
    symbol   text COLLATE "C" NOT NULL,
    since    timestamptz      NOT NULL,
    seq      bigint           NOT NULL DEFAULT 0,
    seen_at  timestamptz      NOT NULL,
    ended_at timestamptz,
    value    float8           NOT NULL,
    bound    float8           NOT NULL,
    detail   text             NOT NULL,
    PRIMARY KEY (kind, venue, symbol, since, seq)
);
CREATE INDEX quality_findings_seen_at_idx ON quality_findings (seen_at);
CREATE INDEX quality_findings_open_idx ON quality_findings (kind) WHERE ended_at IS NULL;
COMMENT ON TABLE quality_findings IS 'Data quality findings. Kept for 30 days after they were last seen.';
COMMENT ON COLUMN quality_findings.kind IS
    'stale: no tick though there should be some. gap: seqs that have not come. conflict: ticks that differ from a '
    'stored one in price or size alone, see feed_conflicts. outlier: a price far from those right before and after. '
    'crossed: two venues disagree about the price. skew: a venue''s clock is wrong, or its ticks come late. '
    'split: the price has changed as by a split that corporate_actions does not have.';
-- +goose StatementBegin
COMMENT ON COLUMN quality_findings.venue IS
    'See ticks.venue; of crossed the one with the higher price, of split empty.';
-- +goose StatementEnd
COMMENT ON COLUMN quality_findings.symbol IS 'See ticks.symbol. Empty: all of the venue.';
COMMENT ON COLUMN quality_findings.since IS
    'When it began: of stale the last tick, of gap and outlier the tick''s own time, of split the '
    'open of the day.';
-- +goose StatementBegin
COMMENT ON COLUMN quality_findings.seq IS
    'Of gap the first seq missing, of conflict and outlier the tick''s; 0 otherwise.';
-- +goose StatementEnd
COMMENT ON COLUMN quality_findings.seen_at IS 'When a check last saw it.';
COMMENT ON COLUMN quality_findings.ended_at IS 'When it was over. NULL: it lasts.';
COMMENT ON COLUMN quality_findings.value IS
    'How much: seconds of stale and skew (negative: behind), ticks of gap and conflict, a price of outlier, a '
    'fraction of crossed, the last close over the open of split.';
-- +goose StatementBegin
COMMENT ON COLUMN quality_findings.bound IS
    'What it should have kept within: seconds, 0 ticks, the price around an outlier, a fraction; of split the common '
    'ratio.';
-- +goose StatementEnd
COMMENT ON COLUMN quality_findings.detail IS 'One sentence about it.';
COMMENT ON INDEX quality_findings_seen_at_idx IS 'Finds the newest, and what can go.';
COMMENT ON INDEX quality_findings_open_idx IS 'Serves those that last.';
GRANT SELECT ON quality_findings TO hypertick_reader;
CREATE TABLE quality_runs (
    one     boolean     PRIMARY KEY DEFAULT true CHECK (one),
    upto    timestamptz NOT NULL,
    gap_id  bigint      NOT NULL,
    conflict_id bigint NOT NULL DEFAULT 0,
    days_upto timestamptz NOT NULL DEFAULT clock_timestamp(),
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    took    interval    NOT NULL DEFAULT '0'
);
COMMENT ON TABLE quality_runs IS 'How far the checks of the ticks have come: one row.';
COMMENT ON COLUMN quality_runs.one IS 'Always true.';
COMMENT ON COLUMN quality_runs.upto IS 'Ticks up to here have been looked at for outliers.';
COMMENT ON COLUMN quality_runs.gap_id IS 'The last of feed_gaps that has been looked at.';
COMMENT ON COLUMN quality_runs.conflict_id IS 'The last of feed_conflicts that has been looked at.';
COMMENT ON COLUMN quality_runs.days_upto IS 'Trading days that ended by then have been looked at for splits.';
COMMENT ON COLUMN quality_runs.at IS 'When the last check ended.';
COMMENT ON COLUMN quality_runs.took IS 'How long it took.';
GRANT SELECT ON quality_runs TO hypertick_reader;
CREATE TABLE _hypertick.quality_waiting (
    symbol text COLLATE "C" NOT NULL,
    venue  text COLLATE "C" NOT NULL,
    ts     timestamptz      NOT NULL,
    seq    bigint           NOT NULL,
    price  float8           NOT NULL,
    PRIMARY KEY (symbol, venue, ts, seq)
);
COMMENT ON TABLE _hypertick.quality_waiting IS
    'Ticks that jumped, and have not enough ticks after them yet to tell an outlier from a move.';
COMMENT ON COLUMN _hypertick.quality_waiting.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN _hypertick.quality_waiting.venue IS 'See ticks.venue.';
COMMENT ON COLUMN _hypertick.quality_waiting.ts IS 'See ticks.ts.';
COMMENT ON COLUMN _hypertick.quality_waiting.seq IS 'See ticks.seq.';
COMMENT ON COLUMN _hypertick.quality_waiting.price IS 'See ticks.price.';

-- A symbol is expected to trade when it did so a week ago at this time of day, or,
-- where its history is shorter, a day ago: so a closed market is not stale. With
-- a history shorter still it is expected to trade as it did.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_stale(at timestamptz, quiet interval, gaps float8)
RETURNS TABLE (venue text, symbol text, since timestamptz, value float8, bound float8, detail text)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH venues AS (
        SELECT feed.venue, max(feed.updated_at) AS moved, max(feed.last_ts) AS last_ts
        FROM public.feed_positions feed
        GROUP BY feed.venue
    ), silent AS MATERIALIZED (
        SELECT feed.venue, feed.symbol, feed.last_ts, own.moved >= at - quiet AS alone
        FROM public.feed_positions feed JOIN venues own ON own.venue = feed.venue
        WHERE feed.last_ts < at - quiet AND feed.updated_at < at - quiet
          -- Where nothing moves at all it is not the feeds: see pipeline.
          AND EXISTS (SELECT FROM venues other WHERE other.moved >= at - quiet)
    ), days AS MATERIALIZED (
        SELECT n.days, make_interval(days => n.days) AS ago FROM (VALUES (7), (1)) n(days)
    ), had AS MATERIALIZED (
        SELECT DISTINCT days.days, bar.symbol
        FROM days
        JOIN public.candles_1d bar ON bar.bucket >= at - days.ago - INTERVAL '8 days'
                                  AND bar.bucket < at - days.ago - INTERVAL '1 day'
        WHERE EXISTS (SELECT FROM silent)
    ), traded AS MATERIALIZED (
        SELECT near.days, near.symbol
        FROM (
            SELECT days.days, bar.symbol, bar.bucket < at - days.ago AS before
            FROM days
            JOIN public.candles_1m bar ON bar.bucket >= at - days.ago - INTERVAL '15 minutes'
                                      AND bar.bucket < at - days.ago + INTERVAL '15 minutes'
            WHERE EXISTS (SELECT FROM silent)
        ) near
        GROUP BY near.days, near.symbol
        HAVING bool_or(near.before) AND bool_or(NOT near.before)
    ), expected AS MATERIALIZED (
        SELECT silent.*
        FROM silent
        WHERE CASE
            WHEN EXISTS (SELECT FROM had WHERE had.symbol = silent.symbol AND had.days = 7)
                THEN EXISTS (SELECT FROM traded WHERE traded.symbol = silent.symbol AND traded.days = 7)
            WHEN EXISTS (SELECT FROM had WHERE had.symbol = silent.symbol AND had.days = 1)
                THEN EXISTS (SELECT FROM traded WHERE traded.symbol = silent.symbol AND traded.days = 1)
            ELSE true END
    ), usual AS (
        -- A symbol that trades once in ten minutes is not stale after two.
        SELECT expected.*, greatest(date_part('epoch', quiet), gaps * 3600 / greatest(hour.trades, 1)) AS bound
        FROM expected
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(bar.trades), 0)::float8 AS trades
            FROM public.candles_1m bar
            WHERE bar.symbol = expected.symbol
              AND bar.bucket > expected.last_ts - INTERVAL '1 hour' AND bar.bucket <= expected.last_ts
        ) hour
    ), overdue AS MATERIALIZED (
        SELECT usual.*, date_part('epoch', at - usual.last_ts) AS age
        FROM usual
        WHERE at - usual.last_ts > make_interval(secs => usual.bound)
    )
    SELECT overdue.venue, overdue.symbol, overdue.last_ts, overdue.age, overdue.bound,
           format('no tick since %s UTC, though its venue trades',
                  to_char(overdue.last_ts AT TIME ZONE 'UTC', 'HH24:MI:SS'))
    FROM overdue
    WHERE overdue.alone
    UNION ALL
    -- Where all of a venue is silent, that is one finding and not one each.
    SELECT own.venue, '', own.last_ts, date_part('epoch', at - own.last_ts), min(overdue.bound),
           format('no tick of any symbol since %s UTC, though other venues trade',
                  to_char(own.last_ts AT TIME ZONE 'UTC', 'HH24:MI:SS'))
    FROM overdue JOIN venues own ON own.venue = overdue.venue
    WHERE NOT overdue.alone
    GROUP BY own.venue, own.last_ts
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.quality_stale(timestamptz, interval, float8) IS
    'Symbols that have been silent for longer than quiet, and than gaps times the usual time between their trades, '
    'while their venue trades and they did at this time a week (or a day) before; and venues that are silent as a '
    'whole while others trade.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_skew(at timestamptz, ahead interval, behind interval)
RETURNS TABLE (venue text, value float8, bound float8, detail text)
LANGUAGE sql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    WITH v AS (
        -- A tick's own time against the database's when it was stored.
        SELECT p.venue, max(p.last_ts - p.updated_at) AS newest
        FROM public.feed_positions p
        WHERE p.updated_at > at - INTERVAL '1 minute'
        GROUP BY p.venue
    )
    SELECT v.venue, date_part('epoch', v.newest), date_part('epoch', ahead),
           format('its ticks are stamped %s s ahead of the database''s clock',
                  round(date_part('epoch', v.newest)::numeric, 1))
    FROM v
    WHERE v.newest > ahead
    UNION ALL
    -- Hours behind is history that somebody loads.
    SELECT v.venue, date_part('epoch', v.newest), -date_part('epoch', behind),
           format('its newest ticks are %s s old when they come: its clock is behind, or the feed is slow',
                  round(-date_part('epoch', v.newest)::numeric))
    FROM v
    WHERE v.newest < -behind AND v.newest > INTERVAL '-1 hour'
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_skew(timestamptz, interval, interval) IS
    'Venues whose ticks of the last minute are all stamped more than ahead before, or behind after, the time at '
    'which they were stored.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_crossed(at timestamptz, apart float8)
RETURNS TABLE (venue text, symbol text, value float8, bound float8, detail text)
LANGUAGE sql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
    WITH several AS MATERIALIZED (
        SELECT p.symbol
        FROM public.feed_positions p
        WHERE p.updated_at > at - INTERVAL '2 minutes'
        GROUP BY p.symbol
        HAVING count(*) > 1
    ), traded AS (
        -- The median of a minute: a single outlier does not move it.
        SELECT s.symbol, t.venue, t.price
        FROM several s
        CROSS JOIN LATERAL (
            SELECT k.venue, percentile_cont(0.5) WITHIN GROUP (ORDER BY k.price) AS price
            FROM public.ticks k
            WHERE k.symbol = s.symbol AND k.ts > at - INTERVAL '1 minute' AND k.ts <= at
            GROUP BY k.venue
        ) t
    ), extremes AS (
        SELECT t.symbol, min(t.price) AS low, max(t.price) AS high,
               (array_agg(t.venue ORDER BY t.price, t.venue))[1] AS low_venue,
               (array_agg(t.venue ORDER BY t.price DESC, t.venue))[1] AS high_venue
        FROM traded t
        GROUP BY t.symbol
    )
    SELECT e.high_venue, e.symbol, e.high / e.low - 1, apart,
           format('%s %% above the price at %s', round((100 * (e.high / e.low - 1))::numeric, 2), e.low_venue)
    FROM extremes e
    WHERE e.low > 0 AND e.high / e.low - 1 > apart
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_crossed(timestamptz, float8) IS
    'Symbols whose median prices of the last minute at two venues are further apart than that fraction.';

-- Hampel's test: a tick against the median of five ticks before and five after
-- it, in median absolute deviations. A move leaves as many ticks on its far side as
-- on its near one, so it is none; a tick that stands alone is.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_around(
    symbol text, venue text, ts timestamptz, seq bigint, OUT before float8[], OUT after float8[])
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT ARRAY(SELECT k.price
                 FROM public.ticks k
                 WHERE k.symbol = quality_around.symbol AND k.venue = quality_around.venue
                   AND k.ts <= quality_around.ts AND k.ts > quality_around.ts - INTERVAL '1 hour'
                   AND (k.ts, k.seq) < (quality_around.ts, quality_around.seq)
                 ORDER BY k.ts DESC, k.seq DESC LIMIT 5),
           ARRAY(SELECT k.price
                 FROM public.ticks k
                 WHERE k.symbol = quality_around.symbol AND k.venue = quality_around.venue
                   AND k.ts >= quality_around.ts AND k.ts < quality_around.ts + INTERVAL '1 hour'
                   AND (k.ts, k.seq) > (quality_around.ts, quality_around.seq)
                 ORDER BY k.ts, k.seq LIMIT 5)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_around(text, text, timestamptz, bigint) IS
    'Prices of up to five ticks before and after one, within an hour, nearest first.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_hampel(before float8[], after float8[], OUT median float8, OUT mad float8)
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    -- As many on either side: otherwise the side with more of them decides.
    WITH n AS (
        SELECT least(cardinality(before), cardinality(after)) AS n
    ), p AS (
        SELECT unnest(before[1:n.n] || after[1:n.n]) AS x FROM n
    ), m AS (
        SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY p.x) AS median FROM p
    )
    SELECT m.median, (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY abs(p.x - m.median)) FROM p)
    FROM m
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_hampel(float8[], float8[]) IS
    'Median of the prices around a tick, and the median of how far they are from it. NULL where a side has none.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_check(config jsonb, at timestamptz DEFAULT now()) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
    quiet   CONSTANT interval := coalesce(config ->> 'stale', '2 minutes')::interval;
    gaps    CONSTANT float8 := coalesce((config ->> 'stale_gaps')::float8, 20);
    jump    CONSTANT float8 := coalesce((config ->> 'outlier')::float8, 0.03);
    mads    CONSTANT float8 := coalesce((config ->> 'outlier_mads')::float8, 10);
    apart   CONSTANT float8 := coalesce((config ->> 'crossed')::float8, 0.01);
    ahead   CONSTANT interval := coalesce(config ->> 'ahead', '2 seconds')::interval;
    lag_    CONSTANT interval := coalesce(config ->> 'behind', '1 minute')::interval;
    backlog CONSTANT bigint := coalesce((config ->> 'backlog')::bigint, 1000);
    reach   CONSTANT interval := coalesce(config ->> 'reach', '10 minutes')::interval;
    ratio   CONSTANT float8 := coalesce((config ->> 'split')::float8, 0.03);
    drift   CONSTANT float8 := coalesce((config ->> 'split_drift')::float8, 0.1);
    volume  CONSTANT float8 := coalesce((config ->> 'split_volume')::float8, 3);
    keep    CONSTANT interval := coalesce(config ->> 'keep', '30 days')::interval;
    began   CONSTANT timestamptz := clock_timestamp();
    run     public.quality_runs;
    until   timestamptz;
    last_id bigint;
    last_conflict bigint;
    behind  boolean;
BEGIN
    INSERT INTO public.quality_runs (upto, days_upto, gap_id)
    SELECT at - reach, at - reach, coalesce(max(g.id), 0) FROM public.feed_gaps g
    ON CONFLICT DO NOTHING;
    SELECT q.* INTO run FROM public.quality_runs q FOR UPDATE;

    -- Gaps that ingest has seen and that are open, one finding for each feed and
    -- check.
    SELECT coalesce(max(g.id), run.gap_id) INTO last_id FROM public.feed_gaps g WHERE g.id > run.gap_id;
    INSERT INTO public.quality_findings AS f
        (kind, venue, symbol, since, seq, seen_at, ended_at, value, bound, detail)
    SELECT 'gap', g.venue, g.symbol, min(g.before_ts), min(g.from_seq), at, max(g.after_ts),
           sum(m.missing)::float8, 0,
           format('%s ticks have not come, seq %s to %s%s', sum(m.missing), min(g.from_seq), max(g.to_seq),
                  CASE WHEN count(*) > 1 THEN format(' in %s gaps', count(*)) ELSE '' END)
    FROM public.feed_gaps g
    CROSS JOIN LATERAL (SELECT sum(upper(r.part)::numeric - lower(r.part)) AS missing
                        FROM (SELECT unnest(g.missing) AS part) r) m
    WHERE g.id > run.gap_id AND g.id <= last_id AND g.closed_at IS NULL
    GROUP BY g.venue, g.symbol
    ON CONFLICT (kind, venue, symbol, since, seq) DO UPDATE
    SET seen_at = excluded.seen_at, ended_at = excluded.ended_at, value = excluded.value, detail = excluded.detail;

    -- Of what has come since there is nothing to find any more.
    DELETE FROM public.quality_findings f
    WHERE f.kind = 'gap' AND NOT EXISTS (
        SELECT FROM public.feed_gaps g
        WHERE g.symbol = f.symbol AND g.venue = f.venue AND g.closed_at IS NULL
          AND g.before_ts >= f.since AND g.after_ts <= f.ended_at);

    SELECT coalesce(max(c.id), run.conflict_id) INTO last_conflict
    FROM public.feed_conflicts c WHERE c.id > run.conflict_id;
    INSERT INTO public.quality_findings AS f
        (kind, venue, symbol, since, seq, seen_at, ended_at, value, bound, detail)
    SELECT 'conflict', c.venue, c.symbol, min(c.ts), min(c.seq), quality_check.at, max(c.ts), count(*), 0,
           format('%s ticks came with the ts and seq of a stored one and another price or size, the first seq %s: %s',
                  count(*), min(c.seq), string_agg(DISTINCT c.outcome, ', '))
    FROM public.feed_conflicts c
    WHERE c.id > run.conflict_id AND c.id <= last_conflict
    GROUP BY c.venue, c.symbol
    ON CONFLICT (kind, venue, symbol, since, seq) DO UPDATE
    SET seen_at = excluded.seen_at, ended_at = excluded.ended_at, value = excluded.value, detail = excluded.detail;

    -- Outliers among the ticks since the last check. Most ticks are near the one
    -- before and are not checked further. Ticks in flight are given some seconds.
    until := at - INTERVAL '10 seconds';
    IF until > run.upto THEN
        INSERT INTO _hypertick.quality_waiting (symbol, venue, ts, seq, price)
        SELECT j.symbol, j.venue, j.ts, j.seq, j.price
        FROM (
            SELECT t.symbol, t.venue, t.ts, t.seq, t.price,
                   lag(t.price) OVER (PARTITION BY t.symbol, t.venue ORDER BY t.ts, t.seq) AS before
            FROM public.ticks t
            WHERE t.ts > greatest(run.upto, at - reach) AND t.ts <= until
        ) j
        -- Of the first one the tick before it lies before what was read.
        CROSS JOIN LATERAL (
            SELECT coalesce(j.before,
                            (_hypertick.quality_around(j.symbol, j.venue, j.ts, j.seq)).before[1]) AS before
        ) b
        WHERE abs(j.price - b.before) > jump * abs(b.before)
        LIMIT 10000
        ON CONFLICT DO NOTHING;
    ELSE
        until := run.upto;
    END IF;
    WITH judged AS MATERIALIZED (
        SELECT w.symbol, w.venue, w.ts, w.seq, w.price, cardinality(a.after) AS after,
               least(cardinality(a.before), cardinality(a.after)) AS around, h.median, h.mad
        FROM _hypertick.quality_waiting w
        CROSS JOIN LATERAL _hypertick.quality_around(w.symbol, w.venue, w.ts, w.seq) a
        CROSS JOIN LATERAL _hypertick.quality_hampel(a.before, a.after) h
    ), done AS (
        DELETE FROM _hypertick.quality_waiting w USING judged j
        WHERE j.symbol = w.symbol AND j.venue = w.venue AND j.ts = w.ts AND j.seq = w.seq
          AND (j.after = 5 OR j.ts < at - INTERVAL '1 hour')
        RETURNING j.*
    )
    INSERT INTO public.quality_findings (kind, venue, symbol, since, seq, seen_at, ended_at, value, bound, detail)
    SELECT 'outlier', d.venue, d.symbol, d.ts, d.seq, at, d.ts, d.price, d.median,
           format('traded at %s, while the ticks before and after are around %s', d.price, d.median)
    FROM done d
    WHERE d.around >= 2
      AND abs(d.price - d.median) > jump * abs(d.median)
      AND abs(d.price - d.median) > mads * 1.4826 * d.mad
    ON CONFLICT DO NOTHING;

    -- What lasts, and what is over. While ingest works off a backlog nobody can
    -- say how fresh a feed is: what was known stays as it is.
    SELECT coalesce(sum(a.behind), 0) > backlog INTO behind
    FROM (SELECT DISTINCT ON (x.topic, x.partition) x.behind
          FROM public.ingest_activity x
          WHERE x.minute > at - INTERVAL '10 minutes'
          ORDER BY x.topic, x.partition, x.minute DESC) a;
    IF NOT behind THEN
        WITH now_ AS MATERIALIZED (
            SELECT 'stale' AS kind, s.* FROM _hypertick.quality_stale(at, quiet, gaps) s
            UNION ALL
            SELECT 'crossed', c.venue, c.symbol, NULL, c.value, c.bound, c.detail
            FROM _hypertick.quality_crossed(at, apart) c
            UNION ALL
            SELECT 'skew', k.venue, '', NULL, k.value, k.bound, k.detail
            FROM _hypertick.quality_skew(at, ahead, lag_) k
        ), matched AS MATERIALIZED (
            SELECT n.*, coalesce(f.since, n.since, at) AS began
            FROM now_ n
            LEFT JOIN public.quality_findings f ON f.kind = n.kind AND f.venue = n.venue AND f.symbol = n.symbol
                                               AND f.ended_at IS NULL AND (n.since IS NULL OR f.since = n.since)
        ), ended AS (
            UPDATE public.quality_findings f SET ended_at = at
            WHERE f.ended_at IS NULL AND f.kind <> 'split'
              AND NOT EXISTS (SELECT FROM matched m
                              WHERE m.kind = f.kind AND m.venue = f.venue AND m.symbol = f.symbol
                                AND m.began = f.since)
        )
        INSERT INTO public.quality_findings AS f (kind, venue, symbol, since, seen_at, value, bound, detail)
        SELECT m.kind, m.venue, m.symbol, m.began, at, m.value, m.bound, m.detail FROM matched m
        ON CONFLICT (kind, venue, symbol, since, seq) DO UPDATE
        SET seen_at = excluded.seen_at, ended_at = NULL, value = excluded.value, bound = excluded.bound,
            detail = excluded.detail;

        -- A trading day is judged once, when its ticks have come.
        INSERT INTO public.quality_findings (kind, venue, symbol, since, seen_at, value, bound, detail)
        SELECT 'split', '', s.symbol, s.since, at, s.value, s.bound, s.detail
        FROM _hypertick.quality_splits(greatest(run.days_upto, at - INTERVAL '7 days'), at - INTERVAL '10 minutes',
                                       ratio, drift, volume) s
        ON CONFLICT DO NOTHING;
        run.days_upto := greatest(run.days_upto, at - INTERVAL '10 minutes');
    END IF;
    -- It lasts until the split is entered, or for a week.
    UPDATE public.quality_findings f SET ended_at = at
    WHERE f.ended_at IS NULL AND f.kind = 'split'
      AND (f.since < at - INTERVAL '7 days' OR _hypertick.quality_split_entered(f.symbol, f.since));

    DELETE FROM public.quality_findings f WHERE f.seen_at < at - keep AND f.ended_at IS NOT NULL;
    UPDATE public.quality_runs
    SET upto = until, days_upto = run.days_upto, gap_id = last_id, conflict_id = last_conflict, at = clock_timestamp(),
        took = clock_timestamp() - began;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_check(jsonb, timestamptz) IS
    'Checks what came since the last check and writes quality_findings. config: see check_quality(), the job.';
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.check_quality(job_id int, config jsonb)
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT _hypertick.quality_check(config)
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON PROCEDURE _hypertick.check_quality(int, jsonb) IS
    'Job: checks the ticks that came. config: stale, silence from which on a symbol counts as stale, and stale_gaps, '
    'how many times the usual time between its trades that must be; outlier, a fraction of the price, and '
    'outlier_mads, in deviations of 1.4826 times the median one; crossed, a fraction; ahead and behind, of a '
    'venue''s clock; split, how far from a common ratio the open may be, split_drift, how far the price may go on '
    'that day, and split_volume, how many times the usual notional it may have; backlog, from how many records on '
    'ingest counts as behind; reach, how far back a check looks after a pause; keep.';
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION
    _hypertick.quality_stale(timestamptz, interval, float8),
    _hypertick.quality_skew(timestamptz, interval, interval),
    _hypertick.quality_crossed(timestamptz, float8),
    _hypertick.quality_around(text, text, timestamptz, bigint),
    _hypertick.quality_hampel(float8[], float8[]),
    _hypertick.quality_check(jsonb, timestamptz)
FROM PUBLIC;
REVOKE EXECUTE ON PROCEDURE _hypertick.check_quality(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.check_quality', INTERVAL '1 minute',
    config => '{"stale": "2 minutes", "stale_gaps": 20, "outlier": 0.03, "outlier_mads": 10, "crossed": 0.01,
                "split": 0.03, "split_drift": 0.1, "split_volume": 3, "ahead": "2 seconds", "behind": "1 minute",
                "backlog": 1000, "reach": "10 minutes", "keep": "30 days"}',
    fixed_schedule => false);

-- 16_quality_splits.sql -------------------------------------------------------

-- Splits that nobody has entered. A split moves the price between two trading
-- days by a common ratio and volume the other way, so that as much money changes
-- hands as on other days. A crash comes with far more of it, or within a day.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.ended_days(after timestamptz, until timestamptz)
RETURNS TABLE (calendar text, day date, opens timestamptz, closes timestamptz,
               before_from timestamptz, before_to timestamptz)
LANGUAGE sql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s.calendar, s.day, s.opens, s.closes, p.opens, p.closes
    FROM public.sessions s
    CROSS JOIN LATERAL (SELECT x.opens, x.closes FROM public.sessions x
                        WHERE x.calendar = s.calendar AND x.day < s.day ORDER BY x.day DESC LIMIT 1) p
    WHERE s.closes > after AND s.closes <= until
    UNION ALL
    -- Where every day is one, a symbol may still rest for some.
    SELECT '24x7', (d.opens AT TIME ZONE 'UTC')::date, d.opens, d.opens + INTERVAL '24 hours',
           d.opens - INTERVAL '168 hours', d.opens
    FROM generate_series(date_trunc('day', after, 'UTC') - INTERVAL '24 hours', until - INTERVAL '24 hours',
                         INTERVAL '24 hours') d(opens)
    WHERE d.opens + INTERVAL '24 hours' > after
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.ended_days(timestamptz, timestamptz) IS
    'Trading days that ended after one time and not after another, and where the last close before them is found.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_splits(
    after timestamptz, until timestamptz, tolerance float8, drift float8, volume float8)
RETURNS TABLE (symbol text, since timestamptz, value float8, bound float8, detail text)
LANGUAGE plpgsql STABLE ROWS 5
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    ratios CONSTANT float8[] := ARRAY(
        SELECT r FROM unnest(ARRAY[1.5, 2, 3, 4, 5, 6, 7, 8, 10, 15, 20]::float8[]) x(ratio),
                      unnest(ARRAY[x.ratio, 1 / x.ratio]) r);
    d record;
BEGIN
    FOR d IN SELECT * FROM _hypertick.ended_days(after, until) LOOP
        RETURN QUERY
        WITH bars AS MATERIALIZED (
            SELECT b.symbol, b.bucket, b.open, b.close, b.notional
            FROM public.candles_15m b
            WHERE d.calendar <> '24x7' AND b.bucket >= d.before_from AND b.bucket < d.closes
              AND (b.bucket < d.before_to OR b.bucket >= d.opens)
            UNION ALL
            SELECT b.symbol, b.bucket, b.open, b.close, b.notional
            FROM public.candles_1d b
            WHERE d.calendar = '24x7' AND b.bucket >= d.before_from AND b.bucket < d.closes
        ), days AS (
            SELECT b.symbol,
                   public.last(b.close, b.bucket) FILTER (WHERE b.bucket < d.opens) AS last_close,
                   public.first(b.open, b.bucket) FILTER (WHERE b.bucket >= d.opens) AS open,
                   public.last(b.close, b.bucket) FILTER (WHERE b.bucket >= d.opens) AS close,
                   sum(b.notional) FILTER (WHERE b.bucket >= d.opens) AS notional
            FROM bars b
            GROUP BY b.symbol
        ), jumped AS MATERIALIZED (
            SELECT x.symbol, x.last_close, x.open, x.notional, r.ratio
            FROM days x
            LEFT JOIN public.instruments i ON i.symbol = x.symbol
            CROSS JOIN LATERAL (SELECT c.ratio FROM unnest(ratios) c(ratio)
                                WHERE x.last_close > 0 AND x.open > 0
                                ORDER BY abs(ln(x.last_close / x.open / c.ratio)) LIMIT 1) r
            WHERE coalesce(i.calendar, '24x7') = d.calendar AND x.close > 0
              AND abs(ln(x.last_close / x.open / r.ratio)) <= ln(1 + tolerance)
              -- The move is between the days: the price stays where it opened.
              AND abs(ln(x.close / x.open)) <= ln(1 + drift)
        )
        SELECT j.symbol, d.opens, j.last_close / j.open, j.ratio,
               format('the open of %s leaves the last close of %s by %s, as a split of %s for %s does, '
                      'and none is known',
                      j.open, j.last_close, round((j.last_close / j.open)::numeric, 3),
                      CASE WHEN j.ratio = 1.5 THEN 3 WHEN j.ratio > 1 THEN j.ratio
                           WHEN j.ratio > 0.6 THEN 2 ELSE 1 END,
                      CASE WHEN j.ratio = 1.5 THEN 2 WHEN j.ratio > 1 THEN 1
                           WHEN j.ratio > 0.6 THEN 3 ELSE round(1 / j.ratio) END)
        FROM jumped j
        CROSS JOIN LATERAL (
            SELECT count(*) AS days, percentile_cont(0.5) WITHIN GROUP (ORDER BY u.notional) AS notional
            FROM (SELECT b.notional FROM public.candles_1d b
                  WHERE b.symbol = j.symbol AND b.bucket < d.before_to - INTERVAL '1 second'
                    AND b.bucket >= d.opens - INTERVAL '40 days'
                  ORDER BY b.bucket DESC LIMIT 20) u
        ) usual
        WHERE usual.days >= 5 AND j.notional BETWEEN usual.notional / volume AND usual.notional * volume
          AND NOT EXISTS (SELECT FROM public.corporate_actions a
                          WHERE a.symbol = j.symbol AND a.kind = 'split' AND a.ex_date = d.day
                            AND a.undone_at IS NULL);
    END LOOP;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_splits(timestamptz, timestamptz, float8, float8, float8) IS
    'Symbols whose open left the last close by a common ratio, to within tolerance, on a trading day that ended after '
    'one time and not after another, whose price stayed within drift of it, and whose notional was within volume '
    'times the median of up to 20 days before, while no split of that day is known. A symbol with fewer than 5 days '
    'before is not judged.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.quality_split_entered(symbol text, opens timestamptz) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM public.corporate_actions a
        WHERE a.symbol = quality_split_entered.symbol AND a.kind = 'split' AND a.undone_at IS NULL
          AND a.ex_date = coalesce(
              (SELECT s.day FROM public.instruments i JOIN public.sessions s ON s.calendar = i.calendar
               WHERE i.symbol = quality_split_entered.symbol AND s.opens = quality_split_entered.opens),
              (quality_split_entered.opens AT TIME ZONE 'UTC')::date))
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.quality_split_entered(text, timestamptz) IS
    'Whether a split is in force whose ex-date is the trading day that opened then.';
REVOKE EXECUTE ON FUNCTION
    _hypertick.ended_days(timestamptz, timestamptz),
    _hypertick.quality_splits(timestamptz, timestamptz, float8, float8, float8),
    _hypertick.quality_split_entered(text, timestamptz)
FROM PUBLIC;

-- 17_alert_rules.sql ----------------------------------------------------------

-- What to watch for. Rules are rows: whoever may write them does so through
-- hypertick_operator, and a trigger checks each against the catalog.

-- Where notifications can go. Addresses and secrets are in the notifier's own
-- configuration; it lists the names here when it starts.
CREATE TABLE alert.channels (
    name    text        PRIMARY KEY CHECK (name ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    kind    text        NOT NULL CHECK (kind IN ('webhook', 'slack', 'email')),
    seen_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE alert.channels IS 'Channels that a notifier can send to, listed by the notifier.';
COMMENT ON COLUMN alert.channels.name IS 'Name that rules use.';
COMMENT ON COLUMN alert.channels.kind IS 'webhook, slack or email.';
COMMENT ON COLUMN alert.channels.seen_at IS 'When a notifier last said that it serves it.';
GRANT SELECT ON alert.channels TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON alert.channels TO hypertick_operator;
CREATE TABLE alert.rules (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text        NOT NULL UNIQUE,
    description       text        NOT NULL DEFAULT '',
    symbols           text[]      NOT NULL DEFAULT '{*}',
    "interval"        text,
    indicator         text,
    params            jsonb       NOT NULL DEFAULT '{}',
    series            text,
    condition         text        NOT NULL,
    threshold         float8,
    upper             float8,
    against_indicator text,
    against_params    jsonb       NOT NULL DEFAULT '{}',
    against_series    text,
    bars              int         NOT NULL DEFAULT 1,
    cooldown          interval    NOT NULL DEFAULT '0',
    severity          text        NOT NULL DEFAULT 'warning',
    channels          text[]      NOT NULL DEFAULT '{}',
    notify_resolved   boolean     NOT NULL DEFAULT false,
    enabled           boolean     NOT NULL DEFAULT true,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    version           int         NOT NULL DEFAULT 1
);
-- +goose StatementBegin
COMMENT ON TABLE alert.rules IS
    'What to watch for. A condition on a series of an indicator, seen on closed bars; or the health of a part of the '
    'pipeline.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.rules.id IS 'Number of the rule.';
COMMENT ON COLUMN alert.rules.name IS 'Unique name, as people know it: lower case letters, digits and dashes.';
COMMENT ON COLUMN alert.rules.description IS 'What it is for.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.rules.symbols IS
    'Symbols, or patterns with * and ?; \* is the character *. For condition fails: parts of the pipeline.';
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON COLUMN alert.rules."interval" IS
    'Interval of the bars: see table intervals; 90m and the like are one too. NULL where the condition is fails.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.rules.indicator IS 'Name in indicator.catalog. sma with period 1 is the close.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.rules.params IS 'Parameters by name; those left out have their defaults.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.rules.series IS
    'Series of the indicator. Left out: the one that has the indicator''s name, or its first.';
COMMENT ON COLUMN alert.rules.condition IS
    'above, below, crosses_above, crosses_below, outside, changes, rises, falls, fails.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.rules.threshold IS
    'What the series is compared with; for outside the lower bound; for changes, rises and falls the change in '
    'percent.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.rules.upper IS 'For outside: the upper bound.';
COMMENT ON COLUMN alert.rules.against_indicator IS
    'Instead of threshold: the indicator that the series is compared with.';
COMMENT ON COLUMN alert.rules.against_params IS 'Its parameters.';
COMMENT ON COLUMN alert.rules.against_series IS 'Its series.';
COMMENT ON COLUMN alert.rules.bars IS
    'For above, below and outside: bars in a row on which it must hold. For changes, rises and falls: how many bars '
    'the change may take.';
COMMENT ON COLUMN alert.rules.cooldown IS
    'For this long after an event the rule opens no other for the symbol, counted in the time of the bars.';
COMMENT ON COLUMN alert.rules.severity IS 'info, warning or critical.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.rules.channels IS 'Names in alert.channels; none means all of them.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.rules.notify_resolved IS 'Whether the end of an event is notified too.';
COMMENT ON COLUMN alert.rules.enabled IS 'Whether it is evaluated.';
COMMENT ON COLUMN alert.rules.created_at IS 'When it was written.';
COMMENT ON COLUMN alert.rules.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN alert.rules.version IS 'Rises with each change.';
GRANT SELECT ON alert.rules TO hypertick_reader;
GRANT SELECT, INSERT, DELETE ON alert.rules TO hypertick_operator;
GRANT UPDATE (name, description, symbols, "interval", indicator, params, series, condition, threshold, upper,
              against_indicator, against_params, against_series, bars, cooldown, severity, channels,
              notify_resolved, enabled)
    ON alert.rules TO hypertick_operator;
CREATE FUNCTION _hypertick.matches(word text, patterns text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
-- What is escaped stands aside as a control character, of which no symbol has one,
-- while the rest becomes a pattern of LIKE.
RETURN EXISTS (
    SELECT FROM unnest(patterns) p
    WHERE word LIKE replace(translate(
        translate(regexp_replace(
            replace(replace(replace(replace(p, '\\', E'\x01'), '\*', E'\x02'), '\?', E'\x03'), '\', ''),
            '([%_])', '\\\1', 'g'), '*?', '%_'),
        E'\x02\x03', '*?'), E'\x01', '\\')
);
COMMENT ON FUNCTION _hypertick.matches(text, text[]) IS
    'Whether the word is, as a whole, any of the patterns: * is any text, ? any one character, and a backslash '
    'before a character takes its meaning off.';

-- The series that a name stands for, once indicator, series and parameters have
-- been looked up. Every error begins with the column it is about.
-- With public in search_path: an indicator of a user's own finds candles() there.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.check_series(prefix text, "interval" text, name text, params jsonb, series text)
RETURNS text
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    known text[];
    text_ text;
BEGIN
    SELECT array_agg(s ->> 'name') INTO known
    FROM indicator.catalog c, jsonb_array_elements(c.series) s
    WHERE c.name = check_series.name;
    IF known IS NULL THEN
        RAISE EXCEPTION '%indicator: want a name of indicator.catalog, got %', prefix, coalesce(name, 'null')
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF series IS NULL THEN
        series := CASE WHEN name = ANY (known) THEN name ELSE known[1] END;
    ELSIF series <> ALL (known) THEN
        RAISE EXCEPTION '%series: want one of %, got %', prefix, array_to_string(known, ', '), series
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- Over no time at all, for the checks of its parameters: evaluate's, and the
    -- indicator's own.
    BEGIN
        PERFORM FROM indicator.evaluate(name, '', "interval", '2000-01-01', '2000-01-01', params);
    EXCEPTION WHEN invalid_parameter_value THEN
        GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
        RAISE EXCEPTION '%params: %', prefix, text_ USING ERRCODE = 'invalid_parameter_value';
    END;
    RETURN series;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.check_series(text, text, text, jsonb, text) IS
    'The series meant; an error that names the column where there is no such indicator, series or parameter.';
-- +goose StatementEnd

-- As its owner: an indicator of a user's own may be granted to the reader alone.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.check_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    wrong   text;
    fails   CONSTANT boolean := NEW.condition = 'fails';
    change  CONSTANT boolean := NEW.condition IN ('changes', 'rises', 'falls');
    compare CONSTANT boolean := NEW.condition IN ('above', 'below', 'crosses_above', 'crosses_below');
BEGIN
    wrong := CASE
        WHEN NEW.name !~ '^[a-z0-9][a-z0-9-]{0,62}$'
            THEN format('name: want 1 to 63 lower case letters, digits and dashes, got %s', NEW.name)
        WHEN length(NEW.description) > 1000
            THEN format('description: want at most 1000 characters, got %s', length(NEW.description))
        WHEN cardinality(NEW.symbols) NOT BETWEEN 1 AND 1000
            THEN format('symbols: want 1 to 1000 symbols or patterns, got %s', cardinality(NEW.symbols))
        WHEN EXISTS (SELECT FROM unnest(NEW.symbols) s WHERE s IS NULL OR length(s) NOT BETWEEN 1 AND 200)
            THEN 'symbols: want 1 to 200 characters in each, got one that is not'
        WHEN NOT (fails OR change OR compare OR NEW.condition = 'outside')
            THEN format('condition: want above, below, crosses_above, crosses_below, outside, changes, rises, falls '
                        'or fails, got %s', NEW.condition)
        WHEN NEW.severity NOT IN ('info', 'warning', 'critical')
            THEN format('severity: want info, warning or critical, got %s', NEW.severity)
        WHEN NEW.bars NOT BETWEEN 1 AND 1000
            THEN format('bars: want 1 to 1000, got %s', NEW.bars)
        WHEN NEW.bars > 1 AND NEW.condition IN ('crosses_above', 'crosses_below', 'fails')
            THEN format('bars: want 1 where the condition is %s, got %s', NEW.condition, NEW.bars)
        WHEN NEW.cooldown < '0' OR NEW.cooldown > '366 days'
            THEN format('cooldown: want 0 to 366 days, got %s', NEW.cooldown)
        WHEN fails AND (NEW.indicator IS NOT NULL OR NEW."interval" IS NOT NULL)
            THEN 'indicator: want none where the condition is fails, nor an interval'
        WHEN fails AND (NEW.threshold IS NOT NULL OR NEW.against_indicator IS NOT NULL)
            THEN 'threshold: want none where the condition is fails'
    END;
    IF wrong IS NULL AND NOT fails THEN
        -- An error of its own where there is no such interval.
        PERFORM _hypertick.find_interval(NEW."interval");
    END IF;
    -- NaN is above all numbers, so one comparison finds it and infinity.
    wrong := coalesce(wrong, CASE
        WHEN compare AND (NEW.threshold IS NULL) = (NEW.against_indicator IS NULL)
            THEN format('threshold: want either a number or against_indicator where the condition is %s',
                        NEW.condition)
        WHEN NOT compare AND NEW.against_indicator IS NOT NULL
            THEN format('against_indicator: want none where the condition is %s', NEW.condition)
        WHEN (change OR NEW.condition = 'outside') AND NEW.threshold IS NULL
            THEN format('threshold: want a number where the condition is %s, got null', NEW.condition)
        WHEN abs(NEW.threshold) > 1e300
            THEN format('threshold: want a number, got %s', NEW.threshold)
        WHEN change AND NEW.threshold <= 0
            THEN format('threshold: want more than 0 percent where the condition is %s, got %s',
                        NEW.condition, NEW.threshold)
        WHEN abs(NEW.upper) > 1e300
            THEN format('upper: want a number, got %s', NEW.upper)
        WHEN NEW.condition = 'outside' AND (NEW.upper > NEW.threshold) IS NOT TRUE
            THEN format('upper: want more than threshold where the condition is outside, got %s',
                        coalesce(NEW.upper::text, 'null'))
        WHEN NEW.condition <> 'outside' AND NEW.upper IS NOT NULL
            THEN format('upper: want none where the condition is %s', NEW.condition)
    END);
    IF wrong IS NULL AND (TG_OP = 'INSERT' OR NEW.channels <> OLD.channels) THEN
        SELECT format('channels: want names that a notifier has listed (%s), got %s',
                      coalesce((SELECT string_agg(n.name, ', ' ORDER BY n.name) FROM alert.channels n), 'none yet'),
                      coalesce(c, 'null'))
        INTO wrong
        FROM unnest(NEW.channels) c
        WHERE NOT EXISTS (SELECT FROM alert.channels n WHERE n.name = c)
        LIMIT 1;
    END IF;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION '%', wrong USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF NOT fails THEN
        NEW.series := _hypertick.check_series('', NEW."interval", NEW.indicator, NEW.params, NEW.series);
    END IF;
    IF NEW.against_indicator IS NOT NULL THEN
        NEW.against_series := _hypertick.check_series('against_', NEW."interval", NEW.against_indicator,
                                                      NEW.against_params, NEW.against_series);
    END IF;
    IF TG_OP = 'UPDATE' THEN
        NEW.updated_at := clock_timestamp();
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.check_rule() IS
    'Trigger: refuses a rule that could not be evaluated. The error begins with the column it is about.';
CREATE TRIGGER check_rule BEFORE INSERT OR UPDATE ON alert.rules
    FOR EACH ROW EXECUTE FUNCTION _hypertick.check_rule();
REVOKE EXECUTE ON FUNCTION
    _hypertick.matches(text, text[]),
    _hypertick.check_series(text, text, text, jsonb, text),
    _hypertick.check_rule()
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION _hypertick.matches(text, text[]) TO hypertick_reader, hypertick_operator;

-- 18_alert_events.sql ---------------------------------------------------------

-- What the rules found, how far each has looked, and what is to be sent.
CREATE SEQUENCE alert.event_id AS bigint;
COMMENT ON SEQUENCE alert.event_id IS 'Numbers of alert.events.';

-- One writer at a time holds the lock of the job, so that change_id becomes
-- visible in its order. The sequence shows whether anything can have changed;
-- only then are the chunks of events read.
CREATE SEQUENCE alert.change_id AS bigint;
COMMENT ON SEQUENCE alert.change_id IS 'Numbers of the changes of alert.events.';
GRANT SELECT ON SEQUENCE alert.change_id TO hypertick_reader, hypertick_operator;

-- A hypertable by bar. The unique key is what makes evaluation idempotent: a rule
-- finds a symbol's bar once.
CREATE TABLE alert.events (
    id          bigint           NOT NULL DEFAULT nextval('alert.event_id'),
    rule_id     bigint           NOT NULL,
    rule        text             NOT NULL,
    severity    text             NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    "interval"  text,
    bar         timestamptz      NOT NULL,
    opened      timestamptz      NOT NULL DEFAULT clock_timestamp(),
    resolved    timestamptz,
    value       float8,
    threshold   float8,
    message     text             NOT NULL,
    state       text             NOT NULL DEFAULT 'firing' CHECK (state IN ('firing', 'resolved', 'retracted')),
    late        boolean          NOT NULL DEFAULT false,
    revision    int              NOT NULL DEFAULT 0,
    changed     timestamptz      NOT NULL DEFAULT clock_timestamp(),
    change_id   bigint           NOT NULL DEFAULT nextval('alert.change_id'),
    history     jsonb            NOT NULL DEFAULT '[]'
);
ALTER SEQUENCE alert.event_id OWNED BY alert.events.id;
ALTER SEQUENCE alert.change_id OWNED BY alert.events.change_id;
SELECT create_hypertable('alert.events', by_range('bar', INTERVAL '30 days'), create_default_indexes => false);
CREATE UNIQUE INDEX events_key ON alert.events (rule_id, symbol, bar);
CREATE INDEX events_id_idx ON alert.events (id DESC);
CREATE INDEX events_change_idx ON alert.events (change_id);
CREATE INDEX events_symbol_idx ON alert.events (symbol, bar DESC);
CREATE INDEX events_newest_idx ON alert.events (bar DESC, id DESC);
CREATE INDEX events_firing_idx ON alert.events (rule_id) WHERE state = 'firing';
SELECT add_retention_policy('alert.events', INTERVAL '2 years', schedule_interval => INTERVAL '1 day');
COMMENT ON TABLE alert.events IS
    'What the rules found. No row changes or goes silently: where a late tick changes a closed bar, the event of it '
    'is revised, or retracted, and keeps what it said before in history. Kept for two years.';
COMMENT ON COLUMN alert.events.id IS 'Number of the event.';
COMMENT ON COLUMN alert.events.rule_id IS 'Number of the rule, which may be gone.';
COMMENT ON COLUMN alert.events.rule IS 'Name of the rule then.';
COMMENT ON COLUMN alert.events.severity IS 'Severity of the rule then.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.events.symbol IS 'Symbol; for condition fails, the part of the pipeline.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.events."interval" IS 'Interval of the bar. NULL where the condition is fails.';
COMMENT ON COLUMN alert.events.bar IS 'Start of the first bar on which the condition held.';
COMMENT ON COLUMN alert.events.opened IS 'When it was found.';
COMMENT ON COLUMN alert.events.resolved IS 'End of the first bar on which the condition no longer held.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.events.value IS 'Value of the series; for changes, rises and falls the change in percent.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.events.threshold IS 'What it was compared with.';
COMMENT ON COLUMN alert.events.message IS 'One sentence about it.';
COMMENT ON COLUMN alert.events.state IS
    'firing, resolved, or retracted: the bar has changed, or is gone, and the condition does not hold on it.';
COMMENT ON COLUMN alert.events.late IS 'Found on a bar that had been looked at before, after it changed.';
COMMENT ON COLUMN alert.events.revision IS 'How often late ticks changed it.';
COMMENT ON COLUMN alert.events.changed IS 'When it last changed.';
COMMENT ON COLUMN alert.events.change_id IS
    'Rises with every change of any event: whoever follows the table reads those above the last one seen.';
COMMENT ON COLUMN alert.events.history IS
    'What it said before each revision, oldest first: {revision, at, state, value, threshold, resolved, message}.';
COMMENT ON INDEX alert.events_key IS 'One event for a rule, symbol and bar.';
COMMENT ON INDEX alert.events_id_idx IS 'For the newest, and paging.';
COMMENT ON INDEX alert.events_change_idx IS 'For those who follow changes.';
COMMENT ON INDEX alert.events_symbol_idx IS 'For the events of a symbol.';
COMMENT ON INDEX alert.events_newest_idx IS 'For pages, newest bar first.';
COMMENT ON INDEX alert.events_firing_idx IS 'Finds what fires among all that ever did.';
GRANT SELECT ON alert.events TO hypertick_reader, hypertick_operator;
CREATE TABLE alert.progress (
    rule_id bigint           NOT NULL REFERENCES alert.rules ON DELETE CASCADE,
    symbol  text COLLATE "C" NOT NULL,
    since   timestamptz      NOT NULL,
    upto    timestamptz      NOT NULL,
    revised timestamptz,
    error   text,
    PRIMARY KEY (rule_id, symbol)
) WITH (fillfactor = 50);
COMMENT ON TABLE alert.progress IS
    'How far each rule has looked at each symbol. Each bar is evaluated once, and again only where a late tick '
    'changed it.';
COMMENT ON COLUMN alert.progress.rule_id IS 'The rule.';
COMMENT ON COLUMN alert.progress.symbol IS 'The symbol.';
COMMENT ON COLUMN alert.progress.since IS
    'Bars before this one were not evaluated under the rule as it is: revisions of them change no event.';
COMMENT ON COLUMN alert.progress.upto IS 'Bars before this one have been evaluated.';
COMMENT ON COLUMN alert.progress.revised IS 'After an error: bars from this one on wait to be evaluated again.';
COMMENT ON COLUMN alert.progress.error IS 'Why the last evaluation failed for this symbol. NULL: it did not.';
GRANT SELECT ON alert.progress TO hypertick_reader, hypertick_operator;
CREATE TABLE alert.runs (
    rule_id     bigint      PRIMARY KEY REFERENCES alert.rules ON DELETE CASCADE,
    version     int         NOT NULL,
    revision_id bigint      NOT NULL,
    finished_at timestamptz,
    took        interval,
    symbols     int,
    error       text
) WITH (fillfactor = 50);
COMMENT ON TABLE alert.runs IS 'The last evaluation of each rule.';
COMMENT ON COLUMN alert.runs.rule_id IS 'The rule.';
COMMENT ON COLUMN alert.runs.version IS 'Version of the rule that was evaluated.';
COMMENT ON COLUMN alert.runs.revision_id IS 'Last row of bar_revisions that was taken into account.';
COMMENT ON COLUMN alert.runs.finished_at IS 'When it ended.';
COMMENT ON COLUMN alert.runs.took IS 'How long it took.';
COMMENT ON COLUMN alert.runs.symbols IS 'Symbols that had bars to look at.';
COMMENT ON COLUMN alert.runs.error IS 'Why it failed. NULL: it did not.';
GRANT SELECT ON alert.runs TO hypertick_reader, hypertick_operator;

-- The notifications to send, written in the transaction of their events: none is
-- lost, and none is sent for an event that was rolled back.
CREATE TABLE alert.outbox (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key         text        NOT NULL UNIQUE,
    channel     text        NOT NULL,
    payload     jsonb       NOT NULL,
    state       text        NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dead')),
    attempts    int         NOT NULL DEFAULT 0,
    next_try    timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    error       text
) WITH (fillfactor = 70);
CREATE INDEX outbox_next_idx ON alert.outbox (next_try) WHERE state = 'waiting';
CREATE INDEX outbox_finished_idx ON alert.outbox (finished_at) WHERE state <> 'waiting';

-- Notifications of one rule and symbol leave in their order: one that is due
-- waits while an earlier one of its channel, rule and symbol does.
CREATE INDEX outbox_order_idx ON alert.outbox
    (channel, (coalesce(payload ->> 'rule_id', '')), (coalesce(payload ->> 'symbol', '')), id)
    WHERE state = 'waiting';

-- Without it the planner may walk the primary key, past all that was sent.
CREATE INDEX outbox_channel_idx ON alert.outbox (channel, id) WHERE state = 'waiting';

-- Sent ones are many, dead ones few: both are in outbox_finished_idx.
CREATE INDEX outbox_dead_idx ON alert.outbox (channel) WHERE state = 'dead';
COMMENT ON TABLE alert.outbox IS
    'Notifications: waiting, sent or failed permanently. A notifier claims waiting ones whose next_try has come, '
    'FOR UPDATE SKIP LOCKED. Sent ones are kept for 7 days, dead ones for 30.';
COMMENT ON COLUMN alert.outbox.id IS 'Order of writing.';
COMMENT ON COLUMN alert.outbox.key IS 'Idempotency key: the receiver sees the same one on every attempt.';
COMMENT ON COLUMN alert.outbox.channel IS 'Name in alert.channels.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.outbox.payload IS
    '{kind, rule, rule_id, severity, symbol, interval, bar, opened, resolved, value, threshold, count, message, '
    'events}. kind is opened, resolved or retracted; count is how many events it speaks for, events their ids.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.outbox.state IS 'waiting, sent or dead.';
COMMENT ON COLUMN alert.outbox.attempts IS
    'Number of attempts. Rises when a notifier claims it: a notifier stores its result only while the number is '
    'still the one of its claim.';
-- +goose StatementBegin
COMMENT ON COLUMN alert.outbox.next_try IS
    'Earliest time of the next attempt. A notifier that claims it sets this ahead as a lease; if that notifier dies, '
    'another one claims it then.';
-- +goose StatementEnd
COMMENT ON COLUMN alert.outbox.created_at IS 'When it was written.';
COMMENT ON COLUMN alert.outbox.finished_at IS 'When it was sent or failed permanently.';
COMMENT ON COLUMN alert.outbox.error IS 'Why the last attempt failed.';
COMMENT ON INDEX alert.outbox_next_idx IS 'Finds what is due.';
COMMENT ON INDEX alert.outbox_finished_idx IS 'Finds what can be deleted.';
COMMENT ON INDEX alert.outbox_order_idx IS
    'Finds whether an earlier notification of the same channel, rule and symbol waits.';
COMMENT ON INDEX alert.outbox_channel_idx IS 'Finds what waits for a channel, in order.';
COMMENT ON INDEX alert.outbox_dead_idx IS 'Counts and lists what was given up.';
GRANT SELECT ON alert.outbox TO hypertick_reader, hypertick_operator;
GRANT UPDATE (state, attempts, next_try, finished_at, error) ON alert.outbox TO hypertick_operator;

-- Wakes the notifiers at commit.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.wake_notifiers() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_notify('hypertick_outbox', '');
    RETURN NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.wake_notifiers() IS
    'Trigger: tells notifiers that there is something to send, on channel hypertick_outbox.';
REVOKE EXECUTE ON FUNCTION _hypertick.wake_notifiers() FROM PUBLIC;
CREATE TRIGGER wake_notifiers AFTER INSERT ON alert.outbox
    FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.wake_notifiers();
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.clear_outbox(job_id int, config jsonb)
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM alert.outbox o
    WHERE o.state = 'sent' AND o.finished_at < now() - coalesce(config ->> 'sent', '7 days')::interval
       OR o.state = 'dead' AND o.finished_at < now() - coalesce(config ->> 'dead', '30 days')::interval;
END
$$;
-- +goose StatementEnd
COMMENT ON PROCEDURE _hypertick.clear_outbox(int, jsonb) IS 'Job: deletes old notifications. config: sent, dead.';
REVOKE EXECUTE ON PROCEDURE _hypertick.clear_outbox(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.clear_outbox', INTERVAL '1 hour',
    config => '{"sent": "7 days", "dead": "30 days"}', fixed_schedule => false);

-- 19_alert_evaluation.sql -----------------------------------------------------

-- How rules become events. Three layers: which bars of a symbol meet a rule, which
-- events that makes, and how those differ from the ones that are stored. The
-- first two depend on nothing but the bars, so a dry run, a catch-up after an hour
-- without the job, and an evaluation after a late tick all agree.

-- Late ticks are noted from two seconds after the end of a bar on (see
-- note_revisions); an evaluation somewhat later misses none.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.alert_grace() RETURNS interval
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT j.config ->> 'grace'
                     FROM timescaledb_information.jobs j
                     WHERE j.proc_schema = '_hypertick' AND j.proc_name = 'evaluate_alerts'
                     ORDER BY j.job_id LIMIT 1), '4 seconds')::interval
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.alert_grace() IS
    'How long after its end a bar counts as closed to the rules: grace in the config of job evaluate_alerts.';

-- With public in search_path: an indicator of a user's own finds candles() there.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_bars(rule alert.rules, symbol text, "from" timestamptz, "to" timestamptz)
RETURNS TABLE (bucket timestamptz, value float8, threshold float8, holds boolean)
LANGUAGE plpgsql STABLE ROWS 500
SET search_path = pg_catalog, public, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
    change CONSTANT boolean := rule.condition IN ('changes', 'rises', 'falls');
    cross_ CONSTANT boolean := rule.condition IN ('crosses_above', 'crosses_below');
    -- Bars before the first that its condition needs to see.
    before CONSTANT int := CASE WHEN change THEN rule.bars WHEN cross_ THEN 1 ELSE rule.bars - 1 END;
    span   CONSTANT interval := least((_hypertick.find_interval(rule."interval")).width * rule.bars,
                                      INTERVAL '1000 years');
    since  timestamptz := "from";
BEGIN
    IF before > 0 THEN
        SELECT coalesce(min(bar.bucket), "from") INTO since
        FROM public.candles(symbol, rule."interval", "from", "from", warmup => before) bar;
    END IF;
    RETURN QUERY
    WITH series AS MATERIALIZED (
        SELECT point.bucket, nullif(point.value, 'NaN') AS value
        FROM indicator.evaluate(rule.indicator, symbol, rule."interval", since, "to", rule.params) point
        WHERE point.series = rule.series
    ), against AS MATERIALIZED (
        SELECT point.bucket, nullif(point.value, 'NaN') AS value
        FROM indicator.evaluate(rule.against_indicator, symbol, rule."interval", since, "to",
                                rule.against_params) point
        WHERE rule.against_indicator IS NOT NULL AND point.series = rule.against_series
    ), compared AS (
        SELECT series.bucket,
               -- The change is from the newest bar that is at least that old.
               CASE WHEN change
                        THEN 100 * (series.value - last_value(series.value) OVER ago)
                             / nullif(abs(last_value(series.value) OVER ago), 0)
                    ELSE series.value END AS value,
               CASE WHEN rule.against_indicator IS NOT NULL THEN against.value
                    WHEN rule.condition = 'outside' AND series.value > rule.upper THEN rule.upper
                    ELSE rule.threshold END AS threshold
        FROM series LEFT JOIN against ON against.bucket = series.bucket
        -- In UTC, so that months do not depend on the time zone of the session.
        WINDOW ago AS (ORDER BY series.bucket AT TIME ZONE 'UTC'
                       RANGE BETWEEN UNBOUNDED PRECEDING AND span PRECEDING)
    ), met AS (
        SELECT compared.bucket, compared.value, compared.threshold,
               coalesce(CASE rule.condition
                   WHEN 'above' THEN compared.value > compared.threshold
                   WHEN 'below' THEN compared.value < compared.threshold
                   WHEN 'crosses_above' THEN compared.value > compared.threshold
                                             AND lag(compared.value) OVER w <= lag(compared.threshold) OVER w
                   WHEN 'crosses_below' THEN compared.value < compared.threshold
                                             AND lag(compared.value) OVER w >= lag(compared.threshold) OVER w
                   WHEN 'outside' THEN compared.value < rule.threshold OR compared.value > rule.upper
                   WHEN 'changes' THEN abs(compared.value) >= rule.threshold
                   WHEN 'rises' THEN compared.value >= rule.threshold
                   WHEN 'falls' THEN compared.value <= -rule.threshold
               END, false) AS met
        FROM compared
        WINDOW w AS (ORDER BY compared.bucket)
    ), run AS (
        SELECT met.bucket, met.value, met.threshold,
               CASE WHEN change OR rule.bars = 1 THEN met.met
                    ELSE bool_and(met.met) OVER r AND count(*) OVER r = rule.bars END AS holds
        FROM met
        WINDOW r AS (ORDER BY met.bucket ROWS BETWEEN rule.bars - 1 PRECEDING AND CURRENT ROW)
    )
    SELECT run.bucket, run.value, run.threshold, run.holds
    FROM run
    WHERE run.bucket >= "from"
    ORDER BY run.bucket;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz) IS
    'The bars with "from" <= bucket < "to" on which the rule''s series has a value, and whether the rule''s '
    'condition holds there.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_events(
    rule alert.rules, symbol text, "from" timestamptz, "to" timestamptz,
    active boolean DEFAULT false, last_bar timestamptz DEFAULT NULL)
RETURNS TABLE (bar timestamptz, value float8, threshold float8, resolved timestamptz)
LANGUAGE plpgsql STABLE ROWS 20
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    width CONSTANT interval := (_hypertick.find_interval(rule."interval")).width;
    b     record;
BEGIN
    FOR b IN SELECT r.* FROM _hypertick.rule_bars(rule, symbol, "from", "to") r LOOP
        IF active AND NOT b.holds THEN
            resolved := _hypertick.bucket_end(b.bucket, width);
            RETURN NEXT;
            active := false;
        ELSIF NOT active AND b.holds AND (last_bar IS NULL OR b.bucket >= last_bar + rule.cooldown) THEN
            bar := b.bucket;
            value := b.value;
            threshold := b.threshold;
            resolved := NULL;
            active := true;
            last_bar := b.bucket;
        END IF;
    END LOOP;
    IF active THEN
        resolved := NULL;
        RETURN NEXT;
    END IF;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz) IS
    'The events of a rule over bars: each begins on the first bar on which the condition holds, but not within the '
    'cooldown after last_bar, the event before; and ends with the first on which it does not. active: an event was '
    'open before the first bar; the first row tells its end, and has no bar.';
-- +goose StatementEnd
CREATE FUNCTION _hypertick.figure(value float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN trim_scale(round(value::numeric,
                        CASE WHEN value = 0 THEN 0
                             ELSE greatest(2, 4 - floor(log(abs(value)))::int) END))::text;
COMMENT ON FUNCTION _hypertick.figure(float8) IS
    'A number for people: at least five significant digits and two decimals.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_label(indicator text, series text, params jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN indicator = 'sma' AND params @> '{"period": 1}' THEN 'close'
                ELSE indicator
                     || coalesce(' (' || (
                            SELECT string_agg(CASE WHEN p.key IN ('period', 'fast', 'slow', 'signal', 'deviations')
                                                   THEN p.value ELSE p.key || ' ' || p.value END, ', ')
                            FROM jsonb_each_text(params) p) || ')', '')
                     || CASE WHEN series = indicator THEN '' ELSE ' ' || series END END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_label(text, text, jsonb) IS 'A series for people.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.rule_message(rule alert.rules, symbol text, value float8, threshold float8) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT concat(symbol, ' ', rule."interval", ': ',
        _hypertick.rule_label(rule.indicator, rule.series, rule.params), ' ',
        CASE WHEN rule.condition IN ('changes', 'rises', 'falls')
            THEN concat(CASE WHEN value < 0 THEN 'fell ' ELSE 'rose ' END, _hypertick.figure(abs(value)),
                        ' % in ', rule.bars, CASE rule.bars WHEN 1 THEN ' bar' ELSE ' bars' END)
            ELSE concat(_hypertick.figure(value),
                        CASE rule.condition
                            WHEN 'above' THEN ' is above '
                            WHEN 'below' THEN ' is below '
                            WHEN 'crosses_above' THEN ' crossed above '
                            WHEN 'crosses_below' THEN ' crossed below '
                            ELSE CASE WHEN value > threshold THEN ' is above ' ELSE ' is below ' END END,
                        _hypertick.rule_label(rule.against_indicator, rule.against_series, rule.against_params)
                            || ' ',
                        _hypertick.figure(threshold),
                        CASE WHEN rule.bars > 1 THEN ' for ' || rule.bars || ' bars' END) END)
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.rule_message(alert.rules, text, float8, float8) IS 'One sentence about an event.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.announce(rule alert.rules, kind text, events alert.events[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last CONSTANT alert.events := events[cardinality(events)];
    n    CONSTANT int := cardinality(events);
BEGIN
    IF n = 0 THEN
        RETURN;
    END IF;
    INSERT INTO alert.outbox (key, channel, payload)
    SELECT concat_ws('/', 'v1', rule.id, last.symbol, date_part('epoch', last.bar)::bigint, kind, last.revision,
                     c.name),
           c.name,
           jsonb_build_object('kind', kind, 'rule', rule.name, 'rule_id', rule.id, 'severity', rule.severity,
               'symbol', last.symbol, 'interval', last."interval", 'bar', last.bar, 'opened', last.opened,
               'resolved', last.resolved, 'value', last.value, 'threshold', last.threshold, 'count', n,
               'message', last.message
                   || CASE kind WHEN 'resolved' THEN ' (over)'
                                WHEN 'retracted' THEN ' (retracted: the bar has changed)'
                                ELSE '' END
                   || CASE WHEN n > 1
                          THEN format(' (%s times since %s UTC)', n,
                                      to_char(events[1].bar AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI'))
                          ELSE '' END,
               'events', (SELECT jsonb_agg(e.id ORDER BY e.bar) FROM unnest(events) e))
    FROM (SELECT x AS name FROM unnest(rule.channels) x
          UNION ALL
          SELECT k.name FROM alert.channels k WHERE cardinality(rule.channels) = 0) c
    ON CONFLICT (key) DO NOTHING;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.announce(alert.rules, text, alert.events[]) IS
    'Writes one notification per channel about events of one symbol, however many they are. kind: opened, resolved '
    'or retracted.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.revise(
    e alert.events, value float8, threshold float8, resolved timestamptz, message text, state text)
RETURNS alert.events
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE alert.events v
    SET value = revise.value, threshold = revise.threshold, resolved = revise.resolved, message = revise.message,
        state = revise.state, revision = v.revision + 1,
        changed = clock_timestamp(), change_id = nextval('alert.change_id'),
        history = v.history || jsonb_build_object(
            'revision', v.revision, 'at', v.changed, 'state', v.state, 'value', v.value,
            'threshold', v.threshold, 'resolved', v.resolved, 'message', v.message)
    WHERE v.rule_id = e.rule_id AND v.symbol = e.symbol AND v.bar = e.bar
    RETURNING v.*
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.revise(alert.events, float8, float8, timestamptz, text, text) IS
    'Changes what an event says, and keeps what it said.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.evaluate_symbol(
    rule alert.rules, symbol text, "to" timestamptz, revised timestamptz, lookback int)
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    progress alert.progress;
    since    timestamptz;
    quiet    boolean := false;
    last     alert.events;
    active   boolean;
    r        record;
    event    alert.events;
    opened   alert.events[] := '{}';
    ended    alert.events[] := '{}';
    gone     alert.events[] := '{}';
BEGIN
    SELECT g.* INTO progress FROM alert.progress g WHERE g.rule_id = rule.id AND g.symbol = evaluate_symbol.symbol;
    IF NOT FOUND THEN
        -- A symbol seen for the first time has a past: it is looked at, not sent.
        SELECT min(c.bucket) INTO since
        FROM public.candles(symbol, rule."interval", "to", "to", warmup => lookback) c;
        IF since IS NULL THEN
            RETURN;
        END IF;
        INSERT INTO alert.progress (rule_id, symbol, since, upto) VALUES (rule.id, symbol, since, since)
        RETURNING * INTO progress;
        quiet := true;
    END IF;
    "to" := greatest("to", progress.upto);
    revised := least(revised, progress.revised);
    since := CASE WHEN revised < progress.upto THEN greatest(revised, progress.since) ELSE progress.upto END;
    IF since >= "to" THEN
        UPDATE alert.progress g SET revised = NULL, error = NULL
        WHERE g.rule_id = rule.id AND g.symbol = progress.symbol AND (g.revised IS NOT NULL OR g.error IS NOT NULL);
        RETURN;
    END IF;

    SELECT v.* INTO last
    FROM alert.events v
    WHERE v.rule_id = rule.id AND v.symbol = progress.symbol AND v.bar < since AND v.state <> 'retracted'
    ORDER BY v.bar DESC LIMIT 1;
    active := last.bar IS NOT NULL AND (last.resolved IS NULL OR last.resolved > since);

    FOR r IN
        SELECT computed.bar AS found, computed.carried, computed.value, computed.threshold, computed.resolved,
               stored.bar AS stored
        FROM (
            SELECT coalesce(x.bar, last.bar) AS bar, x.bar IS NULL AS carried, x.value, x.threshold, x.resolved
            FROM _hypertick.rule_events(rule, symbol, since, "to", active, last.bar) x
        ) computed
        FULL JOIN (
            SELECT v.bar
            FROM alert.events v
            WHERE v.rule_id = rule.id AND v.symbol = progress.symbol
              AND v.bar >= CASE WHEN active THEN last.bar ELSE since END
        ) stored ON stored.bar = computed.bar
        ORDER BY coalesce(computed.bar, stored.bar)
    LOOP
        IF r.stored IS NULL THEN
            INSERT INTO alert.events
                (rule_id, rule, severity, symbol, "interval", bar, resolved, value, threshold, message, state, late)
            VALUES (rule.id, rule.name, rule.severity, symbol, rule."interval", r.found, r.resolved,
                    r.value, r.threshold, _hypertick.rule_message(rule, symbol, r.value, r.threshold),
                    CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END, r.found < progress.upto)
            RETURNING * INTO event;
            opened := opened || event;
            CONTINUE;
        END IF;
        SELECT v.* INTO event
        FROM alert.events v
        WHERE v.rule_id = rule.id AND v.symbol = progress.symbol AND v.bar = r.stored;
        IF r.found IS NULL THEN
            CONTINUE WHEN event.state = 'retracted';
            gone := gone || _hypertick.revise(event, event.value, event.threshold, event.resolved, event.message,
                                              'retracted');
        ELSIF event.state = 'retracted' THEN
            opened := opened || _hypertick.revise(event, r.value, r.threshold, r.resolved,
                                    _hypertick.rule_message(rule, symbol, r.value, r.threshold),
                                    CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END);
        ELSIF event.resolved IS NOT NULL AND event.resolved IS DISTINCT FROM r.resolved
              OR NOT r.carried AND (abs(event.value - r.value) > 1e-6 * abs(event.value)
                                    OR abs(event.threshold - r.threshold) > 1e-6 * abs(event.threshold)) THEN
            PERFORM _hypertick.revise(event,
                CASE WHEN r.carried THEN event.value ELSE r.value END,
                CASE WHEN r.carried THEN event.threshold ELSE r.threshold END,
                r.resolved,
                CASE WHEN r.carried THEN event.message
                     ELSE _hypertick.rule_message(rule, symbol, r.value, r.threshold) END,
                CASE WHEN r.resolved IS NULL THEN 'firing' ELSE 'resolved' END);
        ELSIF event.resolved IS NULL AND r.resolved IS NOT NULL THEN
            UPDATE alert.events v
            SET resolved = r.resolved, state = 'resolved',
                changed = clock_timestamp(), change_id = nextval('alert.change_id')
            WHERE v.rule_id = rule.id AND v.symbol = progress.symbol AND v.bar = event.bar
            RETURNING v.* INTO event;
            ended := ended || event;
        END IF;
    END LOOP;

    UPDATE alert.progress g SET upto = "to", revised = NULL, error = NULL
    WHERE g.rule_id = rule.id AND g.symbol = progress.symbol;
    IF NOT quiet THEN
        PERFORM _hypertick.announce(rule, 'retracted', gone);
        IF rule.notify_resolved THEN
            PERFORM _hypertick.announce(rule, 'resolved', ended);
        END IF;
        PERFORM _hypertick.announce(rule, 'opened', opened);
    END IF;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int) IS
    'Evaluates the bars of a symbol from the end of the last evaluation to "to", or from revised on if that is '
    'before; writes new events, and revises or retracts those that no longer hold. lookback is how many past bars '
    'of a symbol are evaluated when it is first seen.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION _hypertick.end_events(rule_id bigint) RETURNS void
LANGUAGE sql
SET search_path = pg_catalog, pg_temp
AS $$
    UPDATE alert.events e
    SET state = 'resolved', resolved = now(), changed = clock_timestamp(), change_id = nextval('alert.change_id')
    WHERE e.rule_id = end_events.rule_id AND e.state = 'firing'
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.end_events(bigint) IS
    'Ends what a rule has found, because the rule has changed or is gone.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.evaluate_rule(
    rule_id bigint, config jsonb, until timestamptz DEFAULT 'infinity')
RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    grace    CONSTANT interval := coalesce((config ->> 'grace')::interval, _hypertick.alert_grace());
    lookback CONSTANT int := coalesce((config ->> 'lookback')::int, 60);
    backlog  CONSTANT bigint := coalesce((config ->> 'backlog')::bigint, 1000);
    began    CONSTANT timestamptz := clock_timestamp();
    rule     alert.rules;
    run      alert.runs;
    bars     _hypertick.interval_source;
    source   text;
    closed   timestamptz;
    behind   boolean;
    stored   timestamptz;
    last_id  bigint;
    due      record;
    n        int := 0;
    late     boolean := false;
    wrong    text;
    text_    text;
BEGIN
    -- One writer at a time, so that change_id becomes visible in its order.
    PERFORM pg_advisory_xact_lock(hashtext('alert.events'));
    SELECT r.* INTO rule FROM alert.rules r WHERE r.id = rule_id;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    SELECT coalesce(max(v.id), 0) INTO last_id FROM public.bar_revisions v;
    INSERT INTO alert.runs AS x (rule_id, version, revision_id) VALUES (rule.id, rule.version, last_id)
    ON CONFLICT ON CONSTRAINT runs_pkey DO NOTHING;
    SELECT x.* INTO run FROM alert.runs x WHERE x.rule_id = rule.id;
    IF rule.condition <> 'fails' THEN
        bars := _hypertick.find_interval(rule."interval");
        closed := public.time_bucket(bars.width, now() - grace);
        -- The interval whose revisions tell of these bars: the one they are rolled up
        -- from; for bars made of ticks, the shortest there is.
        SELECT i."interval" INTO source
        FROM public.intervals i
        WHERE i.materialized AND bars.relation IN ('ticks', 'candles_' || i."interval")
        ORDER BY i.width LIMIT 1;
    END IF;
    IF run.version <> rule.version THEN
        -- What it found under its old terms is over, and the new ones begin with
        -- the bar that is forming.
        PERFORM _hypertick.end_events(rule.id);
        DELETE FROM alert.progress g WHERE g.rule_id = rule.id AND rule.condition = 'fails';
        UPDATE alert.progress g
        SET since = greatest(start.at, g.upto), upto = greatest(start.at, g.upto), revised = NULL, error = NULL
        FROM (
            SELECT k.symbol, _hypertick.bucket_from(greatest(closed, k.upto), bars.width) AS at
            FROM alert.progress k
            WHERE k.rule_id = rule.id
        ) start
        WHERE g.rule_id = rule.id AND g.symbol = start.symbol;
    END IF;
    IF rule.enabled AND rule.condition = 'fails' THEN
        n := _hypertick.evaluate_health(rule);
    ELSIF rule.enabled THEN
        -- While ingest works off a backlog a symbol's bars are whole only up to
        -- its newest tick, whatever the clock says; and who is new to the rule
        -- waits, for history that is being loaded is no news.
        SELECT coalesce(sum(newest.behind), 0) > backlog INTO behind
        FROM (
            SELECT DISTINCT ON (activity.topic, activity.partition) activity.behind
            FROM public.ingest_activity activity
            WHERE activity.minute > now() - INTERVAL '10 minutes'
            ORDER BY activity.topic, activity.partition, activity.minute DESC
        ) newest;
        -- Bars that are not materialised yet are computed by each who reads them:
        -- where there are many of those, the refresh goes first.
        SELECT w.watermark INTO stored
        FROM public.watermarks w
        WHERE w.schema = 'public' AND w.relation = bars.relation;
        FOR due IN
            SELECT feed.symbol, revision.bucket AS revised,
                   CASE WHEN behind THEN least(closed, public.time_bucket(bars.width, feed.last_ts))
                        ELSE closed END AS closed
            FROM (
                SELECT p.symbol, max(p.last_ts) AS last_ts FROM public.feed_positions p GROUP BY p.symbol
            ) feed
            LEFT JOIN alert.progress progress ON progress.rule_id = rule.id AND progress.symbol = feed.symbol
            LEFT JOIN (
                SELECT v.symbol, min(v.bucket) AS bucket
                FROM public.bar_revisions v
                WHERE v.id > run.revision_id AND v.id <= last_id AND (v."interval" = source OR v.whole)
                GROUP BY v.symbol
            ) revision ON revision.symbol = feed.symbol
            WHERE _hypertick.matches(feed.symbol, rule.symbols)
              AND (bars.relation = 'ticks' OR least(feed.last_ts, now()) - stored < INTERVAL '1 day' + bars.width)
              AND (progress.symbol IS NULL AND NOT behind
                   OR feed.last_ts >= progress.upto AND closed > progress.upto
                   OR revision.bucket < progress.upto
                   OR progress.revised IS NOT NULL
                   OR progress.error IS NOT NULL)
            ORDER BY feed.symbol
        LOOP
            late := late OR clock_timestamp() > until;
            IF late THEN
                -- The next run resumes from here.
                UPDATE alert.progress g SET revised = least(g.revised, due.revised)
                WHERE due.revised IS NOT NULL AND g.rule_id = rule.id AND g.symbol = due.symbol;
                CONTINUE;
            END IF;
            n := n + 1;
            BEGIN
                PERFORM _hypertick.evaluate_symbol(rule, due.symbol, due.closed,
                                                   public.time_bucket(bars.width, due.revised), lookback);
            EXCEPTION WHEN OTHERS THEN
                GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
                wrong := coalesce(wrong, due.symbol || ': ' || text_);
                UPDATE alert.progress g SET revised = least(g.revised, due.revised), error = text_
                WHERE g.rule_id = rule.id AND g.symbol = due.symbol;
            END;
        END LOOP;
    END IF;
    UPDATE alert.runs x
    SET version = rule.version, revision_id = last_id, finished_at = clock_timestamp(),
        took = clock_timestamp() - began, symbols = n, error = wrong
    WHERE x.rule_id = rule.id;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.evaluate_rule(bigint, jsonb, timestamptz) IS
    'Evaluates a rule for every symbol that has bars it has not seen, or that late ticks have changed; after until '
    'no further symbol is begun.';
-- +goose StatementEnd
-- +goose StatementBegin
CREATE FUNCTION _hypertick.end_rule() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- The lock before the rows, as the evaluation takes them.
    IF TG_LEVEL = 'STATEMENT' THEN
        PERFORM pg_advisory_xact_lock(hashtext('alert.events'));
    ELSE
        PERFORM _hypertick.end_events(OLD.id);
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.end_rule() IS 'Trigger: ends what a deleted rule has found.';
CREATE TRIGGER end_rule_first BEFORE DELETE ON alert.rules
    FOR EACH STATEMENT EXECUTE FUNCTION _hypertick.end_rule();
CREATE TRIGGER end_rule AFTER DELETE ON alert.rules
    FOR EACH ROW EXECUTE FUNCTION _hypertick.end_rule();

-- No SET search_path here: a procedure with one may not COMMIT.
-- +goose StatementBegin
CREATE PROCEDURE _hypertick.evaluate_alerts(job_id int, config jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    -- Without a scheduler one backend serves all, and nobody else is served while
    -- a job runs: so it runs shortly, and more often.
    budget CONSTANT interval := coalesce((config ->> 'budget')::interval,
        CASE WHEN _hypertick.has_scheduler() THEN INTERVAL '10 minutes' ELSE INTERVAL '1 second' END);
    until  CONSTANT timestamptz := clock_timestamp() + budget;
    ids    bigint[];
    i      bigint;
    text_  text;
BEGIN
    -- Health first, while heartbeats are fresh; then what has waited longest.
    SELECT array_agg(r.id ORDER BY r.condition <> 'fails', x.finished_at NULLS FIRST, r.id) INTO ids
    FROM alert.rules r LEFT JOIN alert.runs x ON x.rule_id = r.id;
    FOREACH i IN ARRAY coalesce(ids, '{}') LOOP
        BEGIN
            PERFORM _hypertick.evaluate_rule(i, config, until);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS text_ = MESSAGE_TEXT;
            UPDATE alert.runs x SET finished_at = clock_timestamp(), error = text_ WHERE x.rule_id = i;
        END;
        COMMIT;
        EXIT WHEN clock_timestamp() > until;
    END LOOP;
END
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON PROCEDURE _hypertick.evaluate_alerts(int, jsonb) IS
    'Job: evaluates every rule, each in a transaction of its own. config: budget, how long a run may take before it '
    'leaves the rest to the next; grace, how long after its end a bar counts as closed; lookback, bars a new symbol '
    'is looked back on; backlog, from how many records on ingest counts as behind.';
-- +goose StatementEnd
REVOKE EXECUTE ON PROCEDURE _hypertick.evaluate_alerts(int, jsonb) FROM PUBLIC;
SELECT add_job('_hypertick.evaluate_alerts', INTERVAL '5 seconds',
    config => '{"grace": "4 seconds", "lookback": 60, "backlog": 1000}', fixed_schedule => false);
-- +goose StatementBegin
CREATE FUNCTION alert.preview(
    rule_id bigint, "from" timestamptz, "to" timestamptz, symbols text[] DEFAULT '{*}')
RETURNS TABLE (
    symbol text, bar timestamptz, value float8, threshold float8, resolved timestamptz, message text)
LANGUAGE plpgsql STABLE ROWS 100
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    rule   alert.rules;
    closed timestamptz;
BEGIN
    SELECT r.* INTO rule FROM alert.rules r WHERE r.id = rule_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'rule_id: there is no rule %', coalesce(rule_id::text, 'null')
            USING ERRCODE = 'no_data_found';
    END IF;
    IF rule.condition = 'fails' THEN
        RAISE EXCEPTION 'condition: want one on bars, the health of the pipeline has no history'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    closed := least("to", public.time_bucket((_hypertick.find_interval(rule."interval")).width,
                                             now() - _hypertick.alert_grace()));
    RETURN QUERY
    SELECT feed.symbol, event.bar, event.value, event.threshold, event.resolved,
           _hypertick.rule_message(rule, feed.symbol, event.value, event.threshold)
    FROM (
        SELECT DISTINCT p.symbol
        FROM public.feed_positions p
        WHERE _hypertick.matches(p.symbol, rule.symbols) AND _hypertick.matches(p.symbol, symbols)
    ) feed
    CROSS JOIN LATERAL _hypertick.rule_events(rule, feed.symbol, "from", closed) event
    ORDER BY event.bar, feed.symbol;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION alert.preview(bigint, timestamptz, timestamptz, text[]) IS
    'Dry run: the events that a rule would have found on closed bars with "from" <= bucket < "to".';
REVOKE EXECUTE ON FUNCTION
    _hypertick.alert_grace(),
    _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz),
    _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz),
    _hypertick.figure(float8),
    _hypertick.rule_label(text, text, jsonb),
    _hypertick.rule_message(alert.rules, text, float8, float8),
    _hypertick.announce(alert.rules, text, alert.events[]),
    _hypertick.revise(alert.events, float8, float8, timestamptz, text, text),
    _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int),
    _hypertick.end_events(bigint),
    _hypertick.evaluate_rule(bigint, jsonb, timestamptz),
    _hypertick.end_rule(),
    alert.preview(bigint, timestamptz, timestamptz, text[])
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.alert_grace(),
    _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz),
    _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz),
    _hypertick.figure(float8),
    _hypertick.rule_label(text, text, jsonb),
    _hypertick.rule_message(alert.rules, text, float8, float8),
    alert.preview(bigint, timestamptz, timestamptz, text[])
TO hypertick_reader;

-- 20_alert_defaults.sql -------------------------------------------------------

-- Default rules. They are rows like any other: change them, disable them, delete
-- them.
INSERT INTO alert.rules
    (name, description, "interval", indicator, params, series, condition, threshold, upper, bars, cooldown, severity)
VALUES
    -- Of a price that has not moved the RSI says nothing, whatever TA-Lib's value is.
    ('rsi-above-70', 'RSI 14 says overbought.',
     '5m', 'rsi', '{"flat": 50}', 'rsi', 'above', 70, NULL, 1, '30 minutes', 'info'),
    ('rsi-below-30', 'RSI 14 says oversold.',
     '5m', 'rsi', '{"flat": 50}', 'rsi', 'below', 30, NULL, 1, '30 minutes', 'info'),
    ('golden-cross', 'The average of 50 bars crossed above that of 200.',
     '15m', 'trend', '{}', 'cross', 'above', 0, NULL, 1, '0', 'warning'),
    ('death-cross', 'The average of 50 bars crossed below that of 200.',
     '15m', 'trend', '{}', 'cross', 'below', 0, NULL, 1, '0', 'warning'),
    ('return-anomaly', 'The return of a bar is more than 4 standard deviations from usual.',
     '1m', 'zscore', '{}', 'zscore', 'outside', -4, 4, 1, '5 minutes', 'warning'),
    ('volume-spike', 'Four times the usual volume.',
     '1m', 'volume_spike', '{}', 'ratio', 'above', 4, NULL, 1, '5 minutes', 'info'),
    ('bollinger-breakout', 'The close is outside the Bollinger bands.',
     '5m', 'bollinger', '{}', 'percent_b', 'outside', 0, 1, 1, '30 minutes', 'info'),
    ('price-move', 'The close moved by 3 % in 15 minutes.',
     '1m', 'sma', '{"period": 1}', 'sma', 'changes', 3, NULL, 15, '15 minutes', 'critical');

-- 21_pipeline.sql -------------------------------------------------------------

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
-- +goose StatementBegin
CREATE FUNCTION _hypertick.job_error(job_id int) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((
        SELECT e.err_message FROM timescaledb_information.job_errors e
        WHERE e.job_id = job_error.job_id ORDER BY e.finish_time DESC LIMIT 1), 'failed')
$$;
-- +goose StatementEnd
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
-- +goose StatementBegin
COMMENT ON FUNCTION _hypertick.job_rank(text, text) IS
    'In which order jobs that are due together run; among equals the older job goes first.';
-- +goose StatementEnd
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
-- +goose StatementBegin
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
-- +goose StatementEnd
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
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION bad_ticks(timestamptz, timestamptz) IS
    'Ticks that the constraints of ticks would refuse. They make refreshes fail. It reads all ticks of the range.';
REVOKE EXECUTE ON FUNCTION bad_ticks(timestamptz, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bad_ticks(timestamptz, timestamptz)
TO hypertick_reader, hypertick_writer, hypertick_operator;
-- +goose StatementBegin
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
-- +goose StatementEnd
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
-- +goose StatementBegin
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
-- +goose StatementEnd
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
-- +goose StatementBegin
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
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.evaluate_health(alert.rules) IS
    'Evaluates a rule of condition fails: an event opens when a part of pipeline has failed for ten seconds, and '
    'ends when it works again or is gone.';
REVOKE EXECUTE ON FUNCTION _hypertick.evaluate_health(alert.rules) FROM PUBLIC;
INSERT INTO alert.rules (name, description, symbols, condition, cooldown, severity, notify_resolved) VALUES
    ('pipeline-failure', 'A part of the pipeline has failed.', '{*}', 'fails', '5 minutes', 'critical', true);

-- 22_api_activity.sql ---------------------------------------------------------

-- Request statistics of the API, by the minute: number, status and latency. Each
-- process of the API writes a closed minute once, in one statement, as
-- hypertick_operator, and the last one when it stops.
CREATE TABLE api_activity (
    minute        timestamptz NOT NULL,
    instance      text        NOT NULL,
    started_at    timestamptz NOT NULL,
    method        text        NOT NULL,
    route         text        NOT NULL,
    requests      int         NOT NULL,
    client_errors int         NOT NULL,
    server_errors int         NOT NULL,
    bytes         bigint      NOT NULL,
    seconds       float8      NOT NULL,
    latency       int[]       NOT NULL
);
SELECT create_hypertable('api_activity', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);

-- A process writes rows of its own, so nothing is ever added to a row, and one
-- that does not know whether its rows were stored may send them again.
CREATE UNIQUE INDEX api_activity_key ON api_activity (minute, instance, started_at, method, route);
SELECT add_retention_policy('api_activity', INTERVAL '30 days', schedule_interval => INTERVAL '1 day');
COMMENT ON TABLE api_activity IS
    'What the API answered, by minute, instance and operation. No row where nothing was asked. Rows go after 30 '
    'days.';
COMMENT ON COLUMN api_activity.minute IS 'Minute in which the answers were ready.';
COMMENT ON COLUMN api_activity.instance IS 'Host and port of the API.';
COMMENT ON COLUMN api_activity.started_at IS
    'When its process was started: one restarted within a minute has a row of its own.';
COMMENT ON COLUMN api_activity.method IS 'Method of HTTP, or other.';
-- +goose StatementBegin
COMMENT ON COLUMN api_activity.route IS
    'Path as the OpenAPI document writes it; /assets/{file} is the page''s, unknown what leads nowhere, malformed '
    'what could not be read.';
-- +goose StatementEnd
COMMENT ON COLUMN api_activity.requests IS 'Requests answered, errors included.';
COMMENT ON COLUMN api_activity.client_errors IS 'Of these, with a status of 400 to 499.';
COMMENT ON COLUMN api_activity.server_errors IS 'Of these, with a status of 500 and more.';
-- +goose StatementBegin
COMMENT ON COLUMN api_activity.bytes IS 'Bytes of the bodies; those of event streams are not counted.';
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON COLUMN api_activity.seconds IS
    'Time from arrival until the answer was ready to be sent, all requests together; of a stream, until it began.';
-- +goose StatementEnd
COMMENT ON COLUMN api_activity.latency IS
    'Requests by that time: the first element counts up to 0.125 ms, each further one up to sqrt(2) times more, the '
    '38th what took over 32.768 s. Zeros at the end are left out. See latency_sum() and latency_quantile().';
COMMENT ON INDEX api_activity_key IS 'One row for an operation, minute and process.';
GRANT SELECT ON api_activity TO hypertick_reader;
GRANT INSERT ON api_activity TO hypertick_operator;

-- No SET search_path on the step: it would cost more than the step itself.
-- +goose StatementBegin
CREATE FUNCTION _hypertick.latency_step(state bigint[], latency int[]) RETURNS bigint[]
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
BEGIN
    FOR i IN 1 .. cardinality(latency) LOOP
        state[i] := coalesce(state[i], 0) + latency[i];
    END LOOP;
    RETURN state;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.latency_step(bigint[], int[]) IS 'Adds a histogram of latencies to others.';
CREATE AGGREGATE latency_sum(latency int[])
    (sfunc = _hypertick.latency_step, stype = bigint[], initcond = '{}', parallel = safe);
COMMENT ON AGGREGATE latency_sum(int[]) IS
    'The histogram of all requests whose histograms these are: latency_quantile() reads it.';
-- +goose StatementBegin
CREATE FUNCTION latency_quantile(latency bigint[], q float8) RETURNS float8
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN b.i = 1 THEN 0.125 * b.part WHEN b.i = 38 THEN 32768 ELSE power(2, (b.i + b.part) / 2 - 4) END
    FROM (
        SELECT s.i, s.upto, latency_quantile.q * s.total AS rank,
               (latency_quantile.q * s.total - s.upto + s.n) / s.n AS part
        FROM (
            SELECT u.i, u.n::float8 AS n,
                   sum(u.n) OVER (ORDER BY u.i)::float8 AS upto, sum(u.n) OVER ()::float8 AS total
            FROM unnest(latency_quantile.latency) WITH ORDINALITY u(n, i)
        ) s
        WHERE s.n > 0
    ) b
    WHERE b.upto >= b.rank AND latency_quantile.q BETWEEN 0 AND 1
    ORDER BY b.i LIMIT 1
$$;
-- +goose StatementEnd
-- +goose StatementBegin
COMMENT ON FUNCTION latency_quantile(bigint[], float8) IS
    'The latency, in ms, that the share q (0 to 1) of the requests in a histogram did not exceed. Within the class '
    'that holds the request at q the requests are taken to be spread evenly on a logarithmic scale, in the first one '
    '(below 0.125 ms) on a linear one; so it is off by less than a factor of sqrt(2), and by far less where many '
    'requests lie in the class. 32768 where the request took longer than that. NULL where there is none.';
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION
    _hypertick.latency_step(bigint[], int[]),
    latency_sum(int[]),
    latency_quantile(bigint[], float8)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    _hypertick.latency_step(bigint[], int[]),
    latency_sum(int[]),
    latency_quantile(bigint[], float8)
TO hypertick_reader;
CREATE VIEW api_traffic AS
SELECT a.minute, a.method, a.route,
       sum(a.requests) AS requests,
       sum(a.requests) / 60::float8 AS per_second,
       sum(a.client_errors) AS client_errors,
       sum(a.server_errors) AS server_errors,
       sum(a.bytes)::bigint AS bytes,
       1000 * sum(a.seconds) / sum(a.requests) AS mean_ms,
       public.latency_quantile(public.latency_sum(a.latency), 0.5) AS p50_ms,
       public.latency_quantile(public.latency_sum(a.latency), 0.95) AS p95_ms,
       public.latency_quantile(public.latency_sum(a.latency), 0.99) AS p99_ms
FROM public.api_activity a
GROUP BY a.minute, a.method, a.route;
COMMENT ON VIEW api_traffic IS
    'Rate, errors and latency of each operation of the API by minute, all instances together. For other groups, sum '
    'api_activity with latency_sum().';
COMMENT ON COLUMN api_traffic.minute IS 'Minute in which the answers were ready.';
COMMENT ON COLUMN api_traffic.method IS 'Method of HTTP.';
COMMENT ON COLUMN api_traffic.route IS 'Path as the OpenAPI document writes it.';
COMMENT ON COLUMN api_traffic.requests IS 'Requests answered, errors included.';
COMMENT ON COLUMN api_traffic.per_second IS 'Requests a second.';
COMMENT ON COLUMN api_traffic.client_errors IS 'Requests with a status of 400 to 499.';
COMMENT ON COLUMN api_traffic.server_errors IS 'Requests with a status of 500 and more.';
COMMENT ON COLUMN api_traffic.bytes IS 'Bytes of the bodies, event streams aside.';
COMMENT ON COLUMN api_traffic.mean_ms IS 'Mean latency, exact.';
-- +goose StatementBegin
COMMENT ON COLUMN api_traffic.p50_ms IS 'Latency that half of the requests did not exceed; see latency_quantile().';
-- +goose StatementEnd
COMMENT ON COLUMN api_traffic.p95_ms IS 'Latency that 95 % of them did not exceed.';
COMMENT ON COLUMN api_traffic.p99_ms IS 'Latency that 99 % of them did not exceed.';
GRANT SELECT ON api_traffic TO hypertick_reader;

INSERT INTO _hypertick.baseline (checksum) VALUES ('651c86c7f463793c33200c67e069ad19b1a4ab6c473b39f3cb0f9ddee10cb762');

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    name text;
BEGIN
    PERFORM delete_job(j.job_id) FROM timescaledb_information.jobs j
    WHERE j.proc_schema = '_hypertick'
       OR j.hypertable_schema IN ('_hypertick', 'alert')
       OR j.hypertable_schema = 'public' AND (j.hypertable_name IN ('ticks', 'ingest_activity', 'api_activity')
           OR j.hypertable_name IN (SELECT 'candles_' || i."interval" FROM intervals i));
    UPDATE intervals SET kind = 'own' WHERE materialized;
    FOR name IN SELECT i."interval" FROM intervals i WHERE i.materialized ORDER BY i.width DESC LOOP
        PERFORM remove_interval(name);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP VIEW api_traffic;
DROP FUNCTION latency_quantile(bigint[], float8);
DROP AGGREGATE latency_sum(int[]);
DROP FUNCTION _hypertick.latency_step(bigint[], int[]);
DROP TABLE api_activity;
DROP FUNCTION _hypertick.evaluate_health(alert.rules);
DROP VIEW pipeline;
DROP VIEW _hypertick.pipeline_alerts;
DROP VIEW _hypertick.pipeline_database;
DROP VIEW _hypertick.pipeline_stream;
DROP VIEW _hypertick.pipeline_processes;
DROP FUNCTION _hypertick.blame(text);
DROP FUNCTION bad_ticks(timestamptz, timestamptz);
DROP FUNCTION _hypertick.seconds_since(timestamptz);
DROP FUNCTION _hypertick.pipeline_limit(text, text);
DROP TABLE pipeline_advice;
DROP VIEW storage;
DROP VIEW watermarks;
DROP FUNCTION _hypertick.job_rank(text, text);
DROP VIEW job_status;
DROP FUNCTION _hypertick.job_error(int);
DROP TABLE _hypertick.job_runs;
DROP TABLE heartbeats;
DROP FUNCTION alert.preview(bigint, timestamptz, timestamptz, text[]);
DROP PROCEDURE _hypertick.evaluate_alerts(int, jsonb);
DROP TRIGGER end_rule ON alert.rules;
DROP TRIGGER end_rule_first ON alert.rules;
DROP FUNCTION _hypertick.end_rule();
DROP FUNCTION _hypertick.evaluate_rule(bigint, jsonb, timestamptz);
DROP FUNCTION _hypertick.end_events(bigint);
DROP FUNCTION _hypertick.evaluate_symbol(alert.rules, text, timestamptz, timestamptz, int);
DROP FUNCTION _hypertick.revise(alert.events, float8, float8, timestamptz, text, text);
DROP FUNCTION _hypertick.announce(alert.rules, text, alert.events[]);
DROP FUNCTION _hypertick.rule_message(alert.rules, text, float8, float8);
DROP FUNCTION _hypertick.rule_label(text, text, jsonb);
DROP FUNCTION _hypertick.figure(float8);
DROP FUNCTION _hypertick.rule_events(alert.rules, text, timestamptz, timestamptz, boolean, timestamptz);
DROP FUNCTION _hypertick.rule_bars(alert.rules, text, timestamptz, timestamptz);
DROP FUNCTION _hypertick.alert_grace();
DROP PROCEDURE _hypertick.clear_outbox(int, jsonb);
DROP TRIGGER wake_notifiers ON alert.outbox;
DROP FUNCTION _hypertick.wake_notifiers();
DROP TABLE alert.outbox;
DROP TABLE alert.runs;
DROP TABLE alert.progress;
DROP TABLE alert.events;
DROP SEQUENCE IF EXISTS alert.change_id;
DROP SEQUENCE IF EXISTS alert.event_id;
DROP TRIGGER check_rule ON alert.rules;
DROP FUNCTION _hypertick.check_rule();
DROP FUNCTION _hypertick.check_series(text, text, text, jsonb, text);
DROP FUNCTION _hypertick.matches(text, text[]);
DROP TABLE alert.rules;
DROP TABLE alert.channels;
DROP FUNCTION _hypertick.quality_split_entered(text, timestamptz);
DROP FUNCTION _hypertick.quality_splits(timestamptz, timestamptz, float8, float8, float8);
DROP FUNCTION _hypertick.ended_days(timestamptz, timestamptz);
DROP PROCEDURE _hypertick.check_quality(int, jsonb);
DROP FUNCTION _hypertick.quality_check(jsonb, timestamptz);
DROP FUNCTION _hypertick.quality_hampel(float8[], float8[]);
DROP FUNCTION _hypertick.quality_around(text, text, timestamptz, bigint);
DROP FUNCTION _hypertick.quality_crossed(timestamptz, float8);
DROP FUNCTION _hypertick.quality_skew(timestamptz, interval, interval);
DROP FUNCTION _hypertick.quality_stale(timestamptz, interval, float8);
DROP TABLE _hypertick.quality_waiting;
DROP TABLE quality_runs;
DROP TABLE quality_findings;
DROP PROCEDURE _hypertick.verify_sample(int, jsonb);
DROP FUNCTION _hypertick.has_scheduler();
DROP TABLE verify_drift;
DROP TABLE verify_runs;
DROP FUNCTION _hypertick.verify_seqs(text, timestamptz, timestamptz);
DROP FUNCTION _hypertick.verify_blocks(text, timestamptz, timestamptz, text);
DROP FUNCTION _hypertick.verify_candles(timestamptz, timestamptz, text, text[]);
DROP FUNCTION _hypertick.verify_pending();
DROP FUNCTION _hypertick.verify_diff(jsonb, jsonb, text[]);
DROP TYPE _hypertick.seq_finding;
DROP TYPE _hypertick.drift;
DROP VIEW _hypertick.verify_waiting;
DROP VIEW _hypertick.verify_levels;
DROP FUNCTION _hypertick.busiest_symbol(text);
DROP FUNCTION snapshot(text, text);
DROP FUNCTION indicator.market(text, timestamptz, timestamptz, text[]);
DROP FUNCTION indicator.latest(text);
DROP FUNCTION _hypertick.series(text, int, int, text);
DROP AGGREGATE _hypertick.concat_agg(float8[]);
DROP FUNCTION indicator.volume_spike(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.zscore(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.volatility(text, text, timestamptz, timestamptz, int, float8);
DROP FUNCTION indicator.obv(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.vwap(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.roc(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.stochastic(text, text, timestamptz, timestamptz, int, int, int);
DROP FUNCTION indicator.adx(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.atr(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.rsi(text, text, timestamptz, timestamptz, int, float8);
DROP FUNCTION indicator.trend(text, text, timestamptz, timestamptz, int, int);
DROP FUNCTION indicator.bollinger(text, text, timestamptz, timestamptz, int, float8);
DROP FUNCTION indicator.macd(text, text, timestamptz, timestamptz, int, int, int);
DROP FUNCTION indicator.ema(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.wma(text, text, timestamptz, timestamptz, int);
DROP FUNCTION indicator.sma(text, text, timestamptz, timestamptz, int);
DROP FUNCTION _hypertick.side(float8, float8);
DROP FUNCTION _hypertick.log_return(float8, float8);
DROP FUNCTION _hypertick.change(float8, float8);
DROP FUNCTION indicator.evaluate(text, text, text, timestamptz, timestamptz, jsonb);
DROP VIEW indicator.catalog;
DROP FUNCTION _hypertick.in_range(text, float8, float8, float8);
DROP FUNCTION _hypertick.forget(float8);
DROP TYPE indicator.point;
DROP PROCEDURE _hypertick.apply_tick_changes(int, jsonb);
DROP FUNCTION _hypertick.apply_tick_change(tick_changes);
DROP FUNCTION _hypertick.find_tick(text, text, bigint, timestamptz);
DROP TABLE tick_changes;
DROP TABLE ticks_undone;
DROP PROCEDURE _hypertick.note_revisions(int, jsonb);
DROP FUNCTION _hypertick.same_bar(candle, candle);
DROP PROCEDURE _hypertick.move_late_ticks(int, jsonb);
DROP TABLE bar_revisions;
DROP TABLE _hypertick.awaited_revisions;
DROP TABLE _hypertick.late_arrivals;
DROP FUNCTION _hypertick.blocks_before(text, text, timestamptz, bigint, bigint);
DROP FUNCTION _hypertick.raw_candles(text, text, timestamptz, timestamptz);
DROP FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint);
DROP FUNCTION _hypertick.make_candles_function();
DROP FUNCTION _hypertick.roll_up_before(_hypertick.interval_source, text, timestamptz, bigint);
DROP FUNCTION _hypertick.roll_up(_hypertick.interval_source, text, timestamptz, timestamptz, bigint);
DROP FUNCTION _hypertick.rolled_up(_hypertick.interval_source, text);
DROP FUNCTION vwap(float8, float8);
DROP TYPE candle;
DROP PROCEDURE _hypertick.follow_retention(int, jsonb);
DROP FUNCTION set_retention(text, interval);
DROP FUNCTION _hypertick.apply_retention();
DROP FUNCTION tick_horizon();
DROP VIEW retention;
DROP TABLE _hypertick.retention;
DROP FUNCTION remove_interval(text);
DROP FUNCTION add_interval(text, interval);
DROP FUNCTION _hypertick.make_blocks(intervals);
DROP FUNCTION _hypertick.make_candles(intervals);
DROP FUNCTION _hypertick.refresh_batch(interval, interval);
DROP FUNCTION _hypertick.shown_columns();
DROP FUNCTION _hypertick.candle_columns(text, interval);
DROP FUNCTION _hypertick.bars_per_year(text);
DROP FUNCTION _hypertick.block_width(text);
DROP FUNCTION _hypertick.bucket_from(timestamptz, interval);
DROP FUNCTION _hypertick.bucket_end(timestamptz, interval);
DROP FUNCTION _hypertick.find_interval(text);
DROP TYPE _hypertick.interval_source;
DROP FUNCTION _hypertick.interval_names();
DROP FUNCTION _hypertick.divides(interval, interval);
DROP FUNCTION _hypertick.months(interval);
DROP FUNCTION _hypertick.interval_width(text);
DROP TABLE intervals;
DROP FUNCTION _hypertick.make_blocks_function();
DROP TYPE indicator.block;
DROP AGGREGATE _hypertick.block_agg(float8, float8, float8, float8);
DROP FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8);
DROP TYPE _hypertick.block;
DROP FUNCTION indicator.obv(indicator.obv_state);
DROP AGGREGATE indicator.rollup(indicator.obv_state);
DROP AGGREGATE indicator.obv_agg(float8, float8);
DROP FUNCTION _hypertick.obv_join(indicator.obv_state, indicator.obv_state);
DROP FUNCTION _hypertick.obv_step(indicator.obv_state, float8, float8);
DROP FUNCTION indicator.stddev(indicator.sum_state);
DROP FUNCTION indicator.variance(indicator.sum_state);
DROP FUNCTION indicator.mean(indicator.sum_state);
DROP FUNCTION indicator.max(indicator.sum_state);
DROP FUNCTION indicator.min(indicator.sum_state);
DROP FUNCTION indicator.sum_squares(indicator.sum_state);
DROP FUNCTION indicator.sum(indicator.sum_state);
DROP FUNCTION indicator.count(indicator.sum_state);
DROP AGGREGATE indicator.rollup(indicator.sum_state);
DROP AGGREGATE indicator.sum_agg(float8);
DROP FUNCTION _hypertick.sum_join(indicator.sum_state, indicator.sum_state);
DROP FUNCTION _hypertick.sum_step(indicator.sum_state, float8);
DROP FUNCTION indicator.atr(indicator.atr_state);
DROP FUNCTION indicator.atr(indicator.atr_state, float8);
DROP AGGREGATE indicator.rollup(indicator.atr_state);
DROP AGGREGATE indicator.atr_agg(float8, float8, float8, int);
DROP FUNCTION _hypertick.atr_join(indicator.atr_state, indicator.atr_state);
DROP FUNCTION _hypertick.atr_step(indicator.atr_state, float8, float8, float8, int);
DROP FUNCTION indicator.rsi(indicator.rsi_state);
DROP FUNCTION indicator.rsi(indicator.rsi_state, float8, float8);
DROP FUNCTION _hypertick.rsi_value(indicator.rsi_state, float8, float8, float8);
DROP AGGREGATE indicator.rollup(indicator.rsi_state);
DROP AGGREGATE indicator.rsi_agg(float8, int);
DROP FUNCTION _hypertick.rsi_join(indicator.rsi_state, indicator.rsi_state);
DROP FUNCTION _hypertick.rsi_step(indicator.rsi_state, float8, int);
DROP FUNCTION indicator.ema(indicator.ema_state);
DROP FUNCTION indicator.ema(indicator.ema_state, float8);
DROP AGGREGATE indicator.rollup(indicator.ema_state);
DROP AGGREGATE indicator.ema_agg(float8, int);
DROP FUNCTION _hypertick.ema_join(indicator.ema_state, indicator.ema_state);
DROP FUNCTION _hypertick.ema_step(indicator.ema_state, float8, int);
DROP TYPE indicator.obv_state;
DROP TYPE indicator.sum_state;
DROP TYPE indicator.atr_state;
DROP TYPE indicator.rsi_state;
DROP TYPE indicator.ema_state;
DROP VIEW topic_lag;
DROP TABLE topic_changes;
DROP TABLE lost_ranges;
DROP TABLE topic_ends;
DROP FUNCTION next_open(text, timestamptz);
DROP FUNCTION is_open(text, timestamptz);
DROP FUNCTION market_status(text, timestamptz);
DROP FUNCTION trading_day(text, timestamptz);
DROP FUNCTION _hypertick.session_at(text, timestamptz);
DROP FUNCTION _hypertick.calendar_of(text);
DROP TRIGGER use_calendars_of_changed ON feed_venues;
DROP TRIGGER use_calendars_of_new ON feed_venues;
DROP TRIGGER use_calendars_of_changed ON instruments;
DROP TRIGGER use_calendars_of_new ON instruments;
DROP FUNCTION _hypertick.use_calendars();
DROP FUNCTION make_sessions(text);
DROP FUNCTION expand_sessions(text, date, date);
DROP TABLE corporate_actions;
DROP TABLE former_symbols;
DROP TABLE instruments;
DROP TABLE ingest_activity;
DROP TABLE dead_letters_handled;
DROP TABLE feed_conflicts;
DROP TABLE feed_gaps;
DROP TABLE trade_conditions;
DROP TABLE trade_flags;
DROP TABLE feed_venues;
DROP TABLE feed_positions;
DROP TABLE ingest_offsets;
DROP TABLE sessions;
DROP TABLE calendar_exceptions;
DROP TABLE calendar_rules;
DROP TABLE calendars;
DROP FUNCTION widen_history(timestamptz, timestamptz, bigint);
DROP FUNCTION _hypertick.widen_chunk(regclass, timestamptz, int);
DROP VIEW _hypertick.wide_chunks;
DROP FUNCTION _hypertick.history_cell(timestamptz, int);
DROP TABLE late_ticks;
DROP FUNCTION known_at(ticks);
DROP TABLE ticks;
DROP TABLE _hypertick.baseline;
DROP SCHEMA alert;
DROP SCHEMA indicator;
DROP SCHEMA _hypertick;
REVOKE USAGE ON SCHEMA public FROM hypertick_writer, hypertick_reader, hypertick_operator;
-- +goose StatementBegin
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['hypertick_reader', 'hypertick_writer', 'hypertick_operator'] LOOP
        BEGIN
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION
            WHEN dependent_objects_still_exist THEN
                RAISE NOTICE 'role % is still used by another database and stays', role;
            WHEN undefined_object THEN
                NULL;
        END;
    END LOOP;
END
$$;
-- +goose StatementEnd

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
COMMENT ON FUNCTION _hypertick.interval_width(text) IS
    'Length of the bars of an interval by its name: 90m, 4h, 2w, 3mo. NULL where it is none. Seconds must divide a '
    'minute.';

CREATE FUNCTION _hypertick.months(width interval) RETURNS int
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (extract(year FROM width) * 12 + extract(month FROM width))::int;
COMMENT ON FUNCTION _hypertick.months(interval) IS 'Months of a width; 0 where it is a number of seconds.';

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
COMMENT ON FUNCTION _hypertick.block_width(text) IS 'Length of the blocks of an interval; NULL where it has none.';

CREATE FUNCTION _hypertick.bars_per_year("interval" text) RETURNS float8
LANGUAGE sql STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE WHEN _hypertick.months(bars.width) > 0 THEN 12.0 / _hypertick.months(bars.width)
                ELSE 365 * 86400 / extract(epoch FROM bars.width) END::float8
    FROM _hypertick.find_interval(bars_per_year."interval") bars
$$;
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
COMMENT ON FUNCTION _hypertick.make_candles(intervals) IS
    'Makes the candles of an interval: aggregate, index, comments, rights, policies.';

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
COMMENT ON FUNCTION _hypertick.make_blocks(intervals) IS
    'Makes the blocks of an interval: aggregate, view of states, indexes, comments, rights, policies.';

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
COMMENT ON FUNCTION add_interval(text, interval) IS
    'Materialises an interval: SELECT add_interval(''4h''). Its candles are stored and refreshed from the widest '
    'materialised interval that divides it, and its indicator states in blocks of block_width (60 bars by default).';

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

-- From rules and exceptions to sessions, and the state of the market at an instant.

-- A day's hours are wall clocks: the zone makes instants of them, so a day may
-- have 23 or 25 hours. calendar/calendar.go does the same in Go, and a test
-- compares the two.
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
COMMENT ON FUNCTION expand_sessions(text, date, date) IS
    'The sessions that rules and exceptions of a calendar come to, of days from from_day up to to_day, both included.';

-- As its owner: ingest gives a new symbol the calendar of its venue.
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
COMMENT ON FUNCTION make_sessions(text) IS
    'Makes the sessions of a calendar of its rules and exceptions, and returns the days that changed. Instruments and '
    'venues call it for a calendar that they are the first to use; call it after a change of calendar_exceptions.';

-- Once for a statement: ingest inserts instruments in bulk.
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

CREATE FUNCTION _hypertick.calendar_of(symbol text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT coalesce((SELECT i.calendar FROM public.instruments i WHERE i.symbol = calendar_of.symbol), '24x7')
$$;
COMMENT ON FUNCTION _hypertick.calendar_of(text) IS 'The calendar of a symbol; 24x7 where no instrument has it.';

-- The session that is on, its extended hours included, or the next. Before the
-- first day of the calendar nothing is known, so there is no next.
CREATE FUNCTION _hypertick.session_at(name text, at timestamptz) RETURNS sessions
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT s FROM public.sessions s JOIN public.calendars c USING (calendar)
    WHERE s.calendar = session_at.name AND s.post_closes > session_at.at
      AND session_at.at >= (c.first_day - INTERVAL '1 day') AT TIME ZONE c.zone
    ORDER BY s.post_closes LIMIT 1
$$;
COMMENT ON FUNCTION _hypertick.session_at(text, timestamptz) IS
    'The session of a calendar that is on at a time, or the next. NULL after the last.';

CREATE FUNCTION trading_day(symbol text, at timestamptz) RETURNS date
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT CASE c.name WHEN '24x7' THEN (trading_day.at AT TIME ZONE 'UTC')::date
           ELSE (_hypertick.session_at(c.name, trading_day.at)).day END
    FROM (SELECT _hypertick.calendar_of(trading_day.symbol) AS name) c
$$;
COMMENT ON FUNCTION trading_day(text, timestamptz) IS
    'The trading day that a time belongs to, of a symbol: that of the session that is on, extended hours included, '
    'else of the next. Without sessions (24x7) it is the UTC day. NULL where the calendar does not know.';

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
COMMENT ON FUNCTION market_status(text, timestamptz) IS
    'What goes on in the market of a symbol: state is open, closed, pre (before the open), post (after the close) or '
    'break; until is when that ends, NULL: not known or never; day is its trading_day().';

CREATE FUNCTION is_open(symbol text, at timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT m.state = 'open' FROM public.market_status(is_open.symbol, is_open.at) m
$$;
COMMENT ON FUNCTION is_open(text, timestamptz) IS
    'Whether the regular session of a symbol is on at a time, and no break. Without sessions (24x7) always.';

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

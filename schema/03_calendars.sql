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
COMMENT ON COLUMN calendar_rules.opens IS
    'Local time after the midnight that begins the day; below 0 the evening before.';
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
COMMENT ON COLUMN sessions.pre_opens IS 'Start of extended trading; opens where there is none.';
COMMENT ON COLUMN sessions.post_closes IS 'End of extended trading; closes where there is none.';
COMMENT ON COLUMN sessions.kind IS
    'regular, or an exception: early_close, late_open, special (both, or an unusual day).';
COMMENT ON INDEX sessions_closes_idx IS 'Serves the search for the session at or after a time.';
GRANT SELECT ON sessions TO hypertick_reader, hypertick_writer, hypertick_operator;

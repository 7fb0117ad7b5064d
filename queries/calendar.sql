-- name: Calendars :many
-- The calendars, and whether their sessions are made.
SELECT c.calendar, c.name, c.zone, c.first_day::text AS first_day, c.last_day::text AS last_day,
       EXISTS (SELECT FROM sessions s WHERE s.calendar = c.calendar) AS in_use
FROM calendars c ORDER BY c.calendar;

-- name: Sessions :many
-- The sessions of days, both included. They need not be in use.
SELECT s.day::text AS day, s.opens, s.closes, s.break_start, s.break_end, s.pre_opens, s.post_closes, s.kind
FROM expand_sessions(@calendar::text, @from_day::date, @to_day::date) s
ORDER BY s.day;

-- name: MakeSessions :many
SELECT day::text AS day FROM make_sessions(@calendar::text) AS day ORDER BY 1;

-- name: AddCalendarException :exec
INSERT INTO calendar_exceptions (calendar, day, closed, opens, closes, added, note)
VALUES (@calendar::text, @day::date, @closed::boolean, sqlc.narg(opens)::interval, sqlc.narg(closes)::interval, true,
        nullif(@note::text, ''))
ON CONFLICT (calendar, day) DO UPDATE
    SET closed = excluded.closed, opens = excluded.opens, closes = excluded.closes,
        break_start = NULL, break_end = NULL, no_break = false, added = true, note = excluded.note;

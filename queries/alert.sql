-- name: AlertRules :many
-- Rules with their last evaluation, and how many of their events fire.
SELECT r.id, r.name, r.description, r.symbols, r."interval" AS bar, r.indicator, r.params, r.series, r.condition, r.threshold, r.upper,
       r.against_indicator, r.against_params, r.against_series, r.bars, (extract(epoch FROM r.cooldown) * 1000000)::bigint AS cooldown_us,
       r.severity, r.channels, r.notify_resolved, r.enabled, r.created_at, r.updated_at, r.version,
       x.finished_at, coalesce(extract(epoch FROM x.took) * 1000000, 0)::bigint AS took_us, x.symbols AS looked_at, x.error, coalesce(f.firing, 0)::bigint AS firing
FROM alert.rules r
LEFT JOIN alert.runs x ON x.rule_id = r.id
LEFT JOIN (SELECT e.rule_id, count(*) AS firing FROM alert.events e WHERE e.state = 'firing' GROUP BY e.rule_id) f ON f.rule_id = r.id
WHERE (sqlc.narg(id)::bigint IS NULL OR r.id = sqlc.narg(id))
  AND (sqlc.narg(enabled)::boolean IS NULL OR r.enabled = sqlc.narg(enabled))
  AND (sqlc.narg(severities)::text[] IS NULL OR r.severity = ANY (sqlc.narg(severities)))
ORDER BY r.id;

-- name: AlertRuleNames :one
-- Whether a rule is known by this number or name, or was when it found something.
SELECT (EXISTS (SELECT FROM alert.rules r WHERE r.id = sqlc.narg(id) OR r.name = sqlc.narg(name)::text)
     OR EXISTS (SELECT FROM alert.events e WHERE e.rule_id = sqlc.narg(id)::bigint)
     OR EXISTS (SELECT FROM alert.events e WHERE e.rule = sqlc.narg(name)))::boolean AS known;

-- name: InsertAlertRule :one
INSERT INTO alert.rules (name, description, symbols, "interval", indicator, params, series, condition, threshold, upper,
                         against_indicator, against_params, against_series, bars, cooldown, severity, channels, notify_resolved, enabled)
VALUES (sqlc.arg(name), sqlc.arg(description), sqlc.arg(symbols), sqlc.narg(bar), sqlc.narg(indicator), sqlc.arg(params), sqlc.narg(series), sqlc.arg(condition), sqlc.narg(threshold), sqlc.narg(upper),
        sqlc.narg(against_indicator), sqlc.arg(against_params), sqlc.narg(against_series), sqlc.arg(bars), sqlc.arg(cooldown_us)::bigint * INTERVAL '1 microsecond',
        sqlc.arg(severity), sqlc.arg(channels), sqlc.arg(notify_resolved), sqlc.arg(enabled))
RETURNING id;

-- name: LockAlertRule :one
-- Does not block the evaluation, which refers to the rule.
SELECT r.version FROM alert.rules r WHERE r.id = sqlc.arg(id) FOR NO KEY UPDATE;

-- name: UpdateAlertRule :exec
UPDATE alert.rules SET
    name = sqlc.arg(name), description = sqlc.arg(description), symbols = sqlc.arg(symbols), "interval" = sqlc.narg(bar), indicator = sqlc.narg(indicator), params = sqlc.arg(params),
    series = sqlc.narg(series), condition = sqlc.arg(condition), threshold = sqlc.narg(threshold), upper = sqlc.narg(upper),
    against_indicator = sqlc.narg(against_indicator), against_params = sqlc.arg(against_params), against_series = sqlc.narg(against_series), bars = sqlc.arg(bars),
    cooldown = sqlc.arg(cooldown_us)::bigint * INTERVAL '1 microsecond', severity = sqlc.arg(severity), channels = sqlc.arg(channels), notify_resolved = sqlc.arg(notify_resolved), enabled = sqlc.arg(enabled)
WHERE id = sqlc.arg(id);

-- name: LockAlerts :exec
-- The lock of the evaluation, which a delete takes too, but only after that of
-- the rule: taken first, the two cannot wait for each other.
SELECT pg_advisory_xact_lock(hashtext('alert.events'));

-- name: DeleteAlertRule :exec
DELETE FROM alert.rules r WHERE r.id = sqlc.arg(id);

-- name: AlertEvents :many
-- A page of events, newest bar first, after the position.
SELECT e.id, e.rule_id, e.rule, e.severity, e.symbol, e."interval" AS bar_interval, e.bar, e.opened, e.resolved, e.value, e.threshold, e.message,
       e.state, e.late, e.revision, e.changed, e.change_id
FROM alert.events e
WHERE (sqlc.narg(rule_id)::bigint IS NULL OR e.rule_id = sqlc.narg(rule_id))
  AND (sqlc.narg(rule)::text IS NULL OR e.rule = sqlc.narg(rule) OR e.rule_id = (SELECT r.id FROM alert.rules r WHERE r.name = sqlc.narg(rule)))
  AND (sqlc.narg(symbols)::text[] IS NULL OR e.symbol = ANY (sqlc.narg(symbols)))
  AND (sqlc.narg(severities)::text[] IS NULL OR e.severity = ANY (sqlc.narg(severities)))
  AND (sqlc.narg(states)::text[] IS NULL OR e.state = ANY (sqlc.narg(states)))
  AND (sqlc.narg(from_time)::timestamptz IS NULL OR e.bar >= sqlc.narg(from_time))
  AND (sqlc.narg(to_time)::timestamptz IS NULL OR e.bar < sqlc.narg(to_time))
  AND (sqlc.narg(before_bar)::timestamptz IS NULL
       OR e.bar <= sqlc.narg(before_bar) AND (e.bar < sqlc.narg(before_bar) OR e.id < sqlc.narg(before_id)::bigint))
ORDER BY e.bar DESC, e.id DESC LIMIT sqlc.arg(max_rows)::int;

-- name: AlertEvent :one
SELECT e.id, e.rule_id, e.rule, e.severity, e.symbol, e."interval" AS bar_interval, e.bar, e.opened, e.resolved, e.value, e.threshold, e.message,
       e.state, e.late, e.revision, e.changed, e.change_id, e.history
FROM alert.events e WHERE e.id = sqlc.arg(id);

-- name: AlertSymbols :one
-- How many symbols of a rule a dry run would look at.
SELECT count(DISTINCT p.symbol) AS symbols
FROM feed_positions p, alert.rules r
WHERE r.id = sqlc.arg(id) AND _hypertick.matches(p.symbol, r.symbols) AND _hypertick.matches(p.symbol, sqlc.arg(symbols)::text[]);

-- name: AlertPreview :many
-- What a rule would have found; total counts beyond max_rows too. resolved is
-- 1970 where it would still fire.
SELECT p.symbol::text AS symbol, p.bar::timestamptz AS bar, p.value::float8 AS value, p.threshold::float8 AS threshold,
       coalesce(p.resolved, '1970-01-01')::timestamptz AS resolved, p.message::text AS message, count(*) OVER () AS total
FROM alert.preview(sqlc.arg(rule_id), sqlc.arg(from_time)::timestamptz, sqlc.arg(to_time)::timestamptz, sqlc.arg(symbols)::text[]) p
ORDER BY p.bar, p.symbol LIMIT sqlc.arg(max_rows)::int;

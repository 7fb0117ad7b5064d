-- name: Heartbeat :exec
INSERT INTO heartbeats AS h (component, instance, started_at, every, detail, error)
VALUES (@component, @instance, @started_at, make_interval(secs => @every_seconds::float8), @detail, sqlc.narg(error)::text)
ON CONFLICT (component, instance) DO UPDATE
SET started_at = excluded.started_at, sent_at = clock_timestamp(), every = excluded.every, detail = excluded.detail, error = excluded.error;

-- name: EndHeartbeat :exec
-- Only its own: another process may have taken the name since.
DELETE FROM heartbeats WHERE component = @component AND instance = @instance AND started_at = @started_at;

-- name: Pipeline :many
SELECT p.component, p.part, p.state, p.seconds, p.detail::text AS detail,
       coalesce(p.error, '')::text AS error, coalesce(p.action, '')::text AS action
FROM pipeline p;

-- name: RecordJob :one
-- Returns how often in a row the job has failed. An error of '' is none.
INSERT INTO _hypertick.job_runs AS r (job_id, finished_at, took, failures, total, total_failures, error)
SELECT u.job_id, clock_timestamp(), make_interval(secs => u.took), (u.error <> '')::int, 1, (u.error <> '')::int, nullif(u.error, '')
FROM (SELECT @job_id::int AS job_id, @took_seconds::float8 AS took, @error::text AS error) u
ON CONFLICT (job_id) DO UPDATE
SET finished_at = excluded.finished_at, took = excluded.took, failures = CASE WHEN excluded.error IS NULL THEN 0 ELSE r.failures + 1 END,
    total = r.total + 1, total_failures = r.total_failures + excluded.total_failures, error = excluded.error
RETURNING failures;

-- name: RecordAPIActivity :exec
-- Sent again, it changes nothing.
INSERT INTO api_activity (minute, instance, started_at, method, route, requests, client_errors, server_errors, bytes, seconds, latency)
SELECT u.minute, @instance, @started_at, u.method, u.route, u.requests, u.client_errors, u.server_errors, u.bytes, u.seconds, u.latency::int[]
FROM (SELECT unnest(@minutes::timestamptz[]) AS minute, unnest(@methods::text[]) AS method, unnest(@routes::text[]) AS route,
             unnest(@requests::int[]) AS requests, unnest(@client_errors::int[]) AS client_errors, unnest(@server_errors::int[]) AS server_errors,
             unnest(@bytes::bigint[]) AS bytes, unnest(@seconds::float8[]) AS seconds, unnest(@latencies::text[]) AS latency) u
ON CONFLICT DO NOTHING;

-- name: APITraffic :one
-- Summarises the traffic of the last closed minutes; '' where there is none.
SELECT coalesce(pg_catalog.concat_ws(', ', sum(a.requests) || ' requests in 5 minutes',
           'p95 ' || round(latency_quantile(latency_sum(a.latency), 0.95)::numeric, 1) || ' ms',
           CASE WHEN sum(a.server_errors) > 0 THEN sum(a.server_errors) || ' failed' END), '')::text AS traffic
FROM api_activity a
WHERE a.minute >= date_trunc('minute', now()) - INTERVAL '5 minutes' AND a.minute < date_trunc('minute', now());

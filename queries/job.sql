-- name: HasScheduler :one
SELECT _hypertick.has_scheduler()::boolean;

-- name: DueJobs :many
-- Jobs below 1000 are TimescaleDB's own, about its scheduler's statistics. One
-- backend runs all, one after the other: late ticks before the candles that they
-- change, so that those are refreshed once, and alerts right after the candles they
-- read.
SELECT job_id::int AS job_id, (proc_schema || '.' || proc_name)::text AS proc, coalesce(hypertable_name, '')::text AS relation,
       extract(epoch FROM schedule_interval)::float8 AS every_seconds
FROM timescaledb_information.jobs
WHERE job_id >= 1000 AND scheduled AND coalesce(next_start, '-infinity') <= now()
ORDER BY _hypertick.job_rank(proc_name::text, hypertable_name::text), job_id;

-- name: RunJob :exec
CALL run_job(@job_id::int);

-- name: RescheduleJob :exec
SELECT alter_job(@job_id::int, next_start => now() + make_interval(secs => @seconds::float8));

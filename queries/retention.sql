-- name: ListRetention :many
-- keep_seconds is 0 where rows are kept for ever, horizon 1970 where nothing
-- was ever dropped.
SELECT r.relation, coalesce(extract(epoch FROM r.drop_after), 0)::float8 AS keep_seconds,
       coalesce(greatest(r.floor, now() - r.drop_after), '1970-01-01')::timestamptz AS horizon
FROM _hypertick.retention r
ORDER BY r.level;

-- name: SetRetention :exec
SELECT set_retention(@relation::text, sqlc.narg(drop_after)::interval);

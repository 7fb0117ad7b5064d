-- name: ListRetention :many
-- keep_seconds is 0 where rows are kept for ever, horizon 1970 where nothing
-- was ever dropped.
SELECT r.relation, coalesce(extract(epoch FROM r.drop_after), 0)::float8 AS keep_seconds,
       coalesce(r.horizon, '1970-01-01')::timestamptz AS horizon, coalesce(r.source, '')::text AS source
FROM retention r;

-- name: SetRetention :exec
SELECT set_retention(@relation::text, sqlc.narg(drop_after)::interval);

-- name: Intervals :many
-- The intervals that are listed, shortest first. A width is a number of months,
-- or, where that is 0, of seconds. Relation is what their bars are read from.
SELECT i."interval" AS name, i.kind, i.materialized, coalesce(i.source, '')::text AS source,
       _hypertick.months(i.width) AS months, extract(epoch FROM i.width)::bigint AS seconds,
       (_hypertick.find_interval(i."interval")).relation::text AS relation,
       coalesce(w.watermark, '1970-01-01')::timestamptz AS watermark
FROM intervals i LEFT JOIN watermarks w ON w.relation = 'candles_' || i."interval"
ORDER BY i.width;

-- name: AddInterval :exec
SELECT add_interval(@name::text, sqlc.narg(block_width)::interval);

-- name: RemoveInterval :exec
SELECT remove_interval(@name::text);

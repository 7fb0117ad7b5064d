-- name: ScreenerColumns :many
-- The columns of indicator.latest as it is now: a migration may add some.
SELECT (p.proargnames[i.n])::text AS name, (p.proallargtypes[i.n])::oid::bigint AS type
FROM pg_catalog.pg_proc p, generate_series(1, cardinality(p.proargnames)) AS i(n)
WHERE p.oid = to_regprocedure('indicator.latest(text)') AND p.proargmodes[i.n] = 't'
ORDER BY i.n;

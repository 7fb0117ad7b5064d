-- name: Indicators :many
-- Every indicator there is; without a name, all of them. Asked each time, so
-- that one a migration adds is known at once.
SELECT c.name::text AS name, c.title::text AS title, c.description::text AS description,
       c.parameters::jsonb AS parameters, c.series::jsonb AS series
FROM indicator.catalog c
WHERE c.name = sqlc.narg(only_name)::text OR sqlc.narg(only_name)::text IS NULL;

-- name: IndicatorValues :many
-- The values of an indicator over a page of bars, oldest first; a bar without
-- one is there with nulls. The bars are chosen as Candles chooses them. Without
-- any, the indicator is still called, over nothing, to judge its parameters:
-- hence the full join, of which neither side may be left out. A value for no
-- bar comes last, with a null bucket.
WITH bars AS MATERIALIZED (
    SELECT c.bucket::timestamptz AS bucket
    FROM candles(@symbol::text, @bar::text, coalesce(sqlc.narg(from_time)::timestamptz, 'infinity'),
                 coalesce(sqlc.narg(to_time)::timestamptz, 'infinity'), @warmup::int, sqlc.narg(max_bars)::bigint) AS c
), span AS (
    SELECT coalesce(min(b.bucket), '2000-01-01')::timestamptz AS first_bar,
           coalesce(max(b.bucket) + interval '1 microsecond', '2000-01-01')::timestamptz AS end_time
    FROM bars b
), points AS MATERIALIZED (
    SELECT e.bucket::timestamptz AS bucket, e.series::text AS series, e.value::float8 AS value
    FROM span s CROSS JOIN LATERAL indicator.evaluate(@name::text, @symbol::text, @bar::text, s.first_bar, s.end_time, @params::jsonb) AS e
)
SELECT b.bucket, p.series, p.value
FROM bars b FULL JOIN points p ON p.bucket = b.bucket
ORDER BY b.bucket, p.series;

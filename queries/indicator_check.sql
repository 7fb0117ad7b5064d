-- name: CatalogEntries :many
-- Every indicator there is, by name.
SELECT c.name::text AS name, c.title::text AS title, c.description::text AS description,
       c.parameters::jsonb AS parameters, c.series::jsonb AS series
FROM indicator.catalog c ORDER BY c.name;

-- name: IndicatorTraits :many
-- What the catalog does not show of the functions of that name: whether they
-- keep the rules, and their text.
SELECT (p.provolatile = 'v')::bool AS is_volatile, p.prosecdef::bool AS definer,
       has_function_privilege('hypertick_reader', p.oid, 'EXECUTE')::bool AS readable,
       (coalesce(obj_description(p.oid, 'pg_proc'), '') <> '')::bool AS commented, p.prosrc::text AS body
FROM pg_catalog.pg_proc p
WHERE p.pronamespace = 'indicator'::regnamespace AND p.prorettype = 'indicator.point'::regtype AND p.proname = @name::text;

-- name: BusiestSymbol :one
-- The symbol with most bars, '' where there is none.
SELECT coalesce(_hypertick.busiest_symbol(@bar::text), '')::text AS symbol;

-- name: NewestBars :many
-- When the newest bars begin, oldest first.
SELECT c.bucket::timestamptz AS bucket FROM candles(@symbol::text, @bar::text, 'infinity', warmup => @max_bars::int) AS c;

-- name: OldestBars :many
-- When the first bars of history begin, oldest first.
SELECT c.bucket::timestamptz AS bucket FROM candles(@symbol::text, @bar::text, max_bars => @max_bars::bigint) AS c;

-- name: CountBars :one
-- Reads the bars of a range: what an evaluation costs at the least.
SELECT count(c.close) AS bars FROM candles(@symbol::text, @bar::text, @from_time::timestamptz, @to_time::timestamptz) AS c;

-- name: EvaluateRaw :many
-- What an indicator returns, in its own order and with all that it should not
-- return: no value, no time, no series. Rows before keep_from are left out.
SELECT (e.bucket IS NOT NULL AND isfinite(e.bucket))::bool AS dated,
       (CASE WHEN isfinite(e.bucket) THEN e.bucket ELSE '1970-01-01 00:00:00Z' END)::timestamptz AS bucket,
       coalesce(e.series, '')::text AS series,
       (e.value IS NULL)::bool AS missing, coalesce(e.value, 0)::float8 AS value
FROM indicator.evaluate(@name::text, @symbol::text, @bar::text, @from_time::timestamptz, @to_time::timestamptz, @params::jsonb) AS e
WHERE e.bucket IS NULL OR NOT isfinite(e.bucket) OR e.bucket >= @keep_from::timestamptz;

-- The catalogue of a Hypertick database as text, one line an object: two
-- databases are equal when all lines are. Numbers that TimescaleDB gives, such as
-- those of materialisation hypertables, are replaced by names.
WITH ours AS (
    SELECT n.oid, n.nspname, n.nspacl FROM pg_namespace n
    WHERE n.nspname IN ('public', '_hypertick', 'indicator', 'alert')
), made AS (
    SELECT format('%I.%I', a.materialization_hypertable_schema, a.materialization_hypertable_name) AS stored,
           format('%I.%I', a.view_schema, a.view_name) AS name, a.view_schema, a.view_name, a.view_definition,
           a.materialized_only, a.materialization_hypertable_schema AS schema,
           a.materialization_hypertable_name AS relation
    FROM timescaledb_information.continuous_aggregates a
), relations AS (
    SELECT c.*, format('%I.%I', o.nspname, c.relname) AS name FROM pg_class c JOIN ours o ON o.oid = c.relnamespace
    WHERE c.relname NOT LIKE 'goose_db_version%'
      AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
), routines AS (
    SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc p JOIN ours o ON o.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid AND e.deptype = 'e')
)
SELECT 'role ' || r.rolname || ' ' || concat_ws(' ', r.rolcanlogin, r.rolsuper, r.rolconfig, shobj_description(r.oid, 'pg_authid')) AS line
FROM pg_roles r WHERE r.rolname LIKE 'hypertick\_%'
UNION ALL
SELECT 'schema ' || o.nspname || ' ' || concat_ws(' ', o.nspacl, obj_description(o.oid, 'pg_namespace')) FROM ours o
UNION ALL
SELECT 'default privileges ' || concat_ws(' ', d.defaclnamespace::regnamespace, d.defaclobjtype, d.defaclacl)
FROM pg_default_acl d WHERE d.defaclnamespace IN (SELECT o.oid FROM ours o)
UNION ALL
SELECT 'relation ' || r.name || ' ' || concat_ws(' ', r.relkind, r.relpersistence, r.reloptions, r.relacl, obj_description(r.oid, 'pg_class'))
FROM relations r WHERE r.relkind NOT IN ('i', 'c')
UNION ALL
SELECT 'column ' || r.name || '.' || a.attname || ' '
    || concat_ws(' ', a.attnum, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'not null' END,
                 pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated, a.attcollation::regcollation, a.attacl,
                 col_description(r.oid, a.attnum))
FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
WHERE r.relkind NOT IN ('i', 'S')
UNION ALL
SELECT 'constraint ' || r.name || ' ' || k.conname || ' ' || pg_get_constraintdef(k.oid)
FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
UNION ALL
SELECT 'index ' || pg_get_indexdef(i.indexrelid) || ' ' || coalesce(obj_description(i.indexrelid, 'pg_class'), '')
FROM relations r JOIN pg_index i ON i.indrelid = r.oid
UNION ALL
SELECT 'index of ' || m.name || ' ' || regexp_replace(replace(pg_get_indexdef(i.indexrelid), m.stored, m.name), '_hypertable_\d+', '', 'g')
FROM made m JOIN pg_index i ON i.indrelid = m.stored::regclass
UNION ALL
SELECT 'view ' || r.name || ' ' || pg_get_viewdef(r.oid)
FROM relations r WHERE r.relkind = 'v' AND NOT EXISTS (SELECT FROM made m WHERE m.name = r.name)
UNION ALL
SELECT 'continuous aggregate ' || m.name || ' ' || concat_ws(' ', m.materialized_only, m.view_definition) FROM made m
UNION ALL
SELECT 'routine ' || r.name || ' ' || concat_ws(' ', pg_get_functiondef(r.oid), r.proacl, obj_description(r.oid, 'pg_proc'))
FROM routines r WHERE r.prokind <> 'a'
UNION ALL
SELECT 'aggregate ' || r.name || ' '
    || concat_ws(' ', a.aggtransfn, a.aggcombinefn, a.aggfinalfn, a.aggtranstype::regtype, a.agginitval, r.proparallel,
                 r.proargnames, r.proacl, obj_description(r.oid, 'pg_proc'))
FROM routines r JOIN pg_aggregate a ON a.aggfnoid = r.oid
UNION ALL
SELECT 'type ' || t.oid::regtype || ' ' || concat_ws(' ', t.typacl, obj_description(t.oid, 'pg_type'))
FROM pg_type t JOIN relations r ON r.oid = t.typrelid WHERE r.relkind = 'c'
UNION ALL
SELECT 'trigger ' || r.name || ' ' || pg_get_triggerdef(g.oid)
FROM relations r JOIN pg_trigger g ON g.tgrelid = r.oid
WHERE NOT g.tgisinternal AND g.tgname <> 'ts_insert_blocker' AND g.tgname NOT LIKE 'ts\_%'
UNION ALL
SELECT 'sequence ' || r.name || ' ' || concat_ws(' ', s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcycle)
FROM relations r JOIN pg_sequence s ON s.seqrelid = r.oid
UNION ALL
SELECT 'hypertable ' || coalesce(m.name, format('%I.%I', d.hypertable_schema, d.hypertable_name)) || ' '
    || concat_ws(' ', d.column_name, d.time_interval)
FROM timescaledb_information.dimensions d
LEFT JOIN made m ON m.schema = d.hypertable_schema AND m.relation = d.hypertable_name
UNION ALL
SELECT 'columnstore ' || coalesce(m.name, format('%I.%I', s.hypertable_schema, s.hypertable_name)) || ' '
    || concat_ws(' ', s.attname, s.segmentby_column_index, s.orderby_column_index, s.orderby_asc, s.orderby_nullsfirst)
FROM timescaledb_information.compression_settings s
LEFT JOIN made m ON m.schema = s.hypertable_schema AND m.relation = s.hypertable_name
UNION ALL
SELECT 'job ' || concat_ws(' ', j.proc_schema, j.proc_name, j.hypertable_schema, j.hypertable_name,
                           j.schedule_interval, j.max_runtime, j.max_retries, j.retry_period, j.fixed_schedule,
                           j.config - 'mat_hypertable_id' - 'hypertable_id')
FROM timescaledb_information.jobs j WHERE j.job_id >= 1000
UNION ALL
SELECT 'row of intervals ' || to_jsonb(i)::text FROM intervals i
UNION ALL
SELECT 'row of retention ' || to_jsonb(r)::text FROM _hypertick.retention r
UNION ALL
SELECT 'row of pipeline_advice ' || to_jsonb(a)::text FROM pipeline_advice a
UNION ALL
SELECT 'row of alert.rules ' || (to_jsonb(r) - 'created_at' - 'updated_at')::text FROM alert.rules r
ORDER BY 1

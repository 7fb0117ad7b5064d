-- What sqlc has to know of TimescaleDB's own catalog to check queries against
-- it. Never applied to a database.
CREATE SCHEMA timescaledb_information;
CREATE TABLE timescaledb_information.jobs (
    job_id            int      NOT NULL,
    application_name  text     NOT NULL,
    schedule_interval interval NOT NULL,
    proc_schema       text     NOT NULL,
    proc_name         text     NOT NULL,
    scheduled         boolean  NOT NULL,
    config            jsonb,
    next_start        timestamptz,
    hypertable_name   text
);
CREATE TABLE timescaledb_information.hypertables (
    hypertable_schema name NOT NULL,
    hypertable_name   name NOT NULL
);
CREATE TABLE timescaledb_information.continuous_aggregates (
    view_schema                       name NOT NULL,
    view_name                         name NOT NULL,
    materialization_hypertable_schema name NOT NULL,
    materialization_hypertable_name   name NOT NULL
);
CREATE TABLE timescaledb_information.chunks (
    hypertable_schema name NOT NULL,
    hypertable_name   name NOT NULL,
    chunk_schema      name NOT NULL,
    chunk_name        name NOT NULL,
    range_start       timestamptz,
    range_end         timestamptz,
    is_compressed     boolean
);
CREATE FUNCTION hypertable_size(hypertable regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 0';
CREATE FUNCTION hypertable_compression_stats(hypertable regclass) RETURNS SETOF record LANGUAGE sql AS 'SELECT 0';
CREATE TABLE timescaledb_information.job_stats (
    job_id              int NOT NULL,
    last_run_started_at timestamptz,
    last_run_status     text,
    job_status          text,
    last_run_duration   interval,
    next_start          timestamptz,
    total_runs          bigint,
    total_failures      bigint
);
CREATE TABLE timescaledb_information.job_errors (
    job_id      int NOT NULL,
    finish_time timestamptz,
    err_message text
);
CREATE SCHEMA _timescaledb_catalog;
CREATE TABLE _timescaledb_catalog.continuous_agg (
    mat_hypertable_id int  NOT NULL,
    raw_hypertable_id int  NOT NULL,
    user_view_schema  name NOT NULL,
    user_view_name    name NOT NULL
);
CREATE TABLE _timescaledb_catalog.hypertable (
    id          int  NOT NULL,
    schema_name name NOT NULL,
    table_name  name NOT NULL
);
CREATE TABLE _timescaledb_catalog.continuous_aggs_hypertable_invalidation_log (
    hypertable_id           int    NOT NULL,
    lowest_modified_value   bigint NOT NULL,
    greatest_modified_value bigint NOT NULL
);
CREATE TABLE _timescaledb_catalog.continuous_aggs_materialization_invalidation_log (
    materialization_id      int    NOT NULL,
    lowest_modified_value   bigint NOT NULL,
    greatest_modified_value bigint NOT NULL
);
CREATE TABLE _timescaledb_catalog.continuous_aggs_materialization_ranges (
    materialization_id      int    NOT NULL,
    lowest_modified_value   bigint NOT NULL,
    greatest_modified_value bigint NOT NULL
);
CREATE SCHEMA _timescaledb_functions;
CREATE FUNCTION _timescaledb_functions.to_timestamp(unixtime_us bigint) RETURNS timestamptz LANGUAGE sql AS 'SELECT now()';
CREATE FUNCTION _timescaledb_functions.cagg_watermark(hypertable_id int) RETURNS bigint LANGUAGE sql AS 'SELECT 0';

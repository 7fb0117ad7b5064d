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

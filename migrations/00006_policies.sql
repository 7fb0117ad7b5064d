-- +goose Up
-- What keeps the candles current and the storage small, as jobs of TimescaleDB
-- (see timescaledb_information.jobs).
--
-- Refresh: start_offset NULL, so that no late tick is out of reach; a run with
-- nothing invalidated costs milliseconds. end_offset is a minute for every
-- level: a bucket is materialised as soon as it has closed. buckets_per_batch
-- is explicit and large, because each batch has a cost of its own that grows
-- with the number of chunks: by default a sparse history of years takes hours.
-- The upper levels start a little after the one they read, so that one round
-- carries a late tick all the way up.
SELECT add_continuous_aggregate_policy('candles_1m', start_offset => NULL, end_offset => INTERVAL '1 minute',
    schedule_interval => INTERVAL '15 seconds', buckets_per_batch => 100800);
SELECT add_continuous_aggregate_policy('candles_5m', start_offset => NULL, end_offset => INTERVAL '1 minute',
    schedule_interval => INTERVAL '30 seconds', buckets_per_batch => 20160);
SELECT add_continuous_aggregate_policy('candles_15m', start_offset => NULL, end_offset => INTERVAL '1 minute',
    schedule_interval => INTERVAL '30 seconds', buckets_per_batch => 17280);
SELECT add_continuous_aggregate_policy('candles_1h', start_offset => NULL, end_offset => INTERVAL '1 minute',
    schedule_interval => INTERVAL '30 seconds', buckets_per_batch => 17520);
SELECT add_continuous_aggregate_policy('candles_1d', start_offset => NULL, end_offset => INTERVAL '1 minute',
    schedule_interval => INTERVAL '30 seconds', buckets_per_batch => 3650);

-- Columnstore: a compressed tick is about 14 bytes. Late ticks still get in:
-- they wait beside the compressed rows until the policy packs them too.
ALTER TABLE ticks SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'ts, seq');
CALL add_columnstore_policy('ticks', after => INTERVAL '7 days', schedule_interval => INTERVAL '1 hour');

ALTER MATERIALIZED VIEW candles_1m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW candles_5m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW candles_15m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW candles_1h SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
ALTER MATERIALIZED VIEW candles_1d SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('candles_1m', after => INTERVAL '30 days', schedule_interval => INTERVAL '1 day');
CALL add_columnstore_policy('candles_5m', after => INTERVAL '90 days', schedule_interval => INTERVAL '1 day');
CALL add_columnstore_policy('candles_15m', after => INTERVAL '180 days', schedule_interval => INTERVAL '1 day');
CALL add_columnstore_policy('candles_1h', after => INTERVAL '2 years', schedule_interval => INTERVAL '1 day');
CALL add_columnstore_policy('candles_1d', after => INTERVAL '20 years', schedule_interval => INTERVAL '1 day');

-- +goose Down
-- Without its jobs first, a drop of the candles meets a refresh that is running.
SELECT delete_job(job_id) FROM timescaledb_information.jobs
WHERE hypertable_name IN ('ticks', 'candles_1m', 'candles_5m', 'candles_15m', 'candles_1h', 'candles_1d');
ALTER MATERIALIZED VIEW candles_1d SET (timescaledb.enable_columnstore = false);
ALTER MATERIALIZED VIEW candles_1h SET (timescaledb.enable_columnstore = false);
ALTER MATERIALIZED VIEW candles_15m SET (timescaledb.enable_columnstore = false);
ALTER MATERIALIZED VIEW candles_5m SET (timescaledb.enable_columnstore = false);
ALTER MATERIALIZED VIEW candles_1m SET (timescaledb.enable_columnstore = false);
ALTER TABLE ticks SET (timescaledb.enable_columnstore = false);

-- +goose Up
-- Candles: five real-time continuous aggregates, each built from the one below.
-- A bucket is stamped with its start, in UTC, and has no row when nothing traded.
--
-- Open and close must not depend on the order of arrival or on the plan: on
-- equal ts the lower seq opens and the higher closes. first() and last() take
-- one ordering value, and the only one that works in parallel plans too is
-- the sortable bytes of both. Bytes of a bucket's own timestamps sort as the
-- timestamps do, since a bucket never straddles the year 2000, where their sign
-- changes.

CREATE MATERIALIZED VIEW candles_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '60 days') AS
SELECT symbol,
       time_bucket(INTERVAL '1 minute', ts) AS bucket,
       first(price, timestamptz_send(ts) || int8send(seq)) AS open,
       max(price) AS high,
       min(price) AS low,
       last(price, timestamptz_send(ts) || int8send(seq)) AS close,
       sum(size) AS volume,
       sum(price * size) AS notional,
       count(*) AS trades
FROM ticks
GROUP BY symbol, time_bucket(INTERVAL '1 minute', ts)
WITH NO DATA;
CREATE INDEX candles_1m_symbol_bucket_idx ON candles_1m (symbol, bucket DESC);

COMMENT ON VIEW candles_1m IS 'Candles of 1 minute, kept by TimescaleDB from ticks, the forming one included.';
COMMENT ON COLUMN candles_1m.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN candles_1m.bucket IS 'Start of the candle, UTC.';
COMMENT ON COLUMN candles_1m.open IS 'First price, by ts and then seq.';
COMMENT ON COLUMN candles_1m.high IS 'Highest price.';
COMMENT ON COLUMN candles_1m.low IS 'Lowest price.';
COMMENT ON COLUMN candles_1m.close IS 'Last price, by ts and then seq.';
COMMENT ON COLUMN candles_1m.volume IS 'Sum of sizes.';
COMMENT ON COLUMN candles_1m.notional IS 'Sum of price times size. vwap = notional / volume.';
COMMENT ON COLUMN candles_1m.trades IS 'Number of ticks.';
GRANT SELECT ON candles_1m TO hypertick_reader, hypertick_writer;

CREATE MATERIALIZED VIEW candles_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '180 days') AS
SELECT symbol,
       time_bucket(INTERVAL '5 minutes', bucket) AS bucket,
       first(open, bucket) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, bucket) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades)::bigint AS trades
FROM candles_1m
GROUP BY symbol, time_bucket(INTERVAL '5 minutes', bucket)
WITH NO DATA;
CREATE INDEX candles_5m_symbol_bucket_idx ON candles_5m (symbol, bucket DESC);

COMMENT ON VIEW candles_5m IS 'Candles of 5 minutes, kept by TimescaleDB from candles_1m, the forming one included.';
COMMENT ON COLUMN candles_5m.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN candles_5m.bucket IS 'Start of the candle, UTC.';
COMMENT ON COLUMN candles_5m.open IS 'First price, by ts and then seq.';
COMMENT ON COLUMN candles_5m.high IS 'Highest price.';
COMMENT ON COLUMN candles_5m.low IS 'Lowest price.';
COMMENT ON COLUMN candles_5m.close IS 'Last price, by ts and then seq.';
COMMENT ON COLUMN candles_5m.volume IS 'Sum of sizes.';
COMMENT ON COLUMN candles_5m.notional IS 'Sum of price times size. vwap = notional / volume.';
COMMENT ON COLUMN candles_5m.trades IS 'Number of ticks.';
GRANT SELECT ON candles_5m TO hypertick_reader, hypertick_writer;

CREATE MATERIALIZED VIEW candles_15m
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '1 year') AS
SELECT symbol,
       time_bucket(INTERVAL '15 minutes', bucket) AS bucket,
       first(open, bucket) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, bucket) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades)::bigint AS trades
FROM candles_5m
GROUP BY symbol, time_bucket(INTERVAL '15 minutes', bucket)
WITH NO DATA;
CREATE INDEX candles_15m_symbol_bucket_idx ON candles_15m (symbol, bucket DESC);

COMMENT ON VIEW candles_15m IS 'Candles of 15 minutes, kept by TimescaleDB from candles_5m, the forming one included.';
COMMENT ON COLUMN candles_15m.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN candles_15m.bucket IS 'Start of the candle, UTC.';
COMMENT ON COLUMN candles_15m.open IS 'First price, by ts and then seq.';
COMMENT ON COLUMN candles_15m.high IS 'Highest price.';
COMMENT ON COLUMN candles_15m.low IS 'Lowest price.';
COMMENT ON COLUMN candles_15m.close IS 'Last price, by ts and then seq.';
COMMENT ON COLUMN candles_15m.volume IS 'Sum of sizes.';
COMMENT ON COLUMN candles_15m.notional IS 'Sum of price times size. vwap = notional / volume.';
COMMENT ON COLUMN candles_15m.trades IS 'Number of ticks.';
GRANT SELECT ON candles_15m TO hypertick_reader, hypertick_writer;

CREATE MATERIALIZED VIEW candles_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '5 years') AS
SELECT symbol,
       time_bucket(INTERVAL '1 hour', bucket) AS bucket,
       first(open, bucket) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, bucket) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades)::bigint AS trades
FROM candles_15m
GROUP BY symbol, time_bucket(INTERVAL '1 hour', bucket)
WITH NO DATA;
CREATE INDEX candles_1h_symbol_bucket_idx ON candles_1h (symbol, bucket DESC);

COMMENT ON VIEW candles_1h IS 'Candles of 1 hour, kept by TimescaleDB from candles_15m, the forming one included.';
COMMENT ON COLUMN candles_1h.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN candles_1h.bucket IS 'Start of the candle, UTC.';
COMMENT ON COLUMN candles_1h.open IS 'First price, by ts and then seq.';
COMMENT ON COLUMN candles_1h.high IS 'Highest price.';
COMMENT ON COLUMN candles_1h.low IS 'Lowest price.';
COMMENT ON COLUMN candles_1h.close IS 'Last price, by ts and then seq.';
COMMENT ON COLUMN candles_1h.volume IS 'Sum of sizes.';
COMMENT ON COLUMN candles_1h.notional IS 'Sum of price times size. vwap = notional / volume.';
COMMENT ON COLUMN candles_1h.trades IS 'Number of ticks.';
GRANT SELECT ON candles_1h TO hypertick_reader, hypertick_writer;

CREATE MATERIALIZED VIEW candles_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = false, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '30 years') AS
SELECT symbol,
       time_bucket(INTERVAL '1 day', bucket) AS bucket,
       first(open, bucket) AS open,
       max(high) AS high,
       min(low) AS low,
       last(close, bucket) AS close,
       sum(volume) AS volume,
       sum(notional) AS notional,
       sum(trades)::bigint AS trades
FROM candles_1h
GROUP BY symbol, time_bucket(INTERVAL '1 day', bucket)
WITH NO DATA;
CREATE INDEX candles_1d_symbol_bucket_idx ON candles_1d (symbol, bucket DESC);

COMMENT ON VIEW candles_1d IS 'Candles of 1 day, kept by TimescaleDB from candles_1h, the forming one included.';
COMMENT ON COLUMN candles_1d.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN candles_1d.bucket IS 'Start of the candle, UTC.';
COMMENT ON COLUMN candles_1d.open IS 'First price, by ts and then seq.';
COMMENT ON COLUMN candles_1d.high IS 'Highest price.';
COMMENT ON COLUMN candles_1d.low IS 'Lowest price.';
COMMENT ON COLUMN candles_1d.close IS 'Last price, by ts and then seq.';
COMMENT ON COLUMN candles_1d.volume IS 'Sum of sizes.';
COMMENT ON COLUMN candles_1d.notional IS 'Sum of price times size. vwap = notional / volume.';
COMMENT ON COLUMN candles_1d.trades IS 'Number of ticks.';
GRANT SELECT ON candles_1d TO hypertick_reader, hypertick_writer;

-- +goose Down
DROP MATERIALIZED VIEW candles_1d;
DROP MATERIALIZED VIEW candles_1h;
DROP MATERIALIZED VIEW candles_15m;
DROP MATERIALIZED VIEW candles_5m;
DROP MATERIALIZED VIEW candles_1m;

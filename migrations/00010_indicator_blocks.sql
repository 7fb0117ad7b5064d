-- +goose Up
-- One continuous aggregate per interval keeps the states of every symbol in
-- blocks of about 60 bars. A late tick re-materialises the one candle and the
-- one block it falls into, and every later EMA, RSI and ATR is right again.
--
-- All states in one row of plain numbers: the bars of a block are read and sorted
-- once for all of them, the columnstore packs numbers well, and the screener,
-- which goes through some ten rows of every symbol, need not take composites
-- apart. The views indicator.blocks_* put the numbers together as states.
--
-- Materialised only, the block still open included: the screener reads
-- nothing else. A reader of one symbol takes the blocks older than the newest one
-- there is, which are final but for late ticks, and then the bars after them; so a
-- block that is not there yet costs bars, never truth. That holds because the
-- policies go oldest first (the default, newest first, would leave holes while a
-- long history is being filled).

-- One aggregate computes all the states of a block: a step of plpgsql costs
-- about as much for eight states as for one, so this fills blocks four times
-- as fast as ema_agg, rsi_agg and so on beside each other (eight times on the
-- embedded database). The arithmetic is theirs; the tests hold the two together.
CREATE TYPE _hypertick.block AS (
    n bigint, first float8, last float8, high float8, low float8, volume float8,
    ema_12 float8, ema_26 float8, ema_50 float8, ema_200 float8,
    gain float8, loss float8, range float8, obv float8, mean float8, m2 float8, min float8, max float8
);
COMMENT ON TYPE _hypertick.block IS 'The states of a block, without what follows from the number of its bars.';
-- +goose StatementBegin
CREATE FUNCTION _hypertick.block_step(st _hypertick.block, high float8, low float8, close float8, volume float8) RETURNS _hypertick.block
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    c float8;
    d float8;
BEGIN
    IF st IS NULL THEN
        RETURN ROW(1, close, close, high, low, volume,
            close * (2.0::float8 / 13), close * (2.0::float8 / 27), close * (2.0::float8 / 51), close * (2.0::float8 / 201),
            0, 0, 0, 0, close, 0, close, close)::_hypertick.block;
    END IF;
    c := close - st.last;
    d := close - st.mean;
    RETURN ROW(st.n + 1, st.first, close, st.high, st.low, st.volume,
        st.ema_12 + (close - st.ema_12) * (2.0::float8 / 13), st.ema_26 + (close - st.ema_26) * (2.0::float8 / 27),
        st.ema_50 + (close - st.ema_50) * (2.0::float8 / 51), st.ema_200 + (close - st.ema_200) * (2.0::float8 / 201),
        CASE WHEN st.gain < 1e-150 THEN 0 ELSE st.gain * (1 - 1.0::float8 / 14) END + CASE WHEN c > 0 THEN c / 14 ELSE 0 END,
        CASE WHEN st.loss < 1e-150 THEN 0 ELSE st.loss * (1 - 1.0::float8 / 14) END - CASE WHEN c < 0 THEN c / 14 ELSE 0 END,
        CASE WHEN st.range < 1e-150 THEN 0 ELSE st.range * (1 - 1.0::float8 / 14) END + (greatest(high, st.last) - least(low, st.last)) / 14,
        st.obv + pg_catalog.sign(c) * volume,
        st.mean + d / (st.n + 1), st.m2 + CASE WHEN pg_catalog.abs(d) < 1e-150 THEN 0 ELSE d * d * (st.n::float8 / (st.n + 1)) END,
        least(st.min, close), greatest(st.max, close))::_hypertick.block;
END
$$;
-- +goose StatementEnd
COMMENT ON FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8) IS 'All the states of a block with one more bar.';
CREATE AGGREGATE _hypertick.block_agg(high float8, low float8, close float8, volume float8)
    (sfunc = _hypertick.block_step, stype = _hypertick.block, parallel = safe);
COMMENT ON AGGREGATE _hypertick.block_agg(float8, float8, float8, float8) IS 'All the states of a block of bars in their order.';
REVOKE EXECUTE ON FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8),
    _hypertick.block_agg(float8, float8, float8, float8) FROM PUBLIC;

CREATE MATERIALIZED VIEW _hypertick.blocks_1m
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '30 days') AS
SELECT symbol,
       time_bucket(INTERVAL '1 hour', bucket) AS bucket,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).n AS bars,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).first AS first,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).last AS last,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).high AS high,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).low AS low,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).volume AS volume,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_12 AS ema_12,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_26 AS ema_26,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_50 AS ema_50,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_200 AS ema_200,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).gain AS gain,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).loss AS loss,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).range AS range,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).obv AS obv,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).mean AS mean,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).m2 AS m2,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).min AS min,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).max AS max,
       max(bucket) AS last_bucket,
       array_agg(close ORDER BY bucket) AS closes,
       array_agg(volume ORDER BY bucket) AS volumes
FROM public.candles_1m
GROUP BY symbol, time_bucket(INTERVAL '1 hour', bucket)
WITH NO DATA;
CREATE INDEX blocks_1m_symbol_bucket_idx ON _hypertick.blocks_1m (symbol, bucket DESC);
CREATE INDEX blocks_1m_bucket_idx ON _hypertick.blocks_1m (bucket);
COMMENT ON VIEW _hypertick.blocks_1m IS 'The 1m bars in blocks of 1 hour, kept by TimescaleDB from candles_1m, the open block included. Read indicator.blocks_1m.';
CREATE VIEW indicator.blocks_1m AS
SELECT b.symbol, b.bucket, b.bars,
       ROW(12, b.bars, (11 / 13.0::float8) ^ b.bars::float8, b.ema_12)::indicator.ema_state AS ema_12,
       ROW(26, b.bars, (25 / 27.0::float8) ^ b.bars::float8, b.ema_26)::indicator.ema_state AS ema_26,
       ROW(50, b.bars, (49 / 51.0::float8) ^ b.bars::float8, b.ema_50)::indicator.ema_state AS ema_50,
       ROW(200, b.bars, (199 / 201.0::float8) ^ b.bars::float8, b.ema_200)::indicator.ema_state AS ema_200,
       ROW(14, b.bars, b.first, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.gain, b.loss)::indicator.rsi_state AS rsi_14,
       ROW(14, b.bars, b.high, b.low, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.range)::indicator.atr_state AS atr_14,
       ROW(b.bars, b.mean, b.m2, b.min, b.max)::indicator.sum_state AS close_sum,
       ROW(b.bars, b.first, b.volume, b.last, b.obv)::indicator.obv_state AS obv,
       b.last_bucket, b.closes, b.volumes
FROM _hypertick.blocks_1m b;
COMMENT ON VIEW indicator.blocks_1m IS 'States of the 1m bars in blocks of 1 hour, kept by TimescaleDB from candles_1m, the open block included.';
COMMENT ON COLUMN indicator.blocks_1m.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN indicator.blocks_1m.bucket IS 'Start of the block, UTC.';
COMMENT ON COLUMN indicator.blocks_1m.bars IS 'Number of bars in it.';
COMMENT ON COLUMN indicator.blocks_1m.ema_12 IS 'EMA of period 12 over the closes.';
COMMENT ON COLUMN indicator.blocks_1m.ema_26 IS 'EMA of period 26 over the closes.';
COMMENT ON COLUMN indicator.blocks_1m.ema_50 IS 'EMA of period 50 over the closes.';
COMMENT ON COLUMN indicator.blocks_1m.ema_200 IS 'EMA of period 200 over the closes.';
COMMENT ON COLUMN indicator.blocks_1m.rsi_14 IS 'RSI of period 14 over the closes.';
COMMENT ON COLUMN indicator.blocks_1m.atr_14 IS 'ATR of period 14.';
COMMENT ON COLUMN indicator.blocks_1m.close_sum IS 'Sums over the closes, for averages and Bollinger bands.';
COMMENT ON COLUMN indicator.blocks_1m.obv IS 'On-balance volume.';
COMMENT ON COLUMN indicator.blocks_1m.last_bucket IS 'Start of the last bar in it.';
COMMENT ON COLUMN indicator.blocks_1m.closes IS 'The closes, for the averages of the screener, which begin within a block.';
COMMENT ON COLUMN indicator.blocks_1m.volumes IS 'The volumes, likewise.';

CREATE MATERIALIZED VIEW _hypertick.blocks_5m
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '180 days') AS
SELECT symbol,
       time_bucket(INTERVAL '6 hours', bucket) AS bucket,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).n AS bars,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).first AS first,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).last AS last,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).high AS high,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).low AS low,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).volume AS volume,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_12 AS ema_12,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_26 AS ema_26,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_50 AS ema_50,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_200 AS ema_200,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).gain AS gain,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).loss AS loss,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).range AS range,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).obv AS obv,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).mean AS mean,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).m2 AS m2,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).min AS min,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).max AS max,
       max(bucket) AS last_bucket,
       array_agg(close ORDER BY bucket) AS closes,
       array_agg(volume ORDER BY bucket) AS volumes
FROM public.candles_5m
GROUP BY symbol, time_bucket(INTERVAL '6 hours', bucket)
WITH NO DATA;
CREATE INDEX blocks_5m_symbol_bucket_idx ON _hypertick.blocks_5m (symbol, bucket DESC);
CREATE INDEX blocks_5m_bucket_idx ON _hypertick.blocks_5m (bucket);
COMMENT ON VIEW _hypertick.blocks_5m IS 'The 5m bars in blocks of 6 hours, kept by TimescaleDB from candles_5m, the open block included. Read indicator.blocks_5m.';
CREATE VIEW indicator.blocks_5m AS
SELECT b.symbol, b.bucket, b.bars,
       ROW(12, b.bars, (11 / 13.0::float8) ^ b.bars::float8, b.ema_12)::indicator.ema_state AS ema_12,
       ROW(26, b.bars, (25 / 27.0::float8) ^ b.bars::float8, b.ema_26)::indicator.ema_state AS ema_26,
       ROW(50, b.bars, (49 / 51.0::float8) ^ b.bars::float8, b.ema_50)::indicator.ema_state AS ema_50,
       ROW(200, b.bars, (199 / 201.0::float8) ^ b.bars::float8, b.ema_200)::indicator.ema_state AS ema_200,
       ROW(14, b.bars, b.first, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.gain, b.loss)::indicator.rsi_state AS rsi_14,
       ROW(14, b.bars, b.high, b.low, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.range)::indicator.atr_state AS atr_14,
       ROW(b.bars, b.mean, b.m2, b.min, b.max)::indicator.sum_state AS close_sum,
       ROW(b.bars, b.first, b.volume, b.last, b.obv)::indicator.obv_state AS obv,
       b.last_bucket, b.closes, b.volumes
FROM _hypertick.blocks_5m b;
COMMENT ON VIEW indicator.blocks_5m IS 'States of the 5m bars in blocks of 6 hours, kept by TimescaleDB from candles_5m, the open block included.';
COMMENT ON COLUMN indicator.blocks_5m.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN indicator.blocks_5m.bucket IS 'Start of the block, UTC.';
COMMENT ON COLUMN indicator.blocks_5m.bars IS 'Number of bars in it.';
COMMENT ON COLUMN indicator.blocks_5m.ema_12 IS 'EMA of period 12 over the closes.';
COMMENT ON COLUMN indicator.blocks_5m.ema_26 IS 'EMA of period 26 over the closes.';
COMMENT ON COLUMN indicator.blocks_5m.ema_50 IS 'EMA of period 50 over the closes.';
COMMENT ON COLUMN indicator.blocks_5m.ema_200 IS 'EMA of period 200 over the closes.';
COMMENT ON COLUMN indicator.blocks_5m.rsi_14 IS 'RSI of period 14 over the closes.';
COMMENT ON COLUMN indicator.blocks_5m.atr_14 IS 'ATR of period 14.';
COMMENT ON COLUMN indicator.blocks_5m.close_sum IS 'Sums over the closes, for averages and Bollinger bands.';
COMMENT ON COLUMN indicator.blocks_5m.obv IS 'On-balance volume.';
COMMENT ON COLUMN indicator.blocks_5m.last_bucket IS 'Start of the last bar in it.';
COMMENT ON COLUMN indicator.blocks_5m.closes IS 'The closes, for the averages of the screener, which begin within a block.';
COMMENT ON COLUMN indicator.blocks_5m.volumes IS 'The volumes, likewise.';

CREATE MATERIALIZED VIEW _hypertick.blocks_15m
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '1 year') AS
SELECT symbol,
       time_bucket(INTERVAL '12 hours', bucket) AS bucket,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).n AS bars,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).first AS first,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).last AS last,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).high AS high,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).low AS low,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).volume AS volume,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_12 AS ema_12,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_26 AS ema_26,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_50 AS ema_50,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_200 AS ema_200,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).gain AS gain,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).loss AS loss,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).range AS range,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).obv AS obv,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).mean AS mean,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).m2 AS m2,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).min AS min,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).max AS max,
       max(bucket) AS last_bucket,
       array_agg(close ORDER BY bucket) AS closes,
       array_agg(volume ORDER BY bucket) AS volumes
FROM public.candles_15m
GROUP BY symbol, time_bucket(INTERVAL '12 hours', bucket)
WITH NO DATA;
CREATE INDEX blocks_15m_symbol_bucket_idx ON _hypertick.blocks_15m (symbol, bucket DESC);
CREATE INDEX blocks_15m_bucket_idx ON _hypertick.blocks_15m (bucket);
COMMENT ON VIEW _hypertick.blocks_15m IS 'The 15m bars in blocks of 12 hours, kept by TimescaleDB from candles_15m, the open block included. Read indicator.blocks_15m.';
CREATE VIEW indicator.blocks_15m AS
SELECT b.symbol, b.bucket, b.bars,
       ROW(12, b.bars, (11 / 13.0::float8) ^ b.bars::float8, b.ema_12)::indicator.ema_state AS ema_12,
       ROW(26, b.bars, (25 / 27.0::float8) ^ b.bars::float8, b.ema_26)::indicator.ema_state AS ema_26,
       ROW(50, b.bars, (49 / 51.0::float8) ^ b.bars::float8, b.ema_50)::indicator.ema_state AS ema_50,
       ROW(200, b.bars, (199 / 201.0::float8) ^ b.bars::float8, b.ema_200)::indicator.ema_state AS ema_200,
       ROW(14, b.bars, b.first, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.gain, b.loss)::indicator.rsi_state AS rsi_14,
       ROW(14, b.bars, b.high, b.low, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.range)::indicator.atr_state AS atr_14,
       ROW(b.bars, b.mean, b.m2, b.min, b.max)::indicator.sum_state AS close_sum,
       ROW(b.bars, b.first, b.volume, b.last, b.obv)::indicator.obv_state AS obv,
       b.last_bucket, b.closes, b.volumes
FROM _hypertick.blocks_15m b;
COMMENT ON VIEW indicator.blocks_15m IS 'States of the 15m bars in blocks of 12 hours, kept by TimescaleDB from candles_15m, the open block included.';
COMMENT ON COLUMN indicator.blocks_15m.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN indicator.blocks_15m.bucket IS 'Start of the block, UTC.';
COMMENT ON COLUMN indicator.blocks_15m.bars IS 'Number of bars in it.';
COMMENT ON COLUMN indicator.blocks_15m.ema_12 IS 'EMA of period 12 over the closes.';
COMMENT ON COLUMN indicator.blocks_15m.ema_26 IS 'EMA of period 26 over the closes.';
COMMENT ON COLUMN indicator.blocks_15m.ema_50 IS 'EMA of period 50 over the closes.';
COMMENT ON COLUMN indicator.blocks_15m.ema_200 IS 'EMA of period 200 over the closes.';
COMMENT ON COLUMN indicator.blocks_15m.rsi_14 IS 'RSI of period 14 over the closes.';
COMMENT ON COLUMN indicator.blocks_15m.atr_14 IS 'ATR of period 14.';
COMMENT ON COLUMN indicator.blocks_15m.close_sum IS 'Sums over the closes, for averages and Bollinger bands.';
COMMENT ON COLUMN indicator.blocks_15m.obv IS 'On-balance volume.';
COMMENT ON COLUMN indicator.blocks_15m.last_bucket IS 'Start of the last bar in it.';
COMMENT ON COLUMN indicator.blocks_15m.closes IS 'The closes, for the averages of the screener, which begin within a block.';
COMMENT ON COLUMN indicator.blocks_15m.volumes IS 'The volumes, likewise.';

CREATE MATERIALIZED VIEW _hypertick.blocks_1h
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '4 years') AS
SELECT symbol,
       time_bucket(INTERVAL '2 days', bucket) AS bucket,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).n AS bars,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).first AS first,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).last AS last,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).high AS high,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).low AS low,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).volume AS volume,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_12 AS ema_12,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_26 AS ema_26,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_50 AS ema_50,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_200 AS ema_200,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).gain AS gain,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).loss AS loss,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).range AS range,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).obv AS obv,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).mean AS mean,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).m2 AS m2,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).min AS min,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).max AS max,
       max(bucket) AS last_bucket,
       array_agg(close ORDER BY bucket) AS closes,
       array_agg(volume ORDER BY bucket) AS volumes
FROM public.candles_1h
GROUP BY symbol, time_bucket(INTERVAL '2 days', bucket)
WITH NO DATA;
CREATE INDEX blocks_1h_symbol_bucket_idx ON _hypertick.blocks_1h (symbol, bucket DESC);
CREATE INDEX blocks_1h_bucket_idx ON _hypertick.blocks_1h (bucket);
COMMENT ON VIEW _hypertick.blocks_1h IS 'The 1h bars in blocks of 2 days, kept by TimescaleDB from candles_1h, the open block included. Read indicator.blocks_1h.';
CREATE VIEW indicator.blocks_1h AS
SELECT b.symbol, b.bucket, b.bars,
       ROW(12, b.bars, (11 / 13.0::float8) ^ b.bars::float8, b.ema_12)::indicator.ema_state AS ema_12,
       ROW(26, b.bars, (25 / 27.0::float8) ^ b.bars::float8, b.ema_26)::indicator.ema_state AS ema_26,
       ROW(50, b.bars, (49 / 51.0::float8) ^ b.bars::float8, b.ema_50)::indicator.ema_state AS ema_50,
       ROW(200, b.bars, (199 / 201.0::float8) ^ b.bars::float8, b.ema_200)::indicator.ema_state AS ema_200,
       ROW(14, b.bars, b.first, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.gain, b.loss)::indicator.rsi_state AS rsi_14,
       ROW(14, b.bars, b.high, b.low, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.range)::indicator.atr_state AS atr_14,
       ROW(b.bars, b.mean, b.m2, b.min, b.max)::indicator.sum_state AS close_sum,
       ROW(b.bars, b.first, b.volume, b.last, b.obv)::indicator.obv_state AS obv,
       b.last_bucket, b.closes, b.volumes
FROM _hypertick.blocks_1h b;
COMMENT ON VIEW indicator.blocks_1h IS 'States of the 1h bars in blocks of 2 days, kept by TimescaleDB from candles_1h, the open block included.';
COMMENT ON COLUMN indicator.blocks_1h.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN indicator.blocks_1h.bucket IS 'Start of the block, UTC.';
COMMENT ON COLUMN indicator.blocks_1h.bars IS 'Number of bars in it.';
COMMENT ON COLUMN indicator.blocks_1h.ema_12 IS 'EMA of period 12 over the closes.';
COMMENT ON COLUMN indicator.blocks_1h.ema_26 IS 'EMA of period 26 over the closes.';
COMMENT ON COLUMN indicator.blocks_1h.ema_50 IS 'EMA of period 50 over the closes.';
COMMENT ON COLUMN indicator.blocks_1h.ema_200 IS 'EMA of period 200 over the closes.';
COMMENT ON COLUMN indicator.blocks_1h.rsi_14 IS 'RSI of period 14 over the closes.';
COMMENT ON COLUMN indicator.blocks_1h.atr_14 IS 'ATR of period 14.';
COMMENT ON COLUMN indicator.blocks_1h.close_sum IS 'Sums over the closes, for averages and Bollinger bands.';
COMMENT ON COLUMN indicator.blocks_1h.obv IS 'On-balance volume.';
COMMENT ON COLUMN indicator.blocks_1h.last_bucket IS 'Start of the last bar in it.';
COMMENT ON COLUMN indicator.blocks_1h.closes IS 'The closes, for the averages of the screener, which begin within a block.';
COMMENT ON COLUMN indicator.blocks_1h.volumes IS 'The volumes, likewise.';

CREATE MATERIALIZED VIEW _hypertick.blocks_1d
WITH (timescaledb.continuous, timescaledb.materialized_only = true, timescaledb.create_group_indexes = false, timescaledb.chunk_interval = '40 years') AS
SELECT symbol,
       time_bucket(INTERVAL '60 days', bucket) AS bucket,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).n AS bars,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).first AS first,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).last AS last,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).high AS high,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).low AS low,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).volume AS volume,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_12 AS ema_12,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_26 AS ema_26,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_50 AS ema_50,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).ema_200 AS ema_200,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).gain AS gain,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).loss AS loss,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).range AS range,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).obv AS obv,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).mean AS mean,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).m2 AS m2,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).min AS min,
       (_hypertick.block_agg(high, low, close, volume ORDER BY bucket)).max AS max,
       max(bucket) AS last_bucket,
       array_agg(close ORDER BY bucket) AS closes,
       array_agg(volume ORDER BY bucket) AS volumes
FROM public.candles_1d
GROUP BY symbol, time_bucket(INTERVAL '60 days', bucket)
WITH NO DATA;
CREATE INDEX blocks_1d_symbol_bucket_idx ON _hypertick.blocks_1d (symbol, bucket DESC);
CREATE INDEX blocks_1d_bucket_idx ON _hypertick.blocks_1d (bucket);
COMMENT ON VIEW _hypertick.blocks_1d IS 'The 1d bars in blocks of 60 days, kept by TimescaleDB from candles_1d, the open block included. Read indicator.blocks_1d.';
CREATE VIEW indicator.blocks_1d AS
SELECT b.symbol, b.bucket, b.bars,
       ROW(12, b.bars, (11 / 13.0::float8) ^ b.bars::float8, b.ema_12)::indicator.ema_state AS ema_12,
       ROW(26, b.bars, (25 / 27.0::float8) ^ b.bars::float8, b.ema_26)::indicator.ema_state AS ema_26,
       ROW(50, b.bars, (49 / 51.0::float8) ^ b.bars::float8, b.ema_50)::indicator.ema_state AS ema_50,
       ROW(200, b.bars, (199 / 201.0::float8) ^ b.bars::float8, b.ema_200)::indicator.ema_state AS ema_200,
       ROW(14, b.bars, b.first, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.gain, b.loss)::indicator.rsi_state AS rsi_14,
       ROW(14, b.bars, b.high, b.low, b.last, (13 / 14.0::float8) ^ (b.bars - 1)::float8, b.range)::indicator.atr_state AS atr_14,
       ROW(b.bars, b.mean, b.m2, b.min, b.max)::indicator.sum_state AS close_sum,
       ROW(b.bars, b.first, b.volume, b.last, b.obv)::indicator.obv_state AS obv,
       b.last_bucket, b.closes, b.volumes
FROM _hypertick.blocks_1d b;
COMMENT ON VIEW indicator.blocks_1d IS 'States of the 1d bars in blocks of 60 days, kept by TimescaleDB from candles_1d, the open block included.';
COMMENT ON COLUMN indicator.blocks_1d.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN indicator.blocks_1d.bucket IS 'Start of the block, UTC.';
COMMENT ON COLUMN indicator.blocks_1d.bars IS 'Number of bars in it.';
COMMENT ON COLUMN indicator.blocks_1d.ema_12 IS 'EMA of period 12 over the closes.';
COMMENT ON COLUMN indicator.blocks_1d.ema_26 IS 'EMA of period 26 over the closes.';
COMMENT ON COLUMN indicator.blocks_1d.ema_50 IS 'EMA of period 50 over the closes.';
COMMENT ON COLUMN indicator.blocks_1d.ema_200 IS 'EMA of period 200 over the closes.';
COMMENT ON COLUMN indicator.blocks_1d.rsi_14 IS 'RSI of period 14 over the closes.';
COMMENT ON COLUMN indicator.blocks_1d.atr_14 IS 'ATR of period 14.';
COMMENT ON COLUMN indicator.blocks_1d.close_sum IS 'Sums over the closes, for averages and Bollinger bands.';
COMMENT ON COLUMN indicator.blocks_1d.obv IS 'On-balance volume.';
COMMENT ON COLUMN indicator.blocks_1d.last_bucket IS 'Start of the last bar in it.';
COMMENT ON COLUMN indicator.blocks_1d.closes IS 'The closes, for the averages of the screener, which begin within a block.';
COMMENT ON COLUMN indicator.blocks_1d.volumes IS 'The volumes, likewise.';

GRANT SELECT ON ALL TABLES IN SCHEMA indicator TO hypertick_reader, hypertick_writer;
GRANT SELECT ON _hypertick.blocks_1m, _hypertick.blocks_5m, _hypertick.blocks_15m, _hypertick.blocks_1h, _hypertick.blocks_1d TO hypertick_reader, hypertick_writer;

-- end_offset NULL: the open block is computed anew with every bar that closes,
-- so that the screener lags a minute or so. A block becomes final in the run in
-- which the next one first appears: by then the candles policy has materialised
-- all its bars. Batches of 70 days to 10 years, for the reason given in 00006.
SELECT add_continuous_aggregate_policy('_hypertick.blocks_1m', start_offset => NULL, end_offset => NULL,
    schedule_interval => INTERVAL '1 minute', buckets_per_batch => 1680, refresh_newest_first => false);
SELECT add_continuous_aggregate_policy('_hypertick.blocks_5m', start_offset => NULL, end_offset => NULL,
    schedule_interval => INTERVAL '1 minute', buckets_per_batch => 720, refresh_newest_first => false);
SELECT add_continuous_aggregate_policy('_hypertick.blocks_15m', start_offset => NULL, end_offset => NULL,
    schedule_interval => INTERVAL '1 minute', buckets_per_batch => 720, refresh_newest_first => false);
SELECT add_continuous_aggregate_policy('_hypertick.blocks_1h', start_offset => NULL, end_offset => NULL,
    schedule_interval => INTERVAL '1 minute', buckets_per_batch => 365, refresh_newest_first => false);
SELECT add_continuous_aggregate_policy('_hypertick.blocks_1d', start_offset => NULL, end_offset => NULL,
    schedule_interval => INTERVAL '1 minute', buckets_per_batch => 60, refresh_newest_first => false);

ALTER MATERIALIZED VIEW _hypertick.blocks_1m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('_hypertick.blocks_1m', after => INTERVAL '60 days', schedule_interval => INTERVAL '1 day');
ALTER MATERIALIZED VIEW _hypertick.blocks_5m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('_hypertick.blocks_5m', after => INTERVAL '180 days', schedule_interval => INTERVAL '1 day');
ALTER MATERIALIZED VIEW _hypertick.blocks_15m SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('_hypertick.blocks_15m', after => INTERVAL '1 year', schedule_interval => INTERVAL '1 day');
ALTER MATERIALIZED VIEW _hypertick.blocks_1h SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('_hypertick.blocks_1h', after => INTERVAL '4 years', schedule_interval => INTERVAL '1 day');
ALTER MATERIALIZED VIEW _hypertick.blocks_1d SET (timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'bucket');
CALL add_columnstore_policy('_hypertick.blocks_1d', after => INTERVAL '40 years', schedule_interval => INTERVAL '1 day');

-- What blocks hang on, for retention.
CREATE TABLE _hypertick.blocks (
    "interval" text PRIMARY KEY,
    relation   text NOT NULL UNIQUE,
    source     text NOT NULL UNIQUE REFERENCES _hypertick.retention (relation),
    width      interval NOT NULL
);
COMMENT ON TABLE _hypertick.blocks IS 'The continuous aggregates that hold block states.';
COMMENT ON COLUMN _hypertick.blocks."interval" IS 'Interval of the bars.';
COMMENT ON COLUMN _hypertick.blocks.relation IS 'Continuous aggregate in schema _hypertick, and a view in schema indicator.';
COMMENT ON COLUMN _hypertick.blocks.source IS 'The candles it is built from.';
COMMENT ON COLUMN _hypertick.blocks.width IS 'Length of a block.';
GRANT SELECT ON _hypertick.blocks TO hypertick_reader, hypertick_writer;
INSERT INTO _hypertick.blocks ("interval", relation, source, width) VALUES
    ('1m', 'blocks_1m', 'candles_1m', '1 hour'),
    ('5m', 'blocks_5m', 'candles_5m', '6 hours'),
    ('15m', 'blocks_15m', 'candles_15m', '12 hours'),
    ('1h', 'blocks_1h', 'candles_1h', '2 days'),
    ('1d', 'blocks_1d', 'candles_1d', '60 days');

-- As in 00008, and then the same for the blocks: a refresh never reaches a
-- block whose candles are no longer whole, and blocks outlive their candles by
-- 60 blocks, which the EMA 200 of the oldest bars still needs.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION _hypertick.apply_retention() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    l record;
BEGIN
    FOR l IN
        SELECT 'public' AS schema, r.relation, r.drop_after, r.level,
               -- What a refresh may touch: nothing older than its own rows or its source's.
               (SELECT pg_catalog.max(greatest(b.floor, pg_catalog.now() - b.drop_after))
                FROM _hypertick.retention b WHERE b.level IN (r.level, r.level - 1)) AS horizon
        FROM _hypertick.retention r
        UNION ALL
        SELECT '_hypertick', b.relation, r.drop_after + 60 * b.width, 100 + r.level, greatest(r.floor, pg_catalog.now() - r.drop_after)
        FROM _hypertick.blocks b JOIN _hypertick.retention r ON r.relation = b.source
        ORDER BY 4
    LOOP
        PERFORM public.remove_retention_policy(pg_catalog.format('%I.%I', l.schema, l.relation)::regclass, if_exists => true);
        IF l.drop_after IS NOT NULL THEN
            PERFORM public.add_retention_policy(pg_catalog.format('%I.%I', l.schema, l.relation)::regclass, l.drop_after,
                schedule_interval => INTERVAL '1 hour');
        END IF;
        PERFORM public.alter_job(j.job_id, config => j.config || pg_catalog.jsonb_build_object(
                    'start_offset', (pg_catalog.now() - l.horizon)::text))
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_refresh_continuous_aggregate'
          AND j.hypertable_schema = l.schema AND j.hypertable_name = l.relation
          AND j.config -> 'start_offset' IS DISTINCT FROM pg_catalog.to_jsonb((pg_catalog.now() - l.horizon)::text);
    END LOOP;
END
$$;
-- +goose StatementEnd
SELECT _hypertick.apply_retention();


-- +goose Down
-- Without its jobs first, a drop meets a refresh that is running.
SELECT delete_job(job_id) FROM timescaledb_information.jobs WHERE hypertable_schema = '_hypertick' AND hypertable_name IN (SELECT relation FROM _hypertick.blocks);
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION _hypertick.apply_retention() RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    l record;
BEGIN
    FOR l IN
        SELECT r.relation, r.drop_after, r.level,
               -- What a refresh may touch: nothing older than its own rows or its source's.
               (SELECT pg_catalog.max(greatest(b.floor, pg_catalog.now() - b.drop_after))
                FROM _hypertick.retention b WHERE b.level IN (r.level, r.level - 1)) AS horizon
        FROM _hypertick.retention r
        ORDER BY r.level
    LOOP
        PERFORM public.remove_retention_policy(pg_catalog.format('public.%I', l.relation)::regclass, if_exists => true);
        IF l.drop_after IS NOT NULL THEN
            PERFORM public.add_retention_policy(pg_catalog.format('public.%I', l.relation)::regclass, l.drop_after,
                schedule_interval => INTERVAL '1 hour');
        END IF;
        PERFORM public.alter_job(j.job_id, config => j.config || pg_catalog.jsonb_build_object(
                    'start_offset', (pg_catalog.now() - l.horizon)::text))
        FROM timescaledb_information.jobs j
        WHERE j.proc_name = 'policy_refresh_continuous_aggregate' AND j.hypertable_name = l.relation
          AND j.config -> 'start_offset' IS DISTINCT FROM pg_catalog.to_jsonb((pg_catalog.now() - l.horizon)::text);
    END LOOP;
END
$$;
-- +goose StatementEnd
DROP TABLE _hypertick.blocks;
DROP VIEW indicator.blocks_1d;
DROP MATERIALIZED VIEW _hypertick.blocks_1d;
DROP VIEW indicator.blocks_1h;
DROP MATERIALIZED VIEW _hypertick.blocks_1h;
DROP VIEW indicator.blocks_15m;
DROP MATERIALIZED VIEW _hypertick.blocks_15m;
DROP VIEW indicator.blocks_5m;
DROP MATERIALIZED VIEW _hypertick.blocks_5m;
DROP VIEW indicator.blocks_1m;
DROP MATERIALIZED VIEW _hypertick.blocks_1m;
DROP AGGREGATE _hypertick.block_agg(float8, float8, float8, float8);
DROP FUNCTION _hypertick.block_step(_hypertick.block, float8, float8, float8, float8);
DROP TYPE _hypertick.block;

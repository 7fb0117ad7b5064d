-- The raw trades.
--
-- No unique constraint: TimescaleDB's direct-to-columnstore COPY is skipped
-- where one exists, and duplicates are stopped before they get here, by seq.
-- One index, because the index is the largest cost of ingest.
-- Collation "C": a symbol is a code, and comparing bytes is what an index does
-- fastest.
CREATE TABLE ticks (
    ts     timestamptz      NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    price  float8           NOT NULL,
    size   float8           NOT NULL,
    seq    bigint           NOT NULL,
    venue  text COLLATE "C" NOT NULL
);
-- Seven days suit up to some thousand ticks a second on a small server; for
-- more: SELECT set_chunk_time_interval('ticks', INTERVAL '1 day').
SELECT create_hypertable('ticks', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);
CREATE INDEX ticks_symbol_ts_idx ON ticks (symbol, ts DESC);

COMMENT ON TABLE ticks IS 'Every trade once, as it came from the feeds.';
COMMENT ON COLUMN ticks.ts IS 'Trade time, in microseconds.';
COMMENT ON COLUMN ticks.symbol IS '1 to 32 of A-Z 0-9 . _ : -';
COMMENT ON COLUMN ticks.price IS 'In the quote currency, above 0.';
COMMENT ON COLUMN ticks.size IS 'Units traded, at least 0.';
COMMENT ON COLUMN ticks.seq IS
    'Rises strictly per venue and symbol in the order of the source. Orders ticks of the same ts.';
COMMENT ON COLUMN ticks.venue IS 'Where the trade took place, 1 to 16 characters.';
COMMENT ON INDEX ticks_symbol_ts_idx IS 'Serves reads of one symbol over time, and the refresh of its candles.';

GRANT SELECT ON ticks TO hypertick_reader, hypertick_writer;
GRANT INSERT ON ticks TO hypertick_writer;

-- A tick that comes long after its time would, inside a batch of live ones,
-- invalidate everything between: an invalidated range spans the oldest and the
-- newest row of its transaction, for all symbols. So ingest puts it here in the
-- same transaction, and a job moves it on in one of its own.
CREATE TABLE late_ticks (LIKE ticks);
CREATE INDEX late_ticks_ts_idx ON late_ticks (ts);

COMMENT ON TABLE late_ticks IS 'Late ticks on their way into ticks. A job moves them within seconds.';
COMMENT ON COLUMN late_ticks.ts IS 'See ticks.ts.';
COMMENT ON COLUMN late_ticks.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN late_ticks.price IS 'See ticks.price.';
COMMENT ON COLUMN late_ticks.size IS 'See ticks.size.';
COMMENT ON COLUMN late_ticks.seq IS 'See ticks.seq.';
COMMENT ON COLUMN late_ticks.venue IS 'See ticks.venue.';
COMMENT ON INDEX late_ticks_ts_idx IS 'Lets the job take the oldest ticks first.';

GRANT SELECT ON late_ticks TO hypertick_reader, hypertick_writer;
GRANT INSERT ON late_ticks TO hypertick_writer;

-- Columnstore: a compressed tick is about 14 bytes. Late ticks are stored in
-- the row store until the policy compresses them too.
ALTER TABLE ticks SET (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'ts, seq');
CALL add_columnstore_policy('ticks', after => INTERVAL '7 days', schedule_interval => INTERVAL '1 hour');

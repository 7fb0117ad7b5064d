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
    venue  text COLLATE "C" NOT NULL,
    -- Narrow, and last: a row without them is as wide as one that never had them.
    side     smallint,
    flags    int            NOT NULL DEFAULT 0,
    -- Milliseconds in a bigint: the columnstore keeps a timestamp per tick in 4.9
    -- bytes, this in 1.3 (2 M ticks of 200 symbols, native 2.29).
    known_ms bigint         NOT NULL DEFAULT (date_part('epoch', now()) * 1000)::bigint,
    CONSTRAINT ticks_ts_check CHECK (ts >= '1900-01-01Z'),
    CONSTRAINT ticks_price_check CHECK (price = 0 OR abs(price) BETWEEN 1e-15 AND 1e15),
    CONSTRAINT ticks_size_check CHECK (size = 0 OR size BETWEEN 1e-15 AND 1e15),
    CONSTRAINT ticks_symbol_check CHECK (octet_length(symbol) BETWEEN 1 AND 64),
    CONSTRAINT ticks_side_check CHECK (side IN (-1, 1))
);
-- Seven days suit up to some thousand ticks a second on a small server; for
-- more: SELECT set_chunk_time_interval('ticks', INTERVAL '1 day').
SELECT create_hypertable('ticks', by_range('ts', INTERVAL '7 days'), create_default_indexes => false);
CREATE INDEX ticks_symbol_ts_idx ON ticks (symbol, ts DESC);

COMMENT ON TABLE ticks IS 'Every trade once, as it came from the feeds.';
COMMENT ON COLUMN ticks.ts IS 'Trade time, in microseconds.';
COMMENT ON COLUMN ticks.symbol IS '1 to 64 bytes of printable UTF-8, without a space at either end.';
COMMENT ON COLUMN ticks.price IS
    'In the quote currency. At or below 0 only where instruments or feed_venues allow it.';
COMMENT ON COLUMN ticks.size IS 'Units traded, at least 0.';
COMMENT ON COLUMN ticks.seq IS
    'Number of the trade at its source, per venue and symbol. Orders ticks of the same ts.';
COMMENT ON COLUMN ticks.venue IS 'Where the trade took place, 1 to 16 characters.';
COMMENT ON COLUMN ticks.side IS '1: the buyer began the trade, -1: the seller did, NULL: not known.';
COMMENT ON COLUMN ticks.flags IS
    'What the trade does not move, and what it is: see trade_flags. 0 for most.';
COMMENT ON COLUMN ticks.known_ms IS
    'When the tick was stored here, in milliseconds since 1970. As a time: known_at(ticks), or t.known_at.';
COMMENT ON INDEX ticks_symbol_ts_idx IS 'Serves reads of one symbol over time, and the refresh of its candles.';

GRANT SELECT ON ticks TO hypertick_reader, hypertick_writer;
GRANT INSERT ON ticks TO hypertick_writer;

CREATE FUNCTION known_at(tick ticks) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN to_timestamp(tick.known_ms / 1000.0::float8);
COMMENT ON FUNCTION known_at(ticks) IS 'When a tick was stored here. SELECT t.known_at FROM ticks t.';
REVOKE EXECUTE ON FUNCTION known_at(ticks) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION known_at(ticks) TO hypertick_reader, hypertick_writer;

-- A tick that comes long after its time would, inside a batch of live ones,
-- invalidate everything between: an invalidated range spans the oldest and the
-- newest row of its transaction, for all symbols. So ingest puts it here in the
-- same transaction, and a job moves it on in one of its own.
CREATE TABLE late_ticks (
    ts     timestamptz      NOT NULL,
    symbol text COLLATE "C" NOT NULL,
    price  float8           NOT NULL,
    size   float8           NOT NULL,
    seq    bigint           NOT NULL,
    venue  text COLLATE "C" NOT NULL,
    side   smallint,
    flags  int              NOT NULL DEFAULT 0,
    -- A row that ticks would refuse must not wait here for ever.
    CHECK (ts >= '1900-01-01Z' AND octet_length(symbol) BETWEEN 1 AND 64
           AND (price = 0 OR abs(price) BETWEEN 1e-15 AND 1e15) AND (size = 0 OR size BETWEEN 1e-15 AND 1e15)
           AND (side IN (-1, 1)) IS NOT FALSE)
);
CREATE INDEX late_ticks_ts_idx ON late_ticks (ts);

COMMENT ON TABLE late_ticks IS 'Late ticks on their way into ticks. A job moves them within seconds.';
COMMENT ON COLUMN late_ticks.ts IS 'See ticks.ts.';
COMMENT ON COLUMN late_ticks.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN late_ticks.price IS 'See ticks.price.';
COMMENT ON COLUMN late_ticks.size IS 'See ticks.size.';
COMMENT ON COLUMN late_ticks.seq IS 'See ticks.seq.';
COMMENT ON COLUMN late_ticks.venue IS 'See ticks.venue.';
COMMENT ON COLUMN late_ticks.side IS 'See ticks.side.';
COMMENT ON COLUMN late_ticks.flags IS 'See ticks.flags.';
COMMENT ON INDEX late_ticks_ts_idx IS 'Lets the job take the oldest ticks first.';

GRANT SELECT ON late_ticks TO hypertick_reader, hypertick_writer;
GRANT INSERT ON late_ticks TO hypertick_writer;

-- Columnstore: a compressed tick is about 14 bytes. Late ticks are stored in
-- the row store until the policy compresses them too.
ALTER TABLE ticks SET (
    timescaledb.enable_columnstore, timescaledb.segmentby = 'symbol', timescaledb.orderby = 'ts, seq');
CALL add_columnstore_policy('ticks', after => INTERVAL '7 days', schedule_interval => INTERVAL '1 hour');

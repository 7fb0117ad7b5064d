-- Offsets and feed positions. They change in the transaction that stores the
-- ticks: that makes ingest exactly-once.

CREATE TABLE ingest_offsets (
    topic       text        NOT NULL,
    partition   int         NOT NULL,
    next_offset bigint      NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    topic_id    text        NOT NULL DEFAULT '',
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE ingest_offsets IS
    'Next offset to read of each partition of the topic. Ingest resumes from it, not from the group''s offset.';
COMMENT ON COLUMN ingest_offsets.topic IS 'Topic of the broker.';
COMMENT ON COLUMN ingest_offsets.partition IS 'Partition of the topic.';
COMMENT ON COLUMN ingest_offsets.next_offset IS 'Every record below it is stored, dead-lettered or was a duplicate.';
COMMENT ON COLUMN ingest_offsets.updated_at IS 'When it last moved.';
COMMENT ON COLUMN ingest_offsets.topic_id IS
    'ID of the topic that next_offset counts in, as kafka-topics --describe prints it. A topic that is recreated, '
    'or one of that name in another cluster, has another ID. Empty: not known, because the broker has no IDs.';
GRANT SELECT ON ingest_offsets TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_offsets TO hypertick_writer;

-- A tick lexicographically above (last_ts, top_seq) cannot be stored yet, and is
-- new without a look. Whoever stores ticks of a feed raises version in the same
-- transaction: what another has looked up before is then looked up again.
CREATE TABLE feed_positions (
    venue      text COLLATE "C" NOT NULL,
    symbol     text COLLATE "C" NOT NULL,
    last_seq   bigint           NOT NULL,
    last_ts    timestamptz      NOT NULL,
    top_seq    bigint           NOT NULL DEFAULT -1,
    run_since  timestamptz,
    runs       int              NOT NULL DEFAULT 1,
    version    bigint           NOT NULL DEFAULT 1,
    updated_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (symbol, venue)
) WITH (fillfactor = 50);
COMMENT ON TABLE feed_positions IS
    'Position of each feed: how far its ticks reach, and its present run of seqs. A lower seq with a newer ts begins '
    'a new run.';
COMMENT ON COLUMN feed_positions.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_positions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN feed_positions.last_seq IS
    'Highest seq of the present run; a gap is counted from it. -1: the next tick begins a run.';
COMMENT ON COLUMN feed_positions.last_ts IS 'Newest trade time stored.';
COMMENT ON COLUMN feed_positions.top_seq IS 'At least the highest seq stored with last_ts; -1: not known.';
COMMENT ON COLUMN feed_positions.run_since IS 'Trade time at which the present run began. NULL: not known.';
COMMENT ON COLUMN feed_positions.runs IS 'Number of runs so far: how often seq began again, plus one.';
COMMENT ON COLUMN feed_positions.version IS
    'Rises by one for each tick of the feed that is stored, whatever its ts and seq.';
COMMENT ON COLUMN feed_positions.updated_at IS 'When a tick of the feed was last stored.';
GRANT SELECT ON feed_positions TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON feed_positions TO hypertick_writer;

CREATE TABLE feed_venues (
    venue      text COLLATE "C" PRIMARY KEY,
    contiguous boolean NOT NULL DEFAULT true,
    non_positive_prices boolean NOT NULL DEFAULT false,
    conflicts  text             NOT NULL DEFAULT 'keep' CHECK (conflicts IN ('keep', 'correct', 'refuse')),
    calendar   text             NOT NULL DEFAULT '24x7'
);
COMMENT ON TABLE feed_venues IS
    'Properties of venues. A venue that is not listed is contiguous. Ingest reads the table once a minute.';
COMMENT ON COLUMN feed_venues.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_venues.contiguous IS
    'Whether seq rises by exactly one per symbol, so that a jump is a gap. Set it to false for venues that number '
    'across symbols.';
COMMENT ON COLUMN feed_venues.non_positive_prices IS
    'Whether prices at or below 0 are stored, as of futures and spreads. See instruments for single symbols.';
COMMENT ON COLUMN feed_venues.conflicts IS
    'What becomes of a tick whose ts and seq are stored with another price or size. keep: stored beside it. correct: '
    'it takes its place. refuse: it is a dead letter. Each is listed in feed_conflicts.';
COMMENT ON COLUMN feed_venues.calendar IS 'Calendar of symbols that are new: see instruments.';
GRANT SELECT ON feed_venues TO hypertick_reader, hypertick_writer;

-- Bits of ticks.flags. The first four say what a trade does not move; a candle
-- honours them. The others say what it is.
CREATE TABLE trade_flags (
    flag int PRIMARY KEY CHECK (flag > 0 AND flag & (flag - 1) = 0),
    name text NOT NULL UNIQUE,
    meaning text NOT NULL
);
COMMENT ON TABLE trade_flags IS 'Bits of ticks.flags.';
COMMENT ON COLUMN trade_flags.flag IS 'The bit, as a number.';
COMMENT ON COLUMN trade_flags.name IS 'Short name.';
COMMENT ON COLUMN trade_flags.meaning IS 'What it says of a trade.';
GRANT SELECT ON trade_flags TO hypertick_reader, hypertick_writer;
INSERT INTO trade_flags (flag, name, meaning) VALUES
    (1,   'no_open',       'does not open a bar'),
    (2,   'no_high_low',   'moves neither high nor low'),
    (4,   'no_close',      'does not close a bar'),
    (8,   'no_volume',     'does not count in volume and notional'),
    (16,  'opening',       'opening auction'),
    (32,  'closing',       'closing auction'),
    (64,  'off_session',   'outside regular trading hours'),
    (128, 'odd_lot',       'fewer units than a round lot'),
    (256, 'bar',           'not a trade: a part of a bar from a file of bars'),
    (512, 'unknown',       'has a condition that trade_conditions does not list');

CREATE TABLE trade_conditions (
    code text COLLATE "C" PRIMARY KEY CHECK (code ~ '^[ -+\--~]{1,32}$'),
    flags int NOT NULL,
    title text NOT NULL
);
COMMENT ON TABLE trade_conditions IS
    'Sale conditions and what they do not move. Ingest reads the table once a minute.';
COMMENT ON COLUMN trade_conditions.code IS 'The code, as in the conditions of a message.';
COMMENT ON COLUMN trade_conditions.flags IS 'Sum of trade_flags.flag. Those of several conditions are added together.';
COMMENT ON COLUMN trade_conditions.title IS 'What the condition is called.';
GRANT SELECT ON trade_conditions TO hypertick_reader, hypertick_writer;
INSERT INTO trade_conditions (code, flags, title) VALUES
    ('bar', 256, 'Part of a bar from a file of bars');

-- The rules of the US tapes for the consolidated market, as published: Consolidated
-- Tape Association, CTS Output Specification, and UTP Plan, UTP Data Feed Services
-- Specification, in each the table of sale conditions and what they update; where a
-- table says "last, unless others have", a trade does not close a bar. The lists of
-- dxFeed (docs.dxfeed.com/misc/dxFeed_TimeAndSale_Sale_Conditions.htm), Interactive
-- Brokers (Trade Conditions, CTS and UTDF) and Polygon (v3/reference/conditions,
-- update_rules.consolidated) say the same. B is an average price on the CTA tapes and
-- a bunched trade on the UTP tape: alone it counts as the former, which moves no price.
INSERT INTO trade_conditions (code, flags, title) VALUES
    ('@', 0,   'Regular sale'),
    ('A', 0,   'Acquisition'),
    ('B', 7,   'Average price trade (CTA); bunched trade (UTP: see utp:B)'),
    ('C', 7,   'Cash sale, same-day clearing'),
    ('D', 0,   'Distribution'),
    ('E', 0,   'Automatic execution (CTA)'),
    ('F', 0,   'Intermarket sweep'),
    ('G', 5,   'Bunched sold trade, reported late'),
    ('H', 7,   'Price variation trade'),
    ('I', 135, 'Odd lot trade'),
    ('K', 0,   'Rule 127 (NYSE) or rule 155 (NYSE American)'),
    ('L', 0,   'Sold last, reported late but in sequence'),
    ('M', 15,  'Market center official close: a price, no trade'),
    ('N', 7,   'Next day clearing'),
    ('O', 16,  'Opening trade'),
    ('P', 5,   'Prior reference price'),
    ('Q', 15,  'Market center official open: a price, no trade'),
    ('R', 7,   'Seller'),
    ('S', 0,   'Split trade'),
    ('T', 71,  'Form T: extended hours'),
    ('U', 71,  'Extended hours, sold out of sequence'),
    ('V', 7,   'Contingent trade'),
    ('W', 7,   'Average price trade (UTP)'),
    ('X', 0,   'Cross trade'),
    ('Y', 0,   'Yellow flag'),
    ('Z', 5,   'Sold out of sequence'),
    ('1', 0,   'Stopped stock, regular trade'),
    ('2', 0,   'Stopped stock, sold last'),
    ('3', 5,   'Stopped stock, sold out of sequence'),
    ('4', 5,   'Derivatively priced'),
    ('5', 0,   'Reopening trade'),
    ('6', 32,  'Closing trade'),
    ('7', 7,   'Qualified contingent trade'),
    ('8', 0,   'Trade-through exempt'),
    ('9', 9,   'Corrected consolidated close: its volume has been counted');
-- The same under names, for feeds without these codes.
INSERT INTO trade_conditions (code, flags, title)
SELECT named.code, c.flags, c.title
FROM (VALUES ('regular', '@'), ('acquisition', 'A'), ('average_price', 'W'), ('cash', 'C'), ('distribution', 'D'),
             ('automatic_execution', 'E'), ('intermarket_sweep', 'F'), ('bunched_sold', 'G'),
             ('price_variation', 'H'), ('odd_lot', 'I'), ('sold_last', 'L'), ('official_close', 'M'),
             ('next_day', 'N'), ('opening', 'O'), ('prior_reference_price', 'P'), ('official_open', 'Q'),
             ('seller', 'R'), ('split', 'S'), ('form_t', 'T'), ('extended_hours', 'T'),
             ('extended_hours_out_of_sequence', 'U'), ('contingent', 'V'), ('cross', 'X'),
             ('out_of_sequence', 'Z'), ('stopped', '1'), ('derivatively_priced', '4'), ('reopening', '5'),
             ('closing', '6'), ('qualified_contingent', '7'), ('trade_through_exempt', '8'),
             ('corrected_close', '9'), ('cta:B', 'W'), ('utp:B', 'A')) named(code, of)
JOIN trade_conditions c ON c.code = named.of;
UPDATE trade_conditions SET title = 'Bunched trade (UTP)' WHERE code = 'utp:B';
INSERT INTO trade_conditions (code, flags, title) VALUES ('bunched', 0, 'Bunched trade');
-- And what a trade does not move, for whoever has rules of their own.
INSERT INTO trade_conditions (code, flags, title)
SELECT f.name, f.flag, f.meaning FROM trade_flags f WHERE f.flag IN (1, 2, 4, 8, 64);

-- A gap is open while something of it is missing: a tick that falls into it closes
-- its part, in the transaction that stores it.
CREATE TABLE feed_gaps (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue       text COLLATE "C" NOT NULL,
    symbol      text COLLATE "C" NOT NULL,
    from_seq    bigint           NOT NULL,
    to_seq      bigint           NOT NULL,
    before_ts   timestamptz      NOT NULL,
    after_ts    timestamptz      NOT NULL,
    detected_at timestamptz      NOT NULL DEFAULT now(),
    missing     int8multirange   NOT NULL
        GENERATED ALWAYS AS (int8multirange(int8range(from_seq, to_seq, '[]')) - filled) STORED,
    filled      int8multirange   NOT NULL DEFAULT '{}',
    closed_at   timestamptz,
    closed_by   text CHECK (closed_by IN ('stream', 'backfill', 'restart', 'operator')),
    CHECK ((closed_at IS NULL) = (closed_by IS NULL))
);
CREATE INDEX feed_gaps_symbol_idx ON feed_gaps (symbol, detected_at DESC);
CREATE INDEX feed_gaps_detected_at_idx ON feed_gaps (detected_at DESC);
CREATE INDEX feed_gaps_open_idx ON feed_gaps (symbol, venue) WHERE closed_at IS NULL;
COMMENT ON TABLE feed_gaps IS 'Ranges of seq that a contiguous feed skipped, open and closed.';
COMMENT ON COLUMN feed_gaps.id IS 'Number of the gap.';
COMMENT ON COLUMN feed_gaps.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_gaps.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN feed_gaps.from_seq IS 'First seq that was missing.';
COMMENT ON COLUMN feed_gaps.to_seq IS 'Last seq that was missing.';
COMMENT ON COLUMN feed_gaps.before_ts IS
    'Trade time of the tick before the gap, or of the one after it if that is older.';
COMMENT ON COLUMN feed_gaps.after_ts IS
    'Trade time of the tick after the gap, or of the one before it if that is newer.';
COMMENT ON COLUMN feed_gaps.detected_at IS 'When it was detected.';
COMMENT ON COLUMN feed_gaps.missing IS 'The seqs of it that are still missing.';
COMMENT ON COLUMN feed_gaps.filled IS 'The seqs of it that have come since.';
COMMENT ON COLUMN feed_gaps.closed_at IS 'When it was closed. NULL: it is open.';
COMMENT ON COLUMN feed_gaps.closed_by IS
    'stream, backfill: its last missing tick came that way. restart: the feed began to number again below it, so it '
    'was none. operator: hypertick feed reset.';
COMMENT ON INDEX feed_gaps_symbol_idx IS 'Serves the gaps of one symbol.';
COMMENT ON INDEX feed_gaps_detected_at_idx IS 'Serves the newest gaps.';
COMMENT ON INDEX feed_gaps_open_idx IS 'Serves ticks that may close a gap.';
GRANT SELECT ON feed_gaps TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON feed_gaps TO hypertick_writer;

CREATE TABLE feed_conflicts (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    venue        text COLLATE "C" NOT NULL,
    symbol       text COLLATE "C" NOT NULL,
    ts           timestamptz      NOT NULL,
    seq          bigint           NOT NULL,
    stored_price float8           NOT NULL,
    stored_size  float8           NOT NULL,
    price        float8           NOT NULL,
    size         float8           NOT NULL,
    outcome      text             NOT NULL CHECK (outcome IN ('kept', 'corrected', 'refused')),
    at           timestamptz      NOT NULL DEFAULT now()
);
CREATE INDEX feed_conflicts_at_idx ON feed_conflicts (at DESC);
COMMENT ON TABLE feed_conflicts IS
    'Ticks that came with the ts and seq of a stored one, but with another price or size.';
COMMENT ON COLUMN feed_conflicts.id IS 'Number of the conflict.';
COMMENT ON COLUMN feed_conflicts.venue IS 'See ticks.venue.';
COMMENT ON COLUMN feed_conflicts.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN feed_conflicts.ts IS 'See ticks.ts.';
COMMENT ON COLUMN feed_conflicts.seq IS 'See ticks.seq.';
COMMENT ON COLUMN feed_conflicts.stored_price IS 'Price of the tick that was stored first.';
COMMENT ON COLUMN feed_conflicts.stored_size IS 'Size of the tick that was stored first.';
COMMENT ON COLUMN feed_conflicts.price IS 'Price of the tick that came.';
COMMENT ON COLUMN feed_conflicts.size IS 'Size of the tick that came.';
COMMENT ON COLUMN feed_conflicts.outcome IS 'What became of it, by feed_venues.conflicts.';
COMMENT ON COLUMN feed_conflicts.at IS 'When it came.';
COMMENT ON INDEX feed_conflicts_at_idx IS 'Serves the newest conflicts.';
GRANT SELECT ON feed_conflicts TO hypertick_reader;
GRANT SELECT, INSERT ON feed_conflicts TO hypertick_writer;

-- Outcomes of dead letters. Their topic is append-only, so the transaction that
-- handles a dead letter records that here.
CREATE TABLE dead_letters_handled (
    topic     text        NOT NULL,
    partition int         NOT NULL,
    "offset"  bigint      NOT NULL,
    how       text        NOT NULL CHECK (how IN ('stored', 'known', 'discarded')),
    at        timestamptz NOT NULL DEFAULT now(),
    topic_id  text        NOT NULL DEFAULT '',
    PRIMARY KEY (topic, topic_id, partition, "offset")
);
COMMENT ON TABLE dead_letters_handled IS 'Dead letters that have been handled.';
COMMENT ON COLUMN dead_letters_handled.topic IS 'Topic of the dead letters.';
COMMENT ON COLUMN dead_letters_handled.partition IS 'Partition of the dead letter, not of the record it was.';
COMMENT ON COLUMN dead_letters_handled."offset" IS 'Offset of the dead letter.';
COMMENT ON COLUMN dead_letters_handled.how IS
    'stored: its tick is in ticks now. known: its tick was stored before. discarded: an operator discarded it.';
COMMENT ON COLUMN dead_letters_handled.at IS 'When it was handled.';
COMMENT ON COLUMN dead_letters_handled.topic_id IS
    'ID of the topic: a topic that is recreated begins at offset 0 again. Empty: not known.';
GRANT SELECT ON dead_letters_handled TO hypertick_reader;
GRANT SELECT, INSERT ON dead_letters_handled TO hypertick_writer;

-- Activity of ingest, by the minute of its commits. ticks does not hold it: its
-- rows have the time of the trade, and a duplicate or a dead letter has none.
-- Written in the transaction of the batch, so it is exact.
CREATE TABLE ingest_activity (
    minute       timestamptz NOT NULL,
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    stored       bigint      NOT NULL,
    duplicates   bigint      NOT NULL,
    conflicts    bigint      NOT NULL DEFAULT 0,
    changes      bigint      NOT NULL DEFAULT 0,
    dead_letters bigint      NOT NULL,
    behind       bigint      NOT NULL
);
SELECT create_hypertable('ingest_activity', by_range('minute', INTERVAL '7 days'), create_default_indexes => false);
-- A partition has one writer at a time (see ingest_offsets), so no
-- transaction waits for another's row here.
CREATE UNIQUE INDEX ingest_activity_key ON ingest_activity (minute, topic, partition);
SELECT add_retention_policy('ingest_activity', INTERVAL '30 days', schedule_interval => INTERVAL '1 day');

COMMENT ON TABLE ingest_activity IS
    'Records that ingest processed, by partition and minute. Rows are kept for 30 days.';
COMMENT ON COLUMN ingest_activity.minute IS 'Minute in which the batches began to be stored.';
COMMENT ON COLUMN ingest_activity.topic IS 'Topic of the broker.';
COMMENT ON COLUMN ingest_activity.partition IS 'Partition of the topic.';
COMMENT ON COLUMN ingest_activity.stored IS 'Ticks stored, late ones included.';
COMMENT ON COLUMN ingest_activity.duplicates IS 'Ticks dropped because they are stored, equal in all.';
COMMENT ON COLUMN ingest_activity.conflicts IS 'Ticks listed in feed_conflicts.';
COMMENT ON COLUMN ingest_activity.changes IS 'Cancels and corrections, listed in tick_changes.';
COMMENT ON COLUMN ingest_activity.dead_letters IS 'Records sent to the dead-letter topic.';
COMMENT ON COLUMN ingest_activity.behind IS 'Records of the partition still to read after the minute''s last batch.';
COMMENT ON INDEX ingest_activity_key IS 'One row for a partition and minute.';
GRANT SELECT ON ingest_activity TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE ON ingest_activity TO hypertick_writer;

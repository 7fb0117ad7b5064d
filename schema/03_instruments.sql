-- What a symbol is: where it trades, what it is called, what it was called
-- before, and what its company did to its shares.

CREATE TABLE instruments (
    symbol              text COLLATE "C" PRIMARY KEY,
    name                text,
    kind                text NOT NULL DEFAULT 'other'
                        CHECK (kind IN ('equity', 'etf', 'index', 'fx', 'crypto', 'future', 'option', 'other')),
    calendar            text NOT NULL DEFAULT '24x7',
    currency            text,
    price_step          float8 CHECK (price_step > 0),
    size_step           float8 CHECK (size_step > 0),
    non_positive_prices boolean,
    active_from         date,
    active_to           date
);
COMMENT ON TABLE instruments IS
    'Properties of symbols. A symbol that is new gets a row with the calendar of its venue. Ingest reads the table '
    'once a minute.';
COMMENT ON COLUMN instruments.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN instruments.name IS 'What people call it. NULL: not known.';
COMMENT ON COLUMN instruments.kind IS 'equity, etf, index, fx, crypto, future, option or other.';
COMMENT ON COLUMN instruments.calendar IS 'See calendars.calendar. 24x7: its day is the UTC day.';
COMMENT ON COLUMN instruments.currency IS 'ISO 4217 code, or that of a coin, that its prices are in.';
COMMENT ON COLUMN instruments.price_step IS 'Prices are multiples of it. NULL: not known.';
COMMENT ON COLUMN instruments.size_step IS 'Sizes are multiples of it. NULL: not known.';
COMMENT ON COLUMN instruments.non_positive_prices IS
    'Whether prices at or below 0 are stored. NULL: as feed_venues says of the venue.';
COMMENT ON COLUMN instruments.active_from IS 'First day it trades. NULL: not known.';
COMMENT ON COLUMN instruments.active_to IS 'Last day it trades. NULL: it still does.';
GRANT SELECT ON instruments TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT (symbol, calendar) ON instruments TO hypertick_writer;
GRANT INSERT, UPDATE ON instruments TO hypertick_operator;

CREATE TABLE former_symbols (
    symbol text COLLATE "C" NOT NULL,
    former text COLLATE "C" NOT NULL,
    until  date             NOT NULL,
    PRIMARY KEY (symbol, former),
    CHECK (symbol <> former)
);
CREATE INDEX former_symbols_former_idx ON former_symbols (former);
COMMENT ON TABLE former_symbols IS
    'Symbols that an instrument had before the day until. Searches find it by them.';
COMMENT ON COLUMN former_symbols.symbol IS 'Symbol that it has now.';
COMMENT ON COLUMN former_symbols.former IS 'Symbol that it had.';
COMMENT ON COLUMN former_symbols.until IS 'First trading day under the next symbol.';
COMMENT ON INDEX former_symbols_former_idx IS 'Finds an instrument by a symbol it had.';
GRANT SELECT ON former_symbols TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT, UPDATE, DELETE ON former_symbols TO hypertick_operator;

-- A row is never changed: what was known at a time is still known afterwards. A
-- correction sets undone_at and adds a row.
CREATE TABLE corporate_actions (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    symbol    text COLLATE "C" NOT NULL,
    kind      text             NOT NULL CHECK (kind IN ('split', 'dividend')),
    ex_date   date             NOT NULL,
    ratio     float8           CHECK (ratio > 0 AND ratio < 1e6),
    cash      float8           CHECK (cash > 0 AND cash < 1e12),
    known_at  timestamptz      NOT NULL DEFAULT clock_timestamp(),
    undone_at timestamptz,
    source    text             NOT NULL DEFAULT '',
    CHECK ((kind = 'split') = (ratio IS NOT NULL) AND (kind = 'dividend') = (cash IS NOT NULL))
);
CREATE UNIQUE INDEX corporate_actions_symbol_idx ON corporate_actions (symbol, ex_date, kind) WHERE undone_at IS NULL;
CREATE INDEX corporate_actions_history_idx ON corporate_actions (symbol, ex_date);
COMMENT ON TABLE corporate_actions IS 'Splits and cash dividends, as they are and were known.';
COMMENT ON COLUMN corporate_actions.id IS 'Number of the action.';
COMMENT ON COLUMN corporate_actions.symbol IS 'See ticks.symbol.';
COMMENT ON COLUMN corporate_actions.kind IS 'split or dividend.';
COMMENT ON COLUMN corporate_actions.ex_date IS 'First trading day without it.';
COMMENT ON COLUMN corporate_actions.ratio IS
    'New shares for an old one: 4 where each becomes four, 0.1 where ten become one. NULL for a dividend.';
COMMENT ON COLUMN corporate_actions.cash IS
    'Paid per share, in the currency of the prices before ex_date. NULL for a split.';
COMMENT ON COLUMN corporate_actions.known_at IS 'When it was entered here.';
COMMENT ON COLUMN corporate_actions.undone_at IS 'When it was withdrawn or replaced. NULL: in force.';
COMMENT ON COLUMN corporate_actions.source IS 'Where it comes from.';
COMMENT ON INDEX corporate_actions_symbol_idx IS 'One split and one dividend a day at most are in force.';
COMMENT ON INDEX corporate_actions_history_idx IS 'Serves reads of a symbol, as of any time.';
GRANT SELECT ON corporate_actions TO hypertick_reader, hypertick_writer, hypertick_operator;
GRANT INSERT (symbol, kind, ex_date, ratio, cash, source, known_at), UPDATE (undone_at) ON corporate_actions
    TO hypertick_operator;

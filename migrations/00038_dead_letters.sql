-- +goose Up
-- What became of dead letters. Their topic is only ever appended to, so that they
-- are dealt with is known here, in the transaction that dealt with them.
CREATE TABLE dead_letters_handled (
    topic     text        NOT NULL,
    partition int         NOT NULL,
    "offset"  bigint      NOT NULL,
    how       text        NOT NULL CHECK (how IN ('stored', 'known', 'discarded')),
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition, "offset")
);
COMMENT ON TABLE dead_letters_handled IS 'Dead letters that nobody needs to look at any more.';
COMMENT ON COLUMN dead_letters_handled.topic IS 'Topic of the dead letters.';
COMMENT ON COLUMN dead_letters_handled.partition IS 'Partition of the dead letter, not of the record it was.';
COMMENT ON COLUMN dead_letters_handled."offset" IS 'Offset of the dead letter.';
COMMENT ON COLUMN dead_letters_handled.how IS 'stored: its tick is in ticks now. known: it was there already. discarded: somebody decided so.';
COMMENT ON COLUMN dead_letters_handled.at IS 'When.';
GRANT SELECT ON dead_letters_handled TO hypertick_reader;
GRANT SELECT, INSERT ON dead_letters_handled TO hypertick_writer;

-- +goose Down
DROP TABLE dead_letters_handled;

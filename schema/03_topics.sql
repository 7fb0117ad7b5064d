-- What ingest knows of the topic at the broker: where it begins and ends, whether
-- it is still the topic that the offsets count in, and what could not be read.

CREATE TABLE topic_ends (
    topic         text        NOT NULL,
    topic_id      text        NOT NULL,
    partition     int         NOT NULL,
    start_offset  bigint      NOT NULL,
    end_offset    bigint      NOT NULL,
    next_offset   bigint,
    listed_at     timestamptz NOT NULL,
    waiting_since timestamptz,
    PRIMARY KEY (topic, topic_id, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE topic_ends IS
    'Offsets of every partition at the broker, as ingest listed them last, within five seconds. The lag is measured '
    'from it, also of partitions that no ingest has read yet.';
COMMENT ON COLUMN topic_ends.topic IS 'Topic of the broker.';
COMMENT ON COLUMN topic_ends.topic_id IS 'See ingest_offsets.topic_id.';
COMMENT ON COLUMN topic_ends.partition IS 'Partition of the topic.';
COMMENT ON COLUMN topic_ends.start_offset IS 'Offset of the oldest record that the broker keeps.';
COMMENT ON COLUMN topic_ends.end_offset IS 'Offset of the next record to be produced.';
COMMENT ON COLUMN topic_ends.next_offset IS 'Offset of ingest at that time. NULL: ingest had none.';
COMMENT ON COLUMN topic_ends.listed_at IS 'When the broker was asked.';
COMMENT ON COLUMN topic_ends.waiting_since IS
    'Since when records wait and the offset of ingest does not move. NULL: no record waits.';
GRANT SELECT ON topic_ends TO hypertick_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON topic_ends TO hypertick_writer;

CREATE TABLE lost_ranges (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic       text        NOT NULL,
    topic_id    text        NOT NULL,
    partition   int         NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL CHECK (to_offset >= from_offset),
    reason      text        NOT NULL CHECK (reason IN ('trimmed', 'recreated')),
    noticed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX lost_ranges_noticed_at_idx ON lost_ranges (noticed_at DESC);
COMMENT ON TABLE lost_ranges IS 'Records that the broker deleted before they were ingested.';
COMMENT ON COLUMN lost_ranges.id IS 'Number of the range.';
COMMENT ON COLUMN lost_ranges.topic IS 'Topic of the broker.';
COMMENT ON COLUMN lost_ranges.topic_id IS 'See ingest_offsets.topic_id.';
COMMENT ON COLUMN lost_ranges.partition IS 'Partition of the topic.';
COMMENT ON COLUMN lost_ranges.from_offset IS 'First offset that was lost.';
COMMENT ON COLUMN lost_ranges.to_offset IS 'Last offset that was lost, as far as it is known.';
COMMENT ON COLUMN lost_ranges.reason IS
    'trimmed: the retention of the topic deleted them. recreated: the topic was deleted with them.';
COMMENT ON COLUMN lost_ranges.noticed_at IS 'When ingest noticed it.';
COMMENT ON INDEX lost_ranges_noticed_at_idx IS 'Serves the newest ranges.';
GRANT SELECT ON lost_ranges TO hypertick_reader;
GRANT SELECT, INSERT ON lost_ranges TO hypertick_writer;

CREATE TABLE topic_changes (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    topic        text        NOT NULL,
    partition    int         NOT NULL,
    old_topic_id text        NOT NULL,
    topic_id     text        NOT NULL,
    old_offset   bigint      NOT NULL,
    next_offset  bigint      NOT NULL,
    reason       text        NOT NULL CHECK (reason IN ('recreated', 'truncated')),
    noticed_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX topic_changes_noticed_at_idx ON topic_changes (noticed_at DESC);
COMMENT ON TABLE topic_changes IS
    'Partitions that ingest reads from their start again, because their records are not those that its '
    'offset counted. Ticks that are stored already are recognised.';
COMMENT ON COLUMN topic_changes.id IS 'Number of the change.';
COMMENT ON COLUMN topic_changes.topic IS 'Topic of the broker.';
COMMENT ON COLUMN topic_changes.partition IS 'Partition of the topic.';
COMMENT ON COLUMN topic_changes.old_topic_id IS 'ID of the topic before, see ingest_offsets.topic_id.';
COMMENT ON COLUMN topic_changes.topic_id IS 'ID of the topic now.';
COMMENT ON COLUMN topic_changes.old_offset IS 'Offset of ingest before.';
COMMENT ON COLUMN topic_changes.next_offset IS 'Offset of ingest from then on.';
COMMENT ON COLUMN topic_changes.reason IS
    'recreated: it has another ID. truncated: it ended before the offset of ingest.';
COMMENT ON COLUMN topic_changes.noticed_at IS 'When ingest noticed it.';
COMMENT ON INDEX topic_changes_noticed_at_idx IS 'Serves the newest changes.';
GRANT SELECT ON topic_changes TO hypertick_reader;
GRANT SELECT, INSERT ON topic_changes TO hypertick_writer;

-- Each partition once: of the topic's last ID that was listed.
CREATE VIEW topic_lag AS
SELECT e.topic, e.topic_id, e.partition, e.start_offset, e.end_offset, o.next_offset,
       greatest(0, e.end_offset - greatest(e.start_offset, coalesce(o.next_offset, 0))) AS lag,
       e.waiting_since, e.listed_at
FROM topic_ends e
JOIN (SELECT DISTINCT ON (n.topic) n.topic, n.topic_id FROM topic_ends n
      ORDER BY n.topic, n.listed_at DESC, n.topic_id) n ON n.topic = e.topic AND n.topic_id = e.topic_id
LEFT JOIN ingest_offsets o ON o.topic = e.topic AND o.partition = e.partition AND o.topic_id = e.topic_id;
COMMENT ON VIEW topic_lag IS 'How many records of each partition are not ingested yet.';
COMMENT ON COLUMN topic_lag.topic IS 'Topic of the broker.';
COMMENT ON COLUMN topic_lag.topic_id IS 'See ingest_offsets.topic_id.';
COMMENT ON COLUMN topic_lag.partition IS 'Partition of the topic.';
COMMENT ON COLUMN topic_lag.start_offset IS 'See topic_ends.start_offset.';
COMMENT ON COLUMN topic_lag.end_offset IS 'See topic_ends.end_offset.';
COMMENT ON COLUMN topic_lag.next_offset IS 'Offset of ingest now. NULL: it has not begun.';
COMMENT ON COLUMN topic_lag.lag IS 'Records that wait.';
COMMENT ON COLUMN topic_lag.waiting_since IS 'See topic_ends.waiting_since.';
COMMENT ON COLUMN topic_lag.listed_at IS 'See topic_ends.listed_at.';
GRANT SELECT ON topic_lag TO hypertick_reader, hypertick_writer;

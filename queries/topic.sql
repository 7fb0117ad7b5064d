-- Offsets of ingest, and the topic that they count in.

-- name: InsertIngestOffsets :exec
-- Adds new partitions; known ones keep their offset.
INSERT INTO ingest_offsets (topic, partition, topic_id, next_offset)
SELECT sqlc.arg(topic), u.partition, sqlc.arg(topic_id), u.next_offset
FROM (SELECT unnest(sqlc.arg(partitions)::int[]) AS partition, unnest(sqlc.arg(next_offsets)::bigint[]) AS next_offset) u
ON CONFLICT (topic, partition) DO NOTHING;

-- name: IngestOffsets :many
SELECT partition, topic_id, next_offset FROM ingest_offsets
WHERE topic = $1 AND partition = ANY (sqlc.arg(partitions)::int[]);

-- name: AdoptIngestOffset :execrows
-- Notes the ID of a topic whose offset was stored without one.
UPDATE ingest_offsets SET topic_id = sqlc.arg(topic_id)
WHERE topic = $1 AND partition = $2 AND topic_id = '' AND next_offset = sqlc.arg(expected);

-- name: SkipIngestOffset :one
-- Skips records that the broker has deleted, and records that. Returns whether it did.
WITH moved AS (
    UPDATE ingest_offsets o SET next_offset = sqlc.arg(next_offset), updated_at = now()
    WHERE o.topic = sqlc.arg(topic) AND o.partition = sqlc.arg(partition) AND o.topic_id = sqlc.arg(topic_id) AND o.next_offset = sqlc.arg(expected)
    RETURNING o.topic, o.topic_id, o.partition
), lost AS (
    INSERT INTO lost_ranges (topic, topic_id, partition, from_offset, to_offset, reason)
    SELECT m.topic, m.topic_id, m.partition, sqlc.arg(expected)::bigint, sqlc.arg(next_offset)::bigint - 1, 'trimmed' FROM moved m
)
SELECT count(*) > 0 AS moved FROM moved;

-- name: RestartIngestOffset :one
-- Restarts a partition, and records that, and the records of the old topic that were
-- never read, as far as its end is known. Returns how many those were; no row if
-- another member was faster.
WITH moved AS (
    UPDATE ingest_offsets o SET next_offset = sqlc.arg(next_offset), topic_id = sqlc.arg(topic_id), updated_at = now()
    WHERE o.topic = sqlc.arg(topic) AND o.partition = sqlc.arg(partition) AND o.topic_id = sqlc.arg(expected_id) AND o.next_offset = sqlc.arg(expected)
    RETURNING o.topic, o.topic_id, o.partition
), changed AS (
    INSERT INTO topic_changes (topic, partition, old_topic_id, topic_id, old_offset, next_offset, reason)
    SELECT m.topic, m.partition, sqlc.arg(expected_id)::text, m.topic_id, sqlc.arg(expected)::bigint, sqlc.arg(next_offset)::bigint, sqlc.arg(reason)::text FROM moved m
), lost AS (
    INSERT INTO lost_ranges (topic, topic_id, partition, from_offset, to_offset, reason)
    SELECT e.topic, e.topic_id, e.partition, greatest(sqlc.arg(expected)::bigint, e.start_offset), e.end_offset - 1, 'recreated'
    FROM moved m JOIN topic_ends e ON e.topic = m.topic AND e.partition = m.partition AND e.topic_id = sqlc.arg(expected_id)
    WHERE e.topic_id <> m.topic_id AND e.end_offset > sqlc.arg(expected)::bigint
    RETURNING to_offset - from_offset + 1 AS records
)
SELECT coalesce((SELECT sum(l.records) FROM lost l), 0)::bigint AS lost FROM moved m;

-- name: ForgetPartitions :one
-- Removes the offsets of partitions that a recreated topic no longer has. Returns how
-- many of their records were never read, as far as is known.
WITH gone AS (
    DELETE FROM ingest_offsets o
    WHERE o.topic = sqlc.arg(topic) AND o.topic_id NOT IN ('', sqlc.arg(topic_id)) AND o.partition <> ALL (sqlc.arg(partitions)::int[])
    RETURNING o.topic, o.topic_id, o.partition, o.next_offset
), lost AS (
    INSERT INTO lost_ranges (topic, topic_id, partition, from_offset, to_offset, reason)
    SELECT e.topic, e.topic_id, e.partition, greatest(g.next_offset, e.start_offset), e.end_offset - 1, 'recreated'
    FROM gone g JOIN topic_ends e ON e.topic = g.topic AND e.topic_id = g.topic_id AND e.partition = g.partition
    WHERE e.end_offset > g.next_offset
    RETURNING to_offset - from_offset + 1 AS records
)
SELECT coalesce(sum(l.records), 0)::bigint AS lost FROM lost l;

-- name: RecordTopicEnds :exec
INSERT INTO topic_ends AS e (topic, topic_id, partition, start_offset, end_offset, next_offset, listed_at, waiting_since)
SELECT sqlc.arg(topic), sqlc.arg(topic_id), u.partition, u.start_offset, u.end_offset, o.next_offset, clock_timestamp(),
       CASE WHEN u.end_offset > greatest(u.start_offset, coalesce(o.next_offset, 0)) THEN clock_timestamp() END
FROM (SELECT unnest(sqlc.arg(partitions)::int[]) AS partition, unnest(sqlc.arg(start_offsets)::bigint[]) AS start_offset, unnest(sqlc.arg(end_offsets)::bigint[]) AS end_offset) u
LEFT JOIN ingest_offsets o ON o.topic = sqlc.arg(topic) AND o.partition = u.partition AND o.topic_id = sqlc.arg(topic_id)
ORDER BY u.partition -- so that two processes do not deadlock
ON CONFLICT (topic, topic_id, partition) DO UPDATE
SET start_offset = excluded.start_offset, end_offset = excluded.end_offset, next_offset = excluded.next_offset, listed_at = excluded.listed_at,
    waiting_since = CASE WHEN excluded.waiting_since IS NOT NULL AND e.next_offset IS NOT DISTINCT FROM excluded.next_offset
                         THEN coalesce(e.waiting_since, excluded.waiting_since) ELSE excluded.waiting_since END;

-- name: ForgetTopicEnds :exec
-- Removes the ends of topics that are long gone.
DELETE FROM topic_ends WHERE topic = $1 AND topic_id <> $2 AND listed_at < now() - INTERVAL '7 days';

-- name: TopicLag :one
-- Records of all partitions that are not ingested yet.
SELECT coalesce(sum(l.lag), 0)::bigint AS lag FROM topic_lag l WHERE l.topic = $1 AND l.topic_id = $2;

-- name: TopicListed :one
-- Whether an ingest has listed the topic of this ID within its last three looks.
SELECT EXISTS (
    SELECT FROM topic_ends e WHERE e.topic = $1 AND e.topic_id = $2 AND e.listed_at > clock_timestamp() - INTERVAL '15 seconds'
) AS listed;

-- name: CountFeeds :one
SELECT count(*) FROM feed_positions;

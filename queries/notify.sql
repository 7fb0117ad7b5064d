-- Notifier: its channels and the outbox. A claim is one statement and holds no
-- transaction while a notification is sent: it counts the attempt and sets
-- next_try ahead by the lease. A result is stored only while attempts is what the
-- claim set.

-- name: ListChannels :exec
-- Records that the caller serves these channels.
INSERT INTO alert.channels AS c (name, kind)
SELECT u.name, u.kind FROM (SELECT unnest(sqlc.arg(names)::text[]) AS name, unnest(sqlc.arg(kinds)::text[]) AS kind) u
ON CONFLICT (name) DO UPDATE SET kind = excluded.kind, seen_at = now();

-- name: DeleteUnservedChannels :execrows
-- Deletes channels that no notifier has served for this time: they get no
-- notifications any more.
DELETE FROM alert.channels WHERE seen_at < now() - make_interval(secs => sqlc.arg(seconds)::float8);

-- name: ClaimNotifications :many
-- Claims due notifications of a channel, but none while an earlier one of its rule
-- and symbol waits.
WITH due AS MATERIALIZED (
    SELECT o.id FROM alert.outbox o
    WHERE o.state = 'waiting' AND o.next_try <= now() AND o.channel = sqlc.arg(channel)
      AND NOT EXISTS (
          SELECT FROM alert.outbox e
          WHERE e.state = 'waiting' AND e.channel = o.channel AND e.id < o.id
            AND coalesce(e.payload ->> 'rule_id', '') = coalesce(o.payload ->> 'rule_id', '')
            AND coalesce(e.payload ->> 'symbol', '') = coalesce(o.payload ->> 'symbol', ''))
    ORDER BY o.id
    LIMIT sqlc.arg(most)
    FOR UPDATE OF o SKIP LOCKED
)
UPDATE alert.outbox o
SET attempts = o.attempts + 1, next_try = now() + make_interval(secs => sqlc.arg(lease_seconds)::float8)
FROM due WHERE o.id = due.id
RETURNING o.id, o.key, o.payload, o.attempts, o.created_at, o.error;

-- name: FinishNotification :execrows
UPDATE alert.outbox SET state = sqlc.arg(state), finished_at = now(), error = sqlc.narg(error)
WHERE id = $1 AND attempts = sqlc.arg(attempts) AND state = 'waiting';

-- name: PostponeNotification :execrows
UPDATE alert.outbox SET next_try = now() + make_interval(secs => sqlc.arg(seconds)::float8), error = sqlc.narg(error)
WHERE id = $1 AND attempts = sqlc.arg(attempts) AND state = 'waiting';

-- name: FailUnserved :many
-- Fails notifications permanently whose channel no notifier has served for this
-- time.
UPDATE alert.outbox o SET state = 'dead', finished_at = now(), error = sqlc.arg(error)
WHERE o.state = 'waiting' AND o.created_at < now() - make_interval(secs => sqlc.arg(seconds)::float8)
  AND NOT EXISTS (SELECT FROM alert.channels c WHERE c.name = o.channel AND c.seen_at >= now() - make_interval(secs => sqlc.arg(seconds)::float8))
RETURNING o.channel, o.key;

-- name: OutboxState :many
SELECT channel, sum(waiting)::bigint AS waiting, sum(dead)::bigint AS dead, max(oldest)::float8 AS oldest_seconds
FROM (
    SELECT o.channel, count(*) AS waiting, 0 AS dead, extract(epoch FROM now() - min(o.created_at)) AS oldest
    FROM alert.outbox o WHERE o.state = 'waiting' GROUP BY 1
    UNION ALL
    SELECT o.channel, 0, count(*), 0 FROM alert.outbox o WHERE o.state = 'dead' GROUP BY 1
) s
GROUP BY 1;

-- name: Outbox :many
SELECT id, key, channel, state, attempts, next_try, created_at, finished_at, error, coalesce(payload ->> 'message', '')::text AS message
FROM alert.outbox
WHERE state = ANY (sqlc.arg(states)::text[]) AND (sqlc.narg(channel)::text IS NULL OR channel = sqlc.narg(channel))
ORDER BY id DESC
LIMIT sqlc.arg(most);

-- name: RetryNotifications :many
-- Dead ones, and waiting ones that are not in flight: next_try is further away than
-- a lease.
UPDATE alert.outbox
SET state = 'waiting', attempts = CASE state WHEN 'dead' THEN 0 ELSE attempts END, next_try = now(), finished_at = NULL
WHERE (state = 'dead' OR state = 'waiting' AND next_try > now() + make_interval(secs => sqlc.arg(lease_seconds)::float8))
  AND (id = ANY (sqlc.arg(ids)::bigint[]) OR sqlc.arg(every)::bool)
  AND (sqlc.narg(channel)::text IS NULL OR channel = sqlc.narg(channel))
RETURNING id;

-- name: WakeNotifiers :exec
SELECT pg_notify('hypertick_outbox', '');

-- name: Snapshot :one
-- Null for a symbol without a bar.
SELECT coalesce(snapshot(@symbol::text, @bar::text), 'null')::jsonb AS snapshot;

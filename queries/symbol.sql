-- name: Symbols :many
-- Symbols after the given one that contain search, whatever its case, in the order of their bytes.
SELECT f.symbol, i.name, f.venues, f.last_ts
FROM (
    SELECT p.symbol, array_agg(p.venue ORDER BY p.venue)::text[] AS venues, max(p.last_ts)::timestamptz AS last_ts
    FROM feed_positions p
    WHERE p.symbol > @after AND (@search::text = '' OR strpos(lower(p.symbol COLLATE "default"), lower(@search::text)) > 0)
    GROUP BY p.symbol
    ORDER BY p.symbol LIMIT @max_rows
) f
LEFT JOIN instruments i ON i.symbol = f.symbol
ORDER BY f.symbol;

-- name: SymbolFeeds :one
-- Number of feeds of the symbol, and their newest trade time (1970 when there is
-- none).
SELECT count(*) AS feeds, coalesce(max(p.last_ts), '1970-01-01')::timestamptz AS last_ts FROM feed_positions p WHERE p.symbol = @symbol;

-- name: Ready :one
-- Whether the database answers and has been migrated.
SELECT EXISTS (SELECT FROM feed_positions) AS any_tick;

-- Instruments, their former symbols and their corporate actions.

-- name: Instruments :many
-- Instruments that match search, best first: the symbol itself, symbols that begin
-- with it, names with a word that does, and then what contains it. Former symbols
-- count as symbols. All of the row is below the last one, by rank and symbol.
WITH found AS (
    SELECT i.*, CASE
        WHEN @search::text = '' THEN 0
        WHEN lower(i.symbol COLLATE "default") = lower(@search) THEN 0
        WHEN EXISTS (SELECT FROM former_symbols f WHERE f.symbol = i.symbol AND lower(f.former COLLATE "default") = lower(@search)) THEN 1
        WHEN starts_with(lower(i.symbol COLLATE "default"), lower(@search)) THEN 2
        WHEN starts_with(lower(i.name), lower(@search)) OR strpos(lower(i.name), ' ' || lower(@search)) > 0 THEN 3
        WHEN strpos(lower(i.symbol COLLATE "default"), lower(@search)) > 0 OR strpos(lower(i.name), lower(@search)) > 0
          OR EXISTS (SELECT FROM former_symbols f WHERE f.symbol = i.symbol AND strpos(lower(f.former COLLATE "default"), lower(@search)) > 0) THEN 4
        END AS rank
    FROM instruments i
    WHERE (sqlc.narg(kinds)::text[] IS NULL OR i.kind = ANY (sqlc.narg(kinds)::text[]))
      AND (sqlc.narg(calendars)::text[] IS NULL OR i.calendar = ANY (sqlc.narg(calendars)::text[]))
)
SELECT f.symbol, f.name, f.kind, f.calendar, f.currency, f.price_step, f.size_step, f.non_positive_prices, f.active_from, f.active_to,
       f.rank::int AS rank, coalesce(c.zone, 'UTC')::text AS zone
FROM found f LEFT JOIN calendars c ON c.calendar = f.calendar
WHERE f.rank IS NOT NULL AND (f.rank > @after_rank::int OR f.rank = @after_rank::int AND f.symbol > @after::text)
ORDER BY f.rank, f.symbol LIMIT @max_rows;

-- name: Instrument :one
SELECT i.symbol, i.name, i.kind, i.calendar, i.currency, i.price_step, i.size_step, i.non_positive_prices, i.active_from, i.active_to,
       coalesce(c.zone, 'UTC')::text AS zone
FROM instruments i LEFT JOIN calendars c ON c.calendar = i.calendar WHERE i.symbol = @symbol;

-- name: LockInstrument :one
-- The row is made if it is not there; nobody else changes it until the transaction ends.
INSERT INTO instruments AS i (symbol) VALUES (@symbol)
ON CONFLICT (symbol) DO UPDATE SET symbol = excluded.symbol
RETURNING i.symbol, i.name, i.kind, i.calendar, i.currency, i.price_step, i.size_step, i.non_positive_prices, i.active_from, i.active_to;

-- name: UpdateInstrument :exec
UPDATE instruments SET name = @name, kind = @kind, calendar = @calendar, currency = @currency, price_step = @price_step, size_step = @size_step,
    non_positive_prices = @non_positive_prices, active_from = @active_from, active_to = @active_to
WHERE symbol = @symbol;

-- name: CalendarKnown :one
SELECT (@calendar::text = '24x7' OR EXISTS (SELECT FROM calendars c WHERE c.calendar = @calendar::text))::boolean AS known;

-- name: FormerSymbols :many
-- Former symbols of these instruments, newest first.
SELECT f.symbol, f.former, f.until FROM former_symbols f WHERE f.symbol = ANY (@symbols::text[]) ORDER BY f.symbol, f.until DESC, f.former;

-- name: Successors :many
-- Instruments that had this symbol until a day, the latest first. One that is
-- active from that day on is another: it has taken the symbol.
SELECT f.symbol, f.until FROM former_symbols f
WHERE f.former = @former AND NOT EXISTS (SELECT FROM instruments i WHERE i.symbol = f.former AND i.active_from >= f.until)
ORDER BY f.until DESC, f.symbol;

-- name: ForgetFormerSymbols :exec
DELETE FROM former_symbols f WHERE f.symbol = @symbol AND NOT f.former = ANY (@kept::text[]);

-- name: SetFormerSymbols :exec
INSERT INTO former_symbols AS f (symbol, former, until)
SELECT @symbol, u.former, u.until
FROM (SELECT unnest(sqlc.arg(formers)::text[]) AS former, unnest(sqlc.arg(untils)::date[]) AS until) u
ON CONFLICT (symbol, former) DO UPDATE SET until = excluded.until WHERE f.until <> excluded.until;

-- name: CorporateActions :many
-- Actions in force, or that were at as_of, newest first; below the last row.
SELECT a.id, a.symbol, a.kind, a.ex_date, a.ratio, a.cash, a.known_at, a.undone_at, a.source
FROM corporate_actions a
WHERE (sqlc.narg(symbol)::text IS NULL OR a.symbol = sqlc.narg(symbol)::text)
  AND (sqlc.narg(from_day)::date IS NULL OR a.ex_date >= sqlc.narg(from_day)::date)
  AND (sqlc.narg(to_day)::date IS NULL OR a.ex_date < sqlc.narg(to_day)::date)
  AND CASE WHEN sqlc.narg(as_of)::timestamptz IS NULL THEN a.undone_at IS NULL
           ELSE a.known_at <= sqlc.narg(as_of)::timestamptz AND (a.undone_at > sqlc.narg(as_of)::timestamptz) IS NOT FALSE END
  AND (sqlc.narg(before_day)::date IS NULL OR (a.ex_date, a.id) < (sqlc.narg(before_day)::date, sqlc.narg(before_id)::bigint))
ORDER BY a.ex_date DESC, a.id DESC LIMIT @max_rows;

-- name: LockActions :exec
-- One transaction at a time adds or undoes actions: what it compares with stays.
SELECT pg_advisory_xact_lock(hashtextextended('hypertick corporate_actions', 0));

-- name: ActionsOf :many
-- Actions in force of these symbols.
SELECT a.id, a.symbol, a.kind, a.ex_date, a.ratio, a.cash FROM corporate_actions a
WHERE a.symbol = ANY (@symbols::text[]) AND a.undone_at IS NULL ORDER BY a.id;

-- name: Clock :one
SELECT clock_timestamp()::timestamptz AS at;

-- name: UndoActions :execrows
UPDATE corporate_actions SET undone_at = @at::timestamptz WHERE id = ANY (@ids::bigint[]) AND undone_at IS NULL;

-- name: InsertActions :many
INSERT INTO corporate_actions (symbol, kind, ex_date, ratio, cash, source, known_at)
SELECT u.symbol, u.kind, u.ex_date, CASE u.kind WHEN 'split' THEN u.value END, CASE u.kind WHEN 'dividend' THEN u.value END, @source, @at::timestamptz
FROM (SELECT unnest(sqlc.arg(symbols)::text[]) AS symbol, unnest(sqlc.arg(kinds)::text[]) AS kind, unnest(sqlc.arg(ex_dates)::date[]) AS ex_date,
             unnest(sqlc.arg(amounts)::float8[]) AS value) u
RETURNING id;

-- name: FindAction :one
SELECT a.id, a.symbol, a.kind, a.ex_date, a.ratio, a.cash, a.known_at, a.undone_at, a.source FROM corporate_actions a WHERE a.id = @id;

-- name: MarketStatus :one
-- What goes on in the market of a symbol at this moment.
SELECT m.state, m.until, m.day FROM market_status(@symbol, now()) m;

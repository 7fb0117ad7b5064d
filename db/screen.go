package db

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// ScreenParams says which rows of indicator.latest to read, in which order.
// Kinds are number, time, boolean and text, and tell how a column compares.
type ScreenParams struct {
	Interval string
	// The filters, one in each: column, its kind, operator, value.
	Columns, Kinds, Operators, Values []string
	Sort, SortKind                    string
	Descending                        bool
	// The position of the last row of the page before, as screen_number and
	// screen_text gave it; none when AfterSymbol is empty.
	AfterNumber *float64
	AfterText   *string
	AfterSymbol string
	MaxRows     int32
}

// screen is not made by sqlc, which would write the columns of today into it:
// with l.* those a later migration adds come too. No name of a column is part of
// the statement; a row is turned into jsonb and its fields are found by name. A
// value that was never computed passes no filter and sorts last. Ties are ordered
// by symbol, so the order is total and a page begins after the last row of the
// previous one.
const screen = `
SELECT l.*, k.screen_number, k.screen_text
FROM indicator.latest($1::text) l
CROSS JOIN LATERAL (SELECT pg_catalog.to_jsonb(l) AS cells OFFSET 0) j
CROSS JOIN LATERAL (
    SELECT CASE $7::text WHEN 'number' THEN (j.cells ->> $6::text)::float8
                         WHEN 'time' THEN extract(epoch FROM (j.cells ->> $6::text)::timestamptz)::float8
                         WHEN 'boolean' THEN (j.cells ->> $6::text)::boolean::int::float8 END
           * CASE WHEN $8::boolean THEN -1 ELSE 1 END AS screen_number,
           CASE WHEN $7::text = 'text' THEN j.cells ->> $6::text END COLLATE "C" AS screen_text
    OFFSET 0
) k
WHERE NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) f(name, kind, operator, value)
    CROSS JOIN LATERAL (
        SELECT CASE f.kind
            WHEN 'number' THEN pg_catalog.btfloat8cmp((j.cells ->> f.name)::float8, f.value::float8)
            WHEN 'time' THEN pg_catalog.timestamptz_cmp((j.cells ->> f.name)::timestamptz, f.value::timestamptz)
            WHEN 'boolean' THEN pg_catalog.btboolcmp((j.cells ->> f.name)::boolean, f.value::boolean)
            ELSE pg_catalog.bttextcmp((j.cells ->> f.name) COLLATE "C", f.value COLLATE "C") END AS sign
    ) c
    WHERE coalesce(CASE f.operator WHEN '<' THEN c.sign >= 0 WHEN '<=' THEN c.sign > 0 WHEN '>' THEN c.sign <= 0
                                   WHEN '>=' THEN c.sign < 0 WHEN '=' THEN c.sign <> 0 WHEN '!=' THEN c.sign = 0 END, true)
)
AND ($11::text = '' OR CASE
    WHEN k.screen_number IS DISTINCT FROM $9::float8 THEN coalesce(k.screen_number > $9::float8, k.screen_number IS NULL)
    WHEN k.screen_text IS DISTINCT FROM $10::text
        THEN coalesce(CASE WHEN $8::boolean THEN k.screen_text < $10::text ELSE k.screen_text > $10::text END, k.screen_text IS NULL)
    ELSE l.symbol COLLATE "C" > $11::text END)
ORDER BY k.screen_number NULLS LAST,
         CASE WHEN NOT $8::boolean THEN k.screen_text END NULLS LAST, CASE WHEN $8::boolean THEN k.screen_text END DESC NULLS LAST,
         l.symbol COLLATE "C"
LIMIT $12::int`

// Screen reads raw rows: the columns of indicator.latest, screen_number,
// screen_text. It is described on each call, since its columns may change.
func (q *Queries) Screen(ctx context.Context, arg ScreenParams) (pgx.Rows, error) {
	return q.db.Query(ctx, screen, pgx.QueryExecModeDescribeExec, rawFormats, arg.Interval,
		arg.Columns, arg.Kinds, arg.Operators, arg.Values, arg.Sort, arg.SortKind, arg.Descending,
		arg.AfterNumber, arg.AfterText, arg.AfterSymbol, arg.MaxRows)
}

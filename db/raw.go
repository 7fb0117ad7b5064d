package db

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// rawFormats asks for the binary format of the types whose bytes are read
// without a decoder of pgx's; every other type comes as text.
var rawFormats = pgx.QueryResultFormatsByOID{
	pgtype.BoolOID: pgx.BinaryFormatCode, pgtype.Int2OID: pgx.BinaryFormatCode, pgtype.Int4OID: pgx.BinaryFormatCode,
	pgtype.Int8OID: pgx.BinaryFormatCode, pgtype.Float4OID: pgx.BinaryFormatCode, pgtype.Float8OID: pgx.BinaryFormatCode,
	pgtype.TimestamptzOID: pgx.BinaryFormatCode,
}

// Raw runs a query of sqlc's, given as a method like (*Queries).Candles, and
// leaves the rows as the server sent them, for a reader that makes bytes of
// them and needs no Go value of each.
func Raw[A, R any](ctx context.Context, q *Queries, query func(*Queries, context.Context, A) ([]R, error), arg A) (pgx.Rows, error) {
	t := &tap{DBTX: q.db}
	if _, err := query(New(t), ctx, arg); !errors.Is(err, errTapped) {
		return nil, err
	}
	return t.rows, t.err
}

// tap takes the rows before the generated code can scan them.
type tap struct {
	DBTX
	rows pgx.Rows
	err  error
}

var errTapped = errors.New("rows were taken raw")

func (t *tap) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	t.rows, t.err = t.DBTX.Query(ctx, sql, append([]any{rawFormats}, args...)...)
	return nil, errTapped
}

package db

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

// The methods below run queries of sqlc's and leave the rows as the server sends
// them, for readers that make bytes of them and need no Go value of each. Their
// arguments are in the order of the generated method of the same query; a test
// compares the two.

// rawFormats asks for the binary format of the types whose bytes are read
// without a decoder of pgx's; every other type comes as text.
var rawFormats = pgx.QueryResultFormatsByOID{
	pgtype.BoolOID: pgx.BinaryFormatCode, pgtype.Int2OID: pgx.BinaryFormatCode, pgtype.Int4OID: pgx.BinaryFormatCode,
	pgtype.Int8OID: pgx.BinaryFormatCode, pgtype.Float4OID: pgx.BinaryFormatCode, pgtype.Float8OID: pgx.BinaryFormatCode,
	pgtype.TimestamptzOID: pgx.BinaryFormatCode,
}

// CandleRows is Candles with raw rows.
func (q *Queries) CandleRows(ctx context.Context, arg CandlesParams) (pgx.Rows, error) {
	return q.db.Query(ctx, candles, rawFormats, arg.Symbol, arg.Bar, arg.FromTime, arg.ToTime, arg.Warmup, arg.MaxBars)
}

// IndicatorRows is IndicatorValues with raw rows.
func (q *Queries) IndicatorRows(ctx context.Context, arg IndicatorValuesParams) (pgx.Rows, error) {
	return q.db.Query(ctx, indicatorValues, rawFormats, arg.Symbol, arg.Bar, arg.FromTime, arg.ToTime, arg.Warmup, arg.MaxBars, arg.Name, arg.Params)
}

// TickRowsAfter is TicksAfter with raw rows.
func (q *Queries) TickRowsAfter(ctx context.Context, arg TicksAfterParams) (pgx.Rows, error) {
	return q.db.Query(ctx, ticksAfter, rawFormats, arg.Symbol, arg.FromTs, arg.ToTs, arg.AfterSeq, arg.AfterVenue, arg.MaxRows)
}

// TickRowsBefore is TicksBefore with raw rows.
func (q *Queries) TickRowsBefore(ctx context.Context, arg TicksBeforeParams) (pgx.Rows, error) {
	return q.db.Query(ctx, ticksBefore, rawFormats, arg.Symbol, arg.FromTs, arg.ToTs, arg.BeforeSeq, arg.BeforeVenue, arg.MaxRows)
}

// AlertEventRows is AlertEvents with raw rows.
func (q *Queries) AlertEventRows(ctx context.Context, arg AlertEventsParams) (pgx.Rows, error) {
	return q.db.Query(ctx, alertEvents, rawFormats, arg.RuleID, arg.Rule, arg.Symbols, arg.Severities, arg.States,
		arg.FromTime, arg.ToTime, arg.BeforeBar, arg.BeforeID, arg.MaxRows)
}

// VerifyCandleRows is VerifyCandles with raw rows.
func (q *Queries) VerifyCandleRows(ctx context.Context, arg VerifyCandlesParams) (pgx.Rows, error) {
	return q.db.Query(ctx, verifyCandles, rawFormats, arg.After, arg.Before, arg.Symbol, arg.Bars)
}

// VerifyBlockRows is VerifyBlocks with raw rows.
func (q *Queries) VerifyBlockRows(ctx context.Context, arg VerifyBlocksParams) (pgx.Rows, error) {
	return q.db.Query(ctx, verifyBlocks, rawFormats, arg.Bar, arg.After, arg.Before, arg.Symbol)
}

// VerifySeqRows is VerifySeqs with raw rows.
func (q *Queries) VerifySeqRows(ctx context.Context, arg VerifySeqsParams) (pgx.Rows, error) {
	return q.db.Query(ctx, verifySeqs, rawFormats, arg.Symbol, arg.After, arg.Before)
}

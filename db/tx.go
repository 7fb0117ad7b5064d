package db

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// txTries is how often InTx tries.
const txTries = 8

// InTx runs f in a transaction, and again in a new one when the server has ended
// it for another's sake: a deadlock, or one that cannot be serialized. What f did
// before is undone, but only in the database.
func InTx(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, f func(pgx.Tx) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 50 * time.Millisecond
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := pgx.BeginFunc(ctx, pool, f)
		if err != nil && !victim(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(txTries), backoff.WithNotify(func(err error, wait time.Duration) {
		log.Warn("a transaction was ended for another's sake, trying again", slog.Any("error", err), slog.Duration("in", wait))
	}))
	return err
}

// victim says whether the server chose this transaction to let another go on.
func victim(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40P01" || e.Code == "40001")
}

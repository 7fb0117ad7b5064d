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

// txAttempts is how often InTx tries.
const txAttempts = 8

// InTx runs f in a transaction, and retries it in a new one when the server aborts
// it because of a deadlock or a serialization failure. The database rolls back what
// f did before; f must undo the rest.
func InTx(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger, f func(pgx.Tx) error) error {
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 50 * time.Millisecond
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := pgx.BeginFunc(ctx, pool, f)
		if err != nil && !victim(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(txAttempts), backoff.WithNotify(func(err error, wait time.Duration) {
		log.Warn("transaction aborted, retrying", slog.Any("error", err), slog.Duration("in", wait))
	}))
	return err
}

// victim reports whether the server aborted the transaction so that another one
// can commit.
func victim(err error) bool {
	e, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (e.Code == "40P01" || e.Code == "40001")
}

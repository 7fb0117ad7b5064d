package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SetPasswords gives roles their passwords. An empty password leaves the role
// as it is. Errors never hold a password.
func SetPasswords(ctx context.Context, url string, passwords map[string]string) error {
	var conn *pgx.Conn
	for role, password := range passwords {
		if password == "" {
			continue
		}
		if conn == nil {
			var err error
			if conn, err = pgx.Connect(ctx, url); err != nil {
				return fmt.Errorf("reach database: %w", err)
			}
			defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
		}
		if err := setPassword(ctx, conn, role, password); err != nil {
			var pgErr *pgconn.PgError
			if errors.As(err, &pgErr) {
				return fmt.Errorf("set password of %s: %s (SQLSTATE %s)", role, pgErr.Message, pgErr.Code)
			}
			return fmt.Errorf("set password of %s: connection failed", role)
		}
	}
	return nil
}

func setPassword(ctx context.Context, conn *pgx.Conn, role, password string) error {
	// ALTER ROLE takes no parameters, so the server does the quoting.
	var stmt string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)", role, password).Scan(&stmt); err != nil {
		return err
	}
	// Roles are the cluster's: no lock of this database keeps others from changing
	// them at the same time, which the server takes for an error.
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval = 20 * time.Millisecond
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		_, err := conn.Exec(ctx, stmt)
		if e, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || e.Message != "tuple concurrently updated") {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxTries(txAttempts))
	return err
}

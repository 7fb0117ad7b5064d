// Package db is the way Go reaches the database: the queries sqlc makes of
// queries/, the connection pool, transactions and the migrations.
package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Open makes a pool for url and checks that a server answers. maxConns of 0
// leaves the pool's own default. The error never holds the password.
func Open(ctx context.Context, url string, maxConns int32) (*pgxpool.Pool, error) {
	pool, err := NewPool(url, maxConns)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("reach database: %w", err)
	}
	return pool, nil
}

// NewPool makes a pool for url without connecting yet, for those who can wait
// for the database to come up. Each of change may change its configuration.
func NewPool(url string, maxConns int32, change ...func(*pgxpool.Config)) (*pgxpool.Pool, error) {
	if url == "" {
		return nil, errors.New("database url: want postgres://user@host:port/name, got nothing")
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("database url: %w", err)
	}
	if maxConns > 0 {
		cfg.MaxConns = maxConns
	}
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if cfg.ConnConfig.RuntimeParams["application_name"] == "" {
		cfg.ConnConfig.RuntimeParams["application_name"] = "hypertick"
	}
	for _, f := range change {
		f(cfg)
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, fmt.Errorf("make pool: %w", err)
	}
	return pool, nil
}

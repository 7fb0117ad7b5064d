package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/cenkalti/backoff/v5"
)

func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 50 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	return b
}

// retry calls f, with exponential backoff and jitter, until f succeeds or
// returns a backoff.Permanent error, or ctx ends. An attempt times out after 30 s.
func (in *Ingester) retry(ctx context.Context, what string, f func(context.Context) error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return struct{}{}, f(attempt)
	}, backoff.WithBackOff(newBackOff()), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, wait time.Duration) {
			if ctx.Err() != nil {
				return
			}
			in.metrics.retries.Inc()
			in.log.Warn("failed to "+what+", retrying", slog.Any("error", err), slog.Duration("in", wait))
		}))
	return err
}

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

// patiently repeats f with back-off and jitter until it succeeds, returns
// something wrapped in backoff.Permanent, or ctx ends. Each try has 30 s.
func (in *Ingester) patiently(ctx context.Context, what string, f func(context.Context) error) error {
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		try, cancel := context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
		return struct{}{}, f(try)
	}, backoff.WithBackOff(newBackOff()), backoff.WithMaxElapsedTime(0),
		backoff.WithNotify(func(err error, wait time.Duration) {
			if ctx.Err() != nil {
				return
			}
			in.metrics.retries.Inc()
			in.log.Warn("cannot "+what+", trying again", slog.Any("error", err), slog.Duration("in", wait))
		}))
	return err
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/hypertick/hypertick/db"
)

// work claims the due notifications of a channel and sends them, up to Parallel at
// once. Each channel has its own goroutine, so that a slow one blocks no other.
func (n *Notifier) work(ctx, sending, writing context.Context, c *channel) {
	free := make(chan struct{}, n.cfg.Parallel)
	for range n.cfg.Parallel {
		free <- struct{}{}
	}
	var busy sync.WaitGroup
	defer busy.Wait()
	pause := newBackOff()
	for {
		// Claim only as many as can be sent now: a lease covers sending, not waiting.
		select {
		case <-ctx.Done():
			return
		case <-free:
		}
		most := 1
		for more := true; more && most < n.cfg.Parallel; {
			select {
			case <-free:
				most++
			default:
				more = false
			}
		}
		// Not with ctx: a claim that is cancelled may still have been committed.
		rows, err := n.claim(writing, c, most)
		n.failing.Store(err != nil)
		for range most - len(rows) {
			free <- struct{}{}
		}
		for i := range rows {
			busy.Go(func() {
				n.deliver(sending, writing, c, &rows[i])
				free <- struct{}{}
				c.poke() // the next one of its rule and symbol can be sent now
			})
		}
		wait := n.cfg.Poll
		switch {
		case err != nil:
			wait = pause.NextBackOff()
			n.note("claim notifications", err)
		case len(rows) == most:
			pause.Reset()
			continue
		default:
			pause.Reset()
		}
		if !sleep(ctx, wait, c.wake) {
			return
		}
	}
}

// sleep waits for d or a value of wake. It returns false when ctx has ended.
func sleep(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-t.C:
	}
	return true
}

// newBackOff returns the backoff of retries while the database is unavailable.
func newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval = 100 * time.Millisecond
	b.MaxInterval = 5 * time.Second
	return b
}

func (n *Notifier) claim(ctx context.Context, c *channel, most int) ([]db.ClaimNotificationsRow, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Lease/2)
	defer cancel()
	return n.queries.ClaimNotifications(ctx, db.ClaimNotificationsParams{
		Channel: c.Name, Most: int32(most), LeaseSeconds: n.cfg.Lease.Seconds(),
	})
}

// deliver attempts to send one notification, and stores the result.
func (n *Notifier) deliver(sending, writing context.Context, c *channel, row *db.ClaimNotificationsRow) {
	attempts := int(row.Attempts)
	log := n.log.With(slog.String("channel", c.Name), slog.String("key", row.Key), slog.Int("attempt", attempts))
	if attempts > n.cfg.Tries {
		// The notifier that claimed it last died while sending it.
		reason := "the notifier ended while it was being sent"
		if row.Error != nil {
			reason = *row.Error
		}
		n.failPermanently(writing, c, row, log, fmt.Sprintf("failed after %d attempts: %s", n.cfg.Tries, reason))
		return
	}
	start := time.Now()
	m, err := newMessage(row.Key, row.CreatedAt, row.Payload)
	if err != nil {
		err = &failure{err: err, final: true}
	} else {
		err = c.try(sending, m, n.cfg.Timeout)
	}
	took := time.Since(start)
	n.metrics.seconds.WithLabelValues(c.Name).Observe(took.Seconds())
	if err == nil {
		n.metrics.sent.WithLabelValues(c.Name).Inc()
		log.Info("notification sent", slog.Duration("took", took))
		n.write(writing, log, func(ctx context.Context) (int64, error) {
			return n.queries.FinishNotification(ctx, db.FinishNotificationParams{ID: row.ID, Attempts: row.Attempts, State: "sent"})
		})
		return
	}
	if sending.Err() != nil {
		n.postpone(writing, row, log, 0, "the notifier was stopped while it was being sent")
		return
	}
	n.metrics.failed.WithLabelValues(c.Name).Inc()
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{err: err}
	}
	switch {
	case f.final:
		n.failPermanently(writing, c, row, log, f.Error())
	case attempts >= n.cfg.Tries:
		n.failPermanently(writing, c, row, log, fmt.Sprintf("failed after %d attempts: %s", attempts, f.Error()))
	default:
		wait := max(n.wait(attempts), f.after)
		log.Warn("notification not sent, retrying", slog.String("error", f.Error()), slog.Duration("in", wait.Round(time.Millisecond)))
		n.postpone(writing, row, log, wait, f.Error())
	}
}

// wait returns how long to wait after a number of attempts, with a jitter of a
// quarter, so that notifications that failed together are not retried together.
func (n *Notifier) wait(attempts int) time.Duration {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = n.cfg.FirstRetry, n.cfg.LastRetry
	b.Multiplier, b.RandomizationFactor = 2.5, 0.25
	var d time.Duration
	for range attempts {
		d = b.NextBackOff()
	}
	return d
}

func (n *Notifier) failPermanently(ctx context.Context, c *channel, row *db.ClaimNotificationsRow, log *slog.Logger, reason string) {
	n.metrics.dead.WithLabelValues(c.Name).Inc()
	log.Error("notification failed permanently", slog.String("error", reason))
	n.write(ctx, log, func(ctx context.Context) (int64, error) {
		return n.queries.FinishNotification(ctx, db.FinishNotificationParams{ID: row.ID, Attempts: row.Attempts, State: "dead", Error: &reason})
	})
}

func (n *Notifier) postpone(ctx context.Context, row *db.ClaimNotificationsRow, log *slog.Logger, wait time.Duration, reason string) {
	n.write(ctx, log, func(ctx context.Context) (int64, error) {
		return n.queries.PostponeNotification(ctx, db.PostponeNotificationParams{
			ID: row.ID, Attempts: row.Attempts, Seconds: wait.Seconds(), Error: &reason,
		})
	})
}

// write stores a result. It retries while the lease lasts: after that another
// notifier sends the notification, and the result is void.
func (n *Notifier) write(ctx context.Context, log *slog.Logger, f func(context.Context) (int64, error)) {
	changed, err := backoff.Retry(ctx, func() (int64, error) {
		attempt, cancel := context.WithTimeout(ctx, n.cfg.Lease/2)
		defer cancel()
		return f(attempt)
	}, backoff.WithBackOff(newBackOff()), backoff.WithMaxElapsedTime(n.cfg.Lease-n.cfg.Timeout))
	switch {
	case err != nil:
		log.Warn("failed to store the result of a notification, it will be sent again", slog.Any("error", err))
	case changed == 0:
		log.Warn("result dropped: another notifier has claimed the notification, or it was deleted")
	}
}

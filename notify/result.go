package notify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// failure is the error of a failed attempt.
type failure struct {
	err   error
	final bool          // a retry would fail alike
	after time.Duration // the receiver asks for no attempt before this
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 24 * time.Hour

// judge returns the error of an answer, or nil. An answer that neither accepts nor
// permanently rejects the notification is retried. So are redirects, which are not
// followed, since their target is not configured.
func judge(res *http.Response, now time.Time) error {
	code := res.StatusCode
	err := fmt.Errorf("the receiver answers %s", strings.TrimSpace(fmt.Sprintf("%d %s", code, http.StatusText(code))))
	switch {
	case code >= 200 && code <= 299:
		return nil
	case code >= 300 && code <= 399:
		return &failure{err: fmt.Errorf("%w, and redirects are not followed", err)}
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		return &failure{err: err, after: retryAfter(res.Header.Get("Retry-After"), now)}
	}
	return &failure{err: err, final: true}
}

// retryAfter parses seconds or a date; it returns 0 for anything else.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// broken returns the failure of an attempt without an answer. It removes the
// address, with which errors of net/http begin.
func broken(ctx context.Context, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		return &failure{err: refused, final: true}
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return &failure{err: errors.New("no answer in time")}
	}
	return &failure{err: err}
}

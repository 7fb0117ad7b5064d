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

// failure is a try that failed.
type failure struct {
	err   error
	final bool          // another try would end alike
	after time.Duration // the receiver asks to be left alone for so long
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// maxRetryAfter bounds what a receiver may ask for.
const maxRetryAfter = 24 * time.Hour

// judge reads an answer. What is neither taken nor refused for good is tried
// again, redirects among it: they are not followed, since where they lead was
// not configured.
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

// retryAfter reads seconds or a date; 0 is what cannot be read.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 64); err == nil {
		return time.Duration(min(seconds, uint64(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryAfter)
	}
	return 0
}

// broken is the failure of a try that had no answer. It leaves out the address,
// which errors of net/http begin with.
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

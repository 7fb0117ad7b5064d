// Package wait is how tests wait: for a condition, for a value, for the end of
// a context, and each only for so long.
package wait

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// FactorEnv names the variable that stretches every time limit of the tests. It
// is for slow or busy machines: 3 waits three times as long.
const FactorEnv = "HYPERTICK_TEST_TIMEOUT_FACTOR"

// limit is how long a single wait may take.
const limit = 3 * time.Minute

// reserve is kept before the time limit of the whole test binary, so that the
// message is printed rather than the stacks of all goroutines.
const reserve = 5 * time.Second

// Conditions are asked at once, then after pauses that grow: what comes soon is
// seen soon, and what takes long is not slowed down by the asking.
const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
)

// Scale stretches a time limit by the factor of the environment.
func Scale(d time.Duration) time.Duration {
	text := os.Getenv(FactorEnv)
	if text == "" {
		return d
	}
	factor, err := strconv.ParseFloat(text, 64)
	if err != nil || !(factor >= 1 && factor <= 100) {
		panic(fmt.Sprintf("%s: want a number from 1 to 100, got %q", FactorEnv, text))
	}
	return time.Duration(float64(d) * factor)
}

// Context ends after d, stretched by Scale, or once the test's own cleanups
// have run.
func Context(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Scale(d))
	t.Cleanup(cancel)
	return ctx
}

// Until waits until ok reports true. what is what should be so, for the message.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll(t, what, Scale(limit), func() (any, bool) { return nil, ok() })
}

// For waits until see reports true. When it never does, the failure says what
// see returned last.
func For(t testing.TB, what string, see func() (saw any, ok bool)) {
	t.Helper()
	poll(t, what, Scale(limit), see)
}

// Equal waits until get returns want.
func Equal[T comparable](t testing.TB, what string, want T, get func() T) {
	t.Helper()
	poll(t, what, Scale(limit), func() (any, bool) {
		got := get()
		return fmt.Sprintf("%v, want %v", got, want), got == want
	})
}

// Receive waits for a value from a channel.
func Receive[T any](t testing.TB, what string, from <-chan T) T {
	t.Helper()
	return receive(t, what, Scale(limit), from)
}

func receive[T any](t testing.TB, what string, limit time.Duration, from <-chan T) T {
	t.Helper()
	timer := time.NewTimer(within(t, limit))
	defer timer.Stop()
	select {
	case v := <-from:
		return v
	case <-timer.C:
		t.Fatalf("%s: nothing within %v", what, limit)
	case <-t.Context().Done():
		t.Fatalf("%s: nothing before the test ended", what)
	}
	panic("not reached")
}

func poll(t testing.TB, what string, limit time.Duration, see func() (any, bool)) {
	t.Helper()
	timer := time.NewTimer(within(t, limit))
	defer timer.Stop()
	pause := firstPause
	for {
		saw, ok := see()
		if ok {
			return
		}
		select {
		case <-timer.C:
			t.Fatalf("%s: not so within %v%s", what, limit, seen(saw))
		case <-t.Context().Done():
			t.Fatalf("%s: not so before the test ended%s", what, seen(saw))
		case <-time.After(pause):
		}
		pause = min(pause*3/2, lastPause)
	}
}

// within is d, or what is left of the time of the test binary.
func within(t testing.TB, d time.Duration) time.Duration {
	if b, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if end, ok := b.Deadline(); ok {
			d = min(d, max(0, time.Until(end)-reserve))
		}
	}
	return d
}

func seen(saw any) string {
	if saw == nil {
		return ""
	}
	return fmt.Sprintf(", last seen: %v", saw)
}

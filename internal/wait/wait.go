// Package wait lets tests wait for a condition, for a value or for the end of a
// context, each with a timeout.
package wait

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// FactorEnv names the environment variable that multiplies every timeout of the
// tests, for slow or busy machines: 3 waits three times as long.
const FactorEnv = "HYPERTICK_TEST_TIMEOUT_FACTOR"

// limit is the timeout of a single wait.
const limit = 3 * time.Minute

// reserve is kept before the time limit of the whole test binary, so that the
// message is printed rather than the stacks of all goroutines.
const reserve = 5 * time.Second

// Conditions are polled at once, then after growing pauses.
const (
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
)

// Scale multiplies a timeout by the factor of the environment.
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

// Context returns a context that ends after Scale(d), or after the cleanups of the
// test.
func Context(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Scale(d))
	t.Cleanup(cancel)
	return ctx
}

// Until waits until ok returns true. what is the condition, for the message.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	poll(t, what, Scale(limit), func() (any, bool) { return nil, ok() })
}

// For waits until see returns true. On a timeout the failure has the last value
// that see returned.
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

// within returns d, or the remaining time of the test binary if that is less.
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

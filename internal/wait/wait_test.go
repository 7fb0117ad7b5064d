package wait

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// fake is a test that fails without failing this one.
type fake struct {
	testing.TB
	ctx    context.Context
	end    time.Time
	failed string
}

func (f *fake) Helper()                  {}
func (f *fake) Context() context.Context { return f.ctx }
func (f *fake) Deadline() (time.Time, bool) {
	return f.end, !f.end.IsZero()
}

func (f *fake) Fatalf(format string, args ...any) {
	f.failed = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure is what a wait says when it fails, empty when it does not.
func failure(ctx context.Context, end time.Time, f func(testing.TB)) string {
	t := &fake{ctx: ctx, end: end}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(t)
	}()
	<-done
	return t.failed
}

func TestUntil(t *testing.T) {
	asked := 0
	ok := func() bool { asked++; return asked == 4 }
	if got := failure(t.Context(), time.Time{}, func(t testing.TB) { Until(t, "the fourth", ok) }); got != "" || asked != 4 {
		t.Errorf("asked %d times, %q; want 4 times and no failure", asked, got)
	}
	n := 0
	count := func() int { n++; return n }
	if got := failure(t.Context(), time.Time{}, func(t testing.TB) { Equal(t, "a count", 3, count) }); got != "" || n != 3 {
		t.Errorf("counted to %d, %q; want 3 and no failure", n, got)
	}
}

func TestFailures(t *testing.T) {
	ended, end := context.WithCancel(t.Context())
	end()
	seven := func() (any, bool) { return 7, false }
	for name, c := range map[string]struct {
		ctx  context.Context
		end  time.Time
		wait func(testing.TB)
		want []string
	}{
		"limit":             {t.Context(), time.Time{}, func(t testing.TB) { poll(t, "rain", 20*time.Millisecond, seven) }, []string{"rain: not so within 20ms, last seen: 7"}},
		"nothing seen":      {t.Context(), time.Time{}, func(t testing.TB) { poll(t, "rain", time.Millisecond, func() (any, bool) { return nil, false }) }, []string{"rain: not so within 1ms"}},
		"end of the test":   {ended, time.Time{}, func(t testing.TB) { For(t, "rain", seven) }, []string{"rain: not so before the test ended, last seen: 7"}},
		"end of the binary": {t.Context(), time.Now().Add(reserve + 10*time.Millisecond), func(t testing.TB) { For(t, "rain", seven) }, []string{"rain: not so within", "last seen: 7"}},
		"equal":             {ended, time.Time{}, func(t testing.TB) { Equal(t, "drops", 9, func() int { return 7 }) }, []string{"drops: not so", "last seen: 7, want 9"}},
		"receive":           {t.Context(), time.Time{}, func(t testing.TB) { receive(t, "a drop", time.Millisecond, make(chan int)) }, []string{"a drop: nothing within 1ms"}},
		"receive, ended":    {ended, time.Time{}, func(t testing.TB) { Receive(t, "a drop", make(chan int)) }, []string{"a drop: nothing before the test ended"}},
	} {
		got := failure(c.ctx, c.end, c.wait)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: got %q, want it to say %q", name, got, want)
			}
		}
		if name == "nothing seen" && strings.Contains(got, "seen") {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

func TestReceive(t *testing.T) {
	ch := make(chan string, 1)
	ch <- "drop"
	if got := Receive(t, "a drop", ch); got != "drop" {
		t.Errorf("got %q", got)
	}
}

func TestScale(t *testing.T) {
	for text, want := range map[string]time.Duration{"": time.Second, "1": time.Second, "2.5": 2500 * time.Millisecond} {
		t.Setenv(FactorEnv, text)
		if got := Scale(time.Second); got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"0", "-1", "NaN", "fast", "1000"} {
		t.Setenv(FactorEnv, text)
		func() {
			defer func() {
				if said := recover(); said == nil || !strings.Contains(fmt.Sprint(said), FactorEnv) {
					t.Errorf("%q: got %v, want a panic that names the variable", text, said)
				}
			}()
			Scale(time.Second)
		}()
	}
}

func TestContext(t *testing.T) {
	var ctx context.Context
	t.Run("test", func(t *testing.T) {
		ctx = Context(t, time.Hour)
		t.Cleanup(func() {
			if ctx.Err() != nil {
				t.Error("it ended before the cleanups that were registered after it")
			}
		})
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > Scale(time.Hour) {
			t.Errorf("ends at %v, %v", end, ok)
		}
	})
	if ctx.Err() == nil {
		t.Error("it outlives its test")
	}
}

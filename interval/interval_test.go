package interval_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/interval"
)

func ExampleParse() {
	w, _ := interval.Parse("90m")
	start := w.Start(time.Date(2026, 11, 24, 16, 10, 0, 0, time.UTC))
	fmt.Println(start.Format(time.TimeOnly), w.End(start).Format(time.TimeOnly))
	// Output: 15:00:00 16:30:00
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]interval.Width{
		"1s": {Seconds: 1}, "90m": {Seconds: 5400}, "1d": {Seconds: 86400}, "2w": {Seconds: 14 * 86400}, "3mo": {Months: 3}, "10y": {Months: 120},
	} {
		if got, err := interval.Parse(name); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
	}
	for _, name := range []string{"", "1", "m", "0m", "01m", "7s", "1M", "1 m", "12345m", "11y", "999w", "1m\n", "-1m"} {
		if got, err := interval.Parse(name); err == nil {
			t.Errorf("%q: got %+v, want an error", name, got)
		}
	}
}

// TestStart holds bars against calendar arithmetic: weeks begin on Monday,
// quarters in January, and every time lies within its bar.
func TestStart(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 24, 16, 10, 5, 999, time.UTC) // a Tuesday
	for name, want := range map[string]string{
		"30s": "2026-11-24T16:10:00Z", "4h": "2026-11-24T16:00:00Z", "1d": "2026-11-24T00:00:00Z", "1w": "2026-11-23T00:00:00Z",
		"1mo": "2026-11-01T00:00:00Z", "3mo": "2026-10-01T00:00:00Z", "1y": "2026-01-01T00:00:00Z",
	} {
		w, err := interval.Parse(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := w.Start(at).Format(time.RFC3339Nano); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		w := interval.Width{Seconds: rapid.Int64Range(1, 40*86400).Draw(t, "seconds")}
		if rapid.Bool().Draw(t, "calendar") {
			w = interval.Width{Months: rapid.IntRange(1, 120).Draw(t, "months")}
		}
		at := time.UnixMicro(rapid.Int64Range(-2208988800e6, 4102444800e6).Draw(t, "at")).UTC() // 1900 to 2100
		start := w.Start(at)
		if start.After(at) || !w.End(start).After(at) {
			t.Fatalf("%v lies outside of its bar from %v to %v", at, start, w.End(start))
		}
		if again := w.Start(start); !again.Equal(start) {
			t.Fatalf("a bar that begins at %v begins at %v", start, again)
		}
		if from := w.From(at); from.Before(at) || !w.Start(from).Equal(from) || w.Add(from, -1).After(at) {
			t.Fatalf("the first bar from %v on: got %v", at, from)
		}
	})
}

// TestDivides holds the rule against bars: whole ones never begin within a part.
func TestDivides(t *testing.T) {
	t.Parallel()
	names := []string{"1s", "30s", "1m", "7m", "45m", "1h", "36h", "1d", "2d", "1w", "1mo", "2mo", "3mo", "1y"}
	for _, p := range names {
		for _, n := range names {
			part, _ := interval.Parse(p)
			whole, _ := interval.Parse(n)
			want := true
			start := whole.Start(time.Date(2023, 5, 1, 0, 0, 0, 0, time.UTC))
			for range 40 {
				want = want && part.Start(start).Equal(start)
				start = whole.End(start)
			}
			if got := part.Divides(whole); got != want {
				t.Errorf("%s divides %s: got %v, want %v", p, n, got, want)
			}
		}
	}
}

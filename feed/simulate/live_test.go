package simulate_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/simulate"
)

// live runs against a clock that only moves when the simulator sleeps.
func live(t *testing.T, cfg simulate.Config, positions map[string]feed.Tick, onSleep func(clock *time.Time) error) []feed.Tick {
	t.Helper()
	clock := now
	cfg.Clock = func() time.Time { return clock }
	cfg.Sleep = func(_ context.Context, d time.Duration) error {
		clock = clock.Add(d)
		return onSleep(&clock)
	}
	s, err := simulate.New(cfg, positions)
	if err != nil {
		t.Fatal(err)
	}
	var out []feed.Tick
	err = s.Run(t.Context(), func(tick *feed.Tick) error {
		if tick.TS > clock.UnixMicro() {
			t.Fatalf("%+v is ahead of the clock %v", tick, clock)
		}
		out = append(out, *tick)
		return nil
	}, nil)
	if !errors.Is(err, errEnough) {
		t.Fatal(err)
	}
	return out
}

func TestLiveKeepsTheRate(t *testing.T) {
	for _, rate := range []float64{1, 1000, 200_000} {
		seconds := max(2, 20_000/rate)
		end := now.Add(time.Duration(seconds * float64(time.Second)))
		cfg := past(0, func(c *simulate.Config) { c.Rate, c.Late, c.Duplicates = rate, 0, 0 })
		ticks := live(t, cfg, nil, func(clock *time.Time) error {
			if clock.After(end) {
				return errEnough
			}
			return nil
		})
		want := rate * seconds
		if dev := math.Abs(float64(len(ticks)) - want); dev > 6*math.Sqrt(want)+0.005*want {
			t.Errorf("rate %v: %d ticks in %v s", rate, len(ticks), seconds)
		}
	}
}

func TestLiveFillsAGapAtTheRateOfHistory(t *testing.T) {
	slept := false
	end := now.Add(10*time.Hour + time.Minute)
	cfg := past(0, func(c *simulate.Config) { c.Rate, c.HistoryRate, c.Late, c.Duplicates = 100, 1, 0, 0 })
	ticks := live(t, cfg, nil, func(clock *time.Time) error {
		if !slept && clock.After(now.Add(30*time.Second)) {
			slept = true
			*clock = clock.Add(10 * time.Hour)
		}
		if clock.After(end) {
			return errEnough
		}
		return nil
	})
	// 60 s live are 6,000 ticks; 10 hours around midnight UTC are 36,000 and more.
	if n := len(ticks); n < 30_000 || n > 90_000 {
		t.Errorf("%d ticks", n)
	}
	if !slices.IsSortedFunc(ticks, func(a, b feed.Tick) int { return int(a.TS - b.TS) }) {
		t.Error("not in the order of time")
	}
}

func TestResumeAfterAWhile(t *testing.T) {
	early := past(2*time.Hour, nil)
	early.Clock = func() time.Time { return now.Add(-time.Hour) }
	positions := map[string]feed.Tick{}
	fold(positions, run(t, early, nil, all))
	// Start is later now, as it is when it means thirty days ago.
	late := past(time.Minute, nil)
	ticks := fold(positions, run(t, late, positions, all))
	first, last := ticks[0].Time(), ticks[len(ticks)-1].Time()
	if gap := first.Sub(now.Add(-time.Hour)); gap < -time.Minute || gap > time.Minute || now.Sub(last) > time.Minute {
		t.Errorf("the hour from %v is filled from %v to %v", now.Add(-time.Hour), first, last)
	}
}

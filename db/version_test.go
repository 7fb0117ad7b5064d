package db

import (
	"strings"
	"testing"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const fine, slow, broken = "", "timescaledb#10071", "cannot drop portal"
	for _, c := range []struct {
		postgres  int
		timescale string
		want      string // what the problem says
	}{
		{170011, "2.29.2", fine},
		{170012, "2.29.2", broken},
		{170013, "2.29.2", broken},
		{180006, "2.29.2", fine},
		{180007, "2.29.2", broken},
		{180008, "2.30.1", broken},
		{160099, "2.29.2", fine},
		{190000, "2.33.0", fine},

		{170012, "2.26.9", broken},
		{170012, "2.27.2", broken},
		{170012, "2.27.3", slow},
		{170012, "2.28.4", broken},
		{170012, "2.28.5", slow},
		{170012, "2.30.9", broken},
		{170012, "2.31.1", broken},
		{170012, "2.31.2", fine},
		{170012, "2.32.0", broken},
		{180007, "2.32.0", broken},
		{170012, "2.32.1", fine},
		{180007, "2.32.1", fine},
		{170012, "2.33.0", fine},
		{170012, "3.0.0", fine},

		{170005, "2.23.0", slow},
		{170005, "2.28.9", slow},
		{170005, "2.29.0", fine},
		{170005, "1.7.5", slow},
		{170005, "2.32.1-dev", fine},
		{170005, "", fine}, // migrate will say that there is none
		{170005, "2.32", "no version"},
		{170005, "two", "no version"},
	} {
		got := judge(c.postgres, c.timescale, true)
		if c.want == "" {
			if got != (Verdict{}) {
				t.Errorf("%d with %q: want nothing to say, got %+v", c.postgres, c.timescale, got)
			}
			continue
		}
		if !strings.Contains(got.Problem, c.want) || got.Remedy == "" || got.Broken != (c.want == broken) {
			t.Errorf("%d with %q: want a problem with %q and a remedy, got %+v", c.postgres, c.timescale, c.want, got)
		}
	}
}

// TestJudgeWithoutScheduler checks that the embedded build causes no warning, and
// that every other pair does.
func TestJudgeWithoutScheduler(t *testing.T) {
	t.Parallel()
	if got := judge(170005, "2.23.0-dev", false); got != (Verdict{}) {
		t.Errorf("embedded: want nothing to say, got %+v", got)
	}
	if got := judge(170012, "2.29.2", false); !got.Broken {
		t.Errorf("17.12 with 2.29.2: want broken, got %+v", got)
	}
}

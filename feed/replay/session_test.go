package replay_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/calendar"
	"github.com/hypertick/hypertick/feed/replay"
)

// TestSessionBars wants the ticks of daily bars inside of sessions: then the bar
// of each session is that of the file. 5,105 days is how many the file has.
func TestSessionBars(t *testing.T) {
	text, err := os.ReadFile("../../testdata/npm/node_modules/vega-datasets/data/sp500-2000.csv")
	if err != nil {
		t.Skip("make testdata/npm/node_modules installs the file:", err)
	}
	c, err := calendar.Load("XNYS")
	if err != nil {
		t.Fatal(err)
	}
	opens := func(day time.Time) (time.Time, bool) {
		s, ok := c.SessionOn(day)
		return s.Opens, ok
	}
	plain := mustRead(t, replay.Config{Symbol: "SPX"}, string(text))
	moved := mustRead(t, replay.Config{Symbol: "SPX", Opens: opens}, string(text))
	if len(moved) != len(plain) || len(moved) != 4*5105 {
		t.Fatalf("%d ticks, want %d", len(moved), 4*5105)
	}
	days := map[time.Time]bool{}
	for i, m := range moved {
		s, phase := c.At(time.UnixMicro(m.TS))
		p := plain[i]
		if phase != calendar.Open || !s.Day.Equal(time.UnixMicro(p.TS).UTC().Truncate(24*time.Hour)) {
			t.Fatalf("tick %d at %v: %s of %v, want open of the day of %v", i, time.UnixMicro(m.TS).UTC(), phase, s.Day, time.UnixMicro(p.TS).UTC())
		}
		days[s.Day] = true
		if p.TS = m.TS; m != p {
			t.Fatalf("tick %d: %+v, want %+v", i, m, p)
		}
	}
	if len(days) != 5105 {
		t.Errorf("%d days, want 5105", len(days))
	}
	_, _, err = read(t, replay.Config{Symbol: "SPX", Opens: opens}, "date,open,high,low,close,volume\n2001-09-11,1,1,1,1,1\n2001-09-17,1,1,1,1,1\n")
	if err == nil || !strings.Contains(err.Error(), "want a day with a session in the calendar") {
		t.Errorf("a bar of a day without a session: %v", err)
	}
}

package calendar_test

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/calendar"
)

func load(t *testing.T, name string) *calendar.Calendar {
	t.Helper()
	c, err := calendar.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func day(t *testing.T, s string) time.Time {
	t.Helper()
	d, err := time.Parse(time.DateOnly, s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestFacts compares with what the exchanges have announced.
func TestFacts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		calendar, day, opens, closes string // UTC; no opens: closed
		kind                         calendar.Kind
	}{
		{"XNYS", "2001-09-10", "2001-09-10T13:30:00Z", "2001-09-10T20:00:00Z", calendar.Regular},
		{"XNYS", "2001-09-11", "", "", ""},
		{"XNYS", "2001-09-14", "", "", ""},
		{"XNYS", "2001-09-17", "2001-09-17T13:30:00Z", "2001-09-17T20:00:00Z", calendar.Regular},
		{"XNYS", "2012-10-29", "", "", ""}, // hurricane Sandy
		{"XNYS", "2012-10-30", "", "", ""},
		{"XNYS", "2024-11-29", "2024-11-29T14:30:00Z", "2024-11-29T18:00:00Z", calendar.EarlyClose},
		{"XNYS", "2024-07-03", "2024-07-03T13:30:00Z", "2024-07-03T17:00:00Z", calendar.EarlyClose},
		{"XNYS", "2025-01-09", "", "", ""}, // day of mourning
		{"XNYS", "2024-03-08", "2024-03-08T14:30:00Z", "2024-03-08T21:00:00Z", calendar.Regular}, // before
		{"XNYS", "2024-03-11", "2024-03-11T13:30:00Z", "2024-03-11T20:00:00Z", calendar.Regular}, // after summer time began
		{"XLON", "2024-12-24", "2024-12-24T08:00:00Z", "2024-12-24T12:30:00Z", calendar.EarlyClose},
		{"XLON", "2022-09-19", "", "", ""}, // funeral of the Queen
		{"XTKS", "2024-11-01", "2024-11-01T00:00:00Z", "2024-11-01T06:00:00Z", calendar.Regular},
		{"XTKS", "2024-11-05", "2024-11-05T00:00:00Z", "2024-11-05T06:30:00Z", calendar.Regular},    // half an hour longer from here
		{"XHKG", "2024-12-24", "2024-12-24T01:30:00Z", "2024-12-24T04:00:00Z", calendar.EarlyClose}, // no afternoon
		{"XASX", "2025-01-02", "2025-01-01T23:00:00Z", "2025-01-02T05:00:00Z", calendar.Regular},    // begins the day before in UTC
		{"XASX", "2025-07-01", "2025-07-01T00:00:00Z", "2025-07-01T06:00:00Z", calendar.Regular},
		{"XNSE", "2024-01-25", "2024-01-25T03:45:00Z", "2024-01-25T10:00:00Z", calendar.Regular},
		{"XNSE", "2024-01-26", "", "", ""}, // Republic Day
		{"CMES", "2024-03-11", "2024-03-10T22:00:00Z", "2024-03-11T22:00:00Z", calendar.Regular}, // from Sunday evening
		{"CMES", "2024-07-04", "2024-07-03T22:00:00Z", "2024-07-04T17:00:00Z", calendar.EarlyClose},
		{"FX", "2024-07-05", "2024-07-05T00:00:00Z", "2024-07-06T00:00:00Z", calendar.Regular},
		{"XETR", "2024-12-24", "", "", ""},
		{"XPAR", "2024-12-24", "2024-12-24T08:00:00Z", "2024-12-24T13:05:00Z", calendar.EarlyClose},
		{"XTSE", "2024-12-24", "2024-12-24T14:30:00Z", "2024-12-24T18:00:00Z", calendar.EarlyClose},
		{"XNAS", "1989-12-29", "", "", ""}, // not known
	} {
		s, ok := load(t, c.calendar).SessionOn(day(t, c.day))
		if !ok {
			if c.opens != "" {
				t.Errorf("%s on %s: closed, want a session from %s", c.calendar, c.day, c.opens)
			}
			continue
		}
		if opens, closes := s.Opens.Format(time.RFC3339), s.Closes.Format(time.RFC3339); opens != c.opens || closes != c.closes || s.Kind != c.kind {
			t.Errorf("%s on %s: %s to %s, %s, want %q to %q, %s", c.calendar, c.day, opens, closes, s.Kind, c.opens, c.closes, c.kind)
		}
	}
}

// moments are instants, and the state of the market then. TestStatus asks SQL the same.
var moments = []struct {
	calendar, at string
	phase        calendar.Phase
	day, until   string
}{
	{"XNYS", "2024-11-29T08:59:59Z", calendar.Closed, "2024-11-29", "2024-11-29T09:00:00Z"},
	{"XNYS", "2024-11-29T09:00:00Z", calendar.Pre, "2024-11-29", "2024-11-29T14:30:00Z"},
	{"XNYS", "2024-11-29T14:30:00Z", calendar.Open, "2024-11-29", "2024-11-29T18:00:00Z"},
	{"XNYS", "2024-11-29T18:00:00Z", calendar.Post, "2024-11-29", "2024-11-29T22:00:00Z"},
	{"XNYS", "2024-11-29T22:00:00Z", calendar.Closed, "2024-12-02", "2024-12-02T09:00:00Z"}, // a Friday
	{"XNYS", "2001-09-11T14:00:00Z", calendar.Closed, "2001-09-17", "2001-09-17T08:00:00Z"},
	{"XTKS", "2024-11-05T02:29:59Z", calendar.Open, "2024-11-05", "2024-11-05T02:30:00Z"},
	{"XTKS", "2024-11-05T02:30:00Z", calendar.Break, "2024-11-05", "2024-11-05T03:30:00Z"},
	{"XTKS", "2024-11-05T03:30:00Z", calendar.Open, "2024-11-05", "2024-11-05T06:30:00Z"},
	{"XHKG", "2024-12-24T04:30:00Z", calendar.Closed, "2024-12-27", "2024-12-27T01:30:00Z"},
	{"XASX", "2025-01-01T23:00:00Z", calendar.Open, "2025-01-02", "2025-01-02T05:00:00Z"},
	{"CMES", "2024-03-10T21:59:59Z", calendar.Closed, "2024-03-11", "2024-03-10T22:00:00Z"},
	{"CMES", "2024-03-10T22:00:00Z", calendar.Open, "2024-03-11", "2024-03-11T22:00:00Z"},
	{"CMES", "2024-03-11T22:00:00Z", calendar.Open, "2024-03-12", "2024-03-12T22:00:00Z"},
	{"FX", "2024-07-06T00:00:00Z", calendar.Closed, "2024-07-08", "2024-07-08T00:00:00Z"},
}

func TestAt(t *testing.T) {
	t.Parallel()
	for _, m := range moments {
		at, _ := time.Parse(time.RFC3339, m.at)
		s, phase := load(t, m.calendar).At(at)
		if phase != m.phase || s.Day.Format(time.DateOnly) != m.day {
			t.Errorf("%s at %s: %s of %s, want %s of %s", m.calendar, m.at, phase, s.Day.Format(time.DateOnly), m.phase, m.day)
		}
	}
	if s, phase := load(t, calendar.Always).At(time.Now()); phase != calendar.Open || s != (calendar.Session{}) {
		t.Errorf("24x7: %s, want open", phase)
	}
	if _, err := calendar.Load("XXXX"); err == nil || !strings.Contains(err.Error(), "want one of 24x7, CMES") {
		t.Errorf("unknown calendar: %v", err)
	}
}

// TestExchangeCalendars compares every session with the package that the
// calendars come from.
func TestExchangeCalendars(t *testing.T) {
	t.Parallel()
	python := os.Getenv("HYPERTICK_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import exchange_calendars as e; assert e.__version__.startswith('4.13.')").Run(); err != nil {
		t.Skipf("%s has no exchange_calendars 4.13 (HYPERTICK_TEST_PYTHON names another Python): %v", python, err)
	}
	out, err := exec.Command(python, "gen.py", "--sessions").Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		s, ok := load(t, f[0]).SessionOn(day(t, f[1]))
		unix := func(at time.Time) string {
			if at.IsZero() {
				return "-"
			}
			return strconv.FormatInt(at.Unix(), 10)
		}
		if have := []string{unix(s.Opens), unix(s.Closes), unix(s.BreakStart), unix(s.BreakEnd)}; !ok || strings.Join(have, " ") != strings.Join(f[2:], " ") {
			t.Errorf("%s on %s: %v, want %v", f[0], f[1], have, f[2:])
		}
		got[f[0]]++
	}
	for _, name := range calendar.Names() {
		c := load(t, name)
		if n := len(c.Sessions(c.First, c.Last)); n != got[name] {
			t.Errorf("%s: %d sessions, want %d", name, n, got[name])
		}
	}
}

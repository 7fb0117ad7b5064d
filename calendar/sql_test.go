package calendar_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/calendar"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestSessions wants the same sessions of SQL as of Go, where
// TestExchangeCalendars compares them with their source.
func TestSessions(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	for _, name := range calendar.Names() {
		c := load(t, name)
		want := c.Sessions(c.First, c.Last)
		for round, changed := range []int{len(want), 0} { // the second time nothing changes
			var n int
			if err := d.Pool.QueryRow(ctx, "SELECT count(*) FROM make_sessions($1)", name).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if n != changed {
				t.Errorf("%s, round %d: %d days changed, want %d", name, round, n, changed)
			}
		}
		rows, err := d.Pool.Query(ctx, `SELECT day, opens, closes, break_start, break_end, pre_opens, post_closes, kind
			FROM sessions WHERE calendar = $1 ORDER BY day`, name)
		if err != nil {
			t.Fatal(err)
		}
		var s calendar.Session
		var breakStart, breakEnd *time.Time
		n := 0
		if _, err := pgx.ForEachRow(rows, []any{&s.Day, &s.Opens, &s.Closes, &breakStart, &breakEnd, &s.PreOpens, &s.PostCloses, &s.Kind}, func() error {
			s.BreakStart, s.BreakEnd = time.Time{}, time.Time{}
			if breakStart != nil {
				s.BreakStart, s.BreakEnd = breakStart.UTC(), breakEnd.UTC()
			}
			s.Opens, s.Closes, s.PreOpens, s.PostCloses = s.Opens.UTC(), s.Closes.UTC(), s.PreOpens.UTC(), s.PostCloses.UTC()
			if n < len(want) && s != want[n] {
				t.Errorf("%s: %v, want %v", name, s, want[n])
			}
			n++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != len(want) {
			t.Errorf("%s: %d sessions, want %d", name, n, len(want))
		}
	}
}

// TestStatus asks the functions that tell the state of the market, as the reader.
func TestStatus(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	for _, m := range moments {
		// The trigger makes the sessions; the symbol is called as its calendar.
		if _, err := d.Pool.Exec(ctx, "INSERT INTO instruments (symbol, calendar) VALUES ($1, $1) ON CONFLICT DO NOTHING", m.calendar); err != nil {
			t.Fatal(err)
		}
		var state, day string
		var until, opens time.Time
		var open bool
		at, _ := time.Parse(time.RFC3339, m.at)
		if err := d.Pool.QueryRow(ctx, `SELECT state, until, m.day::text, is_open($1, $2), next_open($1, $2)
			FROM market_status($1, $2) m WHERE trading_day($1, $2) = m.day`, m.calendar, at).Scan(&state, &until, &day, &open, &opens); err != nil {
			t.Fatalf("%s at %s: %v", m.calendar, m.at, err)
		}
		if state != string(m.phase) || day != m.day || until.UTC().Format(time.RFC3339) != m.until || open != (m.phase == calendar.Open) {
			t.Errorf("%s at %s: %s until %s of %s, open %v, want %s until %s of %s", m.calendar, m.at, state, until.UTC().Format(time.RFC3339), day, open, m.phase, m.until, m.day)
		}
		// The next open: step from phase to phase in Go.
		c := load(t, m.calendar)
		s, phase := c.At(opens)
		if _, before := c.At(opens.Add(-time.Second)); phase != calendar.Open || !opens.After(at) || before == calendar.Open && !s.Opens.Equal(opens) {
			t.Errorf("%s at %s: next open %s", m.calendar, m.at, opens)
		}
		for p := at.Add(time.Second); p.Before(opens); p = p.Add(time.Minute) {
			a, phase := c.At(p)
			if b, before := c.At(p.Add(-time.Minute)); p.Add(-time.Minute).After(at) && phase == calendar.Open && (before != calendar.Open || a.Day != b.Day) {
				t.Errorf("%s at %s: next open %s, but it opens at %s", m.calendar, m.at, opens, p)
				break
			}
		}
	}
	var state, day string
	var until *time.Time
	if err := d.Pool.QueryRow(ctx, "SELECT state, until, day::text FROM market_status('NEW', '2024-07-06T23:59:59Z')").Scan(&state, &until, &day); err != nil {
		t.Fatal(err)
	}
	if state != "open" || until != nil || day != "2024-07-06" {
		t.Errorf("a symbol without an instrument: %s until %v of %s, want open of 2024-07-06", state, until, day)
	}
}

// TestClosureAdded closes a day that was open: that day changes, and no other.
func TestClosureAdded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(ctx, "INSERT INTO feed_venues (venue, calendar) VALUES ('V', 'XNYS')"); err != nil {
		t.Fatal(err)
	}
	version := func() (v int64) {
		if err := d.Pool.QueryRow(ctx, "SELECT version FROM calendars WHERE calendar = 'XNYS'").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	before := version()
	for _, c := range []struct{ change, want string }{
		{"INSERT INTO calendar_exceptions (calendar, day, closed, added) VALUES ('XNYS', '2027-03-02', true, true)", "2027-03-02"},
		{"UPDATE calendar_exceptions SET closed = false, opens = '11:00' WHERE calendar = 'XNYS' AND day = '2027-03-02'", "2027-03-02"},
		{"INSERT INTO calendar_exceptions (calendar, day, closed, opens, closes, added) VALUES ('XNYS', '2027-03-06', false, '10:00', '12:00', true)", "2027-03-06"},
		{"DELETE FROM calendar_exceptions WHERE calendar = 'XNYS' AND added", "2027-03-02 2027-03-06"},
	} {
		if _, err := d.Pool.Exec(ctx, c.change); err != nil {
			t.Fatal(err)
		}
		var got string
		if err := d.Pool.QueryRow(ctx, "SELECT string_agg(day::text, ' ' ORDER BY day) FROM make_sessions('XNYS') day").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got != c.want {
			t.Errorf("%s: %s changed, want %s", c.change, got, c.want)
		}
	}
	if got := version(); got != before+4 {
		t.Errorf("version %d after four changes of %d", got, before)
	}
	for statement, want := range map[string]string{
		"UPDATE feed_venues SET calendar = 'NYSE'":                                                                                   "calendar: want one of 24x7, CMES",
		"INSERT INTO instruments (symbol, calendar) VALUES ('A', 'XNYS'), ('B', 'NYSE')":                                             "got NYSE",
		"INSERT INTO calendar_exceptions (calendar, day, closed) VALUES ('XNYS', '2027-03-06', false); SELECT make_sessions('XNYS')": "calendar XNYS on 2027-03-06: want opens before closes",
	} {
		if _, err := d.Pool.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", statement, err, want)
		}
	}
}

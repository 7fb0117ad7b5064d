// Package calendar knows when exchanges are open: their sessions, day by day, with
// holidays, early closes, breaks and daylight saving time.
//
// calendars.txt holds the regular hours of each calendar and the days that differ.
// gen.py writes it, and gen writes the same as SQL.
package calendar

import (
	"sort"
	"time"
	_ "time/tzdata" // zones must be known in an image that has no zone files
)

// Always is the calendar that has no sessions: it is open at all times, and its
// day is the UTC day.
const Always = "24x7"

// Calendar is the hours of one exchange.
type Calendar struct {
	Name  string // market identifier code where there is one
	Title string
	Zone  *time.Location
	// Shift has to be added to local time so that its date is the trading day.
	Shift time.Duration
	// First and Last are the days between which it is known, as midnights UTC.
	First, Last time.Time
	Rules       []Rule
	// Exceptions are sorted by day.
	Exceptions []Exception
	byDay      map[time.Time]*Exception
}

// Span is a range of local time, counted from the midnight that begins the day;
// below 0 it is the evening before.
type Span struct{ From, To time.Duration }

// Rule is the regular hours of a period.
type Rule struct {
	From, To time.Time // first and last day
	Weekdays []int     // 1 is Monday, 7 is Sunday
	Hours    Span
	Break    *Span // nil: none
	Extended *Span // nil: none
}

// Exception is a day that differs from the rules.
type Exception struct {
	Day    time.Time
	Closed bool
	// Opens and Closes are nil where they are as the rule says.
	Opens, Closes *time.Duration
}

// Kind says how a session differs from the regular ones.
type Kind string

// Kinds of sessions.
const (
	Regular    Kind = "regular"
	EarlyClose Kind = "early_close"
	LateOpen   Kind = "late_open"
	Special    Kind = "special" // both, or on a day that has no regular session
)

// Session is one trading day. Its times are UTC; each end is the first instant
// after.
type Session struct {
	Day                  time.Time // midnight UTC of its date
	Opens, Closes        time.Time
	BreakStart, BreakEnd time.Time // zero: no break
	PreOpens, PostCloses time.Time // Opens and Closes where there are no extended hours
	Kind                 Kind
}

// Phase is the state of the market at an instant.
type Phase string

// Phases of a day.
const (
	Closed Phase = "closed"
	Pre    Phase = "pre"
	Open   Phase = "open"
	Break  Phase = "break"
	Post   Phase = "post"
)

// Day returns midnight UTC of a date.
func Day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// Sessions returns the sessions of the days from from up to to, both included. Only
// the dates of the arguments count.
func (c *Calendar) Sessions(from, to time.Time) []Session {
	var out []Session
	from, to = Day(from.Date()), Day(to.Date())
	if from.Before(c.First) {
		from = c.First
	}
	if to.After(c.Last) {
		to = c.Last
	}
	if len(c.Rules) == 0 {
		return nil
	}
	for day := from; !day.After(to); day = day.AddDate(0, 0, 1) {
		if s, ok := c.SessionOn(day); ok {
			out = append(out, s)
		}
	}
	return out
}

// SessionOn returns the session of a day, false if there is none.
func (c *Calendar) SessionOn(day time.Time) (Session, bool) {
	day = Day(day.Date())
	if day.Before(c.First) || day.After(c.Last) {
		return Session{}, false
	}
	rule, e := c.rule(day), c.byDay[day]
	if e == nil && rule == nil || e != nil && e.Closed {
		return Session{}, false
	}
	if rule == nil {
		h := Span{*e.Opens, *e.Closes}
		return c.session(day, h, nil, h, Special), true
	}
	h, pause, extended, kind := rule.Hours, rule.Break, rule.Hours, Regular
	if rule.Extended != nil {
		extended = *rule.Extended
	}
	if e != nil {
		if e.Opens != nil {
			h.From = *e.Opens
		}
		if e.Closes != nil {
			h.To = *e.Closes
		}
		kind = difference(rule.Hours, h)
		// The time after the close is as long as on other days.
		extended = Span{min(extended.From, h.From), h.To + extended.To - rule.Hours.To}
		if pause != nil && (pause.From <= h.From || pause.To >= h.To) {
			pause = nil
		}
	}
	return c.session(day, h, pause, extended, kind), true
}

func difference(regular, h Span) Kind {
	switch {
	case h == regular:
		return Regular
	case h.From == regular.From && h.To < regular.To:
		return EarlyClose
	case h.To == regular.To && h.From > regular.From:
		return LateOpen
	default:
		return Special
	}
}

func (c *Calendar) rule(day time.Time) *Rule {
	weekday := int(day.Weekday()+6)%7 + 1
	for i := range c.Rules {
		r := &c.Rules[i]
		if day.Before(r.From) || day.After(r.To) {
			continue
		}
		for _, w := range r.Weekdays {
			if w == weekday {
				return r
			}
		}
	}
	return nil
}

func (c *Calendar) session(day time.Time, h Span, pause *Span, extended Span, kind Kind) Session {
	at := func(d time.Duration) time.Time {
		// A wall clock, not a length: a day may have 23 or 25 hours.
		return time.Date(day.Year(), day.Month(), day.Day(), 0, 0, int(d/time.Second), 0, c.Zone).UTC()
	}
	s := Session{Day: day, Opens: at(h.From), Closes: at(h.To), PreOpens: at(extended.From), PostCloses: at(extended.To), Kind: kind}
	if pause != nil {
		s.BreakStart, s.BreakEnd = at(pause.From), at(pause.To)
	}
	return s
}

// At returns the state of the market at an instant, and the session that is on, its extended
// hours included. Where none is, the phase is Closed, and the session is the next,
// or zero after the last. Always is open without a session.
func (c *Calendar) At(t time.Time) (Session, Phase) {
	if len(c.Rules) == 0 {
		return Session{}, Open
	}
	// Hours may reach over midnight on either side.
	day := Day(t.In(c.Zone).Add(c.Shift).Date()).AddDate(0, 0, -1)
	if day.Before(c.First) {
		day = c.First
	}
	for ; !day.After(c.Last); day = day.AddDate(0, 0, 1) {
		s, ok := c.SessionOn(day)
		if ok && t.Before(s.PostCloses) {
			return s, s.phase(t)
		}
	}
	return Session{}, Closed
}

func (s *Session) phase(t time.Time) Phase {
	switch {
	case t.Before(s.PreOpens):
		return Closed
	case t.Before(s.Opens):
		return Pre
	case !t.Before(s.Closes):
		return Post
	case !t.Before(s.BreakStart) && t.Before(s.BreakEnd):
		return Break
	default:
		return Open
	}
}

// Names returns the names of the calendars, sorted.
func Names() []string {
	all, _ := all()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// Command gen writes the calendars as SQL rows: schema/03_calendars_data.sql from
// calendar/calendars.txt. With the argument check it
// fails when that is not current.
package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hypertick/hypertick/calendar"
)

const file = "schema/03_calendars_data.sql"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "calendar:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	want, err := rows()
	if err != nil {
		return err
	}
	switch {
	case len(args) == 0:
		return os.WriteFile(file, []byte(want), 0o644)
	case len(args) == 1 && args[0] == "check":
		got, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if string(got) != want {
			return errors.New(file + " is not what calendar/calendars.txt says: run go run ./calendar/gen and make baseline")
		}
		return nil
	}
	return errors.New("usage: go run ./calendar/gen [check]")
}

const head = `-- Generated from calendar/calendars.txt by go run ./calendar/gen. DO NOT EDIT.
--
-- Rows of the calendars that come with Hypertick.

`

// rows returns the file. Exceptions are one row for each year, and are taken
// apart by the database: a new database is made often, in tests.
func rows() (string, error) {
	var calendars, rules, exceptions []string
	for _, name := range calendar.Names() {
		c, err := calendar.Load(name)
		if err != nil {
			return "", err
		}
		calendars = append(calendars, fmt.Sprintf("    (%s, %s, %s, '%s', '%s', '%s')", text(c.Name), text(c.Title), text(c.Zone.String()),
			clock(c.Shift), c.First.Format(time.DateOnly), c.Last.Format(time.DateOnly)))
		for _, r := range c.Rules {
			rules = append(rules, rule(c.Name, r))
		}
		exceptions = append(exceptions, years(c)...)
	}
	return head +
		"INSERT INTO calendars (calendar, name, zone, day_shift, first_day, last_day) VALUES\n" + strings.Join(calendars, ",\n") + ";\n\n" +
		"INSERT INTO calendar_rules (calendar, from_day, to_day, weekdays, opens, closes,\n" +
		"                            break_start, break_end, pre_opens, post_closes) VALUES\n" + strings.Join(rules, ",\n") + ";\n\n" +
		"-- A line is a calendar, a year, the hours where it is open, and days.\n" +
		"INSERT INTO calendar_exceptions (calendar, day, closed, opens, closes)\n" +
		"SELECT line[1], (line[2] || '-' || day)::date, line[3] = 'closed',\n" +
		"       nullif(split_part(hours, '..', 1), '')::interval, nullif(split_part(hours, '..', 2), '')::interval\n" +
		"FROM (SELECT string_to_array(line, ' ') AS line FROM string_to_table($calendars$" + strings.Join(exceptions, "\n") + "$calendars$, E'\\n') line) l,\n" +
		"     nullif(line[3], 'closed') hours, unnest(line[4:]) day;\n", nil
}

func rule(name string, r calendar.Rule) string {
	weekdays := make([]string, len(r.Weekdays))
	for i, w := range r.Weekdays {
		weekdays[i] = strconv.Itoa(w)
	}
	return fmt.Sprintf("    (%s, '%s', '%s', '{%s}', '%s', '%s', %s, %s)", text(name), r.From.Format(time.DateOnly), r.To.Format(time.DateOnly),
		strings.Join(weekdays, ","), clock(r.Hours.From), clock(r.Hours.To), span(r.Break), span(r.Extended))
}

func span(s *calendar.Span) string {
	if s == nil {
		return "NULL, NULL"
	}
	return fmt.Sprintf("'%s', '%s'", clock(s.From), clock(s.To))
}

// years returns the exceptions, one line for each year and kind.
func years(c *calendar.Calendar) []string {
	var heads []string
	days := map[string][]string{}
	for _, e := range c.Exceptions {
		what := "closed"
		if !e.Closed {
			what = optional(e.Opens) + ".." + optional(e.Closes)
		}
		head := fmt.Sprintf("%s %d %s", c.Name, e.Day.Year(), what)
		if days[head] == nil {
			heads = append(heads, head)
		}
		days[head] = append(days[head], e.Day.Format("01-02"))
	}
	for i, head := range heads {
		// Lines of SQL stay below 120 columns.
		lines := []string{head}
		for _, d := range days[head] {
			if last := &lines[len(lines)-1]; len(*last)+6 < 119 {
				*last += " " + d
			} else {
				lines = append(lines, head+" "+d)
			}
		}
		heads[i] = strings.Join(lines, "\n")
	}
	return heads
}

func optional(d *time.Duration) string {
	if d == nil {
		return ""
	}
	return clock(*d)
}

func clock(d time.Duration) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	return fmt.Sprintf("%s%02d:%02d", sign, int(d.Hours()), int(d.Minutes())%60)
}

func text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

package cli

import (
	"encoding/csv"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
)

// readExceptions reads a file for calendar add, and returns the calendars it names,
// sorted.
func readExceptions(path string) (list []db.AddCalendarExceptionParams, names []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, usageError{err}
	}
	defer func() { _ = f.Close() }()
	r := csv.NewReader(f)
	head, err := r.Read()
	if err != nil {
		return nil, nil, usagef("%s: want a header of calendar, day, closed, opens, closes, note: %w", path, err)
	}
	at := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		if _, twice := at[name]; twice || !slices.Contains([]string{"calendar", "day", "closed", "opens", "closes", "note"}, name) {
			return nil, nil, usagef("%s:1: want the columns calendar, day, closed, opens, closes, note, each once, got %q", path, name)
		}
		at[name] = i
	}
	for _, name := range []string{"calendar", "day"} {
		if _, ok := at[name]; !ok {
			return nil, nil, usagef("%s:1: want a column %s", path, name)
		}
	}
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, usagef("%s: %w", path, err)
		}
		line, _ := r.FieldPos(0)
		field := func(name string) string {
			if i, ok := at[name]; ok {
				return strings.TrimSpace(row[i])
			}
			return ""
		}
		wrong := func(name, want string) error {
			return usagef("%s:%d: %s: want %s, got %q", path, line, name, want, field(name))
		}
		x := db.AddCalendarExceptionParams{Calendar: field("calendar"), Note: field("note")}
		day, err := time.Parse(time.DateOnly, field("day"))
		if err != nil {
			return nil, nil, wrong("day", "a day such as 2026-11-24")
		}
		x.Day = pgtype.Date{Time: day, Valid: true}
		if s := field("closed"); s != "" {
			if x.Closed, err = strconv.ParseBool(s); err != nil {
				return nil, nil, wrong("closed", "true or false")
			}
		}
		for name, to := range map[string]*pgtype.Interval{"opens": &x.Opens, "closes": &x.Closes} {
			s := field(name)
			if s == "" {
				continue
			}
			if *to, err = wallClock(s); err != nil {
				return nil, nil, wrong(name, "a local time such as 09:30, or -07:00 for 17:00 the evening before")
			}
			if x.Closed {
				return nil, nil, wrong(name, "nothing where closed is true")
			}
		}
		if !x.Closed && !x.Opens.Valid && !x.Closes.Valid {
			return nil, nil, wrong("closed", "true, or a time in opens or closes")
		}
		list, names = append(list, x), append(names, x.Calendar)
	}
	slices.Sort(names)
	return list, slices.Compact(names), nil
}

// wallClock reads hours and minutes from the midnight that begins the day.
func wallClock(s string) (pgtype.Interval, error) {
	rest, before := strings.CutPrefix(s, "-")
	h, m, _ := strings.Cut(rest, ":")
	hours, err := strconv.ParseUint(h, 10, 8)
	minutes, err2 := strconv.ParseUint(m, 10, 8)
	if err = errors.Join(err, err2); err == nil && (minutes > 59 || hours > 36 || before && hours > 23) {
		err = strconv.ErrRange
	}
	us := int64(hours*60+minutes) * 60_000_000
	if before {
		us = -us
	}
	return pgtype.Interval{Microseconds: us, Valid: true}, err
}

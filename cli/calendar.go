package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
)

type calendarCmd struct {
	List calendarListCmd `cmd:"" help:"List the trading calendars."`
	Show calendarShowCmd `cmd:"" help:"Show the sessions of a calendar."`
	Add  calendarAddCmd  `cmd:"" help:"Add closures and other hours from a CSV file."`
}

type calendarListCmd struct{ databaseFlag }

// Help is shown below the flags.
func (calendarListCmd) Help() string {
	return "A calendar is in use once an instrument or a venue names it. The privileges of hypertick_reader are enough."
}

// Run lists the calendars.
func (c *calendarListCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	rows, err := db.New(pool).Calendars(e.ctx)
	if err != nil {
		return fmt.Errorf("read calendars: %w", err)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CALENDAR\tNAME\tZONE\tFROM\tTO\tIN USE")
	for _, r := range rows {
		use := "no"
		if r.InUse {
			use = "yes"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Calendar, r.Name, r.Zone, r.FirstDay, r.LastDay, use)
	}
	return w.Flush()
}

type calendarShowCmd struct {
	databaseFlag
	Calendar string `arg:"" help:"Calendar, as printed by calendar list."`
	From     string `help:"First day. Default: today." placeholder:"DAY" env:"-"`
	To       string `help:"Last day. Default: 30 days after the first." placeholder:"DAY" env:"-"`
}

// Help is shown below the flags.
func (calendarShowCmd) Help() string {
	return "Times are UTC. Days that are not listed have no session. The privileges of hypertick_reader are enough."
}

// Run shows the sessions.
func (c *calendarShowCmd) Run(e *env) error {
	from, err := dayFlag("--from", c.From, time.Now().UTC())
	if err != nil {
		return err
	}
	to, err := dayFlag("--to", c.To, from.AddDate(0, 0, 30))
	if err != nil {
		return err
	}
	if to.Before(from) {
		return usagef("--to: want a day from %s on, got %s", from.Format(time.DateOnly), to.Format(time.DateOnly))
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	calendars, err := q.Calendars(e.ctx)
	if err != nil {
		return fmt.Errorf("read calendars: %w", err)
	}
	names := make([]string, len(calendars))
	found := false
	for i, r := range calendars {
		names[i], found = r.Calendar, found || r.Calendar == c.Calendar
	}
	if !found {
		return usagef("calendar: want one of %s, got %s", strings.Join(names, ", "), c.Calendar)
	}
	rows, err := q.Sessions(e.ctx, db.SessionsParams{Calendar: c.Calendar, FromDay: pgtype.Date{Time: from, Valid: true}, ToDay: pgtype.Date{Time: to, Valid: true}})
	if err != nil {
		return fmt.Errorf("read sessions: %w", err)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "DAY\tPRE-MARKET\tOPENS\tBREAK\tCLOSES\tPOST-MARKET\tKIND")
	const minute = "2006-01-02 15:04"
	for _, r := range rows {
		pause, pre, post := "", "", ""
		if r.BreakStart != nil {
			pause = r.BreakStart.UTC().Format("15:04") + " to " + r.BreakEnd.UTC().Format("15:04")
		}
		if r.PreOpens.Before(r.Opens) {
			pre = r.PreOpens.UTC().Format(minute)
		}
		if r.PostCloses.After(r.Closes) {
			post = r.PostCloses.UTC().Format(minute)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Day, pre, r.Opens.UTC().Format(minute), pause, r.Closes.UTC().Format(minute), post, r.Kind)
	}
	return w.Flush()
}

func dayFlag(name, s string, otherwise time.Time) (time.Time, error) {
	if s == "" {
		return otherwise, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, usagef("%s: want a day such as 2026-11-24, got %s", name, s)
	}
	return t, nil
}

type calendarAddCmd struct {
	databaseFlag
	File string `arg:"" help:"CSV file with the columns calendar, day, closed, opens, closes, note." placeholder:"FILE"`
}

// Help is shown below the flags.
func (calendarAddCmd) Help() string {
	return "For closures and hours that no release knows, such as a storm: closed is true, or opens and closes are local times such as 09:30, " +
		"an empty one as usual. What is there for a day is replaced. It prints the days whose sessions changed; bars follow. Needs hypertick_operator."
}

// Run adds the exceptions in one transaction.
func (c *calendarAddCmd) Run(e *env) error {
	list, names, err := readExceptions(c.File)
	if err != nil {
		return err
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	changed := map[string][]string{}
	err = pgx.BeginFunc(e.ctx, pool, func(tx pgx.Tx) error {
		q := db.New(tx)
		for _, name := range names {
			// What changes is what these rows change, not what was not made yet.
			if _, err := q.MakeSessions(e.ctx, name); err != nil {
				return err
			}
		}
		for _, x := range list {
			if err := q.AddCalendarException(e.ctx, x); err != nil {
				return err
			}
		}
		for _, name := range names {
			if changed[name], err = q.MakeSessions(e.ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "22023" {
		return usagef("%s: %s", c.File, pg.Message)
	}
	if err != nil {
		return fmt.Errorf("add to calendars: %w", err)
	}
	for _, name := range names {
		if len(changed[name]) == 0 {
			fmt.Fprintf(e.out, "%s: no session changed\n", name)
		}
		for _, day := range changed[name] {
			fmt.Fprintf(e.out, "%s: %s changed\n", name, day)
		}
	}
	return nil
}

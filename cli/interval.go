package cli

import (
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
)

type intervalCmd struct {
	Add    intervalAddCmd    `cmd:"" help:"Materialise the candles and indicator states of an interval."`
	Remove intervalRemoveCmd `cmd:"" help:"Drop the stored candles and indicator states of an interval."`
	List   intervalListCmd   `cmd:"" help:"List the intervals, and which of them are materialised."`
}

type intervalAddCmd struct {
	databaseFlag
	Name       string `arg:"" help:"Interval: a number of s, m, h, d, w, mo or y, such as 45m or 4h."`
	BlockWidth string `help:"Width of a block of its indicator states, a multiple of the interval (default: 60 bars)." placeholder:"LENGTH" env:"-"`
}

// Help is shown below the flags.
func (intervalAddCmd) Help() string {
	return "Every interval can be read without this: its bars are rolled up from shorter ones. Materialised ones are read faster, and cost disk and refreshes. " +
		"The refresh job materialises the history in the background; reads are correct meanwhile. Needs the owner of the database."
}

// Run adds the interval.
func (c *intervalAddCmd) Run(e *env) error {
	block, err := c.blockWidth()
	if err != nil {
		return err
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	if err := q.AddInterval(e.ctx, db.AddIntervalParams{Name: c.Name, BlockWidth: block}); err != nil {
		return intervalError("add", c.Name, err)
	}
	rows, err := q.Intervals(e.ctx)
	if err != nil {
		return fmt.Errorf("read intervals: %w", err)
	}
	width, err := interval.Parse(c.Name)
	if err != nil {
		return err
	}
	for _, r := range rows {
		// 240m is listed as 4h.
		if w, err := interval.Parse(r.Name); err == nil && w == width {
			fmt.Fprintf(e.out, "%s is stored in %s, built from %s. The refresh job materialises its history; reads are correct meanwhile.\n", r.Name, r.Relation, source(r))
		}
	}
	return nil
}

// blockWidth returns NULL if the database is to choose.
func (c *intervalAddCmd) blockWidth() (pgtype.Interval, error) {
	if c.BlockWidth == "" {
		return pgtype.Interval{}, nil
	}
	w, err := interval.Parse(c.BlockWidth)
	if err != nil {
		return pgtype.Interval{}, usagef("--block-width: %s", strings.TrimPrefix(err.Error(), "interval: "))
	}
	// Seconds, not days: how long a day is depends on the time zone of the session.
	return pgtype.Interval{Months: int32(w.Months), Microseconds: w.Seconds * 1_000_000, Valid: true}, nil
}

type intervalRemoveCmd struct {
	databaseFlag
	Name string `arg:"" help:"Interval, as printed by interval list."`
}

// Help is shown below the flags.
func (intervalRemoveCmd) Help() string {
	return "Its bars are rolled up from shorter ones again, as far back as those are kept. The core intervals, and those that others are built from, cannot be removed. " +
		"Needs the owner of the database."
}

// Run removes the interval.
func (c *intervalRemoveCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := db.New(pool).RemoveInterval(e.ctx, c.Name); err != nil {
		return intervalError("remove", c.Name, err)
	}
	fmt.Fprintf(e.out, "%s is not stored any more.\n", c.Name)
	return nil
}

// intervalError turns what the database refuses into a usage error.
func intervalError(what, name string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok {
		switch pg.Code {
		case "22023", "42710", "2BP01": // invalid value, already exists, others depend on it
			return usagef("%s", pg.Message)
		case "42501":
			return fmt.Errorf("%s interval %s: %s: want the owner of the database", what, name, pg.Message)
		}
	}
	return fmt.Errorf("%s interval %s: %w", what, name, err)
}

type intervalListCmd struct {
	databaseFlag
	JSON bool `name:"json" help:"List as JSON."`
}

// Help is shown below the flags.
func (intervalListCmd) Help() string {
	return "Other intervals can be read too: any number of s, m, h, d, w, mo or y. The privileges of hypertick_reader are enough."
}

// listedInterval is an interval in the output of --json. The width is in months,
// or, if that is 0, in seconds.
type listedInterval struct {
	Name         string     `json:"interval"`
	Seconds      int64      `json:"seconds"`
	Months       int32      `json:"months"`
	Kind         string     `json:"kind"`
	Materialized bool       `json:"materialized"`
	Source       string     `json:"source"`
	Until        *time.Time `json:"materialized_until"`
}

// Run lists the intervals, shortest first.
func (c *intervalListCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	rows, err := db.New(pool).Intervals(e.ctx)
	if err != nil {
		return fmt.Errorf("read intervals: %w", err)
	}
	list := make([]listedInterval, len(rows))
	for i, r := range rows {
		l := listedInterval{Name: r.Name, Months: r.Months, Kind: r.Kind, Materialized: r.Materialized, Source: source(r)}
		if r.Months == 0 {
			l.Seconds = r.Seconds
		}
		if until := r.Watermark.UTC(); r.Materialized && until.Unix() != 0 {
			l.Until = &until
		}
		list[i] = l
	}
	if c.JSON {
		return printJSON(e.out, list)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "INTERVAL\tLENGTH\tKIND\tBARS\tMATERIALISED UP TO")
	for _, l := range list {
		bars, until := "rolled up from "+l.Source, ""
		if l.Materialized {
			bars, until = "stored, built from "+l.Source, "nothing yet"
		}
		if l.Until != nil {
			until = l.Until.Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", l.Name, l.length(), l.Kind, bars, until)
	}
	return w.Flush()
}

// source returns what the bars are built from: an interval, or ticks.
func source(r db.IntervalsRow) string {
	switch {
	case !r.Materialized:
		return strings.TrimPrefix(r.Relation, "candles_")
	case r.Source == "":
		return "ticks"
	}
	return r.Source
}

// length formats the width: 45 minutes, 4 hours, 7 days, 3 months, 1 year.
func (l *listedInterval) length() string {
	if l.Months > 0 && l.Months%12 == 0 {
		return counted(int64(l.Months/12), "year")
	}
	if l.Months > 0 {
		return counted(int64(l.Months), "month")
	}
	n, unit := l.Seconds, "second"
	for _, u := range []struct {
		seconds int64
		name    string
	}{{86400, "day"}, {3600, "hour"}, {60, "minute"}} {
		if l.Seconds%u.seconds == 0 {
			n, unit = l.Seconds/u.seconds, u.name
			break
		}
	}
	return counted(n, unit)
}

func counted(n int64, unit string) string {
	if n != 1 {
		unit += "s"
	}
	return fmt.Sprintf("%d %s", n, unit)
}

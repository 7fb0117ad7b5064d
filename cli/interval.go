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
	Add    intervalAddCmd    `cmd:"" help:"Store the candles of an interval, and the states of its indicators."`
	Remove intervalRemoveCmd `cmd:"" help:"Drop what is stored of an interval that was added."`
	List   intervalListCmd   `cmd:"" help:"List the intervals, and which of them are stored."`
}

type intervalAddCmd struct {
	databaseFlag
	Name       string `arg:"" help:"The interval: a number of s, m, h, d, w, mo or y, such as 45m or 4h."`
	BlockWidth string `help:"Length of the blocks of its indicator states, a multiple of the interval (default: 60 bars)." placeholder:"LENGTH" env:"-"`
}

// Help is shown below the flags.
func (intervalAddCmd) Help() string {
	return "Every interval can be read without this: its bars are then rolled up from shorter ones. Stored ones are read faster, and take disk and work. " +
		"History is materialised by the refresh job, in the background; answers are right meanwhile. It needs the rights of the database's owner."
}

// Run adds it.
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
		// 240m is the 4h that is listed.
		if w, err := interval.Parse(r.Name); err == nil && w == width {
			fmt.Fprintf(e.out, "%s is stored in %s, built from %s. The refresh job materialises its history; answers are right meanwhile.\n", r.Name, r.Relation, source(r))
		}
	}
	return nil
}

// blockWidth is NULL where the database shall choose.
func (c *intervalAddCmd) blockWidth() (pgtype.Interval, error) {
	if c.BlockWidth == "" {
		return pgtype.Interval{}, nil
	}
	w, err := interval.Parse(c.BlockWidth)
	if err != nil {
		return pgtype.Interval{}, usagef("--block-width: %s", strings.TrimPrefix(err.Error(), "interval: "))
	}
	// Seconds, not days: adding those would depend on the session's time zone.
	return pgtype.Interval{Months: int32(w.Months), Microseconds: w.Seconds * 1_000_000, Valid: true}, nil
}

type intervalRemoveCmd struct {
	databaseFlag
	Name string `arg:"" help:"The interval, as interval list shows it."`
}

// Help is shown below the flags.
func (intervalRemoveCmd) Help() string {
	return "Its bars are then rolled up from shorter ones again, with the same answers as far as those reach. Those that are there from the start, and those that others are built from, stay. " +
		"It needs the rights of the database's owner."
}

// Run removes it.
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

// intervalError makes what the database refuses a mistake of the call.
func intervalError(what, name string, err error) error {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if ok {
		switch pg.Code {
		case "22023", "42710", "2BP01": // wrong value, there already, others depend on it
			return usagef("%s", pg.Message)
		case "42501":
			return fmt.Errorf("%s interval %s: %s: it needs the rights of the database's owner", what, name, pg.Message)
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
	return "Others than those listed can be read too: any number of s, m, h, d, w, mo or y. The rights of hypertick_reader are enough."
}

// listedInterval is an interval for programs. The length is in months, or,
// where that is 0, in seconds.
type listedInterval struct {
	Name         string     `json:"interval"`
	Seconds      int64      `json:"seconds"`
	Months       int32      `json:"months"`
	Kind         string     `json:"kind"`
	Materialized bool       `json:"materialized"`
	Source       string     `json:"source"`
	Until        *time.Time `json:"materialized_until"`
}

// Run lists them, the shortest first.
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

// source is what the bars are made of: an interval, or ticks.
func source(r db.IntervalsRow) string {
	switch {
	case !r.Materialized:
		return strings.TrimPrefix(r.Relation, "candles_")
	case r.Source == "":
		return "ticks"
	}
	return r.Source
}

// length for people: 45 minutes, 4 hours, 7 days, 3 months, 1 year.
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

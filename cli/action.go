package cli

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/instrument"
)

type actionCmd struct {
	List   actionListCmd   `cmd:"" help:"List corporate actions: splits and dividends."`
	Add    actionAddCmd    `cmd:"" help:"Add a corporate action, or replace the one of that day."`
	Undo   actionUndoCmd   `cmd:"" help:"Undo a corporate action."`
	Import actionImportCmd `cmd:"" help:"Add corporate actions of a CSV file."`
}

type actionListCmd struct {
	databaseFlag
	Symbol string `arg:"" optional:"" help:"Only actions of this symbol."`
	AsOf   string `name:"as-of" help:"Those that were in force at this time." placeholder:"TIME" env:"-"`
	Limit  int    `help:"Maximum number of actions." default:"100" placeholder:"N"`
	JSON   bool   `name:"json" help:"List as JSON."`
}

// Help is shown below the flags.
func (actionListCmd) Help() string {
	return "The newest comes first. The privileges of hypertick_reader are enough."
}

// actionRow is a corporate action in the output of --json.
type actionRow struct {
	ID       int64      `json:"id"`
	Symbol   string     `json:"symbol"`
	Kind     string     `json:"kind"`
	ExDate   string     `json:"ex_date"`
	Ratio    *float64   `json:"ratio"`
	Cash     *float64   `json:"cash"`
	KnownAt  time.Time  `json:"known_at"`
	UndoneAt *time.Time `json:"undone_at"`
	Source   string     `json:"source"`
}

// Run lists actions.
func (c *actionListCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usagef("--limit: want at least 1, got %d", c.Limit)
	}
	arg := db.CorporateActionsParams{Symbol: optional(c.Symbol), MaxRows: int32(c.Limit) + 1}
	if c.AsOf != "" {
		at, err := time.Parse(time.RFC3339, c.AsOf)
		if err != nil {
			return usagef("--as-of: want RFC 3339 like 2026-11-24T09:30:00Z, got %q", c.AsOf)
		}
		arg.AsOf = &at
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	rows, err := db.New(pool).CorporateActions(e.ctx, arg)
	if err != nil {
		return fmt.Errorf("read corporate actions: %w", err)
	}
	more := len(rows) > c.Limit
	rows = rows[:min(len(rows), c.Limit)]
	list := make([]actionRow, len(rows))
	for i, r := range rows {
		list[i] = actionRow{
			ID: r.ID, Symbol: r.Symbol, Kind: r.Kind, ExDate: r.ExDate.Time.Format(time.DateOnly), Ratio: r.Ratio, Cash: r.Cash,
			KnownAt: r.KnownAt.UTC(), Source: r.Source,
		}
		if r.UndoneAt != nil {
			at := r.UndoneAt.UTC()
			list[i].UndoneAt = &at
		}
	}
	if c.JSON {
		return printJSON(e.out, list)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tSYMBOL\tKIND\tEX-DATE\tRATIO\tCASH\tKNOWN SINCE\tSOURCE")
	for _, r := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.ID, printable(r.Symbol), r.Kind, r.ExDate, decimal(r.Ratio), decimal(r.Cash),
			r.KnownAt.Format(time.RFC3339), printable(r.Source))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(e.out, "More than %d actions; see --limit.\n", c.Limit)
	}
	return nil
}

// decimal formats a number that may be absent.
func decimal(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'g', -1, 64)
}

type actionAddCmd struct {
	databaseFlag
	Symbol string `arg:"" help:"Symbol."`
	Kind   string `arg:"" help:"split or dividend."`
	ExDate string `arg:"" name:"ex-date" help:"First trading day without it, such as 2020-08-31."`
	Ratio  string `help:"Of a split: new shares for an old one, such as 4, 0.1, 4:1 or 1:10." placeholder:"RATIO" env:"-"`
	Cash   string `help:"Of a dividend: what is paid for a share." placeholder:"AMOUNT" env:"-"`
	Source string `help:"Where it comes from." default:"cli" placeholder:"TEXT" env:"-"`
}

// Help is shown below the flags.
func (actionAddCmd) Help() string {
	return "It is known from then on; bars do not follow it yet. One of the same symbol, kind and day is replaced: " +
		"what was known before can still be asked for. The privileges of hypertick_operator are enough."
}

// Run adds the action.
func (c *actionAddCmd) Run(e *env) error {
	a, bad := instrument.ParseAction(c.Symbol, c.Kind, c.ExDate, c.Ratio, c.Cash)
	if len(bad) > 0 {
		b := bad[0]
		if b.Field == "ratio" || b.Field == "cash" {
			b = flagError(b)
		}
		return usagef("%v", b)
	}
	return c.store(e, []instrument.Action{a}, c.Source)
}

// store adds actions, and prints what became of them.
func (d *databaseFlag) store(e *env, actions []instrument.Action, source string) error {
	pool, err := db.Open(e.ctx, d.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	var done *instrument.Stored
	err = db.InTx(e.ctx, pool, e.log, func(tx pgx.Tx) (err error) {
		done, err = instrument.Store(e.ctx, db.New(tx), actions, source)
		return err
	})
	if err != nil {
		return err
	}
	for _, r := range done.Replaced {
		fmt.Fprintf(e.out, "%s takes the place of %v (action %d).\n", printable(r.New.String()), r.Old.Value, r.ID)
	}
	fmt.Fprintf(e.out, "%s added, %d of them in place of another; %d known.\n", counted(int64(len(done.Added)), "action"), len(done.Replaced), done.Known)
	return nil
}

type actionUndoCmd struct {
	databaseFlag
	ID int64 `arg:"" help:"Number of the action, as printed by action list."`
}

// Help is shown below the flags.
func (actionUndoCmd) Help() string {
	return "It stays in the table, with the time at which it was undone. The privileges of hypertick_operator are enough."
}

// Run undoes the action.
func (c *actionUndoCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	var undone bool
	err = db.InTx(e.ctx, pool, e.log, func(tx pgx.Tx) (err error) {
		undone, err = instrument.Undo(e.ctx, db.New(tx), c.ID)
		return err
	})
	if err != nil {
		return err
	}
	if !undone {
		return usagef("id: want an action in force, as action list prints them, got %d", c.ID)
	}
	fmt.Fprintf(e.out, "Action %d is undone.\n", c.ID)
	return nil
}

type actionImportCmd struct {
	databaseFlag
	File   string `arg:"" help:"CSV file, - for standard input."`
	Source string `help:"Where they come from (default: the name of the file)." placeholder:"TEXT" env:"-"`
}

// Help is shown below the flags.
func (actionImportCmd) Help() string {
	return "Columns: " + strings.Join(instrument.ActionColumns, ", ") + ". A split has a ratio, such as 4, 0.1, 4:1 or 1:10, a dividend cash. " +
		"An action that is there is known; one that differs takes its place, and is printed. If a field is not valid, nothing is added. " +
		"The privileges of hypertick_operator are enough."
}

// Run adds the actions of the file.
func (c *actionImportCmd) Run(e *env) error {
	var actions []instrument.Action
	err := e.readFile(c.File, func(r io.Reader) (bad []*instrument.LineError, err error) {
		actions, bad, err = instrument.ReadActions(r)
		return bad, err
	})
	if err != nil {
		return err
	}
	return c.store(e, actions, cmp.Or(c.Source, c.File))
}

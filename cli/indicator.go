package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/indicator"
	"github.com/hypertick/hypertick/interval"
)

type indicatorCmd struct {
	New   indicatorNewCmd   `cmd:"" help:"Write the migration of a new indicator, to edit."`
	Check indicatorCheckCmd `cmd:"" help:"Run an indicator over stored bars and report errors."`
	List  indicatorListCmd  `cmd:"" help:"List the indicators of a database with their parameters."`
}

type indicatorNewCmd struct {
	Name      string `arg:"" help:"Name of the indicator: lower-case letters, digits and _."`
	Dir       string `help:"Folder of your own indicators (default: indicators, created if missing)." placeholder:"DIR" type:"existingdir"`
	Recursive bool   `help:"Write a recursive indicator, in which each value depends on the previous one, such as an exponential mean." env:"-"`
}

// ownFolder is the default folder of a user's indicators.
const ownFolder = "indicators"

// Run writes the skeleton, and prints the next steps.
func (c *indicatorNewCmd) Run(e *env) error {
	cfg := indicator.SkeletonConfig{Name: c.Name, Dir: c.Dir, Recursive: c.Recursive}
	if c.Dir == "" {
		cfg.Dir = ownFolder
	}
	if _, err := db.VersionTable(cfg.Dir); err != nil {
		return usagef("--dir: %w", err)
	}
	path, err := indicator.New(cfg)
	if c.Dir == "" && errors.Is(err, os.ErrNotExist) {
		if err := os.Mkdir(cfg.Dir, 0o755); err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		path, err = indicator.New(cfg)
	}
	if errors.Is(err, indicator.ErrName) {
		return usageError{err}
	} else if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "%s\n\nIt works as it is. Change it, then:\n\n  hypertick migrate --dir %s\n  hypertick indicator check %s\n", path, shellWord(cfg.Dir), c.Name)
	return nil
}

// shellWord quotes s if a shell would split or expand it.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

type indicatorCheckCmd struct {
	databaseFlag
	Name      string            `arg:"" help:"Name of the indicator, as indicator list shows it."`
	Symbol    string            `help:"Symbol whose bars to read (default: the one with most bars)." placeholder:"SYMBOL" env:"-"`
	Interval  string            `help:"Interval of the bars: a number of s, m, h, d, w, mo or y." default:"1m" placeholder:"INTERVAL" env:"-"`
	Bars      int               `help:"Number of newest bars to check." default:"1000"`
	Before    int               `help:"Number of bars before those at which the reference calculation begins; 0 is all." default:"100000"`
	Param     map[string]string `help:"A parameter, such as period=20; repeatable. Others have their defaults." placeholder:"NAME=VALUE" mapsep:"none" env:"-"`
	Tolerance float64           `help:"Maximum relative difference between two values." default:"1e-9"`
	JSON      bool              `name:"json" help:"Report as JSON."`
}

// Help is shown below the flags.
func (indicatorCheckCmd) Help() string {
	return "Evaluates the indicator over the same bars in several ways that must agree: from far before them and from several of them " +
		"(is the warm-up long enough?), with earlier ends (does it look ahead?), and in pieces. Reports NULLs, rows outside the range, " +
		"series that the COMMENT does not name, and the time taken. It only reads; the privileges of hypertick_reader are enough. " +
		"The exit code is 0 if all checks pass, 1 if one fails, 2 on a usage error."
}

// Run checks the indicator, and fails if a check does.
func (c *indicatorCheckCmd) Run(e *env) error {
	const most = 1_000_000
	switch {
	case c.Bars < indicator.MinBars || c.Bars > most:
		return usagef("--bars: want %d to %d, got %d", indicator.MinBars, most, c.Bars)
	case c.Before < 0:
		return usagef("--before: want a number of bars, or 0 for all, got %d", c.Before)
	case !(c.Tolerance >= 0 && c.Tolerance < 1):
		return usagef("--tolerance: want at least 0 and less than 1, got %v", c.Tolerance)
	}
	if _, err := interval.Parse(c.Interval); err != nil {
		return usagef("--%w", err)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	r, err := indicator.Check(e.ctx, pool, indicator.CheckConfig{
		Name: c.Name, Symbol: c.Symbol, Interval: c.Interval, Bars: c.Bars, Before: c.Before, Params: c.Param, Tolerance: c.Tolerance,
	})
	if errors.Is(err, indicator.ErrUnknown) || errors.Is(err, indicator.ErrParameter) {
		return usageError{err}
	} else if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.out, r)
	} else {
		err = r.Print(e.out)
	}
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	var what []string
	for _, f := range r.Failed() {
		what = append(what, fmt.Sprintf("%s failed: %s", f.Check, f.Advice))
	}
	if len(what) > 0 {
		return fmt.Errorf("%s: %s", c.Name, strings.Join(what, "; "))
	}
	return nil
}

type indicatorListCmd struct {
	databaseFlag
	JSON bool `name:"json" help:"List as JSON."`
}

// Run prints the catalog.
func (c *indicatorListCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	entries, err := indicator.Catalog(e.ctx, pool)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(e.out, entries)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tPARAMETERS\tSERIES\tTITLE")
	for _, i := range entries {
		params, series := make([]string, len(i.Parameters)), make([]string, len(i.Series))
		for k, p := range i.Parameters {
			params[k] = paramWord(p)
		}
		for k, s := range i.Series {
			series[k] = s.Name
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", i.Name, strings.Join(params, ", "), strings.Join(series, ", "), i.Title)
	}
	return w.Flush()
}

// paramWord formats a parameter with its default and range: period=14 (2..500).
func paramWord(p indicator.Parameter) string {
	s := p.Name
	if p.Default != nil {
		s += "=" + *p.Default
	}
	if p.Min != nil && p.Max != nil {
		s += fmt.Sprintf(" (%s..%s)", strconv.FormatFloat(*p.Min, 'f', -1, 64), strconv.FormatFloat(*p.Max, 'f', -1, 64))
	}
	return s
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

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
	New   indicatorNewCmd   `cmd:"" help:"Write the migration of a new indicator, for you to change."`
	Check indicatorCheckCmd `cmd:"" help:"Run an indicator over stored bars and say what is wrong with it."`
	List  indicatorListCmd  `cmd:"" help:"List the indicators of a database, with their parameters."`
}

type indicatorNewCmd struct {
	Name      string `arg:"" help:"Name of the indicator: lower-case letters, digits and _."`
	Dir       string `help:"Folder to write into, one of your own (default: indicators, which is made if it is not there)." placeholder:"DIR" type:"existingdir"`
	Recursive bool   `help:"Write one whose every value feeds on the one before, such as an exponential mean." env:"-"`
}

// ownFolder is where a user's indicators are unless another folder is named.
const ownFolder = "indicators"

// Run writes the skeleton, and says what comes next.
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
			return fmt.Errorf("make folder: %w", err)
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

// shellWord quotes what a shell would take apart.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-+:@%") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

type indicatorCheckCmd struct {
	databaseFlag
	Name      string            `arg:"" help:"Name of the indicator, as indicator list shows it."`
	Symbol    string            `help:"Symbol whose bars to run it over (default: the one with most)." placeholder:"SYMBOL" env:"-"`
	Interval  string            `help:"Interval of the bars: a number of s, m, h, d, w, mo or y." default:"1m" placeholder:"INTERVAL" env:"-"`
	Bars      int               `help:"How many of the newest bars to check." default:"1000"`
	Before    int               `help:"How many bars before those the values they are compared with begin at; 0 for all there are." default:"100000"`
	Param     map[string]string `help:"A parameter, such as period=20. May be given several times; the others have their defaults." placeholder:"NAME=VALUE" mapsep:"none" env:"-"`
	Tolerance float64           `help:"How far apart two values may be, relative to their size." default:"1e-9"`
	JSON      bool              `name:"json" help:"Report as JSON."`
}

// Help is shown below the flags.
func (indicatorCheckCmd) Help() string {
	return "It evaluates the indicator over the same bars in several ways that must agree: beginning far before them and at several of them " +
		"(is the warm-up long enough?), with earlier ends (does it look ahead?), and in pieces. It looks for NULLs, for rows that should not be there, " +
		"for series that the COMMENT does not name, and takes the time. It only reads; the rights of hypertick_reader are enough. " +
		"The exit code is 0 when all is well, 1 when a check failed, 2 when it was called wrongly."
}

// Run checks, and fails when a check did.
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

// paramWord is a parameter with its default and range: period=14 (2..500).
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

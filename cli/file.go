package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/hypertick/hypertick/calendar"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

// fileFlags describe files of trades or bars.
type fileFlags struct {
	Symbol     string             `help:"Symbol of rows without one." placeholder:"SYMBOL" env:"-"`
	Venue      string             `help:"Venue of rows without one." default:"FILE" placeholder:"VENUE" env:"-"`
	Map        map[string]string  `help:"Column of each field, as in --map 'ts=Date+Time,price=Last'. Fields: ts price size seq symbol venue open high low close volume vwap quote_volume side is_buyer_maker conditions correction bid ask." mapsep:"," placeholder:"FIELD=COLUMN"`
	Header     []string           `help:"Names of the columns of a file without a header line." placeholder:"NAME,..."`
	Kind       string             `help:"Kind of the rows: ${enum}." enum:"auto,trades,bars" default:"auto"`
	TimeFormat string             `help:"Format of the times, as a layout of Go's package time; common ones are recognised." placeholder:"LAYOUT"`
	Timezone   string             `help:"Time zone of times without one." default:"UTC" placeholder:"ZONE"`
	Calendar   string             `help:"Trading calendar of daily bars, such as XNYS: their ticks lie in the session of the day." placeholder:"CALENDAR" env:"-"`
	Decimal    string             `help:"Decimal separator, . or ,; the numbers of the file suggest the default." placeholder:"CHAR"`
	Scale      map[string]float64 `help:"Unit of numbers of fixed point, as in --scale price=1e-9. Fields: price size." mapsep:"," placeholder:"FIELD=UNIT"`
	SkipBad    bool               `help:"Report and skip rows that cannot be read, instead of stopping at the first." env:"-"`
	DryRun     bool               `help:"Read the files, print what is understood of them, and store nothing." env:"-"`
}

// config returns the configuration that the files of one command share.
func (f *fileFlags) config(e *env) (replay.Config, error) {
	cfg := replay.Config{
		Symbol: f.Symbol, Venue: f.Venue, Columns: f.Map, Header: f.Header, TimeFormat: f.TimeFormat, Decimal: f.Decimal, Scale: f.Scale,
		SkipBad: f.SkipBad || f.DryRun, Session: replay.NewSession(),
		OnBad: func(row *replay.RowError) { fmt.Fprintln(e.errOut, "skipped:", oneLine(row)) },
	}
	if f.Kind != "auto" {
		cfg.Kind = replay.Kind(f.Kind)
	}
	for name, unit := range f.Scale {
		if name != "price" && name != "size" || !(unit > 0 && unit <= 1e9) {
			return cfg, usagef("--scale: want price or size and a unit such as 1e-9, got %s=%v", name, unit)
		}
	}
	var err error
	if cfg.Zone, err = time.LoadLocation(f.Timezone); err != nil {
		return cfg, usagef("--timezone: want a zone such as UTC or America/New_York, got %q", f.Timezone)
	}
	if f.Calendar != "" {
		c, err := calendar.Load(f.Calendar)
		if err != nil {
			return cfg, usagef("--%w", err)
		}
		if c.Name != calendar.Always {
			cfg.Opens = func(day time.Time) (time.Time, bool) {
				s, ok := c.SessionOn(day)
				return s.Opens, ok
			}
		}
	}
	return cfg, nil
}

// each calls use for each file; an archive holds several. A file from which
// nothing was read is an error, after all others have been used.
func (f *fileFlags) each(cfg replay.Config, paths []string, flag string, use func(*replay.Replay, *replay.File) error) error {
	var nothing error
	for _, path := range paths {
		files, err := replay.Open(path)
		if errors.Is(err, os.ErrNotExist) {
			return usagef("%s%w", flag, err)
		} else if err != nil {
			return err
		}
		for _, file := range files {
			if err == nil {
				err = f.one(cfg, file, use)
			}
			if e, ok := errors.AsType[nothingError](err); ok {
				nothing, err = errors.Join(nothing, e), nil
			}
		}
		for _, file := range files {
			_ = file.Close()
		}
		if err != nil {
			return err
		}
	}
	return nothing
}

// nothingError is the error of a file from which nothing was read.
type nothingError struct{ error }

func (f *fileFlags) one(cfg replay.Config, file *replay.File, use func(*replay.Replay, *replay.File) error) error {
	r, err := replay.New(cfg, file)
	if errors.Is(err, replay.ErrEmpty) {
		return nothingError{fmt.Errorf("nothing read: %w", err)}
	}
	if err != nil {
		return usageError{err}
	}
	if err := use(r, file); err != nil {
		return err
	}
	if s := r.Stats(); s.Ticks+s.Skipped+s.Repeated == 0 {
		return nothingError{fmt.Errorf("%s: nothing read: %s; %s", file.Name(), describe(r), rows(s))}
	}
	return nil
}

func describe(r *replay.Replay) string { return strings.Join(r.Describe()[:2], ", ") }

// rows tells what became of the rows of a file.
func rows(s replay.Stats) string {
	out := fmt.Sprintf("%d rows, %d bad rows", s.Rows, s.Bad)
	for _, c := range []struct {
		n    int64
		what string
	}{
		{s.Repeated, "repeated rows left out"}, {s.NoTrade, "rows without a trade skipped"}, {s.NoVolume, "rows without a volume taken with 0"},
		{s.Rounded, "bars with a rounding error corrected"}, {s.Text, "lines of text skipped"},
	} {
		if c.n > 0 {
			out += fmt.Sprintf(", %d %s", c.n, c.what)
		}
	}
	return out
}

// preview prints what is understood of a file.
func preview(ctx context.Context, out io.Writer, r *replay.Replay, file *replay.File) error {
	fmt.Fprintf(out, "%s\n", file.Name())
	for _, line := range r.Describe() {
		fmt.Fprintf(out, "  %s\n", line)
	}
	var first, last feed.Tick
	err := r.Run(ctx, func(t *feed.Tick) error {
		if first.Symbol == "" {
			first = *t
		}
		last = *t
		return nil
	}, feed.ProgressBar("read", true))
	s := r.Stats()
	fmt.Fprintf(out, "  %s, %d ticks\n", rows(s), s.Ticks)
	if s.Ticks > 0 {
		fmt.Fprintf(out, "  first tick %s\n  last tick  %s\n", feed.AppendJSON(nil, &first), feed.AppendJSON(nil, &last))
	}
	return err
}

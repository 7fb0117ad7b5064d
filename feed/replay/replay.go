// Package replay reads a CSV file of trades or bars as ticks: row by row, in the
// order of the file, always with the same seq, so that ticks that are already in
// the topic can be skipped.
package replay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// Venue is the venue of ticks if neither file nor Config has one.
const Venue = "FILE"

// Config configures a Replay. The zero value reads a file whose header has usual
// names and a column for the symbol.
type Config struct {
	Name   string // name of the file in errors; default File.Name
	Symbol string // of rows without one
	Venue  string // of rows without one; default Venue
	// Columns maps a field (ts, price, size, seq, symbol, venue, open, high,
	// low, close, volume) to the column that holds it, overriding what the
	// header suggests; to "" for no column. Two columns with date and time of
	// day are "Date+Time".
	Columns map[string]string
	// Header names the columns of a file that has no header line.
	Header     []string
	Kind       Kind           // default: bars if there are open, high, low and close
	TimeFormat string         // a layout of package time; default: the usual ones
	Zone       *time.Location // of times without a zone; default UTC
	// SkipBad counts invalid rows and continues. Otherwise the first one ends the
	// replay.
	SkipBad bool
	// OnBad is called for each invalid row.
	OnBad func(*RowError)
	// Speed is a multiple of real time, 0 for as fast as possible.
	Speed float64
	// Positions returns the seq of the last tick of a source in the topic, 0 for
	// none: ticks up to it are skipped. Default: none is skipped.
	Positions func(venue, symbol string) (int64, error)

	// Clock and Sleep replace the time in tests.
	Clock func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Stats counts the rows and ticks of a Replay.
type Stats struct {
	Rows    int64 // read, without the header
	Ticks   int64 // emitted
	Skipped int64 // ticks that are already in the topic
	Bad     int64 // invalid rows
}

// Replay reads one file. It is not safe for concurrent use.
type Replay struct {
	cfg     Config
	file    *File // counts the bytes read; nil if the input is not a File
	csv     *csv.Reader
	columns *columns
	times   timeParser
	sources map[[2]string]*source
	ticks   []feed.Tick
	stats   Stats
	first   int64     // ts of the first tick emitted, and
	started time.Time // when that was
}

// New reads the header. Progress is known if in is a *File.
func New(cfg Config, in io.Reader) (*Replay, error) {
	r := &Replay{cfg: cfg, sources: map[[2]string]*source{}}
	r.file, _ = in.(*File)
	if r.cfg.Name == "" && r.file != nil {
		r.cfg.Name = r.file.Name()
	}
	if r.cfg.Name == "" {
		r.cfg.Name = "input"
	}
	if r.cfg.Venue == "" {
		r.cfg.Venue = Venue
	}
	if r.cfg.Zone == nil {
		r.cfg.Zone = time.UTC
	}
	if r.cfg.Clock == nil {
		r.cfg.Clock = time.Now
	}
	if r.cfg.Sleep == nil {
		r.cfg.Sleep = sleep
	}
	r.times = timeParser{format: cfg.TimeFormat, zone: r.cfg.Zone}
	if err := r.begin(in); err != nil {
		return nil, fmt.Errorf("replay %s: %w", r.cfg.Name, err)
	}
	return r, nil
}

func (r *Replay) begin(in io.Reader) error {
	if !(r.cfg.Speed >= 0) {
		return fmt.Errorf("speed: want 0 or more, got %v", r.cfg.Speed)
	}
	// An invalid symbol or venue of a flag is one error, not one in every row.
	probe := feed.Tick{Symbol: r.cfg.Symbol, Venue: r.cfg.Venue, Price: 1, Seq: 1}
	if probe.Symbol == "" {
		probe.Symbol = "X"
	}
	if err := probe.Validate(r.cfg.Clock()); err != nil {
		return err
	}
	buffered := bufio.NewReaderSize(in, 1<<16)
	// The result of one read, not more: a pipe may be slow.
	if _, err := buffered.Peek(1); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	start, err := buffered.Peek(buffered.Buffered())
	if err != nil {
		return err
	}
	r.csv = csv.NewReader(buffered)
	r.csv.Comma = delimiter(start)
	r.csv.FieldsPerRecord = -1 // checked with a better message
	r.csv.ReuseRecord = true
	r.csv.TrimLeadingSpace = r.csv.Comma != '\t'
	names := r.cfg.Header
	if names == nil {
		row, err := r.csv.Read()
		if errors.Is(err, io.EOF) {
			return errors.New("the file is empty")
		}
		if err != nil {
			return err
		}
		for _, name := range row {
			names = append(names, strings.Clone(strings.TrimPrefix(name, "\ufeff")))
		}
	}
	if r.columns, err = find(names, r.cfg.Kind, r.cfg.Columns); err != nil {
		return err
	}
	if r.columns.symbol < 0 && r.cfg.Symbol == "" {
		return fmt.Errorf("no column found for symbol among %s; give the symbol of all rows, or name it with symbol=<column>", list(names))
	}
	return nil
}

// delimiter is what separates the names of the header.
func delimiter(start []byte) rune {
	line, _, _ := bytes.Cut(start, []byte{'\n'})
	best, most := ',', 0
	for _, c := range ",;\t|" {
		if n := bytes.Count(line, []byte(string(c))); n > most {
			best, most = c, n
		}
	}
	return best
}

// Mapping describes which columns are used for which fields.
func (r *Replay) Mapping() string { return r.columns.String() }

// Kind returns the kind of the rows.
func (r *Replay) Kind() Kind { return r.columns.kind }

// Stats returns counters since New.
func (r *Replay) Stats() Stats { return r.stats }

// checkEvery is the number of rows between checks of the context and the clock.
const checkEvery = 1024

// Run emits the ticks of the file until its end, the first bad row, an error of
// emit, or the end of ctx. emit must not keep its argument. It calls progress,
// which may be nil, with the bytes read and the total, if known.
func (r *Replay) Run(ctx context.Context, emit func(*feed.Tick) error, progress func(done, total int64)) error {
	now := r.cfg.Clock()
	for {
		if r.stats.Rows%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			now = r.cfg.Clock()
			if progress != nil && r.file != nil {
				progress(r.file.Progress())
			}
		}
		row, err := r.csv.Read()
		if errors.Is(err, io.EOF) {
			if progress != nil && r.file != nil {
				_, total := r.file.Progress()
				progress(total, total)
			}
			return nil
		}
		r.stats.Rows++
		var (
			ticks []feed.Tick
			src   *source
		)
		if err == nil {
			ticks, src, err = r.parse(row, now)
		}
		if err != nil {
			if err = r.bad(err); err != nil {
				return err
			}
			continue
		}
		for i := range ticks {
			if ticks[i].Seq <= src.position {
				r.stats.Skipped++
				continue
			}
			if r.cfg.Speed > 0 {
				if err := r.pace(ctx, ticks[i].TS); err != nil {
					return err
				}
			}
			if err := emit(&ticks[i]); err != nil {
				return err
			}
			r.stats.Ticks++
		}
	}
}

// bad adds the position in the file to an error. It returns nil if the row is
// skipped.
func (r *Replay) bad(err error) error {
	row := &RowError{File: r.cfg.Name}
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		row.Line, row.Want = e.Line, e.Err.Error()
	} else if e, ok := errors.AsType[*cellError](err); ok {
		row.Line, _ = r.csv.FieldPos(0)
		row.Want = e.want
		if e.column >= 0 {
			row.Column = r.columns.names[e.column]
		}
	} else {
		return fmt.Errorf("replay %s: %w", r.cfg.Name, err)
	}
	if !r.cfg.SkipBad {
		return row
	}
	r.stats.Bad++
	if r.cfg.OnBad != nil {
		r.cfg.OnBad(row)
	}
	return nil
}

// pace waits until a tick of time ts is due. It does not wait for times that jump
// back.
func (r *Replay) pace(ctx context.Context, ts int64) error {
	if r.started.IsZero() {
		r.first, r.started = ts, r.cfg.Clock()
	}
	due := r.started.Add(time.Duration(float64(ts-r.first) * 1000 / r.cfg.Speed))
	// Shorter waits are not worth a timer.
	if wait := due.Sub(r.cfg.Clock()); wait > time.Millisecond {
		return r.cfg.Sleep(ctx, wait)
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// FromTopic returns Config.Positions for a topic. The first symbol of a venue
// is searched for from the end of the topic; for a second one the whole topic is
// read.
func FromTopic(ctx context.Context, brokers []string, security feed.Security, topic string) func(venue, symbol string) (int64, error) {
	type scanned struct {
		all  bool
		last map[string]feed.Tick
	}
	venues := map[string]*scanned{}
	return func(venue, symbol string) (int64, error) {
		v := venues[venue]
		if v != nil && v.all {
			return v.last[symbol].Seq, nil
		}
		var only []string
		if v == nil {
			only = []string{symbol}
		}
		last, err := feed.Positions(ctx, brokers, security, topic, venue, only...)
		if err != nil {
			return 0, err
		}
		venues[venue] = &scanned{all: v != nil, last: last}
		return last[symbol].Seq, nil
	}
}

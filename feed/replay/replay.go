// Package replay reads a file of trades or bars as ticks, oldest first. A tick has
// the same seq in whatever file it comes, so that files may overlap.
package replay

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// Replay reads one file. It is not safe for concurrent use.
type Replay struct {
	cfg        Config
	file       *File // counts the bytes read; nil if the input is not a File
	rows       rowReader
	layout     *layout
	times      timeParser
	numbers    numbers
	priceScale float64
	order      order
	every      string // the interval of bars, as far as the first rows tell
	aligned    bool   // they begin where bars of the database begin
	session    *Session
	keys       map[[2]string]*source // by the text of the cells
	stats      Stats
	first      int64     // ts of the first tick emitted, and
	started    time.Time // when that was

	emit     func(*feed.Tick) error
	pacing   context.Context
	ticks    []feed.Tick
	held     []item        // of a file that is not in order
	groups   []group       // of rows without a number
	open     map[runOf]int // the groups of the latest time
	gathered int           // rows in groups
	settled  bool          // some groups have been emitted
	noVolume bool          // of the row that is decoded
	rounded  bool
}

// New reads the header. Progress is known if in is a *File.
func New(cfg Config, in io.Reader) (*Replay, error) {
	r := &Replay{cfg: cfg, keys: map[[2]string]*source{}, open: map[runOf]int{}, session: cfg.Session}
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
	if r.session == nil {
		r.session = NewSession()
	}
	for _, s := range r.session.sources {
		s.begun, s.run = false, 0 // of the file before
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
	if err := r.openRows(in); err != nil {
		return err
	}
	if err := r.understand(); err != nil {
		return err
	}
	for _, c := range r.layout.sets {
		if c.at[fSymbol] < 0 && c.symbol == "" && r.cfg.Symbol == "" {
			return fmt.Errorf("no column found for symbol among %s; give the symbol of all rows, or name it with symbol=<column>", list(c.names))
		}
	}
	return nil
}

// openRows recognises the layout, and opens the rows behind the header.
func (r *Replay) openRows(in io.Reader) error {
	if r.file != nil && r.file.parquet != nil {
		return r.openParquet()
	}
	text, start, err := plainText(in, r.file != nil && r.file.size > 0)
	if err != nil {
		return err
	}
	if r.layout, err = sniff(start, &r.cfg); err != nil {
		return err
	}
	for range r.layout.skip {
		if err := skipLine(text); err != nil {
			return err
		}
	}
	r.rows = newCSV(text, r.layout.separator, r.layout.skip)
	return nil
}

func skipLine(in interface{ ReadSlice(byte) ([]byte, error) }) error {
	for {
		switch _, err := in.ReadSlice('\n'); {
		case err == nil, errors.Is(err, io.EOF):
			return nil
		case err.Error() != "bufio: buffer full":
			return err
		}
	}
}

// Kind returns the kind of the rows.
func (r *Replay) Kind() Kind { return r.layout.sets[0].kind }

// Stats returns counters since New.
func (r *Replay) Stats() Stats { return r.stats }

// checkEvery is the number of rows between checks of the context and the clock.
const checkEvery = 1024

// Run emits the ticks of the file until its end, the first bad row, an error of
// emit, or the end of ctx. emit must not keep its argument. It calls progress,
// which may be nil, with the bytes read and the total, if known.
func (r *Replay) Run(ctx context.Context, emit func(*feed.Tick) error, progress func(done, total int64)) error {
	r.emit, r.pacing = emit, ctx
	now := r.cfg.Clock()
	for n := 0; ; n++ {
		if n%checkEvery == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			now = r.cfg.Clock()
			if progress != nil && r.file != nil {
				progress(r.file.Progress())
			}
		}
		row, err := r.rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err = r.take(row, err, now); err != nil {
			return r.named(err)
		}
	}
	if err := r.release(); err != nil {
		return r.named(err)
	}
	if err := r.settle(true); err != nil {
		return r.named(err)
	}
	if progress != nil && r.file != nil {
		_, total := r.file.Progress()
		progress(total, total)
	}
	return nil
}

// take takes one row.
func (r *Replay) take(row []string, err error, now time.Time) error {
	width := r.layout.width
	if err == nil {
		if isText(row, width) {
			r.stats.Text++
			return nil
		}
		row = trimTo(row, width)
	}
	r.stats.Rows++
	line := r.rows.Line()
	if err == nil && len(row) != width {
		err = &cellError{"", fmt.Sprintf("want %d columns as in the header, got %d", width, len(row))}
	}
	if err != nil {
		return r.bad(err, line)
	}
	for _, c := range r.layout.sets {
		r.noVolume, r.rounded = false, false
		it, err := r.decode(c, row, now)
		if errors.Is(err, errNoTrade) {
			r.stats.NoTrade++
			continue
		}
		if err == nil {
			it.line = line
			if r.noVolume {
				r.stats.NoVolume++
			}
			if r.rounded {
				r.stats.Rounded++
			}
			err = r.add(it)
		} else {
			err = r.bad(err, line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// emitItem emits the ticks of an item.
func (r *Replay) emitItem(it *item) error {
	r.ticks = it.ticks(r.ticks[:0])
	for i := range r.ticks {
		t := &r.ticks[i]
		at := t.Time()
		if r.stats.First.IsZero() || at.Before(r.stats.First) {
			r.stats.First = at
		}
		if at.After(r.stats.Last) {
			r.stats.Last = at
		}
		if r.cfg.Sent != nil {
			sent, err := r.cfg.Sent(t)
			if err != nil {
				return err
			}
			if sent {
				r.stats.Skipped++
				continue
			}
		}
		if r.cfg.Speed > 0 {
			if err := r.pace(r.pacing, t.TS); err != nil {
				return err
			}
		}
		if err := r.emit(t); err != nil {
			return err
		}
		r.stats.Ticks++
	}
	return nil
}

// bad adds the position in the file to an error. It returns nil if the row is
// skipped.
func (r *Replay) bad(err error, line int) error {
	row := &RowError{File: r.cfg.Name, Line: line}
	if e, ok := errors.AsType[*csv.ParseError](err); ok {
		row.Want = e.Err.Error()
		if c, ok := r.rows.(*csvRows); ok {
			row.Line = e.Line + c.skipped
		}
	} else if e, ok := errors.AsType[*cellError](err); ok {
		row.Want, row.Column = e.want, e.name
	} else {
		return err
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

// named adds the name of the file to an error of reading it.
func (r *Replay) named(err error) error {
	if _, ok := errors.AsType[*RowError](err); ok || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("replay %s: %w", r.cfg.Name, err)
}

// source returns the source of a row.
func (r *Replay) source(c *columns, row []string) (*source, error) {
	symbol, venue := c.symbol, ""
	if at := c.at[fSymbol]; at >= 0 {
		symbol = row[at]
	}
	if at := c.at[fVenue]; at >= 0 {
		venue = row[at]
	}
	key := [2]string{symbol, venue}
	if src, ok := r.keys[key]; ok {
		return src, nil
	}
	name, place := strings.TrimSpace(symbol), strings.TrimSpace(venue)
	if name == "" {
		name = r.cfg.Symbol
	}
	if name == "" {
		return nil, c.errorf(c.at[fSymbol], "want a symbol, got nothing; give one as --symbol")
	}
	if place == "" {
		place = r.cfg.Venue
	}
	final := [2]string{strings.Clone(place), strings.Clone(name)}
	src, ok := r.session.sources[final]
	if !ok {
		src = &source{venue: final[0], symbol: final[1]}
		if feed.ValidSymbol(name) { // otherwise each row is bad, and none is worth keeping
			r.session.sources[final] = src
		}
	}
	if feed.ValidSymbol(name) {
		r.keys[[2]string{strings.Clone(symbol), strings.Clone(venue)}] = src
	}
	return src, nil
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

package replay

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// RowError is the error of an invalid row.
type RowError struct {
	File   string
	Line   int
	Column string // "" if the whole row is invalid
	Want   string // what was expected, and what was found instead
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Want)
	}
	return fmt.Sprintf("%s:%d: column %q: %s", e.File, e.Line, e.Column, e.Want)
}

// source is the progress of the rows of one symbol and venue.
type source struct {
	symbol, venue string
	rows          int64 // read so far
	seq           int64 // of the last tick read
	position      int64 // seq of the last tick the topic has
}

// cellError is a RowError that does not know its file and line yet.
type cellError struct {
	column int
	want   string
}

func (e *cellError) Error() string { return e.want }

func cellErrorf(column int, format string, args ...any) error {
	return &cellError{column, fmt.Sprintf(format, args...)}
}

// parse turns a row into its ticks, in the order of seq. The array is reused.
func (r *Replay) parse(row []string, now time.Time) ([]feed.Tick, *source, error) {
	if len(row) != len(r.columns.names) {
		return nil, nil, cellErrorf(-1, "want %d columns as in the header, got %d", len(r.columns.names), len(row))
	}
	src, err := r.source(row)
	if err != nil {
		return nil, nil, err
	}
	// Counted before it is checked: the number of a row does not depend on
	// whether the rows before it are valid.
	src.rows++
	ts, err := r.timestamp(row)
	if err != nil {
		return nil, nil, err
	}
	size, err := number(row, r.columns.size)
	if err != nil {
		return nil, nil, err
	}
	r.ticks = r.ticks[:0]
	if r.columns.kind == Bars {
		err = r.parseBar(row, src, ts, size)
	} else {
		err = r.parseTrade(row, src, ts, size)
	}
	if err != nil {
		return nil, nil, err
	}
	for i := range r.ticks {
		if err := r.ticks[i].Validate(now); err != nil {
			return nil, nil, r.blame(err, i)
		}
	}
	if first := r.ticks[0].Seq; first <= src.seq {
		return nil, nil, cellErrorf(r.columns.seq, "want more than the %d of a row before, got %d: rows must come in the order of seq; map seq to nothing to number them by row", src.seq, first)
	}
	src.seq = r.ticks[len(r.ticks)-1].Seq
	return r.ticks, src, nil
}

func (r *Replay) parseTrade(row []string, src *source, ts int64, size float64) error {
	price, err := number(row, r.columns.price)
	if err != nil {
		return err
	}
	seq := src.rows
	if at := r.columns.seq; at >= 0 {
		if seq, err = strconv.ParseInt(strings.TrimSpace(row[at]), 10, 64); err != nil {
			return cellErrorf(at, "want a whole number, got %q", clip(row[at]))
		}
	}
	r.ticks = append(r.ticks, feed.Tick{Symbol: src.symbol, Venue: src.venue, TS: ts, Price: price, Size: size, Seq: seq})
	return nil
}

// parseBar converts a bar to four ticks, with the volume on the last. All lie within its
// first 3 µs: so they are inside the bar however short it is, in the order
// open, high, low, close by time and by seq, and the candles of its own and of
// every longer interval are those computed from bars.
func (r *Replay) parseBar(row []string, src *source, ts int64, volume float64) error {
	var v [4]float64
	for i, at := range r.columns.bar {
		var err error
		if v[i], err = number(row, at); err != nil {
			return err
		}
	}
	open, high, low, last := v[0], v[1], v[2], v[3]
	switch {
	case !(high >= max(open, low, last)):
		return cellErrorf(r.columns.bar[1], "want at least open, low and close, got %v", high)
	case !(low <= min(open, last)):
		return cellErrorf(r.columns.bar[2], "want at most open and close, got %v", low)
	}
	for i, price := range v {
		t := feed.Tick{Symbol: src.symbol, Venue: src.venue, TS: ts + int64(i), Price: price, Seq: 4*(src.rows-1) + int64(i) + 1}
		if i == 3 {
			t.Size = volume
		}
		r.ticks = append(r.ticks, t)
	}
	return nil
}

// source returns the source of a row.
func (r *Replay) source(row []string) (*source, error) {
	symbol, venue := "", ""
	if at := r.columns.symbol; at >= 0 {
		symbol = row[at]
	}
	if at := r.columns.venue; at >= 0 {
		venue = row[at]
	}
	key := [2]string{symbol, venue}
	if src, ok := r.sources[key]; ok {
		return src, nil
	}
	name := strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(symbol)), "/", "-")
	if name == "" {
		name = r.cfg.Symbol
	}
	if name == "" {
		return nil, cellErrorf(r.columns.symbol, "want a symbol, got nothing; give one as --symbol")
	}
	place := strings.TrimSpace(venue)
	if place == "" {
		place = r.cfg.Venue
	}
	// Two spellings may mean the same source, whose rows share one count. The
	// final name is one of the spellings, so one map holds both.
	final := [2]string{name, place}
	if src, ok := r.sources[final]; ok {
		r.sources[[2]string{strings.Clone(symbol), strings.Clone(venue)}] = src
		return src, nil
	}
	src := &source{symbol: strings.Clone(name), venue: strings.Clone(place)}
	if r.cfg.Positions != nil {
		last, err := r.cfg.Positions(place, name)
		if err != nil {
			return nil, err
		}
		src.position = last
	}
	r.sources[[2]string{strings.Clone(symbol), strings.Clone(venue)}] = src
	r.sources[[2]string{src.symbol, src.venue}] = src
	return src, nil
}

func (r *Replay) timestamp(row []string) (int64, error) {
	text := row[r.columns.ts]
	if at := r.columns.clock; at >= 0 {
		text = strings.TrimSpace(text) + " " + strings.TrimSpace(row[at])
	}
	ts, err := r.times.parse(text)
	if err != nil {
		return 0, &cellError{r.columns.ts, err.Error()}
	}
	return ts, nil
}

// number parses a cell; a missing column is 0.
func number(row []string, at int) (float64, error) {
	if at < 0 {
		return 0, nil
	}
	s := strings.TrimSpace(row[at])
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.ContainsAny(s, "xX_nN") { // hexadecimal, NaN and Inf
		return 0, cellErrorf(at, "want a number, got %q", clip(row[at]))
	}
	return v, nil
}

// blame converts an error of tick i of a row to one of a column.
func (r *Replay) blame(err error, i int) error {
	e, ok := errors.AsType[*feed.FieldError](err)
	if !ok {
		return err
	}
	c := r.columns
	at := map[string]int{"ts": c.ts, "price": c.price, "size": c.size, "seq": c.seq, "symbol": c.symbol, "venue": c.venue}[e.Field]
	if c.kind == Bars && e.Field == "price" {
		at = c.bar[i]
	}
	if at < 0 { // a flag, or a seq numbered by row
		return &cellError{-1, e.Error()}
	}
	return &cellError{at, e.Want}
}

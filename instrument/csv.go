package instrument

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// LineError is a line of a file that is not valid.
type LineError struct {
	Line   int
	Column string // empty: the line as a whole
	Text   string
}

func (e *LineError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%d: %s", e.Line, e.Text)
	}
	return fmt.Sprintf("%d: column %q: %s", e.Line, e.Column, e.Text)
}

// table is a CSV file with a header.
type table struct {
	columns []string
	lines   []line
	bad     []*LineError
}

// line is a line of a table.
type line struct {
	number int
	cells  map[string]string // trimmed
}

// read reads a file whose columns are some of known; those of need must be there.
// Without a header that is valid there are no lines.
func read(r io.Reader, known, need []string) (*table, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	c := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	c.FieldsPerRecord, c.TrimLeadingSpace = -1, true // no comments: a symbol may begin with #
	t := &table{}
	header, err := c.Read()
	if errors.Is(err, io.EOF) {
		t.refuse(1, "", "want a header with the columns "+strings.Join(known, ","))
		return t, nil
	}
	if err != nil {
		t.malformed(err)
		return t, nil
	}
	top, _ := c.FieldPos(0)
	for _, name := range header {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(known, name) {
			t.refuse(top, name, "want one of "+strings.Join(known, ", "))
		} else if slices.Contains(t.columns, name) {
			t.refuse(top, name, "want the column once")
		}
		t.columns = append(t.columns, name)
	}
	for _, name := range need {
		if !slices.Contains(t.columns, name) {
			t.refuse(top, name, "want the column in the header")
		}
	}
	if len(t.bad) > 0 {
		return t, nil
	}
	for {
		row, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.malformed(err)
			break
		}
		at, _ := c.FieldPos(0)
		if len(row) != len(t.columns) {
			t.refuse(at, "", fmt.Sprintf("want %d fields, got %d", len(t.columns), len(row)))
			continue
		}
		l := line{at, map[string]string{}}
		for i, cell := range row {
			l.cells[t.columns[i]] = strings.TrimSpace(cell)
		}
		t.lines = append(t.lines, l)
	}
	return t, nil
}

func (t *table) refuse(line int, column, text string) {
	t.bad = append(t.bad, &LineError{line, column, text})
}

func (t *table) malformed(err error) {
	var p *csv.ParseError
	if errors.As(err, &p) {
		t.refuse(p.Line, "", p.Err.Error())
		return
	}
	t.refuse(1, "", err.Error())
}

// InstrumentColumns are the columns of a file of instruments.
var InstrumentColumns = []string{"symbol", "name", "kind", "calendar", "currency", "price_step", "size_step", "active_from", "active_to", "former"}

// LineChange is a change that a line of a file asks for.
type LineChange struct {
	Line int
	Change
}

// ReadChanges reads a file of instruments. A column that is not there, and an empty
// cell, leave what is known.
func ReadChanges(r io.Reader) ([]LineChange, []*LineError, error) {
	t, err := read(r, InstrumentColumns, []string{"symbol"})
	if err != nil {
		return nil, nil, err
	}
	out := make([]LineChange, 0, len(t.lines))
	seen := map[string]int{}
	for _, l := range t.lines {
		c, bad := l.change()
		for _, b := range append(bad, c.Check()...) {
			t.refuse(l.number, b.Field, fmt.Sprintf("want %s, got %q", b.Want, b.Got))
		}
		if first, twice := seen[c.Symbol]; twice {
			t.refuse(l.number, "symbol", fmt.Sprintf("want each symbol once, %q is in line %d too", c.Symbol, first))
		}
		seen[c.Symbol] = l.number
		out = append(out, LineChange{l.number, c})
	}
	return out, t.sorted(), nil
}

// sorted returns what is not valid, by line.
func (t *table) sorted() []*LineError {
	slices.SortStableFunc(t.bad, func(a, b *LineError) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return t.bad
}

func (l line) change() (c Change, bad []*FieldError) {
	c.Symbol = l.cells["symbol"]
	for column, to := range map[string]*Option[string]{"name": &c.Name, "kind": &c.Kind, "calendar": &c.Calendar, "currency": &c.Currency} {
		if v := l.cells[column]; v != "" {
			*to = Set(v)
		}
	}
	for column, to := range map[string]*Option[float64]{"price_step": &c.PriceStep, "size_step": &c.SizeStep} {
		if v := l.cells[column]; v != "" {
			f, ok := number(v)
			if !ok {
				bad = append(bad, &FieldError{column, "a number", v})
				continue
			}
			*to = Set(f)
		}
	}
	for column, to := range map[string]*Option[time.Time]{"active_from": &c.ActiveFrom, "active_to": &c.ActiveTo} {
		if v := l.cells[column]; v != "" {
			day, ok := ParseDay(v)
			if !ok {
				bad = append(bad, &FieldError{column, "a day such as 2020-08-31", v})
				continue
			}
			*to = Set(day)
		}
	}
	if v := l.cells["former"]; v != "" {
		former, err := ParseFormer(v)
		if err != nil {
			return c, append(bad, err)
		}
		c.Former = Set(former)
	}
	return c, bad
}

// ParseFormer reads former symbols: FB until 2022-06-09; TFB until 2012-05-18.
func ParseFormer(s string) ([]Former, *FieldError) {
	var out []Former
	for part := range strings.SplitSeq(s, ";") {
		// A symbol may have spaces in it.
		at := strings.LastIndex(part, " until ")
		if at < 0 {
			return nil, &FieldError{"former", "SYMBOL until YYYY-MM-DD, several with a semicolon between them", strings.TrimSpace(part)}
		}
		until, ok := ParseDay(strings.TrimSpace(part[at+len(" until "):]))
		if !ok {
			return nil, &FieldError{"former", "SYMBOL until YYYY-MM-DD, several with a semicolon between them", strings.TrimSpace(part)}
		}
		out = append(out, Former{strings.TrimSpace(part[:at]), until})
	}
	return out, nil
}

// number reads a finite decimal number.
func number(s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if strings.Trim(s, "0123456789.eE+-") != "" {
		return 0, false // no hexadecimal digits, no underscores, no names
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

package replay

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrEmpty is the error of a file without rows and header.
var ErrEmpty = errors.New("the file is empty")

// rowReader reads rows of text.
type rowReader interface {
	// Read returns the next row, valid until the next call.
	Read() ([]string, error)
	// Line returns the number of the line where the last row begins.
	Line() int
}

// csvRows reads separated text that begins after skipped lines.
type csvRows struct {
	*csv.Reader
	skipped int
}

func newCSV(in io.Reader, separator rune, skipped int) *csvRows {
	r := csv.NewReader(in)
	r.Comma = separator
	r.FieldsPerRecord = -1 // checked with a better message
	r.ReuseRecord = true
	r.TrimLeadingSpace = separator != '\t'
	return &csvRows{Reader: r, skipped: skipped}
}

func (c *csvRows) Line() int {
	line, _ := c.FieldPos(0)
	return line + c.skipped
}

// layout is how a file is laid out.
type layout struct {
	separator rune
	sets      []*columns // one for each symbol that has columns of its own
	width     int        // columns of a row
	skip      int        // lines before the first row of data
	header    bool       // one of them is a header
	shape     string     // the name of a known shape, or empty
	sample    [][]string // the first rows of data
}

// separatorOf finds what separates the columns: the character that the most lines
// have equally often.
func separatorOf(start []byte) rune {
	type tally struct{ lines, n int }
	best, most := ',', tally{}
	lines := bytes.Split(start, []byte{'\n'})
	for _, c := range []rune{',', ';', '\t', '|'} {
		counts := map[int]int{}
		for _, line := range lines[:min(len(lines), 200)] {
			if n := unquoted(line, byte(c)); n > 0 && !bytes.HasPrefix(line, []byte{'#'}) {
				counts[n]++
			}
		}
		for n, lines := range counts {
			if t := (tally{lines, n}); t.lines > most.lines || t.lines == most.lines && t.n > most.n {
				best, most = c, t
			}
		}
	}
	return best
}

func unquoted(line []byte, c byte) (n int) {
	quoted := false
	for _, b := range line {
		switch {
		case b == '"':
			quoted = !quoted
		case b == c && !quoted:
			n++
		}
	}
	return n
}

// sniff recognises how a file is laid out from its first bytes.
func sniff(start []byte, cfg *Config) (*layout, error) {
	if len(bytes.TrimSpace(start)) == 0 {
		return nil, ErrEmpty
	}
	if len(start) == sampleSize { // the last line may be cut
		if end := bytes.LastIndexByte(start, '\n'); end > 0 {
			start = start[:end+1]
		}
	}
	l := &layout{}
	if first, _, _ := bytes.Cut(start, []byte{'\n'}); bytes.HasPrefix(first, []byte("sep=")) && len(bytes.TrimSpace(first)) == 5 {
		l.separator = rune(first[4])
	} else {
		l.separator = separatorOf(start)
	}
	r := newCSV(bytes.NewReader(start), l.separator, 0)
	r.ReuseRecord, r.LazyQuotes = false, true
	var rows [][]string
	var lines []int
	for len(rows) < 4096 {
		row, err := r.Read()
		if err != nil {
			break
		}
		rows, lines = append(rows, row), append(lines, r.Line())
	}
	if len(rows) == 0 {
		return nil, ErrEmpty
	}
	if cfg.Header != nil {
		return l, l.with(cfg.Header, cfg, rows, lines)
	}
	return l, l.find(rows, lines, cfg)
}

// with takes the names of the columns from a flag.
func (l *layout) with(names []string, cfg *Config, rows [][]string, lines []int) error {
	c, err := find(names, cfg.Kind, cfg.Columns)
	if err != nil {
		return err
	}
	first := 0
	for first < len(rows) && isText(rows[first], len(names)) {
		first++
	}
	l.take([]*columns{c}, len(names), rows, lines, first)
	return nil
}

// take ends the search: data begins with row first.
func (l *layout) take(sets []*columns, width int, rows [][]string, lines []int, first int) {
	l.sets, l.width, l.sample = sets, width, rows[min(first, len(rows)):]
	switch {
	case first < len(rows):
		l.skip = lines[first] - 1
	default: // no rows, as far as is seen: the header is the last one
		l.skip = lines[len(lines)-1]
	}
}

// find searches the first rows for a header or data of a known shape.
func (l *layout) find(rows [][]string, lines []int, cfg *Config) error {
	var problem error
	score := -1
	for i := range rows[:min(len(rows), 64)] {
		if isText(rows[i], 0) && (len(rows[i]) < 2 || !strings.HasPrefix(strings.TrimSpace(rows[i][0]), "#")) {
			continue // a header may begin with #
		}
		if sets, n := levels(rows[i:], cfg); sets != nil {
			l.header = true
			l.take(sets, len(rows[i]), rows, lines, i+n)
			return nil
		}
		names := trimEmpty(rows[i])
		c, err := find(names, cfg.Kind, cfg.Columns)
		if err == nil {
			l.header = true
			l.take([]*columns{c}, len(names), rows, lines, i+1)
			return nil
		}
		if n := len(names) - 1; n > score { // the row that looks most like a header tells what is missing
			score, problem = n, err
		}
		if shape, names := headerless(rows[i:]); shape != "" {
			c, err := find(names, cfg.Kind, cfg.Columns)
			if err != nil {
				return err
			}
			l.shape = shape
			l.take([]*columns{c}, len(names), rows, lines, i)
			return nil
		}
	}
	if problem == nil {
		return fmt.Errorf("found comments only: %w", ErrEmpty)
	}
	return problem
}

// isText reports whether a line is a comment or blank, and no row of width columns.
func isText(row []string, width int) bool {
	first := strings.TrimSpace(row[0])
	if strings.HasPrefix(first, "#") || strings.HasPrefix(first, "//") || strings.HasPrefix(first, "%") {
		return width == 0 || len(row) != width
	}
	blank := !slices.ContainsFunc(row, func(s string) bool { return strings.TrimSpace(s) != "" })
	return blank || width > 2 && len(row) == 1 && strings.Contains(first, " ") && strings.ContainsAny(first, "abcdefghijklmnopqrstuvwxyz")
}

func trimEmpty(row []string) []string {
	for len(row) > 1 && strings.TrimSpace(row[len(row)-1]) == "" {
		row = row[:len(row)-1]
	}
	return row
}

// levels reads a header of several lines, as pandas writes for yfinance: the names
// of the prices, those of the symbols, and perhaps that of the time.
func levels(rows [][]string, cfg *Config) ([]*columns, int) {
	if len(rows) < 2 || len(rows[0]) != len(rows[1]) || len(rows[0]) < 3 {
		return nil, 0
	}
	names, symbols := rows[0], rows[1]
	a, b := header(names[0]), header(symbols[0])
	if a == "ticker" && b == "price" || a == "" && b == "" && slices.ContainsFunc(symbols[1:], func(s string) bool { return header(s) == "open" }) {
		names, symbols = symbols, names
	} else if !(a == "price" && b == "ticker") && !(a == "" && b == "") {
		return nil, 0
	}
	lines, ts := 2, "Date"
	if len(rows) > 2 && slices.Contains([]string{"date", "datetime", "timestamp"}, header(rows[2][0])) && len(trimEmpty(rows[2])) == 1 {
		lines, ts = 3, strings.TrimSpace(rows[2][0])
	}
	var sets []*columns
	var order []string
	for _, s := range symbols[1:] {
		if s = strings.TrimSpace(s); !slices.Contains(order, s) {
			order = append(order, s)
		}
	}
	for _, symbol := range order {
		own := make([]string, len(names))
		own[0] = ts
		for i := 1; i < len(names); i++ {
			if strings.TrimSpace(symbols[i]) == symbol {
				own[i] = names[i]
			}
		}
		c, err := find(own, cfg.Kind, cfg.Columns)
		if err != nil {
			return nil, 0
		}
		c.symbol = symbol
		sets = append(sets, c)
	}
	return sets, lines
}

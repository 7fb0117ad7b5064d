package calendar

import (
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

//go:embed calendars.txt
var text string

var all = sync.OnceValues(func() (map[string]*Calendar, error) { return parse(text) })

// Load returns a calendar by its name, such as XNYS. It is shared: do not change it.
func Load(name string) (*Calendar, error) {
	all, err := all()
	if err != nil {
		return nil, err
	}
	if c := all[name]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("calendar: want one of %s, got %q", strings.Join(Names(), ", "), name)
}

// parse reads the format that the head of calendars.txt describes.
func parse(text string) (map[string]*Calendar, error) {
	out := map[string]*Calendar{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		f := strings.Fields(line)
		if len(f) == 0 || f[0] == "#" {
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("calendars.txt:%d: want a calendar, a word and a value, got %q", n, line)
		}
		c := out[f[0]]
		if c == nil {
			c = &Calendar{Name: f[0], byDay: map[time.Time]*Exception{}}
			out[f[0]] = c
		}
		if err := c.add(f[1], f[2:]); err != nil {
			return nil, fmt.Errorf("calendars.txt:%d: %w", n, err)
		}
	}
	for _, c := range out {
		sortExceptions(c)
	}
	return out, nil
}

func (c *Calendar) add(word string, f []string) error {
	p := &parser{}
	switch word {
	case "name":
		c.Title = strings.Join(f, " ")
	case "zone":
		zone, err := time.LoadLocation(f[0])
		if err != nil {
			return err
		}
		c.Zone = zone
	case "days":
		c.First, c.Last = p.day(f[0]), p.day(p.next(f, 1))
	case "shift":
		c.Shift = p.clock(f[0])
	case "hours":
		r := Rule{From: p.day(f[0]), To: p.day(p.next(f, 1)), Hours: p.span(p.next(f, 3))}
		for _, w := range p.next(f, 2) {
			if w < '1' || w > '7' {
				return fmt.Errorf("want weekdays of 1 to 7, got %q", f[2])
			}
			r.Weekdays = append(r.Weekdays, int(w-'0'))
		}
		for i := 4; i < len(f); i += 2 {
			s := p.span(p.next(f, i+1))
			switch f[i] {
			case "break":
				r.Break = &s
			case "extended":
				r.Extended = &s
			default:
				return fmt.Errorf("want break or extended, got %q", f[i])
			}
		}
		c.Rules = append(c.Rules, r)
	case "closed":
		for _, d := range f[1:] {
			c.Exceptions = append(c.Exceptions, Exception{Day: p.day(f[0] + "-" + d), Closed: true})
		}
	case "open":
		var e Exception
		opens, closes, ok := strings.Cut(p.next(f, 1), "..")
		if !ok {
			return fmt.Errorf("want opens..closes, got %q", f[1])
		}
		if opens != "" {
			t := p.clock(opens)
			e.Opens = &t
		}
		if closes != "" {
			t := p.clock(closes)
			e.Closes = &t
		}
		for _, d := range f[2:] {
			e.Day = p.day(f[0] + "-" + d)
			c.Exceptions = append(c.Exceptions, e)
		}
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	return p.err
}

// parser keeps the first error.
type parser struct{ err error }

func (p *parser) next(f []string, i int) string {
	if i < len(f) {
		return f[i]
	}
	p.fail(errors.New("the line is too short"))
	return ""
}

func (p *parser) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parser) day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		p.fail(fmt.Errorf("want a date, got %q", s))
	}
	return t
}

func (p *parser) clock(s string) time.Duration {
	rest, below := strings.CutPrefix(s, "-")
	h, m, ok := strings.Cut(rest, ":")
	hours, err1 := strconv.ParseUint(h, 10, 8)
	minutes, err2 := strconv.ParseUint(m, 10, 8)
	if !ok || err1 != nil || err2 != nil || minutes > 59 {
		p.fail(fmt.Errorf("want a time as 09:30, got %q", s))
	}
	d := time.Duration(hours)*time.Hour + time.Duration(minutes)*time.Minute
	if below {
		return -d
	}
	return d
}

func (p *parser) span(s string) Span {
	from, to, _ := strings.Cut(s, "..")
	return Span{p.clock(from), p.clock(to)}
}

func sortExceptions(c *Calendar) {
	slices.SortFunc(c.Exceptions, func(a, b Exception) int { return a.Day.Compare(b.Day) })
	for i := range c.Exceptions {
		c.byDay[c.Exceptions[i].Day] = &c.Exceptions[i]
	}
}

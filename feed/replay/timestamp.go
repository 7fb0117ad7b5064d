package replay

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --timezone must work in an image that has no zone files
)

// layouts are the layouts of time that are unambiguous. 01/02/2006 is not: either
// number may be the month.
var layouts = []string{
	"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05 Z07:00",
	"2006-01-02 15:04:05 Z0700", "2006-01-02 15:04:05 UTC", "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04",
	"2006-01-02", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02", "2006.01.02 15:04:05", "2006.01.02 15:04", "2006.01.02",
	"Jan 2 2006", "Jan 2, 2006", "2 Jan 2006", "2-Jan-2006", "January 2, 2006", "Jan 2 2006 15:04:05", "Jan 2, 2006 15:04:05",
	"20060102 15:04:05", "20060102 150405", "20060102 15:04",
}

// timeParser reads the times of one column.
type timeParser struct {
	format string // layout set by the user, or empty
	zone   *time.Location
	layout int // of the last time: most likely that of the next
}

// parse returns microseconds since 1970, rounded down.
func (p *timeParser) parse(s string) (int64, error) {
	s = strings.TrimSpace(s)
	if p.format != "" {
		t, err := time.ParseInLocation(p.format, s, p.zone)
		if err != nil {
			return 0, fmt.Errorf("want a time like %q, got %q", p.format, clip(s))
		}
		return t.UnixMicro(), nil
	}
	if us, ok := epoch(s); ok {
		return us, nil
	}
	if len(s) == len("20060102") && strings.Trim(s, "0123456789") == "" {
		if t, err := time.ParseInLocation("20060102", s, p.zone); err == nil {
			return t.UnixMicro(), nil
		}
	}
	for i := range layouts {
		at := (p.layout + i) % len(layouts)
		if t, err := time.ParseInLocation(layouts[at], s, p.zone); err == nil {
			p.layout = at
			return t.UnixMicro(), nil
		}
	}
	return 0, fmt.Errorf("want a time such as 2006-01-02T15:04:05Z, a date or a Unix time, got %q; give another form as --time-format", clip(s))
}

// epoch reads a Unix time: seconds, milli-, micro- or nanoseconds by size, with
// a fraction perhaps. Eight digits are a date instead, as 20060102.
func epoch(s string) (int64, bool) {
	whole, frac, _ := strings.Cut(s, ".")
	if whole == "" || (len(whole) == 8 && frac == "") || strings.Trim(whole, "0123456789") != "" || strings.Trim(frac, "0123456789") != "" {
		return 0, false
	}
	v, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return 0, false
	}
	unit := int64(1e6) // µs in what v counts
	switch {
	case v >= 1e17:
		return v / 1000, true
	case v >= 1e14:
		return v, true
	case v >= 1e11:
		unit = 1e3
	}
	// By digits, not as a float: it has too few of them.
	us := v * unit
	for _, c := range frac {
		unit /= 10
		us += int64(c-'0') * unit
	}
	return us, us >= 0 && us < math.MaxInt64
}

func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

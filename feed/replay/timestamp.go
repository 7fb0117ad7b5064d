package replay

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // --timezone must work in an image that has no zone files
)

// zoned and local are the layouts of time that are unambiguous. 01/02/2006 is not:
// either number may be the month.
var (
	zoned = []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z0700",
		"2006-01-02T15:04:05Z07", "2006-01-02 15:04:05Z07", "2006-01-02 15:04:05 Z07:00", "2006-01-02 15:04:05 Z0700",
		"2006-01-02 15:04:05 -0700 MST", "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "20060102T150405Z07:00", "20060102T150405Z0700",
		"02.01.2006 15:04:05 GMT-0700", "Mon, 02 Jan 2006 15:04:05 -0700",
	}
	local = []string{
		"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02, 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02",
		"2006-1-2", "2006-1-2 15:04:05", "2006-1-2 15:04", "2006/1/2", "2006/1/2 15:04:05", "2006/1/2 15:04",
		"2006-01-02 15:04:05 PM", "2006-01-02 15:04 PM", "2006-01-02 15-PM", "2006/01/02 15:04:05", "2006/01/02 15:04", "2006/01/02",
		"2006.01.02 15:04:05", "2006.01.02 15:04", "2006.01.02", "02.01.2006 15:04:05", "02.01.2006 15:04", "02.01.2006",
		"Jan 2 2006", "Jan 2, 2006", "2 Jan 2006", "2-Jan-2006", "2-Jan-06", "January 2, 2006", "Jan 2 2006 15:04:05", "Jan 2, 2006 15:04:05",
		"2-Jan-2006 15:04:05", "2 Jan 2006 15:04:05", "20060102 15:04:05", "20060102 150405", "20060102 15:04", "20060102T150405",
	}
	// Dates with slashes, if it is known what comes first.
	monthFirst = slashed("1/2")
	dayFirst   = slashed("2/1")
)

func slashed(date string) (out []string) {
	for _, year := range []string{"/2006", "/06"} {
		for _, clock := range []string{"", " 15:04", " 15:04:05", " 3:04 PM", " 3:04:05 PM", ", 15:04:05"} {
			out = append(out, date+year+clock)
		}
	}
	return out
}

func init() {
	for i, l := range local { // 12-hour clocks
		if strings.Contains(l, "PM") {
			local[i] = strings.Replace(l, "15", "3", 1)
		}
	}
}

// timeParser reads the times of one column.
type timeParser struct {
	format string // layout set by the user, or empty
	zone   *time.Location
	local  []string // layouts of times without a zone
	order  string   // what comes first in 01/02/2006: month, day, or "" if it is not known
	layout int      // of the last time: most likely that of the next
}

func (p *timeParser) setOrder(order string) {
	p.order, p.local = order, local
	switch order {
	case "month":
		p.local = slices.Concat(local, monthFirst)
	case "day":
		p.local = slices.Concat(local, dayFirst)
	}
}

// instant is a time of a file.
type instant struct {
	us, ns int64 // microseconds since 1970, rounded down, and the nanoseconds left
	local  bool  // in local time, as if that were UTC
	date   bool  // no time of day
}

func of(t time.Time) instant {
	us := t.Unix()*1_000_000 + int64(t.Nanosecond()/1000)
	return instant{us: us, ns: int64(t.Nanosecond() % 1000)}
}

// parse reads a time.
func (p *timeParser) parse(s string) (instant, error) {
	s = trim(s)
	if p.format != "" {
		// In the zone, abbreviations such as EST have its meaning.
		t, err := time.ParseInLocation(p.format, s, map[bool]*time.Location{true: p.zone, false: time.UTC}[strings.Contains(p.format, "MST")])
		if err != nil {
			return instant{}, fmt.Errorf("want a time like %q, got %q", p.format, clip(s))
		}
		if name, offset := t.Zone(); strings.Contains(p.format, "MST") && offset == 0 && name != "UTC" && name != "GMT" && t.Location() != p.zone {
			return instant{}, fmt.Errorf("want a time whose zone is known, got %q; give the zone as --timezone", clip(s))
		}
		at := of(t)
		at.local = !strings.Contains(p.format, "07") && !strings.Contains(p.format, "MST")
		return at, nil
	}
	if at, ok := whole19(s); ok {
		return at, nil
	}
	if strings.Trim(s, "0123456789.-+eE") == "" {
		if at, ok, err := p.digits(s); ok || err != nil {
			return at, err
		}
	}
	if at, ok := p.known(s); ok {
		return at, nil
	}
	if compact := fromHistData(s); compact != s {
		if at, ok := p.known(compact); ok {
			return at, nil
		}
	}
	if day, ok := strings.CutSuffix(strings.Replace(s, "T24:00:00", "T00:00:00+", 1), "+Z"); ok { // the end of a day
		if t, err := time.Parse("2006-01-02T15:04:05", day); err == nil {
			return of(t.AddDate(0, 0, 1)), nil
		}
	}
	if strings.Count(s, "/") == 2 && p.order == "" {
		return instant{}, fmt.Errorf("want a time of which day and month are known, got %q; give its form as --time-format, as in 01/02/2006 or 02/01/2006", clip(s))
	}
	return instant{}, fmt.Errorf("want a time such as 2006-01-02T15:04:05Z, a date or a Unix time, got %q; give another form as --time-format", clip(s))
}

// whole19 reads the usual Unix times at once: whole, and of as many digits as they
// have from 2001 to 2286.
func whole19(s string) (instant, bool) {
	unit := int64(1) // µs in what is counted, or 0 for ns
	switch len(s) {
	case 10:
		unit = 1_000_000
	case 13:
		unit = 1000
	case 16:
	case 19:
		unit = 0
	default:
		return instant{}, false
	}
	v := int64(0)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' || i == 0 && s[i] == '0' {
			return instant{}, false
		}
		v = v*10 + int64(s[i]-'0')
	}
	if unit == 0 {
		return instant{us: v / 1000, ns: v % 1000}, v > 0
	}
	return instant{us: v * unit}, true
}

func (p *timeParser) known(s string) (instant, bool) {
	if p.local == nil {
		p.setOrder(p.order)
	}
	n := len(zoned) + len(p.local)
	if rest, ok := strings.CutSuffix(strings.TrimSuffix(s, " GMT"), " UTC"); ok || len(rest) < len(s) {
		if s = rest; !strings.HasSuffix(s, " +0000") {
			s += "Z"
		}
	}
	for i := range n {
		at := (p.layout + i) % n
		var layout string
		if at < len(zoned) {
			layout = zoned[at]
		} else {
			layout = p.local[at-len(zoned)]
		}
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		p.layout = at
		in := of(t)
		in.local = at >= len(zoned)
		in.date = in.local && !strings.Contains(layout, "04") && !strings.Contains(layout, "PM")
		return in, true
	}
	return instant{}, false
}

// fromHistData separates the digits of 20240201 000003660.
func fromHistData(s string) string {
	if len(s) == len("20240201 000003660") && s[8] == ' ' && strings.Trim(s[:8]+s[9:], "0123456789") == "" {
		return s[:15] + "." + s[15:]
	}
	return s
}

// Sizes of Unix times: seconds from 1973 to 5138, and so on.
const leastEpoch = 100_000_000

// digits reads a time that is a number: compact dates, and Unix times in seconds,
// milli-, micro- or nanoseconds by size, with a fraction perhaps.
func (p *timeParser) digits(s string) (instant, bool, error) {
	if strings.ContainsAny(s, "eE") {
		return instant{}, false, fmt.Errorf("want a time with all its digits, got %q: the exponent has lost some", clip(s))
	}
	whole, frac, point := strings.Cut(s, ".")
	if strings.Trim(whole, "0123456789") != "" && !strings.HasPrefix(whole, "-") || strings.Count(s, "-") > 1 || strings.Trim(frac, "0123456789") != "" {
		return instant{}, false, nil
	}
	if !point {
		for _, layout := range []string{"20060102", "200601021504", "20060102150405", "20060102150405.000"} {
			text := whole
			if len(whole) == 17 && len(layout) == 18 {
				text = whole[:14] + "." + whole[14:]
			}
			if len(text) != len(layout) || whole[:2] != "19" && whole[:2] != "20" {
				continue
			}
			if t, err := time.Parse(layout, text); err == nil {
				at := of(t)
				at.local, at.date = true, len(layout) == 8
				return at, true, nil
			}
		}
	}
	v, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || v < leastEpoch {
		return instant{}, false, fmt.Errorf("want a time, got %s: Unix times begin at %d here (seconds, 1973); smaller numbers are no times, or days as a spreadsheet counts them",
			clip(s), leastEpoch)
	}
	if v >= 1e17 {
		return instant{us: v / 1000, ns: v % 1000}, true, nil
	}
	unit := int64(1e9) // ns in what v counts
	switch {
	case v >= 1e14:
		unit = 1e3
	case v >= 1e11:
		unit = 1e6
	}
	// By digits, not as a float: it has too few of them.
	us, ns := v*(unit/1000), int64(0)
	for _, c := range frac {
		unit /= 10
		ns += int64(c-'0') * unit
	}
	return instant{us: us + ns/1000, ns: ns % 1000}, true, nil
}

// candidates returns when a local time is in the zone: not at all when clocks are
// moved forward, twice when they are moved back.
func candidates(local int64, zone *time.Location) (out []int64) {
	const day = 86_400_000_000
	for _, near := range []int64{local - day, local + day} {
		_, offset := time.UnixMicro(near).In(zone).Zone()
		at := local - int64(offset)*1_000_000
		if _, is := time.UnixMicro(at).In(zone).Zone(); is == offset && (len(out) == 0 || out[0] != at) {
			out = append(out, at)
		}
	}
	if len(out) == 2 && out[0] > out[1] {
		out[0], out[1] = out[1], out[0]
	}
	return out
}

func clip(s string) string {
	if len(s) > 48 {
		return s[:48] + "…"
	}
	return s
}

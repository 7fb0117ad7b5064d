// Package interval computes the lengths and the starts of bars, as the database
// does in schema/06_intervals.sql. It lists no intervals; the table intervals
// does.
package interval

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Width is the length of a bar: a number of seconds, or of calendar months.
type Width struct {
	Seconds int64
	Months  int
}

// Pattern is the regular expression of a name.
const Pattern = `^[1-9][0-9]{0,3}(s|m|h|d|w|mo|y)$`

// maxYears is the longest width.
const maxYears = 10

var (
	name = regexp.MustCompile(Pattern)
	unit = map[string]Width{
		"s": {Seconds: 1}, "m": {Seconds: 60}, "h": {Seconds: 3600}, "d": {Seconds: 86400}, "w": {Seconds: 7 * 86400},
		"mo": {Months: 1}, "y": {Months: 12},
	}
	// origin is where bars of a width in seconds are counted from: a Monday.
	origin = time.Date(2000, time.January, 3, 0, 0, 0, 0, time.UTC)
)

// Parse reads a name such as 30s, 90m, 4h, 1d, 2w, 3mo or 1y. Seconds must
// divide a minute, and nothing is longer than ten years.
func Parse(text string) (Width, error) {
	m := name.FindStringSubmatch(text)
	if m == nil {
		return Width{}, fmt.Errorf("interval: want a number of s, m, h, d, w, mo or y such as 90m, got %q", text)
	}
	n, _ := strconv.Atoi(strings.TrimSuffix(text, m[1])) // at most four digits
	u := unit[m[1]]
	w := Width{Seconds: int64(n) * u.Seconds, Months: n * u.Months}
	switch {
	case m[1] == "s" && 60%n != 0 && n%60 != 0:
		return Width{}, fmt.Errorf("interval: want seconds that divide a minute, got %q", text)
	case w.Months > 12*maxYears || w.Seconds > maxYears*360*86400:
		return Width{}, fmt.Errorf("interval: want at most %d years, got %q", maxYears, text)
	}
	return w, nil
}

// Start is the start of the bar that holds t, in UTC.
func (w Width) Start(t time.Time) time.Time {
	t = t.UTC()
	if w.Months > 0 {
		months := (t.Year()-2000)*12 + int(t.Month()) - 1
		return time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC).AddDate(0, floorDiv(months, w.Months)*w.Months, 0)
	}
	// In whole seconds: a Duration ends after 292 years.
	into := (t.Unix() - origin.Unix()) % w.Seconds
	if into < 0 {
		into += w.Seconds
	}
	return time.Unix(t.Unix()-into, 0).UTC()
}

// Add is the start of the bar n bars after the one that begins at start.
func (w Width) Add(start time.Time, n int) time.Time {
	start = start.UTC()
	if w.Months > 0 {
		return start.AddDate(0, n*w.Months, 0)
	}
	return time.Unix(start.Unix()+int64(n)*w.Seconds, 0).UTC()
}

// End is when the bar that begins at start is over.
func (w Width) End(start time.Time) time.Time { return w.Add(start, 1) }

// From is the start of the first bar that does not begin before t.
func (w Width) From(t time.Time) time.Time {
	start := w.Start(t)
	if start.Equal(t) {
		return start
	}
	return w.End(start)
}

// Typical is how long a bar is; a month counts as 30 days.
func (w Width) Typical() time.Duration {
	return time.Duration(w.Seconds+int64(w.Months)*30*86400) * time.Second
}

// Divides reports whether bars of w always lie within one bar of whole.
func (w Width) Divides(whole Width) bool {
	switch {
	case w.Months > 0:
		return whole.Months > 0 && whole.Months%w.Months == 0
	case whole.Months > 0: // a month is whole days and nothing longer
		return 86400%w.Seconds == 0
	}
	return whole.Seconds%w.Seconds == 0
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

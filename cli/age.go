package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// age is a duration as people write it for history and retention: 30d, 2y, 12h,
// or 1d12h.
type age time.Duration

// UnmarshalText reads an age. A year is 365 days, a week 7.
func (a *age) UnmarshalText(text []byte) error {
	var total time.Duration
	rest := string(text)
	if rest == "0" {
		*a = 0
		return nil
	}
	for rest != "" {
		n := strings.IndexFunc(rest, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
		if n <= 0 {
			return fmt.Errorf("want a duration such as 30d, 2y or 12h, got %q", text)
		}
		end := n + 1
		for end < len(rest) && (rest[end] < '0' || rest[end] > '9') {
			end++
		}
		value, err := strconv.ParseFloat(rest[:n], 64)
		unit, ok := map[string]time.Duration{
			"s": time.Second, "m": time.Minute, "h": time.Hour, "d": day, "w": 7 * day, "y": 365 * day,
		}[rest[n:end]]
		if err != nil || !ok || value > float64(200*365*day)/float64(max(unit, 1)) {
			return fmt.Errorf("want a duration such as 30d, 2y or 12h, got %q", text)
		}
		total += time.Duration(value * float64(unit))
		rest = rest[end:]
	}
	*a = age(total)
	return nil
}

func (a age) String() string {
	d := time.Duration(a)
	switch {
	case d == 0:
		return "0"
	case d%(365*day) == 0:
		return fmt.Sprintf("%dy", d/(365*day))
	case d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	}
	return d.String()
}

// keepAge is an age, or "keep", which is for ever.
type keepAge struct {
	set bool
	age time.Duration
}

// UnmarshalText reads "keep" or an age of at least a day.
func (k *keepAge) UnmarshalText(text []byte) error {
	k.set = true
	if string(text) == "keep" {
		return nil
	}
	var a age
	if err := a.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w, or keep", err)
	}
	if time.Duration(a) < day {
		return fmt.Errorf("want keep or at least 1d, got %q", text)
	}
	k.age = time.Duration(a)
	return nil
}

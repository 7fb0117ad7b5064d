package replay

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hypertick/hypertick/interval"
)

// understand derives from the first rows what the header does not tell: decimals,
// the order of day and month, the order of rows, the scale, and the interval of bars.
func (r *Replay) understand() error {
	r.priceScale = 1
	l := r.layout
	if err := r.findDecimal(); err != nil {
		return err
	}
	c := l.sets[0]
	r.findDateOrder(c)
	// Databento without its option pretty_px: prices in units of 1e-9.
	if slices.Contains(c.plain, "rtype") && slices.Contains(c.plain, "publisherid") && slices.Contains(c.plain, "instrumentid") {
		whole := func(f field) bool {
			return c.at[f] < 0 || !slices.ContainsFunc(l.sample, func(row []string) bool { return c.at[f] < len(row) && strings.Contains(row[c.at[f]], ".") })
		}
		if whole(fPrice) && whole(fClose) {
			r.priceScale = 1e-9
		}
	}
	if c.kind == Trades && c.at[fSeq] >= 0 && r.cfg.Columns["seq"] == "" && !r.areNumbers(c.at[fSeq]) {
		c.at[fSeq] = -1 // ids that are no numbers
	}
	if slices.Contains(c.plain, "totalvolume") && slices.Contains(c.plain, "marketcap") && r.cfg.Columns["size"] == "" {
		c.at[fSize] = -1 // CoinGecko: money, of the last 24 hours
	}
	times := r.sampleTimes(c)
	r.findOrder(times)
	if c.kind == Bars {
		return r.findInterval(c, times)
	}
	return nil
}

func (r *Replay) findDecimal() error {
	switch r.cfg.Decimal {
	case ".", ",":
		r.numbers.decimal = r.cfg.Decimal[0]
		return nil
	case "", "auto":
		if r.file != nil && r.file.parquet != nil {
			r.numbers.decimal = '.'
			return nil
		}
	default:
		return fmt.Errorf(`decimal: want "." or ",", got %q`, r.cfg.Decimal)
	}
	decimal, agree := learn(func(yield func(string) bool) {
		for _, row := range r.layout.sample {
			for _, c := range r.layout.sets {
				for _, f := range []field{fPrice, fSize, fOpen, fHigh, fLow, fClose, fVolume, fVWAP} {
					if at := c.at[f]; at >= 0 && at < len(row) && !yield(row[at]) {
						return
					}
				}
			}
		}
	})
	r.numbers.decimal = decimal
	if !agree {
		r.numbers.decimal = '.' // the rows that differ are bad, and say so
	}
	return nil
}

// areNumbers reports whether a column of the sample holds whole numbers only.
func (r *Replay) areNumbers(at int) bool {
	for _, row := range r.layout.sample[:min(len(r.layout.sample), 100)] {
		if at < len(row) && !isText(row, r.layout.width) {
			if v, err := strconv.ParseInt(trim(row[at]), 10, 64); (err != nil || v < 0) && strings.ContainsAny(row[at], "abcdefABCDEF-") {
				return false
			}
		}
	}
	return true
}

// findDateOrder finds what comes first in 01/02/2006: a number above 12 is no
// month, and some vendors are known by their columns.
func (r *Replay) findDateOrder(c *columns) {
	order := ""
	if slices.Contains(c.plain, "closelast") || slices.Contains(c.plain, "change") && slices.Contains(c.plain, "vol") {
		order = "month" // Nasdaq, and Investing in the US
	}
	for _, row := range r.layout.sample {
		if c.at[fTime] >= len(row) {
			continue
		}
		date, _, _ := strings.Cut(trim(row[c.at[fTime]]), " ")
		parts := strings.Split(date, "/")
		if len(parts) != 3 || len(parts[0]) > 2 {
			continue
		}
		a, errA := strconv.Atoi(parts[0])
		b, errB := strconv.Atoi(parts[1])
		if errA == nil && errB == nil && a > 12 && b <= 12 {
			order = "day"
			break
		}
		if errA == nil && errB == nil && b > 12 && a <= 12 {
			order = "month"
			break
		}
	}
	r.times.setOrder(order)
}

// sampleTime is the time of a row of the sample.
type sampleTime struct {
	key string // symbol and venue
	us  int64
	end int64 // of a bar, 0 if the file does not tell

	local bool
}

func (r *Replay) sampleTimes(c *columns) (out []sampleTime) {
	for _, row := range r.layout.sample {
		if row = trimTo(row, r.layout.width); len(row) != r.layout.width || isText(row, r.layout.width) {
			continue
		}
		text := row[c.at[fTime]]
		if at := c.at[fClock]; at >= 0 {
			text = c.joined(row, at)
		}
		in, err := r.times.parse(text)
		if err != nil {
			continue
		}
		t := sampleTime{us: in.us, local: in.local}
		for _, f := range []field{fSymbol, fVenue} {
			if at := c.at[f]; at >= 0 {
				t.key += row[at] + "\x00"
			}
		}
		if at := c.at[fEnd]; at >= 0 {
			if end, err := r.times.parse(row[at]); err == nil {
				t.end = end.us
			}
		}
		out = append(out, t)
	}
	return out
}

func (r *Replay) findOrder(times []sampleTime) {
	last := map[string]int64{}
	ups, downs := 0, 0
	for _, t := range times {
		if before, ok := last[t.key]; ok && t.us > before {
			ups++
		} else if ok && t.us < before {
			downs++
		}
		last[t.key] = t.us
	}
	switch {
	case downs > ups:
		r.order = falling
	case downs > 0:
		r.order = mixed
	}
}

// findInterval finds the interval of bars: what the file says, the distance that
// more than half of its rows have, or else the widest usual one that divides all.
func (r *Replay) findInterval(c *columns, times []sampleTime) error {
	votes := map[string]int{}
	last := map[string]int64{}
	n, divisor := 0, int64(0)
	for _, t := range times {
		seconds := int64(0)
		if t.end > t.us {
			seconds = (t.end - t.us + 999_999) / 1_000_000
		} else if before, ok := last[t.key]; ok && c.at[fEnd] < 0 {
			seconds = abs(t.us-before) / 1_000_000
		}
		last[t.key] = t.us
		if seconds > 0 {
			votes[nameOf(seconds)]++
			n++
			divisor = gcd(divisor, seconds)
		}
	}
	if n == 0 {
		return nil
	}
	for name, v := range votes {
		if v > n/2 && (n > 2 || c.at[fEnd] >= 0 || slices.Contains(usualWidths, name)) {
			r.every = name
		}
	}
	for _, name := range usualWidths {
		if w, _ := interval.Parse(name); r.every == "" && divisor%w.Seconds == 0 {
			r.every = name
		}
	}
	w, err := interval.Parse(r.every)
	if err != nil {
		return fmt.Errorf("bars of %s: there is no such interval, and so no candle that equals them; "+
			"read the file as trades (--kind trades --map price=...), or make bars of another width of it", cmp.Or(r.every, fmt.Sprintf("%ds", divisor)))
	}
	r.aligned = true
	for _, t := range times {
		at := time.UnixMicro(t.us)
		if zone := candidates(t.us, r.cfg.Zone); len(zone) > 0 && t.local {
			at = time.UnixMicro(zone[0])
		}
		r.aligned = r.aligned && w.Start(at).Equal(at)
	}
	return nil
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// usualWidths are the usual intervals of bars, the widest first.
var usualWidths = strings.Fields("1w 1d 12h 8h 6h 4h 3h 2h 1h 45m 30m 20m 15m 10m 5m 3m 2m 1m 30s 15s 10s 5s 1s")

// nameOf names the interval of so many seconds.
func nameOf(s int64) string {
	const day = 86400
	for _, m := range []struct {
		least, most int64
		name        string
	}{{28, 31, "1mo"}, {89, 92, "3mo"}, {181, 184, "6mo"}, {365, 366, "1y"}} {
		if s >= m.least*day-7200 && s <= m.most*day+7200 {
			return m.name
		}
	}
	for _, u := range []struct {
		seconds int64
		name    string
	}{{7 * day, "w"}, {day, "d"}, {3600, "h"}, {60, "m"}} {
		if s%u.seconds == 0 {
			return fmt.Sprintf("%d%s", s/u.seconds, u.name)
		}
	}
	return fmt.Sprintf("%ds", s)
}

// Mapping describes which columns are used for which fields.
func (r *Replay) Mapping() string {
	out := make([]string, len(r.layout.sets))
	for i, c := range r.layout.sets {
		out[i] = c.String()
	}
	return strings.Join(out, "; ")
}

// Describe says what was understood of the file, a line for each subject.
func (r *Replay) Describe() []string {
	l, c := r.layout, r.layout.sets[0]
	what := "header in line " + strconv.Itoa(l.skip)
	switch {
	case l.shape != "":
		what = "no header; the form is that of " + l.shape
	case r.file != nil && r.file.parquet != nil:
		what = "Parquet"
	case !l.header:
		what = "no header; the names are given"
	}
	out := []string{what, r.Mapping()}
	if r.file == nil || r.file.parquet == nil {
		decimal := map[byte]string{'.': "decimal point", ',': "decimal comma", 0: "decimal point, though no number shows one"}[r.numbers.decimal]
		out = append(out, fmt.Sprintf("separator %q, %s, rows %s", l.separator, decimal, r.order))
	}
	zone := fmt.Sprintf("times without a zone are in %s", r.cfg.Zone)
	if r.times.order != "" {
		zone += fmt.Sprintf("; in dates with slashes the %s comes first", r.times.order)
	}
	out = append(out, zone)
	if scale := r.cfg.scale("price", r.priceScale); scale != 1 {
		out = append(out, fmt.Sprintf("prices are in units of %v", scale))
	}
	if c.quotes {
		out = append(out, "the file has quotes and no trades: the price is the bid")
	}
	if strings.HasPrefix(l.shape, "HistData") {
		out = append(out, "HistData's times are EST all year: for UTC give --timezone Etc/GMT+5")
	}
	return append(out, r.describeBars(c)...)
}

func (r *Replay) describeBars(c *columns) (out []string) {
	if c.kind != Bars {
		return nil
	}
	w, err := interval.Parse(cmp.Or(r.every, "?"))
	switch {
	case err != nil:
		out = append(out, "the interval of the bars is not known")
	case !r.aligned:
		out = append(out, fmt.Sprintf("bars of %s, which do not begin where candles of %s begin", r.every, r.every))
	default:
		out = append(out, "bars of "+r.every)
	}
	if err == nil && w.Typical() > time.Minute {
		out = append(out, fmt.Sprintf("candles shorter than %s hold the whole bar at its start", r.every))
	}
	return out
}

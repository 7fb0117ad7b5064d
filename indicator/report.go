package indicator

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is what a check found.
type Report struct {
	Indicator string            `json:"indicator"`
	Params    map[string]string `json:"params"`
	Symbol    string            `json:"symbol"`
	Interval  string            `json:"interval"`
	From      time.Time         `json:"from"`
	To        time.Time         `json:"to"`
	// Bars were checked, and as many as BarsBefore precede them in the reference.
	Bars       int            `json:"bars"`
	BarsBefore int            `json:"bars_before"`
	Tolerance  float64        `json:"tolerance"`
	Checks     []Result       `json:"checks"`
	Series     []SeriesReport `json:"series"`
	Nulls      int            `json:"nulls"`
	NotFinite  int            `json:"not_finite"`
	Timing     Timing         `json:"timing"`
	// Notes are worth a look but fail nothing.
	Notes []string `json:"notes"`
}

// Result is one check.
type Result struct {
	Check  string `json:"check"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	// Advice says what to do where it failed.
	Advice string `json:"advice,omitempty"`
	// Worst is where readings were furthest apart, if they were compared.
	Worst *Difference `json:"worst,omitempty"`
}

// SeriesReport is what was seen of one series.
type SeriesReport struct {
	Series   string `json:"series"`
	Declared bool   `json:"declared"`
	Values   int    `json:"values"`
	// Without is how many of the checked bars have no value.
	Without int `json:"without"`
	// FirstBar is the bar of history, from 0, with the first value; nil when the
	// first bars have none.
	FirstBar *int `json:"first_bar"`
}

// Timing is in milliseconds, client and network included.
type Timing struct {
	// Range is the checked bars in one piece, warm-up included.
	Range   float64 `json:"ms_range"`
	Per1000 float64 `json:"ms_per_1000_bars"`
	// BarsPer1000 is what reading just the bars takes.
	BarsPer1000 float64 `json:"ms_per_1000_bars_read"`
	// Newest is the newest value alone.
	Newest float64 `json:"ms_newest_value"`
}

// Failed lists the checks that failed.
func (r *Report) Failed() []Result {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Result) bool { return c.OK })
}

// Print writes the report as tables.
func (r *Report) Print(w io.Writer) error {
	params := make([]string, 0, len(r.Params))
	for k, v := range r.Params {
		params = append(params, k+"="+v)
	}
	slices.Sort(params)
	fmt.Fprintf(w, "%s(%s) on %d bars of %s %s, from %s to %s, and %d bars before them\n\n",
		r.Indicator, strings.Join(params, ", "), r.Bars, r.Symbol, r.Interval, stamp(r.From), stamp(r.To), r.BarsBefore)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "CHECK\tRESULT\tDETAIL")
	for _, c := range r.Checks {
		state := "ok"
		if !c.OK {
			state = "FAILED"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", c.Check, state, c.Detail)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Series) > 0 {
		fmt.Fprintln(w)
		tw = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(tw, "SERIES\tVALUES\tBARS WITHOUT\tBARS OF HISTORY BEFORE THE FIRST")
		for _, s := range r.Series {
			first := "no value among the first"
			if s.FirstBar != nil {
				first = fmt.Sprint(*s.FirstBar)
			}
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\n", s.Series, s.Values, s.Without, first)
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(w, "\ntime: %.1f ms for the %d bars, %.1f per 1,000 (reading the bars alone: %.1f per 1,000), %.1f ms for the newest value\n",
			r.Timing.Range, r.Bars, r.Timing.Per1000, r.Timing.BarsPer1000, r.Timing.Newest)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note: %s\n", n)
	}
	return nil
}

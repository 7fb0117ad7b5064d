package indicator

import (
	"fmt"
	"math"
	"strings"
	"time"
)

func (c *checker) add(check string, faults, advice []string, fine string) {
	if len(faults) == 0 {
		c.report.Checks = append(c.report.Checks, Result{Check: check, OK: true, Detail: fine})
		return
	}
	c.fail(check, strings.Join(faults, ", "), strings.Join(advice, "; "))
}

func (c *checker) fail(check, detail, advice string) {
	c.report.Checks = append(c.report.Checks, Result{Check: check, Detail: detail, Advice: advice})
}

// judge makes the report of what was read.
func (c *checker) judge() {
	c.report.Checks = append(c.report.Checks, Result{Check: "runs", OK: true, Detail: fmt.Sprintf("%d evaluations", c.evaluated)})
	c.judgeRows()
	c.judgeValues()
	c.scale = scales(c.ref)
	c.judgeRepeat()
	c.judgeAhead()
	c.judgeWarmup()
	c.judgePieces()
	whole := milliseconds(min(c.base.took, c.again.took))
	c.report.Timing = Timing{
		Range:       whole,
		Per1000:     whole * 1000 / float64(len(c.bars)),
		BarsPer1000: milliseconds(c.plain) * 1000 / float64(len(c.bars)),
		Newest:      milliseconds(c.latest),
	}
}

func (c *checker) judgeRows() {
	var faults, advice []string
	for _, f := range []struct {
		n          int
		what, todo string
	}{
		{c.rows.outside, "outside from..to", `return only rows with bucket >= "from", and read bars up to "to"`},
		{c.rows.noBar, "at times that are no bar's", "return the bucket of the bar"},
		{c.rows.twice, "for a bucket and series that has one", "return one row a bar and series"},
		{c.rows.unsorted, "out of order", "end with ORDER BY bucket"},
		{c.rows.undated, "without a bucket", "return the bucket of the bar"},
	} {
		if f.n > 0 {
			faults, advice = append(faults, fmt.Sprintf("%d %s", f.n, f.what)), append(advice, f.todo)
		}
	}
	if len(faults) > 0 {
		faults = append(faults, "such as "+c.rows.example)
	}
	c.add("rows", faults, advice, "all within from..to, each at a bar, once, in order")
}

// judgeValues counts NULLs and the like, and what each series has.
func (c *checker) judgeValues() {
	var nulls, odd int
	example := ""
	seen := map[string]*SeriesReport{}
	var names []string // as the COMMENT has them, then as they came
	of := func(name string) *SeriesReport {
		if seen[name] == nil {
			seen[name] = &SeriesReport{Series: name}
			names = append(names, name)
		}
		return seen[name]
	}
	for _, s := range c.entry.Series {
		of(s.Name).Declared = true
	}
	for _, p := range c.base.points {
		s := of(p.Series)
		switch {
		case p.Missing:
			nulls++
		case math.IsNaN(p.Value) || math.IsInf(p.Value, 0):
			odd++
		default:
			s.Values++
			continue
		}
		if example == "" {
			example = fmt.Sprintf(", such as %s of %s", p.Series, stamp(p.Bucket))
		}
	}
	for _, s := range seen {
		s.Without = max(0, len(c.bars)-s.Values)
	}
	index := make(map[int64]int, len(c.oldest))
	for i, at := range c.oldest {
		index[at.UnixMicro()] = i
	}
	for _, p := range c.start.points {
		i, ok := index[p.Bucket.UnixMicro()]
		if s := of(p.Series); ok && !p.Missing && (s.FirstBar == nil || i < *s.FirstBar) {
			s.FirstBar = &i
		}
	}
	var undeclared, never []string
	for _, name := range names {
		s := seen[name]
		c.report.Series = append(c.report.Series, *s)
		if name == "" {
			name = "(no name)"
		}
		if !s.Declared {
			undeclared = append(undeclared, name)
		} else if s.Values == 0 {
			never = append(never, name)
		}
	}
	c.report.Nulls, c.report.NotFinite = nulls, odd

	var faults, advice []string
	if nulls > 0 {
		faults, advice = append(faults, fmt.Sprintf("%d NULL", nulls)), append(advice, "leave out the row where there is no value (value IS NOT NULL)")
	}
	if odd > 0 {
		faults, advice = append(faults, fmt.Sprintf("%d NaN or infinite", odd)), append(advice, "leave out the row where the formula has no finite value")
	}
	if len(faults) > 0 {
		faults[len(faults)-1] += example
	}
	if len(c.base.points) == 0 {
		faults, advice = append(faults, fmt.Sprintf("none in %d bars", len(c.bars))), append(advice, "check more bars than its first value needs")
	}
	c.add("values", faults, advice, fmt.Sprintf("%d, none NULL, NaN or infinite", len(c.base.points)))

	faults, advice = nil, nil
	if len(undeclared) > 0 {
		list := strings.Join(undeclared, ", ")
		faults, advice = append(faults, "not in the COMMENT: "+list), append(advice, "add @series lines for "+list)
	}
	if len(never) > 0 {
		list := strings.Join(never, ", ")
		faults, advice = append(faults, "in the COMMENT, but never seen: "+list), append(advice, "take its @series line away, or check bars in which it has a value")
	}
	c.add("series", faults, advice, strings.Join(names, ", "))
}

// judgeRepeat checks that the same call returns the same values.
func (c *checker) judgeRepeat() {
	var a agreement
	c.compare(&a, c.again, c.base)
	c.agree("repeat", &a, "the same when read again", "use nothing but the bars and the parameters: no random(), no clock")
}

// judgeAhead checks that a value does not depend on bars after its own: it must be
// the same without them.
func (c *checker) judgeAhead() {
	var a agreement
	for _, r := range c.cuts {
		c.compare(&a, r, c.base)
	}
	c.agree("look-ahead", &a, fmt.Sprintf("the same with %d earlier ends", len(c.cuts)),
		`use only the bar itself and bars before it: no lead(), no FOLLOWING, no aggregate over the whole range`)
}

// judgeWarmup compares values near where a reading began with those of a reading
// that began long before: the recursion bias.
func (c *checker) judgeWarmup() {
	var a agreement
	whole := false // disagrees to the end even from the first checked bar
	for _, r := range c.probes {
		var one agreement
		c.compare(&one, r, c.ref)
		whole = whole || one.toEnd && r.first == 0
		a.merge(one)
	}
	advice := fmt.Sprintf(`read about %d bars more before "from" (warmup => ...)`, a.reach)
	switch {
	case whole && len(c.all) > len(c.bars):
		advice = fmt.Sprintf("it has not settled after %d bars: it depends on where reading begins; read all it needs, or sum over a fixed number of bars", len(c.bars))
	case a.toEnd && a.reach > 1:
		advice = fmt.Sprintf(`read at least %d bars more before "from" (warmup => ...), and check with more --bars`, a.reach)
	}
	fine := fmt.Sprintf("from %d starts as from %d bars before", len(c.probes), len(c.all)-len(c.bars))
	if len(c.all) == len(c.bars) {
		fine = fmt.Sprintf("from %d starts as from the beginning of history", len(c.probes))
	}
	c.agree("warm-up", &a, fine, advice)
	if len(c.all) == len(c.bars) {
		c.report.Notes = append(c.report.Notes, fmt.Sprintf("%s has no more than %d bars of %s, so warm-ups beyond them were not seen", c.cfg.Symbol, len(c.bars), c.cfg.Interval))
	}
}

// judgePieces compares one reading of the range with several.
func (c *checker) judgePieces() {
	var a agreement
	c.compare(&a, c.pieces, c.base)
	c.agree("pieces", &a, "the same when read in pieces",
		`values must not depend on "from" and "to"; correct warm-up and look-ahead first, if they failed, then check "from" <= bucket < "to"`)
}

func (c *checker) agree(check string, a *agreement, fine, advice string) {
	res := Result{Check: check, OK: a.ok(), Worst: a.worst}
	var parts []string
	if a.apart > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d values differ, by up to %.1e: %s, %d bars after from", a.apart, a.compared, a.worst.Relative, a.worst, a.worst.BarsAfterFrom))
	}
	if a.missing > 0 {
		parts = append(parts, fmt.Sprintf("%d missing", a.missing))
	}
	if a.extra > 0 {
		parts = append(parts, fmt.Sprintf("%d that are else not there", a.extra))
	}
	if a.example != "" {
		parts = append(parts, "such as "+a.example)
	}
	if res.OK {
		res.Detail = fine
		if a.worst != nil && a.worst.Relative > 0 {
			res.Detail += fmt.Sprintf(", to %.1e (%s of %s, %d bars after from)", a.worst.Relative, a.worst.Series, stamp(a.worst.Bucket), a.worst.BarsAfterFrom)
		} else {
			res.Detail += ", exactly"
		}
	} else {
		res.Detail, res.Advice = strings.Join(parts, ", "), advice
	}
	c.report.Checks = append(c.report.Checks, res)
}

// merge adds what another reading showed.
func (a *agreement) merge(b agreement) {
	a.compared, a.apart, a.missing, a.extra = a.compared+b.compared, a.apart+b.apart, a.missing+b.missing, a.extra+b.extra
	if b.worst != nil && (a.worst == nil || b.worst.Relative > a.worst.Relative) {
		a.worst = b.worst
	}
	if a.example == "" {
		a.example = b.example
	}
	if b.reach > a.reach {
		a.reach, a.toEnd = b.reach, b.toEnd
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

package indicator

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hypertick/hypertick/db"
)

// reading is one evaluation.
type reading struct {
	from, to time.Time
	// first is the index, among the checked bars, of the one at from.
	first  int
	points []db.EvaluateRawRow
	took   time.Duration
}

// key is where a value belongs.
type key struct {
	bucket int64
	series string
}

func keyOf(p db.EvaluateRawRow) key { return key{p.Bucket.UnixMicro(), p.Series} }

// values are the points that have a time and a value.
func (r reading) values() map[key]float64 {
	m := make(map[key]float64, len(r.points))
	for _, p := range r.points {
		if p.Dated && !p.Missing {
			m[keyOf(p)] = p.Value
		}
	}
	return m
}

// rowFaults counts rows that break the rules whatever their values.
type rowFaults struct {
	outside, noBar, twice, unsorted, undated int
	// example is the first of them.
	example string
}

func (f *rowFaults) count(r reading, isBar map[int64]bool) {
	seen := make(map[key]bool, len(r.points))
	var last time.Time
	for i, p := range r.points {
		fault := ""
		switch {
		case !p.Dated:
			f.undated++
			fault = "has no bucket"
		case p.Bucket.Before(r.from) || !p.Bucket.Before(r.to):
			f.outside++
			fault = "is outside"
		case !isBar[p.Bucket.UnixMicro()]:
			f.noBar++
			fault = "is at no bar"
		case seen[keyOf(p)]:
			f.twice++
			fault = "is there twice"
		case i > 0 && p.Bucket.Before(last):
			f.unsorted++
			fault = "comes after a later one"
		}
		if p.Dated {
			last = p.Bucket
			seen[keyOf(p)] = true
		}
		if fault != "" && f.example == "" {
			f.example = fmt.Sprintf("%s of %s %s, read from %s to %s", p.Series, stamp(p.Bucket), fault, stamp(r.from), stamp(r.to))
		}
	}
}

// Number is a float64 that JSON can carry when it is not finite, as text.
type Number float64

// MarshalJSON writes a number, or "NaN", "+Inf" or "-Inf".
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(fmt.Sprint(f))
	}
	return json.Marshal(float64(n))
}

// Difference is where two readings of the same bar are furthest apart.
type Difference struct {
	// Relative is to the value, or to the mean size of its series where the
	// value is nearer to 0 than that.
	Relative float64   `json:"relative"`
	Series   string    `json:"series"`
	Bucket   time.Time `json:"bucket"`
	Got      Number    `json:"got"`
	Want     Number    `json:"want"`
	// BarsAfterFrom is how far it is from where the reading began.
	BarsAfterFrom int `json:"bars_after_from"`
}

func (d *Difference) String() string {
	return fmt.Sprintf("%s of %s: %v, else %v", d.Series, stamp(d.Bucket), d.Got, d.Want)
}

// agreement sums up how readings agree with a reference.
type agreement struct {
	compared int
	// apart, missing and extra count values: over tolerance, only in the
	// reference, and only in the reading.
	apart, missing, extra int
	worst                 *Difference
	example               string // of a missing or extra one
	// reach is how many bars after from the last disagreement was; toEnd says
	// that this was the newest bar.
	reach int
	toEnd bool
}

func (a *agreement) ok() bool { return a.apart+a.missing+a.extra == 0 }

// compare holds a reading against the reference, over the bars of both.
func (c *checker) compare(a *agreement, got, want reading) {
	from, to := maxTime(got.from, want.from), minTime(got.to, want.to)
	inside := func(k key) bool { return k.bucket >= from.UnixMicro() && k.bucket < to.UnixMicro() }
	first, _ := slices.BinarySearchFunc(c.bars, got.from, time.Time.Compare)
	after := func(k key) int {
		i, _ := slices.BinarySearchFunc(c.bars, time.UnixMicro(k.bucket), time.Time.Compare)
		return i - first
	}
	bad := func(k key) {
		if n := after(k) + 1; n > a.reach {
			a.reach, a.toEnd = n, first+n == len(c.bars)
		}
	}
	g, w := got.values(), want.values()
	for k, x := range g {
		if !inside(k) {
			continue
		}
		y, ok := w[k]
		if !ok {
			a.extra++
			bad(k)
			a.name(k, "is there, else not", got)
			continue
		}
		a.compared++
		rel := relative(x, y, c.scale[k.series])
		if rel > c.cfg.Tolerance {
			a.apart++
			bad(k)
		}
		if a.worst == nil || rel > a.worst.Relative || rel == a.worst.Relative && k.bucket < a.worst.Bucket.UnixMicro() {
			a.worst = &Difference{rel, k.series, time.UnixMicro(k.bucket).UTC(), Number(x), Number(y), after(k)}
		}
	}
	for k := range w {
		if _, ok := g[k]; !ok && inside(k) {
			a.missing++
			bad(k)
			a.name(k, "is missing, expected", got)
		}
	}
}

func (a *agreement) name(k key, what string, r reading) {
	s := fmt.Sprintf("%s of %s %s, read from %s to %s", k.series, stamp(time.UnixMicro(k.bucket)), what, stamp(r.from), stamp(r.to))
	if a.example == "" || s < a.example {
		a.example = s
	}
}

// relative is how far x is from y, on the scale of its series where y is near 0:
// a MACD that crosses 0 is a difference of prices, not a small price.
func relative(x, y, scale float64) float64 {
	if x == y || math.IsNaN(x) && math.IsNaN(y) {
		return 0
	}
	d := math.Abs(x-y) / max(math.Abs(x), math.Abs(y), scale)
	if math.IsNaN(d) || math.IsInf(d, 0) {
		return math.MaxFloat64 // JSON has no infinity
	}
	return d
}

// scales are the mean sizes of the values of each series.
func scales(r reading) map[string]float64 {
	sum, n := map[string]float64{}, map[string]float64{}
	for _, p := range r.points {
		if p.Dated && !p.Missing && !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) {
			n[p.Series]++
			sum[p.Series] += (math.Abs(p.Value) - sum[p.Series]) / n[p.Series]
		}
	}
	return sum
}

// distinct sorts, and drops what is there twice.
func distinct[T cmp.Ordered](x ...T) []T {
	slices.Sort(x)
	return slices.Compact(x)
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.999999Z") }

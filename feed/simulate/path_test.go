package simulate

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// A path is a function of time: what was asked before does not matter.
func TestPathIsAFunction(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		key := rapid.Uint64().Draw(rt, "key")
		span := rapid.Int64Range(1, 1<<44).Draw(rt, "span")
		times := rapid.SliceOfN(rapid.Int64Range(1.7e15, 1.7e15+span), 1, 50).Draw(rt, "times")
		used := newPath(key)
		for _, at := range times {
			fresh := newPath(key)
			if a, b := used.at(at), fresh.at(at); a != b {
				rt.Fatalf("at %d: %v after other times, %v at first", at, a, b)
			}
		}
	})
}

// Over any span the variance is the span's share of a year, and steps do not
// depend on each other: a random walk.
func TestPathIsARandomWalk(t *testing.T) {
	const start = int64(1.79e15)
	for _, span := range []int64{1, 60, 3600, 86400, 5 * 86400} {
		steps := min(5000, 4000*86400/span)
		var squares, products, n float64
		for k := range uint64(40) {
			p := newPath(mix(k))
			last, before := p.at(start), 0.0
			for i := range steps {
				x := p.at(start + (i+1)*span*1e6)
				squares += (x - last) * (x - last)
				products += (x - last) * before
				before, last = x-last, x
				n++
			}
		}
		variance := squares / n * 365.25 * 86400 / float64(span)
		if variance < 0.8 || variance > 1.25 {
			t.Errorf("steps of %d s: variance %.3f a year, want 1", span, variance)
		}
		if r := products / squares; math.Abs(r) > 0.05 {
			t.Errorf("steps of %d s: correlation %.3f with the step before, want 0", span, r)
		}
	}
}

// In the long run a path neither drifts away nor jumps where blocks meet.
func TestPathStaysAndIsContinuous(t *testing.T) {
	var squares, n float64
	for k := range uint64(200) {
		p := newPath(mix(k))
		for block := int64(1000); block < 1600; block += 40 {
			x := p.at(block << blockBits)
			squares += x * x
			n++
			if d := math.Abs(x - p.at(block<<blockBits-1)); d > 1e-3 {
				t.Fatalf("path %d jumps by %v into block %d", k, d, block)
			}
		}
	}
	// Linear fading over memory blocks leaves a third of their variance.
	if want, got := memory/blocksPerYear/3, squares/n; got < 0.8*want || got > 1.25*want {
		t.Errorf("variance %.3f around 0, want about %.3f", got, want)
	}
}

func TestCompanies(t *testing.T) {
	all := Companies(MaxSymbols + 5)
	seen := map[string]bool{}
	for _, c := range all {
		if seen[c.Symbol] || len(c.Symbol) > 5 || c.Price < 0.5 || c.Volatility < 0.1 || c.Volatility > 0.7 || !(c.Activity > 0) {
			t.Errorf("%+v", c)
		}
		seen[c.Symbol] = true
	}
	if len(all) != MaxSymbols || all[0].Symbol != "AAPL" {
		t.Errorf("%d companies, the first is %s", len(all), all[0].Symbol)
	}
	few := Companies(3)
	few[0].Price = 0
	if Companies(1)[0].Price == 0 {
		t.Error("the table can be changed from outside")
	}
}

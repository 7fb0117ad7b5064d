package api

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db/dbtest"
)

func TestCursor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		us := rapid.Int64Range(minMicros, maxMicros)
		from := us.Draw(t, "from")
		c := cursor{
			Kind: kindTicks, Symbol: rapid.OneOf(rapid.StringMatching("[!-~]{1,64}"), rapid.SampledFrom(dbtest.OddSymbols)).Draw(t, "symbol"), From: &from,
			At: &position{TS: us.Draw(t, "ts"), Seq: rapid.Int64().Draw(t, "seq"), Venue: rapid.StringMatching("[!-~]{1,16}").Draw(t, "venue")},
		}
		s := c.String()
		got, err := parseCursor(s)
		if err != nil || got.Symbol != c.Symbol || *got.From != from || *got.At != *c.At || got.To != nil {
			t.Fatalf("%s: got %+v, %v", s, got, err)
		}
		// Any one byte changed is noticed.
		b := []byte(s)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "byte")
		b[i] = rapid.Byte().Draw(t, "other")
		if string(b) == s {
			return
		}
		if _, err := parseCursor(string(b)); err == nil {
			t.Fatalf("took %s for %s", b, s)
		}
	})
}

func FuzzCursor(f *testing.F) {
	f.Add(cursor{Kind: kindSymbols, Symbol: "A", Search: "B"}.String())
	f.Add(cursor{Kind: kindCandles, Symbol: "A", Interval: "5m", At: &position{TS: 1}}.String())
	f.Add("AQ")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := parseCursor(s)
		if err != nil {
			return
		}
		if again, err := parseCursor(c.String()); err != nil || again.Symbol != c.Symbol {
			t.Errorf("%+v does not come back: %v", c, err)
		}
	})
}

package cli

import "testing"

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain, BTC/USDT and 币安": "plain, BTC/USDT and 币安",
		"\x1b]0;title\a":         `\x1b]0;title\a`,
		"a\tb\nc\rd":             `a\tb\nc\rd`,
		"c1 \u009b2J":            `c1 \u009b2J`,
		"right \u202e to left":   `right \u202e to left`,
		"not \xff UTF-8":         `not \xff UTF-8`,
		"del \x7f":               `del \x7f`,
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

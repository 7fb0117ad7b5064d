package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypertick/hypertick/feed"
)

// wantSymbol is the rule for symbols, the same at every door.
var wantSymbol = fmt.Sprintf("want 1 to %d bytes of printable UTF-8 without a space at either end", feed.MaxSymbolLen)

// SymbolPath is the symbol of a path. Exported, as is RangeQuery, because huma
// finds parameters of embedded structs only then.
type SymbolPath struct {
	Symbol SymbolName `path:"symbol" doc:"Symbol: 1 to 64 bytes of printable UTF-8 without a space at either end, percent-encoded where it must be: BTC%2FUSDT is BTC/USDT. Case matters." example:"AAPL"`
}

// SymbolName is a parameter that names a symbol. Exported as SymbolPath is.
type SymbolName string

// Schema describes it in the OpenAPI document, which counts characters. The
// bytes are for Resolve, whose refusal says the whole rule.
func (SymbolName) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Extensions: map[string]any{"minLength": 1, "maxLength": feed.MaxSymbolLen}}
}

// Resolve refuses what can be no symbol.
func (n SymbolName) Resolve(huma.Context, *huma.PathBuffer) []error {
	if feed.ValidSymbol(string(n)) {
		return nil
	}
	return []error{&huma.ErrorDetail{Location: "path.symbol", Message: wantSymbol, Value: string(n)}}
}

// link is the address of the next page of a resource of the symbol, but for
// the cursor.
func (p *SymbolPath) link(resource, interval string, limit int) string {
	q := "?"
	if interval != "" {
		q += "interval=" + interval + "&"
	}
	return fmt.Sprintf("/v1/symbols/%s/%s%slimit=%d&", url.PathEscape(string(p.Symbol)), resource, q, limit)
}

// unescaped gives operations the parameters of the path decoded. Fiber splits the
// path before it is decoded, because the slash of BTC%2FUSDT would otherwise end the symbol.
// Fiber's own UnescapePath decodes it first, and a plus sign to a space.
type unescaped struct{ humaContext }

// humaContext is another name, for huma.Context has a method of that name.
type humaContext = huma.Context

func unescapePath(ctx huma.Context, next func(huma.Context)) { next(unescaped{ctx}) }

func (c unescaped) Param(name string) string {
	raw := c.humaContext.Param(name)
	if s, err := url.PathUnescape(raw); err == nil {
		return s
	}
	return raw
}

// Unwrap is how humafiber finds the request of Fiber.
func (c unescaped) Unwrap() huma.Context { return c.humaContext }

// maxSymbols is how many symbols a list may have.
const maxSymbols = 200

// symbolList reads a parameter that may be given several times, each a list of
// symbols separated by commas. A backslash takes the meaning off the character
// after it: A\,B is one symbol, and \* is the symbol *, where * means all.
func symbolList(location string, values []string, valid func(string) bool, want string) ([]string, error) {
	var out []string
	for _, v := range values {
		for _, item := range splitList(v) {
			symbol := unescapeItem(item)
			if item == "*" || !valid(symbol) {
				return nil, invalid(location, want+", or * alone", symbol)
			}
			if out = append(out, symbol); len(out) > maxSymbols {
				return nil, invalid(location, fmt.Sprintf("want at most %d", maxSymbols), nil)
			}
		}
	}
	return out, nil
}

// splitList cuts a list at the commas without a backslash before them.
func splitList(s string) []string {
	var out []string
	start := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case ',':
			out = append(out, s[start:i])
			start = i + 1
		}
	}
	return append(out, s[start:])
}

// unescapeItem takes out the backslashes that mark the character after them.
func unescapeItem(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// everySymbol reports whether a list stands for all symbols: it is absent, or * alone.
func everySymbol(values []string) bool {
	return len(values) == 0 || slices.Equal(values, []string{"*"})
}

func unknownSymbol(symbol string) *Problem {
	return problem(http.StatusNotFound, "There is no symbol "+symbol+"; /v1/symbols lists those there are. Case matters.",
		&huma.ErrorDetail{Location: "path.symbol", Message: "unknown symbol", Value: symbol})
}

package replay

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the kind of the rows.
type Kind string

// The kinds of rows.
const (
	Trades Kind = "trades"
	Bars   Kind = "bars"
)

// known are the usual names of each field, normalized by header, the preferred
// one first.
var known = map[string][]string{
	"ts": {
		"ts", "timestamp", "datetime", "opentime", "tradetime", "transacttime", "time", "date",
		"unixtime", "unixtimestamp", "unix", "epoch", "localtime", "gmttime", "bucket", "t",
	},
	"price":  {"price", "px", "lastprice", "tradeprice", "last", "p"},
	"size":   {"size", "qty", "quantity", "volume", "vol", "amount", "lastsize", "shares", "q"},
	"seq":    {"seq", "sequence", "sequencenumber", "tradeid", "aggtradeid", "aggregatetradeid", "id", "tid"},
	"symbol": {"symbol", "ticker", "sym", "instrument", "pair"},
	"venue":  {"venue", "exchange", "exch", "mic"},
	"open":   {"open", "openprice", "o"},
	"high":   {"high", "highprice", "max", "h"},
	"low":    {"low", "lowprice", "min", "l"},
	"close":  {"close", "closeprice", "closelast", "c"},
	"volume": {"volume", "vol", "basevolume", "qty", "quantity", "size", "v"},
}

var prices = [4]string{"open", "high", "low", "close"}

// header normalizes the name of a column: `Open_Time` is `opentime`.
func header(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r > 0x7f && r != '\ufeff':
			return r
		}
		return -1
	}, name)
}

// columns holds the column of each field, -1 for none.
type columns struct {
	kind                            Kind
	names                           []string
	ts, clock                       int // clock is the time of day where ts is only the date
	price, size, seq, symbol, venue int
	bar                             [4]int // open, high, low, close
}

// find finds the columns of the fields in a header. mapped overrides them.
func find(names []string, kind Kind, mapped map[string]string) (*columns, error) {
	c := &columns{kind: kind, names: names, clock: -1}
	for field := range mapped {
		if known[field] == nil {
			return nil, fmt.Errorf("map: there is no field %q; there are ts, price, size, seq, symbol, venue, open, high, low, close, volume", field)
		}
	}
	var failed error
	get := func(field string) int {
		if want, ok := mapped[field]; ok {
			if want == "" {
				return -1
			}
			at := slices.Index(names, want)
			if at < 0 {
				at = slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), strings.TrimSpace(want)) })
			}
			if at < 0 && failed == nil && !(field == "ts" && strings.Contains(want, "+")) {
				failed = fmt.Errorf("map: there is no column %q for %s; there are %s", want, field, list(names))
			}
			return at
		}
		for _, name := range known[field] {
			if at := slices.IndexFunc(names, func(n string) bool { return header(n) == name }); at >= 0 {
				return at
			}
		}
		if field == "volume" || field == "size" { // Volume BTC, Volume USDT: the first is in units
			return slices.IndexFunc(names, func(n string) bool { return strings.HasPrefix(header(n), "volume") })
		}
		return -1
	}
	for i, field := range prices {
		c.bar[i] = get(field)
	}
	isBar := !slices.Contains(c.bar[:], -1)
	c.price = get("price")
	if c.kind == "" {
		c.kind = Trades
		if isBar {
			c.kind = Bars
		}
	}
	c.ts, c.symbol, c.venue, c.seq = get("ts"), get("symbol"), get("venue"), get("seq")
	c.size = get(map[Kind]string{Trades: "size", Bars: "volume"}[c.kind])
	if c.kind == Bars {
		c.seq = -1 // numbered by row: each is four ticks
	}
	if failed == nil {
		failed = c.findClock(mapped["ts"])
	}
	if failed == nil {
		failed = c.check(isBar, mapped)
	}
	return c, failed
}

// findClock finds date and time of day in separate columns.
func (c *columns) findClock(mapped string) error {
	date, clock := "date", "time"
	if first, second, two := strings.Cut(mapped, "+"); c.ts < 0 && two {
		date, clock = header(first), header(second)
	} else if c.ts < 0 || mapped != "" || (header(c.names[c.ts]) != "time" && header(c.names[c.ts]) != "date") {
		return nil
	}
	at := func(name string) int {
		return slices.IndexFunc(c.names, func(n string) bool { return header(n) == name })
	}
	d, t := at(date), at(clock)
	if d >= 0 && t >= 0 {
		c.ts, c.clock = d, t
	} else if c.ts < 0 {
		return fmt.Errorf("map: there are no columns %q for ts; there are %s", mapped, list(c.names))
	}
	return nil
}

func (c *columns) check(isBar bool, mapped map[string]string) error {
	missing := ""
	switch {
	case c.kind != Trades && c.kind != Bars:
		return fmt.Errorf("kind: want trades or bars, got %q", c.kind)
	case c.ts < 0:
		missing = "ts"
	case c.kind == Trades && c.price < 0:
		missing = "price"
	case c.kind == Bars && !isBar:
		missing = prices[slices.Index(c.bar[:], -1)]
	case c.kind == Bars && mapped["seq"] != "":
		return fmt.Errorf("map: bars are numbered by row, they take no seq")
	}
	if missing != "" {
		return fmt.Errorf("no column found for %s among %s; name it with %s=<column>, or is the header missing?", missing, list(c.names), missing)
	}
	return nil
}

func list(names []string) string {
	if len(names) > 20 {
		names = append(slices.Clone(names[:20]), "…")
	}
	return strings.Join(names, ", ")
}

// String describes which column is used for which field.
func (c *columns) String() string {
	var b strings.Builder
	b.WriteString(string(c.kind) + ":")
	field := func(name string, at int) {
		if at >= 0 {
			fmt.Fprintf(&b, " %s=%s", name, c.names[at])
		}
	}
	field("ts", c.ts)
	if c.clock >= 0 {
		b.WriteString("+" + c.names[c.clock])
	}
	if c.kind == Bars {
		for i, name := range prices {
			field(name, c.bar[i])
		}
		field("volume", c.size)
	} else {
		field("price", c.price)
		field("size", c.size)
		field("seq", c.seq)
	}
	field("symbol", c.symbol)
	field("venue", c.venue)
	return b.String()
}

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

// field is what a column can hold.
type field int

const (
	fTime field = iota
	fClock
	fPrice
	fSize
	fSeq
	fSymbol
	fVenue
	fOpen
	fHigh
	fLow
	fClose
	fVolume
	fVWAP
	fQuoteVolume
	fEnd
	fSide
	fMaker
	fConditions
	fCorrection
	fAction
	fFlags
	fBid
	fAsk
	fBidSize
	fPeriod
	fields
)

// usual are the usual names of the fields, normalized by header, the preferred
// one first. The first 12 and those with a name for --map can be mapped.
var usual = [fields]struct {
	name  string
	names []string
}{
	fTime: {"ts", []string{
		"ts", "siptimestamp", "tsevent", "timestamp", "datetime", "opentime", "tradetime", "transacttime", "windowstart", "snappedat",
		"unix", "unixtime", "unixtimestamp", "time", "date", "epoch", "localtime", "gmttime", "utc", "tsrecv", "participanttimestamp", "bucket", "t",
	}},
	fClock:       {"", nil},
	fPrice:       {"price", []string{"price", "px", "lastprice", "tradeprice", "last", "rate", "p"}},
	fSize:        {"size", []string{"size", "qty", "quantity", "volume", "vol", "amount", "lastsize", "lastqty", "shares", "basevolume", "q", "s", "v"}},
	fSeq:         {"seq", []string{"seq", "sequence", "sequencenumber", "tradeid", "aggtradeid", "aggregatetradeid", "id", "tid", "i"}},
	fSymbol:      {"symbol", []string{"symbol", "ticker", "sym", "instrument", "pair"}},
	fVenue:       {"venue", []string{"venue", "exchange", "exch", "mic", "x"}},
	fOpen:        {"open", []string{"open", "openprice", "o"}},
	fHigh:        {"high", []string{"high", "highprice", "max", "h"}},
	fLow:         {"low", []string{"low", "lowprice", "min", "l"}},
	fClose:       {"close", []string{"close", "closeprice", "closelast", "c", "ltp"}},
	fVolume:      {"volume", []string{"volume", "vol", "basevolume", "qty", "quantity", "size", "shares", "tradedvolume", "totaltradedquantity", "v", "tickvol"}},
	fVWAP:        {"vwap", []string{"vwap", "vw", "weightedaverage", "volumeweightedaverageprice"}},
	fQuoteVolume: {"quote_volume", []string{"quotevolume", "quoteassetvolume", "quoteqty", "turnover"}},
	fEnd:         {"", []string{"closetime"}},
	fSide:        {"side", []string{"side", "takerside", "aggressor", "aggressorside"}},
	fMaker:       {"is_buyer_maker", []string{"isbuyermaker", "buyermaker", "m"}},
	fConditions:  {"conditions", []string{"conditions", "condition", "saleconditions", "salecondition", "tradeconditions"}},
	fCorrection:  {"correction", []string{"correction", "corr", "trcorr", "correctionindicator", "tradecorrectionindicator"}},
	fAction:      {"", []string{"action"}},
	fFlags:       {"", []string{"flags"}},
	fBid:         {"bid", []string{"bid", "bidprice"}},
	fAsk:         {"ask", []string{"ask", "askprice", "offer"}},
	fBidSize:     {"", []string{"bidvolume", "bidsize", "bidvol"}},
	fPeriod:      {"", []string{"per", "period", "timeframe"}},
}

var prices = [4]field{fOpen, fHigh, fLow, fClose}

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
	kind   Kind
	names  []string
	plain  []string // names, normalized
	at     [fields]int
	symbol string // of all its rows, where the header names it
	quotes bool   // the price is that of a quote
}

// find finds the columns of the fields in a header. mapped overrides them.
func find(names []string, kind Kind, mapped map[string]string) (*columns, error) {
	c := &columns{kind: kind, names: names}
	for _, n := range names {
		c.plain = append(c.plain, header(n))
	}
	for name := range mapped {
		if name == "" || !slices.ContainsFunc(usual[:], func(u struct {
			name  string
			names []string
		}) bool {
			return u.name == name
		}) {
			return nil, fmt.Errorf("map: there is no field %q; there are %s", name, strings.Join(mappable(), ", "))
		}
	}
	for f := range fields {
		var err error
		if c.at[f], err = c.column(f, mapped); err != nil {
			return nil, err
		}
	}
	c.settle(mapped)
	if err := c.findClock(mapped["ts"]); err != nil {
		return nil, err
	}
	return c, c.check(mapped)
}

func mappable() (out []string) {
	for _, u := range usual {
		if u.name != "" {
			out = append(out, u.name)
		}
	}
	return out
}

// column finds one field.
func (c *columns) column(f field, mapped map[string]string) (int, error) {
	if want, ok := mapped[usual[f].name]; ok && usual[f].name != "" {
		if want == "" {
			return -1, nil
		}
		at := slices.Index(c.names, want)
		if at < 0 {
			at = slices.IndexFunc(c.names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), strings.TrimSpace(want)) })
		}
		if at < 0 && (f != fTime || !strings.Contains(want, "+")) {
			return -1, fmt.Errorf("map: there is no column %q for %s; there are %s", want, usual[f].name, list(c.names))
		}
		return at, nil
	}
	for _, name := range usual[f].names {
		if at := slices.Index(c.plain, name); at >= 0 {
			return at, nil
		}
	}
	if f == fVolume || f == fSize { // Volume BTC, Volume USDT: the first is in units
		return slices.IndexFunc(c.plain, func(n string) bool { return strings.HasPrefix(n, "volume") }), nil
	}
	return -1, nil
}

// settle decides what depends on more than one column.
func (c *columns) settle(mapped map[string]string) {
	at := &c.at
	if at[fClose] < 0 && at[fOpen] >= 0 && at[fHigh] >= 0 && at[fLow] >= 0 {
		at[fClose] = at[fPrice] // the price of a bar is its close
	}
	if c.kind == "" {
		c.kind = Trades
		if c.isBar() {
			c.kind = Bars
		}
	}
	if c.kind == Bars {
		at[fSize], at[fSeq] = at[fVolume], -1 // numbered by time: each is four ticks
		at[fSide], at[fMaker], at[fConditions], at[fCorrection], at[fAction] = -1, -1, -1, -1, -1
		return
	}
	at[fVWAP], at[fQuoteVolume], at[fEnd] = -1, -1, -1
	if at[fConditions] < 0 && at[fOpen] < 0 && mapped["conditions"] == "" && slices.Contains(c.plain, "p") {
		at[fConditions] = slices.Index(c.plain, "c")
	}
	if at[fPrice] < 0 && at[fBid] >= 0 && at[fAsk] >= 0 && mapped["price"] == "" {
		at[fPrice], c.quotes = at[fBid], true
		if at[fBidSize] >= 0 && mapped["size"] == "" {
			at[fSize] = at[fBidSize]
		}
	}
}

func (c *columns) isBar() bool {
	return c.at[fOpen] >= 0 && c.at[fHigh] >= 0 && c.at[fLow] >= 0 && c.at[fClose] >= 0
}

// findClock finds date and time of day in separate columns.
func (c *columns) findClock(mapped string) error {
	c.at[fClock] = -1
	date, clock := "date", "time"
	if first, second, two := strings.Cut(mapped, "+"); c.at[fTime] < 0 && two {
		date, clock = header(first), header(second)
	} else if c.at[fTime] < 0 || mapped != "" || (c.plain[c.at[fTime]] != "time" && c.plain[c.at[fTime]] != "date") {
		return nil
	}
	d, t := slices.Index(c.plain, date), slices.Index(c.plain, clock)
	if d >= 0 && t >= 0 {
		c.at[fTime], c.at[fClock] = d, t
	} else if c.at[fTime] < 0 {
		return fmt.Errorf("map: there are no columns %q for ts; there are %s", mapped, list(c.names))
	}
	return nil
}

func (c *columns) check(mapped map[string]string) error {
	missing := ""
	switch {
	case c.kind != Trades && c.kind != Bars:
		return fmt.Errorf("kind: want trades or bars, got %q", c.kind)
	case c.at[fTime] < 0:
		missing = "ts"
	case c.kind == Trades && c.at[fPrice] < 0:
		missing = "price"
	case c.kind == Bars && !c.isBar():
		for _, f := range prices {
			if c.at[f] < 0 {
				missing = usual[f].name
				break
			}
		}
	case c.kind == Bars && mapped["seq"] != "":
		return fmt.Errorf("map: bars are numbered by their time, they take no seq")
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
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = clip(strings.ToValidUTF8(n, "?"))
	}
	return strings.Join(out, ", ")
}

// used are the fields of a kind of rows, in the order in which they are told.
var used = map[Kind][]field{
	Trades: {fPrice, fSize, fSeq, fSymbol, fVenue, fSide, fMaker, fConditions, fCorrection, fAction},
	Bars:   {fOpen, fHigh, fLow, fClose, fSize, fVWAP, fQuoteVolume, fSymbol, fVenue},
}

// String describes which column is used for which field.
func (c *columns) String() string {
	var b strings.Builder
	b.WriteString(string(c.kind) + ": ts=" + strings.TrimSpace(c.names[c.at[fTime]]))
	if at := c.at[fClock]; at >= 0 {
		b.WriteString("+" + strings.TrimSpace(c.names[at]))
	}
	for _, f := range used[c.kind] {
		name := usual[f].name
		switch {
		case c.at[f] < 0:
			continue
		case f == fSize && c.kind == Bars:
			name = "volume"
		case f == fAction:
			name = "action"
		}
		fmt.Fprintf(&b, " %s=%s", name, strings.TrimSpace(c.names[c.at[f]]))
	}
	if c.symbol != "" {
		fmt.Fprintf(&b, " symbol %s", c.symbol)
	}
	return b.String()
}

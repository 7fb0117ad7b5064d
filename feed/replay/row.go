package replay

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// RowError is the error of an invalid row.
type RowError struct {
	File   string
	Line   int
	Column string // "" if the whole row is invalid
	Want   string // what was expected, and what was found instead
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Want)
	}
	return fmt.Sprintf("%s:%d: column %q: %s", e.File, e.Line, e.Column, e.Want)
}

// cellError is a RowError that does not know its file and line yet.
type cellError struct {
	name string // of the column
	want string
}

func (e *cellError) Error() string { return e.want }

func (c *columns) errorf(at int, format string, args ...any) error {
	name := ""
	if at >= 0 {
		name = c.names[at]
	}
	return &cellError{name, fmt.Sprintf(format, args...)}
}

// item is what a row says of one symbol: a trade or a bar.
type item struct {
	src        *source
	ts, ns     int64 // microseconds since 1970, and the nanoseconds left
	price      [4]float64
	size, vwap float64
	seq        int64 // of the file; else of the content, and then set late
	numbered   bool
	bar        bool
	side       feed.Side
	kind       feed.Kind
	conditions string
	line, run  int
}

// sum is a hash of what tells two items of one time and seq apart.
func (i *item) sum() uint64 {
	if !i.bar {
		return sumTrade(i.price[0], i.size, i.kind)
	}
	h := fnv.New64a()
	for _, v := range []float64{i.price[0], i.price[1], i.price[2], i.price[3], i.size} {
		b := math.Float64bits(v)
		_, _ = h.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24), byte(b >> 32), byte(b >> 40), byte(b >> 48), byte(b >> 56)})
	}
	return h.Sum64()
}

func sumTrade(price, size float64, kind feed.Kind) uint64 {
	return math.Float64bits(price)*0x9e3779b97f4a7c15 ^ (math.Float64bits(size)+uint64(kind))*0xc2b2ae3d27d4eb4f
}

// errNoTrade marks a row that holds no trade.
var errNoTrade = errors.New("no trade")

// decode turns the columns of one symbol in a row into an item.
func (r *Replay) decode(c *columns, row []string, now time.Time) (item, error) {
	var it item
	if a := c.at[fAction]; a >= 0 {
		if action := strings.TrimSpace(row[a]); action != "" && action != "T" {
			return it, errNoTrade
		}
	}
	src, err := r.source(c, row)
	if err != nil {
		return it, err
	}
	it.src, it.bar = src, c.kind == Bars
	if it.bar {
		err = r.decodeBar(c, row, &it)
	} else {
		err = r.decodeTrade(c, row, &it)
	}
	if err != nil {
		return it, err
	}
	if it.ts, it.ns, err = r.timestamp(c, row, src); err != nil {
		return it, err
	}
	return it, r.check(c, &it, now)
}

// check validates the ticks of an item.
func (r *Replay) check(c *columns, it *item, now time.Time) error {
	r.ticks = it.ticks(r.ticks[:0])
	for i := range r.ticks {
		t := &r.ticks[i]
		err := t.Validate(now)
		if err == nil && t.Price <= 0 {
			err = r.checkPrice(it.src, t)
		}
		if err != nil {
			return c.blame(err, i)
		}
	}
	return nil
}

func (r *Replay) checkPrice(src *source, t *feed.Tick) error {
	if src.anyPrice == nil {
		allowed := r.cfg.NonPositive
		if ask := r.cfg.AllowsNonPositive; ask != nil && !allowed {
			var err error
			if allowed, err = ask(src.venue, src.symbol); err != nil {
				return err
			}
		}
		src.anyPrice = &allowed
	}
	err := t.CheckPrice(*src.anyPrice)
	if e, ok := errors.AsType[*feed.FieldError](err); ok && r.cfg.PriceHint != "" {
		return &feed.FieldError{Field: e.Field, Want: e.Want + "; " + r.cfg.PriceHint}
	}
	return err
}

func (r *Replay) decodeTrade(c *columns, row []string, it *item) error {
	var err error
	at := c.at[fPrice]
	if none(trim(row[at])) && (c.at[fBid] >= 0 || c.at[fAsk] >= 0) && !c.quotes {
		return errNoTrade // a quote
	}
	if it.price[0], err = r.number(c, row, at, r.cfg.scale("price", r.priceScale)); err != nil {
		return err
	}
	if it.size, err = r.volume(c, row, c.at[fSize]); err != nil {
		return err
	}
	if at := c.at[fSeq]; at >= 0 {
		if it.seq, err = strconv.ParseInt(trim(row[at]), 10, 64); err != nil {
			return c.errorf(at, "want a whole number, got %q; number the rows by their time with seq=", clip(row[at]))
		}
		it.numbered = true
	}
	it.side = c.side(row)
	if at := c.at[fConditions]; at >= 0 {
		it.conditions = codes(row[at])
	}
	if at := c.at[fCorrection]; at >= 0 {
		if it.kind, err = correction(trim(row[at])); err != nil {
			if errors.Is(err, errNoTrade) {
				return err
			}
			return c.errorf(at, "%s", err)
		}
		if it.kind != feed.Trade && !it.numbered {
			return c.errorf(at, "want a seq in a file with cancels, to say which trade is meant")
		}
		if it.kind == feed.Cancel {
			it.price[0], it.size, it.side, it.conditions = 0, 0, feed.Unknown, ""
		}
	}
	return nil
}

// correction reads the correction indicator of the US tapes (NYSE Daily TAQ client
// specification, "Trade correction indicator"), which Polygon hands on.
func correction(code string) (feed.Kind, error) {
	if n := strings.TrimLeft(code, "0"); n != "" {
		code = n
	} else {
		return feed.Trade, nil // 00: as reported
	}
	switch code {
	case "1": // corrected late: the time of the original and the right values
		return feed.Correct, nil
	case "7", "8": // in error, or cancelled later
		return feed.Cancel, nil
	case "10", "11", "12": // says it again, after a row of 8, 7 or 1
		return feed.Trade, errNoTrade
	}
	return feed.Trade, fmt.Errorf("want a correction indicator of the US tapes (0, 1, 7, 8, 10, 11, 12), got %q", clip(code))
}

// side is who began a trade.
func (c *columns) side(row []string) feed.Side {
	if at := c.at[fMaker]; at >= 0 {
		switch strings.ToLower(trim(row[at])) {
		case "true", "1", "t":
			return feed.Sell // the buyer was there first
		case "false", "0", "f":
			return feed.Buy
		}
	}
	if at := c.at[fSide]; at >= 0 {
		switch strings.ToLower(trim(row[at])) {
		case "buy", "b", "bid", "buyer":
			return feed.Buy
		case "sell", "s", "a", "ask", "seller":
			return feed.Sell
		}
	}
	if at := c.at[fFlags]; at >= 0 && c.at[fBid] >= 0 && c.at[fAsk] >= 0 { // MetaTrader 5: TICK_FLAG_BUY 32, TICK_FLAG_SELL 64
		if flags, err := strconv.Atoi(trim(row[at])); err == nil {
			switch flags & 96 {
			case 32:
				return feed.Buy
			case 64:
				return feed.Sell
			}
		}
	}
	return feed.Unknown
}

// codes reads conditions: "12,37", [12 37] or ['@', 'T'].
func codes(cell string) string {
	parts := strings.FieldsFunc(cell, func(r rune) bool { return strings.ContainsRune(" ,;[](){}'\"\t", r) })
	parts = slices.DeleteFunc(parts, none)
	return strings.Join(parts, ",")
}

// number reads a cell.
func (r *Replay) number(c *columns, row []string, at int, scale float64) (float64, error) {
	v, err := r.numbers.parse(row[at])
	if errors.Is(err, errNone) {
		return 0, c.errorf(at, "want a number, got %q", clip(row[at]))
	}
	if err != nil {
		return 0, c.errorf(at, "%s", err)
	}
	if math.Abs(v) >= unlimited || math.Abs(v) == unlimited9 || v == math.MaxUint32 && at == c.at[fSize] && c.kind == Trades {
		return 0, c.errorf(at, "want a number, got %q, which stands for none", clip(row[at]))
	}
	if scale != 1 {
		if inverse := math.Round(1 / scale); math.Abs(inverse*scale-1) < 1e-12 {
			return v / inverse, nil // correctly rounded, which v * 1e-9 need not be
		}
		v *= scale
	}
	return v, nil
}

// volume reads a size: an empty cell is 0, and counted.
func (r *Replay) volume(c *columns, row []string, at int) (float64, error) {
	if at < 0 {
		return 0, nil
	}
	if none(trim(row[at])) {
		r.noVolume = true
		return 0, nil
	}
	return r.number(c, row, at, r.cfg.scale("size", 1))
}

// timestamp reads the time of a row.
func (r *Replay) timestamp(c *columns, row []string, src *source) (us, ns int64, err error) {
	text := row[c.at[fTime]]
	if at := c.at[fClock]; at >= 0 {
		text = c.joined(row, at)
	}
	in, err := r.times.parse(text)
	if err != nil {
		return 0, 0, c.errorf(c.at[fTime], "%s", err)
	}
	if in.local && c.kind == Bars && r.cfg.Opens != nil && in.us%(86400*1e6) == 0 {
		day := time.UnixMicro(in.us).UTC()
		opens, ok := r.cfg.Opens(day)
		if !ok {
			return 0, 0, c.errorf(c.at[fTime], "want a day with a session in the calendar, got %q", clip(trim(text)))
		}
		return opens.UnixMicro(), in.ns, nil
	}
	if !in.local || r.cfg.Zone == time.UTC {
		return in.us, in.ns, nil
	}
	at := candidates(in.us, r.cfg.Zone)
	switch len(at) {
	case 0:
		if in.date { // midnight does not exist: the day begins later
			return r.firstOf(in.us), in.ns, nil
		}
		return 0, 0, c.errorf(c.at[fTime], "want a time that exists in %s, got %q, when clocks are moved forward", r.cfg.Zone, clip(trim(text)))
	case 1:
		us = at[0]
	default:
		us = src.choose(at, r.order == falling, c.kind == Bars)
	}
	src.before, src.begun = us, true
	return us, in.ns, nil
}

// joined is date and time of day of two columns. A time of day of digits is HHMMSS.
func (c *columns) joined(row []string, at int) string {
	clock := trim(row[at])
	if digits(clock) && len(clock) < 6 && len(clock) > 0 {
		if len(clock) <= 4 {
			clock = strings.Repeat("0", 4-len(clock)) + clock + "00"
		} else {
			clock = "0" + clock
		}
	}
	date := trim(row[c.at[fTime]])
	if clock == "" {
		return date
	}
	if digits(clock) && len(clock) == 6 && !digits(date) {
		clock = clock[:2] + ":" + clock[2:4] + ":" + clock[4:]
	}
	return date + " " + clock
}

func (r *Replay) firstOf(local int64) int64 {
	for step := int64(1); step <= 4*60; step++ {
		if at := candidates(local+step*60_000_000, r.cfg.Zone); len(at) > 0 {
			return at[0]
		}
	}
	return local
}

// blame converts an error of tick i of a row to one of a column.
func (c *columns) blame(err error, i int) error {
	e, ok := errors.AsType[*feed.FieldError](err)
	if !ok {
		return err
	}
	f, ok := map[string]field{"ts": fTime, "price": fPrice, "size": fSize, "seq": fSeq, "symbol": fSymbol, "venue": fVenue, "conditions": fConditions}[e.Field]
	if c.kind == Bars && f == fPrice && ok {
		f = prices[i]
	}
	if !ok || c.at[f] < 0 { // a flag, or a seq of the content
		return &cellError{"", e.Error()}
	}
	return c.errorf(c.at[f], "%s", e.Want)
}

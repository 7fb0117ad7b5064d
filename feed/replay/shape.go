package replay

import (
	"strings"
	"time"
)

// A shape is the form of files that have no header.
type shape struct {
	name  string
	names string
	first string // the layout of the first column, or empty for a Unix time
	test  func(row []string) bool
}

var shapes = []shape{
	{"Binance klines", "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore", "", func(r []string) bool {
		return epochs(r, 0, 6) && bar(r[1:5])
	}},
	{"Binance aggTrades", "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker,is_best_match", "id", func(r []string) bool {
		return epochs(r, 5) && truth(r[6])
	}},
	{"Binance aggTrades", "agg_trade_id,price,quantity,first_trade_id,last_trade_id,transact_time,is_buyer_maker", "id", func(r []string) bool {
		return epochs(r, 5) && truth(r[6])
	}},
	{"Binance trades", "id,price,qty,quote_qty,time,is_buyer_maker,is_best_match", "id", func(r []string) bool {
		return epochs(r, 4) && truth(r[5])
	}},
	{"Binance trades", "id,price,qty,quote_qty,time,is_buyer_maker", "id", func(r []string) bool {
		return epochs(r, 4) && truth(r[5])
	}},
	{"Kraken trades", "time,price,volume", "", func(r []string) bool { return epochs(r, 0) }},
	{"Kraken OHLCVT", "time,open,high,low,close,volume,trades", "", func(r []string) bool { return epochs(r, 0) && bar(r[1:5]) }},
	{"Kraken OHLCVT", "time,open,high,low,close,vwap,volume,trades", "", func(r []string) bool { return epochs(r, 0) && bar(r[1:5]) }},
	{"HistData ticks", "time,bid,ask,volume", "20060102 150405", func(r []string) bool { return true }},
	{"HistData M1", "time,open,high,low,close,volume", "20060102 150405", func(r []string) bool { return bar(r[1:5]) }},
	{"MetaTrader bars", "date,time,open,high,low,close,volume", "2006.01.02", func(r []string) bool { return clock(r[1]) && bar(r[2:6]) }},
	{"Dukascopy bars", "time,open,high,low,close,volume", "02.01.2006 15:04:05", func(r []string) bool { return bar(r[1:5]) }},
	{"Dukascopy bars", "time,open,high,low,close,volume", "2006.01.02 15:04:05", func(r []string) bool { return bar(r[1:5]) }},
	{"Dukascopy ticks", "time,ask,bid,ask_volume,bid_volume", "02.01.2006 15:04:05", func(r []string) bool { return true }},
	{"Dukascopy ticks", "time,ask,bid,ask_volume,bid_volume", "2006.01.02 15:04:05", func(r []string) bool { return true }},
	{"Dukascopy ticks", "time,ask,bid,ask_volume,bid_volume", "", func(r []string) bool { return epochs(r, 0) }},
	{"bars", "time,open,high,low,close,volume", "", func(r []string) bool { return epochs(r, 0) && bar(r[1:5]) }},
	{"bars", "time,open,high,low,close,volume", "time", func(r []string) bool { return bar(r[1:5]) }},
	{"bars", "date,time,open,high,low,close,volume", "time", func(r []string) bool { return clock(r[1]) && bar(r[2:6]) }},
}

// headerless recognises rows of a known shape.
func headerless(rows [][]string) (string, []string) {
	for _, s := range shapes {
		names := strings.Split(s.names, ",")
		n := 0
		for _, row := range rows[:min(len(rows), 20)] {
			if isText(row, len(names)) {
				continue
			}
			row = trimTo(row, len(names))
			if len(row) != len(names) || !s.matches(row) {
				n = -1
				break
			}
			n++
		}
		if n > 0 {
			return s.name, names
		}
	}
	return "", nil
}

// trimTo removes empty columns behind the last.
func trimTo(row []string, width int) []string {
	for len(row) > width && strings.TrimSpace(row[len(row)-1]) == "" {
		row = row[:len(row)-1]
	}
	return row
}

func (s *shape) matches(row []string) bool {
	first := strings.TrimSpace(row[0])
	switch s.first {
	case "":
		if !epochs(row, 0) {
			return false
		}
	case "id":
		if !digits(first) {
			return false
		}
	case "time":
		p := timeParser{zone: time.UTC}
		if _, err := p.parse(first); err != nil {
			return false
		}
	default:
		p := timeParser{zone: time.UTC, format: s.first}
		if len(first) == len("20240201 000003660") {
			first = fromHistData(first)
		}
		if _, err := p.parse(first); err != nil {
			return false
		}
	}
	return s.test(row)
}

// epochs reports whether these columns are Unix times.
func epochs(row []string, at ...int) bool {
	p := timeParser{zone: time.UTC}
	for _, i := range at {
		s := strings.TrimSpace(row[i])
		whole, _, _ := strings.Cut(s, ".")
		if in, ok, err := p.digits(s); len(whole) < 9 || !ok || err != nil || in.local {
			return false
		}
	}
	return true
}

// bar reports whether four numbers can be open, high, low and close.
func bar(cells []string) bool {
	var v [4]float64
	n := numbers{}
	for i := range v {
		var err error
		if v[i], err = n.parse(strings.Replace(cells[i], ",", ".", 1)); err != nil {
			return false
		}
	}
	return v[1] >= max(v[0], v[2], v[3])*(1-1e-9) && v[2] <= min(v[0], v[3])*(1+1e-9)
}

func clock(s string) bool {
	s = strings.TrimSpace(s)
	return len(s) >= len("15:04") && s[2] == ':' && strings.Trim(s, "0123456789:.") == ""
}

func truth(s string) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "false":
		return true
	}
	return false
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

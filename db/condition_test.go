package db_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// withConditions gives ticks sides and flags, such that some minutes and hours
// have nothing but ticks that do not move a price.
func withConditions(r *rand.Rand, ticks []dbtest.Tick) []dbtest.Tick {
	for i := range ticks {
		k := &ticks[i]
		k.Side = int16(r.IntN(3) - 1)
		switch hour := k.TS.Hour(); {
		case hour == 5: // odd lots
			k.Flags = 7 | 128
		case hour == 6: // nothing that closes
			k.Flags = int32(4 | r.IntN(4))
		case hour == 7:
			k.Side = 0
		case r.IntN(3) == 0:
			k.Flags = int32(r.IntN(1024)) &^ 256
		}
	}
	return ticks
}

// Bars honour what their ticks do not move, at every level and by every way there
// is to read them, forming or stored.
func TestConditions(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	r := rand.New(rand.NewPCG(12, 12))
	ticks := withConditions(r, sparse(r))
	d.Commit(t, ticks, nil)
	intervals := []string{"1m", "5m", "15m", "1h", "1d", "5s", "30s", "2m", "45m", "4h", "1w", "1mo"}
	check := func(what string) {
		t.Helper()
		for _, name := range intervals {
			for _, symbol := range []string{"S0", "S1"} {
				equalReads(t, d, what, ticks, symbol, name)
			}
		}
	}
	check("before a refresh")
	d.Settle(t)
	check("after a refresh")
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, d.Candles(t, i.Name), dbtest.BruteForce(ticks, i.Span))
	}
	clean(t, d)

	// The blocks hold the bars that are shown, and none else.
	for _, name := range []string{"1m", "1h"} {
		var blocks, bars int
		if err := d.Pool.QueryRow(context.Background(), fmt.Sprintf("SELECT (SELECT sum(bars) FROM indicator.blocks_%[1]s WHERE symbol = 'S0'), count(*) FROM candles('S0', '%[1]s')", name)).
			Scan(&blocks, &bars); err != nil || blocks != bars {
			t.Errorf("%s: the blocks hold %d bars, there are %d: %v", name, blocks, bars, err)
		}
	}
	d.AddInterval(t, "5s")
	d.AddInterval(t, "4h")
	check("with more intervals")
	d.Settle(t)
	check("after their refresh")
	clean(t, d)
}

// The published rules: what each of them moves.
func TestTradeConditions(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	const (
		price = 1 | 2 | 4 // does not move a price
		last  = 1 | 4     // moves high and low
	)
	for code, want := range map[string]int{
		// As Polygon lists update_rules.consolidated of the conditions of the two tapes.
		"@": 0, "A": 0, "C": price, "D": 0, "E": 0, "F": 0, "G": last, "H": price, "I": price, "K": 0, "L": 0, "M": price | 8, "N": price,
		"O": 0, "P": last, "Q": price | 8, "R": price, "S": 0, "T": price, "U": price, "V": price, "W": price, "X": 0, "Y": 0, "Z": last,
		"1": 0, "2": 0, "3": last, "4": last, "5": 0, "6": 0, "7": price, "8": 0,
		// B differs between the tapes: the one that moves less.
		"B": price, "cta:B": price, "utp:B": 0,
		"odd_lot": price, "average_price": price, "form_t": price, "extended_hours": price, "out_of_sequence": last, "derivatively_priced": last,
		"opening": 0, "closing": 0, "cash": price, "regular": 0, "intermarket_sweep": 0, "contingent": price, "bunched": 0, "no_volume": 8,
	} {
		var got int
		if err := d.Pool.QueryRow(t.Context(), "SELECT flags & 15 FROM trade_conditions WHERE code = $1", code).Scan(&got); err != nil || got != want {
			t.Errorf("%q does not move %d, want %d: %v", code, got, want, err)
		}
	}
	// Every bit has a name.
	if n := count(t, d, `SELECT count(*) FROM trade_conditions c WHERE c.flags & ~(SELECT bit_or(f.flag) FROM trade_flags f) <> 0 OR c.title = ''`); n != 0 {
		t.Errorf("%d conditions have bits without a name", n)
	}
}

// A bar that no trade opens, and one whose close lies beyond its high.
func TestShownBar(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	at := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	buy := 3.0
	d.Commit(t, []dbtest.Tick{
		{TS: at.Add(1 * time.Second), Symbol: "A", Price: 50, Size: 1, Seq: 1, Venue: "V", Flags: 7},
		{TS: at.Add(2 * time.Second), Symbol: "A", Price: 10, Size: 2, Seq: 2, Venue: "V", Flags: 1, Side: 1},
		{TS: at.Add(3 * time.Second), Symbol: "A", Price: 12, Size: 1, Seq: 3, Venue: "V", Flags: 3, Side: 1},
		{TS: at.Add(4 * time.Second), Symbol: "A", Price: 11, Size: 7, Seq: 4, Venue: "V", Flags: 15, Side: 1},
		{TS: at.Add(5 * time.Second), Symbol: "A", Price: 9, Size: 5, Seq: 5, Venue: "V", Flags: 5, Side: -1},
	}, nil)
	want := []dbtest.Candle{{Symbol: "A", Bucket: at, Open: 12, High: 12, Low: 9, Close: 12, Volume: 9, BuyVolume: &buy, Notional: 50 + 20 + 12 + 45, Trades: 5}}
	for _, name := range []string{"1m", "15s", "5m", "10m"} {
		dbtest.EqualCandles(t, name, barsOf(t, d, "A", name, ""), want)
	}
}

package stream

import (
	"encoding/json"
	"math"
	"time"
)

// Kind is a kind of event; kinds combine as bits.
type Kind uint8

// The kinds of events.
const (
	Ticks Kind = 1 << iota
	Candles
	Alerts
	Status
	All = Ticks | Candles | Alerts | Status
)

// The states of a candle.
const (
	forming = "forming"
	closed  = "closed"
	revised = "revised"
	removed = "removed"
)

// Tick is the data of a tick event.
type Tick struct {
	Symbol string    `json:"symbol"`
	TS     time.Time `json:"ts"`
	Price  float64   `json:"price"`
	Size   float64   `json:"size"`
	Seq    int64     `json:"seq"`
	Venue  string    `json:"venue"`
	Side   *string   `json:"side"`
	Flags  int32     `json:"flags"`
}

// Candle is the data of a candle event.
type Candle struct {
	Symbol    string    `json:"symbol"`
	Interval  string    `json:"interval"`
	State     string    `json:"state"`
	Bucket    time.Time `json:"bucket"`
	Open      float64   `json:"open"`
	High      float64   `json:"high"`
	Low       float64   `json:"low"`
	Close     float64   `json:"close"`
	Volume    float64   `json:"volume"`
	BuyVolume *float64  `json:"buy_volume"`
	VWAP      *float64  `json:"vwap"`
	Trades    int64     `json:"trades"`
}

// Removed is the data of a candle event in state removed: there is no such bar any
// more, since its ticks were cancelled.
type Removed struct {
	Symbol   string    `json:"symbol"`
	Interval string    `json:"interval"`
	State    string    `json:"state"`
	Bucket   time.Time `json:"bucket"`
}

// Health is the data of a status event.
type Health struct {
	Time           time.Time  `json:"time"`
	LastTick       *time.Time `json:"last_tick"`
	LastTickAge    *float64   `json:"last_tick_age"`
	TicksPerSecond float64    `json:"ticks_per_second"`
	Stale          bool       `json:"stale"`
	JobsFailed     int64      `json:"jobs_failed"`
	CandlesBehind  float64    `json:"candles_behind"`
}

// Reset is the data of a reset event: the client must read its data from REST again.
type Reset struct {
	Symbol string `json:"symbol,omitempty"` // all symbols when empty
	Reason string `json:"reason"`
}

// event is an event, encoded once for all clients.
type event struct {
	kind   Kind
	symbol string // empty: for all
	timeframe
	end    time.Time // of a closed bar
	bucket time.Time
	at     position // of a closed, revised or removed candle, or a reset
	state  string
	print  fingerprint // of a bar that was read
	id     []byte      // "id: ...\n" of those that have their own
	body   []byte      // "event: ...\ndata: ...\n\n"
}

func (e *event) shownKey() shownKey { return shownKey{barKey{e.symbol, e.timeframe}, e.bucket.Unix()} }

func encode(name string, data any) []byte {
	j, err := json.Marshal(data)
	if err != nil {
		// Only NaN or infinity cannot be encoded: the database has none, and a
		// sum that overflows must not end the stream.
		return []byte(": " + name + " cannot be written\n\n")
	}
	b := make([]byte, 0, len(j)+len(name)+18)
	b = append(append(append(b, "event: "...), name...), "\ndata: "...)
	return append(append(b, j...), "\n\n"...)
}

func idLine(p position) []byte { return []byte("id: " + p.String() + "\n") }

func tickEvent(t tick) *event {
	return &event{kind: Ticks, symbol: t.symbol, body: encode("tick", Tick{t.symbol, t.ts.UTC(), t.price, t.size, t.seq, t.venue, sideOf(t.side), t.flags})}
}

// sideOf is the side as in a message; nil where it is not known.
func sideOf(side int16) *string {
	buy, sell := "buy", "sell"
	switch side {
	case 1:
		return &buy
	case -1:
		return &sell
	}
	return nil
}

func formingEvent(symbol string, tf timeframe, b *bar) *event {
	return &event{kind: Candles, symbol: symbol, timeframe: tf, bucket: b.bucket, state: forming, body: encode("candle", b.candle(symbol, tf))}
}

// vanishedEvent is the event of a forming bar that is gone.
func vanishedEvent(symbol string, tf timeframe, bucket time.Time) *event {
	return &event{kind: Candles, symbol: symbol, timeframe: tf, bucket: bucket, state: removed, print: gone, body: encode("candle", Removed{symbol, tf.name, removed, bucket})}
}

// removedEvent is the event of a closed bar that is gone.
func removedEvent(key shownKey, at position) *event {
	e := vanishedEvent(key.symbol, key.timeframe, time.Unix(key.bucket, 0).UTC())
	e.end, e.at, e.id = e.timeframe.End(e.bucket), at, idLine(at)
	return e
}

// barEvent returns the event of a bar that was read from the database, at the given
// position.
func barEvent(r barRow, state string, at position) *event {
	return &event{
		kind: Candles, symbol: r.Symbol, timeframe: r.timeframe, bucket: r.Bucket, end: r.end(), state: state, print: printOf(r), at: at, id: idLine(at),
		body: encode("candle", Candle{
			r.Symbol, r.Bar, state, r.Bucket, r.Open, r.High, r.Low, r.Close, r.Volume, known(r.BuyVolume), vwap(r.Notional, r.Volume), r.Trades,
		}),
	}
}

func resetEvent(symbol, reason string, at position) *event {
	return &event{symbol: symbol, at: at, id: idLine(at), body: encode("reset", Reset{symbol, reason})}
}

func vwap(notional, volume float64) *float64 {
	v := notional / volume
	if volume == 0 || math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

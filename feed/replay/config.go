package replay

import (
	"context"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// Venue is the venue of ticks if neither file nor Config has one.
const Venue = "FILE"

// Config configures a Replay. The zero value reads a file whose header has usual
// names and a column for the symbol.
type Config struct {
	Name   string // name of the file in errors; default File.Name
	Symbol string // of rows without one
	Venue  string // of rows without one; default Venue
	// Columns maps a field (ts, price, size, seq, symbol, venue, open, high, low,
	// close, volume and so on) to the column that holds it, overriding what the
	// header suggests; to "" for no column. Two columns with date and time of day
	// are "Date+Time".
	Columns map[string]string
	// Header names the columns of a file that has no header line.
	Header     []string
	Kind       Kind           // default: bars if there are open, high, low and close
	TimeFormat string         // a layout of package time; default: the usual ones
	Zone       *time.Location // of times without a zone; default UTC
	// Opens returns when the session of a day begins. The ticks of a bar whose time
	// is a date lie there, so that the bar of the session is that of the file.
	// Default: they lie at midnight.
	Opens   func(day time.Time) (time.Time, bool)
	Decimal string // "." or ","; default: what the file suggests
	// Scale maps price and size to a factor, for numbers of fixed point.
	Scale map[string]float64
	// NonPositive allows prices at or below 0; else AllowsNonPositive, if it is
	// set, is asked for each source. PriceHint is added to the error.
	NonPositive       bool
	AllowsNonPositive func(venue, symbol string) (bool, error)
	PriceHint         string
	// SkipBad counts invalid rows and continues. Otherwise the first one ends the
	// replay.
	SkipBad bool
	// OnBad is called for each invalid row.
	OnBad func(*RowError)
	// Speed is a multiple of real time, 0 for as fast as possible.
	Speed float64
	// Session is what the files of one command share. Default: a new one.
	Session *Session
	// Stored returns the trades that are known already at these moments, where rows
	// have no number of their own. Default: none.
	Stored func([]Moment) ([]feed.Tick, error)
	// StoredIsAll means that a trade which Stored does not return does not exist.
	StoredIsAll bool
	// Sent reports whether the topic has a tick already: it is skipped then.
	// Default: none is skipped.
	Sent func(*feed.Tick) (bool, error)

	// Clock and Sleep replace the time in tests.
	Clock func() time.Time
	Sleep func(context.Context, time.Duration) error
}

func (c *Config) scale(name string, otherwise float64) float64 {
	if v, ok := c.Scale[name]; ok {
		return v
	}
	return otherwise
}

// Stats counts the rows and ticks of a Replay.
type Stats struct {
	Rows     int64 // read, without header and text
	Ticks    int64 // emitted
	Skipped  int64 // ticks that are already in the topic
	Bad      int64 // invalid rows
	Repeated int64 // rows that these files had before
	NoTrade  int64 // rows that hold no trade: quotes, bars without prices
	NoVolume int64 // rows whose volume is empty; it is 0
	Rounded  int64 // bars whose high or low a rounding error had put amiss
	Text     int64 // lines of text among the rows
	First    time.Time
	Last     time.Time // of the ticks emitted or skipped
}

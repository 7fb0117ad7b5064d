// Package simulate simulates a market: many companies with realistic prices,
// volumes, late ticks and duplicates, reproducible from a seed, without end.
//
// Every random value is a hash of the seed and of its purpose: for a tick, of its
// symbol and seq, for the market, of time. So the last tick of each symbol is the
// whole state, and a simulator that is given these resumes exactly where the
// stopped one was.
package simulate

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/hypertick/hypertick/feed"
)

// Venue is the default venue of simulated ticks.
const Venue = "SIM"

// Config configures a Simulator. Defaults returns the usual values.
type Config struct {
	Seed    uint64
	Symbols int    // how many companies, 1 to MaxSymbols
	Venue   string // default Venue
	// Rate is the number of ticks a second in total when live, 1 to 500,000.
	// HistoryRate is that of the history; sizes compensate for the difference,
	// so that the volume is the same.
	Rate        float64
	HistoryRate float64
	// Late is the share of ticks stamped seconds to hours before they are sent.
	Late float64
	// Duplicates is the share of ticks sent twice.
	Duplicates float64
	// Start is when the history of symbols without a position begins. It
	// defaults to now: no history.
	Start time.Time

	Log *slog.Logger // default slog.Default()

	// Clock and Sleep replace the time in tests. Sleep returns early with an
	// error when its context ends.
	Clock func() time.Time
	Sleep func(context.Context, time.Duration) error
}

// Defaults returns the usual configuration.
func Defaults() Config {
	return Config{
		Seed: 1, Symbols: len(builtin), Venue: Venue, Rate: 100, HistoryRate: 2,
		Late: 0.001, Duplicates: 0.0005,
	}
}

const (
	maxRate = 500_000
	// catchUp is how far the live simulation may fall behind the clock (a
	// laptop slept, the broker was down) before the time is filled at the rate
	// of history.
	catchUp = int64(60e6)
	// pause is the minimum time to sleep, which makes batches of ticks.
	pause = 2 * time.Millisecond
	// checkEvery is the number of ticks between checks of the context.
	checkEvery = 4096
)

// Simulator produces ticks. It is not safe for concurrent use.
type Simulator struct {
	cfg     Config
	market  path
	sectors [len(sectors)]path
	symbols []symbol
	queue   queue

	live  bool
	rate  float64 // total ticks a µs
	worth float64 // mean dollars of a tick at that rate
	now   int64   // simulated time: all ticks before it are produced

	tick, again feed.Tick // arguments of emit
}

// New returns a Simulator that resumes after positions, the last tick of each
// symbol as returned by feed.Positions. Symbols without one begin at cfg.Start.
func New(cfg Config, positions map[string]feed.Tick) (*Simulator, error) {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Venue == "" {
		cfg.Venue = Venue
	}
	if cfg.Start.IsZero() {
		cfg.Start = cfg.Clock()
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	s := &Simulator{cfg: cfg, market: newPath(mix(cfg.Seed))}
	for i := range s.sectors {
		s.sectors[i] = newPath(mix(cfg.Seed + uint64(i) + 1))
	}
	companies := Companies(cfg.Symbols)
	total := 0.0
	for _, c := range companies {
		total += c.Activity
	}
	s.symbols = make([]symbol, len(companies))
	s.now = math.MaxInt64
	for i, c := range companies {
		s.symbols[i] = s.newSymbol(c, total)
		if last, ok := positions[c.Symbol]; ok {
			s.resume(&s.symbols[i], last)
		}
		s.now = min(s.now, s.symbols[i].from)
	}
	s.queue = make(queue, len(s.symbols))
	s.setRate(false)
	return s, nil
}

func (c *Config) check() error {
	switch {
	case c.Symbols < 1 || c.Symbols > MaxSymbols:
		return fmt.Errorf("symbols: want 1 to %d, got %d", MaxSymbols, c.Symbols)
	case !(c.Rate >= 1 && c.Rate <= maxRate):
		return fmt.Errorf("rate: want 1 to %d ticks a second, got %v", maxRate, c.Rate)
	case !(c.HistoryRate > 0 && c.HistoryRate <= maxRate):
		return fmt.Errorf("history rate: want more than 0, up to %d ticks a second, got %v", maxRate, c.HistoryRate)
	case !(c.Late >= 0 && c.Late <= 1):
		return fmt.Errorf("late: want a share of 0 to 1, got %v", c.Late)
	case !(c.Duplicates >= 0 && c.Duplicates <= 1):
		return fmt.Errorf("duplicates: want a share of 0 to 1, got %v", c.Duplicates)
	case c.Start.UnixMicro() < day || c.Start.After(c.Clock()):
		return fmt.Errorf("start: want a time from 1970 to now, got %v", c.Start)
	}
	return nil
}

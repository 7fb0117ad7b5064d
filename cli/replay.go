package cli

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

type replayCmd struct {
	brokerFlag
	produceFlags
	File string `help:"CSV file of trades or of bars (open, high, low, close); plain, gzip or zstd; - is standard input." required:"" placeholder:"FILE"`
	fileFlags
	Speed float64 `help:"Speed relative to real time: 1 is real time, 0 as fast as possible." default:"0" placeholder:"N"`
	All   bool    `help:"Send every row, also those already in the topic; ingest drops them as duplicates." env:"-"`
}

// fileFlags describe a CSV file.
type fileFlags struct {
	Symbol     string            `help:"Symbol of rows without one." placeholder:"SYMBOL" env:"-"`
	Venue      string            `help:"Venue of rows without one." default:"FILE" placeholder:"VENUE" env:"-"`
	Map        map[string]string `help:"Column of each field, as in --map 'ts=Date+Time,price=Last'. Fields: ts price size seq symbol venue open high low close volume." mapsep:"," placeholder:"FIELD=COLUMN"`
	Header     []string          `help:"Names of the columns of a file without a header line." placeholder:"NAME,..."`
	Kind       string            `help:"Kind of the rows: ${enum}." enum:"auto,trades,bars" default:"auto"`
	TimeFormat string            `help:"Format of the times, as a layout of Go's package time; common ones are recognised." placeholder:"LAYOUT"`
	Timezone   string            `help:"Time zone of times without one." default:"UTC" placeholder:"ZONE"`
	SkipBad    bool              `help:"Report and skip rows that cannot be read, instead of stopping at the first." env:"-"`
}

func (f *fileFlags) replay(e *env, zone *time.Location) replay.Config {
	cfg := replay.Config{
		Symbol: f.Symbol, Venue: f.Venue, Columns: f.Map, Header: f.Header, TimeFormat: f.TimeFormat, Zone: zone, SkipBad: f.SkipBad,
		OnBad: func(row *replay.RowError) { fmt.Fprintln(e.errOut, "skipped:", oneLine(row)) },
	}
	if f.Kind != "auto" {
		cfg.Kind = replay.Kind(f.Kind)
	}
	return cfg
}

// Help is shown below the flags.
func (replayCmd) Help() string {
	return "The seq of a row is a column of the file, or its position, so replaying a file twice adds nothing. " +
		"A bar becomes four ticks, whose candle equals the bar."
}

// Run replays a file.
func (c *replayCmd) Run(e *env) (err error) {
	zone, err := time.LoadLocation(c.Timezone)
	if err != nil {
		return usagef("--timezone: want a zone such as UTC or America/New_York, got %q", c.Timezone)
	}
	if c.Speed < 0 {
		return usagef("--speed: want at least 0, got %v", c.Speed)
	}
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	file, err := replay.Open(c.File)
	if errors.Is(err, os.ErrNotExist) {
		return usagef("--file: %w", err)
	} else if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()

	cfg := c.replay(e, zone)
	cfg.Speed = c.Speed
	if !c.All {
		cfg.Positions = replay.FromTopic(e.ctx, c.Brokers, security, c.Topic)
	}
	r, err := replay.New(cfg, file)
	if err != nil {
		return usageError{err}
	}
	producer, err := openProducer(e.ctx, c.brokerFlag, security, c.produceFlags, e.log)
	if err != nil {
		return err
	}
	err = r.Run(e.ctx, func(t *feed.Tick) error { return producer.Produce(e.ctx, t) }, feed.ProgressBar("replay", true))
	err = closeProducer(e.ctx, producer, err)
	stats := r.Stats()
	fmt.Fprintf(e.errOut, "%s: %d rows, %d ticks sent, %d sent before, %d bad rows\n",
		file.Name(), stats.Rows, stats.Ticks, stats.Skipped, stats.Bad)
	return err
}

package cli

import (
	"fmt"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

type replayCmd struct {
	brokerFlag
	produceFlags
	Files []string `arg:"" optional:"" help:"Files of trades or of bars (open, high, low, close): CSV or Parquet; plain, gzip, zstd or zip; - is standard input." name:"files"`
	File  string   `help:"One file, instead of an argument." placeholder:"FILE"`
	fileFlags
	NonPositivePrices bool    `help:"Send prices at or below 0 too, as of futures and spreads; ingest stores them where the database allows them." env:"-"`
	Speed             float64 `help:"Speed relative to real time: 1 is real time, 0 as fast as possible." default:"0" placeholder:"N"`
	All               bool    `help:"Send every row, also those already in the topic; ingest drops what the database has." env:"-"`
}

// Help is shown below the flags.
func (replayCmd) Help() string {
	return "The seq of a row is a column of the file, or comes from its time, so that files may overlap, grow, or be sent twice. " +
		"A bar becomes four ticks, whose candle equals the bar. docs/files.md has an example for each vendor."
}

// Run replays the files.
func (c *replayCmd) Run(e *env) (err error) {
	cfg, err := c.config(e)
	if err != nil {
		return err
	}
	if c.Speed < 0 {
		return usagef("--speed: want at least 0, got %v", c.Speed)
	}
	paths, flag := c.Files, ""
	if c.File != "" {
		paths, flag = append([]string{c.File}, paths...), "--file: "
	}
	if len(paths) == 0 {
		return usagef("give files as arguments, or one as --file")
	}
	cfg.Speed, cfg.NonPositive = c.Speed, c.NonPositivePrices
	cfg.PriceHint = "--non-positive-prices sends it all the same"
	if c.DryRun {
		cfg.Speed = 0
		return c.each(cfg, paths, flag, func(r *replay.Replay, f *replay.File) error { return preview(e.ctx, e.out, r, f) })
	}
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	var topic *replay.Topic
	if !c.All {
		topic = replay.NewTopic(e.ctx, c.Brokers, security, c.Topic)
		cfg.Sent, cfg.Stored = topic.Sent, topic.Stored
	}
	var producer *feed.Producer
	err = c.each(cfg, paths, flag, func(r *replay.Replay, file *replay.File) error {
		if producer == nil {
			if producer, err = openProducer(e.ctx, c.brokerFlag, security, c.produceFlags, e.log); err != nil {
				return err
			}
		}
		err := r.Run(e.ctx, func(t *feed.Tick) error { return producer.Produce(e.ctx, t) }, feed.ProgressBar("replay", true))
		s := r.Stats()
		before := fmt.Sprintf("%d sent before", s.Skipped)
		if topic == nil || !topic.Complete() {
			before = "not compared with the topic"
		}
		fmt.Fprintf(e.errOut, "%s: %d ticks sent, %s; %s\n", file.Name(), s.Ticks, before, rows(s))
		return err
	})
	if producer != nil {
		err = closeProducer(e.ctx, producer, err)
	}
	return err
}

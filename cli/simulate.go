package cli

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/simulate"
)

type simulateFlags struct {
	Symbols     int     `help:"Number of companies, up to 10,000: the first 24 are well-known ones, the others are invented." default:"24" placeholder:"N"`
	Rate        float64 `help:"Live ticks per second of all symbols, 1 to 500,000." default:"100" placeholder:"N"`
	History     age     `help:"Length of the history to produce first, at full speed." default:"30d" placeholder:"AGE"`
	HistoryRate float64 `help:"Ticks per second of all symbols in the history." default:"0.75" placeholder:"N"`
	Late        float64 `help:"Share of ticks that arrive seconds to hours late." default:"0.001" placeholder:"SHARE"`
	Duplicates  float64 `help:"Share of ticks sent twice." default:"0.0005" placeholder:"SHARE"`
	Seed        uint64  `help:"The same seed, start and symbols give the same ticks." default:"1" placeholder:"N"`
}

type produceFlags struct {
	Partitions      int32         `help:"Number of partitions if the topic is created." default:"${partitions}" placeholder:"N"`
	DeliveryTimeout time.Duration `help:"Fail when the broker has acknowledged nothing for this long." default:"${delivery_timeout}" placeholder:"DURATION"`
}

type simulateCmd struct {
	brokerFlag
	simulateFlags
	produceFlags
}

// Run simulates until the context ends.
func (c *simulateCmd) Run(e *env) error {
	return c.simulateFlags.run(e.ctx, c.brokerFlag, c.produceFlags, feed.ProgressBar("history", false), e.log)
}

func (f *simulateFlags) run(ctx context.Context, b brokerFlag, p produceFlags, progress func(done, total int64), log *slog.Logger) (err error) {
	cfg := simulate.Defaults()
	cfg.Seed, cfg.Symbols, cfg.Rate, cfg.HistoryRate = f.Seed, f.Symbols, f.Rate, f.HistoryRate
	cfg.Late, cfg.Duplicates, cfg.Log = f.Late, f.Duplicates, log
	cfg.Start = time.Now().Add(-time.Duration(f.History))
	// Invalid numbers are usage errors: check them before connecting to the broker.
	if _, err := simulate.New(cfg, nil); err != nil {
		return usageError{err}
	}
	security, err := b.security(log)
	if err != nil {
		return err
	}
	producer, err := openProducer(ctx, b, security, p, log)
	if err != nil {
		return err
	}
	defer func() { err = closeProducer(ctx, producer, err) }()
	names := make([]string, 0, f.Symbols)
	for _, company := range simulate.Companies(f.Symbols) {
		names = append(names, company.Symbol)
	}
	positions, err := feed.Positions(ctx, b.Brokers, security, b.Topic, cfg.Venue, names...)
	if err != nil {
		return fmt.Errorf("read the positions of the simulation: %w", err)
	}
	sim, err := simulate.New(cfg, positions)
	if err != nil {
		return usageError{err}
	}
	return sim.Run(ctx, func(t *feed.Tick) error { return producer.Produce(ctx, t) }, progress)
}

// openProducer returns a producer, and creates its topic if it does not exist.
func openProducer(ctx context.Context, b brokerFlag, security feed.Security, p produceFlags, log *slog.Logger) (*feed.Producer, error) {
	producer, err := feed.NewProducer(feed.ProducerConfig{
		Brokers: b.Brokers, Security: security, Topic: b.Topic, DeliveryTimeout: p.DeliveryTimeout, Log: log,
	})
	if err != nil {
		return nil, err
	}
	if err := producer.EnsureTopic(ctx, p.Partitions); err != nil {
		producer.Close()
		return nil, err
	}
	return producer, nil
}

// closeProducer delivers buffered ticks: for as long as the broker acknowledges
// some, or, if ctx has ended, for 3 s at most.
func closeProducer(ctx context.Context, p *feed.Producer, err error) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
	}
	if flushErr := p.Flush(ctx); err == nil {
		err = flushErr
	}
	p.Close()
	return err
}

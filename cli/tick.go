package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

type tickCmd struct {
	Show    tickShowCmd    `cmd:"" help:"Show ticks by seq or time, and what they were before they were cancelled or corrected."`
	Cancel  tickCancelCmd  `cmd:"" help:"Cancel a tick: candles, indicators and alerts follow."`
	Correct tickCorrectCmd `cmd:"" help:"Correct the price, size or side of a tick: candles, indicators and alerts follow."`
}

type tickShowCmd struct {
	databaseFlag
	Symbol string     `arg:"" help:"Symbol."`
	Venue  string     `help:"Only ticks of this venue." placeholder:"VENUE" env:"-"`
	Seq    *int64     `help:"Only ticks of this seq." placeholder:"N" env:"-"`
	At     *time.Time `help:"Only ticks of the second that begins then, RFC 3339." placeholder:"TIME" env:"-"`
	Limit  int        `help:"Maximum number of ticks." default:"100" placeholder:"N"`
}

// Run shows ticks.
func (c *tickShowCmd) Run(e *env) error {
	switch {
	case c.Seq == nil && c.At == nil:
		return usagef("want --seq, --at or both")
	case c.Limit < 1:
		return usagef("--limit: want at least 1, got %d", c.Limit)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	arg := db.TicksBySeqParams{
		Symbol: c.Symbol, Venue: optional(c.Venue), Seq: c.Seq, MaxRows: int32(c.Limit),
		FromTs: time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC), ToTs: time.Now().AddDate(1, 0, 0),
	}
	if c.At != nil {
		arg.FromTs, arg.ToTs = *c.At, c.At.Add(time.Second)
	}
	rows, err := q.TicksBySeq(e.ctx, arg)
	if err != nil {
		return fmt.Errorf("read ticks: %w", err)
	}
	if len(rows) == 0 {
		return usagef("no such tick of %s", printable(c.Symbol))
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tVENUE\tSEQ\tPRICE\tSIZE\tSIDE\tFLAGS\tSTORED\tSTATE")
	var seqs []int64
	for _, r := range rows {
		state := r.Why
		if r.UndoneMs > 0 {
			state += " " + time.UnixMilli(r.UndoneMs).UTC().Format(time.RFC3339)
		}
		known := ""
		if r.KnownMs > 0 {
			known = time.UnixMilli(r.KnownMs).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%v\t%v\t%s\t%d\t%s\t%s\n", r.Ts.UTC().Format(time.RFC3339Nano), printable(r.Venue), r.Seq, r.Price, r.Size,
			feed.Side(r.Side), r.Flags, known, state)
		if !slices.Contains(seqs, r.Seq) {
			seqs = append(seqs, r.Seq)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	changes, err := q.TickChanges(e.ctx, db.TickChangesParams{Symbol: c.Symbol, Venue: optional(c.Venue), Seqs: seqs, MaxRows: int32(c.Limit)})
	if err != nil {
		return fmt.Errorf("read changes: %w", err)
	}
	for _, x := range changes {
		values := ""
		if x.Price != nil && x.Size != nil {
			values = fmt.Sprintf(" to price %v and size %v", *x.Price, *x.Size)
		}
		fmt.Fprintf(e.out, "%s of seq %d%s, asked for by %s %s: %s\n", x.Kind, x.Seq, values, printable(x.Origin), x.AskedAt.UTC().Format(time.RFC3339),
			strings.TrimSuffix(x.State+", "+x.Detail, ", "))
	}
	return nil
}

// tickFlags name a tick to change.
type tickFlags struct {
	databaseFlag
	Symbol string        `arg:"" help:"Symbol."`
	Venue  string        `help:"Venue." required:"" placeholder:"VENUE" env:"-"`
	Seq    int64         `help:"Seq of the tick." required:"" placeholder:"N" env:"-"`
	TS     *time.Time    `name:"ts" help:"Trade time of the tick, RFC 3339 (default: the newest of that seq)." placeholder:"TIME" env:"-"`
	Wait   time.Duration `help:"How long to wait until the job has applied it." default:"30s" placeholder:"DURATION" env:"-"`
}

// ask writes the change and waits for what becomes of it.
func (c *tickFlags) ask(e *env, kind feed.Kind, change func(old db.FindTickRow, arg *db.AskTickChangeParams)) error {
	if c.Wait < 0 {
		return usagef("--wait: want 0 or more, got %v", c.Wait)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	found, err := q.FindTick(e.ctx, db.FindTickParams{Symbol: c.Symbol, Venue: c.Venue, Seq: c.Seq, Ts: c.TS})
	if err != nil {
		return fmt.Errorf("find tick: %w", err)
	}
	if len(found) == 0 {
		return usagef("no such tick is stored: %s %s seq %d; see tick show", printable(c.Symbol), c.Venue, c.Seq)
	}
	ts := found[0].Ts
	arg := db.AskTickChangeParams{Kind: kind.String(), Symbol: c.Symbol, Venue: c.Venue, Seq: c.Seq, Ts: &ts, Origin: "hypertick tick " + kind.String()}
	if change != nil {
		change(found[0], &arg)
		settings, err := db.ReadFeedSettings(e.ctx, q)
		if err != nil {
			return err
		}
		t := feed.Tick{Symbol: c.Symbol, Venue: c.Venue, Price: *arg.Price}
		if err := t.CheckPrice(settings.NonPositive(c.Symbol, c.Venue)); err != nil {
			return usagef("%w", err)
		}
	}
	id, err := q.AskTickChange(e.ctx, arg)
	if err != nil {
		return fmt.Errorf("ask for the %v: %w", kind, err)
	}
	fmt.Fprintf(e.out, "%s %s seq %d of %s, price %v, size %v: %v asked for.\n", printable(c.Symbol), c.Venue, c.Seq,
		ts.UTC().Format(time.RFC3339Nano), found[0].Price, found[0].Size, kind)
	end := time.Now().Add(c.Wait)
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		state, err := q.TickChange(e.ctx, id)
		if err != nil {
			return fmt.Errorf("read the change: %w", err)
		}
		switch state.State {
		case "done":
			fmt.Fprintln(e.out, "Applied. Candles follow with their next refresh.")
			return nil
		case "known":
			fmt.Fprintln(e.out, "It was in effect already.")
			return nil
		case "refused":
			return fmt.Errorf("refused: %s", state.Detail)
		}
		if time.Now().After(end) {
			fmt.Fprintln(e.out, "Not applied yet: the job apply_tick_changes runs every 5 seconds, see hypertick status.")
			return nil
		}
		select {
		case <-time.After(wait):
		case <-e.ctx.Done():
			return e.ctx.Err()
		}
	}
}

type tickCancelCmd struct {
	tickFlags
}

// Help is shown below the flags.
func (tickCancelCmd) Help() string {
	return "The tick leaves ticks for the journal ticks_undone. One that comes again is recognised and not stored. The privileges of hypertick_writer are enough."
}

// Run cancels a tick.
func (c *tickCancelCmd) Run(e *env) error { return c.ask(e, feed.Cancel, nil) }

type tickCorrectCmd struct {
	tickFlags
	Price *float64 `help:"Correct price (default: as it is)." placeholder:"PRICE" env:"-"`
	Size  *float64 `help:"Correct size (default: as it is)." placeholder:"SIZE" env:"-"`
	Side  string   `help:"Correct side, buy or sell (default: as it is)." placeholder:"SIDE" env:"-"`
}

// Help is shown below the flags.
func (tickCorrectCmd) Help() string {
	return "The tick as it was goes to the journal ticks_undone. One that comes again as it was is recognised and not stored. The privileges of hypertick_writer are enough."
}

// Run corrects a tick.
func (c *tickCorrectCmd) Run(e *env) error {
	if c.Price == nil && c.Size == nil && c.Side == "" {
		return usagef("want --price, --size or --side")
	}
	if c.Side != "" && c.Side != feed.Buy.String() && c.Side != feed.Sell.String() {
		return usagef("--side: want buy or sell, got %q", c.Side)
	}
	probe := feed.Tick{Symbol: c.Symbol, Venue: c.Venue, Seq: c.Seq, Kind: feed.Correct, TS: feed.NoTime, Price: 1}
	if c.Price != nil {
		probe.Price = *c.Price
	}
	if c.Size != nil {
		probe.Size = *c.Size
	}
	if err := probe.Validate(time.Now()); err != nil {
		return usagef("%w", err)
	}
	return c.ask(e, feed.Correct, func(old db.FindTickRow, arg *db.AskTickChangeParams) {
		arg.Price, arg.Size, arg.Flags = &old.Price, &old.Size, &old.Flags
		side := old.Side
		switch c.Side {
		case "buy":
			side = int16(feed.Buy)
		case "sell":
			side = int16(feed.Sell)
		}
		if side != int16(feed.Unknown) {
			arg.Side = &side
		}
		if c.Price != nil {
			arg.Price = c.Price
		}
		if c.Size != nil {
			arg.Size = c.Size
		}
	})
}

package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
)

type feedCmd struct {
	List  feedListCmd  `cmd:"" help:"List feeds with their position and what their open gaps miss."`
	Show  feedShowCmd  `cmd:"" help:"Show the feeds of a symbol, their gaps and conflicts."`
	Reset feedResetCmd `cmd:"" help:"Let the next tick of a feed begin a new run of numbers, and close its open gaps."`
}

// feedRow is a feed in the output of --json.
type feedRow struct {
	Symbol   string     `json:"symbol"`
	Venue    string     `json:"venue"`
	LastSeq  *int64     `json:"last_seq"` // null: the next tick begins a run
	LastTS   time.Time  `json:"last_ts"`
	Runs     int32      `json:"runs"`
	RunSince *time.Time `json:"run_since"`
	OpenGaps int64      `json:"open_gaps"`
	Missing  float64    `json:"missing"`
	Updated  time.Time  `json:"updated_at"`
}

func feedRows(rows []db.FeedsRow) []feedRow {
	out := make([]feedRow, len(rows))
	for i, r := range rows {
		f := feedRow{Symbol: r.Symbol, Venue: r.Venue, LastTS: r.LastTs.UTC(), Runs: r.Runs, OpenGaps: r.Gaps, Missing: r.Missing, Updated: r.UpdatedAt.UTC()}
		if r.LastSeq >= 0 {
			f.LastSeq = &r.LastSeq
		}
		if r.RunSince != nil {
			since := r.RunSince.UTC()
			f.RunSince = &since
		}
		out[i] = f
	}
	return out
}

type feedListCmd struct {
	databaseFlag
	Symbol string `help:"Only feeds of this symbol." placeholder:"SYMBOL" env:"-"`
	Venue  string `help:"Only feeds of this venue." placeholder:"VENUE" env:"-"`
	Gaps   bool   `help:"Only feeds with an open gap." env:"-"`
	Limit  int    `help:"Maximum number of feeds." default:"100" placeholder:"N"`
	JSON   bool   `name:"json" help:"List as JSON."`
}

// Help is shown below the flags.
func (feedListCmd) Help() string {
	return "A feed is what one venue sends of one symbol. The privileges of hypertick_reader are enough."
}

// Run lists feeds.
func (c *feedListCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usagef("--limit: want at least 1, got %d", c.Limit)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	// One more than is shown tells whether there are more.
	rows, err := db.New(pool).Feeds(e.ctx, db.FeedsParams{Symbol: optional(c.Symbol), Venue: optional(c.Venue), OnlyGaps: c.Gaps, MaxRows: int32(c.Limit) + 1})
	if err != nil {
		return fmt.Errorf("read feeds: %w", err)
	}
	more := len(rows) > c.Limit
	feeds := feedRows(rows[:min(len(rows), c.Limit)])
	if c.JSON {
		return printJSON(e.out, feeds)
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SYMBOL\tVENUE\tLAST SEQ\tLAST TICK\tRUNS\tOPEN GAPS\tMISSING")
	for _, f := range feeds {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%.0f\n", printable(f.Symbol), printable(f.Venue), f.last(), f.LastTS.Format(time.RFC3339), f.Runs, f.OpenGaps, f.Missing)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(e.out, "More than %d feeds; see --limit.\n", c.Limit)
	}
	return nil
}

// last formats the last seq of the run.
func (f *feedRow) last() string {
	if f.LastSeq == nil {
		return "none"
	}
	return fmt.Sprint(*f.LastSeq)
}

// optional returns nil for an empty flag: any value.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

type feedShowCmd struct {
	databaseFlag
	Symbol string `arg:"" help:"Symbol."`
	Venue  string `help:"Only the feed of this venue." placeholder:"VENUE" env:"-"`
	Limit  int    `help:"Maximum number of gaps, and of conflicts." default:"20" placeholder:"N"`
}

// Run shows the feeds of a symbol.
func (c *feedShowCmd) Run(e *env) error {
	if c.Limit < 1 {
		return usagef("--limit: want at least 1, got %d", c.Limit)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	rows, err := q.Feeds(e.ctx, db.FeedsParams{Symbol: &c.Symbol, Venue: optional(c.Venue), MaxRows: 1000})
	if err != nil {
		return fmt.Errorf("read feeds: %w", err)
	}
	if len(rows) == 0 {
		return c.unknown()
	}
	for _, f := range feedRows(rows) {
		fmt.Fprintf(e.out, "%s at %s: last seq %s, last tick %s, stored %s\n", printable(f.Symbol), printable(f.Venue), f.last(),
			f.LastTS.Format(time.RFC3339Nano), f.Updated.Format(time.RFC3339))
		if f.Runs > 1 && f.RunSince != nil {
			fmt.Fprintf(e.out, "  run %d, since %s\n", f.Runs, f.RunSince.Format(time.RFC3339Nano))
		}
	}
	gaps, err := q.FeedGaps(e.ctx, db.FeedGapsParams{Symbol: c.Symbol, Venue: optional(c.Venue), MaxRows: int32(c.Limit)})
	if err != nil {
		return fmt.Errorf("read gaps: %w", err)
	}
	for _, g := range gaps {
		state := "open, missing " + g.Missing
		if g.ClosedAt != nil {
			state = fmt.Sprintf("closed by %s %s", g.ClosedBy, g.ClosedAt.UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(e.out, "gap at %s: seq %d to %d, %s to %s, %s\n", printable(g.Venue), g.FromSeq, g.ToSeq,
			g.BeforeTs.UTC().Format(time.RFC3339), g.AfterTs.UTC().Format(time.RFC3339), state)
	}
	conflicts, err := q.FeedConflicts(e.ctx, db.FeedConflictsParams{Symbol: c.Symbol, Venue: optional(c.Venue), MaxRows: int32(c.Limit)})
	if err != nil {
		return fmt.Errorf("read conflicts: %w", err)
	}
	for _, x := range conflicts {
		fmt.Fprintf(e.out, "conflict at %s: seq %d of %s is stored with price %v and size %v, came with %v and %v, %s %s\n", printable(x.Venue), x.Seq,
			x.Ts.UTC().Format(time.RFC3339Nano), x.StoredPrice, x.StoredSize, x.Price, x.Size, x.Outcome, x.At.UTC().Format(time.RFC3339))
	}
	return nil
}

func (c *feedShowCmd) unknown() error {
	if c.Venue != "" {
		return usagef("symbol: want one that %s has sent, got %s", c.Venue, strings.TrimSpace(printable(c.Symbol)))
	}
	return usagef("symbol: want one that has ticks, got %s", strings.TrimSpace(printable(c.Symbol)))
}

type feedResetCmd struct {
	databaseFlag
	Symbol string `arg:"" help:"Symbol."`
	Venue  string `help:"Venue of the feed." required:"" placeholder:"VENUE" env:"-"`
}

// Help is shown below the flags.
func (feedResetCmd) Help() string {
	return "For a source that has begun to number again and left gaps that are none. No tick is lost or stored twice by it: " +
		"ticks are compared with what is stored, whatever their numbers are. The privileges of hypertick_writer are enough."
}

// Run resets the feed.
func (c *feedResetCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	var closed int64
	err = db.InTx(e.ctx, pool, e.log, func(tx pgx.Tx) error {
		q := db.New(tx)
		n, err := q.ResetFeed(e.ctx, db.ResetFeedParams{Symbol: c.Symbol, Venue: c.Venue})
		if err != nil {
			return fmt.Errorf("reset feed: %w", err)
		}
		if n == 0 {
			return usagef("symbol: want one that %s has sent, got %s", c.Venue, printable(c.Symbol))
		}
		if closed, err = q.CloseGaps(e.ctx, db.CloseGapsParams{Symbol: c.Symbol, Venue: c.Venue}); err != nil {
			return fmt.Errorf("close gaps: %w", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "The next tick of %s at %s begins a new run; %s closed.\n", printable(c.Symbol), printable(c.Venue), counted(closed, "open gap"))
	return nil
}

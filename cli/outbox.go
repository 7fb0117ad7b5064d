package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/notify"
)

type outboxCmd struct {
	List  outboxListCmd  `cmd:"" help:"List the notifications that wait or failed permanently, newest first."`
	Retry outboxRetryCmd `cmd:"" help:"Retry notifications that failed permanently, and at once those that wait for their next attempt."`
}

// outboxFlags select notifications.
type outboxFlags struct {
	databaseFlag
	Channel string `help:"Only notifications of this channel." placeholder:"CHANNEL" env:"-"`
}

// channel returns the argument of the queries: nil is any channel.
func (f *outboxFlags) channel() *string {
	if f.Channel == "" {
		return nil
	}
	return &f.Channel
}

type outboxListCmd struct {
	outboxFlags
	State []string `help:"States to list: ${enum}." enum:"waiting,dead,sent" default:"waiting,dead" placeholder:"STATE" env:"-"`
	Limit int      `help:"Maximum number of notifications." default:"50" placeholder:"N"`
	JSON  bool     `name:"json" help:"Print JSON, one object per line."`
}

// Run lists notifications.
func (c *outboxListCmd) Run(e *env) error {
	if c.Limit < 1 || c.Limit > 10_000 {
		return usagef("--limit: want 1 to 10000, got %d", c.Limit)
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	rows, err := db.New(pool).Outbox(e.ctx, db.OutboxParams{States: c.State, Channel: c.channel(), Most: int32(c.Limit)})
	if err != nil {
		return fmt.Errorf("list notifications: %w", err)
	}
	if c.JSON {
		out := json.NewEncoder(e.out)
		for i := range rows {
			if err := out.Encode(outboxLine(rows[i])); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tCHANNEL\tSTATE\tATTEMPTS\tWRITTEN\tNEXT ATTEMPT\tMESSAGE\tLAST ERROR")
	for i := range rows {
		r := &rows[i]
		next, last := "", ""
		if r.State == "waiting" {
			next = r.NextTry.UTC().Format(time.DateTime)
		}
		if r.Error != nil {
			last = *r.Error
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.ID, r.Channel, r.State, r.Attempts, r.CreatedAt.UTC().Format(time.DateTime), next, printable(r.Message), printable(last))
	}
	return w.Flush()
}

// printable replaces what would move the cursor or the columns.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
}

// outboxLine is a notification in the output of --json.
type outboxLine struct {
	ID         int64      `json:"id"`
	Key        string     `json:"key"`
	Channel    string     `json:"channel"`
	State      string     `json:"state"`
	Attempts   int32      `json:"attempts"`
	NextTry    time.Time  `json:"next_try"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Error      *string    `json:"error"`
	Message    string     `json:"message"`
}

type outboxRetryCmd struct {
	outboxFlags
	IDs []int64 `arg:"" optional:"" name:"id" help:"Ids, as in the first column of outbox list." placeholder:"ID"`
	All bool    `help:"All notifications, or with --channel all of that channel." env:"-"`
}

// Run makes notifications due, and wakes the notifiers.
func (c *outboxRetryCmd) Run(e *env) error {
	if c.All == (len(c.IDs) > 0) {
		return usagef("want either ids, as outbox list shows them, or --all")
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	q := db.New(pool)
	ids, err := q.RetryNotifications(e.ctx, db.RetryNotificationsParams{
		Ids: c.IDs, Every: c.All, Channel: c.channel(), LeaseSeconds: notify.Lease.Seconds(),
	})
	if err != nil {
		return fmt.Errorf("retry notifications: %w", err)
	}
	if err := q.WakeNotifiers(e.ctx); err != nil {
		return fmt.Errorf("wake the notifiers: %w", err)
	}
	fmt.Fprintf(e.out, "%d to retry\n", len(ids))
	if missing := len(c.IDs) - len(ids); missing > 0 {
		return fmt.Errorf("%d do not exist, were sent, or are being sent", missing)
	}
	return nil
}

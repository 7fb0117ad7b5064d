package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/deadletter"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"List dead letters with offset, source and reason."`
	Show    dlqShowCmd    `cmd:"" help:"Show one dead letter with its headers and value."`
	Retry   dlqRetryCmd   `cmd:"" help:"Store the dead letters that are valid now, each once."`
	Discard dlqDiscardCmd `cmd:"" help:"Mark dead letters as handled without storing them; the topic keeps the records."`
}

// dlqFlags name the topic, and the database that records which dead letters are
// handled.
type dlqFlags struct {
	databaseFlag
	brokerFlag
	Timeout time.Duration `help:"Timeout of the command." default:"5m" placeholder:"DURATION"`
}

// within returns a context that ends after --timeout.
func (c *dlqFlags) within(e *env) (context.Context, context.CancelFunc, error) {
	if c.Timeout <= 0 {
		return nil, nil, usagef("--timeout: want more than 0, got %v", c.Timeout)
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	return ctx, cancel, nil
}

// queue opens the dead-letter topic; pool may be nil.
func (c *dlqFlags) queue(e *env, pool *pgxpool.Pool) (*deadletter.Queue, error) {
	security, err := c.security(e.log)
	if err != nil {
		return nil, err
	}
	return deadletter.NewQueue(deadletter.QueueConfig{Brokers: c.Brokers, Security: security, Topic: c.Topic, Pool: pool, Log: e.log}), nil
}

// with calls f with the queue and a context that ends after --timeout.
func (c *dlqFlags) with(e *env, f func(ctx context.Context, q *deadletter.Queue) error) error {
	ctx, cancel, err := c.within(e)
	if err != nil {
		return err
	}
	defer cancel()
	pool, err := db.Open(ctx, c.DatabaseURL, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	q, err := c.queue(e, pool)
	if err != nil {
		return err
	}
	return f(ctx, q)
}

// filter parses offsets; no offset means all.
func filter(offsets []string, reason string) (deadletter.Filter, error) {
	f := deadletter.Filter{Reason: reason}
	for _, o := range offsets {
		at, err := deadletter.ParsePosition(o)
		if err != nil {
			return f, usageError{err}
		}
		f.Positions = append(f.Positions, at)
	}
	return f, nil
}

type dlqListCmd struct {
	dlqFlags
	Reason string `help:"Only dead letters whose reason contains this text." placeholder:"TEXT" env:"-"`
	Limit  int    `help:"Maximum number of dead letters; 0 is all." default:"100" placeholder:"N"`
	All    bool   `help:"Also list dead letters that are handled." env:"-"`
	JSON   bool   `name:"json" help:"Print JSON, one object per line."`
}

// deadLetterJSON is a dead letter in the output of --json.
type deadLetterJSON struct {
	At              string             `json:"offset"`
	Time            time.Time          `json:"time"`
	Reason          string             `json:"reason"`
	SourceTopic     string             `json:"source_topic"`
	SourcePartition int32              `json:"source_partition"`
	SourceOffset    int64              `json:"source_offset"`
	Key             string             `json:"key"`
	Bytes           int                `json:"bytes"`
	Handled         deadletter.Outcome `json:"handled,omitempty"`
}

// Run lists dead letters.
func (c *dlqListCmd) Run(e *env) error {
	if c.Limit < 0 {
		return usagef("--limit: want at least 0, got %d", c.Limit)
	}
	return c.with(e, func(ctx context.Context, q *deadletter.Queue) error {
		w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
		n, more := 0, 0
		err := q.Each(ctx, deadletter.Filter{Reason: c.Reason, Handled: c.All}, func(l *deadletter.DeadLetter) error {
			if n++; c.Limit > 0 && n > c.Limit {
				more++
				return nil
			}
			if c.JSON {
				return json.NewEncoder(e.out).Encode(deadLetterJSON{l.Position.String(), l.Time, l.Reason,
					l.Source.Topic, l.Source.Partition, l.Source.Offset, text(l.Key), len(l.Value), l.Handled})
			}
			if n == 1 {
				fmt.Fprintln(w, "OFFSET\tTIME\tWAS\tKEY\tREASON")
			}
			fmt.Fprintf(w, "%v\t%s\t%d/%d\t%s\t%s\n", l.Position, l.Time.Format(time.RFC3339), l.Source.Partition, l.Source.Offset, text(l.Key),
				strings.TrimSpace(string(l.Handled)+" "+oneLine(errors.New(l.Reason))))
			return nil
		})
		if err != nil {
			return err
		}
		if err := w.Flush(); err != nil {
			return err
		}
		switch {
		case n == 0:
			fmt.Fprintf(e.errOut, "%s has no dead letters to handle\n", q.Topic())
		case more > 0:
			fmt.Fprintf(e.errOut, "and %d more: see --limit\n", more)
		}
		return nil
	})
}

type dlqShowCmd struct {
	dlqFlags
	Offset string `arg:"" help:"Position: OFFSET or PARTITION/OFFSET, as printed by list."`
}

// Run shows one dead letter. It needs no database.
func (c *dlqShowCmd) Run(e *env) error {
	at, err := deadletter.ParsePosition(c.Offset)
	if err != nil {
		return usageError{err}
	}
	ctx, cancel, err := c.within(e)
	if err != nil {
		return err
	}
	defer cancel()
	q, err := c.queue(e, nil)
	if err != nil {
		return err
	}
	l, err := q.Find(ctx, at)
	if errors.Is(err, deadletter.ErrNotFound) {
		return usagef("want the offset of a dead letter, got %v: %s has none there", at, q.Topic())
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(e.out, "offset     %v of %s\ntime       %s\nreason     %s\nwas        offset %d of partition %d of %s\nkey        %s\n",
		at, q.Topic(), l.Time.Format(time.RFC3339Nano), visible(l.Reason), l.Source.Offset, l.Source.Partition, visible(l.Source.Topic), text(l.Key))
	for _, h := range l.Headers {
		fmt.Fprintf(e.out, "header     %s: %s\n", visible(h.Key), text(h.Value))
	}
	if l.Truncated > 0 {
		fmt.Fprintf(e.out, "truncated  the whole value had %d bytes\n", l.Truncated)
	}
	fmt.Fprintf(e.out, "value      %d bytes\n%s\n", len(l.Value), body(l.Value))
	return nil
}

// text returns printable bytes as they are, and others in hexadecimal.
func text(b []byte) string {
	if s := string(b); visible(s) == s {
		return s
	}
	return "0x" + hex.EncodeToString(b)
}

// body is text that may have several lines.
func body(b []byte) string {
	if s := strings.NewReplacer("\n", "", "\t", "").Replace(string(b)); visible(s) == s {
		return string(b)
	}
	return "0x" + hex.EncodeToString(b)
}

type dlqRetryCmd struct {
	dlqFlags
	Offsets []string `arg:"" optional:"" help:"Positions: OFFSET or PARTITION/OFFSET. Default: all."`
	Reason  string   `help:"Only dead letters whose reason contains this text." placeholder:"TEXT" env:"-"`
}

// Help is shown below the flags.
func (dlqRetryCmd) Help() string {
	return "The seq of a dead letter is mostly below its feed position, so ingest would drop it as a duplicate. The command therefore stores its tick directly in the database, " +
		"unless it is already stored, and marks the dead letter as handled in the same transaction: it can be killed and run again. " +
		"A dead letter ahead of its feed position stays until ingest has passed its offset, because ingest would drop the ticks in between as duplicates. Needs hypertick_writer."
}

// Run retries dead letters.
func (c *dlqRetryCmd) Run(e *env) error {
	f, err := filter(c.Offsets, c.Reason)
	if err != nil {
		return err
	}
	return c.with(e, func(ctx context.Context, q *deadletter.Queue) error {
		n, err := q.Retry(ctx, f, func(l *deadletter.DeadLetter, why error) {
			fmt.Fprintf(e.errOut, "%v stays: %v\n", l.Position, oneLine(why))
		})
		fmt.Fprintf(e.out, "%d stored, %d already stored, %d stay\n", n.Stored, n.Known, n.Left)
		return err
	})
}

type dlqDiscardCmd struct {
	dlqFlags
	Offsets []string `arg:"" optional:"" help:"Positions: OFFSET or PARTITION/OFFSET."`
	Reason  string   `help:"Dead letters whose reason contains this text." placeholder:"TEXT" env:"-"`
	All     bool     `help:"All dead letters." env:"-"`
}

// Run discards dead letters.
func (c *dlqDiscardCmd) Run(e *env) error {
	f, err := filter(c.Offsets, c.Reason)
	if err != nil {
		return err
	}
	if f.Positions == nil && c.Reason == "" && !c.All {
		return usagef("want offsets, --reason or --all, got none of them")
	}
	return c.with(e, func(ctx context.Context, q *deadletter.Queue) error {
		n, err := q.Discard(ctx, f)
		fmt.Fprintf(e.out, "%d discarded\n", n)
		return err
	})
}

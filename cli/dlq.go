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
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/deadletter"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"List dead letters: where they are, why they are, what they were."`
	Show    dlqShowCmd    `cmd:"" help:"Show one whole."`
	Retry   dlqRetryCmd   `cmd:"" help:"Store those that can be read now, each once; the others stay."`
	Discard dlqDiscardCmd `cmd:"" help:"Deal with dead letters by forgetting them; the topic keeps its records."`
}

// dlqFlags reach the topic, and the database that knows what was handled.
type dlqFlags struct {
	databaseFlag
	brokerFlag
	Timeout time.Duration `help:"Give up after so long." default:"5m" placeholder:"DURATION"`
}

// within bounds a command by --timeout.
func (c *dlqFlags) within(e *env) (context.Context, context.CancelFunc, error) {
	if c.Timeout <= 0 {
		return nil, nil, usagef("--timeout: want more than 0, got %v", c.Timeout)
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	return ctx, cancel, nil
}

// queue makes the queue; pool may be nil.
func (c *dlqFlags) queue(e *env, pool *pgxpool.Pool) (*deadletter.Queue, error) {
	security, err := c.security(e.log)
	if err != nil {
		return nil, err
	}
	return deadletter.NewQueue(deadletter.QueueConfig{Brokers: c.Brokers, Security: security, Topic: c.Topic, Pool: pool, Log: e.log}), nil
}

// with calls f with the queue, for as long as the flags allow.
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

// filter reads offsets; none given means all.
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
	Reason string `help:"Only those whose reason contains this." placeholder:"TEXT" env:"-"`
	Limit  int    `help:"At most so many; 0 is all." default:"100" placeholder:"N"`
	All    bool   `help:"Also those that were dealt with." env:"-"`
	JSON   bool   `name:"json" help:"As JSON, one a line."`
}

// letterJSON is a letter for programs.
type letterJSON struct {
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

// Run lists them.
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
				return json.NewEncoder(e.out).Encode(letterJSON{l.Position.String(), l.Time, l.Reason,
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
			fmt.Fprintf(e.errOut, "%s holds nothing to deal with\n", q.Topic())
		case more > 0:
			fmt.Fprintf(e.errOut, "and %d more: --limit\n", more)
		}
		return nil
	})
}

type dlqShowCmd struct {
	dlqFlags
	Offset string `arg:"" help:"Which one: OFFSET or PARTITION/OFFSET, as list has it."`
}

// Run shows one. It needs no database.
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
		at, q.Topic(), l.Time.Format(time.RFC3339Nano), l.Reason, l.Source.Offset, l.Source.Partition, l.Source.Topic, text(l.Key))
	for _, h := range l.Headers {
		fmt.Fprintf(e.out, "header     %s: %s\n", h.Key, text(h.Value))
	}
	if l.Truncated > 0 {
		fmt.Fprintf(e.out, "truncated  the whole value had %d bytes\n", l.Truncated)
	}
	fmt.Fprintf(e.out, "value      %d bytes\n%s\n", len(l.Value), text(l.Value))
	return nil
}

// text is what people can read of bytes: text as it is, else hexadecimal digits.
func text(b []byte) string {
	if utf8.Valid(b) && !strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' && r != '\n' && r != '\t' && r != '\r' }) {
		return string(b)
	}
	return "0x" + hex.EncodeToString(b)
}

type dlqRetryCmd struct {
	dlqFlags
	Offsets []string `arg:"" optional:"" help:"Which ones: OFFSET or PARTITION/OFFSET. Default: all."`
	Reason  string   `help:"Only those whose reason contains this." placeholder:"TEXT" env:"-"`
}

// Help is shown below the flags.
func (dlqRetryCmd) Help() string {
	return "A dead letter's seq is mostly below its feed's position, so that ingest would take it for a repeat. It is therefore stored straight in the database, " +
		"unless its tick is there already, in one transaction with the note that it was dealt with: killed and run again, nothing is lost or doubled. " +
		"One that is beyond its feed stays until ingest has come past it: else what ingest has yet to bring would count as repeats. Needs hypertick_writer."
}

// Run tries again.
func (c *dlqRetryCmd) Run(e *env) error {
	f, err := filter(c.Offsets, c.Reason)
	if err != nil {
		return err
	}
	return c.with(e, func(ctx context.Context, q *deadletter.Queue) error {
		n, err := q.Retry(ctx, f, func(l *deadletter.DeadLetter, why error) {
			fmt.Fprintf(e.errOut, "%v stays: %v\n", l.Position, oneLine(why))
		})
		fmt.Fprintf(e.out, "%d stored, %d were there already, %d stay\n", n.Stored, n.Known, n.Left)
		return err
	})
}

type dlqDiscardCmd struct {
	dlqFlags
	Offsets []string `arg:"" optional:"" help:"Which ones: OFFSET or PARTITION/OFFSET."`
	Reason  string   `help:"Those whose reason contains this." placeholder:"TEXT" env:"-"`
	All     bool     `help:"All of them." env:"-"`
}

// Run forgets some.
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

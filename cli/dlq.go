package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
)

type dlqCmd struct {
	List    dlqListCmd    `cmd:"" help:"List dead letters: where they are, why they are, what they were."`
	Show    dlqShowCmd    `cmd:"" help:"Show one whole."`
	Retry   dlqRetryCmd   `cmd:"" help:"Store those that can be read now, each once; the others stay."`
	Discard dlqDiscardCmd `cmd:"" help:"Deal with dead letters by forgetting them; the topic keeps its records."`
}

// dlqFlags reach the topic, and the database that knows what was dealt with.
type dlqFlags struct {
	databaseFlag
	brokerFlag
	Timeout time.Duration `help:"Give up after so long." default:"5m" placeholder:"DURATION"`
}

// where names a letter: partition and offset, or an offset of partition 0.
type where struct {
	partition int32
	offset    int64
}

func (w where) String() string { return fmt.Sprintf("%d/%d", w.partition, w.offset) }

func parseWhere(s string) (where, error) {
	p, o, both := strings.Cut(s, "/")
	if !both {
		p, o = "0", s
	}
	partition, err := strconv.ParseInt(p, 10, 32)
	offset, err2 := strconv.ParseInt(o, 10, 64)
	if err != nil || err2 != nil || partition < 0 || offset < 0 {
		return where{}, usagef("want an offset such as 17, or partition and offset such as 0/17, got %q", s)
	}
	return where{int32(partition), offset}, nil
}

// each calls f for the letters that nobody has dealt with, in the order of the topic.
func (c *dlqFlags) each(e *env, pool *pgxpool.Pool, handled bool, f func(*deadletter.Letter, string) error) error {
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	rows, err := db.New(pool).HandledDeadLetters(e.ctx, c.deadTopic())
	if err != nil {
		return fmt.Errorf("read what was dealt with: %w", err)
	}
	done := make(map[where]string, len(rows))
	for _, r := range rows {
		done[where{r.Partition, r.Offset}] = r.How
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	return deadletter.Read(ctx, c.Brokers, security, c.deadTopic(), -1, -1, func(l *deadletter.Letter) error {
		how := done[where{l.Partition, l.Offset}]
		if how != "" && !handled {
			return nil
		}
		return f(l, how)
	})
}

func (c *dlqFlags) deadTopic() string { return c.Topic + ".dlq" }

func (c *dlqFlags) open(e *env) (*pgxpool.Pool, error) {
	if c.Timeout <= 0 {
		return nil, usagef("--timeout: want more than 0, got %v", c.Timeout)
	}
	return db.Open(e.ctx, c.DatabaseURL, 2)
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
	At              string    `json:"offset"`
	Time            time.Time `json:"time"`
	Reason          string    `json:"reason"`
	SourceTopic     string    `json:"source_topic"`
	SourcePartition int32     `json:"source_partition"`
	SourceOffset    int64     `json:"source_offset"`
	Key             string    `json:"key"`
	Bytes           int       `json:"bytes"`
	Handled         string    `json:"handled,omitempty"`
}

// Run lists them.
func (c *dlqListCmd) Run(e *env) error {
	if c.Limit < 0 {
		return usagef("--limit: want at least 0, got %d", c.Limit)
	}
	pool, err := c.open(e)
	if err != nil {
		return err
	}
	defer pool.Close()
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	n, more := 0, 0
	err = c.each(e, pool, c.All, func(l *deadletter.Letter, how string) error {
		if !strings.Contains(l.Reason, c.Reason) {
			return nil
		}
		if n++; c.Limit > 0 && n > c.Limit {
			more++
			return nil
		}
		at := where{l.Partition, l.Offset}.String()
		if c.JSON {
			return json.NewEncoder(e.out).Encode(letterJSON{at, l.At, l.Reason, l.Topic, l.From, l.FromOffset, text(l.Key), len(l.Value), how})
		}
		if n == 1 {
			fmt.Fprintln(w, "OFFSET\tTIME\tWAS\tKEY\tREASON")
		}
		fmt.Fprintf(w, "%s\t%s\t%d/%d\t%s\t%s\n", at, l.At.Format(time.RFC3339), l.From, l.FromOffset, text(l.Key), strings.TrimSpace(how+" "+oneLine(errors.New(l.Reason))))
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
		fmt.Fprintf(e.errOut, "%s holds nothing to deal with\n", c.deadTopic())
	case more > 0:
		fmt.Fprintf(e.errOut, "and %d more: --limit\n", more)
	}
	return nil
}

type dlqShowCmd struct {
	dlqFlags
	Offset string `arg:"" help:"Which one: OFFSET or PARTITION/OFFSET, as list has it."`
}

// Run shows one.
func (c *dlqShowCmd) Run(e *env) error {
	at, err := parseWhere(c.Offset)
	if err != nil {
		return err
	}
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	found := false
	err = deadletter.Read(ctx, c.Brokers, security, c.deadTopic(), at.partition, at.offset, func(l *deadletter.Letter) error {
		if found = l.Offset == at.offset; !found {
			return deadletter.ErrStop
		}
		fmt.Fprintf(e.out, "offset     %v of %s\ntime       %s\nreason     %s\nwas        offset %d of partition %d of %s\nkey        %s\n",
			at, c.deadTopic(), l.At.Format(time.RFC3339Nano), l.Reason, l.FromOffset, l.From, l.Topic, text(l.Key))
		for _, h := range l.Headers {
			fmt.Fprintf(e.out, "header     %s: %s\n", h.Key, text(h.Value))
		}
		if l.Truncated > 0 {
			fmt.Fprintf(e.out, "truncated  the whole value had %d bytes\n", l.Truncated)
		}
		fmt.Fprintf(e.out, "value      %d bytes\n%s\n", len(l.Value), text(l.Value))
		return deadletter.ErrStop
	})
	if err == nil && !found {
		return usagef("want the offset of a dead letter, got %v: %s has none there", at, c.deadTopic())
	}
	return err
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
	only, err := chosen(c.Offsets)
	if err != nil {
		return err
	}
	pool, err := c.open(e)
	if err != nil {
		return err
	}
	defer pool.Close()
	decoder := feed.NewDecoder()
	var stored, known, left int
	err = c.each(e, pool, false, func(l *deadletter.Letter, _ string) error {
		if only != nil && !only[where{l.Partition, l.Offset}] || !strings.Contains(l.Reason, c.Reason) {
			return nil
		}
		var t feed.Tick
		how := ""
		why, err := unstorable(e.ctx, pool, decoder, l, &t)
		if why == nil && err == nil {
			how, err = c.store(e, pool, l, &t)
		}
		if ahead, ok := errors.AsType[*backfill.AheadError](err); ok {
			why, err = ahead, nil
		}
		switch {
		case err != nil:
			return err
		case why != nil:
			left++
			fmt.Fprintf(e.errOut, "%v stays: %v\n", where{l.Partition, l.Offset}, oneLine(why))
		case how == "stored":
			stored++
		case how == "known":
			known++
		}
		return nil
	})
	fmt.Fprintf(e.out, "%d stored, %d were there already, %d stay\n", stored, known, left)
	return err
}

// unstorable reads a letter's tick, or says why it can still not be one.
func unstorable(ctx context.Context, pool *pgxpool.Pool, decoder *feed.Decoder, l *deadletter.Letter, t *feed.Tick) (why, err error) {
	if l.Truncated > 0 {
		return errors.New("the value is truncated"), nil
	}
	if why := decoder.DecodeValid(l.Value, t, time.Now()); why != nil {
		return why, nil
	}
	horizon, err := db.New(pool).TickHorizon(ctx)
	if err != nil {
		return nil, fmt.Errorf("read retention horizon: %w", err)
	}
	if t.Time().Before(horizon) {
		return fmt.Errorf("ts: older than the retention horizon %s", horizon.Format(time.RFC3339)), nil
	}
	return nil, nil
}

// store deals with one letter: "" means that somebody else has.
func (c *dlqRetryCmd) store(e *env, pool *pgxpool.Pool, l *deadletter.Letter, t *feed.Tick) (how string, err error) {
	var from backfill.Place
	if l.Topic != "" && l.From >= 0 && l.FromOffset >= 0 {
		from = backfill.Place{Topic: l.Topic, Partition: l.From, Offset: l.FromOffset}
	}
	err = db.InTx(e.ctx, pool, e.log, func(tx pgx.Tx) error {
		how = "known"
		fresh, err := backfill.Store(e.ctx, tx, t, from)
		if err != nil {
			return err
		}
		if fresh {
			how = "stored"
		}
		rows, err := db.New(tx).HandleDeadLetter(e.ctx, db.HandleDeadLetterParams{Topic: c.deadTopic(), Partition: l.Partition, AtOffset: l.Offset, How: how})
		if err == nil && rows == 0 {
			how = ""
		}
		return err
	})
	if err != nil {
		return "", fmt.Errorf("store %v: %w", where{l.Partition, l.Offset}, err)
	}
	return how, nil
}

// chosen reads offsets; none given means all, which is nil.
func chosen(offsets []string) (map[where]bool, error) {
	if len(offsets) == 0 {
		return nil, nil
	}
	only := map[where]bool{}
	for _, o := range offsets {
		at, err := parseWhere(o)
		if err != nil {
			return nil, err
		}
		only[at] = true
	}
	return only, nil
}

type dlqDiscardCmd struct {
	dlqFlags
	Offsets []string `arg:"" optional:"" help:"Which ones: OFFSET or PARTITION/OFFSET."`
	Reason  string   `help:"Those whose reason contains this." placeholder:"TEXT" env:"-"`
	All     bool     `help:"All of them." env:"-"`
}

// Run forgets some.
func (c *dlqDiscardCmd) Run(e *env) error {
	only, err := chosen(c.Offsets)
	if err != nil {
		return err
	}
	if only == nil && c.Reason == "" && !c.All {
		return usagef("want offsets, --reason or --all, got none of them")
	}
	pool, err := c.open(e)
	if err != nil {
		return err
	}
	defer pool.Close()
	n := int64(0)
	err = c.each(e, pool, false, func(l *deadletter.Letter, _ string) error {
		if only != nil && !only[where{l.Partition, l.Offset}] || !strings.Contains(l.Reason, c.Reason) {
			return nil
		}
		rows, err := db.New(pool).HandleDeadLetter(e.ctx, db.HandleDeadLetterParams{Topic: c.deadTopic(), Partition: l.Partition, AtOffset: l.Offset, How: "discarded"})
		n += rows
		return err
	})
	fmt.Fprintf(e.out, "%d discarded\n", n)
	return err
}

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/verify"
)

type verifyCmd struct {
	databaseFlag
	brokerFlag
	From    string `help:"Start of the range: 2026-01-31, or 2026-01-31T09:30:00Z (default: the oldest tick)." placeholder:"TIME" env:"-"`
	To      string `help:"End of the range, exclusive (default: now)." placeholder:"TIME" env:"-"`
	Symbol  string `help:"Verify this symbol only." placeholder:"SYMBOL" env:"-"`
	Repair  bool   `help:"Refresh the buckets with drift, and verify them again." env:"-"`
	Offsets bool   `help:"Also compare ingest_offsets with the topic." env:"-"`
	Limit   int    `help:"Maximum number of findings to print; all are counted and repaired." default:"1000" placeholder:"N"`
	JSON    bool   `name:"json" help:"Report as JSON."`
}

// Help is shown below the flags.
func (verifyCmd) Help() string {
	return "Computes candles from the ticks and block states from the candles, and compares them with the stored ones: " +
		"sums to 1e-9, everything else exactly. Reports seqs that are stored twice, seqs that are missing, and positions " +
		"that do not match the data. Buckets that a refresh will compute again anyway are pending, not drift; " +
		"ranges whose ticks retention has dropped are skipped. Without --repair it only reads; the privileges of hypertick_reader are enough, " +
		"but its statement timeout may be too short. The exit code is 0 if nothing is wrong or all is repaired, 1 if something is wrong, 2 on a usage error."
}

// Run verifies, and fails if something is wrong.
func (c *verifyCmd) Run(e *env) error {
	from, err := parseTime("--from", c.From)
	if err != nil {
		return err
	}
	to, err := parseTime("--to", c.To)
	if err != nil {
		return err
	}
	switch {
	case !from.IsZero() && !to.IsZero() && !from.Before(to):
		return usagef("--from: want a time before --to, got %s", c.From)
	case c.Limit < 0:
		return usagef("--limit: want at least 0, got %d", c.Limit)
	}
	cfg := verify.Config{From: from, To: to, Symbol: c.Symbol, Repair: c.Repair, Topic: c.Topic, Log: e.log}
	if c.Offsets {
		security, err := c.security(e.log)
		if err != nil {
			return err
		}
		if cfg.Broker, err = security.Client(c.Brokers, kgo.ClientID("hypertick-verify"), kgo.RetryTimeout(15*time.Second)); err != nil {
			return fmt.Errorf("create broker client: %w", err)
		}
		defer cfg.Broker.Close()
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 1)
	if err != nil {
		return err
	}
	defer pool.Close()
	cfg.Pool = pool

	found, n := []verify.Finding{}, 0
	cfg.Found = func(f verify.Finding) {
		if n++; n > c.Limit {
			return
		}
		if c.JSON {
			found = append(found, f)
		} else {
			fmt.Fprintln(e.out, findingLine(&f))
		}
	}
	r, err := verify.Run(e.ctx, cfg)
	var unknown *verify.UnknownSymbolError
	if errors.As(err, &unknown) {
		return usagef("--%w", unknown)
	} else if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(e.out, struct {
			*verify.Result
			Clean    bool             `json:"clean"`
			Findings []verify.Finding `json:"findings"`
		}{r, r.Clean(), found})
		if err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	} else {
		if n > c.Limit {
			fmt.Fprintf(e.out, "... and %d more\n", n-c.Limit)
		}
		fmt.Fprintln(e.out, resultLine(r))
	}
	if !r.Clean() {
		return errors.New(wrongs(r))
	}
	return nil
}

// parseTime parses a date or a time; "" is the zero time.
func parseTime(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s: want a time such as 2026-01-31 or 2026-01-31T09:30:00Z, got %q", flag, s)
}

// findingLine formats a finding.
func findingLine(f *verify.Finding) string {
	var b strings.Builder
	b.WriteString(string(f.Kind))
	for _, s := range []string{f.Relation, f.Symbol, f.Venue} {
		if s != "" {
			b.WriteString(" " + s)
		}
	}
	switch {
	case f.FromSeq != 0 && f.ToSeq > f.FromSeq && f.Kind != verify.Position:
		fmt.Fprintf(&b, " seq %d to %d", f.FromSeq, f.ToSeq)
	case f.FromSeq != 0 && f.Kind != verify.Position:
		fmt.Fprintf(&b, " seq %d", f.FromSeq)
	}
	if f.Bucket != nil {
		b.WriteString(" " + f.Bucket.Format(time.RFC3339))
	}
	if f.Detail != "" {
		b.WriteString(": " + f.Detail)
	}
	for _, v := range []struct {
		name string
		json json.RawMessage
	}{{"stored", f.Stored}, {"expected", f.Expected}} {
		if f.Bucket != nil {
			fmt.Fprintf(&b, " %s %s", v.name, values(v.json))
		}
	}
	switch {
	case f.Pending:
		b.WriteString(" (pending)")
	case f.Repaired:
		b.WriteString(" (repaired)")
	}
	return b.String()
}

// values shortens long values; --json prints them whole.
func values(raw json.RawMessage) string {
	const longest = 200
	switch {
	case raw == nil:
		return "nothing"
	case len(raw) > longest:
		return string(raw[:longest]) + "…"
	}
	return string(raw)
}

func resultLine(r *verify.Result) string {
	return fmt.Sprintf("%d candles from %s to %s, %d blocks and the seqs of %d ticks verified: %d drifted, %d repaired, %d pending, "+
		"%d duplicates, %d holes, %d known gaps, %d positions and %d offsets wrong",
		r.Candles, r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), r.Blocks, r.Ticks, r.Drift, r.Repaired, r.Pending,
		r.Duplicates, r.Holes, r.Gaps, r.Positions, r.Offsets)
}

// wrongs lists what is still wrong, and what to do about it.
func wrongs(r *verify.Result) string {
	var what []string
	add := func(n int64, s string) {
		if n > 0 {
			what = append(what, fmt.Sprintf(s, n))
		}
	}
	if left := r.Drift - r.Repaired; r.Repaired > 0 {
		add(left, "%d buckets still differ")
	} else {
		add(left, "%d buckets differ: --repair refreshes them")
	}
	add(r.Duplicates, "%d seqs are stored more than once")
	add(r.Holes, "%d ranges of seq are missing")
	add(r.Positions, "%d feed positions do not match the ticks")
	add(r.Offsets, "%d offsets do not match the topic")
	return strings.Join(what, "; ") + "; see docs/operations.md"
}

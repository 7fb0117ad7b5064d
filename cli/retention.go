package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
)

type retentionCmd struct {
	databaseFlag
	Ticks   keepAge           `help:"How long to keep ticks, such as 90d, or keep for ever." placeholder:"AGE" env:"-"`
	Candles map[string]string `help:"How long to keep the candles of a materialised interval, such as 1m=2y or 1h=keep; repeatable." mapsep:"," placeholder:"INTERVAL=AGE" env:"-"`
}

// Help is shown below the flags.
func (retentionCmd) Help() string {
	return "Without flags it only shows how long each is kept. Candles must be kept at least as long as what they are built from. " +
		"Ticks older than the retention horizon are not accepted: ingest publishes them to the dead-letter topic as too old."
}

// Run changes retention if asked to, then prints it.
func (c *retentionCmd) Run(e *env) error {
	change, err := c.change()
	if err != nil {
		return err
	}
	pool, err := db.Open(e.ctx, c.DatabaseURL, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	if len(change) > 0 {
		if err := c.stored(e.ctx, pool); err != nil {
			return err
		}
		if err := db.SetRetention(e.ctx, pool, change); errors.Is(err, db.ErrRetentionOrder) {
			return usageError{err}
		} else if err != nil {
			return err
		}
	}
	keeps, err := db.Retention(e.ctx, pool)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RELATION\tKEPT\tCOMPLETE SINCE")
	for _, k := range keeps {
		kept, since := "for ever", "always"
		if k.Age > 0 {
			kept = age(k.Age).String()
		}
		if k.Horizon != nil {
			since = k.Horizon.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", k.Relation, kept, since)
	}
	return w.Flush()
}

const candles = "candles_"

// change returns the retention that the flags name, by relation; 0 is for ever.
func (c *retentionCmd) change() (map[string]time.Duration, error) {
	change := map[string]time.Duration{}
	if c.Ticks.set {
		change["ticks"] = c.Ticks.age
	}
	for name, text := range c.Candles {
		var k keepAge
		if err := k.UnmarshalText([]byte(text)); err != nil {
			return nil, usagef("--candles: %s: %w", name, err)
		}
		change[candles+name] = k.age
	}
	return change, nil
}

// stored returns an error if --candles names an interval that is not
// materialised.
func (c *retentionCmd) stored(ctx context.Context, pool *pgxpool.Pool) error {
	keeps, err := db.Retention(ctx, pool)
	if err != nil {
		return err
	}
	var stored []string
	for _, k := range keeps {
		if name, ok := strings.CutPrefix(k.Relation, candles); ok {
			stored = append(stored, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Candles)) {
		if !slices.Contains(stored, name) {
			return usagef("--candles: want one of %s, which are materialised, got %q", strings.Join(stored, ", "), name)
		}
	}
	return nil
}

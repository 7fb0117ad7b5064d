package cli

import (
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/hypertick/hypertick/db"
)

type retentionCmd struct {
	databaseFlag
	Ticks      keepAge `help:"Keep raw ticks this long, such as 90d, or keep for ever." placeholder:"AGE" env:"-"`
	Candles1m  keepAge `name:"candles-1m" help:"The same for candles of a minute." placeholder:"AGE" env:"-"`
	Candles5m  keepAge `name:"candles-5m" help:"Of 5 minutes." placeholder:"AGE" env:"-"`
	Candles15m keepAge `name:"candles-15m" help:"Of 15 minutes." placeholder:"AGE" env:"-"`
	Candles1h  keepAge `name:"candles-1h" help:"Of an hour." placeholder:"AGE" env:"-"`
	Candles1d  keepAge `name:"candles-1d" help:"Of a day." placeholder:"AGE" env:"-"`
}

// Help is shown below the flags.
func (retentionCmd) Help() string {
	return "Without flags it only says how long each is kept. Candles must be kept at least as long as what they are built from. " +
		"Ticks older than the ticks that are still there are not accepted any more: they go to the dead letters as too old."
}

// Run changes retention, then prints it.
func (c *retentionCmd) Run(e *env) error {
	pool, err := db.Open(e.ctx, c.DatabaseURL, 2)
	if err != nil {
		return err
	}
	defer pool.Close()
	change := map[string]time.Duration{}
	for i, k := range []keepAge{c.Ticks, c.Candles1m, c.Candles5m, c.Candles15m, c.Candles1h, c.Candles1d} {
		if k.set {
			change[db.Levels[i]] = k.age
		}
	}
	if len(change) > 0 {
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

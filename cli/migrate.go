package cli

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/hypertick/hypertick/db"
)

type databaseFlag struct {
	DatabaseURL string `help:"Database: postgres://user:password@host:port/name." required:"" placeholder:"URL"`
}

type migrateCmd struct {
	databaseFlag
	Dir    []string `help:"More migrations, such as indicators of your own. May be given several times." placeholder:"DIR" type:"existingdir"`
	DownTo *int64   `help:"Take back every migration above this version; 0 takes back everything, with all data." placeholder:"VERSION"`
	Status bool     `help:"Only say which migrations have been applied."`
}

// Run migrates. The passwords of the roles come from the environment alone, so
// that they show in no process list.
func (c *migrateCmd) Run(e *env) error {
	switch {
	case c.Status:
		list, err := db.Migrations(e.ctx, c.DatabaseURL, c.Dir...)
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
		for _, m := range list {
			state := "pending"
			if m.Applied {
				state = "applied"
			}
			fmt.Fprintf(w, "%d\t%s\t%s\n", m.Version, state, m.File)
		}
		return w.Flush()
	case c.DownTo != nil:
		if *c.DownTo < 0 {
			return usagef("--down-to: want a version of at least 0, got %d", *c.DownTo)
		}
		return db.MigrateDown(e.ctx, c.DatabaseURL, *c.DownTo, e.log, c.Dir...)
	}
	if err := db.Migrate(e.ctx, c.DatabaseURL, e.log, c.Dir...); err != nil {
		return err
	}
	return db.SetPasswords(e.ctx, c.DatabaseURL, map[string]string{
		"hypertick_reader":   os.Getenv("HYPERTICK_READER_PASSWORD"),
		"hypertick_writer":   os.Getenv("HYPERTICK_WRITER_PASSWORD"),
		"hypertick_operator": os.Getenv("HYPERTICK_OPERATOR_PASSWORD"),
	})
}

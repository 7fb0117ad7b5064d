package cli

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/term"

	"github.com/hypertick/hypertick/db"
)

type databaseFlag struct {
	DatabaseURL string `help:"Database: postgres://user:password@host:port/name." required:"" placeholder:"URL"`
}

type migrateCmd struct {
	databaseFlag
	Dir          []string `help:"Folder of your own migrations, such as indicators, with its own version numbers and version table; repeatable." placeholder:"DIR" type:"existingdir"`
	DownTo       *int64   `help:"Roll back every migration above this version, and drop the data of what they created; 0 is everything. With --dir, only those of that folder. Asks first." placeholder:"VERSION" env:"-"`
	Yes          bool     `help:"Do not ask before --down-to." env:"-"`
	Status       bool     `help:"Only list which migrations are applied." env:"-"`
	AllowVersion bool     `help:"Migrate a server whose versions of PostgreSQL and TimescaleDB are known to be incompatible: for a build with the fix." env:"-"`
}

// Run migrates. Passwords of roles come from the environment only, because flags
// show in process lists.
func (c *migrateCmd) Run(e *env) error {
	switch {
	case c.Status:
		return c.status(e)
	case c.DownTo != nil:
		return c.down(e)
	}
	if err := c.checkServer(e); err != nil {
		return err
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

// status lists the migrations.
func (c *migrateCmd) status(e *env) error {
	list, err := db.Migrations(e.ctx, c.DatabaseURL, c.Dir...)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(e.out, 0, 0, 2, ' ', 0)
	for _, m := range list {
		state, folder := "pending", ""
		if m.Applied {
			state = "applied"
		}
		switch {
		case len(c.Dir) > 0 && m.Folder == "":
			folder = "-\t"
		case len(c.Dir) > 0:
			folder = m.Folder + "\t"
		}
		fmt.Fprintf(w, "%d\t%s\t%s%s\n", m.Version, state, folder, m.File)
	}
	return w.Flush()
}

// checkServer returns an error on versions that are known to be incompatible.
func (c *migrateCmd) checkServer(e *env) error {
	server, err := db.ServerAt(e.ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	switch v := server.Verdict(); {
	case v.Broken && !c.AllowVersion:
		return usagef("%s. %s, or give --allow-version if this build has the fix", v.Problem, v.Remedy)
	case v.Problem != "":
		e.log.WarnContext(e.ctx, "server version", slog.String("problem", v.Problem), slog.String("remedy", v.Remedy))
	}
	return nil
}

// down rolls back after confirmation.
func (c *migrateCmd) down(e *env) error {
	if *c.DownTo < 0 {
		return usagef("--down-to: want a version of at least 0, got %d", *c.DownTo)
	}
	if len(c.Dir) > 1 {
		return usagef("--down-to: want at most one --dir, because each has its own versions, got %d", len(c.Dir))
	}
	list, err := db.Migrations(e.ctx, c.DatabaseURL, c.Dir...)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(m db.MigrationStatus) bool { return (m.Folder == "") != (len(c.Dir) == 0) })
	n := 0
	for _, m := range list {
		if m.Applied && m.Version > *c.DownTo {
			n++
		}
	}
	if n > 0 && !c.Yes {
		server, err := db.ServerAt(e.ctx, c.DatabaseURL)
		if err != nil {
			return err
		}
		of := "database " + server.Database
		if len(c.Dir) > 0 {
			of = "folder " + list[0].Folder + " of " + of
		}
		loss := fmt.Sprintf("--down-to %d rolls back %d of %d migrations of %s, and the data of what they created is lost", *c.DownTo, n, len(list), of)
		if err := confirm(e, loss, server.Database); err != nil {
			return err
		}
	}
	err = db.MigrateDown(e.ctx, c.DatabaseURL, *c.DownTo, e.log, c.Dir...)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == "2BP01" && len(c.Dir) == 0 { // others depend on it
		return fmt.Errorf("%w: roll back your own migrations first, such as indicators (--down-to 0 --dir %s)", err, ownFolder)
	}
	return err
}

// confirm asks for name on the terminal. Without a terminal it returns an error.
func confirm(e *env, loss, name string) error {
	out, ok := e.errOut.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) || !term.IsTerminal(int(e.in.Fd())) {
		return usagef("%s: give --yes to continue", loss)
	}
	fmt.Fprintf(out, "%s.\nType the name of the database to continue: ", loss)
	line := make(chan string, 1)
	go func() {
		// It may outlive the command, which then ends.
		s, _ := bufio.NewReader(e.in).ReadString('\n')
		line <- s
	}()
	select {
	case <-e.ctx.Done():
		fmt.Fprintln(out)
		return usagef("interrupted: nothing was rolled back")
	case got := <-line:
		if got = strings.TrimSpace(got); got != name {
			return usagef("want the name of the database, %s, got %q: nothing was rolled back", name, got)
		}
		return nil
	}
}

// Command gen writes and checks the migrations: the baseline from schema/, new
// migrations from what has changed in it, and the list of frozen ones.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const (
	schemaDir     = "schema"
	migrationsDir = "migrations"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "migrations:", err)
		os.Exit(1)
	}
}

const usage = `usage: go run ./migrations/gen baseline | new NAME | freeze | check [-before FILE]`

func run(args []string) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "baseline":
		return writeBaseline()
	case "new":
		if len(args) != 2 || !regexp.MustCompile(`^[a-z0-9_]+$`).MatchString(args[1]) {
			return fmt.Errorf("want a name of lower case letters, digits and _, such as NAME=add_side")
		}
		return writeMigration(args[1])
	case "freeze":
		return freeze()
	case "check":
		flags := flag.NewFlagSet("check", flag.ContinueOnError)
		before := flags.String("before", "", "an earlier state of "+frozenFile)
		if err := flags.Parse(args[1:]); err != nil {
			return err
		}
		return check(*before)
	}
	return errors.New(usage)
}

// baselineFile is the first migration. Its number is above that of any baseline
// before it, so that the stock goose command does not take one for the other.
func baselineFile() (string, error) {
	found, err := filepath.Glob(filepath.Join(migrationsDir, "*_baseline.sql"))
	if err != nil {
		return "", err
	}
	if len(found) != 1 {
		return "", fmt.Errorf("want one %s/NNNNN_baseline.sql, got %d", migrationsDir, len(found))
	}
	return found[0], nil
}

func frozenNow() (map[string]string, error) {
	text, err := os.ReadFile(filepath.Join(migrationsDir, frozenFile))
	if err != nil {
		return nil, err
	}
	return parseFrozen(string(text))
}

func writeBaseline() error {
	frozen, err := frozenNow()
	if err != nil {
		return err
	}
	name, err := baselineFile()
	if err != nil {
		return err
	}
	if _, ok := frozen[filepath.Base(name)]; ok {
		return fmt.Errorf("%s is frozen: write a migration (make migration NAME=...)", name)
	}
	text, _, err := baseline(os.DirFS(schemaDir))
	if err != nil {
		return err
	}
	return os.WriteFile(name, []byte(text), 0o644) //nolint:gosec // source code
}

func writeMigration(name string) error {
	frozen, err := frozenNow()
	if err != nil {
		return err
	}
	if len(frozen) == 0 {
		return fmt.Errorf("nothing is frozen yet: edit %s/ and run make baseline", schemaDir)
	}
	from, err := stateOfMigrations(os.DirFS(migrationsDir))
	if err != nil {
		return err
	}
	to, err := stateOfSchema(os.DirFS(schemaDir))
	if err != nil {
		return err
	}
	text := delta(from, to)
	if text == "" {
		return fmt.Errorf("%s/ says what the migrations say already: edit it first", schemaDir)
	}
	names, _, err := sqlFiles(os.DirFS(migrationsDir))
	if err != nil {
		return err
	}
	var last int
	if _, err := fmt.Sscanf(names[len(names)-1], "%05d", &last); err != nil {
		return err
	}
	path := filepath.Join(migrationsDir, fmt.Sprintf("%05d_%s.sql", last+1, name))
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil { //nolint:gosec // source code
		return err
	}
	fmt.Println(path)
	if strings.Contains(text, "-- TODO") {
		fmt.Println("schema changes are left for you to write: look for TODO in it")
	}
	return nil
}

// freeze adds every migration to the list.
func freeze() error {
	names, files, err := sqlFiles(os.DirFS(migrationsDir))
	if err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString("# Migrations that may not change any more. make freeze adds those of a release.\n")
	for _, name := range names {
		fmt.Fprintf(&b, "%s  %s\n", sha256Hex(files[name]), name)
	}
	return os.WriteFile(filepath.Join(migrationsDir, frozenFile), []byte(b.String()), 0o644) //nolint:gosec // source code
}

func check(before string) error {
	was := ""
	if before != "" {
		b, err := os.ReadFile(before) //nolint:gosec // named by the caller
		if err != nil {
			return err
		}
		was = string(b)
	}
	if err := checkFrozen(os.DirFS(migrationsDir), was); err != nil {
		return err
	}
	frozen, err := frozenNow()
	if err != nil {
		return err
	}
	name, err := baselineFile()
	if err != nil {
		return err
	}
	if _, ok := frozen[filepath.Base(name)]; ok {
		return nil
	}
	want, _, err := baseline(os.DirFS(schemaDir))
	if err != nil {
		return err
	}
	got, err := os.ReadFile(name) //nolint:gosec // our own
	if err != nil {
		return err
	}
	if string(got) != want {
		return fmt.Errorf("%s is not what %s/ makes: run make baseline", name, schemaDir)
	}
	return nil
}

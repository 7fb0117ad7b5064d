package db

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/hypertick/hypertick/migrations"
)

// BaselineError is about a database that another baseline made.
type BaselineError struct {
	Want, Got string // checksums; Got is empty where the database has none
}

func (e *BaselineError) Error() string { return e.Problem() + ": " + e.Remedy() }

// Problem names the two baselines.
func (e *BaselineError) Problem() string {
	got := "one without a checksum"
	if e.Got != "" {
		got = e.Got[:min(12, len(e.Got))]
	}
	return fmt.Sprintf("the database was made by another baseline (%s, this program has %.12s)", got, e.Want)
}

// Remedy says what to do about it.
func (e *BaselineError) Remedy() string {
	return "make a new database, or empty this one with the program that made it (hypertick migrate --down-to 0)"
}

var checksumLine = regexp.MustCompile(`(?m)^INSERT INTO _hypertick\.baseline \(checksum\) VALUES \('([0-9a-f]{64})'\);$`)

// CheckBaseline returns a *BaselineError when a database has been made by
// another baseline than this program's. An empty database is fine. Every role
// may ask.
func CheckBaseline(ctx context.Context, q DBTX) error {
	names, err := fs.Glob(migrations.FS, "*_baseline.sql")
	if err != nil {
		return fmt.Errorf("list the migrations: %w", err)
	}
	if len(names) != 1 {
		return fmt.Errorf("want one baseline among the migrations, got %d", len(names))
	}
	text, err := fs.ReadFile(migrations.FS, names[0])
	if err != nil {
		return fmt.Errorf("read the baseline: %w", err)
	}
	m := checksumLine.FindSubmatch(text)
	if m == nil {
		return errors.New("the baseline has no checksum: run make baseline")
	}
	var made, known bool
	if err := q.QueryRow(ctx, "SELECT to_regnamespace('_hypertick') IS NOT NULL, to_regclass('_hypertick.baseline') IS NOT NULL").Scan(&made, &known); err != nil {
		return fmt.Errorf("read the baseline of the database: %w", err)
	}
	if !made {
		return nil
	}
	got := ""
	if known {
		if err := q.QueryRow(ctx, "SELECT coalesce(max(checksum), '') FROM _hypertick.baseline").Scan(&got); err != nil {
			return fmt.Errorf("read the baseline of the database: %w", err)
		}
	}
	if want := string(m[1]); got != want {
		return &BaselineError{Want: want, Got: got}
	}
	return nil
}

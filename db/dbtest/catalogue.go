package dbtest

import (
	"context"
	_ "embed"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
)

//go:embed catalogue.sql
var catalogueSQL string

// Catalogue is all that the database's catalogue says of Hypertick's objects,
// one line an object: two databases are equal when all lines are. q is d.Pool or
// a transaction of it.
func Catalogue(t testing.TB, q db.DBTX) []string {
	t.Helper()
	rows, err := q.Query(context.Background(), catalogueSQL)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	if len(lines) < 500 {
		t.Fatalf("the catalogue has %d lines, want at least 500", len(lines))
	}
	return lines
}

// Differences are the lines that only one of two lists has.
func Differences(want, got []string) []string {
	var out []string
	for _, l := range want {
		if !slices.Contains(got, l) {
			out = append(out, "- "+l)
		}
	}
	for _, l := range got {
		if !slices.Contains(want, l) {
			out = append(out, "+ "+l)
		}
	}
	return out
}

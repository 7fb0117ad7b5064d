package cli_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// applied lists the versions that are applied, the newest last.
func applied(t *testing.T, d *dbtest.DB) []int64 {
	t.Helper()
	list, err := db.Migrations(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for _, m := range list {
		if m.Applied {
			out = append(out, m.Version)
		}
	}
	return out
}

// TestMigrateDownAsks checks that nothing is rolled back without confirmation. Here
// there is no terminal; TestMigrateDownOnTerminal has one.
func TestMigrateDownAsks(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	before := applied(t, d)
	newest := strconv.FormatInt(before[len(before)-1], 10)
	below := strconv.FormatInt(before[len(before)-1]-1, 10)
	server, err := db.ServerAt(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}

	code, _, errOut := run(t.Context(), "migrate", "--database-url", d.URL, "--down-to", below)
	if code != 2 || strings.Count(errOut, "\n") != 1 {
		t.Errorf("want exit code 2 and one line, got %d, %s", code, errOut)
	}
	for _, want := range []string{"--yes", "1 of " + strconv.Itoa(len(before)) + " migrations of database " + server.Database, "data", "is lost"} {
		if !strings.Contains(errOut, want) {
			t.Errorf("want %q in the error, got %s", want, errOut)
		}
	}
	if got := applied(t, d); !slices.Equal(got, before) {
		t.Fatalf("want nothing rolled back, %v are left", got)
	}

	// If no migration is above the version there is nothing to confirm.
	if code, _, errOut := run(t.Context(), "migrate", "--database-url", d.URL, "--down-to", newest); code != 0 {
		t.Errorf("--down-to %s: want exit code 0, got %d, %s", newest, code, errOut)
	}
	if code, _, errOut := run(t.Context(), "migrate", "--database-url", d.URL, "--down-to", below, "--yes"); code != 0 {
		t.Errorf("--yes: want exit code 0, got %d, %s", code, errOut)
	}
	if got := applied(t, d); !slices.Equal(got, before[:len(before)-1]) {
		t.Errorf("--yes: want %v left, got %v", before[:len(before)-1], got)
	}
}

// TestMigrateChecksVersions checks that migrate refuses incompatible versions, if
// the server under test has them, and that migrate and status work on others.
func TestMigrateChecksVersions(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	server, err := db.ServerAt(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	want, verdict := 0, server.Verdict()
	if verdict.Broken {
		want = 2
	}
	code, _, errOut := run(t.Context(), "migrate", "--database-url", d.URL)
	if code != want || verdict.Broken && (strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, "--allow-version") || !strings.Contains(errOut, verdict.Remedy)) {
		t.Errorf("PostgreSQL %d, TimescaleDB %s: want exit code %d, got %d, %s", server.PostgreSQL, server.TimescaleDB, want, code, errOut)
	}
	if d.Embedded != nil && strings.Contains(errOut, "server version") {
		t.Errorf("want no warning about the embedded build, got: %s", errOut)
	}
	if code, _, errOut := run(t.Context(), "migrate", "--database-url", d.URL, "--allow-version"); code != 0 {
		t.Errorf("--allow-version: want exit code 0, got %d, %s", code, errOut)
	}
	_, out, _ := run(t.Context(), "status", "--database-url", d.URL, "--api", "", "--brokers", "127.0.0.1:1", "--deadline", "20s")
	if warned := strings.Contains(out, "database version"); warned != (verdict.Problem != "") {
		t.Errorf("want status to warn: %v, got\n%s", verdict.Problem != "", out)
	}
}

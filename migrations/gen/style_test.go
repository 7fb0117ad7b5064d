package main

import (
	"context"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/schema"
)

// TestLines holds the width of the SQL that people read.
func TestLines(t *testing.T) {
	t.Parallel()
	const most = 119
	names, files, err := sqlFiles(schema.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		for n, line := range strings.Split(files[name], "\n") {
			if len(line) > most {
				t.Errorf("%s:%d: %d columns, want at most %d", name, n+1, len(line), most)
			}
			if strings.Contains(line, "\t") || strings.TrimRight(line, " ") != line {
				t.Errorf("%s:%d: want no tab and no blank at the end", name, n+1)
			}
		}
	}
}

// TestSearchPath wants every routine to say where it looks names up, but for
// those that may not or that are called for every row.
func TestSearchPath(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	rows, err := d.Pool.Query(context.Background(), `
		SELECT p.oid::regprocedure::text, p.prosrc ~ '\mCOMMIT;'
		FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang
		WHERE p.pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', '_hypertick', 'indicator', 'alert'))
		  AND l.lanname IN ('sql', 'plpgsql') AND p.prosqlbody IS NULL AND coalesce(p.proconfig::text, '') !~ 'search_path'
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')`)
	if err != nil {
		t.Fatal(err)
	}
	// Steps and joins of aggregates, and what reads a state: the SET costs more
	// than they do.
	perRow := regexp.MustCompile(`^_hypertick\.\w+_(step|join)\(|^(indicator\.rsi|_hypertick\.rsi_value)\(indicator\.rsi_state,`)
	var name string
	var commits bool
	if _, err := pgx.ForEachRow(rows, []any{&name, &commits}, func() error {
		if !commits && !perRow.MatchString(name) {
			t.Errorf("%s: want SET search_path = pg_catalog, pg_temp", name)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

package db_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestMigrateDownAndUp takes everything back and brings it up again, with data
// in every table.
func TestMigrateDownAndUp(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(ctx, "INSERT INTO ticks VALUES (now() - interval '1 hour', 'A', 1, 1, 1, 'X')"); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	if err := db.MigrateDown(ctx, d.URL, 0, dbtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	var left []string
	if err := d.Pool.QueryRow(ctx, `SELECT coalesce(array_agg(c.relname), '{}') FROM pg_class c
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'm')
		AND c.relname NOT LIKE 'goose%' AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')`).Scan(&left); err != nil || len(left) > 0 {
		t.Fatalf("left after down to 0: %v, %v", left, err)
	}
	if err := db.Migrate(ctx, d.URL, dbtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	list, err := db.Migrations(ctx, d.URL)
	if err != nil || len(list) == 0 {
		t.Fatal(list, err)
	}
	for _, m := range list {
		if !m.Applied {
			t.Errorf("%s is not applied", m.File)
		}
	}
}

// TestMigrateDir applies a migration of the user's own, dated before those
// that came later, and refuses one that contradicts the program's.
func TestMigrateDir(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	dir := t.TempDir()
	own := "-- +goose Up\nCREATE VIEW own AS SELECT 1 AS one;\n-- +goose Down\nDROP VIEW own;\n"
	if err := os.WriteFile(filepath.Join(dir, "20260101000000_own.sql"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, d.URL, dbtest.Log(t), dir, "../migrations"); err != nil {
		t.Fatal(err)
	}
	var one int
	if err := d.Pool.QueryRow(ctx, "SELECT one FROM own").Scan(&one); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "00001_roles.sql"), []byte(own), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(ctx, d.URL, dbtest.Log(t), dir); err == nil || !strings.Contains(err.Error(), "00001_roles.sql") {
		t.Fatalf("got %v, want an error that names the file", err)
	}
}

// TestEverythingIsCommented holds the promise that \d+ explains all.
func TestEverythingIsCommented(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	rows, err := d.Pool.Query(ctx, `
		SELECT 'relation ' || c.oid::regclass FROM pg_class c
		WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'indicator', 'alert', '_hypertick'))
		  AND c.relkind IN ('r', 'v', 'm') AND c.relname NOT LIKE 'goose%' AND obj_description(c.oid, 'pg_class') IS NULL
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
		UNION ALL
		SELECT 'column ' || c.oid::regclass || '.' || a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'indicator', 'alert'))
		  AND c.relkind IN ('r', 'v') AND c.relname NOT LIKE 'goose%' AND a.attnum > 0 AND NOT a.attisdropped
		  AND col_description(c.oid, a.attnum) IS NULL
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
		UNION ALL
		SELECT 'function ' || p.oid::regprocedure FROM pg_proc p
		WHERE p.pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname IN ('public', 'indicator', 'alert', '_hypertick'))
		  AND obj_description(p.oid, 'pg_proc') IS NULL
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var what string
		if err := rows.Scan(&what); err != nil {
			t.Fatal(err)
		}
		t.Errorf("no comment on %s", what)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
}

// TestRolesAreNarrow has each role do what it may and refuses the rest.
func TestRolesAreNarrow(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	for _, c := range []struct {
		role, sql string
		allowed   bool
	}{
		{"hypertick_reader", "SELECT * FROM ticks", true},
		{"hypertick_reader", "SELECT * FROM candles('A', '1d')", true},
		{"hypertick_reader", "SELECT * FROM candles_1m, candles_5m, candles_15m, candles_1h, candles_1d", true},
		{"hypertick_reader", "SELECT * FROM retention, feed_gaps, feed_positions, ingest_offsets, feed_venues, late_ticks", true},
		{"hypertick_reader", "SELECT tick_horizon()", true},
		{"hypertick_reader", "INSERT INTO ticks VALUES (now(), 'A', 1, 1, 1, 'X')", false},
		{"hypertick_reader", "DELETE FROM ticks", false},
		{"hypertick_reader", "CREATE TABLE mine (a int)", false},
		{"hypertick_reader", "SELECT set_retention('ticks', '1 day')", false},
		{"hypertick_reader", "SELECT * FROM pg_authid", false},
		{"hypertick_writer", "INSERT INTO ticks VALUES (now(), 'A', 1, 1, 1, 'X')", true},
		{"hypertick_writer", "INSERT INTO late_ticks VALUES (now(), 'A', 1, 1, 1, 'X')", true},
		{"hypertick_writer", "SELECT tick_horizon()", true},
		{"hypertick_writer", "DELETE FROM ticks", false},
		{"hypertick_writer", "UPDATE ticks SET price = 1", false},
		{"hypertick_writer", "SELECT set_retention('ticks', '1 day')", false},
		{"hypertick_writer", "DROP TABLE ticks", false},
		{"hypertick_writer", "INSERT INTO api_activity VALUES (now(), 'a:1', now(), 'GET', '/', 1, 0, 0, 0, 0, '{1}')", false},
		{"hypertick_reader", "SELECT * FROM api_activity, api_traffic", true},
		{"hypertick_reader", "INSERT INTO api_activity VALUES (now(), 'a:1', now(), 'GET', '/', 1, 0, 0, 0, 0, '{1}')", false},
		{"hypertick_operator", "INSERT INTO api_activity VALUES (now(), 'a:1', now(), 'GET', '/', 1, 0, 0, 0, 0, '{1}') ON CONFLICT DO NOTHING", true},
		{"hypertick_operator", "UPDATE api_activity SET requests = 0", false},
		{"hypertick_operator", "DELETE FROM api_activity", false},
	} {
		pool, err := pgxpool.New(ctx, d.URLAs(t, c.role))
		if err != nil {
			t.Fatal(err)
		}
		_, err = pool.Exec(ctx, c.sql)
		pool.Close()
		var pgErr *pgconn.PgError
		switch {
		case c.allowed && err != nil:
			t.Errorf("%s: %s: %v", c.role, c.sql, err)
		case !c.allowed && err == nil:
			t.Errorf("%s may %s", c.role, c.sql)
		case !c.allowed && errors.As(err, &pgErr) && pgErr.Code != "42501" && pgErr.Code != "25006":
			t.Errorf("%s: %s: got %v, want permission denied", c.role, c.sql, err)
		}
	}
}

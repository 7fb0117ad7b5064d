package db_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestMigrateDownAndUp rolls every migration back and applies it again, with data
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

// folder makes a folder of migrations: files by name, each of which makes the
// views that are named, and drops them.
func folder(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, view := range files {
		text := fmt.Sprintf("-- +goose Up\nCREATE VIEW %[1]s AS SELECT 1 AS one;\n-- +goose Down\nDROP VIEW %[1]s;\n", view)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// views lists those of the user that there are.
func views(t *testing.T, d *dbtest.DB) []string {
	t.Helper()
	var names []string
	err := d.Pool.QueryRow(t.Context(), "SELECT coalesce(array_agg(viewname::text ORDER BY viewname), '{}') FROM pg_views WHERE viewname LIKE 'own%'").Scan(&names)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestMigrateDir applies two folders of the user's own beside the program's,
// each with a numbering and a table of versions of its own.
func TestMigrateDir(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	base := t.TempDir()
	// One number in both, and that of the program's baseline.
	first := folder(t, filepath.Join(base, "first"), map[string]string{"00001_a.sql": "own_a", "00048_b.sql": "own_b"})
	second := folder(t, filepath.Join(base, "Second-Set"), map[string]string{"00001_c.sql": "own_c"})
	empty := folder(t, filepath.Join(base, "empty"), nil)
	migrate := func(dirs ...string) {
		t.Helper()
		if err := db.Migrate(ctx, d.URL, dbtest.Log(t), dirs...); err != nil {
			t.Fatal(err)
		}
	}
	want := func(names ...string) {
		t.Helper()
		if got := views(t, d); !slices.Equal(got, names) {
			t.Fatalf("got views %v, want %v", got, names)
		}
	}
	migrate(first, empty, first+"/")
	want("own_a", "own_b")
	migrate(first, second)
	want("own_a", "own_b", "own_c")
	// A lower number that came later is applied too.
	folder(t, first, map[string]string{"00007_d.sql": "own_d"})
	list, err := db.Migrations(ctx, d.URL, first, second)
	if err != nil {
		t.Fatal(err)
	}
	pending := slices.DeleteFunc(slices.Clone(list), func(m db.MigrationStatus) bool { return m.Applied })
	if want := (db.MigrationStatus{Folder: "first", Version: 7, File: "00007_d.sql"}); len(pending) != 1 || pending[0] != want {
		t.Errorf("got pending %+v, want %+v", pending, want)
	}
	if last := list[len(list)-1]; last != (db.MigrationStatus{Folder: "second_set", Version: 1, File: "00001_c.sql", Applied: true}) {
		t.Errorf("got %+v last, want 1 of second_set", last)
	}
	migrate(second, first)
	want("own_a", "own_b", "own_c", "own_d")

	// Rolling back touches the folder that is named, and no other.
	if err := db.MigrateDown(ctx, d.URL, 1, dbtest.Log(t), first); err != nil {
		t.Fatal(err)
	}
	want("own_a", "own_c")
	if err := db.MigrateDown(ctx, d.URL, 0, dbtest.Log(t), first, second); err != nil {
		t.Fatal(err)
	}
	want()
	if err := db.CheckBaseline(ctx, d.Pool); err != nil {
		t.Errorf("the program's migration is gone too: %v", err)
	}
}

// TestMigrateDirRefused checks that a folder that is not a user's, or whose table
// of versions is another's, is refused before anything is applied.
func TestMigrateDirRefused(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	dir := func(path string) string {
		return folder(t, filepath.Join(base, path), map[string]string{"00001_x.sql": "own_x"})
	}
	file := filepath.Join(dir("a"), "00001_x.sql")
	for _, c := range []struct {
		dirs []string
		want string
	}{
		{[]string{"../migrations"}, "the program brings its own migrations"},
		{[]string{dir("a/mine"), dir("b/mine")}, "want another name"},
		{[]string{dir("a/mine-2"), dir("b/MINE_2")}, "want another name"},
		{[]string{dir("my own")}, "want a name of letters, digits, - and _"},
		{[]string{filepath.Join(base, "none")}, "none"},
		{[]string{file}, "want a directory"},
	} {
		const nowhere = "postgres://nobody@127.0.0.1:1/none"
		_, err := db.Migrations(t.Context(), nowhere, c.dirs...)
		for what, err := range map[string]error{
			"migrate": db.Migrate(t.Context(), nowhere, dbtest.Log(t), c.dirs...),
			"down":    db.MigrateDown(t.Context(), nowhere, 0, dbtest.Log(t), c.dirs...),
			"status":  err,
		} {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s of %v: got %v, want an error with %q", what, c.dirs, err, c.want)
			}
		}
	}
	for dir, want := range map[string]string{"indicators": "goose_db_version_indicators", "x/My-Own/": "goose_db_version_my_own"} {
		if got, err := db.VersionTable(dir); err != nil || got != want {
			t.Errorf("%s: got table %s, %v, want %s", dir, got, err, want)
		}
	}
	if table, err := db.VersionTable("../migrations"); err == nil {
		t.Errorf("got table %s for the program's own folder, want an error", table)
	}
}

// TestBaseline checks that a database of another baseline is refused, and not
// changed.
func TestBaseline(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	for _, role := range []string{"hypertick_reader", "hypertick_writer", "hypertick_operator"} {
		pool, err := pgxpool.New(ctx, d.URLAs(t, role))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.CheckBaseline(ctx, pool); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		pool.Close()
	}
	for _, c := range []struct{ change, got string }{
		{"UPDATE _hypertick.baseline SET checksum = repeat('0123456789abcdef', 4)", "(0123456789ab, "},
		{"DELETE FROM _hypertick.baseline", "(one without a checksum, "},
		{"DROP TABLE _hypertick.baseline", "(one without a checksum, "},
	} {
		if _, err := d.Pool.Exec(ctx, c.change); err != nil {
			t.Fatal(err)
		}
		err := db.Migrate(ctx, d.URL, dbtest.Log(t))
		var baseline *db.BaselineError
		if !errors.As(err, &baseline) || len(baseline.Want) != 64 || !strings.Contains(err.Error(), c.got+"this program has "+baseline.Want[:12]+")") ||
			!strings.Contains(err.Error(), "hypertick migrate --down-to 0") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line about the two baselines", c.change, err)
		}
	}
	// Nothing else of the schema is read: one that is empty is another's too.
	fresh := dbtest.New(t)
	if err := db.MigrateDown(ctx, fresh.URL, 0, dbtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	if err := db.CheckBaseline(ctx, fresh.Pool); err != nil {
		t.Errorf("an empty database: %v", err)
	}
	if _, err := fresh.Pool.Exec(ctx, "CREATE SCHEMA _hypertick"); err != nil {
		t.Fatal(err)
	}
	var baseline *db.BaselineError
	if err := db.Migrate(ctx, fresh.URL, dbtest.Log(t)); !errors.As(err, &baseline) || baseline.Got != "" {
		t.Errorf("a schema without a baseline: got %v, want it refused", err)
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
		{"hypertick_writer", "INSERT INTO instruments (symbol, calendar) VALUES ('A', '24x7')", true},
		{"hypertick_writer", "INSERT INTO instruments (symbol, name) VALUES ('B', 'B')", false},
		{"hypertick_writer", "UPDATE instruments SET name = 'A'", false},
		{"hypertick_writer", "INSERT INTO corporate_actions (symbol, kind, ex_date, ratio) VALUES ('A', 'split', '2020-01-01', 2)", false},
		{"hypertick_operator", "UPDATE instruments SET name = 'A'", true},
		{"hypertick_operator", "DELETE FROM instruments", false},
		{"hypertick_operator", "INSERT INTO former_symbols VALUES ('A', 'B', '2020-01-01')", true},
		{"hypertick_operator", "INSERT INTO corporate_actions (symbol, kind, ex_date, ratio) VALUES ('A', 'split', '2020-01-01', 2)", true},
		{"hypertick_operator", "UPDATE corporate_actions SET ratio = 3", false},
		{"hypertick_operator", "DELETE FROM corporate_actions", false},
		{"hypertick_reader", "SELECT * FROM instruments, former_symbols, corporate_actions", true},
		{"hypertick_reader", "UPDATE instruments SET name = 'A'", false},
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

package main

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // the driver goose talks through
	"github.com/pressly/goose/v3"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/migrations"
	"github.com/hypertick/hypertick/schema"
)

// fromSchema is a database made from schema/ alone.
func fromSchema(t *testing.T) *dbtest.DB {
	t.Helper()
	d := dbtest.Empty(t)
	names, files, err := sqlFiles(schema.FS)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := d.Pool.Exec(context.Background(), files[name], pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return d
}

// TestCatalogue holds the promise that schema/ says what the migrations make,
// down to the byte, and that a difference of one byte is seen.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := fromSchema(t)
	want := dbtest.Catalogue(t, d.Pool)
	migrated := dbtest.New(t)
	if diff := dbtest.Differences(want, dbtest.Catalogue(t, migrated.Pool)); len(diff) > 0 {
		t.Fatalf("goose up makes another database than schema/ (-) does (+):\n%s", strings.Join(diff, "\n"))
	}
	for what, change := range map[string]string{
		"a function": `CREATE OR REPLACE FUNCTION vwap(notional float8, volume float8) RETURNS float8
			LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN CASE WHEN volume > 1 THEN notional / volume END`,
		"a comment":      `COMMENT ON COLUMN ticks.price IS 'In the quote currency, above 1.'`,
		"a policy":       `SELECT alter_job(job_id, schedule_interval => INTERVAL '16 seconds') FROM timescaledb_information.jobs WHERE hypertable_name = 'candles_1m' AND proc_name = 'policy_refresh_continuous_aggregate'`,
		"a job's config": `SELECT alter_job(job_id, config => '{"grace": "3 seconds", "keep": "25 hours", "flood": "1 day"}') FROM timescaledb_information.jobs WHERE proc_name = 'note_revisions'`,
		"a grant":        `GRANT DELETE ON ticks TO hypertick_reader`,
		"an index":       `CREATE INDEX ticks_venue_idx ON ticks (venue)`,
		"a view":         `CREATE OR REPLACE VIEW api_traffic AS SELECT * FROM (` + "%s" + `) a WHERE true`,
		"a row":          `UPDATE pipeline_advice SET above = 10001 WHERE component = 'topic'`,
		"a setting":      `ALTER FUNCTION candles(text, text, timestamptz, timestamptz, int, bigint) SET jit = on`,
	} {
		tx, err := d.Pool.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if what == "a view" {
			var def string
			if err := tx.QueryRow(ctx, "SELECT rtrim(pg_get_viewdef('api_traffic'::regclass), ';')").Scan(&def); err != nil {
				t.Fatal(err)
			}
			change = strings.Replace(change, "%s", def, 1)
		}
		if _, err := tx.Exec(ctx, change); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		got := dbtest.Catalogue(t, tx)
		if err := tx.Rollback(ctx); err != nil {
			t.Fatal(err)
		}
		if len(dbtest.Differences(want, got)) == 0 {
			t.Errorf("%s changed, and the catalogues are equal", what)
		}
	}
}

// TestGoose goes up, down to 0 and up again with goose alone, as its command
// does, with an interval added in between: nothing is left behind.
func TestGoose(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.Empty(t)
	conn, err := sql.Open("pgx", d.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, conn, migrations.FS, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pool.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS timescaledb"); err != nil {
		t.Fatal(err)
	}
	empty := objects(t, d)
	if _, err := p.Up(ctx); err != nil {
		t.Fatal(err)
	}
	first := dbtest.Catalogue(t, d.Pool)
	if _, err := d.Pool.Exec(ctx, "INSERT INTO ticks VALUES (now() - interval '1 hour', 'A', 1, 1, 1, 'X'); SELECT add_interval('45m')"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DownTo(ctx, 0); err != nil {
		t.Fatal(err)
	}
	if left := dbtest.Differences(empty, objects(t, d)); len(left) > 0 {
		t.Fatalf("down to 0 leaves a difference:\n%s", strings.Join(left, "\n"))
	}
	if _, err := p.Up(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := dbtest.Differences(first, dbtest.Catalogue(t, d.Pool)); len(diff) > 0 {
		t.Fatalf("up again makes another database:\n%s", strings.Join(diff, "\n"))
	}
	// A baseline meets a database of another one.
	if _, err := d.Pool.Exec(ctx, "DELETE FROM goose_db_version WHERE version_id > 0"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(ctx); err == nil || !strings.Contains(err.Error(), "made by another baseline") {
		t.Fatalf("goose up over another baseline: got %v, want it refused", err)
	}
}

// objects are the relations, routines, types, schemas and jobs that are not the
// extension's, goose's or PostgreSQL's.
func objects(t *testing.T, d *dbtest.DB) []string {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), `
		SELECT 'relation ' || n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname !~ '^(pg_|information_schema)' AND c.relname !~ '^goose' AND c.relkind <> 'i'
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = c.oid AND e.deptype = 'e')
		UNION ALL
		SELECT 'routine ' || p.oid::regprocedure FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE n.nspname !~ '^(pg_|information_schema)'
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = p.oid AND e.deptype = 'e')
		UNION ALL
		SELECT 'type ' || t.oid::regtype FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE n.nspname !~ '^(pg_|information_schema)' AND t.typname !~ 'goose'
		  AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.objid = t.oid AND e.deptype = 'e')
		UNION ALL
		SELECT 'schema ' || n.nspname FROM pg_namespace n
		UNION ALL
		SELECT 'job ' || j.proc_name FROM timescaledb_information.jobs j WHERE j.job_id >= 1000
		UNION ALL
		SELECT 'grant on public ' || coalesce(n.nspacl::text, '') FROM pg_namespace n WHERE n.nspname = 'public'
		ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestFrozen changes a copy of the migrations in every way that CI must refuse.
func TestFrozen(t *testing.T) {
	t.Parallel()
	const one, two = "-- +goose Up\nSELECT 1;\n", "-- +goose Up\nSELECT 2;\n"
	frozen := func(names ...string) string {
		var b strings.Builder
		for i, name := range names {
			b.WriteString(sha256Hex([]string{one, two}[i]) + "  " + name + "\n")
		}
		return b.String()
	}
	for _, c := range []struct {
		what   string
		files  map[string]string
		before string
		want   string // "" for none
	}{
		{"nothing is frozen", map[string]string{frozenFile: "# none\n", "00001_a.sql": one}, "", ""},
		{"one is frozen", map[string]string{frozenFile: frozen("00001_a.sql"), "00001_a.sql": one, "00002_b.sql": two}, "", ""},
		{"a frozen one has one more byte", map[string]string{frozenFile: frozen("00001_a.sql"), "00001_a.sql": one + " "}, "", "00001_a.sql: frozen, but the file has changed"},
		{"a frozen one is gone", map[string]string{frozenFile: frozen("00001_a.sql"), "00002_b.sql": two}, "", "the file is gone"},
		{"the list forgets one", map[string]string{frozenFile: "", "00001_a.sql": one}, frozen("00001_a.sql"), "00001_a.sql was frozen"},
		{"the list takes another sum", map[string]string{frozenFile: sha256Hex(two) + "  00001_a.sql\n", "00001_a.sql": two}, frozen("00001_a.sql"), "00001_a.sql was frozen"},
		{"a number before a frozen one", map[string]string{frozenFile: sha256Hex(one) + "  00002_b.sql\n", "00001_a.sql": two, "00002_b.sql": one}, "", "want a number above"},
		{"one number twice", map[string]string{frozenFile: "", "00001_a.sql": one, "00001_b.sql": two}, "", "want a number above 00001"},
		{"a bad name", map[string]string{frozenFile: "", "1_a.sql": one}, "", "want a name such as"},
		{"a bad list", map[string]string{frozenFile: "xyz\n", "00001_a.sql": one}, "", "want a SHA-256"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		err := checkFrozen(os.DirFS(dir), c.before)
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: got %v, want no error", c.what, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: got %v, want %q", c.what, err, c.want)
		}
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hypertick/hypertick/schema"
)

func TestSplit(t *testing.T) {
	t.Parallel()
	got, err := split(`-- one; not the end
SELECT ';', "a;b" -- ; inside
FROM t;

DO $x$ BEGIN; PERFORM $$;$$; END $x$;
COMMENT ON TABLE a IS 'it''s; '
    'two';
-- the end
`)
	if err != nil {
		t.Fatal(err)
	}
	want := []statement{
		{"-- one; not the end", "SELECT ';', \"a;b\" -- ; inside\nFROM t;"},
		{"", "DO $x$ BEGIN; PERFORM $$;$$; END $x$;"},
		{"", "COMMENT ON TABLE a IS 'it''s; '\n    'two';"},
		{"-- the end", ""},
	}
	if len(got) != len(want) {
		t.Fatalf("got %d statements, want %d: %q", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("statement %d:\n got %q\nwant %q", i, got[i], want[i])
		}
	}
	for _, bad := range []string{"SELECT 1", "SELECT 'a;", "DO $$ BEGIN;", "SELECT /* a;"} {
		if _, err := split(bad); err == nil {
			t.Errorf("%q: got no error", bad)
		}
	}
}

// TestDelta edits a copy of schema/ and reads the migration that make migration
// would write: routines and comments are whole, Down undoes them, the rest is
// left to a person.
func TestDelta(t *testing.T) {
	t.Parallel()
	base, _, err := baseline(schema.FS)
	if err != nil {
		t.Fatal(err)
	}
	from, err := stateOfMigrations(fstest.MapFS{"00048_baseline.sql": {Data: []byte(base)}})
	if err != nil {
		t.Fatal(err)
	}
	to := func(name string, edit func(string) string) *state {
		names, files, err := sqlFiles(schema.FS)
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for _, n := range names {
			text := files[n]
			if n == name {
				if text = edit(text); text == files[n] {
					t.Fatalf("the edit of %s changed nothing", n)
				}
			}
			if err := os.WriteFile(filepath.Join(dir, n), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		st, err := stateOfSchema(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	replace := func(old, new string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, new, 1) }
	}
	if d := delta(from, to("none", nil)); d != "" {
		t.Fatalf("nothing changed, and the migration is\n%s", d)
	}
	d := delta(from, to("08_candles.sql", replace("WHEN volume > 0", "WHEN volume > 1")))
	up, down, _ := strings.Cut(d, "-- +goose Down")
	for _, want := range []string{"CREATE OR REPLACE FUNCTION vwap(notional float8, volume float8)", "WHEN volume > 1 THEN"} {
		if !strings.Contains(up, want) {
			t.Errorf("up has no %q:\n%s", want, up)
		}
	}
	if strings.Count(up, "CREATE OR REPLACE") != 1 || !strings.Contains(down, "WHEN volume > 0 THEN") {
		t.Errorf("want one function up and the old one down, got\n%s", d)
	}
	d = delta(from, to("02_ticks.sql", replace("'Units traded, at least 0.'", "'Units traded.'")))
	if up, down, _ := strings.Cut(d, "-- +goose Down"); !strings.Contains(up, "IS 'Units traded.';") || !strings.Contains(down, "at least 0.") {
		t.Errorf("want the comment up and the old one down, got\n%s", d)
	}
	d = delta(from, to("02_ticks.sql", replace("    size   float8           NOT NULL,\n", "    size   float8           NOT NULL,\n    wide   smallint,\n")))
	if !strings.Contains(d, "-- TODO") || !strings.Contains(d, "wide   smallint") {
		t.Errorf("want a changed table left to a person, got\n%s", d)
	}
	d = delta(from, to("08_candles.sql", func(s string) string {
		return s + "\nCREATE FUNCTION own(a int) RETURNS int LANGUAGE sql RETURN a;\nCOMMENT ON FUNCTION own(int) IS 'Own.';\n"
	}))
	if up, down, _ := strings.Cut(d, "-- +goose Down"); !strings.Contains(up, "CREATE OR REPLACE FUNCTION own(a int)") || !strings.Contains(down, "DROP FUNCTION own(int);") {
		t.Errorf("want a new function up and dropped down, got\n%s", d)
	}
}

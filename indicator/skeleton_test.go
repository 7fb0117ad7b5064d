package indicator

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

func TestNewNames(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("00001_mine.sql", "-- +goose Up\nCREATE OR REPLACE FUNCTION indicator.\"theirs\"(symbol text) ...")
	write("notes.sql", "CREATE FUNCTION indicator.not_a_migration(")
	for _, k := range []struct{ name, says string }{
		{"", "letter first"},
		{"Upper", "lower-case"},
		{"1st", "letter first"},
		{"_hidden", "letter first"},
		{"a-b", "digits and _"},
		{"../up", "digits and _"},
		{"ä", "lower-case"},
		{`x"; DROP TABLE ticks`, "digits and _"},
		{strings.Repeat("a", 64), "at most 63"},
		{"select", "reserved word"},
		{"interval", "reserved word"},
		{"mine", "00001_mine.sql"},
		{"theirs", "made by 00001_mine.sql"},
		{"rsi", "made by 00048_baseline.sql"},
		{"evaluate", "made by 00048_baseline.sql"},
		{"catalog", "made by 00048_baseline.sql"},
		{"latest", "already exists"},
		{"ema_agg", "already exists"},
	} {
		path, err := New(SkeletonConfig{Name: k.name, Dir: dir})
		if !errors.Is(err, ErrName) || !strings.Contains(err.Error(), k.says) {
			t.Errorf("%q: %q, %v; want an error with %q", k.name, path, err, k.says)
		}
	}
	for _, name := range []string{"a", strings.Repeat("a", 63), "not_a_migration", "rsi2", "x_1", "baseline"} {
		if _, err := New(SkeletonConfig{Name: name, Dir: dir}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "0*.sql"))
	if err != nil || len(files) != 7 {
		t.Errorf("%q, %v; want 7 files", files, err)
	}
	for i, f := range files {
		if want := []string{"00001_", "00002_", "00003_", "00004_", "00005_", "00006_", "00007_"}[i]; !strings.HasPrefix(filepath.Base(f), want) {
			t.Errorf("file %d is %s, want number %s", i, f, want)
		}
	}
	// What stands in the way is left as it is, whatever it is.
	if err := writeNew(files[0], "gone"); !errors.Is(err, os.ErrExist) {
		t.Errorf("%v, want that the file exists", err)
	}
	if text, err := os.ReadFile(files[0]); err != nil || !strings.Contains(string(text), "theirs") {
		t.Errorf("%q, %v", text, err)
	}
	// A folder numbered by dates goes on after them: stock goose takes them in order.
	dated := t.TempDir()
	if err := os.WriteFile(filepath.Join(dated, "20261125093000_other.sql"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if path, err := New(SkeletonConfig{Name: "dated", Dir: dated}); err != nil || filepath.Base(path) != "20261125093001_dated.sql" {
		t.Errorf("%q, %v", path, err)
	}
	if _, err := New(SkeletonConfig{Name: "x", Dir: filepath.Join(dir, "none")}); !errors.Is(err, os.ErrNotExist) || errors.Is(err, ErrName) {
		t.Errorf("%v, want that there is no such folder", err)
	}
	// What hypertick migrate would not take is not written.
	if path, err := New(SkeletonConfig{Name: "x", Dir: "../migrations"}); err == nil || !strings.Contains(err.Error(), "want a folder of yours") {
		t.Errorf("%q, %v, want that the folder is the program's", path, err)
	}
}

// Both skeletons work as they are: goose applies them, they pass the check,
// and goose rolls them back.
func TestSkeletonsPass(t *testing.T) {
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(time.Hour).Add(-40 * time.Hour)
	insert(t, d, walk("A", start, 2000, 0)...)
	d.Settle(t)

	// What PostgreSQL reserves is refused.
	rows, err := d.Pool.Query(t.Context(), "SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'C')")
	if err != nil {
		t.Fatal(err)
	}
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(words) < 100 {
		t.Fatalf("%d reserved words, %v", len(words), err)
	}
	for _, w := range words {
		if !reserved[w] {
			t.Errorf("%s is reserved, but taken for a name", w)
		}
	}

	dir := t.TempDir()
	for _, cfg := range []SkeletonConfig{
		{Name: "my_mean", Dir: dir},
		{Name: "my_ema", Dir: dir, Recursive: true},
		{Name: "period", Dir: dir}, // as its own parameter
		{Name: "bucket", Dir: dir}, // as a column
		{Name: strings.Repeat("m", 63), Dir: dir},
	} {
		if _, err := New(cfg); err != nil {
			t.Fatal(err)
		}
	}
	conn := stdlib.OpenDBFromPool(d.Pool)
	defer func() { _ = conn.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, conn, os.DirFS(dir), goose.WithTableName("my_indicators"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	pool := reader(t, d)
	for _, k := range []struct {
		name, period string
		first        int
	}{
		{"my_mean", "", 19}, {"my_mean", "1", 0}, {"my_mean", "500", 499}, {"my_ema", "", 19}, {"my_ema", "1", 0}, {"my_ema", "50", 49},
		{"period", "", 19}, {"bucket", "", 19}, {strings.Repeat("m", 63), "", 19},
	} {
		cfg := CheckConfig{Name: k.name, Symbol: "A", Interval: "1m", Bars: 600, Tolerance: 1e-9}
		if k.period != "" {
			cfg.Params = map[string]string{"period": k.period}
		}
		r, err := Check(t.Context(), pool, cfg)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range r.Failed() {
			t.Errorf("%s(%s): %s: %s", k.name, k.period, f.Check, f.Detail)
		}
		if len(r.Notes) != 0 || len(r.Series) != 1 || r.Series[0].FirstBar == nil || *r.Series[0].FirstBar != k.first {
			t.Errorf("%s(%s): notes %q, series %+v; want no notes and the first value on bar %d", k.name, k.period, r.Notes, r.Series, k.first)
		}
	}
	entries, err := Catalog(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(entries, func(e Entry) bool { return e.Name == "my_mean" })
	if i < 0 || entries[i].Title != "My mean" || len(entries[i].Parameters) != 1 || *entries[i].Parameters[0].Max != 500 || entries[i].Series[0].Name != "my_mean" {
		t.Errorf("catalog has %+v", entries)
	}
	if _, err := p.DownTo(t.Context(), 0); err != nil {
		t.Fatal(err)
	}

	// So does hypertick migrate, which has its own migrations as well.
	if err := db.Migrate(t.Context(), d.URL, dbtest.Log(t), dir); err != nil {
		t.Fatal(err)
	}
	if err := db.MigrateDown(t.Context(), d.URL, 0, dbtest.Log(t), dir); err != nil {
		t.Fatal(err)
	}
	if entries, err := Catalog(t.Context(), pool); err != nil || len(entries) != 16 {
		t.Errorf("%d indicators are left, %v; want 16", len(entries), err)
	}
}

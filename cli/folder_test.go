package cli_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver of the stock goose command
	"github.com/pressly/goose/v3"

	"github.com/hypertick/hypertick/db/dbtest"
)

// stockGoose does what the command github.com/pressly/goose/v3/cmd/goose does with
// these arguments. Building that command needs the drivers of ten databases.
func stockGoose(t *testing.T, args []string) error {
	t.Helper()
	flags := flag.NewFlagSet("goose", flag.ContinueOnError)
	dir, table := flags.String("dir", ".", ""), flags.String("table", goose.DefaultTablename, "")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() < 3 || flags.Arg(0) != "postgres" {
		return fmt.Errorf("goose: want postgres, a database and a command, got %q", flags.Args())
	}
	goose.SetTableName(*table)
	t.Cleanup(func() { goose.SetTableName(goose.DefaultTablename) })
	conn, err := goose.OpenDBWithDriver("postgres", flags.Arg(1))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	goose.SetLogger(goose.NopLogger())
	return goose.RunWithOptionsContext(t.Context(), flags.Arg(2), conn, *dir, flags.Args()[3:])
}

// documented lists the commands of hypertick and goose in the shell blocks of a
// document, one after the other.
func documented(t *testing.T, path string) []string {
	t.Helper()
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(doc, -1) {
		for _, line := range strings.Split(string(block[1]), "\n") {
			line, _, _ = strings.Cut(line, " #")
			if line = strings.TrimSpace(strings.TrimPrefix(line, "bin/")); strings.HasPrefix(line, "hypertick ") || strings.HasPrefix(line, "goose ") {
				out = append(out, line)
			}
		}
	}
	return out
}

// TestDocumentedFolder runs the commands of docs/add-an-indicator.md as written, in
// a user's folder. It changes the working directory, the environment and goose's
// settings, so it does not run in parallel.
func TestDocumentedFolder(t *testing.T) {
	commands := documented(t, "../docs/add-an-indicator.md")
	readme := documented(t, "../README.md")
	doc, err := os.ReadFile("../docs/add-an-indicator.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)`(indicators/[0-9]+_[a-z]+\\.sql)`:\n\n```sql\n(-- \\+goose Up\n.*?)```").FindSubmatch(doc)
	if example == nil {
		t.Fatal("want the example of docs/add-an-indicator.md to name its file")
	}
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(t.Context(), `INSERT INTO ticks (ts, symbol, price, size, seq, venue)
		SELECT date_trunc('hour', now()) - interval '20 hours' + i * interval '1 minute', 'AAPL', 100 + 5 * sin(i / 37.0) + sin(i * 1.7), 1, i, 'TEST'
		FROM generate_series(1, 1000) i`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	t.Chdir(t.TempDir())
	t.Setenv("HYPERTICK_DATABASE_URL", d.URL)
	shell := func(line string) {
		t.Helper()
		args := strings.Fields(strings.ReplaceAll(line, `"$DSN"`, d.URL))
		if args[0] == "goose" {
			if err := stockGoose(t, args[1:]); err != nil {
				t.Errorf("%s: %v", line, err)
			}
			return
		}
		if strings.HasPrefix(line, "hypertick migrate --dir") {
			args = append(args, "--allow-version") // the server under test may be any
		}
		if code, out, errOut := run(t.Context(), args[1:]...); code != 0 {
			t.Errorf("%s: exit code %d: %s%s", line, code, out, errOut)
		}
	}
	there := func(name string) (n int) {
		t.Helper()
		if err := d.Pool.QueryRow(t.Context(), "SELECT count(*) FROM indicator.catalog WHERE name = $1", name).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}

	// new, migrate, check; status; down; goose; check with a parameter.
	ran := map[string]int{}
	for _, line := range commands {
		shell(line)
		switch {
		case strings.HasPrefix(line, "hypertick indicator new"):
			if _, err := os.Stat(string(example[1])); err != nil {
				t.Errorf("%s: %v, want the file that the example names", line, err)
			}
			if err := os.WriteFile(string(example[1]), example[2], 0o600); err != nil {
				t.Fatal(err)
			}
		case strings.Contains(line, "--down-to"):
			if there("efficiency") != 0 {
				t.Errorf("%s: the indicator is still there", line)
			}
		case strings.HasPrefix(line, "goose"), strings.HasPrefix(line, "hypertick migrate"):
			if there("efficiency") != 1 {
				t.Errorf("%s: no indicator of the example", line)
			}
		}
		ran[strings.Join(strings.Fields(line)[:2], " ")]++
	}
	if ran["hypertick indicator"] != 3 || ran["hypertick migrate"] != 3 || ran["goose -dir"] != 1 {
		t.Errorf("ran %v, want new and two checks, migrate three ways, goose once", ran)
	}

	// The indicator of the README, in the same folder, with the next number.
	ran = map[string]int{}
	for _, line := range readme {
		if strings.HasPrefix(line, "hypertick indicator") || strings.HasPrefix(line, "hypertick migrate --dir") {
			shell(line)
			ran[strings.Join(strings.Fields(line)[:2], " ")]++
		}
	}
	if _, err := os.Stat("indicators/00002_my_mean.sql"); err != nil || there("my_mean") != 1 || ran["hypertick indicator"] != 2 || ran["hypertick migrate"] != 1 {
		t.Errorf("README: %v, %v, %d indicators of it", ran, err, there("my_mean"))
	}

	// Two folders with the same number: both run, with hypertick and with goose.
	for _, f := range []struct{ dir, name string }{{"theirs", "second_a"}, {"others", "second_b"}} {
		if err := os.Mkdir(f.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		shell("hypertick indicator new " + f.name + " --dir " + f.dir)
		if _, err := os.Stat(filepath.Join(f.dir, "00001_"+f.name+".sql")); err != nil {
			t.Error(err)
		}
	}
	shell("hypertick migrate --dir indicators --dir theirs")
	shell(`goose -dir others -table goose_db_version_others postgres "$DSN" up`)
	for _, name := range []string{"efficiency", "my_mean", "second_a", "second_b"} {
		if there(name) != 1 {
			t.Errorf("%s did not run", name)
		}
	}
	// hypertick and goose see the same migrations as applied.
	shell("hypertick migrate --dir others --dir theirs --dir indicators")
	code, out, errOut := run(t.Context(), "migrate", "--status", "--dir", "indicators", "--dir", "others")
	for _, want := range []string{`(?m)^48 +applied +- +00048_baseline\.sql$`, `(?m)^1 +applied +indicators +00001_efficiency\.sql$`, `(?m)^2 +applied +indicators +00002_my_mean\.sql$`, `(?m)^1 +applied +others +00001_second_b\.sql$`} {
		if code != 0 || !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("status: exit code %d, want %s in\n%s%s", code, want, out, errOut)
		}
	}

	// A rollback asks about the named folder, and changes no other.
	code, _, errOut = run(t.Context(), "migrate", "--down-to", "1", "--dir", "indicators")
	if code != 2 || !strings.Contains(errOut, "rolls back 1 of 2 migrations of folder indicators of database ") || strings.Count(errOut, "\n") != 1 {
		t.Errorf("exit code %d, %s", code, errOut)
	}
	code, _, errOut = run(t.Context(), "migrate", "--down-to", "0", "--dir", "indicators", "--dir", "others", "--yes")
	if code != 2 || !strings.Contains(errOut, "want at most one --dir") {
		t.Errorf("exit code %d, %s", code, errOut)
	}
	shell("hypertick migrate --down-to 1 --dir indicators --yes")
	if there("my_mean") != 0 || there("efficiency") != 1 || there("second_a") != 1 || there("second_b") != 1 {
		t.Error("want my_mean rolled back and nothing else")
	}
	// Indicators that still exist prevent a rollback of the program's schema.
	if code, _, errOut := run(t.Context(), "migrate", "--down-to", "0", "--yes"); code != 1 || there("efficiency") != 1 || !strings.Contains(errOut, "roll back your own migrations first") {
		t.Errorf("exit code %d, %s, want nothing rolled back under an indicator", code, errOut)
	}
	code, _, errOut = run(t.Context(), "migrate", "--dir", "../none")
	if code != 2 {
		t.Errorf("exit code %d, %s", code, errOut)
	}
}

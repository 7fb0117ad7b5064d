package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db/dbtest"
)

func TestIndicatorUsage(t *testing.T) {
	t.Parallel()
	const url = "postgres://nobody@127.0.0.1:1/none"
	dir := t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"indicator", "new"}, "<name>"},
		{[]string{"indicator", "new", "Bad Name", "--dir", dir}, "lower-case letters"},
		{[]string{"indicator", "new", "select", "--dir", dir}, "reserved word"},
		{[]string{"indicator", "new", "rsi", "--dir", dir}, "already exists"},
		{[]string{"indicator", "new", "mine", "--dir", "/does/not/exist"}, "/does/not/exist"},
		{[]string{"indicator", "check", "rsi"}, "--database-url"},
		{[]string{"indicator", "check", "--database-url", url}, "<name>"},
		{[]string{"indicator", "check", "rsi", "--database-url", url, "--interval", "7x"}, "--interval: want"},
		{[]string{"indicator", "check", "rsi", "--database-url", url, "--interval", "7s"}, "--interval: want seconds that divide a minute"},
		{[]string{"indicator", "new", "mine", "--dir", "../migrations"}, "want a folder of yours"},
		{[]string{"indicator", "check", "rsi", "--database-url", url, "--bars", "19"}, "--bars: want 20 to"},
		{[]string{"indicator", "check", "rsi", "--database-url", url, "--before=-1"}, "--before"},
		{[]string{"indicator", "check", "rsi", "--database-url", url, "--tolerance", "NaN"}, "--tolerance"},
		{[]string{"indicator", "check", "rsi", "--database-url", url, "--param", "period"}, "--param"},
		{[]string{"indicator", "list"}, "--database-url"},
	} {
		code, _, errOut := run(context.Background(), c.args...)
		if code != 2 || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, c.want) {
			t.Errorf("%q: exit code %d, want 2 and one line that has %q, got %q", c.args, code, c.want, errOut)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v, %v; want nothing written", left, err)
	}
	for _, command := range []string{"check", "list"} {
		if code, _, errOut := run(context.Background(), "indicator", command, "--database-url", url, "x"); code == 0 {
			t.Errorf("%s: exit code 0, %q; want a failure without a database", command, errOut)
		}
	}
}

// Without --dir, new writes into indicators, and creates the folder. The test
// changes the working directory, so it does not run in parallel.
func TestIndicatorNewFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	code, _, errOut := run(t.Context(), "indicator", "new", "rsi")
	if _, err := os.Stat("indicators"); code != 2 || !os.IsNotExist(err) {
		t.Errorf("exit code %d, %q, %v; want the name refused and no folder created", code, errOut, err)
	}
	for i, name := range []string{"first", "second"} {
		file := fmt.Sprintf("indicators/%05d_%s.sql", i+1, name)
		code, out, errOut := run(t.Context(), "indicator", "new", name)
		if code != 0 || !strings.HasPrefix(out, file+"\n") || !strings.Contains(out, "migrate --dir indicators\n") {
			t.Errorf("exit code %d, %q, %q", code, out, errOut)
		}
	}
	for _, dir := range []string{"my own/set", "my own/no name"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errOut := run(t.Context(), "indicator", "new", "third", "--dir", "my own/set")
	if code != 0 || !strings.Contains(out, "my own/set'\n") {
		t.Errorf("exit code %d, %q, %q; want the folder quoted", code, out, errOut)
	}
	code, out, errOut = run(t.Context(), "indicator", "new", "fourth", "--dir", "my own/no name")
	if code != 2 || !strings.Contains(errOut, "want a name of letters, digits, - and _") {
		t.Errorf("exit code %d, %q, %q; want a folder refused that migrate refuses", code, out, errOut)
	}
	for _, name := range []string{"indicators/00001_first.sql", "indicators/00002_second.sql", "my own/set/00001_third.sql"} {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}

// The steps of docs/add-an-indicator.md: new, migrate, check, list.
func TestIndicatorWay(t *testing.T) {
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(t.Context(), `INSERT INTO ticks (ts, symbol, price, size, seq, venue)
		SELECT date_trunc('hour', now()) - interval '20 hours' + i * interval '1 minute', s, 100 + 5 * sin(i / 37.0) + sin(i * 1.7), 1 + i % 7, i, 'TEST'
		FROM generate_series(1, 1000) i, unnest(array['A', 'B']) s WHERE s = 'A' OR i < 100`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	dir := t.TempDir()
	url := d.URLAs(t, "hypertick_reader")
	must := func(want int, args ...string) (string, string) {
		t.Helper()
		code, out, errOut := run(t.Context(), args...)
		if code != want {
			t.Fatalf("%q: exit code %d, want %d: %s%s", args, code, want, out, errOut)
		}
		return out, errOut
	}
	must(0, "indicator", "new", "my_mean", "--dir", dir)
	must(0, "indicator", "new", "my_ema", "--dir", dir, "--recursive")
	must(2, "indicator", "check", "my_mean", "--database-url", url) // not applied yet
	must(0, "migrate", "--database-url", d.URL, "--dir", dir, "--allow-version")

	out, _ := must(0, "indicator", "check", "my_mean", "--database-url", url, "--bars", "300", "--param", "period=7")
	for _, want := range []string{"my_mean(period=7) on 300 bars of A 1m", "and 700 bars before them", "\nwarm-up      ok ", "\nmy_mean  300     0             6\n", "ms for the 300 bars, "} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in the report:\n%s", want, out)
		}
	}
	out, _ = must(0, "indicator", "check", "my_ema", "--database-url", url, "--symbol", "B", "--json")
	var report struct {
		Indicator, Symbol, Interval string
		Bars                        int
		Params                      map[string]string
		Checks                      []struct {
			Check string
			OK    bool
		}
		Series []struct {
			Series   string
			FirstBar int `json:"first_bar"`
		}
		Timing map[string]float64
		Nulls  *int
		Notes  []string
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	if report.Symbol != "B" || report.Bars != 99 || report.Params["period"] != "20" || len(report.Checks) != 9 || len(report.Series) != 1 ||
		report.Series[0].FirstBar != 19 || report.Timing["ms_per_1000_bars"] <= 0 || report.Nulls == nil || len(report.Notes) != 1 {
		t.Errorf("%+v", report)
	}
	for _, args := range [][]string{
		{"my_mean", "--param", "length=7"},
		{"my_mean", "--param", "period=0"},
		{"no_such"},
	} {
		_, errOut := must(2, append([]string{"indicator", "check", "--database-url", url}, args...)...)
		if strings.Count(errOut, "\n") != 1 {
			t.Errorf("%q: want one line, got %q", args, errOut)
		}
	}
	_, errOut := must(1, "indicator", "check", "my_mean", "--database-url", url, "--symbol", "NONE")
	if !strings.Contains(errOut, "NONE has 0 of 1m") {
		t.Errorf("%q", errOut)
	}

	// A warm-up that is three bars too short.
	path := filepath.Join(dir, "00001_my_mean.sql")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(text), "-- +goose Down")
	up = strings.Replace(strings.Replace(up, "CREATE FUNCTION", "CREATE OR REPLACE FUNCTION", 1), "warmup => period - 1", "warmup => period - 4", 1)
	if _, err := d.Pool.Exec(t.Context(), up); err != nil {
		t.Fatal(err)
	}
	out, errOut = must(1, "indicator", "check", "my_mean", "--database-url", url, "--bars", "300")
	if !strings.Contains(errOut, `my_mean: warm-up failed: read about 3 bars more before "from"`) || strings.Count(errOut, "\n") != 1 || !strings.Contains(out, "\nwarm-up      FAILED ") {
		t.Errorf("%s%s", out, errOut)
	}

	out, _ = must(0, "indicator", "list", "--database-url", url)
	for _, want := range []string{"NAME ", "\nmy_mean ", "period=20 (1..500)", "fast=12 (2..499), slow=26 (3..500), signal=9 (1..500)", "macd, signal, histogram", "Relative strength index"} {
		if !strings.Contains(out, want) {
			t.Errorf("want %q in the list:\n%s", want, out)
		}
	}
	out, _ = must(0, "indicator", "list", "--database-url", url, "--json")
	var list []struct {
		Name       string
		Parameters []struct{ Name, Type, Default string }
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 18 {
		t.Errorf("%d indicators, %v; want 18", len(list), err)
	}
}

package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// caseFile is the path of a file in the shape that a vendor gives.
func caseFile(name string) string { return filepath.Join("..", "feed", "replay", "testdata", name) }

// stored is what a load stores: bars by symbol and candle, trades by time.
func storedRows(ctx context.Context, t *testing.T, d *dbtest.DB, query string) []string {
	t.Helper()
	rows, err := d.Pool.Query(ctx, query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatal(err)
		}
		out = append(out, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCasesBackfill loads files one after another, as a user does day by day, and
// counts what each has added. The counts are those of cases/README.md.
func TestCasesBackfill(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 5*time.Minute)
	d := dbtest.New(t)
	total := 0
	for i, c := range []struct {
		venue string
		files string
		adds  int // ticks: four of each bar
		want  string
	}{
		{"MONTHS", "K-2024-01.csv", 20, "20 stored"},
		{"MONTHS", "K-2024-02.csv", 20, "20 stored"},
		{"MONTHS", "K-2024-01.csv K-2024-02.csv", 0, " 0 stored, 20 already stored"},
		{"BACK", "K-2024-02.csv", 20, "20 stored"},
		{"BACK", "K-2024-01.csv K-2024-02.csv", 20, "20 stored"},
		{"NEWEST", "newest1.csv", 12, "12 stored"},
		{"NEWEST", "newest2.csv", 4, " 4 stored, 12 already"},
		{"ROLL", "roll1.csv", 12, "12 stored"},
		{"ROLL", "roll2.csv", 4, " 4 stored, 8 already"},
		{"ROLL2", "roll2.csv roll1.csv", 16, "2 repeated rows left out"},
		{"RECENT", "recent-trades-1.csv", 100, "100 stored"},
		{"RECENT", "recent-trades-2.csv", 3, " 3 stored, 97 already"},
		{"RECENT2", "recent-trades-2.csv", 100, "100 stored"},
		{"RECENT2", "recent-trades-1.csv", 3, " 3 stored, 97 already"},
		{"JUV", "juv-dup.csv", 8, "4 repeated rows left out"},
		{"AGG", "dup-aggtrades.csv", 2, "2 repeated rows left out"},
		{"AGG", "dup-aggtrades.csv", 0, " 0 stored, 2 already stored"},
		{"ZIP", "DOGEUSDT-1m-2025-01-01.zip", 8, " 8 stored"},
		{"TICKERS", "odd-tickers.csv", 80, "80 stored"},
		{"STOOQ", "stooq-daily.csv", 8, " 8 stored"},
	} {
		args := []string{"backfill", "--symbol", "X", "--venue", c.venue, "--database-url", d.URLAs(t, "hypertick_writer")}
		for _, f := range strings.Fields(c.files) {
			args = append(args, caseFile(f))
		}
		code, out, errOut := run(ctx, args...)
		total += c.adds
		var rows int
		if err := d.Pool.QueryRow(ctx, "SELECT count(*) FROM ticks").Scan(&rows); err != nil || code != 0 || rows != total || !strings.Contains(out, c.want) {
			t.Fatalf("%d: %s: exit code %d, %d ticks stored, want %d and %q: %v\n%s%s", i, c.files, code, rows, total, c.want, err, out, errOut)
		}
	}
	symbols := storedRows(ctx, t, d, "SELECT DISTINCT symbol FROM ticks WHERE venue = 'TICKERS'")
	text, err := os.ReadFile(caseFile("odd-tickers.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n")[1:] {
		want, _, _ := strings.Cut(line, ",")
		if !strings.Contains(strings.Join(symbols, "\n")+"\n", want+"\n") {
			t.Errorf("%q is not stored among %q", want, symbols)
		}
	}
}

// TestCasesSettings checks prices at or below 0, which the database allows.
func TestCasesSettings(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	args := []string{"backfill", "--symbol", "CL", "--venue", "NYMEX", "--database-url", d.URLAs(t, "hypertick_writer"), caseFile("wti.csv")}
	if code, _, errOut := run(ctx, args...); code != 1 || !strings.Contains(errOut, `instruments.non_positive_prices of "CL"`) || !strings.Contains(errOut, `wti.csv:3: column "Low"`) {
		t.Errorf("exit code %d, want 1 and the setting: %s", code, errOut)
	}
	if _, err := d.Pool.Exec(ctx, "INSERT INTO instruments (symbol, non_positive_prices) VALUES ('CL', true)"); err != nil {
		t.Fatal(err)
	}
	if code, out, errOut := run(ctx, args...); code != 0 || !strings.Contains(out, "12 ticks") {
		t.Errorf("exit code %d, want 0: %s%s", code, out, errOut)
	}
	got := storedRows(ctx, t, d, "SELECT ts::date || ' ' || price FROM ticks WHERE price <= 0 ORDER BY ts, seq")
	if want := "[2020-04-20 -40.32 2020-04-20 -37.63 2020-04-21 -14 2020-04-21 -16.74]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestCasesCandle checks that a bar of four hours is the candle of four hours, and
// that the vwap of a file is that of the candle.
func TestCasesCandle(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 3*time.Minute)
	d := dbtest.New(t)
	for symbol, file := range map[string]string{"H4": "bar-4h.csv", "NSE": "nse.csv"} {
		if code, out, errOut := run(ctx, "backfill", "--symbol", symbol, "--database-url", d.URLAs(t, "hypertick_writer"), caseFile(file)); code != 0 {
			t.Fatalf("%s: exit code %d: %s%s", file, code, out, errOut)
		}
	}
	d.SettleCandles(t)
	got := storedRows(ctx, t, d, `SELECT concat_ws(' ', to_char(bucket AT TIME ZONE 'UTC', 'MM-DD HH24:MI'), open, high, low, close, volume)
		FROM candles('H4', '4h', '2024-01-01', '2024-01-04') ORDER BY bucket`)
	if want := "[01-02 00:00 100 110 90 105 1000 01-02 04:00 105 115 95 110 2000]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
	got = storedRows(ctx, t, d, `SELECT concat_ws(' ', open, high, low, close, volume, round((notional / volume)::numeric, 6))
		FROM candles('NSE', '1d', '2024-03-01', '2024-03-31')`)
	if want := "[2985 3014.8 2951.1 2958.1 3802173 2972.330000]"; fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestDryRun prints what is understood, and needs no broker.
func TestDryRun(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, time.Minute)
	for _, c := range []struct {
		code int
		args string
		want []string
	}{
		{0, "investing.csv K-2024-01.csv", []string{"separator ','", "decimal point", "newest first", "the month comes first", "bars of 1d", "bars of 1m", "open=Open", `"ts":"2024-03-06T00:00:00Z"`, "2 rows, 0 bad rows, 8 ticks"}},
		{0, "databento-trades.csv", []string{"units of 1e-09", "side=side", "2 ticks", `"price":3720.5,`}},
		{0, "dst-gap.csv --timezone America/New_York", []string{"America/New_York", "1 bad rows", "that exists in America/New_York"}},
		{0, "sentinel.csv", []string{"1 bad rows", "stands for none"}},
		{1, "header-only.csv", []string{"nothing read: header in line 1, bars: ts=open_time", "0 rows"}},
		{1, "header-only.csv cr-only.csv", []string{"cr-only.csv", "1 ticks", "nothing read"}},
		{0, "wti.csv", []string{"2 bad rows", "--non-positive-prices"}},
		{0, "wti.csv --non-positive-prices", []string{"12 ticks", "0 bad rows"}},
	} {
		args := []string{"replay", "--dry-run", "--symbol", "X"}
		for _, a := range strings.Fields(c.args) {
			if strings.Contains(a, ".csv") {
				a = caseFile(a)
			}
			args = append(args, a)
		}
		code, out, errOut := run(ctx, args...)
		for _, want := range c.want {
			if code != c.code || !strings.Contains(out+errOut, want) {
				t.Errorf("%s: exit code %d, want %d and %q in\n%s%s", c.args, code, c.code, want, out, errOut)
			}
		}
	}
}

// TestCasesReplay sends files through the topic, as a user does day by day: what
// is sent, and what is stored.
func TestCasesReplay(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 5*time.Minute)
	p := newPipeline(ctx, t)
	total := 0
	for i, c := range []struct {
		venue, files string
		stores       int
		want         string
	}{
		{"MONTHS", "K-2024-01.csv", 20, "20 ticks sent, 0 sent before"},
		{"MONTHS", "K-2024-02.csv", 20, "20 ticks sent, 0 sent before"},
		{"MONTHS", "K-2024-02.csv K-2024-01.csv", 0, " 0 ticks sent, 20 sent before"},
		{"MONTHS", "K-2024-02.csv K-2024-01.csv --all", 0, "20 ticks sent, not compared"},
		{"BACK", "K-2024-02.csv K-2024-01.csv", 40, "20 ticks sent, 0 sent before"},
		{"NEWEST", "newest1.csv", 12, "12 ticks sent"},
		{"NEWEST", "newest2.csv", 4, " 4 ticks sent, 12 sent before"},
		{"ROLL", "roll1.csv", 12, "12 ticks sent"},
		{"ROLL", "roll2.csv", 4, " 4 ticks sent, 8 sent before"},
		{"RECENT", "recent-trades-1.csv", 100, "100 ticks sent"},
		{"RECENT", "recent-trades-2.csv", 3, " 3 ticks sent, 97 sent before"},
		{"JUV", "juv-dup.csv", 8, "4 repeated rows left out"},
		{"AGG", "dup-aggtrades.csv", 2, "2 repeated rows left out"},
		{"TICKERS", "odd-tickers.csv", 80, "80 ticks sent"},
		{"STOOQ", "stooq-daily.csv", 8, " 8 ticks sent"},
		{"VOL", "volnan.csv", 8, "1 rows without a trade skipped, 2 rows without a volume"},
	} {
		args := []string{"--symbol", "X", "--venue", c.venue}
		for _, f := range strings.Fields(c.files) {
			if strings.Contains(f, ".csv") {
				f = caseFile(f)
			}
			args = append(args, f)
		}
		errOut := p.replay(ctx, t, args...)
		p.caughtUp(ctx, t)
		total += c.stores
		var rows int
		if err := p.Pool.QueryRow(ctx, "SELECT (SELECT count(*) FROM ticks) + (SELECT count(*) FROM late_ticks)").Scan(&rows); err != nil || rows != total || !strings.Contains(errOut, c.want) {
			t.Fatalf("%d: %s: %d ticks stored, want %d and %q: %v\n%s", i, c.files, rows, total, c.want, err, errOut)
		}
	}
}

// TestCasesCorrections loads trades, and then the same day as the vendor has it
// later: one trade is cancelled, and one corrected.
func TestCasesCorrections(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	const header = "ticker,correction,price,sequence_number,sip_timestamp,size\n"
	load := func(want, rows string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "trades.csv")
		if err := os.WriteFile(file, []byte(header+rows), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, out, errOut := run(ctx, "backfill", "--venue", "SIP", "--database-url", d.URLAs(t, "hypertick_writer"), file); code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit code %d, want %q: %s%s", code, want, out, errOut)
		}
		if _, err := d.Pool.Exec(ctx, "CALL _hypertick.apply_tick_changes(0, '{}')"); err != nil {
			t.Fatal(err)
		}
	}
	load("3 stored", "A,0,10,1,1709283600000000000,1\nA,0,11,2,1709283601000000000,2\nA,0,99,3,1709283602000000000,3\n")
	later := "A,0,10,1,1709283600000000000,1\nA,8,11,2,1709283601000000000,2\nA,1,12,3,1709283602000000000,3\nA,10,11,4,1709283603000000000,2\nA,12,99,5,1709283604000000000,3\n"
	load("2 cancels and corrections asked for", later)
	for range 2 {
		got := storedRows(ctx, t, d, "SELECT concat_ws(' ', seq, price, size) FROM ticks ORDER BY ts")
		if want := "[1 10 1 3 12 3]"; fmt.Sprint(got) != want {
			t.Errorf("got %v, want %v", got, want)
		}
		load(" 0 stored", later)
	}
}

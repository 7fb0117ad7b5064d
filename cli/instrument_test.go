package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// csvFile writes a file for the length of the test.
func csvFile(t *testing.T, lines ...string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "in.csv")
	if err := os.WriteFile(name, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestInstruments sets and imports what is known of instruments.
func TestInstruments(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(ctx, `INSERT INTO calendars (calendar, name, zone, first_day, last_day)
		VALUES ('XNAS', 'Nasdaq', 'America/New_York', '1990-01-01', '2026-12-31') ON CONFLICT DO NOTHING`); err != nil {
		t.Fatal(err)
	}
	url := d.URLAs(t, "hypertick_operator")
	want := func(code int, text string, args ...string) {
		t.Helper()
		args = append(args, "--database-url", url)
		if got, out, errOut := run(ctx, args...); got != code || !strings.Contains(out+errOut, text) {
			t.Errorf("%v: exit code %d, want %d and %q in\n%s%s", args, got, code, text, out, errOut)
		}
	}
	have := func(lines ...string) {
		t.Helper()
		got := storedRows(ctx, t, d, `SELECT concat_ws(' ', i.symbol, i.name, i.kind, i.calendar, i.currency, i.price_step, i.size_step, i.active_from, i.active_to,
			(SELECT string_agg(f.former || '<' || f.until, ' ' ORDER BY f.until) FROM former_symbols f WHERE f.symbol = i.symbol))
			FROM instruments i ORDER BY i.symbol`)
		if fmt.Sprint(got) != fmt.Sprint(lines) {
			t.Errorf("got %q, want %q", got, lines)
		}
	}
	want(0, "META is changed.", "instrument", "set", "META", "--name", "Meta Platforms", "--kind", "equity", "--calendar", "XNAS", "--currency", "USD",
		"--price-step", "0.01", "--size-step", "1", "--active-from", "2012-05-18", "--former", "FB until 2022-06-09")
	have("META Meta Platforms equity XNAS USD 0.01 1 2012-05-18 FB<2022-06-09")
	want(0, "META was so already.", "instrument", "set", "META", "--kind", "equity", "--former", "FB until 2022-06-09")
	want(0, "META is changed.", "instrument", "set", "META", "--price-step", "", "--active-from=", "--kind", "")
	have("META Meta Platforms other XNAS USD 1 FB<2022-06-09")
	for _, bad := range [][2]string{
		{"--kind=stock", `--kind: want one of equity, etf`}, {"--calendar=XXXX", `--calendar: want a calendar that the database has`},
		{"--currency=usd", "--currency: want a code"}, {"--price-step=-1", "--price-step: want a number from"}, {"--size-step=x", "--size-step: want a number"},
		{"--active-to=2020-02-30", "--active-to: want a day"}, {"--former=FB", "--former: want SYMBOL until"}, {"--former=META until 2022-06-09", "--former: want other symbols"},
		{"--non-positive-prices=maybe", "--non-positive-prices: want yes or no"},
	} {
		want(2, bad[1], "instrument", "set", "META", bad[0])
	}
	have("META Meta Platforms other XNAS USD 1 FB<2022-06-09")

	// A file changes all or nothing; an empty cell leaves what is known.
	file := csvFile(t, "symbol,name,kind,calendar,currency,price_step,former", "AAPL,Apple,equity,XNAS,USD,0.01,", `META,,equity,,,,"FB until 2022-06-09; TFB until 2012-05-18"`)
	want(0, "2 instruments changed, 0 as they were.", "instrument", "import", file)
	want(0, "0 instruments changed, 2 as they were.", "instrument", "import", file)
	after := []string{"AAPL Apple equity XNAS USD 0.01", "META Meta Platforms equity XNAS USD 1 TFB<2012-05-18 FB<2022-06-09"}
	have(after...)
	file = csvFile(t, "symbol,kind,price_step,former", "AAPL,index,0.01,", "X Y,stock,0,FB", " ,etf,1,", "AAPL,etf,1,")
	for _, text := range []string{
		`in.csv:3: column "kind": want one of equity`, `in.csv:3: column "price_step": want a number from 1e-15`, `in.csv:3: column "former": want SYMBOL until YYYY-MM-DD`,
		`in.csv:4: column "symbol": want a symbol of 1 to 64 bytes`, `in.csv:5: column "symbol": want each symbol once, "AAPL" is in line 2 too`, "5 fields are not valid, nothing is imported",
	} {
		want(2, text, "instrument", "import", file)
	}
	want(2, `in.csv:3: column "calendar": want a calendar that the database has`, "instrument", "import", csvFile(t, "symbol,calendar,kind", "AAPL,,index", "ZZZ,XXXX,etf"))
	want(2, `in.csv:1: column "price": want one of symbol, name`, "instrument", "import", csvFile(t, "symbol,price", "AAPL,1"))
	want(2, `in.csv:3: want 2 fields, got 3`, "instrument", "import", csvFile(t, "symbol,name", "AAPL,Apple", "B,C,D"))
	want(2, "no such file", "instrument", "import", filepath.Join(t.TempDir(), "none.csv"))
	have(after...)

	url = d.URLAs(t, "hypertick_reader")
	want(0, "META    Meta Platforms", "instrument", "list", "--search", "fb")
	want(0, `"former": "FB until 2022-06-09; TFB until 2012-05-18"`, "instrument", "list", "--search", "platf", "--json")
	want(0, "More than 1 instruments", "instrument", "list", "--limit", "1")
	want(1, "read-only transaction", "instrument", "set", "META", "--name", "x")
}

// TestActions adds, replaces and undoes corporate actions.
func TestActions(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	url := d.URLAs(t, "hypertick_operator")
	want := func(code int, text string, args ...string) {
		t.Helper()
		args = append(args, "--database-url", url)
		if got, out, errOut := run(ctx, args...); got != code || !strings.Contains(out+errOut, text) {
			t.Errorf("%v: exit code %d, want %d and %q in\n%s%s", args, got, code, text, out, errOut)
		}
	}
	have := func(lines ...string) {
		t.Helper()
		got := storedRows(ctx, t, d, `SELECT concat_ws(' ', id, symbol, kind, ex_date, ratio, cash, source, CASE WHEN undone_at IS NOT NULL THEN 'undone' END)
			FROM corporate_actions ORDER BY id`)
		if fmt.Sprint(got) != fmt.Sprint(lines) {
			t.Errorf("got %q, want %q", got, lines)
		}
	}
	want(0, "1 action added, 0 of them in place of another; 0 known.", "action", "add", "AAPL", "split", "2020-08-31", "--ratio", "4:1")
	want(0, "0 actions added, 0 of them in place of another; 1 known.", "action", "add", "AAPL", "split", "2020-08-31", "--ratio", "4")
	file := csvFile(t, "symbol,kind,ex_date,ratio,cash", "AAPL,split,2020-08-31,5,", "AAPL,dividend,2020-08-07,,0.82", "GE,Split,2021-08-02,1:8,", "GE,split,2021-08-02,0.125,")
	want(0, "split of AAPL, 5 new for an old one, ex 2020-08-31 takes the place of 4 (action 1).\n3 actions added, 1 of them in place of another; 1 known.", "action", "import", file, "--source", "file")
	want(0, "0 actions added, 0 of them in place of another; 4 known.", "action", "import", file)
	have("1 AAPL split 2020-08-31 4 cli undone", "2 AAPL split 2020-08-31 5 file", "3 AAPL dividend 2020-08-07 0.82 file", "4 GE split 2021-08-02 0.125 file")
	if got := storedRows(ctx, t, d, `SELECT (o.undone_at = n.known_at)::text FROM corporate_actions o, corporate_actions n WHERE o.id = 1 AND n.id = 2`); fmt.Sprint(got) != "[true]" {
		t.Errorf("the old action is undone at another time than the new one is known")
	}
	want(0, "Action 2 is undone.", "action", "undo", "2")
	want(2, "id: want an action in force", "action", "undo", "2")
	for _, bad := range [][]string{
		{"--ratio: want new shares for an old one", "A", "split", "2020-08-31"}, {"--ratio: want new", "A", "split", "2020-08-31", "--ratio", "4:0"},
		{"--ratio: want new", "A", "split", "2020-08-31", "--ratio", "1"}, {"--cash: want nothing", "A", "split", "2020-08-31", "--ratio", "2", "--cash", "1"},
		{"--cash: want an amount", "A", "dividend", "2020-08-31", "--cash=-1"}, {"kind: want split or dividend", "A", "merger", "2020-08-31"},
		{"ex_date: want a day", "A", "split", "31.08.2020", "--ratio", "2"}, {"symbol: want a symbol", "", "split", "2020-08-31", "--ratio", "2"},
	} {
		want(2, bad[0], append([]string{"action", "add"}, bad[1:]...)...)
	}
	want(2, `in.csv:3: line 2 says otherwise: split of A, 2 new for an old one, ex 2020-01-02`, "action", "import",
		csvFile(t, "symbol,kind,ex_date,ratio", "A,split,2020-01-02,2", "A,split,2020-01-02,3"))
	want(2, `in.csv:2: column "ratio": want new shares for an old one, such as 4, 0.1, 4:1 or 1:10, got "four"`, "action", "import",
		csvFile(t, "symbol,kind,ex_date,ratio", "A,split,2020-01-02,four", "B,split,2020-01-02,3"))
	have("1 AAPL split 2020-08-31 4 cli undone", "2 AAPL split 2020-08-31 5 file undone", "3 AAPL dividend 2020-08-07 0.82 file", "4 GE split 2021-08-02 0.125 file")

	url = d.URLAs(t, "hypertick_reader")
	want(0, "4   GE", "action", "list")
	want(0, `"cash": 0.82`, "action", "list", "AAPL", "--json")
	want(0, "[]", "action", "list", "--as-of", "2020-01-01T00:00:00Z", "--json")
	want(2, "--as-of: want RFC 3339", "action", "list", "--as-of", "today")
	want(1, "read-only transaction", "action", "undo", "3")
}

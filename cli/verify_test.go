package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
	var ticks []dbtest.Tick
	for i := range 300 {
		ticks = append(ticks, dbtest.Tick{TS: start.Add(time.Duration(i) * 3 * time.Minute), Symbol: "AAA", Venue: "V", Price: 100 + float64(i%7), Size: 1, Seq: int64(i + 1)})
	}
	d.Commit(t, ticks, nil)
	d.Settle(t)
	code, out, errOut := run(ctx, "verify", "--database-url", d.URL)
	if code != 0 || !strings.Contains(out, ": 0 drifted, 0 repaired, 0 pending, 0 duplicates, 0 holes") {
		t.Fatalf("clean: exit code %d\n%s%s", code, out, errOut)
	}
	var stored string
	if err := d.Pool.QueryRow(ctx, "SELECT stored FROM _hypertick.verify_levels WHERE relation = 'candles_1d'").Scan(&stored); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pool.Exec(ctx, "UPDATE "+stored+" SET high = 1000"); err != nil {
		t.Fatal(err)
	}
	code, out, errOut = run(ctx, "verify", "--database-url", d.URL, "--symbol", "AAA", "--from", start.Format(time.DateOnly))
	if code != 1 || !strings.HasPrefix(out, "differs candles_1d AAA "+start.Format(time.RFC3339)+` stored {"high": 1000} expected {"high": 106}`) ||
		!strings.Contains(errOut, "1 buckets differ: --repair refreshes them") || strings.Count(errOut, "\n") != 1 {
		t.Fatalf("corrupt: exit code %d\n%s%s", code, out, errOut)
	}
	code, out, errOut = run(ctx, "verify", "--database-url", d.URL, "--repair", "--json")
	var report struct {
		Clean    bool
		Repaired int
		Findings []struct{ Kind, Relation string }
	}
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || !report.Clean || report.Repaired != 1 || len(report.Findings) != 1 || report.Findings[0].Relation != "candles_1d" {
		t.Fatalf("repair: exit code %d, %v\n%s%s", code, err, out, errOut)
	}
	if code, out, errOut = run(ctx, "verify", "--database-url", d.URL); code != 0 {
		t.Fatalf("a second run: exit code %d\n%s%s", code, out, errOut)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--from", "yesterday"}, "--from: want a time"},
		{[]string{"--from", "2026-01-02", "--to", "2026-01-01"}, "--from: want a time before --to"},
		{[]string{"--symbol", "NONE"}, "--symbol: want one that has ticks"},
		{[]string{"--limit=-1"}, "--limit: want at least 0"},
	} {
		code, _, errOut := run(ctx, append([]string{"verify", "--database-url", d.URL}, c.args...)...)
		if code != 2 || !strings.Contains(errOut, c.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%v: exit code %d, %s", c.args, code, errOut)
		}
	}
}

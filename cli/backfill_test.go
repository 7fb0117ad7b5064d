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

// trades writes a file with a trade every 37 seconds, numbered from first.
func trades(t *testing.T, start time.Time, first, n int) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("time,price,qty,trade_id\n")
	for i := range n {
		ts := start.Add(time.Duration(i) * 37 * time.Second)
		fmt.Fprintf(&b, "%s,%d.5,%d,%d\n", ts.Format(time.DateTime), 100+i%13, 1+i%4, first+i)
	}
	file := filepath.Join(t.TempDir(), "trades.csv")
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestBackfillRetention checks that files load in any order, and that ticks older
// than the retention horizon are counted.
func TestBackfillRetention(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 2*time.Minute)
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	file := trades(t, start, 1, 2500)
	stored := 0
	load := func(want string, args ...string) {
		t.Helper()
		code, out, errOut := run(ctx, append([]string{"backfill", "--symbol", "X-Y", "--venue", "CSV", "--batch", "700", "--database-url", d.URLAs(t, "hypertick_writer")}, args...)...)
		if code != 0 || !strings.Contains(out+errOut, want) {
			t.Errorf("%v: exit code %d, want 0 and %q in\n%s%s", args, code, want, out, errOut)
		}
		var rows int
		if err := d.Pool.QueryRow(ctx, "SELECT count(*) FROM ticks").Scan(&rows); err != nil || rows != stored {
			t.Errorf("%v: %d ticks are stored, want %d: %v", args, rows, stored, err)
		}
	}
	later := trades(t, start.Add(2700*37*time.Second), 2701, 100)
	stored = 100
	load(" 100 stored", later)
	stored = 2600
	load(" 2500 stored", file)
	load(" 0 stored, 2500 already stored", file)
	if _, err := d.Pool.Exec(ctx, "SELECT set_retention('ticks', INTERVAL '1 day')"); err != nil {
		t.Fatal(err)
	}
	load(" 0 stored, 2500 already stored, 0 older than the retention horizon", file)
	load(" 0 stored, 0 already stored, 2500 older than the retention horizon", trades(t, start, 9001, 2500))
}

package cli_test

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
)

// TestOtherBaseline checks that no command runs on a database of another baseline,
// and that status reports it.
func TestOtherBaseline(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	operator := d.URLAs(t, "hypertick_operator")
	status := func() (code int, part statusPart) {
		t.Helper()
		code, out, _ := run(t.Context(), "status", "--json", "--database-url", d.URL, "--api", "", "--brokers", "127.0.0.1:1", "--deadline", "20s")
		var s status
		if err := json.Unmarshal([]byte(out), &s); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, p := range s.Data {
			if p.Part == "baseline" {
				return code, p
			}
		}
		return code, part
	}
	if _, part := status(); part.State != "" {
		t.Errorf("got %+v of this program's own baseline, want no part", part)
	}
	for _, change := range []string{
		"UPDATE _hypertick.baseline SET checksum = repeat('0', 64)",
		"DROP TABLE _hypertick.baseline",
		// The pipeline cannot be read then.
		"DROP VIEW pipeline CASCADE",
	} {
		if _, err := d.Pool.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{
			{"migrate", "--allow-version", "--log-level", "error", "--database-url", d.URL},
			{"ingest", "--brokers", "127.0.0.1:1", "--metrics-listen", "127.0.0.1:0", "--database-url", d.URL},
			{"api", "--listen", "127.0.0.1:0", "--api-metrics-listen", "127.0.0.1:0", "--database-url", d.URL},
			{"notify", "--notify-metrics-listen", "127.0.0.1:0", "--database-url", operator},
		} {
			code, _, errOut := run(t.Context(), args...)
			if code != 1 || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, "made by another baseline (") || !strings.Contains(errOut, "make a new database") {
				t.Errorf("%s after %s: exit code %d, want 1 and one line with the remedy, got %s", args[0], change, code, errOut)
			}
		}
		code, part := status()
		if code != 1 || part.Component != "database" || part.State != "failed" || !strings.Contains(part.Detail, "another baseline") || !strings.Contains(part.Action, "ake a new database") {
			t.Errorf("status after %s: exit code %d, %+v", change, code, part)
		}
	}
}

// TestDemoOtherBaseline checks that the demo refuses the data of another version.
func TestDemoOtherBaseline(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "demo")
	database, err := embedded.StartDatabase(t.Context(), embedded.DatabaseConfig{
		Dir: filepath.Join(dir, "database"), CacheDir: dbtest.CacheDir(t), Relaxed: true, Log: dbtest.Log(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	pool, err := db.Open(t.Context(), database.URL("postgres"), 1)
	if err == nil {
		_, err = pool.Exec(t.Context(), "CREATE SCHEMA _hypertick")
		pool.Close()
	}
	if err := errors.Join(err, database.Close()); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := run(t.Context(), "demo", "--data-dir", dir, "--cache-dir", dbtest.CacheDir(t), "--log-level", "error", "--listen", "127.0.0.1:0",
		"--database-listen", freeAddr(t), "--broker-listen", freeAddr(t), "--metrics-listen", freeAddr(t), "--api-metrics-listen", freeAddr(t), "--notify-metrics-listen", freeAddr(t))
	last := errOut[strings.LastIndex(strings.TrimSuffix(errOut, "\n"), "\n")+1:]
	if code != 1 || !strings.Contains(last, dir) || !strings.Contains(last, "another baseline (") || !strings.Contains(last, "give another --data-dir, or remove that folder") {
		t.Errorf("exit code %d, want 1 and the remedy for %s, got %s", code, dir, errOut)
	}
}

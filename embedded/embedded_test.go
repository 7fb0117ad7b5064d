package embedded

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

// helperEnv names what this binary does when a test runs it as another process.
const helperEnv = "EMBEDDED_TEST_HELPER"

var helpers = map[string]func(){}

func TestMain(m *testing.M) {
	if helper := os.Getenv(helperEnv); helper != "" {
		helpers[helper]()
		return
	}
	goleak.VerifyTestMain(testingM{m})
}

// testingM closes the shared database before leaks are looked for.
type testingM struct{ *testing.M }

func (m testingM) Run() int {
	code := m.M.Run()
	if shared.db != nil {
		if err := shared.db.Close(); err != nil {
			slog.Error("close the shared database", "error", err)
			code = 1
		}
	}
	return code
}

// shared is one database for the tests that need no own.
var shared struct {
	once sync.Once
	db   *Database
	err  error
}

func sharedDatabase(t testing.TB) *Database {
	t.Helper()
	shared.once.Do(func() {
		shared.db, shared.err = StartDatabase(context.Background(), DatabaseConfig{Relaxed: true})
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.db
}

// testLog writes what the servers say to the test's own log.
func testLog(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func startDatabase(t testing.TB, cfg DatabaseConfig) *Database {
	t.Helper()
	if cfg.Log == nil {
		cfg.Log = testLog(t)
	}
	d, err := StartDatabase(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

func connect(t testing.TB, d *Database, user string) *pgx.Conn {
	t.Helper()
	return connectConfig(t, d.URL(user), func(*pgx.ConnConfig) {})
}

func connectConfig(t testing.TB, url string, change func(*pgx.ConnConfig)) *pgx.Conn {
	t.Helper()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	change(cfg)
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func run(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value returns the one value that sql gives.
func value[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

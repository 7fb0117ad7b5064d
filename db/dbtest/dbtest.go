// Package dbtest gives a test a database of its own: fresh, migrated, gone
// afterwards. It is a database on the server named by
// HYPERTICK_TEST_DATABASE_URL, or else an embedded one.
package dbtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/internal/wait"
)

// ServerEnv names the server to test against, as a superuser.
const ServerEnv = "HYPERTICK_TEST_DATABASE_URL"

// DB is one test's database.
type DB struct {
	// Pool is connected as the owner.
	Pool *pgxpool.Pool
	// URL is the owner's.
	URL string
	// Embedded is the server when it is an embedded one, else nil.
	Embedded *embedded.Database
}

// Log is a logger whose lines go to the test's output.
func Log(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// New returns a fresh, migrated database. Its jobs run only when the test
// calls Settle, on every kind of server.
func New(t testing.TB) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if os.Getenv(ServerEnv) == "" {
		template, err := migrated(ctx, t)
		if err != nil {
			t.Fatalf("make migrated database to copy: %v", err)
		}
		return create(ctx, t, template)
	}
	d := create(ctx, t, "")
	if err := db.Migrate(ctx, d.URL, Log(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pool.Exec(ctx, "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000"); err != nil {
		t.Fatal(err)
	}
	// The scheduler may have begun with some at once.
	wait.Until(t, "the end of the jobs that have begun", func() bool {
		var running int
		err := d.Pool.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type <> 'client backend' AND backend_type !~ 'Scheduler|parallel worker|autovacuum'`).Scan(&running)
		return err == nil && running == 0
	})
	return d
}

// Empty returns a database without any migration, on the same kind of server as
// New.
func Empty(t testing.TB) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	return create(ctx, t, "")
}

// create makes an empty database on the server that the environment names. Without
// one it starts an embedded database, a copy of the one in the directory template
// if that is given.
func create(ctx context.Context, t testing.TB, template string) *DB {
	t.Helper()
	d := &DB{}
	if server := os.Getenv(ServerEnv); server != "" {
		d.URL = createOn(ctx, t, server)
	} else {
		e, err := embedded.StartDatabase(ctx, embedded.DatabaseConfig{
			Dir: filepath.Join(t.TempDir(), "database"), Template: template, CacheDir: CacheDir(t),
			Relaxed: true, ShortLived: true, Restart: true, Log: Log(t),
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = e.Close() })
		d.Embedded, d.URL = e, e.URL("postgres")
	}
	pool, err := db.Open(ctx, d.URL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	d.Pool = pool
	return d
}

// URLAs is the database's URL for another role. On a server it sets a password
// for the role first.
func (d *DB) URLAs(t testing.TB, role string) string {
	t.Helper()
	if d.Embedded != nil {
		return d.Embedded.URL(role)
	}
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, "hypertick-test")
	if err := db.SetPasswords(context.Background(), d.URL, map[string]string{role: "hypertick-test"}); err != nil {
		t.Fatal(err)
	}
	return u.String()
}

// Settle runs the jobs that materialise ticks, in order: late ticks, then each
// continuous aggregate after the one it reads.
func (d *DB) Settle(t testing.TB) {
	t.Helper()
	d.settle(t, true)
}

// SettleCandles is Settle without the blocks of the indicators, which take
// longest where history is long and sparse.
func (d *DB) SettleCandles(t testing.TB) {
	t.Helper()
	d.settle(t, false)
}

func (d *DB) settle(t testing.TB, blocks bool) {
	t.Helper()
	ctx := context.Background()
	rows, err := d.Pool.Query(ctx, `SELECT job_id FROM timescaledb_information.jobs
		WHERE proc_name IN ('move_late_ticks', 'policy_refresh_continuous_aggregate') AND ($1 OR hypertable_name IS NULL OR hypertable_schema = 'public')
		ORDER BY proc_name <> 'move_late_ticks', job_id`, blocks)
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range jobs {
		if err := db.New(d.Pool).RunJob(ctx, job); err != nil {
			t.Fatalf("run job %d: %v", job, err)
		}
	}
}

// createOn makes a database on a real server and returns its URL.
func createOn(ctx context.Context, t testing.TB, server string) string {
	t.Helper()
	var b [6]byte
	_, _ = rand.Read(b[:])
	name := "hypertick_test_" + hex.EncodeToString(b[:])
	admin := func(ctx context.Context, format string) {
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			t.Fatalf("%s: %v", ServerEnv, err)
		}
		defer func() { _ = conn.Close(ctx) }()
		if _, err := conn.Exec(ctx, fmt.Sprintf(format, pgx.Identifier{name}.Sanitize())); err != nil {
			t.Error(err)
		}
	}
	admin(ctx, "CREATE DATABASE %s")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		admin(ctx, "DROP DATABASE IF EXISTS %s WITH (FORCE)")
	})
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s: %v", ServerEnv, err)
	}
	u.Path = "/" + name
	return u.String()
}

// CacheDir is where tests keep the embedded database's program and templates.
func CacheDir(t testing.TB) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "hypertick")
}

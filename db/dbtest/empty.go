package dbtest

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/embedded"
)

// Empty returns a database without any migration, on the same kind of server as
// New.
func Empty(t testing.TB) *DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	d := &DB{}
	if server := os.Getenv(ServerEnv); server != "" {
		d.URL = createOn(ctx, t, server)
	} else {
		e, err := embedded.StartDatabase(ctx, embedded.DatabaseConfig{
			Dir: filepath.Join(t.TempDir(), "database"), CacheDir: CacheDir(t), Relaxed: true, Restart: true, Log: Log(t),
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

package dbtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/migrations"
)

var building sync.Mutex

// migrated returns the directory of a migrated database that nobody has open,
// made once for this state of the migrations and of the server: a copy takes a
// second, migrating from nothing takes ten.
func migrated(ctx context.Context, t testing.TB) (string, error) {
	building.Lock()
	defer building.Unlock()
	program, err := embedded.Install(ctx, CacheDir(t), Log(t))
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	sum.Write([]byte(filepath.Base(program)))
	files, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return "", err
	}
	for _, f := range files {
		b, err := migrations.FS.ReadFile(f)
		if err != nil {
			return "", err
		}
		sum.Write([]byte(f))
		sum.Write(b)
	}
	dir := filepath.Join(CacheDir(t), "migrated-"+hex.EncodeToString(sum.Sum(nil))[:16])
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	// Several test processes may make it at once: the first rename wins.
	tmp, err := os.MkdirTemp(CacheDir(t), "migrating-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	made := filepath.Join(tmp, "database")
	d, err := embedded.StartDatabase(ctx, embedded.DatabaseConfig{Dir: made, CacheDir: CacheDir(t), Relaxed: true, Log: Log(t)})
	if err != nil {
		return "", err
	}
	err = db.Migrate(ctx, d.URL("postgres"), Log(t))
	if err := errors.Join(err, d.Close()); err != nil {
		return "", err
	}
	if err := os.Rename(made, dir); err != nil {
		if _, statErr := os.Stat(dir); statErr == nil {
			return dir, nil
		}
		return "", err
	}
	return dir, nil
}

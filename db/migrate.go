package db

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"sort"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver goose talks through
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hypertick/hypertick/migrations"
)

// Migrate applies every migration that is missing: those of this program and
// those of dirs, in order of their versions. A later file with a lower version
// is applied too, so that an indicator of one's own can be dated before the
// next release. Several may run at once: one does the work.
func Migrate(ctx context.Context, url string, log *slog.Logger, dirs ...string) error {
	p, done, err := provider(url, dirs)
	if err != nil {
		return err
	}
	defer done()
	results, err := p.Up(ctx)
	for _, r := range results {
		log.InfoContext(ctx, "migrated", slog.String("file", path.Base(r.Source.Path)), slog.Duration("took", r.Duration))
	}
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// MigrateDown takes migrations back until version is the newest left; 0 takes
// everything back, with all data.
func MigrateDown(ctx context.Context, url string, version int64, log *slog.Logger, dirs ...string) error {
	p, done, err := provider(url, dirs)
	if err != nil {
		return err
	}
	defer done()
	results, err := p.DownTo(ctx, version)
	for _, r := range results {
		log.InfoContext(ctx, "took back", slog.String("file", path.Base(r.Source.Path)), slog.Duration("took", r.Duration))
	}
	if err != nil {
		return fmt.Errorf("migrate down: %w", err)
	}
	return nil
}

// MigrationStatus is one migration and whether it has been applied.
type MigrationStatus struct {
	Version int64
	File    string
	Applied bool
}

// Migrations lists all migrations with their state, by version.
func Migrations(ctx context.Context, url string, dirs ...string) ([]MigrationStatus, error) {
	p, done, err := provider(url, dirs)
	if err != nil {
		return nil, err
	}
	defer done()
	all, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	out := make([]MigrationStatus, 0, len(all))
	for _, s := range all {
		out = append(out, MigrationStatus{Version: s.Source.Version, File: path.Base(s.Source.Path), Applied: s.State == goose.StateApplied})
	}
	return out, nil
}

func provider(url string, dirs []string) (*goose.Provider, func(), error) {
	files, err := mergeDirs(dirs)
	if err != nil {
		return nil, nil, err
	}
	conn, err := sql.Open("pgx", url)
	if err != nil {
		return nil, nil, fmt.Errorf("database url: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("make migration lock: %w", err), conn.Close())
	}
	p, err := goose.NewProvider(goose.DialectPostgres, conn, files,
		goose.WithSessionLocker(locker), goose.WithAllowOutofOrder(true), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("read migrations: %w", err), conn.Close())
	}
	return p, func() { _ = conn.Close() }, nil
}

// merged shows the files of several directories as one.
type merged map[string]fs.FS

func mergeDirs(dirs []string) (merged, error) {
	m := merged{}
	add := func(from fs.FS, dir string) error {
		names, err := fs.Glob(from, "*.sql")
		if err != nil {
			return fmt.Errorf("read %s: %w", dir, err)
		}
		for _, name := range names {
			if _, ok := m[name]; ok {
				// The same file may be given again, as in --dir migrations.
				a, errA := fs.ReadFile(m[name], name)
				b, errB := fs.ReadFile(from, name)
				if errA != nil || errB != nil || string(a) != string(b) {
					return fmt.Errorf("migration %s of %s: differs from the one of the same name that is known already", name, dir)
				}
				continue
			}
			m[name] = from
		}
		return nil
	}
	if err := add(migrations.FS, "the program"); err != nil {
		return nil, err
	}
	for _, dir := range dirs {
		if info, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("migrations directory: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("migrations directory %s: want a directory", dir)
		}
		if err := add(os.DirFS(dir), dir); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// Open serves the one file name asks for.
func (m merged) Open(name string) (fs.File, error) {
	if from, ok := m[name]; ok {
		return from.Open(name)
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// Glob lists the matching names.
func (m merged) Glob(pattern string) ([]string, error) {
	var names []string
	for name := range m {
		ok, err := path.Match(pattern, name)
		if err != nil {
			return nil, err
		}
		if ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

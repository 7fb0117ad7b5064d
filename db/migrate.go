package db

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver goose talks through
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/hypertick/hypertick/migrations"
)

// set is one folder of migrations with the table that remembers what of it has
// been applied. The program's own come first; every folder of a user's has a
// numbering and a table of its own, so that no release collides with it.
type set struct {
	name  string // "" for the program's
	files fs.FS
	table string
}

// ownTable is goose's default, which the stock command uses too.
const ownTable = "goose_db_version"

var folderName = regexp.MustCompile(`^[a-z0-9][a-z0-9_]{0,40}$`)

// sets names the migrations of the program and of dirs.
func sets(dirs []string) ([]set, error) {
	all := []set{{files: migrations.FS, table: ownTable}}
	seen := map[string]string{}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, fmt.Errorf("migrations directory %s: %w", dir, err)
		}
		if info, err := os.Stat(abs); err != nil {
			return nil, fmt.Errorf("migrations directory: %w", err)
		} else if !info.IsDir() {
			return nil, fmt.Errorf("migrations directory %s: want a directory", dir)
		}
		name, err := folder(abs)
		if err != nil {
			return nil, err
		}
		switch other, twice := seen[name]; {
		case twice && other == abs:
			continue
		case twice:
			return nil, fmt.Errorf("migrations directory %s: want another name, %s has the same and so the same table of versions", dir, other)
		}
		seen[name] = abs
		all = append(all, set{name: name, files: os.DirFS(abs), table: ownTable + "_" + name})
	}
	return all, nil
}

// VersionTable is the table in which goose remembers what has been applied of a
// user's folder of migrations. The folder need not exist; the error says why it
// can be none of a user's.
func VersionTable(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("migrations directory %s: %w", dir, err)
	}
	name, err := folder(abs)
	if err != nil {
		return "", err
	}
	return ownTable + "_" + name, nil
}

// folder is the name of a user's folder, as a part of the name of a table.
func folder(abs string) (string, error) {
	name := strings.ReplaceAll(strings.ToLower(filepath.Base(abs)), "-", "_")
	if !folderName.MatchString(name) {
		return "", fmt.Errorf("migrations directory %s: want a name of letters, digits, - and _, for its table of versions is named after it", abs)
	}
	if _, err := os.Stat(filepath.Join(abs, "frozen.txt")); err == nil {
		return "", fmt.Errorf("migrations directory %s: the program brings its own migrations; want a folder of yours, such as indicators", abs)
	}
	return name, nil
}

// Migrate applies every migration that is missing: those of this program, then
// those of dirs, folder by folder. Within a folder of a user's a later file with
// a lower number is applied too. Several may run at once: one does the work.
// A database that another baseline made is refused with a *BaselineError.
func Migrate(ctx context.Context, url string, log *slog.Logger, dirs ...string) error {
	all, err := sets(dirs)
	if err != nil {
		return err
	}
	pool, err := Open(ctx, url, 1)
	if err != nil {
		return err
	}
	err = CheckBaseline(ctx, pool)
	pool.Close()
	if err != nil {
		return err
	}
	for _, s := range all {
		err := s.with(url, func(p *goose.Provider) error {
			results, err := p.Up(ctx)
			for _, r := range results {
				log.InfoContext(ctx, "migrated", slog.String("file", s.file(r.Source)), slog.Duration("took", r.Duration))
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate: %w", err)
		}
	}
	return nil
}

// MigrateDown rolls migrations back until version is the newest left; 0 rolls
// everything back, with all data. Given dirs, only those of dirs, the last first.
func MigrateDown(ctx context.Context, url string, version int64, log *slog.Logger, dirs ...string) error {
	all, err := sets(dirs)
	if err != nil {
		return err
	}
	if len(all) > 1 {
		all = all[1:]
	}
	for _, s := range slices.Backward(all) {
		err := s.with(url, func(p *goose.Provider) error {
			results, err := p.DownTo(ctx, version)
			for _, r := range results {
				log.InfoContext(ctx, "rolled back", slog.String("file", s.file(r.Source)), slog.Duration("took", r.Duration))
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("migrate down: %w", err)
		}
	}
	return nil
}

// MigrationStatus is one migration and whether it has been applied.
type MigrationStatus struct {
	// Folder is the user's folder it is of; empty for those of the program.
	Folder  string
	Version int64
	File    string
	Applied bool
}

// Migrations lists all migrations with their state, folder by folder and by
// version.
func Migrations(ctx context.Context, url string, dirs ...string) ([]MigrationStatus, error) {
	sets, err := sets(dirs)
	if err != nil {
		return nil, err
	}
	var out []MigrationStatus
	for _, s := range sets {
		err := s.with(url, func(p *goose.Provider) error {
			all, err := p.Status(ctx)
			for _, m := range all {
				out = append(out, MigrationStatus{
					Folder: s.name, Version: m.Source.Version, File: filepath.Base(m.Source.Path), Applied: m.State == goose.StateApplied,
				})
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read migrations: %w", err)
		}
	}
	return out, nil
}

func (s *set) file(source *goose.Source) string {
	return filepath.Join(s.name, filepath.Base(source.Path))
}

// with runs f with goose on the folder. One without a file has nothing to do.
func (s *set) with(url string, f func(*goose.Provider) error) error {
	names, err := fs.Glob(s.files, "*.sql")
	if err != nil || len(names) == 0 {
		return err
	}
	conn, err := sql.Open("pgx", url)
	if err != nil {
		return fmt.Errorf("database url: %w", err)
	}
	defer func() { _ = conn.Close() }()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("make migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, conn, s.files,
		goose.WithSessionLocker(locker), goose.WithTableName(s.table), goose.WithAllowOutofOrder(s.name != ""), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read migrations of %s: %w", s.from(), err)
	}
	return f(p)
}

func (s *set) from() string {
	if s.name == "" {
		return "the program"
	}
	return s.name
}

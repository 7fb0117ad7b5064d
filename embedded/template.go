package embedded

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// dataDir is where pgserver keeps PostgreSQL's files inside its directory.
const dataDir = "pgdata"

// fill copies the template to a directory that has no database yet, whole or
// not at all: a copy that was interrupted is begun again.
func (d *Database) fill(ctx context.Context) error {
	target := filepath.Join(d.cfg.Dir, dataDir)
	if d.cfg.Template == "" || isDir(target) {
		return nil
	}
	if err := os.MkdirAll(d.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("copy the template: %w", err)
	}
	fresh, err := os.MkdirTemp(d.cfg.Dir, "copying-")
	if err != nil {
		return fmt.Errorf("copy the template: %w", err)
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // gone after the rename
	if err := copyTree(ctx, fresh, filepath.Join(d.cfg.Template, dataDir)); err != nil {
		return fmt.Errorf("copy the template: %w", err)
	}
	if err := os.Rename(fresh, target); err != nil && !isDir(target) {
		return fmt.Errorf("copy the template: %w", err)
	}
	return nil
}

func copyTree(ctx context.Context, dst, src string) error {
	return filepath.WalkDir(src, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		to := filepath.Join(dst, strings.TrimPrefix(name, src))
		if e.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		if !e.Type().IsRegular() {
			return nil
		}
		return copyFile(to, name)
	})
}

func copyFile(dst, src string) error {
	in, err := os.Open(src)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	out, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := out.ReadFrom(in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

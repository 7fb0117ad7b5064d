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

// fill copies the template to a directory without a database, atomically.
func (d *Database) fill(ctx context.Context) error {
	if isDir(filepath.Join(d.cfg.Dir, dataDir)) {
		return nil
	}
	template := d.cfg.Template
	if template == "" {
		var err error
		if template, err = d.pristine(ctx); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(d.cfg.Dir, 0o755); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := copyData(ctx, d.cfg.Dir, template); err != nil {
		return fmt.Errorf("copy the database template: %w", err)
	}
	return nil
}

// pristine returns the directory of a database as initdb and CREATE EXTENSION
// leave it. Making one takes seconds, copying it a tenth of one, so it is made
// once and kept beside the installed server.
func (d *Database) pristine(ctx context.Context) (string, error) {
	dir := d.install + "-template"
	if isDir(dir) {
		return dir, nil
	}
	d.cfg.Log.Info("creating the first embedded database", "dir", dir)
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "creating-")
	if err != nil {
		return "", fmt.Errorf("create the database template: %w", err)
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // gone after the rename
	cfg := DatabaseConfig{Dir: fresh, Log: d.cfg.Log, Relaxed: true}
	s, err := startServer(ctx, &cfg, d.install, "127.0.0.1", 0)
	if err != nil {
		return "", err
	}
	s.stop(stopTimeout)
	if s.err != nil {
		return "", fmt.Errorf("create the database template: %w", s.err)
	}
	if err := os.Rename(fresh, dir); err != nil && !isDir(dir) { // another process was faster
		return "", fmt.Errorf("create the database template: %w", err)
	}
	return dir, nil
}

// copyData copies the database in src, which no server has open, to dst.
func copyData(ctx context.Context, dst, src string) error {
	fresh, err := os.MkdirTemp(dst, "copying-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // gone after the rename
	if err := copyTree(ctx, fresh, filepath.Join(src, dataDir)); err != nil {
		return err
	}
	target := filepath.Join(dst, dataDir)
	if err := os.Rename(fresh, target); err != nil && !isDir(target) {
		return err
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
		switch {
		case e.IsDir():
			return os.MkdirAll(to, 0o700)
		case e.Type().IsRegular():
			return copyFile(to, name)
		default:
			return nil
		}
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

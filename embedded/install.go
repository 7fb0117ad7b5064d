package embedded

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minNode is the oldest major version of Node that pgserver runs on.
const minNode = 20

//go:embed pgserver/*.mjs pgserver/package.json pgserver/package-lock.json
var source embed.FS

// Install puts the database server and the npm packages it needs below
// cacheDir and returns its directory. The first call runs npm ci, with the
// versions and checksums of package-lock.json; later ones find it done. It is
// safe to call from many processes at once.
func Install(ctx context.Context, cacheDir string, log *slog.Logger) (string, error) {
	sum, err := sourceSum()
	if err != nil {
		return "", err
	}
	dir, err := filepath.Abs(filepath.Join(cacheDir, "pgserver-"+sum))
	if err != nil {
		return "", fmt.Errorf("install the embedded database: %w", err)
	}
	if isDir(dir) {
		return dir, nil
	}
	if err := checkNode(ctx); err != nil {
		return "", err
	}
	start := time.Now()
	log.Info("installing the embedded database with npm", "dir", dir)
	if err := os.MkdirAll(cacheDir, 0o755); err != nil {
		return "", fmt.Errorf("install the embedded database: %w", err)
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		return "", fmt.Errorf("install the embedded database: %w", err)
	}
	defer os.RemoveAll(fresh) //nolint:errcheck // gone after the rename
	if err := writeSource(fresh); err != nil {
		return "", fmt.Errorf("install the embedded database: %w", err)
	}
	if err := npmCI(ctx, fresh); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, dir); err != nil && !isDir(dir) { // another process was faster
		return "", fmt.Errorf("install the embedded database: %w", err)
	}
	log.Info("installed the embedded database", "took", time.Since(start).Round(time.Millisecond))
	return dir, nil
}

// sourceSum names the content of the embedded files.
func sourceSum() (string, error) {
	h := sha256.New()
	err := fs.WalkDir(source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := source.ReadFile(name)
		fmt.Fprintf(h, "%s %d\n", name, len(content))
		h.Write(content)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

func writeSource(dir string) error {
	sub, err := fs.Sub(source, "pgserver")
	if err != nil {
		return err
	}
	return os.CopyFS(dir, sub)
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

func checkNode(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "node", "--version").Output()
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("the embedded database needs Node.js %d or newer: node is not on the PATH", minNode)
	}
	if err != nil {
		return fmt.Errorf("run node --version: %w", err)
	}
	version := strings.TrimSpace(string(out))
	major, err := strconv.Atoi(strings.SplitN(strings.TrimPrefix(version, "v"), ".", 2)[0])
	if err != nil {
		return fmt.Errorf("node --version answered %q", version)
	}
	if major < minNode {
		return fmt.Errorf("the embedded database needs Node.js %d or newer, found %s", minNode, version)
	}
	return nil
}

func npmCI(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "npm", "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		return errors.New("the embedded database is installed by npm: npm is not on the PATH")
	}
	if err != nil {
		return fmt.Errorf("npm ci of the embedded database: %w\n%s", err, tail(out, 15))
	}
	return nil
}

// tail returns the last n lines of out.
func tail(out []byte, n int) []byte {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	return bytes.Join(lines[max(0, len(lines)-n):], []byte("\n"))
}

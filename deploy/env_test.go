package deploy_test

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/compose-spec/compose-go/v2/dotenv"
)

// makeEnv runs env.sh in dir.
func makeEnv(t *testing.T, dir string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "/bin/sh", "env.sh", dir).CombinedOutput()
	return string(out), err
}

func envDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".env.example"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readEnv parses .env as an engine does.
func readEnv(t *testing.T, dir string) map[string]string {
	t.Helper()
	env, err := dotenv.Read(filepath.Join(dir, ".env"))
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func TestMakeEnv(t *testing.T) {
	t.Parallel()
	secret := regexp.MustCompile(`^[0-9a-f]{48}$`)
	seen := map[string]string{}
	var dir string
	for range 2 {
		dir = envDir(t)
		if out, err := makeEnv(t, dir); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		info, err := os.Stat(filepath.Join(dir, ".env"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode of .env is %o, want 600", info.Mode().Perm())
		}
		if info, err := os.Stat(filepath.Join(dir, "backups")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("backups: %v, %v; want a directory for its owner alone", info, err)
		}
		env, want := readEnv(t, dir), example(t)
		for name, value := range env {
			switch {
			case strings.HasSuffix(name, "_PASSWORD"):
				if !secret.MatchString(value) {
					t.Errorf("%s is %q, want 24 random bytes in hex", name, value)
				}
				if other, twice := seen[value]; twice {
					t.Errorf("%s and %s have the same password", name, other)
				}
				seen[value] = name
			case strings.HasPrefix(name, "BACKUP_"):
				if id, err := strconv.Atoi(value); err != nil || id == 0 {
					t.Errorf("%s is %q, want the id of somebody who is not root", name, value)
				}
			case value != want[name]:
				t.Errorf("%s is %q, want %q", name, value, want[name])
			}
		}
		if len(env) != len(want) {
			t.Errorf("got %d variables, want %d", len(env), len(want))
		}
		// The stack needs no other variables.
		if _, err := load(t, env, base); err != nil {
			t.Error(err)
		}
		left, _ := filepath.Glob(filepath.Join(dir, ".env.??????"))
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}

	before := readEnv(t, dir)
	out, err := makeEnv(t, dir)
	if err == nil || !strings.Contains(out, "stays as it is") {
		t.Errorf("a second time: got %v, %q, want to be refused", err, out)
	}
	if after := readEnv(t, dir); !maps.Equal(before, after) {
		t.Error("a second time changed .env")
	}
}

// TestMakeEnvLosesRace creates .env after the script has checked for it: a pipe in
// place of .env.example blocks the script in between.
func TestMakeEnvLosesRace(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, ".env.example")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	type result struct {
		out string
		err error
	}
	done := make(chan result, 1)
	go func() {
		out, err := makeEnv(t, dir)
		done <- result{out, err}
	}()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns when the script reads
	if err != nil {
		t.Fatal(err)
	}
	const theirs = "POSTGRES_PASSWORD=theirs\n"
	if err := os.WriteFile(filepath.Join(dir, ".env"), []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("POSTGRES_PASSWORD=\n"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.err == nil || !strings.Contains(r.out, "stays as it is") {
		t.Errorf("got %v, %q, want to be refused", r.err, r.out)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, ".env")); string(got) != theirs {
		t.Errorf(".env was overwritten: %q", got)
	}
}

// TestMakeEnvKeepsLink checks that the script does not write through a dangling link.
func TestMakeEnvKeepsLink(t *testing.T) {
	t.Parallel()
	dir := envDir(t)
	elsewhere := filepath.Join(dir, "elsewhere")
	if err := os.Symlink(elsewhere, filepath.Join(dir, ".env")); err != nil {
		t.Fatal(err)
	}
	if _, err := makeEnv(t, dir); err == nil {
		t.Error("want to be refused")
	}
	if _, err := os.Lstat(elsewhere); err == nil {
		t.Error("wrote through the link")
	}
}

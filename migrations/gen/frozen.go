package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
)

// frozenFile lists the migrations that may not change any more, with their
// SHA-256, one a line. Lines that begin with # are comments.
const frozenFile = "frozen.txt"

var migrationName = regexp.MustCompile(`^([0-9]{5})_[a-z0-9_]+\.sql$`)

func parseFrozen(text string) (map[string]string, error) {
	frozen := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		sum, name, ok := strings.Cut(line, "  ")
		if !ok || len(sum) != 64 || !migrationName.MatchString(name) {
			return nil, fmt.Errorf("%s:%d: want a SHA-256, two blanks and the name of a migration, got %q", frozenFile, n, line)
		}
		frozen[name] = sum
	}
	return frozen, lines.Err()
}

// checkFrozen holds a directory of migrations against frozen.txt, and that file
// against an earlier state of it: what is frozen has not changed, what is new
// comes after it, and numbers rise.
func checkFrozen(dir fs.FS, before string) error {
	names, files, err := sqlFiles(dir)
	if err != nil {
		return err
	}
	text, err := fs.ReadFile(dir, frozenFile)
	if err != nil {
		return fmt.Errorf("read the list of frozen migrations: %w", err)
	}
	frozen, err := parseFrozen(string(text))
	if err != nil {
		return err
	}
	was, err := parseFrozen(before)
	if err != nil {
		return fmt.Errorf("before: %w", err)
	}
	for name, sum := range was {
		if frozen[name] != sum {
			return fmt.Errorf("%s: %s was frozen and must stay in the list as it was", frozenFile, name)
		}
	}
	for name, sum := range frozen {
		text, ok := files[name]
		if !ok {
			return fmt.Errorf("%s: frozen, but the file is gone", name)
		}
		if got := sha256Hex(text); got != sum {
			return fmt.Errorf("%s: frozen, but the file has changed: want %.12s, got %.12s; write a new migration (make migration NAME=...)", name, sum, got)
		}
	}
	last, open := -1, ""
	for _, name := range names {
		m := migrationName.FindStringSubmatch(name)
		if m == nil {
			return fmt.Errorf("%s: want a name such as 00049_add_side.sql", name)
		}
		n, _ := strconv.Atoi(m[1])
		if n <= last {
			return fmt.Errorf("%s: want a number above %05d, got %05d", name, last, n)
		}
		last = n
		if _, ok := frozen[name]; !ok {
			open = name
		} else if open != "" {
			return fmt.Errorf("%s: want a number above that of %s, which is frozen", open, name)
		}
	}
	return nil
}

func sha256Hex(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

package api

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// keyPrefix marks a key as ours, for those who search code and logs for secrets.
const keyPrefix = "ht_"

// maxKeysFile bounds what is read of a keys file.
const maxKeysFile = 1 << 20

// key is one line of a keys file: a name and a hash. A key is 256 random bits,
// so nobody can guess one from its hash, however fast SHA-256 is; a slow or
// salted hash guards passwords, and would cost every request.
type key struct {
	name string
	hash [sha256.Size]byte
}

// NewKey makes a key and adds its hash to a keys file, which is made when it
// does not exist. The key itself is kept nowhere. An empty file adds nothing.
// line is what stands in the file.
func NewKey(file, name string) (secret, line string, err error) {
	if !validName(name) {
		return "", "", fmt.Errorf("name %q: want 1 to 64 of A-Z a-z 0-9 . _ -", clip(name))
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	secret = keyPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(secret))
	line = name + " sha256:" + hex.EncodeToString(hash[:])
	if file == "" {
		return secret, line, nil
	}
	if err := addLine(file, name, line); err != nil {
		return "", "", fmt.Errorf("add key: %w", err)
	}
	return secret, line, nil
}

func addLine(file, name, line string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	was, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	keys, err := parseKeys(was)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for _, k := range keys {
		if k.name == name {
			return fmt.Errorf("%s has a key named %s already: take another name, or delete its line", file, name)
		}
	}
	if len(was) > 0 && was[len(was)-1] != '\n' {
		line = "\n" + line
	}
	// One write, so that a server that reads meanwhile sees all of it or none.
	if _, err := f.WriteString(line + "\n"); err != nil {
		return err
	}
	return f.Close()
}

// parseKeys reads a keys file: NAME sha256:HEX on a line, empty lines, and
// comments after #.
func parseKeys(b []byte) ([]key, error) {
	var keys []key
	names := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(text)
		if len(fields) == 0 {
			continue
		}
		if len(fields) != 2 || !validName(fields[0]) {
			return nil, fmt.Errorf("line %d: want a name of A-Z a-z 0-9 . _ - and sha256:HEX", n)
		}
		k := key{name: fields[0]}
		digits, ok := strings.CutPrefix(fields[1], "sha256:")
		hash, err := hex.DecodeString(digits)
		if !ok || err != nil || len(hash) != len(k.hash) {
			return nil, fmt.Errorf("line %d: want sha256: and 64 hexadecimal digits after the name %s", n, k.name)
		}
		if names[k.name] {
			return nil, fmt.Errorf("line %d: the name %s is taken by a line above", n, k.name)
		}
		names[k.name] = true
		copy(k.hash[:], hash)
		keys = append(keys, k)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return keys, nil
}

// validName is the form of a key's name and of a request's, both of which go
// to the log.
func validName(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// keyring is the keys of a file, as the file is now.
type keyring struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	info    fs.FileInfo // of the file when it was read; nil reads it again
	keys    []key
	failure string // of the last attempt to read it
}

func openKeyring(file string, log *slog.Logger) (*keyring, error) {
	keys, info, err := readKeys(file)
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	if len(keys) == 0 {
		log.Warn("no key opens the api yet; make one with hypertick key new", slog.String("file", file))
	}
	return &keyring{file: file, log: log, keys: keys, info: settled(info)}, nil
}

func readKeys(file string) ([]key, fs.FileInfo, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, nil, err
	}
	switch {
	case !info.Mode().IsRegular():
		return nil, info, fmt.Errorf("%s: want a regular file", file)
	case info.Size() > maxKeysFile:
		return nil, info, fmt.Errorf("%s: want at most %d bytes, got %d", file, maxKeysFile, info.Size())
	case info.Mode().Perm()&0o002 != 0:
		return nil, info, fmt.Errorf("%s: anybody may write to it: want mode 0600", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, info, err
	}
	keys, err := parseKeys(b)
	if err != nil {
		return nil, info, fmt.Errorf("%s: %w", file, err)
	}
	return keys, info, nil
}

// find is the name of the key that secret is.
func (r *keyring) find(secret string) (name string, ok bool) {
	hash := sha256.Sum256([]byte(secret))
	// Every key is compared, and each in constant time: how long it takes says
	// nothing about which is near.
	for _, k := range r.current() {
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			name, ok = k.name, true
		}
	}
	return name, ok
}

// current reads the file again when it has changed. While it is missing or
// broken, the keys that were read last stay: a slip in an editor must not
// lock everybody out, nor let anybody in.
func (r *keyring) current() []key {
	r.mu.Lock()
	defer r.mu.Unlock()
	info, err := os.Stat(r.file)
	if err == nil && sameFile(r.info, info) {
		return r.keys
	}
	var keys []key
	if err == nil {
		keys, info, err = readKeys(r.file)
	}
	r.info = settled(info)
	if err != nil {
		if err.Error() != r.failure {
			r.failure = err.Error()
			r.log.Error("the file of API keys cannot be read; the keys stay as they were", slog.Any("error", err))
		}
		return r.keys
	}
	if r.failure != "" || !slices.Equal(keys, r.keys) {
		r.log.Info("read API keys", slog.Int("keys", len(keys)))
	}
	r.keys, r.failure = keys, ""
	return r.keys
}

// settled is nil for a file so young that it may change once more within the
// grain of its timestamp.
func settled(info fs.FileInfo) fs.FileInfo {
	if info == nil || time.Since(info.ModTime()) < time.Second {
		return nil
	}
	return info
}

func sameFile(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && a.Mode() == b.Mode()
}

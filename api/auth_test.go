package api

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/hypertick/hypertick/db/dbtest"
)

// ping answers /v1/ping without a database.
func ping(s *Server) {
	s.app.Get("/v1/ping", func(c *fiber.Ctx) error { return c.SendString("pong") })
}

// newKey makes a key in file.
func newKey(t testing.TB, file, name string) string {
	t.Helper()
	secret, line, err := NewKey(file, name)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, keyPrefix) || len(secret) < 40 || strings.Contains(line, secret) {
		t.Fatalf("key %s, line %s", secret, line)
	}
	return secret
}

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	alice, bob := newKey(t, file, "alice"), newKey(t, file, "bob")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	c := serve(t, Config{Pool: noDatabase(t), KeysFile: file}, ping)
	try := func(want int, header ...string) answer {
		t.Helper()
		a, err := c.do(http.MethodGet, "/v1/ping", header...)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != want {
			t.Errorf("%v: status %d, want %d", header, a.status, want)
		}
		if want == http.StatusUnauthorized {
			problemOf(t, a)
		}
		return a
	}

	if a := try(401); a.header.Get("WWW-Authenticate") != `Bearer realm="hypertick"` {
		t.Errorf("%v", a.header)
	}
	for _, header := range [][]string{
		{"Authorization", "Bearer nonsense"}, {"Authorization", "Bearer " + alice + "x"}, {"X-API-Key", alice[:len(alice)-1]},
		{"X-API-Key", strings.ToUpper(alice)}, {"Authorization", "Bearer wrong", "X-API-Key", alice},
	} {
		if a := try(401, header...); !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
			t.Errorf("%v: %v", header, a.header)
		}
	}
	try(401, "Authorization", "Basic "+alice)
	try(401, "Authorization", "Bearer ")
	for _, header := range [][]string{
		{"Authorization", "Bearer " + alice}, {"Authorization", "bearer " + bob}, {"X-API-Key", bob}, {"Authorization", "Basic x", "X-API-Key", bob},
	} {
		if a := try(200, header...); !strings.Contains(a.header.Get("Vary"), "Authorization") || !strings.Contains(a.header.Get("Vary"), "X-API-Key") {
			t.Errorf("vary: %v", a.header)
		}
	}

	// Everything under /v1 is behind the keys, however it is written and
	// whether it exists; what is beside it is not.
	for path, want := range map[string]int{
		"/v1": 401, "/v1/": 401, "/v1/nope": 401, "/v1/symbols": 401, "/v1/stream": 401, "/%76%31/ping": 404, "//v1/ping": 404, "/V1/ping": 404,
		"/x/../v1/ping": 404, "/livez": 200, "/openapi.json": 200, "/": 200,
	} {
		if a := c.raw(http.MethodGet, path); a.status != want {
			t.Errorf("%s: status %d, want %d", path, a.status, want)
		}
	}
	for _, method := range []string{http.MethodOptions, http.MethodPost, http.MethodDelete, http.MethodHead} {
		if a := c.raw(method, "/v1/ping"); a.status != 401 {
			t.Errorf("%s: status %d", method, a.status)
		}
	}

	if log := c.log.String(); strings.Contains(log, alice) || strings.Contains(log, bob) || !strings.Contains(log, `"key":"alice"`) || !strings.Contains(log, `"key":"bob"`) {
		t.Errorf("want names of keys in the log, and no key: %s", log)
	}

	// The file changes under the server.
	carol := newKey(t, file, "carol")
	try(200, "X-API-Key", carol)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, rest, _ := strings.Cut(string(b), "\n")
	write("# alice is gone\n\n" + rest)
	try(401, "X-API-Key", alice)
	try(200, "X-API-Key", bob)
	write("bob sha256:1234\n")
	try(200, "X-API-Key", bob)
	try(401, "X-API-Key", alice)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	try(200, "X-API-Key", bob)
	if n := strings.Count(c.log.String(), "the keys stay as they were"); n != 2 {
		t.Errorf("%d complaints in the log, want 2: %s", n, c.log)
	}
	write("")
	try(401, "X-API-Key", bob)
}

func TestKeysFile(t *testing.T) {
	hash := strings.Repeat("0f", 32)
	for text, want := range map[string]string{
		"alice " + hash:                           "line 1: want sha256:",
		"alice sha256:" + hash[1:]:                "line 1: want sha256:",
		"alice sha256:" + hash + "00":             "line 1: want sha256:",
		"\nal/ice sha256:" + hash:                 "line 2: want a name",
		"alice":                                   "line 1: want a name",
		"alice sha256:" + hash + " x":             "line 1: want a name",
		"a sha256:" + hash + "\na sha256:" + hash: "line 2: the name a is taken",
		strings.Repeat("a", 1<<17):                "token too long",
	} {
		if _, err := parseKeys([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", text, err, want)
		}
	}
	keys, err := parseKeys([]byte("# ours\n\n  a.b-c_1   sha256:" + hash + " # since May\r\n"))
	if err != nil || len(keys) != 1 || keys[0].name != "a.b-c_1" || keys[0].hash[1] != 0x0f {
		t.Errorf("%v %v", keys, err)
	}

	dir := t.TempDir()
	file := filepath.Join(dir, "keys")
	if err := os.WriteFile(file, []byte("a sha256:"+hash), 0o600); err != nil { // no newline at its end
		t.Fatal(err)
	}
	newKey(t, file, "b")
	for _, c := range []struct{ file, name, want string }{
		{file, "a", "already"}, {file, "b", "already"}, {file, "", "want 1 to 64"}, {file, "x y", "want 1 to 64"}, {file, "x\ny", "want 1 to 64"},
		{file, strings.Repeat("x", 65), "want 1 to 64"}, {dir, "c", "directory"}, {filepath.Join(dir, "no", "keys"), "c", "no such file"},
	} {
		if _, _, err := NewKey(c.file, c.name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, line, err := NewKey("", "d"); err != nil || !strings.HasPrefix(line, "d sha256:") {
		t.Errorf("%s %v", line, err)
	}

	// Files a server does not start with.
	broken, open := filepath.Join(dir, "broken"), filepath.Join(dir, "open")
	for _, f := range []string{broken, open} {
		if err := os.WriteFile(f, []byte("?"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(open, 0o606); err != nil {
		t.Fatal(err)
	}
	for f, want := range map[string]string{broken: "line 1", open: "anybody may write", dir: "regular file", filepath.Join(dir, "none"): "no such file"} {
		if _, err := New(Config{Pool: noDatabase(t), Listen: "127.0.0.1:0", KeysFile: f, Log: dbtest.Log(t)}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", f, err, want)
		}
	}
}

// TestOpenAddress checks that nobody serves the world by accident.
func TestOpenAddress(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	newKey(t, file, "a")
	for _, c := range []struct {
		listen string
		cfg    Config
		ok     bool
	}{
		{"0.0.0.0:0", Config{}, false}, {":0", Config{}, false}, {"0.0.0.0:0", Config{Insecure: true}, true},
		{"0.0.0.0:0", Config{KeysFile: file}, true}, {"127.0.0.1:0", Config{}, true}, {"localhost:0", Config{}, true},
	} {
		c.cfg.Pool, c.cfg.Listen, c.cfg.Log = noDatabase(t), c.listen, dbtest.Log(t)
		s, err := New(c.cfg)
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "wants API keys") {
			t.Errorf("%s %+v: %v", c.listen, c.cfg, err)
		}
		if err == nil {
			_ = s.Close()
		}
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte("a sha256:" + strings.Repeat("0f", 32) + " # x\n"))
	f.Add([]byte("\x00 sha256:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		var again strings.Builder
		for _, k := range keys {
			if !validName(k.name) {
				t.Fatalf("name %q", k.name)
			}
			fmt.Fprintf(&again, "%s sha256:%x\n", k.name, k.hash)
		}
		back, err := parseKeys([]byte(again.String()))
		if err != nil || len(back) != len(keys) {
			t.Fatalf("%v: %d keys of %d", err, len(back), len(keys))
		}
	})
}

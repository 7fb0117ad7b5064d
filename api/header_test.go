package api

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gofiber/fiber/v2"

	"github.com/hypertick/hypertick/db/dbtest"
)

func TestSecurityHeaders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	key := newKey(t, file, "a")
	page := func(s *Server) {
		ping(s)
		s.app.Get("/page", func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderContentType, fiber.MIMETextHTMLCharsetUTF8)
			return c.SendString("<p>")
		})
		s.app.Get("/v1/old", func(c *fiber.Ctx) error {
			c.Set(fiber.HeaderCacheControl, "public, max-age=60")
			return c.SendString("old")
		})
	}
	c := serve(t, Config{Pool: noDatabase(t)}, page)
	for _, path := range []string{"/livez", "/nope", "/page", "/v1/symbols?limit=0", "/openapi.json"} {
		a := c.get(path)
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer", "Cache-Control": "no-cache",
			"Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
		} {
			if got := a.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		csp := a.header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "script-src 'self'") != (path == "/page") {
			t.Errorf("%s: policy %q", path, csp)
		}
	}
	if a := c.get("/v1/old"); a.header.Get("Cache-Control") != "public, max-age=60" || a.header.Get("Vary") != "" {
		t.Errorf("%v", a.header)
	}
	// What takes a key to see is for no shared cache.
	c = serve(t, Config{Pool: noDatabase(t), KeysFile: file}, page)
	if a, err := c.do(http.MethodGet, "/v1/old", "X-API-Key", key); err != nil || a.header.Get("Cache-Control") != "private, max-age=60" {
		t.Errorf("%v %v", a.header, err)
	}
}

func TestCORS(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	key := newKey(t, file, "a")
	const ours, theirs = "https://charts.example", "https://evil.example"
	c := serve(t, Config{Pool: noDatabase(t), KeysFile: file, CORSOrigins: []string{ours, "http://localhost:5173"}}, ping, func(s *Server) {
		s.app.Get("/panic", func(*fiber.Ctx) error { panic("x") })
	})
	do := func(method, path string, header ...string) answer {
		t.Helper()
		a, err := c.do(method, path, header...)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(a.header.Get("Vary"), "Origin") {
			t.Errorf("%s %s %v: vary %q", method, path, header, a.header.Get("Vary"))
		}
		return a
	}
	// A page can read answers, errors too, and the headers it needs.
	for path, status := range map[string]int{"/v1/ping": 200, "/v1/nope": 404, "/livez": 200, "/panic": 500} {
		a := do(http.MethodGet, path, "Origin", ours, "X-API-Key", key)
		if a.status != status || a.header.Get("Access-Control-Allow-Origin") != ours || !strings.Contains(a.header.Get("Access-Control-Expose-Headers"), "RateLimit") ||
			a.header.Get("Access-Control-Allow-Credentials") != "" || a.header.Get("Cross-Origin-Resource-Policy") != "cross-origin" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
	// The browser asks first, without the key.
	a := do(http.MethodOptions, "/v1/ping", "Origin", ours, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if a.status != 204 || a.header.Get("Access-Control-Allow-Origin") != ours || a.header.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" ||
		!strings.Contains(a.header.Get("Access-Control-Allow-Headers"), "Authorization") || a.header.Get("Access-Control-Max-Age") == "" {
		t.Errorf("preflight: %d %v", a.status, a.header)
	}
	// Other pages get nothing, and their preflight is a request like any other.
	for _, origin := range []string{theirs, "null", ours + ".evil.example", "http://charts.example", "https://charts.example:444"} {
		a := do(http.MethodGet, "/v1/ping", "Origin", origin, "X-API-Key", key)
		if a.header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %v", origin, a.header)
		}
		a = do(http.MethodOptions, "/v1/ping", "Origin", origin, "Access-Control-Request-Method", "GET")
		if a.status != 401 || a.header.Get("Access-Control-Allow-Origin") != "" || a.header.Get("Access-Control-Allow-Methods") != "" {
			t.Errorf("preflight of %s: %d %v", origin, a.status, a.header)
		}
	}

	c = serve(t, Config{Pool: noDatabase(t), CORSOrigins: []string{"*"}}, ping)
	if a, err := c.do(http.MethodGet, "/v1/ping", "Origin", theirs); err != nil || a.header.Get("Access-Control-Allow-Origin") != "*" || a.header.Get("Vary") != "" {
		t.Errorf("%v %v", a.header, err)
	}
	for _, origin := range []string{"", "example.com", "https://example.com/", "https://example.com/path", "https://Example.com", "https://a@example.com", "null", "https://*.example.com x"} {
		_, err := New(Config{Pool: noDatabase(t), Listen: "127.0.0.1:0", CORSOrigins: []string{origin}, Log: dbtest.Log(t)})
		if err == nil || !strings.Contains(err.Error(), "want * or an origin") {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

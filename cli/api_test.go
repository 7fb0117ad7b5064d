package cli_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hypertick/hypertick/internal/wait"
)

// lines is a log that a test reads while a command writes it.
type lines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestKeyNew creates keys as a script does, and sends them to a server, which sends
// spans to a collector.
func TestKeyNew(t *testing.T) {
	var mu sync.Mutex
	var traced strings.Builder
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		traced.WriteString(r.URL.Path + "\n" + string(b) + "\n")
	}))
	defer collector.Close()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")

	file := filepath.Join(t.TempDir(), "keys")
	t.Setenv("HYPERTICK_API_KEYS_FILE", file)
	code, out, errOut := run(context.Background(), "key", "new", "--name", "alice")
	key := strings.TrimSpace(out)
	if code != 0 || !regexp.MustCompile(`^ht_[A-Za-z0-9_-]{43}$`).MatchString(key) || strings.Contains(errOut, key) || !strings.Contains(errOut, file) {
		t.Fatalf("%d %q %q", code, out, errOut)
	}
	b, err := os.ReadFile(file)
	if err != nil || !regexp.MustCompile(`^alice sha256:[0-9a-f]{64}\n$`).Match(b) {
		t.Fatalf("%s %v", b, err)
	}
	if code, _, errOut := run(context.Background(), "key", "new", "--name", "alice"); code != 1 || !strings.Contains(errOut, "alice already") {
		t.Errorf("%d %q", code, errOut)
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	log := &lines{}
	done := make(chan int, 1)
	go func() {
		done <- runTo(ctx, log, "api", "--log-format", "json", "--database-url", "postgres://nobody@127.0.0.1:1/none?connect_timeout=1",
			"--listen", "127.0.0.1:0", "--api-metrics-listen", "127.0.0.1:0", "--rate-limit", "100")
	}()
	var url string
	wait.For(t, "the address of the API in its log", func() (any, bool) {
		if m := regexp.MustCompile(`"url":"(http://[^"]+)"`).FindStringSubmatch(log.String()); m != nil {
			url = m[1]
		}
		select {
		case code := <-done:
			t.Fatalf("exit code %d: %s", code, log)
		default:
		}
		return log, url != ""
	})
	for k, want := range map[string]int{"": 401, "x": 401, key: 503} {
		req, err := http.NewRequest(http.MethodGet, url+"/v1/symbols", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-API-Key", k)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || resp.Header.Get("RateLimit-Policy") != `"default";q=200;w=2` {
			t.Errorf("%q: %d %v", k, resp.StatusCode, resp.Header)
		}
	}
	cancel()
	if code := <-done; code != 0 {
		t.Errorf("exit code %d: %s", code, log)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, want := range []string{"/v1/traces", "hypertick-api", "GET /v1/symbols", "http.route", "pool.acquire"} {
		if !strings.Contains(traced.String(), want) {
			t.Errorf("no %s in what the collector got: %q", want, traced.String())
		}
	}
	if log := log.String(); strings.Contains(log, key) || !strings.Contains(log, `"key":"alice"`) || !strings.Contains(log, `"trace_id":"`) {
		t.Errorf("%s", log)
	}
}

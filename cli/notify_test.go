package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
	"github.com/hypertick/hypertick/notify"
)

const (
	signingEnv               = "HYPERTICK_WEBHOOK_SECRET"
	signing    notify.Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// TestNotify sends a test message, then runs the notifier on a channel of a file and
// one of the environment, lets one notification fail permanently, and retries it.
func TestNotify(t *testing.T) {
	ctx := wait.Context(t, 2*time.Minute)
	var refuse atomic.Bool
	got := make(chan string, 100)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = notify.Verify(r.Header, body, signing, time.Now())
		}
		if err != nil {
			t.Error(err)
		}
		if refuse.Load() {
			w.WriteHeader(http.StatusGone)
			return
		}
		got <- r.Header.Get("Idempotency-Key")
	}))
	defer hook.Close()
	t.Setenv("HYPERTICK_WEBHOOK_URL", hook.URL+"/secret-path")
	t.Setenv(signingEnv, string(signing))
	file := filepath.Join(t.TempDir(), "channels.yaml")
	if err := os.WriteFile(file, []byte("channels: [{name: ops, kind: webhook, url_env: HYPERTICK_WEBHOOK_URL, secret_env: "+signingEnv+"}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HYPERTICK_CHANNELS_FILE", file)
	t.Setenv("HYPERTICK_EMAIL_TO", "") // as compose sets what is left empty

	for args, want := range map[string]string{
		"--test ops --allow-private-targets":         "ok: ops accepted the test",
		"--test webhook --allow-targets 127.0.0.0/8": "ok: webhook accepted the test",
	} {
		if code, out, errOut := run(ctx, append([]string{"notify"}, strings.Fields(args)...)...); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: %d %q %q", args, code, out, errOut)
		}
		if key := <-got; !strings.HasPrefix(key, "test/") {
			t.Errorf("%s: got %s", args, key)
		}
	}
	for args, want := range map[string]string{
		"--test ops":                            "127.0.0.1 is not public",
		"--test nobody":                         "want one of ops, webhook",
		"--test ops --allow-targets 10.0.0.0/8": "--allow-targets",
	} {
		code, out, errOut := run(ctx, append([]string{"notify"}, strings.Fields(args)...)...)
		if code != 1 || out != "" || !strings.Contains(errOut, want) || strings.Contains(errOut, "secret-path") {
			t.Errorf("%s: %d %q %q, want 1 and %q", args, code, out, errOut, want)
		}
	}

	d := dbtest.New(t)
	url := d.URLAs(t, "hypertick_operator")
	write := func(key, channel string) {
		t.Helper()
		if _, err := d.Pool.Exec(ctx, `INSERT INTO alert.outbox (key, channel, payload) VALUES ($1, $2, '{"kind": "opened", "rule": "r", "rule_id": 1, "severity": "info", "symbol": "A", "message": "A rose", "count": 1}')`, key, channel); err != nil {
			t.Fatal(err)
		}
	}
	listed := func() []map[string]any {
		t.Helper()
		code, out, errOut := run(ctx, "outbox", "list", "--database-url", url, "--json")
		if code != 0 {
			t.Fatalf("outbox list: %d %s", code, errOut)
		}
		var all []map[string]any
		for line := range strings.Lines(out) {
			var one map[string]any
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatal(err)
			}
			all = append(all, one)
		}
		return all
	}
	var log lines
	running, stop := context.WithCancel(ctx)
	done := make(chan int, 1)
	go func() {
		done <- runTo(running, &log, "notify", "--database-url", url, "--allow-private-targets", "--notify-metrics-listen", "127.0.0.1:0")
	}()
	defer func() {
		stop()
		if code := <-done; code != 0 {
			t.Errorf("exit code %d: %s", code, log.String())
		}
		if strings.Contains(log.String(), "secret-path") {
			t.Errorf("the log holds the address: %s", log.String())
		}
	}()
	write("one", "ops")
	write("two", "webhook")
	if a, b := <-got, <-got; a+b != "onetwo" && a+b != "twoone" {
		t.Errorf("got %s and %s", a, b)
	}
	wait.Equal(t, "both are sent", 0, func() int { return len(listed()) })

	refuse.Store(true)
	write("three", "ops")
	wait.Until(t, "three has failed permanently", func() bool { all := listed(); return len(all) == 1 && all[0]["state"] == "dead" })
	one := listed()[0]
	if one["key"] != "three" || one["channel"] != "ops" || one["attempts"] != 1.0 || one["message"] != "A rose" || !strings.Contains(one["error"].(string), "410") {
		t.Errorf("listed: %v", one)
	}
	id := strconv.FormatFloat(one["id"].(float64), 'f', -1, 64)
	if code, out, _ := run(ctx, "outbox", "list", "--database-url", url); code != 0 || !strings.Contains(out, id+"   ops ") || !strings.Contains(out, "410 Gone") {
		t.Errorf("as a table: %d %s", code, out)
	}
	if code, out, _ := run(ctx, "outbox", "list", "--database-url", url, "--channel", "webhook", "--json"); code != 0 || out != "" {
		t.Errorf("of another channel: %d %s", code, out)
	}
	refuse.Store(false)
	if code, out, errOut := run(ctx, "outbox", "retry", "--database-url", url, "--channel", "webhook", id); code != 1 || out != "0 to retry\n" {
		t.Errorf("retry of another channel: %d %q %q", code, out, errOut)
	}
	if code, out, errOut := run(ctx, "outbox", "retry", "--database-url", url, id); code != 0 || out != "1 to retry\n" {
		t.Errorf("retry: %d %q %q", code, out, errOut)
	}
	if key := <-got; key != "three" {
		t.Errorf("got %s", key)
	}
	wait.Equal(t, "three is sent", 0, func() int { return len(listed()) })
	if code, _, errOut := run(ctx, "outbox", "retry", "--database-url", url, id); code != 1 || !strings.Contains(errOut, "were sent") {
		t.Errorf("retry of what was sent: %d %q", code, errOut)
	}
}

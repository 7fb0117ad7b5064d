package cli_test

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/hypertick/hypertick/cli"
)

// asCommand makes this test binary the hypertick command, so that tests can start
// and kill it.
const asCommand = "HYPERTICK_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := cli.Main(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	if dir := os.Getenv(brokerDir); dir != "" {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		code := runBroker(ctx, dir, os.Args[1:], os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

// run runs the command in this process.
func run(ctx context.Context, args ...string) (code int, out, errOut string) {
	var o, e bytes.Buffer
	code = cli.Main(ctx, args, &o, &e)
	return code, o.String(), e.String()
}

// runTo runs the command in this process and logs to w.
func runTo(ctx context.Context, w io.Writer, args ...string) int {
	return cli.Main(ctx, args, io.Discard, w)
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	const url = "postgres://nobody@127.0.0.1:1/none"
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, "nonsense"},
		{[]string{"migrate"}, "--database-url"},
		{[]string{"migrate", "--database-url", url, "--dir", "/does/not/exist"}, "/does/not/exist"},
		{[]string{"migrate", "--database-url", url, "--down-to", "-1"}, "down-to"},
		{[]string{"retention", "--database-url", url, "--ticks", "90"}, "--ticks"},
		{[]string{"retention", "--database-url", url, "--ticks", "1h"}, "at least 1d"},
		{[]string{"simulate", "--rate", "0"}, "rate"},
		{[]string{"simulate", "--symbols", "10001"}, "10000"},
		{[]string{"simulate", "--history", "soon"}, "--history"},
		{[]string{"replay"}, "--file"},
		{[]string{"replay", "--file", "/does/not/exist.csv"}, "--file"},
		{[]string{"replay", "--file", "x.csv", "--timezone", "Mars/Olympus"}, "--timezone"},
		{[]string{"replay", "--file", "x.csv", "--kind", "waffles"}, "--kind"},
		{[]string{"api", "--database-url", url, "--listen", "0.0.0.0:0"}, "--insecure"},
		{[]string{"demo", "--listen", "0.0.0.0:0"}, "--api-keys-file"},
		{[]string{"api", "--database-url", url, "--listen", "nowhere"}, "--listen"},
		{[]string{"api", "--database-url", url, "--rate-limit", "-1"}, "--rate-limit"},
		{[]string{"api", "--database-url", url, "--trusted-proxies", "10.0.0.1"}, "--trusted-proxies"},
		{[]string{"api", "--database-url", url, "--operator-url", "postgres://operator@127.0.0.1:nowhere/x"}, "--operator-url"},
		{[]string{"key", "new"}, "--name"},
		{[]string{"notify"}, "--database-url"},
		{[]string{"notify", "--database-url", url, "--channels-file", "/does/not/exist"}, "--channels-file"},
		{[]string{"notify", "--database-url", url, "--allow-targets", "10.0.0.1"}, "--allow-targets"},
		{[]string{"notify", "--database-url", url, "--send-timeout", "11s"}, "timeout"},
		{[]string{"notify", "--database-url", url, "--send-timeout", "0s"}, "--send-timeout"},
		{[]string{"notify", "--database-url", url, "--send-tries", "0"}, "--send-tries"},
		{[]string{"demo", "--send-tries", "-1"}, "--send-tries"},
		{[]string{"outbox", "list"}, "--database-url"},
		{[]string{"outbox", "list", "--database-url", url, "--state", "lost"}, "--state"},
		{[]string{"outbox", "list", "--database-url", url, "--limit", "0"}, "--limit"},
		{[]string{"outbox", "retry", "--database-url", url}, "--all"},
		{[]string{"outbox", "retry", "--database-url", url, "--all", "7"}, "--all"},
		{[]string{"outbox", "retry", "--database-url", url, "seven"}, "seven"},
		{[]string{"api", "--log-level", "loud", "--database-url", url}, "--log-level"},
	} {
		code, _, errOut := run(context.Background(), c.args...)
		if code != 2 || strings.Count(errOut, "\n") != 1 || !strings.Contains(errOut, c.want) {
			t.Errorf("%q: exit code %d, want 2 and one line that has %q, got %q", c.args, code, c.want, errOut)
		}
	}
}

func TestFailures(t *testing.T) {
	t.Parallel()
	code, _, errOut := run(context.Background(), "migrate", "--database-url", "postgres://nobody:secret@127.0.0.1:1/none")
	if code != 1 || strings.Contains(errOut, "secret") {
		t.Errorf("exit code %d, %q; want 1 and no password", code, errOut)
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, out, _ := run(context.Background())
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, command := range []string{"migrate", "simulate", "replay", "ingest", "api", "demo", "retention", "notify", "outbox"} {
		if !strings.Contains(out, "\n  "+command) {
			t.Errorf("help does not list %s", command)
		}
		code, help, _ := run(context.Background(), command, "--help")
		if code != 0 || !strings.Contains(help, "($HYPERTICK_") {
			t.Errorf("help of %s: exit code %d, want it to name the variables:\n%s", command, code, help)
		}
	}
}

// TestFlagFromEnvironment changes the environment, so it does not run in parallel.
func TestFlagFromEnvironment(t *testing.T) {
	t.Setenv("HYPERTICK_DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")
	if code, _, errOut := run(context.Background(), "retention"); code != 1 {
		t.Errorf("exit code %d, %s; want 1 from a connection to the database", code, errOut)
	}
}

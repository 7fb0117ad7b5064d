package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/cli"
	"github.com/hypertick/hypertick/internal/wait"
)

type statusPart struct{ Component, Part, State, Detail, Error, Action string }

type status struct {
	State string
	Data  []statusPart
}

// status runs hypertick status on the demo.
func (d *demo) status(ctx context.Context) (s status, code int, out string) {
	var stdout, stderr bytes.Buffer
	code = cli.Main(ctx, []string{"status", "--json", "--deadline", "4s", "--database-url", "postgres://hypertick_reader@" + d.database + "/postgres?sslmode=disable",
		"--brokers", d.broker, "--api", "http://" + d.api}, &stdout, &stderr)
	_ = json.Unmarshal(stdout.Bytes(), &s)
	return s, code, stdout.String() + stderr.String()
}

// part returns the first part of a component.
func (s status) part(component string) statusPart {
	for _, p := range s.Data {
		if p.Component == component {
			return p
		}
	}
	return statusPart{}
}

// TestStatusOfNothing checks that each part that does not answer has failed, with an
// action.
func TestStatusOfNothing(t *testing.T) {
	t.Parallel()
	d := &demo{api: freeAddr(t), database: freeAddr(t), broker: freeAddr(t)}
	ctx := wait.Context(t, time.Minute)
	s, code, out := d.status(ctx)
	if code != 1 || s.State != "failed" || len(s.Data) != 3 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	for _, component := range []string{"database", "broker", "api"} {
		if p := s.part(component); p.State != "failed" || p.Error == "" || p.Action == "" {
			t.Errorf("%s: %+v", component, p)
		}
	}
	// The same as a table.
	var stdout, stderr bytes.Buffer
	code = cli.Main(ctx, []string{"status", "--database-url", "postgres://hypertick_reader:hush@" + d.database + "/postgres", "--brokers", d.broker, "--api", ""}, &stdout, &stderr)
	if text := stdout.String(); code != 1 || strings.Count(text, "failed ") < 2 || strings.Count(text, "-> ") != 2 || !strings.Contains(text, "Something has failed.") || strings.Contains(text+stderr.String(), "hush") {
		t.Errorf("exit code %d:\n%s%s", code, text, &stderr)
	}
	for _, args := range [][]string{{"--every", "0s"}, {"--deadline", "-1s"}, {"--api", "ftp://x"}, {"--database-url", "mysql://x"}} {
		stderr.Reset()
		if code := cli.Main(ctx, append([]string{"status"}, args...), &stdout, &stderr); code != 2 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v: exit code %d, %s", args, code, &stderr)
		}
	}
}

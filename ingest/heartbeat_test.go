package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/internal/wait"
)

// TestHeartbeat checks what the view pipeline shows while ingest runs, while the
// broker is down, and after ingest has stopped.
func TestHeartbeat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.start(func(c *Config) { c.Instance = "alive" })
	part := func(name string) db.PipelineRow {
		rows, err := db.New(r.db.Pool).Pipeline(r.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range rows {
			if strings.HasSuffix(p.Component+" "+p.Part, name) {
				return p
			}
		}
		return db.PipelineRow{}
	}
	await := func(name, state, text string) {
		t.Helper()
		wait.For(t, fmt.Sprintf("%s to be %s with %q", name, state, text), func() (any, bool) {
			p := part(name)
			return p, p.State == state && strings.Contains(p.Detail+p.Error, text)
		})
	}
	await("/alive", "ok", "1 members, 4 partitions")
	await("broker ", "ok", "as ingest sees it")
	r.fake().Close()
	await("/alive", "failed", "broker: ")
	await("broker ", "failed", "broker: ")
	in.cancel()
	if err := <-in.done; err != nil {
		t.Fatal(err)
	}
	if p := part("/alive"); p.Component != "" {
		t.Errorf("after ingest has stopped: got %+v, want no row", p)
	}
	in.done <- nil
}

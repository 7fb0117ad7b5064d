package ingest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/internal/wait"
)

// TestIngestBeats: the pipeline in the database knows that ingest works, that
// the broker is gone, that it is back, and that ingest was stopped.
func TestIngestBeats(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	in := r.start(func(c *Config) { c.Instance = "beating" })
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
	await("/beating", "ok", "1 members, 4 partitions")
	await("broker ", "ok", "as ingest sees it")
	r.broker.Close()
	await("/beating", "failed", "broker: ")
	await("broker ", "failed", "broker: ")
	in.cancel()
	if err := <-in.done; err != nil {
		t.Fatal(err)
	}
	if p := part("/beating"); p.Component != "" {
		t.Errorf("after it was stopped: %+v, want nothing", p)
	}
	in.done <- nil
}

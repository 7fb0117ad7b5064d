package api

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// TestPipelineAnswer reads the pipeline, and reads it again without a database.
func TestPipelineAnswer(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	c := serve(t, Config{Pool: reader(t, d)})
	look := func() (p Pipeline, parts map[string]Part) {
		t.Helper()
		a := c.get("/v1/pipeline")
		if a.status != http.StatusOK || a.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", a.status, a.header, a.body)
		}
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Fatal(err)
		}
		parts = map[string]Part{}
		for _, x := range p.Data {
			parts[x.Component] = x
		}
		return p, parts
	}
	// Nothing but the database runs. Its first answer may take longer than a request may.
	var p Pipeline
	var parts map[string]Part
	wait.For(t, "the pipeline from the database", func() (any, bool) {
		p, parts = look()
		return p, parts["database"].State == "ok"
	})
	if p.State != "failed" || parts["database"].State != "ok" || parts["api"].State != "ok" || parts["ingest"].State != "failed" || parts["ingest"].Action == nil || len(p.Data) < 20 {
		t.Errorf("at first: %+v", p)
	}
	if d.Embedded == nil {
		return // the server is not ours to stop
	}
	if err := d.Embedded.Close(); err != nil {
		t.Fatal(err)
	}
	p, parts = look()
	if p.State != "failed" || parts["database"].State != "failed" || parts["database"].Action == nil || parts["api"].State != "ok" || len(p.Data) != 2 {
		t.Errorf("without a database: %+v", p)
	}
}

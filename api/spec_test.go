package api

import (
	"flag"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// specFile is the committed contract: what changes in it changes for clients.
const specFile = "../docs/openapi.yaml"

var update = flag.Bool("update", false, "write "+specFile)

// noDatabase is a pool whose database does not answer.
func noDatabase(t testing.TB) *pgxpool.Pool {
	t.Helper()
	pool, err := db.NewPool("postgres://nobody@127.0.0.1:1/none?connect_timeout=1", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// unreachable is a server that is not run and has no database.
func unreachable(t testing.TB, cfg Config) *Server {
	t.Helper()
	cfg.Pool, cfg.Listen, cfg.Log = noDatabase(t), "127.0.0.1:0", dbtest.Log(t)
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// TestSpec holds the description against the committed one.
func TestSpec(t *testing.T) {
	got, err := unreachable(t, Config{}).specYAML()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(specFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the API is not what %s says, from %s on; when that is meant: make openapi", specFile, difference(string(want), string(got)))
	}
}

// difference is the first line in which two texts differ.
func difference(a, b string) string {
	as, bs := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(as), len(bs)) {
		if as[i] != bs[i] {
			return "line " + as[i] + " (now " + bs[i] + ")"
		}
	}
	return "the end of the shorter"
}

// operations are those of every path.
func operations(s *Server) []*huma.Operation {
	var out []*huma.Operation
	for _, item := range s.OpenAPI().Paths {
		for _, op := range []*huma.Operation{item.Get, item.Post, item.Patch, item.Put, item.Delete} {
			if op != nil {
				out = append(out, op)
			}
		}
	}
	return out
}

// TestSpecIsComplete checks that everything is described.
func TestSpecIsComplete(t *testing.T) {
	s := unreachable(t, Config{})
	ids := map[string]bool{}
	for _, op := range operations(s) {
		path := op.Method + " " + op.Path
		if op.Summary == "" || op.Description == "" || op.OperationID == "" || len(op.Tags) == 0 || ids[op.OperationID] {
			t.Errorf("%s is not described", path)
			continue
		}
		ids[op.OperationID] = true
		for _, p := range op.Parameters {
			if p.Description == "" || p.Schema == nil {
				t.Errorf("%s: %s is not described", path, p.Name)
			}
		}
		guarded := strings.HasPrefix(op.Path, "/v1/")
		for _, status := range []string{"401", "429"} {
			if (op.Responses[status] != nil) != guarded {
				t.Errorf("%s: %s described: %v", path, status, op.Responses[status] != nil)
			}
		}
		if op.Responses["default"] == nil || (len(op.Security) > 0) != guarded {
			t.Errorf("%s: default or security", path)
		}
	}
	for name, schema := range s.OpenAPI().Components.Schemas.Map() {
		for field, p := range schema.Properties {
			// Those of problems are huma's own.
			if p.Description == "" && !strings.HasPrefix(name, "Problem") && name != "ErrorDetail" {
				t.Errorf("%s.%s is not described", name, field)
			}
		}
	}
	for _, path := range []string{"/v1/symbols", "/v1/symbols/{symbol}/ticks", "/v1/symbols/{symbol}/candles", "/v1/alerts/rules", "/livez", "/readyz"} {
		if s.OpenAPI().Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}

// TestSpecIsServed gets the description from a server.
func TestSpecIsServed(t *testing.T) {
	c := serve(t, Config{Pool: noDatabase(t)})
	want, err := os.ReadFile(specFile)
	if err != nil {
		t.Fatal(err)
	}
	a := c.get("/openapi.yaml")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/openapi+yaml" || string(a.body) != string(want) {
		t.Errorf("/openapi.yaml: %d %v", a.status, a.header)
	}
	a = c.get("/openapi.json")
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/openapi+json" || !strings.HasPrefix(string(a.body), `{"`) || !strings.Contains(string(a.body), `"openapi":"3.1.0"`) {
		t.Errorf("/openapi.json: %d %v", a.status, a.header)
	}
}

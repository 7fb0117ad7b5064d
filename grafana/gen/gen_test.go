package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// root is grafana/ as seen from here.
const root = ".."

// load decodes the committed dashboards as strictly as the SDK can.
func load(t testing.TB) map[string]dashboard.Dashboard {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "dashboards", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]dashboard.Dashboard)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var d dashboard.Dashboard
		if err := strict(&d, b); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if err := d.Validate(); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		out[strings.TrimSuffix(filepath.Base(path), ".json")] = d
	}
	if len(out) != len(dashboards) {
		t.Fatalf("got %d dashboards, want %d", len(out), len(dashboards))
	}
	return out
}

// strict decodes with unknown fields refused. The SDK returns its list of errors
// even where it is empty, and then leaves the panels out.
func strict(d *dashboard.Dashboard, b []byte) error {
	err := new(dashboard.Dashboard).UnmarshalJSONStrict(b)
	var list cog.BuildErrors
	if err == nil || errors.As(err, &list) && len(list) == 0 {
		return json.Unmarshal(b, d)
	}
	return err
}

func TestCurrent(t *testing.T) {
	files, err := generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("grafana/%s is not what grafana/gen writes; run make dashboards", name)
		}
	}
}

func TestUnknownFieldRefused(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "dashboards", "symbol.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{`"rawSql"`, `"gridPos"`, `"candleStyle"`, `"schemaVersion"`} {
		bad := bytes.Replace(b, []byte(at), []byte(`"surplus": 1, `+at), 1)
		var d dashboard.Dashboard
		if err := strict(&d, bad); err == nil {
			t.Errorf("a field beside %s that nobody knows was accepted", at)
		}
	}
}

// unitless are panels that show no number of their own.
var unitless = []string{"alertlist"}

func TestLint(t *testing.T) {
	uids := map[string]bool{}
	for name, d := range load(t) {
		if d.Uid == nil || d.Title == nil || d.Description == nil || uids[*d.Uid] {
			t.Errorf("%s: want a uid of its own, a title and a description", name)
			continue
		}
		uids[*d.Uid] = true
		if d.Refresh == nil || *d.Refresh == "" || d.Time == nil {
			t.Errorf("%s: want a refresh and a time range", name)
		}
		if len(d.Links) == 0 {
			t.Errorf("%s: want links to the other dashboards", name)
		}
		var taken []dashboard.GridPos
		titles := map[string]bool{}
		for _, p := range d.Panels {
			lintPanel(t, name, p.Panel)
			if titles[*p.Panel.Title] {
				t.Errorf("%s: two panels are named %q", name, *p.Panel.Title)
			}
			titles[*p.Panel.Title] = true
			g := *p.Panel.GridPos
			if g.W == 0 || g.H == 0 || g.X+g.W > 24 {
				t.Errorf("%s: %s: does not fit the grid: %+v", name, *p.Panel.Title, g)
			}
			for _, o := range taken {
				if g.X < o.X+o.W && o.X < g.X+g.W && g.Y < o.Y+o.H && o.Y < g.Y+g.H {
					t.Errorf("%s: %s overlaps another panel: %+v and %+v", name, *p.Panel.Title, g, o)
				}
			}
			taken = append(taken, g)
		}
	}
}

func lintPanel(t *testing.T, name string, p *dashboard.Panel) {
	t.Helper()
	if p == nil || p.Title == nil || *p.Title == "" {
		t.Fatalf("%s: a panel has no title", name)
	}
	if p.Description == nil || len(*p.Description) < 20 {
		t.Errorf("%s: %s: want a description", name, *p.Title)
	}
	if slices.Contains(unitless, p.Type) {
		return
	}
	if _, known := cog.ConfigForPanelcfgVariant(p.Type); !known {
		t.Errorf("%s: %s: panels of the type %s are not registered: they are not decoded strictly", name, *p.Title, p.Type)
	}
	if p.FieldConfig == nil || p.FieldConfig.Defaults.Unit == nil || *p.FieldConfig.Defaults.Unit == "" {
		t.Errorf("%s: %s: want a unit", name, *p.Title)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%s: %s: want a query", name, *p.Title)
	}
}

// TestDatasource finds every reference to a datasource in the files themselves.
func TestDatasource(t *testing.T) {
	for name := range load(t) {
		b, err := os.ReadFile(filepath.Join(root, "dashboards", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var tree any
		if err := json.Unmarshal(b, &tree); err != nil {
			t.Fatal(err)
		}
		found := 0
		walk(tree, func(key string, v any) {
			if key != "datasource" {
				return
			}
			found++
			ref, _ := v.(map[string]any)
			// Grafana's own name for the alerts of the dashboard itself.
			if ref["uid"] == "-- Grafana --" && ref["type"] == "grafana" {
				return
			}
			if ref["uid"] != "hypertick" || ref["type"] != sourceType {
				t.Errorf("%s: datasource %v", name, v)
			}
		})
		if found < 3 {
			t.Errorf("%s: found %d datasources", name, found)
		}
	}
}

func walk(v any, visit func(key string, v any)) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			visit(k, x)
			walk(x, visit)
		}
	case []any:
		for _, x := range v {
			walk(x, visit)
		}
	}
}

// TestNoSymbolInside: what is shown is chosen, never written down.
func TestNoSymbolInside(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "*", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Glob(filepath.Join(root, "provisioning", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range append(paths, rules...) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range append(marketSymbols(), "BTC-USDT", "ETH-USDT") {
			if regexp.MustCompile(`\b` + regexp.QuoteMeta(s) + `\b`).Match(b) {
				t.Errorf("%s names the symbol %s", path, s)
			}
		}
	}
}

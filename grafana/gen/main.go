// Command gen writes Grafana's dashboards and alert rules. What it writes is
// committed, so Grafana needs no Go; a test checks that it is current.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	dir := flag.String("dir", "grafana", "folder to write into")
	flag.Parse()
	files, err := generate()
	if err == nil {
		err = write(*dir, files)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// generate returns every file by its path below grafana/.
func generate() (map[string][]byte, error) {
	files := make(map[string][]byte)
	panels := make(map[panelKey]uint32)
	for name, build := range dashboards {
		d, err := build().Build()
		if err != nil {
			return nil, fmt.Errorf("build dashboard %s: %w", name, err)
		}
		// Grafana 10.4 knows version 39 of the schema; later ones migrate from it.
		d.SchemaVersion = 39
		for i := range d.Panels {
			p := d.Panels[i].Panel
			p.Id = cog.ToPtr(uint32(i + 1))
			panels[panelKey{*d.Uid, *p.Title}] = *p.Id
		}
		b, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("encode dashboard %s: %w", name, err)
		}
		files[filepath.Join("dashboards", name+".json")] = append(b, '\n')
	}
	rules, err := encodeRules(panels)
	if err != nil {
		return nil, err
	}
	files[filepath.Join("provisioning", "alerting", "rules.yaml")] = rules
	return files, nil
}

func write(dir string, files map[string][]byte) error {
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("create folder: %w", err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
	}
	return nil
}

// dashboards by the name of their file.
var dashboards = map[string]func() *dashboard.DashboardBuilder{
	"overview": overview,
	"symbol":   symbol,
	"lab":      lab,
	"alerts":   alerts,
	"pipeline": pipeline,
}

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestProvisioning checks that everything that the files name exists.
func TestProvisioning(t *testing.T) {
	var points struct {
		APIVersion    int `yaml:"apiVersion"`
		ContactPoints []struct {
			OrgID     int    `yaml:"orgId"`
			Name      string `yaml:"name"`
			Receivers []struct {
				UID                   string         `yaml:"uid"`
				Type                  string         `yaml:"type"`
				DisableResolveMessage bool           `yaml:"disableResolveMessage"`
				Settings              map[string]any `yaml:"settings"`
			} `yaml:"receivers"`
		} `yaml:"contactPoints"`
	}
	decodeYAML(t, "alerting/contact-points.yaml", &points)
	var names, types []string
	for _, p := range points.ContactPoints {
		names = append(names, p.Name)
		for _, r := range p.Receivers {
			types = append(types, r.Type)
		}
	}
	if !slices.Contains(types, "webhook") || !slices.Contains(types, "email") {
		t.Errorf("contact points are of types %v", types)
	}

	var mutes struct {
		APIVersion int `yaml:"apiVersion"`
		MuteTimes  []struct {
			OrgID         int              `yaml:"orgId"`
			Name          string           `yaml:"name"`
			TimeIntervals []map[string]any `yaml:"time_intervals"`
		} `yaml:"muteTimes"`
	}
	decodeYAML(t, "alerting/mute-timings.yaml", &mutes)
	var timings []string
	for _, m := range mutes.MuteTimes {
		timings = append(timings, m.Name)
	}

	type route struct {
		Receiver          string     `yaml:"receiver"`
		ObjectMatchers    [][]string `yaml:"object_matchers"`
		MuteTimeIntervals []string   `yaml:"mute_time_intervals"`
		Continue          bool       `yaml:"continue"`
		GroupWait         string     `yaml:"group_wait"`
		RepeatInterval    string     `yaml:"repeat_interval"`
	}
	var policies struct {
		APIVersion int `yaml:"apiVersion"`
		Policies   []struct {
			OrgID          int      `yaml:"orgId"`
			Receiver       string   `yaml:"receiver"`
			GroupBy        []string `yaml:"group_by"`
			GroupWait      string   `yaml:"group_wait"`
			GroupInterval  string   `yaml:"group_interval"`
			RepeatInterval string   `yaml:"repeat_interval"`
			Routes         []route  `yaml:"routes"`
		} `yaml:"policies"`
	}
	decodeYAML(t, "alerting/policies.yaml", &policies)
	for _, p := range policies.Policies {
		for _, r := range append(p.Routes, route{Receiver: p.Receiver}) {
			if !slices.Contains(names, r.Receiver) {
				t.Errorf("policy: there is no contact point %s", r.Receiver)
			}
			for _, m := range r.MuteTimeIntervals {
				if !slices.Contains(timings, m) {
					t.Errorf("policy: there is no mute timing %s", m)
				}
			}
		}
	}

	var source struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name           string            `yaml:"name"`
			UID            string            `yaml:"uid"`
			Type           string            `yaml:"type"`
			Access         string            `yaml:"access"`
			IsDefault      bool              `yaml:"isDefault"`
			Editable       bool              `yaml:"editable"`
			URL            string            `yaml:"url"`
			User           string            `yaml:"user"`
			Database       string            `yaml:"database"`
			JSONData       map[string]any    `yaml:"jsonData"`
			SecureJSONData map[string]string `yaml:"secureJsonData"`
		} `yaml:"datasources"`
	}
	decodeYAML(t, "datasources/hypertick.yaml", &source)
	if s := source.Datasources; len(s) != 1 || s[0].UID != sourceUID || s[0].Type != sourceType || s[0].User != "hypertick_reader" ||
		s[0].JSONData["timescaledb"] != true || s[0].SecureJSONData["password"] != "$HYPERTICK_READER_PASSWORD" {
		t.Errorf("datasource: %+v", s)
	}
}

// TestFolderIsNamedByTitle checks that the dashboards ask for their folder as the
// alert rules do. With a uid, Grafana finds the rules' folder in the way and
// does not start.
func TestFolderIsNamedByTitle(t *testing.T) {
	var file struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name           string         `yaml:"name"`
			OrgID          int            `yaml:"orgId"`
			Type           string         `yaml:"type"`
			Folder         string         `yaml:"folder"`
			FolderUID      string         `yaml:"folderUid"`
			AllowUIUpdates bool           `yaml:"allowUiUpdates"`
			NoDeletion     bool           `yaml:"disableDeletion"`
			Update         int            `yaml:"updateIntervalSeconds"`
			Options        map[string]any `yaml:"options"`
		} `yaml:"providers"`
	}
	decodeYAML(t, "dashboards/hypertick.yaml", &file)
	if p := file.Providers; len(p) != 1 || p[0].Folder != ruleFolder || p[0].FolderUID != "" {
		t.Errorf("providers of dashboards: want one, of folder %q without a uid, got %+v", ruleFolder, p)
	}
}

// TestTemplatesAreDefined checks that the templates of messages exist, and
// that a dollar sign begins nothing but a variable of the environment.
func TestTemplatesAreDefined(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join(root, "provisioning", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(b)
		for _, m := range regexp.MustCompile(`\$\S*`).FindAllString(string(b), -1) {
			if !regexp.MustCompile(`^\$HYPERTICK_[A-Z_]+$`).MatchString(m) {
				t.Errorf("%s: Grafana would read %s as a variable of the environment", path, m)
			}
		}
	}
	for _, m := range regexp.MustCompile(`template "([a-z.]+)"`).FindAllStringSubmatch(all.String(), -1) {
		if !strings.Contains(all.String(), `define "`+m[1]+`"`) {
			t.Errorf("there is no template %s", m[1])
		}
	}
}

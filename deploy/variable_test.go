// Package deploy_test checks the files that deploy the stack. It needs no container
// engine: it resolves the compose files as an engine does, against the schema of the
// compose specification.
package deploy_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// variable matches the use of a variable in a compose file.
var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:?[-?+][^}]*)?\}`)

// TestVariables checks that the compose files use exactly the variables of
// .env.example: passwords with an error if missing, others with the default of
// .env.example.
func TestVariables(t *testing.T) {
	env := example(t)
	used := map[string]bool{"COMPOSE_PROFILES": true} // the engine's own
	for _, file := range []string{base, cluster} {
		b, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(b), -1) {
			name, modifier := m[1], m[2]
			used[name] = true
			value, known := env[name]
			switch {
			case !known:
				t.Errorf("%s uses %s, which .env.example does not have", file, name)
			case strings.HasSuffix(name, "_PASSWORD"):
				if !strings.HasPrefix(modifier, ":?") {
					t.Errorf("%s: %s must be refused when it is empty, got %s", file, name, m[0])
				}
			case modifier != ":-"+value:
				t.Errorf("%s: %s, but .env.example has %q", file, m[0], value)
			}
		}
	}
	for name := range env {
		if !used[name] {
			t.Errorf(".env.example has %s, which no compose file uses", name)
		}
	}
}

// TestNoPasswordNoStack checks that a missing password is an error of the whole stack.
func TestNoPasswordNoStack(t *testing.T) {
	for name := range example(t) {
		if !strings.HasSuffix(name, "_PASSWORD") {
			continue
		}
		for _, change := range []func(types.Mapping){
			func(env types.Mapping) { delete(env, name) },
			func(env types.Mapping) { env[name] = "" },
		} {
			env := example(t)
			change(env)
			_, err := load(t, env, base)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "make env") {
				t.Errorf("without %s: got %v, want an error that says what to do", name, err)
			}
		}
	}
}

// TestPasswordsGoWhereTheyBelong checks that each service has only the passwords that
// it needs.
func TestPasswordsGoWhereTheyBelong(t *testing.T) {
	want := map[string][]string{
		"POSTGRES_PASSWORD":           {"backup", "migrate", "timescaledb"},
		"HYPERTICK_WRITER_PASSWORD":   {"ingest", "migrate"},
		"HYPERTICK_READER_PASSWORD":   {"api", "grafana", "migrate"},
		"HYPERTICK_OPERATOR_PASSWORD": {"api", "migrate", "notify"},
		"GRAFANA_ADMIN_PASSWORD":      {"grafana"},
	}
	env := example(t)
	p := mustLoad(t, base)
	for name := range env {
		if !strings.HasSuffix(name, "_PASSWORD") {
			continue
		}
		var knows []string
		for service, s := range p.Services {
			for _, value := range s.Environment {
				if value != nil && strings.Contains(*value, env[name]) {
					knows = append(knows, service)
					break
				}
			}
			if strings.Contains(strings.Join(s.Command, " "), env[name]) {
				t.Errorf("%s: %s is in the command, which process lists show", service, name)
			}
		}
		slices.Sort(knows)
		if !slices.Equal(knows, want[name]) {
			t.Errorf("%s is known to %v, want %v", name, knows, want[name])
		}
	}
}

// reference reads the table in docs/deploy.md, which a test of cli keeps current, and
// returns the commands of each variable.
func reference(t *testing.T) map[string][]string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, "docs", "deploy.md"))
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]string{}
	for line := range strings.Lines(string(b)) {
		cells := strings.Split(line, "|")
		if name := strings.Trim(cells[min(1, len(cells)-1)], " `"); strings.HasPrefix(name, "HYPERTICK_") && len(cells) > 5 {
			known[name] = append(known[name], strings.Split(strings.TrimSpace(cells[4]), ", ")...)
		}
	}
	if len(known) < 20 {
		t.Fatalf("the table has only %d variables", len(known))
	}
	return known
}

// TestVariablesAreKnown checks that every HYPERTICK_ variable of a service is one of
// its command: a mistyped one would be ignored silently.
func TestVariablesAreKnown(t *testing.T) {
	known := reference(t)
	for name, s := range mustLoad(t, base, cluster).Services {
		if s.Build == nil {
			continue
		}
		for variable := range s.Environment {
			if !strings.HasPrefix(variable, "HYPERTICK_") {
				continue
			}
			if commands := known[variable]; !slices.Contains(commands, s.Command[0]) && !slices.Contains(commands, "all") {
				t.Errorf("%s: %s is no variable of hypertick %s, only of %v", name, variable, s.Command[0], commands)
			}
		}
	}
}

// TestGrafanaVariables checks that every variable that Grafana's provisioning reads is
// set: without a value Grafana does not start.
func TestGrafanaVariables(t *testing.T) {
	dir := filepath.Join(root, "grafana", "provisioning")
	env, read := mustLoad(t, base).Services["grafana"].Environment, 0
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, m := range provisioned.FindAllStringSubmatch(string(b), -1) {
			read++
			if value := env[m[1]]; value == nil || *value == "" {
				t.Errorf("%s reads %s, which the service grafana does not get", path, m[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if read == 0 {
		t.Error("the provisioning reads nothing: the password of the reader at least")
	}
}

// provisioned matches an environment variable in a provisioning file.
var provisioned = regexp.MustCompile(`\$\{?((?:HYPERTICK|GF)_[A-Z_]+)`)

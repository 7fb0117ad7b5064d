package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// workflow has the fields of .github/workflows/*.yml that the tests check.
type workflow struct {
	On          yaml.Node         `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Jobs        map[string]job    `yaml:"jobs"`
}

type job struct {
	RunsOn         string            `yaml:"runs-on"`
	TimeoutMinutes int               `yaml:"timeout-minutes"`
	Permissions    map[string]string `yaml:"permissions"`
	Env            map[string]string `yaml:"env"`
	Container      struct {
		Image string `yaml:"image"`
	} `yaml:"container"`
	Strategy struct {
		Matrix map[string][]string `yaml:"matrix"`
	} `yaml:"strategy"`
	Services map[string]struct {
		Image   string            `yaml:"image"`
		Env     map[string]string `yaml:"env"`
		Options string            `yaml:"options"`
		Command string            `yaml:"command"`
	} `yaml:"services"`
	Steps []struct {
		Uses string            `yaml:"uses"`
		Run  string            `yaml:"run"`
		Env  map[string]string `yaml:"env"`
		With map[string]string `yaml:"with"`
	} `yaml:"steps"`
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// readYAML reads a file of the repository into v.
func readYAML(t *testing.T, name string, v any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(readFile(t, name)), v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

const ci = ".github/workflows/ci.yml"

// action matches an action with a full version.
var action = regexp.MustCompile(`^[\w-]+/[\w/-]+@v\d+\.\d+\.\d+$`)

// TestWorkflow checks that CI may only read, that its actions and images are pinned,
// and that the commands it runs exist.
func TestWorkflow(t *testing.T) {
	t.Parallel()
	var w workflow
	readYAML(t, ci, &w)
	if len(w.Permissions) != 1 || w.Permissions["contents"] != "read" {
		t.Errorf("permissions: want contents: read and no more, got %v", w.Permissions)
	}
	targets := makeTargets(t)
	golang, node := baseVersion(t, "golang"), baseVersion(t, "node")
	for name, j := range w.Jobs {
		if j.Permissions != nil {
			t.Errorf("%s: permissions are the workflow's, got %v of its own", name, j.Permissions)
		}
		if j.RunsOn == "" || strings.HasSuffix(j.RunsOn, "-latest") || j.TimeoutMinutes == 0 {
			t.Errorf("%s: want a runner of one version and a timeout, got %q and %d minutes", name, j.RunsOn, j.TimeoutMinutes)
		}
		if want := "golang:" + golang + "-"; !strings.HasPrefix(j.Container.Image, want) {
			t.Errorf("%s: want an image that begins with %s, as in the Dockerfile, got %s", name, want, j.Container.Image)
		}
		for _, step := range j.Steps {
			if step.Uses != "" && !action.MatchString(step.Uses) {
				t.Errorf("%s: want %s pinned to a version such as v1.2.3", name, step.Uses)
			}
			if got := step.With["node-version"]; got != "" && got != node {
				t.Errorf("%s: want node %s, as in the Dockerfile, got %s", name, node, got)
			}
			for line := range strings.Lines(step.Run) {
				checkCommand(t, name, strings.Fields(line), targets)
			}
		}
	}
}

// checkCommand checks that a command exists.
func checkCommand(t *testing.T, job string, words, targets []string) {
	t.Helper()
	switch {
	case len(words) == 0, words[0] == "git", words[0] == "apt-get":
	case words[0] == "make":
		for _, target := range words[1:] {
			if !strings.Contains(target, "=") && !slices.Contains(targets, target) {
				t.Errorf("%s: make %s: the Makefile has no such target, only %v", job, target, targets)
			}
		}
	case strings.Contains(words[0], "/"):
		if info, err := os.Stat(filepath.Join(root, words[0])); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s: %s cannot be run: %v", job, words[0], err)
		}
	default:
		t.Errorf("%s: %q: want a target of make or a script of the repository, so that it can be run here too", job, strings.Join(words, " "))
	}
}

// TestLocalCI checks that the targets that .ci/run runs exist.
func TestLocalCI(t *testing.T) {
	t.Parallel()
	targets, n := makeTargets(t), 0
	for _, m := range regexp.MustCompile(`(?m)^[^#\n]*\bmake ([a-z-]+)`).FindAllStringSubmatch(readFile(t, ".ci/run"), -1) {
		if n++; !slices.Contains(targets, m[1]) {
			t.Errorf(".ci/run: make %s: the Makefile has no such target", m[1])
		}
	}
	if n < 4 {
		t.Errorf(".ci/run: want checks, contract, linters and tests, got %d targets", n)
	}
}

func makeTargets(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):`).FindAllStringSubmatch(readFile(t, "Makefile"), -1) {
		out = append(out, m[1])
	}
	return out
}

// baseVersion returns the version of a base image in the Dockerfile.
func baseVersion(t *testing.T, image string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^FROM ` + image + `:([\d.]+)-`).FindStringSubmatch(readFile(t, "Dockerfile"))
	if m == nil {
		t.Fatalf("the Dockerfile has no FROM %s:VERSION-", image)
	}
	return m[1]
}

// TestWorkflowServers checks that the suite runs on the oldest TimescaleDB without a
// warning, on the TimescaleDB and Redpanda of docker compose, and on Apache Kafka.
func TestWorkflowServers(t *testing.T) {
	t.Parallel()
	var w workflow
	readYAML(t, ci, &w)
	j := w.Jobs["servers"]
	p := mustLoad(t, base)
	versions := j.Strategy.Matrix["timescaledb"]
	_, newest, _ := strings.Cut(p.Services["timescaledb"].Image, ":")
	if len(versions) != 2 || !strings.HasPrefix(versions[0], "2.29.2-pg17") || versions[1] != newest {
		t.Errorf("timescaledb: want 2.29.2-pg17 and %s, as in docker-compose.yml, got %v", newest, versions)
	}
	if got, want := j.Services["redpanda"].Image, p.Services["redpanda"].Image; got != want {
		t.Errorf("redpanda: want %s, as in docker-compose.yml, got %s", want, got)
	}
	for name, s := range j.Services {
		image := strings.ReplaceAll(s.Image, "${{ matrix.timescaledb }}", newest)
		if !pinned.MatchString(image) {
			t.Errorf("%s: image %s is not pinned to a version", name, image)
		}
		if !strings.Contains(s.Options, "--health-cmd") {
			t.Errorf("%s: has no health check, so the tests would not wait for it", name)
		}
	}
	if got := j.Env[dbtest.ServerEnv]; !strings.Contains(got, "@timescaledb:5432/") {
		t.Errorf("%s: want the service timescaledb, got %q", dbtest.ServerEnv, got)
	}
	brokers := map[string]string{}
	for _, s := range j.Steps {
		if broker := s.Env["HYPERTICK_TEST_BROKERS"]; broker != "" {
			brokers[broker] = s.Run
		}
	}
	for _, name := range []string{"redpanda", "kafka"} {
		said := j.Services[name].Command + j.Services[name].Env["KAFKA_ADVERTISED_LISTENERS"]
		if !strings.HasPrefix(brokers[name+":9092"], "make test-go") || !strings.Contains(said, name+":9092") {
			t.Errorf("%s: want tests run with %s:9092, which it tells clients; got %v and %q", name, name, brokers, said)
		}
	}
}

// TestTimescaleDB checks that docker compose uses one version everywhere, and that it
// is compatible with the newest PostgreSQL of its line.
func TestTimescaleDB(t *testing.T) {
	t.Parallel()
	services := mustLoad(t, base).Services
	image := services["timescaledb"].Image
	if services["backup"].Image != image {
		t.Errorf("backup runs %s, the database %s: only the same version can restore", services["backup"].Image, image)
	}
	m := regexp.MustCompile(`:(\d+\.\d+\.\d+)-pg17(@|$)`).FindStringSubmatch(image)
	if m == nil {
		t.Fatalf("want an image timescale/timescaledb:VERSION-pg17, got %s", image)
	}
	if v := (db.Server{PostgreSQL: 170099, TimescaleDB: m[1], Scheduler: true}).Verdict(); v != (db.Verdict{}) {
		t.Errorf("%s: %s", image, v.Problem)
	}
}

// TestIssueForms checks that the issue forms are valid: GitHub silently ignores an
// invalid one.
func TestIssueForms(t *testing.T) {
	t.Parallel()
	forms, err := filepath.Glob(filepath.Join(root, ".github", "ISSUE_TEMPLATE", "*.yml"))
	if err != nil || len(forms) != 2 {
		t.Fatalf("want the forms bug and feature, got %v, %v", forms, err)
	}
	for _, path := range forms {
		var form struct {
			Name, Description string
			Body              []struct {
				Type, ID   string
				Attributes struct {
					Label, Value string
					Options      []string
				}
			}
		}
		readYAML(t, filepath.Join(".github", "ISSUE_TEMPLATE", filepath.Base(path)), &form)
		if form.Name == "" || form.Description == "" || len(form.Body) == 0 {
			t.Errorf("%s: want name, description and body", path)
		}
		seen := map[string]bool{}
		for i, field := range form.Body {
			ok := map[string]bool{
				"markdown": field.Attributes.Value != "",
				"input":    field.Attributes.Label != "", "textarea": field.Attributes.Label != "",
				"dropdown": field.Attributes.Label != "" && len(field.Attributes.Options) > 1,
			}[field.Type]
			if !ok || field.Type != "markdown" && field.ID == "" || field.ID != "" && seen[field.ID] {
				t.Errorf("%s: field %d: want a type of GitHub's with what it needs and an id of its own, got %+v", path, i, field)
			}
			seen[field.ID] = true
		}
	}
}

// TestDependabot checks that every folder with dependencies is covered.
func TestDependabot(t *testing.T) {
	t.Parallel()
	var config struct {
		Version int
		Updates []struct {
			Ecosystem   string `yaml:"package-ecosystem"`
			Directory   string
			Directories []string
			Schedule    struct{ Interval string }
		}
	}
	readYAML(t, ".github/dependabot.yml", &config)
	manifest := map[string]string{
		"gomod": "go.mod", "npm": "package-lock.json", "docker": "Dockerfile", "docker-compose": base, "github-actions": ci,
	}
	looked := map[string]bool{}
	for _, u := range config.Updates {
		dirs := u.Directories
		if u.Directory != "" {
			dirs = append(dirs, u.Directory)
		}
		if u.Schedule.Interval == "" || len(dirs) == 0 || manifest[u.Ecosystem] == "" {
			t.Errorf("want an ecosystem that is known here, folders and an interval, got %+v", u)
		}
		for _, dir := range dirs {
			looked[filepath.Join(dir, manifest[u.Ecosystem])] = true
			readFile(t, filepath.Join(dir, manifest[u.Ecosystem]))
		}
	}
	for _, want := range []string{"/go.mod", "/Dockerfile", "/web/package-lock.json", "/embedded/pgserver/package-lock.json", "/testdata/npm/package-lock.json", "/" + ci} {
		if !looked[want] {
			t.Errorf("no update covers %s", want)
		}
	}
	if config.Version != 2 {
		t.Errorf("version: want 2, got %d", config.Version)
	}
}

// Package deploy_test checks the files that deploy the stack. It needs no container
// engine: it resolves the compose files as an engine does, against the schema of the
// compose specification.
package deploy_test

import (
	"bufio"
	"context"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = ".."

// example reads .env.example, and sets a password for each empty one.
func example(t *testing.T) types.Mapping {
	t.Helper()
	f, err := os.Open(filepath.Join(root, ".env.example"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	env := types.Mapping{}
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf(".env.example: want NAME=VALUE, got %q", line)
		}
		if strings.HasSuffix(name, "_PASSWORD") {
			if value != "" {
				t.Errorf(".env.example: %s has a default, which everybody knows", name)
			}
			value = "password-of-" + strings.ToLower(strings.ReplaceAll(name, "_", "-"))
		}
		env[name] = value
	}
	return env
}

// load resolves compose files of the repository, with every profile.
func load(t *testing.T, env types.Mapping, files ...string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	details := types.ConfigDetails{WorkingDir: dir, Environment: env}
	for _, f := range files {
		details.ConfigFiles = append(details.ConfigFiles, types.ConfigFile{Filename: filepath.Join(dir, f)})
	}
	return loader.LoadWithContext(context.Background(), details, func(o *loader.Options) { o.Profiles = []string{"*"} })
}

func mustLoad(t *testing.T, files ...string) *types.Project {
	t.Helper()
	p, err := load(t, example(t), files...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

const (
	base    = "docker-compose.yml"
	cluster = "docker-compose.cluster.yml"
)

var (
	// pinned is a name, a full version, and optionally a digest.
	pinned = regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+\.\d+[a-z0-9.-]*(@sha256:[0-9a-f]{64})?$`)
	// pinnedBase is the same for a Dockerfile, where a digest alone is enough.
	pinnedBase = regexp.MustCompile(`^[a-z0-9./-]+:(v?\d+\.\d+\.\d+[a-z0-9.-]*|[a-z0-9.-]+@sha256:[0-9a-f]{64})$`)
)

// oneShot are the services that run once and exit.
var oneShot = []string{"backup", "migrate", "topic"}

func TestServices(t *testing.T) {
	for _, files := range [][]string{{base}, {base, cluster}} {
		p := mustLoad(t, files...)
		t.Run(strings.Join(files, "+"), func(t *testing.T) {
			for name, s := range p.Services {
				t.Run(name, func(t *testing.T) { checkService(t, p, s) })
			}
		})
	}
}

func checkService(t *testing.T, p *types.Project, s types.ServiceConfig) {
	once := slices.Contains(oneShot, s.Name)

	if s.Build == nil && !pinned.MatchString(s.Image) {
		t.Errorf("image %s is not pinned to a version", s.Image)
	}
	switch {
	case once && s.HealthCheck != nil:
		t.Error("a service that ends needs no health check")
	case !once && (s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2):
		t.Error("has no health check")
	case !once && (s.HealthCheck.Interval == nil || s.HealthCheck.Timeout == nil || s.HealthCheck.Retries == nil || s.HealthCheck.StartPeriod == nil):
		t.Error("the health check leaves something to the defaults")
	}
	if want := map[bool]string{true: "no", false: types.RestartPolicyUnlessStopped}[once]; s.Restart != want {
		t.Errorf("restart is %q, want %q", s.Restart, want)
	}

	user, _, _ := strings.Cut(s.User, ":")
	if user == "" || user == "0" || user == "root" {
		t.Errorf("user is %q, want one that is not root", s.User)
	}
	if s.Privileged || len(s.CapAdd) > 0 || !slices.Equal(s.CapDrop, []string{"ALL"}) {
		t.Error("want no capability at all")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Error("want no-new-privileges")
	}
	if !s.ReadOnly {
		t.Error("the root file system can be written")
	}
	if s.NetworkMode != "" || s.Pid != "" || s.Ipc != "" {
		t.Error("shares a namespace of the machine")
	}
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeBind && !v.ReadOnly && filepath.Base(v.Source) != "backups" {
			t.Errorf("can write to %s of the machine", v.Source)
		}
		if strings.HasSuffix(v.Source, "docker.sock") {
			t.Error("has the engine's socket")
		}
		// An engine creates a missing source as a directory owned by root.
		if v.Type == types.VolumeTypeBind && filepath.Base(v.Source) != "backups" {
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("mounts what is not there: %v", err)
			}
		}
	}

	for _, port := range s.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("port %s is published on %q, want 127.0.0.1", port.Published, port.HostIP)
		}
	}
	if s.Logging == nil || s.Logging.Driver != "json-file" || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
		t.Errorf("logs are not limited: %+v", s.Logging)
	}
	if l := limits(s); l == nil || l.NanoCPUs <= 0 || l.MemoryBytes <= 0 || l.Pids <= 0 {
		t.Errorf("want limits of CPUs, memory and processes, got %+v", l)
	}

	for dep, d := range s.DependsOn {
		other, ok := p.Services[dep]
		switch {
		case !ok:
			t.Errorf("depends on %s, which is not there", dep)
		case slices.Contains(oneShot, dep) && d.Condition != types.ServiceConditionCompletedSuccessfully:
			t.Errorf("does not wait until %s is done: %s", dep, d.Condition)
		case !slices.Contains(oneShot, dep) && d.Condition != types.ServiceConditionHealthy:
			t.Errorf("does not wait until %s is healthy: %s", dep, d.Condition)
		case len(other.Profiles) > 0 && !slices.Equal(other.Profiles, s.Profiles):
			t.Errorf("depends on %s, which only runs with profile %v", dep, other.Profiles)
		}
	}
}

func limits(s types.ServiceConfig) *types.Resource {
	if s.Deploy == nil {
		return nil
	}
	return s.Deploy.Resources.Limits
}

// TestShape checks the services, their profiles and their dependencies.
func TestShape(t *testing.T) {
	p := mustLoad(t, base)
	want := map[string]string{
		"redpanda": "", "topic": "", "timescaledb": "", "migrate": "", "ingest": "", "api": "", "notify": "", "grafana": "",
		"simulate": "demo", "console": "tools", "prometheus": "metrics", "backup": "backup",
	}
	got := map[string]string{}
	for name, s := range p.Services {
		got[name] = strings.Join(s.Profiles, ",")
	}
	if !maps.Equal(got, want) {
		t.Errorf("services and profiles: got %v, want %v", got, want)
	}
	if on := example(t)["COMPOSE_PROFILES"]; on != "demo" {
		t.Errorf("profiles on by default: got %q, want demo", on)
	}
	for name, deps := range map[string][]string{
		"topic": {"redpanda"}, "migrate": {"timescaledb"}, "ingest": {"migrate", "redpanda", "timescaledb", "topic"},
		"api": {"migrate", "timescaledb"}, "notify": {"migrate", "timescaledb"}, "simulate": {"redpanda", "topic"}, "grafana": {"migrate", "timescaledb"},
	} {
		if got := slices.Sorted(maps.Keys(p.Services[name].DependsOn)); !slices.Equal(got, deps) {
			t.Errorf("%s waits for %v, want %v", name, got, deps)
		}
	}
}

// TestMemory checks that all services together fit the machine that the docs require.
func TestMemory(t *testing.T) {
	var sum types.UnitBytes
	for _, s := range mustLoad(t, base).Services {
		if l := limits(s); l != nil {
			sum += l.MemoryBytes
		}
	}
	if sum > 8<<30 {
		t.Errorf("the limits add up to %d MiB, want at most 8192", sum>>20)
	}
}

// TestCluster checks that every service that needs the brokers knows all three.
func TestCluster(t *testing.T) {
	p := mustLoad(t, base, cluster)
	const brokers = "redpanda:9092,redpanda-1:9092,redpanda-2:9092"
	for _, name := range []string{"topic", "ingest", "simulate"} {
		s := p.Services[name]
		if got := s.Environment["HYPERTICK_BROKERS"]; got == nil || *got != brokers {
			t.Errorf("%s: brokers are %v, want %s", name, got, brokers)
		}
		for _, broker := range []string{"redpanda", "redpanda-1", "redpanda-2"} {
			if _, ok := s.DependsOn[broker]; !ok {
				t.Errorf("%s does not wait for %s", name, broker)
			}
		}
	}
	if got := p.Services["topic"].Environment["HYPERTICK_REPLICAS"]; got == nil || *got != "3" {
		t.Errorf("the topic has %v replicas, want 3", got)
	}
	data, advertised := map[string]string{}, map[string]string{}
	for _, name := range []string{"redpanda", "redpanda-1", "redpanda-2"} {
		s := p.Services[name]
		for _, v := range s.Volumes {
			if other, taken := data[v.Source]; taken {
				t.Errorf("%s and %s share the volume %s", name, other, v.Source)
			}
			data[v.Source] = name
		}
		for _, arg := range s.Command {
			address, ok := strings.CutPrefix(arg, "--advertise-kafka-addr=")
			if !ok {
				continue
			}
			for a := range strings.SplitSeq(address, ",") {
				if other, taken := advertised[a]; taken {
					t.Errorf("%s and %s both say they are %s", name, other, a)
				}
				advertised[a] = name
			}
			if !strings.Contains(address, "127.0.0.1:"+s.Ports[0].Published) {
				t.Errorf("%s is published on port %s, but tells clients %s", name, s.Ports[0].Published, address)
			}
		}
	}
	if len(advertised) != 6 {
		t.Errorf("addresses told to clients: %v, want two for each broker", advertised)
	}
}

// TestRedpandaKeepsWhatItAcknowledges checks that the settings of rpk's development
// mode, its default without a config file, are overridden.
func TestRedpandaKeepsWhatItAcknowledges(t *testing.T) {
	alone, all := mustLoad(t, base).Services, mustLoad(t, base, cluster).Services
	for name, s := range map[string]types.ServiceConfig{
		"redpanda alone": alone["redpanda"], "redpanda": all["redpanda"], "redpanda-1": all["redpanda-1"], "redpanda-2": all["redpanda-2"],
	} {
		command := strings.Join(s.Command, " ")
		for _, want := range []string{
			"--unsafe-bypass-fsync=false", "--set redpanda.write_caching_default=false", "--set redpanda.auto_create_topics_enabled=false",
		} {
			if !strings.Contains(command, want) {
				t.Errorf("%s is not started with %s", name, want)
			}
		}
		if strings.Contains(command, "dev-container") {
			t.Errorf("%s runs in the mode for development", name)
		}
	}
}

// TestSchema checks that the loader refuses what the specification does not define;
// otherwise the tests above would prove little.
func TestSchema(t *testing.T) {
	for what, text := range map[string]string{
		"a mistyped key":          "services: {api: {imagee: x}}",
		"a wrong type":            "services: {api: {image: x, ports: 8080}}",
		"a service that is not":   "services: {api: {image: x, depends_on: [database]}}",
		"a volume that is not":    "services: {api: {image: x, volumes: [\"data:/data\"]}}",
		"a condition that is not": "services: {a: {image: x}, b: {image: x, depends_on: {a: {condition: fine}}}}",
	} {
		_, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
			WorkingDir: t.TempDir(), ConfigFiles: []types.ConfigFile{{Filename: "x.yml", Content: []byte("name: x\n" + text)}},
		})
		if err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}

// TestDockerfile checks that the base images are pinned.
func TestDockerfile(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	stages, last := 0, ""
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "FROM":
			stages++
			if !pinnedBase.MatchString(fields[1]) {
				t.Errorf("image %s is not pinned", fields[1])
			}
		case "USER":
			last = fields[1]
		}
	}
	if stages != 3 || last != "65532:65532" {
		t.Errorf("got %d stages and user %q, want web, build and the image itself, which is not root", stages, last)
	}
	for name, s := range mustLoad(t, base).Services {
		if s.Build != nil && s.User != last {
			t.Errorf("%s runs as %s, the image is made for %s", name, s.User, last)
		}
	}
}

package cli

import (
	"bytes"
	"context"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestReadBuild(t *testing.T) {
	t.Parallel()
	const hash = "50fd648c0ffee50fd648c0ffee50fd648c0ffee5"
	vcs := func(modified string) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: "v0.0.0-2026"}, Settings: []debug.BuildSetting{
			{Key: "vcs.revision", Value: hash}, {Key: "vcs.time", Value: "2026-12-01T09:30:00Z"}, {Key: "vcs.modified", Value: modified},
		}}
	}
	tail := ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
	for _, c := range []struct {
		what                  string
		info                  *debug.BuildInfo
		version, commit, date string // stamped
		want                  string
	}{
		{"nothing known", nil, "", "", "", "(devel)"},
		{"go install of a release", &debug.BuildInfo{Main: debug.Module{Version: "v0.1.0"}}, "", "", "", "v0.1.0"},
		{"go build in the repository", vcs("false"), "", "", "", "v0.0.0-2026, commit 50fd648c0ffe of 2026-12-01T09:30:00Z"},
		{"the same with changes", vcs("true"), "", "", "", "v0.0.0-2026, commit 50fd648c0ffe with changes of 2026-12-01T09:30:00Z"},
		{"make", vcs("true"), "v0.1.0", hash, "2026-12-01T10:30:00+01:00", "v0.1.0, commit 50fd648c0ffe with changes of 2026-12-01T10:30:00+01:00"},
		{"the image", nil, "v0.1.0", hash, "2026-12-01", "v0.1.0, commit 50fd648c0ffe of 2026-12-01"},
		{"a stamp of another commit", vcs("true"), "v0.1.0", "abc", "", "v0.1.0, commit abc"},
		{"an image of no repository", nil, "devel", "", "", "devel"},
	} {
		if got := readBuild(c.info, c.version, c.commit, c.date).String(); got != c.want+tail {
			t.Errorf("%s: want %s, got %s", c.what, c.want+tail, got)
		}
	}
}

// TestVersion checks that flag and command print the same.
func TestVersion(t *testing.T) {
	t.Parallel()
	var said []string
	for _, args := range [][]string{{"version"}, {"--version"}, {"ingest", "--version"}} {
		var out bytes.Buffer
		if code := Main(context.Background(), args, &out, &out); code != exitOK {
			t.Errorf("%v: want exit code 0, got %d", args, code)
		}
		said = append(said, out.String())
	}
	if said[0] != said[1] || said[0] != said[2] || !strings.HasPrefix(said[0], "hypertick ") || !strings.Contains(said[0], runtime.Version()) {
		t.Errorf("want one version and the Go version, got %q", said)
	}
}

// TestStamps checks that the variables that the Makefile and the Dockerfile set
// exist: the linker ignores others silently.
func TestStamps(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("version.go")
	if err != nil {
		t.Fatal(err)
	}
	stamp := regexp.MustCompile(`-X github\.com/hypertick/hypertick/cli\.(\w+)=`)
	for _, file := range []string{"../Makefile", "../Dockerfile"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stamps := stamp.FindAllSubmatch(b, -1)
		if len(stamps) != 3 || bytes.Count(b, []byte("-X ")) != 3 {
			t.Errorf("%s: want three stamps: version, commit and date; got %q", file, stamps)
		}
		for _, s := range stamps {
			if !regexp.MustCompile(`(?m)^\t` + string(s[1]) + ` +string`).Match(source) {
				t.Errorf("%s stamps cli.%s, which is no variable of version.go", file, s[1])
			}
		}
	}
}

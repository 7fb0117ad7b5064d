package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// Set by the Makefile and the Dockerfile with -ldflags -X. Empty ones are read from
// the build information of the Go tool.
var (
	buildVersion string // of the release, or the commits since it: v0.1.0-3-g1a2b3c4
	buildCommit  string // the whole hash
	buildDate    string // of the commit, RFC 3339
)

// build describes how the program was built.
type build struct {
	version  string
	commit   string // empty is unknown
	modified bool   // the source differed from the commit
	date     string // of the commit; empty is unknown
	goVersion,
	platform string
}

func thisBuild() build {
	info, _ := debug.ReadBuildInfo()
	return readBuild(info, buildVersion, buildCommit, buildDate)
}

// version returns the version of the program.
func version() string { return thisBuild().version }

// readBuild prefers the linker flags to info, which may be nil.
func readBuild(info *debug.BuildInfo, version, commit, date string) build {
	b := build{version: version, commit: commit, date: date, goVersion: runtime.Version(), platform: runtime.GOOS + "/" + runtime.GOARCH}
	recorded := map[string]string{}
	if info != nil {
		for _, s := range info.Settings {
			recorded[s.Key] = s.Value
		}
		if b.version == "" {
			b.version = info.Main.Version
		}
	}
	if b.version == "" {
		b.version = "(devel)"
	}
	if revision := recorded["vcs.revision"]; b.commit == "" || b.commit == revision {
		b.commit, b.modified = revision, recorded["vcs.modified"] == "true"
		if b.date == "" {
			b.date = recorded["vcs.time"]
		}
	}
	return b
}

// String returns one line: v0.1.0, commit 1a2b3c4d5e6f of 2026-12-01T09:30:00Z, go1.26.4 linux/amd64.
func (b build) String() string {
	var s strings.Builder
	s.WriteString(b.version)
	if b.commit != "" {
		fmt.Fprintf(&s, ", commit %.12s", b.commit)
		if b.modified {
			s.WriteString(" with changes")
		}
		if b.date != "" {
			s.WriteString(" of " + b.date)
		}
	}
	fmt.Fprintf(&s, ", %s %s", b.goVersion, b.platform)
	return s.String()
}

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	_, err := fmt.Fprintln(e.out, "hypertick", thisBuild())
	return err
}

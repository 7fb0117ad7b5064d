package db

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// Server is what a database server says of itself.
type Server struct {
	Database    string // name of the database that the connection is to
	PostgreSQL  int    // server_version_num: 170012 is 17.12
	TimescaleDB string // of the extension, or of the one that CREATE EXTENSION would make; empty is none
	Scheduler   bool   // whether TimescaleDB is preloaded, and so runs its jobs
}

// ReadServer asks for it. Every role may.
func ReadServer(ctx context.Context, q DBTX) (Server, error) {
	var s Server
	err := q.QueryRow(ctx, `SELECT current_database(), current_setting('server_version_num')::int,
		coalesce((SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'),
			(SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'), ''),
		current_setting('timescaledb.max_background_workers', true) IS NOT NULL`).
		Scan(&s.Database, &s.PostgreSQL, &s.TimescaleDB, &s.Scheduler)
	if err != nil {
		return s, fmt.Errorf("read the versions of the server: %w", err)
	}
	return s, nil
}

// ServerAt connects to the database at url for one ReadServer.
func ServerAt(ctx context.Context, url string) (Server, error) {
	pool, err := Open(ctx, url, 1)
	if err != nil {
		return Server{}, err
	}
	defer pool.Close()
	return ReadServer(ctx, pool)
}

// Verdict is what is known of a pair of versions. The zero Verdict is that
// nothing speaks against it.
type Verdict struct {
	Broken  bool   // the pair cannot do what Hypertick needs
	Problem string // one sentence without a full stop
	Remedy  string // the same
}

// Verdict judges the server's versions.
func (s Server) Verdict() Verdict { return judge(s.PostgreSQL, s.TimescaleDB, s.Scheduler) }

// judge knows two things. PostgreSQL 17.12 and 18.7 refuse to drop a portal
// that TimescaleDB's background jobs leave behind, until the releases that
// fixesPortal names. Before 2.29 a query of a hierarchy of real-time aggregates
// reads ticks that are materialised already (timescaledb#10071); the embedded
// build, which has no scheduler, is known to be older.
func judge(postgres int, timescale string, scheduler bool) Verdict {
	if timescale == "" {
		return Verdict{}
	}
	v, err := parseVersion(timescale)
	if err != nil {
		return Verdict{
			Problem: fmt.Sprintf("TimescaleDB calls itself %q, which is no version that Hypertick knows", timescale),
			Remedy:  "Install a release of TimescaleDB",
		}
	}
	major, minor := postgres/10_000, postgres%10_000
	switch {
	case (major == 17 && minor >= 12 || major == 18 && minor >= 7) && !fixesPortal(v):
		return Verdict{
			Broken: true,
			Problem: fmt.Sprintf("every background job of TimescaleDB %s fails on PostgreSQL %d.%d with \"cannot drop portal\", so nothing is refreshed",
				timescale, major, minor),
			Remedy: "Update TimescaleDB to 2.32.1 (2.31.2, 2.28.5 and 2.27.3 of their lines will do)",
		}
	case scheduler && v.before(2, 29, 0):
		return Verdict{
			Problem: fmt.Sprintf("TimescaleDB %s reads ticks again that are in the candles already (timescaledb#10071), so long ranges are slow", timescale),
			Remedy:  "Update TimescaleDB to 2.32.1",
		}
	}
	return Verdict{}
}

// fixesPortal reports whether a TimescaleDB can run jobs on PostgreSQL 17.12 and 18.7.
func fixesPortal(v release) bool {
	switch {
	case v[0] == 2 && v[1] == 27:
		return v[2] >= 3
	case v[0] == 2 && v[1] == 28:
		return v[2] >= 5
	case v[0] == 2 && v[1] == 31:
		return v[2] >= 2
	}
	return !v.before(2, 32, 1)
}

// release is a version: major, minor, patch.
type release [3]int

func (r release) before(major, minor, patch int) bool {
	for i, n := range [3]int{major, minor, patch} {
		if r[i] != n {
			return r[i] < n
		}
	}
	return false
}

// parseVersion reads 2.32.1, and 2.23.0-dev as 2.23.0.
func parseVersion(s string) (release, error) {
	var r release
	number, _, _ := strings.Cut(s, "-")
	parts := strings.Split(number, ".")
	if len(parts) != len(r) {
		return r, fmt.Errorf("want a version such as 2.32.1, got %q", s)
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < 0 {
			return r, fmt.Errorf("want a version such as 2.32.1, got %q", s)
		}
		r[i] = n
	}
	return r, nil
}

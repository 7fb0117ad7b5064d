package deploy_test

import (
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// server is a database of one test on a server, named by libpq's variables.
type server struct {
	t    *testing.T
	db   *dbtest.DB
	env  []string
	name string
}

// newServer skips the test without a server, or without tools as new as it: pg_dump
// refuses a server that is newer than itself.
func newServer(t *testing.T) *server {
	t.Helper()
	address := os.Getenv(dbtest.ServerEnv)
	if address == "" {
		t.Skipf("%s is not set: pg_dump needs a real server", dbtest.ServerEnv)
	}
	out, err := exec.CommandContext(t.Context(), "pg_dump", "--version").Output()
	if err != nil {
		t.Skipf("pg_dump: %v", err)
	}
	d := dbtest.New(t)
	var major int
	if err := d.Pool.QueryRow(t.Context(), "SELECT current_setting('server_version_num')::int / 10000").Scan(&major); err != nil {
		t.Fatal(err)
	}
	tool, _ := strconv.Atoi(regexp.MustCompile(`\d+`).FindString(string(out)))
	if tool < major {
		t.Skipf("pg_dump is of PostgreSQL %d, the server of %d", tool, major)
	}
	cfg, err := pgx.ParseConfig(d.Pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	return &server{t: t, db: d, name: cfg.Database, env: append(os.Environ(),
		"PGHOST="+cfg.Host, "PGPORT="+strconv.Itoa(int(cfg.Port)), "PGUSER="+cfg.User, "PGPASSWORD="+cfg.Password)}
}

// script runs a script on a database, and returns its output.
func (s *server) script(database, name string, args ...string) (string, error) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "/bin/sh", append([]string{name}, args...)...)
	cmd.Env = append(slices.Clone(s.env), "PGDATABASE="+database)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (s *server) backup(dir string) string {
	s.t.Helper()
	out, err := s.script(s.name, "backup.sh", dir)
	if err != nil {
		s.t.Fatalf("backup: %v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[len(lines)-1]
}

// connect opens a connection to another database of the same server, which is
// dropped at the end.
func (s *server) connect(database string) *pgx.Conn {
	s.t.Helper()
	u, err := url.Parse(s.db.Pool.Config().ConnString())
	if err != nil {
		s.t.Fatal(err)
	}
	u.Path = "/" + database
	conn, err := pgx.Connect(s.t.Context(), u.String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// target is a name for a database to restore into.
func (s *server) target() string {
	name := s.name + "_restored"
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := s.db.Pool.Exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			s.t.Error(err)
		}
	})
	return name
}

func (s *server) exec(statements ...string) {
	s.t.Helper()
	for _, q := range statements {
		if _, err := s.db.Pool.Exec(s.t.Context(), q); err != nil {
			s.t.Fatalf("%s: %v", q, err)
		}
	}
}

// same are the queries that must give equal results before and after a restore.
var same = map[string]string{
	"ticks":      `SELECT count(*)::text || md5(string_agg(t::text, ',' ORDER BY symbol, seq)) FROM ticks t`,
	"late ticks": `SELECT count(*)::text FROM late_ticks`,
	// notional is a sum of floats: its last digits depend on the order of rows in storage.
	"candles": `SELECT count(*)::text || md5(string_agg(concat_ws(' ', level, symbol, bucket, open, high, low, close, volume, round(notional::numeric, 6), trades),
		',' ORDER BY level, symbol, bucket)) FROM (
		SELECT 1 AS level, * FROM candles_1m UNION ALL SELECT 2, * FROM candles_5m UNION ALL SELECT 3, * FROM candles_15m
		UNION ALL SELECT 4, * FROM candles_1h UNION ALL SELECT 5, * FROM candles_1d) c`,
	"candles()":  `SELECT md5(string_agg(concat_ws(' ', bucket, open, high, low, close, volume, trades), ',' ORDER BY bucket)) FROM candles('S1', '5m', '-infinity', 'infinity') c`,
	"offsets":    `SELECT string_agg(topic || partition || ':' || next_offset, ',' ORDER BY topic, partition) FROM ingest_offsets`,
	"positions":  `SELECT string_agg(p.venue || p.symbol || p.last_seq, ',' ORDER BY p.venue, p.symbol) FROM feed_positions p`,
	"migrations": `SELECT string_agg(version_id::text, ',' ORDER BY version_id) FROM goose_db_version`,
	"compressed": `SELECT count(*)::text FROM timescaledb_information.chunks WHERE is_compressed AND hypertable_name = 'ticks'`,
	"jobs": `SELECT string_agg(concat_ws(' ', proc_schema, proc_name, schedule_interval, scheduled, config - 'mat_hypertable_id' - 'hypertable_id', hypertable_name), E'\n' ORDER BY job_id)
		FROM timescaledb_information.jobs WHERE job_id >= 1000`,
	"functions": `SELECT string_agg(p.oid::regprocedure::text, ',' ORDER BY p.oid::regprocedure::text) FROM pg_proc p
		JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('_hypertick', 'indicator', 'public', 'alert')
		AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')`,
	"rights": `SELECT string_agg(c.oid::regclass || ' ' || r || ' ' || has_table_privilege(r, c.oid, 'SELECT') || has_table_privilege(r, c.oid, 'INSERT') || has_any_column_privilege(r, c.oid, 'UPDATE'), ',' ORDER BY c.oid::regclass::text, r)
		FROM pg_class c, unnest(ARRAY['hypertick_reader', 'hypertick_writer', 'hypertick_operator']) r
		WHERE c.relnamespace IN ('public'::regnamespace, 'alert'::regnamespace) AND c.relkind IN ('r', 'v')`,
	"comments": `SELECT count(*)::text FROM pg_description d JOIN pg_class c ON c.oid = d.objoid AND d.classoid = 'pg_class'::regclass
		WHERE c.relnamespace = 'public'::regnamespace`,
}

type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func text(t *testing.T, q querier, sql string) string {
	t.Helper()
	var out *string
	if err := q.QueryRow(t.Context(), sql).Scan(&out); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	if out == nil {
		return ""
	}
	return *out
}

const insertTicks = `INSERT INTO ticks (ts, symbol, price, size, seq, venue)
	SELECT '2026-01-05 14:30+00'::timestamptz + i * interval '97 s', 'S' || i % 4, 100 + 10 * sin(i / 50.0), 1 + i % 7, i, 'TEST'
	FROM generate_series(%s) i`

func TestBackupRestore(t *testing.T) {
	s := newServer(t)
	ctx := t.Context()
	s.exec(strings.Replace(insertTicks, "%s", "1, 6000", 1),
		`INSERT INTO ingest_offsets (topic, partition, next_offset) VALUES ('market.ticks', 0, 4711), ('market.ticks', 3, 12)`,
		`INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) VALUES ('TEST', 'S1', 5997, now())`)
	s.db.Settle(t)
	s.exec(`SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks('ticks', older_than => '2026-01-09'::timestamptz) c`,
		// Not materialised yet: the real-time part must be restored too.
		strings.Replace(insertTicks, "%s", "6001, 6100", 1))

	want := map[string]string{}
	for what, sql := range same {
		if want[what] = text(t, s.db.Pool, sql); want[what] == "" || want[what] == "0" {
			if what != "late ticks" {
				t.Errorf("%s: nothing to compare", what)
			}
		}
	}
	made := s.backup(t.TempDir())
	if info, err := os.Stat(made); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("backup: %v, %v; want a directory for its owner alone", info, err)
	}
	s.exec(strings.Replace(insertTicks, "%s", "9001, 9100", 1)) // after the backup

	target := s.target()
	if out, err := s.script(target, "restore.sh", made); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	conn := s.connect(target)
	for what, sql := range same {
		if got := text(t, conn, sql); got != want[what] {
			t.Errorf("%s: restored\n%.2000s\nwas\n%.2000s", what, got, want[what])
		}
	}

	// The restored database takes new ticks, and its jobs materialise them.
	if _, err := conn.Exec(ctx, "SET ROLE hypertick_writer; "+strings.Replace(insertTicks, "%s", "6101, 6200", 1)+"; RESET ROLE"); err != nil {
		t.Fatalf("insert as the writer: %v", err)
	}
	const jobs = `SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY job_id`
	rows, err := conn.Query(ctx, jobs)
	if err != nil {
		t.Fatal(err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil || len(ids) < 5 {
		t.Fatalf("jobs %v, %v: want one for each level of candles at least", ids, err)
	}
	for _, id := range ids {
		if err := db.New(conn).RunJob(ctx, id); err != nil {
			t.Fatalf("run job %d: %v", id, err)
		}
	}
	if got := text(t, conn, `SELECT sum(trades)::bigint::text FROM candles_1m`); got != "6200" {
		t.Errorf("trades in candles: got %s, want 6200", got)
	}
	if got := text(t, conn, `SELECT current_setting('timescaledb.restoring')`); got != "off" {
		t.Errorf("the database is still being restored: %s", got)
	}

	// A second restore would mix two databases.
	out, err := s.script(target, "restore.sh", made)
	if err == nil || !strings.Contains(out, "not empty") {
		t.Errorf("into a database that holds something: got %v, %s", err, out)
	}
	if got := text(t, conn, `SELECT count(*)::text FROM ticks`); got != "6200" {
		t.Errorf("the refused restore left %s ticks of 6200", got)
	}
}

// TestRestoreMakesRoles restores on a server without one of the roles. Its settings
// must be restored: those of the reader limit what it may do.
func TestRestoreMakesRoles(t *testing.T) {
	s := newServer(t)
	made := s.backup(t.TempDir())
	roles := filepath.Join(made, "roles.sql")
	b, err := os.ReadFile(roles)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CREATE ROLE hypertick_writer", "CREATE ROLE hypertick_operator", "hypertick_reader SET statement_timeout TO '15s'", "hypertick_reader SET default_transaction_read_only TO 'on'"} {
		if !strings.Contains(string(b), want) {
			t.Errorf("roles.sql does not say %q:\n%s", want, b)
		}
	}
	if strings.Contains(strings.ToLower(string(b)), "password") {
		t.Error("roles.sql has a password in it")
	}
	// Other tests use the roles of the server, so another name stands for the missing
	// role.
	stranger := strings.ReplaceAll("hypertick_reader_"+s.name, "hypertick_test_", "")
	if err := os.WriteFile(roles, []byte(strings.ReplaceAll(string(b), "hypertick_reader", stranger)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.db.Pool.Exec(context.Background(), "DROP ROLE IF EXISTS "+pgx.Identifier{stranger}.Sanitize()); err != nil {
			t.Error(err)
		}
	})
	if out, err := s.script(s.target(), "restore.sh", made); err != nil {
		t.Fatalf("restore: %v\n%s", err, out)
	}
	var settings []string
	err = s.db.Pool.QueryRow(t.Context(), "SELECT rolconfig FROM pg_roles WHERE rolname = $1 AND rolcanlogin", stranger).Scan(&settings)
	slices.Sort(settings)
	if err != nil || !slices.Equal(settings, []string{"default_transaction_read_only=on", "statement_timeout=15s"}) {
		t.Errorf("the role that was missing has the settings %v, %v", settings, err)
	}
}

// TestRestoreRefuses checks the errors of what cannot be restored.
func TestRestoreRefuses(t *testing.T) {
	s := newServer(t)
	made := s.backup(t.TempDir())
	target := s.target()
	dump := filepath.Join(made, "database.dump")
	whole, err := os.ReadFile(dump)
	if err != nil {
		t.Fatal(err)
	}
	about := filepath.Join(made, "about")
	for _, c := range []struct {
		file, content, want string
	}{
		{dump, string(whole[:len(whole)/2]), "not whole"},
		{about, "timescaledb=1.0.0\n", "does not have"},
		{about, "timescaledb='; DROP TABLE ticks; --\n", "does not have"},
		{about, "", "does not say"},
	} {
		before, err := os.ReadFile(c.file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := s.script(target, "restore.sh", made); err == nil || !strings.Contains(out, c.want) {
			t.Errorf("%s of %d bytes: got %v, %s; want an error with %q", filepath.Base(c.file), len(c.content), err, out, c.want)
		}
		if err := os.WriteFile(c.file, before, 0o600); err != nil {
			t.Fatal(err)
		}
		s.exec("DROP DATABASE IF EXISTS " + pgx.Identifier{target}.Sanitize() + " WITH (FORCE)")
	}
	for _, args := range [][]string{nil, {t.TempDir()}, {"/does/not/exist"}} {
		if out, err := s.script(target, "restore.sh", args...); err == nil || !strings.Contains(out, "usage") {
			t.Errorf("restore.sh %v: got %v, %s", args, err, out)
		}
	}
	// A failed backup leaves no files.
	dir := t.TempDir()
	if out, err := s.script("template1", "backup.sh", dir); err == nil {
		t.Errorf("backup of a database without Hypertick: %s", out)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("the failed backup left %v", left)
	}
}

package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// wantCode fails the test unless err is PostgreSQL's error of that code.
func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) || pgErr.Code != code {
		t.Fatalf("got error %v, want code %s", err, code)
	}
}

func TestEveryExecMode(t *testing.T) {
	d := sharedDatabase(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			conn := connectConfig(t, d.URL("postgres"), func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
			for i := range 50 {
				ts := time.Date(2026, 11, 24, 12, 0, i, 123456000, time.UTC)
				var n int
				var s string
				var at time.Time
				err := conn.QueryRow(t.Context(), `select $1::int, $2::text, $3::timestamptz`, i, fmt.Sprint(mode), ts).Scan(&n, &s, &at)
				if err != nil || n != i || s != mode.String() || !at.Equal(ts) {
					t.Fatalf("got %d %q %v %v, want %d %q %v", n, s, at, err, i, mode, ts)
				}
				if _, err := conn.Exec(t.Context(), `select 1/$1::int`, 0); i%10 == 0 {
					wantCode(t, err, "22012")
				}
			}
		})
	}
}

func TestMessagesAroundTheReceiveBuffer(t *testing.T) {
	conn := connect(t, sharedDatabase(t), "postgres")
	for _, size := range []int{8191, 8192, 8193, 16383, 16384, 16385, 1 << 20, 20 << 20} {
		// The message is a type byte, a length, the SQL and a NUL.
		sql := "select length('" + strings.Repeat("x", size-5-len("select length('')")-1) + "')"
		want := int64(len(sql) - len("select length('')"))
		if size > 1<<20 {
			want = int64(size)
			sql = "select length($1)"
			if got := value[int64](t, conn, sql, strings.Repeat("x", size)); got != want {
				t.Errorf("parameter of %d bytes: got %d", size, got)
			}
			continue
		}
		// A pipeline, so that another message follows at the boundary.
		batch := conn.PgConn().StartPipeline(t.Context())
		batch.SendQueryParams(sql, nil, nil, nil, nil)
		batch.SendQueryParams("select 42", nil, nil, nil, nil)
		if err := batch.Sync(); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{fmt.Sprint(want), "42"} {
			res, err := batch.GetResults()
			if err != nil {
				t.Fatal(err)
			}
			read := res.(*pgconn.ResultReader).Read()
			if read.Err != nil || string(read.Rows[0][0]) != want {
				t.Fatalf("message of %d bytes: got %s %v, want %s", size, read.Rows, read.Err, want)
			}
		}
		if err := batch.Close(); err != nil {
			t.Fatal(err)
		}
		// Simple queries whose own length is the boundary.
		results, err := conn.PgConn().Exec(t.Context(), sql).ReadAll()
		if err != nil || string(results[0].Rows[0][0]) != fmt.Sprint(want) {
			t.Fatalf("query of %d bytes: got %v %v, want %d", size, results, err, want)
		}
	}
}

func TestPipelineFailsUpToItsSync(t *testing.T) {
	conn := connect(t, sharedDatabase(t), "postgres")
	run(t, conn, `create table pipeline (a int)`)
	batch := &pgx.Batch{}
	batch.Queue(`insert into pipeline values (1)`)
	batch.Queue(`select 1/0`)
	batch.Queue(`insert into pipeline values (2)`)
	wantCode(t, conn.SendBatch(t.Context(), batch).Close(), "22012")
	if n := value[int](t, conn, `select count(*) from pipeline`); n != 0 {
		t.Errorf("%d rows are left of a failed pipeline", n)
	}
	batch = &pgx.Batch{}
	for i := range 2000 {
		batch.Queue(`insert into pipeline values ($1)`, i)
	}
	if err := conn.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
	if n := value[int](t, conn, `select count(*) from pipeline`); n != 2000 {
		t.Errorf("got %d rows, want 2000", n)
	}
}

func TestCopy(t *testing.T) {
	conn := connect(t, sharedDatabase(t), "postgres")
	ctx := t.Context()
	run(t, conn, `create table copied (id bigint, name text, "at" timestamptz)`)

	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	const n = 50_000
	copied, err := conn.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"id", "name", "at"}, pgx.CopyFromSlice(n, func(i int) ([]any, error) {
		return []any{int64(i), fmt.Sprint("name ", i), at.Add(time.Duration(i) * time.Second)}, nil
	}))
	if err != nil || copied != n {
		t.Fatal(copied, err)
	}
	if sum := value[int64](t, conn, `select sum(id) from copied where name = 'name ' || id and "at" = '2026-11-24T12:00:00Z'::timestamptz + id * interval '1s'`); sum != n*(n-1)/2 {
		t.Errorf("sum of the copied rows is %d", sum)
	}

	var out bytes.Buffer
	if _, err := conn.PgConn().CopyTo(ctx, &out, `copy (select id, name from copied order by id) to stdout`); err != nil {
		t.Fatal(err)
	}
	if lines := strings.Split(out.String(), "\n"); len(lines) != n+1 || lines[n-1] != fmt.Sprintf("%d\tname %d", n-1, n-1) {
		t.Errorf("COPY TO gave %d lines, the last %q", len(lines), lines[len(lines)-2])
	}

	run(t, conn, `truncate copied`)
	if _, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(out.String()), `copy copied (id, name) from stdin`); err != nil {
		t.Fatal(err)
	}
	if got := value[int](t, conn, `select count(*) from copied`); got != n {
		t.Errorf("got %d rows back, want %d", got, n)
	}
}

func TestCopyFails(t *testing.T) {
	conn := connect(t, sharedDatabase(t), "postgres")
	ctx := t.Context()
	run(t, conn, `create table copy_fails (a int)`)
	tests := map[string]struct {
		sql, data, code string
	}{
		"no such table":             {`copy nothing from stdin`, "1\n", "42P01"},
		"bad value":                 {`copy copy_fails from stdin`, "1\nx\n", "22P02"},
		"bad value in much data":    {`copy copy_fails from stdin`, strings.Repeat("1\n", 100_000) + "x\n", "22P02"},
		"not the only statement":    {`select 1; copy copy_fails from stdin`, "1\n", "57014"},
		"syntax":                    {`copy copy_fails from stdin with (nonsense)`, "1\n", "42601"},
		"binary data that is not":   {`copy copy_fails from stdin binary`, "1\n", "22P04"},
		"statement after the other": {`copy copy_fails from stdin; select 1`, "1\n", "57014"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := conn.PgConn().CopyFrom(ctx, strings.NewReader(test.data), test.sql)
			wantCode(t, err, test.code)
			if n := value[int](t, conn, `select count(*) from copy_fails`); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
	t.Run("the source of the data fails", func(t *testing.T) {
		broken := errors.New("broken source")
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"copy_fails"}, []string{"a"}, pgx.CopyFromFunc(func() ([]any, error) { return nil, broken }))
		if err == nil || !strings.Contains(err.Error(), broken.Error()) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("more than the server holds", func(t *testing.T) {
		line := []byte(strings.Repeat("1\n", 32<<10))
		_, err := conn.PgConn().CopyFrom(ctx, &repeat{line: line, left: 257 << 20}, `copy copy_fails from stdin`)
		wantCode(t, err, "57014")
		if !strings.Contains(err.Error(), "256 MiB") {
			t.Errorf("got %v", err)
		}
		if n := value[int](t, conn, `select count(*) from copy_fails`); n != 0 {
			t.Errorf("%d rows are left", n)
		}
	})
}

// repeat reads as one line over and over.
type repeat struct {
	line []byte
	left int
}

func (r *repeat) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, fmt.Errorf("everything was taken")
	}
	n := copy(p, r.line)
	r.left -= n
	return n, nil
}

func TestListen(t *testing.T) {
	d := sharedDatabase(t)
	a, b, c := connect(t, d, "postgres"), connect(t, d, "postgres"), connect(t, d, "postgres")
	run(t, a, `listen alerts`)
	run(t, b, `listen alerts`)
	run(t, b, `listen "Other"`)

	wait := func(conn *pgx.Conn, channel, payload string, from *pgx.Conn) {
		t.Helper()
		note, err := conn.WaitForNotification(t.Context())
		if err != nil || note.Channel != channel || note.Payload != payload || note.PID != from.PgConn().PID() {
			t.Fatalf("got %+v %v, want %s %q of %d", note, err, channel, payload, from.PgConn().PID())
		}
	}
	run(t, c, `select pg_notify('alerts', $1)`, "one")
	wait(a, "alerts", "one", c)
	wait(b, "alerts", "one", c)
	run(t, a, `notify alerts, 'own'`)
	wait(a, "alerts", "own", a)
	wait(b, "alerts", "own", a)

	tx, err := c.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `notify alerts, 'rolled back'`); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, a, `unlisten *`) // b still listens
	run(t, c, `notify alerts, 'two'; notify "Other", 'three'`)
	wait(b, "alerts", "two", c)
	wait(b, "Other", "three", c)
	if note := pending(a); note != nil {
		t.Errorf("a client that does not listen got %+v", note)
	}
}

// pending returns a notification that has arrived, after a round trip.
func pending(conn *pgx.Conn) *pgconn.Notification {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, _ = conn.Exec(ctx, `select 1`)
	done, cancel := context.WithCancel(ctx)
	cancel()
	note, _ := conn.WaitForNotification(done)
	return note
}

func TestRoles(t *testing.T) {
	d := sharedDatabase(t)
	admin := connect(t, d, "postgres")
	ctx := t.Context()
	login := func(user string) error {
		conn, err := pgx.Connect(ctx, d.URL(user))
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err
	}
	wantCode(t, login("stranger"), "28000")
	run(t, admin, `create role stranger; create table secret (a int); create table open (a int); grant select on open to stranger`)
	wantCode(t, login("stranger"), "28000") // it may not log in
	run(t, admin, `alter role stranger login; alter role stranger set work_mem = '7MB'`)
	conn := connect(t, d, "stranger")
	if user := value[string](t, conn, `select current_user || ' ' || session_user`); user != "stranger stranger" {
		t.Errorf("the user is %s", user)
	}
	if got := value[string](t, conn, `show work_mem`); got != "7MB" {
		t.Errorf("work_mem of the role is %s", got)
	}
	value[int](t, conn, `select count(*) from open`)
	_, err := conn.Exec(ctx, `select * from secret`)
	wantCode(t, err, "42501")
	_, err = conn.Exec(ctx, `set session authorization postgres`)
	wantCode(t, err, "42501")
	value[int](t, admin, `select count(*) from secret`) // whose turn it is decides whose rights

	run(t, admin, `do $$ begin drop owned by stranger; end $$`)
	run(t, admin, `drop role stranger`)
	wantCode(t, login("stranger"), "28000")
	_, err = conn.Exec(ctx, `select 1`)
	wantCode(t, err, "22023") // role does not exist: the client is told when its turn comes
	value[int](t, admin, `select 1`)

	wantCode(t, func() error {
		_, err := pgx.Connect(ctx, strings.Replace(d.URL("postgres"), "/postgres?", "/nothing?", 1))
		return err
	}(), "3D000")
}

func TestPassword(t *testing.T) {
	d := startDatabase(t, DatabaseConfig{Relaxed: true, Password: "s3cret /?"})
	if got := value[int](t, connect(t, d, "postgres"), `select 1`); got != 1 {
		t.Error(got)
	}
	_, err := pgx.Connect(t.Context(), strings.Replace(d.URL("postgres"), "s3cret", "wrong", 1))
	wantCode(t, err, "28P01")
}

func TestSettingsStayWithTheirClient(t *testing.T) {
	d := sharedDatabase(t)
	a := connect(t, d, "postgres")
	b := connectConfig(t, d.URL("postgres"), func(c *pgx.ConnConfig) {
		c.RuntimeParams["timezone"] = "Asia/Tokyo"
		c.RuntimeParams["options"] = "-c work_mem=9MB"
	})
	if tz := b.PgConn().ParameterStatus("TimeZone"); tz != "Asia/Tokyo" {
		t.Errorf("the reported time zone is %s", tz)
	}
	show := func(conn *pgx.Conn, want string) {
		t.Helper()
		got := value[string](t, conn, `select current_setting('timezone') || ' ' || current_setting('work_mem') || ' ' || current_setting('search_path') || ' ' || coalesce(current_setting('a.b', true), '')`)
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for range 2 {
		show(a, `GMT 32MB "$user", public `)
		show(b, `Asia/Tokyo 9MB "$user", public `)
	}
	run(t, a, `set timezone = 'Europe/Rome'`)
	run(t, a, `select set_config('search_path', 'a, "B"', false)`)
	run(t, a, `set a.b = 'it''s'`)
	run(t, b, `begin; set local work_mem = '1MB'; commit`)
	for range 2 {
		show(b, `Asia/Tokyo 9MB "$user", public `)
		show(a, `Europe/Rome 32MB a, "B" it's`)
	}
	run(t, a, `create role minor`)
	run(t, b, `set timezone = 'America/Lima'; set role minor`)
	show(a, `Europe/Rome 32MB a, "B" it's`)
	show(b, `America/Lima 9MB "$user", public `)
	if role := value[string](t, b, `select current_user`); role != "minor" {
		t.Errorf("the role is %s", role)
	}
	if role := value[string](t, a, `select current_user`); role != "postgres" {
		t.Errorf("the role is %s", role)
	}
	run(t, b, `reset all; reset role`)
	show(a, `Europe/Rome 32MB a, "B" it's`)
	show(b, `Asia/Tokyo 9MB "$user", public `)
	run(t, a, `begin; set timezone = 'UTC'; rollback`)
	show(a, `Europe/Rome 32MB a, "B" it's`)
	run(t, a, `discard all`)
	if err := a.DeallocateAll(t.Context()); err != nil { // pgx must forget its statements too
		t.Fatal(err)
	}
	show(a, `GMT 32MB "$user", public `)

	_, err := pgx.Connect(t.Context(), d.URL("postgres")+"&timezone=Nowhere/Land")
	wantCode(t, err, "22023")
}

func TestStatementsStayWithTheirClient(t *testing.T) {
	d := sharedDatabase(t)
	a, b := connect(t, d, "postgres"), connect(t, d, "postgres")
	for conn, want := range map[*pgx.Conn]string{a: "a", b: "b"} {
		if _, err := conn.Prepare(t.Context(), "same", fmt.Sprintf(`select '%s'::text`, want)); err != nil {
			t.Fatal(err)
		}
		run(t, conn, fmt.Sprintf(`prepare same_sql as select '%s'::text`, want))
	}
	check := func(conn *pgx.Conn, want string) {
		t.Helper()
		for _, sql := range []string{"same", "execute same_sql"} {
			if got := value[string](t, conn, sql); got != want {
				t.Errorf("%s gave %q, want %q", sql, got, want)
			}
		}
	}
	check(a, "a")
	check(b, "b")
	run(t, a, `deallocate all`)
	check(b, "b")
	_, err := a.Exec(t.Context(), `execute same_sql`)
	wantCode(t, err, "26000")
	run(t, b, `deallocate same_sql`)
	_, err = b.Exec(t.Context(), `execute same_sql`)
	wantCode(t, err, "26000")
}

func TestCancelOfAWaitingQuery(t *testing.T) {
	d := sharedDatabase(t)
	holder, waiter := connect(t, d, "postgres"), connect(t, d, "postgres")
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `select 1`); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := waiter.PgConn().Exec(context.Background(), `select 1`).ReadAll()
		failed <- err
	}()
	// The request may overtake the query: it is repeated, as a user would.
	for err = nil; err == nil; {
		if cancelErr := waiter.PgConn().CancelRequest(t.Context()); cancelErr != nil {
			t.Fatal(cancelErr)
		}
		select {
		case err = <-failed:
		case <-time.After(10 * time.Millisecond):
		}
	}
	wantCode(t, err, "57014")
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	value[int](t, waiter, `select 1`)
}

func TestTimescale(t *testing.T) {
	conn := connect(t, sharedDatabase(t), "postgres")
	run(t, conn, `create table trades (ts timestamptz not null, symbol text not null, price float8 not null)`)
	run(t, conn, `select create_hypertable('trades', by_range('ts', interval '1 day'), create_default_indexes => false)`)
	run(t, conn, `create materialized view hourly with (timescaledb.continuous, timescaledb.materialized_only = false) as
		select symbol, time_bucket('1 hour', ts) as bucket, first(price, ts) as open, max(price) as high, count(*) as trades from trades group by 1, 2 with no data`)
	rows := make([][]any, 0, 3*24*60)
	for i := range cap(rows) {
		rows = append(rows, []any{time.Date(2026, 11, 1, 0, i, 0, 0, time.UTC), "AAPL", float64(i)})
	}
	if _, err := conn.CopyFrom(t.Context(), pgx.Identifier{"trades"}, []string{"ts", "symbol", "price"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	run(t, conn, `call refresh_continuous_aggregate('hourly', null, '2026-11-03')`)
	if got := value[string](t, conn, `select concat_ws(' ', count(*), sum(trades), sum(open), max(high)) from hourly`); got != "72 4320 153360 4319" {
		t.Errorf("the aggregate gives %s", got)
	}
	run(t, conn, `alter table trades set (timescaledb.compress, timescaledb.compress_segmentby = 'symbol')`)
	if n := value[int](t, conn, `select count(compress_chunk(c)) from show_chunks('trades') c`); n != 3 {
		t.Errorf("%d chunks compressed", n)
	}
	if n := value[int](t, conn, `select count(*) from trades`); n != len(rows) {
		t.Errorf("%d rows after compression", n)
	}
}

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

	hear := func(conn *pgx.Conn, channel, payload string, from *pgx.Conn) {
		t.Helper()
		note, err := conn.WaitForNotification(t.Context())
		if err != nil || note.Channel != channel || note.Payload != payload || note.PID != from.PgConn().PID() {
			t.Fatalf("got %+v %v, want %s %q of %d", note, err, channel, payload, from.PgConn().PID())
		}
	}
	run(t, c, `select pg_notify('alerts', $1)`, "one")
	hear(a, "alerts", "one", c)
	hear(b, "alerts", "one", c)
	run(t, a, `notify alerts, 'own'`)
	hear(a, "alerts", "own", a)
	hear(b, "alerts", "own", a)

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
	hear(b, "alerts", "two", c)
	hear(b, "Other", "three", c)
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

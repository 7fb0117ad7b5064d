package embedded

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

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

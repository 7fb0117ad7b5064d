package db_test

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestOrdinaryOwner brings the database up as a role that is no superuser, as
// hosted servers hand out, and runs every job as it.
func TestOrdinaryOwner(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	d := dbtest.New(t)
	if d.Embedded != nil {
		t.Skip("all roles of the embedded database are one")
	}
	const role = "hypertick_test_owner"
	name := fmt.Sprintf("hypertick_test_owned_%d", time.Now().UnixNano())
	// The other tests' roles are the superuser's: here the owner gets them.
	if _, err := d.Pool.Exec(ctx, `
		DO $$ BEGIN CREATE ROLE hypertick_test_owner LOGIN CREATEROLE PASSWORD 'owner'; EXCEPTION WHEN duplicate_object THEN END $$;
		GRANT hypertick_reader, hypertick_writer, hypertick_operator TO hypertick_test_owner WITH ADMIN OPTION`); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pool.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize()+" OWNER "+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := d.Pool.Exec(context.Background(), "DROP DATABASE "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	u, err := url.Parse(d.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User, u.Path = url.UserPassword(role, "owner"), "/"+name
	if err := db.Migrate(ctx, u.String(), dbtest.Log(t)); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, u.String())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, `
		SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs WHERE job_id >= 1000;
		INSERT INTO ticks SELECT now() - i * INTERVAL '5 seconds', 'A', 100 + sin(i / 50.0), 1, 100000 - i, 'X' FROM generate_series(1, 20000) i;
		INSERT INTO feed_positions (venue, symbol, last_seq, last_ts) VALUES ('X', 'A', 99999, now())`); err != nil {
		t.Fatal(err)
	}
	rows, err := pool.Query(ctx, "SELECT job_id, proc_name FROM timescaledb_information.jobs WHERE job_id >= 1000 ORDER BY job_id")
	if err != nil {
		t.Fatal(err)
	}
	jobs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		ID   int
		Proc string
	}])
	if err != nil || len(jobs) < 20 {
		t.Fatal(len(jobs), err)
	}
	for _, j := range jobs {
		if _, err := pool.Exec(ctx, "CALL run_job($1)", j.ID); err != nil {
			t.Errorf("%s: %v", j.Proc, err)
		}
	}
	var scheduler bool
	var checked, evaluated int
	if err := pool.QueryRow(ctx, `SELECT _hypertick.has_scheduler(), (SELECT max(checked) FROM verify_runs), (SELECT count(*) FROM alert.progress WHERE error IS NULL)`).Scan(&scheduler, &checked, &evaluated); err != nil {
		t.Fatal(err)
	}
	if !scheduler || checked == 0 || evaluated == 0 {
		t.Errorf("scheduler %v, %d buckets verified, %d rules evaluated for A", scheduler, checked, evaluated)
	}
}

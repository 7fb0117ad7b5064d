package db_test

import (
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db/dbtest"
)

// A tick that no constraint has stopped makes a refresh fail for all symbols: the
// pipeline names it, and how to remove it.
func TestPipelineNamesTheBadTick(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(t.Context(), `ALTER TABLE ticks DROP CONSTRAINT ticks_price_check;
		INSERT INTO ticks (ts, symbol, price, size, seq, venue) VALUES
			(now() - INTERVAL '1 hour', 'GOOD', 1, 1, 1, 'V'), (now() - INTERVAL '1 hour', 'BAD', 1.7e308, 1e10, 7, 'V')`); err != nil {
		t.Fatal(err)
	}
	_, failure := d.Pool.Exec(t.Context(), "CALL refresh_continuous_aggregate('candles_1m', NULL, NULL)")
	if failure == nil {
		t.Fatal("the refresh does not fail: the test tests nothing")
	}
	t.Log(failure)
	// Tests switch the scheduler's jobs off.
	if _, err := d.Pool.Exec(t.Context(), `SELECT alter_job(j.job_id, scheduled => true, next_start => '2100-01-01')
		FROM (SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY job_id LIMIT 1) j`); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Pool.Exec(t.Context(), `INSERT INTO _hypertick.job_runs (job_id, finished_at, took, failures, total, total_failures, error)
		SELECT j.job_id, now(), INTERVAL '1 s', 1, 1, 1, $1 FROM job_status j WHERE j.name LIKE 'refresh %' ORDER BY j.job_id LIMIT 1`, failure.Error()); err != nil {
		t.Fatal(err)
	}
	var state, detail string
	if err := d.Pool.QueryRow(t.Context(), "SELECT state, detail FROM pipeline WHERE component = 'job' AND part LIKE 'refresh %' AND state = 'failed'").Scan(&state, &detail); err != nil {
		t.Fatal(err)
	}
	if state != "failed" || !strings.Contains(detail, "tick V BAD seq 7 is out of bounds (price 1.7e+308)") || !strings.Contains(detail, "hypertick tick cancel 'BAD' --venue V --seq 7") {
		t.Errorf("%s: %s", state, detail)
	}
}

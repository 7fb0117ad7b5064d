package api

import (
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestRequestTimeout wants the database to give up before the server does: then
// the log says which statement took too long, and its backend is free again.
func TestRequestTimeout(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	for _, role := range []string{"hypertick_reader", "hypertick_operator"} {
		var seconds float64
		if err := d.Pool.QueryRow(t.Context(), `SELECT extract(epoch FROM split_part(s, '=', 2)::interval)::float8
			FROM pg_roles, unnest(rolconfig) s WHERE rolname = $1 AND s LIKE 'statement_timeout=%'`, role).Scan(&seconds); err != nil {
			t.Fatalf("statement_timeout of %s: %v", role, err)
		}
		if limit := time.Duration(seconds * float64(time.Second)); limit <= 0 || limit >= DefaultRequestTimeout {
			t.Errorf("%s has %v for a statement, a request has %v: want less for the statement", role, limit, DefaultRequestTimeout)
		}
	}
}

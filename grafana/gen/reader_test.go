package main

import (
	"errors"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestReader shows what Grafana's role cannot do, even if somebody writes a
// panel to do it. Only a real server has privileges and timeouts.
func TestReader(t *testing.T) {
	m := newMarket(t)
	if m.Embedded != nil {
		t.Skip("needs a server: set HYPERTICK_TEST_DATABASE_URL")
	}
	const (
		denied   = "42501"
		readOnly = "25006"
		canceled = "57014"
	)
	for _, c := range []struct {
		what string
		sql  []string
		code string
	}{
		{"write", []string{"INSERT INTO public.ticks VALUES (now(), 'A', 1, 1, 1, 'T')"}, readOnly},
		{"write, having asked to", []string{"SET default_transaction_read_only = off", "INSERT INTO public.ticks VALUES (now(), 'A', 1, 1, 1, 'T')"}, denied},
		{"delete", []string{"SET default_transaction_read_only = off", "DELETE FROM public.feed_gaps"}, denied},
		{"make a table", []string{"SET default_transaction_read_only = off", "CREATE TABLE public.mine (x int)"}, denied},
		{"change retention", []string{"SET default_transaction_read_only = off", "SELECT public.set_retention('ticks', INTERVAL '1 day')"}, denied},
		{"read passwords", []string{"SELECT rolpassword FROM pg_catalog.pg_authid"}, denied},
		{"read files", []string{"SELECT pg_catalog.pg_read_file('/etc/passwd')"}, denied},
		{"run for long", []string{"SELECT pg_catalog.pg_sleep(60)"}, canceled},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			conn, err := m.reader.Acquire(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Hijack().Close(t.Context()) }()
			for i, sql := range c.sql {
				_, err = conn.Exec(t.Context(), sql)
				if i < len(c.sql)-1 && err != nil {
					t.Fatal(err)
				}
			}
			var pgErr *pgconn.PgError
			if !errors.As(err, &pgErr) || pgErr.Code != c.code {
				t.Errorf("got %v, want SQLSTATE %s", err, c.code)
			}
		})
	}
}

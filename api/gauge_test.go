package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/hypertick/hypertick/db/dbtest"
)

// TestGauges scrapes what the checks in the database have found.
func TestGauges(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	var server *Server
	c := serve(t, Config{Pool: reader(t, d), MetricsListen: "127.0.0.1:0"}, func(s *Server) { server = s })
	scrape := func() string {
		t.Helper()
		resp, err := c.http.Get("http://" + server.MetricsAddr() + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.StatusCode, err)
		}
		return string(b)
	}
	want := func(when, got string, lines ...string) {
		t.Helper()
		for _, line := range lines {
			if !strings.Contains(got, "\n"+line+"\n") {
				t.Errorf("%s: no line %s in\n%s", when, line, got)
			}
		}
	}
	if _, err := d.Pool.Exec(context.Background(), "DELETE FROM verify_drift; DELETE FROM quality_findings"); err != nil {
		t.Fatal(err)
	}
	want("at first", scrape(), "hypertick_verify_drift_buckets 0", `hypertick_quality_findings{kind="stale"} 0`, `hypertick_quality_findings{kind="outlier"} 0`)
	if _, err := d.Pool.Exec(context.Background(), `
		INSERT INTO verify_drift (relation, symbol, bucket) VALUES ('candles_1m', 'A', now()), ('candles_1m', 'B', now());
		INSERT INTO quality_findings (kind, venue, symbol, since, seen_at, ended_at, value, bound, detail) VALUES
			('stale', 'X', 'A', now() - INTERVAL '2 hours', now() - INTERVAL '2 hours', NULL, 1, 1, 'lasts'),
			('stale', 'X', 'B', now() - INTERVAL '2 hours', now(), now(), 1, 1, 'is over'),
			('outlier', 'X', 'A', now(), now(), now(), 1, 1, 'was just now'),
			('outlier', 'X', 'A', now() - INTERVAL '3 hours', now() - INTERVAL '3 hours', now() - INTERVAL '3 hours', 1, 1, 'was long ago')`); err != nil {
		t.Fatal(err)
	}
	want("then", scrape(), "hypertick_verify_drift_buckets 2", `hypertick_quality_findings{kind="stale"} 1`, `hypertick_quality_findings{kind="outlier"} 1`, `hypertick_quality_findings{kind="skew"} 0`)
	if d.Embedded == nil {
		return // the server is not ours to stop
	}
	if err := d.Embedded.Close(); err != nil {
		t.Fatal(err)
	}
	got := scrape()
	want("without a database", got, "hypertick_verify_drift_buckets NaN")
	if strings.Contains(got, "hypertick_quality_findings{") {
		t.Errorf("without a database there are findings:\n%s", got)
	}
}

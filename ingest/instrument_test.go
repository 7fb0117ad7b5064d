package ingest

import (
	"testing"

	"github.com/hypertick/hypertick/internal/wait"
)

// TestInstruments ingests symbols that are new: each gets a row with the
// calendar of its venue, and one that is there stays as it is.
func TestInstruments(t *testing.T) {
	r := newRig(t)
	if _, err := r.db.Pool.Exec(r.ctx, `INSERT INTO feed_venues (venue, calendar) VALUES ('SIM', 'XNYS');
		INSERT INTO instruments (symbol, name, calendar) VALUES ('S01', 'Known', 'XLON')`); err != nil {
		t.Fatal(err)
	}
	pool := openPool(t, r.db.URLAs(t, "hypertick_writer"))
	x := r.start(func(c *Config) { c.Pool = pool })
	r.produce(series(3, 5, 1)...)
	r.untilIngested()
	x.stop()
	wait.Equal(t, "instruments", "S00 XNYS,S01 XLON Known,S02 XNYS", func() string {
		return r.text("SELECT string_agg(concat_ws(' ', symbol, calendar, name), ',' ORDER BY symbol) FROM instruments")
	})
}

package backfill_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// TestInstruments loads symbols of two venues: each symbol that is new has the
// calendar of its venue, and one that is there stays as it is.
func TestInstruments(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	if _, err := d.Pool.Exec(t.Context(), `INSERT INTO feed_venues (venue, calendar) VALUES ('NYSE', 'XNYS');
		INSERT INTO instruments (symbol, name, calendar) VALUES ('KNOWN', 'Known', 'XLON')`); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 1, 2, 15, 0, 0, 0, time.UTC).UnixMicro()
	ticks := []feed.Tick{
		{TS: at, Symbol: "NEW", Venue: "NYSE", Price: 10, Size: 1, Seq: 1},
		{TS: at, Symbol: "KNOWN", Venue: "NYSE", Price: 10, Size: 1, Seq: 1},
		{TS: at, Symbol: "OTHER", Venue: "X", Price: 10, Size: 1, Seq: 1},
	}
	for range 2 {
		if _, err := load(t.Context(), writer(t, d), ticks); err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := d.Pool.QueryRow(t.Context(), "SELECT array_agg(concat_ws(' ', symbol, calendar, name) ORDER BY symbol) FROM instruments").Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := "[KNOWN XLON Known NEW XNYS OTHER 24x7]"; fmt.Sprint(got) != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
}

package db_test

import (
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestReadServer checks that the reader may ask too.
func TestReadServer(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	owner, err := db.ServerAt(t.Context(), d.URL)
	if err != nil {
		t.Fatal(err)
	}
	if owner.Database == "" || owner.PostgreSQL < 150000 || owner.TimescaleDB == "" || owner.Scheduler != (d.Embedded == nil) {
		t.Errorf("want a name, two versions and a scheduler except when embedded, got %+v", owner)
	}
	reader, err := db.ServerAt(t.Context(), d.URLAs(t, "hypertick_reader"))
	if err != nil {
		t.Fatal(err)
	}
	if reader != owner {
		t.Errorf("the reader sees %+v, the owner %+v", reader, owner)
	}
}

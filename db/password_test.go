package db_test

import (
	"context"
	"sync"
	"testing"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// TestSetPasswordsAtOnce sets them from many places, as several that migrate at
// the same time do.
func TestSetPasswordsAtOnce(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	passwords := map[string]string{"hypertick_reader": "hypertick-test", "hypertick_writer": "hypertick-test", "hypertick_operator": "hypertick-test"}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if err := db.SetPasswords(context.Background(), d.URL, passwords); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}

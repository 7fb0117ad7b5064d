package cli

import (
	"context"
	"errors"
	"time"

	"github.com/hypertick/hypertick/db"
)

// baselinePatience is how long a database may take to name its baseline before
// a command goes on without.
const baselinePatience = 5 * time.Second

// refuseBaseline returns an error where another baseline than this program's
// made the database. One that does not answer is no error: what runs on it
// waits for it.
func refuseBaseline(ctx context.Context, q db.DBTX) error {
	ctx, cancel := context.WithTimeout(ctx, baselinePatience)
	defer cancel()
	if e, ok := errors.AsType[*db.BaselineError](db.CheckBaseline(ctx, q)); ok {
		return e
	}
	return nil
}

package cli

import (
	"context"
	"errors"
	"time"

	"github.com/hypertick/hypertick/db"
)

// baselineTimeout is how long a database may take to return its baseline before a
// command starts without the check.
const baselineTimeout = 5 * time.Second

// refuseBaseline returns an error if the database was created from another
// baseline than this program's. A database that does not answer is no error: the
// command waits for it.
func refuseBaseline(ctx context.Context, q db.DBTX) error {
	ctx, cancel := context.WithTimeout(ctx, baselineTimeout)
	defer cancel()
	if e, ok := errors.AsType[*db.BaselineError](db.CheckBaseline(ctx, q)); ok {
		return e
	}
	return nil
}

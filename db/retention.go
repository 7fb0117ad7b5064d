package db

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Levels are the relations that retention applies to, each built from the one
// before it.
var Levels = []string{"ticks", "candles_1m", "candles_5m", "candles_15m", "candles_1h", "candles_1d"}

// Keep says how long one relation keeps its rows. An Age of 0 keeps them for
// ever.
type Keep struct {
	Relation string
	Age      time.Duration
	// Horizon is since when everything is still there; nil when nothing was
	// ever dropped.
	Horizon *time.Time
}

// Retention reads how long each of Levels keeps its rows.
func Retention(ctx context.Context, pool *pgxpool.Pool) ([]Keep, error) {
	rows, err := New(pool).ListRetention(ctx)
	if err != nil {
		return nil, fmt.Errorf("read retention: %w", err)
	}
	keeps := make([]Keep, 0, len(rows))
	for _, r := range rows {
		keep := Keep{Relation: r.Relation, Age: time.Duration(r.KeepSeconds * float64(time.Second))}
		if r.Horizon.Unix() != 0 {
			keep.Horizon = &r.Horizon
		}
		keeps = append(keeps, keep)
	}
	return keeps, nil
}

// ErrRetentionOrder is returned when candles would go before the rows they are
// built from.
var ErrRetentionOrder = errors.New("candles must be kept at least as long as what they are built from")

// SetRetention changes how long the given relations keep their rows, all or
// nothing. Relations that are not given stay as they are.
func SetRetention(ctx context.Context, pool *pgxpool.Pool, change map[string]time.Duration) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		q := New(tx)
		rows, err := q.ListRetention(ctx)
		if err != nil {
			return fmt.Errorf("read retention: %w", err)
		}
		below, belowAge := "", time.Duration(1)
		for _, r := range rows {
			age := time.Duration(r.KeepSeconds * float64(time.Second))
			want, changed := change[r.Relation]
			if changed {
				age = want
			}
			// 0 is for ever, longer than any age.
			if below != "" && age != 0 && (belowAge == 0 || age < belowAge) {
				return fmt.Errorf("%s for %s, %s for %s: %w", below, ageName(belowAge), r.Relation, ageName(age), ErrRetentionOrder)
			}
			below, belowAge = r.Relation, age
			if !changed {
				continue
			}
			after := pgtype.Interval{}
			if age > 0 {
				// Whole days as days: that is how the policy then reads.
				day := 24 * time.Hour
				after = pgtype.Interval{Days: int32(age / day), Microseconds: (age % day).Microseconds(), Valid: true}
			}
			if err := q.SetRetention(ctx, SetRetentionParams{Relation: r.Relation, DropAfter: after}); err != nil {
				return fmt.Errorf("set retention of %s: %w", r.Relation, err)
			}
		}
		return nil
	})
}

func ageName(age time.Duration) string {
	if age == 0 {
		return "ever"
	}
	return fmt.Sprintf("%d days", age/(24*time.Hour))
}

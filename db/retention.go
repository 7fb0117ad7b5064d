package db

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Keep says how long one relation keeps its rows. An Age of 0 keeps them for
// ever.
type Keep struct {
	Relation string
	// Source is the relation that its rows are built from; empty for ticks.
	Source string
	Age    time.Duration
	// Horizon is since when everything is still there; nil when nothing was
	// ever dropped.
	Horizon *time.Time
}

// Retention reads how long ticks and the candles of each materialised interval
// keep their rows: ticks first, then by the length of the bars.
func Retention(ctx context.Context, pool *pgxpool.Pool) ([]Keep, error) {
	rows, err := New(pool).ListRetention(ctx)
	if err != nil {
		return nil, fmt.Errorf("read retention: %w", err)
	}
	keeps := make([]Keep, 0, len(rows))
	for _, r := range rows {
		keep := Keep{Relation: r.Relation, Source: r.Source, Age: time.Duration(r.KeepSeconds * float64(time.Second))}
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
// nothing. Relations that are not given stay as they are; one that there is not
// is an error.
func SetRetention(ctx context.Context, pool *pgxpool.Pool, change map[string]time.Duration) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		q := New(tx)
		rows, err := q.ListRetention(ctx)
		if err != nil {
			return fmt.Errorf("read retention: %w", err)
		}
		ages, names := make(map[string]time.Duration, len(rows)), make([]string, 0, len(rows))
		for _, r := range rows {
			names = append(names, r.Relation)
			ages[r.Relation] = time.Duration(r.KeepSeconds * float64(time.Second))
		}
		for relation, age := range change {
			if _, ok := ages[relation]; !ok {
				return fmt.Errorf("relation: want one of %s, got %q", strings.Join(names, ", "), relation)
			}
			ages[relation] = age
		}
		for _, r := range rows {
			age, sourceAge := ages[r.Relation], ages[r.Source]
			// 0 is for ever, longer than any age.
			if r.Source != "" && age != 0 && (sourceAge == 0 || age < sourceAge) {
				return fmt.Errorf("%s for %s, %s for %s: %w", r.Source, ageName(sourceAge), r.Relation, ageName(age), ErrRetentionOrder)
			}
		}
		for _, r := range rows {
			age, changed := change[r.Relation]
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

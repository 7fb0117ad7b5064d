package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
)

type rows = pgx.Rows

// key is a bucket of one relation and symbol.
type key struct {
	relation, symbol string
	bucket           int64 // Unix microseconds
}

// slice compares one slice, repairs it if it is to be, and tells of what it found.
func (v *verifier) slice(ctx context.Context, checked *int64, query func(*db.Queries) (rows, error)) error {
	found, err := v.compare(query, func(n int64) { *checked += n }, true)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return nil
	}
	v.result.Drift += int64(len(found))
	left := map[key]bool{}
	if v.cfg.Repair {
		if err := v.repair(ctx, found); err != nil {
			return err
		}
		again, err := v.compare(query, func(int64) {}, false)
		if err != nil {
			return err
		}
		for i := range again {
			left[again[i].key()] = true
		}
	}
	for i := range found {
		if v.cfg.Repair && !left[found[i].key()] {
			found[i].Repaired = true
			v.result.Repaired++
			// The repair resolves what a sample found.
			if err := v.q.DeleteDrift(ctx, db.DeleteDriftParams{Relation: found[i].Relation, Symbol: found[i].Symbol, Bucket: *found[i].Bucket}); err != nil {
				return fmt.Errorf("delete drift: %w", err)
			}
		}
		v.cfg.Found(found[i])
	}
	return nil
}

func (f *Finding) key() key { return key{f.Relation, f.Symbol, f.Bucket.UnixMicro()} }

// compare returns the buckets that drifted, by relation and bucket.
func (v *verifier) compare(query func(*db.Queries) (rows, error), checked func(int64), count bool) ([]Finding, error) {
	bars := map[string]string{}
	order := map[string]int{}
	for i, l := range v.levels {
		bars[l.Relation], order[l.Relation] = l.Bar, i
	}
	r, err := query(v.q)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	var found []Finding
	var d db.VerifyCandlesRow
	_, err = pgx.ForEachRow(r, []any{&d.Relation, &d.Symbol, &d.Bucket, &d.Pending, &d.Stored, &d.Expected, &d.Checked}, func() error {
		switch d.Symbol {
		case "":
			checked(d.Checked)
		default:
			at := d.Bucket.UTC()
			f := Finding{
				Kind: Differs, Relation: d.Relation, Interval: bars[d.Relation], Symbol: d.Symbol, Bucket: &at,
				Stored: slices.Clone(d.Stored), Expected: slices.Clone(d.Expected),
			}
			switch {
			case d.Stored == nil:
				f.Kind = Missing
			case d.Expected == nil:
				f.Kind = Surplus
			}
			switch f.Pending = d.Pending; {
			case !f.Pending:
				found = append(found, f)
			case f.Kind == Missing: // not materialised yet, that is all
			case count:
				v.result.Pending++
				v.cfg.Found(f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	slices.SortStableFunc(found, func(x, y Finding) int {
		return cmp.Or(cmp.Compare(order[x.Relation], order[y.Relation]), x.Bucket.Compare(*y.Bucket), cmp.Compare(x.Symbol, y.Symbol))
	})
	return found, nil
}

// repair computes the buckets of found again, in their order: a level is made
// from the one below. What lies above them changes with them.
func (v *verifier) repair(ctx context.Context, found []Finding) error {
	for i, l := range v.levels {
		var from, to time.Time
		flush := func() error {
			if from.IsZero() {
				return nil
			}
			if err := v.refresh(ctx, l, from, to, true); err != nil {
				return err
			}
			if l.Blocks {
				return nil
			}
			for _, above := range v.levels[i+1:] {
				if err := v.refreshAbove(ctx, above, from, to); err != nil {
					return err
				}
			}
			return nil
		}
		for j := range found {
			f := &found[j]
			if f.Relation != l.Relation {
				continue
			}
			if from.IsZero() || f.Bucket.After(to) {
				if err := flush(); err != nil {
					return err
				}
				from = *f.Bucket
			}
			to = l.width.End(*f.Bucket)
		}
		if err := flush(); err != nil {
			return err
		}
	}
	return nil
}

// refreshAbove hands a repair on. Of candles to closed ones only: to materialise
// an open one would hide the ticks that are still to come.
func (v *verifier) refreshAbove(ctx context.Context, l level, from, to time.Time) error {
	from, to = l.width.Start(from), l.width.From(to)
	if since := l.width.From(l.WholeSince); from.Before(since) {
		from = since
	}
	if closed := l.width.Start(v.cfg.Now().Add(-time.Minute)); !l.Blocks && to.After(closed) {
		to = closed
	}
	if !l.Present || !from.Before(to) {
		return nil
	}
	return v.refresh(ctx, l, from, to, false)
}

// refresh may meet a policy that works on the same buckets: then it waits.
func (v *verifier) refresh(ctx context.Context, l level, from, to time.Time, force bool) error {
	v.cfg.Log.DebugContext(ctx, "refresh", slog.String("relation", l.Relation), slog.Time("from", from), slog.Time("to", to), slog.Bool("force", force))
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := v.q.RefreshAggregate(ctx, db.RefreshAggregateParams{
			Relation: l.Schema + "." + l.Relation, After: from, Before: to, Force: force, Options: []byte(`{"buckets_per_batch": 1000}`),
		})
		if err != nil && !busy(err) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxElapsedTime(time.Minute))
	if err != nil {
		return fmt.Errorf("refresh %s from %s to %s: %w", l.Relation, from.Format(time.RFC3339), to.Format(time.RFC3339), err)
	}
	return nil
}

// busy reports whether an error is that of two who want the same at once.
func busy(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && slices.Contains([]string{"40001", "40P01", "55006", "55P03"}, pg.Code)
}

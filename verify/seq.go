package verify

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/hypertick/hypertick/db"
)

// seqs looks at the seqs of one symbol.
func (v *verifier) seqs(ctx context.Context, symbol string) error {
	bound := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	r, err := v.q.VerifySeqRows(ctx, db.VerifySeqsParams{
		Symbol: symbol, After: bound(v.cfg.From), Before: bound(v.cfg.To),
	})
	if err != nil {
		return fmt.Errorf("read seqs of %s: %w", symbol, err)
	}
	var d db.VerifySeqsRow
	_, err = pgx.ForEachRow(r, []any{&d.Kind, &d.Venue, &d.FromSeq, &d.ToSeq, &d.At, &d.Copies, &d.Checked}, func() error {
		f := Finding{Kind: Kind(d.Kind), Symbol: symbol, Venue: d.Venue, FromSeq: d.FromSeq, ToSeq: d.ToSeq, Copies: d.Copies}
		at := d.At.UTC().Format(time.RFC3339Nano)
		switch f.Kind {
		case Duplicate:
			v.result.Duplicates++
			f.Detail = fmt.Sprintf("stored %d times, first with ts %s", d.Copies, at)
		case Hole:
			v.result.Holes++
			f.Detail = fmt.Sprintf("missing after %s, and feed_gaps does not say so: lost from ticks, or dead letters", at)
		case Gap:
			v.result.Gaps++
			f.Detail = fmt.Sprintf("missing after %s: never came, as feed_gaps says", at)
		case Position:
			v.result.Positions++
			f.Detail = fmt.Sprintf("a tick of %s, seq %d, is newer than the position in feed_positions: ingest could store it a second time", at, d.ToSeq)
		default:
			v.result.Ticks += d.Checked
			return nil
		}
		v.cfg.Found(f)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read seqs of %s: %w", symbol, err)
	}
	return nil
}

// offsets compares the positions in the topic with what the topic has.
func (v *verifier) offsets(ctx context.Context) error {
	known, err := v.q.AllIngestOffsets(ctx)
	if err != nil {
		return fmt.Errorf("read ingest_offsets: %w", err)
	}
	adm := kadm.NewClient(v.cfg.Broker)
	starts, err := adm.ListStartOffsets(ctx, v.cfg.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("list start offsets of %s: %w", v.cfg.Topic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, v.cfg.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list end offsets of %s: %w", v.cfg.Topic, err)
	}
	for _, o := range known {
		if o.Topic != v.cfg.Topic {
			continue
		}
		start, ok := starts.Lookup(o.Topic, o.Partition)
		end, _ := ends.Lookup(o.Topic, o.Partition)
		f := Finding{Kind: Offset, Relation: "ingest_offsets"}
		switch {
		case !ok:
			f.Detail = fmt.Sprintf("%s has no partition %d", o.Topic, o.Partition)
		case o.NextOffset > end.Offset:
			f.Detail = fmt.Sprintf("partition %d of %s ends at %d, next_offset is %d: was the topic recreated?", o.Partition, o.Topic, end.Offset, o.NextOffset)
		case o.NextOffset < start.Offset:
			f.Detail = fmt.Sprintf("partition %d of %s begins at %d, next_offset is %d: records between are lost", o.Partition, o.Topic, start.Offset, o.NextOffset)
		default:
			continue
		}
		v.result.Offsets++
		v.cfg.Found(f)
	}
	return nil
}

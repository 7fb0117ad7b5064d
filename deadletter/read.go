package deadletter

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// read calls do for the dead letters now in the topic, partition by partition,
// without those that f excludes by position. A topic that does not exist holds
// none.
func (q *Queue) read(ctx context.Context, f *Filter, do func(*DeadLetter) error) error {
	client, err := q.cfg.Security.Client(q.cfg.Brokers)
	if err != nil {
		return fmt.Errorf("create broker client: %w", err)
	}
	defer client.Close()
	adm := kadm.NewClient(client)
	starts, err := adm.ListStartOffsets(ctx, q.topic)
	if err == nil {
		err = starts.Error()
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list start offsets of %s: %w", q.topic, err)
	}
	ends, err := adm.ListEndOffsets(ctx, q.topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("list end offsets of %s: %w", q.topic, err)
	}
	for _, end := range ends.Offsets().Sorted() {
		start, _ := starts.Lookup(q.topic, end.Partition)
		from, to := f.bounds(end.Partition, start.Offset, end.At)
		if from >= to {
			continue
		}
		if err := q.readPartition(ctx, end.Partition, from, to, do); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) readPartition(ctx context.Context, partition int32, from, to int64, do func(*DeadLetter) error) error {
	client, err := q.cfg.Security.Client(q.cfg.Brokers,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{q.topic: {partition: kgo.NewOffset().At(from)}}),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.KeepControlRecords(), // without them, one at the end would be waited for
	)
	if err != nil {
		return fmt.Errorf("create broker client: %w", err)
	}
	defer client.Close()
	for {
		fetches := client.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %s: %w", q.topic, err)
		}
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("read %s: %w", q.topic, err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset < to && !r.Attrs.IsControl() {
				if err := do(Parse(r)); err != nil {
					return err
				}
			}
			if r.Offset+1 >= to {
				return nil
			}
		}
	}
}

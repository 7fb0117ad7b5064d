package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

const (
	// stalledAfter is how long a partition may have records and not advance before
	// ingest is not ready.
	stalledAfter = 30 * time.Second
	// suspectAfter is how long before its next batch is inspected.
	suspectAfter = 2 * time.Second
)

// topicState is what is known of the topic at the broker.
type topicState struct {
	mu   sync.Mutex
	id   string
	seen bool  // id is known
	gone bool  // the topic did not exist when the broker was asked last
	err  error // what prevents it from being read, as of the last poll
	lag  int64 // records of all partitions that are not ingested, of any process

	// adopted has the ID under which this process has begun each partition.
	adopted map[int32]string
	// distrusted has the partitions whose leader has lost records that were read.
	distrusted map[int32]bool
	// announced is the last ID that was logged as recreated.
	announced string
}

// errElsewhere: the offsets were moved to another topic after this process had
// begun. To move them back would go on for ever.
var errElsewhere = errors.New("another ingest reads a topic of this name that is not this one, for example in another cluster: stop one of them, or give them databases of their own")

// topicErr returns what prevents the topic from being read, or nil.
func (in *Ingester) topicErr() error {
	in.topic.mu.Lock()
	defer in.topic.mu.Unlock()
	return in.topic.err
}

// lookSoon makes watch look at the topic at once.
func (in *Ingester) lookSoon() {
	select {
	case in.nudge <- struct{}{}:
	default:
	}
}

// readTopic looks at the topic: whether it is there and still the same, and how
// far every partition is behind. Members read a topic that was recreated with
// new clients: their old ones ask for the old ID for ever.
func (in *Ingester) readTopic(ctx context.Context) error {
	meta, err := feed.ReadTopicMetadata(ctx, in.admin, in.cfg.Topic)
	s := &in.topic
	s.mu.Lock()
	switch {
	case errors.Is(err, feed.ErrNoTopic):
		if s.gone = true; s.seen {
			s.err = fmt.Errorf("topic: %s was deleted; it is read when it exists again", in.cfg.Topic)
		} else {
			s.err = fmt.Errorf("topic: %s does not exist; it is read when it does", in.cfg.Topic)
		}
	case err != nil:
		s.err = fmt.Errorf("broker: %w", err)
	case meta.Err != nil:
		s.err = fmt.Errorf("broker: topic %s: %w", in.cfg.Topic, meta.Err)
	default:
		s.err = nil
	}
	if err != nil {
		defer s.mu.Unlock()
		if errors.Is(err, feed.ErrNoTopic) {
			return s.err
		}
		return err
	}
	renew := s.seen && (s.id != meta.ID || s.gone)
	if s.id != meta.ID {
		clear(s.adopted)
	}
	s.id, s.seen, s.gone = meta.ID, true, false
	s.mu.Unlock()
	if renew {
		in.eachMember(func(m *member) { m.renewNeeded.Store(true); m.interrupt() })
	}
	return in.readEnds(ctx, meta)
}

func (in *Ingester) eachMember(do func(*member)) {
	in.metrics.mu.Lock()
	members := slices.Clone(in.metrics.members)
	in.metrics.mu.Unlock()
	for _, m := range members {
		do(m)
	}
}

// readEnds updates the lag of all partitions, also of those without new records
// and of those that nobody reads.
func (in *Ingester) readEnds(ctx context.Context, meta feed.TopicMetadata) error {
	starts, ends, err := in.ends(ctx)
	if err != nil {
		return err
	}
	arg := db.RecordTopicEndsParams{Topic: in.cfg.Topic, TopicID: meta.ID}
	ends.Each(func(o kadm.ListedOffset) {
		start, ok := starts.Lookup(in.cfg.Topic, o.Partition)
		if o.Err != nil || !ok || start.Err != nil {
			return
		}
		in.metrics.setEnd(o.Partition, o.Offset)
		arg.Partitions = append(arg.Partitions, o.Partition)
		arg.StartOffsets, arg.EndOffsets = append(arg.StartOffsets, start.Offset), append(arg.EndOffsets, o.Offset)
	})
	if err := in.queries.RecordTopicEnds(ctx, arg); err != nil {
		return fmt.Errorf("record end offsets: %w", err)
	}
	lag, err := in.queries.TopicLag(ctx, db.TopicLagParams{Topic: in.cfg.Topic, TopicID: meta.ID})
	if err != nil {
		return fmt.Errorf("read lag: %w", err)
	}
	in.topic.mu.Lock()
	in.topic.lag = lag
	in.topic.mu.Unlock()
	return nil
}

// ends lists the first and the next offset of every partition. A partition
// without a leader has an error.
func (in *Ingester) ends(ctx context.Context) (starts, ends kadm.ListedOffsets, err error) {
	adm := kadm.NewClient(in.admin)
	if starts, err = adm.ListStartOffsets(ctx, in.cfg.Topic); err != nil {
		return nil, nil, fmt.Errorf("list start offsets: %w", err)
	}
	if ends, err = adm.ListEndOffsets(ctx, in.cfg.Topic); err != nil {
		return nil, nil, fmt.Errorf("list end offsets: %w", err)
	}
	return starts, ends, nil
}

// start is where to read a partition, and in which topic.
type start struct {
	id        string
	next, end int64
}

// locate returns where to read the given partitions. It begins those that the
// database does not know, and those whose records are no longer the ones that
// the offset counted.
func (in *Ingester) locate(ctx context.Context, ids []int32) (map[int32]start, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	meta, err := feed.ReadTopicMetadata(ctx, in.admin, in.cfg.Topic)
	if err != nil {
		return nil, err
	}
	starts, ends, err := in.ends(ctx)
	if err != nil {
		return nil, err
	}
	begin := make([]int64, len(ids))
	for i, id := range ids {
		first, ok := starts.Lookup(in.cfg.Topic, id)
		if ok && first.Err == nil {
			var end kadm.ListedOffset
			end, ok = ends.Lookup(in.cfg.Topic, id)
			first.Err = end.Err
		}
		if !ok || first.Err != nil {
			return nil, fmt.Errorf("partition %d: not listed by the broker: %w", id, first.Err)
		}
		begin[i] = first.Offset
	}
	if err := in.queries.InsertIngestOffsets(ctx, db.InsertIngestOffsetsParams{
		Topic: in.cfg.Topic, TopicID: meta.ID, Partitions: ids, NextOffsets: begin,
	}); err != nil {
		return nil, fmt.Errorf("add offsets: %w", err)
	}
	rows, err := in.queries.IngestOffsets(ctx, db.IngestOffsetsParams{Topic: in.cfg.Topic, Partitions: ids})
	if err != nil {
		return nil, fmt.Errorf("read offsets: %w", err)
	}
	if starts, ends, err = in.confirmEnds(ctx, meta, rows, starts, ends); err != nil {
		return nil, err
	}
	at := make(map[int32]start, len(rows))
	for _, r := range rows {
		first, ok := starts.Lookup(in.cfg.Topic, r.Partition)
		end, also := ends.Lookup(in.cfg.Topic, r.Partition)
		if !ok || !also || first.Err != nil || end.Err != nil {
			return nil, fmt.Errorf("partition %d: not listed by the broker: %w", r.Partition, errors.Join(first.Err, end.Err))
		}
		next, err := in.place(ctx, meta, r, first.Offset, end.Offset)
		if err != nil {
			return nil, fmt.Errorf("partition %d: %w", r.Partition, err)
		}
		at[r.Partition] = start{meta.ID, next, end.Offset}
	}
	in.topic.mu.Lock()
	defer in.topic.mu.Unlock()
	for id := range at {
		in.topic.adopted[id] = meta.ID
	}
	return at, nil
}

var errMoved = errors.New("another member moved its offset")

// place returns the offset at which to read a partition, and moves that in the
// database where it has to.
func (in *Ingester) place(ctx context.Context, meta feed.TopicMetadata, r db.IngestOffsetsRow, first, end int64) (int64, error) {
	next := r.NextOffset
	if r.TopicID != meta.ID && r.TopicID != "" {
		in.topic.mu.Lock()
		adopted, ok := in.topic.adopted[r.Partition]
		in.topic.mu.Unlock()
		if ok && adopted == meta.ID {
			listed, err := in.queries.TopicListed(ctx, db.TopicListedParams{Topic: in.cfg.Topic, TopicID: r.TopicID})
			if err != nil {
				return 0, fmt.Errorf("ask for the other topic: %w", err)
			}
			ok = listed
		}
		if ok && adopted == meta.ID {
			return 0, fmt.Errorf("topic: its offset counts in topic ID %s, and the broker's is %s: %w", r.TopicID, meta.ID, errElsewhere)
		}
		return first, in.restart(ctx, meta, r, first, "recreated")
	}
	in.topic.mu.Lock()
	distrusted := in.topic.distrusted[r.Partition]
	in.topic.mu.Unlock()
	if distrusted { // others may stand at the offsets that were read
		if err := in.restart(ctx, meta, r, first, "truncated"); err != nil {
			return 0, err
		}
		in.topic.mu.Lock()
		delete(in.topic.distrusted, r.Partition)
		in.topic.mu.Unlock()
		return first, nil
	}
	if next > end {
		return first, in.restart(ctx, meta, r, first, "truncated")
	}
	if r.TopicID != meta.ID {
		n, err := in.queries.AdoptIngestOffset(ctx, db.AdoptIngestOffsetParams{
			Topic: in.cfg.Topic, Partition: r.Partition, TopicID: meta.ID, Expected: next,
		})
		if err != nil {
			return 0, fmt.Errorf("note topic ID: %w", err)
		}
		if n == 0 {
			return 0, errMoved
		}
	}
	if next >= first {
		return next, nil
	}
	moved, err := in.queries.SkipIngestOffset(ctx, db.SkipIngestOffsetParams{
		Topic: in.cfg.Topic, TopicID: meta.ID, Partition: r.Partition, NextOffset: first, Expected: next,
	})
	if err != nil {
		return 0, fmt.Errorf("skip offsets: %w", err)
	}
	if !moved {
		return 0, errMoved
	}
	in.metrics.lost.Add(float64(first - next))
	in.log.Error("records deleted by the broker before they were ingested: raise the retention of the topic or ingest faster",
		slog.Int("partition", int(r.Partition)), slog.Int64("from", next), slog.Int64("to", first-1))
	return first, nil
}

// restart begins a partition again at its first record: the offset in the
// database counts in a topic that is gone, or counts records that are gone. What
// is stored already is recognised.
func (in *Ingester) restart(ctx context.Context, meta feed.TopicMetadata, r db.IngestOffsetsRow, first int64, why string) error {
	lost, err := in.queries.RestartIngestOffset(ctx, db.RestartIngestOffsetParams{
		Topic: in.cfg.Topic, TopicID: meta.ID, Partition: r.Partition, NextOffset: first,
		ExpectedID: r.TopicID, Expected: r.NextOffset, Reason: why,
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return errMoved
	}
	if err != nil {
		return fmt.Errorf("restart: %w", err)
	}
	in.metrics.topicRestarts.Inc()
	in.metrics.lost.Add(float64(lost))
	log := in.log.With(slog.Int("partition", int(r.Partition)), slog.Int64("offset", r.NextOffset), slog.Int64("from", first))
	if why == "truncated" {
		log.Error("the broker has lost records that were ingested: reading the partition from its start")
		return nil
	}
	gone, err := in.queries.ForgetPartitions(ctx, db.ForgetPartitionsParams{Topic: in.cfg.Topic, TopicID: meta.ID, Partitions: meta.Partitions})
	if err != nil {
		return fmt.Errorf("remove partitions: %w", err)
	}
	in.metrics.lost.Add(float64(gone))
	in.topic.mu.Lock()
	known := in.topic.announced == meta.ID
	in.topic.announced = meta.ID
	in.topic.mu.Unlock()
	if !known { // the other partitions say the same
		in.log.Warn("the topic was recreated, or is another one: reading it from its start",
			slog.String("old_topic_id", r.TopicID), slog.String("topic_id", meta.ID))
	}
	return nil
}

// confirmEnds lists the ends again while a partition ends before its offset, for
// some seconds: a leader that was just elected may report an older end at first.
func (in *Ingester) confirmEnds(ctx context.Context, meta feed.TopicMetadata, rows []db.IngestOffsetsRow, starts, ends kadm.ListedOffsets) (kadm.ListedOffsets, kadm.ListedOffsets, error) {
	early := func(r db.IngestOffsetsRow) bool {
		end, _ := ends.Lookup(in.cfg.Topic, r.Partition)
		return (r.TopicID == meta.ID || r.TopicID == "") && r.NextOffset > end.Offset
	}
	for range 10 {
		if !slices.ContainsFunc(rows, early) {
			break
		}
		timer := time.NewTimer(300 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, nil, ctx.Err()
		}
		var err error
		if starts, ends, err = in.ends(ctx); err != nil {
			return nil, nil, err
		}
	}
	return starts, ends, nil
}

// forgetEnds removes what was listed of topics that are long gone.
func (in *Ingester) forgetEnds(ctx context.Context) error {
	in.topic.mu.Lock()
	id, seen := in.topic.id, in.topic.seen
	in.topic.mu.Unlock()
	if !seen {
		return nil
	}
	return in.queries.ForgetTopicEnds(ctx, db.ForgetTopicEndsParams{Topic: in.cfg.Topic, TopicID: id})
}

package ingest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hypertick/hypertick/feed"
)

// offsetOf is the position of a record.
type offsetOf struct {
	partition int32
	offset    int64
}

// hole is a range of records that cannot be read: a batch that is corrupt, or
// that unpacks to more than memory allows.
type hole struct {
	partition *partition
	from, to  int64 // first and last offset
	epoch     int32 // leader epoch of the batch
	err       error
}

// fetchError handles an error of a partition. It returns true if the batch at the
// next offset may be unreadable, so that it has to be inspected.
func (m *member) fetchError(id int32, err error) (inspect bool) {
	log := m.log.With(slog.Int("partition", int(id)), slog.Any("error", err))
	var (
		lost   *kgo.ErrDataLoss
		broker *kerr.Error
		group  *kgo.ErrGroupSession
	)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, kgo.ErrClientClosed):
		return false
	case errors.Is(err, kerr.FencedInstanceID):
		select {
		case m.fatal <- fmt.Errorf("another process runs as instance %q of group %q: give each its own instance name: %w",
			m.in.cfg.Instance, m.in.cfg.Group, err):
		default:
		}
		return false
	case errors.Is(err, kerr.OffsetOutOfRange), errors.As(err, &lost):
		if lost != nil {
			m.in.topic.mu.Lock()
			m.in.topic.distrusted[id] = true
			m.in.topic.mu.Unlock()
		}
		log.Error("offset out of range at the broker, reading offsets from the database")
		m.resetNeeded.Store(true)
		return false
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, kerr.UnknownTopicID):
		m.in.lookSoon() // it says what is wrong, and what follows
	case errors.As(err, &broker), errors.As(err, &group), m.parts[id] == nil:
		m.in.metrics.fetchErrors.Inc()
		log.Warn("fetch failed, retrying")
	default:
		m.in.metrics.fetchErrors.Inc()
		inspect = true
	}
	m.fetchErrors[id] = fetchFailure{m.in.cfg.Now(), err}
	return inspect
}

// inspect returns the holes of partitions whose fetch failed. It asks the broker
// for the batch once more: an error on the way is not one of the batch.
func (m *member) inspect(ctx context.Context, failed map[int32]error) []hole {
	var holes []hole
	for id, err := range failed {
		m.mu.Lock()
		p := m.parts[id]
		m.mu.Unlock()
		if p == nil {
			continue
		}
		if large, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err); ok {
			holes = append(holes, hole{p, max(large.Offset, p.next), large.NextOffset - 1, large.Epoch,
				&feed.FieldError{Field: "batch", Want: fmt.Sprintf("want at most %d MiB unpacked, got more", maxUnpacked>>20)}})
			continue
		}
		h, ierr := m.inspectBatch(ctx, p)
		switch {
		case ierr != nil:
			m.log.Warn("fetch failed, retrying", slog.Int("partition", int(id)), slog.Any("error", err), slog.Any("inspection", ierr))
		case h == nil:
			m.log.Warn("fetch failed, retrying", slog.Int("partition", int(id)), slog.Any("error", err))
		default:
			holes = append(holes, *h)
		}
	}
	return holes
}

// inspectBatch fetches the batch at the next offset of a partition, and returns
// it as a hole if it is complete and cannot be read.
func (m *member) inspectBatch(ctx context.Context, p *partition) (*hole, error) {
	meta, err := feed.ReadTopicMetadata(ctx, m.in.admin, m.in.cfg.Topic)
	if err != nil {
		return nil, err
	}
	leader, _, err := m.cl.PartitionLeader(m.in.cfg.Topic, p.id)
	if err != nil {
		return nil, fmt.Errorf("find leader: %w", err)
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 500, 1, maxFetch, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = m.in.cfg.Topic, meta.Raw
	q := kmsg.NewFetchRequestTopicPartition()
	q.Partition, q.FetchOffset, q.PartitionMaxBytes = p.id, p.next, maxFetch
	t.Partitions = append(t.Partitions, q)
	req.Topics = append(req.Topics, t)
	answer, err := m.in.admin.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, fmt.Errorf("fetch: %w", err)
	}
	for _, t := range answer.(*kmsg.FetchResponse).Topics {
		for _, r := range t.Partitions {
			if r.Partition != p.id {
				continue
			}
			if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
				return nil, fmt.Errorf("fetch: %w", err)
			}
			return readBatch(m.in.cfg.Topic, p, &r)
		}
	}
	return nil, errors.New("fetch: no answer for the partition")
}

// batchHeader is what precedes the records of a batch: first offset, length,
// leader epoch, magic, checksum, attributes, last offset delta and others.
const batchHeader = 61

// readBatch returns the first complete batch of r that ends at or after the next
// offset, if the client cannot read it.
func readBatch(topic string, p *partition, r *kmsg.FetchResponseTopicPartition) (*hole, error) {
	in := r.RecordBatches
	for len(in) >= batchHeader {
		size := int64(binary.BigEndian.Uint32(in[8:])) + 12
		if size < batchHeader || size > int64(len(in)) {
			return nil, errors.New("fetch: the batch is not complete")
		}
		first, last := int64(binary.BigEndian.Uint64(in)), int64(int32(binary.BigEndian.Uint32(in[23:])))
		last = max(first+last, first)
		if last < p.next {
			in = in[size:]
			continue
		}
		one := *r
		one.RecordBatches = in[:size]
		got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{
			KeepControlRecords: true, Offset: p.next, Topic: topic, Partition: p.id,
		}, &one, kgo.DefaultDecompressor(), nil) // unbounded, but a batch that is too large was sorted out before
		if got.Err == nil {
			return nil, nil
		}
		return &hole{p, max(first, p.next), last, int32(binary.BigEndian.Uint32(in[12:])),
			&feed.FieldError{Field: "batch", Want: fmt.Sprintf("want one that can be read, got %d bytes: %v", size, got.Err)}}, nil
	}
	return nil, errors.New("fetch: no batch")
}

// skip makes each hole a dead letter of b, and moves the client past it.
func (m *member) skip(b *batch, holes []hole) {
	if len(holes) == 0 {
		return
	}
	set := make(map[int32]kgo.EpochOffset, len(holes))
	m.mu.Lock()
	for _, h := range holes {
		if m.parts[h.partition.id] != h.partition {
			continue
		}
		m.log.Error("records cannot be read, skipped: see hypertick dlq list", slog.Int("partition", int(h.partition.id)),
			slog.Int64("from", h.from), slog.Int64("to", h.to), slog.Any("error", h.err))
		c := b.chunkOf(h.partition)
		// It stands for the whole range.
		r := &kgo.Record{Topic: m.in.cfg.Topic, Partition: h.partition.id, Offset: h.from, Timestamp: m.in.cfg.Now()}
		c.records, c.ticks = append(c.records, r), append(c.ticks, tick{})
		d := newDeadLetter(r, h.err)
		if h.to > h.from {
			d.reason += fmt.Sprintf(" (offsets %d to %d)", h.from, h.to)
			c.records = append(c.records, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: h.to})
			c.ticks = append(c.ticks, tick{pos: skipped})
		}
		c.dead = append(c.dead, d)
		set[h.partition.id] = kgo.EpochOffset{Epoch: -1, Offset: h.to + 1}
		delete(m.fetchErrors, h.partition.id)
	}
	m.mu.Unlock()
	m.cl.SetOffsets(map[string]map[int32]kgo.EpochOffset{m.in.cfg.Topic: set})
}

// chunkOf returns the chunk of a partition, which it adds if there is none.
func (b *batch) chunkOf(p *partition) *chunk {
	for i := range b.chunks {
		if b.chunks[i].partition == p {
			return &b.chunks[i]
		}
	}
	return b.addChunk(p)
}

// refusal returns why the database refuses a row for what is in it, or nil: it
// will refuse it for ever.
func refusal(err error) *pgconn.PgError {
	e, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return nil
	}
	switch e.Code {
	case "23514", // check_violation
		"23502",          // not_null_violation
		"22001",          // string_data_right_truncation
		"22003",          // numeric_value_out_of_range
		"22008",          // datetime_field_overflow
		"22021", "22P05": // character_not_in_repertoire, untranslatable_character
		return e
	}
	return nil
}

// narrow finds the record that the database refuses: b is read again with half
// as many records, until one record is left. That is a dead letter then.
func (m *member) narrow(b *batch, why *pgconn.PgError) {
	n := 0
	var last *kgo.Record
	for i := range b.chunks {
		for _, r := range b.chunks[i].records {
			n, last = n+1, r
		}
	}
	m.resets.Store(0) // nobody else moves the same feeds
	if n > 1 {
		m.limit.Store(int64(max(1, n/2)))
		m.log.Warn("the database refuses a record, looking for it", slog.Int("records", n), slog.Any("error", why))
		return
	}
	m.log.Error("the database refuses a record, it becomes a dead letter", slog.Int("partition", int(last.Partition)),
		slog.Int64("offset", last.Offset), slog.Any("error", why))
	reason := why.Message
	if why.ConstraintName != "" {
		reason = why.ConstraintName + ": " + reason
	}
	m.mu.Lock()
	m.refused[offsetOf{last.Partition, last.Offset}] = &feed.FieldError{Field: "database", Want: "refuses it: " + reason}
	m.mu.Unlock()
}

// widen lets the next batch be larger after one was stored.
func (m *member) widen() {
	if n := m.limit.Load(); n > 0 {
		if n *= 2; n >= int64(m.in.cfg.MaxBatch) {
			n = 0
		}
		m.limit.Store(n)
	}
}

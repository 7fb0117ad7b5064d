package ingest

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

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
	case errors.Is(err, errNoMemory):
		return true
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

// wait reports whether the only failures are for want of memory, and lets the
// writer go on a little.
func (m *member) wait(ctx context.Context, failed map[int32]error) bool {
	for _, err := range failed {
		if !errors.Is(err, errNoMemory) {
			return false
		}
	}
	m.pause(ctx, 20*time.Millisecond)
	return true
}

// errSuspect: a partition has records and does not advance, without an error.
var errSuspect = errors.New("the partition does not advance")

// suspect makes the members inspect partitions that do not advance while nothing
// of them is being written: the client drops a batch with fewer records than it
// claims silently, and fetches it again.
func (in *Ingester) suspect() {
	ids := in.metrics.allStalled(suspectAfter)
	if len(ids) == 0 {
		return
	}
	in.eachMember(func(m *member) {
		if m.flight.busy() {
			return
		}
		m.mu.Lock()
		for _, id := range ids {
			if m.parts[id] != nil {
				m.suspects[id] = errSuspect
			}
		}
		m.mu.Unlock()
		m.interrupt()
	})
}

// inspect returns the holes of partitions whose fetch failed. It asks the broker
// for the batch once more: an error on the way is not one of the batch.
func (m *member) inspect(ctx context.Context, failed map[int32]error) []hole {
	var holes []hole
	for id, err := range failed {
		m.mu.Lock()
		p := m.parts[id]
		m.mu.Unlock()
		if p == nil || errors.Is(err, errNoMemory) {
			continue
		}
		if large, ok := errors.AsType[*kgo.ErrDecompressTooLarge](err); ok {
			holes = append(holes, hole{p, max(large.Offset, p.next), large.NextOffset - 1, errTooLarge})
			continue
		}
		found, ierr := m.holes(ctx, p, p.next, p.next)
		switch {
		case errors.Is(ierr, errNoMemory), ierr == nil && len(found) == 0 && errors.Is(err, errSuspect):
		case ierr != nil:
			m.log.Warn("fetch failed, retrying", slog.Int("partition", int(id)), slog.Any("error", err), slog.Any("inspection", ierr))
		case len(found) == 0:
			m.log.Warn("fetch failed, retrying", slog.Int("partition", int(id)), slog.Any("error", err))
		default:
			holes = append(holes, found...)
		}
	}
	return holes
}

// holes returns the batches of a partition between two offsets that cannot be
// read. It fetches them once more.
func (m *member) holes(ctx context.Context, p *partition, from, to int64) (found []hole, err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for at := from; at <= to; {
		in, err := m.fetch(ctx, p.id, at)
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		before := at
		for len(in) >= batchHeader && at <= to {
			size := int64(binary.BigEndian.Uint32(in[8:])) + 12
			if size < batchHeader || size > int64(len(in)) {
				break // the rest of the answer
			}
			first, last := int64(binary.BigEndian.Uint64(in)), int64(int32(binary.BigEndian.Uint32(in[23:])))
			last = max(first+last, first)
			if last >= at && first <= to {
				err := m.in.readable(p.id, in[:size])
				switch {
				case errors.Is(err, errNoMemory):
					return nil, err
				case err != nil:
					found = append(found, hole{p, max(first, at), last, err})
				}
			}
			at = max(at, last+1)
			in = in[size:]
		}
		if at == before {
			return nil, errors.New("fetch: no complete batch")
		}
	}
	return found, nil
}

// fetch returns batches of a partition from the one with the offset on.
func (m *member) fetch(ctx context.Context, id int32, offset int64) ([]byte, error) {
	meta, err := feed.ReadTopicMetadata(ctx, m.in.admin, m.in.cfg.Topic)
	if err != nil {
		return nil, err
	}
	leader, _, err := m.cl.PartitionLeader(m.in.cfg.Topic, id)
	if err != nil {
		return nil, err
	}
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 500, 1, maxFetch, -1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = m.in.cfg.Topic, meta.Raw
	q := kmsg.NewFetchRequestTopicPartition()
	q.Partition, q.FetchOffset, q.PartitionMaxBytes = id, offset, maxFetch
	t.Partitions = append(t.Partitions, q)
	req.Topics = append(req.Topics, t)
	answer, err := m.in.admin.Broker(int(leader)).RetriableRequest(ctx, req)
	if err != nil {
		return nil, err
	}
	resp, ok := answer.(*kmsg.FetchResponse)
	if !ok || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		return nil, errors.New("no answer for the partition")
	}
	r := &resp.Topics[0].Partitions[0]
	return r.RecordBatches, kerr.ErrorForCode(r.ErrorCode)
}

// batchHeader is what precedes the records of a batch: first offset, length,
// leader epoch, magic, checksum, attributes, last offset delta and others.
const batchHeader = 61

// readable returns why the records of a batch cannot be read, or nil. The client
// says nothing where a batch has fewer records than it claims.
func (in *Ingester) readable(id int32, b []byte) error {
	got, _ := kgo.ProcessFetchPartition(kgo.ProcessFetchPartitionOpts{KeepControlRecords: true, Topic: in.cfg.Topic, Partition: id},
		&kmsg.FetchResponseTopicPartition{Partition: id, HighWatermark: 1 << 62, RecordBatches: b}, in.unpacker, nil)
	claimed := int(int32(binary.BigEndian.Uint32(b[57:])))
	switch {
	case errors.Is(got.Err, errNoMemory):
		return got.Err
	case errors.Is(got.Err, kgo.ErrMaxDecompress):
		return errTooLarge
	case got.Err != nil:
		return &feed.FieldError{Field: "batch", Want: fmt.Sprintf("want one that can be read, got %d bytes: %v", len(b), got.Err)}
	case len(got.Records) < claimed:
		return &feed.FieldError{Field: "batch", Want: fmt.Sprintf("want %d records, got %d in %d bytes", claimed, len(got.Records), len(b))}
	}
	return nil
}

var errTooLarge = &feed.FieldError{
	Field: "batch", Want: fmt.Sprintf("want at most %d MiB unpacked, and %d MiB with its records, got more", maxUnpacked>>20, maxBatchMemory>>20),
}

// gapOf is a range of offsets that a fetch left out.
type gapOf struct {
	partition *partition
	from, to  int64
}

// fill looks into the gaps of a fetch. One is an aborted transaction, or what
// compaction left out, or a batch that the client passed over silently:
// that becomes a dead letter in its place.
func (m *member) fill(ctx context.Context, b *batch, gaps []gapOf) {
	for len(gaps) > 0 { // those of a partition follow each other
		p, n := gaps[0].partition, 1
		for n < len(gaps) && gaps[n].partition == p {
			n++
		}
		holes, err := m.holes(ctx, p, gaps[0].from, gaps[n-1].to)
		if err != nil {
			m.log.Warn("gap in the offsets cannot be inspected, reading again", slog.Int("partition", int(p.id)), slog.Any("error", err))
			m.resetNeeded.Store(true)
			return
		}
		for _, g := range gaps[:n] {
			for _, h := range holes {
				if h.from, h.to = max(h.from, g.from), min(h.to, g.to); h.from <= h.to {
					m.logHole(h)
					b.chunkOf(p).insert(m.in, h)
				}
			}
		}
		gaps = gaps[n:]
	}
}

func (m *member) logHole(h hole) {
	m.log.Error("records cannot be read, skipped: see hypertick dlq list", slog.Int("partition", int(h.partition.id)),
		slog.Int64("from", h.from), slog.Int64("to", h.to), slog.Any("error", h.err))
}

// insert puts a dead letter that stands for the whole hole in its place among the
// records.
func (c *chunk) insert(in *Ingester, h hole) {
	at, dead := 0, 0
	for at < len(c.records) && c.records[at].Offset < h.from {
		if c.ticks[at].isDead() {
			dead++
		}
		at++
	}
	r := &kgo.Record{Topic: in.cfg.Topic, Partition: h.partition.id, Offset: h.from, Timestamp: in.cfg.Now()}
	d := newDeadLetter(r, h.err)
	records, ticks := []*kgo.Record{r}, []tick{{}}
	if h.to > h.from {
		d.reason += fmt.Sprintf(" (offsets %d to %d)", h.from, h.to)
		records = append(records, &kgo.Record{Topic: r.Topic, Partition: r.Partition, Offset: h.to})
		ticks = append(ticks, tick{control: true})
	}
	c.records, c.ticks = slices.Insert(c.records, at, records...), slices.Insert(c.ticks, at, ticks...)
	c.dead = slices.Insert(c.dead, dead, d)
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
		m.logHole(h)
		b.chunkOf(h.partition).insert(m.in, h)
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

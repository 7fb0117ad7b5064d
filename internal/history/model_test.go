// Package history tests the whole of ingest, backfill and the jobs with random
// histories of feeds: whatever comes, in whatever order and how often, is stored
// once, and everything above it follows.
package history

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/backfill"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
	"github.com/hypertick/hypertick/internal/wait"
)

var (
	histories = flag.Int("histories", 500, "number of random histories")
	firstSeed = flag.Uint64("seed", 1, "seed of the first history; a failure names that of its own")
)

const (
	together   = 50 // histories that share a round
	steps      = 6
	partitions = 4
	maxBatch   = 100
)

// key identifies a trade of a history.
type key struct{ ts, seq int64 }

// history is the life of one feed, and what must be left of it.
type history struct {
	seed   uint64
	rng    *rand.Rand
	symbol string
	keyed  bool // its producer sends keys

	now   int64 // trade time of its newest tick
	seq   int64
	sent  []feed.Tick        // in the order of trade
	left  map[feed.Tick]bool // must be stored
	log   []string           // what happened, for a failure
	files [][]feed.Tick      // that are backfilled
	moved map[key]bool       // cancelled, corrected or in conflict: nothing follows
	used  map[key]bool
}

func newHistory(seed uint64) *history {
	h := &history{
		seed: seed, rng: rand.New(rand.NewPCG(seed, 12)), symbol: fmt.Sprintf("H%d", seed),
		left: map[feed.Tick]bool{}, moved: map[key]bool{}, used: map[key]bool{},
	}
	h.keyed = h.rng.IntN(3) > 0
	age := time.Duration(h.rng.IntN(5*24*60)) * time.Minute
	h.now = time.Now().Add(-age - 6*time.Hour).Truncate(time.Second).UnixMicro()
	return h
}

func (h *history) did(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// trade makes the next tick of the feed: numbers begin again, jump, or repeat, and
// times are equal or fall behind.
func (h *history) trade() feed.Tick {
	switch h.rng.IntN(60) {
	case 0:
		h.seq = h.rng.Int64N(3)
		h.did("numbers begin again at %d", h.seq)
	case 1:
		h.seq += 2 + h.rng.Int64N(5)
	case 2:
		h.did("one number of nanoseconds")
		return h.tick(1_795_546_800_000_000_000 + h.rng.Int64N(1e9))
	case 3:
		return h.tick(math.MaxInt64)
	case 4: // the same number again
	default:
		h.seq++
	}
	return h.tick(h.seq)
}

func (h *history) tick(seq int64) feed.Tick {
	ts := h.now
	switch h.rng.IntN(12) {
	case 0: // the same time
	case 1: // late
		ts -= h.rng.Int64N(3_600_000_000)
	case 2:
		h.now += h.rng.Int64N(1_200_000_000)
		ts = h.now
	default:
		h.now += 1 + h.rng.Int64N(20_000_000)
		ts = h.now
	}
	for h.used[key{ts, seq}] {
		ts++
	}
	h.used[key{ts, seq}] = true
	t := feed.Tick{
		Symbol: h.symbol, Venue: "M", TS: ts, Seq: seq, Price: math.Round(10000+1000*math.Sin(float64(ts)/3e9)+float64(h.rng.IntN(200))) / 100,
		Size: float64(h.rng.IntN(500)), Side: feed.Side(h.rng.IntN(3) - 1),
	}
	return t
}

// came notes a trade that is sent.
func (h *history) came(t feed.Tick) {
	h.sent = append(h.sent, t)
	h.left[t] = true
}

// one returns a trade that is stored, if the one it chooses is.
func (h *history) one() (feed.Tick, bool) {
	if len(h.sent) == 0 {
		return feed.Tick{}, false
	}
	t := h.sent[h.rng.IntN(len(h.sent))]
	return t, h.left[t]
}

// message makes the next thing that the feed sends.
func (h *history) message() feed.Tick {
	switch h.rng.IntN(14) {
	case 0: // a repetition, of any age
		if len(h.sent) > 0 {
			return h.sent[h.rng.IntN(len(h.sent))]
		}
	case 1: // a conflict, which is kept
		if t, ok := h.one(); ok && !h.moved[key{t.TS, t.Seq}] {
			h.moved[key{t.TS, t.Seq}] = true
			t.Price++
			h.did("conflict at %d", t.Seq)
			h.came(t)
			return t
		}
	case 2: // a cancel
		t, ok := h.one()
		if h.rng.IntN(3) == 0 { // before it comes
			t, ok = h.trade(), true
			h.sent = append(h.sent, t) // a repetition may send it
		}
		if k := (key{t.TS, t.Seq}); ok && !h.moved[k] {
			h.moved[k] = true
			delete(h.left, t)
			h.did("cancel %d", t.Seq)
			return feed.Tick{Kind: feed.Cancel, Symbol: t.Symbol, Venue: t.Venue, TS: t.TS, Seq: t.Seq}
		}
	case 3: // a correction
		t, ok := h.one()
		if k := (key{t.TS, t.Seq}); ok && !h.moved[k] {
			h.moved[k] = true
			delete(h.left, t)
			t.Price, t.Size = t.Price+1.5, t.Size+1
			h.left[t] = true
			h.did("correct %d", t.Seq)
			c := t
			c.Kind = feed.Correct
			return c
		}
	}
	t := h.trade()
	h.came(t)
	return t
}

// step makes the records and the files of one step.
func (h *history) step() (recs []*kgo.Record) {
	for range h.rng.IntN(25) {
		t := h.message()
		r := &kgo.Record{Topic: feed.Topic, Value: feed.AppendJSON(nil, &t), Timestamp: time.UnixMicro(h.now), Partition: int32(h.seed % partitions)}
		if !h.keyed && t.Kind == feed.Trade {
			r.Partition = int32(h.rng.IntN(partitions))
		}
		recs = append(recs, r)
		if t.Kind == feed.Trade && h.rng.IntN(8) == 0 { // by another feed handler
			again := *r
			recs = append(recs, &again)
		}
	}
	if h.rng.IntN(4) == 0 { // out of order, within its partition too, but for changes
		h.shuffle(recs)
	}
	h.files = nil
	for range h.rng.IntN(3) {
		if n := len(h.sent); n > 0 && h.rng.IntN(3) == 0 {
			from := h.rng.IntN(n)
			file := slices.Clone(h.sent[from : from+1+h.rng.IntN(n-from)])
			for range h.rng.IntN(5) { // what only the file has
				t := h.trade()
				h.came(t)
				file = append(file, t)
			}
			h.rng.Shuffle(len(file), func(i, j int) { file[i], file[j] = file[j], file[i] })
			h.files = append(h.files, file)
			h.did("file of %d ticks", len(file))
		}
	}
	return recs
}

// shuffle keeps the order of the changes among themselves.
func (h *history) shuffle(recs []*kgo.Record) {
	h.rng.Shuffle(len(recs), func(i, j int) {
		if !strings.Contains(string(recs[i].Value), `"type"`) && !strings.Contains(string(recs[j].Value), `"type"`) {
			recs[i], recs[j] = recs[j], recs[i]
		}
	})
}

// rig is what all rounds share.
type rig struct {
	t      *testing.T
	ctx    context.Context
	db     *dbtest.DB
	pool   *pgxpool.Pool
	client *kgo.Client
	broker *kfake.Cluster
	stop   func() // ingest
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, ctx: t.Context(), db: dbtest.New(t)}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, feed.Topic), kfake.SeedTopics(1, feed.DeadLetterTopic(feed.Topic)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r.broker = c
	r.connect()
	t.Cleanup(func() { r.client.Close() })
	if r.pool, err = db.NewPool(r.db.URLAs(t, "hypertick_writer"), 6); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.pool.Close)
	return r
}

// start starts ingest, with one or two members, and so many records in a batch.
func (r *rig) start(workers, batch int) {
	r.t.Helper()
	in, err := ingest.New(ingest.Config{
		Brokers: r.broker.ListenAddrs(), Pool: r.pool, Log: slog.New(slog.DiscardHandler), SessionTimeout: 6 * time.Second,
		Workers: workers, MaxBatch: batch,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Errorf("ingest: %v", err)
		}
		r.stop = func() {}
	}
	r.t.Cleanup(func() { r.stop() })
}

// kill ends the database's sessions in the middle of whatever they do.
func (r *rig) kill() {
	if r.db.Embedded != nil {
		return
	}
	_, err := r.db.Pool.Exec(r.ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND usename = 'hypertick_writer'`)
	if err != nil {
		r.t.Fatal(err)
	}
}

// ingested waits until every partition of the topic as it is now is ingested.
func (r *rig) ingested() {
	r.t.Helper()
	meta, err := feed.ReadTopicMetadata(r.ctx, r.client, feed.Topic)
	if err != nil {
		r.t.Fatal(err)
	}
	ends, err := kadm.NewClient(r.client).ListEndOffsets(r.ctx, feed.Topic)
	if err != nil {
		r.t.Fatal(err)
	}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset == 0 {
			return
		}
		var next int64
		wait.For(r.t, fmt.Sprintf("partition %d is ingested up to %d", o.Partition, o.Offset), func() (any, bool) {
			_ = r.db.Pool.QueryRow(r.ctx, "SELECT next_offset FROM ingest_offsets WHERE topic = $1 AND partition = $2 AND topic_id = $3",
				feed.Topic, o.Partition, meta.ID).Scan(&next)
			return next, next >= o.Offset
		})
	})
}

// recreate deletes the topic, all of which is ingested, and creates it again.
func (r *rig) recreate() {
	r.t.Helper()
	adm := kadm.NewClient(r.client)
	if _, err := adm.DeleteTopic(r.ctx, feed.Topic); err != nil {
		r.t.Fatal(err)
	}
	wait.Until(r.t, "the topic is created", func() bool {
		_, err := adm.CreateTopic(r.ctx, partitions, 1, nil, feed.Topic)
		return err == nil
	})
	r.client.Close()
	r.connect()
}

// connect makes the client that produces. One that knew the topic before it was
// deleted would not do.
func (r *rig) connect() {
	r.t.Helper()
	var err error
	if r.client, err = kgo.NewClient(kgo.SeedBrokers(r.broker.ListenAddrs()...), kgo.RecordPartitioner(kgo.ManualPartitioner())); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Pool.Exec(r.ctx, sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

func (r *rig) backfill(file []feed.Tick) error {
	l := backfill.New(backfill.Config{Pool: r.pool, Batch: 25, Log: slog.New(slog.DiscardHandler)})
	for i := range file {
		if err := l.Add(r.ctx, &file[i]); err != nil {
			return err
		}
	}
	return l.Flush(r.ctx)
}

// step sends what the histories send in one step, while ingest runs, is killed or
// is down, and files are loaded beside it.
func (r *rig) step(rng *rand.Rand, all []*history) {
	r.t.Helper()
	var lists [][]*kgo.Record
	for _, h := range all {
		lists = append(lists, h.step())
	}
	var recs []*kgo.Record
	for len(lists) > 0 { // interleaved, each in its own order
		i := rng.IntN(len(lists))
		if len(lists[i]) == 0 {
			lists = slices.Delete(lists, i, i+1)
			continue
		}
		recs, lists[i] = append(recs, lists[i][0]), lists[i][1:]
	}
	if rng.IntN(8) == 0 {
		r.recreate()
	}
	half := len(recs) / 2
	produce := func(recs []*kgo.Record) {
		if err := r.client.ProduceSync(r.ctx, recs...).FirstErr(); err != nil {
			r.t.Fatal(err)
		}
	}
	produce(recs[:half])
	switch rng.IntN(4) {
	case 0:
		r.stop()
		r.start(1+rng.IntN(2), maxBatch)
	case 1:
		r.kill()
	}
	produce(recs[half:])
	for _, h := range all {
		for _, file := range h.files {
			err := r.backfill(file)
			for n := 0; err != nil && n < 5; n++ { // a killed load is repeated
				err = r.backfill(file)
			}
			if err != nil {
				r.t.Fatalf("backfill: %v", err)
			}
		}
	}
	r.ingested()
	if rng.IntN(2) == 0 {
		r.jobs()
	}
}

// jobs runs the jobs that move and change ticks.
func (r *rig) jobs() {
	r.t.Helper()
	r.exec("UPDATE tick_changes SET next_at = now() - INTERVAL '1 second' WHERE state = 'waiting'")
	r.exec("CALL _hypertick.move_late_ticks(0, '{}')")
	r.exec("CALL _hypertick.apply_tick_changes(0, '{}')")
}

// TestHistories is the model test of ingest.
func TestHistories(t *testing.T) {
	if testing.Short() {
		t.Skip("takes minutes")
	}
	r := newRig(t)
	r.start(1, maxBatch)
	for first := *firstSeed; first < *firstSeed+uint64(*histories); first += together {
		rng := rand.New(rand.NewPCG(first, 7))
		var all []*history
		for i := range uint64(together) {
			if first+i < *firstSeed+uint64(*histories) {
				all = append(all, newHistory(first+i))
			}
		}
		for range steps {
			r.step(rng, all)
		}
		r.jobs()
		r.db.Settle(t)
		for _, h := range all {
			r.check(h)
		}
		if t.Failed() {
			t.Fatalf("a history failed; repeat its round with -seed %d -histories %d", first, len(all))
		}
		// The next round is checked as quickly as this one.
		r.exec("TRUNCATE ticks, tick_changes, ticks_undone, feed_conflicts, feed_positions, feed_gaps, ingest_activity, _hypertick.late_arrivals")
		r.db.Settle(t)
	}
}

package ingest

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// logged is a log that a test reads.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), text)
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// recreate deletes the topic of the ticks and creates it again.
func (r *rig) recreate(partitions int32) {
	r.t.Helper()
	r.deleteTopic()
	r.createTopic(partitions)
}

func (r *rig) deleteTopic() {
	r.t.Helper()
	if _, err := kadm.NewClient(r.client).DeleteTopic(r.ctx, feed.Topic); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) createTopic(partitions int32) {
	r.t.Helper()
	wait.Until(r.t, "the topic is created", func() bool {
		_, err := kadm.NewClient(r.client).CreateTopic(r.ctx, partitions, 1, nil, feed.Topic)
		return err == nil
	})
	r.reconnect()
}

// reconnect replaces the client, which knows the topic as it was.
func (r *rig) reconnect() {
	r.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(r.brokers...), kgo.RecordPartitioner(partitioner{}.build()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	r.client = client
}

// untilRead waits until ingest is at the end of every partition, as the broker
// and not the sum of offsets has it.
func (r *rig) untilRead() {
	r.t.Helper()
	wait.Equal(r.t, "partitions of the topic that are not ingested", 0, func() int {
		meta, err := feed.ReadTopicMetadata(r.ctx, r.client, feed.Topic)
		if err != nil {
			return -1
		}
		ends, err := kadm.NewClient(r.client).ListEndOffsets(r.ctx, feed.Topic)
		if err != nil || ends.Error() != nil {
			return -1
		}
		n := 0
		ends.Each(func(o kadm.ListedOffset) {
			var next int64
			err := r.db.Pool.QueryRow(r.ctx, "SELECT next_offset FROM ingest_offsets WHERE topic = $1 AND partition = $2 AND topic_id = $3",
				o.Topic, o.Partition, meta.ID).Scan(&next)
			if err != nil || next != o.Offset {
				n++
			}
		})
		return n
	})
}

// part returns state and detail of a part of the pipeline, with its error.
func (r *rig) part(component string) (state, detail string) {
	r.t.Helper()
	err := r.db.Pool.QueryRow(r.ctx, `SELECT state, concat_ws(' ', detail, error) FROM pipeline WHERE component = $1
		ORDER BY state = 'failed' DESC, state = 'warning' DESC LIMIT 1`, component).Scan(&state, &detail)
	if err != nil {
		r.t.Fatal(err)
	}
	return state, detail
}

func (r *rig) wantPart(component, state, detail string) {
	r.t.Helper()
	var got, what string
	wait.For(r.t, component+" is "+state+": "+detail, func() (any, bool) {
		got, what = r.part(component)
		return got + " " + what, got == state && strings.Contains(what, detail)
	})
}

func (r *rig) one(sql string, args ...any) (n int64) {
	r.t.Helper()
	if err := r.db.Pool.QueryRow(r.ctx, sql, args...).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

func TestTopicRecreatedWhileRunning(t *testing.T) {
	r := newRig(t)
	var log logged
	x := r.start(func(c *Config) { c.Workers, c.Log = 2, log.logger() })
	first, second := series(5, 40, 1), series(5, 80, 1000)
	r.produce(first...)
	r.untilRead()
	r.deleteTopic()
	wait.Until(t, "not ready without the topic", func() bool {
		err := x.Ready(r.ctx)
		return err != nil && strings.Contains(err.Error(), "was deleted")
	})
	r.wantPart("ingest", "failed", "topic: market.ticks was deleted")
	r.createTopic(testPartitions)
	r.produce(second...)
	r.untilRead()
	r.wantStored(append(first, second...))
	wait.Until(t, "ready again", func() bool { return x.Ready(r.ctx) == nil })
	r.wantPart("topic", "warning", "recreated")
	if n := log.count("the topic was recreated"); n != 1 {
		t.Errorf("%d log lines say that the topic was recreated, want 1", n)
	}
	if n := r.one("SELECT count(*) FROM topic_changes WHERE reason = 'recreated'"); n != testPartitions {
		t.Errorf("%d rows in topic_changes, want %d", n, testPartitions)
	}
	if n := r.one("SELECT count(*) FROM lost_ranges"); n != 0 {
		t.Errorf("%d lost ranges, want none: all was read", n)
	}
	if got := x.metric("restarted_partitions_total"); got != testPartitions {
		t.Errorf("restarted_partitions_total: %v, want %d", got, testPartitions)
	}
	x.stop()
}

// TestTopicRecreatedOtherFeeds: what came of one feed before is not taken for
// another feed's.
func TestTopicRecreatedOtherFeeds(t *testing.T) {
	r := newRig(t)
	x := r.start(nil)
	produce := func(ticks ...feed.Tick) {
		t.Helper()
		recs := make([]*kgo.Record, len(ticks))
		for i := range ticks {
			recs[i] = record(ticks[i])
			recs[i].Partition = 0
		}
		r.produceRecords(recs...)
		r.untilRead()
	}
	a := series(1, 2, 1)
	b := slices.Clone(a)
	b[0].Symbol, b[1].Symbol = "B", "B"
	produce(a[0], b[1])
	r.recreate(testPartitions)
	produce(b[0], a[1])
	x.stop()
	r.wantStored(append(a, b...))
}

// The new topic has more records than the old one had, so that the old offsets
// are valid in it.
func TestTopicRecreatedWhileDown(t *testing.T) {
	r := newRig(t)
	first, unread, second := series(1, 100, 1), series(1, 7, 500), series(1, 330, 1000)
	x := r.start(nil)
	r.produce(first...)
	r.untilRead()
	x.stop()
	r.produce(unread...)
	x = r.start(func(c *Config) { c.Pool = openPool(t, r.db.URL) })
	// It lists the ends before it reads: what is lost with the topic is known.
	r.untilRead()
	x.stop()
	r.produce(series(1, 3, 2000)...) // nobody ever reads these
	r.recreate(testPartitions - 1)
	r.produce(second...)
	x = r.start(nil)
	r.untilRead()
	x.stop()
	r.wantStored(append(append(first, unread...), second...))
	if n := r.one("SELECT count(*) FROM ingest_offsets"); n != testPartitions-1 {
		t.Errorf("%d offsets, want %d: the topic has one partition less", n, testPartitions-1)
	}
}

// What was never read is lost with the topic, and recorded as far as its end was
// listed.
func TestTopicRecreatedUnread(t *testing.T) {
	r := newRig(t)
	ticks := series(1, 20, 1)
	recs := make([]*kgo.Record, len(ticks))
	for i := range ticks {
		recs[i] = record(ticks[i])
		recs[i].Partition = 3
	}
	r.produceRecords(recs...)
	meta, err := feed.ReadTopicMetadata(r.ctx, r.client, feed.Topic)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"INSERT INTO ingest_offsets (topic, partition, topic_id, next_offset) VALUES ($1, 3, $2, 8)",
		"INSERT INTO topic_ends (topic, topic_id, partition, start_offset, end_offset, listed_at) VALUES ($1, $2, 3, 0, 20, now())",
	} {
		if _, err := r.db.Pool.Exec(r.ctx, sql, feed.Topic, meta.ID); err != nil {
			t.Fatal(err)
		}
	}
	r.recreate(testPartitions)
	x := r.start(nil)
	r.untilRead()
	if n := r.one("SELECT count(*) FROM lost_ranges WHERE partition = 3 AND from_offset = 8 AND to_offset = 19 AND reason = 'recreated' AND topic_id = $1", meta.ID); n != 1 {
		t.Error("the lost range is not recorded")
	}
	if got := x.metric("lost_records_total"); got != 12 {
		t.Errorf("lost_records_total: %v, want 12", got)
	}
	r.wantPart("topic", "warning", "12 records were deleted")
	x.stop()
}

// The broker has lost records that were ingested: the same topic ends before the
// offset in the database.
func TestTopicTruncated(t *testing.T) {
	r := newRig(t)
	ticks := series(3, 50, 1)
	r.produce(ticks...)
	meta, err := feed.ReadTopicMetadata(r.ctx, r.client, feed.Topic)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.db.Pool.Exec(r.ctx, `INSERT INTO ingest_offsets (topic, partition, topic_id, next_offset)
		SELECT $1, p, $2, 1000 FROM generate_series(0, 3) p`, feed.Topic, meta.ID); err != nil {
		t.Fatal(err)
	}
	x := r.start(nil)
	r.untilRead()
	x.stop()
	r.wantStored(ticks)
	if n := r.one("SELECT count(*) FROM topic_changes WHERE reason = 'truncated' AND old_offset = 1000"); n != testPartitions {
		t.Errorf("%d rows in topic_changes, want %d", n, testPartitions)
	}
}

func TestRetentionOvertakes(t *testing.T) {
	r := newRig(t)
	ticks := series(1, 100, 1)
	for i := range ticks {
		rec := record(ticks[i])
		rec.Partition = 1
		r.produceRecords(rec)
	}
	var offsets kadm.Offsets
	offsets.AddOffset(feed.Topic, 1, 50, -1)
	res, err := kadm.NewClient(r.client).DeleteRecords(r.ctx, offsets)
	if err == nil {
		err = res.Error()
	}
	if err != nil {
		t.Fatal(err)
	}
	// Without an ID: from a broker that had none.
	if _, err := r.db.Pool.Exec(r.ctx, "INSERT INTO ingest_offsets (topic, partition, next_offset) VALUES ($1, 1, 10)", feed.Topic); err != nil {
		t.Fatal(err)
	}
	x := r.start(nil)
	r.untilRead()
	r.wantStored(ticks[50:])
	if got := x.metric("lost_records_total"); got != 40 {
		t.Errorf("lost_records_total: %v", got)
	}
	if n := r.one("SELECT count(*) FROM lost_ranges WHERE topic = $1 AND partition = 1 AND from_offset = 10 AND to_offset = 49 AND reason = 'trimmed' AND topic_id <> ''", feed.Topic); n != 1 {
		t.Error("the lost range is not recorded")
	}
	r.wantPart("topic", "warning", "40 records were deleted")
	x.stop()
}

func TestPartitionsAdded(t *testing.T) {
	r := newRig(t)
	x := r.start(nil)
	first := series(4, 10, 1)
	r.produce(first...)
	r.untilRead()
	if _, err := kadm.NewClient(r.client).UpdatePartitions(r.ctx, testPartitions+2, feed.Topic); err != nil {
		t.Fatal(err)
	}
	r.reconnect()
	second := series(1, 10, 100)
	recs := make([]*kgo.Record, len(second))
	for i := range second {
		recs[i] = record(second[i])
		recs[i].Partition = testPartitions + 1
	}
	r.produceRecords(recs...)
	// They count before anybody reads them.
	wait.Equal(t, "records that wait, or were read", 10, func() int64 {
		return r.one("SELECT coalesce(sum(l.lag + coalesce(l.next_offset, 0)), 0) FROM topic_lag l WHERE l.partition = $1", testPartitions+1)
	})
	r.untilRead()
	x.stop()
	r.wantStored(append(first, second...))
}

// Two clusters have a topic of one name, and one database.
func TestAnotherCluster(t *testing.T) {
	r := newRig(t)
	mine, theirs := series(2, 10, 1), series(2, 30, 500)
	r.produce(mine...)
	x := r.start(nil)
	r.untilRead()
	r.fake()
	other, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(testPartitions, feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	here := *r
	there := *r
	there.brokers = other.ListenAddrs()
	there.reconnect()
	there.produce(theirs...)
	y := there.start(func(c *Config) { c.Group = "other" })
	there.untilRead()
	here.produce(series(2, 1, 900)...)
	wait.Until(t, "the first says that another has taken its offsets", func() bool {
		err := x.Ready(r.ctx)
		return err != nil && strings.Contains(err.Error(), "another ingest reads a topic of this name")
	})
	if err := y.Ready(r.ctx); err != nil {
		t.Errorf("the second is not ready: %v", err)
	}
	x.stop()
	y.stop()
	r.wantStored(append(mine, theirs...))
}

// A batch of a member that still reads the old topic is fenced, even where its
// offset fits.
func TestZombieOfOldTopic(t *testing.T) {
	r := newRig(t)
	x := r.start(nil)
	ticks := series(1, 20, 1)
	r.produce(ticks[:10]...)
	r.untilRead()
	if _, err := r.db.Pool.Exec(r.ctx, "UPDATE ingest_offsets SET topic_id = 'another'"); err != nil {
		t.Fatal(err)
	}
	r.produce(ticks[10:]...)
	wait.Until(t, "fenced", func() bool { return x.metric("fenced_total") > 0 })
	r.untilRead()
	x.stop()
	r.wantStored(ticks)
}

func TestTopicDoesNotExist(t *testing.T) {
	r := newRig(t)
	r.deleteTopic()
	x := r.start(nil)
	wait.Until(t, "it says so", func() bool {
		err := x.Ready(context.Background())
		return err != nil && strings.Contains(err.Error(), "topic: market.ticks does not exist")
	})
	r.wantPart("ingest", "failed", "topic: market.ticks does not exist")
	r.createTopic(testPartitions)
	ticks := series(2, 5, 1)
	r.produce(ticks...)
	r.untilRead()
	r.wantStored(ticks)
	wait.Until(t, "ready", func() bool { return x.Ready(r.ctx) == nil })
	x.stop()
}

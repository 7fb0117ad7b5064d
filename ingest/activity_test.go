package ingest

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

// TestActivity compares the counts in the database with those of ingest, over
// restarts too.
func TestActivity(t *testing.T) {
	r := newRig(t)
	pool := openPool(t, r.db.URLAs(t, "hypertick_writer"))
	ticks := series(10, 100, 1)
	for range 2 { // the second time all are duplicates
		r.produce(ticks...)
		for i := range 24 {
			value, _ := bad(i)
			r.produceRecords(&kgo.Record{Topic: feed.Topic, Partition: int32(i % testPartitions), Value: value})
		}
		x := r.start(func(c *Config) { c.Pool = pool })
		r.untilIngested()
		x.stop()
	}
	var stored, duplicates, dead, behind, partitions, offsets int
	err := r.db.Pool.QueryRow(r.ctx, `SELECT sum(stored), sum(duplicates), sum(dead_letters), count(DISTINCT partition),
		(SELECT sum(b.behind) FROM (SELECT DISTINCT ON (partition) behind FROM ingest_activity ORDER BY partition, minute DESC) b),
		(SELECT sum(next_offset) FROM ingest_offsets) FROM ingest_activity WHERE topic = $1`, feed.Topic).
		Scan(&stored, &duplicates, &dead, &partitions, &behind, &offsets)
	if err != nil {
		t.Fatal(err)
	}
	if stored != len(ticks) || duplicates != len(ticks) || dead != 48 || behind != 0 {
		t.Errorf("stored %d, duplicates %d, dead letters %d, behind %d; want %d, %d, 48, 0", stored, duplicates, dead, behind, len(ticks), len(ticks))
	}
	if stored+duplicates+dead != offsets {
		t.Errorf("%d records are accounted for, but the offsets say %d", stored+duplicates+dead, offsets)
	}
	if partitions != testPartitions {
		t.Errorf("got %d partitions, want %d", partitions, testPartitions)
	}
}

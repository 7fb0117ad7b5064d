package ingest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// trickle produces ticks in small batches while the test runs.
func (r *rig) trickle(ticks []feed.Tick, piece int, between time.Duration) (wait func()) {
	var wg sync.WaitGroup
	wg.Go(func() {
		pace := time.NewTicker(between)
		defer pace.Stop()
		for len(ticks) > 0 {
			n := min(piece, len(ticks))
			recs := ticks[:n]
			ticks = ticks[n:]
			r.produce(recs...)
			<-pace.C
		}
	})
	return wg.Wait
}

// About every third transaction fails, at its first statement, in the middle or
// at its commit.
func TestRollbacks(t *testing.T) {
	r := newRig(t)
	for _, sql := range []string{
		`CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF random() < 0.12 THEN RAISE EXCEPTION 'forced at %', TG_NAME; END IF; RETURN NULL; END $$`,
		`CREATE TRIGGER early AFTER UPDATE ON ingest_offsets FOR EACH STATEMENT EXECUTE FUNCTION fail()`,
		`CREATE TRIGGER middle AFTER INSERT ON late_ticks FOR EACH STATEMENT EXECUTE FUNCTION fail()`,
		`CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON ingest_offsets DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION fail()`,
	} {
		if _, err := r.db.Pool.Exec(r.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	ticks := series(10, 300, 1)
	for i := range ticks {
		if i%40 == 39 {
			ticks[i].TS -= int64(3 * time.Hour / time.Microsecond)
		}
	}
	produced := r.trickle(ticks, 100, 20*time.Millisecond)
	x := r.start(func(c *Config) { c.MaxBatch = 50 })
	produced()
	r.untilIngested()
	wait.Equal(t, "all counted", float64(len(ticks)), func() float64 { return x.metric("rows_total") })
	x.stop()
	r.wantStored(ticks)
	if x.metric("retries_total") == 0 {
		t.Error("no transaction failed: the test tests nothing")
	}
	if got := x.metric("late_total"); got != float64(len(ticks)/40) {
		t.Errorf("late_total: %v", got)
	}
}

// Backends die at any moment, so a commit may succeed without an answer.
func TestTerminatedBackends(t *testing.T) {
	r := newRig(t)
	if r.db.Embedded != nil {
		t.Skip("the embedded database has one backend; TestKillAll kills it whole")
	}
	ticks := series(10, 400, 1)
	pool := openPool(t, r.db.URLAs(t, "hypertick_writer"))
	x := r.start(func(c *Config) { c.MaxBatch, c.Pool = 20, pool })
	produced := r.trickle(ticks, 100, 10*time.Millisecond)
	ctx, cancel := context.WithCancel(r.ctx)
	var killers sync.WaitGroup
	killers.Go(func() {
		pace := time.NewTicker(37 * time.Millisecond)
		defer pace.Stop()
		for ctx.Err() == nil {
			_, _ = r.db.Pool.Exec(ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'hypertick_writer'")
			<-pace.C
		}
	})
	produced()
	cancel()
	killers.Wait()
	r.untilIngested()
	x.stop()
	r.wantStored(ticks)
	if x.metric("retries_total") == 0 {
		t.Error("no backend was hit: the test tests nothing")
	}
}

// Two members that both own all partitions: each is the only one of its group.
func TestZombies(t *testing.T) {
	r := newRig(t)
	ticks := series(10, 300, 1)
	produced := r.trickle(ticks, 60, 10*time.Millisecond)
	a := r.start(func(c *Config) { c.Group, c.MaxBatch = "a", 40 })
	b := r.start(func(c *Config) { c.Group, c.MaxBatch = "b", 30 })
	produced()
	r.untilIngested()
	a.stop()
	b.stop()
	r.wantStored(ticks)
	if a.metric("fenced_total")+b.metric("fenced_total") == 0 {
		t.Error("nobody was fenced: the test tests nothing")
	}
	t.Logf("fenced %v and %v times", a.metric("fenced_total"), b.metric("fenced_total"))
}

// Members join and leave under load.
func TestRebalances(t *testing.T) {
	r := newRig(t)
	ticks := series(10, 400, 1)
	produced := r.trickle(ticks, 40, 10*time.Millisecond)
	var members []*run
	for i := range 3 {
		members = append(members, r.start(func(c *Config) { c.MaxBatch, c.Workers = 50, 1+i%2 }))
		wait.Until(t, fmt.Sprintf("member %d has partitions", i), func() bool { return members[i].Ready(r.ctx) == nil })
	}
	members[0].stop()
	members[1].stop()
	produced()
	r.untilIngested()
	members[2].stop()
	r.wantStored(ticks)
}

// A server that crashes may lose transactions it has confirmed: their rows and
// positions together.
func TestForgottenCommits(t *testing.T) {
	r := newRig(t)
	ticks := series(10, 200, 1)
	x := r.start(nil)
	r.produce(ticks[:800]...)
	r.untilIngested()
	if _, err := r.db.Pool.Exec(r.ctx, `CREATE TABLE kept_offsets AS TABLE ingest_offsets;
		CREATE TABLE kept_positions AS TABLE feed_positions; CREATE TABLE kept_ticks AS TABLE ticks`); err != nil {
		t.Fatal(err)
	}
	r.produce(ticks[800:1400]...)
	r.untilIngested()
	wait.Equal(t, "all counted", 1400, func() float64 { return x.metric("rows_total") })
	if _, err := r.db.Pool.Exec(r.ctx, `BEGIN; TRUNCATE ticks, ingest_offsets, feed_positions;
		INSERT INTO ingest_offsets TABLE kept_offsets; INSERT INTO feed_positions TABLE kept_positions; INSERT INTO ticks TABLE kept_ticks; COMMIT`); err != nil {
		t.Fatal(err)
	}
	r.produce(ticks[1400:]...)
	r.untilIngested()
	x.stop()
	r.wantStored(ticks)
	if x.metric("fenced_total") == 0 {
		t.Error("nothing was fenced: the test tests nothing")
	}
}

// Ingest stops within 5 s, whatever is down.
func TestStopWhileDown(t *testing.T) {
	t.Run("broker", func(t *testing.T) {
		r := newRig(t)
		x := r.start(nil)
		r.produce(series(2, 10, 1)...)
		r.untilIngested()
		r.fake().Close()
		x.stop()
	})
	t.Run("broker, with a dead letter in flight", func(t *testing.T) {
		r := newRig(t)
		r.fake().Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: feed.DeadLetterTopic(feed.Topic), Err: kerr.TopicAuthorizationFailed, Count: -1})
		x := r.start(nil)
		r.produceRecords(&kgo.Record{Topic: feed.Topic, Partition: 0, Value: []byte("bad")})
		wait.Until(t, "it cannot be produced", func() bool { return x.metric("retries_total") > 0 })
		r.fake().Close()
		x.stop()
	})
	t.Run("database", func(t *testing.T) {
		r := newRig(t)
		x := r.start(func(c *Config) { c.Pool = openPool(t, "postgres://nobody@127.0.0.1:1/none") })
		wait.Until(t, "it tries", func() bool { return x.metric("retries_total") > 0 })
		if x.Ready(r.ctx) == nil {
			t.Error("ready without a database")
		}
		x.stop()
	})
}

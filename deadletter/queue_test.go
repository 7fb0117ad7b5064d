package deadletter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

func writer(t *testing.T, d *dbtest.DB) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(t.Context(), d.URLAs(t, "hypertick_writer"), 3)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func TestParsePosition(t *testing.T) {
	for s, want := range map[string]Position{"17": {0, 17}, "0/17": {0, 17}, "2147483647/9223372036854775807": {1<<31 - 1, 1<<63 - 1}} {
		if got, err := ParsePosition(s); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
	for _, s := range []string{"", "x", "/", "0/", "/1", "-1", "0/-1", "-1/0", "2147483648/1", "1/2/3", " 1", "9223372036854775808"} {
		if got, err := ParsePosition(s); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("got %q", s)) {
			t.Errorf("%q: got %v, %v, want an error that names it", s, got, err)
		}
	}
}

// TestFilter checks that the bounds of a filter include all that it matches.
func TestFilter(t *testing.T) {
	for name, c := range map[string]struct {
		f    Filter
		want string
	}{
		"all":        {Filter{}, "0/3 0/4 1/3"},
		"handled":    {Filter{Handled: true}, "0/3 0/4 0/5 1/3"},
		"positions":  {Filter{Positions: []Position{{0, 4}, {1, 3}, {7, 7}, {0, 1 << 40}}}, "0/4 1/3"},
		"no such":    {Filter{Positions: []Position{{0, 2}}}, ""},
		"reason":     {Filter{Reason: "price"}, "0/4"},
		"both":       {Filter{Positions: []Position{{1, 3}}, Reason: "price"}, ""},
		"of handled": {Filter{Positions: []Position{{0, 5}}, Handled: true}, "0/5"},
	} {
		var got []string
		for _, l := range []*DeadLetter{{Position: Position{0, 3}, Reason: "seq: a"}, {Position: Position{0, 4}, Reason: "price: b"},
			{Position: Position{0, 5}, Reason: "seq: c", Handled: Stored}, {Position: Position{1, 3}, Reason: "seq: d"}} {
			from, to := c.f.bounds(l.Partition, 3, 6)
			if c.f.Matches(l) {
				got = append(got, l.Position.String())
				if l.Offset < from || l.Offset >= to {
					t.Errorf("%s: %v is outside of %d to %d", name, l.Position, from, to)
				}
			}
			if from < 3 || to > 6 {
				t.Errorf("%s: bounds %d to %d, want them within 3 to 6", name, from, to)
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// TestQueue lists, finds, retries and discards dead letters. Each is handled once.
func TestQueue(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	p, c := publisher(t)
	q := NewQueue(QueueConfig{Brokers: c.ListenAddrs(), Topic: "t", Pool: writer(t, d), Log: dbtest.Log(t)})
	each := func(f Filter) (got []string) {
		t.Helper()
		if err := q.Each(t.Context(), f, func(l *DeadLetter) error { got = append(got, l.Position.String()+string(l.Handled)); return nil }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := each(Filter{}); got != nil || q.Topic() != deadTopic {
		t.Errorf("%s holds %v, want nothing: it does not exist", q.Topic(), got)
	}

	if _, err := d.Pool.Exec(t.Context(), "SELECT set_retention('ticks', INTERVAL '10 days')"); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	// Ingest is at offset 5 of partition 0 of dbtest, and the feed at seq 5.
	var ticks []dbtest.Tick
	for seq := int64(1); seq <= 5; seq++ {
		if seq != 3 {
			ticks = append(ticks, dbtest.Tick{TS: now.Add(time.Duration(seq) * time.Second), Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: seq})
		}
	}
	d.Commit(t, ticks, nil)
	deadTick := func(seq int64, at time.Time, offset int64) *DeadLetter {
		price := 2.0
		if seq == 4 { // as it is stored
			price = 1
		}
		return &DeadLetter{Source: Source{"dbtest", 0, offset}, Time: at, Reason: "price: not understood then",
			Value: feed.AppendJSON(nil, &feed.Tick{Symbol: "A", Venue: "V", TS: at.UnixMicro(), Price: price, Size: 1, Seq: seq})}
	}
	broken, cut := deadTick(3, now, 2), deadTick(3, now, 2)
	broken.Value, broken.Reason = []byte("three"), "value: want a JSON object, got t"
	cut.Truncated = 100
	mustPublish(t, p, []*DeadLetter{deadTick(3, now.Add(3*time.Second), 2), deadTick(4, now.Add(4*time.Second), 3), broken, cut,
		deadTick(2, now.AddDate(0, 0, -11), 1), deadTick(9, now.Add(9*time.Second), 77), deadTick(3, now.Add(3*time.Second), 2)})

	if l, err := q.Find(t.Context(), Position{0, 2}); err != nil || string(l.Value) != "three" {
		t.Errorf("find: %+v, %v", l, err)
	}
	for _, at := range []Position{{0, 7}, {1, 0}} {
		if l, err := q.Find(t.Context(), at); !errors.Is(err, ErrNotFound) {
			t.Errorf("find %v: %+v, %v, want ErrNotFound", at, l, err)
		}
	}
	if n, err := q.Discard(t.Context(), Filter{Positions: []Position{{0, 6}}}); err != nil || n != 1 {
		t.Errorf("%d discarded, %v, want 1", n, err)
	}
	why := map[string]string{}
	retry := func(f Filter, want Retried) {
		t.Helper()
		clear(why)
		n, err := q.Retry(t.Context(), f, func(l *DeadLetter, reason error) { why[l.Position.String()] = reason.Error() })
		if err != nil || n != want {
			t.Errorf("retry %+v: got %+v, %v, want %+v", f, n, err, want)
		}
	}
	retry(Filter{Reason: "nothing has this"}, Retried{})
	retry(Filter{}, Retried{Stored: 2, Known: 1, Left: 3})
	for at, want := range map[string]string{"0/2": "value: ", "0/3": "the value is truncated", "0/4": "ts: older than the retention horizon "} {
		if !strings.HasPrefix(why[at], want) {
			t.Errorf("%s stays: %q, want %q", at, why[at], want)
		}
	}
	retry(Filter{Handled: true}, Retried{Left: 3}) // those that are handled are not retried
	if got, want := each(Filter{Handled: true}), []string{"0/0stored", "0/1known", "0/2", "0/3", "0/4", "0/5stored", "0/6discarded"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if n, err := q.Discard(t.Context(), Filter{Reason: "price"}); err != nil || n != 2 {
		t.Errorf("%d discarded, %v, want 2", n, err)
	}
	if got, want := each(Filter{}), []string{"0/2"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var stored string
	if err := d.Pool.QueryRow(context.Background(), "SELECT string_agg(seq || '@' || price, ' ' ORDER BY seq) FROM ticks").Scan(&stored); err != nil || stored != "1@1 2@1 3@2 4@1 5@1 9@2" {
		t.Errorf("stored are %q, %v", stored, err)
	}
}

// TestRetryOfDiscarded discards a dead letter while it is retried: its tick is not
// stored.
func TestRetryOfDiscarded(t *testing.T) {
	t.Parallel()
	d := dbtest.New(t)
	q := NewQueue(QueueConfig{Topic: "t", Pool: writer(t, d), Log: dbtest.Log(t)})
	now := time.Now().UTC().Truncate(time.Second)
	d.Commit(t, []dbtest.Tick{{TS: now, Symbol: "A", Venue: "V", Price: 1, Size: 1, Seq: 4}}, nil)
	l := &DeadLetter{Source: Source{"dbtest", 0, 0}, Value: feed.AppendJSON(nil, &feed.Tick{Symbol: "A", Venue: "V", TS: now.UnixMicro(), Price: 1, Size: 1, Seq: 2})}
	if noted, err := q.note(t.Context(), db.New(d.Pool), l, Discarded); err != nil || !noted {
		t.Fatal(noted, err)
	}
	if how, why, err := q.retry(t.Context(), l); how != "" || why != nil || err != nil {
		t.Errorf("got %q, %v, %v, want no outcome", how, why, err)
	}
	var n int
	if err := d.Pool.QueryRow(t.Context(), "SELECT count(*) FROM ticks").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d ticks, %v, want 1", n, err)
	}
}

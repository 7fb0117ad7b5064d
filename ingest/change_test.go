package ingest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

func cancel(t feed.Tick) feed.Tick {
	return feed.Tick{Kind: feed.Cancel, Symbol: t.Symbol, Venue: t.Venue, Seq: t.Seq, TS: feed.NoTime}
}

func correct(t feed.Tick, price, size float64) feed.Tick {
	t.Kind, t.Price, t.Size = feed.Correct, price, size
	return t
}

const (
	storedText  = "SELECT string_agg(seq || '@' || price || 'x' || size, ' ' ORDER BY ts, seq, price) FROM ticks"
	undoneText  = "SELECT string_agg(seq || '@' || price || ' ' || why, ', ' ORDER BY id) FROM ticks_undone"
	changesText = "SELECT string_agg(state, ' ' ORDER BY id) FROM tick_changes"
)

func (r *rig) want(what, sql, want string) {
	r.t.Helper()
	if got := r.text(sql); got != want {
		r.t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// TestChanges: cancels and corrections on the topic, each once, in order, repeated,
// and before their ticks.
func TestChanges(t *testing.T) {
	r := newRig(t)
	k := numbered("A", time.Hour, 1, 2, 3, 4, 5)
	r.produce(k[0], k[1], correct(k[1], 200, 2), cancel(k[0]), cancel(k[3]), k[2])
	r.ingested(nil)
	r.want("before the job", storedText, "1@100x1 2@101x1 3@102x1")
	r.applyChanges()
	r.want("after the job", storedText, "2@200x2 3@102x1")
	r.want("journal", undoneText, "1@100 cancelled, 2@101 corrected")
	r.want("changes", changesText, "done done waiting")

	// The tick of the waiting cancel comes; all is sent again, and by another feed.
	r.produce(k[3], k[4], k[0], k[1], k[2], correct(k[1], 200, 2), cancel(k[0]))
	r.ingested(nil)
	r.exec("UPDATE tick_changes SET next_at = now() - INTERVAL '1 second' WHERE state = 'waiting'")
	r.applyChanges()
	r.want("sent again", storedText, "2@200x2 3@102x1 5@104x1")
	r.want("changes", changesText, "done done done known known")

	// A correction of a correction, and the end of it.
	r.produce(correct(k[1], 201, 3))
	r.ingested(nil)
	r.applyChanges()
	r.want("corrected twice", storedText, "2@201x3 3@102x1 5@104x1")
	r.produce(cancel(k[1]), correct(k[1], 202, 3))
	r.ingested(nil)
	r.applyChanges()
	r.want("cancelled", storedText, "3@102x1 5@104x1")
	r.want("journal", undoneText, "1@100 cancelled, 2@101 corrected, 4@103 cancelled, 2@200 corrected, 2@201 cancelled")
	r.want("changes", changesText, "done done done known known done done known")
	r.want("activity", "SELECT sum(stored) || ' ' || sum(duplicates) || ' ' || sum(changes) FROM ingest_activity", "5 3 8")
	r.want("origin", "SELECT min(origin) ~ '^market.ticks/[0-9]/[0-9]+$' FROM tick_changes", "true")
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Pool.Exec(r.ctx, sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

// TestChangesOfHistory: ticks in the columnstore, of several days, and behind the
// retention horizon.
func TestChangesOfHistory(t *testing.T) {
	r := newRig(t)
	day := 24 * time.Hour
	k := slices.Concat(numbered("A", 20*day, upTo(1, 200)...), numbered("A", 12*day, upTo(201, 400)...), numbered("A", time.Hour, upTo(401, 600)...))
	r.produce(k...)
	r.ingested(nil)
	r.applyChanges()
	r.exec("SELECT compress_chunk(c) FROM show_chunks('ticks', older_than => INTERVAL '8 days') c")
	r.produce(cancel(k[50]), correct(k[250], 7, 8), cancel(k[399]), cancel(k[599]))
	r.ingested(nil)
	r.applyChanges()
	r.want("changes", changesText, "done done done done")
	r.want("rows", "SELECT count(*) || ' ' || sum(price) FROM ticks", fmt.Sprint("597 ", 3*(200*100+199*200/2)-150-150+7-299-299))
	r.want("one transaction for each day", "SELECT count(DISTINCT undone_ms) >= 1 AND count(*) = 4 FROM ticks_undone", "true")

	r.exec("SELECT set_retention('ticks', INTERVAL '15 days')")
	dated := cancel(k[60])
	dated.TS = k[60].TS
	r.produce(dated, correct(k[61], 7, 8))
	r.ingested(nil)
	r.applyChanges()
	if got := r.text("SELECT string_agg(state || ': ' || left(detail, 44), ', ' ORDER BY id) FROM tick_changes WHERE id > 4"); got != strings.Repeat(", refused: the tick is older than the retention horizon", 2)[2:] {
		t.Errorf("older than the horizon: %s", got)
	}
	r.want("journal", "SELECT count(*) FROM ticks_undone", "4")
}

// TestChangesAboveTicks: after cancels and corrections the candles of every
// interval equal those computed from what is left.
func TestChangesAboveTicks(t *testing.T) {
	r := newRig(t)
	k := slices.Concat(numbered("A", 50*time.Hour, upTo(1, 400)...), numbered("A", time.Hour, upTo(401, 800)...))
	r.produce(k...)
	r.ingested(nil)
	r.applyChanges()
	r.db.Settle(t)
	var sent []feed.Tick
	left := map[int64]feed.Tick{}
	for _, x := range k {
		left[x.Seq] = x
		switch {
		case x.Seq%9 == 4:
			sent = append(sent, cancel(x))
			delete(left, x.Seq)
		case x.Seq%13 == 2:
			sent = append(sent, correct(x, 50+float64(x.Seq), 3))
			x.Price, x.Size = 50+float64(x.Seq), 3
			left[x.Seq] = x
		}
	}
	r.produce(sent...)
	r.ingested(nil)
	r.applyChanges()
	r.db.Settle(t)
	var want []dbtest.Tick
	for _, x := range left {
		want = append(want, dbtest.Tick{TS: x.Time(), Symbol: x.Symbol, Venue: x.Venue, Price: x.Price, Size: x.Size, Seq: x.Seq})
	}
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, r.db.Candles(t, i.Name), dbtest.BruteForce(want, i.Span))
	}
}

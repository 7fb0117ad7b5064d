package ingest

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

// numbered makes ticks of one feed, a second apart, ending before now.
func numbered(symbol string, before time.Duration, seqs ...int64) []feed.Tick {
	base := time.Now().Truncate(time.Second).Add(-before)
	ticks := make([]feed.Tick, len(seqs))
	for i, seq := range seqs {
		ticks[i] = feed.Tick{
			Symbol: symbol, Venue: "V", TS: base.Add(time.Duration(i) * time.Second).UnixMicro(), Price: 100 + float64(i), Size: 1, Seq: seq,
		}
	}
	return ticks
}

func upTo(from, to int64) (seqs []int64) {
	for s := from; s <= to; s++ {
		seqs = append(seqs, s)
	}
	return seqs
}

// text returns the text of a query of one value.
func (r *rig) text(sql string, args ...any) (s string) {
	r.t.Helper()
	if err := r.db.Pool.QueryRow(r.ctx, "SELECT coalesce(("+sql+")::text, '')", args...).Scan(&s); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return s
}

// ingested ingests what has been produced, with several processes in turn.
func (r *rig) ingested(change func(*Config)) *run {
	r.t.Helper()
	x := r.start(change)
	r.untilIngested()
	x.stop()
	return x
}

const openGaps = `SELECT string_agg(symbol || missing::text, ' ' ORDER BY id) FROM feed_gaps WHERE closed_at IS NULL`

// TestNumbers: whatever seq does, what came is stored, once, whether the ticks are
// sent in one go or ingest restarts between, and sent again as a whole.
func TestNumbers(t *testing.T) {
	day := 24 * time.Hour
	twice := numbered("TWICE", time.Hour, 7, 7, 7)
	cases := map[string]struct {
		ticks []feed.Tick
		runs  string // of the feed
		gaps  string // open ones
	}{
		"again every day":   {slices.Concat(numbered("A", 3*day, upTo(1, 50)...), numbered("A", 2*day, upTo(1, 50)...), numbered("A", day, upTo(1, 70)...)), "3", ""},
		"with the producer": {slices.Concat(numbered("A", time.Hour, upTo(1, 50)...), numbered("A", time.Minute, upTo(1, 20)...)), "2", ""},
		"the highest once":  {numbered("A", time.Hour, 1, 2, 3, math.MaxInt64, 4, 5, 6), "1", ""},
		"nanoseconds once":  {numbered("A", time.Hour, 1, 2, 3, 1_795_546_800_123_456_789, 5, 6, 7), "2", "A{[4,5)}"},
		"nanoseconds":       {numbered("A", time.Hour, 1_795_546_800_123_456_789, 1_795_546_801_123_456_789), "1", "A{[1795546800123456790,1795546801123456789)}"},
		"one for several":   {twice, "1", ""},
		"zero":              {numbered("A", time.Hour, 0, 1, 0, 1), "2", ""},
		"a gap":             {numbered("A", time.Hour, 1, 2, 5, 6), "1", "A{[3,5)}"},
		"falling":           {numbered("A", time.Hour, 9, 8, 7), "3", ""},
	}
	for name, c := range cases {
		for _, split := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, split %v", name, split), func(t *testing.T) {
				t.Parallel()
				r := newRig(t)
				if split {
					for _, x := range c.ticks[:min(len(c.ticks), 4)] {
						r.produce(x)
						r.ingested(nil)
					}
					r.produce(c.ticks[min(len(c.ticks), 4):]...)
				} else {
					r.produce(c.ticks...)
				}
				r.ingested(nil)
				r.wantStored(c.ticks)
				gaps := r.text(openGaps)
				if gaps != c.gaps {
					t.Errorf("open gaps are %q, want %q", gaps, c.gaps)
				}
				if runs := r.text("SELECT runs FROM feed_positions"); runs != c.runs {
					t.Errorf("%s runs, want %s", runs, c.runs)
				}
				r.produce(c.ticks...)
				x := r.ingested(nil)
				r.wantStored(c.ticks)
				if got := x.metric("duplicates_total"); got != float64(len(c.ticks)) {
					t.Errorf("sent again: %v duplicates, want %d", got, len(c.ticks))
				}
				if again := r.text(openGaps); again != gaps {
					t.Errorf("sent again: open gaps are %q, want %q", again, gaps)
				}
			})
		}
	}
}

// TestWithoutKeys: a producer without keys spreads a symbol over all partitions,
// and several members read them.
func TestWithoutKeys(t *testing.T) {
	for _, workers := range []int{1, 3} {
		t.Run(fmt.Sprint(workers, " workers"), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ticks := numbered("A", time.Hour, upTo(1, 1000)...)
			recs := make([]*kgo.Record, len(ticks))
			for i := range ticks {
				recs[i] = record(ticks[i])
				recs[i].Partition = int32(i % testPartitions)
			}
			r.produceRecords(recs[:500]...)
			x := r.start(func(c *Config) { c.Workers = workers; c.MaxBatch = 50 })
			r.produceRecords(recs[500:]...)
			r.untilIngested()
			x.stop()
			r.wantStored(ticks)
			if gaps := r.text(openGaps); gaps != "" {
				t.Errorf("open gaps are %s, want none", gaps)
			}
		})
	}
}

// TestRedundantFeeds: two feed handlers send the same ticks, each at its own
// pace, each losing some: every tick is stored once, and what one lost and the
// other sent is no gap.
func TestRedundantFeeds(t *testing.T) {
	r := newRig(t)
	ticks := numbered("A", time.Hour, upTo(1, 600)...)
	x := r.start(nil)
	for at := 0; at < 600; at += 50 {
		var a, b []feed.Tick
		for i := at; i < at+50; i++ {
			if i%7 != 3 {
				a = append(a, ticks[i])
			}
			if j := i - 25; j >= 0 && j%11 != 5 { // half a step behind
				b = append(b, ticks[j])
			}
		}
		r.produce(a...)
		r.produce(b...)
	}
	for j := 575; j < 600; j++ {
		r.produce(ticks[j])
	}
	r.untilIngested()
	x.stop()
	want := slices.DeleteFunc(slices.Clone(ticks), func(k feed.Tick) bool { return (k.Seq-1)%7 == 3 && (k.Seq-1)%11 == 5 && k.Seq <= 575 })
	r.wantStored(want)
	var missing int
	for _, k := range ticks {
		if !slices.Contains(want, k) {
			missing++
		}
	}
	if open := r.text("SELECT sum(upper(m) - lower(m)) FROM feed_gaps, unnest(missing) m"); open != fmt.Sprint(missing) || missing == 0 {
		t.Errorf("%s ticks are missing, want %d", open, missing)
	}
}

// TestGapRepair: hours later the missing ticks come through the same topic, in two
// parts, and close the gap.
func TestGapRepair(t *testing.T) {
	r := newRig(t)
	ticks := numbered("A", 5*time.Hour, upTo(1, 100)...)
	late := numbered("A", time.Minute, upTo(101, 120)...)
	r.produce(slices.Concat(ticks[:40], ticks[80:], late)...)
	r.ingested(nil)
	if gaps := r.text(openGaps); gaps != "A{[41,81)}" {
		t.Errorf("open gaps are %q, want 41 to 80", gaps)
	}
	r.produce(ticks[50:60]...)
	r.ingested(nil)
	if gaps := r.text(openGaps); gaps != "A{[41,51),[61,81)}" {
		t.Errorf("open gaps are %q, want 41 to 50 and 61 to 80", gaps)
	}
	r.produce(ticks...)
	x := r.ingested(nil)
	r.wantStored(slices.Concat(ticks, late))
	if got := r.text("SELECT count(*) || closed_by || (closed_at > detected_at) FROM feed_gaps GROUP BY closed_by, closed_at, detected_at"); got != "1streamtrue" {
		t.Errorf("gaps are %q, want one that the stream closed", got)
	}
	if got := x.metric("duplicates_total"); got != 70 {
		t.Errorf("%v duplicates, want 70", got)
	}
}

// TestConflicts: the same ts and seq with another price, by the venue's setting.
func TestConflicts(t *testing.T) {
	for setting, want := range map[string]string{
		"keep":    "1@100x1 2@101x1 2@555x1 3@102x1 | kept | 0 dead, 0 changes",
		"refuse":  "1@100x1 2@101x1 3@102x1 | refused | 1 dead, 0 changes",
		"correct": "1@100x1 2@101x1 3@102x1 | corrected | 0 dead, 1 changes",
	} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			if _, err := r.db.Pool.Exec(r.ctx, "INSERT INTO feed_venues (venue, conflicts) VALUES ('V', $1)", setting); err != nil {
				t.Fatal(err)
			}
			ticks := numbered("A", time.Hour, 1, 2, 3)
			other := ticks[1]
			other.Price = 555
			r.produce(append(ticks, other)...)
			r.ingested(nil)
			r.produce(append(ticks, ticks...)...) // equal: duplicates
			r.ingested(nil)
			got := r.text("SELECT string_agg(seq || '@' || price || 'x' || size, ' ' ORDER BY seq, price) FROM ticks") + " | " +
				r.text("SELECT string_agg(outcome, ' ') FROM feed_conflicts WHERE stored_price = 101 AND price = 555") + " | " +
				r.text("SELECT sum(dead_letters) || ' dead, ' || sum(changes) || ' changes' FROM ingest_activity")
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if setting == "correct" {
				r.applyChanges()
				if got := r.text("SELECT string_agg(seq || '@' || price, ' ' ORDER BY seq) FROM ticks"); got != "1@100 2@555 3@102" {
					t.Errorf("after the correction: %s", got)
				}
				r.produce(ticks...) // as they were: what was corrected stays corrected
				r.ingested(nil)
				if got := r.text("SELECT string_agg(seq || '@' || price, ' ' ORDER BY seq) FROM ticks"); got != "1@100 2@555 3@102" {
					t.Errorf("sent again: %s", got)
				}
			}
		})
	}
}

// applyChanges runs the jobs that move late ticks and apply changes.
func (r *rig) applyChanges() {
	r.t.Helper()
	for _, proc := range []string{"move_late_ticks", "apply_tick_changes"} {
		if _, err := r.db.Pool.Exec(r.ctx, fmt.Sprintf("CALL _hypertick.%s(0, '{}')", proc)); err != nil {
			r.t.Fatalf("%s: %v", proc, err)
		}
	}
}

// TestSettings: prices at or below 0, by symbol and by venue, and conditions.
func TestSettings(t *testing.T) {
	r := newRig(t)
	for _, sql := range []string{
		"INSERT INTO feed_venues (venue, non_positive_prices) VALUES ('SPREADS', true)",
		"INSERT INTO instruments (symbol, non_positive_prices) VALUES ('CLK0', true), ('FIXED', false)",
		"INSERT INTO trade_conditions (code, flags, title) VALUES ('TEST1', 4, 'a'), ('TEST2', 8, 'b') ON CONFLICT DO NOTHING",
	} {
		if _, err := r.db.Pool.Exec(r.ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now().Add(-time.Minute).UnixMicro()
	mk := func(symbol, venue string, price float64, conditions string) feed.Tick {
		return feed.Tick{Symbol: symbol, Venue: venue, TS: now, Price: price, Size: 1, Seq: 1, Conditions: conditions, Side: feed.Sell}
	}
	r.produce(mk("CLK0", "NYMEX", -37.63, "TEST1"), mk("X", "SPREADS", 0, "TEST1,TEST2"), mk("FIXED", "SPREADS", -1, ""), mk("Y", "NYMEX", 0, ""), mk("Z", "NYMEX", 5, "NOBODY KNOWS"))
	x := r.ingested(nil)
	const want = "CLK0 -37.63 4 -1; X 0 12 -1; Z 5 512 -1"
	if got := r.text("SELECT string_agg(concat_ws(' ', symbol, price, flags, side), '; ' ORDER BY symbol) FROM ticks"); got != want {
		t.Errorf("stored are %s, want %s", got, want)
	}
	if got := x.metric("dead_letters_total"); got != 2 {
		t.Errorf("%v dead letters, want 2", got)
	}
	for _, l := range r.consume(feed.DeadLetterTopic(feed.Topic), 2) {
		if e := headers(l)["error"]; e != fmt.Sprintf(`price: want more than 0 where neither instruments.non_positive_prices of %q nor feed_venues.non_positive_prices of %q is true, got %v`,
			l.Key, map[string]string{"FIXED": "SPREADS", "Y": "NYMEX"}[string(l.Key)], map[string]float64{"FIXED": -1, "Y": 0}[string(l.Key)]) {
			t.Errorf("error %q", e)
		}
	}
	wait.Until(t, "the activity is written", func() bool { return r.text("SELECT sum(dead_letters) FROM ingest_activity") == "2" })
}

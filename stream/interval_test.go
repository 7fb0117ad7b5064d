package stream

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// some are intervals of every kind: stored and rolled up, of seconds and of months.
var some = []string{"1m", "15m", "2m", "45m", "30s", "5s", "1w", "1mo"}

// latest is what a client knows of the bars of an interval after some messages,
// and how often each closed.
func latest(messages []message, interval string) (bars []Candle, closes map[string]int) {
	known := map[string]Candle{}
	closes = map[string]int{}
	for _, m := range messages {
		if m.event != "candle" || m.candle.State == forming || m.candle.Interval != interval {
			continue
		}
		key := fmt.Sprint(m.candle.Symbol, m.candle.Bucket)
		known[key] = m.candle
		if m.candle.State == closed {
			closes[key]++
		}
	}
	for _, c := range known {
		bars = append(bars, c)
	}
	return bars, closes
}

// trades is how many the bars have together.
func trades(bars []Candle) (n int64) {
	for _, c := range bars {
		n += c.Trades
	}
	return n
}

func wantTrades(bars []dbtest.Candle) (n int64) {
	for _, c := range bars {
		n += c.Trades
	}
	return n
}

// wantSome is the closed bars of an interval, by the calendar.
func (r *rig) wantSome(interval string) []dbtest.Candle {
	tf, upto := timeframeOf(interval), r.now().Add(-r.hub.cfg.Grace)
	var out []dbtest.Candle
	for _, c := range dbtest.BruteForceBy(r.ticks, dbtest.BarStart(r.t, interval)) {
		if !tf.End(c.Bucket).After(upto) {
			out = append(out, c)
		}
	}
	return out
}

// TestAnyInterval follows intervals over the end of a month and of a week, with
// late ticks, once rolled up and once materialised: each bar closes once, and
// what a client knows in the end is what brute force has, also when it comes back
// from any event in between.
func TestAnyInterval(t *testing.T) {
	for _, added := range [][]string{nil, {"2m", "45m", "1w", "30s"}} {
		t.Run(strings.Join(append([]string{"materialised"}, added...), " "), func(t *testing.T) {
			r := newRig(t, quick)
			for _, interval := range added {
				r.db.AddInterval(t, interval)
			}
			month := time.Date(begin.Year(), begin.Month()-2, 1, 0, 0, 0, 0, time.UTC)
			week := dbtest.BarStart(t, "1w")(month.AddDate(0, 0, 12))
			r.setClock(month.Add(-4 * time.Minute))
			sub := Subscription{Intervals: some, Kinds: Candles}
			l := r.listen(r.hub, sub)
			r.caughtUp(r.hub)
			symbols := []string{"AAPL", "X:Y"}
			for _, at := range []time.Time{month, week} {
				for m := -2; m < 3; m++ {
					r.minute(at.Add(time.Duration(m)*time.Minute), symbols...)
					r.caughtUp(r.hub)
				}
			}
			// Within its minute, but after the bars of seconds have closed: of a feed
			// that is in disorder, and of one that lags.
			at := week.Add(3 * time.Minute)
			lags := func(ts time.Time) dbtest.Tick {
				k := r.tick("X:Y", ts)
				k.Venue = "NYSE"
				return k
			}
			r.feed(r.tick("AAPL", at.Add(time.Second)), lags(at.Add(2*time.Second)))
			r.feed(r.tick("AAPL", at.Add(50*time.Second)), r.tick("X:Y", at.Add(50*time.Second)))
			r.caughtUp(r.hub)
			r.feed(r.tick("AAPL", at.Add(20*time.Second)), lags(at.Add(25*time.Second)))
			r.caughtUp(r.hub)
			for _, symbol := range symbols {
				for _, interval := range []string{"30s", "5s"} {
					if n := len(only(l.candles(revised), interval, symbol)); n != 1 {
						t.Errorf("%d bars of %s of %s revised within their minute, want 1", n, interval, symbol)
					}
				}
			}
			r.minute(week.Add(46*time.Minute), symbols...)
			r.caughtUp(r.hub)
			r.db.Settle(t)
			r.db.NoteRevisions(t)
			r.caughtUp(r.hub)
			before := len(l.candles(revised))

			late := []dbtest.Tick{r.tick("AAPL", month.Add(-30*time.Second)), r.tick("X:Y", month.Add(61*time.Second))}
			r.db.Commit(t, nil, late)
			r.ticks = append(r.ticks, late...)
			r.db.Settle(t)
			r.db.NoteRevisions(t)
			r.db.NoteRevisions(t)
			r.caughtUp(r.hub)
			r.caughtUp(r.hub)
			got := l.candles(revised)[before:]
			for _, interval := range some {
				var want []dbtest.Candle
				for _, c := range r.wantSome(interval) {
					for _, k := range late {
						if c.Symbol == k.Symbol && c.Bucket.Equal(dbtest.BarStart(t, interval)(k.TS)) {
							want = append(want, c)
						}
					}
				}
				sameCandles(t, "revised "+interval, only(got, interval), want)
				bars, closes := latest(l.messages(), interval)
				sameCandles(t, "known of "+interval, bars, r.wantSome(interval))
				for key, n := range closes {
					if n != 1 {
						t.Errorf("%s of %s closed %d times", key, interval, n)
					}
				}
				wait.Until(t, "the forming bars of "+interval, func() bool { return r.formingRight(l, interval) })
			}
			if n := l.count("reset"); n > 0 {
				t.Errorf("%d resets, want none", n)
			}

			l.close()
			var all []message
			for _, m := range l.messages() {
				if m.event == "candle" && m.candle.State != forming {
					all = append(all, m)
				}
			}
			resumed := 0
			for i := 0; i < len(all); i += 1 + len(all)/40 {
				from, err := parsePosition(all[i].id)
				if err != nil {
					t.Fatal(err)
				}
				if r.now().Sub(from.upto) > resumeWithin {
					continue
				}
				resumed++
				sub.LastID = all[i].id
				c := r.listen(r.hub, sub)
				wait.Until(t, "what was missed after "+all[i].id, func() bool {
					for _, interval := range some {
						bars, _ := latest(append(slices.Clone(all[:i+1]), c.messages()...), interval)
						if len(bars) != len(r.wantSome(interval)) || trades(bars) != wantTrades(r.wantSome(interval)) {
							return false
						}
					}
					return true
				})
				r.caughtUp(r.hub)
				for _, interval := range some {
					bars, closes := latest(append(slices.Clone(all[:i+1]), c.messages()...), interval)
					sameCandles(t, "known of "+interval+" after "+all[i].id, bars, r.wantSome(interval))
					for key, n := range closes {
						if n != 1 {
							t.Errorf("after %s: %s of %s closed %d times", all[i].id, key, interval, n)
						}
					}
				}
				c.close()
			}
			if resumed < 10 {
				t.Errorf("resumed from %d events, want more", resumed)
			}
		})
	}
}

// TestIntervalAdded materialises an interval while clients follow it: they are
// told to read again, and its revisions come as before.
func TestIntervalAdded(t *testing.T) {
	r := newRig(t, quick)
	l := r.listen(r.hub, Subscription{Intervals: []string{"2m"}, Kinds: Candles})
	other := r.listen(r.hub, Subscription{Intervals: []string{"5m"}, Kinds: Candles})
	r.caughtUp(r.hub)
	for m := range 5 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), "AAPL")
	}
	r.caughtUp(r.hub)
	revise := func(n int) {
		t.Helper()
		late := []dbtest.Tick{r.tick("AAPL", begin.Add(30*time.Second))}
		r.db.Commit(t, nil, late)
		r.ticks = append(r.ticks, late...)
		r.db.Settle(t)
		r.db.NoteRevisions(t)
		r.db.NoteRevisions(t)
		wait.Until(t, "a revision", func() bool { return len(l.candles(revised)) == n })
		bars, _ := latest(l.messages(), "2m")
		sameCandles(t, "known of 2m", bars, r.wantSome("2m"))
	}
	r.db.Settle(t)
	r.db.NoteRevisions(t)
	r.caughtUp(r.hub)
	revise(1)
	r.db.AddInterval(t, "2m")
	wait.Until(t, "a reset", func() bool { return l.count("reset") == 1 })
	revise(2)
	if _, err := r.db.Pool.Exec(context.Background(), "SELECT remove_interval('2m')"); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "a reset", func() bool { return l.count("reset") == 2 })
	revise(3)
	if n := other.count("reset"); n > 0 {
		t.Errorf("%d resets for 5m, which has not changed", n)
	}
}

// TestLimits names too many intervals, and some that are none.
func TestLimits(t *testing.T) {
	h := New(Config{Pool: nil, Log: dbtest.Log(t)})
	w := newWants()
	for _, names := range [][]string{{"7s"}, {""}, {"1m", "2x"}, {"1m", "2m", "3m", "4m", "5m", "6m", "7m", "8m", "9m"}} {
		if tfs, err := parseTimeframes(names); err == nil || !strings.HasPrefix(err.Error(), "interval: want ") {
			t.Errorf("%q: got %v, %v, want an error", names, tfs, err)
		}
		if _, err := newClient(h, Subscription{Intervals: names}); err == nil {
			t.Errorf("%q: subscribed, want an error", names)
		}
	}
	sub := &Subscription{Kinds: Candles}
	for i := range maxTimeframes {
		sub.timeframes = []timeframe{timeframeOf(fmt.Sprintf("%dm", i+1))}
		if !w.room(sub) {
			t.Fatalf("no room for interval %d", i+1)
		}
		w.add(sub, 1)
	}
	more := &Subscription{Kinds: Candles, timeframes: []timeframe{timeframeOf("1w")}}
	if w.room(more) || !w.room(sub) {
		t.Errorf("want room for an interval that is followed and for no other")
	}
	if w.add(sub, -1); !w.room(more) {
		t.Error("no room after a client has gone")
	}
	if _, err := h.Subscribe(Subscription{Intervals: []string{"2x"}}); err == nil || errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want what is wrong with the interval", err)
	}
}

// TestEvict adds more shown bars than the maximum.
func TestEvict(t *testing.T) {
	h := &Hub{shown: map[shownKey]shown{}}
	second := timeframeOf("1s")
	for i := range maxShown + 1000 {
		h.shown[shownKey{barKey{fmt.Sprint(i % 1000), second}, begin.Unix() + int64(i/1000)}] = shown{1, 1}
	}
	upto := begin.Add(time.Duration(maxShown/1000+1) * time.Second)
	h.evict(upto)
	if n := len(h.shown); n == 0 || n > maxShown {
		t.Errorf("%d bars are kept, want 1 to %d", n, maxShown)
	}
	if _, ok := h.shown[shownKey{barKey{"7", second}, upto.Unix() - 1}]; !ok {
		t.Error("the youngest bar is evicted")
	}
	h.evict(upto.Add(2 * showFor))
	if n := len(h.shown); n != 0 {
		t.Errorf("%d bars are kept for longer than %v", n, showFor)
	}
}

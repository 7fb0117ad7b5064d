package stream

import (
	"slices"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// undo deletes ticks, and stores corrected ones in their place.
func (r *rig) undo(old []dbtest.Tick, corrected ...dbtest.Tick) {
	r.t.Helper()
	r.db.Undo(r.t, old, corrected)
	r.ticks = slices.DeleteFunc(r.ticks, func(k dbtest.Tick) bool { return slices.Contains(old, k) })
	r.ticks = append(r.ticks, corrected...)
}

// settle refreshes, lists what has changed, and waits until the hub has read it.
func (r *rig) settle() {
	r.t.Helper()
	r.db.Settle(r.t)
	r.db.NoteRevisions(r.t)
	r.caughtUp(r.hub)
	r.caughtUp(r.hub)
}

// latestOf is the newest state of each bar of an interval as a client that obeys the
// stream has it.
func latestOf(messages []message, interval string) []Candle {
	var out []Candle
	for _, m := range messages {
		c := m.candle
		if m.event != "candle" || c.Interval != interval {
			continue
		}
		at := slices.IndexFunc(out, func(o Candle) bool { return o.Symbol == c.Symbol && o.Bucket.Equal(c.Bucket) })
		switch {
		case c.State == removed && at >= 0:
			out = slices.Delete(out, at, at+1)
		case c.State == removed:
		case at >= 0:
			out[at] = c
		default:
			out = append(out, c)
		}
	}
	return out
}

// Ticks are cancelled and corrected, in bars that are closed and in those that form;
// some bars are gone by it. A client has what brute force makes of the rest, whether it
// listened all the time or resumed.
func TestUndone(t *testing.T) {
	r := newRig(t, quick)
	names := append(slices.Clone(five), "10m", "15s")
	l := r.listen(r.hub, Subscription{Symbols: []string{"AAPL", "MSFT"}, Intervals: names, Kinds: Candles})
	r.caughtUp(r.hub)
	for m := range 12 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), "AAPL", "MSFT")
		if m < 3 {
			r.caughtUp(r.hub)
		}
	}
	r.caughtUp(r.hub)
	r.settle()
	ended := r.now().Add(-r.hub.cfg.Grace)
	check := func(what string, messages []message) {
		t.Helper()
		for _, name := range names {
			sameCandles(t, what+" "+name, latestOf(messages, name), dbtest.BruteForceBy(r.ticks, timeframeOf(name).Start))
		}
	}
	check("before", l.messages())
	of := func(symbol string, minute int) []dbtest.Tick {
		var out []dbtest.Tick
		for _, k := range r.ticks {
			if k.Symbol == symbol && k.TS.Truncate(time.Minute).Equal(begin.Add(time.Duration(minute)*time.Minute)) {
				out = append(out, k)
			}
		}
		if len(out) != 3 {
			t.Fatalf("%d ticks of %s in minute %d, want 3", len(out), symbol, minute)
		}
		return out
	}
	resumeFrom := l.messages()[len(l.messages())-1].id

	// One tick of a closed minute; all of another; all of five minutes in a row. A
	// corrected price that leaves count and close as they are, and a corrected size.
	r.undo(of("AAPL", 2)[1:2])
	r.undo(of("AAPL", 4))
	for m := 5; m < 10; m++ {
		r.undo(of("MSFT", m))
	}
	middle := of("MSFT", 1)[1]
	high := middle
	high.Price = 900
	r.undo([]dbtest.Tick{middle}, high)
	first := of("AAPL", 1)[0]
	more := first
	more.Size += 1e-3
	r.undo([]dbtest.Tick{first}, more)
	// Of the minute that is forming.
	r.undo(of("AAPL", 11)[2:])
	r.undo(of("MSFT", 11))
	r.settle()
	wait.Until(t, "the forming bar that is gone", func() bool {
		return slices.ContainsFunc(l.candles(removed), func(c Candle) bool {
			return c.Symbol == "MSFT" && c.Interval == "1m" && c.Bucket.Equal(begin.Add(11*time.Minute))
		})
	})
	r.settle()
	r.settle()
	wait.Until(t, "the forming bars", func() bool {
		for _, name := range []string{"1m", "10m", "15m", "1h", "1d"} {
			if !r.formingRight(l, name) {
				return false
			}
		}
		return true
	})
	check("after", l.messages())
	gone := map[string]int{}
	for _, c := range l.candles(removed) {
		if c.Symbol == "MSFT" && !timeframeOf(c.Interval).End(c.Bucket).After(ended) {
			gone[c.Interval]++
		}
	}
	if gone["1m"] != 5 || gone["5m"] != 1 || gone["10m"] != 0 || gone["15m"] != 0 {
		t.Errorf("removed closed bars of MSFT by interval: %v, want 5 of 1m and 1 of 5m", gone)
	}
	for _, c := range l.candles(closed) {
		if tf := timeframeOf(c.Interval); tf.End(c.Bucket).After(ended.Add(time.Minute)) {
			t.Errorf("closed before its end: %+v", c)
		}
	}

	// Who resumes from before gets the same; also from a hub that never sent the bars.
	other := r.newHub(quick)
	run(t, other)
	for what, h := range map[string]*Hub{"resumed": r.hub, "resumed elsewhere": other} {
		again := r.listen(h, Subscription{Symbols: []string{"AAPL", "MSFT"}, Intervals: names, Kinds: Candles, LastID: resumeFrom})
		r.caughtUp(h)
		// It has what the first had then.
		var had []message
		for _, m := range l.messages() {
			had = append(had, m)
			if m.id == resumeFrom {
				break
			}
		}
		wait.Until(t, what+": the bars that are gone", func() bool { return len(again.candles(removed)) >= 6 })
		for _, name := range []string{"1m", "5m"} {
			var closedBars []Candle
			for _, c := range latestOf(append(slices.Clone(had), again.messages()...), name) {
				if !timeframeOf(name).End(c.Bucket).After(ended) {
					closedBars = append(closedBars, c)
				}
			}
			sameCandles(t, what+" "+name, closedBars, r.want(name, ended))
		}
	}

	// A bar that is gone comes back with a tick.
	back := r.tick("AAPL", begin.Add(4*time.Minute+10*time.Second))
	r.db.Commit(t, []dbtest.Tick{back, r.tick("AAPL", r.now())}, nil)
	r.ticks = append(r.ticks, back, dbtest.Tick{TS: r.now(), Symbol: "AAPL", Price: 1, Size: 1})
	r.settle()
	if got := only(l.candles(revised), "1m", "AAPL"); len(got) == 0 || got[len(got)-1].Trades != 1 || !got[len(got)-1].Bucket.Equal(begin.Add(4*time.Minute)) {
		t.Errorf("the bar that came back: %+v", got)
	}
}

// The hub adds ticks to forming bars as the database makes them: by what they do
// not move.
func TestFormingHonoursConditions(t *testing.T) {
	r := newRig(t, quick)
	odd := r.tick("AAPL", begin.Add(time.Second))
	odd.Flags = 7
	r.feed(odd)
	l := r.listen(r.hub, Subscription{Symbols: []string{"AAPL"}, Intervals: append([]string{"30s"}, five...), Kinds: Candles})
	r.caughtUp(r.hub)
	if n := len(l.candles(forming)); n != 0 {
		t.Errorf("%d bars of nothing that counts", n)
	}
	for i := range 48 {
		k := r.tick("AAPL", begin.Add(time.Duration(2+i*4)*time.Second))
		k.Flags, k.Side = int32(r.rand.IntN(16)), int16(r.rand.IntN(3)-1)
		older := r.tick("AAPL", k.TS.Add(-time.Second))
		older.Venue, older.Flags, older.Side = "NYSE", int32(r.rand.IntN(16)), int16(r.rand.IntN(3)-1)
		r.feed(k)
		r.feed(older)
		if i%6 == 5 {
			for _, interval := range five {
				wait.Until(t, "forming "+interval, func() bool { return r.formingRight(l, interval) })
			}
		}
	}
	sameCandles(t, "closed 1m", only(l.candles(closed), "1m"), r.want("1m", r.now().Add(-r.hub.cfg.Grace)))
}

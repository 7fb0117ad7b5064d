package stream

import (
	"errors"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// quick has a status in every update, so that a test can see how far the hub is.
var quick = Config{StatusEvery: 10 * time.Millisecond}

// TestCandles feeds some minutes and expects every closed bar once, as computed by
// brute force, whatever else the client asked for; and the forming bars right.
func TestCandles(t *testing.T) {
	r := newRig(t, quick)
	symbols := []string{"AAPL", "MSFT", "X:Y"}
	all := r.listen(r.hub, Subscription{Intervals: []string{"1m", "5m", "15m"}, Kinds: All})
	two := r.listen(r.hub, Subscription{Symbols: []string{"AAPL", "X:Y"}, Intervals: []string{"5m"}, Kinds: Candles})
	r.caughtUp(r.hub)
	for m := range 17 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), symbols[:1+m%3]...)
		if m < 3 {
			// Of a feed that is new a pass reads back a minute, which is soon over here.
			r.caughtUp(r.hub)
		}
		if m == 14 {
			// Every bar has just ended, so that none is materialised half.
			// Jobs in between change nothing: what they list was closed with it.
			r.db.Settle(t)
			r.db.NoteRevisions(t)
		}
	}
	r.caughtUp(r.hub)
	upto := r.now().Add(-r.hub.cfg.Grace)
	for _, interval := range []string{"1m", "5m", "15m"} {
		sameCandles(t, "closed "+interval, only(all.candles(closed), interval), r.want(interval, upto))
	}
	sameCandles(t, "closed 5m of two", two.candles(closed), r.want("5m", upto, "AAPL", "X:Y"))
	if n := len(all.candles(revised)); n > 0 {
		t.Errorf("%d bars revised, want none", n)
	}
	if n := all.count("tick"); n != len(r.ticks) {
		t.Errorf("%d tick events, want %d", n, len(r.ticks))
	}
	if n := two.count("tick") + two.count("status"); n > 0 {
		t.Errorf("%d events that were not asked for", n)
	}
	for _, interval := range []string{"1m", "5m", "15m"} {
		wait.Until(t, "the last forming bars of "+interval, func() bool { return r.formingRight(all, interval) })
	}
	// What a client shows must never go back: nothing of a bar after its close.
	ended := map[string]time.Time{}
	for _, c := range all.candles(forming, closed) {
		key := c.Symbol + c.Interval
		if last, ok := ended[key]; ok && !c.Bucket.After(last) {
			t.Errorf("%s of %s %s %v after the close of %v", c.State, c.Symbol, c.Interval, c.Bucket, last)
		}
		if c.State == closed {
			ended[key] = c.Bucket
		}
	}
}

// formingRight reports whether the newest forming bar of each symbol that is
// open is what brute force makes of its ticks.
func (r *rig) formingRight(l *listener, interval string) bool {
	tf := timeframeOf(interval)
	newest := map[string]Candle{}
	for _, c := range only(l.candles(forming), interval) {
		newest[c.Symbol] = c
	}
	upto := r.now().Add(-r.hub.cfg.Grace)
	for _, w := range dbtest.BruteForceBy(r.ticks, tf.Start) {
		if tf.End(w.Bucket).After(upto) {
			g := newest[w.Symbol]
			got := dbtest.Candle{Symbol: g.Symbol, Bucket: g.Bucket, Open: g.Open, High: g.High, Low: g.Low, Close: g.Close, Volume: g.Volume, BuyVolume: g.BuyVolume, Notional: w.Notional, Trades: g.Trades}
			if !dbtest.SameCandle(got, w) {
				return false
			}
		}
	}
	return true
}

// TestFormingOfFeedsInDisorder feeds two venues whose ticks overtake each
// other, gaps of seq, and bars that began before anyone listened.
func TestFormingOfFeedsInDisorder(t *testing.T) {
	r := newRig(t, quick)
	r.feed(r.tick("AAPL", begin.Add(time.Second)), r.tick("AAPL", begin.Add(2*time.Second)))
	l := r.listen(r.hub, Subscription{Symbols: []string{"AAPL"}, Intervals: five, Kinds: Candles | Ticks})
	r.caughtUp(r.hub)
	for i := range 40 {
		a := r.tick("AAPL", begin.Add(time.Duration(3+i)*time.Second))
		b := r.tick("AAPL", begin.Add(time.Duration(2+i)*time.Second))
		b.Venue = "NYSE"
		r.feed(a)
		r.feed(b)
		if i%7 == 0 {
			r.seq += 3
			c := r.tick("AAPL", begin.Add(time.Duration(1+i)*time.Second)) // older than its feed
			r.feed(c)
		}
		if i%10 == 9 {
			for _, interval := range five {
				wait.Until(t, "forming "+interval, func() bool { return r.formingRight(l, interval) })
			}
		}
	}
}

// TestRevisions sends late ticks, by the direct way and by the late lane, and
// expects each bar they changed once, in every interval.
func TestRevisions(t *testing.T) {
	r := newRig(t, quick)
	symbols := []string{"AAPL", "MSFT"}
	old := begin.Add(-50 * time.Hour)
	for m := range 3 {
		r.minute(old.Add(time.Duration(m)*time.Minute), symbols...)
	}
	l := r.listen(r.hub, Subscription{Intervals: five, Kinds: Candles})
	r.setClock(begin)
	r.caughtUp(r.hub)
	for m := range 12 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), symbols...)
	}
	r.caughtUp(r.hub)
	r.db.Settle(t)
	r.db.NoteRevisions(t)
	r.caughtUp(r.hub)
	// The bars of two days ago were closed before anyone listened, yet their
	// ticks are new to the list: those revisions are rightly told.
	before := len(l.candles(revised))

	// Two ticks of one bar by the late lane, one of a bar that had none, one
	// three minutes late by the direct way.
	late := []dbtest.Tick{r.tick("AAPL", old.Add(30*time.Second)), r.tick("AAPL", old.Add(31*time.Second)), r.tick("AAPL", old.Add(8*time.Minute))}
	direct := []dbtest.Tick{r.tick("MSFT", begin.Add(7*time.Minute+30*time.Second)), r.tick("MSFT", r.now())}
	r.db.Commit(t, direct, late)
	r.ticks = append(append(r.ticks, late...), direct...)
	r.caughtUp(r.hub)
	r.db.NoteRevisions(t) // nothing shows them yet
	r.caughtUp(r.hub)
	if n := len(l.candles(revised)) - before; n != 0 {
		t.Errorf("%d bars revised before they show it", n)
	}
	r.db.Settle(t)
	r.db.NoteRevisions(t)
	r.db.NoteRevisions(t)
	r.caughtUp(r.hub)
	r.caughtUp(r.hub)

	got := l.candles(revised)[before:]
	for _, interval := range five {
		tf := timeframeOf(interval)
		touched := map[string]bool{}
		for _, k := range append(late, direct[0]) {
			bucket := tf.Start(k.TS)
			if !tf.End(bucket).After(r.now().Add(-r.hub.cfg.Grace).Truncate(time.Minute)) {
				touched[k.Symbol+bucket.String()] = true
			}
		}
		var want []dbtest.Candle
		for _, c := range dbtest.BruteForceBy(r.ticks, tf.Start) {
			if touched[c.Symbol+c.Bucket.String()] {
				want = append(want, c)
			}
		}
		sameCandles(t, "revised "+interval, only(got, interval), want)
	}
	for _, interval := range []string{"1h", "1d"} {
		wait.Until(t, "the forming bars above revised ones", func() bool { return r.formingRight(l, interval) })
	}
}

// TestFlood fills in days at once: that is told as a reset, not bar by bar.
func TestFlood(t *testing.T) {
	r := newRig(t, quick)
	r.feed(r.tick("AAPL", begin), r.tick("MSFT", begin))
	l := r.listen(r.hub, Subscription{Symbols: []string{"AAPL"}, Intervals: []string{"1m"}, Kinds: Candles})
	other := r.listen(r.hub, Subscription{Symbols: []string{"MSFT"}, Intervals: []string{"1m"}, Kinds: Candles})
	r.caughtUp(r.hub)
	var history []dbtest.Tick
	for m := range 40 {
		history = append(history, r.tick("AAPL", begin.Add(time.Duration(m-50)*time.Hour)))
	}
	r.db.Commit(t, history, nil)
	r.db.Settle(t)
	r.db.NoteRevisions(t)
	wait.Equal(t, "a reset", 1, func() int { return l.count("reset") })
	r.caughtUp(r.hub)
	if n := len(l.candles(revised)); n > 0 {
		t.Errorf("%d bars revised besides", n)
	}
	if n := other.count("reset"); n > 0 {
		t.Errorf("%d resets for a symbol nothing happened to", n)
	}
}

// TestSlow leaves one client unread while others read.
func TestSlow(t *testing.T) {
	cfg := quick
	cfg.MaxPending = 10
	r := newRig(t, cfg)
	dropped := make(chan struct{})
	slow, err := r.hub.Subscribe(Subscription{Intervals: []string{"1m"}, Kinds: All, Dropped: func() { close(dropped) }})
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	l := r.listen(r.hub, Subscription{Intervals: []string{"1m"}, Kinds: Candles})
	r.caughtUp(r.hub)
	for m := range 15 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), "AAPL")
		r.caughtUp(r.hub)
	}
	<-dropped
	if _, err := slow.Next(t.Context(), time.Minute); !errors.Is(err, ErrSlow) {
		t.Errorf("the slow client got %v", err)
	}
	sameCandles(t, "closed", l.candles(closed), r.want("1m", r.now().Add(-r.hub.cfg.Grace)))
}

// TestBacklogOfTicks has a client read late: of the ticks it gets the newest of
// each symbol, and the newest forming bar.
func TestBacklogOfTicks(t *testing.T) {
	r := newRig(t, quick)
	c, err := r.hub.Subscribe(Subscription{Intervals: []string{"1m"}, Kinds: Ticks | Candles})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.caughtUp(r.hub)
	for i := range 40 {
		var ticks []dbtest.Tick
		for range 10 {
			ticks = append(ticks, r.tick("AAPL", begin.Add(time.Duration(i)*time.Second)), r.tick("MSFT", begin.Add(time.Duration(i)*time.Second)))
		}
		r.feed(ticks...)
		r.caughtUp(r.hub)
	}
	out, err := c.Next(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	last, n, bars := map[string]string{}, 0, 0
	for _, m := range parse(out) {
		switch m.event {
		case "tick":
			n++
			last[m.data[11:15]] = m.data
		case "candle":
			bars++
		}
	}
	if n > maxTicks || bars != 2 || len(last) != 2 {
		t.Errorf("%d ticks of %d symbols and %d forming bars, want at most %d, of 2, and 2", n, len(last), bars, maxTicks)
	}
	for i := len(r.ticks) - 2; i < len(r.ticks); i++ {
		k := r.ticks[i]
		if want := string(tickEvent(tick{k.Symbol, k.Venue, k.TS, k.Price, k.Size, k.Seq, k.Side, k.Flags}).body); "event: tick\ndata: "+last[k.Symbol]+"\n\n" != want {
			t.Errorf("the last tick is %s, want %s", last[k.Symbol], want)
		}
	}
}

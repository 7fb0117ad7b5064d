package stream

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// cut reads a client until it has seen n messages with an id, and returns
// those: what follows in the same bytes is as lost as after a broken connection.
func cut(t testing.TB, h *Hub, sub Subscription, n int) []message {
	t.Helper()
	c, err := h.Subscribe(sub)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var got []message
	for {
		out, err := c.Next(t.Context(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range parse(out) {
			if m.id == "" {
				continue
			}
			if got = append(got, m); len(got) == n {
				return got
			}
		}
	}
}

// TestResume breaks a client's connection again and again, at any event, while
// bars close and are revised, and the hub changes. Altogether it sees each bar
// close once, and each revision, by a revision or by a later close.
func TestResume(t *testing.T) {
	r := newRig(t, quick)
	keep := r.listen(r.hub, Subscription{Intervals: []string{"1m"}, Kinds: Candles}) // the hub stays awake
	r.caughtUp(r.hub)
	symbols := []string{"AAPL", "A.B", "MSFT", "X:Y"}
	sub := Subscription{Intervals: []string{"1m", "5m"}, Kinds: Candles}
	random := rand.New(rand.NewPCG(11, 13))

	r.minute(begin, symbols...)
	first := r.listen(r.hub, sub)
	wait.Until(t, "an id to begin from", func() bool { return len(first.messages()) > 0 })
	first.close()
	seen := first.messages()
	hub := r.hub
	for m := 1; m < 30; m++ {
		r.minute(begin.Add(time.Duration(m)*time.Minute), symbols[:1+m%4]...)
		if m%6 == 0 {
			late := []dbtest.Tick{r.tick("AAPL", begin.Add(time.Duration(random.IntN(m))*time.Minute))}
			r.db.Commit(t, late, nil)
			r.ticks = append(r.ticks, late...)
			r.db.Settle(t)
			r.db.NoteRevisions(t)
		}
		if m == 13 {
			hub = r.newHub(quick) // as after a restart of the server
			run(t, hub)
		}
		if m%3 == 0 {
			r.caughtUp(hub)
			sub.LastID = seen[len(seen)-1].id
			seen = append(seen, cut(t, hub, sub, 1+random.IntN(6))...)
		}
	}
	sub.LastID = seen[len(seen)-1].id
	r.caughtUp(hub)
	last := r.listen(hub, sub)
	upto := r.now().Add(-hub.cfg.Grace)
	state := map[string]Candle{}
	closes := map[string]int{}
	count := func() bool {
		clear(state)
		clear(closes)
		for _, m := range append(append([]message(nil), seen...), last.messages()...) {
			if m.event != "candle" || m.candle.State == forming {
				if m.event == "reset" {
					t.Fatalf("reset: %s", m.data)
				}
				continue
			}
			key := fmt.Sprint(m.candle.Symbol, m.candle.Interval, m.candle.Bucket)
			state[key] = m.candle
			if m.candle.State == closed {
				closes[key]++
			}
		}
		return len(closes) == len(r.want("1m", upto))+len(r.want("5m", upto))
	}
	wait.Until(t, "all closed bars", count)
	r.caughtUp(hub)
	count()
	for key, n := range closes {
		if n != 1 {
			t.Errorf("%s closed %d times", key, n)
		}
	}
	var final []Candle
	for _, c := range state {
		final = append(final, c)
	}
	for _, interval := range []string{"1m", "5m"} {
		sameCandles(t, "what the client knows of "+interval, only(final, interval), r.want(interval, upto))
	}
	if len(keep.candles(revised)) == 0 {
		t.Error("nothing was revised: the test tests too little")
	}
}

// TestResumeFromAnywhere resumes from every event of a stream and expects the
// rest of it.
func TestResumeFromAnywhere(t *testing.T) {
	r := newRig(t, quick)
	sub := Subscription{Intervals: []string{"1m", "5m"}, Kinds: Candles}
	l := r.listen(r.hub, sub)
	r.caughtUp(r.hub)
	for m := range 11 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), "AAPL", "MSFT", "X:Y")
		r.caughtUp(r.hub)
	}
	late := []dbtest.Tick{r.tick("AAPL", begin.Add(90*time.Second)), r.tick("X:Y", begin.Add(91*time.Second))}
	r.db.Commit(t, late, nil)
	r.db.Settle(t)
	r.db.NoteRevisions(t)
	wait.Equal(t, "revisions", 4, func() int { return len(l.candles(revised)) })
	l.close()
	var all []message
	for _, m := range l.messages() {
		if m.event == "candle" && m.candle.State != forming {
			all = append(all, m)
		}
	}
	for i, from := range all {
		sub.LastID = from.id
		// A bar that was revised since comes once: as the close it missed, or
		// as a revision of the one it had.
		want := map[string]bool{}
		for _, m := range all[i+1:] {
			want[fmt.Sprint(m.candle.Symbol, m.candle.Interval, m.candle.Bucket)] = true
		}
		c := r.listen(r.hub, sub)
		wait.Until(t, fmt.Sprintf("%d events after %s", len(want), from.id), func() bool { return len(c.candles(closed, revised)) >= len(want) })
		r.caughtUp(r.hub)
		got := c.candles(closed, revised)
		c.close()
		for _, g := range got {
			key := fmt.Sprint(g.Symbol, g.Interval, g.Bucket)
			if !want[key] {
				t.Errorf("after %s: %s %s came again", from.id, g.State, key)
			}
			delete(want, key)
		}
		if len(want) > 0 {
			t.Errorf("after %s: %v did not come", from.id, want)
		}
	}
}

// TestResumeFromNowhere gives ids that lead nowhere.
func TestResumeFromNowhere(t *testing.T) {
	r := newRig(t, quick)
	r.feed(r.tick("AAPL", begin.Add(time.Second)))
	for name, id := range map[string]string{
		"too old":             position{begin.Add(-25 * time.Hour), timeframeOf("1m"), "AAPL", 0, 0}.String(),
		"not one of this":     "42",
		"of another database": position{begin.Add(-time.Minute), timeframeOf("1m"), "AAPL", 1 << 40, 0}.String(),
		"another database":    position{begin.Add(-time.Minute), timeframeOf("1m"), "AAPL", 0, 1 << 40}.String(),
	} {
		l := r.listen(r.hub, Subscription{Intervals: []string{"1m"}, Kinds: Candles, LastID: id})
		wait.Equal(t, "a reset", 1, func() int { return l.count("reset") })
		if m := l.messages()[0]; !strings.Contains(m.data, name) || m.id == "" {
			t.Errorf("%s: %+v", name, m)
		}
		l.close()
	}
}

// TestDatabaseRestart restarts the database while the hub runs: clients stay
// connected, get a stale status, and miss no event.
func TestDatabaseRestart(t *testing.T) {
	r := newRig(t, quick)
	l := r.listen(r.hub, Subscription{Intervals: []string{"1m"}, Kinds: Candles | Status})
	r.caughtUp(r.hub)
	for m := range 4 {
		r.minute(begin.Add(time.Duration(m)*time.Minute), "AAPL", "MSFT")
	}
	r.caughtUp(r.hub)
	kill := func() {
		if r.db.Embedded != nil {
			r.db.Embedded.Kill()
			return
		}
		if _, err := r.db.Pool.Exec(context.Background(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid()`); err != nil {
			t.Fatal(err)
		}
	}
	told := func() bool {
		for _, m := range l.messages()[max(0, len(l.messages())-3):] {
			if m.event == "status" && strings.Contains(m.data, `"stale":true`) && strings.Contains(m.data, `"ticks_per_second":0,`) {
				return true
			}
		}
		return false
	}
	wait.Until(t, "the status to say so", func() bool { kill(); return told() })
	wait.Until(t, "the database", func() bool { return r.db.Pool.Ping(context.Background()) == nil })
	for m := 4; m < 8; m++ {
		r.minute(begin.Add(time.Duration(m)*time.Minute), "AAPL", "MSFT")
	}
	upto := r.now().Add(-r.hub.cfg.Grace)
	wait.Until(t, "every closed bar", func() bool { return len(l.candles(closed)) >= len(r.want("1m", upto)) })
	r.caughtUp(r.hub)
	sameCandles(t, "closed", l.candles(closed), r.want("1m", upto))
}

func TestClose(t *testing.T) {
	r := newRig(t, quick)
	l := r.listen(r.hub, Subscription{Kinds: All})
	r.end()
	<-l.done
	if !errors.Is(l.err, ErrClosed) {
		t.Errorf("the client got %v", l.err)
	}
	if _, err := r.hub.Subscribe(Subscription{}); !errors.Is(err, ErrClosed) {
		t.Errorf("a new client got %v", err)
	}
	if err := r.hub.Run(t.Context()); err == nil {
		t.Error("the hub runs once more")
	}
}

// TestSubscribeBeforeRun has a client come before the hub runs: it waits, and
// its events begin with the first pass.
func TestSubscribeBeforeRun(t *testing.T) {
	r := &rig{t: t, db: dbtest.New(t), rand: rand.New(rand.NewPCG(3, 5))}
	r.setClock(begin)
	hub := r.newHub(quick)
	c, err := hub.Subscribe(Subscription{Intervals: []string{"1m"}, Kinds: All})
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.Next(t.Context(), time.Millisecond); err != nil || string(out) != ":\n\n" {
		t.Errorf("before the hub runs came %q, %v, want a comment", out, err)
	}
	if n := hub.Clients(); n != 1 {
		t.Errorf("%d clients, want 1", n)
	}
	c.Close()
	l := r.listen(hub, Subscription{Intervals: []string{"1m"}, Kinds: All})
	end := run(t, hub)
	r.caughtUp(hub)
	r.minute(begin, "AAPL")
	r.minute(begin.Add(time.Minute), "AAPL")
	wait.Until(t, "a closed bar", func() bool { return len(l.candles(closed)) == 1 })
	sameCandles(t, "closed", l.candles(closed), r.want("1m", begin.Add(time.Minute)))
	end()
	<-l.done
	if !errors.Is(l.err, ErrClosed) {
		t.Errorf("the client got %v", l.err)
	}
}

// TestRunOfEnded runs a hub whose context has ended already.
func TestRunOfEnded(t *testing.T) {
	h := New(quick)
	c, err := h.Subscribe(Subscription{Kinds: All})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := c.Next(t.Context(), time.Minute); !errors.Is(err, ErrClosed) {
		t.Errorf("the client got %v", err)
	}
}

func FuzzPosition(f *testing.F) {
	for _, id := range []string{"", "1764032460.*.12.3.", "1764032460.1m.12.3.A.B", "1764032460.90m.12.", "-60.1m.0.0.", "1764032461.1s.0.0.", "60.7s.0.0.", "60.1m.-1.0.A", "60.1m.1.-1.A", "99999999999999.*.0.0."} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		p, err := parsePosition(id)
		if err != nil {
			return
		}
		again, err := parsePosition(p.String())
		if err != nil || again != p {
			t.Errorf("%q became %+v and then %+v, %v", id, p, again, err)
		}
	})
}

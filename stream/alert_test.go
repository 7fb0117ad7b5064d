package stream

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/internal/wait"
)

// execer is a pool or a transaction.
type execer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// found stores an event as the evaluation of a rule does, and returns its id.
func (r *rig) found(on execer, symbol string, bar time.Time) int64 {
	r.t.Helper()
	interval := "1m"
	args := []any{symbol, &interval, bar, fmt.Sprintf("%s at %s", symbol, bar.Format(time.TimeOnly))}
	if strings.HasPrefix(symbol, "ingest") {
		args[1] = nil
	}
	var id int64
	if err := on.QueryRow(context.Background(), `INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, value, threshold, message)
		VALUES (1, 'high', 'warning', $1, $2, $3, 111, 110, $4) RETURNING id`, args...).Scan(&id); err != nil {
		r.t.Fatal(err)
	}
	return id
}

// retract changes an event as a late tick does.
func (r *rig) retract(id int64) {
	r.t.Helper()
	if _, err := r.db.Pool.Exec(context.Background(), `UPDATE alert.events SET state = 'retracted', revision = revision + 1, changed = clock_timestamp(),
		change_id = nextval('alert.change_id') WHERE id = $1`, id); err != nil {
		r.t.Fatal(err)
	}
}

// TestAlerts sends what rules find to those who want to know of it.
func TestAlerts(t *testing.T) {
	r := newRig(t, quick)
	before := r.found(r.db.Pool, "AAPL", begin.Add(-time.Hour))
	all := r.listen(r.hub, Subscription{Kinds: Alerts})
	two := r.listen(r.hub, Subscription{Symbols: []string{"AAPL", "X:Y"}, Kinds: Alerts | Candles})
	two2 := r.listen(r.hub, Subscription{Symbols: []string{"AAPL"}, Kinds: Alerts, AllAlerts: true})
	none := r.listen(r.hub, Subscription{Kinds: Ticks | Candles})
	r.caughtUp(r.hub)
	aapl, msft, part := r.found(r.db.Pool, "AAPL", begin), r.found(r.db.Pool, "MSFT", begin), r.found(r.db.Pool, "ingest a", begin)
	r.caughtUp(r.hub)
	r.retract(aapl)
	r.retract(before)
	wait.Equal(t, "all changes", 5, func() int { return len(all.alerts()) })
	r.caughtUp(r.hub)

	ids := func(l *listener) string {
		var out []string
		for _, a := range l.alerts() {
			out = append(out, fmt.Sprintf("%d %s %d", a.ID, a.State, a.Revision))
		}
		return strings.Join(out, ", ")
	}
	first, second := fmt.Sprintf("%d firing 0", aapl), fmt.Sprintf("%d firing 0, %d retracted 1, %d retracted 1", part, aapl, before)
	if got, want := ids(all), fmt.Sprintf("%s, %d firing 0, %s", first, msft, second); got != want || ids(two2) != want {
		t.Errorf("all got %s\nthe other %s\nwant %s", got, ids(two2), want)
	}
	if got, want := ids(two), first+", "+second; got != want {
		t.Errorf("of two symbols came %s, want %s", got, want)
	}
	if n := len(none.alerts()); n > 0 {
		t.Errorf("%d alerts that were not asked for", n)
	}
	a := all.alerts()[0]
	if a.Rule != "high" || a.Symbol != "AAPL" || *a.Interval != "1m" || !a.Bar.Equal(begin) || *a.Value != 111 || *a.Threshold != 110 || a.Resolved != nil || a.Message == "" || a.Opened.IsZero() || a.ChangeID == 0 {
		t.Errorf("event %+v", a)
	}
}

// TestAlertsOfATransaction gives out the number of a change long before it is
// there, and others that never are.
func TestAlertsOfATransaction(t *testing.T) {
	r := newRig(t, quick)
	if r.db.Embedded != nil {
		t.Skip("one backend: nobody reads while a transaction is open")
	}
	l := r.listen(r.hub, Subscription{Kinds: Alerts})
	r.caughtUp(r.hub)
	ctx := context.Background()
	gone, err := r.db.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r.found(gone, "AAPL", begin)
	r.caughtUp(r.hub)
	if err := gone.Rollback(ctx); err != nil {
		t.Fatal(err)
	}
	tx, err := r.db.Pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := r.found(tx, "MSFT", begin)
	r.caughtUp(r.hub)
	if n := len(l.alerts()); n > 0 {
		t.Fatalf("%d alerts of transactions that go on", n)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	wait.Equal(t, "the alert", 1, func() int { return len(l.alerts()) })
	if a := l.alerts()[0]; a.ID != id {
		t.Errorf("got %+v, want event %d", a, id)
	}
}

// TestAlertsResume breaks a client's connection again and again, at any event,
// while bars close, alerts come and change, and the hub changes. Altogether it
// sees the last change of each event, and no change twice.
func TestAlertsResume(t *testing.T) {
	r := newRig(t, quick)
	r.listen(r.hub, Subscription{Kinds: Alerts}) // the hub stays awake
	r.caughtUp(r.hub)
	sub := Subscription{Intervals: []string{"1m"}, Kinds: Candles | Alerts, Symbols: []string{"AAPL", "X:Y"}}
	random := rand.New(rand.NewPCG(17, 19))

	first := r.listen(r.hub, sub)
	r.caughtUp(r.hub)
	r.minute(begin, "AAPL", "MSFT", "X:Y")
	wait.Until(t, "an id to begin from", func() bool { return len(first.messages()) > 0 })
	first.close()
	seen := first.messages()
	hub := r.hub
	var ids []int64
	for m := 1; m < 30; m++ {
		start := begin.Add(time.Duration(m) * time.Minute)
		r.minute(start, "AAPL", "MSFT", "X:Y")
		ids = append(ids, r.found(r.db.Pool, []string{"AAPL", "MSFT", "X:Y", "ingest a"}[random.IntN(4)], start))
		if m%2 == 0 {
			r.retract(ids[random.IntN(len(ids))])
		}
		if m == 11 {
			hub = r.newHub(quick) // as after a restart of the server
			run(t, hub)
		}
		if m%3 == 0 {
			r.caughtUp(hub)
			sub.LastID = seen[len(seen)-1].id
			seen = append(seen, cut(t, hub, sub, 1+random.IntN(9))...)
		}
	}
	sub.LastID = seen[len(seen)-1].id
	r.caughtUp(hub)
	last := r.listen(hub, sub)
	rows, err := r.db.Pool.Query(context.Background(), `SELECT id, change_id FROM alert.events WHERE symbol IN ('AAPL', 'X:Y', 'ingest a')`)
	if err != nil {
		t.Fatal(err)
	}
	type change struct{ ID, Change int64 }
	want, err := pgx.CollectRows(rows, pgx.RowToStructByPos[change])
	if err != nil {
		t.Fatal(err)
	}
	known := map[int64]int64{}
	wait.Until(t, "the last change of all", func() bool {
		clear(known)
		for _, m := range slices.Concat(seen, last.messages()) {
			if m.event == "alert" {
				known[m.alert.ID] = max(known[m.alert.ID], m.alert.ChangeID)
			}
		}
		for _, w := range want {
			if known[w.ID] != w.Change {
				return false
			}
		}
		return true
	})
	r.caughtUp(hub)
	told := map[int64]bool{}
	var newest int64
	for _, m := range slices.Concat(seen, last.messages()) {
		switch {
		case m.event == "reset":
			t.Errorf("reset: %s", m.data)
		case m.event != "alert":
		case told[m.alert.ChangeID]:
			t.Errorf("change %d came twice", m.alert.ChangeID)
		case m.alert.ChangeID < newest:
			t.Errorf("change %d came after %d", m.alert.ChangeID, newest)
		default:
			told[m.alert.ChangeID], newest = true, m.alert.ChangeID
		}
	}
	if len(told) < len(want) || len(want) < 15 {
		t.Errorf("%d changes of %d events: the test tests too little", len(told), len(want))
	}
}

// TestTooManyAlerts changes more at once than is told.
func TestTooManyAlerts(t *testing.T) {
	r := newRig(t, quick)
	l := r.listen(r.hub, Subscription{Kinds: Alerts})
	wait.Equal(t, "clients", 1, r.hub.Clients)
	r.caughtUp(r.hub)
	r.found(r.db.Pool, "AAPL", begin)
	wait.Equal(t, "an alert", 1, func() int { return len(l.alerts()) })
	from := l.messages()[0].id
	if _, err := r.db.Pool.Exec(context.Background(), `INSERT INTO alert.events (rule_id, rule, severity, symbol, "interval", bar, message)
		SELECT 2, 'many', 'info', 'AAPL', '1m', $1::timestamptz + i * INTERVAL '1 minute', '' FROM generate_series(0, $2) i`, begin, maxRows); err != nil {
		t.Fatal(err)
	}
	wait.Equal(t, "a reset", 1, func() int { return l.count("reset") })
	id := r.found(r.db.Pool, "AAPL", begin.Add(time.Hour))
	wait.Equal(t, "the next alert", 2, func() int { return len(l.alerts()) })
	if a := l.alerts()[1]; a.ID != id {
		t.Errorf("after the reset came %+v", a)
	}
	late := r.listen(r.hub, Subscription{Kinds: Alerts, LastID: from})
	wait.Equal(t, "a reset", 1, func() int { return late.count("reset") })
	if n := len(late.alerts()); n > 0 {
		t.Errorf("%d alerts besides the reset", n)
	}
}

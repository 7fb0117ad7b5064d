package notify

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// chance is a seeded random number for many goroutines.
type chance struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newChance(seed uint64) *chance { return &chance{r: rand.New(rand.NewPCG(seed, 0))} }

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

// abrupt ends a connection without an answer.
func abrupt(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err == nil {
		_ = conn.Close()
	}
}

// TestNotifier runs what needs a database, on one: each with channels of its own.
func TestNotifier(t *testing.T) {
	d := dbtest.New(t)
	url := d.URLAs(t, "hypertick_operator")
	// Alone, before the others: every notifier forgets what no other serves.
	t.Run("Unserved", func(t *testing.T) { testUnserved(t, newRig(t, d, url)) })
	for name, f := range map[string]func(*testing.T, *rig){
		"UnreliableReceivers": testUnreliableReceivers, "TwoNotifiers": testTwoNotifiers, "Killed": testKilled,
		"Stop": testStop, "Listen": testListen, "Fence": testFence,
		"Results": testResults, "RetryAfter": testRetryAfter, "PrivateTargets": testPrivateTargets,
		"Secrets": testSecrets, "Operations": testOperations,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newRig(t, d, url))
		})
	}
}

// testUnreliableReceivers has two notifiers send to a webhook, to Slack and to
// a mail server, which all fail, hang, hang up, and take what they then deny:
// every event arrives, once after de-duplication, in order, and well signed.
func testUnreliableReceivers(t *testing.T, r *rig) {
	luck := newChance(20261124)
	faulty := func(w http.ResponseWriter, req *http.Request, n int) {
		if n == 1 { // whatever luck says: taken, and denied
			abrupt(w)
			return
		}
		switch luck.n(12) {
		case 0:
			w.WriteHeader(http.StatusInternalServerError)
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 3, 4:
			abrupt(w)
		case 5:
			<-req.Context().Done() // hangs until the notifier gives up
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
	hook, team := newReceiver(t, faulty), newReceiver(t, faulty)
	cert, file := certificate(t)
	var denied atomic.Bool
	post := newSink(t, cert, false, func(step string, conn net.Conn) error {
		if step == "taken" && denied.CompareAndSwap(false, true) {
			return errTransient
		}
		switch luck.n(24) {
		case 0:
			return errTransient
		case 1:
			_ = conn.Close()
			return errHungUp
		case 2:
			if step == "mail" { // hangs until the notifier gives up
				_, _ = conn.Read(make([]byte, 1))
				return errHungUp
			}
		}
		return nil
	})
	channels := []Channel{hook.webhook("hook"), {Name: "team", Kind: Slack, URL: Secret(team.URL + "/services/T0/B0/x")}, post.channel("post", file)}

	const rules, symbols, each = 2, 4, 4
	var events []event
	for i := range each {
		for rule := range rules {
			for symbol := range symbols {
				for _, c := range channels {
					events = append(events, event{
						Key: fmt.Sprintf("v1/%d/S.%d/%d/%s", rule, symbol, i, c.Name), Channel: c.Name, Rule: rule, Symbol: fmt.Sprintf("S.%d", symbol),
						Kind: []string{"opened", "resolved"}[i%2],
					})
				}
			}
		}
	}
	cfg := r.config(channels...)
	cfg.Timeout = 250 * time.Millisecond
	r.start(cfg)
	r.start(cfg)
	half := len(events) / 2
	r.write(events[:half]...)
	r.write(events[half:]...)
	wait.Equal(t, "everything is sent", len(events), func() int { return r.count("state = 'sent' AND channel IN ('hook', 'team', 'post')") })

	ids := map[string][]string{}
	reference, err := webhooks.NewWebhook(string(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range hook.got() {
		ids["hook"] = append(ids["hook"], q.id)
		if err := Verify(q.header, q.body, testSecret, time.Now()); err != nil {
			t.Errorf("%s: %v", q.id, err)
		}
		if err := reference.Verify(q.body, q.header); err != nil {
			t.Errorf("%s: the library of Standard Webhooks says %v", q.id, err)
		}
		if id := q.header.Get(headerID); id != q.id {
			t.Errorf("webhook-id is %q, the key %q", id, q.id)
		}
	}
	for _, q := range team.got() {
		ids["team"] = append(ids["team"], q.id)
	}
	messageIDs := map[string]string{}
	for _, l := range post.got() {
		id := l.header.Get("X-Hypertick-Key")
		ids["post"] = append(ids["post"], id)
		if m := l.header.Get("Message-Id"); messageIDs[id] != "" && messageIDs[id] != m {
			t.Errorf("%s has two Message-IDs: %s and %s", id, messageIDs[id], m)
		} else {
			messageIDs[id] = m
		}
	}
	for _, c := range channels {
		got := slices.Clone(ids[c.Name])
		var want []string
		for _, e := range events {
			if e.Channel == c.Name {
				want = append(want, escape(e.Key))
			}
		}
		t.Logf("%s: %d events, %d deliveries", c.Name, len(want), len(got))
		if len(got) == len(want) {
			t.Errorf("%s: nothing failed after it had been taken: the test is too easy", c.Name)
		}
		// Once after de-duplication, and in the order of rule and symbol.
		first, last := map[string]int{}, map[string]int{}
		for at, id := range got {
			if _, seen := first[id]; !seen {
				first[id] = at
			}
			last[id] = at
		}
		if len(first) != len(want) {
			t.Errorf("%s: got %d different keys, want %d", c.Name, len(first), len(want))
		}
		slices.Sort(want)
		for i, id := range want {
			if _, ok := first[id]; !ok {
				t.Errorf("%s never arrived", id)
			}
			// Sorted, the keys of one rule and symbol are side by side, in order.
			if i > 0 && id[:strings.LastIndex(id[:len(id)-5], "/")] == want[i-1][:strings.LastIndex(want[i-1][:len(id)-5], "/")] && first[id] < last[want[i-1]] {
				t.Errorf("%s came before %s", id, want[i-1])
			}
		}
	}
}

// testTwoNotifiers has a receiver that takes everything see each key exactly
// once, however many notifiers there are.
func testTwoNotifiers(t *testing.T, r *rig) {
	hook := newReceiver(t, nil)
	var events []event
	for i := range 200 {
		events = append(events, event{Key: fmt.Sprint("two", i), Channel: "two", Symbol: fmt.Sprint("S", i%40), Rule: i % 3})
	}
	r.write(events[:100]...)
	for range 3 {
		r.start(r.config(hook.webhook("two")))
	}
	for i := 100; i < len(events); i += 10 {
		r.write(events[i : i+10]...)
	}
	wait.Until(t, "everything is sent", func() bool {
		return r.count("channel = 'two' AND state = 'sent' AND attempts = 1 AND finished_at IS NOT NULL AND error IS NULL") == len(events)
	})
	seen := map[string]int{}
	for _, q := range hook.got() {
		seen[q.id]++
	}
	for _, e := range events {
		if seen[e.Key] != 1 {
			t.Errorf("%s was sent %d times", e.Key, seen[e.Key])
		}
	}
}

const childEnv = "HYPERTICK_NOTIFY_TEST_CHILD"

// child is a notifier in a process of its own, to be killed.
func child() error {
	pool, err := db.NewPool(os.Getenv("CHILD_DATABASE"), 4)
	if err != nil {
		return err
	}
	n, err := New(Config{
		Pool: pool, AllowPrivate: true, Timeout: 500 * time.Millisecond, Lease: time.Second, Poll: 20 * time.Millisecond,
		Channels: []Channel{{Name: "killed", Kind: Webhook, URL: Secret(os.Getenv(childEnv)), Secret: testSecret}},
	})
	if err != nil {
		return err
	}
	return n.Run(context.Background())
}

// testKilled kills a notifier while it sends. The next one sends again what
// was in flight, with the same keys, and the rest.
func testKilled(t *testing.T, r *rig) {
	var mu sync.Mutex
	killed := false
	hook := newReceiver(t, func(w http.ResponseWriter, req *http.Request, n int) {
		mu.Lock()
		hang := !killed && n > 3
		mu.Unlock()
		if hang {
			<-req.Context().Done()
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	c := hook.webhook("killed")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(c.URL), "CHILD_DATABASE="+r.url)
	cmd.Stderr = r.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	var events []event
	for i := range 20 {
		events = append(events, event{Key: fmt.Sprint("killed", i), Channel: "killed", Symbol: fmt.Sprint("S", i%10)})
	}
	r.write(events...)
	wait.Until(t, "the receiver hangs", func() bool { return len(hook.got()) > 5 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	mu.Lock()
	killed = true
	mu.Unlock()
	if sent := r.count("channel = 'killed' AND state = 'sent'"); sent == len(events) {
		t.Fatal("all was sent before the kill: the test is too easy")
	}
	r.start(r.config(c))
	wait.Equal(t, "everything is sent", len(events), func() int { return r.count("channel = 'killed' AND state = 'sent'") })
	seen := map[string]int{}
	for _, q := range hook.got() {
		seen[q.id]++
	}
	twice := 0
	for _, e := range events {
		if seen[e.Key] == 0 {
			t.Errorf("%s never arrived", e.Key)
		}
		if seen[e.Key] > 1 {
			twice++
		}
	}
	if twice == 0 {
		t.Error("nothing was in flight when the notifier was killed")
	}
}

// testStop stops a notifier while a receiver hangs, and another while one is
// just slow. What hangs is left for the next at once, what is slow finishes.
func testStop(t *testing.T, r *rig) {
	arrived, answer := make(chan struct{}, 4), make(chan struct{})
	hook := newReceiver(t, func(w http.ResponseWriter, req *http.Request, n int) {
		arrived <- struct{}{}
		switch n {
		case 1:
			<-req.Context().Done()
		case 2:
			<-answer
		}
	})
	cfg := r.config(hook.webhook("stop"))
	cfg.Timeout = 10 * time.Second
	r.write(event{Key: "stop/a", Channel: "stop"})
	first := r.start(cfg)
	<-arrived
	first.stop()
	got := r.row("stop/a")
	if got.State != "waiting" || got.Attempts != 1 || got.Wait > 0 || got.Error == nil || !strings.Contains(*got.Error, "stopped") {
		t.Errorf("after a stop: %+v, want it to wait for the next notifier", got)
	}
	second := r.start(cfg)
	<-arrived
	second.cancel()
	close(answer)
	second.stop()
	if got := r.row("stop/a"); got.State != "sent" || got.Attempts != 2 {
		t.Errorf("after a stop with an answer on its way: %+v, want sent", got)
	}
	if len(hook.got()) != 2 {
		t.Errorf("got %d requests, want 2", len(hook.got()))
	}
}

// testListen sends at once what is written while a notifier hardly ever looks.
func testListen(t *testing.T, r *rig) {
	hook := newReceiver(t, nil)
	cfg := r.config(hook.webhook("listen"))
	cfg.Poll = time.Hour
	r.start(cfg)
	r.write(event{Key: "listen/a", Channel: "listen"})
	wait.Until(t, "a is sent", func() bool { return r.row("listen/a").State == "sent" })
	if r.db.Embedded == nil {
		// As a server that restarts does.
		if _, err := r.db.Pool.Exec(r.ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query = 'LISTEN hypertick_outbox'"); err != nil {
			t.Fatal(err)
		}
	}
	r.write(event{Key: "listen/b", Channel: "listen"}, event{Key: "listen/c", Channel: "listen"}) // one after the other
	wait.Until(t, "b and c are sent", func() bool { return r.row("listen/b").State == "sent" && r.row("listen/c").State == "sent" })
}

// testFence: the result of a notifier whose lease ran out while it was paused is
// not stored.
func testFence(t *testing.T, r *rig) {
	hook := newReceiver(t, func(http.ResponseWriter, *http.Request, int) {
		// The lease runs out and another takes it, as after a long pause of the process.
		if _, err := r.db.Pool.Exec(r.ctx, "UPDATE alert.outbox SET attempts = attempts + 1 WHERE key = 'fence/a'"); err != nil {
			t.Error(err)
		}
	})
	r.write(event{Key: "fence/a", Channel: "fence"})
	r.start(r.config(hook.webhook("fence")))
	wait.Until(t, "the notifier finds out", func() bool { return strings.Contains(r.log.String(), "another notifier has claimed the notification") })
	if got := r.row("fence/a"); got.State != "waiting" || got.Attempts != 2 {
		t.Errorf("got %+v, want it to wait for the other notifier", got)
	}
}

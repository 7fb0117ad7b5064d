package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/hypertick/hypertick/internal/wait"
)

// testResults sees what each answer makes of a notification.
func testResults(t *testing.T, r *rig) {
	codes := map[int]string{
		200: "sent", 201: "sent", 204: "sent", 299: "sent",
		301: "retried", 302: "retried", 307: "retried", 308: "retried",
		400: "dead", 401: "dead", 403: "dead", 404: "dead", 409: "dead", 410: "dead", 422: "dead",
		408: "retried", 425: "retried", 429: "retried", 500: "retried", 502: "retried", 503: "retried", 504: "retried",
	}
	elsewhere := newReceiver(t, nil)
	hook := newReceiver(t, func(w http.ResponseWriter, req *http.Request, _ int) {
		var code int
		_, _ = fmt.Sscanf(req.Header.Get(headerKey), "result/%d", &code)
		w.Header().Set("Location", elsewhere.URL)
		w.WriteHeader(code)
	})
	for code := range codes {
		r.write(event{Key: fmt.Sprint("result/", code), Channel: "result", Symbol: fmt.Sprint(code)})
	}
	cfg := r.config(hook.webhook("result"))
	cfg.Tries = 3
	n := r.start(cfg)
	wait.Equal(t, "all are handled", 0, func() int { return r.count("channel = 'result' AND state = 'waiting'") })
	for code, want := range codes {
		got := r.row(fmt.Sprint("result/", code))
		state, attempts := want, 1
		if want == "retried" {
			state, attempts = "dead", cfg.Tries
		}
		switch {
		case got.State != state || got.Attempts != attempts || !got.Finished:
			t.Errorf("%d: got %+v, want %s after %d attempts", code, got, state, attempts)
		case state == "sent" && got.Error != nil:
			t.Errorf("%d: sent with the error %q", code, *got.Error)
		case state == "dead" && (got.Error == nil || !strings.Contains(*got.Error, fmt.Sprint(code))):
			t.Errorf("%d: the error does not say it: %v", code, got.Error)
		case want == "retried" && !strings.HasPrefix(*got.Error, "failed after 3 attempts: "):
			t.Errorf("%d: the error does not say how often: %s", code, *got.Error)
		}
	}
	if got := elsewhere.got(); len(got) > 0 {
		t.Errorf("%d redirects were followed", len(got))
	}
	n.stop()
	r.write(event{Key: "result/exhausted", Channel: "result"})
	if _, err := r.db.Pool.Exec(r.ctx, "UPDATE alert.outbox SET attempts = 3 WHERE key = 'result/exhausted'"); err != nil {
		t.Fatal(err)
	}
	before := len(hook.got())
	r.start(cfg)
	wait.Until(t, "the notification that notifiers die of fails permanently", func() bool { return r.row("result/exhausted").State == "dead" })
	if len(hook.got()) != before {
		t.Error("it was sent once more")
	}
}

// testRetryAfter checks that nothing is sent before the receiver wants it.
func testRetryAfter(t *testing.T, r *rig) {
	hook := newReceiver(t, func(w http.ResponseWriter, req *http.Request, _ int) {
		switch req.Header.Get(headerKey) {
		case "after/seconds":
			w.Header().Set("Retry-After", "1200")
		case "after/date":
			w.Header().Set("Retry-After", time.Now().Add(20*time.Minute).UTC().Format(http.TimeFormat))
		case "after/ever":
			w.Header().Set("Retry-After", "99999999999")
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	least := map[string]float64{"after/seconds": 1100, "after/date": 1100, "after/ever": 86300}
	for key := range least {
		r.write(event{Key: key, Channel: "after", Symbol: key})
	}
	r.start(r.config(hook.webhook("after")))
	for key, least := range least {
		wait.Until(t, key+" is put off", func() bool { return r.row(key).Error != nil })
		if got := r.row(key); got.State != "waiting" || got.Attempts != 1 || got.Wait < least || got.Wait > least+110 {
			t.Errorf("%s: got %+v, want it to wait about %.0f s", key, got, least+100)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "120", "-1", "1e9", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 9999 07:28:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := retryAfter(s, time.Unix(1.7e9, 0)); d < 0 || d > maxRetryAfter {
			t.Errorf("%q: got %v", s, d)
		}
	})
}

// TestWaits checks that the default tries take about six hours.
func TestWaits(t *testing.T) {
	t.Parallel()
	n := &Notifier{}
	if err := n.cfg.complete(); err != nil {
		t.Fatal(err)
	}
	var total time.Duration
	for i := 1; i < n.cfg.Tries; i++ {
		d := n.wait(i)
		if d <= 0 || d > n.cfg.LastRetry*5/4+1 {
			t.Errorf("after %d attempts: %v", i, d)
		}
		total += d
	}
	if total < 4*time.Hour || total > 8*time.Hour {
		t.Errorf("all together %v, want about 6 h", total)
	}
}

// testUnserved gives up what waits for a channel that nobody serves, and keeps
// what waits for one that another notifier serves.
func testUnserved(t *testing.T, r *rig) {
	if _, err := r.db.Pool.Exec(r.ctx, `INSERT INTO alert.channels (name, kind, seen_at) VALUES
		('gone', 'webhook', now() - interval '25 hours'), ('other', 'webhook', now() - interval '2 hours'), ('long-gone', 'slack', now() - interval '8 days')`); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{"gone", "other", "never"} {
		r.write(event{Key: "unserved/" + c, Channel: c}, event{Key: "unserved/new/" + c, Channel: c})
	}
	if _, err := r.db.Pool.Exec(r.ctx, "UPDATE alert.outbox SET created_at = now() - interval '25 hours' WHERE key IN ('unserved/gone', 'unserved/other', 'unserved/never')"); err != nil {
		t.Fatal(err)
	}
	n := r.start(r.config()) // serves nothing itself
	wait.Until(t, "channels are deleted", func() bool { return strings.Contains(r.log.String(), "deleted channels") })
	for _, c := range []string{"gone", "never"} {
		if got := r.row("unserved/" + c); got.State != "dead" || got.Error == nil || *got.Error != "no notifier has served this channel for a day" || !got.Finished {
			t.Errorf("%s: got %+v, want it dead", c, got)
		}
	}
	for _, key := range []string{"unserved/other", "unserved/new/gone", "unserved/new/other", "unserved/new/never"} {
		if got := r.row(key); got.State != "waiting" || got.Attempts != 0 {
			t.Errorf("%s: got %+v, want it to wait", key, got)
		}
	}
	var names []string
	if err := r.db.Pool.QueryRow(r.ctx, "SELECT array_agg(name ORDER BY name) FROM alert.channels WHERE name IN ('gone', 'other', 'long-gone')").Scan(&names); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(names, []string{"gone", "other"}) {
		t.Errorf("listed are %v", names)
	}
	if err := n.Ready(r.ctx); err != nil {
		t.Errorf("without a channel: %v, want nil", err)
	}
}

// nameServer answers every question with one address, on a socket.
func nameServer(t *testing.T, answer netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-done })
	go func() {
		defer close(done)
		b := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var q dnsmessage.Message
			if err := q.Unpack(b[:n]); err != nil || len(q.Questions) != 1 {
				continue
			}
			a := dnsmessage.Message{Header: dnsmessage.Header{ID: q.ID, Response: true, RecursionAvailable: true}, Questions: q.Questions}
			if q.Questions[0].Type == dnsmessage.TypeA {
				a.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Questions[0].Name, Class: dnsmessage.ClassINET},
					Body:   &dnsmessage.AResource{A: answer.As4()},
				}}
			}
			if out, err := a.Pack(); err == nil {
				_, _ = conn.WriteTo(out, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

// testPrivateTargets refuses to dial this machine, by whatever name, unless
// that is allowed.
func testPrivateTargets(t *testing.T, r *rig) {
	hook := newReceiver(t, nil)
	_, port, err := net.SplitHostPort(hook.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	resolver := nameServer(t, netip.MustParseAddr("127.0.0.1"))
	var channels []Channel
	for i, host := range []string{"127.0.0.1", "localhost", "hooks.example.com", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		c := Channel{Name: fmt.Sprint("private-", i), Kind: []string{Webhook, Slack}[i%2], URL: Secret("http://" + host + ":" + port + "/"), Secret: testSecret}
		channels = append(channels, c)
		r.write(event{Key: c.Name, Channel: c.Name})
	}
	cfg := r.config(channels...)
	cfg.AllowPrivate, cfg.Resolver = false, resolver
	n := r.start(cfg)
	wait.Equal(t, "all have failed permanently", 0, func() int { return r.count("channel LIKE 'private-%' AND state = 'waiting'") })
	for _, c := range channels {
		if got := r.row(c.Name); got.State != "dead" || got.Attempts != 1 || !strings.Contains(*got.Error, "is not public") {
			t.Errorf("%s: got %+v %v, want it refused", c.URL, got, *got.Error)
		}
	}
	if len(hook.got()) > 0 {
		t.Fatal("a private target was reached")
	}
	n.stop()

	// The same by name, with the network allowed.
	cfg.Allow = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	if err := Test(r.ctx, cfg, "private-2"); err != nil {
		t.Errorf("with its network allowed: %v", err)
	}
	if got := hook.got(); len(got) != 1 {
		t.Errorf("got %d requests, want 1", len(got))
	}
	cfg.Allow = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if err := Test(r.ctx, cfg, "private-2"); err == nil || !strings.Contains(err.Error(), "127.0.0.1 is not public") {
		t.Errorf("with another network allowed: %v, want it refused", err)
	}
}

func TestPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"8.8.8.8": true, "1.1.1.1": true, "100.63.255.255": true, "100.128.0.0": true, "172.15.0.1": true, "172.32.0.1": true, "223.255.255.255": true,
		"2606:4700:4700::1111": true, "2a00::1": true, "64:ff9b::808:808": true, "::ffff:8.8.8.8": true,
		"127.0.0.1": false, "127.255.255.254": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false, "192.168.1.1": false,
		"169.254.169.254": false, "100.64.0.1": false, "100.127.255.255": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false,
		"239.255.255.255": false, "240.0.0.1": false, "255.255.255.255": false, "192.0.0.8": false, "192.0.2.1": false, "198.18.0.1": false,
		"198.51.100.1": false, "203.0.113.1": false,
		"::1": false, "::": false, "fe80::1%eth0": false, "fe80::1": false, "fc00::1": false, "fd12::1": false, "ff02::1": false, "fec0::1": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false, "2001:db8::1": false, "2001::1": false, "2002:7f00:1::": false, "100::1": false, "3fff::1": false,
	} {
		addr := netip.MustParseAddr(text)
		if got := (&guard{}).allows(addr); got != want {
			t.Errorf("%s: allowed is %v, want %v", text, got, want)
		}
		if !(&guard{all: true}).allows(addr) {
			t.Errorf("%s is refused though all are allowed", text)
		}
	}
	g := &guard{allowed: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")}}
	for text, want := range map[string]bool{"10.1.2.3": true, "::ffff:10.1.2.3": true, "fd12::1": true, "10.2.0.1": false, "fc00::1": false} {
		if got := g.allows(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: allowed is %v, want %v", text, got, want)
		}
	}
}

// testSecrets fails in every way there is, and looks for secrets in the log,
// the metrics, and all of the database that is about alerts.
func testSecrets(t *testing.T, r *rig) {
	cert, file := certificate(t)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := nobody.Addr().String()
	_ = nobody.Close()
	angry := newReceiver(t, func(w http.ResponseWriter, req *http.Request, n int) {
		// Says what it was sent, like a proxy that shows the address.
		w.Header().Set("Location", req.URL.String())
		w.WriteHeader([]int{500, 302, 429}[n%3])
		_, _ = io.WriteString(w, "secret-path-1 "+req.URL.String())
	})
	silent := newReceiver(t, func(_ http.ResponseWriter, req *http.Request, _ int) { <-req.Context().Done() })
	rude := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ int) { abrupt(w) })
	post := newSink(t, cert, false, nil)
	const path = "/services/secret-path-1/secret-path-2?token=secret-token-3"
	to := func(base string) Secret {
		return Secret(strings.Replace(base, "http://", "http://user:secret-login-4@", 1) + path)
	}
	hook := func(name, base string) Channel {
		return Channel{Name: "secret-" + name, Kind: Webhook, URL: to(base), Secret: "whsec_c2VjcmV0LXNpZ25pbmctNS1zZWNyZXQtc2lnbmluZw=="}
	}
	mail := post.channel("secret-mail", "") // whose certificate is not trusted
	mail.Email.Password = "secret-mail-6"
	login := post.channel("secret-login", "")
	login.Email.TLS, login.Email.Password = "none", "secret-mail-6"
	echo := post.channel("secret-echo", file) // whose server says what password it got
	echo.Email.Password = "secret-mail-6"
	channels := []Channel{
		hook("closed", "http://"+closed), hook("angry", angry.URL), hook("silent", silent.URL), hook("rude", rude.URL),
		hook("noname", "http://no-such-name.invalid"), hook("tls", strings.Replace(angry.URL, "http:", "https:", 1)),
		{Name: "secret-slack", Kind: Slack, URL: to(angry.URL)}, mail, login, echo,
	}
	for _, c := range channels {
		r.write(event{Key: "s/" + c.Name, Channel: c.Name})
	}
	cfg := r.config(channels...)
	cfg.Timeout, cfg.Tries, cfg.MetricsListen = time.Second, 3, "127.0.0.1:0"
	n := r.start(cfg)
	wait.Equal(t, "all have failed permanently", len(channels), func() int { return r.count("key LIKE 's/%' AND state = 'dead'") })
	guarded := cfg
	guarded.AllowPrivate = false
	var texts []string
	for _, c := range channels {
		if err := Test(r.ctx, guarded, c.Name); err != nil {
			texts = append(texts, err.Error())
		}
		texts = append(texts, fmt.Sprintf("%v %+v %#v %s", c, c, c, c.URL))
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Log.Info("a channel", "channel", c, "url", c.URL)
		texts = append(texts, string(b))
	}
	var stored string
	if err := r.db.Pool.QueryRow(r.ctx, `SELECT concat((SELECT jsonb_agg(o) FROM alert.outbox o WHERE channel LIKE 'secret-%'), (SELECT jsonb_agg(c) FROM alert.channels c))`).Scan(&stored); err != nil {
		t.Fatal(err)
	}
	texts = append(texts, r.log.String(), stored, fetch(t, "http://"+n.Addr().String()+"/metrics"))
	for _, text := range texts {
		for _, secret := range []string{"secret-path", "secret-token", "secret-login-4", "c2VjcmV0LXNpZ25pbmct", "secret-signing", "secret-mail-6", "/services/"} {
			if at := strings.Index(text, secret); at >= 0 {
				t.Errorf("%s is in: %s", secret, text[max(0, at-200):min(len(text), at+100)])
			}
		}
	}
	if strings.Contains(stored, "Post ") {
		t.Errorf("an error has its address, if hidden: %s", stored)
	}
	if !strings.Contains(stored, "bad login, not (hidden)") || !strings.Contains(stored, "refused") || !strings.Contains(stored, "no answer in time") || !strings.Contains(stored, "certificate") {
		t.Errorf("the errors do not say what was wrong: %s", stored)
	}
}

func fetch(t *testing.T, address string) string {
	t.Helper()
	res, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	return string(b)
}

// testOperations looks at metrics and probes.
func testOperations(t *testing.T, r *rig) {
	hook := newReceiver(t, func(w http.ResponseWriter, req *http.Request, n int) {
		switch {
		case req.Header.Get(headerKey) == "ops/bad":
			w.WriteHeader(http.StatusForbidden)
		case n == 1:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	r.write(event{Key: "ops/good", Channel: "ops"}, event{Key: "ops/bad", Channel: "ops", Symbol: "B"}, event{Key: "ops/unserved", Channel: "ops-unserved"})
	cfg := r.config(hook.webhook("ops"))
	cfg.MetricsListen, cfg.Parallel = "127.0.0.1:0", 1
	n := r.start(cfg)
	base := "http://" + n.Addr().String()
	wait.Equal(t, "both are handled", 0, func() int { return r.count("channel = 'ops' AND state = 'waiting'") })
	wait.Until(t, "it is ready", func() bool { return n.Ready(r.ctx) == nil })
	if got := fetch(t, base+"/livez") + fetch(t, base+"/readyz"); got != "ok\nok\n" {
		t.Errorf("probes say %q", got)
	}
	rows, err := n.queries.OutboxState(r.ctx)
	if err != nil {
		t.Fatal(err)
	}
	n.metrics.outbox(rows)
	text := fetch(t, base+"/metrics")
	for _, want := range []string{
		`hypertick_notify_sent_total{channel="ops"} 1`, `hypertick_notify_failed_total{channel="ops"} 2`, `hypertick_notify_given_up_total{channel="ops"} 1`,
		`hypertick_notify_waiting{channel="ops"} 0`, `hypertick_notify_dead{channel="ops"} 1`, `hypertick_notify_oldest_waiting_seconds{channel="ops"} 0`,
		`hypertick_notify_waiting{channel="ops-unserved"} 1`, `hypertick_notify_send_seconds_count{channel="ops"} 3`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	var kind string
	if err := r.db.Pool.QueryRow(r.ctx, "SELECT kind FROM alert.channels WHERE name = 'ops' AND seen_at > now() - interval '1 minute'").Scan(&kind); err != nil || kind != Webhook {
		t.Errorf("the channel is not listed: %q, %v", kind, err)
	}
}

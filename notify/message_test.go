package notify

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	webhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"pgregory.net/rapid"
)

// TestSignature has the example of the specification, and what is refused.
func TestSignature(t *testing.T) {
	t.Parallel()
	const id, seconds, body, signature = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, `{"test": 2432232314}`, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	at := time.Unix(seconds, 0)
	all, err := keys(testSecret)
	if err != nil {
		t.Fatal(err)
	}
	if got := sign(all, id, at, []byte(body)); got != signature {
		t.Errorf("signed %s, want %s", got, signature)
	}
	header := func(change func(http.Header)) http.Header {
		h := http.Header{}
		h.Set(headerID, id)
		h.Set(headerTimestamp, strconv.Itoa(seconds))
		h.Set(headerSignature, signature)
		if change != nil {
			change(h)
		}
		return h
	}
	other := Secret("whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))))
	for what, c := range map[string]struct {
		header http.Header
		body   string
		secret Secret
		now    time.Time
		want   string
	}{
		"as it is":                {header(nil), body, testSecret, at, ""},
		"five minutes later":      {header(nil), body, testSecret, at.Add(5 * time.Minute), ""},
		"a slow clock":            {header(nil), body, testSecret, at.Add(-5 * time.Minute), ""},
		"a new secret and an old": {header(nil), body, other + " " + testSecret, at, ""},
		"several signatures":      {header(func(h http.Header) { h.Set(headerSignature, "v1a,xx v1,%% v1,AAAA "+signature) }), body, testSecret, at, ""},
		"a replay":                {header(nil), body, testSecret, at.Add(5*time.Minute + time.Second), "at most 5m0s"},
		"from the future":         {header(nil), body, testSecret, at.Add(-5*time.Minute - time.Second), "at most 5m0s"},
		"long ago":                {header(func(h http.Header) { h.Set(headerTimestamp, "-9223372036854775808") }), body, testSecret, at, "at most 5m0s"},
		"another body":            {header(nil), body + " ", testSecret, at, "no signature is right"},
		"another secret":          {header(nil), body, other, at, "no signature is right"},
		"another id":              {header(func(h http.Header) { h.Set(headerID, "x") }), body, testSecret, at, "no signature is right"},
		"another time":            {header(func(h http.Header) { h.Set(headerTimestamp, strconv.Itoa(seconds+1)) }), body, testSecret, at, "no signature is right"},
		"another version":         {header(func(h http.Header) { h.Set(headerSignature, "v2"+signature[2:]) }), body, testSecret, at, "no signature is right"},
		"no id":                   {header(func(h http.Header) { h.Del(headerID) }), body, testSecret, at, "want the headers"},
		"no signature":            {header(func(h http.Header) { h.Del(headerSignature) }), body, testSecret, at, "want the headers"},
		"no time":                 {header(func(h http.Header) { h.Set(headerTimestamp, "now") }), body, testSecret, at, "seconds since 1970"},
		"no secret":               {header(nil), body, "", at, "secret: want"},
	} {
		err := Verify(c.header, []byte(c.body), c.secret, c.now)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", what, err, c.want)
		}
	}
}

// TestSignatureAgrees signs anything, and asks the library of Standard Webhooks.
func TestSignatureAgrees(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.SliceOfN(rapid.Byte(), minSecret, maxSecret).Draw(t, "key")
		id := escape(rapid.StringN(1, 40, -1).Draw(t, "id"))
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		secret := Secret("whsec_" + base64.StdEncoding.EncodeToString(key))
		all, err := keys(secret)
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		h := http.Header{}
		h.Set(headerID, id)
		h.Set(headerTimestamp, fmt.Sprint(now.Unix()))
		h.Set(headerSignature, sign(all, id, now, body))
		reference, err := webhooks.NewWebhook(string(secret))
		if err != nil {
			t.Fatal(err)
		}
		if err := reference.Verify(body, h); err != nil {
			t.Errorf("the library says %v", err)
		}
		theirs, err := reference.Sign(id, now, body)
		if err != nil {
			t.Fatal(err)
		}
		h.Set(headerSignature, theirs)
		if err := Verify(h, body, secret, now); err != nil {
			t.Errorf("of the library's signature: %v", err)
		}
	})
}

// TestEscape checks that keys stay different, and fit into a header.
func TestEscape(t *testing.T) {
	t.Parallel()
	if got := escape("v1/3/BRK.B é/1764010800/opened/0/ops"); got != "v1/3/BRK%2EB%20%C3%A9/1764010800/opened/0/ops" {
		t.Errorf("got %s", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if (a == b) != (escape(a) == escape(b)) {
			t.Errorf("%q and %q become %q and %q", a, b, escape(a), escape(b))
		}
		for _, c := range escape(a) {
			if c <= ' ' || c > '~' || c == '.' || c == ',' {
				t.Errorf("%q becomes %q", a, escape(a))
			}
		}
	})
}

func testMessage(t testing.TB, change func(map[string]any)) *message {
	t.Helper()
	p := event{Key: "k", Channel: "c", Rule: 1, Symbol: "BRK.B"}.payload()
	if change != nil {
		change(p)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMessage("v1/1/BRK.B/0/opened/0/c", time.Unix(1764010800, 0), raw)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWebhookBody checks the request that a receiver gets.
func TestWebhookBody(t *testing.T) {
	t.Parallel()
	hook := newReceiver(t, nil)
	cfg := Config{AllowPrivate: true}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	c := hook.webhook("x")
	other := Secret("whsec_" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", 32))))
	c.Secret += " " + other
	opened, err := open(c, &cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := opened.try(t.Context(), testMessage(t, nil), time.Minute); err != nil {
		t.Fatal(err)
	}
	q := hook.got()[0]
	got := decode[struct {
		Type      string
		Timestamp time.Time
		Data      map[string]any
	}](t, q.body)
	if got.Type != "alert.opened" || got.Timestamp.Unix() != 1764010800 || got.Data["symbol"] != "BRK.B" || got.Data["value"] != 71.25 || len(got.Data) != 14 {
		t.Errorf("got %s", q.body)
	}
	if q.id != "v1/1/BRK%2EB/0/opened/0/c" || q.header.Get("Content-Type") != "application/json" {
		t.Errorf("headers: %v", q.header)
	}
	for _, s := range []Secret{testSecret, other} {
		if err := Verify(q.header, q.body, s, time.Now()); err != nil {
			t.Errorf("while two secrets hold: %v", err)
		}
	}
}

func TestSlackMessage(t *testing.T) {
	t.Parallel()
	m := testMessage(t, func(p map[string]any) {
		p["severity"], p["symbol"], p["message"], p["count"] = "critical", "<!channel>", "A & B\n> 3", 7
	}).slack()
	if m.Text != "[CRITICAL] rule-1: A &amp; B &gt; 3" {
		t.Errorf("text: %q", m.Text)
	}
	a := m.Attachments[0]
	if a.Color != colours["critical"] || a.Fallback != m.Text || a.TS != 1764010800 || !strings.Contains(a.Footer, "v1/1/BRK%2EB/0/opened/0/c") {
		t.Errorf("attachment: %+v", a)
	}
	want := []slackField{{"Symbol", "&lt;!channel&gt;", true}, {"Interval", "5m", true}, {"Bar", "2026-11-24 19:00 UTC", true}, {"Value", "71.25", true}, {"Threshold", "70", true}, {"Events", "7", true}}
	if !slices.Equal(a.Fields, want) {
		t.Errorf("fields: %+v", a.Fields)
	}
	for kind, colour := range map[string]string{"resolved": colours["resolved"], "retracted": colours["retracted"], "opened": colours["warning"]} {
		if got := testMessage(t, func(p map[string]any) { p["kind"] = kind }).slack().Attachments[0].Color; got != colour {
			t.Errorf("%s has the colour %s, want %s", kind, got, colour)
		}
	}

	hook := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, n int) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, []string{"invalid_token", "<html>Blocked: " + "/services/x"}[n-1])
	})
	cfg := Config{AllowPrivate: true, Channels: []Channel{{Name: "team", Kind: Slack, URL: Secret(hook.URL + "/services/x")}}}
	for _, want := range []string{"the receiver answers 403 Forbidden: invalid_token", "the receiver answers 403 Forbidden"} {
		if err := Test(t.Context(), cfg, "team"); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestMail sends mail in each of the three ways to a server.
func TestMail(t *testing.T) {
	t.Parallel()
	cert, file := certificate(t)
	start, implicit := newSink(t, cert, false, nil), newSink(t, cert, true, nil)
	a, b, c := start.channel("a", file), implicit.channel("b", file), start.channel("c", file)
	b.Email.TLS = "tls"
	cfg := Config{Channels: []Channel{a, b}}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	m := testMessage(t, func(p map[string]any) {
		p["severity"], p["message"] = "critical", "Ünïcode: 5 > 3\r\nBcc: everybody@example.com"
	})
	for _, c := range []Channel{a, b} {
		opened, err := open(c, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := opened.try(t.Context(), m, time.Minute); err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
		}
	}
	mails := append(start.got(), implicit.got()...)
	if len(mails) != 4 {
		t.Fatalf("got %d mails, want 4", len(mails))
	}
	for _, l := range mails {
		subject, err := new(mime.WordDecoder).DecodeHeader(l.header.Get("Subject"))
		if err != nil || subject != "[CRITICAL] rule-1: Ünïcode: 5 > 3 Bcc: everybody@example.com" {
			t.Errorf("subject: %q, %v", subject, err)
		}
		if id := l.header.Get("Message-Id"); id == "" || id != mails[0].header.Get("Message-Id") || !strings.HasSuffix(id, "@example.com>") {
			t.Errorf("Message-ID: %q", id)
		}
		if l.header.Get("Bcc") != "" || l.header.Get("Auto-Submitted") != "auto-generated" || l.header.Get("X-Hypertick-Key") != m.id || l.header.Get("Importance") != "high" {
			t.Errorf("headers: %v", l.header)
		}
		if !slices.Equal(l.to, []string{"ops@example.com", "desk@example.com"}) {
			t.Errorf("to: %v", l.to)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(l.body)))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Ünïcode: 5 > 3", "Symbol:    BRK.B", "Value:     71.25", "Rule:      rule-1", "Key:       " + m.id} {
			if !strings.Contains(string(body), want) {
				t.Errorf("the body lacks %q: %s", want, body)
			}
		}
	}

	c.Email.Password = "wrong"
	plain, untrusted := a, a
	plain.Email.TLS, untrusted.CAFile = "none", ""
	for want, c := range map[string]Channel{"535": c, "certificate": untrusted, "AUTH": plain} {
		opened, err := open(c, &cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = opened.try(t.Context(), m, time.Minute)
		var f *failure
		if !errors.As(err, &f) || f.final || !strings.Contains(f.Error(), want) || strings.Contains(f.Error(), "wrong") {
			t.Errorf("got %v, want a failure that has %s, to be retried", err, want)
		}
	}
	if n := len(start.got()); n != 2 {
		t.Errorf("%d mails were accepted", n)
	}
}

// TestMailRefused checks which SMTP errors are permanent.
func TestMailRefused(t *testing.T) {
	t.Parallel()
	cert, file := certificate(t)
	for _, step := range []string{"mail", "rcpt", "data"} {
		for _, c := range []struct {
			refusal error
			final   bool
		}{{errTransient, false}, {errPermanent, true}} {
			s := newSink(t, cert, false, func(at string, _ net.Conn) error {
				if at == step {
					return c.refusal
				}
				return nil
			})
			err := Test(t.Context(), Config{Channels: []Channel{s.channel("x", file)}}, "x")
			var f *failure
			if !errors.As(err, &f) || f.final != c.final {
				t.Errorf("%v at %s: got %v, want final %v", c.refusal, step, err, c.final)
			}
		}
	}
}

// TestMailTaken: a server that closes the connection after it has accepted a mail
// does not get it again.
func TestMailTaken(t *testing.T) {
	t.Parallel()
	cert, file := certificate(t)
	s := newSink(t, cert, false, func(at string, conn net.Conn) error {
		if at == "goodbye" {
			_ = conn.Close()
		}
		return nil
	})
	if err := Test(t.Context(), Config{Channels: []Channel{s.channel("x", file)}}, "x"); err != nil {
		t.Error(err)
	}
	if n := len(s.got()); n != 1 {
		t.Errorf("%d mails were accepted, want 1", n)
	}
}

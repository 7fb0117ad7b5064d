package api

import (
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hypertick/hypertick/db/dbtest"
)

// clock is set by hand.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestRateLimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	alice, bob := newKey(t, file, "alice"), newKey(t, file, "bob")
	clock := newClock()
	c := serve(t, Config{Pool: noDatabase(t), KeysFile: file, RateLimit: 2, RateBurst: 3, Now: clock.now}, ping)
	try := func(status int, limit string, header ...string) answer {
		t.Helper()
		a, err := c.do(http.MethodGet, "/v1/ping", header...)
		if err != nil {
			t.Fatal(err)
		}
		if a.status != status || a.header.Get("RateLimit") != limit || a.header.Get("RateLimit-Policy") != `"default";q=3;w=2` {
			t.Errorf("%d %v, want %d %s", a.status, a.header, status, limit)
		}
		if status == http.StatusTooManyRequests {
			if p := problemOf(t, a); a.header.Get("Retry-After") != "1" || !strings.Contains(p.Detail, "Retry in 1 s") {
				t.Errorf("%+v %v", p, a.header)
			}
		}
		return a
	}
	try(200, `"default";r=2;t=1`, "X-API-Key", alice)
	try(200, `"default";r=1;t=1`, "X-API-Key", alice)
	try(200, `"default";r=0;t=2`, "X-API-Key", alice)
	try(429, `"default";r=0;t=2`, "X-API-Key", alice)
	try(429, `"default";r=0;t=2`, "Authorization", "Bearer "+alice)
	// Others have quotas of their own: each key, and whoever has none.
	try(200, `"default";r=2;t=1`, "X-API-Key", bob)
	try(401, `"default";r=2;t=1`)
	// Trying keys is limited like anything else.
	try(401, `"default";r=1;t=1`, "X-API-Key", "guess")
	try(401, `"default";r=0;t=2`, "X-API-Key", "guess again")
	try(429, `"default";r=0;t=2`, "X-API-Key", "and again")
	clock.add(500 * time.Millisecond)
	try(200, `"default";r=0;t=2`, "X-API-Key", alice)
	try(429, `"default";r=0;t=2`, "X-API-Key", alice)
	clock.add(time.Hour)
	try(200, `"default";r=2;t=1`, "X-API-Key", alice)
	// What supervises the server is never turned away.
	for range 5 {
		if a := c.get("/livez"); a.status != 200 || a.header.Get("RateLimit") != "" {
			t.Errorf("/livez: %d %v", a.status, a.header)
		}
	}
}

func TestRateLimitByAddress(t *testing.T) {
	clock := newClock()
	c := serve(t, Config{
		Pool: noDatabase(t), RateLimit: 1, RateBurst: 1, Now: clock.now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8")},
	}, ping)
	status := func(forwarded string) int {
		t.Helper()
		a, err := c.do(http.MethodGet, "/v1/ping", "X-Forwarded-For", forwarded)
		if err != nil {
			t.Fatal(err)
		}
		return a.status
	}
	for _, k := range []struct {
		forwarded string
		status    int
	}{
		{"198.51.100.1", 200}, {"198.51.100.1", 429}, {"198.51.100.2", 200},
		// What a client says of itself does not count,
		{"203.0.113.9, 198.51.100.1", 429}, {"203.0.113.8,198.51.100.1, 10.1.2.3", 429},
		{"203.0.113.9, 198.51.100.3, 10.1.2.3", 200}, {"198.51.100.3", 429},
		// nor does what is no address: then it is the proxy's own.
		{"nonsense", 200}, {"198.51.100.4, nonsense", 429}, {"", 429},
		// IPv6 by the network of 64 bits, however it is written.
		{"2001:db8::1", 200}, {"2001:db8::ffff", 429}, {"2001:DB8:0:0:1::", 429}, {"2001:db8:0:1::1", 200}, {"::ffff:198.51.100.5", 200}, {"198.51.100.5", 429},
	} {
		if got := status(k.forwarded); got != k.status {
			t.Errorf("%q: status %d, want %d", k.forwarded, got, k.status)
		}
	}

	// Without trusted proxies the header says nothing.
	c = serve(t, Config{Pool: noDatabase(t), RateLimit: 1, RateBurst: 1, Now: clock.now}, ping)
	if a, b := status("198.51.100.1"), status("198.51.100.2"); a != 200 || b != 429 {
		t.Errorf("%d, %d", a, b)
	}
}

// TestRateLimitMemory asks from more addresses than are remembered.
func TestRateLimitMemory(t *testing.T) {
	clock := newClock()
	l, err := newLimiter(1, 1, 16, clock.now)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		if ok, _ := l.take(strconv.Itoa(i)); !ok {
			t.Fatalf("address %d was turned away", i)
		}
		// One that keeps asking is not forgotten, however many others come.
		if ok, _ := l.take("busy"); ok != (i == 0) {
			t.Fatalf("round %d: %v", i, ok)
		}
	}
	if n := l.buckets.Len(); n != 16 {
		t.Errorf("%d buckets", n)
	}
}

// TestRateLimitProperty compares with a model: no window holds more than the
// burst and what has come back since; whoever waits as told is let in.
func TestRateLimitProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		perSecond := rapid.Float64Range(0.1, 100).Draw(t, "rate")
		burst := rapid.IntRange(1, 20).Draw(t, "burst")
		clock := newClock()
		l, err := newLimiter(perSecond, burst, 4, clock.now)
		if err != nil {
			t.Fatal(err)
		}
		start, allowed := clock.now(), 0
		for range rapid.IntRange(1, 200).Draw(t, "requests") {
			clock.add(time.Duration(rapid.IntRange(0, 500).Draw(t, "ms")) * time.Millisecond)
			ok, left := l.take("a")
			if ok {
				allowed++
			}
			most := float64(burst) + perSecond*clock.now().Sub(start).Seconds()
			if float64(allowed) > most+1e-6 {
				t.Fatalf("%d requests in %v", allowed, clock.now().Sub(start))
			}
			if !ok && rapid.Bool().Draw(t, "wait") {
				clock.add(time.Duration(l.seconds(1-left)) * time.Second)
				if ok, _ := l.take("a"); !ok {
					t.Fatalf("turned away after the wait that was asked for")
				}
				allowed++
			}
		}
	})
}

func TestRateLimitConfig(t *testing.T) {
	for _, cfg := range []Config{{RateLimit: -1}, {RateLimit: 1, RateBurst: -1}} {
		cfg.Pool, cfg.Listen, cfg.Log = noDatabase(t), "127.0.0.1:0", dbtest.Log(t)
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "want requests") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	l, err := newLimiter(2.5, 0, 1, time.Now)
	if err != nil || l.policy != `"default";q=5;w=2` {
		t.Errorf("%v %v", l, err)
	}
	if l, err := newLimiter(0, 7, 1, time.Now); l != nil || err != nil {
		t.Errorf("%v %v", l, err)
	}
}

func BenchmarkRateLimit(b *testing.B) {
	l, err := newLimiter(1e9, 1e6, maxBuckets, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	names := make([]string, 1<<16)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	for i := 0; b.Loop(); i++ {
		l.take(names[i&(len(names)-1)])
	}
}

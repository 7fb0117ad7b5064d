package notify

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		fmt.Fprintln(os.Stderr, child())
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const testSecret Secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// rig is a database, and what notifiers log.
type rig struct {
	t    testing.TB
	ctx  context.Context
	db   *dbtest.DB
	url  string        // as hypertick_operator
	pool *pgxpool.Pool // likewise
	log  *buffer
}

// buffer is written to by many.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newRig(t testing.TB, d *dbtest.DB, url string) *rig {
	t.Helper()
	ctx := wait.Context(t, 2*time.Minute)
	r := &rig{t: t, ctx: ctx, db: d, url: url, log: &buffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			text := r.log.String()
			t.Logf("logged:\n%s", text[max(0, len(text)-8000):])
		}
	})
	pool, err := db.NewPool(url, 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	r.pool = pool
	return r
}

// config is fast, and may go to this machine.
func (r *rig) config(channels ...Channel) Config {
	return Config{
		Pool: r.pool, Channels: channels, AllowPrivate: true, Timeout: 10 * time.Second, Tries: 100,
		FirstRetry: 5 * time.Millisecond, LastRetry: 40 * time.Millisecond, Poll: 20 * time.Millisecond,
		Log: slog.New(slog.NewJSONHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

// running is a notifier that runs.
type running struct {
	*Notifier
	cancel context.CancelFunc
	done   chan error
}

func (r *rig) start(cfg Config) *running {
	r.t.Helper()
	n, err := New(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.ctx)
	x := &running{Notifier: n, cancel: cancel, done: make(chan error, 1)}
	go func() { x.done <- n.Run(ctx) }()
	r.t.Cleanup(x.stop)
	return x
}

// stop may be called twice.
func (x *running) stop() {
	x.cancel()
	if err := <-x.done; err != nil {
		panic(err)
	}
	x.done <- nil
}

// event is a row of the outbox as a test knows it.
type event struct {
	Key, Channel, Kind, Symbol string
	Rule                       int
}

func (e event) payload() map[string]any {
	return map[string]any{
		"kind": cmp.Or(e.Kind, "opened"), "rule": fmt.Sprintf("rule-%d", e.Rule), "rule_id": e.Rule, "severity": "warning",
		"symbol": cmp.Or(e.Symbol, "AAPL"), "interval": "5m", "bar": "2026-11-24T19:00:00+00:00", "opened": "2026-11-24T19:05:03+00:00", "resolved": nil,
		"value": 71.25, "threshold": 70, "message": "AAPL 5m: rsi 71.25 is above 70", "count": 1, "events": []int{1},
	}
}

// write puts events into the outbox, in one transaction, as the job does.
func (r *rig) write(events ...event) {
	r.t.Helper()
	err := pgx.BeginFunc(r.ctx, r.db.Pool, func(tx pgx.Tx) error {
		for _, e := range events {
			if _, err := tx.Exec(r.ctx, "INSERT INTO alert.outbox (key, channel, payload) VALUES ($1, $2, $3)", e.Key, e.Channel, e.payload()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// row is what became of an event.
type row struct {
	State    string
	Attempts int
	Error    *string
	Wait     float64 // seconds to next_try
	Finished bool
}

func (r *rig) row(key string) row {
	r.t.Helper()
	var out row
	err := r.db.Pool.QueryRow(r.ctx, `SELECT state, attempts, error, extract(epoch FROM next_try - now())::float8, finished_at IS NOT NULL
		FROM alert.outbox WHERE key = $1`, key).Scan(&out.State, &out.Attempts, &out.Error, &out.Wait, &out.Finished)
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

func (r *rig) count(where string, args ...any) int {
	r.t.Helper()
	var n int
	if err := r.db.Pool.QueryRow(r.ctx, "SELECT count(*) FROM alert.outbox WHERE "+where, args...).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// request is what a receiver got.
type request struct {
	id     string
	header http.Header
	body   []byte
}

// receiver takes webhooks on a socket. answer decides, by the number of the
// request, before it counts as received.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	requests []request
}

func newReceiver(t testing.TB, answer func(w http.ResponseWriter, r *http.Request, n int)) *receiver {
	rc := &receiver{}
	var n int
	rc.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return
		}
		rc.mu.Lock()
		n++
		mine := n
		rc.requests = append(rc.requests, request{id: req.Header.Get(headerKey), header: req.Header.Clone(), body: body})
		rc.mu.Unlock()
		if answer != nil {
			answer(w, req, mine)
		}
	}))
	rc.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	rc.Start()
	t.Cleanup(rc.Close)
	return rc
}

func (rc *receiver) got() []request {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	return append([]request(nil), rc.requests...)
}

func (rc *receiver) webhook(name string) Channel {
	return Channel{Name: name, Kind: Webhook, URL: Secret(rc.URL + "/hook/token-of-" + name), Secret: testSecret}
}

// certificate makes one for 127.0.0.1 and localhost, and the file to trust it with.
func certificate(t testing.TB) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func decode[T any](t testing.TB, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

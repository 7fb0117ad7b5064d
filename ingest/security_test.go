package ingest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/internal/wait"
)

const brokerSecret = "not-to-be-shown-51d0"

// lockedBuffer is a buffer that several goroutines may log to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestPasswordForBroker ingests from a broker that requires a password, dead
// letters included, and checks that the password is in no log line.
func TestPasswordForBroker(t *testing.T) {
	ctx := wait.Context(t, 3*time.Minute)
	r := &rig{t: t, ctx: ctx, db: dbtest.New(t)}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(testPartitions, feed.Topic), kfake.SeedTopics(1, feed.DeadLetterTopic(feed.Topic)),
		kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "ingest", brokerSecret))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	r.broker, r.brokers = c, c.ListenAddrs()
	secure := func(password string) feed.Security {
		s, err := feed.NewSecurity(feed.SecurityConfig{SASL: feed.SASLScramSHA512, Username: "ingest", Password: password})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if r.client, err = secure(brokerSecret).Client(r.brokers); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.client.Close)

	ticks := series(3, 20, 1)
	r.produce(ticks...)
	broken := record(ticks[0])
	broken.Value = []byte("not json")
	r.produceRecords(broken)

	var logged lockedBuffer
	log := slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	wrong := r.start(func(c *Config) { c.Security, c.Log = secure(brokerSecret+"x"), log })
	// It keeps retrying, and reports why it is not ready.
	wait.Until(t, "a log line about the broker", func() bool { return strings.Contains(logged.String(), "failed to reach the brokers") })
	if err := wrong.Ready(ctx); err == nil {
		t.Error("ready with the wrong password")
	}
	wrong.stop()

	right := r.start(func(c *Config) { c.Security, c.Log = secure(brokerSecret), log })
	r.wantStoredSoon(ticks)
	wait.Equal(t, "the dead letter is counted", 1, func() float64 { return right.metric("dead_letters_total") })
	if err := right.Ready(ctx); err != nil {
		t.Errorf("with the right password: %v", err)
	}
	right.stop()
	if strings.Contains(logged.String(), brokerSecret) {
		t.Errorf("the password is in the log:\n%s", logged.String())
	}
}

// wantStoredSoon waits for ticks in the database, without asking the broker.
func (r *rig) wantStoredSoon(want []feed.Tick) {
	r.t.Helper()
	wait.Equal(r.t, "ticks stored", len(want), func() (n int) {
		_ = r.db.Pool.QueryRow(r.ctx, "SELECT count(*) FROM ticks").Scan(&n)
		return n
	})
	r.wantStored(want)
}

package ingest

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

const brokerSecret = "not-to-be-shown-51d0"

// lockedBuffer is what several goroutines log into.
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

// TestPasswordForBroker ingests from a broker that asks for one, dead letters
// included, and shows it nowhere.
func TestPasswordForBroker(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
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
	// It goes on trying, and says why it is not ready.
	r.until("a word about the broker", func() bool { return strings.Contains(logged.String(), "cannot reach the brokers") })
	if err := wrong.Ready(ctx); err == nil {
		t.Error("ready with the wrong password")
	}
	wrong.stop()

	right := r.start(func(c *Config) { c.Security, c.Log = secure(brokerSecret), log })
	r.wantStoredSoon(ticks)
	r.until("the dead letter is counted", func() bool { return right.metric("dead_letters_total") == 1 })
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
	r.until("all ticks are stored", func() bool {
		var n int
		return r.db.Pool.QueryRow(r.ctx, "SELECT count(*) FROM ticks").Scan(&n) == nil && n == len(want)
	})
	r.wantStored(want)
}

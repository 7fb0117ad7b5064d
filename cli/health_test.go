package cli_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

func TestHealthOfURL(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			_, _ = w.Write([]byte("{\n \"status\": \"ok\"\n}\n"))
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/hang":
			<-hang
		default:
			http.Error(w, "database: no answer", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(hang) }) // runs before Close, which waits for the handlers
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{srv.URL + "/ok"}, 0, `{ "status": "ok" }`},
		{[]string{srv.URL + "/readyz"}, 1, "database: no answer"},
		{[]string{srv.URL + "/moved"}, 1, "302"},
		{[]string{srv.URL + "/hang", "--timeout", "100ms"}, 1, "unhealthy"},
		{[]string{"http://127.0.0.1:1/"}, 1, "unhealthy"},
		{[]string{"127.0.0.1:8080"}, 2, "http://"},
		{[]string{"ftp://127.0.0.1/"}, 2, "http://"},
		{[]string{srv.URL + "/ok", "--timeout", "0s"}, 2, "--timeout"},
	} {
		code, out, errOut := run(t.Context(), append([]string{"health"}, c.args...)...)
		if all := out + errOut; code != c.code || strings.Count(all, "\n") != 1 || !strings.Contains(all, c.want) {
			t.Errorf("%q: exit code %d, %q; want %d and one line with %q", c.args, code, all, c.code, c.want)
		}
	}
}

func TestHealthOfTopic(t *testing.T) {
	t.Parallel()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	brokers := strings.Join(c.ListenAddrs(), ",")
	health := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errOut := run(t.Context(), append([]string{"health", "--brokers", brokers}, args...)...)
		if all := out + errOut; got != code || strings.Count(all, "\n") != 1 || !strings.Contains(all, want) {
			t.Errorf("%q: exit code %d, %q; want %d and one line with %q", args, got, all, code, want)
		}
	}
	health(0, "2 partitions, 0 records")
	health(1, "absent", "--topic", "absent")
	health(1, "no tick of the last", "--max-age", "10m")

	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	for _, age := range []time.Duration{time.Hour, time.Minute} {
		r := &kgo.Record{Topic: feed.Topic, Value: []byte("x"), Timestamp: time.Now().Add(-age)}
		if err := cl.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if age == time.Hour {
			health(1, "no tick of the last", "--max-age", "10m")
		}
	}
	health(0, "2 records", "--max-age", "10m")
	c.Close()
	health(1, brokers, "--timeout", "500ms")
}

const brokerSecret = "not-to-be-shown-77aa"

// secretBroker is a broker that requires a user and a password.
func secretBroker(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-256", "feeder", brokerSecret))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return strings.Join(c.ListenAddrs(), ",")
}

// TestBrokerPassword reads the password from a file and from the environment. It
// changes the environment, so it does not run in parallel.
func TestBrokerPassword(t *testing.T) {
	brokers := secretBroker(t)
	login := func(args ...string) []string {
		return append([]string{"--brokers", brokers, "--broker-sasl", "scram-sha-256", "--broker-username", "feeder"}, args...)
	}
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte(brokerSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bars := filepath.Join(t.TempDir(), "bars.csv")
	if err := os.WriteFile(bars, []byte("ts,price,size\n2026-01-02T15:00:00Z,10,1\n2026-01-02T15:00:01Z,11,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(code int, want string, args ...string) {
		t.Helper()
		got, out, errOut := run(t.Context(), args...)
		if all := out + errOut; got != code || !strings.Contains(all, want) || strings.Contains(all, brokerSecret) {
			t.Errorf("%q: exit code %d, %q; want %d, %q and no password", args, got, all, code, want)
		}
	}
	check(2, "password", append([]string{"topic"}, login()...)...)
	check(2, "/does/not/exist", append([]string{"topic"}, login("--broker-password-file", "/does/not/exist")...)...)
	check(0, "8 partitions", append([]string{"topic"}, login("--broker-password-file", file)...)...)
	check(0, "0 records", append([]string{"health"}, login("--broker-password-file", file)...)...)

	t.Setenv("HYPERTICK_BROKER_PASSWORD", brokerSecret)
	check(0, "2 ticks sent", append([]string{"replay", "--file", bars, "--symbol", "X"}, login()...)...)
	check(0, "0 ticks sent, 2 sent before", append([]string{"replay", "--file", bars, "--symbol", "X"}, login()...)...)
	check(0, "2 records", append([]string{"health"}, login()...)...)
	check(1, "unhealthy", append([]string{"health"}, "--brokers", brokers, "--broker-sasl", "scram-sha-256", "--broker-username", "stranger")...)
	check(2, "no SASL mechanism", "health", "--brokers", brokers, "--broker-username", "feeder")
	check(2, "TLS is not turned on", "health", "--brokers", brokers, "--broker-tls-ca", file)
	check(2, "--replicas", append([]string{"topic", "--replicas", "0"}, login()...)...)
	check(2, "--partitions", append([]string{"topic", "--partitions", "0"}, login()...)...)
}

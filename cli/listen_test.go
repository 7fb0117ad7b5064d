package cli

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// demoAt parses a demo's flags and returns its addresses, by flag.
func demoAt(t *testing.T, args ...string) (map[string]string, error) {
	t.Helper()
	var r root
	parser, err := newParser(&r, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	k, err := parser.Parse(append([]string{"demo"}, args...))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Demo.setAddresses(func(flag string) bool { return given(k, flag) }); err != nil {
		return nil, err
	}
	at := map[string]string{}
	for _, l := range r.Demo.listeners() {
		at[l.flag] = *l.addr
	}
	return at, nil
}

// TestDemoPorts changes the environment, so it does not run in parallel.
func TestDemoPorts(t *testing.T) {
	for _, c := range []struct {
		args string
		env  map[string]string
		want string // of listen, broker, database, then the metrics of ingest, API, notifier
	}{
		{"", nil, "127.0.0.1:8080 127.0.0.1:19092 127.0.0.1:15432 127.0.0.1:9464 127.0.0.1:9465 127.0.0.1:9466"},
		{"--port-base 20000", nil, "127.0.0.1:20000 127.0.0.1:20001 127.0.0.1:20002 127.0.0.1:20003 127.0.0.1:20004 127.0.0.1:20005"},
		{"", map[string]string{"HYPERTICK_PORT_BASE": "20000"}, "127.0.0.1:20000 127.0.0.1:20001 127.0.0.1:20002 127.0.0.1:20003 127.0.0.1:20004 127.0.0.1:20005"},
		// A named address wins, also one that equals the default.
		{"--port-base 20000 --listen 127.0.0.1:8080 --metrics-listen 127.0.0.1:9000", nil,
			"127.0.0.1:8080 127.0.0.1:20001 127.0.0.1:20002 127.0.0.1:9000 127.0.0.1:20004 127.0.0.1:20005"},
		{"--port-base 20000", map[string]string{"HYPERTICK_BROKER_LISTEN": "127.0.0.1:19092"},
			"127.0.0.1:20000 127.0.0.1:19092 127.0.0.1:20002 127.0.0.1:20003 127.0.0.1:20004 127.0.0.1:20005"},
		// With another port of the API the metrics move too, on loopback.
		{"--listen 127.0.0.1:9000", nil, "127.0.0.1:9000 127.0.0.1:19092 127.0.0.1:15432 127.0.0.1:9003 127.0.0.1:9004 127.0.0.1:9005"},
		{"--listen 0.0.0.0:9000 --insecure", nil, "0.0.0.0:9000 127.0.0.1:19092 127.0.0.1:15432 127.0.0.1:9003 127.0.0.1:9004 127.0.0.1:9005"},
		{"--listen 127.0.0.1:9000 --api-metrics-listen 127.0.0.1:7000", nil,
			"127.0.0.1:9000 127.0.0.1:19092 127.0.0.1:15432 127.0.0.1:9003 127.0.0.1:7000 127.0.0.1:9005"},
		{"--listen 127.0.0.1:8080", nil, "127.0.0.1:8080 127.0.0.1:19092 127.0.0.1:15432 127.0.0.1:9464 127.0.0.1:9465 127.0.0.1:9466"},
		// 0 is any free port, for each address.
		{"--listen 127.0.0.1:0", nil, "127.0.0.1:0 127.0.0.1:19092 127.0.0.1:15432 127.0.0.1:9464 127.0.0.1:9465 127.0.0.1:9466"},
	} {
		t.Run(c.args, func(t *testing.T) {
			for name, value := range c.env {
				t.Setenv(name, value)
			}
			at, err := demoAt(t, strings.Fields(c.args)...)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range (&demoCmd{}).listeners() {
				got = append(got, at[l.flag])
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("want %s\ngot  %s", c.want, strings.Join(got, " "))
			}
		})
	}
	for _, c := range []struct{ args, want string }{
		{"--port-base 65531", "--port-base"},
		{"--port-base 0", "--port-base"},
		{"--port-base -1", "--port-base"},
		{"--listen 127.0.0.1:9000 --broker-listen 127.0.0.1:9003", "--metrics-listen"},
		{"--metrics-listen 127.0.0.1:9465", "--api-metrics-listen"},
	} {
		_, err := demoAt(t, strings.Fields(strings.ReplaceAll(c.args, "base -1", "base=-1"))...)
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: want a usage error that names %s, got %v", c.args, c.want, err)
		}
	}
}

// TestTwoDemos checks that --port-base gives a second demo, and a third, ports of
// its own.
func TestTwoDemos(t *testing.T) {
	t.Parallel()
	taken := map[string]string{}
	for _, args := range [][]string{nil, {"--port-base", "20000"}, {"--port-base=30000"}} {
		at, err := demoAt(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		for flag, addr := range at {
			_, port, err := net.SplitHostPort(addr)
			if err != nil {
				t.Fatalf("--%s: %v", flag, err)
			}
			if other, ok := taken[port]; ok {
				t.Errorf("demo %v: --%s is on port %s, as %s is", args, flag, port, other)
			}
			taken[port] = "--" + flag + " of demo " + strings.Join(args, " ")
		}
	}
	if len(taken) != 18 {
		t.Errorf("want 18 ports for three demos, got %d", len(taken))
	}
}

// TestPortTaken checks that the error says what to do.
func TestPortTaken(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := free(t.Context(), "listen", l.Addr().String()); err == nil || !strings.Contains(err.Error(), "--port-base") || !strings.Contains(err.Error(), "--listen "+l.Addr().String()) {
		t.Errorf("want an error that names --listen and --port-base, got %v", err)
	}
}

package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gofiber/fiber/v2"

	"github.com/hypertick/hypertick/internal/wait"
)

// dial opens a connection to say anything on.
func (c *client) dial() *net.TCPConn {
	c.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.base, "http://"))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = conn.Close() })
	// A server that hangs fails the test, and not by its time limit.
	if err := conn.SetReadDeadline(time.Now().Add(wait.Scale(time.Minute))); err != nil {
		c.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// hear reads an answer off a connection.
func (c *client) hear(conn net.Conn, method, path string) answer {
	c.t.Helper()
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, &http.Request{Method: method})
	if err == nil && resp.StatusCode == http.StatusContinue {
		resp, err = http.ReadResponse(r, &http.Request{Method: method})
	}
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.Close { // net/http removes the header
		resp.Header.Set("Connection", "close")
	}
	a := answer{resp.StatusCode, resp.Header, body}
	if err := c.contract.check(method, path, a); err != nil {
		c.t.Error(err)
	}
	return a
}

// TestSlowRequest sends a request byte by byte: the clock is for all of it.
func TestSlowRequest(t *testing.T) {
	c := serve(t, Config{Pool: noDatabase(t), ReadTimeout: 200 * time.Millisecond})
	for what, start := range map[string]string{
		"headers": "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"body":    "POST /v1/symbols HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(what, func(t *testing.T) {
			conn := c.dial()
			if _, err := io.WriteString(conn, start); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				drip := time.NewTicker(20 * time.Millisecond)
				defer drip.Stop()
				for range drip.C {
					if _, err := conn.Write([]byte("x")); err != nil {
						return
					}
				}
			}()
			a := c.hear(conn, http.MethodGet, "/")
			if p := problemOf(t, a); a.status != http.StatusRequestTimeout || !strings.Contains(p.Detail, "within 200ms") || a.header.Get("Connection") != "close" {
				t.Errorf("%d %s %v", a.status, a.body, a.header)
			}
			_ = conn.Close()
			<-done
		})
	}
	t.Run("silence", func(t *testing.T) {
		if _, err := io.ReadAll(c.dial()); err != nil {
			t.Errorf("the server did not close: %v", err)
		}
	})
}

// TestIdleConnection keeps a connection open for nothing.
func TestIdleConnection(t *testing.T) {
	c := serve(t, Config{Pool: noDatabase(t), IdleTimeout: 100 * time.Millisecond})
	conn := c.dial()
	fmt.Fprint(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	if a := c.hear(conn, http.MethodGet, "/livez"); a.status != 200 || a.header.Get("Connection") == "close" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if n, err := io.Copy(io.Discard, conn); err != nil || n != 0 {
		t.Errorf("after the idle time: %d bytes, %v", n, err)
	}
}

// TestSlowReader does not read: the server gives up. One that reads may take
// much longer in all.
func TestSlowReader(t *testing.T) {
	gone := make(chan error, 1)
	const lines = 20
	c := serve(t, Config{Pool: noDatabase(t), WriteTimeout: 150 * time.Millisecond}, func(s *Server) {
		s.app.Get("/flood", func(c *fiber.Ctx) error {
			c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
				block := make([]byte, 64<<10)
				for {
					if _, err := w.Write(block); err != nil {
						gone <- err
						return
					}
				}
			})
			return nil
		})
		s.app.Get("/long", func(c *fiber.Ctx) error {
			c.Context().SetBodyStreamWriter(func(w *bufio.Writer) {
				tick := time.NewTicker(20 * time.Millisecond) // 400 ms in all
				defer tick.Stop()
				for range lines {
					<-tick.C
					fmt.Fprintln(w, "line")
					if w.Flush() != nil {
						return
					}
				}
			})
			return nil
		})
	})
	conn := c.dial()
	if err := conn.SetReadBuffer(4096); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
	wait.Receive(t, "the server to give up a client that does not read", gone)
	if a := c.get("/long"); a.status != 200 || strings.Count(string(a.body), "line\n") != lines {
		t.Errorf("%d %q", a.status, a.body)
	}
}

// TestLimitsOfRequests sends what is too large or makes no sense.
func TestLimitsOfRequests(t *testing.T) {
	c := serve(t, Config{Pool: noDatabase(t)})
	for _, k := range []struct {
		what, request string
		status        int
		detail        string
	}{
		{"headers", "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", maxHeaderBytes) + "\r\n\r\n", 431, "at most 16384 bytes"},
		{"many headers", "GET /livez HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", maxHeaderBytes/8) + "\r\n", 431, "at most 16384 bytes"},
		{"path", "GET /" + strings.Repeat("a", maxHeaderBytes) + " HTTP/1.1\r\nHost: x\r\n\r\n", 431, "at most 16384 bytes"},
		{"body", fmt.Sprintf("POST /v1/symbols HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", maxBodyBytes+1), 413, "at most 65536 bytes"},
		{"announced body", fmt.Sprintf("POST /v1/symbols HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", maxBodyBytes+1), 413, "at most 65536 bytes"},
		{"chunked body", "POST /v1/symbols HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + strings.Repeat("a", 0x20000) + "\r\n0\r\n\r\n", 413, "at most 65536 bytes"},
		{"method", "BREW /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 501, `"BREW"`},
		{"nonsense", "nonsense\r\n\r\n", 400, "bad request"},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "bad request"},
		{"length", "POST /v1/symbols HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n", 400, "bad request"},
	} {
		t.Run(k.what, func(t *testing.T) {
			conn := c.dial()
			// The server may answer and close before it has read everything.
			go func() { _, _ = io.WriteString(conn, k.request) }()
			a := c.hear(conn, http.MethodGet, "/")
			if p := problemOf(t, a); a.status != k.status || !strings.Contains(p.Detail, k.detail) || a.header.Get("Content-Security-Policy") == "" {
				t.Errorf("%d %s %v", a.status, a.body, a.header)
			}
			noLeak(t, a)
		})
	}
	if log := c.log.String(); strings.Count(log, `"route":"malformed"`) != 10 {
		t.Errorf("not every request is in the log: %s", log)
	}
	if a := c.get("/livez"); a.status != 200 {
		t.Errorf("afterwards: %d", a.status)
	}
}

// TestStopWithRequests lets a running request finish and takes no more.
func TestStopWithRequests(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s := unreachable(t, Config{})
	s.app.Get("/work", func(c *fiber.Ctx) error {
		close(entered)
		<-leave
		return c.SendString("done")
	})
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- s.Run(ctx) }()
	c := &client{t: t, base: "http://" + s.Addr(), contract: newContract(t, s)}
	idle, conn := c.dial(), c.dial()
	fmt.Fprint(idle, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
	c.hear(idle, http.MethodGet, "/livez")
	fmt.Fprint(conn, "GET /work HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	cancel()
	// It takes no more connections,
	for {
		d := net.Dialer{Timeout: 5 * time.Second}
		more, err := d.DialContext(context.Background(), "tcp", s.Addr())
		if err != nil {
			break
		}
		_ = more.Close()
	}
	// and the request that runs is answered.
	close(leave)
	if a := c.hear(conn, http.MethodGet, "/work"); a.status != 200 || string(a.body) != "done" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := wait.Receive(t, "the server to stop", ran); err != nil && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

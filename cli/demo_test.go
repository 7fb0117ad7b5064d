package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
)

// demo is a demo in a process of its own.
type demo struct {
	cmd      *exec.Cmd
	exited   chan error
	api      string
	database string
	broker   string
	out      *lockedBuffer
}

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

func startDemo(t *testing.T, dir string, args ...string) *demo {
	t.Helper()
	d := &demo{api: freeAddr(t), database: freeAddr(t), broker: freeAddr(t), exited: make(chan error, 1), out: &lockedBuffer{}}
	d.cmd = exec.Command(os.Args[0], append([]string{"demo", "--data-dir", dir, "--cache-dir", dbtest.CacheDir(t),
		"--listen", d.api, "--database-listen", d.database, "--broker-listen", d.broker, "--metrics-listen", freeAddr(t), "--api-metrics-listen", freeAddr(t), "--notify-metrics-listen", freeAddr(t)}, args...)...)
	d.cmd.Env = append(os.Environ(), asCommand+"=1")
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { d.exited <- d.cmd.Wait() }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("demo printed:\n%s", d.out)
		}
	})
	return d
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

type page[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

type candle struct {
	Bucket                         time.Time
	Open, High, Low, Close, Volume float64
	VWAP                           *float64
	Trades                         int64
}

// get reads one page; ok is false when the API does not answer with one.
func get[T any](d *demo, path string) (p page[T], ok bool) {
	resp, err := http.Get("http://" + d.api + path)
	if err != nil {
		return p, false
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return p, err == nil && resp.StatusCode == http.StatusOK && json.Unmarshal(body, &p) == nil
}

// newest returns the newest candles of AAPL.
func (d *demo) newest(interval string, limit int) []candle {
	p, _ := get[candle](d, fmt.Sprintf("/v1/symbols/AAPL/candles?interval=%s&limit=%d", interval, limit))
	return p.Data
}

// TestDemo starts the whole stack as a user does, waits until candles of every
// interval change, kills it, starts it again, checks that it resumes, and stops it.
func TestDemo(t *testing.T) {
	ctx := wait.Context(t, 4*time.Minute)
	dir := filepath.Join(t.TempDir(), "demo")
	d := startDemo(t, dir, "--history", "2d", "--rate", "200")
	for _, i := range dbtest.Intervals {
		wait.Equal(t, i.Name+" has three candles", 3, func() int { return len(d.newest(i.Name, 3)) })
	}
	for _, i := range dbtest.Intervals {
		var before []candle
		wait.Until(t, "the last candle of "+i.Name+" moves", func() bool {
			now := d.newest(i.Name, 1)
			if len(before) == 0 {
				before = now
			}
			return len(now) == 1 && (now[0].Bucket.After(before[0].Bucket) || now[0].Trades > before[0].Trades)
		})
	}

	// Status reports every part as ok, and alerts have been evaluated.
	wait.For(t, "status to be ok", func() (any, bool) {
		s, code, out := d.status(ctx)
		return out, code == 0 && s.part("ingest").State == "ok" && s.part("broker").State == "ok" && s.part("api").State == "ok" && s.part("alerts").State == "ok"
	})

	// The API writes alert rules. While the only backend refreshes two days the API
	// may answer 504 and still write the rule.
	wait.Until(t, "a rule is written", func() bool {
		rule := strings.NewReader(`{"name":"mine","condition":"above","interval":"1m","indicator":"rsi","threshold":80}`)
		resp, err := http.Post("http://"+d.api+"/v1/alerts/rules", "application/json", rule)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusCreated || resp.StatusCode == http.StatusConflict
	})

	// A second demo on the same data is refused with the reason.
	second := startDemo(t, dir)
	select {
	case <-second.exited:
	case <-ctx.Done():
		t.Fatal("a second demo runs on the same data")
	}
	if out := second.out.String(); second.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out, "in use by another hypertick demo") {
		t.Fatalf("second start: exit code %d, %s", second.cmd.ProcessState.ExitCode(), out)
	}

	// SIGKILL: the process of the database ends with its parent.
	var newest candle
	wait.Until(t, "the newest candle", func() bool {
		now := d.newest("1m", 1)
		if len(now) == 1 {
			newest = now[0]
		}
		return len(now) == 1
	})
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.exited
	d = startDemo(t, dir, "--history", "2d", "--rate", "200")
	wait.Until(t, "the demo to resume", func() bool {
		now := d.newest("1m", 1)
		return len(now) == 1 && (now[0].Bucket.After(newest.Bucket) || now[0].Bucket.Equal(newest.Bucket) && now[0].Trades > newest.Trades)
	})
	wait.Until(t, "the rule is still there", func() bool {
		rules, ok := get[struct{ Name string }](d, "/v1/alerts/rules?severity=warning")
		return ok && slices.ContainsFunc(rules.Data, func(r struct{ Name string }) bool { return r.Name == "mine" })
	})
	conn, err := pgx.Connect(ctx, "postgres://hypertick_reader@"+d.database+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	var ticks, distinct, gaps int64
	if err := conn.QueryRow(ctx, `SELECT count(*), count(DISTINCT (venue, symbol, seq)), (SELECT count(*) FROM feed_gaps) FROM ticks`).Scan(&ticks, &distinct, &gaps); err != nil {
		t.Fatal(err)
	}
	if ticks != distinct || gaps != 0 || ticks < 100_000 {
		t.Fatalf("%d ticks, %d of them distinct, %d gaps", ticks, distinct, gaps)
	}
	_ = conn.Close(ctx)

	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.exited:
		if err != nil {
			t.Fatalf("stopped with %v", err)
		}
	case <-time.After(wait.Scale(15 * time.Second)):
		t.Fatal("does not stop")
	}
}

// TestDemoWithoutSimulator starts empty and replays a file. Its notifier sends to a
// receiver on the same machine.
func TestDemoWithoutSimulator(t *testing.T) {
	ctx := wait.Context(t, 2*time.Minute)
	told := make(chan string, 10)
	team := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		told <- string(b)
	}))
	defer team.Close()
	t.Setenv("HYPERTICK_SLACK_URL", team.URL)
	d := startDemo(t, filepath.Join(t.TempDir(), "demo"), "--no-simulate")
	wait.Until(t, "the stack is up", func() bool { return strings.Contains(d.out.String(), "Hypertick is up") })
	file := filepath.Join(t.TempDir(), "trades.csv")
	if err := os.WriteFile(file, []byte("time,price,qty\n2026-01-05T10:00:00Z,100,1\n2026-01-05T10:00:30Z,102,2\n2026-01-05T10:01:00Z,99,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, errOut := run(ctx, "replay", "--file", file, "--symbol", "BTC-USDT", "--venue", "BINANCE", "--brokers", d.broker)
	if code != 0 {
		t.Fatalf("replay: %d, %s", code, errOut)
	}
	wait.Until(t, "the candles are there", func() bool {
		p, _ := get[candle](d, "/v1/symbols/BTC-USDT/candles?interval=1d")
		return len(p.Data) == 1 && p.Data[0].Open == 100 && p.Data[0].High == 102 && p.Data[0].Close == 99 && p.Data[0].Volume == 6
	})
	owner, err := pgx.Connect(ctx, "postgres://postgres@"+d.database+"/postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(ctx)
	if _, err := owner.Exec(ctx, `INSERT INTO alert.outbox (key, channel, payload) VALUES ('test', 'slack', '{"kind": "opened", "rule": "r", "severity": "info", "symbol": "BTC-USDT", "message": "BTC-USDT rose"}')`); err != nil {
		t.Fatal(err)
	}
	if text := wait.Receive(t, "a notification", told); !strings.Contains(text, "BTC-USDT rose") {
		t.Errorf("told %s", text)
	}
}

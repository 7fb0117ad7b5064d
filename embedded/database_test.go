package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/internal/wait"
)

func TestDatabaseEndsAndStartsAgain(t *testing.T) {
	dir := t.TempDir()
	d := startDatabase(t, DatabaseConfig{Dir: dir})
	run(t, connect(t, d, "postgres"), `create table kept as select 42 as a`)

	t.Run("in use", func(t *testing.T) {
		_, err := StartDatabase(t.Context(), DatabaseConfig{Dir: dir, Log: testLog(t)})
		var inUse *ErrInUse
		if !errors.As(err, &inUse) || inUse.PID != d.current().cmd.Process.Pid || inUse.Dir != dir {
			t.Errorf("got %v, want in use by %d", err, d.current().cmd.Process.Pid)
		}
	})

	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	<-d.Done()
	if err := d.Close(); err != nil || d.Err() != nil {
		t.Error("a second Close is no error:", err, d.Err())
	}
	again := startDatabase(t, DatabaseConfig{Dir: dir, Listen: d.Addr()})
	if again.Addr() != d.Addr() {
		t.Errorf("serves %s, asked for %s", again.Addr(), d.Addr())
	}
	if got := value[int](t, connect(t, again, "postgres"), `select a from kept`); got != 42 {
		t.Error(got)
	}

	again.Kill()
	<-again.Done()
	if again.Err() == nil {
		t.Error("a killed database has ended without an error")
	}

	t.Run("template", func(t *testing.T) {
		copied := startDatabase(t, DatabaseConfig{Template: dir, Relaxed: true})
		conn := connect(t, copied, "postgres")
		if got := value[int](t, conn, `select a from kept`); got != 42 {
			t.Error(got)
		}
	})
}

// TestDatabaseKilledWhileWriting kills the server again and again, and expects
// every commit that was confirmed.
func TestDatabaseKilledWhileWriting(t *testing.T) {
	d := startDatabase(t, DatabaseConfig{Dir: t.TempDir(), Restart: true})
	run(t, connect(t, d, "postgres"), `create table written (ts timestamptz not null, n bigint primary key);`)

	confirmed := make(chan int64)
	go func() {
		ctx := context.Background()
		for n := int64(1); ; {
			conn, err := pgx.Connect(ctx, d.URL("postgres"))
			if err != nil {
				select {
				case <-d.Done():
					close(confirmed)
					return
				case <-time.After(20 * time.Millisecond):
				}
				continue
			}
			for {
				// What was not confirmed may be there all the same.
				if _, err := conn.Exec(ctx, `insert into written select now(), n from generate_series($1::bigint, $1 + 9) n on conflict do nothing`, n); err != nil {
					break
				}
				n += 10
				confirmed <- n
			}
			_ = conn.Close(ctx)
		}
	}()
	var last int64
	for range 3 {
		for target := last + 300; last < target; {
			last = <-confirmed
		}
		killed := make(chan struct{})
		go func() {
			d.Kill()
			close(killed)
		}()
		for done := false; !done; {
			select {
			case last = <-confirmed:
			case <-killed:
				done = true
			}
		}
	}
	for target := last + 100; last < target; {
		last = <-confirmed
	}
	go func() {
		for range confirmed { // the writer goes on, unheard
		}
	}()
	conn := connect(t, d, "postgres")
	state := value[string](t, conn, `select count(*) || ' ' || max(n) from written`)
	var count, highest int64
	if _, err := fmt.Sscan(state, &count, &highest); err != nil || count != highest || count < last-1 {
		t.Errorf("%d rows up to %d, %d were confirmed (%v)", count, highest, last-1, err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

func init() {
	helpers["database"] = func() {
		d, err := StartDatabase(context.Background(), DatabaseConfig{Dir: os.Args[1], Relaxed: true, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(d.current().cmd.Process.Pid)
		select {}
	}
}

// TestDatabaseDiesWithItsParent kills a process that has a database.
func TestDatabaseDiesWithItsParent(t *testing.T) {
	dir := t.TempDir()
	parent := exec.Command(os.Args[0], dir)
	parent.Env = append(os.Environ(), helperEnv+"=database")
	stdout, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(line)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	wait.Until(t, "the server to end", func() bool { return !isRunning(pid) })
	startDatabase(t, DatabaseConfig{Dir: dir, Relaxed: true}) // its lock is gone too
}

// isRunning reports whether a process exists and is not a zombie: nobody may be
// there to reap it.
func isRunning(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func TestDatabaseStartFails(t *testing.T) {
	occupied := sharedDatabase(t).Addr()
	_, err := StartDatabase(t.Context(), DatabaseConfig{Listen: occupied, Relaxed: true, Log: testLog(t)})
	if err == nil || !strings.Contains(err.Error(), "EADDRINUSE") {
		t.Errorf("got %v, want an address in use", err)
	}
	for _, listen := range []string{"nonsense", "127.0.0.1:x", "127.0.0.1:70000"} {
		if _, err := StartDatabase(t.Context(), DatabaseConfig{Listen: listen}); err == nil {
			t.Errorf("listens on %q", listen)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := StartDatabase(ctx, DatabaseConfig{Relaxed: true, Log: testLog(t)}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
}

func TestInstallSaysWhatIsMissing(t *testing.T) {
	script := func(name, body string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+body), 0o755); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	node := script("node", "echo v20.1.0\n")
	tests := map[string]struct{ path, want string }{
		"no node":   {t.TempDir(), "node is not on the PATH"},
		"old node":  {script("node", "echo v18.19.0\n"), "Node.js 20 or newer, found v18.19.0"},
		"no npm":    {node, "npm is not on the PATH"},
		"npm fails": {node + string(os.PathListSeparator) + script("npm", "echo EINTEGRITY no match; exit 1\n"), "EINTEGRITY no match"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("PATH", test.path)
			cache := t.TempDir()
			_, err := Install(t.Context(), cache, testLog(t))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			if left, _ := os.ReadDir(cache); len(left) > 0 {
				t.Errorf("%v is left behind", left)
			}
		})
	}
}

package embedded

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// server is one run of the Node process.
type server struct {
	cmd   *exec.Cmd
	stdin io.Closer
	port  int
	done  chan struct{} // closed when the process has ended
	err   error         // exit status; read after done
}

// report is the line that pgserver prints when it has started, or failed to.
type report struct {
	Ready *struct {
		Port int `json:"port"`
		MS   int `json:"ms"`
	} `json:"ready"`
	InUse *struct {
		PID int `json:"pid"`
	} `json:"inUse"`
	Error string `json:"error"`
}

// startServer runs pgserver from the directory install and waits until it serves.
func startServer(ctx context.Context, cfg *DatabaseConfig, install string, host string, port int) (*server, error) {
	args := []string{filepath.Join(install, "main.mjs"), "--data", cfg.Dir, "--host", host, "--port", strconv.Itoa(port), "--parent"}
	if cfg.Relaxed {
		args = append(args, "--relaxed")
	}
	if cfg.ShortLived {
		args = append(args, "--short-lived")
	}
	cmd := exec.Command("node", args...)
	cmd.Env = append(os.Environ(), "PGSERVER_PASSWORD="+cfg.Password)
	cmd.SysProcAttr = childAttributes()
	// The child reads standard input to its end: the kernel closes it when this
	// process dies, however it dies, and the child follows.
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the embedded database: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the embedded database: %w", err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start the embedded database: %w", err)
	}

	s := &server{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	started := make(chan error)
	reports := make(chan report, 1)
	go func() {
		// The kernel counts the thread that started the child as its parent.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		var readers sync.WaitGroup
		readers.Go(func() { readReport(stdout, reports) })
		readers.Go(func() { logLines(stderr, cfg.Log) })
		readers.Wait()
		s.err = cmd.Wait()
		close(s.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the embedded database: %w", err)
	}

	select {
	case r, ok := <-reports:
		if ok && r.Ready != nil {
			s.port = r.Ready.Port
			cfg.Log.Debug("embedded database ready", "pid", cmd.Process.Pid, "port", s.port, "ms", r.Ready.MS)
			return s, nil
		}
		<-s.done
		switch {
		case ok && r.InUse != nil:
			return nil, &ErrInUse{Dir: cfg.Dir, PID: r.InUse.PID}
		case ok && r.Error != "":
			return nil, fmt.Errorf("start the embedded database: %s", r.Error)
		default:
			return nil, fmt.Errorf("start the embedded database: it ended at once: %w", s.exitError())
		}
	case <-ctx.Done():
		s.kill()
		return nil, fmt.Errorf("start the embedded database: %w", ctx.Err())
	}
}

// stop stops the process: gracefully, and by force after the timeout.
func (s *server) stop(timeout time.Duration) {
	_ = s.stdin.Close()
	_ = s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.done:
	case <-time.After(timeout):
		s.kill()
	}
}

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	<-s.done
	_ = s.stdin.Close()
}

// exitError returns the error of a process that exited unexpectedly.
func (s *server) exitError() error {
	if s.err == nil {
		return errors.New("exit status 0")
	}
	return s.err
}

func readReport(r io.Reader, reports chan<- report) {
	defer close(reports)
	lines := bufio.NewScanner(r)
	if lines.Scan() {
		var rep report
		if err := json.Unmarshal(lines.Bytes(), &rep); err != nil {
			rep.Error = fmt.Sprintf("unexpected output %q", lines.Text())
		}
		reports <- rep
	}
	_, _ = io.Copy(io.Discard, r)
}

func logLines(r io.Reader, log *slog.Logger) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		log.Warn("embedded database: "+lines.Text(), "stream", "stderr")
	}
	_, _ = io.Copy(io.Discard, r)
}

func splitListen(listen string) (host string, port int, err error) {
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	host, p, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("listen address %q: %w", listen, err)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("listen address %q: bad port", listen)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return host, port, nil
}

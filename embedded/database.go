package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

const (
	// stopTimeout bounds how long Close waits for the server to end by itself.
	stopTimeout = 3 * time.Second
	// A server that dies is started again after a pause that grows to maxPause
	// while it keeps dying, and is back at minPause once it has lived stableAfter.
	minPause    = 100 * time.Millisecond
	maxPause    = 10 * time.Second
	stableAfter = 30 * time.Second
)

// DatabaseConfig configures a Database.
type DatabaseConfig struct {
	// Dir holds the data. Empty is a temporary directory that Close removes.
	Dir string
	// Template is a directory that an earlier Database had as its Dir and has
	// closed. Where Dir is empty or absent, it is copied from there.
	Template string
	// Listen is the address to serve, by default 127.0.0.1 on a free port.
	Listen string
	// CacheDir is where the server is installed, by default hypertick in the
	// user's cache directory.
	CacheDir string
	// Relaxed does not sync writes to disk: a commit survives a crash of the
	// process, not one of the machine.
	Relaxed bool
	// ShortLived is for a database of a few seconds, as in tests: its code is
	// compiled quickly and not optimized.
	ShortLived bool
	// Password is required of clients if it is not empty.
	Password string
	// Restart starts the server again, on the same port, when it dies.
	Restart bool
	// Log takes the server's messages, by default slog.Default().
	Log *slog.Logger
}

// Database is a TimescaleDB in a Node process of its own.
type Database struct {
	cfg     DatabaseConfig
	install string
	host    string
	port    int
	temp    string // a directory to remove in the end

	mu      sync.Mutex
	server  *server // the current run
	closing chan struct{}
	once    sync.Once
	done    chan struct{}
	err     error // why it ended; read after done
}

// StartDatabase starts a database and returns once it serves. Where another
// process has the data directory open the error is an *ErrInUse. ctx bounds the
// start only.
func StartDatabase(ctx context.Context, cfg DatabaseConfig) (*Database, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	host, port, err := splitListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	if cfg.CacheDir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache directory: %w", err)
		}
		cfg.CacheDir = filepath.Join(cache, "hypertick")
	}
	install, err := Install(ctx, cfg.CacheDir, cfg.Log)
	if err != nil {
		return nil, err
	}
	d := &Database{install: install, host: host, closing: make(chan struct{}), done: make(chan struct{})}
	if cfg.Dir == "" {
		if d.temp, err = os.MkdirTemp("", "hypertick-db-"); err != nil {
			return nil, fmt.Errorf("make a directory for the embedded database: %w", err)
		}
		cfg.Dir = d.temp
	}
	d.cfg = cfg
	d.server, err = d.start(ctx, port)
	if err != nil {
		d.removeTemp()
		return nil, err
	}
	d.port = d.server.port
	go d.watch()
	return d, nil
}

func (d *Database) start(ctx context.Context, port int) (*server, error) {
	if err := d.fill(ctx); err != nil {
		return nil, err
	}
	return startServer(ctx, &d.cfg, d.install, d.host, port)
}

// watch waits for the server to exit, and restarts it if configured.
func (d *Database) watch() {
	defer close(d.done)
	defer d.removeTemp()
	pause := minPause
	for {
		began := time.Now()
		<-d.server.done
		if d.isClosing() {
			return
		}
		err := d.server.exitError()
		if !d.cfg.Restart {
			d.err = fmt.Errorf("the embedded database has ended: %w", err)
			return
		}
		if time.Since(began) > stableAfter {
			pause = minPause
		}
		for {
			d.cfg.Log.Warn("the embedded database has ended, starting it again", "error", err, "after", pause)
			select {
			case <-time.After(pause):
			case <-d.closing:
				return
			}
			pause = min(2*pause, maxPause)
			if err = d.restart(); err == nil {
				break
			}
		}
		if d.isClosing() {
			<-d.server.done
			return
		}
	}
}

// restart starts the server again, unless the database is being closed.
func (d *Database) restart() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-d.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	s, err := d.start(ctx, d.port)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.server = s
	d.mu.Unlock()
	if d.isClosing() {
		s.stop(stopTimeout)
	}
	return nil
}

func (d *Database) isClosing() bool {
	select {
	case <-d.closing:
		return true
	default:
		return false
	}
}

func (d *Database) current() *server {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.server
}

// Addr is the address that the database serves.
func (d *Database) Addr() string {
	return net.JoinHostPort(d.host, strconv.Itoa(d.port))
}

// URL is the connection string for a user.
func (d *Database) URL(user string) string {
	u := url.URL{Scheme: "postgres", User: url.User(user), Host: d.Addr(), Path: "/postgres", RawQuery: "sslmode=disable"}
	if d.cfg.Password != "" {
		u.User = url.UserPassword(user, d.cfg.Password)
	}
	return u.String()
}

// Done is closed when the database has ended and will not come back.
func (d *Database) Done() <-chan struct{} { return d.done }

// Err says why the database ended, once Done is closed. After Close it is nil.
func (d *Database) Err() error {
	select {
	case <-d.done:
		return d.err
	default:
		return nil
	}
}

// Kill ends the server process with SIGKILL and waits for its end. With Restart
// it is started again.
func (d *Database) Kill() { d.current().kill() }

// Close stops the database: gracefully for some seconds, then by force. Commits
// are kept either way.
func (d *Database) Close() error {
	d.once.Do(func() {
		close(d.closing)
		d.current().stop(stopTimeout)
	})
	<-d.done
	if errors.Is(d.err, context.Canceled) {
		return nil
	}
	return d.err
}

func (d *Database) removeTemp() {
	if d.temp != "" {
		_ = os.RemoveAll(d.temp)
	}
}

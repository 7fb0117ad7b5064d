// Package stream sends clients the changes of the database: ticks, bars as they
// form, close and are revised, alerts, and the state of the system. One hub polls
// the database for all clients of the process, and encodes each event once.
package stream

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// DefaultGrace is the default of Config.Grace. The job note_revisions lists
	// the bars of ticks that ingest notes later than its own, shorter grace; what is
	// noted before has to be committed when the hub closes the bar. So it must be at
	// least that grace and commitTime.
	DefaultGrace = 4 * time.Second
	// commitTime is the maximum time from the statement that records late ticks
	// to the commit of the batch, which is the next statement of ingest.
	commitTime = 2 * time.Second
)

// Config configures a Hub.
type Config struct {
	// Pool of the database; the rights of hypertick_reader are enough.
	Pool *pgxpool.Pool
	// Log gets one line when the database becomes unavailable, and one when it is
	// available again.
	Log *slog.Logger
	// PollInterval is the time between two passes, each of which polls the
	// database; 250 ms by default.
	PollInterval time.Duration
	// Grace is how long after its end a bar is closed, DefaultGrace by default. A
	// tick that arrives later causes a revision.
	Grace time.Duration
	// StatusEvery is the time between two status events, 5 s by default.
	StatusEvery time.Duration
	// MaxClients bounds the clients at once, 4096 by default.
	MaxClients int
	// MaxPending bounds the closed and revised candles that wait for a client,
	// 20,000 by default; one that is further behind is dropped.
	MaxPending int
	// Now is the clock, by default that of the database.
	Now func() time.Time
}

// Errors that end the stream of a client.
var (
	ErrSlow = errors.New("the client does not keep up")
	// ErrClosed means that the hub has stopped.
	ErrClosed = errors.New("the stream is closed")
	// ErrFull means that there are MaxClients already.
	ErrFull = errors.New("too many streams")
)

// Hub polls the database while there are clients.
type Hub struct {
	cfg     Config
	stopped chan struct{} // closed when the context of Run ends
	wake    chan struct{}
	replays chan struct{} // bounds the replays at a time

	mu      sync.Mutex
	started bool // Run was called
	clients map[*Client]struct{}
	wants   wants
	ready   bool // at is known
	at      position
	status  *event
	shown   map[shownKey]shown

	// The fields below are used by Run only.
	feeds       map[feedKey]feed
	heads       map[string]time.Time // newest tick by symbol
	bars        map[barKey]*bar
	progress    progress
	formedAt    time.Time
	failing     bool
	statusAt    time.Time
	health      Health
	healthReads reading
	changes     int64 // last allocated change id of alerts at alertsAt
	alertsAt    time.Time
	// materialized is the intervals whose bars are stored, shortest first.
	materialized []string
}

// New makes a hub. Nothing is read, and no client gets an event, until Run.
func New(cfg Config) *Hub {
	setDefault(&cfg.PollInterval, 250*time.Millisecond)
	setDefault(&cfg.Grace, DefaultGrace)
	setDefault(&cfg.StatusEvery, 5*time.Second)
	setDefault(&cfg.MaxClients, 4096)
	setDefault(&cfg.MaxPending, 20_000)
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	h := &Hub{
		cfg: cfg, stopped: make(chan struct{}), wake: make(chan struct{}, 1),
		replays: make(chan struct{}, 2), clients: map[*Client]struct{}{}, wants: newWants(), shown: map[shownKey]shown{},
	}
	h.idle()
	return h
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// Run reads the database for the clients until ctx ends. Then every stream ends
// with ErrClosed, at once, and Run returns nil. A hub runs once: another Run is
// an error.
func (h *Hub) Run(ctx context.Context) error {
	h.mu.Lock()
	if h.started {
		h.mu.Unlock()
		return errors.New("run the stream: it was run before")
	}
	h.started = true
	h.mu.Unlock()
	// The streams end before the current pass does.
	unhook := context.AfterFunc(ctx, func() { close(h.stopped) })
	h.run(ctx)
	if unhook() {
		close(h.stopped)
	}
	<-h.stopped
	return nil
}

// Clients returns the number of clients.
func (h *Hub) Clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// Subscribe adds a client; Client.Close removes it. The events of a client that
// subscribes before Run begin with the first pass. The error is ErrClosed after the
// context of Run has ended, and ErrFull if there are MaxClients already.
func (h *Hub) Subscribe(sub Subscription) (*Client, error) {
	c, err := newClient(h, sub)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-h.stopped:
		return nil, ErrClosed
	default:
	}
	if len(h.clients) >= h.cfg.MaxClients {
		return nil, ErrFull
	}
	if !h.wants.room(&c.sub) {
		return nil, ErrIntervals
	}
	h.clients[c] = struct{}{}
	h.wants.add(&c.sub, 1)
	if h.ready {
		c.attach(h.at)
	}
	if h.status != nil {
		c.takeStatus(h.status)
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
	return c, nil
}

func (h *Hub) remove(c *Client) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.clients[c]; ok {
		delete(h.clients, c)
		h.wants.add(&c.sub, -1)
	}
}

func (h *Hub) run(ctx context.Context) {
	for ctx.Err() == nil {
		if h.idle() {
			select {
			case <-ctx.Done():
				return
			case <-h.wake:
				continue
			}
		}
		start := time.Now()
		u, err := h.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := h.cfg.PollInterval
		if err != nil {
			// The bars may include ticks of the failed pass: read them again.
			clear(h.bars)
			u = &update{status: h.staleStatus()}
			wait = max(wait, time.Second)
			if !h.failing {
				h.cfg.Log.Warn("stream cannot read the database, retrying", slog.Any("error", err))
			}
		} else if h.failing {
			h.cfg.Log.Info("stream reads the database again")
		}
		h.failing = err != nil
		h.publish(u)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait-time.Since(start), wait/5)):
		}
	}
}

// idle reports whether there are no clients, and then drops the state of the
// passes. It keeps shown: a client may reconnect.
func (h *Hub) idle() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.clients) > 0 {
		return false
	}
	h.ready, h.status = false, nil
	h.feeds, h.heads, h.bars = map[feedKey]feed{}, map[string]time.Time{}, map[barKey]*bar{}
	h.progress, h.statusAt, h.healthReads = progress{}, time.Time{}, reading{}
	return true
}

// publish sends an update to every client. The events of a client that subscribed
// before the first update begin with it.
func (h *Hub) publish(u *update) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if u.status != nil {
		h.status = u.status
	}
	if u.read {
		h.at, h.ready = u.at, true
		u.index()
	}
	for c := range h.clients {
		if u.read {
			c.attach(u.start)
			c.take(u)
		}
		if u.status != nil {
			c.takeStatus(u.status)
		}
	}
}

func sameMinute(a, b time.Time) bool { return a.Truncate(time.Minute).Equal(b.Truncate(time.Minute)) }

// Package stream tells clients what happens in the database: ticks, bars as
// they form, close and are revised, and how the system is. One hub reads the
// database for all clients of the process, and encodes each event once.
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
	// commitTime is the most time from where ingest notes late ticks to the
	// commit of its batch, which is its next statement.
	commitTime = 2 * time.Second
)

// Config is what a Hub needs.
type Config struct {
	// Pool reaches the database; hypertick_reader's rights are enough.
	Pool *pgxpool.Pool
	// Log takes one line when the database is lost, and one when it is back.
	Log *slog.Logger
	// Beat is the time between two looks at the database, 250 ms by default.
	Beat time.Duration
	// Grace is how long after its end a bar is closed, DefaultGrace by default. A
	// tick that comes later makes a revision.
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

// Why a client's stream ends.
var (
	ErrSlow = errors.New("the client does not keep up")
	// ErrClosed means that the hub has stopped.
	ErrClosed = errors.New("the stream is closed")
	// ErrFull means that there are MaxClients already.
	ErrFull = errors.New("too many streams")
)

// Hub reads the database while there are clients.
type Hub struct {
	cfg     Config
	stopped chan struct{} // closed when Run is told to stop
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

	// What follows belongs to Run.
	feeds       map[feedKey]feed
	heads       map[string]time.Time // newest tick by symbol
	bars        map[barKey]*bar
	progress    progress
	formedAt    time.Time
	failing     bool
	statusAt    time.Time
	health      Health
	healthReads reading
	changes     int64 // how far the numbers of alert changes had been given out at alertsAt
	alertsAt    time.Time
	// materialized is the intervals whose bars are stored, shortest first.
	materialized []string
}

// shown is how many trades the bar had that clients were told of: when it
// closed, and the last time. Ticks are only ever added, so a bar that has as
// many has not changed.
type shown struct{ closed, last int64 }

type shownKey struct {
	barKey
	bucket int64
}

const (
	// showFor is how long closed bars are remembered so, and maxShown how many:
	// when there are more, only the youngest. Of one that is forgotten a revision
	// may be told that changes nothing.
	showFor  = time.Hour
	maxShown = 200_000
)

// New makes a hub. Nothing is read, and no client gets an event, until Run.
func New(cfg Config) *Hub {
	setDefault(&cfg.Beat, 250*time.Millisecond)
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
	// The streams end before the pass that is under way does.
	unhook := context.AfterFunc(ctx, func() { close(h.stopped) })
	h.run(ctx)
	if unhook() {
		close(h.stopped)
	}
	<-h.stopped
	return nil
}

// Clients is how many there are.
func (h *Hub) Clients() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.clients)
}

// Subscribe adds a client; Client.Close removes it. A client that comes before Run
// waits for it: its events begin with the first pass. One that comes when Run has
// been told to stop is refused with ErrClosed, and one beyond MaxClients with
// ErrFull.
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
		b, err := h.pass(ctx)
		if ctx.Err() != nil {
			return
		}
		wait := h.cfg.Beat
		if err != nil {
			// Folded ticks may be in the bars already: they are read anew.
			clear(h.bars)
			b = &beat{status: h.staleStatus()}
			wait = max(wait, time.Second)
			if !h.failing {
				h.cfg.Log.Warn("the stream waits for the database", slog.Any("error", err))
			}
		} else if h.failing {
			h.cfg.Log.Info("the stream has the database again")
		}
		h.failing = err != nil
		h.publish(b)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait-time.Since(start), wait/5)):
		}
	}
}

// idle reports whether nobody listens, and then forgets what is only of use
// while someone does. What was shown stays: who left may come back.
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

// publish hands a beat to every client. A client that joined before the first
// beat begins with it.
func (h *Hub) publish(b *beat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if b.status != nil {
		h.status = b.status
	}
	if b.read {
		h.at, h.ready = b.at, true
		b.index()
	}
	for c := range h.clients {
		if b.read {
			c.attach(b.start)
			c.take(b)
		}
		if b.status != nil {
			c.takeStatus(b.status)
		}
	}
}

// unchanged reports whether a revised bar is what clients were told already:
// the last time, or, for one who comes back, when it closed.
func (h *Hub) unchanged(e *event, resumed bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.shown[e.shownKey()]
	if resumed {
		return ok && s.closed == e.trades
	}
	return ok && s.last == e.trades
}

// show remembers what a beat tells.
func (h *Hub) show(b *beat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range b.durable {
		switch e.state {
		case closed:
			h.shown[e.shownKey()] = shown{e.trades, e.trades}
		case revised:
			s, ok := h.shown[e.shownKey()]
			if !ok {
				s.closed = -1 // not known
			}
			s.last = e.trades
			h.shown[e.shownKey()] = s
		}
	}
	if len(h.shown) > maxShown || !sameMinute(b.start.upto, b.at.upto) {
		h.forget(b.at.upto)
	}
}

// forget drops bars that were shown long before upto.
func (h *Hub) forget(upto time.Time) {
	keep := showFor
	for {
		for k := range h.shown {
			if upto.Sub(k.End(time.Unix(k.bucket, 0))) > keep {
				delete(h.shown, k)
			}
		}
		if len(h.shown) <= maxShown {
			return
		}
		if keep /= 2; keep < time.Second {
			clear(h.shown)
			return
		}
	}
}

func sameMinute(a, b time.Time) bool { return a.Truncate(time.Minute).Equal(b.Truncate(time.Minute)) }

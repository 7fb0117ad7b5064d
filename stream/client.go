package stream

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Subscription is what a client subscribes to.
type Subscription struct {
	// Symbols, or nil for all.
	Symbols []string
	// Intervals of candles, any that interval.Parse takes, at most MaxIntervals.
	Intervals []string
	// Kinds of events.
	Kinds Kind
	// AllAlerts asks for the alerts of all symbols, whatever Symbols says.
	AllAlerts bool
	// LastID is the id of the last event the client has, if it has any.
	LastID string
	// Dropped is called when the client is dropped because it does not keep up.
	// It must not block. Nil does nothing.
	Dropped func()

	timeframes []timeframe
	set        map[string]bool
}

// maxTicks is the number of waiting ticks above which a client gets only the newest
// of each symbol.
const maxTicks = 256

// maxPendingBytes bounds the bytes that wait for a client, besides MaxPending.
const maxPendingBytes = 8 << 20

// Client is one stream. Next is for one goroutine.
type Client struct {
	hub    *Hub
	sub    Subscription
	signal chan struct{}
	from   position // last position of a client that resumes
	resume bool
	badID  bool
	out    []byte

	mu       sync.Mutex // taken after the hub's
	replayed bool
	attached bool
	start    position // where the live events begin
	at       []byte   // id line of the newest update
	durable  []*event
	bytes    int
	ticks    []*event
	forming  map[barKey]*event
	order    []barKey // of forming
	status   *event
	err      error
}

func newClient(h *Hub, sub Subscription) (*Client, error) {
	var err error
	if sub.timeframes, err = parseTimeframes(sub.Intervals); err != nil {
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	if sub.Symbols != nil {
		sub.set = make(map[string]bool, len(sub.Symbols))
		unique := sub.Symbols[:0:0]
		for _, s := range sub.Symbols {
			if !sub.set[s] {
				unique = append(unique, s)
			}
			sub.set[s] = true
		}
		sub.Symbols = unique
	}
	c := &Client{hub: h, sub: sub, signal: make(chan struct{}, 1), forming: map[barKey]*event{}}
	if sub.LastID != "" {
		from, err := parsePosition(sub.LastID)
		c.from, c.resume, c.badID = from, true, err != nil
	}
	return c, nil
}

// follows reports whether the client wants candles of tf.
func (s *Subscription) follows(tf timeframe) bool {
	return s.Kinds&Candles != 0 && slices.Contains(s.timeframes, tf)
}

// Close removes the client.
func (c *Client) Close() { c.hub.remove(c) }

// attach begins the live events after at, unless they have begun.
func (c *Client) attach(at position) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attached {
		return
	}
	c.attached, c.start, c.at = true, at, idLine(at)
	c.poke()
}

func (c *Client) poke() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// wantsEvent reports whether the client wants a durable event.
func (c *Client) wantsEvent(e *event) bool {
	if e.symbol != "" && c.sub.set != nil && !c.sub.set[e.symbol] && (e.kind != Alerts || !c.sub.AllAlerts) {
		return false
	}
	if e.kind == Candles {
		return c.sub.follows(e.timeframe)
	}
	return e.kind == 0 && c.sub.Kinds&(Candles|Ticks) != 0 || c.sub.Kinds&e.kind != 0
}

// take queues the events of an update.
func (c *Client) take(u *update) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.at = u.id
	for _, e := range u.durable {
		if !c.wantsEvent(e) || c.resume && e.state == closed && c.from.closed(e.end, e.timeframe, e.symbol) {
			continue
		}
		c.durable, c.bytes = append(c.durable, e), c.bytes+len(e.body)
		// A forming bar that waits is older than its close.
		key := barKey{e.symbol, e.timeframe}
		if f := c.forming[key]; f != nil && e.state != "" && !f.bucket.After(e.bucket) {
			delete(c.forming, key)
		}
	}
	if len(c.durable) > c.hub.cfg.MaxPending || c.bytes > maxPendingBytes {
		c.err = ErrSlow
		c.durable, c.ticks, c.forming, c.order = nil, nil, nil, nil
		if c.sub.Dropped != nil {
			c.sub.Dropped()
		}
		c.poke()
		return
	}
	if c.sub.Kinds&Candles != 0 {
		c.each(u, func(s *symbolUpdate) {
			for _, e := range s.forming {
				if c.sub.follows(e.timeframe) {
					key := barKey{e.symbol, e.timeframe}
					if c.forming[key] == nil {
						c.order = append(c.order, key)
					}
					c.forming[key] = e
				}
			}
		})
	}
	if c.sub.Kinds&Ticks != 0 {
		c.takeTicks(u)
	}
	if len(c.durable)+len(c.ticks)+len(c.forming) > 0 {
		c.poke()
	}
}

func (c *Client) takeTicks(u *update) {
	if len(u.ticks) == 0 {
		return
	}
	n := len(c.ticks)
	c.each(u, func(s *symbolUpdate) { n += len(s.ticks) })
	if n <= maxTicks {
		c.each(u, func(s *symbolUpdate) { c.ticks = append(c.ticks, s.ticks...) })
		return
	}
	// Too many: of each symbol only the newest.
	newest := make(map[string]*event, len(c.ticks))
	for _, e := range c.ticks {
		newest[e.symbol] = e
	}
	kept := c.ticks[:0]
	for _, e := range c.ticks {
		if newest[e.symbol] == e {
			if s := u.symbols[e.symbol]; s == nil || len(s.ticks) == 0 {
				kept = append(kept, e)
			}
		}
	}
	c.ticks = kept
	c.each(u, func(s *symbolUpdate) {
		if k := len(s.ticks); k > 0 {
			c.ticks = append(c.ticks, s.ticks[k-1])
		}
	})
}

// each calls f for the updates of the client's symbols.
func (c *Client) each(u *update, f func(*symbolUpdate)) {
	if c.sub.Symbols == nil {
		for _, s := range u.list {
			f(s)
		}
		return
	}
	for _, name := range c.sub.Symbols {
		if s := u.symbols[name]; s != nil {
			f(s)
		}
	}
}

func (c *Client) takeStatus(e *event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub.Kinds&Status != 0 && c.err == nil {
		c.status = e
		c.poke()
	}
}

// Next waits for events and returns them encoded. The result is valid until the
// next call; it is a comment if there was no event within idle. The error is why
// the stream has ended.
func (c *Client) Next(ctx context.Context, idle time.Duration) ([]byte, error) {
	timer := time.NewTimer(idle)
	defer timer.Stop()
	for {
		out, replay, err := c.drain()
		if err != nil || len(out) > 0 {
			return out, err
		}
		if replay {
			if out, err = c.replay(ctx); err != nil || len(out) > 0 {
				return out, err
			}
			continue
		}
		select {
		case <-c.signal:
		case <-timer.C:
			return []byte(":\n\n"), nil
		case <-c.hub.stopped:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("stream: %w", ctx.Err())
		}
	}
}

// drain returns the waiting events: durable ones first, so that no id is older than
// one that was sent before.
func (c *Client) drain() (out []byte, replay bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return nil, false, c.err
	}
	c.out = c.out[:0]
	if c.status != nil {
		c.out = append(c.out, c.status.body...)
		c.status = nil
	}
	if c.resume && !c.replayed {
		return c.out, len(c.out) == 0 && c.attached, nil
	}
	for _, e := range c.durable {
		c.out = append(append(c.out, e.id...), e.body...)
	}
	for _, e := range c.ticks {
		c.out = append(append(c.out, c.at...), e.body...)
	}
	for _, key := range c.order {
		if e := c.forming[key]; e != nil {
			c.out = append(append(c.out, c.at...), e.body...)
			delete(c.forming, key)
		}
	}
	clear(c.durable)
	clear(c.ticks)
	c.durable, c.bytes, c.ticks, c.order = c.durable[:0], 0, c.ticks[:0], c.order[:0]
	return c.out, false, nil
}

// replay reads the events that a client that resumes has missed.
func (c *Client) replay(ctx context.Context) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, replayTimeout)
	defer cancel()
	out, err := c.hub.replay(ctx, &c.sub, c.from, c.start, c.badID)
	if err != nil {
		return nil, fmt.Errorf("replay: %w", err)
	}
	c.mu.Lock()
	c.replayed = true
	c.mu.Unlock()
	return out, nil
}

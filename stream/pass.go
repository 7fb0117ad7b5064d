package stream

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
)

const (
	passTimeout = 15 * time.Second
	// maxRows bounds the bars and revisions of a pass and of a replay; more than
	// that are sent as a reset.
	maxRows = 20_000
	// maxFeedTicks bounds the ticks read of one feed in a pass.
	maxFeedTicks = 500
	// formingEvery is the minimum time between two events of a forming candle.
	formingEvery = 450 * time.Millisecond
)

type feedKey struct{ symbol, venue string }

type feed struct {
	ts      time.Time // of the newest tick
	seq     int64     // at least its highest; -1: not known
	version int64     // rises by one with each tick
	updated time.Time
}

// planned runs queries with a cached description and a new plan each time: a
// cached plan cannot exclude chunks by its parameters.
type planned struct{ pgx.Tx }

func (p planned) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return p.Tx.Exec(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func (p planned) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return p.Tx.Query(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

func (p planned) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	return p.Tx.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeCacheDescribe}, args...)...)
}

// read runs f on one snapshot of the database. Positions and ticks change in one
// transaction, so they agree in one snapshot; and in one snapshot the planner uses
// the watermark of a continuous aggregate that belongs to the rows.
func (h *Hub) read(ctx context.Context, f func(*db.Queries) error) error {
	tx, err := h.cfg.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(done)
	}()
	return f(db.New(planned{tx}))
}

// pass polls the database once.
func (h *Hub) pass(ctx context.Context) (*update, error) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	p := &pass{
		h: h, w: h.snapshotWants(), update: &update{read: true},
		feeds: map[feedKey]feed{}, heads: map[string]time.Time{}, load: map[barKey]time.Time{}, late: map[string]bool{},
	}
	p.timeframes = p.w.timeframes()
	if h.cfg.Now != nil {
		p.now = h.cfg.Now().UTC() // before the snapshot, which includes all commits up to then
	}
	if err := h.read(ctx, func(q *db.Queries) error { p.q = q; return p.run(ctx) }); err != nil {
		return nil, err
	}
	return p.update, nil
}

// pass is the state of one pass. It changes the hub only after all has been read,
// except for the bars, which are dropped after an error.
type pass struct {
	h      *Hub
	q      *db.Queries
	w      wants
	update *update
	now    time.Time
	feeds  map[feedKey]feed
	heads  map[string]time.Time
	load   map[barKey]time.Time // forming bars to read, by start

	timeframes   []timeframe
	materialized []string
	// late is the symbols that have ticks in bars that closed before their minute did.
	late map[string]bool
}

func (p *pass) run(ctx context.Context) error {
	h := p.h
	head, err := p.q.StreamPosition(ctx)
	if err != nil {
		return fmt.Errorf("read stream position: %w", err)
	}
	if p.now.IsZero() {
		p.now = head.Now.UTC()
	}
	p.materialized = head.Materialized
	moved, err := p.readFeeds(ctx)
	if err != nil {
		return err
	}
	p.update.start = h.at
	upto := h.progress.upto(p.now, p.newest(), h.cfg.Grace).Truncate(time.Second)
	if !h.ready {
		change, err := p.q.LastAlertChange(ctx)
		if err != nil {
			return fmt.Errorf("read last change id: %w", err)
		}
		p.update.start = whole(upto, head.Revision, change)
	} else if upto.Before(h.at.upto) {
		upto = h.at.upto
	}
	p.update.at = whole(upto, max(head.Revision, p.update.start.revision), p.update.start.change)
	if h.ready {
		if err := p.alerts(ctx, head.Changes); err != nil {
			return err
		}
		if err := p.revise(ctx); err != nil {
			return err
		}
		if err := p.readTicks(ctx, moved); err != nil {
			return err
		}
		if err := p.reviseShort(ctx); err != nil {
			return err
		}
		if err := p.close(ctx); err != nil {
			return err
		}
		p.changedSources()
		if err := p.form(ctx); err != nil {
			return err
		}
	}
	if err := p.status(ctx, head.Records); err != nil {
		return err
	}
	h.feeds, h.heads, h.materialized = p.feeds, p.heads, p.materialized
	h.show(p.update)
	return nil
}

// readFeeds returns the feeds whose position has changed.
func (p *pass) readFeeds(ctx context.Context) ([]feedKey, error) {
	rows, err := p.q.StreamFeeds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read feeds: %w", err)
	}
	var moved []feedKey
	for _, r := range rows {
		k, f := feedKey{r.Symbol, r.Venue}, feed{r.LastTs.UTC(), r.TopSeq, r.Version, r.UpdatedAt.UTC()}
		p.feeds[k] = f
		if f.ts.After(p.heads[k.symbol]) {
			p.heads[k.symbol] = f.ts
		}
		if old, ok := p.h.feeds[k]; f.version != old.version || !ok {
			moved = append(moved, k)
		}
	}
	slices.SortFunc(moved, func(a, b feedKey) int {
		return cmp.Or(strings.Compare(a.symbol, b.symbol), strings.Compare(a.venue, b.venue))
	})
	return moved, nil
}

func (p *pass) newest() time.Time {
	var t time.Time
	for _, head := range p.heads {
		if head.After(t) {
			t = head
		}
	}
	return t
}

// readTicks reads the new ticks and adds them to the forming bars.
func (p *pass) readTicks(ctx context.Context, moved []feedKey) error {
	arg := db.StreamTicksParams{MaxRows: maxFeedTicks}
	missing := map[feedKey]int64{}
	for _, k := range moved {
		if !p.w.symbol(k.symbol) {
			continue
		}
		f, old := p.feeds[k], p.h.feeds[k]
		if old.ts.IsZero() {
			old.ts, old.seq = f.ts.Add(-time.Minute), -1 // a feed that is new
		}
		arg.Symbols, arg.Venues = append(arg.Symbols, k.symbol), append(arg.Venues, k.venue)
		arg.FromTss, arg.ToTss = append(arg.FromTss, old.ts), append(arg.ToTss, f.ts)
		arg.AfterSeqs = append(arg.AfterSeqs, old.seq)
		if arg.Oldest.IsZero() || old.ts.Before(arg.Oldest) {
			arg.Oldest = old.ts
		}
		if f.ts.After(arg.Newest) {
			arg.Newest = f.ts
		}
		missing[k] = f.version - old.version
	}
	if len(arg.Symbols) == 0 {
		return nil
	}
	rows, err := p.q.StreamTicks(ctx, arg)
	if err != nil {
		return fmt.Errorf("read ticks: %w", err)
	}
	slices.SortStableFunc(rows, func(a, b db.StreamTicksRow) int {
		return cmp.Or(a.Ts.Compare(b.Ts), cmp.Compare(a.Seq, b.Seq), strings.Compare(a.Venue, b.Venue))
	})
	for _, r := range rows {
		missing[feedKey{r.Symbol, r.Venue}]--
	}
	// Not all ticks of the feed were read: some are older than what was read before,
	// or there are too many. So its bars are read from the database.
	for k, n := range missing {
		if n != 0 {
			p.reload(k.symbol)
			p.late[k.symbol] = true
		}
	}
	for _, r := range rows {
		t := tick{r.Symbol, r.Venue, r.Ts.UTC(), r.Price, r.Size, r.Seq, r.Side, r.Flags}
		if p.w.ticks.has(t.symbol) {
			p.update.ticks = append(p.update.ticks, tickEvent(t))
		}
		for _, tf := range p.timeframes {
			if p.w.candlesOf(tf, t.symbol) {
				p.add(t, tf)
			}
		}
	}
	return nil
}

// add adds a tick to the forming bar of its timeframe.
func (p *pass) add(t tick, tf timeframe) {
	key, bucket := barKey{t.symbol, tf}, tf.Start(t.ts)
	if end := tf.End(bucket); !end.After(p.update.at.upto) { // closed
		if tf.short() && !end.After(p.update.start.upto) {
			p.late[t.symbol] = true
		}
		return
	}
	if _, ok := p.load[key]; ok {
		return
	}
	b := p.h.bars[key]
	switch {
	case b != nil && b.bucket.After(bucket):
	case b != nil && b.bucket.Equal(bucket):
		if !b.add(t) {
			p.load[key] = bucket
		}
	case p.h.heads[t.symbol].Before(bucket):
		// The bar had no tick before this pass.
		p.h.bars[key] = newBar(t, tf)
	default:
		p.load[key] = bucket
	}
}

// reload makes the pass read the forming bars of a symbol from the database.
func (p *pass) reload(symbol string) {
	for _, tf := range p.timeframes {
		bucket := tf.Start(p.heads[symbol])
		if p.w.candlesOf(tf, symbol) && tf.End(bucket).After(p.update.at.upto) {
			p.load[barKey{symbol, tf}] = bucket
		}
	}
}

// form reads the forming bars that cannot be updated from ticks, and sends those
// that have changed.
func (p *pass) form(ctx context.Context) error {
	h := p.h
	if len(p.load) > 0 {
		var ask barQuery
		shown := map[barKey]time.Time{}
		for key, bucket := range p.load {
			ask.add(key.symbol, key.timeframe, bucket, key.End(bucket))
			if b := h.bars[key]; b.seen() {
				shown[key] = b.bucket
			}
			delete(h.bars, key)
		}
		rows, err := ask.forming(ctx, p.q)
		if err != nil {
			return fmt.Errorf("read forming bars: %w", err)
		}
		for _, r := range rows {
			h.bars[barKey{r.Symbol, r.timeframe}] = readBar(r, p.heads[r.Symbol])
		}
		// The ticks of a bar may have been cancelled, all of them or those that count.
		for key, bucket := range shown {
			if !h.bars[key].seen() && bucket.Equal(p.load[key]) {
				p.update.forming = append(p.update.forming, vanishedEvent(key.symbol, key.timeframe, bucket))
			}
		}
	}
	send := !sameMinute(p.update.start.upto, p.update.at.upto) || time.Since(h.formedAt) >= formingEvery
	if !send {
		return nil
	}
	h.formedAt = time.Now()
	for key, b := range h.bars {
		if !key.End(b.bucket).After(p.update.at.upto) || !p.w.candlesOf(key.timeframe, key.symbol) {
			delete(h.bars, key)
		} else if b.changed {
			b.changed = false
			if b.seen() {
				p.update.forming = append(p.update.forming, formingEvent(key.symbol, key.timeframe, b))
			}
		}
	}
	return nil
}

package stream

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/hypertick/hypertick/db"
)

const (
	passTimeout = 15 * time.Second
	// maxRows bounds the bars and revisions of a pass and of a replay; what is
	// more is told as a reset.
	maxRows = 20_000
	// maxFeedTicks bounds the ticks read of one feed in a pass.
	maxFeedTicks = 500
	// formingEvery is how often a forming candle is sent at most.
	formingEvery = 450 * time.Millisecond
)

type feedKey struct{ symbol, venue string }

type feed struct {
	seq     int64
	ts      time.Time
	updated time.Time
}

// planned runs queries with their description cached but planned anew: a
// cached plan cannot know which chunks its parameters leave.
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

// read runs f on one snapshot of the database. Positions and ticks change in
// one transaction, so in one snapshot they agree; and only so does the planner
// see the same watermark of a continuous aggregate as the rows.
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

// pass reads what is new.
func (h *Hub) pass(ctx context.Context) (*beat, error) {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	p := &pass{h: h, w: h.snapshotWants(), b: &beat{read: true}, feeds: map[feedKey]feed{}, heads: map[string]time.Time{}, load: map[barKey]time.Time{}}
	if h.cfg.Now != nil {
		p.now = h.cfg.Now().UTC() // before the snapshot is taken: it has all up to then
	}
	if err := h.read(ctx, func(q *db.Queries) error { p.q = q; return p.run(ctx) }); err != nil {
		return nil, err
	}
	return p.b, nil
}

// pass is the state of one pass. Nothing of it reaches the hub unless all of
// it has been read, except the bars, which are dropped after an error.
type pass struct {
	h     *Hub
	q     *db.Queries
	w     wants
	b     *beat
	now   time.Time
	feeds map[feedKey]feed
	heads map[string]time.Time
	load  map[barKey]time.Time // forming bars to read, by start
}

func (p *pass) run(ctx context.Context) error {
	h := p.h
	head, err := p.q.StreamHead(ctx)
	if err != nil {
		return fmt.Errorf("read head: %w", err)
	}
	if p.now.IsZero() {
		p.now = head.Now.UTC()
	}
	moved, err := p.readFeeds(ctx)
	if err != nil {
		return err
	}
	p.b.start = h.at
	upto := h.progress.upto(p.now, p.newest(), h.cfg.Grace).Truncate(time.Minute)
	if !h.ready {
		change, err := p.q.StreamAlertHead(ctx)
		if err != nil {
			return fmt.Errorf("read head of alerts: %w", err)
		}
		p.b.start = whole(upto, head.Revision, change)
	} else if upto.Before(h.at.upto) {
		upto = h.at.upto
	}
	p.b.at = whole(upto, max(head.Revision, p.b.start.revision), p.b.start.change)
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
		if err := p.close(ctx); err != nil {
			return err
		}
		if err := p.form(ctx); err != nil {
			return err
		}
	}
	if err := p.status(ctx, head.Records); err != nil {
		return err
	}
	h.feeds, h.heads = p.feeds, p.heads
	h.show(p.b)
	return nil
}

// readFeeds returns the feeds that have moved.
func (p *pass) readFeeds(ctx context.Context) ([]feedKey, error) {
	rows, err := p.q.StreamFeeds(ctx)
	if err != nil {
		return nil, fmt.Errorf("read feeds: %w", err)
	}
	var moved []feedKey
	for _, r := range rows {
		k, f := feedKey{r.Symbol, r.Venue}, feed{r.LastSeq, r.LastTs.UTC(), r.UpdatedAt.UTC()}
		p.feeds[k] = f
		if f.ts.After(p.heads[k.symbol]) {
			p.heads[k.symbol] = f.ts
		}
		if old, ok := p.h.feeds[k]; f.seq > old.seq || !ok {
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
			old.ts = f.ts.Add(-time.Minute) // a feed that is new
		}
		arg.Symbols, arg.Venues = append(arg.Symbols, k.symbol), append(arg.Venues, k.venue)
		arg.FromTss, arg.ToTss = append(arg.FromTss, old.ts), append(arg.ToTss, f.ts)
		arg.AfterSeqs, arg.LastSeqs = append(arg.AfterSeqs, old.seq), append(arg.LastSeqs, f.seq)
		if arg.Oldest.IsZero() || old.ts.Before(arg.Oldest) {
			arg.Oldest = old.ts
		}
		if f.ts.After(arg.Newest) {
			arg.Newest = f.ts
		}
		missing[k] = f.seq - old.seq
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
	// A feed that is not contiguous, that was late or too fast: its ticks are
	// not all here, so its bars come from the database.
	for k, n := range missing {
		if n != 0 {
			p.reload(k.symbol)
		}
	}
	for _, r := range rows {
		t := tick{r.Symbol, r.Venue, r.Ts.UTC(), r.Price, r.Size, r.Seq}
		if p.w.ticks.has(t.symbol) {
			p.b.ticks = append(p.b.ticks, tickEvent(t))
		}
		for level := range levels {
			if p.w.candles[level].has(t.symbol) {
				p.add(t, level)
			}
		}
	}
	return nil
}

// add adds a tick to the forming bar of its level.
func (p *pass) add(t tick, level int) {
	key, bucket := barKey{t.symbol, level}, floor(t.ts, level)
	if !bucket.Add(widths[level]).After(p.b.at.upto) {
		return // closed
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
		// Nothing was known in this bar before this pass.
		p.h.bars[key] = newBar(t, level)
	default:
		p.load[key] = bucket
	}
}

// reload has the forming bars of a symbol read from the database.
func (p *pass) reload(symbol string) {
	for level := range levels {
		bucket := floor(p.heads[symbol], level)
		if p.w.candles[level].has(symbol) && bucket.Add(widths[level]).After(p.b.at.upto) {
			p.load[barKey{symbol, level}] = bucket
		}
	}
}

// form reads the forming bars that could not be kept, and sends those that
// have changed.
func (p *pass) form(ctx context.Context) error {
	h := p.h
	if len(p.load) > 0 {
		arg := db.StreamBarsParams{MaxRows: math.MaxInt32}
		for key, bucket := range p.load {
			addBar(&arg, key.symbol, key.level, bucket, bucket.Add(widths[key.level]))
			delete(h.bars, key)
		}
		rows, err := p.q.StreamBars(ctx, arg)
		if err != nil {
			return fmt.Errorf("read forming bars: %w", err)
		}
		for _, r := range rows {
			level, _ := levelOf(r.Bar)
			h.bars[barKey{r.Symbol, level}] = readBar(r, p.heads[r.Symbol])
		}
	}
	send := p.b.at.upto.After(p.b.start.upto) || time.Since(h.formedAt) >= formingEvery
	if !send {
		return nil
	}
	h.formedAt = time.Now()
	for key, b := range h.bars {
		if !b.bucket.Add(widths[key.level]).After(p.b.at.upto) || !p.w.candles[key.level].has(key.symbol) {
			delete(h.bars, key)
		} else if b.changed {
			b.changed = false
			p.b.forming = append(p.b.forming, formingEvent(key.symbol, key.level, b))
		}
	}
	return nil
}

func addBar(arg *db.StreamBarsParams, symbol string, level int, from, to time.Time) {
	arg.Symbols, arg.Bars = append(arg.Symbols, symbol), append(arg.Bars, Intervals[level])
	arg.FromBuckets, arg.ToBuckets = append(arg.FromBuckets, from), append(arg.ToBuckets, to)
}

// close reports the bars that have ended since the pass before.
func (p *pass) close(ctx context.Context) error {
	events, tooMany, err := closings(ctx, p.q, p.b.start, p.b.at, func(level int) []string {
		if !p.w.candles[level].any() {
			return nil
		}
		var symbols []string
		for symbol, head := range p.heads {
			if p.w.candles[level].has(symbol) && !head.Before(floor(p.b.start.upto, level)) {
				symbols = append(symbols, symbol)
			}
		}
		return symbols
	})
	if err != nil {
		return err
	}
	if tooMany {
		events = []*event{resetEvent("", "too many candles closed at once", p.b.at)}
	}
	p.b.durable = append(p.b.durable, events...)
	return nil
}

// closings reads the bars that ended behind from and up to upto, in the order
// of the stream.
func closings(ctx context.Context, q *db.Queries, from, upto position, symbols func(level int) []string) (events []*event, tooMany bool, err error) {
	if upto.upto.Before(from.upto) {
		return nil, false, nil
	}
	var arg db.StreamBarsParams
	arg.MaxRows = maxRows + 1
	for level := range levels {
		// A bar that ends at from.upto may still be to come: see position.closed.
		first, end := floor(from.upto, level), floor(upto.upto, level)
		if first.Equal(from.upto) && from.level < levels {
			first = first.Add(-widths[level])
		}
		if !first.Before(end) {
			continue
		}
		for _, s := range symbols(level) {
			addBar(&arg, s, level, first, end)
		}
	}
	if len(arg.Symbols) == 0 {
		return nil, false, nil
	}
	rows, err := q.StreamBars(ctx, arg)
	if err != nil {
		return nil, false, fmt.Errorf("read closed bars: %w", err)
	}
	if len(rows) > maxRows {
		return nil, true, nil
	}
	for _, r := range rows {
		level, _ := levelOf(r.Bar)
		end := r.Bucket.UTC().Add(widths[level])
		if !from.closed(end, level, r.Symbol) {
			events = append(events, barEvent(r, level, closed, position{end, level, r.Symbol, upto.revision, upto.change}))
		}
	}
	slices.SortFunc(events, func(a, b *event) int {
		return cmp.Or(a.end.Compare(b.end), cmp.Compare(a.level, b.level), strings.Compare(a.symbol, b.symbol))
	})
	return events, false, nil
}

// revise reports closed bars that late ticks have changed. The forming bars
// above them are read again.
func (p *pass) revise(ctx context.Context) error {
	from := p.b.start
	from.change = p.b.at.change // alerts come before
	events, symbols, err := p.h.revisions(ctx, p.q, from, p.b.at.revision, false, func(level int, symbol string) bool {
		return p.w.candles[level].has(symbol)
	})
	if err != nil {
		return err
	}
	for _, s := range symbols {
		p.reload(s)
	}
	p.b.durable = append(p.b.durable, events...)
	return nil
}

// revisions reads the revisions behind from of bars that from has reported
// closed, and the symbols that had any.
func (h *Hub) revisions(ctx context.Context, q *db.Queries, from position, upto int64, resumed bool, want func(level int, symbol string) bool) (events []*event, symbols []string, err error) {
	if upto <= from.revision {
		return nil, nil, nil
	}
	rows, err := q.StreamRevisions(ctx, db.StreamRevisionsParams{After: from.revision, Upto: upto, MaxRows: maxRows + 1})
	if err != nil {
		return nil, nil, fmt.Errorf("read revisions: %w", err)
	}
	at := from
	at.revision = upto
	if len(rows) > maxRows {
		return []*event{resetEvent("", "too many candles revised at once", at)}, nil, nil
	}
	arg := db.StreamBarsParams{MaxRows: math.MaxInt32}
	last := map[shownKey]int64{} // of several revisions of a bar only the last counts
	touched := map[string]bool{}
	for _, r := range rows {
		touched[r.Symbol] = true
		level, ok := levelOf(r.Bar)
		if !ok {
			return nil, nil, fmt.Errorf("read revision %d: unknown interval %q", r.ID, r.Bar)
		}
		at.revision = r.ID
		if r.Whole {
			events = append(events, resetEvent(r.Symbol, "history was filled in", at))
			continue
		}
		end := r.Bucket.UTC().Add(widths[level])
		if !want(level, r.Symbol) || !from.closed(end, level, r.Symbol) {
			continue
		}
		key := shownKey{barKey{r.Symbol, level}, r.Bucket.Unix()}
		if _, again := last[key]; !again {
			addBar(&arg, r.Symbol, level, r.Bucket, end)
		}
		last[key] = r.ID
	}
	if len(arg.Symbols) > 0 {
		bars, err := q.StreamBars(ctx, arg)
		if err != nil {
			return nil, nil, fmt.Errorf("read revised bars: %w", err)
		}
		for _, r := range bars {
			level, _ := levelOf(r.Bar)
			at.revision = last[shownKey{barKey{r.Symbol, level}, r.Bucket.Unix()}]
			if e := barEvent(r, level, revised, at); !h.unchanged(e, resumed) {
				events = append(events, e)
			}
		}
	}
	slices.SortStableFunc(events, func(a, b *event) int { return cmp.Compare(a.at.revision, b.at.revision) })
	for s := range touched {
		symbols = append(symbols, s)
	}
	return events, symbols, nil
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db"
)

// errFenced means that the positions in the database are not those that this
// member expects: another member has moved them, or a commit succeeded whose
// answer was lost.
var errFenced = errors.New("positions in the database have moved")

// begin commits asynchronously: waiting for the disk takes a fifth of the time
// of a batch. A server that crashes may lose the last transactions, but it loses
// rows and offsets together, and the topic still has the records: the next batch
// is fenced, and ingest resumes from the offsets in the database.
const (
	begin           = "begin; set local synchronous_commit = off"
	beginCompressed = begin + "; set local timescaledb.enable_direct_compress_copy = on"
)

// minCompressedRows is the number of rows of a feed, on average, from which a compressed
// batch is worth it.
const minCompressedRows = 100

// begin chooses where the rows go. History that the columnstore policy would
// compress within the hour is compressed at once, for two thirds of the CPU and
// a tenth of the WAL; the policy still merges the small batches. Younger rows go
// to the row store: to find the newest tick of a symbol in many small compressed
// batches, the server sorts all of them.
func (w *writer) begin(parts []*part) string {
	age := w.in.compressAge.Load()
	if age == 0 {
		return begin
	}
	rows, newest := 0, int64(never)
	for _, p := range parts {
		rows += p.direct.rows
		if p.direct.rows > 0 {
			newest = max(newest, p.direct.newest)
		}
	}
	if rows < minCompressedRows*len(w.merged) || rows < 10*minCompressedRows || newest > w.in.cfg.Now().UnixMicro()-age {
		return begin
	}
	return beginCompressed
}

// writer commits groups of parts. Its buffers are reused.
type writer struct {
	in      *Ingester
	reader  copyReader
	bufs    [][]byte
	args    db.AdvanceIngestParams
	follow  follow
	late    db.NoteArrivalsParams
	merged  []delta
	indexOf map[*position]int
}

func newWriter(in *Ingester) *writer {
	return &writer{in: in, indexOf: make(map[*position]int)}
}

// commit stores a group of parts: rows, offsets and feed positions in one
// transaction.
func (w *writer) commit(ctx context.Context, parts []*part) error {
	w.collect(parts)
	conn, err := w.in.cfg.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer conn.Release()
	if err := w.widen(ctx, parts, w.in.queries); err != nil {
		return err
	}
	tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: w.begin(parts)})
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	// On a broken connection Rollback only closes it.
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = tx.Rollback(done)
	}()
	// Positions first: a zombie must be fenced before it copies rows.
	q := w.in.queries.WithTx(tx)
	moved, err := q.AdvanceIngest(ctx, w.args)
	if err != nil {
		return fmt.Errorf("advance positions: %w", err)
	}
	if int(moved.Offsets) != len(w.args.Partitions) || int(moved.Moved) != len(w.args.Symbols) || int(moved.Added) != len(w.args.NewSymbols) {
		return errFenced
	}
	rows, late := 0, 0
	for _, p := range parts {
		rows, late = rows+p.direct.rows, late+p.late
	}
	if err := w.copy(ctx, tx, copyTicks, rows, parts, func(p *part) []byte { return p.rows }); err != nil {
		return err
	}
	if err := w.copy(ctx, tx, copyLate, late, parts, func(p *part) []byte { return p.lateRows }); err != nil {
		return err
	}
	// After the rows: what is stored is missing in no gap.
	if err := w.follow.write(ctx, q); err != nil {
		return err
	}
	// Last, so that the clock is read shortly before the commit.
	if w.collectLate(); len(w.late.Symbols) > 0 {
		if err := q.NoteArrivals(ctx, w.late); err != nil {
			return fmt.Errorf("note late arrivals: %w", err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	return nil
}

// widen makes wide chunks for thin history, in a transaction of its own. Batches that are
// dense or recent, which is nearly all of them, ask nothing.
func (w *writer) widen(ctx context.Context, parts []*part, q *db.Queries) error {
	all := span{}
	for _, p := range parts {
		if p.direct.rows > 0 {
			rows := all.rows + p.direct.rows
			all.add(p.direct.oldest)
			all.add(p.direct.newest)
			all.rows = rows
		}
	}
	arg := db.WidenHistoryParams{Oldest: fromMicros(all.oldest), Newest: fromMicros(all.newest), Ticks: int64(all.rows)}
	if all.rows == 0 || !db.MayBeThin(arg, w.in.cfg.Now()) {
		return nil
	}
	if _, err := q.WidenHistory(ctx, arg); err != nil {
		return fmt.Errorf("make chunks: %w", err)
	}
	return nil
}

// clockSkew is how far the clock of this process may be behind the database's.
const clockSkew = 3 * time.Second

// collectLate fills the arguments for ticks that arrive after their minute has
// ended: they may change closed bars. The database checks by its own clock.
func (w *writer) collectLate() {
	a := &w.late
	*a = db.NoteArrivalsParams{
		Symbols: a.Symbols[:0], Venues: a.Venues[:0], AfterSeqs: a.AfterSeqs[:0], LastSeqs: a.LastSeqs[:0],
		Oldests: a.Oldests[:0], Newests: a.Newests[:0],
	}
	minute := w.in.cfg.Now().Add(clockSkew).Truncate(time.Minute).UnixMicro()
	for i := range w.merged {
		if d := &w.merged[i]; d.oldest < minute {
			a.Symbols, a.Venues = append(a.Symbols, d.pos.symbol), append(a.Venues, d.pos.venue)
			a.AfterSeqs, a.LastSeqs = append(a.AfterSeqs, d.least-1), append(a.LastSeqs, d.most)
			a.Oldests, a.Newests = append(a.Oldests, fromMicros(d.oldest)), append(a.Newests, fromMicros(d.newest))
		}
	}
}

func (w *writer) copy(ctx context.Context, tx pgx.Tx, sql string, want int, parts []*part, rows func(*part) []byte) error {
	if want == 0 {
		return nil
	}
	w.bufs = w.bufs[:0]
	for _, p := range parts {
		if b := rows(p); len(b) > 0 {
			w.bufs = append(w.bufs, b)
		}
	}
	w.reader.reset(w.bufs...)
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, &w.reader, sql)
	if err != nil {
		return fmt.Errorf("copy rows: %w", err)
	}
	if got := tag.RowsAffected(); got != int64(want) {
		return fmt.Errorf("copy rows: the database took %d of %d", got, want)
	}
	return nil
}

// collect fills the arguments from parts, which are in the order of planning.
func (w *writer) collect(parts []*part) {
	a := &w.args
	*a = db.AdvanceIngestParams{
		Topic: w.in.cfg.Topic, Partitions: a.Partitions[:0], TopicIds: a.TopicIds[:0], ExpectedOffsets: a.ExpectedOffsets[:0], NextOffsets: a.NextOffsets[:0],
		Stored: a.Stored[:0], Duplicates: a.Duplicates[:0], Conflicts: a.Conflicts[:0], Changes: a.Changes[:0],
		DeadLetters: a.DeadLetters[:0], Behind: a.Behind[:0],
		Symbols: a.Symbols[:0], Venues: a.Venues[:0], ExpectedVersions: a.ExpectedVersions[:0], Versions: a.Versions[:0],
		Seqs: a.Seqs[:0], Tss: a.Tss[:0], Tops: a.Tops[:0], Sinces: a.Sinces[:0], Runs: a.Runs[:0],
		NewSymbols: a.NewSymbols[:0], NewVenues: a.NewVenues[:0], NewVersions: a.NewVersions[:0],
		NewSeqs: a.NewSeqs[:0], NewTss: a.NewTss[:0], NewTops: a.NewTops[:0], NewSinces: a.NewSinces[:0], NewRuns: a.NewRuns[:0],
	}
	w.merged = w.merged[:0]
	clear(w.indexOf)
	for i, p := range parts {
		// Parts of one partition are adjacent and in the order of offsets.
		if n := len(a.Partitions); i > 0 && parts[i-1].partition == p.partition {
			a.NextOffsets[n-1] = p.to
		} else {
			a.Partitions = append(a.Partitions, p.partition.id)
			a.TopicIds = append(a.TopicIds, p.partition.topicID)
			a.ExpectedOffsets = append(a.ExpectedOffsets, p.from)
			a.NextOffsets = append(a.NextOffsets, p.to)
			a.Stored, a.Duplicates = append(a.Stored, 0), append(a.Duplicates, 0)
			a.Conflicts, a.Changes = append(a.Conflicts, 0), append(a.Changes, 0)
			a.DeadLetters, a.Behind = append(a.DeadLetters, 0), append(a.Behind, 0)
		}
		n := len(a.Partitions) - 1
		a.Stored[n] += int64(p.direct.rows + p.late)
		a.Duplicates[n] += int64(p.dups)
		a.Conflicts[n] += int64(len(p.conflicts))
		a.Changes[n] += int64(len(p.changes))
		a.DeadLetters[n] += int64(len(p.dead))
		a.Behind[n] = w.in.metrics.behind(p.partition.id, p.to)
		for j := range p.deltas {
			d := &p.deltas[j]
			at, ok := 0, false
			if len(parts) > 1 {
				at, ok = w.indexOf[d.pos]
			}
			if ok {
				w.merged[at].join(d)
				continue
			}
			if len(parts) > 1 {
				w.indexOf[d.pos] = len(w.merged)
			}
			w.merged = append(w.merged, *d)
		}
	}
	for i := range w.merged {
		d := &w.merged[i]
		if d.stored {
			a.Symbols, a.Venues = append(a.Symbols, d.pos.symbol), append(a.Venues, d.pos.venue)
			a.ExpectedVersions, a.Versions = append(a.ExpectedVersions, d.expected), append(a.Versions, d.version)
			a.Seqs, a.Tss, a.Tops = append(a.Seqs, d.seq), append(a.Tss, fromMicros(d.ts)), append(a.Tops, d.top)
			a.Sinces, a.Runs = append(a.Sinces, fromMicros(d.since)), append(a.Runs, d.runs)
		} else {
			a.NewSymbols, a.NewVenues = append(a.NewSymbols, d.pos.symbol), append(a.NewVenues, d.pos.venue)
			a.NewVersions = append(a.NewVersions, d.version)
			a.NewSeqs, a.NewTss, a.NewTops = append(a.NewSeqs, d.seq), append(a.NewTss, fromMicros(d.ts)), append(a.NewTops, d.top)
			a.NewSinces, a.NewRuns = append(a.NewSinces, fromMicros(d.since)), append(a.NewRuns, d.runs)
		}
	}
	w.follow.collect(w.in.cfg.Topic, parts, w.merged)
}

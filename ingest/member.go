package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/feed"
)

const (
	// drainFor is how long a member waits for its batches in flight when
	// partitions are revoked. After that, compare-and-set fences them.
	drainFor = 5 * time.Second
	// stopFor is how long a stopping member may still write.
	stopFor = 3 * time.Second
	// maxFetch is how many bytes of a partition are fetched at once, as the
	// producer compressed them. One batch is fetched whatever its size.
	maxFetch = 1 << 20
)

// member is one member of the consumer group. One goroutine polls, decodes and
// plans; another writes the planned batches in order. When a batch is fenced,
// the batches after it are dropped and the member resumes from the offsets in
// the database.
type member struct {
	in       *Ingester
	log      *slog.Logger
	cl       *kgo.Client
	instance string // static member ID, empty for none

	mu        sync.Mutex // guards the fields that rebalance callbacks also use
	parts     map[int32]*partition
	positions *positions
	planner   planner
	decoder   *feed.Decoder
	joined    bool
	wake      context.CancelFunc // cancels the current poll

	epoch       atomic.Uint64 // incremented by each reset; batches of an older epoch are dropped
	resetNeeded atomic.Bool   // offsets and positions must be read from the database again
	renewNeeded atomic.Bool   // the topic was recreated: it is read with a new client
	limit       atomic.Int64  // records of a poll, fewer than MaxBatch while a refused one is looked for; 0: MaxBatch
	reading     trouble       // the last attempt to read from the database failed
	writing     trouble       // the last attempt to write a batch or its dead letters failed
	resets      atomic.Int64  // since the last commit
	offsetGaps  map[int32]int64
	fetchErrors map[int32]fetchFailure // by partition, until records come
	refused     map[offsetOf]error     // records that the database refuses
	suspects    map[int32]error        // partitions to be inspected
	fatal       chan error

	groupOffsets     map[int32]kgo.EpochOffset // to be committed to the group next
	groupCommittedAt time.Time

	work   chan *batch
	free   chan *batch
	flight flight
}

func newMember(in *Ingester, n int) (*member, error) {
	m := &member{
		in: in, log: in.log.With(slog.Int("worker", n)),
		parts: make(map[int32]*partition), positions: newPositions(), decoder: feed.NewDecoder(),
		offsetGaps: make(map[int32]int64), fetchErrors: make(map[int32]fetchFailure), refused: make(map[offsetOf]error), suspects: make(map[int32]error),
		groupOffsets: make(map[int32]kgo.EpochOffset), fatal: make(chan error, 1),
		// One batch is being written, one is queued, one is being planned.
		work: make(chan *batch, 1), free: make(chan *batch, 3),
	}
	m.planner.window = newWindow((cap(m.free) + 1) * in.cfg.MaxBatch)
	for range cap(m.free) {
		m.free <- new(batch)
	}
	m.instance = in.cfg.Instance
	if m.instance != "" {
		m.instance = fmt.Sprintf("%s-%d", in.cfg.Instance, n)
	}
	return m, m.connect()
}

// connect creates the client with which the member reads the topic.
func (m *member) connect() error {
	in := m.in
	opts := []kgo.Opt{
		kgo.ClientID("hypertick-ingest"),
		kgo.ConsumerGroup(in.cfg.Group),
		kgo.ConsumeTopics(in.cfg.Topic),
		kgo.BlockRebalanceOnPoll(),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(in.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, in.cfg.SessionTimeout/4)),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // offsets come from the database only
		kgo.AdjustFetchOffsetsFn(m.adjust),
		kgo.OnPartitionsAssigned(m.assigned),
		kgo.OnPartitionsRevoked(m.revoked),
		kgo.OnPartitionsLost(m.lost),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),   // without them, each would be a gap in the offsets
		kgo.FetchMaxBytes(4 << 20), // of compressed records: memory is bounded by a multiple of it
		kgo.FetchMaxPartitionBytes(maxFetch),
		kgo.WithDecompressor(in.unpacker),
		kgo.MetadataMaxAge(10 * time.Second), // new partitions are read within it
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if len(in.cfg.Hooks) > 0 {
		opts = append(opts, kgo.WithHooks(in.cfg.Hooks...))
	}
	if m.instance != "" {
		opts = append(opts, kgo.InstanceID(m.instance))
	}
	cl, err := in.cfg.Security.Client(in.cfg.Brokers, opts...)
	if err != nil {
		return fmt.Errorf("create broker client: %w", err)
	}
	m.cl = cl
	return nil
}

// leave leaves the group and closes the client.
func (m *member) leave() {
	m.cl.AllowRebalance()
	leave, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := m.cl.LeaveGroupContext(leave); err != nil {
		m.log.Debug("failed to leave the consumer group", slog.Any("error", err))
	}
	m.cl.CloseAllowingRebalance()
}

// renew reads the topic with a new client: the old one fetches by the ID of the
// topic that it knew first.
func (m *member) renew(ctx context.Context) error {
	if m.flight.wait(ctx) != nil {
		return nil // ctx has ended, and ends the loop
	}
	m.leave()
	m.mu.Lock()
	ids := slices.Collect(maps.Keys(m.parts))
	m.joined = false
	m.forget()
	clear(m.groupOffsets)
	m.mu.Unlock()
	m.drop(ids)
	m.resetNeeded.Store(false)
	return m.connect()
}

func (m *member) run(ctx context.Context) error {
	// Writes continue for a moment after ctx has ended, so that the batches in
	// flight need not be read again.
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() { time.AfterFunc(stopFor, stop) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.write(ctx, writing)
	}()
	err := m.poll(ctx)
	close(m.work)
	<-done
	unhook()
	stop()
	m.leave()
	return err
}

// poll is the loop of the polling goroutine.
func (m *member) poll(ctx context.Context) error {
	for {
		// Wait for a free batch before polling, not after: while the database
		// is behind, nothing is fetched and rebalances are not blocked.
		var b *batch
		select {
		case b = <-m.free:
		case err := <-m.fatal:
			return err
		case <-ctx.Done():
			return nil
		}
		if m.renewNeeded.Swap(false) {
			m.free <- b
			if err := m.renew(ctx); err != nil {
				return err
			}
			continue
		}
		if m.resetNeeded.Load() {
			m.free <- b
			if err := m.reset(ctx); err != nil {
				return err
			}
			continue
		}
		fetches := m.pollOnce(ctx)
		unknown, failed, gaps := m.take(b, fetches)
		m.fill(ctx, b, gaps)
		if len(failed) > 0 && !m.wait(ctx, failed) {
			m.skip(b, m.inspect(ctx, failed))
		}
		if len(unknown) > 0 {
			m.cl.AllowRebalance()
			if m.learn(ctx, unknown) != nil {
				continue // ctx has ended
			}
			m.admit(b, unknown)
		}
		if m.lookUp(ctx, b) != nil {
			continue // ctx has ended
		}
		planned := m.plan(b)
		m.cl.AllowRebalance()
		if !planned {
			b.reset()
			m.free <- b
			continue
		}
		m.flight.add()
		m.work <- b
	}
}

func (m *member) pollOnce(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	m.mu.Lock()
	m.wake = cancel
	m.mu.Unlock()
	if m.resetNeeded.Load() || m.renewNeeded.Load() || len(m.fatal) > 0 {
		cancel()
	}
	most := m.in.cfg.MaxBatch
	if n := int(m.limit.Load()); n > 0 {
		most = n
	}
	return m.cl.PollRecords(ctx, most)
}

// fetchFailure is an error of a partition, and when it came.
type fetchFailure struct {
	at  time.Time
	err error
}

// trouble is the error of the last attempt at an operation that is retried for
// as long as it fails.
type trouble struct{ err atomic.Pointer[error] }

// note notes the outcome of an attempt. That a batch is fenced is no trouble.
func (t *trouble) note(err error) {
	if err == nil || errors.Is(err, errFenced) || errors.Is(err, context.Canceled) {
		t.err.Store(nil)
		return
	}
	t.err.Store(&err)
}

func (t *trouble) last() error {
	if err := t.err.Load(); err != nil {
		return *err
	}
	return nil
}

// interrupt cancels the current poll.
func (m *member) interrupt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake != nil {
		m.wake()
	}
}

// requestReset makes the polling goroutine read offsets and positions from the
// database again.
func (m *member) requestReset() {
	m.resetNeeded.Store(true)
	m.interrupt()
}

// flight counts the batches that are planned and not yet written.
type flight struct {
	mu   sync.Mutex
	n    int
	zero chan struct{} // closed when n is 0, nil when nothing waits
}

func (f *flight) add() {
	f.mu.Lock()
	f.n++
	f.mu.Unlock()
}

func (f *flight) busy() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.n > 0
}

func (f *flight) done() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.n--; f.n == 0 && f.zero != nil {
		close(f.zero)
		f.zero = nil
	}
}

func (f *flight) wait(ctx context.Context) error {
	f.mu.Lock()
	if f.n == 0 {
		f.mu.Unlock()
		return nil
	}
	if f.zero == nil {
		f.zero = make(chan struct{})
	}
	zero := f.zero
	f.mu.Unlock()
	select {
	case <-zero:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package ingest

import (
	"context"
	"fmt"
	"log/slog"
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
)

// member is one member of the consumer group. One goroutine polls, decodes and
// plans; another writes the planned batches in order. When a batch is fenced,
// the batches after it are dropped and the member resumes from the offsets in
// the database.
type member struct {
	in  *Ingester
	log *slog.Logger
	cl  *kgo.Client

	mu        sync.Mutex // guards the fields that rebalance callbacks also use
	parts     map[int32]*partition
	positions *positions
	planner   planner
	decoder   *feed.Decoder
	joined    bool
	wake      context.CancelFunc // cancels the current poll

	epoch       atomic.Uint64 // incremented by each reset; batches of an older epoch are dropped
	resetNeeded atomic.Bool   // offsets and positions must be read from the database again
	failing     atomic.Bool   // the last attempt at a required operation failed
	resets      atomic.Int64  // since the last commit
	offsetGaps  map[int32]int64
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
		offsetGaps: make(map[int32]int64), groupOffsets: make(map[int32]kgo.EpochOffset), fatal: make(chan error, 1),
		// One batch is being written, one is queued, one is being planned.
		work: make(chan *batch, 1), free: make(chan *batch, 3),
	}
	m.planner.window = newWindow((cap(m.free) + 1) * in.cfg.MaxBatch)
	for range cap(m.free) {
		m.free <- new(batch)
	}
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
		kgo.FetchMaxPartitionBytes(1 << 20),
		kgo.FetchMaxWait(500 * time.Millisecond),
	}
	if len(in.cfg.Hooks) > 0 {
		opts = append(opts, kgo.WithHooks(in.cfg.Hooks...))
	}
	if in.cfg.Instance != "" {
		opts = append(opts, kgo.InstanceID(fmt.Sprintf("%s-%d", in.cfg.Instance, n)))
	}
	cl, err := in.cfg.Security.Client(in.cfg.Brokers, opts...)
	if err != nil {
		return nil, fmt.Errorf("create broker client: %w", err)
	}
	m.cl = cl
	return m, nil
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
	m.cl.AllowRebalance()
	leave, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if lerr := m.cl.LeaveGroupContext(leave); lerr != nil {
		m.log.Debug("failed to leave the consumer group", slog.Any("error", lerr))
	}
	m.cl.CloseAllowingRebalance()
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
		if m.resetNeeded.Load() {
			m.free <- b
			if err := m.reset(ctx); err != nil {
				return err
			}
			continue
		}
		fetches := m.pollOnce(ctx)
		unknown := m.take(b, fetches)
		if len(unknown) > 0 {
			m.cl.AllowRebalance()
			if m.learn(ctx, unknown) != nil {
				continue // ctx has ended
			}
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
	if m.resetNeeded.Load() || len(m.fatal) > 0 {
		cancel()
	}
	return m.cl.PollRecords(ctx, m.in.cfg.MaxBatch)
}

// interrupt cancels the current poll.
func (m *member) interrupt() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.wake != nil {
		m.wake()
	}
}

// fail makes run return err.
func (m *member) fail(err error) {
	select {
	case m.fatal <- err:
	default:
	}
	m.interrupt()
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

package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// DefaultDeliveryTimeout is the default of ProducerConfig.DeliveryTimeout.
const DefaultDeliveryTimeout = 30 * time.Second

// ProducerConfig configures a Producer.
type ProducerConfig struct {
	Brokers  []string // host:port of the first brokers to ask; required
	Security Security // how to connect to them
	Topic    string   // default Topic
	ClientID string   // name of this client in the broker's logs; default hypertick
	// DeliveryTimeout is how long ticks may wait without any acknowledgement
	// by the broker before the producer fails. Default DefaultDeliveryTimeout.
	DeliveryTimeout time.Duration
	// MaxBuffered is the maximum number of unacknowledged ticks; Produce blocks
	// when it is reached. Default 65,536.
	MaxBuffered int
	Log         *slog.Logger // default slog.Default()
}

// ErrProducerClosed is returned by Produce and Flush after Close.
var ErrProducerClosed = errors.New("producer is closed")

// Producer writes ticks to the topic: idempotent, acknowledged by all
// replicas, keyed by symbol with Kafka's own partitioner, compressed with zstd.
// Its methods are safe for concurrent use, but ticks of one symbol keep their
// order only if one goroutine produces them.
//
// An idempotent client retries without limit, to keep the order. Producer limits
// that: see ProducerConfig.DeliveryTimeout. After an error it cannot be used any
// more; a new one resumes from Positions.
type Producer struct {
	cfg    ProducerConfig
	client *kgo.Client
	// ctx ends when the producer has failed or was closed, with the cause.
	ctx      context.Context
	fail     context.CancelCauseFunc
	watching sync.WaitGroup

	records sync.Pool // of *kgo.Record whose Value keeps its buffer
	room    chan struct{}
	finish  func(*kgo.Record, error)

	produced, delivered, waiting atomic.Int64
	valueBytes, wireBytes        atomic.Int64
	dialErr                      atomic.Pointer[error] // of the newest attempt to connect
}

// ProducerStats counts the ticks of a Producer.
type ProducerStats struct {
	Produced   int64 // ticks accepted by Produce
	Delivered  int64 // of these, acknowledged by the broker
	Waiting    int64 // of these, neither acknowledged nor failed yet
	ValueBytes int64 // JSON bytes accepted
	WireBytes  int64 // bytes of record batches acknowledged, compressed
}

// NewProducer returns a Producer. It does not wait for the broker: EnsureTopic,
// Produce and Flush report one that is unavailable.
func NewProducer(cfg ProducerConfig) (*Producer, error) {
	if len(cfg.Brokers) == 0 {
		return nil, errors.New("producer: no broker address given")
	}
	if cfg.Topic == "" {
		cfg.Topic = Topic
	}
	if cfg.ClientID == "" {
		cfg.ClientID = "hypertick"
	}
	if cfg.DeliveryTimeout <= 0 {
		cfg.DeliveryTimeout = DefaultDeliveryTimeout
	}
	if cfg.MaxBuffered <= 0 {
		cfg.MaxBuffered = 1 << 16
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	p := &Producer{cfg: cfg, room: make(chan struct{}, 1)}
	p.ctx, p.fail = context.WithCancelCause(context.Background())
	p.records.New = func() any { return &kgo.Record{Value: make([]byte, 0, 160)} }
	p.finish = p.finished
	var err error
	p.client, err = cfg.Security.Client(cfg.Brokers,
		kgo.ClientID(cfg.ClientID),
		kgo.DefaultProduceTopicAlways(),
		kgo.DefaultProduceTopic(cfg.Topic),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerBatchCompression(kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// Long enough to fill batches at a high rate, too short to be visible in a
		// chart.
		kgo.ProducerLinger(5*time.Millisecond),
		// Produce itself blocks at MaxBuffered, where it also watches p.ctx; the
		// limit of the client must not be reached.
		kgo.MaxBufferedRecords(cfg.MaxBuffered+1<<20),
		// A broker that closes a new connection may be restarting; DeliveryTimeout
		// bounds the wait.
		kgo.AlwaysRetryEOF(),
		// A topic just created, or a broker just restarted, is noticed this soon.
		kgo.MetadataMinAge(250*time.Millisecond),
		kgo.WithHooks(producerHooks{p}),
	)
	if err != nil {
		return nil, fmt.Errorf("producer: %w", err)
	}
	p.watching.Go(p.watch)
	return p, nil
}

// Produce queues t, which must be valid. It blocks while MaxBuffered ticks wait,
// until ctx ends. It returns the first error of any earlier tick. Only a Flush
// without an error means that all ticks are acknowledged.
func (p *Producer) Produce(ctx context.Context, t *Tick) error {
	if p.waiting.Load() >= int64(p.cfg.MaxBuffered) {
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	r := p.records.Get().(*kgo.Record)
	buf := AppendJSON(r.Value[:0], t)
	n := len(buf)
	buf = append(buf, t.Symbol...) // the key shares the buffer of the value
	// Value keeps the capacity, so that the buffer can be reused.
	// Kafka has no record times before 1970; the message has the trade time.
	*r = kgo.Record{Value: buf[:n], Key: buf[n:], Timestamp: time.UnixMicro(max(t.TS, 0))}
	p.produced.Add(1)
	p.waiting.Add(1)
	p.valueBytes.Add(int64(n))
	p.client.Produce(p.ctx, r, p.finish)
	return nil
}

// finished runs once per record, in the client's goroutine.
func (p *Producer) finished(r *kgo.Record, err error) {
	if err == nil {
		p.delivered.Add(1)
	} else if p.ctx.Err() == nil {
		p.fail(p.explain(err))
	}
	p.records.Put(r)
	// At half the limit, not at one free place: waking a producer for each tick is
	// expensive.
	if p.waiting.Add(-1) == int64(p.cfg.MaxBuffered/2) {
		p.signal()
	}
}

func (p *Producer) signal() {
	select {
	case p.room <- struct{}{}:
	default:
	}
}

func (p *Producer) wait(ctx context.Context) error {
	for p.waiting.Load() > int64(p.cfg.MaxBuffered/2) {
		select {
		case <-p.room:
		case <-ctx.Done():
			return fmt.Errorf("produce: %w", ctx.Err())
		case <-p.ctx.Done():
			return context.Cause(p.ctx)
		}
	}
	p.signal() // for the next goroutine that waits
	return nil
}

// Flush waits until every tick produced so far is acknowledged, and returns the
// first error of any.
func (p *Producer) Flush(ctx context.Context) error {
	flushing, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(p.ctx, cancel)()
	err := p.client.Flush(flushing)
	if p.ctx.Err() != nil {
		return context.Cause(p.ctx)
	}
	if err != nil {
		return fmt.Errorf("flush: %w", err)
	}
	return nil
}

// Stats returns counters since NewProducer.
func (p *Producer) Stats() ProducerStats {
	return ProducerStats{
		Produced:   p.produced.Load(),
		Delivered:  p.delivered.Load(),
		Waiting:    p.waiting.Load(),
		ValueBytes: p.valueBytes.Load(),
		WireBytes:  p.wireBytes.Load(),
	}
}

// Close closes the connections. Ticks that are not acknowledged may be lost: call
// Flush before.
func (p *Producer) Close() {
	p.fail(ErrProducerClosed)
	p.client.Close()
	p.watching.Wait()
}

// watch fails the producer when ticks wait and none is acknowledged any more.
func (p *Producer) watch() {
	tick := time.NewTicker(min(max(p.cfg.DeliveryTimeout/20, 5*time.Millisecond), time.Second))
	defer tick.Stop()
	seen, since, warned := int64(0), time.Now(), false
	for {
		select {
		case <-p.ctx.Done():
			return
		case now := <-tick.C:
			switch n := p.delivered.Load(); {
			case n != seen || p.waiting.Load() == 0:
				seen, since = n, now
				if warned {
					warned = false
					p.cfg.Log.Info("broker acknowledges ticks again", slog.Any("brokers", p.cfg.Brokers))
				}
			case now.Sub(since) >= p.cfg.DeliveryTimeout:
				p.fail(p.silent())
			case !warned && now.Sub(since) >= p.cfg.DeliveryTimeout/10:
				warned = true
				p.cfg.Log.Warn("broker does not acknowledge ticks, waiting",
					slog.Any("brokers", p.cfg.Brokers), slog.Int64("waiting", p.waiting.Load()),
					slog.Duration("giving_up_after", p.cfg.DeliveryTimeout), slog.Any("error", p.lastDialErr()))
			}
		}
	}
}

func (p *Producer) lastDialErr() error {
	if err := p.dialErr.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *Producer) addr() string { return strings.Join(p.cfg.Brokers, ",") }

// silent returns the error of a broker that does not answer.
func (p *Producer) silent() error {
	hint := "is it running, and is the address right?"
	if err := p.lastDialErr(); err != nil {
		return fmt.Errorf("broker %s acknowledged nothing for %v, %d ticks wait: %s %w",
			p.addr(), p.cfg.DeliveryTimeout, p.waiting.Load(), hint, err)
	}
	return fmt.Errorf("broker %s acknowledged nothing for %v, %d ticks wait: %s",
		p.addr(), p.cfg.DeliveryTimeout, p.waiting.Load(), hint)
}

// explain adds the topic, the broker and what to do to the error of a record.
func (p *Producer) explain(err error) error {
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("topic %s does not exist on broker %s, create it first: %w", p.cfg.Topic, p.addr(), err)
	}
	return fmt.Errorf("produce to topic %s on broker %s: %w", p.cfg.Topic, p.addr(), err)
}

// producerHooks keeps the hooks of the client out of the methods of Producer.
type producerHooks struct{ p *Producer }

// OnBrokerConnect stores the error of the last attempt to connect.
func (h producerHooks) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err == nil {
		h.p.dialErr.Store(nil)
		return
	}
	h.p.dialErr.Store(&err)
}

// OnProduceBatchWritten counts the bytes sent.
func (h producerHooks) OnProduceBatchWritten(_ kgo.BrokerMetadata, _ string, _ int32, m kgo.ProduceBatchMetrics) {
	h.p.wireBytes.Add(int64(m.CompressedBytes))
}

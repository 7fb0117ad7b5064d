package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/hypertick/hypertick/feed"
)

// Limits of the disk space: at most 128 MiB a partition, some 70 million ticks in
// total. The other settings of the topics are the usual ones.
const (
	retentionBytes = 128 << 20
	segmentBytes   = 16 << 20
)

// BrokerConfig configures a Broker.
type BrokerConfig struct {
	// Dir holds the topics. Empty is a temporary directory that Close removes.
	Dir string
	// Listen is the address to serve and to advertise, by default 127.0.0.1 on a
	// free port. For 0.0.0.0 the name of the machine is advertised.
	Listen string
	// Partitions of the tick topic when it is created, by default 8.
	Partitions int32
	// Log takes the broker's warnings, by default slog.Default().
	Log *slog.Logger
}

// Broker is a Kafka broker in this process that keeps its topics on disk.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	unlock  func()
	temp    string
	once    sync.Once
}

// StartBroker starts a broker and creates the topics of the tick stream that do
// not exist. If another process has the data directory open, the error is an
// *ErrInUse.
func StartBroker(ctx context.Context, cfg BrokerConfig) (_ *Broker, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.Partitions == 0 {
		cfg.Partitions = feed.DefaultPartitions
	}
	host, port, err := splitListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	b := &Broker{unlock: func() {}}
	defer func() {
		if err != nil {
			b.release()
		}
	}()
	if cfg.Dir == "" {
		if b.temp, err = os.MkdirTemp("", "hypertick-broker-"); err != nil {
			return nil, fmt.Errorf("create a directory for the embedded broker: %w", err)
		}
		cfg.Dir = b.temp
	}
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	b.unlock = unlock
	listen := func(network, _ string) (net.Listener, error) {
		l, err := net.Listen(network, net.JoinHostPort(host, strconv.Itoa(port)))
		return advertised{l}, err
	}
	// The broker loses the state of its producers in a crash. A broker of 2.5 and
	// later accepts any first sequence from an unknown producer, so a request
	// that is retried on a new connection could overtake the one before it. An
	// older one rejects it, and the client starts a new sequence, in order.
	versions := kversion.Tip()
	versions.SetMaxKeyVersion(int16(kmsg.InitProducerID), 2)
	b.cluster, err = kfake.NewCluster(
		kfake.NumBrokers(1),
		kfake.ListenFn(listen),
		kfake.MaxVersions(versions),
		kfake.DataDir(filepath.Join(cfg.Dir, "topics")),
		kfake.BrokerConfigs(map[string]string{"log.cleaner.backoff.ms": "60000"}), // how often retention is applied
		kfake.WithLogger(brokerLog{cfg.Log}),
	)
	if err != nil {
		return nil, fmt.Errorf("start the embedded broker: %w", err)
	}
	b.addr = b.cluster.ListenAddrs()[0]
	for _, topic := range feed.TopicSpecs(feed.Topic, cfg.Partitions) {
		if b.cluster.TopicInfo(topic.Name) != nil {
			continue
		}
		topic.RetentionBytes, topic.SegmentBytes = retentionBytes, segmentBytes
		if err := b.cluster.CreateTopic(topic.Name, topic.Partitions, topic.Config()); err != nil {
			b.cluster.Close()
			return nil, fmt.Errorf("create topic %s: %w", topic.Name, err)
		}
	}
	return b, nil
}

// Addr is the address that the broker serves.
func (b *Broker) Addr() string { return b.addr }

// Close stops the broker and flushes its topics to disk.
func (b *Broker) Close() {
	b.once.Do(func() {
		b.cluster.Close()
		b.release()
	})
}

func (b *Broker) release() {
	b.unlock()
	if b.temp != "" {
		_ = os.RemoveAll(b.temp)
	}
}

// advertised is a listener with the address that is advertised to clients. For a
// listener on all addresses this is the name of the machine.
type advertised struct{ net.Listener }

func (l advertised) Addr() net.Addr {
	tcp, ok := l.Listener.Addr().(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return l.Listener.Addr()
	}
	host := "127.0.0.1"
	if name, err := os.Hostname(); err == nil {
		if _, err := net.LookupHost(name); err == nil {
			host = name
		}
	}
	return hostPort(net.JoinHostPort(host, strconv.Itoa(tcp.Port)))
}

type hostPort string

func (hostPort) Network() string  { return "tcp" }
func (a hostPort) String() string { return string(a) }

// brokerLog logs the messages of kfake.
type brokerLog struct{ log *slog.Logger }

func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError:
		l.log.Error("embedded broker: " + fmt.Sprintf(format, args...))
	case kfake.LogLevelWarn:
		l.log.Warn("embedded broker: " + fmt.Sprintf(format, args...))
	}
}

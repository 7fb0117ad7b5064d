package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Since calls take for each tick in the topic whose record is not older than from,
// and perhaps for some that are. If that is more than most records, it reads none
// and returns false. take must not keep its argument. Records that do not decode
// are skipped; a topic that does not exist has none.
func Since(ctx context.Context, brokers []string, security Security, topic string, from time.Time, most int64, take func(*Tick)) (bool, error) {
	s := newScan(security, topic, "", nil)
	s.each = take
	read, err := s.since(ctx, brokers, from, most)
	if err != nil {
		return false, fmt.Errorf("read topic %s on broker %s: %w", topic, strings.Join(brokers, ","), err)
	}
	return read, nil
}

func (s *scan) since(ctx context.Context, brokers []string, from time.Time, most int64) (bool, error) {
	first, end, err := s.bounds(ctx, brokers)
	if err != nil {
		return false, err
	}
	if ms := from.UnixMilli(); ms > 0 {
		client, err := s.security.Client(brokers)
		if err != nil {
			return false, err
		}
		listed, err := kadm.NewClient(client).ListOffsetsAfterMilli(ctx, ms, s.topic)
		client.Close()
		if err == nil {
			err = listed.Error()
		}
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) {
			return false, err
		}
		listed.Each(func(o kadm.ListedOffset) {
			if o.Offset >= 0 {
				first[o.Partition] = max(first[o.Partition], o.Offset)
			} else {
				first[o.Partition] = end[o.Partition] // nothing is that new
			}
		})
	}
	spans, n := map[int32]span{}, int64(0)
	for p, to := range end {
		if first[p] < to {
			spans[p] = span{first[p], to}
			n += to - first[p]
		}
	}
	if n > most {
		return false, nil
	}
	if len(spans) == 0 {
		return true, nil
	}
	return true, s.read(ctx, brokers, spans)
}

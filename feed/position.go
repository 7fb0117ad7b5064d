package feed

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// tailWindow is the number of newest records of a partition that Positions
	// reads first. It covers the duplicates that a producer may have sent last.
	tailWindow = 4096
	tailGrowth = 8
	// tailTimeout is the timeout for a broker that stops answering.
	tailTimeout = 30 * time.Second
)

// Positions returns the last tick, by seq, of each symbol of venue in the
// topic, so that a source can resume after it. With symbols, it reads backwards
// from the newest records until it has found these; without, it reads the whole
// topic. Records that do not decode are skipped. A topic
// that does not exist has no positions.
func Positions(ctx context.Context, brokers []string, security Security, topic, venue string, symbols ...string) (map[string]Tick, error) {
	s := newScan(security, topic, venue, symbols)
	if err := s.run(ctx, brokers); err != nil {
		return nil, fmt.Errorf("positions of %s in topic %s on broker %s: %w", venue, topic, strings.Join(brokers, ","), err)
	}
	return s.last, nil
}

// span is a range of offsets of one partition.
type span struct{ from, to int64 }

// scan is one search for positions.
type scan struct {
	security     Security
	topic, venue string
	missing      map[string]bool // the wanted symbols, true while not found; nil wants all
	last         map[string]Tick
	decoder      *Decoder
	taken        int         // records read
	each         func(*Tick) // of Since: called instead
}

func newScan(security Security, topic, venue string, symbols []string) *scan {
	s := &scan{security: security, topic: topic, venue: venue, last: map[string]Tick{}, decoder: NewDecoder()}
	if len(symbols) > 0 {
		s.missing = make(map[string]bool, len(symbols))
		for _, symbol := range symbols {
			s.missing[symbol] = true
		}
	}
	return s
}

func (s *scan) run(ctx context.Context, brokers []string) error {
	first, end, err := s.bounds(ctx, brokers)
	if err != nil {
		return err
	}
	read := make(map[int32]int64, len(end)) // the offset from which each partition has been read
	for p, to := range end {
		read[p] = to
	}
	for window := int64(tailWindow); ; window *= tailGrowth {
		next := map[int32]span{}
		for p, to := range read {
			from := max(first[p], to-window)
			if s.missing == nil {
				from = first[p]
			}
			if from < to {
				next[p] = span{from, to}
				read[p] = from
			}
		}
		if len(next) == 0 {
			return nil
		}
		if err := s.read(ctx, brokers, next); err != nil {
			return err
		}
		if s.found() {
			return nil
		}
	}
}

func (s *scan) found() bool {
	if s.missing == nil {
		return false
	}
	for _, missing := range s.missing {
		if missing {
			return false
		}
	}
	return true
}

// bounds returns the first offset of each partition and the one after the last.
func (s *scan) bounds(ctx context.Context, brokers []string) (first, end map[int32]int64, err error) {
	client, err := s.security.Client(brokers)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	admin := kadm.NewClient(client)
	offsets := func(list func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
		listed, err := list(ctx, s.topic)
		if err == nil {
			err = listed.Error()
		}
		if errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		out := map[int32]int64{}
		listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
		return out, nil
	}
	if first, err = offsets(admin.ListStartOffsets); err != nil {
		return nil, nil, err
	}
	end, err = offsets(admin.ListEndOffsets)
	return first, end, err
}

// read reads the records of the spans.
func (s *scan) read(ctx context.Context, brokers []string, spans map[int32]span) error {
	at := make(map[int32]kgo.Offset, len(spans))
	for p, sp := range spans {
		at[p] = kgo.NewOffset().At(sp.from)
	}
	client, err := s.security.Client(brokers,
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: at}),
		kgo.KeepControlRecords(), // a span may end with one
	)
	if err != nil {
		return err
	}
	defer client.Close()
	for len(spans) > 0 {
		waiting, cancel := context.WithTimeout(ctx, tailTimeout)
		fetches := client.PollFetches(waiting)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := fetches.Err(); err != nil {
			return err
		}
		fetches.EachPartition(func(ft kgo.FetchTopicPartition) {
			sp, ok := spans[ft.Partition]
			for _, r := range ft.Records {
				if ok && r.Offset < sp.to {
					s.take(r)
				}
				if ok && r.Offset >= sp.to-1 {
					ok = false
					delete(spans, ft.Partition)
					client.PauseFetchPartitions(map[string][]int32{s.topic: {ft.Partition}})
				}
			}
		})
	}
	return nil
}

func (s *scan) take(r *kgo.Record) {
	s.taken++
	var t Tick
	if s.each != nil {
		if !r.Attrs.IsControl() && s.decoder.Decode(r.Value, &t) == nil {
			s.each(&t)
		}
		return
	}
	if r.Attrs.IsControl() || s.decoder.Decode(r.Value, &t) != nil || t.Venue != s.venue {
		return
	}
	if s.missing != nil {
		if _, wanted := s.missing[t.Symbol]; !wanted {
			return
		}
		s.missing[t.Symbol] = false
	}
	if old, ok := s.last[t.Symbol]; !ok || t.Seq > old.Seq {
		s.last[t.Symbol] = t
	}
}

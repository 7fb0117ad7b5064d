package replay

import (
	"context"
	"math"

	"github.com/hypertick/hypertick/feed"
)

// compared is the most records of a topic that are compared with a file. Above
// it every tick is sent, and the database drops what it has.
const compared = 1_000_000

// Topic knows which ticks are in a topic, so that a file is not sent again. It
// reads the records from the time of the first tick on, when it is asked.
type Topic struct {
	read  func(from feed.Tick, take func(*feed.Tick)) (bool, error)
	from  int64 // what is newer has been read
	large bool  // more than is compared
	ticks map[Moment][]feed.Tick
}

// NewTopic returns a Topic.
func NewTopic(ctx context.Context, brokers []string, security feed.Security, name string) *Topic {
	return &Topic{from: math.MaxInt64, read: func(from feed.Tick, take func(*feed.Tick)) (bool, error) {
		return feed.Since(ctx, brokers, security, name, from.Time(), compared, take)
	}}
}

func (t *Topic) load(from int64) error {
	if t.large || from >= t.from {
		return nil
	}
	if t.from != math.MaxInt64 {
		from = math.MinInt64 // not once more for each file or symbol
	}
	found := map[Moment][]feed.Tick{}
	read, err := t.read(feed.Tick{TS: max(from, 0)}, func(k *feed.Tick) {
		m := Moment{k.Venue, k.Symbol, k.TS}
		found[m] = append(found[m], feed.Tick{Price: k.Price, Size: k.Size, Seq: k.Seq, Kind: k.Kind})
	})
	if err != nil {
		return err
	}
	t.from, t.large, t.ticks = from, !read, found
	if t.large {
		t.ticks = nil
	}
	return nil
}

// Complete reports whether the topic was compared: it is not too large.
func (t *Topic) Complete() bool { return !t.large }

// Sent is for Config.Sent.
func (t *Topic) Sent(k *feed.Tick) (bool, error) {
	if err := t.load(k.TS); err != nil || t.large {
		return false, err
	}
	for _, old := range t.ticks[Moment{k.Venue, k.Symbol, k.TS}] {
		if old.Seq == k.Seq && old.Price == k.Price && old.Size == k.Size && old.Kind == k.Kind {
			return true, nil
		}
	}
	return false, nil
}

// Stored is for Config.Stored.
func (t *Topic) Stored(at []Moment) (out []feed.Tick, err error) {
	from := int64(math.MaxInt64)
	for _, m := range at {
		from = min(from, m.TS)
	}
	if err := t.load(from); err != nil || t.large {
		return nil, err
	}
	for _, m := range at {
		for _, k := range t.ticks[m] {
			if k.Kind == feed.Trade {
				k.Venue, k.Symbol, k.TS = m.Venue, m.Symbol, m.TS
				out = append(out, k)
			}
		}
	}
	return out, nil
}

package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/hypertick/hypertick/deadletter"
	"github.com/hypertick/hypertick/feed"
)

// deadLetter is a record that cannot be stored, and why.
type deadLetter struct {
	record *kgo.Record
	field  string
	reason string
}

func newDeadLetter(r *kgo.Record, err error) deadLetter {
	d := deadLetter{record: r, field: "value", reason: err.Error()}
	var fe *feed.FieldError
	if errors.As(err, &fe) {
		d.field = fe.Field
	}
	return d
}

var errNoValue = &feed.FieldError{Field: "value", Want: "want a JSON object, got none (a tombstone)"}

func newTooOld(r *kgo.Record, horizon int64) deadLetter {
	return newDeadLetter(r, deadletter.TooOld(fromMicros(horizon)))
}

// conflictError is the reason to refuse a tick in conflict with a stored one.
func conflictError(other stored) error {
	return &feed.FieldError{Field: "seq", Want: fmt.Sprintf("want a tick of its own, got one of the ts and seq of a stored one with price %v and size %v",
		other.price, other.size)}
}

// publishDeadLetters publishes the dead letters of b and returns when the broker
// has acknowledged all: only then may their offsets be committed. If ingest dies
// in between they are published again, so the dead-letter topic has each at
// least once.
func (m *member) publishDeadLetters(ctx, writing context.Context, b *batch) error {
	var dead []*deadletter.DeadLetter
	for _, p := range b.parts {
		for i := range p.dead {
			dead = append(dead, deadletter.New(p.dead[i].record, p.dead[i].reason))
		}
	}
	if len(dead) == 0 {
		return nil
	}
	return m.in.retry(ctx, "publish dead letters", func(context.Context) error {
		attempt, cancel := context.WithTimeout(writing, 30*time.Second)
		defer cancel()
		var err error
		dead, err = m.in.deadLetters.Publish(attempt, dead)
		m.writing.note(err)
		return err
	})
}

package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// Outcome is how a dead letter was handled.
type Outcome string

// Outcomes, as stored in the table dead_letters_handled. A dead letter that is not
// handled has none.
const (
	Stored    Outcome = "stored"    // its tick was stored
	Known     Outcome = "known"     // a tick of its seq was already stored
	Discarded Outcome = "discarded" // marked as not needed
)

// QueueConfig configures a Queue.
type QueueConfig struct {
	Brokers  []string // host:port of the first brokers to ask
	Security feed.Security
	Topic    string // of the ticks
	// Pool of the database: as hypertick_reader to list, as hypertick_writer to
	// retry and discard. Find needs none.
	Pool *pgxpool.Pool
	Log  *slog.Logger // default slog.Default()
}

// Queue is the dead letters of a topic.
type Queue struct {
	cfg     QueueConfig
	topic   string
	topicID string // offsets count in this topic; set by identify
	decoder *feed.Decoder
}

// NewQueue returns a Queue without connecting. A Queue is not safe for concurrent
// use.
func NewQueue(cfg QueueConfig) *Queue {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Queue{cfg: cfg, topic: feed.DeadLetterTopic(cfg.Topic), decoder: feed.NewDecoder()}
}

// Topic returns the dead-letter topic.
func (q *Queue) Topic() string { return q.topic }

// Each calls do for the dead letters that f selects of those now in the topic,
// partition by partition, in the order of offsets. It stops when do returns an
// error, and returns it.
func (q *Queue) Each(ctx context.Context, f Filter, do func(*DeadLetter) error) error {
	if err := q.identify(ctx); errors.Is(err, feed.ErrNoTopic) {
		return nil
	} else if err != nil {
		return err
	}
	rows, err := db.New(q.cfg.Pool).HandledDeadLetters(ctx, db.HandledDeadLettersParams{Topic: q.topic, TopicID: q.topicID})
	if err != nil {
		return fmt.Errorf("read handled dead letters: %w", err)
	}
	handled := make(map[Position]Outcome, len(rows))
	for _, r := range rows {
		handled[Position{r.Partition, r.Offset}] = Outcome(r.How)
	}
	return q.read(ctx, &f, func(d *DeadLetter) error {
		d.Handled = handled[d.Position]
		if !f.Matches(d) {
			return nil
		}
		return do(d)
	})
}

// identify reads the ID of the topic: a topic that is recreated begins at offset 0
// again, so an offset alone does not say which dead letter was handled.
func (q *Queue) identify(ctx context.Context) error {
	client, err := q.cfg.Security.Client(q.cfg.Brokers)
	if err != nil {
		return fmt.Errorf("create broker client: %w", err)
	}
	defer client.Close()
	meta, err := feed.ReadTopicMetadata(ctx, client, q.topic)
	if err != nil {
		return fmt.Errorf("read %s: %w", q.topic, err)
	}
	q.topicID = meta.ID
	return nil
}

// ErrNotFound is returned for a position without a dead letter.
var ErrNotFound = errors.New("no dead letter at this position")

// Find reads the dead letter at a position, handled or not. The error is
// ErrNotFound if there is none.
func (q *Queue) Find(ctx context.Context, at Position) (*DeadLetter, error) {
	var found *DeadLetter
	err := q.read(ctx, &Filter{Positions: []Position{at}}, func(d *DeadLetter) error {
		if d.Position == at {
			found = d
		}
		return nil
	})
	if err == nil && found == nil {
		err = ErrNotFound
	}
	return found, err
}

// Retried counts the dead letters of a retry.
type Retried struct {
	Stored, Known int // handled
	Left          int // cannot be stored yet
}

// Retry stores the ticks of the dead letters that f selects, and marks each as
// handled in the same transaction: if it is interrupted and called again, each
// tick is stored exactly once. It calls left for each dead letter that cannot be
// stored yet: the tick is invalid, is older than the retention horizon, or a
// setting of its symbol or venue refuses it.
func (q *Queue) Retry(ctx context.Context, f Filter, left func(d *DeadLetter, why error)) (Retried, error) {
	var n Retried
	f.Handled = false
	err := q.Each(ctx, f, func(d *DeadLetter) error {
		how, why, err := q.retry(ctx, d)
		switch {
		case err != nil:
			return fmt.Errorf("store %v: %w", d.Position, err)
		case why != nil:
			n.Left++
			left(d, why)
		case how == Stored:
			n.Stored++
		case how == Known:
			n.Known++
		}
		return nil
	})
	return n, err
}

// errHandled rolls a transaction back: another process has handled the dead
// letter.
var errHandled = errors.New("handled by another process")

// retry handles one dead letter, or returns why it cannot be stored yet. Without
// outcome or reason, another process has handled it.
func (q *Queue) retry(ctx context.Context, d *DeadLetter) (how Outcome, why, err error) {
	if d.Truncated > 0 {
		return "", errors.New("the value is truncated"), nil
	}
	var t feed.Tick
	if why := q.decoder.DecodeValid(d.Value, &t, time.Now()); why != nil {
		return "", why, nil
	}
	err = db.InTx(ctx, q.cfg.Pool, q.cfg.Log, func(tx pgx.Tx) error {
		fresh, err := store(ctx, db.New(tx), &t, d.Source)
		if err != nil {
			return err
		}
		how = Known
		if fresh {
			how = Stored
		}
		noted, err := q.note(ctx, db.New(tx), d, how)
		if err == nil && !noted {
			err = errHandled
		}
		return err
	})
	if refused, ok := errors.AsType[*feed.FieldError](err); ok {
		return "", refused, nil
	}
	if errors.Is(err, errHandled) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	return how, nil, nil
}

// TooOld returns the reason of a tick that is older than the retention horizon.
func TooOld(horizon time.Time) error {
	return &feed.FieldError{Field: "ts", Want: "older than the retention horizon " + horizon.UTC().Format(time.RFC3339)}
}

// Discard marks the dead letters that f selects as handled without storing them,
// and returns their number. The topic keeps its records.
func (q *Queue) Discard(ctx context.Context, f Filter) (int, error) {
	n := 0
	f.Handled = false
	err := q.Each(ctx, f, func(d *DeadLetter) error {
		noted, err := q.note(ctx, db.New(q.cfg.Pool), d, Discarded)
		if err != nil {
			return fmt.Errorf("discard %v: %w", d.Position, err)
		}
		if noted {
			n++
		}
		return nil
	})
	return n, err
}

// note marks a dead letter as handled, and reports whether it was not before.
func (q *Queue) note(ctx context.Context, queries *db.Queries, d *DeadLetter, how Outcome) (bool, error) {
	rows, err := queries.HandleDeadLetter(ctx, db.HandleDeadLetterParams{
		Topic: q.topic, TopicID: q.topicID, Partition: d.Partition, AtOffset: d.Offset, How: string(how),
	})
	if err != nil {
		return false, fmt.Errorf("mark as %s: %w", how, err)
	}
	return rows > 0, nil
}

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

// Outcome is what became of a letter.
type Outcome string

// Outcomes, as the table dead_letters_handled has them. A letter that nobody has
// handled has none.
const (
	Stored    Outcome = "stored"    // its tick was stored
	Known     Outcome = "known"     // a tick of its seq was stored already
	Discarded Outcome = "discarded" // somebody decided that it is not needed
)

// QueueConfig says where letters are, and where it is noted what became of them.
type QueueConfig struct {
	Brokers  []string // host:port of the first brokers to ask
	Security feed.Security
	Topic    string // of the ticks
	// Pool reaches the database: as hypertick_reader to list, as hypertick_writer
	// to retry and discard. Find needs none.
	Pool *pgxpool.Pool
	Log  *slog.Logger // default slog.Default()
}

// Queue is the dead letters of a topic.
type Queue struct {
	cfg     QueueConfig
	topic   string
	decoder *feed.Decoder
}

// NewQueue makes a Queue. It connects to nothing yet. A Queue is for one
// goroutine.
func NewQueue(cfg QueueConfig) *Queue {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	return &Queue{cfg: cfg, topic: feed.DeadLetterTopic(cfg.Topic), decoder: feed.NewDecoder()}
}

// Topic is the topic of the dead letters.
func (q *Queue) Topic() string { return q.topic }

// Each calls do for the letters that f chooses and the topic holds now, partition
// by partition, in the order of their offsets. An error of do ends it.
func (q *Queue) Each(ctx context.Context, f Filter, do func(*Letter) error) error {
	rows, err := db.New(q.cfg.Pool).HandledDeadLetters(ctx, q.topic)
	if err != nil {
		return fmt.Errorf("read which dead letters are handled: %w", err)
	}
	handled := make(map[Position]Outcome, len(rows))
	for _, r := range rows {
		handled[Position{r.Partition, r.Offset}] = Outcome(r.How)
	}
	return q.read(ctx, &f, func(l *Letter) error {
		l.Handled = handled[l.Position]
		if !f.Matches(l) {
			return nil
		}
		return do(l)
	})
}

// ErrNotFound is returned where a position holds no letter.
var ErrNotFound = errors.New("no dead letter is there")

// Find reads the letter at a position, whether or not it is handled. The error is
// ErrNotFound where there is none.
func (q *Queue) Find(ctx context.Context, at Position) (*Letter, error) {
	var found *Letter
	err := q.read(ctx, &Filter{Positions: []Position{at}}, func(l *Letter) error {
		if l.Position == at {
			found = l
		}
		return nil
	})
	if err == nil && found == nil {
		err = ErrNotFound
	}
	return found, err
}

// Retried counts what a retry has done.
type Retried struct {
	Stored, Known int // letters handled
	Left          int // letters that cannot be stored yet
}

// Retry stores the ticks of the letters that f chooses, each once, and notes in
// the same transaction that the letter is handled: ended early and called again,
// it loses and doubles nothing. left is told of each letter that cannot be stored
// yet, and why: it cannot be read, is older than the retention horizon, or is
// ahead of ingest, see AheadError.
func (q *Queue) Retry(ctx context.Context, f Filter, left func(l *Letter, why error)) (Retried, error) {
	var n Retried
	f.Handled = false
	err := q.Each(ctx, f, func(l *Letter) error {
		how, why, err := q.retry(ctx, l)
		switch {
		case err != nil:
			return fmt.Errorf("store %v: %w", l.Position, err)
		case why != nil:
			n.Left++
			left(l, why)
		case how == Stored:
			n.Stored++
		case how == Known:
			n.Known++
		}
		return nil
	})
	return n, err
}

// errHandled rolls a transaction back: another process has handled the letter.
var errHandled = errors.New("handled by another process")

// retry handles one letter, or returns why it has to wait. No outcome means that
// another process has handled it meanwhile.
func (q *Queue) retry(ctx context.Context, l *Letter) (how Outcome, why, err error) {
	if l.Truncated > 0 {
		return "", errors.New("the value is truncated"), nil
	}
	var t feed.Tick
	if why := q.decoder.DecodeValid(l.Value, &t, time.Now()); why != nil {
		return "", why, nil
	}
	horizon, err := db.New(q.cfg.Pool).TickHorizon(ctx)
	if err != nil {
		return "", nil, fmt.Errorf("read retention horizon: %w", err)
	}
	if t.Time().Before(horizon) {
		return "", TooOld(horizon), nil
	}
	err = db.InTx(ctx, q.cfg.Pool, q.cfg.Log, func(tx pgx.Tx) error {
		fresh, err := store(ctx, db.New(tx), &t, l.Source)
		if err != nil {
			return err
		}
		how = Known
		if fresh {
			how = Stored
		}
		noted, err := q.note(ctx, db.New(tx), l, how)
		if err == nil && !noted {
			err = errHandled
		}
		return err
	})
	if ahead, ok := errors.AsType[*AheadError](err); ok {
		return "", ahead, nil
	}
	if errors.Is(err, errHandled) {
		return "", nil, nil
	}
	if err != nil {
		return "", nil, err
	}
	return how, nil, nil
}

// TooOld is why a tick from before the retention horizon is not stored.
func TooOld(horizon time.Time) error {
	return &feed.FieldError{Field: "ts", Want: "older than the retention horizon " + horizon.UTC().Format(time.RFC3339)}
}

// Discard notes that the letters which f chooses are not needed, and returns how
// many they were. The topic keeps its records.
func (q *Queue) Discard(ctx context.Context, f Filter) (int, error) {
	n := 0
	f.Handled = false
	err := q.Each(ctx, f, func(l *Letter) error {
		noted, err := q.note(ctx, db.New(q.cfg.Pool), l, Discarded)
		if err != nil {
			return fmt.Errorf("discard %v: %w", l.Position, err)
		}
		if noted {
			n++
		}
		return nil
	})
	return n, err
}

// note says whether it was this call that handled the letter.
func (q *Queue) note(ctx context.Context, queries *db.Queries, l *Letter, how Outcome) (bool, error) {
	rows, err := queries.HandleDeadLetter(ctx, db.HandleDeadLetterParams{Topic: q.topic, Partition: l.Partition, AtOffset: l.Offset, How: string(how)})
	if err != nil {
		return false, fmt.Errorf("note that it is %s: %w", how, err)
	}
	return rows > 0, nil
}

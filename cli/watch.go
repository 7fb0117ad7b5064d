package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"golang.org/x/term"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// watch prints live status: on a terminal one line that changes each second,
// elsewhere a new line every ten seconds.
func watch(ctx context.Context, out io.Writer, brokers []string, security feed.Security, pool *pgxpool.Pool) error {
	cl, err := security.Client(brokers)
	if err != nil {
		return fmt.Errorf("create broker client: %w", err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)

	every, format := 10*time.Second, "%s\n"
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		every, format = time.Second, "\r\x1b[K%s"
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last int64
	lastAt := time.Now()
	for first := true; ; first = false {
		if line, stored, ok := statusLine(ctx, adm, pool, last, time.Since(lastAt), first); ok {
			last, lastAt = stored, time.Now()
			fmt.Fprintf(out, format, line)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func statusLine(ctx context.Context, adm *kadm.Client, pool *pgxpool.Pool, last int64, since time.Duration, first bool) (string, int64, bool) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := db.New(pool).IngestStatus(ctx, feed.Topic)
	if err != nil {
		return "database does not answer", last, ctx.Err() == nil
	}
	ends, err := adm.ListEndOffsets(ctx, feed.Topic)
	if err != nil {
		return "broker does not answer", last, ctx.Err() == nil
	}
	var end int64
	ends.Each(func(o kadm.ListedOffset) { end += max(o.Offset, 0) })
	line := fmt.Sprintf("%s  %d symbols  %d records ingested, %d behind", time.Now().Format(time.TimeOnly), s.Symbols, s.Done, max(end-s.Done, 0))
	if !first && since > 0 {
		line += fmt.Sprintf(", %.0f/s", float64(s.Done-last)/since.Seconds())
	}
	if s.Symbols > 0 {
		line += fmt.Sprintf("  newest tick %s ago", time.Since(s.NewestTs).Round(100*time.Millisecond))
	}
	return line, s.Done, true
}

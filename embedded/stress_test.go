package embedded

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// TestStress has many clients move money between accounts while contexts are
// cancelled, connections dropped and errors raised at random. No money may be
// made or lost, and nobody may see another's answer.
func TestStress(t *testing.T) {
	const (
		clients  = 16
		accounts = 20
		opening  = 1000
		rounds   = 120
	)
	d := sharedDatabase(t)
	setup := connect(t, d, "postgres")
	run(t, setup, `create table account (id int primary key, balance bigint not null check (balance >= 0));
		create table journal (client int, n int, primary key (client, n))`)
	run(t, setup, `insert into account select i, $1 from generate_series(0, $2::int - 1) i`, opening, accounts)

	var moved, cancelled, reconnected atomic.Int64
	group, ctx := errgroup.WithContext(t.Context())
	for id := range clients {
		group.Go(func() error {
			c := &stressClient{id: id, url: d.URL("postgres"), rand: rand.New(rand.NewPCG(1, uint64(id)))}
			defer c.close()
			for n := range rounds {
				err := c.round(ctx, n, accounts)
				switch {
				case err == nil:
					moved.Add(1)
				case errors.Is(err, errStressAborted):
				case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
					if ctx.Err() != nil {
						return ctx.Err()
					}
					cancelled.Add(1)
				default:
					return fmt.Errorf("client %d, round %d: %w", id, n, err)
				}
			}
			reconnected.Add(int64(c.connects))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	if sum := value[int64](t, setup, `select sum(balance) from account`); sum != accounts*opening {
		t.Errorf("the accounts hold %d in total, want %d", sum, accounts*opening)
	}
	// A commit whose answer the client did not wait for may have happened.
	journal := value[int64](t, setup, `select count(*) from journal`)
	if journal < moved.Load() || journal > moved.Load()+cancelled.Load() {
		t.Errorf("%d transfers are recorded, %d were confirmed and %d cancelled", journal, moved.Load(), cancelled.Load())
	}
	if moved.Load() == 0 || cancelled.Load() == 0 {
		t.Errorf("%d transfers, %d cancelled: nothing was tested", moved.Load(), cancelled.Load())
	}
	t.Logf("%d transfers, %d cancelled, %d connections", moved.Load(), cancelled.Load(), reconnected.Load())
}

// errStressAborted is a round that ended as intended without a transfer.
var errStressAborted = errors.New("aborted on purpose")

type stressClient struct {
	id       int
	url      string
	rand     *rand.Rand
	conn     *pgx.Conn
	connects int
}

var stressModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

func (c *stressClient) close() {
	if c.conn != nil {
		_ = c.conn.Close(context.Background())
	}
}

// round makes one transfer, or breaks off in one of many ways.
func (c *stressClient) round(ctx context.Context, n, accounts int) error {
	if c.conn == nil || c.conn.IsClosed() {
		cfg, err := pgx.ParseConfig(c.url)
		if err != nil {
			return err
		}
		cfg.DefaultQueryExecMode = stressModes[c.rand.IntN(len(stressModes))]
		if c.conn, err = pgx.ConnectConfig(ctx, cfg); err != nil {
			return err
		}
		c.connects++
	}
	fate := c.rand.IntN(10)
	if fate == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(c.rand.IntN(20_000))*time.Microsecond)
		defer cancel()
	}
	if err := c.echo(ctx, n); err != nil {
		return err
	}
	tx, err := c.conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) //nolint:errcheck // after a commit there is nothing to roll back
	from, to, amount := c.rand.IntN(accounts), c.rand.IntN(accounts), c.rand.IntN(100)
	if _, err := tx.Exec(ctx, `update account set balance = balance - $1 where id = $2`, amount, from); err != nil {
		var pgErr *pgconn.PgError
		if errors.As(err, &pgErr) && pgErr.Code == "23514" { // not enough money
			return errStressAborted
		}
		return err
	}
	if err := c.echo(ctx, n); err != nil {
		return err
	}
	switch fate {
	case 1:
		return c.drop()
	case 2:
		_, err := tx.Exec(ctx, `select 1/0`)
		var pgErr *pgconn.PgError
		if !errors.As(err, &pgErr) || pgErr.Code != "22012" {
			return fmt.Errorf("division by zero gave %w", err)
		}
		return errStressAborted
	}
	if _, err := tx.Exec(ctx, `update account set balance = balance + $1 where id = $2`, amount, to); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `insert into journal values ($1, $2)`, c.id, n); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// echo asks for what no other client asks for, in an answer of random length.
func (c *stressClient) echo(ctx context.Context, n int) error {
	want := fmt.Sprintf("client %d round %d ", c.id, n)
	times := c.rand.IntN(1000)
	rows, err := c.conn.Query(ctx, `select repeat($1::text, $2::int) from generate_series(1, 3)`, want, times)
	if err != nil {
		return err
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, s := range got {
		if s != strings.Repeat(want, times) {
			return fmt.Errorf("asked for %d times %q, got %.200q", times, want, s)
		}
	}
	if len(got) != 3 {
		return fmt.Errorf("got %d rows, want 3", len(got))
	}
	return nil
}

// drop breaks the connection with a transaction open.
func (c *stressClient) drop() error {
	if err := c.conn.PgConn().Conn().Close(); err != nil {
		return err
	}
	_ = c.conn.Close(context.Background())
	return errStressAborted
}

package indicator

import (
	"context"
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
)

// tick is a row of ticks.
type tick struct {
	at     time.Time
	symbol string
	price  float64
	size   float64
	seq    int64
}

// bar is a candle.
type bar struct {
	at                             time.Time
	open, high, low, close, volume float64
}

// insert stores ticks in one transaction.
func insert(t testing.TB, d *dbtest.DB, ticks ...tick) {
	t.Helper()
	_, err := d.Pool.CopyFrom(context.Background(), pgx.Identifier{"ticks"},
		[]string{"ts", "symbol", "price", "size", "seq", "venue"},
		pgx.CopyFromSlice(len(ticks), func(i int) ([]any, error) {
			k := ticks[i]
			return []any{k.at, k.symbol, k.price, k.size, k.seq, "TEST"}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
}

// evaluate asks the database and returns the values of each series by bucket.
func evaluate(t testing.TB, d *dbtest.DB, name, symbol, interval string, from, to time.Time, params map[string]any) map[string]map[time.Time]float64 {
	t.Helper()
	if params == nil {
		params = map[string]any{}
	}
	p, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := d.Pool.Query(context.Background(), "SELECT bucket, series, value FROM indicator.evaluate($1, $2, $3, $4, $5, $6)",
		name, symbol, interval, from, to, p)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[time.Time]float64{}
	var at time.Time
	var series string
	var value float64
	_, err = pgx.ForEachRow(rows, []any{&at, &series, &value}, func() error {
		if out[series] == nil {
			out[series] = map[time.Time]float64{}
		}
		out[series][at.UTC()] = value
		return nil
	})
	if err != nil {
		t.Fatalf("%s(%s): %v", name, p, err)
	}
	return out
}

// apart is the difference of two numbers relative to the second, but to scale
// where the second is smaller than that.
func apart(got, want, scale float64) float64 {
	if got == want {
		return 0
	}
	return math.Abs(got-want) / math.Max(math.Abs(want), scale)
}

// fewChunks is for history of four ticks a day, which needs no chunk a week.
func fewChunks(t testing.TB, d *dbtest.DB) {
	t.Helper()
	if _, err := d.Pool.Exec(t.Context(), "SELECT set_chunk_time_interval('ticks', INTERVAL '90 days')"); err != nil {
		t.Fatal(err)
	}
}

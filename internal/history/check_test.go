package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
)

// check compares what the database has of a history with what must be left of it.
func (r *rig) check(h *history) {
	r.t.Helper()
	fail := func(format string, args ...any) {
		r.t.Helper()
		r.t.Errorf("history %d (symbol %s, keyed %v): %s\n  %s", h.seed, h.symbol, h.keyed, fmt.Sprintf(format, args...), strings.Join(h.log, "\n  "))
	}
	rows, err := r.db.Pool.Query(r.ctx, `SELECT ts, price, size, seq, coalesce(side, 0) FROM ticks WHERE symbol = $1
		UNION ALL SELECT ts, price, size, seq, coalesce(side, 0) FROM late_ticks WHERE symbol = $1`, h.symbol)
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (feed.Tick, error) {
		t := feed.Tick{Symbol: h.symbol, Venue: "M"}
		var ts time.Time
		err := row.Scan(&ts, &t.Price, &t.Size, &t.Seq, &t.Side)
		t.TS = ts.UnixMicro()
		return t, err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	seen := map[feed.Tick]int{}
	for _, t := range got {
		if seen[t]++; seen[t] == 2 {
			fail("stored twice: %+v", t)
		}
		if !h.left[t] {
			fail("stored, though it was undone or never came: %+v", t)
		}
	}
	for t := range h.left {
		if seen[t] == 0 {
			fail("lost: %+v", t)
		}
	}
	if filled := r.filled(h.symbol); filled != "" {
		fail("said to be missing, and stored: %s", filled)
	}

	var left []dbtest.Tick
	for t := range h.left {
		left = append(left, dbtest.Tick{TS: t.Time(), Symbol: t.Symbol, Venue: t.Venue, Price: t.Price, Size: t.Size, Seq: t.Seq, Side: int16(t.Side)})
	}
	if ambiguous(h.left) {
		return // a kept conflict has two prices for one place in the order
	}
	for _, i := range append(dbtest.Intervals, dbtest.Interval{Name: "30s", Span: 30 * time.Second}, dbtest.Interval{Name: "4h", Span: 4 * time.Hour}) {
		want := dbtest.BruteForce(left, i.Span)
		candles := r.candles(h.symbol, i.Name)
		if len(candles) != len(want) {
			fail("%d candles of %s, want %d", len(candles), i.Name, len(want))
			continue
		}
		for n := range want {
			if !dbtest.SameCandle(candles[n], want[n]) {
				fail("candle of %s: got %+v, want %+v", i.Name, candles[n], want[n])
				break
			}
		}
		// Stored bars with blocks, and bars that are rolled up.
		if i.Name != "1m" && i.Name != "4h" {
			continue
		}
		r.checkSeries(fail, h.symbol, i.Name, "rsi", "rsi", want, rsi(want, 14))
		r.checkSeries(fail, h.symbol, i.Name, "ema", "ema", want, ema(want, 20))
	}
}

// filled lists ticks that are stored, or were until they were undone, and open
// gaps that say of them that they are missing.
func (r *rig) filled(symbol string) (list string) {
	r.t.Helper()
	if err := r.db.Pool.QueryRow(r.ctx, `SELECT coalesce(string_agg(format('seq %s of %s is in %s, %s to %s', t.seq, t.ts, g.missing, g.before_ts, g.after_ts), ', '), '')
		FROM feed_gaps g
		LEFT JOIN (SELECT symbol, venue, ts, seq FROM ticks UNION ALL SELECT symbol, venue, ts, seq FROM ticks_undone) t
		ON t.symbol = g.symbol AND t.venue = g.venue AND t.ts >= g.before_ts AND t.ts <= g.after_ts AND g.missing @> t.seq
		WHERE g.symbol = $1 AND g.closed_at IS NULL AND (t.seq IS NOT NULL OR g.before_ts > g.after_ts)`, symbol).Scan(&list); err != nil {
		r.t.Fatal(err)
	}
	return list
}

func ambiguous(ticks map[feed.Tick]bool) bool {
	seen := map[key]bool{}
	for t := range ticks {
		if seen[key{t.TS, t.Seq}] {
			return true
		}
		seen[key{t.TS, t.Seq}] = true
	}
	return false
}

func (r *rig) candles(symbol, interval string) []dbtest.Candle {
	r.t.Helper()
	rows, err := r.db.Pool.Query(r.ctx, "SELECT * FROM candles($1, $2)", symbol, interval)
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[dbtest.Candle])
	if err != nil {
		r.t.Fatal(err)
	}
	return out
}

// checkSeries compares an indicator of the database with values by bar; NaN is no
// value.
func (r *rig) checkSeries(fail func(string, ...any), symbol, interval, indicator, series string, bars []dbtest.Candle, want []float64) {
	r.t.Helper()
	rows, err := r.db.Pool.Query(r.ctx, fmt.Sprintf(`SELECT bucket, value FROM indicator.%s($1, $2, '-infinity', 'infinity', %d)
		WHERE series = $3 ORDER BY bucket`, indicator, map[string]int{"rsi": 14, "ema": 20}[indicator]), symbol, interval, series)
	if err != nil {
		r.t.Fatal(err)
	}
	type point struct {
		At    time.Time
		Value float64
	}
	got, err := pgx.CollectRows(rows, pgx.RowToStructByPos[point])
	if err != nil {
		r.t.Fatal(err)
	}
	n := 0
	for i, w := range want {
		if math.IsNaN(w) {
			continue
		}
		at, found := slices.BinarySearchFunc(got, bars[i].Bucket, func(p point, t time.Time) int { return cmp.Compare(p.At.UnixMicro(), t.UnixMicro()) })
		if !found || math.Abs(got[at].Value-w) > 1e-9*max(1, math.Abs(w)) {
			fail("%s of %s at %v: got %v of %d, want %v", indicator, interval, bars[i].Bucket, got[min(at, len(got)-1):min(at+1, len(got))], len(got), w)
			return
		}
		n++
	}
	if n != len(got) {
		fail("%d values of %s of %s, want %d", len(got), indicator, interval, n)
	}
}

// rsi is Wilder's, seeded as TA-Lib does; 0 where the price never moved.
func rsi(bars []dbtest.Candle, period int) []float64 {
	out := make([]float64, len(bars))
	var gain, loss float64
	p := float64(period)
	for i := range bars {
		out[i] = math.NaN()
		if i == 0 {
			continue
		}
		up, down := max(bars[i].Close-bars[i-1].Close, 0), max(bars[i-1].Close-bars[i].Close, 0)
		if i <= period {
			gain, loss = gain+up/p, loss+down/p
		} else {
			gain, loss = (gain*(p-1)+up)/p, (loss*(p-1)+down)/p
		}
		switch {
		case i < period:
		case gain+loss == 0:
			out[i] = 0
		default:
			out[i] = 100 * gain / (gain + loss)
		}
	}
	return out
}

// ema is seeded by the mean of the first bars, as TA-Lib does.
func ema(bars []dbtest.Candle, period int) []float64 {
	out := make([]float64, len(bars))
	alpha, sum := 2/float64(period+1), 0.0
	for i := range bars {
		out[i] = math.NaN()
		if sum += bars[i].Close; i == period-1 {
			out[i] = sum / float64(period)
		} else if i >= period {
			out[i] = out[i-1] + alpha*(bars[i].Close-out[i-1])
		}
	}
	return out
}

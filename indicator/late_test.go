package indicator

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypertick/hypertick/db/dbtest"
)

func contains(s, part string) bool { return strings.Contains(s, part) }

// walk is minutes of a symbol's ticks, one a minute.
func walk(symbol string, from time.Time, minutes int, phase float64) []tick {
	ticks := make([]tick, minutes)
	for i := range ticks {
		x := float64(i)
		ticks[i] = tick{from.Add(time.Duration(i)*time.Minute + time.Second), symbol,
			100 + 5*math.Sin(x/37+phase) + math.Sin(x*1.7+phase), 1 + float64(i%7), int64(i + 1)}
	}
	return ticks
}

// rowsOf is every row of a relation, by symbol and bucket, as text.
func rowsOf(t *testing.T, d *dbtest.DB, relation string) map[string]string {
	t.Helper()
	rows, err := d.Pool.Query(context.Background(), "SELECT symbol || ' ' || bucket, r::text FROM "+relation+" r")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	var key, row string
	if _, err := pgx.ForEachRow(rows, []any{&key, &row}, func() error { out[key] = row; return nil }); err != nil {
		t.Fatal(err)
	}
	return out
}

// A tick 20 days late changes one candle and one block, and every later value
// is what it would be had it come in time.
func TestLateTick(t *testing.T) {
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -21)
	ticks := append(walk("LATE", start, 900, 0), walk("LATE", start.AddDate(0, 0, 19), 900, 1)...)
	for i := range ticks {
		ticks[i].seq = int64(2 * (i + 1))
	}
	insert(t, d, ticks...)
	insert(t, d, walk("OTHER", start, 900, 2)...)
	d.Settle(t)
	candles, blocks := rowsOf(t, d, "candles_1m"), rowsOf(t, d, "indicator.blocks_1m")

	late := tick{ticks[500].at.Add(10 * time.Second), "LATE", 120, 3, ticks[500].seq + 1}
	insert(t, d, late)
	d.Settle(t)
	for relation, before := range map[string]map[string]string{"candles_1m": candles, "indicator.blocks_1m": blocks} {
		changed := 0
		after := rowsOf(t, d, relation)
		for key, row := range after {
			if before[key] != row {
				changed++
			}
		}
		if changed != 1 || len(after) != len(before) {
			t.Errorf("%s: %d rows changed, want 1; %d rows before, %d after", relation, changed, len(before), len(after))
		}
	}
	bars := barsOf(append(ticks, late), time.Minute)
	rsi, ema := wilder(bars, 14), exponential(bars, 200)
	// Asked from the second stretch on, the states of the first answer for it.
	from := bars[900].at
	got := evaluate(t, d, "rsi", "LATE", "1m", from, start.AddDate(0, 0, 30), nil)["rsi"]
	for i := 900; i < len(bars); i++ {
		if apart(got[bars[i].at], rsi[i], 0) > tolerance {
			t.Fatalf("rsi of bar %d: %v, want %v", i, got[bars[i].at], rsi[i])
		}
	}
	got = evaluate(t, d, "ema", "LATE", "1m", bars[501].at, start.AddDate(0, 0, 30), map[string]any{"period": 200})["ema"]
	for i := 501; i < len(bars); i++ {
		if apart(got[bars[i].at], ema[i], 0) > tolerance {
			t.Fatalf("ema of bar %d: %v, want %v", i, got[bars[i].at], ema[i])
		}
	}
}

// The screener shows what the indicators say of each symbol's last bar, whether
// it trades every minute, seldom, or only since a moment ago.
func TestLatest(t *testing.T) {
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -5)
	for symbol, n := range map[string]int{"OLD": 3000, "DAY": 430, "YOUNG": 240, "NEW": 40, "BORN": 5} {
		insert(t, d, walk(symbol, start.Add(time.Duration(3000-n)*time.Minute), n, float64(n))...)
	}
	seldom := walk("SELDOM", start, 2400, 4)
	var few []tick
	for i := 0; i < len(seldom); i += 8 {
		few = append(few, seldom[i])
	}
	insert(t, d, few...)
	rare := walk("RARE", start, 3000, 5)
	few = nil
	for i := 0; i < len(rare); i += 13 {
		few = append(few, rare[i])
	}
	insert(t, d, few...)
	d.Settle(t)

	columns := map[string][2]string{
		"sma_20": {"sma", "sma"}, "ema_12": {"ema", "ema"}, "macd": {"macd", "macd"}, "rsi_14": {"rsi", "rsi"}, "atr_14": {"atr", "atr"},
		"percent_b": {"bollinger", "percent_b"}, "zscore": {"zscore", "zscore"}, "volume_ratio": {"volume_spike", "ratio"},
	}
	others := map[string]struct {
		name   string
		period int
	}{"sma_50": {"sma", 50}, "sma_200": {"sma", 200}, "ema_26": {"ema", 26}}
	for _, interval := range []string{"1m", "5m", "15m", "1h", "1d"} {
		rows, err := d.Pool.Query(context.Background(), "SELECT * FROM indicator.latest($1)", interval)
		if err != nil {
			t.Fatal(err)
		}
		all, err := pgx.CollectRows(rows, pgx.RowToMap)
		if err != nil {
			t.Fatal(err)
		}
		// RARE and SELDOM may have stopped longer ago than the screener looks for symbols no feed reported.
		seen := map[string]bool{}
		for _, row := range all {
			symbol, at := row["symbol"].(string), row["bucket"].(time.Time)
			seen[symbol] = true
			check := func(column, name, series string, params map[string]any) {
				want, ok := evaluate(t, d, name, symbol, interval, at, at.Add(time.Second), params)[series][at.UTC()]
				got, _ := row[column].(float64)
				if (row[column] != nil) != ok {
					t.Errorf("%s %s: %s is %v, the indicator has %v (%v)", interval, symbol, column, row[column], want, ok)
				} else if apart(got, want, 1e-3) > tolerance {
					t.Errorf("%s %s: %s is %v, the indicator has %v", interval, symbol, column, got, want)
				}
			}
			for column, of := range columns {
				check(column, of[0], of[1], nil)
			}
			for column, of := range others {
				check(column, of.name, of.name, map[string]any{"period": of.period})
			}
			check("close", "sma", "sma", map[string]any{"period": 1})
			// What is no indicator, the plain way: from the candles.
			var plain struct{ change, day, trend *float64 }
			if err := d.Pool.QueryRow(context.Background(), `SELECT
				(SELECT max(close) FILTER (WHERE bucket = $3) / max(close) FILTER (WHERE bucket < $3) - 1 FROM candles($1, $2, $3::timestamptz, $3::timestamptz + INTERVAL '1 second', warmup => 1)),
				(SELECT $4::float8 / max(close) - 1 FROM candles($1, '1d', date_trunc('day', $3::timestamptz, 'UTC'), date_trunc('day', $3::timestamptz, 'UTC'), warmup => 1)),
				(SELECT sign(avg(close) FILTER (WHERE i <= 50) - avg(close)) FROM (SELECT close, row_number() OVER (ORDER BY bucket DESC) AS i
					FROM candles($1, $2, $3::timestamptz + INTERVAL '1 second', $3::timestamptz + INTERVAL '1 second', warmup => 200)) c HAVING count(*) = 200)`,
				symbol, interval, at, row["close"]).Scan(&plain.change, &plain.day, &plain.trend); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				t.Fatal(err)
			}
			for column, want := range map[string]*float64{"change": plain.change, "change_1d": plain.day, "trend": plain.trend} {
				got, ok := row[column].(float64)
				if ok != (want != nil) || ok && apart(got, *want, 1) > tolerance {
					t.Errorf("%s %s: %s is %v, the candles say %v", interval, symbol, column, row[column], deref(want))
				}
			}
		}
		for _, symbol := range []string{"OLD", "DAY", "YOUNG", "NEW", "BORN", "RARE"} {
			if !seen[symbol] {
				t.Errorf("%s: no row for %s", interval, symbol)
			}
		}
	}
}

func deref(v *float64) any {
	if v == nil {
		return nil
	}
	return *v
}

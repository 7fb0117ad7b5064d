package indicator

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
)

// reader is a pool with the rights of the reader role.
func reader(t *testing.T, d *dbtest.DB) *pgxpool.Pool {
	t.Helper()
	pool, err := db.Open(context.Background(), d.URLAs(t, "hypertick_reader"), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func failures(r *Report) (names []string) {
	for _, f := range r.Failed() {
		names = append(names, f.Check)
	}
	return names
}

// Every indicator that comes with Hypertick passes, as the reader role: over six
// years of daily bars of the S&P 500 and over minutes, with the defaults, which
// read block states, and with parameters that read warm-up bars.
func TestCheckBuiltIn(t *testing.T) {
	bars := sp500(t)
	bars = bars[len(bars)-1500:]
	d := dbtest.New(t)
	fewChunks(t, d)
	var ticks []tick
	for i, b := range bars {
		ticks = append(ticks, trades("SPX", b, int64(4*i+1))...)
	}
	start := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -6)
	insert(t, d, append(ticks, walk("WALK", start, 3700, 0)...)...)
	if _, err := d.Pool.Exec(t.Context(), `SELECT alter_job(job_id, config => config || '{"buckets_per_batch": 0}')
		FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)
	pool := reader(t, d)
	entries, err := Catalog(t.Context(), pool)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 16 {
		t.Errorf("%d indicators, want 16", len(entries))
	}
	// The bar of history with the first value, as TA-Lib and the COMMENTs have it.
	first := map[string]int{
		"sma sma": 19, "wma wma": 19, "ema ema": 11, "rsi rsi": 14, "macd signal": 33, "bollinger upper": 19, "atr atr": 14,
		"adx adx": 27, "adx plus_di": 14, "stochastic d": 17, "vwap vwap": 0, "obv obv": 0, "roc roc": 10, "volatility volatility": 20,
		"zscore zscore": 21, "volume_spike ratio": 20, "trend cross": 199,
	}
	for _, e := range entries {
		others := map[string]string{}
		for _, p := range e.Parameters {
			if p.Name == "period" {
				others["period"] = "33"
			}
		}
		if e.Name == "macd" {
			others = map[string]string{"fast": "5", "slow": "35"}
		}
		for _, cfg := range []CheckConfig{
			{Symbol: "SPX", Interval: "1d", Bars: 700},
			{Symbol: "WALK", Interval: "1m", Bars: 500, Before: 3000},
			{Symbol: "WALK", Interval: "1m", Bars: 300, Params: others},
		} {
			cfg.Name, cfg.Tolerance = e.Name, 1e-9
			r, err := Check(t.Context(), pool, cfg)
			if err != nil {
				t.Errorf("%s on %s %s: %v", e.Name, cfg.Symbol, cfg.Interval, err)
				continue
			}
			for _, f := range r.Failed() {
				t.Errorf("%s(%v) on %s %s: %s: %s", e.Name, r.Params, cfg.Symbol, cfg.Interval, f.Check, f.Detail)
			}
			if len(r.Checks) != 9 || len(r.Series) != len(e.Series) {
				t.Errorf("%s: %d checks and %d series", e.Name, len(r.Checks), len(r.Series))
			}
			if cfg.Symbol != "SPX" {
				continue
			}
			if want := len(bars) - 700; r.Bars != 700 || r.BarsBefore != want {
				t.Errorf("%s: %d bars and %d before, want 700 and %d", e.Name, r.Bars, r.BarsBefore, want)
			}
			for _, s := range r.Series {
				want, ok := first[e.Name+" "+s.Series]
				if ok && (s.FirstBar == nil || *s.FirstBar != want) {
					t.Errorf("%s %s: first value on bar %v, want %d", e.Name, s.Series, s.FirstBar, want)
				}
				if s.Values+s.Without != 700 {
					t.Errorf("%s %s: %d values and %d bars without", e.Name, s.Series, s.Values, s.Without)
				}
			}
		}
	}
}

// signature is what all indicators of these tests begin with.
const signature = `(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, period int DEFAULT 20) RETURNS SETOF indicator.point`

// Each mistake is found, by the check that is meant to, and told what to do.
func TestCheckFinds(t *testing.T) {
	d := dbtest.New(t)
	start := time.Now().UTC().Truncate(time.Hour).Add(-30 * time.Hour)
	insert(t, d, walk("A", start, 1500, 0)...)
	insert(t, d, walk("B", start, 40, 1)...)
	d.Settle(t)
	pool := reader(t, d)

	// window has the columns bucket, close, mean, n and i of bars from warmup before on.
	window := func(warmup, where, value string) string {
		return fmt.Sprintf(`SELECT bucket, 'NAME', %s FROM (
			SELECT bucket, close, avg(close) OVER w AS mean, count(*) OVER w AS n, row_number() OVER (ORDER BY bucket) AS i
			FROM public.candles(symbol, "interval", "from", "to", warmup => %s) WINDOW w AS (ORDER BY bucket ROWS period - 1 PRECEDING)) bars
			WHERE %s ORDER BY bucket`, value, warmup, where)
	}
	const whole = `n = period AND bucket >= "from"`
	for _, k := range []struct {
		name, body string
		attributes string // of the function; STABLE if none
		comment    string // after the title; @series NAME if none
		extra      string // statements afterwards
		want       []string
		says       string // in the detail or the advice of the first
	}{
		{name: "right", body: window("period - 1", whole, "mean")},
		{name: "short_window", body: window("period - 5", whole, "mean"), want: []string{"warm-up", "pieces"}, says: "read about 4 bars more"},
		{name: "partial_window", body: window("period - 5", `bucket >= "from"`, "mean"), want: []string{"warm-up", "pieces"}, says: "read about 4 bars more"},
		{name: "short_ema", body: `SELECT bucket, 'NAME', value FROM (
				SELECT bucket, indicator.ema(indicator.ema_agg(close, period) OVER (ORDER BY bucket)) AS value, row_number() OVER (ORDER BY bucket) AS i
				FROM public.candles(symbol, "interval", "from", "to", warmup => 4 * period)) x WHERE i >= period AND bucket >= "from" ORDER BY bucket`,
			want: []string{"warm-up", "pieces"}, says: "bars more before"},
		{name: "running_total", body: `SELECT bucket, 'NAME', sum(volume) OVER (ORDER BY bucket)
				FROM public.candles(symbol, "interval", "from", "to") ORDER BY bucket`,
			want: []string{"warm-up", "pieces"}, says: "it has not settled after 500 bars"},
		{name: "next_close", body: `SELECT bucket, 'NAME', next FROM (SELECT bucket, lead(close) OVER (ORDER BY bucket) AS next
				FROM public.candles(symbol, "interval", "from", "to")) x WHERE next IS NOT NULL ORDER BY bucket`,
			want: []string{"look-ahead", "pieces"}, says: "no lead()"},
		{name: "centred", body: `SELECT bucket, 'NAME', mean FROM (
				SELECT bucket, avg(close) OVER (ORDER BY bucket ROWS BETWEEN 3 PRECEDING AND 3 FOLLOWING) AS mean
				FROM public.candles(symbol, "interval", "from", "to", warmup => 3)) x WHERE bucket >= "from" ORDER BY bucket`,
			want: []string{"look-ahead", "pieces"}, says: "no FOLLOWING"},
		{name: "over_highest", body: `SELECT bucket, 'NAME', close / max(close) OVER () FROM public.candles(symbol, "interval", "from", "to") ORDER BY bucket`,
			want: []string{"look-ahead", "warm-up", "pieces"}, says: "whole range"},
		{name: "nulls", body: window("period - 1", whole, "CASE WHEN i % 3 = 0 THEN NULL ELSE mean END"),
			want: []string{"values", "warm-up", "pieces"}, says: "IS NOT NULL"},
		{name: "some_nulls", body: window("period - 1", whole, "CASE WHEN extract(minute FROM bucket) = 7 THEN NULL ELSE mean END"),
			want: []string{"values"}, says: "NULL, such as some_nulls of"},
		{name: "not_numbers", body: window("period - 1", whole, "CASE WHEN extract(minute FROM bucket) = 7 THEN 'NaN' WHEN extract(minute FROM bucket) = 9 THEN '-Infinity' ELSE mean END"),
			want: []string{"values"}, says: "NaN or infinite, such as not_numbers of"},
		{name: "nothing", body: window("period - 1", "n > period", "mean"), want: []string{"values", "series"}, says: "none in 500 bars"},
		{name: "twice", body: `SELECT bucket, 'NAME', close FROM public.candles(symbol, "interval", "from", "to"), generate_series(1, 2) ORDER BY bucket`,
			want: []string{"rows"}, says: "one row a bar and series"},
		{name: "backwards", body: window("period - 1", whole, "mean") + " DESC",
			want: []string{"rows"}, says: "ORDER BY bucket"},
		{name: "before_the_first", body: window("2 * period", "n = period", "mean"), want: []string{"rows"}, says: `bucket >= "from"`},
		{name: "half_past", body: `SELECT bucket + interval '30 seconds', 'NAME', close FROM public.candles(symbol, "interval", "from", "to") ORDER BY bucket`,
			want: []string{"rows"}, says: "at no bar"},
		{name: "timeless", body: window("period - 1", whole, "mean") + " LIMIT 0) UNION ALL SELECT NULL, 'NAME', 1 UNION ALL (SELECT bucket, 'NAME', close FROM public.candles(symbol, \"interval\", \"from\", \"to\")",
			want: []string{"rows"}, says: "without a bucket"},
		{name: "undeclared", body: `SELECT bucket, s, close FROM public.candles(symbol, "interval", "from", "to"), unnest(array['NAME', 'other']) s ORDER BY bucket`,
			want: []string{"series"}, says: "add @series lines for other"},
		{name: "never", body: window("period - 1", whole, "mean"), comment: "@series never Seen.\n@series ghost Not seen.", want: []string{"series"}, says: "never seen: ghost"},
		{name: "by_chance", body: `SELECT bucket, 'NAME', close + random() FROM public.candles(symbol, "interval", "from", "to") ORDER BY bucket`,
			want: []string{"repeat", "look-ahead", "warm-up", "pieces"}, says: "random()"},
		{name: "breaks", body: `SELECT bucket, 'NAME', 1 / (extract(minute FROM bucket) - 7) FROM public.candles(symbol, "interval", "from", "to") ORDER BY bucket`,
			want: []string{"runs"}, says: "division by zero"},
		{name: "breaks_on_nothing", attributes: "LANGUAGE plpgsql STABLE", body: `DECLARE n int; BEGIN
				SELECT 1 / count(*) INTO n FROM public.candles(symbol, "interval", "from", "to");
				RETURN QUERY SELECT c.bucket, 'NAME', c.close FROM public.candles(symbol, "interval", "from", "to") c ORDER BY c.bucket; END`,
			want: []string{"runs"}, says: "division by zero"},
		{name: "unstable", attributes: "LANGUAGE sql VOLATILE", body: window("period - 1", whole, "mean"), want: []string{"declaration"}, says: "declare it STABLE"},
		{name: "privileged", attributes: "LANGUAGE sql STABLE SECURITY DEFINER", body: window("period - 1", whole, "mean"), want: []string{"declaration"}, says: "SECURITY DEFINER"},
		{name: "silent", comment: "none", body: window("period - 1", whole, "mean"), want: []string{"declaration"}, says: "no COMMENT"},
		{name: "overloaded", body: window("period - 1", whole, "mean"), want: []string{"declaration", "runs"}, says: "2 functions of that name",
			extra: `CREATE FUNCTION indicator.overloaded(symbol text, "interval" text, "from" timestamptz, "to" timestamptz) RETURNS SETOF indicator.point LANGUAGE sql STABLE AS 'SELECT * FROM indicator.sma(symbol, "interval", "from", "to")'`},
	} {
		attributes, comment := k.attributes, k.comment
		if attributes == "" {
			attributes = "LANGUAGE sql STABLE"
		}
		if comment == "" {
			comment = "@series NAME Seen."
		}
		statements := []string{fmt.Sprintf("CREATE FUNCTION indicator.%s%s %s AS $$ (%s) $$", k.name, signature, attributes, k.body)}
		if strings.Contains(attributes, "plpgsql") {
			statements[0] = fmt.Sprintf("CREATE FUNCTION indicator.%s%s %s AS $$ %s $$", k.name, signature, attributes, k.body)
		}
		if comment != "none" {
			statements = append(statements, fmt.Sprintf("COMMENT ON FUNCTION indicator.%s IS 'Title\nWhat it is.\n@param period 1..500 Bars.\n%s'", k.name, comment))
		}
		if k.extra != "" {
			statements = append(statements, k.extra)
		}
		for _, s := range statements {
			if _, err := d.Pool.Exec(t.Context(), strings.ReplaceAll(s, "NAME", k.name)); err != nil {
				t.Fatalf("%s: %v", k.name, err)
			}
		}
		r, err := Check(t.Context(), pool, CheckConfig{Name: k.name, Symbol: "A", Interval: "1m", Bars: 500, Tolerance: 1e-9})
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if got := failures(r); !slices.Equal(got, k.want) {
			t.Errorf("%s: failed %v, want %v\n%+v", k.name, got, k.want, r.Failed())
			continue
		}
		for i, f := range r.Failed() {
			if f.Advice == "" || i == 0 && !strings.Contains(f.Detail+"; "+f.Advice, k.says) {
				t.Errorf("%s: %s says %q and advises %q, want %q in it", k.name, f.Check, f.Detail, f.Advice, k.says)
			}
		}
		if _, err := json.Marshal(r); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
	}

	t.Run("right of the reader", func(t *testing.T) {
		if _, err := d.Pool.Exec(t.Context(), "REVOKE EXECUTE ON FUNCTION indicator.right FROM PUBLIC, hypertick_reader"); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), d.Pool, CheckConfig{Name: "right", Symbol: "A", Interval: "1m", Bars: 500, Tolerance: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Failed(); len(got) != 1 || !strings.Contains(got[0].Advice, "GRANT EXECUTE ON FUNCTION indicator.right") {
			t.Errorf("failed %+v, want a GRANT", got)
		}
	})

	t.Run("refuses", func(t *testing.T) {
		for _, k := range []struct {
			cfg  CheckConfig
			want error
			says string
		}{
			{CheckConfig{Name: "nope", Interval: "1m", Bars: 100}, ErrUnknown, `"nope"`},
			{CheckConfig{Name: "rsi'; DROP TABLE ticks; --", Interval: "1m", Bars: 100}, ErrUnknown, "DROP TABLE"},
			{CheckConfig{Name: "rsi", Interval: "1m", Bars: 100, Params: map[string]string{"length": "3"}}, ErrParameter, "length: no such parameter of rsi"},
			{CheckConfig{Name: "rsi", Interval: "1m", Bars: 100, Params: map[string]string{"period": "1"}}, ErrParameter, "period: want 2 to 500, got 1"},
			{CheckConfig{Name: "rsi", Interval: "1m", Bars: 100, Params: map[string]string{"period": "x"}}, ErrParameter, "period: want an integer"},
			{CheckConfig{Name: "rsi", Interval: "1m", Bars: 100, Symbol: "NONE"}, ErrNoBars, "NONE has 0 of 1m"},
			{CheckConfig{Name: "rsi", Interval: "1d", Bars: 100, Symbol: "A"}, ErrNoBars, "of 1d, want at least 20"},
		} {
			if _, err := Check(t.Context(), pool, k.cfg); !errors.Is(err, k.want) || !strings.Contains(err.Error(), k.says) {
				t.Errorf("%+v: %v, want %v with %q", k.cfg, err, k.want, k.says)
			}
		}
	})

	t.Run("symbol with most bars", func(t *testing.T) {
		r, err := Check(t.Context(), pool, CheckConfig{Name: "sma", Interval: "1m", Bars: 2000, Tolerance: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		if r.Symbol != "A" || r.Bars != 1500 || r.BarsBefore != 0 || len(r.Failed()) != 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "no more than 1500 bars") {
			t.Errorf("%s, %d bars, %d before, %v, notes %q", r.Symbol, r.Bars, r.BarsBefore, failures(r), r.Notes)
		}
	})

	t.Run("reads past to", func(t *testing.T) {
		if _, err := d.Pool.Exec(t.Context(), `CREATE FUNCTION indicator.sneaks`+signature+` LANGUAGE sql STABLE AS $$
			SELECT bucket, 'sneaks', next FROM (SELECT bucket, lead(close) OVER (ORDER BY bucket) AS next
				FROM public.candles(symbol, "interval", "from", 'infinity')) x WHERE bucket < "to" AND next IS NOT NULL ORDER BY bucket $$`); err != nil {
			t.Fatal(err)
		}
		r, err := Check(t.Context(), pool, CheckConfig{Name: "sneaks", Interval: "1m", Bars: 500, Tolerance: 1e-9})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Notes) == 0 || !strings.Contains(r.Notes[0], "look ahead unseen") {
			t.Errorf("notes %q, want one that it may look ahead", r.Notes)
		}
	})
}

func TestRelative(t *testing.T) {
	t.Parallel()
	for _, k := range []struct{ x, y, scale, want float64 }{
		{1, 1, 1, 0},
		{100, 101, 0, 1.0 / 101},
		{1e-12, -1e-12, 1, 2e-12},
		{1e-12, -1e-12, 0, 2},
		{0, 0, 0, 0},
		{math.NaN(), math.NaN(), 1, 0},
		{math.NaN(), 1, 1, math.MaxFloat64},
		{math.Inf(1), math.Inf(1), 1, 0},
		{math.Inf(1), math.Inf(-1), 1, math.MaxFloat64},
	} {
		if got := relative(k.x, k.y, k.scale); got != k.want {
			t.Errorf("relative(%v, %v, %v) = %v, want %v", k.x, k.y, k.scale, got, k.want)
		}
	}
}

package main

import (
	"math"
	"testing"
	"time"
)

// TestMarket: indicator.market says of each bar what the indicators say.
func TestMarket(t *testing.T) {
	m := newMarket(t)
	m.simulate(t, 3, 3*time.Hour, 1)
	for i := range 180 { // flat, but for one bar
		price := 50.0
		if i == 150 {
			price = 51
		}
		m.trade("FLAT", m.now.Truncate(time.Minute).Add(time.Duration(i-180)*time.Minute), price, 1)
	}
	m.store(t)
	m.Settle(t)
	compared := map[string]int{}
	for _, row := range m.must(t, `
		WITH span AS (SELECT now() - INTERVAL '170 minutes' AS lo, now() AS hi)
		SELECT m.symbol, m.sma_50, s.value, m.zscore, z.value, m.volume_ratio, v.value, m.change, c.close / c.before - 1, m.volume, c.volume
		FROM span, LATERAL (SELECT DISTINCT symbol FROM feed_positions) f(symbol)
		CROSS JOIN LATERAL indicator.market('1m', span.lo, span.hi, ARRAY[f.symbol]) m
		JOIN LATERAL (SELECT k.bucket, k.close, k.volume, lag(k.close) OVER (ORDER BY k.bucket) AS before FROM public.candles(m.symbol, '1m', span.lo, span.hi, warmup => 1) k) c ON c.bucket = m.bucket
		LEFT JOIN LATERAL (SELECT x.bucket, x.value FROM indicator.sma(m.symbol, '1m', m.bucket, m.bucket + INTERVAL '1 minute', 50) x) s ON true
		LEFT JOIN LATERAL (SELECT x.bucket, x.value FROM indicator.zscore(m.symbol, '1m', m.bucket, m.bucket + INTERVAL '1 minute') x) z ON true
		LEFT JOIN LATERAL (SELECT x.bucket, x.value FROM indicator.volume_spike(m.symbol, '1m', m.bucket, m.bucket + INTERVAL '1 minute') x WHERE x.series = 'ratio') v ON true
		WHERE extract(minute FROM m.bucket)::int % 5 = 0 OR f.symbol = 'FLAT'`).rows {
		for i, name := range []string{"sma_50", "zscore", "volume_ratio", "change", "volume"} {
			got, want := row[1+2*i], row[2+2*i]
			if got == nil && want == nil {
				continue
			}
			g, ok1 := got.(float64)
			w, ok2 := want.(float64)
			if !ok1 || !ok2 || math.Abs(g-w) > 1e-6*max(math.Abs(w), 1e-3) {
				t.Errorf("%s: %s is %v, want %v", row[0], name, got, want)
			}
			compared[name]++
		}
	}
	for name, n := range compared {
		if n < 50 {
			t.Errorf("only %d values of %s were compared", n, name)
		}
	}
	if len(compared) != 5 {
		t.Errorf("compared %v", compared)
	}
}

package main

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/simulate"
)

// marketSymbols are those of the demo.
func marketSymbols() []string {
	var out []string
	for _, c := range simulate.Companies(24) {
		// A symbol of one or two letters is found in any text.
		if len(c.Symbol) > 2 {
			out = append(out, c.Symbol)
		}
	}
	return out
}

// market is a database with data and Grafana's connection to it.
type market struct {
	*dbtest.DB
	reader *pgxpool.Pool
	now    time.Time
	ticks  []dbtest.Tick
	seq    int64
}

func newMarket(t testing.TB) *market {
	t.Helper()
	m := &market{DB: dbtest.New(t), now: time.Now().UTC()}
	reader, err := db.Open(t.Context(), m.URLAs(t, "hypertick_reader"), 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(reader.Close)
	m.reader = reader
	return m
}

// closed is the start of the newest minute that a refresh materialises.
func (m *market) closed() time.Time { return m.now.Truncate(time.Minute).Add(-2 * time.Minute) }

func (m *market) trade(symbol string, at time.Time, price, size float64) {
	m.seq++
	m.ticks = append(m.ticks, dbtest.Tick{TS: at, Symbol: symbol, Price: price, Size: size, Seq: m.seq, Venue: "TEST"})
}

// simulate adds what a demo of some companies would have stored since then.
func (m *market) simulate(t testing.TB, companies int, since time.Duration, rate float64) {
	t.Helper()
	done := errors.New("history is complete")
	cfg := simulate.Defaults()
	cfg.Symbols, cfg.HistoryRate, cfg.Rate = companies, rate, rate
	cfg.Late, cfg.Duplicates = 0, 0
	cfg.Start, cfg.Clock = m.now.Add(-since), func() time.Time { return m.now }
	cfg.Sleep = func(context.Context, time.Duration) error { return done }
	cfg.Log = slog.New(slog.DiscardHandler)
	s, err := simulate.New(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.Run(t.Context(), func(k *feed.Tick) error {
		m.ticks = append(m.ticks, dbtest.Tick{TS: time.UnixMicro(k.TS).UTC(), Symbol: k.Symbol, Price: k.Price, Size: k.Size, Seq: k.Seq, Venue: k.Venue})
		return nil
	}, nil)
	if !errors.Is(err, done) {
		t.Fatal(err)
	}
}

// store inserts what was gathered, and says where the feeds stand, as ingest
// would.
func (m *market) store(t testing.TB) {
	t.Helper()
	_, err := m.Pool.CopyFrom(t.Context(), pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"},
		pgx.CopyFromSlice(len(m.ticks), func(i int) ([]any, error) {
			k := m.ticks[i]
			return []any{k.TS, k.Symbol, k.Price, k.Size, k.Seq, k.Venue}, nil
		}))
	if err != nil {
		t.Fatal(err)
	}
	m.ticks = nil
	m.exec(t, `INSERT INTO feed_positions (symbol, venue, last_seq, last_ts) SELECT symbol, venue, max(seq), max(ts) FROM ticks GROUP BY symbol, venue
		ON CONFLICT (symbol, venue) DO UPDATE SET last_seq = excluded.last_seq, last_ts = excluded.last_ts`)
}

func (m *market) exec(t testing.TB, sql string, args ...any) {
	t.Helper()
	if _, err := m.Pool.Exec(t.Context(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// gap records ticks that never came.
func (m *market) gap(t testing.TB, symbol string) {
	t.Helper()
	m.exec(t, `INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts) VALUES ('SIM', $1, 10, 14, $2, $3)`,
		symbol, m.now.Add(-30*time.Minute), m.now.Add(-29*time.Minute))
}

// activity adds minutes of ingest statistics.
func (m *market) activity(t testing.TB, topic string, partition int, dead, behind int64) {
	t.Helper()
	m.exec(t, `INSERT INTO ingest_offsets (topic, partition, next_offset) VALUES ($1, $2, 1000) ON CONFLICT DO NOTHING`, topic, partition)
	m.exec(t, `INSERT INTO ingest_activity (minute, topic, partition, stored, duplicates, dead_letters, behind)
		SELECT date_trunc('minute', $1::timestamptz) - make_interval(mins => i), $2, $3, 600, 1, $4, $5 FROM generate_series(0, 20) i`,
		m.now, topic, partition, dead, behind)
}

// apiActivity adds minutes of request statistics: 60 requests of 1 to 2 ms, of which one
// was refused, and 2 that failed after half a second.
func (m *market) apiActivity(t testing.TB) {
	t.Helper()
	m.exec(t, `INSERT INTO api_activity (minute, instance, started_at, method, route, requests, client_errors, server_errors, bytes, seconds, latency)
		SELECT date_trunc('minute', $1::timestamptz) - make_interval(mins => i), 'desk-1:8080', '2026-11-24', 'GET', o.route, o.requests, o.refused, o.failed, 1000, 1, o.latency
		FROM generate_series(0, 20) i, (VALUES ('/v1/screener', 60, 1, 0, '{0,0,0,0,0,0,0,30,30}'::int[]),
			('/v1/symbols', 2, 0, 2, array_fill(0, ARRAY[24]) || 2)) o(route, requests, refused, failed, latency)`, m.now)
}

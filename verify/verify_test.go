package verify_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/internal/wait"
	"github.com/hypertick/hypertick/verify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// base is some days ago, where the blocks of every level but the longest begin.
var base = func() time.Time {
	const block = 48 * time.Hour
	origin := time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC)
	return origin.Add(time.Since(origin).Truncate(block) - 2*block)
}()

// history is some days of trades of two symbols, with pauses.
func history(days int, step time.Duration) []dbtest.Tick {
	rng := rand.New(rand.NewPCG(1, 2))
	var ticks []dbtest.Tick
	for s, symbol := range []string{"AAA", "BBB"} {
		at, price := base.Add(time.Duration(s)*time.Second), 100.0
		for seq := int64(1); at.Before(base.AddDate(0, 0, days)); seq++ {
			price = max(1, price+rng.NormFloat64())
			ticks = append(ticks, dbtest.Tick{TS: at, Symbol: symbol, Venue: "V", Price: price, Size: 1 + float64(rng.IntN(90))/10, Seq: seq})
			at = at.Add(time.Duration(rng.Int64N(int64(2 * step)))).Truncate(time.Microsecond)
		}
	}
	return ticks
}

type fixture struct {
	*dbtest.DB
	ctx context.Context
}

func newFixture(t *testing.T, days int) *fixture {
	t.Helper()
	ctx := wait.Context(t, 3*time.Minute)
	f := &fixture{DB: dbtest.New(t), ctx: ctx}
	f.Commit(t, history(days, 4*time.Minute), nil)
	f.Settle(t)
	return f
}

func (f *fixture) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	tag, err := f.Pool.Exec(f.ctx, sql, args...)
	if err != nil {
		t.Fatal(err)
	}
	if tag.RowsAffected() == 0 && !tag.Select() {
		t.Fatalf("no row changed: %s", sql)
	}
}

// stored is where TimescaleDB keeps the rows of an aggregate.
func (f *fixture) stored(t *testing.T, relation string) string {
	t.Helper()
	var name string
	if err := f.Pool.QueryRow(f.ctx, "SELECT stored FROM _hypertick.verify_levels WHERE relation = $1", relation).Scan(&name); err != nil {
		t.Fatal(err)
	}
	return name
}

// run verifies and lists the findings.
func (f *fixture) run(t *testing.T, change func(*verify.Config)) (*verify.Result, []string) {
	t.Helper()
	cfg := verify.Config{Pool: f.Pool, Log: dbtest.Log(t)}
	if change != nil {
		change(&cfg)
	}
	var found []string
	cfg.Found = func(x verify.Finding) {
		s := fmt.Sprintf("%s %s %s", x.Kind, x.Relation, x.Symbol)
		if x.Bucket != nil {
			s += fmt.Sprintf(" %s %s %s", x.Bucket.Format("01-02T15:04"), x.Stored, x.Expected)
		} else {
			s += fmt.Sprintf(" %s %d-%d", x.Venue, x.FromSeq, x.ToSeq)
		}
		if x.Repaired {
			s += " repaired"
		}
		if x.Pending {
			s += " pending"
		}
		found = append(found, strings.ReplaceAll(s, "  ", " "))
	}
	r, err := verify.Run(f.ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, found
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("found %d\n  %s\nwant\n  %s", len(got), strings.Join(got[:min(len(got), 20)], "\n  "), strings.Join(want, "\n  "))
	}
}

// TestRepair corrupts rows of every kind by hand: verify names exactly
// these, repairs them, and then finds nothing.
func TestRepair(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 3)
	r, found := f.run(t, nil)
	want(t, found)
	if !r.Clean() || r.Candles < 1000 || r.Blocks < 100 || r.Ticks < 1000 || r.Pending != 0 {
		t.Fatalf("before: %+v", r)
	}
	good := map[string][]dbtest.Candle{}
	for _, i := range dbtest.Intervals {
		good[i.Name] = f.Candles(t, i.Name)
	}
	at := base.Add
	// The longest first: what is above a changed row waits to be computed again.
	f.exec(t, "UPDATE "+f.stored(t, "candles_1d")+" SET close = 1 WHERE symbol = 'AAA' AND bucket = $1", at(24*time.Hour))
	f.exec(t, "UPDATE "+f.stored(t, "blocks_1m")+" SET ema_12 = ema_12 * 1.000001 WHERE symbol = 'BBB' AND bucket = $1", at(60*time.Hour))
	f.exec(t, "UPDATE "+f.stored(t, "blocks_1h")+" SET closes[2] = 7 WHERE symbol = 'AAA' AND bucket < $1", at(24*time.Hour))
	r, found = f.run(t, nil)
	if r.Drift != 3 {
		t.Errorf("found %+v, want 3 drifted: %q", r, found)
	}
	var minute, gone time.Time
	if err := f.Pool.QueryRow(f.ctx, "SELECT bucket FROM candles_1m WHERE symbol = 'BBB' ORDER BY bucket OFFSET 100").Scan(&minute); err != nil {
		t.Fatal(err)
	}
	if err := f.Pool.QueryRow(f.ctx, "SELECT bucket FROM candles_5m WHERE symbol = 'AAA' ORDER BY bucket DESC LIMIT 1").Scan(&gone); err != nil {
		t.Fatal(err)
	}
	f.exec(t, "UPDATE "+f.stored(t, "candles_1m")+" SET volume = volume * (1 + 1e-8), trades = trades + 1 WHERE symbol = 'BBB' AND bucket = $1", minute)
	f.exec(t, "DELETE FROM "+f.stored(t, "candles_5m")+" WHERE symbol = 'AAA' AND bucket = $1", gone)
	f.exec(t, "INSERT INTO "+f.stored(t, "candles_15m")+" (symbol, bucket, open, high, low, close, volume, notional, trades) VALUES ('ZZZ', $1, 1, 1, 1, 1, 1, 1, 1)", at(20*time.Hour))
	r, found = f.run(t, nil)
	named := map[string]int{}
	for _, s := range found {
		named[strings.Join(strings.Fields(s)[:3], " ")+map[bool]string{true: " pending"}[strings.HasSuffix(s, " pending")]]++
	}
	// That block of an hour lies above the minute that was changed: it waits, for
	// TimescaleDB has noted the change.
	for _, k := range []string{
		"differs candles_1m BBB", "missing candles_5m AAA", "surplus candles_15m ZZZ", "differs candles_1d AAA", "differs blocks_1m BBB",
		"differs blocks_1h AAA pending",
	} {
		if named[k] != 1 {
			t.Errorf("%q found %d times, want once: %q", k, named[k], found)
		}
	}
	if r.Drift != 5 {
		t.Errorf("found %+v, want 5 drifted: %q", r, found)
	}

	r, found = f.run(t, func(c *verify.Config) { c.Repair = true })
	for _, s := range found {
		if !strings.HasSuffix(s, " repaired") && !strings.HasSuffix(s, " pending") {
			t.Errorf("not repaired: %s", s)
		}
	}
	if !r.Clean() || r.Repaired != 5 {
		t.Errorf("repair: %+v", r)
	}
	r, found = f.run(t, nil)
	want(t, found)
	if r.Pending != 0 {
		t.Errorf("%d buckets are pending after a repair", r.Pending)
	}
	for _, i := range dbtest.Intervals {
		dbtest.EqualCandles(t, i.Name, f.Candles(t, i.Name), good[i.Name])
	}
}

// TestSeqs puts in by hand what seqs show.
func TestSeqs(t *testing.T) {
	t.Parallel()
	ctx := wait.Context(t, 3*time.Minute)
	f := &fixture{DB: dbtest.New(t), ctx: ctx}
	f.Commit(t, history(2, 10*time.Minute), nil)
	r, found := f.run(t, nil)
	want(t, found)
	if !r.Clean() {
		t.Fatalf("before: %+v", r)
	}
	tick := func(venue string, seq int64, after time.Duration) dbtest.Tick {
		return dbtest.Tick{TS: base.Add(after), Symbol: "CCC", Venue: venue, Price: 1, Size: 1, Seq: seq}
	}
	f.exec(t, "DELETE FROM ticks WHERE symbol = 'AAA' AND seq IN (5, 6, 9)")
	f.exec(t, "INSERT INTO ticks SELECT * FROM ticks WHERE symbol = 'BBB' AND seq = 7")
	f.exec(t, "INSERT INTO ticks SELECT * FROM ticks WHERE symbol = 'BBB' AND seq = 7 LIMIT 1")
	// The same seq days apart is another trade; the same tick on its way is none.
	f.Commit(t, []dbtest.Tick{tick("A", 1, 0), tick("A", 2, 25*time.Hour), tick("A", 2, 30*time.Hour), tick("A", 3, time.Hour)}, []dbtest.Tick{tick("A", 3, time.Hour)})
	// Late, on their way: no hole. A venue that numbers across symbols has none.
	f.Commit(t, []dbtest.Tick{tick("B", 1, 0), tick("B", 3, time.Minute)}, []dbtest.Tick{tick("B", 2, time.Second)})
	f.exec(t, "INSERT INTO feed_venues (venue, contiguous) VALUES ('L', false)")
	f.Commit(t, []dbtest.Tick{tick("L", 10, 0), tick("L", 70, time.Minute)}, nil)
	f.Commit(t, []dbtest.Tick{tick("G", 1, 0), tick("G", 5, time.Minute), tick("G", 7, time.Minute)}, nil)
	f.exec(t, "INSERT INTO feed_gaps (venue, symbol, from_seq, to_seq, before_ts, after_ts) VALUES ('G', 'CCC', 2, 4, now(), now())")
	f.Commit(t, []dbtest.Tick{tick("P", 1, 0), tick("P", 2, time.Second), tick("Q", 1, time.Second)}, nil)
	f.exec(t, "UPDATE feed_positions SET last_ts = last_ts - INTERVAL '1 second', top_seq = 1 WHERE venue = 'P'")
	f.exec(t, "UPDATE feed_positions SET last_seq = 9, last_ts = last_ts + INTERVAL '1 second' WHERE venue = 'Q'")
	r, found = f.run(t, nil)
	want(t, found, "hole AAA V 5-6", "hole AAA V 9-9", "duplicate BBB V 7-7", "duplicate CCC A 3-3",
		"gap CCC G 2-4", "hole CCC G 6-6", "position CCC P 1-2")
	if r.Duplicates != 2 || r.Holes != 3 || r.Gaps != 1 || r.Positions != 1 || r.Clean() {
		t.Errorf("%+v", r)
	}
	// Only what lies in the range, though the neighbours of its ends do not.
	_, found = f.run(t, func(c *verify.Config) { c.From, c.To = base.Add(24*time.Hour), base.Add(48*time.Hour) })
	want(t, found)
	_, found = f.run(t, func(c *verify.Config) { c.Symbol = "AAA" })
	want(t, found, "hole AAA V 5-6", "hole AAA V 9-9")
	if _, err := verify.Run(ctx, verify.Config{Pool: f.Pool, Symbol: "NONE"}); !errors.As(err, new(*verify.UnknownSymbolError)) {
		t.Errorf("a symbol that is not there: %v", err)
	}
}

// TestPending: what a refresh will compute again anyway is no drift, what
// retention has taken is not looked at.
func TestPending(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 4)
	at := base.Add(5 * time.Hour)
	f.Commit(t, nil, []dbtest.Tick{{TS: at, Symbol: "AAA", Venue: "V", Price: 500, Size: 1, Seq: 1_000_000}})
	r, found := f.run(t, func(c *verify.Config) { c.To = base.AddDate(0, 0, 3) })
	if r.Drift != 0 || r.Pending != 0 {
		t.Errorf("while a tick is in late_ticks: %+v, %q", r, found)
	}
	f.exec(t, "WITH m AS (DELETE FROM late_ticks RETURNING *) INSERT INTO ticks SELECT * FROM m")
	r, found = f.run(t, func(c *verify.Config) { c.To = base.AddDate(0, 0, 3) })
	// Nothing traded in that minute before: its own candle is not there yet, four others are old.
	if r.Drift != 0 || r.Pending != 4 {
		t.Errorf("while a tick waits for its candles: %+v, %q", r, found)
	}
	// Not as late, but newer than what was ever materialised.
	f.Commit(t, []dbtest.Tick{{TS: time.Now(), Symbol: "AAA", Venue: "V", Price: 500, Size: 1, Seq: 1_000_001}}, nil)
	f.Settle(t)
	r, found = f.run(t, nil)
	// The seqs between are a hole of this test's own.
	if r.Drift != 0 || r.Holes != 1 {
		t.Errorf("after the refresh: %+v, %q", r, found)
	}

	horizon := base.AddDate(0, 0, 2)
	f.exec(t, "SELECT set_retention('ticks', now() - $1::timestamptz)", horizon)
	f.exec(t, "DELETE FROM ticks WHERE ts < $1", horizon)
	f.exec(t, "UPDATE "+f.stored(t, "candles_1h")+" SET close = 1 WHERE symbol = 'BBB' AND bucket = $1", horizon.Add(30*time.Hour))
	r, found = f.run(t, nil)
	if r.Drift != 1 || r.Holes != 1 || r.From.Before(horizon) || !strings.HasPrefix(found[0], "differs candles_1h BBB") {
		t.Errorf("where retention has been: %+v, %q", r, found)
	}
	r, _ = f.run(t, func(c *verify.Config) { c.Repair = true })
	if r.Repaired != 1 {
		t.Errorf("repair where retention has been: %+v", r)
	}
}

// TestWhileLive verifies repeatedly while ticks arrive, late ones among them, and
// jobs refresh: there is no false finding.
func TestWhileLive(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1)
	url := f.URLAs(t, "hypertick_reader")
	reader, err := pgxpool.New(f.ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	done := make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewPCG(3, 4))
		seq := int64(1_000_000)
		for range 25 {
			var direct []dbtest.Tick
			oldest := time.Now().Add(-time.Duration(rng.IntN(600)) * time.Second)
			for range 20 {
				seq++
				direct = append(direct, dbtest.Tick{
					TS: oldest.Add(time.Duration(rng.IntN(120)) * time.Second), Symbol: "AAA", Venue: "W", Price: 100 + rng.Float64(), Size: 1, Seq: seq,
				})
			}
			if err := f.TryCommit(f.ctx, direct, nil); err != nil {
				done <- err
				return
			}
			for _, c := range []string{"candles_1m", "candles_5m", "blocks_1m"} {
				if err := f.refresh(c); err != nil {
					done <- err
					return
				}
			}
		}
		done <- nil
	}()
	for n := 0; ; n++ {
		r, err := verify.Run(f.ctx, verify.Config{Pool: reader, From: time.Now().Add(-20 * time.Minute), Found: func(x verify.Finding) {
			if !x.Pending && x.Kind != verify.Gap {
				t.Errorf("run %d: %s %s %s %v stored %s, expected %s %s", n, x.Kind, x.Relation, x.Symbol, x.Bucket, x.Stored, x.Expected, x.Detail)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if !r.Clean() {
			t.Fatalf("run %d: %+v", n, r)
		}
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d runs", n)
			return
		default:
		}
	}
}

// TestSample: after enough runs the job finds what verify finds on all data, and
// records it.
func TestSample(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 2)
	sample := func() {
		t.Helper()
		if _, err := f.Pool.Exec(f.ctx, `CALL _hypertick.verify_sample(0, '{"samples": 80, "budget": "1 minute"}')`); err != nil {
			t.Fatal(err)
		}
	}
	// What is drawn is chance: a bucket is missed by one run in some ten, but not by thirty.
	sampleUntil := func(rows int) {
		t.Helper()
		for n := -1; n != rows; {
			sample()
			if err := f.Pool.QueryRow(f.ctx, "SELECT count(*) FROM verify_drift").Scan(&n); err != nil {
				t.Fatal(err)
			}
			if err := f.ctx.Err(); err != nil {
				t.Fatalf("%d buckets found, want %d: %v", n, rows, err)
			}
		}
	}
	sample()
	var drift, checked int64
	if err := f.Pool.QueryRow(f.ctx, "SELECT sum(drift), sum(checked) FROM verify_runs").Scan(&drift, &checked); err != nil || drift != 0 || checked < 1000 {
		t.Fatalf("without corruption: %d drifted of %d, %v", drift, checked, err)
	}
	f.exec(t, "UPDATE "+f.stored(t, "candles_5m")+" SET close = 1 WHERE symbol = 'AAA' AND bucket = (SELECT min(bucket) FROM candles_5m WHERE symbol = 'AAA' AND bucket > $1)", base.Add(26*time.Hour))
	f.exec(t, "UPDATE "+f.stored(t, "blocks_5m")+" SET volume = -1 WHERE symbol = 'BBB' AND bucket = $1", base.Add(12*time.Hour))
	sampleUntil(2)
	var found string
	if err := f.Pool.QueryRow(f.ctx, "SELECT string_agg(DISTINCT relation || ' ' || symbol, ', ') FROM verify_drift").Scan(&found); err != nil || found != "blocks_5m BBB, candles_5m AAA" {
		t.Errorf("found %q, %v", found, err)
	}
	var state, detail string
	if err := f.Pool.QueryRow(f.ctx, "SELECT state, detail FROM pipeline WHERE component = 'verify'").Scan(&state, &detail); err != nil || state != "failed" || !strings.Contains(detail, "2 buckets") {
		t.Errorf("pipeline: %s, %s, %v", state, detail, err)
	}
	// A bucket that is found again is one.
	sample()
	var buckets int
	if err := f.Pool.QueryRow(f.ctx, "SELECT count(*) FROM verify_drift").Scan(&buckets); err != nil || buckets != 2 {
		t.Errorf("%d rows, want 2: %v", buckets, err)
	}
	// A repaired bucket is deleted from verify_drift when the next sample finds it
	// correct.
	if r, _ := f.run(t, func(c *verify.Config) { c.Repair = true }); r.Repaired == 0 {
		t.Fatalf("repair: %+v", r)
	}
	sampleUntil(0)
	if err := f.Pool.QueryRow(f.ctx, "SELECT state FROM pipeline WHERE component = 'verify'").Scan(&state); err != nil || state != "ok" {
		t.Errorf("pipeline after the repair: %s, %v", state, err)
	}
}

// refresh runs the policy of an aggregate.
func (f *fixture) refresh(relation string) error {
	var job int32
	if err := f.Pool.QueryRow(f.ctx, `SELECT job_id FROM timescaledb_information.jobs
		WHERE proc_name = 'policy_refresh_continuous_aggregate' AND hypertable_name = $1`, relation).Scan(&job); err != nil {
		return err
	}
	return db.New(f.Pool).RunJob(f.ctx, job)
}

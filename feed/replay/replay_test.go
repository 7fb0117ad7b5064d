package replay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// read replays text and returns its ticks.
func read(t testing.TB, cfg replay.Config, text string) ([]feed.Tick, replay.Stats, error) {
	t.Helper()
	r, err := replay.New(cfg, strings.NewReader(text))
	if err != nil {
		return nil, replay.Stats{}, err
	}
	var out []feed.Tick
	err = r.Run(t.Context(), func(tick *feed.Tick) error { out = append(out, *tick); return nil }, nil)
	return out, r.Stats(), err
}

func mustRead(t testing.TB, cfg replay.Config, text string) []feed.Tick {
	t.Helper()
	out, _, err := read(t, cfg, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func at(s string) int64 {
	ts, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return ts.UnixMicro()
}

func TestTrades(t *testing.T) {
	want := []feed.Tick{
		{Symbol: "BTC-USDT", Venue: "BINANCE", TS: at("2020-11-16T04:10:46Z"), Price: 15993.5, Size: 0.026472, Seq: 7},
		{Symbol: "BTC-USDT", Venue: "BINANCE", TS: at("2020-11-16T04:10:46.123456Z"), Price: 15994.96, Size: 0.227, Seq: 9},
	}
	flags := replay.Config{Symbol: "BTC-USDT", Venue: "BINANCE"}
	for name, c := range map[string]struct {
		cfg  replay.Config
		text string
	}{
		"usual":     {flags, "ts,seq,price,size\n2020-11-16T04:10:46Z,7,15993.5,0.026472\n2020-11-16T04:10:46.123456Z,9,15994.96,0.227\n"},
		"other":     {flags, "\ufeffTrade ID;Time;Qty;Price\r\n7;1605499846;0.026472;15993.5\r\n\r\n9;1605499846.123456;0.227;15994.96"},
		"binance":   {flags, "id,price,qty,quoteQty,time,isBuyerMaker\n7,15993.5,0.026472,1,1605499846000,true\n9,15994.96,0.227,1,1605499846123456,true"},
		"columns":   {replay.Config{}, "symbol\texchange\tdate\ttime\tprice\tsize\tid\nbtc/usdt\tBINANCE\t2020-11-16\t04:10:46\t15993.5\t0.026472\t7\nBTC-USDT\tBINANCE\t2020-11-16\t04:10:46.1234569\t15994.96\t0.227\t9\n"},
		"no header": {replay.Config{Symbol: "BTC-USDT", Venue: "BINANCE", Header: []string{"seq", "price", "size", "ts"}}, "7,15993.5,0.026472,1605499846000000\n9,15994.96,0.227,1605499846123456789\n"},
		"mapped": {replay.Config{Symbol: "BTC-USDT", Venue: "BINANCE", Columns: map[string]string{"price": "what", "ts": "When", "symbol": ""}},
			"symbol|when|ts|price|what|size|seq\nX|2020-11-16 04:10:46|1|1|15993.5|0.026472|7\nX|2020-11-16 04:10:46.123456|1|1|15994.96|0.227|9\n"},
		"zone": {replay.Config{Symbol: "BTC-USDT", Venue: "BINANCE", Zone: time.FixedZone("", -5*3600), TimeFormat: "02/01/2006 15:04:05"},
			"ts,seq,price,size\n15/11/2020 23:10:46,7,15993.5,0.026472\n15/11/2020 23:10:46.123456,9,15994.96,0.227\n"},
		"two columns mapped": {replay.Config{Symbol: "BTC-USDT", Venue: "BINANCE", Columns: map[string]string{"ts": "D+T"}},
			"d,t,seq,price,size\n20201116,04:10:46,7,15993.5,0.026472\n20201116,04:10:46.123456,9,15994.96,0.227\n"},
	} {
		got, _, err := read(t, c.cfg, c.text)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v\n got %+v\nwant %+v", name, err, got, want)
		}
	}
}

func TestTimes(t *testing.T) {
	for in, want := range map[string]string{
		"Jan 1 2000":                "2000-01-01T00:00:00Z",
		"Jan 2, 2006":               "2006-01-02T00:00:00Z",
		"2000-01-03":                "2000-01-03T00:00:00Z",
		"20000103":                  "2000-01-03T00:00:00Z",
		"2020-01-02 03:04:05.25":    "2020-01-02T03:04:05.25Z",
		"2020-01-02T03:04:05+05:30": "2020-01-01T21:34:05Z",
		"2020-01-02 03:04:05 UTC":   "2020-01-02T03:04:05Z",
		"2020/01/02 03:04":          "2020-01-02T03:04:00Z",
		"0":                         "1970-01-01T00:00:00Z",
		"1577934245":                "2020-01-02T03:04:05Z",
		"1577934245.0000019":        "2020-01-02T03:04:05.000001Z",
		"1577934245250":             "2020-01-02T03:04:05.25Z",
		"1577934245250001":          "2020-01-02T03:04:05.250001Z",
		"1577934245250001999":       "2020-01-02T03:04:05.250001Z",
	} {
		got := mustRead(t, replay.Config{Symbol: "X"}, "ts;price\n"+in+";1\n")
		if got[0].TS != at(want) {
			t.Errorf("%s is %v, want %s", in, got[0].Time(), want)
		}
	}
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	got := mustRead(t, replay.Config{Symbol: "X", Zone: zone}, "ts,price\n2020-07-01 09:30:00,1\n2020-12-01T14:30:00Z,1\n2020-12-01,1\n")
	for i, want := range []string{"2020-07-01T13:30:00Z", "2020-12-01T14:30:00Z", "2020-12-01T05:00:00Z"} {
		if got[i].TS != at(want) {
			t.Errorf("in New York: %v, want %s", got[i].Time(), want)
		}
	}
}

// Rows are numbered per source where there is no seq, bad ones too, so that a
// row has the same number in every replay.
func TestRowNumbers(t *testing.T) {
	const text = "symbol,ts,price\nA,1,1\nB,2,2\nA,3,bad\nb,4,4\nA,5,5\n"
	got, stats, err := read(t, replay.Config{SkipBad: true}, text)
	var seqs []string
	for _, tick := range got {
		seqs = append(seqs, fmt.Sprint(tick.Symbol, tick.Seq))
	}
	if err != nil || !slices.Equal(seqs, []string{"A1", "B1", "B2", "A3"}) || stats != (replay.Stats{Rows: 5, Ticks: 4, Bad: 1}) {
		t.Errorf("%v, %+v, %v", seqs, stats, err)
	}
}

func TestErrors(t *testing.T) {
	x := replay.Config{Name: "f.csv", Symbol: "X"}
	with := func(edit func(*replay.Config)) replay.Config { c := x; edit(&c); return c }
	bars := "ts,open,high,low,close,volume\n"
	for _, c := range []struct {
		cfg        replay.Config
		text, want string
	}{
		{x, "ts,price\n1,2\n1,abc\n", `f.csv:3: column "price": want a number, got "abc"`},
		{x, "ts,Price\n1,-2\n", `f.csv:2: column "Price": want a finite number above 0, got -2`},
		{x, "ts,price\n1,NaN\n", `f.csv:2: column "price": want a number, got "NaN"`},
		{x, "ts,price\n1,0x1p3\n", `f.csv:2: column "price": want a number, got "0x1p3"`},
		{x, "ts,price\n1,1e999\n", `f.csv:2: column "price": want a number, got "1e999"`},
		{x, "ts,price\n01/02/2006,1\n", `f.csv:2: column "ts": want a time such as 2006-01-02T15:04:05Z, a date or a Unix time, got "01/02/2006"; give another form as --time-format`},
		{x, "ts,price\n2999-01-01,1\n", `f.csv:2: column "ts": want a time from 1970 to 5m0s from now, got 2999-01-01T00:00:00Z`},
		{with(func(c *replay.Config) { c.TimeFormat = "02.01.2006" }), "ts,price\n2020-01-01,1\n", `column "ts": want a time like "02.01.2006", got "2020-01-01"`},
		{x, "ts,price\n1,2,3\n", "f.csv:2: want 2 columns as in the header, got 3"},
		{x, "ts,price\n\n1,\"2\n", `f.csv:3: extraneous or missing " in quoted-field`},
		{x, "ts,price,seq\n1,2,5\n1,2,5\n", `f.csv:3: column "seq": want more than the 5 of a row before, got 5`},
		{x, "ts,price,seq\n1,2,five\n", `column "seq": want a whole number, got "five"`},
		{x, "ts,price,seq\n1,2,0\n", `column "seq": want a whole number above 0, got 0`},
		{x, "symbol,ts,price\nä,1,1\n", `column "symbol": want 1 to 32 of`},
		{replay.Config{Name: "f.csv"}, "symbol,ts,price\n,1,1\n", `column "symbol": want a symbol, got nothing`},
		{x, bars + "1,2,1,1,1,1\n", `column "high": want at least open, low and close, got 1`},
		{x, bars + "1,2,3,2,1,1\n", `column "low": want at most open and close, got 2`},
		{x, bars + "1,2,3,0,1,1\n", `column "low": want a finite number above 0, got 0`},
		{x, "", "replay f.csv: the file is empty"},
		{x, "ts,size\n", "no column found for price among ts, size; name it with price=<column>, or is the header missing?"},
		{x, "1605499846,1,2\n", "no column found for ts among 1605499846, 1, 2"},
		{replay.Config{}, "ts,price\n", "no column found for symbol"},
		{with(func(c *replay.Config) { c.Kind = replay.Bars }), "ts,open,high,low\n", "no column found for close"},
		{with(func(c *replay.Config) { c.Kind = "x" }), "ts,price\n", "kind: want trades or bars"},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"px": "ts"} }), "ts,price\n", `map: there is no field "px"`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"price": "nope"} }), "ts,price\n", `map: there is no column "nope" for price; there are ts, price`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"ts": "a+b"} }), "ts,price\n", `map: there are no columns "a+b" for ts`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"seq": "ts"} }), bars, "bars are numbered by row"},
		{with(func(c *replay.Config) { c.Symbol = "lower" }), "ts,price\n", "symbol: want 1 to 32 of"},
		{with(func(c *replay.Config) { c.Speed = math.NaN() }), "ts,price\n", "speed: want 0 or more"},
		{with(func(c *replay.Config) {
			c.SkipBad, c.Positions = true, func(string, string) (int64, error) { return 0, errors.New("no broker") }
		}), "ts,price\n1,1\n", "replay f.csv: no broker"},
	} {
		if _, _, err := read(t, c.cfg, c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

// Real trades with ties, where the folder of shared data is at hand.
func TestRealTrades(t *testing.T) {
	path := filepath.Join("..", "..", "..", "shared", "data", "btcusdt-2020-11-16.csv")
	f, err := replay.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no %s here", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := replay.New(replay.Config{Symbol: "BTC-USDT"}, f)
	if err != nil {
		t.Fatal(err)
	}
	n, ties, last := 0, 0, feed.Tick{}
	err = r.Run(t.Context(), func(tick *feed.Tick) error {
		if tick.TS == last.TS {
			ties++
		}
		n, last = n+1, *tick
		return nil
	}, nil)
	if err != nil || n != 1000 || last.Seq != 1000 || ties == 0 {
		t.Errorf("%d ticks, %d ties, %+v, %v", n, ties, last, err)
	}
}

func TestReplayTwiceAddsNothing(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, feed.Topic))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	text := "symbol,ts,price\nA,1,1\nB,2,2\nA,3,3\nC,4,4\nA,5,5\n"
	// Twice the whole file, after two ticks of it.
	for round, limit := range []int64{2, 100, 100} {
		p, err := feed.NewProducer(feed.ProducerConfig{Brokers: c.ListenAddrs()})
		if err != nil {
			t.Fatal(err)
		}
		r, err := replay.New(replay.Config{Positions: replay.FromTopic(t.Context(), c.ListenAddrs(), feed.Security{}, feed.Topic)}, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		enough := errors.New("enough")
		err = r.Run(t.Context(), func(tick *feed.Tick) error {
			if limit--; limit < 0 {
				return enough
			}
			return p.Produce(t.Context(), tick)
		}, nil)
		if err != nil && !errors.Is(err, enough) {
			t.Fatal(err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.Close()
		if want := []replay.Stats{{Rows: 3, Ticks: 2}, {Rows: 5, Ticks: 3, Skipped: 2}, {Rows: 5, Skipped: 5}}[round]; r.Stats() != want {
			t.Errorf("round %d: %+v, want %+v", round, r.Stats(), want)
		}
	}
}

func TestSpeed(t *testing.T) {
	clock := time.Unix(1e9, 0)
	var waits []time.Duration
	cfg := replay.Config{
		Symbol: "X", Speed: 60,
		Clock: func() time.Time { return clock },
		Sleep: func(_ context.Context, d time.Duration) error {
			waits = append(waits, d)
			clock = clock.Add(d)
			return nil
		},
	}
	mustRead(t, cfg, "ts,price\n100,1\n160,1\n150,1\n160.01,1\n220,1\n")
	if want := []time.Duration{time.Second, time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := replay.New(replay.Config{Symbol: "X"}, strings.NewReader("ts,price\n1,1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(ctx, func(*feed.Tick) error { return nil }, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func FuzzReplay(f *testing.F) {
	f.Add("ts,price,size,seq,symbol\n2020-01-01,1,1,1,A\n", "")
	f.Add(sp500, "X")
	f.Add("date;time;\"pri\"\"ce\"\n1;2;3", "A")
	f.Add("unix|symbol|open|high|low|close|Volume BTC\n1577934245|btc/usd|1|2|1|2|3", "")
	f.Fuzz(func(t *testing.T, text, symbol string) {
		now := time.Unix(2e9, 0)
		last := map[[2]string]int64{}
		cfg := replay.Config{Symbol: symbol, SkipBad: true, Clock: func() time.Time { return now }}
		ticks, stats, err := read(t, cfg, text)
		for _, tick := range ticks {
			key := [2]string{tick.Venue, tick.Symbol}
			if err := tick.Validate(now); err != nil || tick.Seq <= last[key] {
				t.Fatalf("%+v after seq %d: %v", tick, last[key], err)
			}
			last[key] = tick.Seq
		}
		cfg.Positions = func(venue, symbol string) (int64, error) { return last[[2]string{venue, symbol}], nil }
		again, stats2, err2 := read(t, cfg, text)
		if (err == nil) != (err2 == nil) || stats2.Skipped != stats.Ticks || len(again) != 0 {
			t.Fatalf("the second time: %+v, %v; the first: %+v, %v", stats2, err2, stats, err)
		}
	})
}

func BenchmarkReplay(b *testing.B) {
	for name, row := range map[string]string{
		"trades": "2020-11-16T04:10:46.123Z,%d,15993.5,0.026472\n",
		"epoch":  "1605499846123,%d,15993.5,0.026472\n",
	} {
		b.Run(name, func(b *testing.B) {
			var text bytes.Buffer
			text.WriteString("ts,seq,price,size\n")
			const rows = 50_000
			for i := range rows {
				fmt.Fprintf(&text, row, i+1)
			}
			b.ReportAllocs()
			for b.Loop() {
				r, err := replay.New(replay.Config{Symbol: "X"}, bytes.NewReader(text.Bytes()))
				if err != nil {
					b.Fatal(err)
				}
				if err := r.Run(b.Context(), func(*feed.Tick) error { return nil }, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

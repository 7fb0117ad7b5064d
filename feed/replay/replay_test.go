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
		"binance":   {flags, "id,price,qty,quoteQty,time,best\n7,15993.5,0.026472,1,1605499846000,true\n9,15994.96,0.227,1,1605499846123456,true"},
		"columns":   {replay.Config{}, "symbol\texchange\tdate\ttime\tprice\tsize\tid\nBTC-USDT\tBINANCE\t2020-11-16\t04:10:46\t15993.5\t0.026472\t7\nBTC-USDT\tBINANCE\t2020-11-16\t04:10:46.1234569\t15994.96\t0.227\t9\n"},
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
		"2000-1-3":                  "2000-01-03T00:00:00Z",
		"202001020304":              "2020-01-02T03:04:00Z",
		"20200102030405":            "2020-01-02T03:04:05Z",
		"20200102030405250":         "2020-01-02T03:04:05.25Z",
		"2020-01-02 03:04:05,25":    "2020-01-02T03:04:05.25Z",
		"2020-01-02T24:00:00Z":      "2020-01-03T00:00:00Z",
		"20200102 030405250":        "2020-01-02T03:04:05.25Z",
		"20000103":                  "2000-01-03T00:00:00Z",
		"2020-01-02 03:04:05.25":    "2020-01-02T03:04:05.25Z",
		"2020-01-02T03:04:05+05:30": "2020-01-01T21:34:05Z",
		"2020-01-02 03:04:05 UTC":   "2020-01-02T03:04:05Z",
		"2020/01/02 03:04":          "2020-01-02T03:04:00Z",
		"1927-12-30":                "1927-12-30T00:00:00Z",
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
	for i, want := range []string{"2020-07-01T13:30:00Z", "2020-12-01T05:00:00Z", "2020-12-01T14:30:00Z"} {
		if got[i].TS != at(want) {
			t.Errorf("in New York: %v, want %s", got[i].Time(), want)
		}
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
		{x, "ts,price\n2020-01-01,2\n2020-01-01,abc\n", `f.csv:3: column "price": want a number, got "abc"`},
		{x, "ts,Price\n2020-01-01,-2\n", `f.csv:2: column "Price": want more than 0 where neither instruments.non_positive_prices of "X"`},
		{x, "ts,price\n2020-01-01,NaN\n", `f.csv:2: column "price": want a number, got "NaN"`},
		{x, "ts,price\n2020-01-01,0x1p3\n", `f.csv:2: column "price": want a number, got "0x1p3"`},
		{x, "ts,price\n2020-01-01,1e999\n", `f.csv:2: column "price": want a number, got "1e999"`},
		{x, "ts,price\n2020-01-01,1.7976931348623157e308\n", `f.csv:2: column "price": want a number, got "1.7976931348623157e308", which stands for none`},
		{x, "ts,price\n2020-01-01,9223372036.854775807\n", `f.csv:2: column "price": want a number, got "9223372036.854775807", which stands for none`},
		{x, "ts,price,size\n2020-01-01,1,4294967295\n", `f.csv:2: column "size": want a number, got "4294967295", which stands for none`},
		{with(func(c *replay.Config) { c.TimeFormat = "2006-01-02 15:04 MST" }), "ts,price\n2020-01-01 10:00 EST,1\n", `column "ts": want a time whose zone is known, got "2020-01-01 10:00 EST"`},
		{x, "ts,price\n2020-01-01,1e-200\n", `f.csv:2: column "price": want 0 or a number from 1e-15 to 1e15`},
		{x, "ts,price\n0,1\n", `column "ts": want a time, got 0: Unix times begin at 100000000`},
		{x, "ts,price\n45352.5,1\n", `column "ts": want a time, got 45352.5: Unix times begin at 100000000`},
		{x, "ts,price\n01/02/2006,1\n", `f.csv:2: column "ts": want a time of which day and month are known, got "01/02/2006"; give its form as --time-format`},
		{x, "ts,price\nsoon,1\n", `f.csv:2: column "ts": want a time such as 2006-01-02T15:04:05Z, a date or a Unix time, got "soon"; give another form as --time-format`},
		{x, "ts,price\n2999-01-01,1\n", `f.csv:2: column "ts": want a time from 1900 to 5m0s from now, got 2999-01-01T00:00:00Z`},
		{with(func(c *replay.Config) { c.TimeFormat = "02.01.2006" }), "ts,price\n2020-01-01,1\n", `column "ts": want a time like "02.01.2006", got "2020-01-01"`},
		{x, "ts,price\n2020-01-01,2,3\n", "f.csv:2: want 2 columns as in the header, got 3"},
		{x, "ts,price\n\n2020-01-01,\"2\n", `f.csv:3: extraneous or missing " in quoted-field`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"seq": "seq"} }), "ts,price,seq\n2020-01-01,2,five\n", `column "seq": want a whole number, got "five"`},
		{x, "ts,price,seq\n2020-01-01,2,\n", `column "seq": want a whole number, got ""`},
		{x, "symbol,ts,price\n\x01,2020-01-01,1\n", `column "symbol": want 1 to 64 bytes`},
		{replay.Config{Name: "f.csv"}, "symbol,ts,price\n,2020-01-01,1\n", `column "symbol": want a symbol, got nothing`},
		{x, bars + "2020-01-01,2,1,1,1,1\n", `column "high": want at least open, low and close, got 1`},
		{x, bars + "2020-01-01,2,3,2,1,1\n", `column "low": want at most open and close, got 2`},
		{x, bars + "2020-01-01,2,3,0,1,1\n", `column "low": want more than 0 where`},
		{x, bars + "2020-01-01,2,3,,1,1\n", `column "low": want a number, got ""`},
		{x, bars + "2020-01-01,1,2,1,2,1\n2020-01-01,1,3,1,2,1\n", `f.csv:3: want one bar of FILE X at 2020-01-01T00:00:00Z, got another with other values; is --timezone right?`},
		{x, bars + "1577934240,1,2,1,2,1\n1577934247,1,2,1,2,1\n1577934254,1,2,1,2,1\n1577934261,1,2,1,2,1\n", `bars of 7s: there is no such interval`},
		{x, "time;price\n2020-01-01;1,234\n", `column "price": want a number whose comma is known to be of thousands or of decimals, as --decimal says, got "1,234"`},
		{x, "time;price\n2020-01-01;1,5\n2020-01-02;1.5\n", `f.csv:2: column "price": want a number whose decimal separator is '.'`},
		{with(func(c *replay.Config) { c.Decimal = ";" }), "ts,price\n", `decimal: want "." or ","`},
		{x, "", "replay f.csv: the file is empty"},
		{x, "ts,size\n", "no column found for price among ts, size; name it with price=<column>, or is the header missing?"},
		{x, "1605499846,1,2,3,4\n1,2,3,4,5\n", "no column found for ts among 1605499846, 1, 2"},
		{x, "# nothing\n", "found comments only: the file is empty"},
		{replay.Config{}, "ts,price\n", "no column found for symbol"},
		{with(func(c *replay.Config) { c.Kind = replay.Bars }), "ts,open,high,low\n", "no column found for close"},
		{with(func(c *replay.Config) { c.Kind = "x" }), "ts,price\n", "kind: want trades or bars"},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"px": "ts"} }), "ts,price\n", `map: there is no field "px"`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"price": "nope"} }), "ts,price\n", `map: there is no column "nope" for price; there are ts, price`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"ts": "a+b"} }), "ts,price\n", `map: there are no columns "a+b" for ts`},
		{with(func(c *replay.Config) { c.Columns = map[string]string{"seq": "ts"} }), bars, "bars are numbered by their time"},
		{with(func(c *replay.Config) { c.Symbol = " x" }), "ts,price\n", "symbol: want 1 to 64 bytes"},
		{with(func(c *replay.Config) { c.Speed = math.NaN() }), "ts,price\n", "speed: want 0 or more"},
		{with(func(c *replay.Config) {
			c.SkipBad, c.Stored = true, func([]replay.Moment) ([]feed.Tick, error) { return nil, errors.New("no broker") }
		}), "ts,price\n1577934245,1\n", "replay f.csv: no broker"},
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
	defer f[0].Close()
	r, err := replay.New(replay.Config{Symbol: "BTC-USDT"}, f[0])
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
	mustRead(t, cfg, "ts,price\n1000000100,1\n1000000160,1\n1000000160.01,1\n1000000220,1\n")
	if want := []time.Duration{time.Second, time.Second}; !slices.Equal(waits, want) {
		t.Errorf("waited %v, want %v", waits, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := replay.New(replay.Config{Symbol: "X"}, strings.NewReader("ts,price\n2020-01-01,1\n"))
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
	for _, name := range []string{"nse.csv", "yf-multi.csv", "times.csv", "mt5-ticks.csv", "databento-trades.csv", "polygon-trades.csv", "histdata-tick.csv", "investing.csv"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), "X")
	}
	f.Fuzz(func(t *testing.T, text, symbol string) {
		now := time.Unix(2e9, 0)
		type id struct {
			venue, symbol string
			ts, seq       int64
			price, size   float64
			kind          feed.Kind
		}
		of := func(k feed.Tick) id { return id{k.Venue, k.Symbol, k.TS, k.Seq, k.Price, k.Size, k.Kind} }
		seen := map[id]bool{}
		cfg := replay.Config{Symbol: symbol, SkipBad: true, Clock: func() time.Time { return now }, Session: replay.NewSession()}
		ticks, stats, err := read(t, cfg, text)
		for _, tick := range ticks {
			if err := tick.Validate(now); err != nil {
				t.Fatalf("%+v: %v", tick, err)
			}
			if seen[of(tick)] {
				t.Fatalf("twice: %+v", tick)
			}
			seen[of(tick)] = true
		}
		// In the same command nothing is new, in the next one every tick is the same.
		if again, stats2, err2 := read(t, cfg, text); (err == nil) != (err2 == nil) || len(again) != 0 || stats2.Rows != stats.Rows {
			t.Fatalf("the second time: %+v, %v; the first: %+v, %v", stats2, err2, stats, err)
		}
		cfg.Session = nil
		if again, _, _ := read(t, cfg, text); !slices.Equal(again, ticks) {
			t.Fatalf("another command: %+v, want %+v", again, ticks)
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

package replay_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/feed/replay"
)

// told is a tick or a bar in short: symbol, time, price or prices, size.
func told(ticks []feed.Tick) (out []string) {
	for i := 0; i < len(ticks); i++ {
		t := ticks[i]
		line := fmt.Sprintf("%s %s %v", t.Symbol, t.Time().Format("2006-01-02T15:04:05.999999"), t.Price)
		if t.Conditions == replay.BarCondition {
			size := t.Size
			for n := 1; n < 4; n++ {
				line += fmt.Sprintf(" %v", ticks[i+n].Price)
				size += ticks[i+n].Size
			}
			i += 3
			t.Size, t.Conditions = size, ""
		}
		line += fmt.Sprintf(" %.12g", t.Size)
		if t.Side != feed.Unknown {
			line += " " + t.Side.String()
		}
		if t.Kind != feed.Trade {
			line += " " + t.Kind.String()
		}
		if t.Conditions != "" {
			line += " " + t.Conditions
		}
		out = append(out, line)
	}
	return out
}

// load reads files in one session.
func load(t *testing.T, cfg replay.Config, names ...string) (ticks []feed.Tick, all replay.Stats, bad []string) {
	t.Helper()
	if cfg.Session == nil {
		cfg.Session = replay.NewSession()
	}
	cfg.SkipBad = true
	cfg.OnBad = func(r *replay.RowError) {
		bad = append(bad, fmt.Sprintf("%d: %s: %s", r.Line, r.Column, r.Want))
	}
	for _, name := range names {
		files, err := replay.Open(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			r, err := replay.New(cfg, f)
			if err != nil {
				t.Fatal(err)
			}
			err = r.Run(t.Context(), func(k *feed.Tick) error { ticks = append(ticks, *k); return nil }, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := r.Stats()
			all.Rows, all.Bad, all.Repeated = all.Rows+s.Rows, all.Bad+s.Bad, all.Repeated+s.Repeated
			all.NoTrade, all.NoVolume, all.Rounded, all.Text = all.NoTrade+s.NoTrade, all.NoVolume+s.NoVolume, all.Rounded+s.Rounded, all.Text+s.Text
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	return ticks, all, bad
}

// TestCases reads the files of shared/cases. The values are read off the files by
// hand, and by Python's csv, datetime and zoneinfo.
func TestCases(t *testing.T) {
	newYork, err := time.LoadLocation("America/New_York")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cfg   replay.Config
		want  []string
		stats replay.Stats
		bad   []string
	}{
		"DOGEUSDT-1m-2025-01-01.zip": {want: []string{
			"X 2025-01-01T00:00:00 0.316 0.3161 0.3159 0.316 27", "X 2025-01-01T00:01:00 0.31601 0.31605 0.316 0.31602 17"}, stats: replay.Stats{Rows: 2}},
		"newest1.csv": {want: []string{
			"X 2024-03-04T00:00:00 10 11 9 10.5 1000", "X 2024-03-05T00:00:00 11 12 10 11.5 1100", "X 2024-03-06T00:00:00 12 13 11 12.5 1200"}, stats: replay.Stats{Rows: 3}},
		"juv-dup.csv":       {want: []string{"X 2022-03-01T00:00:00 4.5 4.9 4.4 4.8 1000", "X 2022-03-02T00:00:00 4.8 5 4.7 4.9 1100"}, stats: replay.Stats{Rows: 6, Repeated: 4}},
		"dup-aggtrades.csv": {want: []string{"X 2022-09-12T00:00:00.166 21820.3 1.614 sell", "X 2022-09-12T00:00:00.2 21820.4 0.018 sell"}, stats: replay.Stats{Rows: 4, Repeated: 2}},
		"dst-fallback.csv": {cfg: replay.Config{Zone: newYork}, want: []string{
			"X 2024-11-03T04:30:00 1 2 1 2 10", "X 2024-11-03T05:00:00 2 3 2 3 20", "X 2024-11-03T05:30:00 3 4 3 4 30",
			"X 2024-11-03T06:00:00 5 6 5 6 40", "X 2024-11-03T06:30:00 6 7 6 7 50", "X 2024-11-03T07:00:00 7 8 7 8 60"}, stats: replay.Stats{Rows: 6}},
		"dst-gap.csv": {cfg: replay.Config{Zone: newYork}, want: []string{"X 2024-03-10T06:30:00 1 2 1 2 10", "X 2024-03-10T07:30:00 3 4 3 4 30"}, stats: replay.Stats{Rows: 3, Bad: 1},
			bad: []string{`3: time: want a time that exists in America/New_York, got "2024-03-10 02:30:00"`}},
		"wti.csv": {cfg: replay.Config{NonPositive: true}, want: []string{
			"X 2020-04-17T00:00:00 19.6 19.77 17.31 18.27 237660", "X 2020-04-20T00:00:00 17.73 17.85 -40.32 -37.63 247947", "X 2020-04-21T00:00:00 -14 13.86 -16.74 10.01 2288"},
			stats: replay.Stats{Rows: 3}},
		"stooq-daily.csv":            {want: []string{"X 1927-12-30T00:00:00 17.66 17.66 17.66 17.66 0", "X 1928-01-03T00:00:00 17.76 17.76 17.76 17.76 0"}, stats: replay.Stats{Rows: 2}},
		"nse.csv":                    {want: []string{"X 2024-03-07T00:00:00 2985 3014.8 2951.1 2958.1 3802173"}, stats: replay.Stats{Rows: 1}},
		"nasdaq.csv":                 {want: []string{"X 2024-03-06T00:00:00 171.06 171.24 168.68 169.12 68587710", "X 2024-03-07T00:00:00 169.15 170.73 168.49 169 71765060"}, stats: replay.Stats{Rows: 2}},
		"investing.csv":              {want: []string{"X 2024-03-06T00:00:00 1171.06 1171.24 1168.68 1169.12 68590000", "X 2024-03-07T00:00:00 1169.15 1170.73 1168.49 1169 71770000"}, stats: replay.Stats{Rows: 2}},
		"semicolon-decimalcomma.csv": {want: []string{"X 2024-01-02T10:00:00 1.5 2.5 1.5 2 10"}, stats: replay.Stats{Rows: 1}},
		"volnan.csv":                 {want: []string{"X 2024-01-02T00:00:00 1.1 1.11 1.09 1.1 0", "X 2024-01-03T00:00:00 1.11 1.12 1.1 1.11 0"}, stats: replay.Stats{Rows: 3, NoVolume: 2, NoTrade: 1}},
		"mt5-ticks.csv":              {want: []string{"X 2024-01-02T09:00:00.123 187.15 5 buy"}, stats: replay.Stats{Rows: 2, NoTrade: 1}},
		"round.csv":                  {want: []string{"X 2024-01-02T00:00:00 0.30000000000000004 0.30000000000000004 0.29 0.3 10"}, stats: replay.Stats{Rows: 1, Rounded: 1}},
		"histdata-tick.csv":          {want: []string{"X 2024-02-01T00:00:03.66 1.0866 0", "X 2024-02-01T00:00:03.973 1.08661 0"}, stats: replay.Stats{Rows: 2}},
		"bar-4h.csv":                 {want: []string{"X 2024-01-02T00:00:00 100 110 90 105 1000", "X 2024-01-02T04:00:00 105 115 95 110 2000"}, stats: replay.Stats{Rows: 2}},
		"databento-trades.csv":       {want: []string{"X 2020-12-28T13:00:00.000429 3720.5 1 sell", "X 2020-12-28T13:00:00.010429 3720.75 2 sell"}, stats: replay.Stats{Rows: 2}},
		"sentinel.csv":               {want: []string{"X 2024-01-02T10:00:01 5 1"}, stats: replay.Stats{Rows: 2, Bad: 1}, bad: []string{`2: price: want a number, got "9223372036854775807"`}},
		"comment.csv":                {want: []string{"X 2024-01-02T10:00:00 1 2 1 2 10", "X 2024-01-02T10:01:00 2 3 2 3 20"}, stats: replay.Stats{Rows: 2, Text: 1}},
		"header-only.csv":            {},
		"cr-only.csv":                {want: []string{"X 2024-01-02T10:00:00 5 1"}, stats: replay.Stats{Rows: 1}},
		"trailing2.csv":              {want: []string{"X 2024-01-02T10:00:00 1 2 1 2 10", "X 2024-01-02T10:01:00 2 3 2 3 20"}, stats: replay.Stats{Rows: 2}},
		"yf-multi.csv":               {want: []string{"MSFT 2023-02-17T00:00:00 255.84 256.53 252.49 254.52 30000100", "MSFT 2023-02-21T00:00:00 250.8 251 248.5 249 28397400"}, stats: replay.Stats{Rows: 2}},
		"polygon-trades.csv":         {want: []string{"A 2024-03-01T09:00:00.017254 137.36 1 12,37", "A 2024-03-01T09:00:01.017254 137.4 5 12,37"}, stats: replay.Stats{Rows: 2}},
		"coingecko.csv":              {want: []string{"X 2013-04-28T00:00:00 135.3 0", "X 2013-04-29T00:00:00 141.96 0"}, stats: replay.Stats{Rows: 2}},
		"bars.parquet":               {want: []string{"X 2024-03-06T05:00:00 171.06 171.24 168.68 169.12 68587710", "X 2024-03-07T05:00:00 169.15 170.73 168.49 169 71765060"}, stats: replay.Stats{Rows: 2}},
		"trades.parquet":             {want: []string{"BTC-USDT 2024-03-01T00:00:00.123456 60000.1 0.5 buy", "BTC-USDT 2024-03-01T00:00:00.123456 60000.2 0 sell", "ETH-USDT 2024-03-01T00:00:01 3000.3 2"}, stats: replay.Stats{Rows: 3, NoVolume: 1}},
		"times.csv": {stats: replay.Stats{Rows: 27, Bad: 6}, want: []string{
			"X 1969-12-31T23:59:59 21 1",
			"X 2024-03-01T00:00:00 2 1", "X 2024-03-01T00:00:00 8 1", "X 2024-03-01T00:00:00 11 1", "X 2024-03-01T00:00:00 13 1",
			"X 2024-03-01T00:00:00 16 1", "X 2024-03-01T00:00:00 22 1", "X 2024-03-01T00:00:00 24 1", "X 2024-03-01T00:00:00 26 1",
			"X 2024-03-01T00:00:00.123 3 1", "X 2024-03-01T00:00:00.123 19 1",
			"X 2024-03-01T00:00:00.123456 4 1", "X 2024-03-01T00:00:00.123456 5 1", "X 2024-03-01T00:00:00.123456 6 1",
			"X 2024-03-01T00:00:00.123456 7 1", "X 2024-03-01T00:00:00.123456 17 1", "X 2024-03-01T00:00:00.123456 18 1",
			"X 2024-03-01T00:00:00.5 9 1", "X 2024-03-01T00:00:01 10 1", "X 2024-03-01T00:00:01 12 1", "X 2024-03-02T00:00:00 27 1"},
			bad: []string{"2: time: want a time, got 0", `15: time: want a time with all its digits`, `16: time: want a time of which day and month are known`,
				"21: time: want a time, got -1", "24: time: want a time, got 45352.5", `26: time: want a time of which day and month are known`}},
	} {
		if c.cfg.Symbol = "X"; name == "polygon-trades.csv" || name == "trades.parquet" {
			c.cfg.Symbol = ""
		}
		ticks, stats, bad := load(t, c.cfg, name)
		if got := told(ticks); !slices.Equal(got, c.want) || stats != c.stats {
			t.Errorf("%s\n got %q %+v\nwant %q %+v", name, got, stats, c.want, c.stats)
		}
		if !slices.EqualFunc(bad, c.bad, strings.HasPrefix) {
			t.Errorf("%s: bad rows are %q, want %q", name, bad, c.bad)
		}
	}
}

// TestCasesTogether reads files of one source in one command, in either order, and
// one after another against what is stored.
func TestCasesTogether(t *testing.T) {
	for _, c := range []struct {
		first, second string
		adds          [2]int // ticks of each
	}{
		{"K-2024-01.csv", "K-2024-02.csv", [2]int{20, 20}},
		{"K-2024-02.csv", "K-2024-01.csv", [2]int{20, 20}},
		{"newest1.csv", "newest2.csv", [2]int{12, 4}},
		{"newest2.csv", "newest1.csv", [2]int{16, 0}},
		{"roll1.csv", "roll2.csv", [2]int{12, 4}},
		{"roll2.csv", "roll1.csv", [2]int{12, 4}},
		{"recent-trades-1.csv", "recent-trades-2.csv", [2]int{100, 3}},
		{"recent-trades-2.csv", "recent-trades-1.csv", [2]int{100, 3}},
	} {
		cfg := replay.Config{Symbol: "X", Session: replay.NewSession()}
		a, _, _ := load(t, cfg, c.first)
		b, _, _ := load(t, cfg, c.second)
		if len(a) != c.adds[0] || len(b) != c.adds[1] {
			t.Errorf("%s, %s: %d and %d ticks, want %v", c.first, c.second, len(a), len(b), c.adds)
		}
		stored := map[feed.Tick]bool{}
		for i, name := range []string{c.first, c.second, c.first} {
			ticks, _, _ := load(t, replay.Config{Symbol: "X"}, name)
			added := 0
			for _, k := range ticks {
				if !stored[k] {
					added++
				}
				stored[k] = true
			}
			if want := []int{c.adds[0], c.adds[1], 0}[i]; added != want {
				t.Errorf("%s, %s, %s: the %dth adds %d ticks, want %d", c.first, c.second, c.first, i, added, want)
			}
		}
	}
}

package indicator

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/markcheno/go-talib"

	"github.com/hypertick/hypertick/db/dbtest"
)

var update = flag.Bool("update", false, "write the table of agreement into docs/indicators.md")

// tolerance is relative.
const tolerance = 1e-9

// npm is where make test has installed the data and TA-Lib's C code.
func npm(t testing.TB) string {
	t.Helper()
	dir := filepath.Join("..", "testdata", "npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		t.Fatalf("run npm ci in testdata/npm (make test does): %v", err)
	}
	return dir
}

// sp500 is the S&P 500, day by day from 2000 to 2020.
func sp500(t testing.TB) []bar {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(npm(t), "node_modules/vega-datasets/data/sp500-2000.csv"))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var bars []bar
	for _, row := range rows[1:] {
		at, err := time.Parse(time.DateOnly, row[0])
		if err != nil {
			t.Fatal(err)
		}
		var f [7]float64
		for i := 1; i < 7; i++ {
			if f[i], err = strconv.ParseFloat(row[i], 64); err != nil {
				t.Fatal(err)
			}
		}
		bars = append(bars, bar{at, f[1], f[2], f[3], f[4], f[6]})
	}
	return bars
}

// trades are four ticks that make up the bar.
func trades(symbol string, b bar, seq int64) []tick {
	open := b.at.Add(14*time.Hour + 30*time.Minute)
	return []tick{
		{open, symbol, b.open, b.volume / 4, seq},
		{open.Add(time.Hour), symbol, b.high, b.volume / 4, seq + 1},
		{open.Add(2 * time.Hour), symbol, b.low, b.volume / 4, seq + 2},
		{open.Add(6 * time.Hour), symbol, b.close, b.volume / 4, seq + 3},
	}
}

func column(bars []bar, of func(bar) float64) []float64 {
	out := make([]float64, len(bars))
	for i, b := range bars {
		out[i] = of(b)
	}
	return out
}

// native asks TA-Lib's C code, compiled to WASM.
func native(t testing.TB, bars []bar) map[string]map[string][]float64 {
	t.Helper()
	in, err := json.Marshal(map[string][]float64{
		"open":   column(bars, func(b bar) float64 { return b.open }),
		"high":   column(bars, func(b bar) float64 { return b.high }),
		"low":    column(bars, func(b bar) float64 { return b.low }),
		"close":  column(bars, func(b bar) float64 { return b.close }),
		"volume": column(bars, func(b bar) float64 { return b.volume }),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "talib.mjs")
	cmd.Dir = npm(t)
	cmd.Stdin = bytes.NewReader(in)
	cmd.Stderr = os.Stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string][]float64{}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// ported asks go-talib. Its MACD is wrong at the start, so it is not asked for that.
func ported(bars []bar) map[string][]float64 {
	high := column(bars, func(b bar) float64 { return b.high })
	low := column(bars, func(b bar) float64 { return b.low })
	end := column(bars, func(b bar) float64 { return b.close })
	upper, middle, lower := talib.BBands(end, 20, 2, 2, talib.SMA)
	return map[string][]float64{
		"rsi(14)": talib.Rsi(end, 14), "rsi(9)": talib.Rsi(end, 9),
		"ema(12)": talib.Ema(end, 12), "ema(26)": talib.Ema(end, 26), "ema(50)": talib.Ema(end, 50), "ema(200)": talib.Ema(end, 200), "ema(33)": talib.Ema(end, 33),
		"atr(14)": talib.Atr(high, low, end, 14), "atr(7)": talib.Atr(high, low, end, 7),
		"bollinger(20).upper": upper, "bollinger(20).middle": middle, "bollinger(20).lower": lower,
	}
}

// conformance says which series of ours is which output of TA-Lib's.
var conformance = []struct {
	name   string
	params map[string]any
	series string
	talib  string // name(parameters) in testdata/npm/talib.mjs
	output string
	first  int // index of the first defined value that TA-Lib documents
}{
	{"sma", map[string]any{"period": 20}, "sma", "sma(20)", "output", 19},
	{"sma", map[string]any{"period": 50}, "sma", "sma(50)", "output", 49},
	{"sma", map[string]any{"period": 200}, "sma", "sma(200)", "output", 199},
	{"wma", map[string]any{"period": 20}, "wma", "wma(20)", "output", 19},
	{"ema", map[string]any{"period": 12}, "ema", "ema(12)", "output", 11},
	{"ema", map[string]any{"period": 26}, "ema", "ema(26)", "output", 25},
	{"ema", map[string]any{"period": 50}, "ema", "ema(50)", "output", 49},
	{"ema", map[string]any{"period": 200}, "ema", "ema(200)", "output", 199},
	{"ema", map[string]any{"period": 33}, "ema", "ema(33)", "output", 32},
	{"rsi", map[string]any{"period": 14}, "rsi", "rsi(14)", "output", 14},
	{"rsi", map[string]any{"period": 9}, "rsi", "rsi(9)", "output", 9},
	{"macd", nil, "macd", "macd(12,26,9)", "MACD", 33},
	{"macd", nil, "signal", "macd(12,26,9)", "MACDSignal", 33},
	{"macd", nil, "histogram", "macd(12,26,9)", "MACDHist", 33},
	{"macd", map[string]any{"fast": 5, "slow": 35, "signal": 5}, "macd", "macd(5,35,5)", "MACD", 38},
	{"macd", map[string]any{"fast": 5, "slow": 35, "signal": 5}, "signal", "macd(5,35,5)", "MACDSignal", 38},
	{"bollinger", nil, "upper", "bollinger(20).upper", "", 19},
	{"bollinger", nil, "middle", "bollinger(20).middle", "", 19},
	{"bollinger", nil, "lower", "bollinger(20).lower", "", 19},
	{"atr", map[string]any{"period": 14}, "atr", "atr(14)", "output", 14},
	{"atr", map[string]any{"period": 7}, "atr", "atr(7)", "output", 7},
	{"adx", nil, "adx", "adx(14)", "output", 27},
	{"adx", nil, "plus_di", "plus_di(14)", "output", 14},
	{"adx", nil, "minus_di", "minus_di(14)", "output", 14},
	{"stochastic", nil, "k", "stochastic(14,3,3)", "k", 17},
	{"stochastic", nil, "d", "stochastic(14,3,3)", "d", 17},
	{"stochastic", map[string]any{"period": 5}, "k", "stochastic(5,3,3)", "k", 8},
	{"stochastic", map[string]any{"period": 5}, "d", "stochastic(5,3,3)", "d", 8},
	{"roc", nil, "roc", "roc(10)", "output", 10},
	{"obv", nil, "obv", "obv(0)", "output", 0},
}

// TestConformance compares every value of every indicator that TA-Lib has too,
// over 20 years of daily bars that went in as ticks: from the first bar on, and
// again from the middle of history, where the block states answer.
func TestConformance(t *testing.T) {
	bars := sp500(t)
	d := dbtest.New(t)
	fewChunks(t, d)
	var ticks []tick
	index := map[time.Time]int{}
	for i, b := range bars {
		ticks = append(ticks, trades("SPX", b, int64(4*i+1))...)
		index[b.at] = i
	}
	insert(t, d, ticks...)
	// Twenty years in one piece: what is many batches of minutes is few rows.
	if _, err := d.Pool.Exec(t.Context(), `SELECT alter_job(job_id, config => config || '{"buckets_per_batch": 0}')
		FROM timescaledb_information.jobs WHERE proc_name = 'policy_refresh_continuous_aggregate'`); err != nil {
		t.Fatal(err)
	}
	d.Settle(t)

	c, port := native(t, bars), ported(bars)
	begin, end := bars[0].at.AddDate(0, -1, 0), bars[len(bars)-1].at.AddDate(0, 0, 1)
	middle := bars[len(bars)-500].at
	var table strings.Builder
	table.WriteString("| indicator | parameters | series | first defined on bar | values | furthest from TA-Lib's C | from go-talib |\n|---|---|---|---|---|---|---|\n")
	for _, k := range conformance {
		params := strings.TrimSuffix(k.talib[strings.Index(k.talib, "(")+1:], ")")
		params, _, _ = strings.Cut(params, ")")
		var refs [2][]float64
		if outs, ok := c[k.talib]; ok {
			// Left-aligned: pad on the left.
			refs[0] = append(make([]float64, len(bars)-len(outs[k.output])), outs[k.output]...)
			if got := len(bars) - len(outs[k.output]); got != k.first {
				t.Errorf("%s %s: TA-Lib's first index is %d, expected %d", k.talib, k.output, got, k.first)
			}
		}
		refs[1] = port[k.talib]
		if refs[0] == nil && refs[1] == nil {
			t.Fatalf("%s: nothing to compare with", k.talib)
		}
		// A MACD near 0 is a difference of prices: judged on a scale of a thousandth of them.
		scale := 0.0
		if k.name == "macd" {
			scale = 1
		}
		whole := evaluate(t, d, k.name, "SPX", "1d", begin, end, k.params)[k.series]
		part := evaluate(t, d, k.name, "SPX", "1d", middle, end, k.params)[k.series]
		if len(whole) != len(bars)-k.first {
			t.Errorf("%s %s: %d values, want %d", k.talib, k.series, len(whole), len(bars)-k.first)
		}
		if len(part) != 500 {
			t.Errorf("%s %s: %d values from the middle on, want 500", k.talib, k.series, len(part))
		}
		var far [2]float64
		for _, values := range []map[time.Time]float64{whole, part} {
			for at, got := range values {
				i, ok := index[at]
				if !ok || i < k.first {
					t.Fatalf("%s %s: a value on %v", k.talib, k.series, at)
				}
				for r, ref := range refs {
					if ref != nil {
						far[r] = math.Max(far[r], apart(got, ref[i], scale))
					}
				}
			}
		}
		cell := [2]string{"", ""}
		for r := range refs {
			if refs[r] == nil {
				continue
			}
			cell[r] = fmt.Sprintf("%.0e", far[r])
			if !(far[r] <= tolerance) {
				t.Errorf("%s %s: %g from reference %d", k.talib, k.series, far[r], r)
			}
		}
		fmt.Fprintf(&table, "| %s | %s | %s | %d | %d | %s | %s |\n", k.name, params, k.series, k.first, len(whole), cell[0], cell[1])
	}
	if t.Failed() {
		t.Log("\n" + table.String())
	}
	if *update && !t.Failed() {
		writeTable(t, table.String())
	}
}

// writeTable puts the table between its marks in docs/indicators.md.
func writeTable(t *testing.T, table string) {
	t.Helper()
	const path, from, to = "../docs/indicators.md", "<!-- agreement: written by go test ./indicator -run Conformance -update -->\n", "<!-- end of agreement -->"
	doc, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(doc), from)
	_, tail, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatalf("%s: marks not found", path)
	}
	if err := os.WriteFile(path, []byte(head+from+table+to+tail), 0o644); err != nil {
		t.Fatal(err)
	}
}

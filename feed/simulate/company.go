package simulate

import "math"

// MaxSymbols is how many companies there can be.
const MaxSymbols = 10_000

// Company is one simulated listing.
type Company struct {
	Symbol string
	Name   string
	Sector string
	Price  float64 // around which the price moves
	// Volatility is the standard deviation of a year's log return.
	Volatility float64
	// Activity is its share of all ticks, relative to the others.
	Activity float64
}

var sectors = [...]string{
	"technology", "communication", "consumer", "finance", "health", "energy", "industry", "staples",
}

// The first 24. Prices and volatilities are of a realistic size, no more.
var builtin = [...]Company{
	{"AAPL", "Apple", "technology", 229.00, 0.26, 10},
	{"MSFT", "Microsoft", "technology", 418.00, 0.23, 8},
	{"NVDA", "NVIDIA", "technology", 138.00, 0.48, 14},
	{"AVGO", "Broadcom", "technology", 171.00, 0.38, 4},
	{"AMD", "Advanced Micro Devices", "technology", 139.00, 0.46, 6},
	{"ORCL", "Oracle", "technology", 187.00, 0.30, 2.5},
	{"INTC", "Intel", "technology", 24.50, 0.44, 4},
	{"GOOGL", "Alphabet", "communication", 168.00, 0.28, 6},
	{"META", "Meta Platforms", "communication", 559.00, 0.34, 5},
	{"NFLX", "Netflix", "communication", 897.00, 0.36, 2.5},
	{"DIS", "Walt Disney", "communication", 115.00, 0.27, 2},
	{"AMZN", "Amazon", "consumer", 203.00, 0.30, 7},
	{"TSLA", "Tesla", "consumer", 342.00, 0.58, 12},
	{"NKE", "Nike", "consumer", 77.00, 0.31, 1.8},
	{"JPM", "JPMorgan Chase", "finance", 248.00, 0.24, 2.5},
	{"BAC", "Bank of America", "finance", 47.00, 0.27, 3},
	{"V", "Visa", "finance", 310.00, 0.20, 1.5},
	{"UNH", "UnitedHealth", "health", 598.00, 0.26, 1.4},
	{"PFE", "Pfizer", "health", 25.60, 0.25, 2.5},
	{"XOM", "Exxon Mobil", "energy", 121.00, 0.25, 2.4},
	{"CVX", "Chevron", "energy", 161.00, 0.24, 1.5},
	{"BA", "Boeing", "industry", 150.00, 0.38, 1.8},
	{"KO", "Coca-Cola", "staples", 63.50, 0.20, 1.8},
	{"WMT", "Walmart", "staples", 90.00, 0.21, 2.2},
}

// Companies returns the first n companies: 24 known names, then made-up ones.
// They do not depend on a seed.
func Companies(n int) []Company {
	n = min(max(n, 0), MaxSymbols)
	out := append(make([]Company, 0, n), builtin[:min(n, len(builtin))]...)
	taken := make(map[string]bool, n)
	for _, c := range builtin {
		taken[c.Symbol] = true
	}
	for k := uint64(0); len(out) < n; k++ {
		symbol := ticker(k)
		if taken[symbol] {
			continue
		}
		taken[symbol] = true
		h := mix(k + 0x5eed)
		out = append(out, Company{
			Symbol: symbol,
			Name:   symbol + " (made up)",
			Sector: sectors[h%uint64(len(sectors))],
			// Half of all prices lie between 20 and 90.
			Price:      math.Round(100*42*math.Exp(1.1*normal(mix(h+1)))) / 100,
			Volatility: 0.20 + 0.40*math.Pow(unit(mix(h+2)), 1.5),
			Activity:   20 / float64(len(out)), // Zipf: a few companies make most of the trades
		})
	}
	return out
}

// ticker names the k-th made-up company with four letters. The step is coprime
// to 26^4, so no name comes twice.
func ticker(k uint64) string {
	const all = 26 * 26 * 26 * 26
	v := (k*135_207 + 90_001) % all
	var b [4]byte
	for i := range b {
		b[i] = byte('A' + v%26)
		v /= 26
	}
	return string(b[:])
}

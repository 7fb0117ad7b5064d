package dbtest

// OddSymbols are symbols as vendors write them, and those that break what builds a
// path, a query, a list, HTML or SQL out of a symbol by hand.
var OddSymbols = []string{
	"^GSPC", "ES=F", "M&M.NS", "EURUSD=X", "SPY   251219C00650000", "O:SPY251219C00650000", "BTC/USDT:USDT", "币安人生USDT",
	"1000SHIB/USDT", "BTC-USD@BINANCE", "NIFTY 50", "#BTC", "@ES", "BRK B", "+ESZ5", "RY PR A", "SPX*", "CL1!", "USD(CAD)", "$SPX.X",
	// No vendor's, or not in that list.
	"AAPL", "aapl", "A,B", "*", "a?c", `back\slash`, `"quoted"`, "it's", "<b>bold</b>", "100%", "50%25", "A%2FB", "a/ticks", "%", "_",
	"null", "ÄÖÜß", "🚀", "$__all", "${symbol}", "{{.}}", "0123456789012345678901234567890123456789012345678901234567890123",
}

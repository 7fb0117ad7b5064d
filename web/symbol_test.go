package web_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/web"
)

// TestOddSymbols shows every symbol on the page, finds it, and follows it.
func TestOddSymbols(t *testing.T) {
	if !web.Built() {
		if os.Getenv("CI") != "" {
			t.Fatal("the page is not built: make web")
		}
		t.Skip("the page is not built: make web")
	}
	chromium(t)
	d := dbtest.New(t)
	seq := int64(0)
	trade := func(n int, at time.Time) {
		t.Helper()
		var ticks []dbtest.Tick
		for i, s := range dbtest.OddSymbols {
			seq++
			ticks = append(ticks, dbtest.Tick{TS: at, Symbol: s, Price: float64(1000*(i+1) + n), Size: 1, Seq: seq, Venue: "SIM"})
		}
		d.Commit(t, ticks, nil)
	}
	now := time.Now().UTC()
	for n := range 30 {
		trade(n, now.Add(time.Duration(n-30)*5*time.Minute))
	}
	d.Settle(t)
	pool, err := db.Open(context.Background(), d.URLAs(t, "hypertick_reader"), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	server, err := api.New(api.Config{Pool: pool, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	p := openPage(t, "http://"+server.Addr())
	p.look("dark", 1440, 900)
	shown := func(s string) string {
		return ready + ` && document.querySelector("#symbol-name").textContent === ` + strconv.Quote(s) +
			` && new URLSearchParams(location.search).get("s") === ` + strconv.Quote(s)
	}
	closes := func(s string, n int) string {
		i := slices.Index(dbtest.OddSymbols, s)
		return fmt.Sprintf(` && document.querySelector("#price").textContent.replaceAll(",", "").startsWith("%d.")`, 1000*(i+1)+n)
	}
	for i, s := range dbtest.OddSymbols {
		address := "/?i=5m&s=" + url.QueryEscape(s)
		if i%10 == 0 {
			p.open(address)
		} else { // as the button Back does, which is faster than to load the page
			p.eval(`history.pushState(null, "", ` + strconv.Quote(address) + `); dispatchEvent(new PopStateEvent("popstate"))`)
		}
		p.until(s+" is on the chart", shown(s)+closes(s, 29))
	}
	p.until("the screener lists all", fmt.Sprintf("%s === %d", listing, len(dbtest.OddSymbols)))
	for _, s := range []string{"btc/usdt:usdt", "^gspc", "币安人生usdt", "brk b", "<B>BOLD</B>", "spy   2512"} {
		p.click("#symbol")
		p.until("the search is open", `document.activeElement?.id === "search-input"`)
		p.do(chromedp.KeyEvent(s))
		p.until("the search finds "+s, `document.querySelector("#search-list li b")?.textContent.toLowerCase().startsWith(`+strconv.Quote(s)+`.toLowerCase())`)
		found := p.eval(`document.querySelector("#search-list li b").textContent`)
		p.click("#search-list li")
		name, err := strconv.Unquote(found)
		if err != nil || !slices.Contains(dbtest.OddSymbols, name) {
			t.Fatalf("%s is no symbol (%v)", found, err)
		}
		p.until(name+" is on the chart", shown(name)+closes(name, 29))
	}
	for _, s := range []string{"es=f", "EURUSD=X", "nifty 50", "<b>"} {
		p.eval(`(() => { const f = document.querySelector("#screener-filter"); f.value = ` + strconv.Quote(s) + `; f.dispatchEvent(new Event("input")); })()`)
		p.until("one fits "+s, listing+` === 1 && document.querySelector("#screener-body tr").dataset.symbol.toLowerCase().includes(`+strconv.Quote(s)+`.toLowerCase())`)
	}
	// A row leads to its chart, and the stream follows both.
	p.eval(`(() => { const f = document.querySelector("#screener-filter"); f.value = ""; f.dispatchEvent(new Event("input")); })()`)
	p.until("the screener lists all again", fmt.Sprintf("%s === %d", listing, len(dbtest.OddSymbols)))
	p.click(`#screener-body tr[data-symbol="A,B"] button`)
	p.until("A,B is on the chart", shown("A,B")+closes("A,B", 29))
	trade(77, time.Now().UTC())
	p.until("its trade is", shown("A,B")+closes("A,B", 77))
	for _, s := range []string{"币安人生USDT", "SPX*", "*"} {
		i := slices.Index(dbtest.OddSymbols, s)
		p.until("the trade of "+s+" is in the screener", fmt.Sprintf(`document.querySelector('#screener-body tr[data-symbol="%s"] td:nth-of-type(2)').textContent.replaceAll(",", "").startsWith("%d.")`, s, 1000*(i+1)+77))
	}
	if said := p.errors(); len(said) > 0 {
		t.Errorf("console: %q", said)
	}
}

package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/web"
)

// shotsEnv names a directory for the screenshots; without it they are the
// test's own and go with it.
const shotsEnv = "HYPERTICK_TEST_SHOTS"

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// fasthttp keeps one clock for the life of the process,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"),
		// and what clears idle workers notices the end of a server within 10 s.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"))
}

const (
	ready   = `document.body.dataset.chart === "ready" && document.querySelector("#link").dataset.state === "live"`
	field   = `document.querySelector(".f-%s b").textContent`
	panes   = `document.querySelectorAll("#chart tr canvas").length`
	listing = `document.querySelectorAll("#screener-body tr").length`
)

func closing() string { return fmt.Sprintf(field, "close") }

// What the user of the page can see and do, in a browser, on live data.
func TestPage(t *testing.T) {
	if !web.Built() {
		if os.Getenv("CI") != "" {
			t.Fatal("the page is not built: make web")
		}
		t.Skip("the page is not built: make web")
	}
	chromium(t)
	m := newMarket(t)
	p := openPage(t, m.url)
	p.look("dark", 1440, 900)
	p.open("/")
	p.until("the chart is there and live", ready)
	p.until("the screener lists all", fmt.Sprintf("%s === %d", listing, len(prices)))
	p.until("every row has its trail", fmt.Sprintf(`document.querySelectorAll("#screener-body svg").length === %d`, len(prices)))

	t.Run("first view", func(t *testing.T) {
		p.t = t
		p.mu.Lock()
		sent, hosts := p.bytes, len(p.hosts)
		p.mu.Unlock()
		t.Logf("first view: %.0f kB", sent/1000)
		if sent < 20_000 || sent > 250_000 {
			t.Errorf("first view transfers %.0f bytes", sent)
		}
		if hosts != 1 {
			t.Errorf("the page spoke to %v", p.hosts)
		}
		p.eval(`new PerformanceObserver((l) => { for (const e of l.getEntries()) window.shifted = (window.shifted ?? 0) + e.value; }).observe({ type: "layout-shift", buffered: true })`)
		p.until("the observer has run", `performance.now() > 0`)
		var shifted float64
		if err := json.Unmarshal([]byte(p.eval("window.shifted ?? 0")), &shifted); err != nil || shifted > 0.02 {
			t.Errorf("layout shifted by %v (%v)", shifted, err)
		}
		if said := p.errors(); len(said) > 0 {
			t.Errorf("console: %q", said)
		}
	})

	t.Run("live", func(t *testing.T) {
		p.t = t
		before := p.eval(closing())
		p.until("the candle moves", closing()+" !== "+before)
		p.until("the screener moves with it", `document.querySelector("#screener-body tr[aria-current] td:nth-of-type(2)").textContent === document.querySelector("#price").textContent`)
		p.until("the rate is shown", `parseFloat(document.querySelector("#st-rate").textContent) > 0`)
		p.until("all jobs are ok", `document.querySelector("#st-jobs").textContent === "ok"`)
	})

	t.Run("symbol and interval", func(t *testing.T) {
		p.t = t
		p.do(chromedp.KeyEvent("/"))
		// Typed, not chromedp.SendKeys: that reads the element's attributes while events write them.
		p.until("the search is open", `document.activeElement?.id === "search-input"`)
		p.eval(`document.querySelector("#search-input").value = ""`) // chromedp types the slash although the key was handled
		p.do(chromedp.KeyEvent("nvd"))
		p.until("the search finds it", `document.querySelector("#search-list li b")?.textContent === "NVDA"`)
		p.do(chromedp.KeyEvent(kb.Enter))
		p.until("it is on the chart", ready+` && document.querySelector("#symbol-name").textContent === "NVDA" && document.title.startsWith("NVDA ")`)
		p.do(chromedp.KeyEvent("4"))
		p.until("hours", ready+` && /:00$/.test(`+fmt.Sprintf(field, "time")+`) && location.search.includes("i=1h")`)
		p.click(`[data-preset="4H"]`)
		p.until("minutes", ready+` && location.search.includes("i=1m") && location.search.includes("bars=240")`)
		p.click(`#screener-body tr[data-symbol="KO"] button`)
		p.until("a row opens its chart", ready+` && location.search.includes("s=KO")`)
		p.eval("history.back()")
		p.until("back", ready+` && document.querySelector("#symbol-name").textContent === "NVDA"`)
	})

	t.Run("indicators", func(t *testing.T) {
		p.t = t
		before := p.eval(panes)
		p.click("#indicators")
		p.click(`.entry[data-indicator="rsi"]`)
		p.until("a pane for it", panes+" > "+before)
		p.until("with its value", `parseFloat(document.querySelector('.study[data-indicator="rsi"] b').textContent) > 0`)
		p.do(chromedp.SetValue(chromedp.CSS("#picker-active input[name=period]"), "9"))
		p.eval(`document.querySelector("#picker-active input[name=period]").dispatchEvent(new Event("input", { bubbles: true }))`)
		p.until("its period changes", `document.querySelector('.study[data-indicator="rsi"] .name').textContent === "RSI 9" && location.search.includes("rsi(period=9)")`)
		after := p.eval(panes)
		p.click(`.entry[data-indicator="bollinger"]`)
		p.until("the bands", `document.querySelectorAll('.study[data-indicator="bollinger"] b').length === 3`)
		if now := p.eval(panes); now != after {
			t.Errorf("bands took a pane: %s canvases, then %s", after, now)
		}
		p.do(chromedp.KeyEvent(kb.Escape))
		p.until("the picker closes", `!document.querySelector("dialog[open]")`)
	})

	t.Run("an indicator of your own", func(t *testing.T) {
		p.t = t
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "20001_spread.sql"), []byte(spread), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := db.Migrate(context.Background(), m.db.URL, dbtest.Log(t), dir); err != nil {
			t.Fatal(err)
		}
		p.click("#indicators")
		p.until("it is in the picker", `document.querySelector('.entry[data-indicator="page_spread"] span')?.textContent === "Spread of a bar"`)
		p.click(`.entry[data-indicator="page_spread"]`)
		p.until("both its series are drawn", `document.querySelectorAll('.study[data-indicator="page_spread"] b').length === 1 && document.querySelector('.study[data-indicator="page_spread"] b').textContent !== "–"`)
		p.do(chromedp.KeyEvent(kb.Escape))
	})

	t.Run("reload keeps the view", func(t *testing.T) {
		p.t = t
		address, studies := p.eval("location.href"), p.eval(`[...document.querySelectorAll(".study .name")].map((e) => e.textContent)`)
		p.do(chromedp.Reload())
		p.until("it is back", ready+` && document.querySelectorAll(".study b").length >= 5`)
		if now := p.eval("location.href"); now != address {
			t.Errorf("address %s, then %s", address, now)
		}
		if now := p.eval(`[...document.querySelectorAll(".study .name")].map((e) => e.textContent)`); now != studies {
			t.Errorf("indicators %s, then %s", studies, now)
		}
	})

	t.Run("history", func(t *testing.T) {
		p.t = t
		p.mu.Lock()
		before := p.older
		p.mu.Unlock()
		for asked := before; asked == before; {
			p.do(chromedp.KeyEvent(kb.ArrowLeft))
			p.mu.Lock()
			asked = p.older
			p.mu.Unlock()
		}
		p.until("the address says where", `location.search.includes("from=") && location.search.includes("to=")`)
		p.do(chromedp.Reload())
		p.until("a reload shows that time", ready+` && !document.querySelector("#live").hidden`)
		p.click("#live")
		p.until("and back to now", ready+` && !location.search.includes("from=")`)
	})

	t.Run("filter", func(t *testing.T) {
		p.t = t
		p.click("#screener-filter")
		p.until("the filter is open", `document.activeElement?.id === "screener-filter"`)
		p.do(chromedp.KeyEvent("close>1000"))
		p.until("one is left", listing+" === 1")
		p.click(`th[data-column="symbol"] button`)
		p.until("sorted", `document.querySelector('th[data-column="symbol"]').ariaSort === "descending"`)
		p.eval(`(() => { const f = document.querySelector("#screener-filter"); f.value = ""; f.dispatchEvent(new Event("input")); })()`)
		p.until("all, the other way round", fmt.Sprintf(`%s === %d && document.querySelector("#screener-body tr").dataset.symbol === "XOM"`, listing, len(prices)))
	})

	if said := p.errors(); len(said) > 0 {
		t.Errorf("console: %q", said)
	}

	t.Run("screenshots", func(t *testing.T) {
		p.t = t
		p.open("/?s=NVDA&i=5m&bars=150&ind=bollinger&ind=rsi&ind=macd&sort=-change_1d")
		for _, s := range []struct {
			name, scheme  string
			width, height int64
		}{{"dark", "dark", 1440, 900}, {"light", "light", 1440, 900}, {"phone", "dark", 390, 844}} {
			p.look(s.scheme, s.width, s.height)
			p.until("drawn", ready+` && document.querySelectorAll(".study b").length >= 7 && document.querySelectorAll("#screener-body svg").length >= (innerWidth < 600 ? 4 : 8)`)
			if s.width < 600 {
				if wide := p.eval("document.documentElement.scrollWidth > innerWidth"); wide != "false" {
					t.Error("the page scrolls sideways on a phone")
				}
			}
			p.shot(s.name)
		}
	})

	t.Run("reference", func(t *testing.T) {
		p.t = t
		p.look("light", 1440, 900)
		p.open("/docs")
		p.until("every operation is listed", `[...document.querySelectorAll(".opblock-summary-path")].some((e) => e.textContent.includes("candles"))`)
		p.shot("docs")
		if said := p.errors(); len(said) > 0 {
			t.Errorf("console: %q", said)
		}
		p.mu.Lock()
		if len(p.hosts) != 1 {
			t.Errorf("the reference spoke to %v", p.hosts)
		}
		p.mu.Unlock()
	})

	t.Run("stale", func(t *testing.T) {
		p.t = t
		p.look("dark", 1440, 900)
		p.open("/?s=NVDA&i=1m")
		p.until("live again", ready)
		m.halt()
		m.broker.Close()
		p.until("the page says so", `!document.querySelector("#alarm").hidden && document.querySelector("#alarm").textContent.startsWith("Data is stale")`)
		p.shot("stale")
	})
}

// spread is an indicator of which the page knows nothing.
const spread = `-- +goose Up
CREATE FUNCTION indicator.page_spread(symbol text, "interval" text, "from" timestamptz, "to" timestamptz, factor float8 DEFAULT 1)
RETURNS SETOF indicator.point LANGUAGE sql STABLE AS $$
    SELECT bucket, 'spread', (high - low) * factor FROM public.candles(symbol, "interval", "from", "to")
$$;
COMMENT ON FUNCTION indicator.page_spread IS 'Spread of a bar
High less low, times factor.
@param factor 0..100 Times.
@series spread Never below 0.';
-- +goose Down
DROP FUNCTION indicator.page_spread;
`

// The page without a server behind it: it says that it reconnects, and does.
func TestPageReconnects(t *testing.T) {
	if !web.Built() {
		t.Skip("the page is not built: make web")
	}
	chromium(t)
	d := dbtest.New(t)
	m := &market{db: d}
	m.seed(t)
	d.Settle(t)
	pool, err := db.Open(context.Background(), d.URLAs(t, "hypertick_reader"), 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	serve := func(listen string) (string, func()) {
		ctx, cancel := context.WithCancel(context.Background())
		var server *api.Server
		// The old listener's address may be held for a moment.
		for server == nil {
			s, err := api.New(api.Config{Pool: pool, Listen: listen, Log: slog.New(slog.DiscardHandler)})
			var busy interface{ Timeout() bool }
			switch {
			case err == nil:
				server = s
			case errors.As(err, &busy) && listen != "127.0.0.1:0":
			default:
				t.Fatal(err)
			}
		}
		done := make(chan error, 1)
		go func() { done <- server.Run(ctx) }()
		return server.Addr(), func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	addr, stop := serve("127.0.0.1:0")
	p := openPage(t, "http://"+addr)
	p.look("light", 1200, 800)
	p.open("/?s=AAPL&i=5m")
	p.until("live", ready)
	stop()
	p.until("it says that it reconnects", `document.querySelector("#link").textContent.startsWith("reconnecting") && !document.querySelector("#alarm").hidden`)
	_, stop = serve(addr)
	p.until("it has come back by itself", ready)
	stop()
}

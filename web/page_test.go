package web_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/hypertick/hypertick/api"
	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/db/dbtest"
	"github.com/hypertick/hypertick/embedded"
	"github.com/hypertick/hypertick/feed"
	"github.com/hypertick/hypertick/ingest"
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

// prices are the symbols of the test's market and where each begins.
var prices = map[string]float64{"AAPL": 189, "AMD": 138, "BTC-USDT": 91250, "KO": 62, "MSFT": 421, "NVDA": 134, "TSLA": 340, "XOM": 118}

// market is everything between a trade and the page: a broker, ingest, a
// database with some history, the API.
type market struct {
	db     *dbtest.DB
	url    string
	broker *embedded.Broker
	// halt stops the trades.
	halt func()
}

func newMarket(t *testing.T) *market {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	m := &market{db: dbtest.New(t)}
	last := m.seed(t)
	m.db.Settle(t)

	var err error
	if m.broker, err = embedded.StartBroker(ctx, embedded.BrokerConfig{Log: dbtest.Log(t)}); err != nil {
		t.Fatal(err)
	}
	brokers := []string{m.broker.Addr()}
	producer, err := feed.NewProducer(feed.ProducerConfig{Brokers: brokers, Log: dbtest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := producer.EnsureTopic(ctx, 4); err != nil {
		t.Fatal(err)
	}
	pool := func(role string) *ingest.Config {
		p, err := db.Open(ctx, m.db.URLAs(t, role), 4)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.Close)
		return &ingest.Config{Pool: p}
	}
	in := pool("hypertick_writer")
	in.Brokers, in.MetricsListen, in.Log = brokers, "127.0.0.1:0", dbtest.Log(t)
	ingester, err := ingest.New(*in)
	if err != nil {
		t.Fatal(err)
	}
	server, err := api.New(api.Config{Pool: pool("hypertick_reader").Pool, Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m.url = "http://" + server.Addr()

	var parts sync.WaitGroup
	trading, halt := context.WithCancel(ctx)
	m.halt = halt
	run := func(name string, f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	run("ingest", ingester.Run)
	run("api", server.Run)
	parts.Go(func() { trade(trading, t, producer, last) })
	t.Cleanup(func() {
		cancel()
		parts.Wait()
		producer.Close()
		m.broker.Close()
	})
	return m
}

// seed stores two days of history and returns the last price of each symbol.
func (m *market) seed(t *testing.T) map[string]float64 {
	t.Helper()
	ctx := context.Background()
	r := rand.New(rand.NewPCG(3, 5))
	now := time.Now().UTC()
	last := map[string]float64{}
	var rows [][]any
	for symbol, price := range prices {
		seq := int64(0)
		for ts := now.Add(-48 * time.Hour); ts.Before(now); ts = ts.Add(20 * time.Second) {
			step, size := r.NormFloat64()*0.0006, 1+float64(r.IntN(200))
			// Now and then something for the marks to find.
			if r.IntN(1500) == 0 {
				step, size = step*20, size*40
			}
			price = round(price * (1 + step))
			seq++
			rows = append(rows, []any{ts, symbol, price, size, seq, "SIM"})
		}
		last[symbol] = price
	}
	if _, err := m.db.Pool.CopyFrom(ctx, pgx.Identifier{"ticks"}, []string{"ts", "symbol", "price", "size", "seq", "venue"}, pgx.CopyFromRows(rows)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.db.Pool.Exec(ctx, `INSERT INTO feed_positions (venue, symbol, last_seq, last_ts)
		SELECT venue, symbol, max(seq), max(ts) FROM ticks GROUP BY venue, symbol`); err != nil {
		t.Fatal(err)
	}
	return last
}

func round(p float64) float64 { return float64(int64(p*100+0.5)) / 100 }

// trade produces ticks until ctx ends.
func trade(ctx context.Context, t *testing.T, producer *feed.Producer, last map[string]float64) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	symbols := make([]string, 0, len(last))
	for s := range last {
		symbols = append(symbols, s)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for seq := int64(1 << 20); ; seq++ {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s := symbols[r.IntN(len(symbols))]
			// Never the price before: a candle has to move.
			step := max(0.01, last[s]*0.00012*r.Float64()) * float64(1-2*r.IntN(2))
			last[s] = round(last[s] + step)
			err := producer.Produce(ctx, &feed.Tick{Symbol: s, TS: now.UnixMicro(), Price: last[s], Size: 1 + float64(r.IntN(4)), Seq: seq, Venue: "SIM"})
			if err != nil && ctx.Err() == nil {
				t.Errorf("produce: %v", err)
				return
			}
		}
	}
}

// page is a tab of a real browser.
type page struct {
	t     *testing.T
	ctx   context.Context
	base  string
	shots string
	mu    sync.Mutex
	said  []string // errors on its console
	bytes float64  // transferred of the page's own files
	hosts map[string]bool
	older int // answers with candles before a time
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("no chromium: apt-get install chromium")
	}
	t.Skip("no chromium on this machine")
	return ""
}

func openPage(t *testing.T, base string) *page {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, chromedp.ExecPath(chromium(t)), chromedp.Headless, chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.DisableGPU)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	p := &page{t: t, ctx: ctx, base: base, shots: os.Getenv(shotsEnv), hosts: map[string]bool{}}
	if p.shots == "" {
		p.shots = t.TempDir()
	} else if err := os.MkdirAll(p.shots, 0o755); err != nil {
		t.Fatal(err)
	}
	console := chromedp.Console(ctx)
	var listening sync.WaitGroup
	listening.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == "error" || m.Type == "warning" || m.IsException() {
				p.mu.Lock()
				p.said = append(p.said, m.String())
				p.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		listening.Wait()
	})
	own := map[network.RequestID]bool{}
	err := chromedp.Listen(ctx, func(ev any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		switch ev := ev.(type) {
		case *network.EventResponseReceived:
			url := ev.Response.URL
			if !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") {
				host, _, _ := strings.Cut(strings.TrimPrefix(url, "http://"), "/")
				p.hosts[host] = true
			}
			if strings.Contains(url, "/candles?") && strings.Contains(url, "to=") {
				p.older++
			}
			own[ev.RequestID] = !strings.Contains(url, "/v1/") && !strings.Contains(url, "/openapi")
		case *network.EventLoadingFinished:
			if own[ev.RequestID] {
				p.bytes += ev.EncodedDataLength
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *page) look(scheme string, width, height int64) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(width, height))
}

func (p *page) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, steps...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) open(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate(p.base + path))
}

// eval is the value of an expression, as JSON.
func (p *page) eval(js string) string {
	p.t.Helper()
	out, err := chromedp.Run(p.ctx, chromedp.Evaluate[[]byte](js))
	if err != nil {
		p.t.Fatalf("%s: %v", js, err)
	}
	return string(out)
}

// until waits for an expression to be true. It asks anew each time, so that a
// page that loads again in between is no matter.
func (p *page) until(what, js string) {
	p.t.Helper()
	wait, stop := context.WithTimeout(p.ctx, 90*time.Second)
	defer stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(wait, chromedp.Evaluate[bool]("!!("+js+")"))
		if err == nil && ok {
			return
		}
		select {
		case <-tick.C:
		case <-wait.Done():
			p.shot("failed")
			p.t.Fatalf("%s: never came true (%v); the page is %s and says %q", what, err, p.eval("location.href"), p.eval("document.body.innerText.slice(0, 3000)"))
		}
	}
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

func (p *page) shot(name string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.shots, name+".png"), png, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// errors are what the console said since it was asked last.
func (p *page) errors() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := p.said
	p.said = nil
	return out
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
		p.until("all jobs are well", `document.querySelector("#st-jobs").textContent === "ok"`)
	})

	t.Run("symbol and interval", func(t *testing.T) {
		p.t = t
		p.do(chromedp.KeyEvent("/"))
		// Typed, not chromedp.SendKeys: that reads the element's attributes while events write them.
		p.until("the search is open", `document.activeElement?.id === "search-input"`)
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
	p.until("it says that it tries again", `document.querySelector("#link").textContent.startsWith("reconnecting") && !document.querySelector("#alarm").hidden`)
	_, stop = serve(addr)
	p.until("it has come back by itself", ready)
	stop()
}

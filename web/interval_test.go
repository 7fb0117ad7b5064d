package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/interval"
	"github.com/hypertick/hypertick/web"
)

// newestBar is true when the legend shows the bar that lies open now, or the one
// that opens within the time that a test waits.
func newestBar(t *testing.T, name, layout string) string {
	t.Helper()
	w, err := interval.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	bars, err := json.Marshal([]string{w.Start(now).Format(layout), w.Start(now.Add(90 * time.Second)).Format(layout)})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`%s && location.search.includes("i=%s") && %s.includes(%s)`, ready, name, bars, fmt.Sprintf(field, "time"))
}

// Intervals that nobody stored, chosen, typed and shared.
func TestPageIntervals(t *testing.T) {
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
	p.open("/?s=AAPL&i=5m")
	p.until("the chart is there and live", ready)
	const minutes = "2006-01-02 15:04"
	typed := func(name string) {
		p.do(chromedp.KeyEvent("t"))
		p.until("the dialog is open", `document.activeElement?.id === "interval-input"`)
		// The browser's driver types the key that opened it, too.
		p.eval(`document.querySelector("#interval-input").select()`)
		p.do(chromedp.KeyEvent(name), chromedp.KeyEvent(kb.Enter))
	}

	t.Run("listed", func(t *testing.T) {
		p.t = t
		listed, err := db.New(m.db.Pool).Intervals(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		var all, stored []string
		for _, i := range listed {
			all = append(all, i.Name)
			if i.Materialized {
				stored = append(stored, i.Name)
			}
		}
		names := func(attribute string) (out []string) {
			t.Helper()
			js := fmt.Sprintf(`[...document.querySelectorAll("[data-%[1]s]")].map((e) => e.dataset.%[1]s)`, attribute)
			if err := json.Unmarshal([]byte(p.eval(js)), &out); err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got := names("interval"); !slices.Equal(got, stored) {
			t.Errorf("buttons: got %v, want %v", got, stored)
		}
		p.click("#interval-more")
		p.until("the dialog is open", `document.querySelector("#interval").open`)
		if got := names("choice"); !slices.Equal(got, all) {
			t.Errorf("choices: got %v, want %v", got, all)
		}
		p.until("the one on the chart is marked", `document.querySelector('#interval-list [aria-pressed="true"]').textContent === "5m"`)
		// By the mouse the legend would show the bar below it.
		p.eval(`document.querySelector('[data-choice="30m"]').click()`)
		p.until("30m is on the chart", newestBar(t, "30m", minutes))
		p.until("and at the top", `!document.querySelector("dialog[open]") && document.querySelector("#interval-more").textContent === "30m ▾" && document.querySelector("#interval-more").ariaPressed === "true"`)
		p.until("the screener has it", fmt.Sprintf(`%s === %d && document.querySelector("#screener-note").textContent === ""`, listing, len(prices)))
		before := p.eval(closing())
		p.until("its candle moves", closing()+" !== "+before)
	})

	t.Run("typed", func(t *testing.T) {
		p.t = t
		typed("45m")
		p.until("45m is on the chart", newestBar(t, "45m", minutes))
		typed("7q")
		p.until("what is wanted is said", `document.querySelector("#interval").open && document.querySelector("#interval-note").textContent.startsWith("interval: want a number of s, m, h, d, w, mo or y such as 90m") && document.querySelector("#interval-input").getAttribute("aria-invalid") === "true"`)
		p.shot("interval-refused")
		p.do(chromedp.KeyEvent(kb.Escape))
		p.until("and nothing has changed", `!document.querySelector("dialog[open]") && location.search.includes("i=45m")`)
		typed("60m")
		p.until("an hour is 1h", newestBar(t, "1h", minutes)+` && document.querySelector('[data-interval="1h"]').ariaPressed === "true"`)
	})

	t.Run("weeks and months by keyboard", func(t *testing.T) {
		p.t = t
		typed("1w")
		p.until("a week", newestBar(t, "1w", time.DateOnly))
		p.do(chromedp.KeyEvent("t"))
		p.until("the dialog is open", `document.activeElement?.id === "interval-input"`)
		p.do(chromedp.KeyEvent(kb.ArrowDown))
		p.until("the week has the focus", `document.activeElement.dataset.choice === "1w"`)
		p.do(chromedp.KeyEvent(kb.ArrowRight), chromedp.KeyEvent(kb.Enter))
		p.until("a month", newestBar(t, "1mo", time.DateOnly))
		before := p.eval(closing())
		p.until("its candle moves", closing()+" !== "+before)
		p.do(chromedp.Reload())
		p.until("a reload keeps it", newestBar(t, "1mo", time.DateOnly))
	})

	t.Run("seconds", func(t *testing.T) {
		p.t = t
		typed("1s")
		p.until("a second", ready+` && location.search.includes("i=1s") && /:\d\d:\d\d$/.test(`+fmt.Sprintf(field, "time")+`)`)
		before := p.eval(fmt.Sprintf(field, "time"))
		p.until("the next bar forms", fmt.Sprintf(field, "time")+" > "+before)
	})

	t.Run("a rule", func(t *testing.T) {
		p.t = t
		p.click("#tab-rules")
		p.click("#rule-new")
		p.until("the form", `document.querySelector('[data-field="interval"] select')?.value === "1s"`)
		set := func(field, value string) {
			p.eval(fmt.Sprintf(`(() => { const f = document.querySelector('[data-field="%s"]').querySelector("input, select"); f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })); f.dispatchEvent(new Event("change", { bubbles: true })); })()`, field, value))
		}
		set("interval", "")
		p.until("another one is asked for", `document.querySelector("#interval").open && document.activeElement.id === "interval-input"`)
		p.do(chromedp.KeyEvent("50m"), chromedp.KeyEvent(kb.Enter))
		p.until("it is chosen", `!document.querySelector("#interval").open && document.querySelector('[data-field="interval"] select').value === "50m" && location.search.includes("i=1s")`)
		set("name", "half-hours")
		set("interval", "30m")
		set("indicator", "sma")
		set("params.period", "1")
		set("threshold", "0")
		set("symbols", "KO")
		p.click("#rule button.main")
		const line = `document.querySelector('#rules-list [data-rule="half-hours"] %s').textContent`
		p.until("it is listed", fmt.Sprintf(line, ".terms")+` === "close is above 0 · 30m · KO · at most every 30m"`)
		p.until("and tested", fmt.Sprintf(line, ".outcome")+`.startsWith("Would have fired")`)
		if _, err := m.db.Pool.Exec(context.Background(), `CALL _hypertick.evaluate_alerts(0, '{"budget": "5 minutes"}')`); err != nil {
			t.Fatal(err)
		}
		p.click("#tab-alerts")
		const event = `[...document.querySelectorAll("#alerts-list button.event")].find((e) => e.textContent.includes("half-hours"))`
		p.until("what it finds comes", event)
		p.eval(event + ".click()")
		p.until("and opens its chart", newestBar(t, "30m", minutes)+` && location.search.includes("s=KO")`)
	})

	t.Run("shared", func(t *testing.T) {
		p.t = t
		p.open("/?s=MSFT&i=45m")
		p.until("the address holds it", newestBar(t, "45m", minutes))
		p.open("/?s=MSFT&i=7q")
		p.until("a wrong one is the default", newestBar(t, "5m", minutes))
		p.until("and says what is wanted", `[...document.querySelectorAll(".legend .note")].some((e) => e.textContent === 'interval: want a number of s, m, h, d, w, mo or y such as 90m, got "7q". This is 5m.')`)
		p.shot("interval-wrong")
		p.do(chromedp.KeyEvent("1"))
		p.until("until one is chosen", newestBar(t, "1m", minutes)+` && ![...document.querySelectorAll(".legend .note")].some((e) => e.textContent.includes("want"))`)
	})

	if said := p.errors(); len(said) > 0 {
		t.Errorf("console: %q", said)
	}

	t.Run("screenshots", func(t *testing.T) {
		p.t = t
		for _, s := range []struct {
			name, scheme  string
			width, height int64
		}{{"dark", "dark", 1440, 900}, {"light", "light", 1440, 900}, {"phone", "dark", 390, 844}} {
			p.look(s.scheme, s.width, s.height)
			for _, i := range []string{"30m", "1w"} {
				p.open("/?s=NVDA&i=" + i + "&ind=ema&ind=rsi")
				p.until("drawn", ready+` && document.querySelectorAll(".study").length === 2`)
				if wide := p.eval("document.documentElement.scrollWidth > innerWidth"); wide != "false" {
					t.Errorf("%s at %s scrolls sideways", s.name, i)
				}
				p.shot("interval-" + i + "-" + s.name)
			}
			p.click("#interval-more")
			p.until("the dialog is open", `document.querySelector("#interval").open`)
			p.shot("interval-menu-" + s.name)
		}
	})

	t.Run("one that was added", func(t *testing.T) {
		p.t = t
		p.open("/?s=NVDA&i=5m")
		p.until("live", ready+` && document.querySelector("[data-interval]")`)
		if _, err := m.db.Pool.Exec(context.Background(), "SELECT add_interval('45m')"); err != nil {
			t.Fatal(err)
		}
		p.eval(`document.dispatchEvent(new Event("visibilitychange"))`)
		p.until("it has a button", `document.querySelector('[data-interval="45m"]')`)
		p.click(`[data-interval="45m"]`)
		p.until("and a chart", newestBar(t, "45m", minutes)+` && document.querySelector('[data-interval="45m"]').ariaPressed === "true"`)
	})
}

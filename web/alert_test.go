package web_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/hypertick/hypertick/web"
)

// Alerts as the user of the page meets them: a rule is written, refused and
// corrected; its event appears by itself, and is retracted.
func TestPageAlerts(t *testing.T) {
	if !web.Built() {
		if os.Getenv("CI") != "" {
			t.Fatal("the page is not built: make web")
		}
		t.Skip("the page is not built: make web")
	}
	chromium(t)
	m := newMarket(t)
	owner := func(stmt string) {
		t.Helper()
		if _, err := m.db.Pool.Exec(context.Background(), stmt); err != nil {
			t.Fatal(err)
		}
	}
	p := openPage(t, m.url)
	p.look("dark", 1440, 900)
	p.open("/?s=AAPL&i=5m")
	p.until("the chart is there and live", ready)
	fill := func(field, value string) {
		t.Helper()
		p.eval(fmt.Sprintf(`(() => { const f = document.querySelector('[data-field="%s"]').querySelector("input, select"); f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })); f.dispatchEvent(new Event("change", { bubbles: true })); })()`, field, value))
	}
	said := func(field string) string {
		return fmt.Sprintf(`document.querySelector('[data-field="%s"] small')`, field)
	}
	var seeded int
	if err := m.db.Pool.QueryRow(context.Background(), "SELECT count(*) FROM alert.rules").Scan(&seeded); err != nil {
		t.Fatal(err)
	}
	listed := func(more int) string {
		return fmt.Sprintf(`document.querySelectorAll("#rules-list li").length === %d`, seeded+more)
	}
	rule := func(name string) string { return fmt.Sprintf(`#rules-list [data-rule="%s"]`, name) }

	t.Run("nothing yet", func(t *testing.T) {
		p.t = t
		p.do(chromedp.KeyEvent("a"))
		p.until("the alerts are open", `location.search.includes("tab=alerts") && document.querySelector("#alerts-note").textContent === "Nothing was found."`)
		p.until("none fires", `document.querySelector("#st-alerts").textContent === "none" && document.querySelector("#tab-firing").hidden`)
	})

	t.Run("a rule is refused", func(t *testing.T) {
		p.t = t
		p.click("#tab-rules")
		p.until("the rules are listed", listed(0)+` && document.querySelector('`+rule("price-move")+` .terms').textContent === "close changes by 3 % in 15 bars · 1m · all symbols · at most every 15m"`)
		p.click("#rule-new")
		p.until("the form has the indicator's parameters", `document.querySelector('[data-field="params.period"] input')?.value === "14"`)
		fill("name", "Not A Name")
		p.click("#rule button.main")
		p.until("what is wrong stands at the name", said("name")+`.textContent.startsWith("want 1 to 63 lower case letters") && document.activeElement.name === "name" && document.activeElement.getAttribute("aria-invalid") === "true"`)
		fill("name", "my-rule")
		p.until("until it is changed", said("name")+`.textContent === "lower case letters, digits, dashes"`)
		fill("params.period", "1")
		p.click("#rule button.main")
		p.until("and at the parameter", said("params.period")+`.textContent.startsWith("want 2 to 500, got 1")`)
		fill("condition", "outside")
		fill("upper", "3")
		fill("params.period", "14")
		p.click("#rule button.main")
		p.until("and at the bound", said("upper")+`.textContent.startsWith("want more than threshold")`)
		p.shot("rule-refused")
		// What the server refused, the console tells too.
		p.errors()
	})

	t.Run("and written", func(t *testing.T) {
		p.t = t
		fill("indicator", "sma")
		fill("params.period", "1")
		fill("interval", "1m")
		fill("condition", "above")
		fill("threshold", "0")
		fill("symbols", "KO, X*")
		fill("severity", "critical")
		p.click("#rule button.main")
		p.until("it is listed", listed(1)+` && !document.querySelector("dialog[open]") && document.querySelector('`+rule("my-rule")+` .terms').textContent === "close is above 0 · 1m · KO, X* · at most every 30m"`)
		p.until("with how often it would have fired", `/^Would have fired \d+ times in the last day, for 2 of 2 symbols/.test(document.querySelector('`+rule("my-rule")+` .outcome').textContent)`)
	})

	t.Run("what it finds comes by itself", func(t *testing.T) {
		p.t = t
		p.click("#tab-alerts")
		// With time for all rules: the embedded database's own runs are short.
		owner(`CALL _hypertick.evaluate_alerts(0, '{"budget": "5 minutes"}')`)
		fires := `[...document.querySelectorAll('#alerts-list [data-state="firing"]')].filter((e) => e.textContent.includes("my-rule"))`
		p.until("both fire, first of all", fires+`.length === 2 && document.querySelector("#alerts-list li.section").textContent === "Firing" && document.querySelectorAll("#alerts-list li")[1].textContent.includes("my-rule")`)
		p.until("they are counted", `/^\d+ firing$/.test(document.querySelector("#st-alerts").textContent) && document.querySelector("#st-alerts").dataset.tone === "bad" && Number(document.querySelector("#tab-firing").textContent) >= 2`)
		p.until("and said", `document.querySelector("#alerts-said").textContent.startsWith("Alert: ")`)
		p.eval(fires + `.find((e) => e.textContent.includes("XOM")).querySelector("button").click()`)
		p.until("a click opens the chart", ready+` && location.search.includes("s=XOM") && location.search.includes("i=1m") && location.search.includes("tab=alerts")`)
		p.click("#alerts-mine")
		p.until("only those of the symbol", `[...document.querySelectorAll("#alerts-list b")].every((e) => e.textContent.startsWith("XOM "))`)
		p.click("#alerts-mine")
	})

	t.Run("and is retracted", func(t *testing.T) {
		p.t = t
		owner(`UPDATE alert.events SET state = 'retracted', revision = 1, resolved = now(), changed = now(), change_id = nextval('alert.change_id') WHERE rule = 'my-rule' AND symbol = 'KO'`)
		p.until("struck through, with the reason", `[...document.querySelectorAll('#alerts-list [data-state="retracted"]')].some((e) => e.querySelector("s") && e.textContent.includes("KO 1m") && e.textContent.includes("the bar has changed"))`)
	})

	t.Run("and changed", func(t *testing.T) {
		p.t = t
		p.click("#tab-rules")
		edit := func(name string) {
			t.Helper()
			p.until("the rules", `document.querySelector('`+rule(name)+`')`)
			p.eval(`document.querySelector('` + rule(name) + ` .do button:nth-child(2)').click()`)
			p.until("the form says of which rule", `document.querySelector("#rule-title").textContent === "Change `+name+`" && document.querySelector('#rule-fields [data-field="name"] input')?.value === "`+name+`"`)
		}
		version := func(name string) (n int) {
			t.Helper()
			if err := m.db.Pool.QueryRow(context.Background(), "SELECT version FROM alert.rules WHERE name = $1", name).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		// A rule on bars is tested when it was written.
		tested := func(name string) string {
			return `(document.querySelector('` + rule(name) + ` .outcome').textContent.startsWith("Would") || "` + name + `" === "pipeline-failure")`
		}
		// What is written as it was has not changed, however much a rule says.
		for _, name := range []string{"golden-cross", "price-move", "bollinger-breakout", "pipeline-failure"} {
			before := version(name)
			edit(name)
			if name == "golden-cross" {
				p.shot("rule-edit")
			}
			p.click("#rule button.main")
			p.until("written", `!document.querySelector("dialog[open]") && `+tested(name))
			if v := version(name); v != before {
				t.Errorf("%s: version %d, was %d", name, v, before)
			}
		}
		edit("my-rule")
		fill("against_indicator", "ema")
		p.until("an indicator instead of a number", `document.querySelector('[data-field="threshold"]').hidden && document.querySelector('[data-field="against_params.period"] input')`)
		fill("against_params.period", "0")
		p.click("#rule button.main")
		p.until("what is wrong stands at its parameter", `/^want \d+ to \d+, got 0/.test(`+said("against_params.period")+`.textContent)`)
		fill("against_params.period", "20")
		p.click("#rule button.main")
		p.until("its terms are others", `!document.querySelector("dialog[open]") && document.querySelector('`+rule("my-rule")+` .terms').textContent === "close is above ema (20) · 1m · KO, X* · at most every 30m" && `+tested("my-rule"))
		edit("my-rule")
		owner("UPDATE alert.rules SET severity = 'info' WHERE name = 'my-rule'")
		fill("against_indicator", "")
		fill("threshold", "0")
		p.click("#rule button.main")
		p.until("somebody else was faster", `document.querySelector("#rule-note").textContent.includes("Read it again")`)
		p.eval(`document.querySelector("#rule [data-close]").click()`)
		p.errors() // of what was refused
		p.until("it is read again", `document.querySelector('`+rule("my-rule")+` .severity').textContent === "info"`)
		edit("my-rule")
		fill("against_indicator", "")
		fill("threshold", "0")
		p.click("#rule button.main")
		p.until("as it was", `!document.querySelector("dialog[open]") && document.querySelector('`+rule("my-rule")+` .terms').textContent.startsWith("close is above 0") && `+tested("my-rule"))
	})

	t.Run("switched off and deleted", func(t *testing.T) {
		p.t = t
		p.do(chromedp.KeyEvent("r"))
		p.until("the rules", `document.querySelector('`+rule("my-rule")+`')`)
		p.click(rule("my-rule") + ` input`)
		p.until("off", `document.querySelector('`+rule("my-rule")+`').className === "off"`)
		var enabled bool
		if err := m.db.Pool.QueryRow(context.Background(), "SELECT enabled FROM alert.rules WHERE name = 'my-rule'").Scan(&enabled); err != nil || enabled {
			t.Errorf("enabled %v, %v", enabled, err)
		}
		// Somebody else changes it meanwhile.
		owner("UPDATE alert.rules SET threshold = 1 WHERE name = 'my-rule'")
		p.click(rule("my-rule") + ` input`)
		p.until("the change is refused and shown", `document.querySelector('`+rule("my-rule")+` .outcome').textContent.includes("Read it again") && document.querySelector('`+rule("my-rule")+` .terms').textContent.includes("above 1")`)
		p.click(rule("my-rule") + ` .do button:last-child`)
		p.until("it asks", `document.querySelector('`+rule("my-rule")+` .do button:last-child').textContent === "Really?"`)
		p.click(rule("my-rule") + ` .do button:last-child`)
		p.until("gone", listed(0))
		p.errors() // of the refused change
		p.click("#tab-alerts")
		p.until("nothing of it fires", `![...document.querySelectorAll('#alerts-list [data-state="firing"]')].some((e) => e.textContent.includes("my-rule"))`)
	})

	t.Run("by keyboard", func(t *testing.T) {
		p.t = t
		p.click("#tab-rules")
		for _, tab := range []string{"screener", "alerts", "rules"} {
			p.do(chromedp.KeyEvent(kb.ArrowRight))
			p.until(tab+" is open and has the focus", fmt.Sprintf(`document.activeElement.id === "tab-%[1]s" && document.activeElement.ariaSelected === "true" && !document.querySelector("#panel-%[1]s").hidden`, tab))
		}
	})

	t.Run("screenshots", func(t *testing.T) {
		p.t = t
		p.open("/?s=NVDA&i=1m&bars=150&tab=alerts")
		for _, s := range []struct {
			name, scheme  string
			width, height int64
		}{{"alerts-dark", "dark", 1440, 900}, {"alerts-light", "light", 1440, 900}, {"alerts-phone", "dark", 390, 844}} {
			p.look(s.scheme, s.width, s.height)
			p.until("drawn", ready+` && document.querySelectorAll("#alerts-list li").length > 5`)
			if wide := p.eval("document.documentElement.scrollWidth > innerWidth"); wide != "false" {
				t.Errorf("%s scrolls sideways", s.name)
			}
			if s.width < 600 {
				p.eval(`document.querySelector("#dock").scrollIntoView()`)
			}
			p.shot(s.name)
			p.click("#tab-rules")
			p.until("the rules", listed(0))
			p.shot("rules-" + s.name[len("alerts-"):])
			p.click("#rule-new")
			p.until("the form", `document.querySelector('[data-field="params.period"] input')`)
			p.shot("form-" + s.name[len("alerts-"):])
			p.click("#rule [data-close]")
			p.click("#tab-alerts")
		}
	})
	if said := p.errors(); len(said) > 0 {
		t.Errorf("console: %q", said)
	}
}

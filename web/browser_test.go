package web_test

import (
	"context"
	"fmt"
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

	"github.com/hypertick/hypertick/internal/wait"
)

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
	ctx, cancel := context.WithCancel(wait.Context(t, 4*time.Minute))
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

// until waits for an expression to be true. It evaluates it again each time, so the
// page may reload in between.
func (p *page) until(what, js string) {
	p.t.Helper()
	wait.For(p.t, what, func() (any, bool) {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+js+")"))
		return sight{p, err}, err == nil && ok
	})
}

// sight is what a page shows, looked at when a wait has failed.
type sight struct {
	page *page
	err  error
}

func (s sight) String() string {
	s.page.shot("failed")
	return fmt.Sprintf("%v; the page is %s and says %s", s.err, s.page.eval("location.href"), s.page.eval("document.body.innerText.slice(0, 3000)"))
}

// click retries when the page has recreated the element meanwhile.
func (p *page) click(selector string) {
	p.t.Helper()
	for try := 1; ; try++ {
		err := chromedp.Do(p.ctx, chromedp.Click(chromedp.CSS(selector)))
		if err == nil {
			return
		}
		if try == 10 || !strings.Contains(err.Error(), "Could not find node") {
			p.t.Fatalf("click %s: %v", selector, err)
		}
	}
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

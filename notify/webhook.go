package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// poster sends JSON to one address.
type poster struct {
	client http.Client
	url    string
	now    func() time.Time
}

// newPoster returns the poster of a channel that has been checked.
func newPoster(c *Channel, cfg *Config) (*poster, error) {
	u, err := url.Parse(string(c.URL))
	if err != nil {
		return nil, fmt.Errorf("url: want one that begins with https:// or http://")
	}
	security, err := trust(c.CAFile, u.Hostname())
	if err != nil {
		return nil, err
	}
	g := &guard{all: cfg.AllowPrivate, allowed: cfg.Allow}
	dialer := g.dialer(cfg.Timeout, cfg.Resolver)
	return &poster{url: string(c.URL), now: cfg.Now, client: http.Client{
		Transport: &http.Transport{
			// No proxy: it would dial instead of us, without the guard.
			DialContext:     dialer.DialContext,
			TLSClientConfig: security,
			// One connection for each attempt: each is guarded, and net/http does
			// not retry a request by itself.
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// answerMax is the maximum number of bytes of an answer to read.
const answerMax = 4 << 10

// post returns the body of the answer, and its error as of judge.
func (p *poster) post(ctx context.Context, body []byte, header map[string]string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return nil, &failure{err: fmt.Errorf("url: cannot be used"), final: true}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Hypertick")
	for name, value := range header {
		req.Header.Set(name, value)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, broken(ctx, err)
	}
	defer func() { _ = res.Body.Close() }()
	// Only the status decides, so errors while reading the body do not matter.
	answer, _ := io.ReadAll(io.LimitReader(res.Body, answerMax))
	return answer, judge(res, p.now())
}

func (p *poster) close() { p.client.CloseIdleConnections() }

// webhook sends the payload as it is, signed.
type webhook struct {
	*poster
	keys [][]byte
}

func newWebhook(c *Channel, cfg *Config) (*webhook, error) {
	p, err := newPoster(c, cfg)
	if err != nil {
		return nil, err
	}
	k, err := keys(c.Secret)
	return &webhook{poster: p, keys: k}, err
}

func (w *webhook) send(ctx context.Context, m *message) error {
	body, err := json.Marshal(struct {
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{"alert." + m.payload.Kind, m.created.UTC(), m.raw})
	if err != nil {
		return &failure{err: fmt.Errorf("payload: %w", err), final: true}
	}
	at := w.now()
	_, err = w.post(ctx, body, map[string]string{
		headerKey: m.id, headerID: m.id,
		headerTimestamp: fmt.Sprint(at.Unix()),
		headerSignature: sign(w.keys, m.id, at, body),
	})
	return err
}

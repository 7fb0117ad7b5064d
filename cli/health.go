package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hypertick/hypertick/feed"
)

type healthCmd struct {
	URL string `arg:"" optional:"" help:"URL to check, such as http://127.0.0.1:8080/readyz. Without it, check the topic." placeholder:"URL"`
	brokerFlag
	MaxAge  age           `help:"With a topic: fail if its newest tick is older; 0 accepts any age." default:"0" placeholder:"AGE"`
	Timeout time.Duration `help:"Timeout of the check." default:"3s" placeholder:"DURATION"`
}

// Help is shown below the flags.
func (healthCmd) Help() string {
	return "For health checks of containers without a shell: prints one line. The exit code is 0 if the URL or the topic is healthy, otherwise 1."
}

// Run checks once.
func (c *healthCmd) Run(e *env) error {
	if c.Timeout <= 0 {
		return usagef("--timeout: want more than 0, got %v", c.Timeout)
	}
	ctx, cancel := context.WithTimeout(e.ctx, c.Timeout)
	defer cancel()
	if c.URL == "" {
		return c.topic(ctx, e)
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return usagef("want a URL that begins with http:// or https://, got %q", c.URL)
	}
	return askURL(ctx, e.out, u.String())
}

// answerMax is how many bytes of an answer are printed.
const answerMax = 200

func askURL(ctx context.Context, out io.Writer, address string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	// A redirect is unhealthy: its target may be another service.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("unhealthy: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(res.Body, answerMax))
	text := strings.Join(strings.Fields(string(body)), " ")
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("unhealthy: %s answers %s: %s", address, res.Status, text)
	}
	fmt.Fprintf(out, "ok: %s answers %s: %s\n", address, res.Status, text)
	return nil
}

func (c *healthCmd) topic(ctx context.Context, e *env) error {
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	state, err := feed.CheckTopic(ctx, c.Brokers, security, c.Topic, time.Duration(c.MaxAge))
	if err != nil {
		return fmt.Errorf("unhealthy: topic %s on broker %s: %w", c.Topic, strings.Join(c.Brokers, ","), err)
	}
	if c.MaxAge > 0 && !state.Fresh {
		return fmt.Errorf("unhealthy: topic %s: %w", c.Topic, errors.New("no tick of the last "+c.MaxAge.String()))
	}
	fmt.Fprintf(e.out, "ok: topic %s has %d partitions, %d records\n", c.Topic, state.Partitions, state.Records)
	return nil
}

package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/feed"
)

// The defaults are the addresses of the demo.
type statusCmd struct {
	DatabaseURL string `help:"Database; by default the demo's." default:"postgres://hypertick_reader@127.0.0.1:15432/postgres?sslmode=disable" placeholder:"URL"`
	brokerFlag
	API      string        `help:"API to check; an empty value skips it." name:"api" default:"http://127.0.0.1:8080" placeholder:"URL"`
	All      bool          `help:"Also list jobs that are ok." env:"-"`
	JSON     bool          `help:"Print JSON." name:"json"`
	Watch    bool          `help:"Repeat until stopped." short:"w" env:"-"`
	Every    time.Duration `help:"Time between two queries of --watch." default:"2s" placeholder:"DURATION"`
	Deadline time.Duration `help:"Time after which a part that does not answer counts as failed." default:"3s" placeholder:"DURATION"`
}

// Help is shown below the flags.
func (statusCmd) Help() string {
	return "Shows each part of the pipeline with its state, age or lag, last error, and what to do about it. The exit code is 0 if nothing has failed, otherwise 1."
}

// part is a row of the output.
type part struct {
	Component string   `json:"component"`
	Part      string   `json:"part"`
	State     string   `json:"state"`
	Seconds   *float64 `json:"seconds"`
	Detail    string   `json:"detail"`
	Error     string   `json:"error,omitempty"`
	Action    string   `json:"action,omitempty"`
}

// errFailed ends the command with exit code 1; the failures are printed before.
var errFailed = errors.New("something has failed")

// Run queries the status once, or with --watch until the context ends.
func (c *statusCmd) Run(e *env) error {
	switch {
	case c.Every <= 0:
		return usagef("--every: want more than 0, got %v", c.Every)
	case c.Deadline <= 0:
		return usagef("--deadline: want more than 0, got %v", c.Deadline)
	}
	if c.API != "" {
		if u, err := url.Parse(c.API); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return usagef("--api: want a URL that begins with http:// or https://, got %q", c.API)
		}
	}
	security, err := c.security(e.log)
	if err != nil {
		return err
	}
	pool, err := db.NewPool(c.DatabaseURL, 2)
	if err != nil {
		return usageError{err}
	}
	defer pool.Close()
	tick := time.NewTicker(c.Every)
	defer tick.Stop()
	for {
		parts, worst := c.look(e.ctx, pool, security)
		if e.ctx.Err() != nil {
			return nil
		}
		if err := c.print(e.out, parts, worst); err != nil {
			return err
		}
		if !c.Watch {
			if worst == "failed" {
				return errFailed
			}
			return nil
		}
		select {
		case <-e.ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look queries all parts concurrently, and returns them and the worst state.
func (c *statusCmd) look(ctx context.Context, pool *pgxpool.Pool, security feed.Security) ([]part, string) {
	queries := db.New(pool)
	var rows []db.PipelineRow
	var server db.Server
	var topic feed.TopicState
	var traffic string
	var databaseErr, baselineErr, brokerErr, apiErr error
	ctx, cancel := context.WithTimeout(ctx, c.Deadline)
	defer cancel()
	var g errgroup.Group
	g.Go(func() error { rows, databaseErr = queries.Pipeline(ctx); return nil })
	g.Go(func() error { baselineErr = db.CheckBaseline(ctx, pool); return nil })
	// These two add detail; their errors are ignored.
	g.Go(func() error { server, _ = db.ReadServer(ctx, pool); return nil })
	g.Go(func() error { traffic, _ = queries.APITraffic(ctx); return nil })
	g.Go(func() error { topic, brokerErr = feed.CheckTopic(ctx, c.Brokers, security, c.Topic, 0); return nil })
	if c.API != "" {
		g.Go(func() error { apiErr = askURL(ctx, io.Discard, strings.TrimRight(c.API, "/")+"/livez"); return nil })
	}
	_ = g.Wait()

	broker := part{Component: "broker", Part: strings.Join(c.Brokers, ","), State: "ok", Detail: fmt.Sprintf("topic %s: %d partitions, %d records kept", c.Topic, topic.Partitions, topic.Records)}
	if brokerErr != nil {
		broker.State, broker.Detail, broker.Error = "failed", "topic "+c.Topic+" cannot be read", brokerErr.Error()
		broker.Action = "Start it, or check its address and credentials; producers and ingest retry by themselves."
	}
	var parts []part
	if databaseErr != nil {
		detail := "does not answer, or has not been migrated"
		if errors.Is(databaseErr, context.DeadlineExceeded) {
			detail = fmt.Sprintf("no answer in %v: busy or down", c.Deadline)
		}
		parts = []part{{
			Component: "database", State: "failed", Detail: detail, Error: databaseErr.Error(),
			Action: "Start it; the rest recovers by itself when it answers.",
		}, broker}
	}
	if other, ok := errors.AsType[*db.BaselineError](baselineErr); ok {
		// The other queries fail for the same reason.
		if databaseErr != nil {
			parts = []part{broker}
		}
		remedy := other.Remedy()
		parts = append([]part{{
			Component: "database", Part: "baseline", State: "failed", Detail: other.Problem(), Action: strings.ToUpper(remedy[:1]) + remedy[1:] + ".",
		}}, parts...)
	}
	for _, r := range rows {
		if r.Component == "broker" {
			parts = append(parts, broker)
			continue
		}
		parts = append(parts, part{r.Component, r.Part, r.State, r.Seconds, r.Detail, r.Error, r.Action})
	}
	parts = append(parts, versionParts(server)...)
	if c.API != "" {
		p := part{Component: "api", Part: c.API, State: "ok", Detail: "answers"}
		if traffic != "" {
			p.Detail += ", " + traffic
		}
		if apiErr != nil {
			p.State, p.Detail, p.Error, p.Action = "failed", "does not answer", apiErr.Error(), "Start it: hypertick api."
		}
		parts = append(parts, p)
	}
	worst := "ok"
	for _, p := range parts {
		if p.State == "failed" || p.State == "warning" && worst == "ok" {
			worst = p.State
		}
	}
	return parts, worst
}

// versionParts returns a warning if the versions of the server are known to be
// incompatible.
func versionParts(server db.Server) []part {
	v := server.Verdict()
	if v.Problem == "" {
		return nil
	}
	return []part{{Component: "database", Part: "version", State: "warning", Detail: v.Problem, Action: v.Remedy + "."}}
}

func (c *statusCmd) print(out io.Writer, parts []part, worst string) error {
	if c.JSON {
		return json.NewEncoder(out).Encode(struct {
			State string    `json:"state"`
			Time  time.Time `json:"time"`
			Data  []part    `json:"data"`
		}{worst, time.Now().UTC(), parts})
	}
	if f, ok := out.(*os.File); ok && c.Watch && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(out, "\x1b[H\x1b[2J")
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "STATE\tPART\tAGE\tDETAIL")
	quiet := 0
	for _, p := range parts {
		if p.Component == "job" && p.State == "ok" && !c.All {
			quiet++
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.State, visible(strings.TrimSpace(p.Component+" "+p.Part)), seconds(p.Seconds), oneLine(errors.New(p.Detail)))
		if p.Error != "" {
			fmt.Fprintf(w, "\t\t\terror: %s\n", oneLine(errors.New(p.Error)))
		}
		if p.Action != "" {
			fmt.Fprintf(w, "\t\t\t-> %s\n", visible(p.Action))
		}
	}
	if quiet > 0 {
		fmt.Fprintf(w, "ok\t%d jobs\t\t--all shows them\n", quiet)
	}
	fmt.Fprintf(w, "\n%s\n", map[string]string{"ok": "Everything is ok.", "warning": "Nothing has failed; see the warnings.", "failed": "Something has failed."}[worst])
	return w.Flush()
}

// seconds formats an age: 0.4 s, 12 s, 3m20s, 2h5m.
func seconds(s *float64) string {
	switch {
	case s == nil:
		return ""
	case *s < 10:
		return fmt.Sprintf("%.1f s", *s)
	case *s < 120:
		return fmt.Sprintf("%.0f s", *s)
	case math.IsInf(*s, 1) || *s > 1e9:
		return "never"
	}
	d := time.Duration(*s * float64(time.Second))
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	}
	if d >= time.Hour {
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return d.Truncate(time.Second).String()
}

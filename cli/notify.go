package cli

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/hypertick/hypertick/db"
	"github.com/hypertick/hypertick/notify"
)

// Variables that hold secrets. They are no flags: flags show in process lists.
const (
	webhookURLEnv    = "HYPERTICK_WEBHOOK_URL"
	webhookSecretEnv = "HYPERTICK_WEBHOOK_SECRET"
	slackURLEnv      = "HYPERTICK_SLACK_URL"
	smtpURLEnv       = "HYPERTICK_SMTP_URL"
)

// notifyFlags are those of whatever sends notifications.
type notifyFlags struct {
	ChannelsFile        string        `help:"File of channels, YAML or JSON: see docs/notify.md." placeholder:"FILE"`
	EmailFrom           string        `help:"Sender of the channel email, which HYPERTICK_SMTP_URL makes." placeholder:"ADDRESS"`
	EmailTo             []string      `help:"Its receivers." placeholder:"ADDRESS"`
	AllowPrivateTargets bool          `help:"Let webhooks and Slack be at any address, not only at public ones."`
	AllowTargets        []string      `help:"Networks that webhooks and Slack may be in besides, such as 10.1.0.0/16." placeholder:"CIDR"`
	SendTimeout         time.Duration `help:"Most time for one try, at most ${send_timeout}." default:"${send_timeout}" placeholder:"DURATION"`
	SendTries           int           `help:"Tries after which a notification is given up; 12 take about six hours." default:"${send_tries}" placeholder:"N"`
	NotifyMetricsListen string        `help:"Where /metrics, /livez and /readyz of the notifier are served." default:"127.0.0.1:9466" placeholder:"HOST:PORT"`
}

// config says what is wrong with the flags and variables before anything is
// started.
func (f *notifyFlags) config() (notify.Config, error) {
	cfg := notify.Config{
		AllowPrivate: f.AllowPrivateTargets, Timeout: f.SendTimeout, Tries: f.SendTries, MetricsListen: f.NotifyMetricsListen,
	}
	for _, text := range f.AllowTargets {
		if text == "" {
			continue
		}
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return cfg, usagef("--allow-targets: want a network like 10.1.0.0/16, got %q", text)
		}
		cfg.Allow = append(cfg.Allow, network.Masked())
	}
	if f.SendTimeout <= 0 {
		return cfg, usagef("--send-timeout: want more than 0, got %v", f.SendTimeout)
	}
	if f.SendTries < 1 {
		return cfg, usagef("--send-tries: want at least 1, got %d", f.SendTries)
	}
	if f.ChannelsFile != "" {
		channels, err := notify.ReadChannels(f.ChannelsFile, os.Getenv)
		if err != nil {
			return cfg, usagef("--channels-file: %w", err)
		}
		cfg.Channels = channels
	}
	if address := os.Getenv(webhookURLEnv); address != "" {
		cfg.Channels = append(cfg.Channels, notify.Channel{
			Name: "webhook", Kind: notify.Webhook, URL: notify.Secret(address), Secret: notify.Secret(os.Getenv(webhookSecretEnv)),
		})
	}
	if address := os.Getenv(slackURLEnv); address != "" {
		cfg.Channels = append(cfg.Channels, notify.Channel{Name: "slack", Kind: notify.Slack, URL: notify.Secret(address)})
	}
	if address := os.Getenv(smtpURLEnv); address != "" {
		email, err := notify.ParseSMTP(notify.Secret(address))
		if err != nil {
			return cfg, usagef("%s: %w", smtpURLEnv, err)
		}
		email.From, email.To = f.EmailFrom, slices.DeleteFunc(slices.Clone(f.EmailTo), func(s string) bool { return s == "" })
		cfg.Channels = append(cfg.Channels, notify.Channel{Name: "email", Kind: notify.Mail, Email: email})
	}
	if err := notify.Check(cfg); err != nil {
		return cfg, usageError{err}
	}
	return cfg, nil
}

type notifyCmd struct {
	DatabaseURL string `help:"Database, as hypertick_operator: postgres://user:password@host:port/name. Required but for --test." placeholder:"URL"`
	Test        string `help:"Send a test to this channel, say what happened, and end: exit code 0 or 1." env:"-" placeholder:"CHANNEL"`
	notifyFlags
}

// Run sends until it is told to stop.
func (c *notifyCmd) Run(e *env) error {
	cfg, err := c.config()
	if err != nil {
		return err
	}
	cfg.Log = e.log
	if c.Test != "" {
		return test(e.ctx, e, cfg, c.Test)
	}
	if c.DatabaseURL == "" {
		return usagef("missing flags: --database-url=URL")
	}
	tracing, err := startTracing(e.ctx, "hypertick-notify", e.log)
	if err != nil {
		return err
	}
	defer tracing.stop()
	cfg.Pool, err = db.NewPool(c.DatabaseURL, 0, tracing.pool)
	if err != nil {
		return err
	}
	defer cfg.Pool.Close()
	if err := refuseBaseline(e.ctx, cfg.Pool); err != nil {
		return err
	}
	n, err := notify.New(cfg)
	if err != nil {
		return err
	}
	return n.Run(e.ctx)
}

func test(ctx context.Context, e *env, cfg notify.Config, channel string) error {
	start := time.Now()
	if err := notify.Test(ctx, cfg, channel); err != nil {
		return fmt.Errorf("the test was not taken: %w", err)
	}
	fmt.Fprintf(e.out, "ok: %s took the test in %v\n", channel, time.Since(start).Round(time.Millisecond))
	return nil
}

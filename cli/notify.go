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

// Variables that hold secrets. There are no flags for them, because flags show in
// process lists.
const (
	webhookURLEnv    = "HYPERTICK_WEBHOOK_URL"
	webhookSecretEnv = "HYPERTICK_WEBHOOK_SECRET"
	slackURLEnv      = "HYPERTICK_SLACK_URL"
	smtpURLEnv       = "HYPERTICK_SMTP_URL"
)

// notifyFlags are the flags of the commands that send notifications.
type notifyFlags struct {
	ChannelsFile        string        `help:"File of channels, YAML or JSON: see docs/notify.md." placeholder:"FILE"`
	EmailFrom           string        `help:"Sender of the channel email, which HYPERTICK_SMTP_URL creates." placeholder:"ADDRESS"`
	EmailTo             []string      `help:"Receivers of the channel email." placeholder:"ADDRESS"`
	AllowPrivateTargets bool          `help:"Allow webhooks and Slack at any address, not only at public ones."`
	AllowTargets        []string      `help:"More networks in which webhooks and Slack are allowed, such as 10.1.0.0/16." placeholder:"CIDR"`
	SendTimeout         time.Duration `help:"Maximum time for one attempt, up to ${send_timeout}." default:"${send_timeout}" placeholder:"DURATION"`
	SendTries           int           `help:"Number of attempts after which a notification fails permanently; 12 take about six hours." default:"${send_tries}" placeholder:"N"`
	NotifyMetricsListen string        `help:"Address that serves /metrics, /livez and /readyz of the notifier." default:"127.0.0.1:9466" placeholder:"HOST:PORT"`
}

// config returns the settings from flags and variables, or a usage error.
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
	DatabaseURL string `help:"Database, as hypertick_operator: postgres://user:password@host:port/name. Required unless --test is given." placeholder:"URL"`
	Test        string `help:"Send a test message to this channel, print the result, and exit: exit code 0 or 1." env:"-" placeholder:"CHANNEL"`
	notifyFlags
}

// Run sends until the context ends.
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
		return fmt.Errorf("the channel did not accept the test: %w", err)
	}
	fmt.Fprintf(e.out, "ok: %s accepted the test in %v\n", channel, time.Since(start).Round(time.Millisecond))
	return nil
}

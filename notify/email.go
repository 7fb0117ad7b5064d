package notify

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	stdmail "net/mail"
	"strconv"
	"strings"
	"time"

	"github.com/wneessen/go-mail"
)

// email sends mail through a configured server. It is not guarded: the server is
// often on a private network, and its address is not chosen by strangers.
type email struct {
	cfg      Email
	host     string
	port     int
	domain   string
	security *tls.Config
	dialer   net.Dialer
	notify   *Config
}

// newEmail returns the sender of a channel that has been checked.
func newEmail(c *Channel, cfg *Config) (*email, error) {
	host, port, err := net.SplitHostPort(c.Email.Server)
	if err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	e := &email{cfg: c.Email, host: host, notify: cfg, dialer: net.Dialer{Timeout: cfg.Timeout, Resolver: cfg.Resolver}}
	if e.port, err = strconv.Atoi(port); err != nil {
		return nil, fmt.Errorf("smtp: %w", err)
	}
	if e.security, err = trust(c.CAFile, host); err != nil {
		return nil, err
	}
	from, err := stdmail.ParseAddress(c.Email.From)
	if err != nil {
		return nil, fmt.Errorf("from: %w", err)
	}
	_, e.domain, _ = strings.Cut(from.Address, "@")
	return e, nil
}

func (e *email) close() {}

// leave is the timeout for closing the SMTP session.
const leave = time.Second

// mail builds the mail. Its Message-ID is derived from the key, so that a second
// delivery can be distinguished from a second event.
func (e *email) mail(m *message) (*mail.Msg, error) {
	out := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := errors.Join(out.From(e.cfg.From), out.To(e.cfg.To...)); err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(m.id))
	out.SetMessageIDWithValue(hex.EncodeToString(sum[:16]) + "@" + e.domain)
	out.SetDateWithValue(e.notify.Now())
	out.Subject(m.title())
	out.SetGenHeader("Auto-Submitted", "auto-generated")
	out.SetGenHeader("X-Hypertick-Key", m.id)
	if m.payload.Severity == "critical" {
		out.SetImportance(mail.ImportanceHigh)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", plain(m.payload.Message))
	for _, f := range m.facts() {
		fmt.Fprintf(&b, "%-10s %s\n", f[0]+":", f[1])
	}
	fmt.Fprintf(&b, "\nRule:      %s\nSeverity:  %s\nKey:       %s\n", plain(m.payload.Rule), plain(m.payload.Severity), m.id)
	out.SetBodyString(mail.TypeTextPlain, b.String())
	return out, nil
}

func (e *email) send(ctx context.Context, m *message) error {
	msg, err := e.mail(m)
	if err != nil {
		return &failure{err: err, final: true}
	}
	// go-mail does not stop with its context once connected, and does not always
	// close its connection: both are done here.
	var conn net.Conn
	dial := func(dialing context.Context, network, address string) (net.Conn, error) {
		c, err := e.dialer.DialContext(dialing, network, address)
		if err != nil {
			return nil, err
		}
		conn = c
		context.AfterFunc(ctx, func() { _ = c.Close() })
		if e.cfg.TLS == "tls" {
			return tls.Client(c, e.security), nil
		}
		return c, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	policy := mail.TLSMandatory
	if e.cfg.TLS != "starttls" {
		policy = mail.TLSOpportunistic // does not start TLS again on a TLS connection
	}
	if e.cfg.TLS == "none" {
		policy = mail.NoTLS
	}
	options := []mail.Option{
		mail.WithPort(e.port), mail.WithTimeout(e.notify.Timeout), mail.WithTLSConfig(e.security.Clone()), mail.WithTLSPolicy(policy),
		mail.WithDialContextFunc(dial), mail.WithoutNoop(),
	}
	if e.cfg.Username != "" {
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(e.cfg.Username), mail.WithPassword(string(e.cfg.Password)))
	}
	client, err := mail.NewClient(e.host, options...)
	if err != nil {
		return &failure{err: err, final: true}
	}
	smtp, err := client.DialToSMTPClientWithContext(ctx)
	if err != nil {
		return broken(ctx, err)
	}
	err = client.SendWithSMTPClient(smtp, msg)
	if msg.IsDelivered() {
		// Delivered: errors while closing the session do not matter, and it must
		// not take long.
		_ = conn.SetDeadline(time.Now().Add(leave))
		_ = client.CloseWithSMTPClient(smtp)
		return nil
	}
	var refused *mail.SendError
	if errors.As(err, &refused) && refused.ErrorCode() >= 500 {
		return &failure{err: err, final: true}
	}
	return broken(ctx, err)
}

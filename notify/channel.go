package notify

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// Kinds of channels.
const (
	Webhook = "webhook"
	Slack   = "slack"
	Mail    = "email"
)

// Secret is text that is never printed. The address of a webhook is one too.
type Secret string

func (Secret) String() string { return "(hidden)" }

// GoString keeps it out of %#v.
func (Secret) GoString() string { return "(hidden)" }

// LogValue keeps it out of logs.
func (Secret) LogValue() slog.Value { return slog.StringValue("(hidden)") }

// MarshalText keeps it out of JSON and YAML.
func (Secret) MarshalText() ([]byte, error) { return []byte("(hidden)"), nil }

// Channel is a channel for notifications.
type Channel struct {
	Name string // as rules name it
	Kind string // Webhook, Slack or Mail
	URL  Secret // of a webhook or of Slack
	// Secret signs a webhook: whsec_ and 24 to 64 bytes in base64. During a
	// rotation it is both secrets, separated by a space.
	Secret Secret
	Email  Email
	// CAFile names certificates to trust instead of the system's, PEM.
	CAFile string
}

// Email is what a channel of kind Mail needs.
type Email struct {
	Server   string // host:port
	TLS      string // starttls, the default, tls, or none
	Username string // empty: no login
	Password Secret
	From     string
	To       []string
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// check returns an error that names the first invalid field, and holds no secret.
func (c *Channel) check() error {
	if !nameForm.MatchString(c.Name) {
		return fmt.Errorf("name: want lower case letters, digits, - and _, at most 63, got %q", c.Name)
	}
	switch c.Kind {
	case Webhook, Slack:
		u, err := url.Parse(string(c.URL))
		switch {
		case c.URL == "":
			return errors.New("url: want one, got none")
		case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
			return errors.New("url: want one that begins with https:// or http://")
		}
		if c.Kind == Slack {
			return nil
		}
		_, err = keys(c.Secret)
		return err
	case Mail:
		return c.Email.check()
	}
	return fmt.Errorf("kind: want webhook, slack or email, got %q", c.Kind)
}

func (e *Email) check() error {
	host, port, err := net.SplitHostPort(e.Server)
	n, errPort := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil || errPort != nil || host == "" || n == 0:
		return fmt.Errorf("smtp: want host:port, got %q", e.Server)
	case e.TLS != "starttls" && e.TLS != "tls" && e.TLS != "none":
		return fmt.Errorf("tls: want starttls, tls or none, got %q", e.TLS)
	case e.Username == "" && e.Password != "":
		return errors.New("username: want one where there is a password, got none")
	case len(e.To) == 0:
		return errors.New("to: want at least one address, got none")
	}
	if _, err := mail.ParseAddress(e.From); err != nil {
		return fmt.Errorf("from: want an address like Alerts <alerts@example.com>, got %q", e.From)
	}
	for _, to := range e.To {
		if _, err := mail.ParseAddress(to); err != nil {
			return fmt.Errorf("to: want addresses, got %q", to)
		}
	}
	return nil
}

const (
	secretPrefix         = "whsec_"
	minSecret, maxSecret = 24, 64
)

// keys returns the signing keys of one or more secrets.
func keys(s Secret) ([][]byte, error) {
	var out [][]byte
	for _, word := range strings.Fields(string(s)) {
		text, ok := strings.CutPrefix(word, secretPrefix)
		key, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || len(key) < minSecret || len(key) > maxSecret {
			return nil, fmt.Errorf("secret: want whsec_ and %d to %d bytes in base64, as of: echo whsec_$(openssl rand -base64 32)", minSecret, maxSecret)
		}
		out = append(out, key)
	}
	if len(out) == 0 {
		return nil, errors.New("secret: want one, got none; make one: echo whsec_$(openssl rand -base64 32)")
	}
	return out, nil
}

// ParseSMTP reads smtp://user:password@host:port, which means STARTTLS, or
// smtps://, which means TLS from the first byte. ?tls=none goes without.
func ParseSMTP(address Secret) (Email, error) {
	u, err := url.Parse(string(address))
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" {
		return Email{}, errors.New("want smtp://user:password@host:port or smtps://..., with % before what is special in a password")
	}
	e := Email{Username: u.User.Username(), TLS: "starttls"}
	if password, ok := u.User.Password(); ok {
		e.Password = Secret(password)
	}
	port := "587"
	if u.Scheme == "smtps" {
		e.TLS, port = "tls", "465"
	}
	if p := u.Port(); p != "" {
		port = p
	}
	query := u.Query()
	if v := query.Get("tls"); v != "" {
		e.TLS = v
	}
	query.Del("tls")
	if len(query) > 0 || u.Path != "" && u.Path != "/" {
		return Email{}, errors.New("want nothing after host:port but ?tls=none")
	}
	e.Server = net.JoinHostPort(u.Hostname(), port)
	return e, nil
}

// trust returns the TLS configuration that checks the server's certificate.
func trust(file, host string) (*tls.Config, error) {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if file == "" {
		return cfg, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	cfg.RootCAs = x509.NewCertPool()
	if !cfg.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca_file: want certificates in PEM, got none in %s", file)
	}
	return cfg, nil
}

// hide returns a Replacer that hides the secrets of a channel. Errors of libraries
// hold addresses, and servers may return what they were sent.
func (c *Channel) hide() *strings.Replacer {
	var pairs []string
	add := func(s string) {
		if len(s) >= 4 {
			pairs = append(pairs, s, "(hidden)")
		}
	}
	add(string(c.URL))
	if u, err := url.Parse(string(c.URL)); err == nil {
		add(u.String())
		add(u.RequestURI())
		add(u.RawQuery)
		for part := range strings.SplitSeq(u.EscapedPath(), "/") {
			if len(part) >= 8 {
				add(part)
			}
		}
		if password, ok := u.User.Password(); ok {
			add(password)
		}
	}
	for _, word := range strings.Fields(string(c.Secret)) {
		add(word)
		add(strings.TrimPrefix(word, secretPrefix))
	}
	if p := string(c.Email.Password); p != "" {
		add(p)
		add(url.QueryEscape(p))
		add(base64.StdEncoding.EncodeToString([]byte(p)))
		add(base64.StdEncoding.EncodeToString([]byte("\x00" + c.Email.Username + "\x00" + p)))
	}
	return strings.NewReplacer(pairs...)
}

package feed

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
	saslplain "github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// SASL mechanisms.
const (
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// SecurityConfig configures TLS and authentication of broker connections.
type SecurityConfig struct {
	TLS      bool
	CAFile   string // certificates to trust instead of the system's, PEM
	CertFile string // client certificate, PEM; empty for none
	KeyFile  string // key of the client certificate
	// SASL is the mechanism, empty for none.
	SASL     string
	Username string
	Password string
}

// Security is how to connect to a broker. The zero value is plain text without
// authentication.
type Security struct {
	tls       *tls.Config
	mechanism sasl.Mechanism
}

// NewSecurity checks cfg and reads its files. No error holds the password.
func NewSecurity(cfg SecurityConfig) (Security, error) {
	var s Security
	switch {
	case !cfg.TLS && (cfg.CAFile != "" || cfg.CertFile != "" || cfg.KeyFile != ""):
		return s, errors.New("certificates are given, but TLS is not turned on")
	case (cfg.CertFile == "") != (cfg.KeyFile == ""):
		return s, errors.New("want the client's certificate and its key, got only one of them")
	case cfg.SASL == "" && (cfg.Username != "" || cfg.Password != ""):
		return s, errors.New("a user name or password is given, but no SASL mechanism")
	case cfg.SASL != "" && cfg.Username == "":
		return s, fmt.Errorf("SASL %s: want a user name, got none", cfg.SASL)
	case cfg.SASL != "" && cfg.Password == "":
		return s, fmt.Errorf("SASL %s: want a password, got none", cfg.SASL)
	}
	if cfg.TLS {
		s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.CAFile != "" {
			pem, err := os.ReadFile(cfg.CAFile)
			if err != nil {
				return Security{}, fmt.Errorf("read the certificates to trust: %w", err)
			}
			s.tls.RootCAs = x509.NewCertPool()
			if !s.tls.RootCAs.AppendCertsFromPEM(pem) {
				return Security{}, fmt.Errorf("%s: want certificates in PEM form, found none", cfg.CAFile)
			}
		}
		if cfg.CertFile != "" {
			cert, err := tls.LoadX509KeyPair(cfg.CertFile, cfg.KeyFile)
			if err != nil {
				return Security{}, fmt.Errorf("read the client's certificate: %w", err)
			}
			s.tls.Certificates = []tls.Certificate{cert}
		}
	}
	switch cfg.SASL {
	case "":
	case SASLPlain:
		s.mechanism = saslplain.Auth{User: cfg.Username, Pass: cfg.Password}.AsMechanism()
	case SASLScramSHA256:
		s.mechanism = scram.Auth{User: cfg.Username, Pass: cfg.Password}.AsSha256Mechanism()
	case SASLScramSHA512:
		s.mechanism = scram.Auth{User: cfg.Username, Pass: cfg.Password}.AsSha512Mechanism()
	default:
		return Security{}, fmt.Errorf("SASL: want %s, %s or %s, got %q", SASLPlain, SASLScramSHA256, SASLScramSHA512, cfg.SASL)
	}
	return s, nil
}

// Client returns a client of the brokers that connects with s.
func (s Security) Client(brokers []string, opts ...kgo.Opt) (*kgo.Client, error) {
	all := []kgo.Opt{kgo.SeedBrokers(brokers...)}
	if s.tls != nil {
		all = append(all, kgo.DialTLSConfig(s.tls))
	}
	if s.mechanism != nil {
		all = append(all, kgo.SASL(s.mechanism))
	}
	return kgo.NewClient(append(all, opts...)...)
}

// String describes the security without secrets.
func (s Security) String() string {
	out := "plain text"
	if s.tls != nil {
		out = "TLS"
	}
	if s.mechanism != nil {
		out += ", SASL " + s.mechanism.Name()
	}
	return out
}

// GoString keeps %#v from printing a password.
func (s Security) GoString() string { return "feed.Security(" + s.String() + ")" }

package cli

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/hypertick/hypertick/feed"
)

// brokerPasswordEnv names the variable that holds the password for the broker.
// It is not a flag: flags show in process lists.
const brokerPasswordEnv = "HYPERTICK_BROKER_PASSWORD"

// brokerFlag names the brokers and the topic, and how to connect.
type brokerFlag struct {
	Brokers            []string `help:"Brokers of the stream, host:port." default:"127.0.0.1:19092" placeholder:"HOST:PORT"`
	Topic              string   `help:"Topic of the stream; the dead-letter topic is its name with .dlq." default:"${topic}" placeholder:"NAME"`
	BrokerTLS          bool     `name:"broker-tls" help:"Connect to the brokers with TLS."`
	BrokerTLSCA        string   `name:"broker-tls-ca" help:"Certificates to trust instead of the system's, PEM." placeholder:"FILE"`
	BrokerTLSCert      string   `name:"broker-tls-cert" help:"Certificate of this client, where the broker asks for one, PEM." placeholder:"FILE"`
	BrokerTLSKey       string   `name:"broker-tls-key" help:"Key of that certificate, PEM." placeholder:"FILE"`
	BrokerSASL         string   `name:"broker-sasl" help:"SASL mechanism: ${enum}." enum:"none,plain,scram-sha-256,scram-sha-512" default:"none"`
	BrokerUsername     string   `help:"User for SASL; the password is in HYPERTICK_BROKER_PASSWORD." placeholder:"NAME"`
	BrokerPasswordFile string   `help:"File with the password, instead of that variable." placeholder:"FILE"`
}

// security reads the files that the flags name. Errors are usage errors.
func (f *brokerFlag) security(log *slog.Logger) (feed.Security, error) {
	cfg := feed.SecurityConfig{
		TLS: f.BrokerTLS, CAFile: f.BrokerTLSCA, CertFile: f.BrokerTLSCert, KeyFile: f.BrokerTLSKey, Username: f.BrokerUsername,
	}
	if f.BrokerSASL != "none" {
		cfg.SASL = f.BrokerSASL
		password, err := f.password()
		if err != nil {
			return feed.Security{}, err
		}
		cfg.Password = password
	}
	s, err := feed.NewSecurity(cfg)
	if err != nil {
		return s, usagef("broker: %w", err)
	}
	if cfg.SASL == feed.SASLPlain && !cfg.TLS {
		log.Warn("broker password is sent in plain text: use --broker-tls or a SCRAM mechanism")
	}
	return s, nil
}

func (f *brokerFlag) password() (string, error) {
	if f.BrokerPasswordFile == "" {
		return os.Getenv(brokerPasswordEnv), nil
	}
	b, err := os.ReadFile(f.BrokerPasswordFile)
	if err != nil {
		return "", usageError{fmt.Errorf("--broker-password-file: %w", err)}
	}
	// Editors and echo end a file with a line break; no password does.
	return strings.TrimRight(string(b), "\r\n"), nil
}

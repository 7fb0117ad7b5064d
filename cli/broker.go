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

// brokerFlag says which topic of which brokers, and how to reach it.
type brokerFlag struct {
	Brokers            []string `help:"Brokers of the stream, host:port." default:"127.0.0.1:19092" placeholder:"HOST:PORT"`
	Topic              string   `help:"Topic of the stream; dead letters go to the one with .dlq behind its name." default:"${topic}" placeholder:"NAME"`
	BrokerTLS          bool     `name:"broker-tls" help:"Speak TLS to the brokers."`
	BrokerTLSCA        string   `name:"broker-tls-ca" help:"Certificates to trust instead of the system's, PEM." placeholder:"FILE"`
	BrokerTLSCert      string   `name:"broker-tls-cert" help:"This client's certificate, where the broker wants one, PEM." placeholder:"FILE"`
	BrokerTLSKey       string   `name:"broker-tls-key" help:"The key of that certificate, PEM." placeholder:"FILE"`
	BrokerSASL         string   `name:"broker-sasl" help:"How to authenticate to the brokers: ${enum}." enum:"none,plain,scram-sha-256,scram-sha-512" default:"none"`
	BrokerUsername     string   `help:"Name to authenticate with; the password is in HYPERTICK_BROKER_PASSWORD." placeholder:"NAME"`
	BrokerPasswordFile string   `help:"File that holds the password, instead of that variable." placeholder:"FILE"`
}

// security reads what the flags name. What is wrong with them is a usage error.
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
		log.Warn("the broker's password crosses the network in plain text: use --broker-tls or a scram mechanism")
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

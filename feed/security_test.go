package feed_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/hypertick/hypertick/feed"
)

// authority is a certificate authority of a test.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", true)
	return a
}

func (a *authority) path(name string) string { return filepath.Join(a.dir, name) }

// issue writes NAME.pem and NAME.key, good for 127.0.0.1.
func (a *authority) issue(name string, ca bool) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: ca, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if !ca {
		parent, signer = a.cert, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		name + ".pem": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(a.path(file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// server is a TLS configuration that asks clients for a certificate of a.
func (a *authority) server(askClient bool) *tls.Config {
	a.t.Helper()
	a.issue("broker", false)
	pair, err := tls.LoadX509KeyPair(a.path("broker.pem"), a.path("broker.key"))
	if err != nil {
		a.t.Fatal(err)
	}
	cfg := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if askClient {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		cfg.ClientCAs.AddCert(a.cert)
	}
	return cfg
}

const (
	brokerUser   = "feeder"
	brokerSecret = "not-to-be-shown-9b1c"
)

func secureBroker(t *testing.T, opts ...kfake.Opt) []string {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(2, feed.Topic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c.ListenAddrs()
}

// roundTrip produces a tick and reads it back as Positions does.
func roundTrip(t *testing.T, brokers []string, cfg feed.SecurityConfig) error {
	t.Helper()
	security, err := feed.NewSecurity(cfg)
	if err != nil {
		return err
	}
	p, err := feed.NewProducer(feed.ProducerConfig{Brokers: brokers, Security: security, DeliveryTimeout: 3 * time.Second, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.EnsureTopic(t.Context(), 2); err != nil {
		return err
	}
	tick := feed.Tick{Symbol: "AAPL", TS: time.Now().UnixMicro(), Price: 1, Size: 1, Seq: 7, Venue: "SIM"}
	if err := p.Produce(t.Context(), &tick); err != nil {
		return err
	}
	if err := p.Flush(t.Context()); err != nil {
		return err
	}
	got, err := feed.Positions(t.Context(), brokers, security, feed.Topic, "SIM", "AAPL")
	if err == nil && got["AAPL"].Seq != 7 {
		err = fmt.Errorf("read back %+v", got)
	}
	return err
}

func TestSASL(t *testing.T) {
	t.Parallel()
	for method, kafkaName := range map[string]string{
		feed.SASLPlain: "PLAIN", feed.SASLScramSHA256: "SCRAM-SHA-256", feed.SASLScramSHA512: "SCRAM-SHA-512",
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			brokers := secureBroker(t, kfake.EnableSASL(), kfake.Superuser(kafkaName, brokerUser, brokerSecret))
			if err := roundTrip(t, brokers, feed.SecurityConfig{SASL: method, Username: brokerUser, Password: brokerSecret}); err != nil {
				t.Errorf("right password: %v", err)
			}
			const wrong = brokerSecret + "x"
			err := roundTrip(t, brokers, feed.SecurityConfig{SASL: method, Username: brokerUser, Password: wrong})
			if err == nil || strings.Contains(err.Error(), brokerSecret) {
				t.Errorf("wrong password: %v; want an error without it", err)
			}
			if err := roundTrip(t, brokers, feed.SecurityConfig{}); err == nil {
				t.Error("no name and password: want an error")
			}
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	brokers := secureBroker(t, kfake.TLS(ca.server(false)))
	if err := roundTrip(t, brokers, feed.SecurityConfig{TLS: true, CAFile: ca.path("ca.pem")}); err != nil {
		t.Errorf("with the authority: %v", err)
	}
	if err := roundTrip(t, brokers, feed.SecurityConfig{TLS: true}); err == nil {
		t.Error("with the system's authorities only: want an error")
	}
	if err := roundTrip(t, brokers, feed.SecurityConfig{TLS: true, CAFile: newAuthority(t).path("ca.pem")}); err == nil {
		t.Error("with another authority: want an error")
	}
	if err := roundTrip(t, brokers, feed.SecurityConfig{}); err == nil {
		t.Error("in plain text: want an error")
	}
}

func TestClientCertificate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	ca.issue("client", false)
	brokers := secureBroker(t, kfake.TLS(ca.server(true)), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", brokerUser, brokerSecret))
	cfg := feed.SecurityConfig{
		TLS: true, CAFile: ca.path("ca.pem"), CertFile: ca.path("client.pem"), KeyFile: ca.path("client.key"),
		SASL: feed.SASLScramSHA512, Username: brokerUser, Password: brokerSecret,
	}
	if err := roundTrip(t, brokers, cfg); err != nil {
		t.Errorf("certificate and password: %v", err)
	}
	cfg.CertFile, cfg.KeyFile = "", ""
	if err := roundTrip(t, brokers, cfg); err == nil {
		t.Error("without a certificate: want an error")
	}
}

func TestSecurityErrors(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, c := range []struct {
		cfg  feed.SecurityConfig
		want string
	}{
		{feed.SecurityConfig{CAFile: ca.path("ca.pem")}, "TLS is not turned on"},
		{feed.SecurityConfig{TLS: true, CertFile: ca.path("ca.pem")}, "its key"},
		{feed.SecurityConfig{TLS: true, CAFile: ca.path("absent.pem")}, "absent.pem"},
		{feed.SecurityConfig{TLS: true, CAFile: ca.path("ca.key")}, "found none"},
		{feed.SecurityConfig{TLS: true, CertFile: ca.path("ca.key"), KeyFile: ca.path("ca.pem")}, "client's certificate"},
		{feed.SecurityConfig{Username: brokerUser}, "no SASL mechanism"},
		{feed.SecurityConfig{Password: brokerSecret}, "no SASL mechanism"},
		{feed.SecurityConfig{SASL: feed.SASLPlain, Password: brokerSecret}, "user name"},
		{feed.SecurityConfig{SASL: feed.SASLPlain, Username: brokerUser}, "password"},
		{feed.SecurityConfig{SASL: "kerberos", Username: brokerUser, Password: brokerSecret}, "scram-sha-512"},
	} {
		_, err := feed.NewSecurity(c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), brokerSecret) {
			t.Errorf("%q: got %v, want an error with %q and without the password", c.want, err, c.want)
		}
	}
}

// TestSecurityIsNotPrinted checks that no verb of fmt prints the password.
func TestSecurityIsNotPrinted(t *testing.T) {
	t.Parallel()
	s, err := feed.NewSecurity(feed.SecurityConfig{TLS: true, SASL: feed.SASLScramSHA256, Username: brokerUser, Password: brokerSecret})
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{s, &s, feed.TopicsConfig{Security: s}} {
			if out := fmt.Sprintf(format, v); strings.Contains(out, brokerSecret) {
				t.Errorf("%s of %T shows the password: %s", format, v, out)
			}
		}
	}
	if got := s.String(); got != "TLS, SASL SCRAM-SHA-256" {
		t.Errorf("got %q", got)
	}
}

package notify

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	stdmail "net/mail"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

const (
	mailUser            = "alerts"
	mailPassword Secret = "correct horse/battery+staple"
)

// sink is a mail server on a socket. fail is asked at each step of a session,
// and may hang up, hang, or refuse.
type sink struct {
	addr string
	mu   sync.Mutex
	mail []*received
	fail func(step string, conn net.Conn) error
}

type received struct {
	to     []string
	header stdmail.Header
	body   string
	raw    string
}

func (s *sink) got() []*received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*received(nil), s.mail...)
}

// newSink takes mail with STARTTLS, or with TLS from the first byte, from who
// knows the password.
func newSink(t testing.TB, cert tls.Certificate, implicit bool, fail func(step string, conn net.Conn) error) *sink {
	t.Helper()
	s := &sink{fail: fail}
	server := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) {
		return &session{sink: s, conn: c.Conn()}, nil
	}))
	server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	server.Domain, server.ErrorLog = "localhost", log.New(io.Discard, "", 0)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, server.TLSConfig)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close(); <-served })
	return s
}

func (s *sink) channel(name, file string) Channel {
	return Channel{Name: name, Kind: Mail, CAFile: file, Email: Email{
		Server: s.addr, TLS: "starttls", Username: mailUser, Password: mailPassword,
		From: "Hypertick <alerts@example.com>", To: []string{"ops@example.com", "Desk <desk@example.com>"},
	}}
}

type session struct {
	*sink
	conn     net.Conn
	authed   bool
	received received
}

func (s *session) step(name string) error {
	if s.fail == nil {
		return nil
	}
	return s.fail(name, s.conn)
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, username, password string) error {
		if username != mailUser || password != string(mailPassword) {
			return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "bad login, not " + password}
		}
		s.authed = true
		return s.step("auth")
	}), nil
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if !s.authed {
		return smtp.ErrAuthRequired
	}
	return s.step("mail")
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.received.to = append(s.received.to, to)
	return s.step("rcpt")
}

func (s *session) Data(r io.Reader) error {
	if err := s.step("data"); err != nil {
		return err
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := stdmail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return err
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return err
	}
	got := s.received
	got.header, got.body, got.raw = m.Header, string(body), string(raw)
	s.mu.Lock()
	s.mail = append(s.mail, &got)
	s.mu.Unlock()
	return s.step("taken") // a refusal here is a mail that was accepted all the same
}

// Reset comes right after the answer to a mail.
func (s *session) Reset() {
	taken := len(s.received.to) > 0
	s.received = received{}
	if taken {
		_ = s.step("goodbye")
	}
}

func (s *session) Logout() error { return nil }

var errTransient = &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "later"}
var errPermanent = &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 1, 1}, Message: "no such mailbox"}
var errHungUp = errors.New("hung up")

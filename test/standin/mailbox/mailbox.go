// Package mailbox is a real server of SMTP, for tests, that keeps what it gets.
package mailbox

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// User is who the server lets in, where it asks for a password.
const User = "box"

// Options of a Server.
type Options struct {
	TLS      bool   // from the beginning; else where a client begins it
	Password string // of User; empty: nobody is asked
}

// Server is one that runs until its test ends.
type Server struct {
	Address, CA string // CA is a file that vouches for it
	password    string

	mu      sync.Mutex
	refuses string
	letters []Letter
}

// Letter is one that was taken.
type Letter struct {
	To   []string
	Text string // with its headers
}

// Start starts a server on an address of its own.
func Start(t *testing.T, opts Options) *Server {
	t.Helper()
	certificate := httptest.NewTLSServer(nil)
	certificate.Close()
	m := &Server{password: opts.Password, CA: filepath.Join(t.TempDir(), "ca.pem")}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw})
	if err := os.WriteFile(m.CA, text, 0o600); err != nil {
		t.Fatal(err)
	}
	server := smtp.NewServer(backend{m})
	server.TLSConfig = &tls.Config{Certificates: certificate.TLS.Certificates}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.Address = listener.Addr().String()
	if opts.TLS {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	ended := make(chan error)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil && !errors.Is(err, smtp.ErrServerClosed) {
			t.Error(err)
		}
	})
	return m
}

// Refuse has the server refuse letters to an address.
func (m *Server) Refuse(to string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuses = to
}

// Letters returns what was taken so far.
func (m *Server) Letters() []Letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]Letter{}, m.letters...)
}

type backend struct{ server *Server }

func (b backend) NewSession(*smtp.Conn) (smtp.Session, error) {
	return &session{server: b.server}, nil
}

type session struct {
	server *Server
	known  bool
	to     []string
}

func (s *session) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *session) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if user != User || password != s.server.password {
			return smtp.ErrAuthFailed
		}
		s.known = true
		return nil
	}), nil
}

func (s *session) Mail(string, *smtp.MailOptions) error {
	if s.server.password != "" && !s.known {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	if to == s.server.refuses {
		return &smtp.SMTPError{Code: 550, Message: "no such user"}
	}
	s.to = append(s.to, to)
	return nil
}

func (s *session) Data(r io.Reader) error {
	text, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.server.mu.Lock()
	defer s.server.mu.Unlock()
	s.server.letters = append(s.server.letters, Letter{s.to, string(text)})
	return nil
}

func (*session) Reset()        {}
func (*session) Logout() error { return nil }

package receiver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	netmail "net/mail"
	"os"
	"strconv"
	"strings"

	"github.com/wneessen/go-mail"

	"pillarbox/internal/alert"
	"pillarbox/internal/engine/webhook"
)

// How a server of e-mail is talked to.
const (
	StartTLS = "starttls" // in the clear until TLS begins, which it must
	TLS      = "tls"      // in TLS from the beginning
	NoTLS    = "none"     // in the clear
)

// MaxTo is how many addresses one receiver may have.
const MaxTo = 50

// ports are where servers listen, by how they are talked to.
var ports = map[string]int{StartTLS: 587, TLS: 465, NoTLS: 25}

// Mail says how e-mail is sent.
type Mail struct {
	Server   string // HOST or HOST:PORT
	Security string // StartTLS, TLS or NoTLS
	User     string // empty: nobody is asked who we are
	Password string
	CA       string // file of authorities; empty for those of the system
	From     string
	To       []string
}

func wrong(key, format string, args ...any) error {
	return &webhook.SettingError{Key: key, Reason: fmt.Sprintf(format, args...)}
}

// mailSender sends e-mail by SMTP, with a connection for each message.
type mailSender struct {
	options []mail.Option
	host    string
	from    string
	to      []string
}

func openMail(m Mail) (*mailSender, error) {
	if len(m.To) == 0 || len(m.To) > MaxTo {
		return nil, wrong("to", "has %d addresses; want 1 to %d", len(m.To), MaxTo)
	}
	for _, address := range append([]string{m.From}, m.To...) {
		if _, err := netmail.ParseAddress(address); err != nil {
			key := "to"
			if address == m.From {
				key = "from"
			}
			return nil, wrong(key, "%q is no address of e-mail", address)
		}
	}
	host, port, err := hostAndPort(m)
	if err != nil {
		return nil, err
	}
	security, err := m.tlsConfig(host)
	if err != nil {
		return nil, err
	}
	s := &mailSender{host: host, from: m.From, to: m.To, options: []mail.Option{mail.WithPort(port),
		mail.WithTimeout(alert.SendTimeout),
		mail.WithTLSConfig(security), mail.WithoutNoop()}}
	switch m.Security {
	case TLS:
		s.options = append(s.options, mail.WithSSL())
	case StartTLS:
		s.options = append(s.options, mail.WithTLSPolicy(mail.TLSMandatory))
	case NoTLS:
		s.options = append(s.options, mail.WithTLSPolicy(mail.NoTLS))
	}
	if m.User != "" {
		s.options = append(s.options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover),
			mail.WithUsername(m.User), mail.WithPassword(m.Password))
	}
	if _, err := mail.NewClient(host, s.options...); err != nil {
		return nil, wrong("server", "%v", err)
	}
	return s, nil
}

func hostAndPort(m Mail) (host string, port int, err error) {
	if !strings.Contains(m.Server, ":") {
		host, port = m.Server, ports[m.Security]
	} else {
		var text string
		if host, text, err = net.SplitHostPort(m.Server); err == nil {
			port, err = strconv.Atoi(text)
		}
	}
	switch {
	case err != nil || host == "" || port < 1 || port > 65535:
		return "", 0, wrong("server", "want HOST or HOST:PORT, as in smtp.example.org:587")
	case m.Security == NoTLS && m.User != "":
		return "", 0, wrong("user",
			"is a credential, and security: none is read by everybody on the way; use starttls or tls")
	case (m.User == "") != (m.Password == ""):
		return "", 0, wrong("password", "and user belong together; set both, or neither")
	case m.Security == NoTLS && m.CA != "":
		return "", 0, wrong("ca", "has no effect with security: none; leave it out")
	}
	return host, port, nil
}

func (m *Mail) tlsConfig(host string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: host}
	if m.CA == "" {
		return config, nil
	}
	text, err := os.ReadFile(m.CA)
	if err != nil {
		return nil, wrong("ca", "%v", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(text) {
		return nil, wrong("ca", "there is no certificate in PEM in it")
	}
	return config, nil
}

// Single implements alert.Sender.
func (*mailSender) Single() bool { return false }

// Close implements alert.Sender.
func (*mailSender) Close() error { return nil }

// Send implements alert.Sender.
func (s *mailSender) Send(ctx context.Context, m *alert.Message) error {
	letter := mail.NewMsg()
	if err := letter.From(s.from); err != nil {
		return fmt.Errorf("from: %w", err)
	}
	if err := letter.To(s.to...); err != nil {
		return fmt.Errorf("to: %w", err)
	}
	letter.Subject(m.Title())
	letter.SetDateWithValue(m.At)
	letter.SetMessageIDWithValue(m.ID + "@pillarbox.invalid")
	letter.SetGenHeader("Auto-Submitted", "auto-generated") // nobody's absence answers
	letter.SetBodyString(mail.TypeTextPlain, m.Text())
	client, err := mail.NewClient(s.host, s.options...)
	if err != nil {
		return err
	}
	if err := client.DialAndSendWithContext(ctx, letter); err != nil {
		return fmt.Errorf("%s: %w", s.host, err)
	}
	return nil
}

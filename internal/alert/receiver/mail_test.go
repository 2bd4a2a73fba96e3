package receiver_test

import (
	"errors"
	"io"
	netmail "net/mail"
	"strings"
	"testing"

	"pillarbox"
	"pillarbox/internal/alert/receiver"
	"pillarbox/test/standin/mailbox"
)

func options(m *mailbox.Server, password, security string) receiver.Options {
	o := receiver.Options{Kind: receiver.Email, Mail: receiver.Mail{Server: m.Address,
		Security: security, From: "Box <box@example.org>",
		To: []string{"a@example.org", "b@example.org"}}}
	if security != receiver.NoTLS {
		o.Mail.CA = m.CA
	}
	if password != "" {
		o.Mail.User, o.Mail.Password = mailbox.User, password
	}
	return o
}

// E-mail goes in TLS from the beginning, in TLS that is asked for, or in the clear, with a password
// or without.
func TestMailIsSent(t *testing.T) {
	for _, c := range []struct{ security, password string }{
		{receiver.StartTLS, ""}, {receiver.StartTLS, "geheim"}, {receiver.TLS, "geheim"}, {receiver.NoTLS,
			""},
	} {
		t.Run(c.security+" "+c.password, func(t *testing.T) {
			m := mailbox.Start(t, mailbox.Options{TLS: c.security == receiver.TLS, Password: c.password})
			r := open(t, options(m, c.password, c.security))
			send(t, r, message(t, "box"))
			letter, err := netmail.ReadMessage(strings.NewReader(m.Letters()[0].Text))
			if err != nil {
				t.Fatal(err)
			}
			if got := letter.Header.Get("Subject"); got != "[pillarbox box] firing (high): box box" {
				t.Errorf("the subject is %q", got)
			}
			body, err := io.ReadAll(letter.Body)
			if err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"FIRING: Mine (high)", "where:    destination box",
				"since:    2026-11-30T14:02:00Z", "what now: box", "dashboard: https://box.example/"} {
				if !strings.Contains(string(body), part) {
					t.Errorf("the letter has no %q:\n%s", part, body)
				}
			}
			if got := strings.Join(m.Letters()[0].To, " "); got != "a@example.org b@example.org" ||
				letter.Header.Get("Auto-Submitted") != "auto-generated" {
				t.Errorf("to %s, %v", got, letter.Header)
			}
		})
	}
}

// No text makes a header, and a subject is one line.
func TestMailHeadersCantBeAdded(t *testing.T) {
	m := mailbox.Start(t, mailbox.Options{})
	send(t, open(t, options(m, "", receiver.StartTLS)), message(t, hostile))
	letter, err := netmail.ReadMessage(strings.NewReader(m.Letters()[0].Text))
	if err != nil {
		t.Fatal(err)
	}
	if letter.Header.Get("Bcc") != "" || len(m.Letters()[0].To) != 2 {
		t.Errorf("a text has made a header: %v", letter.Header)
	}
}

// What the server refuses is an error, and so is a server without TLS where TLS is asked for, or
// with a certificate that nobody vouches for.
func TestMailThatIsRefusedIsAnError(t *testing.T) {
	m := mailbox.Start(t, mailbox.Options{Password: "geheim"})
	msg := message(t, "box")
	wrongPassword := options(m, "geheim", receiver.StartTLS)
	wrongPassword.Mail.Password = "falsch"
	unknownCA := options(m, "geheim", receiver.StartTLS)
	unknownCA.Mail.CA = ""
	refusing := options(m, "geheim", receiver.StartTLS)
	for _, c := range []struct {
		name string
		receiver.Options
	}{{"password", wrongPassword}, {"authority", unknownCA}, {"no TLS there", options(m, "geheim", receiver.TLS)},
		{"recipient", refusing}} {
		if c.name == "recipient" {
			m.Refuse("b@example.org")
		}
		err := open(t, c.Options).Sender.Send(t.Context(), msg)
		if err == nil || strings.Contains(err.Error(), "falsch") || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Settings that can't work are refused with their key.
func TestMailSettings(t *testing.T) {
	good := receiver.Mail{Server: "smtp.example.org", Security: receiver.StartTLS,
		From: "a@example.org", To: []string{"b@example.org"}}
	for key, change := range map[string]func(*receiver.Mail){
		"to: has 0":            func(m *receiver.Mail) { m.To = nil },
		"to: has 51":           func(m *receiver.Mail) { m.To = make([]string, receiver.MaxTo+1) },
		`to: "b" is no`:        func(m *receiver.Mail) { m.To = []string{"b"} },
		"from: \"\" is no":     func(m *receiver.Mail) { m.From = "" },
		"server: want HOST":    func(m *receiver.Mail) { m.Server = "" },
		"server: want HOST or": func(m *receiver.Mail) { m.Server = "a:b" },
		"password: and user":   func(m *receiver.Mail) { m.User = "a" },
		"user: is a cred": func(m *receiver.Mail) {
			m.User, m.Password, m.Security = "a", "b",
				receiver.NoTLS
		},
		"ca: open":          func(m *receiver.Mail) { m.CA = "/nowhere" },
		"ca: has no effect": func(m *receiver.Mail) { m.CA, m.Security = "/nowhere", receiver.NoTLS },
	} {
		mail := good
		change(&mail)
		if _, err := receiver.Open(receiver.Options{Kind: receiver.Email, Mail: mail}); !errors.Is(err,
			pillarbox.ErrInvalid) || !strings.HasPrefix(err.Error(), key) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if _, err := receiver.Open(receiver.Options{Kind: receiver.Email, Mail: good}); err != nil {
		t.Error(err)
	}
}

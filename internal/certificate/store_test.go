package certificate_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/certificate"
	"pillarbox/internal/node/nodetest"
)

// shown is the certificate that a server with the store shows a client that asks for a name.
func shown(t *testing.T, s *certificate.Store, name string) *x509.Certificate {
	t.Helper()
	ours, theirs := net.Pipe()
	ended := make(chan error, 1)
	go func() {
		server := tls.Server(theirs, s.Config())
		ended <- server.Handshake()
	}()
	client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, ServerName: name})
	if err := client.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	ours.Close()
	theirs.Close()
	return client.ConnectionState().PeerCertificates[0]
}

// TestFilesThatChangeAreTaken: a pair that does not match, or is gone, leaves the one before in
// force, is told once and in the state, and is looked at again.
func TestFilesThatChangeAreTaken(t *testing.T) {
	a, dir, log := nodetest.NewAuthority(t), t.TempDir(), &bytes.Buffer{}
	firstCert, firstKey := a.Server(time.Time{}, "one")
	cert, key := nodetest.WriteFiles(t, dir, firstCert, firstKey)
	s, err := certificate.Open(certificate.Options{Name: "tls", Logger: slog.New(slog.NewTextHandler(log, nil)),
		Pairs: []certificate.Pair{{Cert: cert, Key: key}}})
	if err != nil {
		t.Fatal(err)
	}
	want := func(name, problem string) {
		t.Helper()
		s.Look()
		s.Look() // tells nothing twice
		states := s.States()
		if got := shown(t, s, "x").DNSNames[0]; got != name || len(states) != 1 || states[0].Names[0] != name ||
			(states[0].Problem == "") != (problem == "") || !strings.Contains(states[0].Problem, problem) {
			t.Errorf("shown is %s, %+v; want %s, %q", got, states, name, problem)
		}
		if told := strings.Count(log.String(), "level=ERROR"); told != map[bool]int{true: 1}[problem != ""] {
			t.Errorf("%d errors were told:\n%s", told, log)
		}
		log.Reset()
	}
	want("one", "")
	before, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	newCert, newKey := a.Server(time.Time{}, "two")
	write(t, cert, newCert)
	want("one", "are no pair")
	write(t, key, newKey)
	want("two", "")
	write(t, cert, before)
	want("two", "are no pair")
	write(t, cert, newCert)
	want("two", "")
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	want("two", "no such file")
	write(t, cert, newCert)
	want("two", "")
	write(t, key, []byte("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n"))
	want("two", "is encrypted")
}

func write(t *testing.T, name string, text []byte) {
	t.Helper()
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAClientGetsTheCertificateForItsName, and the first one for any other name.
func TestAClientGetsTheCertificateForItsName(t *testing.T) {
	a := nodetest.NewAuthority(t)
	var opts certificate.Options
	for _, name := range []string{"one.example.org", "two.example.org"} {
		cert, key := a.Server(time.Time{}, name)
		certFile, keyFile := nodetest.WriteFiles(t, t.TempDir(), cert, key)
		opts.Pairs = append(opts.Pairs, certificate.Pair{Cert: certFile, Key: keyFile})
	}
	s, err := certificate.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{"one.example.org": "one.example.org",
		"TWO.example.org": "two.example.org", "three.example.org": "one.example.org", "": "one.example.org"} {
		if got := shown(t, s, asked).DNSNames[0]; got != want {
			t.Errorf("%q gets that of %s, want %s", asked, got, want)
		}
	}
}

// TestACertificateIsWarnedOfBeforeItsEnd: once a day from 14 days on, and in the state.
func TestACertificateIsWarnedOfBeforeItsEnd(t *testing.T) {
	a, log := nodetest.NewAuthority(t), &bytes.Buffer{}
	end := time.Now().Add(100 * 24 * time.Hour).Truncate(time.Second)
	cert, key := a.Server(end, "one")
	certFile, keyFile := nodetest.WriteFiles(t, t.TempDir(), cert, key)
	now := time.Now()
	s, err := certificate.Open(certificate.Options{Pairs: []certificate.Pair{{Cert: certFile, Key: keyFile}},
		Now: func() time.Time { return now }, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		before  time.Duration
		problem string
		warned  int
	}{
		{certificate.WarnBefore + time.Minute, "", 0}, {certificate.WarnBefore, "ends in 14 days", 1},
		{certificate.WarnBefore - time.Hour, "ends in 13 days", 0},
		{certificate.WarnBefore - 25*time.Hour, "ends in 12 days", 1}, {-time.Second, "has ended on", 1},
	} {
		now = end.Add(-c.before)
		log.Reset()
		s.Look()
		state := s.States()[0]
		if got := strings.Count(log.String(), "level=WARN"); got != c.warned || (c.problem == "") != (state.Problem == "") ||
			!strings.Contains(state.Problem, c.problem) || !state.NotAfter.Equal(end) {
			t.Errorf("%v before: %d warnings, %+v", c.before, got, state)
		}
	}
}

// TestFilesThatAreNoneAreNamed: each error names the file and says what is wrong.
func TestFilesThatAreNoneAreNamed(t *testing.T) {
	a, dir := nodetest.NewAuthority(t), t.TempDir()
	cert, key := a.Server(time.Time{}, "one")
	_, otherKey := a.Server(time.Time{}, "two")
	for want, c := range map[string]struct{ cert, key, ca []byte }{
		"cert.pem and the private key in": {cert, otherKey, nil},
		"cert.pem has no certificate":     {[]byte("x"), key, nil},
		"key.pem has no private key":      {cert, nil, nil},
		"are no pair":                     {cert, cert, nil},
		"ca.pem has no certificate":       {cert, key, []byte("x")},
		"want at most 1048576":            {bytes.Repeat([]byte("x"), certificate.MaxFile+1), key, nil},
	} {
		certFile, keyFile := nodetest.WriteFiles(t, dir, c.cert, c.key)
		opts := certificate.Options{Pairs: []certificate.Pair{{Cert: certFile, Key: keyFile}}}
		if c.ca != nil {
			opts.ClientCA = filepath.Join(dir, "ca.pem")
			write(t, opts.ClientCA, c.ca)
		}
		if _, err := certificate.Open(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := certificate.Open(certificate.Options{Pairs: []certificate.Pair{{Cert: dir, Key: "none.pem"}}}); err == nil ||
		!strings.Contains(err.Error(), dir+" is no regular file") || !strings.Contains(err.Error(), "none.pem") {
		t.Error(err)
	}
}

// TestAuthoritiesOfClientsAreTakenAnew, and those that can't be read leave the ones before in force.
func TestAuthoritiesOfClientsAreTakenAnew(t *testing.T) {
	one, two, dir := nodetest.NewAuthority(t), nodetest.NewAuthority(t), t.TempDir()
	cert, key := one.Server(time.Time{}, "one")
	certFile, keyFile := nodetest.WriteFiles(t, dir, cert, key)
	ca := filepath.Join(dir, "ca.pem")
	write(t, ca, one.PEM)
	s, err := certificate.Open(certificate.Options{Pairs: []certificate.Pair{{Cert: certFile, Key: keyFile}}, ClientCA: ca})
	if err != nil {
		t.Fatal(err)
	}
	comes := func(client tls.Certificate) bool {
		ours, theirs := net.Pipe()
		defer theirs.Close()
		go func() {
			c := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{client}})
			_ = c.Handshake()
			_, _ = c.Read(make([]byte, 1))
			_ = ours.Close()
		}()
		server := tls.Server(theirs, s.Config())
		return server.Handshake() == nil && len(server.ConnectionState().VerifiedChains) > 0
	}
	ofOne, ofTwo := one.Client("a", "", ""), two.Client("b", "", "")
	for _, c := range []struct {
		ca       []byte
		one, two bool
		problem  string
	}{{one.PEM, true, false, ""}, {two.PEM, false, true, ""}, {[]byte("x"), false, true, "has no certificate"}, {one.PEM, true, false, ""}} {
		write(t, ca, c.ca)
		s.Look()
		if comes(ofOne) != c.one || comes(ofTwo) != c.two {
			t.Errorf("with %.20s: the one comes in %v, the other %v", c.ca, !c.one, !c.two)
		}
		if states := s.States(); (len(states) == 2) != (c.problem != "") || !strings.Contains(states[len(states)-1].Problem, c.problem) {
			t.Errorf("%+v", states)
		}
	}
}

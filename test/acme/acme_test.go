// Package acme_test has the real binary get a certificate from pebble, the authority that Let's
// Encrypt tests its clients with. It is a module of its own, since nothing else needs pebble.
package acme_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/letsencrypt/challtestsrv"
	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
)

const domain = "hooks.example.org"

// authority is pebble. It looks for the domain at a port of this machine.
type authority struct {
	*httptest.Server
	roots *x509.CertPool
	trust string // file with the certificate of its own API
}

func openAuthority(t *testing.T, dir string, port int) *authority {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	logger := log.New(io.Discard, "", 0)
	store := db.NewMemoryStore()
	made := ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {Description: "of tests"}})
	front := wfe.New(logger, store, va.New(logger, 0, port, false, openNames(t), store), made,
		[]string{"ca.example.org"}, false, false, 1, 1)
	handler := front.Handler()
	a := &authority{Server: httptest.NewTLSServer(handler), roots: x509.NewCertPool(), trust: filepath.Join(dir, "trust.pem")}
	t.Cleanup(a.Close)
	if !a.roots.AppendCertsFromPEM(made.GetRootCert(0).PEM()) {
		t.Fatal("pebble has no root")
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw})
	if err := os.WriteFile(a.trust, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return a
}

// openNames is a server of names by which every domain is this machine. It returns its address. It
// takes a port and not a listener, so the port may be somebody else's by then: the next one is tried.
func openNames(t *testing.T) string {
	t.Helper()
	for range 20 {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := free.Addr().String()
		free.Close()
		names, err := challtestsrv.New(challtestsrv.Config{DNSAddrs: []string{address}, Log: log.New(io.Discard, "", 0)})
		if err != nil {
			t.Fatal(err)
		}
		names.SetDefaultDNSIPv4("127.0.0.1")
		names.SetDefaultDNSIPv6("")
		names.Run()
		for range 500 {
			if conn, err := net.Dial("tcp", address); err == nil {
				conn.Close()
				t.Cleanup(names.Shutdown)
				return address
			}
			time.Sleep(10 * time.Millisecond)
		}
		names.Shutdown()
	}
	t.Fatal("no port is free for names")
	return ""
}

// server is one life of the binary, with a listener that this process has opened.
type server struct {
	log   bytes.Buffer
	cmd   *exec.Cmd
	ended chan error
}

func start(t *testing.T, binary string, listener *net.TCPListener, trust string, args ...string) *server {
	t.Helper()
	file, err := listener.File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := &server{ended: make(chan error, 1)}
	s.cmd = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, binary}, args...)...)
	s.cmd.Env = append(os.Environ(), "LISTEN_FDS=1", "LISTEN_FDNAMES=web", "SSL_CERT_FILE="+trust)
	s.cmd.ExtraFiles, s.cmd.Stderr = []*os.File{file}, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.ended <- s.cmd.Wait() }()
	t.Cleanup(func() { _ = s.cmd.Process.Kill() })
	return s
}

func (s *server) stop(t *testing.T) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-s.ended; err != nil {
		t.Errorf("%v\n%s", err, s.log.String())
	}
}

func until(t *testing.T, s *server, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-s.ended:
			t.Fatalf("the server has ended: %v\n%s", err, s.log.String())
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("not so after two minutes: %s\n%s", what, s.log.String())
		}
	}
}

// TestACertificateIsGot by TLS-ALPN-01, serves posts, is shown in the status, and is there after a
// restart without the authority.
func TestACertificateIsGot(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "pillarbox")
	build := exec.Command("go", "build", "-o", binary, "./cmd/pillarbox")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	a := openAuthority(t, dir, listener.Addr().(*net.TCPAddr).Port)
	config, data := filepath.Join(dir, "pillarbox.yaml"), filepath.Join(dir, "data")
	text := fmt.Sprintf("listen: 'systemd:web'\ntls: { acme: { domains: [%s], email: a@example.org, directory: '%s%s' } }\nadmin: { listen: 'unix:%s' }\n",
		domain, a.URL, wfe.DirectoryPath, filepath.Join(dir, "admin"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	post := func() error {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.roots, ServerName: domain}}}
		defer client.CloseIdleConnections()
		response, err := client.Post("https://"+listener.Addr().String()+"/app", "text/plain", strings.NewReader("x"))
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusAccepted {
			return fmt.Errorf("status %d", response.StatusCode)
		}
		return nil
	}
	first := start(t, binary, listener.(*net.TCPListener), a.trust, "serve", "--config", config, "--data", data)
	until(t, first, "a post is accepted with a certificate of the authority", func() bool { return post() == nil })
	out, err := exec.Command(binary, "status", "--config", config, "--data", data, "-o", "json").Output()
	var status struct {
		Certificates []struct {
			File, Problem string
			NotAfter      time.Time `json:"not_after"`
		}
	}
	if err := errorsOf(err, json.Unmarshal(out, &status)); err != nil || len(status.Certificates) != 1 ||
		status.Certificates[0].File != "acme:"+domain || status.Certificates[0].Problem != "" || !status.Certificates[0].NotAfter.After(time.Now()) {
		t.Errorf("the status is %s, %v", out, err)
	}
	first.stop(t)
	a.Close()
	second := start(t, binary, listener.(*net.TCPListener), a.trust, "serve", "--config", config, "--data", data)
	until(t, second, "the certificate is there without the authority", func() bool { return post() == nil })
	second.stop(t)
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

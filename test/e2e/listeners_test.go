//go:build unix

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pillarbox/internal/node/nodetest"
	"pillarbox/test/harness"
)

// activated is a server whose listeners somebody else has opened, as systemd does.
type activated struct {
	t       *testing.T
	command *exec.Cmd
	log     bytes.Buffer
	ended   chan error
}

// activate starts a server with the listeners by name.
func activate(t *testing.T, named map[string]net.Listener, args ...string) *activated {
	t.Helper()
	a := &activated{t: t, ended: make(chan error, 1)}
	a.command = exec.Command("sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, harness.Binary(), "serve"}, args...)...)
	a.command.Stderr = &a.log
	var names []string
	for name, listener := range named {
		file, err := listener.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		names, a.command.ExtraFiles = append(names, name), append(a.command.ExtraFiles, file)
	}
	a.command.Env = append(os.Environ(), fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	if err := a.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { a.ended <- a.command.Wait() }()
	t.Cleanup(func() { _ = a.command.Process.Kill() })
	return a
}

func (a *activated) signal(signal os.Signal) {
	a.t.Helper()
	if err := a.command.Process.Signal(signal); err != nil {
		a.t.Fatal(err)
	}
}

// until waits for what the server is about to do.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after a minute: %s", what)
		}
	}
}

// statusOf is the status of an answer, and 0 without one.
func statusOf(client *http.Client, method, url string) int {
	request, err := http.NewRequest(method, url, strings.NewReader("x"))
	if err != nil {
		return 0
	}
	response, err := client.Do(request)
	if err != nil {
		return 0
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode
}

// TestListenersOfEveryKind: sockets of systemd, one with TLS and one with the PROXY protocol, and a
// unix socket. A certificate that changes is taken at SIGHUP; at SIGTERM the public port says that
// the server is not ready, and accepts for as long as the delay is.
func TestListenersOfEveryKind(t *testing.T) {
	dir, authority := t.TempDir(), nodetest.NewAuthority(t)
	cert, key := authority.Server(time.Time{}, "localhost")
	certFile, keyFile := nodetest.WriteFiles(t, dir, cert, key)
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	proxied, err := net.Listen("unix", filepath.Join(dir, "p"))
	if err != nil {
		t.Fatal(err)
	}
	proxied.(*net.UnixListener).SetUnlinkOnClose(false)
	own := filepath.Join(dir, "own")
	config := filepath.Join(dir, "pillarbox.yaml")
	text := fmt.Sprintf(`
listen: { address: ["systemd:web", "systemd:proxied", "unix:%s"], proxy_protocol: ["systemd:proxied"], ready_path: /ready, socket_mode: 0660 }
tls: { certificates: [{ cert: %s, key: %s }] }
trusted_proxies: [unix]
forwarded_header: ""
admin: { listen: "unix:%s" }
shutdown: { drain_delay: 10h }
`, own, certFile, keyFile, filepath.Join(dir, "admin"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(harness.Binary(), "config", "check", "--config", config).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	server := activate(t, map[string]net.Listener{"web": tcp, "proxied": proxied}, "--config", config, "--data", filepath.Join(dir, "data"))

	secure := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: authority.Pool, ServerName: "localhost"}}
	web, base := &http.Client{Transport: secure}, "https://"+tcp.Addr().String()
	until(t, "the public port says that it accepts", func() bool { return statusOf(web, "GET", base+"/ready") == 200 })
	if got := statusOf(web, "POST", base+"/ready"); got != http.StatusMethodNotAllowed {
		t.Errorf("POST to the path of readiness: %d", got)
	}
	if got := statusOf(web, "POST", base+"/app"); got != http.StatusAccepted {
		t.Errorf("over TLS: %d", got)
	}
	overSocket := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return net.Dial("unix", own)
	}}}
	if got := statusOf(overSocket, "POST", "http://localhost/app"); got != http.StatusAccepted {
		t.Errorf("over the socket: %d", got)
	}
	if info, err := os.Stat(own); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("%v, %v", info, err)
	}
	conn, err := net.Dial("unix", filepath.Join(dir, "p"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "PROXY TCP4 203.0.113.7 192.0.2.1 1 2\r\nPOST /app HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nproxied"); err != nil {
		t.Fatal(err)
	}
	if response, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatalf("%v, %v", response, err)
	}
	addresses := map[string]int{}
	until(t, "all are stored", func() bool {
		clear(addresses)
		out, err := exec.Command(harness.Binary(), "events", "--config", config, "-o", "json").Output()
		if err != nil {
			return false
		}
		var page struct {
			Events []struct {
				RemoteAddr string `json:"remote_addr"`
			}
		}
		if err := json.Unmarshal(out, &page); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, event := range page.Events {
			addresses[event.RemoteAddr]++
		}
		return len(page.Events) == 3
	})
	if addresses["127.0.0.1"] != 1 || addresses["unix"] != 1 || addresses["203.0.113.7"] != 1 {
		t.Errorf("they are from %v", addresses)
	}

	cert, key = authority.Server(time.Time{}, "localhost", "renewed")
	nodetest.WriteFiles(t, dir, cert, key)
	server.signal(syscall.SIGHUP)
	until(t, "the new certificate is shown", func() bool {
		conn, err := tls.Dial("tcp", tcp.Addr().String(), secure.TLSClientConfig)
		if err != nil {
			return false
		}
		defer conn.Close()
		return len(conn.ConnectionState().PeerCertificates[0].DNSNames) == 2
	})

	server.signal(syscall.SIGTERM)
	until(t, "the public port says that it stops", func() bool { return statusOf(web, "GET", base+"/ready") == 503 })
	for name, got := range map[string]int{"TLS": statusOf(web, "POST", base+"/app"), "the socket": statusOf(overSocket, "POST", "http://localhost/app")} {
		if got != http.StatusAccepted {
			t.Errorf("over %s, while it stops: %d", name, got)
		}
	}
	server.signal(syscall.SIGTERM) // cuts the delay short
	<-server.ended
	if _, err := os.Stat(own); err == nil {
		t.Error("the socket is left behind")
	}
}

// TestAStopTellsClients: once the server stops, each answer is the last one of its connection, on the
// event loop and without it; and new connections are accepted while the delay lasts.
func TestAStopTellsClients(t *testing.T) {
	for _, express := range []string{"true", "false"} {
		t.Run("express "+express, func(t *testing.T) {
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer tcp.Close()
			dir := t.TempDir()
			config := filepath.Join(dir, "pillarbox.yaml")
			text := "listen: { ready_path: /ready, express: " + express + " }\nshutdown: { drain_delay: 10h }\n"
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			server := activate(t, map[string]net.Listener{"web": tcp}, "--config", config, "--listen", "systemd:web",
				"--admin", "127.0.0.1:0", "--data", filepath.Join(dir, "data"))
			base := "http://" + tcp.Addr().String()
			until(t, "it accepts", func() bool { return statusOf(http.DefaultClient, "GET", base+"/ready") == 200 })
			for _, stops := range []bool{false, true} {
				if stops {
					server.signal(syscall.SIGTERM)
					until(t, "it is not ready", func() bool { return statusOf(http.DefaultClient, "GET", base+"/ready") == 503 })
				}
				for _, path := range []string{"/app", "/app?wait", "/app/batch"} { // the last one is net/http's
					response, err := http.Post(base+path, "application/x-ndjson", strings.NewReader("{}\n"))
					if err != nil {
						t.Fatal(err)
					}
					_ = response.Body.Close()
					if response.StatusCode != http.StatusAccepted || response.Close != stops {
						t.Errorf("%s, it stops: %v: %s, the last answer: %v", path, stops, response.Status, response.Close)
					}
				}
			}
			server.signal(syscall.SIGTERM) // cuts the delay short
			<-server.ended
		})
	}
}

// TestSocketsOfSystemdAreAskedForByName, and an error says what is there.
func TestSocketsOfSystemdAreAskedForByName(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	for want, named := range map[string]map[string]net.Listener{
		"under the name other, but under web": {"web": tcp}, "has opened no socket for this process": {},
	} {
		server := activate(t, named, "--listen", "systemd:other", "--admin", "127.0.0.1:0", "--data", t.TempDir())
		if err := <-server.ended; err == nil || !strings.Contains(server.log.String(), want) {
			t.Errorf("%v: %s", err, server.log.String())
		}
	}
}

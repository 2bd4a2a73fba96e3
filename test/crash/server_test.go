// Package crash_test breaks the real binary: it kills it under load and holds what the clients were told
// against what is stored.
package crash_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pillarbox"
	"pillarbox/internal/engine/sqlite"
	"pillarbox/internal/ledger"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pillarbox-crash-")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "pillarbox")
	build := exec.Command("go", "build", "-o", binary, "pillarbox/cmd/pillarbox")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		panic(err)
	}
	os.Exit(code)
}

// server is one life of the real binary.
type server struct {
	t      *testing.T
	data   string
	public string // base URL
	admin  string
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan error
}

// startBound is how long a start may take: it does not read the backlog.
const startBound = 20 * time.Second

func start(t *testing.T, data string, args ...string) *server {
	t.Helper()
	s := &server{t: t, data: data, exited: make(chan error, 1)}
	public, admin := freePort(t), freePort(t)
	s.public, s.admin = "http://"+public, "http://"+admin
	args = append([]string{"serve", "--data", data, "--listen", public, "--admin", admin}, args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.exited <- s.cmd.Wait() }()
	s.waitReady()
	return s
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (s *server) waitReady() {
	s.t.Helper()
	deadline := time.Now().Add(startBound)
	for time.Now().Before(deadline) {
		select {
		case err := <-s.exited:
			s.t.Fatalf("the server ended at its start: %v\n%s", err, s.log.String())
		case <-time.After(5 * time.Millisecond):
		}
		response, err := http.Get(s.admin + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return
		}
	}
	s.t.Fatalf("the server is not ready after %v\n%s", startBound, s.log.String())
}

// kill is kill -9.
func (s *server) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// stop is SIGTERM; the server must end by itself with exit code 0.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case err := <-s.exited:
		if err != nil {
			s.t.Fatalf("stop: %v\n%s", err, s.log.String())
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("the server did not stop\n%s", s.log.String())
	}
}

func (s *server) ledger() ledger.Ledger {
	s.t.Helper()
	var account ledger.Ledger
	s.get("/api/v1/ledger", &account)
	return account
}

func (s *server) get(path string, into any) {
	s.t.Helper()
	response, err := http.Get(s.admin + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Fatalf("GET %s: %d %s %v", path, response.StatusCode, text, err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		s.t.Fatalf("GET %s: %v", path, err)
	}
}

// waitUntil polls until the ledger's only entry is as wanted.
func (s *server) waitUntil(what string, is func(ledger.Entry) bool) ledger.Entry {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		entry := s.ledger().Destinations[0]
		if is(entry) {
			return entry
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: the ledger stays at %+v\n%s", what, entry, s.log.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// run runs a command of the binary on the data directory and returns its output and exit code.
func run(t *testing.T, args ...string) (stdout string, code int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if talk.Len() > 0 {
		t.Logf("pillarbox %s: %s", strings.Join(args, " "), talk.String())
	}
	return out.String(), cmd.ProcessState.ExitCode()
}

// clients post bodies that occur once, and remember what they were told.
type clients struct {
	mu       sync.Mutex
	acked    map[string]pillarbox.Receipt // by body
	sent     map[string]bool
	refused  int // answered with something else than 202
	unknown  int // not answered
	sequence int
}

func newClients() *clients {
	return &clients{acked: map[string]pillarbox.Receipt{}, sent: map[string]bool{}}
}

// load posts with some connections until ctx ends.
func (c *clients) load(ctx context.Context, url string, connections int) {
	transport := &http.Transport{MaxIdleConnsPerHost: connections}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	var running sync.WaitGroup
	for range connections {
		running.Go(func() {
			for ctx.Err() == nil {
				c.post(client, url)
			}
		})
	}
	running.Wait()
}

func (c *clients) post(client *http.Client, url string) {
	c.mu.Lock()
	c.sequence++
	body := fmt.Sprintf(`{"sequence":%d,"pad":"%s"}`, c.sequence, strings.Repeat("x", c.sequence%700))
	c.sent[body] = true
	c.mu.Unlock()
	response, err := client.Post(url, "application/json", strings.NewReader(body))
	var text []byte
	if err == nil {
		text, err = io.ReadAll(response.Body)
		response.Body.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var receipt pillarbox.Receipt
	switch {
	case err != nil:
		c.unknown++
	case response.StatusCode != http.StatusAccepted || json.Unmarshal(text, &receipt) != nil:
		c.refused++
	default:
		c.acked[body] = receipt
	}
}

// check holds what the clients were told against the database. The server must be stopped, with nothing
// pending and no dead letter.
func (c *clients) check(t *testing.T, data string) {
	t.Helper()
	store, err := sqlite.Open(context.Background(), filepath.Join(data, "events.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	stored := map[string]pillarbox.Key{}
	filter := pillarbox.EventFilter{Limit: pillarbox.MaxListLimit}
	for {
		page, err := store.List(context.Background(), filter)
		if err != nil {
			t.Fatal(err)
		}
		for _, event := range page {
			body := string(event.Body)
			if !c.sent[body] {
				t.Fatalf("stored and never sent: %s", body)
			}
			if other, twice := stored[body]; twice {
				t.Fatalf("stored twice, as %v and %v: %s", other, event.Key(), body)
			}
			stored[body] = event.Key()
		}
		if len(page) < pillarbox.MaxListLimit {
			break
		}
		filter.After = page[len(page)-1].Key()
	}
	for body, receipt := range c.acked {
		if key, ok := stored[body]; !ok || key.RequestID != receipt.RequestID || key.Timestamp != receipt.Timestamp {
			t.Fatalf("acknowledged as %+v and stored as %v: %s", receipt, key, body)
		}
	}
	t.Logf("%d acknowledged, %d without an answer, %d refused, %d stored", len(c.acked), c.unknown, c.refused, len(stored))
}

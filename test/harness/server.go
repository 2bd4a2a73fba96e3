// Package harness runs the real binary for tests: it builds it, starts and stops servers, runs commands, and
// has clients that remember what they were told.
//
// It promises nothing but to fail the test with the server's log where something is not as expected.
package harness

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"pillarbox/internal/ledger"
)

var binary string

// Main builds the binary, runs the tests of a package and returns the exit code. Call it from TestMain.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pillarbox-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "pillarbox")
	build := exec.Command("go", "build", "-o", binary, "pillarbox/cmd/pillarbox")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build the binary:", err)
		return 1
	}
	return m.Run()
}

// Binary is the path of the binary that Main has built.
func Binary() string { return binary }

// Server is one life of the real binary.
type Server struct {
	t      *testing.T
	Data   string // directory
	Public string // base URL of the public listener
	Admin  string // base URL of the admin API
	cmd    *exec.Cmd
	log    bytes.Buffer
	exited chan struct{} // closed when the process is gone
	err    error         // how it ended; read after exited is closed
}

// startBound is how long a start may take: it does not read the backlog.
const startBound = 20 * time.Second

// Start starts a server on a data directory, at addresses of its own, and waits until it is ready.
func Start(t *testing.T, data string, args ...string) *Server {
	t.Helper()
	s, err := StartBinary(t, binary, data, args...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// StartBinary is Start for another build of the binary, which may refuse to start on what it finds.
func StartBinary(t *testing.T, binary, data string, args ...string) (*Server, error) {
	t.Helper()
	s := &Server{t: t, Data: data, exited: make(chan struct{})}
	public, admin := FreePort(t), FreePort(t)
	s.Public, s.Admin = "http://"+public, "http://"+admin
	args = append([]string{"serve", "--data", data, "--listen", public, "--admin", admin}, args...)
	s.cmd = exec.Command(binary, args...)
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.end)
	return s, s.waitReady()
}

// end leaves no process behind a test that has failed, so that its directory can be removed or unmounted.
func (s *Server) end() {
	select {
	case <-s.exited:
	default:
		_ = s.cmd.Process.Kill() // it may just have ended by itself
		<-s.exited
	}
}

// FreePort returns a loopback address that nobody listens on.
func FreePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (s *Server) waitReady() error {
	deadline := time.Now().Add(startBound)
	for time.Now().Before(deadline) {
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended at its start: %v\n%s", s.err, s.log.String())
		case <-time.After(5 * time.Millisecond):
		}
		response, err := http.Get(s.Admin + "/readyz")
		if err != nil {
			continue
		}
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			return nil
		}
	}
	s.end() // its log must not change while it is read
	return fmt.Errorf("the server is not ready after %v\n%s", startBound, s.log.String())
}

// Kill is kill -9.
func (s *Server) Kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	<-s.exited
}

// Stop is SIGTERM; the server must end by itself with exit code 0.
func (s *Server) Stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	select {
	case <-s.exited:
		if s.err != nil {
			s.t.Fatalf("stop: %v\n%s", s.err, s.log.String())
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("the server did not stop\n%s", s.log.String())
	}
}

// Ledger asks for the ledger.
func (s *Server) Ledger() ledger.Ledger {
	s.t.Helper()
	var account ledger.Ledger
	s.Get("/api/v1/ledger", &account)
	return account
}

// Get asks the admin API, and fails the test for anything but 200.
func (s *Server) Get(path string, into any) {
	s.t.Helper()
	response, err := http.Get(s.Admin + path)
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

// WaitUntil polls until the ledger's only entry is as wanted.
func (s *Server) WaitUntil(what string, is func(ledger.Entry) bool) ledger.Entry {
	s.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		entry := s.Ledger().Destinations[0]
		if is(entry) {
			return entry
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: the ledger stays at %+v\n%s", what, entry, s.log.String())
		}
		<-time.After(20 * time.Millisecond)
	}
}

// Run runs a command of the binary and returns its output, its talk and its exit code.
func Run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.Command(binary, args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), talk.String(), cmd.ProcessState.ExitCode()
}

// Signal sends a signal to the server.
func (s *Server) Signal(signal os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// Running is a command of the binary that runs until it is interrupted.
type Running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
	done  sync.WaitGroup
}

// Command starts a command of the binary. Its test interrupts it.
func Command(t *testing.T, args ...string) *Running {
	t.Helper()
	r := &Running{t: t, cmd: exec.Command(binary, args...), lines: make(chan string, 1000)}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.cmd.Stderr = os.Stderr
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r.done.Go(func() {
		defer close(r.lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			select {
			case r.lines <- scanner.Text():
			default: // the test has seen enough
			}
		}
	})
	return r
}

// Lines are the lines of its output. The channel is closed when it ends.
func (r *Running) Lines() <-chan string { return r.lines }

// Interrupt is Ctrl-C; the command must end with exit code 0.
func (r *Running) Interrupt() {
	r.t.Helper()
	if err := r.cmd.Process.Signal(os.Interrupt); err != nil {
		r.t.Fatal(err)
	}
	r.done.Wait()
	if err := r.cmd.Wait(); err != nil {
		r.t.Errorf("%v ended with %v", r.cmd.Args, err)
	}
}

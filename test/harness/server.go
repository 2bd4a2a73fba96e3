// Package harness runs the real binary for tests: it builds it, starts and stops servers, runs
// commands, and builds versions with planted bugs.
//
// It promises nothing but to fail the test with the server's log where something is not as
// expected.
package harness

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"pillarbox/internal/ledger"
	"pillarbox/internal/torture"
)

var binary string

// Main builds the binary, runs the tests of a package and returns the exit code. Call it from
// TestMain.
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

// Server is one life of the real binary. A failure of what it is asked to do fails the test.
type Server struct {
	*torture.Server
	t *testing.T
}

// Start starts a server on a data directory, at addresses of its own, and waits until it is ready.
func Start(t *testing.T, data string, args ...string) *Server {
	t.Helper()
	s, err := torture.Start(t.Context(), binary, data, args...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.End) // before its directory is removed
	return &Server{Server: s, t: t}
}

func (s *Server) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Kill is kill -9.
func (s *Server) Kill() {
	s.t.Helper()
	s.must(s.Server.Kill())
}

// Stop is SIGTERM; the server must end by itself with exit code 0.
func (s *Server) Stop() {
	s.t.Helper()
	s.must(s.Server.Stop())
}

// Get asks the admin API, and fails the test for anything but 200.
func (s *Server) Get(path string, into any) {
	s.t.Helper()
	s.must(s.Server.Get(path, into))
}

// Signal sends a signal to the server.
func (s *Server) Signal(signal os.Signal) {
	s.t.Helper()
	s.must(s.Server.Signal(signal))
}

// WaitUntil polls until the ledger's only entry is as wanted.
func (s *Server) WaitUntil(what string, is func(ledger.Entry) bool) ledger.Entry {
	s.t.Helper()
	entry, err := s.Server.WaitUntil(what, is)
	s.must(err)
	return entry
}

// Run runs a command of the binary and returns its output, its talk and its exit code.
func Run(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return RunBinary(t, binary, args...)
}

// RunBinary is Run for another binary than the one that Main has built.
func RunBinary(t *testing.T, binary string, args ...string) (stdout, stderr string, code int) {
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

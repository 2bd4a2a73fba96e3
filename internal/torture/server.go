package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"pillarbox/internal/ledger"
)

const (
	anyPort = "127.0.0.1:0"

	startBound = 20 * time.Second // a start does not read the backlog
	stopBound  = time.Minute
	drainBound = 2 * time.Minute // without any progress; how long all of it takes depends on how much there is
	maxLogKept = 1 << 20

	maxAuditShown = 1000 // bytes
)

// Server is one life of a real binary.
type Server struct {
	Data   string // directory
	Public string // base URL of the public listener; empty until WaitReady, and without the role accept
	Admin  string // base URL of the admin API; empty until WaitReady

	cmd    *exec.Cmd
	log    logBuffer
	exited chan struct{} // closed when the process is gone
	err    error         // how it ended; read after exited is closed
}

// logBuffer keeps the beginning of what a process says.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text.Write(p[:min(len(p), maxLogKept-b.text.Len())])
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Launch begins a server on a data directory, at addresses that the system chooses, and does not
// wait for it. A port that was free a moment ago would sometimes be somebody else's by the time the
// server wants it.
func Launch(binary, data string, args ...string) (*Server, error) {
	s := &Server{Data: data, exited: make(chan struct{})}
	s.cmd = exec.Command(binary, append(
		[]string{"serve", "--data", data, "--listen", anyPort, "--admin", anyPort}, args...)...)
	s.cmd.Stderr = &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		s.err = s.cmd.Wait()
		close(s.exited)
	}()
	return s, nil
}

// Start is Launch, and waits until the server is ready. Where it does not become ready, it is gone,
// and the error holds its log.
func Start(ctx context.Context, binary, data string, args ...string) (*Server, error) {
	s, err := Launch(binary, data, args...)
	if err != nil {
		return nil, err
	}
	if err := s.WaitReady(ctx); err != nil {
		s.End()
		return nil, err
	}
	return s, nil
}

// WaitReady waits until the server accepts, and takes its addresses from its log, which must not be
// less than info.
func (s *Server) WaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startBound)
	defer cancel()
	for {
		select {
		case <-s.exited:
			return fmt.Errorf("the server ended at its start: %w\n%s", s.err, s.Log())
		case <-ctx.Done():
			return fmt.Errorf("the server is not ready: %w\n%s", ctx.Err(), s.Log())
		case <-time.After(5 * time.Millisecond):
		}
		if s.Admin == "" {
			s.Public, s.Admin = s.addresses()
		}
		if s.Admin != "" && s.Ready(ctx) == http.StatusOK {
			return nil
		}
	}
}

// addresses are what the log says of the listeners. The admin API is told last.
func (s *Server) addresses() (public, admin string) {
	for line := range strings.Lines(s.Log()) {
		var told struct{ Msg, Addr string }
		if json.Unmarshal([]byte(line), &told) != nil {
			continue // text before the log begins, or half a line
		}
		base, err := url.Parse(told.Addr)
		if err != nil {
			continue
		}
		switch base.Path = ""; told.Msg {
		case "ready to accept":
			public = base.String()
		case "admin API":
			return public, base.String()
		}
	}
	return "", ""
}

// Ready asks whether the server accepts, and returns the status; 0 where there is no answer.
func (s *Server) Ready(ctx context.Context) int {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Admin+"/readyz", nil)
	if err != nil {
		return 0
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	response.Body.Close()
	return response.StatusCode
}

// Log is what the server has said so far.
func (s *Server) Log() string { return s.log.String() }

// Pid is the number of the process.
func (s *Server) Pid() int { return s.cmd.Process.Pid }

// Signal sends a signal to the server.
func (s *Server) Signal(signal os.Signal) error { return s.cmd.Process.Signal(signal) }

// Kill is kill -9. It returns when the process is gone. It is an error if it was gone before.
func (s *Server) Kill() error {
	select {
	case <-s.exited:
		return fmt.Errorf("the server had ended by itself: %w\n%s",
			errors.Join(s.err, errors.New("it was not killed")), s.Log())
	default:
	}
	if err := s.cmd.Process.Kill(); err != nil {
		return err
	}
	<-s.exited
	return nil
}

// End leaves no process behind, whatever became of it.
func (s *Server) End() {
	select {
	case <-s.exited:
	default:
		_ = s.cmd.Process.Kill() // it may just have ended by itself
		<-s.exited
	}
}

// Stop is SIGTERM. The server must end by itself with exit code 0.
func (s *Server) Stop() error {
	if err := s.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.exited:
		if s.err != nil {
			return fmt.Errorf("stop: %w\n%s", s.err, s.Log())
		}
		return nil
	case <-time.After(stopBound):
		return fmt.Errorf("the server did not stop in %v\n%s", stopBound, s.Log())
	}
}

// Get asks the admin API. Anything but 200 is an error.
func (s *Server) Get(path string, into any) error {
	response, err := http.Get(s.Admin + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, response.Status, text)
	}
	return json.Unmarshal(text, into)
}

// Entry is the ledger's entry of the destination that is configured. Where there are several, it is that of
// the first, with what is pending and damaged of all, and balanced where all are.
func (s *Server) Entry() (ledger.Entry, error) {
	var account ledger.Totals
	if err := s.Get("/api/v1/ledger", &account); err != nil {
		return ledger.Entry{}, err
	}
	account.Destinations = slices.DeleteFunc(account.Destinations,
		func(e ledger.Entry) bool { return e.Unconfigured })
	if len(account.Destinations) == 0 {
		return ledger.Entry{}, errors.New("no destination is in the ledger")
	}
	entry := account.Destinations[0]
	for _, other := range account.Destinations[1:] {
		entry.Pending += other.Pending
		entry.Damaged += other.Damaged
		entry.Balanced = entry.Balanced && other.Balanced
	}
	return entry, nil
}

// WaitUntil polls until the ledger's entry is as wanted. It gives up when less has not been pending
// for drainBound.
func (s *Server) WaitUntil(what string, is func(ledger.Entry) bool) (ledger.Entry, error) {
	deadline, lowest := time.Now().Add(drainBound), uint64(math.MaxUint64) // under load, pending goes up and down for ever
	for {
		entry, err := s.Entry()
		if entry.Pending < lowest {
			deadline, lowest = time.Now().Add(drainBound), entry.Pending
		}
		switch {
		case err != nil:
			return entry, err
		case is(entry):
			return entry, nil
		case time.Now().After(deadline):
			return entry, fmt.Errorf("%s: the ledger stays at %+v\n%s", what, entry, s.Log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Drain waits until nothing is pending, sees that the account balances, and stops the server.
func (s *Server) Drain() (ledger.Entry, error) {
	entry, err := s.WaitUntil("everything is delivered",
		func(e ledger.Entry) bool { return e.Pending == 0 })
	if err != nil {
		return entry, err
	}
	if !entry.Balanced || entry.Damaged != 0 {
		return entry, fmt.Errorf("the account is wrong: %+v", entry)
	}
	return entry, s.Stop()
}

// Audit runs the audit of a stopped server's data. What it finds is an error.
func Audit(binary, data string, args ...string) error {
	if out, err := exec.Command(binary, append([]string{"audit", "--data", data}, args...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("audit: %w\n%s", err, out[:min(len(out), maxAuditShown)])
	}
	return nil
}

// Package pgserver starts a PostgreSQL server for tests, in a directory of its own that goes with it.
//
// The programs are found on PATH, below /usr/lib/postgresql, or in the directory that
// PILLARBOX_TEST_POSTGRES_BIN names. Where there are none, tests are skipped, and fail where CI is set.
package pgserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a server that runs.
type Server struct {
	bin, dir string
	port     int
	process  *exec.Cmd
	exited   chan struct{}
}

// ErrMissing is why there is no server: none is installed.
var ErrMissing = fmt.Errorf("PostgreSQL is missing: install it (Debian: apt-get install postgresql), or name the directory of its programs in PILLARBOX_TEST_POSTGRES_BIN")

func find() (string, error) {
	candidates := []string{os.Getenv("PILLARBOX_TEST_POSTGRES_BIN")}
	if name, err := exec.LookPath("initdb"); err == nil {
		candidates = append(candidates, filepath.Dir(name))
	}
	versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is right
	slices.Sort(versions)
	slices.Reverse(versions)
	for _, dir := range append(candidates, versions...) {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir, nil
		}
	}
	return "", ErrMissing
}

// Start makes a cluster and starts a server on it, with these settings in addition.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgserver")
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin, dir: dir}
	if err := s.begin(ctx, settings); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

// nobody is whom the server runs as where the tests run as root: PostgreSQL refuses root.
func nobody() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return &syscall.SysProcAttr{}, nil
	}
	who, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.Atoi(who.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(who.Gid)
	if err != nil {
		return nil, err
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
}

func (s *Server) command(ctx context.Context, program string, args ...string) (*exec.Cmd, error) {
	as, err := nobody()
	if err != nil {
		return nil, err
	}
	if as.Credential != nil {
		if err := os.Chown(s.dir, int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
			return nil, err
		}
	}
	command := exec.CommandContext(ctx, filepath.Join(s.bin, program), args...)
	command.SysProcAttr, command.Dir = as, s.dir
	return command, nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) begin(ctx context.Context, settings []string) error {
	init, err := s.command(ctx, "initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "-D", s.data())
	if err != nil {
		return err
	}
	if out, err := init.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s.port = free.Addr().(*net.TCPAddr).Port
	if err := free.Close(); err != nil {
		return err
	}
	return s.Run(ctx, settings...)
}

// Run starts the server again on its cluster.
func (s *Server) Run(ctx context.Context, settings ...string) (err error) {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port), "-h", "127.0.0.1", "-k", s.dir, "-c", "max_connections=200"}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	if s.process, err = s.command(context.Background(), "postgres", args...); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.process.Stdout, s.process.Stderr = log, log
	if err := s.process.Start(); err != nil {
		return err
	}
	s.exited = make(chan struct{})
	go func() {
		_ = s.process.Wait() // how it ended is in its log
		close(s.exited)
	}()
	return s.wait(ctx)
}

// wait waits until the server answers, or ends.
func (s *Server) wait(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, s.URL("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.exited:
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // as much as there is
			return fmt.Errorf("PostgreSQL ended: %s", log[max(0, len(log)-2000):])
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Addr is where it listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL is that of a database.
func (s *Server) URL(database string) string {
	return fmt.Sprintf("postgres://postgres@%s/%s?sslmode=disable", s.Addr(), database)
}

// End ends the server: SIGINT as an operator does, SIGQUIT for a crash, after which the next Run
// recovers.
func (s *Server) End(signal os.Signal) {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Signal(signal) // it may be gone
		<-s.exited
	}
}

// Stop ends the server and removes its cluster.
func (s *Server) Stop() {
	s.End(syscall.SIGQUIT)
	_ = os.RemoveAll(s.dir) // it is below the directory for temporary files
}

var databases atomic.Int64

// Database makes an empty database and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), s.URL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	name := fmt.Sprintf("test%d", databases.Add(1))
	if _, err := conn.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	return s.URL(name)
}

// Shared is one server for all tests of a package.
type Shared struct{ server *Server }

// Run runs the tests of a package, and ends the server that they may have started.
func (s *Shared) Run(m *testing.M) int {
	defer s.Stop()
	return m.Run()
}

// Stop ends the server, if there is one.
func (s *Shared) Stop() {
	if s.server != nil {
		s.server.Stop()
	}
}

// Server starts the server, for the first test that asks.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	if s.server != nil {
		return s.server
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	server, err := Start(ctx)
	if err == ErrMissing && os.Getenv("CI") == "" {
		t.Skip(strings.TrimSpace(err.Error()))
	}
	if err != nil {
		t.Fatal(err)
	}
	s.server = server
	return server
}

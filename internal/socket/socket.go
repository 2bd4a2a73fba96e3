// Package socket is a unix socket that only its owner can reach: what a server listens at in the
// place of a port, and how its clients find it.
//
// A port of the loopback interface is open to every user and every browser of the machine; a socket
// has an owner and a mode. It promises that the socket has mode 0600 from the moment that it can be
// connected to, that one a dead server has left is replaced, and that one of a living server, or
// anything else that has its name, is left alone. It does not look at the directory: whoever may
// write there can put another socket in its place.
package socket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Scheme begins the address of a socket: unix:/run/pillarbox/admin.sock.
const Scheme = "unix:"

// MaxPath is the longest path of a socket, in bytes: macOS keeps 104 with the zero at the end, and
// Linux 108.
const MaxPath = 103

// private is the longest name, below the directory of the socket, of what it is made in.
const private = "/.pb0123456789/s"

// mode is that of the socket: its owner may connect.
const mode = 0o600

// lookTime bounds the look for a living server behind a socket.
const lookTime = 2 * time.Second

// Path returns the path of an address that begins with Scheme. known is false for any other one.
func Path(address string) (path string, known bool) {
	path, known = strings.CutPrefix(address, Scheme)
	if !known || path == "" {
		return "", known
	}
	return filepath.Clean(path), true
}

// Check reports why no socket can be at a path that Path returned, or nil.
func Check(path string) error {
	switch most := MaxPath - len(private); {
	case path == "" || path == "." || path == "/":
		return errors.New("want the path of a socket, as in unix:/run/pillarbox/admin.sock")
	case strings.ContainsRune(path, 0):
		return errors.New("the path has a zero byte in it")
	case len(path) > MaxPath:
		return fmt.Errorf("the path has %d bytes, and that of a socket may have %d; choose a shorter one",
			len(path), MaxPath)
	case len(filepath.Dir(path)) > most:
		return fmt.Errorf("the directory has %d bytes, and that of a socket may have %d; choose a shorter one",
			len(filepath.Dir(path)), most)
	}
	return nil
}

// Listen makes a socket at the path, for its owner alone, and listens at it. Close removes it. The
// error matches syscall.EADDRINUSE where a living server has it, and fs.ErrExist where something
// else has the name.
func Listen(path string) (net.Listener, error) { return ListenMode(path, mode) }

// ListenMode is Listen with the permissions of the socket: who may write to it may connect. The error matches syscall.EADDRINUSE where a living server has it, and fs.ErrExist where something
// else has the name.
func ListenMode(path string, mode fs.FileMode) (net.Listener, error) {
	if err := Check(path); err != nil {
		return nil, err
	}
	if err := vacant(path); err != nil {
		return nil, err
	}
	// It is made in a directory that nobody else can enter, closed, and then moved: no umask has to
	// be right for it, and there is no moment in which others could connect.
	dir, err := os.MkdirTemp(filepath.Dir(path), ".pb")
	if err != nil {
		return nil, err
	}
	made := filepath.Join(dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: made, Net: "unix"})
	if err == nil {
		listener.SetUnlinkOnClose(false)
		err = errors.Join(os.Chmod(made, mode), os.Rename(made, path))
		if err != nil {
			err = errors.Join(err, listener.Close())
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	l := &owned{UnixListener: listener, path: path}
	if l.own, err = os.Lstat(path); err != nil {
		return nil, errors.Join(err, l.Close(), os.RemoveAll(dir))
	}
	if err := os.Remove(dir); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// vacant reports why no socket may be made at the path, or nil where there is nothing, or a socket
// that nobody listens at.
func vacant(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is no socket: %w", path, fs.ErrExist)
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookTime)
	defer cancel()
	conn, err := Dial(ctx, path)
	switch {
	case err == nil:
		return errors.Join(fmt.Errorf("a server answers at %s: %w", path, syscall.EADDRINUSE),
			conn.Close())
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return nil // its server is gone
	}
	// One that is overrun, or somebody else's: nothing says that it is dead.
	return fmt.Errorf("it is not known whether a server has %s (%w): %w", path, err,
		syscall.EADDRINUSE)
}

// Dial connects to the socket at the path.
func Dial(ctx context.Context, path string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "unix", path)
}

// owned is a socket that has been moved to its path.
type owned struct {
	*net.UnixListener
	path string
	own  os.FileInfo // nil where it was never at its path
	once sync.Once
	err  error
}

// Addr implements net.Listener.
func (l *owned) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// StopListening closes what listens, and leaves the socket at its path until Close: for whoever goes
// on with another descriptor of it.
func (l *owned) StopListening() error { return l.UnixListener.Close() }

// Close implements net.Listener. It removes the socket, unless another has its place by now. It is
// safe to call twice.
func (l *owned) Close() error {
	l.once.Do(func() {
		if there, err := os.Lstat(l.path); err == nil && l.own != nil && os.SameFile(there, l.own) {
			l.err = os.Remove(l.path)
		}
		if err := l.UnixListener.Close(); !errors.Is(err, net.ErrClosed) {
			l.err = errors.Join(l.err, err)
		}
	})
	return l.err
}

//go:build unix

package socket_test

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pillarbox/internal/socket"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dirOf makes a directory with a short name: the path of a socket has few bytes.
func dirOf(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	return dir
}

// TestSocketIsItsOwners, whatever the umask, and nothing is left beside it or after it.
func TestSocketIsItsOwners(t *testing.T) {
	before := syscall.Umask(0)
	defer syscall.Umask(before)
	dir := dirOf(t)
	path := filepath.Join(dir, "admin.sock")
	listener, err := socket.Listen(path)
	must(t, err)
	info, err := os.Lstat(path)
	must(t, err)
	if info.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if got := listener.Addr(); got.Network() != "unix" || got.String() != path {
		t.Errorf("it listens at %v", got)
	}
	conn, err := socket.Dial(t.Context(), path)
	must(t, err)
	accepted, err := listener.Accept()
	must(t, errors.Join(err, conn.Close(), accepted.Close()))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	must(t, listener.Close())
	must(t, listener.Close())
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// TestSocketOfADeadServerIsReplaced, and that of a living one is not, nor anything else.
func TestSocketOfADeadServerIsReplaced(t *testing.T) {
	path := filepath.Join(dirOf(t), "admin.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	must(t, err)
	dead.SetUnlinkOnClose(false)
	must(t, dead.Close())
	living, err := socket.Listen(path)
	must(t, err)
	if _, err := socket.Listen(path); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one: %v", err)
	}
	conn, err := socket.Dial(t.Context(), path) // the first one has it still
	must(t, err)
	must(t, conn.Close())

	// One that somebody has put in its place is not removed with it.
	must(t, os.Rename(path, path+".old"))
	other, err := socket.Listen(path)
	must(t, err)
	must(t, living.Close())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("the socket of another is removed: %v", err)
	}
	must(t, other.Close())

	for what, plant := range map[string]func() error{
		"a file":      func() error { return os.WriteFile(path, []byte("text"), 0o600) },
		"a directory": func() error { return os.Mkdir(path, 0o700) },
		"a link":      func() error { return os.Symlink("elsewhere", path) },
	} {
		must(t, plant())
		if _, err := socket.Listen(path); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over %s: %v", what, err)
		}
		must(t, os.Remove(path))
	}
	if _, err := socket.Listen(filepath.Join(filepath.Dir(path), "no", "s")); !errors.Is(err,
		fs.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
}

// TestPathsOfSockets that can be, and that can't.
func TestPathsOfSockets(t *testing.T) {
	for address, want := range map[string]string{"unix:/run/a.sock": "/run/a.sock",
		"unix:///run/a.sock": "/run/a.sock", "unix:a.sock": "a.sock"} {
		if path, known := socket.Path(address); path != want || !known || socket.Check(path) != nil {
			t.Errorf("%s: %q, %v, %v", address, path, known, socket.Check(path))
		}
	}
	if path, known := socket.Path("127.0.0.1:8081"); known {
		t.Errorf("a port is the socket %q", path)
	}
	for address, part := range map[string]string{
		"unix:": "want the path", "unix:/": "want the path", "unix:a\x00": "zero byte",
		"unix:/" + strings.Repeat("x", socket.MaxPath):          "104 bytes, and that of a socket may have 103",
		"unix:/" + strings.Repeat("x", socket.MaxPath-5) + "/s": "the directory has 99 bytes",
	} {
		path, _ := socket.Path(address)
		if err := socket.Check(path); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q: %v, want %q", address, err, part)
		}
		if _, err := socket.Listen(path); err == nil {
			t.Errorf("%q is listened at", address)
		}
	}
	longest := "unix:/" + strings.Repeat("x", 20) + "/" + strings.Repeat("y", socket.MaxPath-22)
	if path, _ := socket.Path(longest); socket.Check(path) != nil {
		t.Errorf("the longest: %v", socket.Check(path))
	}
}

//go:build unix

package config_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"pillarbox/internal/config"
)

// TestWhatIsNoFileIsNotWaitedFor: a pipe without a writer would hold up a start, and the stop of a
// server that reloads.
func TestWhatIsNoFileIsNotWaitedFor(t *testing.T) {
	t.Chdir(t.TempDir()) // the path of a socket is short
	if err := unix.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for path, want := range map[string]string{"pipe": "pipe is a named pipe", ".": ". is a directory",
		"socket": "configuration: open socket"} {
		_, err := config.Load(config.Input{Path: path, Env: noEnv})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestPipeOfTheCallerIsRead, as a shell passes one with <(command).
func TestPipeOfTheCallerIsRead(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	if _, err := io.WriteString(write, "data: elsewhere\n"); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Input{Path: fmt.Sprintf("/dev/fd/%d", read.Fd()), Env: noEnv})
	if err != nil || cfg.Data != "elsewhere" {
		t.Errorf("read %+v, %v", cfg, err)
	}
	link := filepath.Join(t.TempDir(), "link.yaml") // as Kubernetes mounts a file
	target := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(target, []byte("data: linked\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if cfg, err = config.Load(config.Input{Path: link, Env: noEnv}); err != nil ||
		cfg.Data != "linked" {
		t.Errorf("read %+v, %v", cfg, err)
	}
}

func noEnv(string) (string, bool) { return "", false }

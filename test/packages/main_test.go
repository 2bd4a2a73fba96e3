// Package packages_test holds what deploy/ ships to what it promises, with the tools of those who
// take it: the image is put together by buildah and run read-only and without rights, the units are
// judged by systemd-analyze, and servers are restarted one after the other behind haproxy.
//
// A tool that is missing skips its tests, and fails them where CI is set. No registry is asked: the
// stage of the image that compiles is played with the Go of this machine.
package packages_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"pillarbox/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// root is that of the source.
const root = "../.."

// need skips the test where a tool is missing, and fails it in CI.
func need(t *testing.T, tool, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		missing(t, fmt.Sprintf("%s is missing: install the Debian package %s, or run make packages", tool, pkg))
	}
}

func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// must runs a command and returns what it printed to standard output.
func must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, talk, err := output(exec.Command(name, args...))
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, talk)
	}
	return out
}

func output(command *exec.Cmd) (out, talk string, err error) {
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err = command.Run()
	return stdout.String(), stderr.String(), err
}

// read reads a file that is shipped.
func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// until waits for what is about to happen.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not so after two minutes: %s", what)
		}
	}
}

// freeAddress is an address that nobody listens at.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// shortDir makes a directory with a short name: the path of a socket has few bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "p")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

//go:build unix

package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// TestHealthOfAServer: without a token, whatever the data directory; and a server that is not there
// is not looked for in the data directory.
func TestHealthOfAServer(t *testing.T) {
	dir := shortDir(t)
	address := "unix:" + filepath.Join(dir, "admin.sock")
	startServerAt(t, address, "admin: { token: a-token-of-16-ch }")
	for _, args := range [][]string{{"health"}, {"health", "--ready"}} {
		if got := try(t, append(args, "--admin", address)...); got.code != exitDone || got.out+got.talk != "" {
			t.Errorf("%v: %+v", args, got)
		}
	}
	other, data := "unix:"+filepath.Join(dir, "other.sock"), filepath.Join(dir, "data")
	try(t, "health", "--admin", other, "--data", data).failsWith(t, exitFailed, "not alive", "other.sock")
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("the data directory: %v", err)
	}
}

// TestServiceManagerIsTold: READY=1 and STOPPING=1, as Type=notify wants.
func TestServiceManagerIsTold(t *testing.T) {
	path := filepath.Join(shortDir(t), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	s := startServerAt(t, "127.0.0.1:0", "")
	s.stop()
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		message := make([]byte, 100)
		n, err := manager.Read(message)
		if err != nil || string(message[:n]) != want {
			t.Fatalf("the service manager was told %q, %v; want %q", message[:n], err, want)
		}
	}
}

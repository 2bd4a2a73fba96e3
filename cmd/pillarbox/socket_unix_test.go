//go:build unix

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pillarbox/internal/config"
	"pillarbox/internal/node"
	"pillarbox/internal/socket"
)

// shortDir makes a directory with a short name: the path of a socket has few bytes.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// TestAdminOverASocket: the commands find the server by its configuration, by --admin and by
// --server; metrics and the page can be had; and without a server the data is opened.
func TestAdminOverASocket(t *testing.T) {
	path := filepath.Join(shortDir(t), "admin.sock")
	address := "unix:" + path
	s := startServerAt(t, address, "")
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatalf("the socket is %v, %v", info.Mode(), err)
	}
	for _, how := range [][]string{{"--server", address}, {"--admin", address},
		{"--admin", address, "--data", s.data}} {
		got := try(t, append([]string{"status", "-o", "json"}, how...)...)
		if got.code != exitDone || !strings.Contains(got.out, `"ready": true`) {
			t.Errorf("status %v: %+v", how, got)
		}
		if got := try(t, append([]string{"audit"}, how...)...); got.code != exitDone {
			t.Errorf("audit %v: %+v", how, got)
		}
	}
	t.Setenv("PILLARBOX_ADMIN_LISTEN", address)
	if got := try(t, "config", "check", "--data", s.data); got.code != exitDone ||
		strings.Contains(got.talk, "not checked") {
		t.Errorf("config check: %+v", got)
	}
	if got := try(t, "config", "show"); !strings.Contains(got.out, `listen: "`+address+`" # env`) {
		t.Errorf("config show: %+v", got)
	}
	client := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return socket.Dial(ctx, path)
		}}}
	for target, part := range map[string]string{"http://any.name/metrics": "pillarbox_build_info",
		"http://localhost/": "Where every event is", "http://localhost/healthz": "ok"} {
		answer, err := client.Get(target)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil ||
			answer.StatusCode != http.StatusOK || !strings.Contains(string(text), part) {
			t.Errorf("%s: %d %s %v", target, answer.StatusCode, text, err)
		}
	}
	client.CloseIdleConnections()
	try(t, "serve", "--admin", address, "--data", t.TempDir(), "--listen", "127.0.0.1:0").failsWith(t,
		exitFailed) // printed, and so without words here
	if _, err := listen("admin.listen", address, socketMode); err == nil ||
		!strings.Contains(err.Error(), "is taken by another program") {
		t.Errorf("a second server: %v", err)
	}
	s.stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if got := try(t, "audit", "--data", s.data); got.code != exitDone {
		t.Errorf("without a server: %+v", got)
	}
	try(t, "audit", "--server", address).failsWith(t, exitFailed, "no server answers at "+address)

	// A dead one is in nobody's way.
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if got := try(t, "audit", "--data", s.data); got.code != exitDone {
		t.Errorf("with the socket of a dead server: %+v", got)
	}
	startServerAt(t, address, "").stop()
}

// TestSocketThatCantBeMade says why, and what to do.
func TestSocketThatCantBeMade(t *testing.T) {
	dir := shortDir(t)
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string]string{"file": "is no socket",
		"none/s": "there is no directory"} {
		if _, err := listen("admin.listen", "unix:"+filepath.Join(dir, name), socketMode); err == nil ||
			!strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", name, err)
		}
	}
	try(t, "status", "--server", "unix:").failsWith(t, exitUsage, "want the path of a socket")
	try(t, "config", "check", "--admin", "unix:").failsWith(t, exitUsage, "want the path of a socket")
}

// TestShortTokenIsRefused wherever it stands, by the server and by its clients.
func TestShortTokenIsRefused(t *testing.T) {
	for _, args := range [][]string{{"config", "check"}, {"serve", "--admin", "0.0.0.0:0"}, {"status"},
		{"events", "--server", "127.0.0.1:1"}} {
		try(t, append(args, "--token", "x")...).failsWith(t, exitUsage, "command line: admin.token",
			"at least 16")
	}
	t.Setenv("PILLARBOX_ADMIN_TOKEN", "x")
	for _, args := range [][]string{{"config", "check"}, {"serve"}, {"status"}} {
		try(t, args...).failsWith(t, exitUsage, "PILLARBOX_ADMIN_TOKEN", "at least 16")
	}
}

// TestTokenOfTheCommandLineIsTheServers: a token that serve is given must not be ignored.
func TestTokenOfTheCommandLineIsTheServers(t *testing.T) {
	g := globalFlags{token: "a-token-of-16-ch", changed: func(name string) bool {
		return name == "token"
	}}
	cfg, err := g.load()
	if err != nil || string(cfg.Admin.Token) != "a-token-of-16-ch" {
		t.Errorf("%v, %v", cfg, err)
	}
}

// startServerAt is startServer with an address of the admin listener.
func startServerAt(t *testing.T, admin, text string) *running {
	t.Helper()
	data := t.TempDir()
	cfg, err := config.Load(config.Input{Text: []byte(text), Env: noEnv, Flags: map[string]string{
		"data": data, "listen": "127.0.0.1:0", "admin.listen": admin,
	}})
	if err != nil {
		t.Fatal(err)
	}
	return runServer(t, cfg, node.Roles(), data)
}

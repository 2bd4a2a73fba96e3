//go:build unix

package main

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/ncruces/go-sqlite3/driver"
	"golang.org/x/sys/unix"

	"pillarbox/internal/config"
)

// TestOpenDataDirectoryIsWarnedOf, and one that only shows names is not.
func TestOpenDataDirectoryIsWarnedOf(t *testing.T) {
	for mode, warned := range map[os.FileMode]bool{0o777: true, 0o770: true, 0o755: false,
		0o700: false} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		cfg, err := config.Load(config.Input{Env: noEnv, Flags: map[string]string{"data": dir}})
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		e := &engines{config: cfg, logger: slog.New(slog.NewTextHandler(&log, nil))}
		if err := e.openDirectory(); err != nil {
			t.Fatal(err)
		}
		if err := e.close(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(log.String(), "other users"); got != warned ||
			warned && !strings.Contains(log.String(), "chmod 700") {
			t.Errorf("mode %v: %s", mode, &log)
		}
	}
}

// TestCommandsPassWhatSomebodyPutThere: a pipe among the dead letters, and rows that are no events,
// are named by every command that lists, with and without a server, which stops in order.
func TestCommandsPassWhatSomebodyPutThere(t *testing.T) {
	s := startServer(t, "")
	post := func() string {
		answer, err := http.Post("http://"+s.serving.Public[0].Addr().String()+"/app", "text/plain",
			strings.NewReader("hello"))
		if err != nil || answer.Body.Close() != nil || answer.StatusCode != http.StatusAccepted {
			t.Fatal(answer, err)
		}
		return answer.Header.Get("X-Request-Id")
	}
	sound, spoilt := post(), post()
	eventually(t, "both are stored", func() bool {
		status, err := s.Status(context.Background())
		return err == nil && status.Destinations[0].Pending == 0
	})
	day := filepath.Join(s.data, "dead-letters", "2026-11-23")
	if err := os.MkdirAll(day, 0o700); err != nil {
		t.Fatal(err)
	}
	const letter = "20261123T141200.123456Z.events.018f0000-0000-7000-8000-000000000000.json"
	if err := unix.Mkfifo(filepath.Join(day, letter), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(s.data, "events.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"UPDATE events SET headers = 'nonsense' WHERE request_id = '" + spoilt + "'",
		"INSERT INTO events (timestamp, request_id) VALUES (x'ff', 'by-hand')",
	} {
		if _, err := db.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	look := func(at ...string) {
		t.Helper()
		run := func(args ...string) result { return try(t, append(args, at...)...) }
		if got := run("dead", "list"); got.code != exitDone || !strings.Contains(got.talk, letter) ||
			!strings.Contains(got.talk, "named pipe") {
			t.Errorf("dead list %v: %+v", at, got)
		}
		if got := run("events"); got.code != exitDone || !strings.Contains(got.out, sound) ||
			!strings.Contains(got.talk, spoilt) || !strings.Contains(got.talk, "by-hand") {
			t.Errorf("events %v: %+v", at, got)
		}
		if got := run("events", "-o", "json"); got.code != exitDone ||
			!strings.Contains(got.out, `"unreadable"`) || !strings.Contains(got.out, "by-hand") {
			t.Errorf("events as JSON %v: %+v", at, got)
		}
		if got := run("explain", sound); got.code != exitDone || !strings.Contains(got.out, "stored") {
			t.Errorf("explain %v: %+v", at, got)
		}
		if got := run("explain", spoilt); got.code != exitDone ||
			!strings.Contains(got.out, "row with") {
			t.Errorf("explain the spoilt one %v: %+v", at, got)
		}
		if got := run("audit"); got.code != exitFailed || !strings.Contains(got.out, letter) {
			t.Errorf("audit %v: %+v", at, got)
		}
	}
	look("--server", "http://"+s.admin)
	s.stop()
	look("--data", s.data, "--admin", nobody(t))
}

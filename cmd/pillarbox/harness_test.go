package main

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/config"
	"pillarbox/internal/node"
)

// result is how a command ended.
type result struct {
	out, talk string
	code      int
	err       error
}

// try runs a command in this process.
func try(t *testing.T, args ...string) result {
	t.Helper()
	var out, talk bytes.Buffer
	root := newRootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&talk)
	root.SetIn(strings.NewReader(""))
	err := root.ExecuteContext(t.Context())
	return result{out: out.String(), talk: talk.String(), code: exitCode(err), err: err}
}

// failsWith fails the test unless the command ended with the code and an error on one line that has
// all the words.
func (r result) failsWith(t *testing.T, code int, words ...string) {
	t.Helper()
	if r.err == nil || r.code != code || strings.Contains(r.err.Error(), "\n") {
		t.Errorf("exit %d, want %d: %v\n%s%s", r.code, code, r.err, r.out, r.talk)
		return
	}
	for _, word := range words {
		if !strings.Contains(r.err.Error(), word) {
			t.Errorf("the error is %q, want %q in it", r.err, word)
		}
	}
}

// running is a server in this process.
type running struct {
	*server
	t           *testing.T
	data, admin string // directory and address
	stop        func()
}

// startServer starts a server with a configuration, in a directory of its own and at addresses that
// the system chooses. It is stopped when the test ends.
func startServer(t *testing.T, text string, roles ...string) *running {
	t.Helper()
	return startIn(t, t.TempDir(), text, roles...)
}

// restart starts a server of defaults on the data of one that was stopped.
func restart(t *testing.T, s *running) *running {
	t.Helper()
	s.stop()
	return startIn(t, s.data, "")
}

func startIn(t *testing.T, data, text string, roles ...string) *running {
	t.Helper()
	cfg, err := config.Load(config.Input{Text: []byte(text), Env: noEnv, Flags: map[string]string{
		"data": data, "listen": "127.0.0.1:0", "admin.listen": "127.0.0.1:0",
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(roles) == 0 {
		roles = node.Roles()
	}
	return runServer(t, cfg, roles, data)
}

func runServer(t *testing.T, cfg *config.Config, roles []string, data string) *running {
	t.Helper()
	opened, err := openServer(t.Context(), cfg, roles, slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	opened.level = &slog.LevelVar{}
	s := &running{server: opened, t: t, data: data}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.run(ctx, context.Background()) }()
	s.stop = func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(s.stop)
	eventually(t, "the server is ready", func() bool { return s.Ready() == nil })
	if s.serving.Admin != nil {
		s.admin = s.serving.Admin.Addr().String()
	}
	return s
}

func noEnv(string) (string, bool) { return "", false }

// eventually waits for what another goroutine is about to do.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(time.Millisecond) { // a server works, over connections
		if time.Now().After(deadline) {
			t.Fatalf("not so after 30 s: %s", what)
		}
	}
}

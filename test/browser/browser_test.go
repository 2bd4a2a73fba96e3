package browser

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// configuration has a destination whose filter makes dead letters, one that nobody answers for, and a
// token.
const configuration = `admin: { token: the-token-of-the-browser }
sources: { app: {}, orders: {} }
destinations:
  events: { url: "sqlite:", sources: [app, orders] }
  paid: { url: "sqlite:paid.db", sources: [orders], where: 'json.state == "paid"', where_on_error: dead_letter }
  hook: { url: "http://127.0.0.1:1/hook", sources: [orders], where: 'json.state == "paid"', allow_private: true }
`

const token = "the-token-of-the-browser"

// letters is how many dead letters there are, of three causes.
const letters = 120

// needed names the programs, or says what is missing.
func needed(t *testing.T) (node, chromium string) {
	t.Helper()
	node, err := exec.LookPath("node")
	chromium = os.Getenv("PILLARBOX_TEST_CHROMIUM")
	if err == nil && chromium != "" && os.Getenv("NODE_PATH") != "" {
		return node, chromium
	}
	const missing = "node, Chromium or what drives it is missing: run test/browser/run go test ./test/browser"
	if os.Getenv("CI") != "" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return "", ""
}

func post(t *testing.T, url, contentType, body string) {
	t.Helper()
	answer, err := http.Post(url, contentType, strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); answer.StatusCode != http.StatusAccepted {
		t.Errorf("%s: %d %s", url, answer.StatusCode, text)
	}
}

// hostile is what a page must show as text, in bodies, queries and headers.
var hostile = []string{
	`<script>window.pwned=1</script>`, `"><img src=x onerror="window.pwned=1">`, `{{.Pwned}}`, "javascript:window.pwned=1",
	"\u202egnp.exe\u202c", `</textarea><script>window.pwned=1</script>`, `<svg/onload=window.pwned=1>`, "\x00\x1b[31m red", `&lt;b&gt;`,
}

func postHostile(t *testing.T, public string) {
	t.Helper()
	for i, text := range hostile {
		request, err := http.NewRequest(http.MethodPost, public+"/app?q="+fmt.Sprintf("%x", i), bytes.NewReader([]byte(text)))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", []string{"text/html", "image/svg+xml", "application/json", "text/plain"}[i%4])
		request.Header.Set("X-Hostile", strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' {
				return -1
			}
			return r
		}, text))
		answer, err := http.DefaultClient.Do(request)
		if err != nil || answer.StatusCode != http.StatusAccepted {
			t.Fatalf("%q: %v", text, err)
		}
		_ = answer.Body.Close()
	}
	post(t, public+"/app", "application/json", `{"a":12345678901234567890.10,"b":["<script>window.pwned=1</script>",{"__proto__":1}],"a":2}`)
	post(t, public+"/app", "application/x-www-form-urlencoded", "a=%3Cscript%3Ewindow.pwned%3D1%3C%2Fscript%3E&b=2")
	post(t, public+"/app", "application/octet-stream", "\xff\xfe<script>")
}

// TestWalk walks.
func TestWalk(t *testing.T) {
	node, chromium := needed(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "pillarbox.yaml")
	if err := os.WriteFile(file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PILLARBOX_ADMIN_TOKEN", token)
	s := harness.Start(t, filepath.Join(dir, "data"), "--config", file)
	postHostile(t, s.Public)
	for i := range letters {
		post(t, s.Public+"/orders", "text/plain", []string{"no json", `{"other":1}`, `{"state":`}[i%3]+strings.Repeat(" ", i%2))
	}
	waitForLetters(t, s.Admin)
	stop, sent := load(t, s.Public)
	defer stop()

	shots := os.Getenv("PILLARBOX_TEST_SHOTS")
	if shots == "" {
		shots = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 13*time.Minute)
	defer cancel()
	walk := exec.CommandContext(ctx, node, "walk.js", s.Admin, token, chromium, shots)
	out, err := walk.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("the walk ends with %v", err)
	}
	for _, done := range []string{"overview", "event", "hostile", "failures", "stopped", "balance", "two browsers", "keyboard", "axe", "looked", "session"} {
		if !strings.Contains(string(out), "ok "+done+"\n") {
			t.Errorf("the walk has not done %q", done)
		}
	}
	if sent() < 100 {
		t.Errorf("%d events were posted meanwhile, which is no load", sent())
	}
}

// waitForLetters waits until all that is to be refused is.
func waitForLetters(t *testing.T, admin string) {
	t.Helper()
	for range 600 {
		request, err := http.NewRequest(http.MethodGet, admin+"/api/v1/ledger", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer "+token)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		var totals ledger.Totals
		err = json.NewDecoder(answer.Body).Decode(&totals)
		_ = answer.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range totals.Destinations {
			if e.Destination == "paid" && e.Dead >= letters*2/3 && e.Pending == 0 {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the dead letters do not come")
}

// load posts until it is stopped.
func load(t *testing.T, public string) (stop func(), sent func() int64) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done, n := make(chan struct{}), &atomic.Int64{}
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			post(t, public+"/orders", "application/json", fmt.Sprintf(`{"state":"open","n":%d}`, n.Add(1)))
			select {
			case <-ctx.Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	return func() { cancel(); <-done }, n.Load
}

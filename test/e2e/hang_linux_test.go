package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/internal/ledger"
	"pillarbox/internal/torture"
	"pillarbox/test/harness"
)

// soon is how long a machine under load may take for what takes a few seconds.
const soon = 40 * time.Second

// hangDisk delays every fdatasync of a process for a minute and a half, until end is called.
func hangDisk(t *testing.T, pid int) (end func()) {
	t.Helper()
	trace := exec.Command("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e",
		"inject=fdatasync:delay_enter=90s", "-p", fmt.Sprint(pid))
	if err := trace.Start(); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		_ = trace.Process.Kill() // which lets go of the process at once; an interrupt waits until the delays are over
		_ = trace.Wait()
	})
	t.Cleanup(end)
	for deadline := time.Now().Add(soon); !allTraced(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("strace does not attach")
		}
	}
	return end
}

func allTraced(pid int) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || strings.Contains(string(text), "TracerPid:\t0\n") {
			return false
		}
	}
	return len(files) > 0
}

// TestDiskThatHangs makes every fdatasync of the real binary hang. Clients are answered in time,
// the admin API answers and says what hangs, and when the disk answers again the server goes on:
// what was acknowledged is stored, and nothing twice. A stop while the disk hangs ends by itself,
// and says what it has left behind.
func TestDiskThatHangs(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace")
	}
	for _, express := range []bool{true, false} {
		t.Run(fmt.Sprintf("express=%v", express), func(t *testing.T) { testDiskThatHangs(t, express) })
	}
}

func testDiskThatHangs(t *testing.T, express bool) {
	settings := filepath.Join(t.TempDir(), "settings.yaml")
	text := fmt.Sprintf(`queue: {commit_timeout: 1s}
listen: {express: %v}
destinations: {events: {url: "sqlite:", sources: [app], write_timeout: 2s}}
shutdown: {drain_timeout: 3s}
`, express)
	if err := os.WriteFile(settings, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	server, err := torture.Start(t.Context(), harness.Binary(), t.TempDir(), "--config", settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.End)
	accept(t, server.Public+"/app", "text/plain", []byte("before"))

	end := hangDisk(t, server.Pid())
	var unknown, refused atomic.Int64
	var clients sync.WaitGroup
	for i := range 8 {
		clients.Go(func() {
			switch status, body := tryPost(t, server.Public+"/app", fmt.Sprint(i)); {
			case status != http.StatusServiceUnavailable:
				t.Errorf("%d %s, want 503 while the disk hangs", status, body)
			case strings.Contains(body, "is not known"):
				unknown.Add(1)
			default:
				refused.Add(1)
			}
		})
	}
	clients.Wait()
	if unknown.Load() == 0 {
		t.Errorf("%d clients were refused, and none was told that its outcome is not known",
			refused.Load())
	}
	if status := server.Ready(t.Context()); status != http.StatusServiceUnavailable {
		t.Errorf("readyz says %d", status)
	}
	wantHangingTold(t, server)

	end()
	for deadline := time.Now().Add(soon); server.Ready(t.Context()) != http.StatusOK; time.Sleep(
		10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not ready again\n" + server.Log())
		}
	}
	accept(t, server.Public+"/app", "text/plain", []byte("after"))
	entry, err := server.WaitUntil("all are stored",
		func(entry ledger.Entry) bool { return entry.Pending == 0 })
	if most := uint64(2 + unknown.Load()); err != nil || !entry.Balanced || entry.Stored < 2 ||
		entry.Stored > most {
		t.Errorf("%+v %v, want from 2 to %d stored", entry, err, most)
	}
	for _, line := range []string{"the disk does not answer", "the disk answers again"} {
		if !strings.Contains(server.Log(), line) {
			t.Errorf("the log does not say %q", line)
		}
	}

	end = hangDisk(t, server.Pid())
	if status, body := tryPost(t, server.Public+"/app",
		"last"); status != http.StatusServiceUnavailable {
		t.Errorf("%d %s", status, body)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- server.Stop() }()
	for deadline := time.Now().Add(soon); !strings.Contains(server.Log(),
		"close queue: did not end and was left behind"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the stop does not end\n" + server.Log())
		}
	}
	end() // strace would keep the process for as long as its calls are delayed
	if err := <-stopped; err == nil || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("the stop ended with %v, want exit status 1", err)
	}
}

// tryPost posts, and expects an answer in time.
func tryPost(t *testing.T, url, body string) (status int, answer string) {
	client := http.Client{Timeout: soon}
	response, err := client.Post(url, "text/plain", strings.NewReader(body))
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Error(err)
	}
	return response.StatusCode, string(text)
}

// wantHangingTold asks the admin API, which must answer although the disk does not.
func wantHangingTold(t *testing.T, server *torture.Server) {
	t.Helper()
	client := http.Client{Timeout: soon}
	get := func(path string) []byte {
		response, err := client.Get(server.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %s %v", path, response.StatusCode, text, err)
		}
		return text
	}
	if status := get("/api/v1/status"); !bytes.Contains(status, []byte("has not answered for")) {
		t.Errorf("status says %s", status)
	}
	if metrics := get("/metrics"); bytes.Contains(metrics,
		[]byte("pillarbox_queue_hanging_seconds 0\n")) ||
		bytes.Contains(metrics, []byte("pillarbox_disk_hanging_seconds 0\n")) {
		t.Error("the metrics say that nothing hangs")
	}
}

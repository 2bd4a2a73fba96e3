package benchmark_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"pillarbox/internal/benchmark"
)

// TestMain is also the child of the tests: with an address in its environment it serves the
// yardstick there.
func TestMain(m *testing.M) {
	if address := os.Getenv("PILLARBOX_TEST_BARE"); address != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := benchmark.ServeBare(ctx, address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestTheYardstickAnswersAsPillarboxDoes, as a process of its own, which costs processor time that
// is seen from outside.
func TestTheYardstickAnswersAsPillarboxDoes(t *testing.T) {
	address, err := benchmark.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PILLARBOX_TEST_BARE", address)
	running, err := benchmark.Launch(t.Context(), address, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post("http://"+address+"/app", "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil || response.StatusCode != http.StatusAccepted || !strings.Contains(string(body), `"status":"accepted"`) {
		t.Errorf("%d %q, %v", response.StatusCode, body, err)
	}
	if _, err := benchmark.Send(t.Context(), running, benchmark.ClosedLoop(8, 200),
		200*time.Millisecond); err != nil {
		t.Error(err)
	}
	usage, err := benchmark.UsageOf(running.PID)
	if err != nil || runtime.GOOS == "linux" &&
		(usage.CPU == 0 || usage.Resident == 0 || usage.Peak < usage.Resident/2) {
		t.Errorf("%+v, %v", usage, err)
	}
	if err := running.Stop(); err != nil {
		t.Error(err)
	}
	if _, err := benchmark.UsageOf(running.PID); err == nil && runtime.GOOS == "linux" {
		t.Error("the process is still there")
	}
}

// TestAProcessThatEndsAtItsStartSaysWhy, at once.
func TestAProcessThatEndsAtItsStartSaysWhy(t *testing.T) {
	t.Setenv("PILLARBOX_TEST_BARE", "no address")
	_, err := benchmark.Launch(t.Context(), "127.0.0.1:1", os.Args[0])
	if err == nil || !strings.Contains(err.Error(), "no address") {
		t.Errorf("got %v", err)
	}
}

func TestTheDiskIsProbed(t *testing.T) {
	dir := t.TempDir()
	probe, err := benchmark.ProbeDisk(dir)
	if err != nil || probe.Writes < 100 || probe.P50 <= 0 || probe.P99 < probe.P50 ||
		probe.Max < probe.P99 {
		t.Errorf("%+v, %v", probe, err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Error("the probe left its file")
	}
	if _, err := benchmark.ProbeDisk(dir + "/nowhere"); err == nil {
		t.Error("a directory that is not there was probed")
	}
}

func TestTheMachineIsDescribed(t *testing.T) {
	m := benchmark.ThisMachine(t.TempDir())
	if m.Cores < 1 || m.Go == "" || runtime.GOOS == "linux" &&
		(m.Memory == 0 || m.Kernel == "" || m.FileSystem == "") {
		t.Errorf("%+v", m)
	}
}

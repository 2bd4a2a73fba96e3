package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pillarbox/internal/benchmark"
	"pillarbox/internal/console"
)

// TestBenchMeasuresItself runs the smallest comparison with the real binary: every contender
// answers, every answer is in the ledger, and nothing is left.
func TestBenchMeasuresItself(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the binary")
	}
	binary := filepath.Join(t.TempDir(), "pillarbox")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	dir := t.TempDir()
	run := func(form, duration string) []byte {
		var out, progress bytes.Buffer
		cmd := exec.Command(binary, "bench", "--dir", dir, "--duration", duration, "--rounds", "1",
			"--connections", "4", "-o", form)
		cmd.Stdout, cmd.Stderr = &out, &progress
		if err := cmd.Run(); err != nil {
			t.Fatalf("%v\n%s", err, &progress)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%d entries are left in the directory", len(left))
		}
		return out.Bytes()
	}
	var report benchmark.Report
	if err := json.Unmarshal(run(console.JSON, "1s"), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Rows) < 8 || report.Verdict == "" || report.Disk.P50 <= 0 || len(report.Goals) == 0 {
		t.Errorf("%+v", report)
	}
	for _, row := range report.Rows {
		if row.PerSecond <= 0 || row.Problem != "" {
			t.Errorf("%+v", row)
		}
	}
	if lines, err := csv.NewReader(bytes.NewReader(run(console.CSV, "200ms"))).ReadAll(); err != nil ||
		len(lines) != len(report.Rows)+1 {
		t.Errorf("%d lines of CSV, %v", len(lines), err)
	}
}

func TestBenchRefusesWhatMakesNoSense(t *testing.T) {
	for _, args := range []string{
		"--duration 1ms", "--duration 2h", "--rounds 0", "--connections 0", "--connections 1000000", "--connections x", "--body 0", "--dir /nope", "--dir bench_test.go", "--body 2000000", "-o xml",
		"surplus", "contender", "contender bare", "contender nobody 127.0.0.1:0",
	} {
		want := exitUsage
		if args == "contender" {
			want = exitDone // it lists them
		}
		if code := execute(append([]string{"bench"}, strings.Fields(args)...)); code != want {
			t.Errorf("bench %s exits with %d, want %d", args, code, want)
		}
	}
}

// TestEveryYardstickServes until its context ends.
func TestEveryYardstickServes(t *testing.T) {
	for name, serve := range benchContenders {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- serve(ctx, address) }()
		running := &benchmark.Running{Address: address, Path: "/app"}
		if name == benchmark.BareTLSCommand {
			running.TLS = benchmark.ClientTLS()
		}
		deadline := time.Now().Add(10 * time.Second)
		for {
			result, err := benchmark.Send(ctx, running, benchmark.ClosedLoop(1, 200), 20*time.Millisecond)
			if err == nil {
				if result.Failed() > 0 || result.Answers == 0 {
					t.Errorf("%s: %+v %v", name, result.Statuses, result.FirstError)
				}
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", name, err)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

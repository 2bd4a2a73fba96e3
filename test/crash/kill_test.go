// Package crash_test breaks the real binary: it kills it under load and holds what the clients were told
// against what is stored.
package crash_test

import (
	"context"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"pillarbox/internal/ledger"
	"pillarbox/test/harness"
)

func TestMain(m *testing.M) { os.Exit(harness.Main(m)) }

// The number of cycles, and what each must at least achieve, so that a harness that runs nothing fails.
const (
	defaultCycles    = 10
	minAckedPerCycle = 20
)

func setting(t *testing.T, name string, byDefault int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return byDefault
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s=%q is no number", name, text)
	}
	return n
}

// TestAckedEventSurvivesKill kills the server with SIGKILL at random moments under load and starts it again,
// many times on one data directory. In the end every event that a client has a receipt for is stored once
// with its own bytes, nothing is stored twice, and the audit balances.
//
// The page cache survives a killed process: this proves the logic of recovery, not that data was synced.
func TestAckedEventSurvivesKill(t *testing.T) {
	cycles := setting(t, "PILLARBOX_KILL_CYCLES", defaultCycles)
	seed := uint64(setting(t, "PILLARBOX_SEED", int(time.Now().UnixNano()&0xffffff)))
	t.Logf("%d cycles, seed %d (PILLARBOX_SEED)", cycles, seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	data := t.TempDir()
	c := harness.NewClients()
	for range cycles {
		s := harness.Start(t, data)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Load(ctx, s.Public+"/app", 8)
		}()
		<-time.After(time.Duration(20+rng.IntN(250)) * time.Millisecond)
		s.Kill()
		cancel()
		<-done
	}
	if c.Acked() < cycles*minAckedPerCycle {
		t.Errorf("only %d events were acknowledged in %d cycles", c.Acked(), cycles)
	}
	s := harness.Start(t, data)
	entry := s.WaitUntil("everything is delivered", func(e ledger.Entry) bool { return e.Pending == 0 })
	if !entry.Balanced || entry.Dead != 0 || entry.Stored < uint64(c.Acked()) {
		t.Errorf("ledger %+v for %d acknowledged events", entry, c.Acked())
	}
	s.Stop()
	if out, _, code := harness.Run(t, "audit", "--data", data); code != 0 {
		t.Errorf("audit exits with %d:\n%s", code, out)
	}
	c.Check(t, data)
}

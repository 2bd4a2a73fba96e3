package telemetry_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/telemetry"
)

// page is a text that a timer may write to.
type page struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (p *page) Write(line []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.Write(line)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// calmed is a log that sums up floods, and its text.
func calmed(level slog.Level) (*slog.Logger, *telemetry.Calm, *page) {
	text := &page{}
	calm := telemetry.NewCalm(slog.NewTextHandler(text, &slog.HandlerOptions{Level: level}))
	return slog.New(calm), calm, text
}

// TestAFloodIsSummedUp: its beginning is written, and at the end of the window its last line with how
// many it stands for, so that the log accounts for each.
func TestAFloodIsSummedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, _, text := calmed(slog.LevelInfo)
		for i := range 4812 + telemetry.CalmBurst {
			log.Error("request failed", telemetry.KeyErr, fmt.Errorf("try %d", i), telemetry.KeyRequestID, i)
		}
		if got := strings.Count(text.String(), "\n"); got != telemetry.CalmBurst {
			t.Errorf("%d lines are written at once, want %d", got, telemetry.CalmBurst)
		}
		time.Sleep(telemetry.CalmWindow)
		synctest.Wait()
		if !strings.HasSuffix(text.String(), fmt.Sprintf("err=\"try %d\" request_id=%d repeated=4812\n", 4821, 4821)) {
			t.Errorf("the flood ends with %q", last(text))
		}
		log.Error("request failed", telemetry.KeyErr, errors.New("later"))
		if !strings.HasSuffix(text.String(), "err=later\n") {
			t.Errorf("after it: %q", last(text))
		}
	})
}

func last(text *page) string {
	lines := strings.Split(strings.TrimSpace(text.String()), "\n")
	return lines[len(lines)-1]
}

// TestWhatDiffersIsNoFlood: another destination, another level, another file; and nothing of DEBUG is
// held.
func TestWhatDiffersIsNoFlood(t *testing.T) {
	log, calm, text := calmed(slog.LevelDebug)
	lines := 0
	for i := range 3 * telemetry.CalmBurst {
		log.Warn("damaged", telemetry.KeyFile, fmt.Sprint(i))
		log.With(telemetry.KeyDestination, fmt.Sprint(i)).Info("is back")
		log.Debug("batch")
		lines += 3
	}
	for range telemetry.CalmBurst {
		log.Warn("batch")
		log.Error("batch")
		lines += 2
	}
	calm.Flush()
	if got := strings.Count(text.String(), "\n"); got != lines || strings.Contains(text.String(), "repeated") {
		t.Errorf("%d lines are written, want %d", got, lines)
	}
}

// TestAStopWritesWhatIsHeld, once.
func TestAStopWritesWhatIsHeld(t *testing.T) {
	log, calm, text := calmed(slog.LevelInfo)
	for range telemetry.CalmBurst + 5 {
		log.Warn("down", telemetry.KeyDestination, "events")
	}
	calm.Flush()
	calm.Flush()
	if got := strings.Count(text.String(), "repeated=5"); got != 1 {
		t.Errorf("it is said %d times that 5 are held:\n%s", got, text)
	}
}

// TestKindsOfLinesAreBounded: what is beyond the bound is written, and costs no memory.
func TestKindsOfLinesAreBounded(t *testing.T) {
	log, calm, text := calmed(slog.LevelInfo)
	const more = 50
	for i := range telemetry.MaxCalm + more {
		for range telemetry.CalmBurst + 1 {
			log.Warn("kind", telemetry.KeyFile, i)
		}
	}
	written := strings.Count(text.String(), "\n")
	if want := telemetry.MaxCalm*telemetry.CalmBurst + more*(telemetry.CalmBurst+1); written != want {
		t.Errorf("%d lines are written, want %d", written, want)
	}
	calm.Flush()
	if got := strings.Count(text.String(), "repeated=1"); got != telemetry.MaxCalm {
		t.Errorf("%d sums are written, want %d", got, telemetry.MaxCalm)
	}
}

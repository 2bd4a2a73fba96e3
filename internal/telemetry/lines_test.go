package telemetry_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox/internal/telemetry"
)

// reader is the other side of a log: it takes lines, stands still, or is gone.
type reader struct {
	mu    sync.Mutex
	lines []string
	gone  bool
	still chan struct{} // where it is set, a line is taken once it is closed
}

func (r *reader) Write(line []byte) (int, error) {
	r.mu.Lock()
	still := r.still
	r.mu.Unlock()
	if still != nil {
		<-still
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return 0, errors.New("broken pipe")
	}
	r.lines = append(r.lines, string(line))
	return len(line), nil
}

func (r *reader) set(gone bool, still chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone, r.still = gone, still
}

func (r *reader) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.lines, "|")
}

// TestLinesNeverWait: who logs is not held up by a reader that stands still or is gone; what is
// dropped is counted, and told when the reader takes lines again.
func TestLinesNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		still := make(chan struct{})
		r := &reader{still: still}
		lines := telemetry.NewLines(r, 100)
		lines.Tell(func(dropped uint64) { fmt.Fprintf(lines, "dropped %d", dropped) })
		for range 50 {
			if n, err := fmt.Fprint(lines, "0123456789"); n != 10 || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
		if lines.Dropped() != 40 {
			t.Errorf("%d lines are dropped, want 40", lines.Dropped())
		}
		close(still)
		synctest.Wait()
		if got := r.all(); strings.Count(got, "0123456789") != 10 ||
			strings.Count(got, "dropped 40") != 1 {
			t.Errorf("the reader got %s", got)
		}
		r.set(true, nil)
		for range 3 {
			fmt.Fprint(lines, "nobody")
			synctest.Wait()
		}
		r.set(false, nil)
		fmt.Fprint(lines, "back")
		synctest.Wait()
		if got := r.all(); !strings.HasSuffix(got, "back|dropped 3") || lines.Dropped() != 43 {
			t.Errorf("the reader got %s; %d are dropped", got, lines.Dropped())
		}
		if err := lines.Close(time.Second); err != nil {
			t.Error(err)
		}
	})
}

// TestLinesEnd: a stop waits for the lines that are left, but not for a reader that stands still.
func TestLinesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &reader{}
		lines := telemetry.NewLines(r, 0)
		fmt.Fprint(lines, "last words")
		if err := lines.Close(time.Second); err != nil || r.all() != "last words" {
			t.Errorf("closed with %v, and the reader has %q", err, r.all())
		}
		still := make(chan struct{})
		lines = telemetry.NewLines(&reader{still: still}, 0)
		fmt.Fprint(lines, "nobody reads")
		begun := time.Now()
		if err := lines.Close(2 * time.Second); err == nil || time.Since(begun) != 2*time.Second {
			t.Errorf("closed with %v after %v", err, time.Since(begun))
		}
		close(still)
	})
}

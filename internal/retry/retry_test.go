package retry_test

import (
	"testing"
	"time"

	"pillarbox/internal/retry"
)

func TestDelayDoublesUpToItsMaximum(t *testing.T) {
	p := retry.Policy{}.WithDefaults()
	for _, c := range []struct {
		attempt int
		chance  float64
		want    time.Duration
	}{
		{1, 0, 500 * time.Millisecond}, {1, 1, time.Second}, {2, 1, 2 * time.Second}, {5, 0,
			8 * time.Second},
		{9, 1, 256 * time.Second}, {10, 1, 5 * time.Minute}, {1_000_000, 1, 5 * time.Minute}, {0, 1,
			time.Second},
	} {
		if got := p.Delay(c.attempt, c.chance); got != c.want {
			t.Errorf("delay after attempt %d with chance %v: %v, want %v", c.attempt, c.chance, got, c.want)
		}
	}
	if p.Exhausted(19) || !p.Exhausted(20) {
		t.Error("an event has 20 attempts")
	}
}

// TestBreakerPausesProbesAndWarmsUp tells the life of a breaker through an outage.
func TestBreakerPausesProbesAndWarmsUp(t *testing.T) {
	var b retry.Breaker
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	if b.State(now) != retry.Closed || b.Allow(now, 1000) != 1000 {
		t.Fatal("a new breaker is closed")
	}
	opened := now
	for i := range 10 {
		b.Fail(now, 0, 1)
		if b.State(now) != retry.Open || b.Allow(now, 1000) != 0 {
			t.Fatalf("failure %d: state %v", i, b.State(now))
		}
		want := min(time.Second<<i, 30*time.Second)
		if b.Wait(now) != want {
			t.Errorf("failure %d: wait %v, want %v", i, b.Wait(now), want)
		}
		now = now.Add(want)
		if b.State(now) != retry.Probing || b.Allow(now, 1000) != retry.ProbeEvents {
			t.Fatalf("after the wait: state %v", b.State(now))
		}
	}
	if !b.OpenSince().Equal(opened) {
		t.Errorf("open since %v, want %v", b.OpenSince(), opened)
	}
	b.Succeed(1000)
	for allowed := retry.ProbeEvents; allowed < 1000; allowed *= 2 {
		if got := b.Allow(now, 1000); got != allowed {
			t.Errorf("warming allows %d, want %d", got, allowed)
		}
		b.Succeed(1000)
	}
	if b.State(now) != retry.Closed || !b.OpenSince().IsZero() {
		t.Errorf("state %v after warming up", b.State(now))
	}
	b.Fail(now, time.Hour, 0)
	if b.Wait(now) != time.Hour {
		t.Errorf("wait %v where the destination asked for an hour", b.Wait(now))
	}
}

package causes_test

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pillarbox"
	"pillarbox/internal/causes"
)

// morgue has letters that take their time to be read.
type morgue struct {
	mu    sync.Mutex
	n     int
	each  time.Duration
	scans int
}

func (m *morgue) Summaries(context.Context, pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error] {
	m.mu.Lock()
	m.scans++
	n := m.n
	m.mu.Unlock()
	return func(yield func(pillarbox.DeadLetterSummary, error) bool) {
		for i := range n {
			time.Sleep(m.each)
			if !yield(pillarbox.DeadLetterSummary{Destination: []string{"events", "paid"}[i%2], Reason: fmt.Sprintf("no user %d", i), DeadAt: 1}, nil) {
				return
			}
		}
	}
}

func (m *morgue) Count(context.Context, string) (pillarbox.DeadLetterCount, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return pillarbox.DeadLetterCount{Open: uint64(m.n)}, nil
}

func (m *morgue) add(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n += n
}

func sum(g *causes.Groups) (n uint64) {
	for _, one := range g.Groups {
		n += one.Count
	}
	return n
}

// TestNobodyWaitsForACount of many letters, and many who look cost one.
func TestNobodyWaitsForACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{n: 1000, each: 10 * time.Millisecond} // ten seconds
		c := causes.NewCache(m, func() []string { return []string{"events"} }, nil)
		defer c.Close()
		look := func() *causes.Groups {
			t.Helper()
			begun := time.Now()
			g, err := c.Groups(t.Context(), "")
			if took := time.Since(begun); err != nil || took > 250*time.Millisecond {
				t.Errorf("it took %s, %v", took, err)
			}
			return g
		}
		if g := look(); !g.Counting || sum(g) == 0 || sum(g) > 30 {
			t.Errorf("at first: %d, counting %v", sum(g), g.Counting)
		}
		for range 50 {
			look()
		}
		time.Sleep(10 * time.Second)
		if g := look(); g.Counting || sum(g) != 1000 || m.scans != 1 {
			t.Errorf("counted: %d in %d scans, counting %v", sum(g), m.scans, g.Counting)
		}
		if g, err := c.Groups(t.Context(), "paid"); err != nil || sum(g) != 500 {
			t.Errorf("of one destination: %d, %v", sum(g), err)
		}
		m.add(10)
		for range 80 { // within nine times as long as the count took
			if g := look(); sum(g) != 1000 || m.scans != 1 || !g.Counting {
				t.Fatalf("%d in %d scans, counting %v", sum(g), m.scans, g.Counting)
			}
		}
		time.Sleep(100 * time.Second)
		look()
		time.Sleep(20 * time.Second)
		if g := look(); sum(g) != 1010 || m.scans != 2 {
			t.Errorf("in the end %d in %d scans", sum(g), m.scans)
		}
	})
}

// TestFewAreCountedAtOnce: what is quick is always of now.
func TestFewAreCountedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{}
		c := causes.NewCache(m, func() []string { return []string{"events"} }, nil)
		defer c.Close()
		for n := range 5 {
			g, err := c.Groups(t.Context(), "")
			if err != nil || sum(g) != uint64(n) || g.Counting {
				t.Errorf("%d: %d, %v", n, sum(g), err)
			}
			m.add(1)
			time.Sleep(time.Millisecond)
		}
	})
}

// TestCloseEndsACount that would take long.
func TestCloseEndsACount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &morgue{n: 1_000_000, each: time.Millisecond}
		c := causes.NewCache(m, func() []string { return []string{"events"} }, nil)
		if _, err := c.Groups(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		c.Close()
		if took := time.Since(begun); took > time.Second {
			t.Errorf("the close took %s", took)
		}
	})
}

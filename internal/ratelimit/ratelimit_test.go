package ratelimit_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pillarbox/internal/ratelimit"
)

func TestBucket(t *testing.T) {
	b := ratelimit.NewBucket(ratelimit.Rate{PerSecond: 10, Burst: 5})
	for _, step := range []struct {
		at   time.Duration
		n    int
		wait time.Duration
		left int
	}{
		{0, 2, 0, 3},
		{0, 3, 0, 0},
		{0, 1, 100 * time.Millisecond, 0},
		{0, 3, 300 * time.Millisecond, 0},
		{100 * time.Millisecond, 1, 0, 0},
		{time.Second, 0, 0, 5},
		{time.Second, 7, 0, 0}, // more than it holds is what it holds
		{time.Second, 7, 500 * time.Millisecond, 0},
		{1500 * time.Millisecond, 4, 0, 1},
		{time.Hour, 1, 0, 4}, // it never holds more than a burst
	} {
		if wait := b.Wait(step.at, step.n); wait != step.wait {
			t.Errorf("at %v, %d would wait %v, want %v", step.at, step.n, wait, step.wait)
		}
		if wait := b.Take(step.at, step.n); wait != step.wait {
			t.Errorf("at %v, %d wait %v, want %v", step.at, step.n, wait, step.wait)
		}
		if level := b.Level(step.at); level.Left != step.left {
			t.Errorf("at %v, %d are left, want %d", step.at, level.Left, step.left)
		}
	}
	b.Return(1)
	if level := b.Level(time.Hour); level.Left != 5 || level.Full != 0 {
		t.Errorf("after one was given back: %+v, want 5", level)
	}
	if ratelimit.NewBucket(ratelimit.Rate{}).Take(0, 1000) != 0 {
		t.Error("no limit makes somebody wait")
	}
}

// Nobody gets more than the rate and a burst, however many take at the same time.
func TestTogetherTheyGetTheRate(t *testing.T) {
	const burst, most = 100, 100 + 9
	b := ratelimit.NewBucket(ratelimit.Rate{PerSecond: 10, Burst: burst})
	c := ratelimit.NewClients(ratelimit.Rate{PerSecond: 10, Burst: burst}, 1)
	var now, fromBucket, fromClients atomic.Int64
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 500 {
				at := time.Duration(min(now.Add(int64(time.Millisecond)), int64(900*time.Millisecond)))
				if b.Take(at, 1) == 0 {
					fromBucket.Add(1)
				}
				if c.Take(7, at, 1) == 0 {
					fromClients.Add(1)
				}
			}
		})
	}
	wait.Wait()
	if n := fromBucket.Load(); n < burst || n > most {
		t.Errorf("%d were taken from the bucket, want %d to %d", n, burst, most)
	}
	if n := fromClients.Load(); n < burst || n > most {
		t.Errorf("one client took %d, want %d to %d", n, burst, most)
	}
}

// What clients are remembered as is what a bucket for each of them would have been, while there is
// room; and more never.
func TestClientsAreBuckets(t *testing.T) {
	for _, many := range []int{4, 1000} { // a set has room for 8
		rate := ratelimit.Rate{PerSecond: 5, Burst: 20}
		clients := ratelimit.NewClients(rate, 1)
		buckets := map[uint64]*ratelimit.Bucket{}
		random := rand.New(rand.NewPCG(1, uint64(many)))
		now, differ := time.Duration(0), 0
		for range 20_000 {
			now += time.Duration(random.IntN(100)) * time.Millisecond
			id, n := uint64(1+random.IntN(many)), 1+random.IntN(5)
			if buckets[id] == nil {
				buckets[id] = ratelimit.NewBucket(rate)
			}
			level := clients.Level(id, now)
			got, want := clients.Take(id, now, n), buckets[id].Take(now, n)
			if got == want && level.Left >= n == (got == 0) {
				continue
			}
			differ++
			if got == 0 {
				t.Fatalf("of %d clients, %d gets %d that its own bucket does not hold", many, id, n)
			}
			buckets[id].Return(n)
		}
		switch {
		case many <= 8 && (differ > 0 || clients.Shared() > 0):
			t.Errorf("%d clients: %d answers differ, %d buckets were shared, want none", many, differ, clients.Shared())
		case many > 8 && clients.Shared() == 0:
			t.Errorf("%d clients had a bucket each, where there is room for 8", many)
		}
	}
}

// Whoever sends under ever new names gets no more than the buckets that there is room for.
func TestNewNamesGetNoNewBuckets(t *testing.T) {
	rate := ratelimit.Rate{PerSecond: 1, Burst: 10}
	clients := ratelimit.NewClients(rate, 64)
	taken := 0
	for id := uint64(1); id <= 100_000; id++ {
		if clients.Take(id*0x9e3779b97f4a7c15>>7, time.Second, 1) == 0 {
			taken++
		}
	}
	if most := 64 * rate.Burst; taken > most || taken < most/2 {
		t.Errorf("100000 names got %d events at once, want at most 64 bursts of %d", taken, rate.Burst)
	}
}

func TestGivenBackToAClient(t *testing.T) {
	clients := ratelimit.NewClients(ratelimit.Rate{PerSecond: 1, Burst: 3}, 8)
	if wait := clients.Take(1, 0, 3); wait != 0 {
		t.Fatal(wait)
	}
	clients.Return(1, 2)
	clients.Return(2, 2) // nobody
	if level := clients.Level(1, 0); level.Left != 2 {
		t.Errorf("%d are left, want 2", level.Left)
	}
	if wait := clients.Wait(1, 0, 3); wait != time.Second {
		t.Errorf("3 would wait %v, want 1s", wait)
	}
}

func TestNoAllocation(t *testing.T) {
	clients := ratelimit.NewClients(ratelimit.Rate{PerSecond: 1}, ratelimit.DefaultMaxClients)
	bucket := ratelimit.NewBucket(ratelimit.Rate{PerSecond: 1})
	id := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		id += 0x9e3779b97f4a7c15
		clients.Take(id, 0, 1)
		clients.Level(id, 0)
		bucket.Take(0, 1)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkClients(b *testing.B) {
	clients := ratelimit.NewClients(ratelimit.Rate{PerSecond: 1}, ratelimit.DefaultMaxClients)
	id := uint64(0)
	for b.Loop() {
		id += 0x9e3779b97f4a7c15
		clients.Take(id, 0, 1)
	}
}

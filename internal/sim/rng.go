package sim

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

// rng is the chance of one part of a world. Each part has its own, so that one does not shift the
// others.
type rng struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newRNG(seed uint64, part string) *rng {
	salt := uint64(14695981039346656037) // FNV-1a
	for i := range len(part) {
		salt = (salt ^ uint64(part[i])) * 1099511628211
	}
	return &rng{rng: rand.New(rand.NewPCG(seed, salt))}
}

// chance is in [0, 1).
func (r *rng) chance() float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.Float64()
}

func (r *rng) happens(probability float64) bool { return r.chance() < probability }

func (r *rng) below(n int) int { return int(r.chance() * float64(n)) }

func (r *rng) upTo(longest time.Duration) time.Duration {
	return time.Duration(r.chance() * float64(longest))
}

// about draws a wait of this length on average, from an exponential distribution.
func (r *rng) about(mean time.Duration) time.Duration {
	return time.Duration(-math.Log(1-r.chance()) * float64(mean))
}

func (r *rng) uint64() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.rng.Uint64()
}

// pick draws one of the choices.
func pick[T any](d *rng, choices ...T) T { return choices[d.below(len(choices))] }

// maxJitter is how long a fake call waits at most before it begins: the order of calls then follows
// the seed.
const maxJitter = 10 * time.Millisecond

// pause waits, and returns ctx's error where that ends first.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// tally counts what happened, by name. It is safe for concurrent use.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
}

func newTally() *tally { return &tally{counts: map[string]int{}} }

func (t *tally) add(what string) { t.addN(what, 1) }

func (t *tally) addN(what string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[what] += n
}

func (t *tally) all() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.counts)
}

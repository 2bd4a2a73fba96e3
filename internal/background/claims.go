package background

import (
	"fmt"
	"slices"
	"sync"

	"pillarbox"
)

// Claims see that of the jobs that share them no two work on the same destination. The zero value is
// ready. All methods may be called concurrently.
type Claims struct {
	mu   sync.Mutex
	held []*claim
}

// claim is what a job works on.
type claim struct {
	job   string   // "replay 3"
	names []string // nil for everything
}

// acquire claims the names, all of them where there are none. Errors: ErrConflict, naming the job that
// is in the way.
func (c *Claims) acquire(job string, names []string) (*claim, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, other := range c.held {
		meets := names == nil || other.names == nil ||
			slices.ContainsFunc(names, func(name string) bool { return slices.Contains(other.names, name) })
		if meets {
			return nil, fmt.Errorf("%s is running: %w", other.job, pillarbox.ErrConflict)
		}
	}
	made := &claim{job: job, names: names}
	c.held = append(c.held, made)
	return made, nil
}

func (c *Claims) release(one *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = slices.DeleteFunc(c.held, func(other *claim) bool { return other == one })
}

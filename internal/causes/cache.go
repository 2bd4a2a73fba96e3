package causes

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"pillarbox"
)

const (
	// cacheWait is how long a caller waits for a count that is under way, before it gets what is known.
	cacheWait = 200 * time.Millisecond

	// cacheDuty is how much of the time is spent on counting at most: after a count, one rests for so
	// many times as long as it took.
	cacheDuty = 9

	// cacheAge is after which a count is done again although as many letters are open as then: one that
	// is refused again may say something else.
	cacheAge = time.Minute
)

// Letters are dead letters that are counted.
type Letters interface {
	Summaries(ctx context.Context, filter pillarbox.DeadLetterFilter) iter.Seq2[pillarbox.DeadLetterSummary, error]
	Count(ctx context.Context, destination string) (pillarbox.DeadLetterCount, error)
}

// Cache keeps the groups of all open dead letters, so that many who look cost little, and nobody waits
// for a count of many letters: whoever asks meanwhile gets the groups as far as they are counted, or as
// they were. All methods may be called concurrently. Close it.
type Cache struct {
	letters      Letters
	destinations func() []string
	now          func() time.Time

	mu      sync.Mutex
	groups  *Groups       // the last that was counted to its end; nil for none
	counted signature     // what there was then
	took    time.Duration // the count
	running *counting
	closed  bool
}

// signature is how many letters there are. It costs no scan.
type signature struct{ open, resolved uint64 }

// counting is a count that is under way.
type counting struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when it has ended
	err    error         // of a count that has ended

	mu      sync.Mutex
	counter *counter
}

// NewCache makes a Cache. destinations are those that may have letters. A nil clock is time.Now.
func NewCache(letters Letters, destinations func() []string, now func() time.Time) *Cache {
	if now == nil {
		now = time.Now
	}
	return &Cache{letters: letters, destinations: destinations, now: now}
}

// Close ends a count that is under way, and waits for it.
func (c *Cache) Close() {
	c.mu.Lock()
	c.closed = true
	running := c.running
	c.mu.Unlock()
	if running != nil {
		running.cancel()
		<-running.done
	}
}

// Groups returns the groups of a destination, or of all where it is empty. Counting says that they are
// not complete, or not of now. Errors: ctx's own, and those of counting.
func (c *Cache) Groups(ctx context.Context, destination string) (*Groups, error) {
	now, err := c.signature(ctx)
	if err != nil {
		return nil, err
	}
	running := c.begin(ctx, now)
	if running != nil {
		timer := time.NewTimer(cacheWait)
		defer timer.Stop()
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-running.done:
			if running.err != nil && !errors.Is(running.err, context.Canceled) {
				return nil, running.err
			}
		case <-timer.C:
		}
	}
	return c.known(running, now).of(destination), nil
}

// begin begins a count where one is due, and returns the one that is under way.
func (c *Cache) begin(ctx context.Context, now signature) *counting {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running != nil || c.closed || !c.isDue(now) {
		return c.running
	}
	counting := &counting{done: make(chan struct{}), counter: newCounter()}
	var count context.Context
	count, counting.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.running = counting
	go c.count(count, counting, now)
	return counting
}

func (c *Cache) isDue(now signature) bool {
	if c.groups == nil {
		return true
	}
	rested := c.now().Sub(c.groups.AsOf.Time())
	return rested < 0 || rested > cacheAge || now != c.counted && rested > cacheDuty*c.took
}

func (c *Cache) signature(ctx context.Context) (all signature, err error) {
	for _, name := range c.destinations() {
		count, err := c.letters.Count(ctx, name)
		if err != nil {
			return signature{}, err
		}
		all.open += count.Open
		all.resolved += count.Replayed + count.Discarded
	}
	return all, nil
}

// count counts all letters.
func (c *Cache) count(ctx context.Context, running *counting, of signature) {
	defer running.cancel()
	begun := c.now()
	unreadable, err := running.read(ctx, c.letters)
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(running.done)
	if running.err = err; err == nil {
		c.groups = running.counter.result()
		c.groups.Unreadable, c.groups.AsOf = unreadable, pillarbox.TimestampOf(c.now())
		c.counted, c.took = of, c.now().Sub(begun)
	}
	c.running = nil
}

func (r *counting) read(ctx context.Context, letters Letters) (unreadable uint64, err error) {
	for summary, err := range letters.Summaries(ctx, pillarbox.DeadLetterFilter{}) {
		switch {
		case ctx.Err() != nil:
			return 0, ctx.Err()
		case errors.Is(err, pillarbox.ErrUnavailable), errors.Is(err, pillarbox.ErrClosed):
			return 0, err
		case err != nil:
			unreadable++
			continue
		}
		r.mu.Lock()
		r.counter.add(ofSummary(&summary))
		r.mu.Unlock()
	}
	return unreadable, ctx.Err()
}

// known is the last count, or what one that is under way has so far. One that rests, while there are other
// letters by now, is not of now either.
func (c *Cache) known(running *counting, now signature) *Groups {
	c.mu.Lock()
	groups, counting := c.groups, c.running != nil || c.counted != now
	c.mu.Unlock()
	if groups != nil {
		shown := *groups
		shown.Counting = counting
		return &shown
	}
	if running == nil {
		return &Groups{Groups: []Group{}}
	}
	running.mu.Lock()
	defer running.mu.Unlock()
	shown := running.counter.result()
	shown.Counting, shown.AsOf = true, pillarbox.TimestampOf(c.now())
	return shown
}

// of returns the groups of a destination.
func (g *Groups) of(destination string) *Groups {
	if destination != "" {
		g.Groups = slices.DeleteFunc(slices.Clone(g.Groups), func(one Group) bool { return one.Destination != destination })
	}
	return g
}

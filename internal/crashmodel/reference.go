package crashmodel

import (
	"math/rand/v2"

	"pillarbox"
	"pillarbox/internal/vfs/faultfs"
)

// What may be found of a letter.
type letterState int

const (
	letterNone     letterState = iota // there is none
	letterMaybe                       // while it is put: none, or an open one
	letterOpen                        // an open one, with its content
	letterEither                      // while it is resolved: an open or a resolved one
	letterResolved                    // a resolved one
)

// promise is what is known of one event that was sent.
type promise struct {
	event *pillarbox.Event
	acked bool
	ways  []*way // one for each destination of the world

	routing bool // it is being given from the first destination to the second: one of them has it
}

// way is what is known of an event on its way to one destination.
type way struct {
	stored bool // durable in the destination
	given  bool // by a person or a back-fill, though it was not meant for it
	dead   bool // Settle has said that this is durable
	tried  int  // attempts that Settle has said are durable
	letter letterState

	seen  uint64 // the last recovery that found it pending
	found uint64 // the last recovery that found its letter
}

// reference remembers everything that was promised, and is asked about every state.
type reference struct {
	destinations []string
	copied       [maxDestinations]copied
	promises     map[string]*promise
	order        []*promise
	observe      func(disk *faultfs.FS) // has a new disk watched
}

func newWitness(destinations []string) *reference {
	return &reference{destinations: destinations, promises: map[string]*promise{},
		observe: func(*faultfs.FS) {}}
}

// next is the number of the next event.
func (w *reference) next() int { return len(w.order) + 1 }

func (w *reference) send(event *pillarbox.Event) *promise {
	p := &promise{event: event}
	for range w.destinations {
		p.ways = append(p.ways, &way{})
	}
	w.promises[event.RequestID] = p
	w.order = append(w.order, p)
	return p
}

// openLetter draws one of the open letters of a destination; nil if there is none.
func (w *reference) openLetter(rng *rand.Rand, to int) *promise {
	var open []*promise
	for _, p := range w.order {
		if p.ways[to].letter == letterOpen {
			open = append(open, p)
		}
	}
	if len(open) == 0 {
		return nil
	}
	return open[rng.IntN(len(open))]
}

func (w *reference) acked() (n int) {
	for _, p := range w.order {
		if p.acked {
			n++
		}
	}
	return n
}

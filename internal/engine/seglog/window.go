package seglog

import (
	"sort"
)

// window holds what was read and is not yet below the cursor, in the order of the log, without gaps
// between its first and its last item.
//
// Locks: that of its consumer.
type window struct {
	items []*item
}

// mayGrow keeps memory bounded.
func (w *window) mayGrow() bool { return len(w.items) < MaxLeased && w.bytes() < MaxLeasedBytes }

func (w *window) bytes() (sum int64) {
	for _, it := range w.items {
		if it.event != nil {
			sum += it.bytes
		}
	}
	return sum
}

// find returns the item of an event, nil where it was not read yet.
func (w *window) find(seq uint64) *item {
	at := sort.Search(len(w.items), func(i int) bool { return w.items[i].seq >= seq })
	if at < len(w.items) && w.items[at].seq == seq {
		return w.items[at]
	}
	return nil
}

// has reports whether the event was read in this life and the cursor has not passed it.
func (w *window) has(seq uint64) bool {
	n := len(w.items)
	return n > 0 && seq >= w.items[0].seq && seq < w.items[n-1].seq+max(1, w.items[n-1].lost)
}

// pass drops the first n items, which the cursor has passed.
func (w *window) pass(n int) {
	w.items = w.items[n:]
	if len(w.items) == 0 {
		w.items = nil // let the backing array go
	}
}

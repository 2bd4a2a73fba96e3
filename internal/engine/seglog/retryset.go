package seglog

import (
	"slices"
	"time"

	"pillarbox"
)

// retrySet is the retry set in memory: what waits for another attempt or for its dead letter, and
// what is held and has left its segment.
//
// Locks: that of its consumer.
type retrySet struct {
	items map[uint64]*item // one for each entry of state.retry that has no outcome
	bytes int64            // of those that are not held
	held  int              // how many are held
}

// active is how many are not held.
func (r *retrySet) active() int { return len(r.items) - r.held }

// add puts the entry into the set, due at an instant of this life's clock.
func (r *retrySet) add(entry *retryEntry, event *pillarbox.Event, due time.Time, routed bool) {
	r.drop(entry.Seq)
	waiting := &item{
		seq: entry.Seq, event: event, bytes: int64(len(entry.Record)), due: due,
		attempts: entry.Attempts, rejection: entry.Rejection, held: entry.Held, routed: routed,
	}
	r.items[entry.Seq] = waiting
	if waiting.held {
		r.held++
	} else {
		r.bytes += waiting.bytes
	}
}

func (r *retrySet) drop(seq uint64) {
	if waiting := r.items[seq]; waiting != nil {
		if waiting.held {
			r.held--
		} else {
			r.bytes -= waiting.bytes
		}
		delete(r.items, seq)
	}
}

// find returns the item of a request, nil where it does not wait.
func (r *retrySet) find(requestID string) *item {
	for _, it := range r.items {
		if it.event.RequestID == requestID {
			return it
		}
	}
	return nil
}

// due lists what is due of the retry set in the order in which it is handed out: those that only
// wait for their dead letter first, then by due time. The picker learns how long the others wait.
func (r *retrySet) due(pick *picker) []*item {
	var all []*item
	for _, waiting := range r.items {
		switch wait := waiting.due.Sub(pick.now); {
		case waiting.leased || waiting.held:
		case wait > 0:
			pick.wait = min(pick.wait, wait)
		default:
			all = append(all, waiting)
		}
	}
	slices.SortFunc(all, func(a, b *item) int {
		if (a.rejection != nil) != (b.rejection != nil) {
			if a.rejection != nil {
				return -1
			}
			return 1
		}
		if d := a.due.Compare(b.due); d != 0 {
			return d
		}
		return int(int64(a.seq) - int64(b.seq))
	})
	return all
}
